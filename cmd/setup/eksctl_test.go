package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/role"
)

// eksctl's own examples, and files of the shapes that people publish, are taken as
// they are: testdata/eksctl has a file for each. Its first line says which
// service accounts there are and what is ignored.
func TestConfigTakesEksctlsFiles(t *testing.T) {
	archive, err := txtar.ParseFile(filepath.Join("testdata", "eksctl", "examples.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	if len(archive.Files) < 20 {
		t.Errorf("only %d files", len(archive.Files))
	}
	for _, f := range archive.Files {
		first, _, _ := strings.Cut(string(f.Data), "\n")
		accounts, unread, ok := strings.Cut(strings.TrimPrefix(first, "# "), " ignored: ")
		if !ok {
			t.Fatalf("%s does not say what is right", f.Name)
		}
		for _, written := range map[string][]byte{
			"as it is":          f.Data,
			"in Windows":        bytes.ReplaceAll(f.Data, []byte("\n"), []byte("\r\n")),
			"with a BOM":        append([]byte("\xef\xbb\xbf"), f.Data...),
			"with other things": append(slices.Clone(f.Data), "\n---\n# nothing\n---\n"...),
		} {
			file, gotUnread, err := parseFile(written)
			if err != nil {
				t.Errorf("%s: %v", f.Name, err)
				continue
			}
			var names []string
			for _, sa := range file.IAMServiceAccounts {
				names = append(names, sa.String())
			}
			if got := strings.Join(names, " "); got != strings.TrimSpace(accounts) {
				t.Errorf("%s: service accounts %q, want %q", f.Name, got, accounts)
			}
			if got := strings.Join(gotUnread, ", "); got != strings.TrimSpace(unread) {
				t.Errorf("%s: ignored %q, want %q", f.Name, got, unread)
			}
		}
	}
}

// What is ignored is named on standard error, once.
func TestConfigNamesWhatIsIgnored(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(file, []byte(eksctlHeader+"nodeGroups: []\naddons: []\niam: {podIdentityAssociations: []}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	got, err := (&app{out: &out, err: &errs}).readConfig(file)
	if want := "note: " + file + ": ignored, since it has no meaning here: nodeGroups, addons, iam.podIdentityAssociations\n"; err != nil || out.Len() > 0 || errs.String() != want {
		t.Errorf("%q, %q, %v", &out, &errs, err)
	}
	if got.Metadata.Name != "c" || got.Metadata.Region != "eu-west-1" {
		t.Errorf("%+v", got.Metadata)
	}
	errs.Reset()
	if err := os.WriteFile(file, []byte(header+"iam: {podIdentityAssociations: [{namespace: a}], serviceRoleARN: x}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := (&app{err: &errs}).readConfig(file); err != nil || !strings.Contains(errs.String(), ": iam.podIdentityAssociations, iam.serviceRoleARN\n") {
		t.Errorf("%q, %v", &errs, err)
	}
}

const eksctlHeader = "apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata: {name: c, region: eu-west-1}\n"

// The roles of eksctl's list are used as they are, unless it says of what they are
// made.
func TestConfigTakesEksctlsList(t *testing.T) {
	const list = `- metadata:
    creationTimestamp: null
    name: app
    namespace: default
  status:
    roleARN: arn:aws:iam::123456789012:role/eksctl-prod-addon-iamserviceaccount-default-Role1-1ABC
    stackName: eksctl-prod-addon-iamserviceaccount-default-app
  tags: {team: a}
  wellKnownPolicies: {autoScaler: false, imageBuilder: false}
- attachPolicyARNs: ["arn:aws:iam::aws:policy/ReadOnlyAccess"]
  metadata: {name: made, namespace: default}
  status: {roleARN: "arn:aws:iam::123456789012:role/other"}
- metadata: {name: of-its-role-only}
  roleOnly: true
  status: {roleARN: "arn:aws:iam::123456789012:role/other"}
`
	file, unread, err := parseFile([]byte(list))
	if err != nil || len(file.IAMServiceAccounts) != 2 {
		t.Fatalf("%+v, %v", file, err)
	}
	app, made := file.IAMServiceAccounts[0], file.IAMServiceAccounts[1]
	if app.AttachRoleARN != "arn:aws:iam::123456789012:role/eksctl-prod-addon-iamserviceaccount-default-Role1-1ABC" || app.WellKnownPolicies != nil {
		t.Errorf("%+v", app)
	}
	if made.AttachRoleARN != "" || len(made.AttachPolicyARNs) != 1 {
		t.Errorf("%+v", made)
	}
	if got := strings.Join(unread, ", "); got != "[].metadata.creationTimestamp, [].status.stackName, [].tags" {
		t.Errorf("ignored %q", got)
	}
	var out bytes.Buffer // our own list is one too
	if err := printJSON(&out, []listedServiceAccount{listed("default", "app", "arn:aws:iam::123456789012:role/r")}); err != nil {
		t.Fatal(err)
	}
	if file, _, err := parseFile(out.Bytes()); err != nil || len(file.IAMServiceAccounts) != 1 || file.IAMServiceAccounts[0].AttachRoleARN == "" {
		t.Errorf("%+v, %v", file, err)
	}
	if file, _, err := parseFile([]byte("[]")); err != nil || len(file.IAMServiceAccounts) != 0 {
		t.Errorf("%+v, %v", file, err)
	}
	if _, _, err := parseFile([]byte(`[{"metadata": {"name": "a"}, "status": {"roleARN": "arn:aws:iam::123456789012:role/r"}}]`)); err != nil {
		t.Error(err)
	}
}

// Every error names the line and the field, in the words of a file.
func TestConfigErrorsNameLineAndField(t *testing.T) {
	reject := func(body, want string) {
		t.Helper()
		file, unread, err := parseFile([]byte(body))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
			return
		}
		if file.Kind != "" || file.IAMServiceAccounts != nil || unread != nil {
			t.Error("a configuration beside an error")
		}
		for _, goish := range []string{"!!", "main.", "struct", "[]string", "map[", "interface", "unmarshal", "cannot decode", "yaml:", "json:", "uint", "bool"} {
			if strings.Contains(err.Error(), goish) {
				t.Errorf("%v says %q", err, goish)
			}
		}
		if !strings.HasPrefix(err.Error(), "line ") {
			t.Errorf("%v does not begin with the line", err)
		}
	}
	account := header + "iamServiceAccounts:\n- metadata: {name: a}\n  "
	reject(header+"emulator: maybe\n", "line 3: emulator: true or false is wanted, and this is a text")
	reject(header+"emulator: 'true'\n", "line 3: emulator: true or false is wanted")
	reject(header+"emulator: [true]\n", "line 3: emulator: true or false is wanted, and this is a list")
	reject(header+"bucket: {a: b}\n", "line 3: bucket: a text is wanted, and this is a set of fields")
	reject(header+"metadata: dev\n", "line 3: metadata: fields are wanted, and this is a text")
	reject(header+"iamServiceAccounts: {metadata: {name: a}}\n", "line 3: iamServiceAccounts: a list is wanted, and this is a set of fields")
	reject(header+"iamServiceAccounts:\n- a\n", "line 4: iamServiceAccounts[0]: fields are wanted, and this is a text")
	reject(header+"ignoreNamespaces: kube-system\n", "line 3: ignoreNamespaces: a list is wanted, and this is a text")
	reject(account+"attachPolicyARNs: arn:aws:iam::aws:policy/ReadOnlyAccess\n", "line 5: iamServiceAccounts[0].attachPolicyARNs: a list is wanted")
	reject(account+"attachPolicyARNs:\n  - [a]\n", "line 6: iamServiceAccounts[0].attachPolicyARNs[0]: a text is wanted, and this is a list")
	reject(account+"wellKnownPolicies: {certManager: 1}\n", "line 5: iamServiceAccounts[0].wellKnownPolicies.certManager: true or false is wanted, and this is a number")
	reject(account+"wellKnownPolicies: [certManager]\n", "line 5: iamServiceAccounts[0].wellKnownPolicies: fields are wanted, and this is a list")
	reject(account+"tags:\n    a: {b: c}\n", "line 6: iamServiceAccounts[0].tags.a: a text is wanted")
	reject(account+"? [a]\n  : b\n", "line 5: iamServiceAccounts[0]: the name of a field is wanted, and this is a list")
	reject(account+"attachPolicyArn: x\n", "line 5: field attachPolicyArn not found in iamServiceAccounts[0]; did you mean attachPolicyARNs?")
	reject(account+"attachPolicyARNs:\n  - ReadOnly\n", `line 4: role: policy "ReadOnly" is not the ARN`)
	reject(account+"attachPolicyARNs:\n  - ReadOnly\n", "(iamServiceAccounts[0].attachPolicyARNs, line 5)")
	reject(account+"rolePath: jobs\n", "(iamServiceAccounts[0].rolePath, line 5)")
	reject(account+"permissionsBoundary: b\n", "(iamServiceAccounts[0].permissionsBoundary, line 5)")
	reject(account+"tags: {openirsa.dev/x: y}\n", "(iamServiceAccounts[0].tags.openirsa.dev/x, line 5)")
	reject(account+"attachPolicy: {Version: 2012-10-17, Statement: [{Effect: Perhaps}]}\n", "(iamServiceAccounts[0].attachPolicy, line 5)")
	reject(account+"attachPolicy:\n    Version: 2012-10-17\n    Version: 2012-10-17\n", "line 7: iamServiceAccounts[0].attachPolicy.Version: it is on line 6 already")
	reject(header+"bucket: a\nbucket: b\n", "line 4: bucket: it is on line 3 already")
	reject(`{"apiVersion": "openirsa.dev/v1alpha1", "kind": "Cluster",
"bucket": "a", "bucket": "b"}`, "line 2: bucket: it is on line 2 already")
	reject(header+"iam:\n  serviceAccounts:\n  - metadata: {name: B}\n", "(iam.serviceAccounts[0].metadata.name, line 5)")
	reject("", "the file is empty")
	reject("# only words\n---\n", "the file is empty")
	reject("words\n", "line 1: fields are wanted")
	reject("a: [\n", "line ")
	reject(header+"bucket: *b\n", "line 3: alias *b stands for nothing")
	reject(header+"bucket: \"a\x07\"\n", "line 3: control character U+0007")
	reject(header+"bucket: a\xff\n", "line 3: byte 0xff")
	reject("\tapiVersion: x\n", "line 1")
	reject(header+"---\n"+header, "line 4: it holds more than one document")
	reject(header+"---\n"+eksctlHeader, "line 4: it holds more than one document")
	reject("apiVersion: eksctl.io/v1alpha4\nkind: ClusterConfig\n", "eksctl.io/v1alpha4 ClusterConfig, not openirsa.dev/v1alpha1 Cluster, nor eksctl's eksctl.io/v1alpha5 ClusterConfig")
	// What is used of eksctl's files is not guessed at.
	reject(eksctlHeader+"iam:\n  serviceAccounts:\n  - metadata: {name: a, namspace: b}\n", "line 6: field namspace not found in iam.serviceAccounts[0].metadata; did you mean namespace?")
	reject(eksctlHeader+"iam:\n  serviceAccount: []\n", "line 5: field serviceAccount not found in iam; did you mean serviceAccounts?")
	reject(eksctlHeader+"iam:\n  serviceAccounts: {metadata: {name: a}}\n", "line 5: iam.serviceAccounts: a list is wanted")
	reject("- metadata: {name: A}\n", "([0].metadata.name, line 1)")
	reject("- metadata: {name: a}\n  attachPolicyArns: []\n", "line 2: field attachPolicyArns not found in [0]; did you mean attachPolicyARNs?")
	// Aliases that stand for ever more of themselves.
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 9 {
		bomb.WriteString(fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 10)))
	}
	reject(account+"attachPolicy:\n    "+strings.ReplaceAll(bomb.String(), "\n", "\n    ")+"\n", "its aliases make more of it than can be read")
}

// One file may keep manifests too, which are named.
func TestConfigAmongManifests(t *testing.T) {
	file, unread, err := parseFile([]byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n" + eksctlHeader + "iam: {serviceAccounts: [{metadata: {name: a}}]}\n---\napiVersion: v1\nkind: ConfigMap\n"))
	if err != nil || len(file.IAMServiceAccounts) != 1 || strings.Join(unread, ", ") != "v1 Namespace (line 1), v1 ConfigMap (line 10)" {
		t.Errorf("%+v, %q, %v", file, unread, err)
	}
}

// A role that somebody names has the ARN that others wrote down.
func TestNamedRolesAreAtTheRoot(t *testing.T) {
	ch := &chain{}
	ch.state.Cluster = "dev"
	for _, c := range []struct{ name, path, want string }{
		{"", "", "/openirsa/dev/"}, {"reader", "", "/"}, {"reader", "/jobs/", "/jobs/"}, {"", "/jobs/", "/jobs/"},
	} {
		if got := ch.rolePath(&iamServiceAccount{RoleName: c.name, RolePath: c.path}); got != c.want {
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
