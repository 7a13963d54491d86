package emulator_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// orgs calls Organizations as the SDK does, of which this project does not have the
// client: the output, or code and message of the error.
type orgs struct {
	t      *testing.T
	config aws.Config
}

type object = map[string]any

func (o orgs) try(operation string, in object) (out object, problem string) {
	o.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		o.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(o.t.Context(), http.MethodPost, *o.config.BaseEndpoint, bytes.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AWSOrganizationsV20161128."+operation)
	creds, err := o.config.Credentials.Retrieve(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(o.t.Context(), creds, r, hex.EncodeToString(sum[:]), "organizations", "us-east-1", time.Now()); err != nil {
		o.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		o.t.Fatalf("%s: %s: %v", operation, answer, err)
	}
	if resp.StatusCode != 200 {
		return nil, out["__type"].(string) + ": " + out["message"].(string)
	}
	return out, ""
}

func (o orgs) do(operation string, in object) object {
	o.t.Helper()
	out, problem := o.try(operation, in)
	if problem != "" {
		o.t.Fatalf("%s: %s", operation, problem)
	}
	return out
}

func (o orgs) refused(operation string, in object, want string) {
	o.t.Helper()
	if _, problem := o.try(operation, in); problem != want {
		o.t.Errorf("%s %v: %q, want %q", operation, in, problem, want)
	}
}

// at is a value deep in an output.
func at(v any, path ...string) string {
	for _, name := range path {
		m, _ := v.(object)
		v = m[name]
	}
	s, _ := v.(string)
	return s
}

// ids are a member of each item of a list in an output.
func ids(out object, list, member string) []string {
	var all []string
	for _, item := range out[list].([]any) {
		all = append(all, at(item, member))
	}
	return all
}

const accountC = "777788889999"

// organization makes one of account A with B and C in it: B in an organizational unit
// "Workloads", C in the root.
func organization(t *testing.T, a *emulatortest.AWS) (o orgs, root, unit string) {
	t.Helper()
	o = orgs{t, a.ConfigIn(accountA)}
	o.do("CreateOrganization", nil)
	root = ids(o.do("ListRoots", nil), "Roots", "Id")[0]
	o.do("EnablePolicyType", object{"RootId": root, "PolicyType": scp})
	unit = at(o.do("CreateOrganizationalUnit", object{"ParentId": root, "Name": "Workloads"}), "OrganizationalUnit", "Id")
	o.do("MoveAccount", object{"AccountId": accountB, "SourceParentId": root, "DestinationParentId": unit})
	return o, root, unit
}

func three() emulator.Config {
	return emulator.Config{Accounts: []string{accountA, accountB, accountC}}
}

// attach makes a policy and attaches it.
func (o orgs) attach(kind, name, content, target string) (id string) {
	o.t.Helper()
	out := o.do("CreatePolicy", object{"Name": name, "Description": "", "Type": kind, "Content": content})
	id = at(out, "Policy", "PolicySummary", "Id")
	o.do("AttachPolicy", object{"PolicyId": id, "TargetId": target})
	return id
}

const (
	scp = "SERVICE_CONTROL_POLICY"
	rcp = "RESOURCE_CONTROL_POLICY"
)

// TestOrganization: the tree, its policies, and what Organizations refuses.
func TestOrganization(t *testing.T) {
	config := three()
	config.State = filepath.Join(t.TempDir(), "state.db")
	var unit, deny string
	t.Run("made", func(t *testing.T) {
		a := startAWS(t, config)
		orgs{t, a.ConfigIn(accountB)}.refused("DescribeOrganization", nil, "AWSOrganizationsNotInUseException: Your account is not a member of an organization.")
		var o orgs
		var root string
		o, root, unit = organization(t, a)
		org := o.do("DescribeOrganization", nil)["Organization"]
		if id := at(org, "Id"); at(org, "MasterAccountId") != accountA || at(org, "FeatureSet") != "ALL" ||
			at(org, "Arn") != "arn:aws:organizations::"+accountA+":organization/"+id || len(id) != 12 {
			t.Errorf("the organization is %v", org)
		}
		o.refused("CreateOrganization", nil, "AlreadyInOrganizationException: The provided account is already a member of an organization.")
		if got := ids(o.do("ListRoots", nil)["Roots"].([]any)[0].(object), "PolicyTypes", "Type"); !slices.Equal(got, []string{scp}) {
			t.Errorf("the root has policies of types %q", got)
		}
		b := orgs{t, a.ConfigIn(accountB)}
		if at(b.do("DescribeOrganization", nil), "Organization", "MasterAccountId") != accountA {
			t.Error("account B is of no organization")
		}
		b.refused("ListRoots", nil, "AccessDeniedException: You don't have permissions to access this resource.")
		if got := ids(o.do("ListAccounts", nil), "Accounts", "Id"); !slices.Equal(got, []string{accountA, accountB, accountC}) {
			t.Errorf("accounts %q", got)
		}
		page := o.do("ListAccounts", object{"MaxResults": 2})
		rest := o.do("ListAccounts", object{"MaxResults": 2, "NextToken": page["NextToken"]})
		if got := ids(rest, "Accounts", "Id"); len(ids(page, "Accounts", "Id")) != 2 || !slices.Equal(got, []string{accountC}) || rest["NextToken"] != nil {
			t.Errorf("pages %v, %v", page, rest)
		}
		const badToken = "InvalidInputException: Invalid NextToken."
		for _, token := range []any{"!", "foo", base64.StdEncoding.EncodeToString([]byte("1"))} {
			o.refused("ListAccounts", object{"NextToken": token}, badToken)
		}
		o.refused("ListRoots", object{"NextToken": page["NextToken"]}, badToken)
		o.refused("ListAccountsForParent", object{"ParentId": root, "NextToken": page["NextToken"]}, badToken)
		if got := ids(o.do("ListOrganizationalUnitsForParent", object{"ParentId": root}), "OrganizationalUnits", "Id"); !slices.Equal(got, []string{unit}) {
			t.Errorf("units %q", got)
		}
		for _, target := range []string{root, unit, accountA, accountB} {
			if got := ids(o.do("ListPoliciesForTarget", object{"TargetId": target, "Filter": scp}), "Policies", "Id"); !slices.Equal(got, []string{"p-FullAWSAccess"}) {
				t.Errorf("%s has %q", target, got)
			}
		}

		content := document(object{"Effect": "Deny", "Action": "s3:*", "Resource": "*"})
		o.refused("CreatePolicy", object{"Name": "wrong", "Type": scp, "Content": document(object{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"})},
			"MalformedPolicyDocumentException: The provided policy document does not meet the requirements of the specified policy type.")
		o.refused("CreatePolicy", object{"Name": "FullAWSAccess", "Type": scp, "Content": content}, "DuplicatePolicyException: A policy with the same name already exists.")
		o.refused("CreatePolicy", object{"Name": "large", "Type": scp, "Content": content + strings.Repeat(" ", 10240)},
			"ConstraintViolationException: You have exceeded the maximum policy size.")
		deny = o.attach(scp, "NoS3", content, unit)
		attachment := object{"PolicyId": deny, "TargetId": unit}
		o.refused("AttachPolicy", attachment, "DuplicatePolicyAttachmentException: The selected policy is already attached to the specified target.")
		o.refused("DeletePolicy", object{"PolicyId": deny}, "PolicyInUseException: The policy is attached to one or more entities. "+
			"You must detach it from all roots, OUs, and accounts before performing this operation.")
		o.do("DetachPolicy", object{"PolicyId": "p-FullAWSAccess", "TargetId": unit})
		o.refused("DetachPolicy", attachment, "ConstraintViolationException: You cannot remove the last policy attached to the specified target. "+
			"You must have at least one attached at all times.")
		o.refused("UpdatePolicy", object{"PolicyId": "p-FullAWSAccess", "Name": "x"}, "AccessDeniedException: You can't modify or delete a policy that is managed by AWS.")
		if got := at(o.do("UpdatePolicy", object{"PolicyId": deny, "Description": "no S3"}), "Policy", "PolicySummary", "Description"); got != "no S3" {
			t.Errorf("the description is %q", got)
		}
		if got := o.do("ListTargetsForPolicy", object{"PolicyId": deny})["Targets"]; at(got.([]any)[0], "Name") != "Workloads" || at(got.([]any)[0], "Type") != "ORGANIZATIONAL_UNIT" {
			t.Errorf("targets %v", got)
		}

		restrict := object{"Name": "r", "Type": rcp, "Content": document(object{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"})}
		id := at(o.do("CreatePolicy", restrict), "Policy", "PolicySummary", "Id")
		o.refused("AttachPolicy", object{"PolicyId": id, "TargetId": unit}, "PolicyTypeNotEnabledException: This operation can be performed only for enabled policy types.")
		o.do("EnablePolicyType", object{"RootId": root, "PolicyType": rcp})
		o.refused("EnablePolicyType", object{"RootId": root, "PolicyType": rcp}, "PolicyTypeAlreadyEnabledException: The specified policy type is already enabled.")
		if got := ids(o.do("ListPoliciesForTarget", object{"TargetId": unit, "Filter": rcp}), "Policies", "Name"); !slices.Equal(got, []string{"RCPFullAWSAccess"}) {
			t.Errorf("the unit has %q", got)
		}
		o.refused("MoveAccount", object{"AccountId": accountB, "SourceParentId": root, "DestinationParentId": unit},
			"SourceParentNotFoundException: You specified a source parent that doesn't exist.")
		o.refused("DeleteOrganizationalUnit", object{"OrganizationalUnitId": unit}, "OrganizationalUnitNotEmptyException: The specified OU is not empty. "+
			"Move all accounts to another root or to other OUs, remove all child OUs, and try the operation again.")
		o.do("RemoveAccountFromOrganization", object{"AccountId": accountC})
		o.do("TagResource", object{"ResourceId": unit, "Tags": []object{{"Key": "k", "Value": "v"}}})
		parent := unit
		for range 4 {
			parent = at(o.do("CreateOrganizationalUnit", object{"ParentId": parent, "Name": "deeper"}), "OrganizationalUnit", "Id")
		}
		o.refused("CreateOrganizationalUnit", object{"ParentId": parent, "Name": "too deep"}, "ConstraintViolationException: You have exceeded the allowed depth of OUs.")
	})

	a := startAWS(t, config)
	o := orgs{t, a.Config()}
	if got := ids(o.do("ListAccountsForParent", object{"ParentId": unit}), "Accounts", "Id"); !slices.Equal(got, []string{accountB}) {
		t.Errorf("after a restart the unit has %q", got)
	}
	if got := ids(o.do("ListPoliciesForTarget", object{"TargetId": unit, "Filter": scp}), "Policies", "Id"); !slices.Equal(got, []string{deny}) {
		t.Errorf("after a restart the unit has %q", got)
	}
	if got := ids(o.do("ListTagsForResource", object{"ResourceId": unit}), "Tags", "Value"); !slices.Equal(got, []string{"v"}) {
		t.Errorf("after a restart the tags are %q", got)
	}
	orgs{t, a.ConfigIn(accountC)}.refused("DescribeOrganization", nil, "AWSOrganizationsNotInUseException: Your account is not a member of an organization.")
	list := func() error {
		_, err := a.S3(a.ConfigIn(accountB)).ListBuckets(t.Context(), &s3.ListBucketsInput{})
		return err
	}
	if list() == nil {
		t.Error("after a restart the policies limit nobody")
	}
	for _, name := range []string{"ListAWSServiceAccessForOrganization", "ListDelegatedAdministrators"} {
		if out := o.do(name, nil); len(out) != 1 { // Terraform reads the first
			t.Errorf("%s: %v", name, out)
		}
	}
	o.do("DeleteOrganization", nil)
	if err := list(); err != nil {
		t.Errorf("without the organization: %v", err)
	}
	o.do("CreateOrganization", nil)
}

// TestServiceControl: what service control policies limit, and how AWS says it.
func TestServiceControl(t *testing.T) {
	a := startAWS(t, three())
	o, root, unit := organization(t, a)
	everything := document(allowing(nil, "*", "*"))
	b := userIn(t, a, accountB, "dev", everything)
	c := userIn(t, a, accountC, "dev", everything)
	management := userIn(t, a, accountA, "dev", everything)
	list := func(config aws.Config) error {
		_, err := iam.NewFromConfig(config).ListRoles(t.Context(), &iam.ListRolesInput{})
		return err
	}
	deny := o.attach(scp, "NoRoles", document(object{"Sid": "NoRoles", "Effect": "Deny", "Action": "iam:ListRoles", "Resource": "*"}), unit)
	denied := "User: arn:aws:iam::" + accountB + ":user/dev is not authorized to perform: iam:ListRoles on resource: arn:aws:iam::" + accountB + ":role/ "
	refused(t, list(b), 403, "AccessDenied", denied+"with an explicit deny in a service control policy")
	if e := a.LastDenial(); !strings.Contains(e.Reason, `is explicitly denied by statement 0 (Sid "NoRoles") of service control policy "NoRoles (`+deny+`)" at `+
		"organizational unit "+unit+" (Workloads)") || e.Statement == nil || e.Statement.Type != "service control policy" {
		t.Errorf("the event says %q %+v", e.Reason, e.Statement)
	}
	for name, config := range map[string]aws.Config{"the account in the root": c, "the management account": management} {
		if err := list(config); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := list(a.ConfigIn(accountB)); err == nil {
		t.Error("the root user of a member is not limited")
	}

	// An allow list: nothing but S3.
	o.do("DetachPolicy", object{"PolicyId": deny, "TargetId": unit})
	only := o.attach(scp, "OnlyS3", document(object{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}), unit)
	o.do("DetachPolicy", object{"PolicyId": "p-FullAWSAccess", "TargetId": unit})
	refused(t, list(b), 403, "AccessDenied", denied+"because no service control policy allows the iam:ListRoles action")
	e := a.LastDenial()
	if e.Remedy == nil || len(e.Remedy.Additions) != 1 || e.Remedy.Additions[0].To != unit || e.Remedy.Additions[0].Type != "service control policy" ||
		!strings.Contains(e.Remedy.Additions[0].Command, "--target-id "+unit) {
		t.Fatalf("the remedy is %+v", e.Remedy)
	}
	if _, err := a.S3(b).ListBuckets(t.Context(), &s3.ListBucketsInput{}); err != nil {
		t.Error(err)
	}
	allow := o.attach(scp, "AsSaid", `{"Version":"2012-10-17","Statement":[`+string(e.Remedy.Additions[0].Statement)+`]}`, unit)
	if err := list(b); err != nil {
		t.Errorf("with the remedy: %v", err)
	}

	// The simulator knows.
	simulated := func(action string) types.EvaluationResult {
		t.Helper()
		out, err := iam.NewFromConfig(a.ConfigIn(accountB)).SimulatePrincipalPolicy(t.Context(), &iam.SimulatePrincipalPolicyInput{
			PolicySourceArn: new("arn:aws:iam::" + accountB + ":user/dev"), ActionNames: []string{action},
		})
		if err != nil {
			t.Fatal(err)
		}
		return out.EvaluationResults[0]
	}
	o.do("AttachPolicy", object{"PolicyId": "p-FullAWSAccess", "TargetId": unit})
	o.do("DetachPolicy", object{"PolicyId": allow, "TargetId": unit})
	if r := simulated("iam:ListRoles"); r.EvalDecision != "allowed" || r.OrganizationsDecisionDetail == nil || !r.OrganizationsDecisionDetail.AllowedByOrganizations {
		t.Errorf("simulated %+v", r)
	}
	o.do("AttachPolicy", object{"PolicyId": deny, "TargetId": root})
	if r := simulated("iam:ListRoles"); r.EvalDecision != "implicitDeny" || r.OrganizationsDecisionDetail == nil || r.OrganizationsDecisionDetail.AllowedByOrganizations {
		t.Errorf("simulated %+v", r)
	}
	if err := list(c); err == nil {
		t.Error("a policy of the root does not limit the account below")
	}
	_ = only
}

// TestResourceControl: what resource control policies limit, whoever calls.
func TestResourceControl(t *testing.T) {
	a := startAWS(t, three())
	o, root, unit := organization(t, a)
	o.do("RemoveAccountFromOrganization", object{"AccountId": accountC}) // a stranger
	o.do("EnablePolicyType", object{"RootId": root, "PolicyType": rcp})
	everything := document(allowing(nil, "*", "*"))
	trust := document(allowing(map[string]any{"AWS": []string{accountA, accountB, accountC}}, "sts:AssumeRole", ""))
	role := roleIn(t, a, accountB, "app", trust)
	inManagement := roleIn(t, a, accountA, "app", trust)
	users := map[string]aws.Config{}
	for _, account := range []string{accountA, accountB, accountC} {
		users[account] = userIn(t, a, account, "dev", everything)
	}
	try := func(account, role string) error {
		_, err := sts.NewFromConfig(users[account]).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: new("s1")})
		return err
	}
	for account := range users {
		if err := try(account, role); err != nil {
			t.Fatal(err)
		}
	}
	id := at(o.do("DescribeOrganization", nil), "Organization", "Id")
	o.attach(rcp, "OnlyOurs", document(object{
		"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole", "Resource": "*",
		"Condition": object{"StringNotEqualsIfExists": object{"aws:PrincipalOrgID": id}},
	}), unit)
	refused(t, try(accountC, role), 403, "AccessDenied", "User: arn:aws:iam::"+accountC+":user/dev is not authorized to perform: sts:AssumeRole on resource: "+role)
	if e := a.LastDenial(); !strings.Contains(e.Reason, `of resource control policy "OnlyOurs (`) || e.ResourceAccount != accountB {
		t.Errorf("the event says %q", e.Reason)
	}
	for _, account := range []string{accountA, accountB} {
		if err := try(account, role); err != nil {
			t.Errorf("of the organization: %v", err)
		}
	}
	if err := try(accountC, inManagement); err != nil {
		t.Errorf("a role of the management account: %v", err)
	}
	o.refused("DetachPolicy", object{"PolicyId": "p-RCPFullAWSAccess", "TargetId": unit}, "ConstraintViolationException: You cannot detach the policy RCPFullAWSAccess.")

	// Organization paths: the unit's accounts may not reach the bucket, by its policy.
	own := a.S3(users[accountA])
	if _, err := own.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: new("shared")}); err != nil {
		t.Fatal(err)
	}
	bucket := func(condition object) {
		t.Helper()
		p := document(object{"Effect": "Allow", "Principal": object{"AWS": []string{accountB, accountC}}, "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::shared", "Condition": condition})
		if _, err := own.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: new("shared"), Policy: &p}); err != nil {
			t.Fatal(err)
		}
	}
	see := func(account string) error {
		_, err := a.S3(users[account]).ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: new("shared")})
		return err
	}
	bucket(object{"ForAnyValue:StringLike": object{"aws:PrincipalOrgPaths": id + "/" + root + "/" + unit + "/*"}})
	if err := see(accountB); err != nil {
		t.Errorf("by its path: %v", err)
	}
	refused(t, see(accountC), 403, "AccessDenied", "Access Denied")
	bucket(object{"StringEquals": object{"aws:ResourceOrgID": "o-another", "aws:ResourceAccount": accountA}})
	refused(t, see(accountB), 403, "AccessDenied", "User: arn:aws:iam::"+accountB+":user/dev is not authorized to perform: s3:ListBucket on resource: "+
		`"arn:aws:s3:::shared" because no resource-based policy allows the s3:ListBucket action`)
}

// TestResourceControlOfStrangers: resource control policies limit web identities and
// those who do not sign at all.
func TestResourceControlOfStrangers(t *testing.T) {
	a, i := start(t, three())
	o, root, unit := organization(t, a)
	o.do("EnablePolicyType", object{"RootId": root, "PolicyType": rcp})
	b := a.ConfigIn(accountB)
	_, err := iam.NewFromConfig(b).CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{
		Url: new("https://" + i.hostPath()), ClientIDList: []string{"sts.amazonaws.com"},
	})
	if err != nil {
		t.Fatal(err)
	}
	role := roleIn(t, a, accountB, "app", strings.ReplaceAll(i.usual(), accountA, accountB))
	session(t, a, role, i.token(i.claims()))

	client, public := a.S3(b), document(allowing("*", "s3:GetObject", "arn:aws:s3:::public/*"))
	_, err1 := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: new("public")})
	_, err2 := client.DeletePublicAccessBlock(t.Context(), &s3.DeletePublicAccessBlockInput{Bucket: new("public")})
	_, err3 := client.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: new("public"), Policy: &public})
	_, err4 := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("public"), Key: new("k"), Body: strings.NewReader("x")})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	get := func() int {
		t.Helper()
		resp, err := http.Get(a.URL + "/public/k")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if status := get(); status != 200 {
		t.Errorf("before: %d", status)
	}
	o.attach(rcp, "NoStrangers", document(object{
		"Effect": "Deny", "Principal": "*", "Action": []string{"s3:GetObject", "sts:AssumeRoleWithWebIdentity"}, "Resource": "*",
		"Condition": object{"Null": object{"aws:PrincipalOrgID": "true"}},
	}), unit)
	if status := get(); status != 403 {
		t.Errorf("without a signature: %d", status)
	}
	_, err = assume(t, a, role, i.token(i.claims()))
	refused(t, err, 403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	if e := a.LastDenial(); e.Account != accountB || !strings.Contains(e.Reason, `resource control policy "NoStrangers (`) {
		t.Errorf("the event says %s %q", e.Account, e.Reason)
	}

	// Service-linked roles are not limited.
	linked, err := iam.NewFromConfig(b).CreateServiceLinkedRole(t.Context(), &iam.CreateServiceLinkedRoleInput{AWSServiceName: new("autoscaling.amazonaws.com")})
	if err != nil {
		t.Fatal(err)
	}
	o.attach(scp, "NoInstances", document(object{"Effect": "Deny", "Action": "ec2:DescribeInstances", "Resource": "*"}), unit)
	for arn, want := range map[string]types.PolicyEvaluationDecisionType{*linked.Role.Arn: "allowed", role: "implicitDeny"} {
		out, err := iam.NewFromConfig(b).SimulatePrincipalPolicy(t.Context(), &iam.SimulatePrincipalPolicyInput{
			PolicySourceArn: &arn, ActionNames: []string{"ec2:DescribeInstances"},
		})
		if err != nil || out.EvaluationResults[0].EvalDecision != want {
			t.Errorf("%s: %v %+v, want %s", arn, err, out, want)
		}
	}
}

// TestBucketsAcrossAccounts: names are global, and both sides must allow.
func TestBucketsAcrossAccounts(t *testing.T) {
	a := startAWS(t, two())
	own, theirs := a.S3(a.ConfigIn(accountB)), a.S3(userIn(t, a, accountA, "dev", document(allowing(nil, "s3:*", "*"))))
	nobody := a.S3(userIn(t, a, accountA, "nobody", ""))
	if _, err := own.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: new("theirs")}); err != nil {
		t.Fatal(err)
	}
	_, err := theirs.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: new("theirs")})
	refused(t, err, 409, "BucketAlreadyExists", "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "+
		"Please select a different name and try again.")
	put := func(client *s3.Client) error {
		_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("theirs"), Key: new("k"), Body: strings.NewReader("x")})
		return err
	}
	refused(t, put(theirs), 403, "AccessDenied", "Access Denied")
	if e := a.LastDenial(); !strings.HasSuffix(e.Reason, "Across accounts both sides must allow: account "+accountA+", of the caller, allows it; account "+
		accountB+", of the resource, does not.") {
		t.Errorf("the event says %q", e.Reason)
	}
	p := document(allowing(map[string]any{"AWS": []string{"arn:aws:iam::" + accountA + ":user/dev", "arn:aws:iam::" + accountA + ":user/nobody"}}, "s3:PutObject", "arn:aws:s3:::theirs/*"))
	if _, err := own.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: new("theirs"), Policy: &p}); err != nil {
		t.Fatal(err)
	}
	if err := put(theirs); err != nil {
		t.Error(err)
	}
	refused(t, put(nobody), 403, "AccessDenied", "Access Denied")
	if e := a.LastDenial(); e.Remedy == nil || len(e.Remedy.Additions) != 1 || e.Remedy.Additions[0].To != "arn:aws:iam::"+accountA+":user/nobody" {
		t.Errorf("the remedy is %+v", e.Remedy)
	}
	missing := document(allowing(map[string]any{"AWS": "arn:aws:iam::" + accountA + ":user/missing"}, "s3:PutObject", "arn:aws:s3:::theirs/*"))
	if _, err := own.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: new("theirs"), Policy: &missing}); err == nil {
		t.Error("a user who does not exist in another account is taken")
	}
}

// TestKeysAcrossAccounts: a key is for those whom its policy lets in, and for other
// accounts by ARN alone.
func TestKeysAcrossAccounts(t *testing.T) {
	a := startAWS(t, two())
	own := kms.NewFromConfig(a.ConfigIn(accountB))
	theirs := kms.NewFromConfig(userIn(t, a, accountA, "dev", document(allowing(nil, "kms:*", "*"))))
	made, err := own.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: kmstypes.KeySpecEccNistP256, KeyUsage: kmstypes.KeyUsageTypeSignVerify})
	if err != nil {
		t.Fatal(err)
	}
	arn := *made.KeyMetadata.Arn
	sign := func(client *kms.Client, key string) error {
		_, err := client.Sign(t.Context(), &kms.SignInput{KeyId: &key, Message: []byte("m"), SigningAlgorithm: kmstypes.SigningAlgorithmSpecEcdsaSha256})
		return err
	}
	const hidden = " on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
	who := "User: arn:aws:iam::" + accountA + ":user/dev is not authorized to perform: "
	refused(t, sign(theirs, arn), 400, "AccessDeniedException", who+"kms:Sign"+hidden)
	before, err := own.GetKeyPolicy(t.Context(), &kms.GetKeyPolicyInput{KeyId: &arn})
	if err != nil || !strings.Contains(*before.Policy, "Enable IAM User Permissions") || *before.PolicyName != "default" {
		t.Fatal(before, err)
	}
	root := object{"Effect": "Allow", "Principal": object{"AWS": "arn:aws:iam::" + accountB + ":root"}, "Action": "kms:*", "Resource": "*"}
	shared := document(root, object{"Effect": "Allow", "Principal": object{"AWS": accountA}, "Action": "kms:Sign", "Resource": "*"})
	if _, err := own.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: &arn, Policy: &shared}); err != nil {
		t.Fatal(err)
	}
	if err := sign(theirs, arn); err != nil {
		t.Error(err)
	}
	if err := sign(theirs, *made.KeyMetadata.KeyId); err == nil {
		t.Error("another account's key is found by its id")
	}
	_, err = theirs.GetKeyPolicy(t.Context(), &kms.GetKeyPolicyInput{KeyId: &arn})
	refused(t, err, 400, "AccessDeniedException", who+"kms:GetKeyPolicy"+hidden)

	// A policy that names a user alone shuts out the others of the account, IAM or not.
	admin := userIn(t, a, accountB, "admin", document(allowing(nil, "*", "*")))
	only := document(object{"Effect": "Allow", "Principal": object{"AWS": "arn:aws:iam::" + accountB + ":user/admin"}, "Action": "kms:*", "Resource": "*"})
	_, err = own.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: &arn, Policy: &only})
	refused(t, err, 400, "MalformedPolicyDocumentException", "The new key policy will not allow you to update the key policy in the future.")
	if _, err := own.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: &arn, Policy: &only, BypassPolicyLockoutSafetyCheck: true}); err != nil {
		t.Fatal(err)
	}
	refused(t, sign(own, arn), 400, "AccessDeniedException", "User: arn:aws:iam::"+accountB+":root is not authorized to perform: kms:Sign on resource: "+arn+
		" because no resource-based policy allows the kms:Sign action")
	if err := sign(kms.NewFromConfig(admin), arn); err != nil {
		t.Error(err)
	}
	wrong := document(root, object{"Effect": "Allow", "Principal": object{"AWS": "arn:aws:iam::" + accountA + ":user/missing"}, "Action": "kms:Sign", "Resource": "*"})
	_, err = kms.NewFromConfig(admin).PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: &arn, Policy: &wrong})
	refused(t, err, 400, "MalformedPolicyDocumentException", "Policy contains a statement with one or more invalid principals.")
}
