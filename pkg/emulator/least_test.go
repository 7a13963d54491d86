package emulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/federation"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/policy"
	"github.com/openirsa/openirsa/pkg/policy/least"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/role"
)

const everything = `{"Version":"2012-10-17","Statement":[{"Sid":"All","Effect":"Allow","Action":"*","Resource":"*"}]}`

// operator is somebody in an account whose permissions are the policy of a role.
type operator struct {
	*emulatortest.AWS
	roleARN string
	config  aws.Config // of a session of the role
}

// newOperator makes an account with an operator who has a policy; "" is none.
func newOperator(t *testing.T, config emulator.Config, document string) *operator {
	t.Helper()
	a := emulatortest.Start(t, config)
	iss := a.Issuer("ops")
	o := &operator{AWS: a, roleARN: a.Role("operator", iss.Trust("ci", "operator"))}
	if document != "" {
		o.permit(t, document)
	}
	o.config = a.Session(o.roleARN, iss.Token("ci", "operator"))
	return o
}

// permit makes a document the one policy of the operator.
func (o *operator) permit(t *testing.T, document string) {
	t.Helper()
	_, err := iam.NewFromConfig(o.Config()).PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{
		RoleName: new("operator"), PolicyName: new("only"), PolicyDocument: &document,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// chain makes the AWS side of a chain as `setup up` does, makes it once more, which
// changes nothing, and removes it as `setup down` does.
func (o *operator) chain(ctx context.Context, set keys.Set) error {
	anonymous := o.config
	anonymous.Credentials = aws.AnonymousCredentials{}
	acct := &account.Account{
		ID: o.Account(), Partition: "aws", Region: emulatortest.Region,
		IAM: iam.NewFromConfig(o.config), S3: o.S3(o.config), Anonymous: o.S3(anonymous),
	}
	f, err := federation.InS3(ctx, acct, "openirsa-dev")
	if err != nil {
		return err
	}
	f.Mark(owner.Tags("dev", "0f8fad5b-d9cb-469f-a165-70867728950e"))
	docs, err := discovery.Documents(f.Issuer, set)
	if err != nil {
		return err
	}
	app, err := f.Role("dev", "default", "app", "arn:aws:iam::aws:policy/IAMReadOnlyAccess", emulatortest.Document(
		map[string]any{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/*"}))
	if err != nil {
		return err
	}
	for range 2 {
		if err := f.Publish(ctx, nil, docs, 0); err != nil {
			return err
		}
		if err := f.Trust(ctx, nil); err != nil {
			return err
		}
		if err := f.Grant(ctx, nil, app); err != nil {
			return err
		}
	}
	for _, decide := range []func() ([]plan.Step, error){
		func() ([]plan.Step, error) { return role.Delete(ctx, acct.IAM, app.Name, f.Tags, f.Provider().ARN) },
		func() ([]plan.Step, error) { return provider.Delete(ctx, acct.IAM, f.Provider().ARN, f.Tags) },
		func() ([]plan.Step, error) { return f.Documents.Delete(ctx, []string{docs[0].Path, docs[1].Path}) },
	} {
		steps, err := decide()
		if err == nil {
			err = plan.Run(ctx, steps, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func suggestion(t *testing.T, a *emulatortest.AWS, q emulator.PolicyQuery) (*emulator.LeastPolicy, string) {
	t.Helper()
	q.Inline = true
	s, err := a.LeastPolicy(q)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Policies) != 1 {
		t.Fatalf("%d policies", len(s.Policies))
	}
	return s, string(s.Policies[0].Document)
}

// What setup itself needs of AWS, seen under a role that may do everything, is enough
// for it, and no action on any resource in it can be left out.
func TestLeastPolicyOfTheChain(t *testing.T) {
	t.Parallel()
	key, err := keys.Generate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	set, err := keys.NewSet(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	admin := newOperator(t, emulator.Config{}, everything)
	if err := admin.chain(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	s, document := suggestion(t, admin.AWS, emulator.PolicyQuery{Subject: "ci/operator"})
	if strings.Contains(document, `"*"`) && !strings.Contains(document, "iam:GetAccountSummary") {
		t.Errorf("a resource is everything:\n%s", document)
	}
	if err := newOperator(t, emulator.Config{}, document).chain(t.Context(), set); err != nil {
		t.Fatalf("it is not enough: %v\n%s", err, document)
	}
	if d := s.Difference; len(d.OnlyByWildcard) == 0 || len(d.NeverUsed) == 0 || len(d.Lost) > 0 {
		t.Errorf("against a policy that allows everything: %+v", d)
	}

	// The same is found with a role that may do nothing, if that is not enforced.
	lax := newOperator(t, emulator.Config{Enforce: emulator.EnforceLog}, "")
	if err := lax.chain(t.Context(), set); err != nil {
		t.Fatalf("denials are enforced: %v", err)
	}
	found, same := suggestion(t, lax.AWS, emulator.PolicyQuery{Role: "operator"})
	if same != document || len(found.WouldDeny) == 0 {
		t.Errorf("without permissions, found\n%s\nand with all of them\n%s", same, document)
	}

	if testing.Short() {
		return
	}
	pairs, statements := 0, statementsOf(t, document)
	for i, st := range statements {
		for _, action := range texts(st["Action"]) {
			for _, resource := range texts(st["Resource"]) {
				pairs++
				o := newOperator(t, emulator.Config{}, everythingBut(statements, i, action, resource))
				if err := o.chain(t.Context(), set); err == nil {
					t.Errorf("without %s on %s it works too", action, resource)
				} else if denied := o.LastDenial(); denied.Step != "permission" {
					t.Errorf("without %s on %s it fails for another reason: %v", action, resource, err)
				}
			}
		}
	}
	if pairs < 20 {
		t.Errorf("only %d actions on resources were seen:\n%s", pairs, document)
	}
}

// statementsOf are the statements of a document.
func statementsOf(t *testing.T, document string) []map[string]any {
	t.Helper()
	var whole struct{ Statement []map[string]any }
	if err := json.Unmarshal([]byte(document), &whole); err != nil {
		t.Fatal(err)
	}
	return whole.Statement
}

// wideningOf finds a widening by the end of its pattern.
func wideningOf(end string) func(least.Widening) bool {
	return func(w least.Widening) bool { return strings.HasSuffix(w.Pattern, end) }
}

func texts(v any) []string {
	var all []string
	switch v := v.(type) {
	case string:
		all = append(all, v)
	case []any:
		for _, text := range v {
			all = append(all, text.(string))
		}
	}
	return all
}

// everythingBut is a document without an action of one statement on one of its
// resources.
func everythingBut(statements []map[string]any, at int, action, resource string) string {
	var left []map[string]any
	put := func(actions, resources []string) {
		if len(actions) > 0 && len(resources) > 0 {
			left = append(left, map[string]any{"Effect": "Allow", "Action": actions, "Resource": resources})
		}
	}
	for i, st := range statements {
		actions, resources := texts(st["Action"]), texts(st["Resource"])
		if i == at {
			put([]string{action}, slices.DeleteFunc(slices.Clone(resources), func(r string) bool { return r == resource }))
			actions = slices.DeleteFunc(actions, func(a string) bool { return a == action })
		}
		put(actions, resources)
	}
	return emulatortest.Document(left...)
}

// Facts outlive the emulator, and those who share a role are told apart.
func TestFactsAreKept(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state.db")
	run := func(work func(*emulatortest.AWS)) {
		server, err := emulator.New(emulator.Config{State: state})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := server.Close(); err != nil {
				t.Error(err)
			}
		}()
		emulator.MakeRole(server, "worker", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sqs:Send*","Resource":"*"}]}`)
		work(&emulatortest.AWS{Server: server})
	}
	const queue = "arn:aws:sqs:us-east-1:000000000000:"
	run(func(a *emulatortest.AWS) {
		for _, ask := range []struct{ subject, action, resource string }{
			{"system:serviceaccount:a:one", "sqs:SendMessage", queue + "mail"},
			{"system:serviceaccount:b:two", "sqs:SendMessage", queue + "sms"},
			{"system:serviceaccount:b:two", "sqs:DeleteQueue", queue + "sms"},
		} {
			emulator.Ask(a.Server, "worker", ask.subject, &emulator.Question{Action: ask.action, Resource: ask.resource})
		}
	})
	run(func(a *emulatortest.AWS) {
		all, document := suggestion(t, a, emulator.PolicyQuery{Role: "worker"})
		if !strings.Contains(document, queue+"mail") || !strings.Contains(document, queue+"sms") || strings.Contains(document, "DeleteQueue") {
			t.Errorf("the policy is\n%s", document)
		}
		if len(all.Refused) != 1 || all.Refused[0].Action != "sqs:DeleteQueue" || all.Decisions != 3 || len(all.Holders) != 2 {
			t.Errorf("got %+v", all)
		}
		two, document := suggestion(t, a, emulator.PolicyQuery{Role: "worker", Subject: "b/two"})
		if strings.Contains(document, queue+"mail") || len(two.Difference.Lost) != 1 || two.Difference.Lost[0].Resource != queue+"mail" {
			t.Errorf("for b/two: %+v\n%s", two.Difference, document)
		}
		for _, q := range []emulator.PolicyQuery{{Role: "nobody"}, {Subject: "b/one"}, {Role: "worker", Since: a.Now().Add(time.Hour)}} {
			_, err := a.LeastPolicy(q)
			if _, ok := errors.AsType[*emulator.NothingSeenError](err); !ok {
				t.Errorf("%+v: %v", q, err)
			}
		}
		if err := a.Reset(); err != nil {
			t.Error(err)
		}
		if s, err := a.LeastPolicy(emulator.PolicyQuery{Role: "worker"}); err == nil {
			t.Errorf("after a reset there is %+v", s)
		}
	})
	run(func(a *emulatortest.AWS) {
		if s, err := a.LeastPolicy(emulator.PolicyQuery{Role: "worker"}); err == nil {
			t.Errorf("after a reset there is %+v", s)
		}
	})
}

// What is remembered of a role is bounded: resources that begin alike are put
// together, and the policy for them still is what they need.
func TestFactsAreBounded(t *testing.T) {
	t.Parallel()
	server, err := emulator.New(emulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	emulator.MakeRole(server, "reader", everything)
	object := func(i int) string { return fmt.Sprintf("arn:aws:s3:::data/%d/%d", i%5, i) }
	for i := range 25_000 {
		emulator.Ask(server, "reader", "", &emulator.Question{Action: "s3:GetObject", Resource: object(i)})
	}
	s, err := server.LeastPolicy(emulator.PolicyQuery{Role: "reader"})
	if err != nil {
		t.Fatal(err)
	}
	if s.Decisions != 25_000 || emulator.Pairs(server) > 10_000 {
		t.Errorf("%d decisions in %d pairs", s.Decisions, emulator.Pairs(server))
	}
	for i := range 5 {
		if !strings.Contains(string(s.Policies[0].Document), fmt.Sprintf("arn:aws:s3:::data/%d/*", i)) {
			t.Errorf("folder %d is not in\n%s", i, s.Policies[0].Document)
		}
	}
	if len(s.Widenings) != 5 {
		t.Errorf("%d widenings are told", len(s.Widenings))
	}
	for i := range 3000 { // refusals have a bound of their own
		queue := fmt.Sprintf("arn:aws:sqs:us-east-1:111122223333:%d", i)
		emulator.Ask(server, "reader", "", &emulator.Question{Action: "sqs:SendMessage", Resource: queue, Account: "111122223333"})
	}
	if s, err = server.LeastPolicy(emulator.PolicyQuery{Role: "reader"}); err != nil || len(s.Refused) != 1000 {
		t.Errorf("%v, %d pairs were refused", err, len(s.Refused))
	}
}

// What the policy of a resource allows by itself needs no policy of the role. A key of
// a table that always is the caller's tag is offered as a condition, and not written.
func TestFactsOfKinds(t *testing.T) {
	t.Parallel()
	server, err := emulator.New(emulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	emulator.MakeRole(server, "worker", everything)
	bucket, err := policy.Parse(policy.Bucket, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*",`+
		`"Action":"s3:GetObject","Resource":"arn:aws:s3:::open/*"}}`))
	if err != nil {
		t.Fatal(err)
	}
	const table = "arn:aws:dynamodb:us-east-1:000000000000:table/"
	key := func(table, value string) *emulator.Question {
		q := &emulator.Question{Action: "dynamodb:GetItem", Resource: table}
		q.Keys.SetMulti("dynamodb:LeadingKeys", value)
		q.Keys.Set("aws:PrincipalTag/tenant", "t1")
		return q
	}
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	passed := &emulator.Question{Action: "iam:PassRole", Resource: "arn:aws:iam::000000000000:role/x"}
	passed.Keys.Set("iam:PassedToService", "ecs-tasks.amazonaws.com")
	for _, q := range []*emulator.Question{
		{Action: "s3:GetObject", Resource: "arn:aws:s3:::open/a", Attached: &policy.Named{Name: "open", Policy: bucket}},
		key(table+"Own", "t1"), key(table+"Own", "t1"), key(table+"All", "t1"), key(table+"All", "t2"), passed,
		{Action: "s3:PutObject", Resource: "arn:aws:s3:::data/" + secret}, {Action: "newsvc:" + secret, Resource: "*"},
		{Action: "secretsmanager:GetSecretValue", Resource: "*", Spelled: "gone", Unknown: true},
		{Action: "cloudformation:CreateStack", Resource: "arn:aws:cloudformation:us-east-1:000000000000:stack/w*b/5f1b7ae0", Unknown: true,
			Spelled: "arn:aws:cloudformation:us-east-1:000000000000:stack/w*b/*"},
	} {
		if e := emulator.Ask(server, "worker", "", q); e != nil {
			t.Fatal(e.Message)
		}
	}
	s, document := suggestion(t, &emulatortest.AWS{Server: server}, emulator.PolicyQuery{Role: "worker"})
	for _, want := range []string{`"iam:PassedToService": "ecs-tasks.amazonaws.com"`, `:stack/w${*}b/*"`, table + "Own"} {
		if !strings.Contains(document, want) {
			t.Errorf("there is no %s in\n%s", want, document)
		}
	}
	if strings.Contains(document, "arn:aws:s3:::open") || len(s.Elsewhere) != 1 || s.Elsewhere[0].Action != "s3:GetObject" {
		t.Errorf("of what the bucket allows: %+v\n%s", s.Elsewhere, document)
	}
	if strings.Contains(document, "secretsmanager") || len(s.Absent) != 1 || s.Absent[0].Resource != "gone" {
		t.Errorf("of a secret that is not there: %+v\n%s", s.Absent, document)
	}
	if text, err := json.Marshal(s); err != nil || strings.Contains(string(text), secret) {
		t.Errorf("a secret is told: %v\n%s", err, text)
	}
	notes := strings.Join(s.Notes, "\n")
	if !strings.Contains(notes, "2 decisions are not in it") {
		t.Errorf("it is not said that something is left out:\n%s", notes)
	}
	if !strings.Contains(notes, "Every key of "+table+"Own was the value of the caller's tag tenant") || strings.Contains(notes, table+"All") ||
		strings.Contains(document, "LeadingKeys") {
		t.Errorf("the notes are\n%s", notes)
	}
}

// Denials of policies are let through in the mode log, told everywhere, and never
// those of who somebody is. The tag of a role goes before the mode.
func TestEnforce(t *testing.T) {
	t.Parallel()
	list := func(o *operator) error {
		_, err := o.S3(o.config).ListBuckets(t.Context(), &s3.ListBucketsInput{})
		return err
	}
	tag := func(o *operator, value string) {
		tags := []types.Tag{{Key: new(owner.EnforceTag), Value: &value}}
		_, err := iam.NewFromConfig(o.Config()).TagRole(t.Context(), &iam.TagRoleInput{RoleName: new("operator"), Tags: tags})
		if err != nil {
			t.Fatal(err)
		}
	}
	o := newOperator(t, emulator.Config{Enforce: emulator.EnforceLog}, "")
	if err := list(o); err != nil {
		t.Errorf("a denial was enforced: %v", err)
	}
	events := o.Events(emulator.EventFilter{Decision: emulator.WouldDeny})
	if len(events) != 1 || events[0].Action != "s3:ListAllMyBuckets" || events[0].Code != "" || events[0].Remedy == nil ||
		!slices.ContainsFunc(events[0].Warnings, func(w string) bool { return strings.HasPrefix(w, "NOT ENFORCED: ") }) {
		t.Errorf("the events are %+v", events)
	}
	if text := get(t, o.URL+"/_openirsa/metrics"); !strings.Contains(text, `openirsa_emulator_unenforced_denials_total{service="s3",operation="ListBuckets"} 1`) {
		t.Errorf("the metrics do not have it:\n%s", text)
	}
	tag(o, "deny")
	if list(o) == nil {
		t.Error("the role's tag is not heeded")
	}
	o = newOperator(t, emulator.Config{}, "")
	if list(o) == nil {
		t.Error("denials are not enforced unless told")
	}
	tag(o, "log")
	if err := list(o); err != nil {
		t.Errorf("the role's tag is not heeded: %v", err)
	}

	// Who somebody is.
	o = newOperator(t, emulator.Config{Enforce: emulator.EnforceLog}, "")
	other := o.Role("other", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)
	if _, err := sts.NewFromConfig(o.config).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: &other, RoleSessionName: new("x1")}); err == nil {
		t.Error("a role was assumed that the trust policy does not give")
	}
	anonymous := o.config
	anonymous.Credentials = aws.AnonymousCredentials{}
	if _, err := o.S3(anonymous).ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: new("issuer-ops")}); err == nil {
		t.Error("somebody without credentials was let through")
	}
	forged := o.config
	forged.Credentials = o.ConfigFor("test", "not the secret", "").Credentials
	if _, err := o.S3(forged).ListBuckets(t.Context(), &s3.ListBucketsInput{}); err == nil {
		t.Error("a false signature was let through")
	}
}

// The forms over HTTP.
func TestServeLeastPolicy(t *testing.T) {
	t.Parallel()
	a := emulatortest.Start(t)
	emulator.MakeRole(a.Server, "worker", everything)
	emulator.Ask(a.Server, "worker", "system:serviceaccount:a:one", &emulator.Question{Action: "sqs:SendMessage", Resource: "arn:aws:sqs:us-east-1:000000000000:mail"})
	base := a.URL + "/_openirsa/policy"
	var answer emulator.LeastPolicy
	if err := json.Unmarshal([]byte(get(t, base+"?role=worker&widen=exact&since=1h")), &answer); err != nil || answer.Decisions != 1 {
		t.Errorf("%v: %+v", err, answer)
	}
	for query, want := range map[string]string{
		"?role=worker&account=123456789012&form=terraform": `"arn:aws:sqs:us-east-1:123456789012:mail"`,
		"?sub=system:serviceaccount:a:one&form=terraform":  "resource \"aws_iam_policy\" \"worker-least\" {",
		"?sub=a/one&form=diff":                             "Granted, and never used:\n  - * (only, statement All)\n",
	} {
		if text := get(t, base+query); !strings.Contains(text, want) || !strings.Contains(text, "What was not exercised") {
			t.Errorf("%s: got\n%s", query, text)
		}
	}
	for query, want := range map[string]int{
		"": 400, "?role=nobody": 404, "?role=worker&form=xml": 400, "?role=worker&widen=all": 400, "?rolle=worker": 400, "?role=worker&account=1": 400, "?role=worker&since=x": 400,
	} {
		r, err := http.Get(base + query)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s: %s", query, r.Status)
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("%s: %s %v %s", url, r.Status, err, text)
	}
	return string(text)
}
