package emulator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// matched are statements in one line: where they are from, and where they stand.
func matched(statements []types.Statement) string {
	var all []string
	for _, s := range statements {
		all = append(all, fmt.Sprintf("%s (%s) %d:%d-%d:%d", *s.SourcePolicyId, s.SourcePolicyType,
			s.StartPosition.Line, s.StartPosition.Column, s.EndPosition.Line, s.EndPosition.Column))
	}
	return strings.Join(all, "; ")
}

const (
	simulatedA = "arn:aws:s3:::stackd-simulation/a"
	simulatedB = "arn:aws:s3:::stackd-simulation/b"
	getAll     = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`
	getA       = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"` + simulatedA + `"}]}`
)

// TestSimulatePositions: where statements stand, as AWS has said it of the same
// documents in September 2026.
func TestSimulatePositions(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	const pretty = "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {\n      \"Effect\": \"Allow\",\n      \"Action\": \"s3:GetObject\",\n" +
		"      \"Resource\": \"*\",\n      \"Sid\": \"First\"\n    },\n    {\n      \"Effect\": \"Deny\",\n      \"Action\": \"s3:PutObject\",\n" +
		"      \"Resource\": \"*\",\n      \"Sid\": \"Second\"\n    }\n  ]\n}"
	const crlf = " \r\n{\r\n  \"Version\": \"2012-10-17\",\r\n  \"Statement\": [\r\n    {\r\n      \"Effect\": \"Allow\",\r\n" +
		"      \"Action\": \"s3:GetObject\",\r\n      \"Resource\": \"*\"\r\n    }\r\n  ]\r\n}\r\n "
	const single = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}`
	const id = "PolicyInputList.1 (IAM Policy) "
	for _, c := range []struct {
		policies     []string
		action, want string
		decision     types.PolicyEvaluationDecisionType
	}{
		{[]string{getAll}, "s3:GetObject", id + "1:38-1:95", "allowed"},
		{[]string{pretty}, "s3:GetObject", id + "3:17-9:6", "allowed"},
		{[]string{pretty}, "s3:PutObject", id + "9:6-15:6", "explicitDeny"},
		{[]string{crlf}, "s3:GetObject", id + "4:17-9:6", "allowed"},
		{[]string{single}, "s3:GetObject", id + "1:41-1:102", "allowed"},
		{[]string{strings.Replace(getAll, `"Effect"`, `"Sid":"","Effect"`, 1), getAll, pretty}, "s3:GetObject",
			id + "1:38-1:104; PolicyInputList.2 (IAM Policy) 1:38-1:95; PolicyInputList.3 (IAM Policy) 3:17-9:6", "allowed"},
		// What denies is told alone, and all of it.
		{[]string{getAll, strings.Replace(getAll, "Allow", "Deny", 1), strings.Replace(getAll, "Allow", "Deny", 1)}, "s3:GetObject",
			"PolicyInputList.2 (IAM Policy) 1:38-1:94; PolicyInputList.3 (IAM Policy) 1:38-1:94", "explicitDeny"},
		{[]string{getAll}, "s3:PutObject", "", "implicitDeny"},
	} {
		got := simulate(t, a, &iam.SimulateCustomPolicyInput{PolicyInputList: c.policies, ActionNames: []string{c.action}})
		if text := matched(got.MatchedStatements); text != c.want || got.EvalDecision != c.decision {
			t.Errorf("%s: %s, %s\nwant %s, %s", c.action, got.EvalDecision, text, c.decision, c.want)
		}
		if *got.EvalResourceName != "*" || got.ResourceSpecificResults != nil || got.EvalDecisionDetails != nil {
			t.Errorf("without resources: %s, %v, %v", *got.EvalResourceName, got.ResourceSpecificResults, got.EvalDecisionDetails)
		}
	}
}

// TestSimulateResources: one result for an action, with what holds of each
// resource in it.
func TestSimulateResources(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	one := simulate(t, a, &iam.SimulateCustomPolicyInput{PolicyInputList: []string{getAll}, ActionNames: []string{"s3:GetObject"}, ResourceArns: []string{simulatedA}})
	if *one.EvalResourceName != simulatedA || len(one.ResourceSpecificResults) != 1 || one.EvalDecisionDetails == nil || len(one.EvalDecisionDetails) != 0 {
		t.Errorf("one resource: %+v", one)
	}
	two := simulate(t, a, &iam.SimulateCustomPolicyInput{PolicyInputList: []string{getA}, ActionNames: []string{"s3:GetObject"},
		ResourceArns: []string{simulatedA, simulatedB}})
	if *two.EvalResourceName != "arn:aws:s3:::${BucketName}/${KeyName}" || two.EvalDecision != "implicitDeny" ||
		matched(two.MatchedStatements) != "PolicyInputList.1 (IAM Policy) 1:38-1:126" {
		t.Errorf("two resources: %s %s %s", *two.EvalResourceName, two.EvalDecision, matched(two.MatchedStatements))
	}
	var each []string
	for _, r := range two.ResourceSpecificResults {
		each = append(each, fmt.Sprint(*r.EvalResourceName, " ", r.EvalResourceDecision, " ", len(r.MatchedStatements)))
	}
	if got, want := strings.Join(each, ", "), simulatedA+" allowed 1, "+simulatedB+" implicitDeny 0"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	missing := strings.Replace(getAll, `"Resource":"*"`, `"Resource":"*","Condition":{"StringEquals":{"stack:missing":"yes"}}`, 1)
	got := simulate(t, a, &iam.SimulateCustomPolicyInput{PolicyInputList: []string{missing}, ActionNames: []string{"s3:GetObject"}, ResourceArns: []string{simulatedA}})
	if fmt.Sprint(got.MissingContextValues, got.ResourceSpecificResults[0].MissingContextValues) != "[stack:missing] [stack:missing]" {
		t.Errorf("missing: %+v", got)
	}
	got = simulate(t, a, &iam.SimulateCustomPolicyInput{PolicyInputList: []string{getAll, missing}, ActionNames: []string{"s3:GetObject"}, ResourceArns: []string{simulatedA}})
	if len(got.MissingContextValues) != 0 {
		t.Errorf("missing although allowed: %v", got.MissingContextValues)
	}

	out := must(iam.NewFromConfig(a.Config()).SimulateCustomPolicy(t.Context(), &iam.SimulateCustomPolicyInput{PolicyInputList: []string{getAll},
		ActionNames: []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}, ResourceArns: []string{simulatedA, simulatedB}, MaxItems: new(int32(2))}))
	if len(out.EvaluationResults) != 2 || !out.IsTruncated || *out.EvaluationResults[1].EvalActionName != "s3:PutObject" {
		t.Errorf("a page: %+v", out)
	}
}

// TestSimulateAccounts: the caller's account is that of its ARN, and what names no
// account belongs to the caller unless the owner is told.
func TestSimulateAccounts(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	const (
		caller = "arn:aws:iam::111122223333:user/ann"
		owner  = "arn:aws:iam::999999999999:root"
		ours   = "arn:aws:sqs:us-east-1:111122223333:q"
		theirs = "arn:aws:sqs:us-east-1:999999999999:q"
		anyone = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Principal":{"AWS":"*"}}]}`
		all    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	)
	for _, c := range []struct {
		identity, resourcePolicy, resource, owner string
		decision                                  types.PolicyEvaluationDecisionType
		details                                   map[string]string // nil where it is one account
	}{
		{all, "", ours, "", "allowed", nil},
		{all, "", simulatedA, "", "allowed", nil},
		{all, "", theirs, "", "implicitDeny", map[string]string{"IAM Policy": "allowed", "Resource Policy": "implicitDeny"}},
		{all, anyone, theirs, "", "allowed", map[string]string{"IAM Policy": "allowed", "Resource Policy": "allowed"}},
		{"", anyone, simulatedA, "", "allowed", nil},
		{"", anyone, simulatedA, "arn:aws:iam::111122223333:root", "allowed", nil},
		// A grant to the account is enough in the simulator, though not for a call.
		{"", strings.Replace(anyone, `"*"}`, `"111122223333"}`, 1), simulatedA, "", "allowed", nil},
		{"", strings.Replace(anyone, `"*"}`, `"999999999999"}`, 1), simulatedA, "", "implicitDeny", nil},
		{"", anyone, simulatedA, owner, "implicitDeny", map[string]string{"IAM Policy": "implicitDeny", "Resource Policy": "allowed"}},
		{all, strings.Replace(anyone, "Allow", "Deny", 1), theirs, "", "explicitDeny", map[string]string{"IAM Policy": "allowed", "Resource Policy": "explicitDeny"}},
	} {
		in := &iam.SimulateCustomPolicyInput{PolicyInputList: []string{}, ActionNames: []string{"sqs:SendMessage"}, CallerArn: new(caller), ResourceArns: []string{c.resource}}
		if strings.HasPrefix(c.resource, "arn:aws:s3") {
			in.ActionNames = []string{"s3:GetObject"}
		}
		if c.identity != "" {
			in.PolicyInputList = []string{c.identity}
		}
		if c.resourcePolicy != "" {
			in.ResourcePolicy = &c.resourcePolicy
		}
		if c.owner != "" {
			in.ResourceOwner = &c.owner
		}
		got := simulate(t, a, in)
		details := fmt.Sprint(got.EvalDecisionDetails)
		if want := fmt.Sprint(c.details); got.EvalDecision != c.decision || details != want {
			t.Errorf("%s of %q, policy %t: %s %s, want %s %s", c.resource, c.owner, c.resourcePolicy != "", got.EvalDecision, details, c.decision, want)
		}
		if specific := fmt.Sprint(got.ResourceSpecificResults[0].EvalDecisionDetails); specific != details {
			t.Errorf("details of the resource: %s, of all: %s", specific, details)
		}
	}
	_, err := iam.NewFromConfig(a.Config()).SimulateCustomPolicy(t.Context(), &iam.SimulateCustomPolicyInput{
		PolicyInputList: []string{all}, ActionNames: []string{"s3:GetObject"}, ResourceOwner: new("not-an-arn"),
	})
	refused(t, err, 400, "InvalidInput", "'not-an-arn' is not a valid as a Resource Owner.")
}

// TestSimulatePrincipalSources: how the policies of a user are named, those of its
// groups and its boundary among them.
func TestSimulatePrincipalSources(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	ctx, client := t.Context(), iam.NewFromConfig(a.Config())
	user := must(client.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann"), Path: new("/p/")})).User
	must(client.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("g")}))
	must(client.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("g"), UserName: new("ann")}))
	must(client.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("ann"), PolicyName: new("inline"), PolicyDocument: new(getA)}))
	must(client.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: new("g"), PolicyName: new("inline"), PolicyDocument: new(getAll)}))
	managed := must(client.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("managed"), PolicyDocument: new(getAll)})).Policy
	must(client.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("ann"), PolicyArn: managed.Arn}))
	boundary := must(client.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("limit"), PolicyDocument: new(getA)})).Policy
	must(client.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: new("ann"), PermissionsBoundary: boundary.Arn}))

	got := must(client.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: user.Arn,
		ActionNames: []string{"s3:GetObject"}, ResourceArns: []string{simulatedA, simulatedB}})).EvaluationResults[0]
	if got.EvalDecision != "implicitDeny" || got.PermissionsBoundaryDecisionDetail.AllowedByPermissionsBoundary {
		t.Errorf("both: %s %+v", got.EvalDecision, got.PermissionsBoundaryDecisionDetail)
	}
	of := got.ResourceSpecificResults
	if want := "managed (IAM Policy) 1:38-1:95; user_ann_inline (IAM Policy) 1:38-1:126; group_g_inline (IAM Policy) 1:38-1:95; limit (IAM Policy) 1:38-1:126"; matched(of[0].MatchedStatements) != want {
		t.Errorf("got  %s\nwant %s", matched(of[0].MatchedStatements), want)
	}
	if !of[0].PermissionsBoundaryDecisionDetail.AllowedByPermissionsBoundary || of[1].PermissionsBoundaryDecisionDetail.AllowedByPermissionsBoundary ||
		of[1].EvalResourceDecision != "implicitDeny" || len(of[1].MatchedStatements) != 0 {
		t.Errorf("each: %+v", of)
	}
	group := must(client.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: new("arn:aws:iam::000000000000:group/g"),
		ActionNames: []string{"s3:GetObject"}})).EvaluationResults[0]
	if want := "group_g_inline (IAM Policy) 1:38-1:95"; matched(group.MatchedStatements) != want {
		t.Errorf("group: %s", matched(group.MatchedStatements))
	}
}
