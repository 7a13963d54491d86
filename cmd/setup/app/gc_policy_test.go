package app

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/export"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/trust"
)

// TestGCNeedsItsPolicyAndNoLess runs gc as somebody who has the policy that is
// exported for it, and again for each of its actions as somebody who lacks that
// one: then something stays that should have gone.
func TestGCNeedsItsPolicyAndNoLess(t *testing.T) {
	type statement struct {
		Sid, Effect      string
		Action, Resource []string
		Condition        map[string]map[string][]string `json:",omitempty"`
	}
	body, err := (&export.Resources{Cluster: "ops", Account: "000000000000", Partition: "aws", Region: emulatortest.Region}).Policy(export.Permissions{Commands: []string{"gc"}})
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Version   string
		Statement []statement
	}
	if err := json.Unmarshal(body, &document); err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, s := range document.Statement {
		actions = append(actions, s.Action...)
	}
	slices.Sort(actions)
	actions = slices.Compact(actions)

	// run is what is left when gc was run without an action, and its error.
	run := func(without string) ([]string, error) {
		y := newYard(t)
		past := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
		gone := y.cluster("ci-1", past, "openirsa-ci-1", "")
		y.cluster("ci-2", past, "openirsa-issuers", "ci-2")
		y.associate("ci-1", "app")
		live := y.cluster("live", "", "openirsa-issuers", "live")
		y.role(live, "live", "shared", true)
		there, _, err := role.Get(t.Context(), y.acct.IAM, "shared")
		if err != nil {
			t.Fatal(err)
		}
		both, err := trust.Alike(there.Trust, live.ProviderARN("aws", y.acct.ID), gone.ProviderARN("aws", y.acct.ID))
		if err == nil {
			_, err = y.acct.IAM.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: new("shared"), PolicyDocument: new(string(both))})
		}
		if err == nil {
			_, err = y.acct.IAM.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: new(role.NameFor("ci-1", "default", "app")), PolicyName: new("inline"),
				PolicyDocument: new(emulatortest.Document(map[string]any{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}))})
		}
		if err != nil {
			t.Fatal(err)
		}
		less := document
		less.Statement = nil
		for _, s := range document.Statement {
			s.Action = slices.DeleteFunc(slices.Clone(s.Action), func(a string) bool { return a == without })
			if len(s.Action) > 0 {
				less.Statement = append(less.Statement, s)
			}
		}
		text, err := json.Marshal(less)
		if err != nil {
			t.Fatal(err)
		}
		name := new("janitor")
		_, err = y.acct.IAM.CreateUser(t.Context(), &iam.CreateUserInput{UserName: name})
		if err != nil {
			t.Fatal(err)
		}
		made, err := y.acct.IAM.CreatePolicy(t.Context(), &iam.CreatePolicyInput{PolicyName: name, PolicyDocument: new(string(text))})
		if err == nil {
			_, err = y.acct.IAM.AttachUserPolicy(t.Context(), &iam.AttachUserPolicyInput{UserName: name, PolicyArn: made.Policy.Arn})
		}
		if err != nil {
			t.Fatal(err)
		}
		key, err := y.acct.IAM.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: name})
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("AWS_ACCESS_KEY_ID", *key.AccessKey.AccessKeyId)
		t.Setenv("AWS_SECRET_ACCESS_KEY", *key.AccessKey.SecretAccessKey)
		gcErr := (&app{Invocation: called("setup"), out: io.Discard, err: io.Discard, output: "json"}).gc(t.Context(), gcOptions{approve: true, now: time.Now})
		left := y.there()
		shared, _, err := role.Get(t.Context(), y.acct.IAM, "shared")
		if err != nil {
			t.Fatal(err)
		}
		for _, arn := range trust.Providers(shared.Trust) {
			left = append(left, "shared role trusts "+arn)
		}
		return left, gcErr
	}
	want, err := run("")
	if err != nil || slices.ContainsFunc(want, func(s string) bool { return strings.Contains(s, "ci-1") }) {
		t.Fatalf("with all of the policy: %v, left %q\n%s", err, want, body)
	}
	for _, action := range actions {
		if left, err := run(action); err == nil && slices.Equal(left, want) {
			t.Errorf("without %s gc does all the same", action)
		}
	}
}
