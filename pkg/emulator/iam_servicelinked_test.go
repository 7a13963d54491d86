package emulator_test

import (
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/openirsa/openirsa/pkg/emulator/managed"
)

// TestServiceLinkedRoles: a service-linked role is made by the name of its service,
// and only the service may change it.
func TestServiceLinkedRoles(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	ctx, client := t.Context(), iam.NewFromConfig(a.Config())
	create := func(service, suffix string) (*types.Role, error) {
		in := &iam.CreateServiceLinkedRoleInput{AWSServiceName: &service, Description: new("for nodes")}
		if suffix != "" {
			in.CustomSuffix = &suffix
		}
		out, err := client.CreateServiceLinkedRole(ctx, in)
		if err != nil {
			return nil, err
		}
		return out.Role, nil
	}
	role := must(create("eks-nodegroup.amazonaws.com", ""))
	const trust = `{"Version":"2012-10-17","Statement":[{"Action":["sts:AssumeRole"],"Effect":"Allow","Principal":{"Service":["eks-nodegroup.amazonaws.com"]}}]}`
	if *role.Arn != "arn:aws:iam::000000000000:role/aws-service-role/eks-nodegroup.amazonaws.com/AWSServiceRoleForAmazonEKSNodegroup" ||
		must(url.PathUnescape(*role.AssumeRolePolicyDocument)) != trust || *role.Description != "for nodes" {
		t.Errorf("the role: %+v", role)
	}
	name := role.RoleName
	attached := must(client.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: name})).AttachedPolicies
	if len(attached) != 1 || *attached[0].PolicyArn != "arn:aws:iam::aws:policy/aws-service-role/AWSServiceRoleForAmazonEKSNodegroup" {
		t.Errorf("its policies: %+v", attached)
	}
	_, err := create("eks-nodegroup.amazonaws.com", "")
	refused(t, err, 400, "InvalidInput", "Service role name AWSServiceRoleForAmazonEKSNodegroup has been taken in this account, please try a different suffix.")
	_, err = create("es.amazonaws.com", "x")
	refused(t, err, 400, "InvalidInput", "Custom suffix is not allowed for es.amazonaws.com")
	_, err = create("nothing.amazonaws.com", "")
	refused(t, err, 400, "InvalidInput", "nothing.amazonaws.com has no service-linked role that is known here.")
	if suffixed := must(create("autoscaling.amazonaws.com", "CMK")); *suffixed.RoleName != "AWSServiceRoleForAutoScaling_CMK" {
		t.Errorf("with a suffix: %+v", suffixed)
	}

	must(client.UpdateRoleDescription(ctx, &iam.UpdateRoleDescriptionInput{RoleName: name, Description: new("other")}))
	must(client.TagRole(ctx, &iam.TagRoleInput{RoleName: name, Tags: []types.Tag{{Key: new("k"), Value: new("v")}}}))
	must(client.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: new("p")}))
	document := document(map[string]any{"Effect": "Allow", "Action": "*", "Resource": "*"})
	boundary := new("arn:aws:iam::aws:policy/AdministratorAccess")
	for operation, err := range map[string]error{
		"AttachRolePolicy":         second(client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: boundary})),
		"DetachRolePolicy":         second(client.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: attached[0].PolicyArn})),
		"PutRolePolicy":            second(client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: new("p"), PolicyDocument: &document})),
		"DeleteRolePolicy":         second(client.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: new("p")})),
		"PutRoleBoundary":          second(client.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: boundary})),
		"UpdateAssumeRolePolicy":   second(client.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: new(trust)})),
		"UpdateRole":               second(client.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: name, MaxSessionDuration: new(int32(7200))})),
		"AddRoleToInstanceProfile": second(client.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{RoleName: name, InstanceProfileName: new("p")})),
		"DeleteRole":               second(client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name})),
	} {
		t.Log(operation)
		refused(t, err, 400, "UnmodifiableEntity",
			"Cannot perform the operation on the protected role 'AWSServiceRoleForAmazonEKSNodegroup' - this role is only modifiable by AWS")
	}

	task := must(client.DeleteServiceLinkedRole(ctx, &iam.DeleteServiceLinkedRoleInput{RoleName: name})).DeletionTaskId
	if !strings.HasPrefix(*task, "task/aws-service-role/eks-nodegroup.amazonaws.com/AWSServiceRoleForAmazonEKSNodegroup/") {
		t.Errorf("the task is %s", *task)
	}
	status := must(client.GetServiceLinkedRoleDeletionStatus(ctx, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: task}))
	if status.Status != types.DeletionTaskStatusTypeSucceeded {
		t.Errorf("its status is %s", status.Status)
	}
	_, err = client.GetRole(ctx, &iam.GetRoleInput{RoleName: name})
	refused(t, err, 404, "NoSuchEntity", "The role with name AWSServiceRoleForAmazonEKSNodegroup cannot be found.")
	_, err = client.GetServiceLinkedRoleDeletionStatus(ctx, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: new(*task + "x")})
	refused(t, err, 404, "NoSuchEntity", "Deletion task "+*task+"x cannot be found.")
	a.Role("usual", trust)
	_, err = client.DeleteServiceLinkedRole(ctx, &iam.DeleteServiceLinkedRoleInput{RoleName: new("usual")})
	refused(t, err, 404, "NoSuchEntity", "The role with name usual cannot be found.")
	_, err = client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("r"), Path: new("/aws-service-role/x/"), AssumeRolePolicyDocument: new(trust)})
	refused(t, err, 400, "InvalidInput", "Path prefix '/aws-service-role/' can only be used for AWS Service linked Roles")
}

// TestServiceLinkedTable: each role of the table has a policy that AWS has, under
// the path of those policies, and names no service twice.
func TestServiceLinkedTable(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for line := range strings.Lines(string(must(os.ReadFile("servicelinked.txt")))) {
		fields := strings.Fields(line)
		if fields[0] == "#" {
			continue
		}
		if len(fields) != 3 || seen[fields[0]] || !strings.HasPrefix(strings.TrimPrefix(fields[1], "*"), "AWSServiceRoleFor") {
			t.Errorf("%q", line)
			continue
		}
		seen[fields[0]] = true
		if _, ok := managed.Get("arn:aws:iam::aws:policy/aws-service-role/" + fields[2]); !ok {
			t.Errorf("%s: AWS has no policy %s", fields[0], fields[2])
		}
	}
	if len(seen) < 70 {
		t.Errorf("there are %d", len(seen))
	}
}

// TestAccountAlias: an account has one alias, which a new one replaces, and which
// outlives the process.
func TestAccountAlias(t *testing.T) {
	t.Parallel()
	config, again := persistent(t)
	ctx := t.Context()
	client := func() *iam.Client { return iam.NewFromConfig(config()) }
	aliases := func() string {
		t.Helper()
		return strings.Join(must(client().ListAccountAliases(ctx, nil)).AccountAliases, " ")
	}
	create := func(alias string) error {
		_, err := client().CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: &alias})
		return err
	}
	if got := aliases(); got != "" {
		t.Errorf("at first: %s", got)
	}
	for _, alias := range []string{"first", "2nd-one"} {
		if err := create(alias); err != nil || aliases() != alias {
			t.Errorf("%s: %v, the aliases are %s", alias, err, aliases())
		}
	}
	refused(t, create("2nd-one"), 409, "EntityAlreadyExists", "The account alias 2nd-one already exists.")
	for _, alias := range []string{"ab", "-ab", "ab-", "a--b", "Ab", strings.Repeat("a", 64)} {
		if err := create(alias); err == nil || !strings.Contains(err.Error(), "ValidationError") {
			t.Errorf("%s: %v", alias, err)
		}
	}
	again()
	if got := aliases(); got != "2nd-one" {
		t.Errorf("after a restart: %s", got)
	}
	_, err := client().DeleteAccountAlias(ctx, &iam.DeleteAccountAliasInput{AccountAlias: new("first")})
	refused(t, err, 404, "NoSuchEntity", "The account alias first cannot be found.")
	must(client().DeleteAccountAlias(ctx, &iam.DeleteAccountAliasInput{AccountAlias: new("2nd-one")}))
	if got := aliases(); got != "" {
		t.Errorf("after its deletion: %s", got)
	}
}
