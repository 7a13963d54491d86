package app

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// What pods did against the emulator becomes policies in each form, those of a shared
// role for all who share it; whoever did nothing has none.
func TestSuggest(t *testing.T) {
	cloud := emulatortest.Start(t)
	iss := cloud.Issuer("dev")
	readOnlyRole := func(name, namespace string) string {
		return cloud.Role(name, iss.Trust(namespace, "app"), "arn:aws:iam::aws:policy/IAMReadOnlyAccess", "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
	}
	own, shared := readOnlyRole("openirsa-dev-a-app", "a"), readOnlyRole("shared", "b")
	session := func(roleARN, namespace string) aws.Config { return cloud.Session(roleARN, iss.Token(namespace, "app")) }
	if _, err := iam.NewFromConfig(session(own, "a")).GetRole(t.Context(), &iam.GetRoleInput{RoleName: new("shared")}); err != nil {
		t.Fatal(err)
	}
	if _, err := cloud.S3(session(shared, "b")).ListBuckets(t.Context(), &s3.ListBucketsInput{}); err != nil {
		t.Fatal(err)
	}

	run := func(output string, o suggestOptions) (string, string, error) {
		var out, errs bytes.Buffer
		o.widen = "prefix"
		s := &suggester{
			app: &app{out: &out, err: &errs, output: output}, options: o, cluster: "dev", issuer: iss.URL.HostPath(),
			holders: []holder{
				{"a", "app", own}, {"b", "app", shared}, {"c", "app", shared},
				{"d", "idle", "arn:aws:iam::" + cloud.Account() + ":role/openirsa/dev/idle"},
			},
			ask: func(ctx context.Context, q url.Values) ([]byte, error) {
				return fetchPolicy(ctx, cloud.URL+"/_openirsa/policy?"+q.Encode())
			},
		}
		err := s.run(t.Context())
		return out.String(), errs.String(), err
	}

	out, errs, err := run("yaml", suggestOptions{all: true})
	if err != nil {
		t.Fatal(err)
	}
	file, _, err := config.Parse([]byte(out))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	accounts := file.IAMServiceAccounts
	if len(accounts) != 3 || accounts[0].String() != "a/app" || accounts[0].RoleName != "" || accounts[1].RoleName != "shared" ||
		!strings.Contains(string(accounts[0].AttachPolicy), "iam:GetRole") || !strings.Contains(string(accounts[2].AttachPolicy), "s3:ListAllMyBuckets") {
		t.Errorf("%s", out)
	}
	for _, want := range []string{"# What was not exercised", "# The role is shared with c/app"} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %q in\n%s", want, out)
		}
	}
	if !strings.HasPrefix(errs, "d/idle: ") {
		t.Errorf("of who did nothing it says %q", errs)
	}

	out, _, err = run("json", suggestOptions{namespace: "a", name: "app", account: "123456789012"})
	var list []suggested
	if err != nil || json.Unmarshal([]byte(out), &list) != nil || len(list) != 1 || list[0].Decisions != 1 || len(list[0].Difference.NeverUsed) == 0 ||
		!strings.Contains(string(list[0].Policies[0].Document), "::123456789012:role/shared") {
		t.Errorf("%v: %s", err, out)
	}
	for output, want := range map[string]string{"terraform": `resource "aws_iam_role_policy_attachment" "shared-least" {`, "diff": "Granted, and never used:"} {
		if out, _, err = run(output, suggestOptions{namespace: "c", name: "app"}); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v\n%s", output, err, out)
		}
	}
	for _, o := range []suggestOptions{{namespace: "d", name: "idle"}, {namespace: "a", name: "nobody"}, {namespace: "a", name: "app", since: "0s"}} {
		if out, _, err := run("yaml", o); err == nil || out != "" {
			t.Errorf("%+v: %v %s", o, err, out)
		}
	}
}
