package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/kubetest"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/trust"
)

const readOnly = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"

// member is a cluster of an account: a real API server, and a chain whose links
// 1 to 4 are those of an emulator.
type member struct {
	t          testing.TB
	aws        *emulatortest.AWS
	iss        *emulatortest.Issuer
	server     *kubetest.Server
	uid        string
	kubeconfig string
}

func useEmulator(t testing.TB, aws *emulatortest.AWS) {
	for k, v := range map[string]string{
		"AWS_ENDPOINT_URL": aws.URL, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": emulatortest.Region,
		"AWS_EC2_METADATA_DISABLED": "true", "HOME": t.TempDir(),
	} {
		t.Setenv(k, v)
	}
}

func newMember(t testing.TB, aws *emulatortest.AWS, name string) *member {
	t.Helper()
	return newMemberAt(t, aws, name, aws.Issuer(name))
}

func newMemberAt(t testing.TB, aws *emulatortest.AWS, name string, iss *emulatortest.Issuer) *member {
	t.Helper()
	m := &member{t: t, aws: aws, iss: iss, server: kubetest.Start(t)}
	m.kubeconfig = m.server.Kubeconfig()
	ns, err := m.server.Client.CoreV1().Namespaces().Get(t.Context(), metav1.NamespaceSystem, metav1.GetOptions{})
	for i := 0; err != nil; i++ { // made by the API server, a moment after it is ready
		if i == 100 {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		ns, err = m.server.Client.CoreV1().Namespaces().Get(t.Context(), metav1.NamespaceSystem, metav1.GetOptions{})
	}
	m.uid = string(ns.UID)
	tags := []string{}
	for k, v := range owner.Tags(name, m.uid) {
		tags = append(tags, k, v)
	}
	tagProvider(t, aws, m.iss.ARN, tags...)
	_, err = m.server.Client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: cluster.Namespace}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m.record(func(s *record.Record) {
		*s = record.Record{
			Cluster: name, Account: aws.Account(), Partition: "aws", Region: emulatortest.Region, Image: "registry.example/openirsa",
			Location: record.Location{Issuer: m.iss.URL.String(), Provider: m.iss.ARN, Bucket: m.iss.Bucket, BucketOwned: true},
		}
	})
	return m
}

// record changes the record of the installation.
func (m *member) record(change func(*record.Record)) {
	m.t.Helper()
	c, err := cluster.Connect(m.t.Context(), cluster.Options{Kubeconfig: m.kubeconfig})
	if err != nil {
		m.t.Fatal(err)
	}
	s, err := c.State(m.t.Context())
	if err != nil && !errors.Is(err, cluster.ErrNoState) {
		m.t.Fatal(err)
	}
	change(&s)
	steps, err := c.SetState(m.t.Context(), s)
	if err == nil {
		err = plan.Run(m.t.Context(), steps, nil)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// setup runs the program on the cluster and returns its exit status.
func (m *member) setup(args ...string) (status int, stdout, stderr string) {
	m.t.Helper()
	var out, errs bytes.Buffer
	status = call(m.t.Context(), append([]string{"setup"}, append(args, "--kubeconfig", m.kubeconfig)...), os.Getenv, &out, &errs)
	return status, out.String(), errs.String()
}

// mustSetup runs the program, which must succeed.
func (m *member) mustSetup(args ...string) string {
	m.t.Helper()
	status, out, errs := m.setup(args...)
	if status != 0 {
		m.t.Fatalf("setup %s: status %d\n%s%s", strings.Join(args, " "), status, out, errs)
	}
	return out
}

// roleOf is the annotation of a service account.
func (m *member) roleOf(name string) string {
	m.t.Helper()
	sa, err := m.server.Client.CoreV1().ServiceAccounts("default").Get(m.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	return sa.Annotations[irsa.DefaultPrefix.RoleARN()]
}

// Service accounts of two clusters, two of them in one, share a role by the
// command line, and leave it one after the other.
func TestAPIServerSharedRole(t *testing.T) {
	aws := emulatortest.Start(t)
	useEmulator(t, aws)
	east, west := newMember(t, aws, "east"), newMember(t, aws, "west")
	client := iam.NewFromConfig(aws.Config())
	create := func(name string, more ...string) []string {
		return append([]string{"iamserviceaccount", "create", "--name", name, "--role-name", "reader", "--approve"}, more...)
	}
	get := func() (role.Role, bool) {
		t.Helper()
		r, ok, err := role.Get(t.Context(), client, "reader")
		if err != nil {
			t.Fatal(err)
		}
		return r, ok
	}
	assume := func(m *member, name string, want bool) {
		t.Helper()
		if _, err := aws.Assume(m.roleOf(name), m.iss.Token("default", name)); (err == nil) != want {
			t.Errorf("%s assumes %s: %v", name, m.roleOf(name), err)
		}
	}

	east.mustSetup(create("app", "--attach-policy-arn", readOnly)...)
	status, _, errs := west.setup(create("app")...)
	if status != 1 || !strings.Contains(errs, `role reader was made for cluster "east"`) || !strings.Contains(errs, "--share-role") {
		t.Errorf("status %d, %s", status, errs)
	}
	if status, _, errs := west.setup("iamserviceaccount", "create", "--name", "app", "--share-role"); status != 2 || !strings.Contains(errs, "--role-name") {
		t.Errorf("status %d, %s", status, errs)
	}
	west.mustSetup(create("app", "--share-role")...)
	if got := west.roleOf("app"); got != "arn:aws:iam::000000000000:role/reader" {
		t.Errorf("the role of west's service account is %s", got)
	}
	// A second service account of east does not shut out the first.
	east.mustSetup(create("batch")...)
	for _, name := range []string{"app", "batch"} {
		assume(east, name, true)
	}
	assume(west, "app", true)
	for _, again := range [][]string{create("app", "--attach-policy-arn", readOnly), create("batch")} {
		if out := east.mustSetup(again...); !strings.Contains(out, "Everything is unchanged") {
			t.Errorf("again: %s", out)
		}
	}
	if r, _ := get(); len(r.PolicyARNs) != 1 {
		t.Errorf("policies %q", r.PolicyARNs)
	}

	// One subject, a statement, the role.
	if out := east.mustSetup("iamserviceaccount", "delete", "--name", "app"); !strings.Contains(out, "reader") {
		t.Error(out)
	}
	r, _ := get()
	if got := trust.Subjects(r.Trust, east.iss.ARN); fmt.Sprint(got) != "[system:serviceaccount:default:batch]" {
		t.Errorf("subjects of east: %q", got)
	}
	assume(east, "batch", true)
	east.mustSetup("iamserviceaccount", "delete", "--name", "batch")
	r, _ = get()
	if got := trust.Providers(r.Trust); fmt.Sprint(got) != "["+west.iss.ARN+"]" {
		t.Errorf("providers %q", got)
	}
	assume(west, "app", true)
	// The service account is gone, and with it its annotation: the role is found
	// all the same.
	err := west.server.Client.CoreV1().ServiceAccounts("default").Delete(t.Context(), "app", metav1.DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, out, _ := west.setup("status", "-o", "json")
	var s struct{ Roles []string }
	if err := json.Unmarshal([]byte(out), &s); err != nil || fmt.Sprint(s.Roles) != "[arn:aws:iam::000000000000:role/reader]" {
		t.Errorf("status knows the roles %q, %v", s.Roles, err)
	}
	west.mustSetup("iamserviceaccount", "delete", "--name", "app")
	if _, ok := get(); ok {
		t.Error("nobody uses the role, and it is there")
	}
}

// Two clusters of one name, each with an issuer of its own, leave each other's
// roles alone, until one of them takes over what the other has left.
func TestAPIServerNamesakes(t *testing.T) {
	aws := emulatortest.Start(t)
	useEmulator(t, aws)
	first, second := newMemberAt(t, aws, "kind", aws.Issuer("first")), newMemberAt(t, aws, "kind", aws.Issuer("second"))
	client := iam.NewFromConfig(aws.Config())
	name := role.NameFor("kind", "default", "app")
	create := []string{"iamserviceaccount", "create", "--name", "app", "--attach-policy-arn", readOnly, "--approve"}
	get := func(name string) (role.Role, bool) {
		t.Helper()
		r, ok, err := role.Get(t.Context(), client, name)
		if err != nil {
			t.Fatal(err)
		}
		return r, ok
	}
	roles := func(m *member) string {
		t.Helper()
		_, out, _ := m.setup("status", "-o", "json")
		var s struct{ Roles []string }
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			t.Fatal(err)
		}
		for i, arn := range s.Roles {
			s.Roles[i] = arn[strings.LastIndexByte(arn, '/')+1:]
		}
		return strings.Join(s.Roles, " ")
	}

	first.mustSetup(create...)
	before, _ := get(name)
	status, _, errs := second.setup(create...)
	for _, want := range []string{`another cluster called "kind"`, "uid " + first.uid, "this one is " + second.uid, "--role-name", "up --take-over"} {
		if status != 1 || !strings.Contains(errs, want) {
			t.Errorf("status %d, %s lacks %q", status, errs, want)
		}
	}
	second.mustSetup(append(create, "--role-name", "mine")...)
	if got := roles(second); got != "mine" {
		t.Errorf("the second cluster's roles are %q", got)
	}
	second.mustSetup("iamserviceaccount", "delete", "--name", "app")
	if _, ok := get("mine"); ok {
		t.Error("the second cluster's role is still there")
	}
	if status, out, errs := second.setup("down", "--immediately"); status != 0 || strings.Contains(out, name) {
		t.Errorf("status %d, %s%s", status, out, errs)
	}
	if now, ok := get(name); !ok || !reflect.DeepEqual(now, before) {
		t.Errorf("the first cluster's role became %+v", now)
	}
	if got := roles(first); got != name {
		t.Errorf("the first cluster's roles are %q", got)
	}
	if _, err := aws.Assume(first.roleOf("app"), first.iss.Token("default", "app")); err != nil {
		t.Error(err)
	}

	first.mustSetup("down", "--immediately")
	if _, ok := get(name); ok {
		t.Error("the role is still there")
	}
}

// API servers that accept the issuer hold up the removal of its documents, but
// not that of a chain whose documents somebody else serves.
func TestAPIServerStillAccepts(t *testing.T) {
	aws := emulatortest.Start(t)
	useEmulator(t, aws)
	m := newMember(t, aws, "dev")
	m.record(func(s *record.Record) { s.Issuer = kubetest.Issuer })
	const accepts, undo = "still accepts tokens of " + kubetest.Issuer, "setup apiserver --undo"
	status, out, errs := m.setup("down")
	if status != 1 || !strings.Contains(errs, accepts) || !strings.Contains(errs, undo) || strings.Contains(out, "documents") {
		t.Errorf("with our bucket: status %d\n%s%s", status, out, errs)
	}
	m.record(func(s *record.Record) { s.Bucket = "" })
	if status, out, errs := m.setup("down"); status != 0 || !strings.Contains(errs, accepts) || !strings.Contains(errs, undo) {
		t.Errorf("without a bucket: status %d\n%s%s", status, out, errs)
	}
}

// A role whose path and trust policy tell of no cluster is found all the same.
func TestAPIServerMisspeltTrust(t *testing.T) {
	aws := emulatortest.Start(t)
	useEmulator(t, aws)
	m, other := newMember(t, aws, "dev"), aws.Issuer("other")
	client := iam.NewFromConfig(aws.Config())
	lost := func() {
		t.Helper()
		m.mustSetup("iamserviceaccount", "create", "--name", "app", "--role-name", "reader", "--role-path", "/team/", "--attach-policy-arn", readOnly, "--approve")
		_, err := client.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: new("reader"), PolicyDocument: new(other.Trust("default", "app"))})
		if err != nil {
			t.Fatal(err)
		}
	}
	gone := func(by ...string) {
		t.Helper()
		out := m.mustSetup(by...)
		if _, ok, err := role.Get(t.Context(), client, "reader"); ok || err != nil {
			t.Errorf("after %s it is still there: %v\n%s", by, err, out)
		}
	}
	lost()
	if out := m.mustSetup("iamserviceaccount", "delete", "--name", "batch"); strings.Contains(out, "deleted") {
		t.Errorf("the role of another service account: %s", out)
	}
	_, out, _ := m.setup("status", "-o", "json")
	var s struct{ Roles []string }
	if err := json.Unmarshal([]byte(out), &s); err != nil || fmt.Sprint(s.Roles) != "[arn:aws:iam::000000000000:role/team/reader]" {
		t.Errorf("status knows the roles %q, %v", s.Roles, err)
	}
	gone("iamserviceaccount", "delete", "--name", "app")
	lost()
	gone("down", "--immediately")
}

// With --prune the file is the truth; without it others stay.
func TestAPIServerPrune(t *testing.T) {
	aws := emulatortest.Start(t)
	useEmulator(t, aws)
	m := newMember(t, aws, "dev")
	a := &app{Invocation: called("setup"), out: io.Discard, err: io.Discard, kubeconfig: m.kubeconfig}
	ch, err := a.connectInstalled(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	make := func(prune bool, names ...string) *report {
		t.Helper()
		accounts := accountsOf("reader", names...)
		r := a.newReport("dev", false)
		out, err := ch.Grant(t.Context(), chain.GrantOptions{Accounts: accounts, Prune: prune}, r)
		if err == nil {
			err = r.finishRun(out)
		}
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	check := func(want ...string) {
		t.Helper()
		there, _, err := role.Get(t.Context(), ch.Account.IAM, "reader")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range trust.Subjects(there.Trust, m.iss.ARN) {
			names = append(names, s[strings.LastIndexByte(s, ':')+1:])
		}
		if fmt.Sprint(names) != fmt.Sprint(want) {
			t.Errorf("the role lets in %q, want %q", names, want)
		}
	}
	make(false, "a", "b")
	check("a", "b")
	make(false, "c")
	check("a", "b", "c")
	make(true, "b")
	check("b")
	if r := make(true, "b"); r.changed() || r.Writes > 0 {
		t.Errorf("a second time, %d writes: %+v", r.Writes, r.Links)
	}
	make(true)
	if _, ok, err := role.Get(t.Context(), ch.Account.IAM, "reader"); ok || err != nil {
		t.Errorf("it is still there: %v", err)
	}
}

// A role that a listed service account uses as it is stays, in whatever case it
// is spelled; the one that was made for it before goes.
func TestAPIServerPruneKeepsAttachedRole(t *testing.T) {
	aws := emulatortest.Start(t)
	useEmulator(t, aws)
	m := newMember(t, aws, "dev")
	for _, name := range []string{"jobs", "legacy", "gone"} {
		m.mustSetup("iamserviceaccount", "create", "--name", name, "--role-name", name, "--role-only", "--approve")
	}
	m.mustSetup("iamserviceaccount", "create", "--name", "app", "--approve")
	a := &app{Invocation: called("setup"), out: io.Discard, err: io.Discard, kubeconfig: m.kubeconfig}
	ch, err := a.connectInstalled(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	accounts := accountsOf("", "app", "legacy")
	for i, role := range []string{"jobs", "Legacy"} {
		accounts[i].AttachPolicyARNs, accounts[i].AttachRoleARN = nil, "arn:aws:iam::000000000000:role/openirsa/dev/"+role
	}
	r := a.newReport("dev", false)
	_, err = ch.Grant(t.Context(), chain.GrantOptions{Accounts: accounts, Override: true, Prune: true}, r)
	if err != nil {
		t.Fatal(err)
	}
	names, err := role.NamesOf(t.Context(), ch.Account.IAM, "dev")
	if err != nil || fmt.Sprint(names) != "[jobs legacy]" {
		t.Errorf("roles %q, %v", names, err)
	}
}

// accountsOf are service accounts of the namespace default; with a role name
// they share it.
func accountsOf(roleName string, names ...string) []config.ServiceAccount {
	accounts := make([]config.ServiceAccount, len(names))
	for i, name := range names {
		accounts[i].Metadata.Namespace, accounts[i].Metadata.Name = "default", name
		accounts[i].AttachPolicyARNs, accounts[i].RoleName = []string{readOnly}, roleName
	}
	return accounts
}

func tagProvider(t testing.TB, aws *emulatortest.AWS, arn string, pairs ...string) {
	t.Helper()
	in := &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn}
	for i := 0; i < len(pairs); i += 2 {
		in.Tags = append(in.Tags, types.Tag{Key: &pairs[i], Value: &pairs[i+1]})
	}
	if _, err := iam.NewFromConfig(aws.Config()).TagOpenIDConnectProvider(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkServiceAccounts makes roles and service accounts in a fresh cluster,
// where every call to AWS takes 20 ms, and then makes them again. What is
// measured is links 5 and 6 as `up --config` and `iamserviceaccount create
// --config-file` make them, from the check of our rights on, against a real
// kube-apiserver.
func BenchmarkServiceAccounts(b *testing.B) {
	for _, n := range []int{1, 50, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			aws := emulatortest.Start(b, emulator.Config{Log: slog.New(slog.DiscardHandler)})
			useEmulator(b, aws)
			m := newMember(b, aws, "bench")
			accounts := accountsOf("", numbered(n)...)
			aws.Inject(emulator.Fault{Latency: 20 * time.Millisecond})
			var first, second run
			for b.Loop() {
				first.add(m.makeAll(accounts))
				again := m.makeAll(accounts)
				second.add(again)
				if again.writes != 0 {
					b.Errorf("the second run writes %d times", again.writes)
				}
				b.StopTimer()
				m.unmake(accounts)
				b.StartTimer()
			}
			first.metrics(b, "first")
			second.metrics(b, "second")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// run is what making service accounts took.
type run struct {
	times, calls, writes int
	seconds              float64
}

func (r *run) add(one run) {
	r.times++
	r.calls, r.writes, r.seconds = r.calls+one.calls, r.writes+one.writes, r.seconds+one.seconds
}

func (r *run) metrics(b *testing.B, name string) {
	b.ReportMetric(r.seconds*1000/float64(r.times), name+"-ms")
	b.ReportMetric(float64(r.calls)/float64(r.times), name+"-calls")
	b.ReportMetric(float64(r.writes)/float64(r.times), name+"-writes")
}

func numbered(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("app%03d", i))
	}
	return names
}

func (m *member) makeAll(accounts []config.ServiceAccount) run {
	m.t.Helper()
	a := &app{Invocation: called("setup"), out: io.Discard, err: io.Discard, kubeconfig: m.kubeconfig}
	ch, err := a.connectInstalled(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	start := time.Now()
	out, err := ch.Grant(m.t.Context(), chain.GrantOptions{Accounts: accounts}, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	return run{times: 1, calls: out.Calls, writes: out.Writes, seconds: time.Since(start).Seconds()}
}

// unmake removes what makeAll made.
func (m *member) unmake(accounts []config.ServiceAccount) {
	m.t.Helper()
	m.aws.ClearFaults()
	a := &app{Invocation: called("setup"), out: io.Discard, err: io.Discard, kubeconfig: m.kubeconfig}
	ch, err := a.connectInstalled(m.t.Context())
	if err == nil {
		_, err = ch.Grant(m.t.Context(), chain.GrantOptions{Prune: true}, nil)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.aws.Inject(emulator.Fault{Latency: 20 * time.Millisecond})
}

// A hundred service accounts are made although AWS throttles one call in ten,
// and each one's progress is counted.
func TestAPIServerThrottled(t *testing.T) {
	aws := emulatortest.Start(t)
	useEmulator(t, aws)
	m := newMember(t, aws, "dev")
	for i := range 40 {
		aws.Inject(emulator.Fault{Action: "iam:*", Skip: 10 * i, Times: 1, Code: "Throttling", Message: "Rate exceeded"})
	}
	file := filepath.Join(t.TempDir(), "cluster.yaml")
	var body strings.Builder
	body.WriteString("apiVersion: openirsa.dev/v1alpha1\nkind: Cluster\niamServiceAccounts:\n")
	for _, name := range numbered(100) {
		body.WriteString("- metadata: {name: " + name + "}\n  attachPolicyARNs: [" + readOnly + "]\n")
	}
	if err := os.WriteFile(file, []byte(body.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal([]byte(m.mustSetup("iamserviceaccount", "create", "--config-file", file, "--approve", "-o", "json")), &r); err != nil {
		t.Fatal(err)
	}
	throttled := 0
	for _, e := range aws.Events(emulator.EventFilter{Decision: emulator.Deny}) {
		if e.Code == "Throttling" {
			throttled++
		}
	}
	if throttled < 10 {
		t.Errorf("only %d calls were throttled", throttled)
	}
	created := map[string]int{}
	for _, l := range r.Links {
		created[l.Link+" "+l.Result]++
	}
	if created["role created"] != 100 || created["service account created"] != 100 {
		t.Errorf("%v", created)
	}
	aws.ClearFaults()
	if out := m.mustSetup("iamserviceaccount", "create", "--config-file", file, "--approve"); !strings.Contains(out, "unchanged  100 roles") || !strings.Contains(out, "Everything is unchanged") {
		t.Error(out)
	}
	list, err := m.server.Client.CoreV1().ServiceAccounts("default").List(context.Background(), metav1.ListOptions{LabelSelector: cluster.ServiceAccountLabel})
	if err != nil || len(list.Items) != 100 {
		t.Errorf("%d service accounts, %v", len(list.Items), err)
	}
}
