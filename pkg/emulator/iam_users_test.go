package emulator_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// TestForceDestroy makes the calls that Terraform makes to destroy a user with
// force_destroy, in its order.
func TestForceDestroy(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	ctx, client := t.Context(), iam.NewFromConfig(a.Config())
	ann := new("ann")
	must(client.CreateUser(ctx, &iam.CreateUserInput{UserName: ann}))
	must(client.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("g")}))
	must(client.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("g"), UserName: ann}))
	key := must(client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: ann})).AccessKey

	must(client.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: new("g"), UserName: ann}))
	must(client.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: ann, AccessKeyId: key.AccessKeyId}))
	if out := must(client.ListSSHPublicKeys(ctx, &iam.ListSSHPublicKeysInput{UserName: ann})); len(out.SSHPublicKeys) != 0 || out.IsTruncated {
		t.Errorf("SSH keys: %+v", out)
	}
	if out := must(client.ListVirtualMFADevices(ctx, &iam.ListVirtualMFADevicesInput{AssignmentStatus: "Assigned"})); len(out.VirtualMFADevices) != 0 {
		t.Errorf("virtual MFA devices: %+v", out)
	}
	if out := must(client.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: ann})); len(out.MFADevices) != 0 {
		t.Errorf("MFA devices: %+v", out)
	}
	_, err := client.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: ann})
	refused(t, err, 404, "NoSuchEntity", "Login Profile for User ann cannot be found.")
	if out := must(client.ListSigningCertificates(ctx, &iam.ListSigningCertificatesInput{UserName: ann})); len(out.Certificates) != 0 {
		t.Errorf("signing certificates: %+v", out)
	}
	if out := must(client.ListServiceSpecificCredentials(ctx, &iam.ListServiceSpecificCredentialsInput{UserName: ann})); len(out.ServiceSpecificCredentials) != 0 {
		t.Errorf("service specific credentials: %+v", out)
	}
	must(client.DeleteUser(ctx, &iam.DeleteUserInput{UserName: ann}))

	_, err = client.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: ann})
	refused(t, err, 404, "NoSuchEntity", "The user with name ann cannot be found.")
}

// TestAbsent: what cannot exist is not there, and asking for it takes the
// permission it takes at AWS.
func TestAbsent(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	idp.register()
	ctx, root := t.Context(), iam.NewFromConfig(a.Config())
	must(root.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")}))
	must(root.ListServerCertificates(ctx, &iam.ListServerCertificatesInput{}))
	must(root.ListMFADevices(ctx, &iam.ListMFADevicesInput{})) // the root user's own
	must(root.ListServiceSpecificCredentials(ctx, &iam.ListServiceSpecificCredentialsInput{AllUsers: new(true)}))

	_, err := root.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: new("ann")})
	refused(t, err, 404, "NoSuchEntity", "Login Profile for User ann cannot be found.")
	_, err = root.GetAccountPasswordPolicy(ctx, &iam.GetAccountPasswordPolicyInput{})
	refused(t, err, 404, "NoSuchEntity", "The Password Policy with domain name 000000000000 cannot be found.")
	_, err = root.DeleteAccountPasswordPolicy(ctx, &iam.DeleteAccountPasswordPolicyInput{})
	refused(t, err, 404, "NoSuchEntity", "The Password Policy with domain name 000000000000 cannot be found.")
	_, err = root.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: new("p")})
	refused(t, err, 404, "NoSuchEntity", "Instance Profile p cannot be found.")
	_, err = root.GetServerCertificate(ctx, &iam.GetServerCertificateInput{ServerCertificateName: new("c")})
	refused(t, err, 404, "NoSuchEntity", "The Server Certificate with name c cannot be found.")
	_, err = root.DeleteSSHPublicKey(ctx, &iam.DeleteSSHPublicKeyInput{UserName: new("ann"), SSHPublicKeyId: new("APKAAAAAAAAAAAAAAAAA")})
	refused(t, err, 404, "NoSuchEntity", "The Public Key with id APKAAAAAAAAAAAAAAAAA cannot be found.")
	_, err = root.GetSAMLProvider(ctx, &iam.GetSAMLProviderInput{SAMLProviderArn: new("arn:aws:iam::000000000000:saml-provider/x")})
	refused(t, err, 404, "NoSuchEntity", "Manifest not found for arn arn:aws:iam::000000000000:saml-provider/x")

	nobody := iam.NewFromConfig(session(t, a, a.Role("nobody", idp.usual()), idp.token(idp.claims())))
	_, err = nobody.ListServerCertificates(ctx, &iam.ListServerCertificatesInput{})
	refused(t, err, 403, "AccessDenied", "User: arn:aws:sts::000000000000:assumed-role/nobody/app1 is not authorized to perform: iam:ListServerCertificates "+
		"on resource: arn:aws:iam::000000000000:server-certificate/* because no identity-based policy allows the iam:ListServerCertificates action")
	_, err = nobody.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: new("p")})
	if err == nil || !strings.Contains(err.Error(), "not authorized to perform: iam:GetInstanceProfile") {
		t.Error(err)
	}
}

// TestRename: the unique id stays, and all that hangs on it follows.
func TestRename(t *testing.T) {
	t.Parallel()
	state := t.TempDir() + "/state"
	a := startAWS(t, emulator.Config{State: state})
	ctx, client := t.Context(), iam.NewFromConfig(a.Config())
	ann := must(client.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann"), Path: new("/old/"), PermissionsBoundary: new(admin)})).User
	must(client.CreateUser(ctx, &iam.CreateUserInput{UserName: new("bob")}))
	group := must(client.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("readers")})).Group
	must(client.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("readers"), UserName: new("ann")}))
	must(client.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: new("readers"), PolicyArn: new("arn:aws:iam::aws:policy/IAMReadOnlyAccess")}))
	must(client.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("ann"), PolicyName: new("p"),
		PolicyDocument: new(document(map[string]any{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}))}))
	key := must(client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("ann")})).AccessKey
	role := a.Role("r", document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": *ann.Arn}, "Action": "sts:AssumeRole"}))
	config := a.ConfigFor(*key.AccessKeyId, *key.SecretAccessKey, "")

	_, err := client.UpdateUser(ctx, &iam.UpdateUserInput{UserName: new("ann"), NewUserName: new("BOB")})
	refused(t, err, 409, "EntityAlreadyExists", "User with name BOB already exists.")
	_, err = client.UpdateUser(ctx, &iam.UpdateUserInput{UserName: new("nobody"), NewUserName: new("x")})
	refused(t, err, 404, "NoSuchEntity", "The user with name nobody cannot be found.")
	_, err = client.UpdateGroup(ctx, &iam.UpdateGroupInput{GroupName: new("nobody"), NewPath: new("/x/")})
	refused(t, err, 404, "NoSuchEntity", "The group with name nobody cannot be found.")
	must(client.UpdateUser(ctx, &iam.UpdateUserInput{UserName: new("ANN"), NewUserName: new("anna"), NewPath: new("/new/")}))
	must(client.UpdateGroup(ctx, &iam.UpdateGroupInput{GroupName: new("readers"), NewGroupName: new("Viewers"), NewPath: new("/g/")}))
	must(client.UpdateUser(ctx, &iam.UpdateUserInput{UserName: new("anna"), NewUserName: new("Anna")})) // its own name, in other letters

	_, err = client.GetUser(ctx, &iam.GetUserInput{UserName: new("ann")})
	refused(t, err, 404, "NoSuchEntity", "The user with name ann cannot be found.")
	_, err = client.GetGroup(ctx, &iam.GetGroupInput{GroupName: new("readers")})
	refused(t, err, 404, "NoSuchEntity", "The group with name readers cannot be found.")
	check := func(client *iam.Client) {
		t.Helper()
		got := must(client.GetUser(ctx, &iam.GetUserInput{UserName: new("anna")})).User
		if *got.Arn != "arn:aws:iam::000000000000:user/new/Anna" || *got.UserId != *ann.UserId || *got.PermissionsBoundary.PermissionsBoundaryArn != admin {
			t.Errorf("user %s %s %+v", *got.Arn, *got.UserId, got.PermissionsBoundary)
		}
		in := must(client.GetGroup(ctx, &iam.GetGroupInput{GroupName: new("viewers")}))
		if *in.Group.Arn != "arn:aws:iam::000000000000:group/g/Viewers" || *in.Group.GroupId != *group.GroupId || len(in.Users) != 1 || *in.Users[0].UserName != "Anna" {
			t.Errorf("group %+v, users %+v", in.Group, in.Users)
		}
		if n := len(must(client.ListUsers(ctx, &iam.ListUsersInput{})).Users); n != 2 {
			t.Errorf("%d users", n)
		}
	}
	check(client)

	who := must(sts.NewFromConfig(config).GetCallerIdentity(ctx, nil))
	if *who.Arn != "arn:aws:iam::000000000000:user/new/Anna" {
		t.Errorf("the key is of %s", *who.Arn)
	}
	must(iam.NewFromConfig(config).ListRoles(ctx, &iam.ListRolesInput{})) // by the group's policy
	must(sts.NewFromConfig(config).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: new("s1")}))
	keys := must(iam.NewFromConfig(config).ListAccessKeys(ctx, &iam.ListAccessKeysInput{}))
	if *keys.AccessKeyMetadata[0].UserName != "Anna" {
		t.Errorf("key of %s", *keys.AccessKeyMetadata[0].UserName)
	}

	// To rename is to have permission for both names.
	must(client.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("Anna"), PolicyName: new("p"),
		PolicyDocument: new(document(map[string]any{"Effect": "Allow", "Action": "iam:UpdateUser", "Resource": "arn:aws:iam::000000000000:user/bob"}))}))
	_, err = iam.NewFromConfig(config).UpdateUser(ctx, &iam.UpdateUserInput{UserName: new("bob"), NewUserName: new("rob")})
	if err == nil || !strings.Contains(err.Error(), "iam:UpdateUser on resource: user rob") {
		t.Errorf("renamed with permission for one name: %v", err)
	}

	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b := startAWS(t, emulator.Config{State: state})
	check(iam.NewFromConfig(b.Config()))
}

func TestAccessKeyLastUsed(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	ctx, client := t.Context(), iam.NewFromConfig(a.Config())
	must(client.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")}))
	key := must(client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("ann")})).AccessKey
	used := func() *iam.GetAccessKeyLastUsedOutput {
		return must(client.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: key.AccessKeyId}))
	}
	if u := used(); *u.UserName != "ann" || *u.AccessKeyLastUsed.ServiceName != "N/A" || *u.AccessKeyLastUsed.Region != "N/A" || u.AccessKeyLastUsed.LastUsedDate != nil {
		t.Errorf("never used: %+v", u.AccessKeyLastUsed)
	}
	config := a.ConfigFor(*key.AccessKeyId, *key.SecretAccessKey, "")
	config.Region = "eu-west-1"
	must(sts.NewFromConfig(config).GetCallerIdentity(ctx, nil))
	if u := used().AccessKeyLastUsed; *u.ServiceName != "sts" || *u.Region != "eu-west-1" || u.LastUsedDate == nil || time.Since(*u.LastUsedDate) > time.Minute {
		t.Errorf("used: %+v", u)
	}
	_, err := client.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: new("ann"), AccessKeyId: key.AccessKeyId, Status: "Expired"})
	refused(t, err, 400, "InvalidInput", "The status Expired cannot be set.")
	must(client.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: new("ann"), AccessKeyId: key.AccessKeyId, Status: "Inactive"}))
	if u := used().AccessKeyLastUsed; *u.ServiceName != "sts" {
		t.Errorf("forgotten: %+v", u)
	}
	_, err = client.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: new("AKIAIOSFODNN7EXAMPLE")})
	refused(t, err, 403, "AccessDenied", "User: arn:aws:iam::000000000000:root is not authorized to perform: iam:GetAccessKeyLastUsed on resource: access key AKIAIOSFODNN7EXAMPLE")
}
