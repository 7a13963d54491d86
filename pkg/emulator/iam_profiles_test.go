package emulator_test

import (
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// TestInstanceProfiles makes an instance profile with a role in it, and clears
// both up in the only order that IAM lets pass.
func TestInstanceProfiles(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	ctx, client := t.Context(), iam.NewFromConfig(a.Config())
	a.Role("nodes", document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}))
	a.Role("others", document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}))
	name := new("Nodes")
	made := must(client.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{
		InstanceProfileName: name, Path: new("/eks/"), Tags: []types.Tag{{Key: new("team"), Value: new("blue")}},
	})).InstanceProfile
	if *made.Arn != "arn:aws:iam::000000000000:instance-profile/eks/Nodes" || (*made.InstanceProfileId)[:4] != "AIPA" || len(made.Roles) != 0 || len(made.Tags) != 1 {
		t.Errorf("made: %+v", made)
	}
	_, err := client.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: new("nodes")})
	refused(t, err, 409, "EntityAlreadyExists", "Instance Profile nodes already exists.")
	add := func(role string) error {
		_, err := client.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: name, RoleName: &role})
		return err
	}
	refused(t, add("absent"), 404, "NoSuchEntity", "The role with name absent cannot be found.")
	if err := add("nodes"); err != nil {
		t.Fatal(err)
	}
	refused(t, add("others"), 409, "LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")

	got := must(client.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: name})).InstanceProfile
	if len(got.Roles) != 1 || *got.Roles[0].RoleName != "nodes" || got.Roles[0].AssumeRolePolicyDocument == nil || *got.Tags[0].Value != "blue" {
		t.Errorf("the profile: %+v", got)
	}
	of := func(role string) []types.InstanceProfile {
		return must(client.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: &role})).InstanceProfiles
	}
	if list := of("nodes"); len(list) != 1 || *list[0].InstanceProfileId != *made.InstanceProfileId || len(of("others")) != 0 {
		t.Errorf("profiles of the role: %+v", list)
	}
	for prefix, want := range map[string]int{"/": 1, "/eks/": 1, "/kops/": 0} {
		list := must(client.ListInstanceProfiles(ctx, &iam.ListInstanceProfilesInput{PathPrefix: &prefix})).InstanceProfiles
		if len(list) != want || want == 1 && len(list[0].Tags) != 0 {
			t.Errorf("below %s there are %+v", prefix, list)
		}
	}
	details := must(client.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{"Role"}}))
	if n, o := details.RoleDetailList[0], details.RoleDetailList[1]; len(n.InstanceProfileList) != 1 || len(o.InstanceProfileList) != 0 {
		t.Errorf("details of the roles: %+v", details.RoleDetailList)
	}
	if n := must(client.GetAccountSummary(ctx, nil)).SummaryMap["InstanceProfiles"]; n != 1 {
		t.Errorf("the summary counts %d", n)
	}

	_, err = client.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: name})
	refused(t, err, 409, "DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
	_, err = client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: new("nodes")})
	refused(t, err, 409, "DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
	_, err = client.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: name, RoleName: new("others")})
	refused(t, err, 404, "NoSuchEntity", "The role with name others cannot be found in instance profile Nodes.")
	must(client.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: name, RoleName: new("nodes")}))
	must(client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: new("nodes")}))
	must(client.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: name}))
	_, err = client.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: name})
	refused(t, err, 404, "NoSuchEntity", "Instance Profile Nodes cannot be found.")
}

// TestInstanceProfilePassRole: whoever puts a role into an instance profile must
// be allowed to pass it to EC2.
func TestInstanceProfilePassRole(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	idp.register()
	ctx, root := t.Context(), iam.NewFromConfig(a.Config())
	nodes := a.Role("nodes", document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}))
	must(root.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: new("p")}))
	maker := a.Role("maker", idp.usual())
	allow := map[string]any{"Effect": "Allow", "Action": "iam:AddRoleToInstanceProfile", "Resource": "arn:aws:iam::*:instance-profile/p"}
	a.Policy("maker", "add", allow)
	client := iam.NewFromConfig(session(t, a, maker, idp.token(idp.claims())))
	add := func() error {
		_, err := client.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: new("p"), RoleName: new("nodes")})
		return err
	}
	const denied = "User: arn:aws:sts::000000000000:assumed-role/maker/app1 is not authorized to perform: iam:PassRole on resource: " +
		"arn:aws:iam::000000000000:role/nodes because no identity-based policy allows the iam:PassRole action"
	refused(t, add(), 403, "AccessDenied", denied)
	pass := func(service string) map[string]any {
		return map[string]any{"Effect": "Allow", "Action": "iam:PassRole", "Resource": nodes,
			"Condition": map[string]any{"StringEquals": map[string]any{"iam:PassedToService": service}}}
	}
	a.Policy("maker", "pass", pass("lambda.amazonaws.com"))
	refused(t, add(), 403, "AccessDenied", denied)
	a.Policy("maker", "pass", pass("ec2.amazonaws.com"))
	if err := add(); err != nil {
		t.Error(err)
	}
	_, err := client.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: new("p")})
	refused(t, err, 403, "AccessDenied", "User: arn:aws:sts::000000000000:assumed-role/maker/app1 is not authorized to perform: iam:GetInstanceProfile "+
		"on resource: instance profile p because no identity-based policy allows the iam:GetInstanceProfile action")
}

// persistent runs an emulator with a state file; again ends it and runs another
// one on the same file.
func persistent(t *testing.T) (config func() aws.Config, again func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	var server *emulator.Server
	var web *httptest.Server
	stop := func() { web.Close(); server.Close() }
	run := func() {
		server = must(emulator.New(emulator.Config{State: path, Control: true}))
		web = httptest.NewServer(server)
	}
	run()
	t.Cleanup(func() { stop() })
	return func() aws.Config {
		return aws.Config{Region: "us-east-1", BaseEndpoint: &web.URL, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
	}, func() { stop(); run() }
}

// TestInstanceProfilesStay: instance profiles, and the roles in them, are in the
// state file.
func TestInstanceProfilesStay(t *testing.T) {
	t.Parallel()
	config, again := persistent(t)
	ctx, client := t.Context(), iam.NewFromConfig(config())
	trust := document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"})
	must(client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: &trust}))
	for _, name := range []string{"p", "q"} {
		must(client.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: &name}))
	}
	must(client.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: new("p"), RoleName: new("r")}))
	must(client.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: new("q")}))
	again()
	list := must(iam.NewFromConfig(config()).ListInstanceProfiles(ctx, &iam.ListInstanceProfilesInput{})).InstanceProfiles
	if len(list) != 1 || *list[0].InstanceProfileName != "p" || len(list[0].Roles) != 1 || *list[0].Roles[0].RoleName != "r" {
		t.Errorf("after a restart: %+v", list)
	}
}
