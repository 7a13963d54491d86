package emulator_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// simulate is the one result of a simulation.
func simulate(t testing.TB, a *emulatortest.AWS, in *iam.SimulateCustomPolicyInput) types.EvaluationResult {
	t.Helper()
	out, err := iam.NewFromConfig(a.Config()).SimulateCustomPolicy(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.EvaluationResults) != 1 {
		t.Fatalf("%d results", len(out.EvaluationResults))
	}
	return out.EvaluationResults[0]
}

// TestSimulateListKey: a key of a list type stays multivalued with one value,
// so operators without a quantifier never match it.
func TestSimulateListKey(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	client := iam.NewFromConfig(a.Config())
	user, err := client.CreateUser(t.Context(), &iam.CreateUserInput{UserName: new("ann")})
	if err != nil {
		t.Fatal(err)
	}
	for operator, want := range map[string]types.PolicyEvaluationDecisionType{
		"StringEquals":             types.PolicyEvaluationDecisionTypeImplicitDeny,
		"ForAnyValue:StringEquals": types.PolicyEvaluationDecisionTypeAllowed,
	} {
		doc := document(map[string]any{"Effect": "Allow", "Action": "iam:TagRole", "Resource": "*",
			"Condition": map[string]any{operator: map[string]any{"aws:TagKeys": "a"}}})
		entries := []types.ContextEntry{{ContextKeyName: new("aws:TagKeys"), ContextKeyType: types.ContextKeyTypeEnumStringList, ContextKeyValues: []string{"a"}}}
		custom := simulate(t, a, &iam.SimulateCustomPolicyInput{PolicyInputList: []string{doc}, ActionNames: []string{"iam:TagRole"}, ContextEntries: entries})
		if custom.EvalDecision != want {
			t.Errorf("%s: custom policy %s, want %s", operator, custom.EvalDecision, want)
		}
		out, err := client.SimulatePrincipalPolicy(t.Context(), &iam.SimulatePrincipalPolicyInput{
			PolicySourceArn: user.User.Arn, PolicyInputList: []string{doc}, ActionNames: []string{"iam:TagRole"}, ContextEntries: entries,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := out.EvaluationResults[0].EvalDecision; got != want {
			t.Errorf("%s: principal policy %s, want %s", operator, got, want)
		}
	}
}

// TestSimulateBoundary: what is said of the boundary is about the boundary
// alone, whosever the resource is.
func TestSimulateBoundary(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	allow := func(action string) string {
		return document(map[string]any{"Effect": "Allow", "Action": action, "Resource": "*"})
	}
	for _, c := range []struct {
		action, account string
		want            bool
	}{
		{"sqs:SendMessage", a.Account(), true},
		{"sqs:SendMessage", "111122223333", true},
		{"sns:Publish", "111122223333", false},
	} {
		got := simulate(t, a, &iam.SimulateCustomPolicyInput{
			PolicyInputList: []string{allow("*")}, PermissionsBoundaryPolicyInputList: []string{allow("sqs:*")},
			ActionNames: []string{c.action}, ResourceArns: []string{"arn:aws:sqs:us-east-1:" + c.account + ":q"},
		})
		if detail := got.PermissionsBoundaryDecisionDetail; detail == nil || detail.AllowedByPermissionsBoundary != c.want {
			t.Errorf("%s in %s: %+v, want %t", c.action, c.account, detail, c.want)
		}
	}
}

// TestSimulateResourcePolicy: the resource may be any service's.
func TestSimulateResourcePolicy(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	const queue = "arn:aws:sqs:us-east-1:000000000000:q"
	resourcePolicy := func(effect, action, resource string) *string {
		return new(document(map[string]any{"Effect": effect, "Principal": "*", "Action": action, "Resource": resource}))
	}
	for _, c := range []struct {
		policy *string
		want   types.PolicyEvaluationDecisionType
	}{
		{nil, types.PolicyEvaluationDecisionTypeAllowed},
		{resourcePolicy("Deny", "sqs:*", queue), types.PolicyEvaluationDecisionTypeExplicitDeny},
		{resourcePolicy("Deny", "sqs:*", "*"), types.PolicyEvaluationDecisionTypeExplicitDeny},
		{resourcePolicy("Deny", "sqs:*", queue+"2"), types.PolicyEvaluationDecisionTypeAllowed},
		{resourcePolicy("Deny", "s3:*", "arn:aws:s3:::b"), types.PolicyEvaluationDecisionTypeAllowed},
		{new(document(map[string]any{"Effect": "Deny", "Principal": map[string]any{"AWS": "111122223333"}, "Action": "*", "Resource": "*"})),
			types.PolicyEvaluationDecisionTypeAllowed},
	} {
		got := simulate(t, a, &iam.SimulateCustomPolicyInput{
			PolicyInputList: []string{document(map[string]any{"Effect": "Allow", "Action": "*", "Resource": "*"})},
			CallerArn:       new("arn:aws:iam::000000000000:user/ann"), ResourcePolicy: c.policy,
			ActionNames: []string{"sqs:SendMessage"}, ResourceArns: []string{queue},
		})
		if got.EvalDecision != c.want {
			t.Errorf("%v: %s, want %s", c.policy, got.EvalDecision, c.want)
		}
	}
	for message, policy := range map[string]*string{
		"Policy has invalid action":   resourcePolicy("Deny", "SendMessage", "*"),
		"Policy has invalid resource": resourcePolicy("Deny", "sqs:*", "q"),
	} {
		_, err := iam.NewFromConfig(a.Config()).SimulateCustomPolicy(t.Context(), &iam.SimulateCustomPolicyInput{
			PolicyInputList: []string{}, ResourcePolicy: policy, ActionNames: []string{"sqs:SendMessage"},
		})
		refused(t, err, 400, "InvalidInput", message)
	}
}
