package role_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/role"
)

// IAM answers for a while as if it had not heard of what was just made. A role
// is made all the same, and deleted.
func TestIAMHasNotHeardYet(t *testing.T) {
	a, client, want := start(t)
	want.Inline = map[string][]byte{"inline": []byte(emulatortest.Document(map[string]any{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}))}
	steps := mustPlan(t, client, want)
	for _, f := range []emulator.Fault{
		{Action: "CreateRole", Code: "MalformedPolicyDocument", Message: "Invalid principal in policy: \"FEDERATED\":\"arn:aws:iam::000000000000:oidc-provider/x\"", Times: 2},
		{Action: "AttachRolePolicy", Code: "NoSuchEntity", Message: "The role with name " + want.Name + " cannot be found.", Status: 404, Times: 2},
		{Action: "PutRolePolicy", Code: "NoSuchEntity", Message: "The role with name " + want.Name + " cannot be found.", Status: 404, Times: 1},
		{Action: "DeleteRole", Code: "DeleteConflict", Message: "Cannot delete entity, must detach all policies first.", Status: 409, Times: 2},
	} {
		a.Inject(f)
	}
	if err := plan.Run(t.Context(), steps, nil); err != nil {
		t.Fatal(err)
	}
	if steps := mustPlan(t, client, want); len(steps) != 0 {
		t.Errorf("a second plan has steps: %v", steps)
	}
	steps, err := role.Delete(t.Context(), client, want.Name, want.Tags)
	if err == nil {
		err = plan.Run(t.Context(), steps, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := role.Get(t.Context(), client, want.Name); ok || err != nil {
		t.Errorf("the role is still there: %v", err)
	}
}

// What is wrong for good is an error at once.
func TestIAMRefusesForGood(t *testing.T) {
	for _, f := range []emulator.Fault{
		{Action: "CreateRole", Code: "MalformedPolicyDocument", Message: "Syntax errors in policy."},
		{Action: "AttachRolePolicy", Code: "AccessDenied"},
	} {
		a, client, want := start(t)
		steps := mustPlan(t, client, want)
		a.Inject(f)
		if err := plan.Run(t.Context(), steps, nil); err == nil {
			t.Errorf("%s: no error", f.Code)
		}
		if n := len(a.Events(emulator.EventFilter{Action: "iam:" + f.Action, Decision: emulator.Deny})); n != 1 {
			t.Errorf("%s: asked %d times", f.Code, n)
		}
	}
}

// A permissions boundary is the most that a role may do, whatever its policies
// allow.
func TestBoundaryHolds(t *testing.T) {
	a := emulatortest.Start(t)
	client := iam.NewFromConfig(a.Config())
	iss := a.Issuer("dev")
	boundary, err := client.CreatePolicy(t.Context(), &iam.CreatePolicyInput{PolicyName: new("boundary"), PolicyDocument: new(emulatortest.Document(
		map[string]any{"Effect": "Allow", "Action": "iam:ListUsers", "Resource": "*"}))})
	if err != nil {
		t.Fatal(err)
	}
	want := role.Role{Name: "app", Path: role.PathFor("dev"), Trust: []byte(iss.Trust("default", "app")), PolicyARNs: []string{iamReadOnly},
		Boundary: *boundary.Policy.Arn, Tags: owner.Tags("dev", "1")}
	converge(t, client, want)
	there, _, err := role.Get(t.Context(), client, want.Name)
	if err != nil {
		t.Fatal(err)
	}
	as := iam.NewFromConfig(a.Session(there.ARN, iss.Token("default", "app")))
	if _, err := as.ListUsers(t.Context(), &iam.ListUsersInput{}); err != nil {
		t.Errorf("within the boundary: %v", err)
	}
	_, err = as.ListGroups(t.Context(), &iam.ListGroupsInput{})
	if api, ok := errors.AsType[smithy.APIError](err); !ok || api.ErrorCode() != "AccessDenied" {
		t.Errorf("beyond the boundary: %v", err)
	}
	want.Boundary = ""
	converge(t, client, want)
	if _, err := as.ListGroups(t.Context(), &iam.ListGroupsInput{}); err != nil {
		t.Errorf("without a boundary: %v", err)
	}
}
