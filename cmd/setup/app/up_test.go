package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/kubetest"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/role"
)

// newcomer is a cluster without a chain, whose API server has the issuer that
// `up` will publish, and an empty account.
type newcomer struct {
	*testing.T
	aws    *emulatortest.AWS
	server *kubetest.Server
	dir    string
}

func newNewcomer(t *testing.T) *newcomer {
	t.Helper()
	aws := emulatortest.Start(t)
	useEmulator(t, aws)
	return newcomerWith(t, aws, "https://openirsa-dev-"+aws.Account()+".s3."+emulatortest.Region+".amazonaws.com")
}

// newcomerWith is one whose API server has an issuer already.
func newcomerWith(t *testing.T, aws *emulatortest.AWS, issuer string) *newcomer {
	t.Helper()
	n := &newcomer{T: t, aws: aws, dir: t.TempDir()}
	n.server = kubetest.Start(t, "--service-account-issuer", issuer)
	for i := 0; ; i++ { // made by the API server, a moment after it is ready
		_, err := n.server.Client.CoreV1().Namespaces().Get(t.Context(), metav1.NamespaceSystem, metav1.GetOptions{})
		if err == nil {
			return n
		}
		if i == 100 {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// upTo runs it with service accounts in a configuration file, and writes its
// output.
func (n *newcomer) upTo(out, errs io.Writer, accounts string, more ...string) (status int) {
	n.Helper()
	file := filepath.Join(n.dir, "cluster.yaml")
	if err := os.WriteFile(file, []byte("apiVersion: openirsa.dev/v1alpha1\nkind: Cluster\niamServiceAccounts:\n"+accounts), 0o600); err != nil {
		n.Fatal(err)
	}
	args := []string{"setup", "up", "--kubeconfig", n.server.Kubeconfig(), "--name", "dev", "--image", "registry.test/openirsa:1", "--wait", "20s", "--config", file}
	return call(n.Context(), append(args, more...), os.Getenv, out, errs)
}

func (n *newcomer) up(accounts string, more ...string) (status int, stdout, stderr string) {
	n.Helper()
	var out, errs bytes.Buffer
	status = n.upTo(&out, &errs, accounts, more...)
	return status, out.String(), errs.String()
}

// report is that of a run which must succeed.
func (n *newcomer) report(accounts string, more ...string) report {
	n.Helper()
	status, out, errs := n.up(accounts, append(more, "-o", "json")...)
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil || status != 0 {
		n.Fatalf("status %d, %v\n%s%s", status, err, out, errs)
	}
	return r
}

// untouched checks that nothing has been made.
func (n *newcomer) untouched(t *testing.T) {
	t.Helper()
	buckets, err := n.aws.S3(n.aws.Config()).ListBuckets(t.Context(), &s3.ListBucketsInput{})
	if err != nil || len(buckets.Buckets) != 0 {
		t.Errorf("%d buckets, %v", len(buckets.Buckets), err)
	}
	providers, err := iam.NewFromConfig(n.aws.Config()).ListOpenIDConnectProviders(t.Context(), &iam.ListOpenIDConnectProvidersInput{})
	if err != nil || len(providers.OpenIDConnectProviderList) != 0 {
		t.Errorf("%d providers, %v", len(providers.OpenIDConnectProviderList), err)
	}
	_, err = n.server.Client.CoreV1().Namespaces().Get(t.Context(), cluster.Namespace, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("namespace %s: %v", cluster.Namespace, err)
	}
}

// controllers do what kube-controller-manager and the webhook's pods would:
// Deployments are available, and the webhook's configuration has a certificate.
func (n *newcomer) controllers() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			deployments, _ := n.server.Client.AppsV1().Deployments(cluster.Namespace).List(ctx, metav1.ListOptions{})
			for _, d := range deployments.Items {
				all := *d.Spec.Replicas
				d.Status.ObservedGeneration, d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.ReadyReplicas, d.Status.AvailableReplicas = d.Generation, all, all, all, all
				n.server.Client.AppsV1().Deployments(cluster.Namespace).UpdateStatus(ctx, &d, metav1.UpdateOptions{})
			}
			configurations, _ := n.server.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
			for _, c := range configurations.Items {
				for i := range c.Webhooks {
					c.Webhooks[i].ClientConfig.CABundle = []byte("a certificate")
				}
				n.server.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Update(ctx, &c, metav1.UpdateOptions{})
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	n.Cleanup(func() { stop(); running.Wait() })
}

// What is wrong with a service account or its role is found before anything is
// made.
func TestAPIServerUpRefusesFirst(t *testing.T) {
	n := newNewcomer(t)
	const other = "arn:aws:iam::000000000000:role/other"
	n.aws.Role("theirs", emulatortest.Document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}))
	_, err := n.server.Client.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Name: "taken", Annotations: map[string]string{irsa.DefaultPrefix.RoleARN(): other}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var many, tooMany strings.Builder
	for i, name := range numbered(120) {
		if i < 60 {
			fmt.Fprintf(&many, "- {metadata: {name: %s}, roleName: reader}\n", name)
		}
		fmt.Fprintf(&tooMany, "- {metadata: {name: %s}, roleName: reader}\n", name)
	}
	for _, c := range []struct {
		name, accounts string
		aws            bool // is only seen there
		status         int
		words          []string
	}{
		{"size", many.String(), false, 1, []string{"the trust policy has", "2048"}},
		{"size of any quota", tooMany.String(), false, 1, []string{"the trust policy has", "4096"}},
		{"foreign role", "- {metadata: {name: app}, roleName: theirs}\n", true, 1, []string{"was not made for cluster", "--attach-role-arn"}},
		{"no policy", "- {metadata: {name: app}, attachPolicyARNs: [\"arn:aws:iam::aws:policy/NoSuchPolicy\"]}\n", true, 1, []string{"NoSuchPolicy", "list-policies"}},
		{"partition", "- {metadata: {name: app}, attachPolicyARNs: [\"arn:aws-cn:iam::aws:policy/ReadOnlyAccess\"]}\n", false, 1, []string{"not of partition aws"}},
		{"pattern", "- {metadata: {name: app}, subjectPattern: \"*\"}\n", false, 2, []string{"pattern"}},
		{"conflict", "- {metadata: {name: taken}}\n", false, 1, []string{other, "--override-existing-serviceaccounts"}},
		{"difference", "- {metadata: {name: a}, roleName: r}\n- {metadata: {name: b}, roleName: r, rolePath: /b/}\n", false, 2, []string{"ask for different rolePath"}},
	} {
		refused := func(t *testing.T, more ...string) {
			status, out, errs := n.up(c.accounts, append(more, "--wait", "1s")...)
			if status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			for _, w := range c.words {
				if !strings.Contains(errs, w) {
					t.Errorf("the error does not say %q:\n%s%s", w, out, errs)
				}
			}
			n.untouched(t)
		}
		t.Run(c.name, func(t *testing.T) { refused(t) })
		if !c.aws {
			t.Run(c.name+", emulator", func(t *testing.T) { refused(t, "--emulator") })
		}
	}
}

// A run does what a dry run has said, and a second one reads each role once.
func TestAPIServerUpWithServiceAccounts(t *testing.T) {
	n := newNewcomer(t)
	n.controllers()
	const accounts = "- {metadata: {name: app, namespace: shop}, attachPolicyARNs: [\"" + readOnly + "\"]}\n"
	steps := func(r report) (s []stepReport) {
		for _, l := range r.Links {
			s = append(s, l.Steps...)
		}
		return s
	}
	dry := n.report(accounts, "--dry-run")
	n.untouched(t)
	first := n.report(accounts)
	if diff := cmp.Diff(steps(dry), steps(first)); diff != "" {
		t.Errorf("the dry run has said something else (-dry run +run):\n%s", diff)
	}
	r, ok, err := role.Get(t.Context(), iam.NewFromConfig(n.aws.Config()), role.NameFor("dev", "shop", "app"))
	if !ok || err != nil {
		t.Fatalf("the role: %v, %v", ok, err)
	}
	sa, err := n.server.Client.CoreV1().ServiceAccounts("shop").Get(t.Context(), "app", metav1.GetOptions{})
	if err != nil || sa.Annotations[irsa.DefaultPrefix.RoleARN()] != r.ARN {
		t.Errorf("the service account: %v, %v", sa.Annotations, err)
	}
	second, without := n.report(accounts), n.report("")
	if second.changed() || second.Writes != 0 || second.Calls != without.Calls+3 {
		t.Errorf("the second run makes %d calls, %d of them writes, and %d without a service account: %+v", second.Calls, second.Writes, without.Calls, second.Links)
	}
}

// What another run does while the API servers restart is not undone.
func TestAPIServerUpBesideAnother(t *testing.T) {
	n := newNewcomer(t)
	n.controllers()
	const a, b = "- {metadata: {name: a}, roleName: reader}\n", "- {metadata: {name: b}, roleName: reader}\n"
	n.report(a)
	var errs bytes.Buffer
	other := onLine{plan.APIServer, func() {
		var out bytes.Buffer
		if call(t.Context(), []string{"setup", "iamserviceaccount", "create", "--kubeconfig", n.server.Kubeconfig(), "--name", "c", "--role-name", "reader", "--approve"}, os.Getenv, &out, &out) != 0 {
			t.Error(out.String())
		}
	}}
	if status := n.upTo(other, &errs, a+b); status != 0 {
		t.Fatalf("status %d: %s", status, errs.String())
	}
	r, _, err := role.Get(t.Context(), iam.NewFromConfig(n.aws.Config()), "reader")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if !strings.Contains(string(r.Trust), ":default:"+name+`"`) {
			t.Errorf("the role does not let in %s: %s", name, r.Trust)
		}
	}
}

// onLine is a writer that calls do after a line that begins so.
type onLine struct {
	begin string
	do    func()
}

func (w onLine) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte(w.begin)) {
		w.do()
	}
	return len(p), nil
}

// What a former cluster of the name has left is taken over, with the roles of
// the service accounts in the file, if one says so.
func TestAPIServerUpTakesOver(t *testing.T) {
	n := newNewcomer(t)
	n.controllers()
	accounts := "- {metadata: {name: app}, attachPolicyARNs: [" + readOnly + "]}\n"
	n.report(accounts)
	client := iam.NewFromConfig(n.aws.Config())
	name := role.NameFor("dev", "default", "app")
	there, _, err := role.Get(t.Context(), client, name)
	if err != nil {
		t.Fatal(err)
	}
	uid := there.Tags[owner.UIDTag]
	arn := "arn:aws:iam::" + n.aws.Account() + ":oidc-provider/openirsa-dev-" + n.aws.Account() + ".s3." + emulatortest.Region + ".amazonaws.com"
	gone := []types.Tag{{Key: new(owner.UIDTag), Value: new("gone")}}
	if _, err := client.TagRole(t.Context(), &iam.TagRoleInput{RoleName: &name, Tags: gone}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.TagOpenIDConnectProvider(t.Context(), &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, Tags: gone}); err != nil {
		t.Fatal(err)
	}
	uids := func() [2]string {
		t.Helper()
		r, _, err := role.Get(t.Context(), client, name)
		if err != nil {
			t.Fatal(err)
		}
		p, _, err := provider.Get(t.Context(), client, arn)
		if err != nil {
			t.Fatal(err)
		}
		return [2]string{r.Tags[owner.UIDTag], p.Tags[owner.UIDTag]}
	}
	if status, _, errs := n.up(accounts); status != 1 || !strings.Contains(errs, "--take-over") {
		t.Errorf("status %d, %s", status, errs)
	}
	n.report(accounts, "--take-over", "--dry-run")
	if got := uids(); got != [2]string{"gone", "gone"} {
		t.Errorf("refused and planned, the uids are %q", got)
	}
	n.report(accounts, "--take-over")
	if got := uids(); got != [2]string{uid, uid} {
		t.Errorf("taken over, the uids are %q, want %q", got, uid)
	}
	if status, out, errs := n.up(accounts); status != 0 || !strings.Contains(out, "Everything is unchanged") {
		t.Errorf("status %d, %s%s", status, out, errs)
	}
}

// The API servers of a cluster whose nodes cannot be reached keep their issuer
// when AWS is an emulator in the cluster, unless they are to have another one.
func TestAPIServerKeepIssuer(t *testing.T) {
	server := kubetest.Start(t)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	up := func(more ...string) (status int, stdout, stderr string) {
		var out, errs bytes.Buffer
		args := []string{"setup", "up", "--kubeconfig", server.Kubeconfig(), "--name", "dev", "--image", "registry.test/openirsa:1", "--dry-run"}
		status = call(t.Context(), append(args, more...), os.Getenv, &out, &errs)
		return status, out.String(), errs.String()
	}
	const keeps, clusterIssuer = "keeps --service-account-issuer=" + kubetest.Issuer, "oidc-provider/oidc.example.com/test"
	for _, c := range []struct {
		flags  []string
		status int
		out    []string // in either output
		not    string
	}{
		{[]string{"--emulator"}, 0, []string{keeps, clusterIssuer}, "bucket"},
		{[]string{"--emulator", "--keep-issuer"}, 0, []string{keeps, clusterIssuer}, "bucket"},
		{[]string{"--emulator", "--keep-issuer=false"}, 1, []string{"already has the public issuer"}, keeps},
		{[]string{"--emulator", "--bucket", "mine"}, 1, []string{"already has the public issuer"}, keeps},
		{[]string{"--keep-issuer"}, 2, []string{"--keep-issuer: keeping the issuer needs the emulator"}, keeps},
		{[]string{"--emulator", "--keep-issuer", "--bucket", "mine"}, 2, []string{"--keep-issuer: keeping the issuer excludes another bucket"}, keeps},
		{[]string{"--emulator", "--keep-issuer", "--issuer-url", "https://a.example"}, 2, []string{"excludes"}, keeps},
	} {
		status, out, errs := up(c.flags...)
		for _, want := range c.out {
			if status != c.status || !strings.Contains(out+errs, want) || strings.Contains(out, c.not) {
				t.Errorf("%q: status %d, without %q or with %q:\n%s%s", c.flags, status, want, c.not, out, errs)
			}
		}
	}
}

// What would give API servers that keep their issuer another one, or take away that
// one, is refused.
func TestAPIServerKept(t *testing.T) {
	aws := emulatortest.Start(t)
	useEmulator(t, aws)
	m := newMember(t, aws, "dev")
	m.record(func(s *record.Record) { s.KeepIssuer, s.Bucket, s.BucketOwned = true, "", false })
	for _, command := range [][]string{{"issuer", "migrate", "--to", "elsewhere"}, {"apiserver", "print", "kubeadm"}} {
		if status, out, errs := m.setup(command...); status != 1 || !strings.Contains(errs, "keep their issuer") {
			t.Errorf("%q: status %d\n%s%s", command, status, out, errs)
		}
	}
	if status, out, errs := m.setup("down"); status != 0 || strings.Contains(out, plan.APIServer) {
		t.Errorf("down: status %d\n%s%s", status, out, errs)
	}
}

// Not every issuer can be kept: IAM takes https URLs alone.
func TestAPIServerKeepIssuerRefused(t *testing.T) {
	server := kubetest.Start(t, "--service-account-issuer", "kubernetes/serviceaccount")
	var out, errs bytes.Buffer
	args := []string{"setup", "up", "--kubeconfig", server.Kubeconfig(), "--name", "dev", "--image", "registry.test/openirsa:1", "--emulator"}
	status := call(t.Context(), args, os.Getenv, &out, &errs)
	if status != 1 || !strings.Contains(errs.String(), "https") || !strings.Contains(errs.String(), "--keep-issuer=false") {
		t.Errorf("status %d, %s", status, errs.String())
	}
	_, err := server.Client.CoreV1().Namespaces().Get(t.Context(), cluster.Namespace, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("something was made: %v", err)
	}
}

// changed reports whether a report says that anything was changed.
func (r *report) changed() bool {
	return slices.ContainsFunc(r.Links, func(l linkReport) bool { return l.Result != plan.Unchanged && l.Result != plan.Skipped })
}
