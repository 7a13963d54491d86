package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/role"
)

// The headers of a file, ours and eksctl's.
const (
	header       = "apiVersion: openirsa.dev/v1alpha1\nkind: Cluster\n"
	eksctlHeader = "apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata: {name: c, region: eu-west-1}\n"
)

// What is ignored is named on standard error, once.
func TestConfigNamesWhatIsIgnored(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(file, []byte(eksctlHeader+"nodeGroups: []\naddons: []\niam: {serviceRoleARN: x}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	got, err := (&app{out: &out, err: &errs}).readConfig(file)
	if want := "note: " + file + ": ignored, since it has no meaning here: nodeGroups, addons, iam.serviceRoleARN\n"; err != nil || out.Len() > 0 || errs.String() != want {
		t.Errorf("%q, %q, %v", &out, &errs, err)
	}
	if got.Metadata.Name != "c" || got.Metadata.Region != "eu-west-1" {
		t.Errorf("%+v", got.Metadata)
	}
	errs.Reset()
	if err := os.WriteFile(file, []byte(header+"iam: {autoCreatePodIdentityAssociations: true, serviceRoleARN: x}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := (&app{err: &errs}).readConfig(file); err != nil || !strings.Contains(errs.String(), ": iam.autoCreatePodIdentityAssociations, iam.serviceRoleARN\n") {
		t.Errorf("%q, %v", &errs, err)
	}
}

// A role that somebody names has the ARN that others wrote down.
func TestNamedRolesAreAtTheRoot(t *testing.T) {
	ch := &chain.Chain{}
	ch.Record.Cluster = "dev"
	for _, c := range []struct{ name, path, want string }{
		{"", "", "/openirsa/dev/"}, {"reader", "", "/"}, {"reader", "/jobs/", "/jobs/"}, {"", "/jobs/", "/jobs/"},
	} {
		if got := ch.RolePath(&config.ServiceAccount{RoleName: c.name, RolePath: c.path}); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// A name stands for what kind, eksctl and the AWS CLI call the cluster.
func TestContextOf(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "config")
	var body strings.Builder
	body.WriteString("apiVersion: v1\nkind: Config\ncontexts:\n")
	for context, cluster := range map[string]string{
		"exact": "x", "kind-dev": "kind-dev", "me@prod.eu-west-1.eksctl.io": "prod.eu-west-1.eksctl.io",
		"arn:aws:eks:eu-west-1:123456789012:cluster/live": "arn:aws:eks:eu-west-1:123456789012:cluster/live", "one": "twice", "two": "twice",
	} {
		body.WriteString(fmt.Sprintf("- {name: %q, context: {cluster: %q, user: u}}\n", context, cluster))
	}
	if err := os.WriteFile(kubeconfig, []byte(body.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"exact": "exact", "dev": "kind-dev", "prod": "me@prod.eu-west-1.eksctl.io", "live": "arn:aws:eks:eu-west-1:123456789012:cluster/live", "twice": "", "nowhere": "",
	} {
		if got := contextOf(name, kubeconfig); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// What eksctl's users have typed and written down works: files, lists, names and
// the ARNs of roles.
func TestAPIServerEksctlsUsers(t *testing.T) {
	aws := emulatortest.Start(t)
	useEmulator(t, aws)
	m := newMember(t, aws, "prod")
	client := iam.NewFromConfig(aws.Config())
	write := func(name, body string) string {
		t.Helper()
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	file := write("cluster.yaml", `apiVersion: eksctl.io/v1alpha5
kind: ClusterConfig
metadata: {name: prod, region: us-east-1, version: "1.34"}
iam:
  withOIDC: true
  serviceAccounts:
  - metadata: {name: reader}
    attachPolicyARNs: ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"]
    roleName: reader-role
  - metadata: {name: dns}
    wellKnownPolicies: {externalDNS: true, ebsCSIController: true}
managedNodeGroups: [{name: a}]
`)
	status, out, errs := m.setup("iamserviceaccount", "create", "--cluster", "prod", "--profile", "", "-f", file, "--approve")
	if status != 0 || !strings.Contains(errs, "ignored, since it has no meaning here: metadata.version, managedNodeGroups") {
		t.Fatalf("%d, %s%s", status, out, errs)
	}
	if want := "arn:aws:iam::" + aws.Account() + ":role/reader-role"; m.roleOf("reader") != want {
		t.Errorf("role %s, want %s", m.roleOf("reader"), want)
	}
	if got, err := client.GetRolePolicy(t.Context(), &iam.GetRolePolicyInput{
		RoleName: new(role.NameFor("prod", "default", "dns")), PolicyName: new("externalDNS"),
	}); err != nil || !strings.Contains(*got.PolicyDocument, "ListTagsForResources") {
		t.Errorf("%+v, %v", got, err)
	}
	again := m.mustSetup("iamserviceaccount", "create", "-c", "prod", "-f", file, "--approve")
	if !strings.Contains(again, "Everything is unchanged.") {
		t.Errorf("a second run: %s", again)
	}

	// Lists with commas, on the command line.
	m.mustSetup("iamserviceaccount", "create", "--cluster=prod", "--name", "two", "--approve", "--attach-policy-arn",
		"arn:aws:iam::aws:policy/ReadOnlyAccess,arn:aws:iam::aws:policy/IAMReadOnlyAccess")
	attached, err := client.ListAttachedRolePolicies(t.Context(), &iam.ListAttachedRolePoliciesInput{RoleName: new(role.NameFor("prod", "default", "two"))})
	if err != nil || len(attached.AttachedPolicies) != 2 {
		t.Errorf("%+v, %v", attached, err)
	}

	// Scripts look for status.roleARN; what get prints is what create takes.
	listed := m.mustSetup("iamserviceaccount", "get", "--cluster", "prod", "-o", "json", "-f", file)
	var list []struct {
		Metadata struct{ Name string }
		Status   struct{ RoleARN string }
	}
	if err := json.Unmarshal([]byte(listed), &list); err != nil || len(list) != 2 || list[1].Metadata.Name != "reader" || !strings.HasSuffix(list[1].Status.RoleARN, ":role/reader-role") {
		t.Errorf("%s, %v", listed, err)
	}
	table := m.mustSetup("iamserviceaccount", "get", "-o", "table")
	if !strings.HasPrefix(table, "NAMESPACE") || !strings.Contains(table, "two") {
		t.Errorf("%s", table)
	}

	// The role of a list is used as it is.
	eksctlList := write("list.yaml", "- metadata: {name: legacy, namespace: default}\n  status: {roleARN: \"arn:aws:iam::"+aws.Account()+":role/reader-role\"}\n")
	m.mustSetup("iamserviceaccount", "create", "-f", eksctlList, "--approve")
	if !strings.HasSuffix(m.roleOf("legacy"), ":role/reader-role") {
		t.Errorf("legacy has %s", m.roleOf("legacy"))
	}

	// Another cluster's name is a mistake, and nothing is done.
	if status, _, errs := m.setup("iamserviceaccount", "delete", "--cluster", "dev", "-f", file); status != 1 || !strings.Contains(errs, "--cluster dev is not the name") || !strings.Contains(errs, "prod") {
		t.Errorf("%d, %s", status, errs)
	}
	if status, _, errs := m.setup("iamserviceaccount", "get", "--profile", "nowhere"); status != 0 {
		t.Errorf("%d, %s", status, errs) // AWS is not asked
	}
	if status, _, errs := m.setup("iamserviceaccount", "delete", "--name", "two", "--profile", "nowhere"); status != 1 || !strings.Contains(errs, "nowhere") {
		t.Errorf("%d, %s", status, errs)
	}
	m.mustSetup("iamserviceaccount", "delete", "--cluster", "prod", "-f", file)
	if _, err := client.GetRole(t.Context(), &iam.GetRoleInput{RoleName: new("reader-role")}); err == nil {
		t.Error("the role is still there")
	}
	if left := m.mustSetup("iamserviceaccount", "get"); strings.Contains(left, "reader ") || strings.Contains(left, "dns") || !strings.Contains(left, "two") {
		t.Errorf("%s", left)
	}
}

// What of a file excludes what flags say gives way to them.
func TestFlagsWinOverTheFile(t *testing.T) {
	for _, c := range []struct {
		file      config.File
		app       app
		flags     upOptions
		wantApp   app
		wantFlags upOptions
	}{
		{file: config.File{Emulator: true, KindName: "dev"}, wantApp: app{kindName: "dev"}, wantFlags: upOptions{documentFlags: documentFlags{emulator: true}}},
		{file: config.File{Emulator: true, KindName: "dev"}, app: app{context: "prod"}, flags: upOptions{endpoint: "http://aws"}, wantApp: app{context: "prod"}, wantFlags: upOptions{endpoint: "http://aws"}},
		{file: config.File{PodEndpointURL: "http://aws"}, flags: upOptions{documentFlags: documentFlags{emulator: true}}, wantFlags: upOptions{documentFlags: documentFlags{emulator: true}}},
		{file: config.File{PodEndpointURL: "http://aws", Context: "prod", Kubeconfig: "f"}, wantApp: app{context: "prod", kubeconfig: "f"}, wantFlags: upOptions{endpoint: "http://aws"}},
		{file: config.File{PodIdentity: new(true)}, wantFlags: upOptions{podIdentity: true, podIdentitySet: true}},
		{file: config.File{PodIdentity: new(false)}, wantFlags: upOptions{podIdentitySet: true}},
		{file: config.File{PodIdentity: new(true)}, flags: upOptions{podIdentitySet: true}, wantFlags: upOptions{podIdentitySet: true}},
	} {
		applyFile(c.file, &c.app, &c.flags)
		if !reflect.DeepEqual(c.app, c.wantApp) || !reflect.DeepEqual(c.flags, c.wantFlags) {
			t.Errorf("%+v: %+v, %+v", c.file, c.app, c.flags)
		}
	}
}

// Our own list of service accounts is a file too.
func TestOwnListIsAFile(t *testing.T) {
	var out bytes.Buffer
	if err := printJSON(&out, []listedServiceAccount{listed("default", "app", "arn:aws:iam::123456789012:role/r")}); err != nil {
		t.Fatal(err)
	}
	if file, _, err := config.Parse(out.Bytes()); err != nil || len(file.IAMServiceAccounts) != 1 || file.IAMServiceAccounts[0].AttachRoleARN == "" {
		t.Errorf("%+v, %v", file, err)
	}
}

// What is wrong with a file is said of its fields, what is wrong with flags of them.
func TestFaultsInTheWordsOfFlags(t *testing.T) {
	for want, err := range map[string]error{
		"--bucket and --issuer-url exclude each other, unless CloudFront serves the documents of a --private-bucket": (&documentFlags{bucket: "b", issuerURL: "https://i.example"}).check(),
		"--issuer-url: issuer":                                   (&documentFlags{issuerURL: "http://i.example"}).check(),
		`bucket "my.bucket" has a dot`:                           (&documentFlags{bucket: "my.bucket"}).check(),
		`--failure-policy "x" is neither Fail nor Ignore`:        (&admission{failurePolicy: "x"}).check(),
		"--ignore-namespaces and --exclude-namespaces both name": (&admission{ignore: []string{"a"}, exclude: []string{"a"}}).check(),
	} {
		if !cli.IsUsage(err) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
