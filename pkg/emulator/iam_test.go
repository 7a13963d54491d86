package emulator_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/pkg/emulator"
)

const (
	readOnly = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"
	admin    = "arn:aws:iam::aws:policy/AdministratorAccess"
	rootARN  = "arn:aws:iam::000000000000:root"
)

// anyone is a trust policy that the account decides on.
var anyone = document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": rootARN}, "Action": "sts:AssumeRole"})

var getObject = document(map[string]any{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"})

// TestRoleAnswers holds what each answer about a role carries against captures
// of AWS's.
func TestRoleAnswers(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	ctx, client := t.Context(), iam.NewFromConfig(a.Config())
	trust := "{ \"Version\": \"2012-10-17\",\n  \"Statement\": [{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"" + rootARN + "\"},\"Action\":\"sts:AssumeRole\"}] }"
	created, err := client.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: new("R"), Path: new("/a/b/"), AssumeRolePolicyDocument: &trust, Description: new("what for"), MaxSessionDuration: new(int32(7200)),
		PermissionsBoundary: new(readOnly), Tags: []types.Tag{{Key: new("k"), Value: new("v")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	type facts struct {
		ARN, Path, Description string
		MaxSession             int32
		Tags                   int
		Boundary               string
		LastUsed               bool
		Trust                  string
	}
	factsOf := func(r *types.Role) facts {
		f := facts{ARN: aws.ToString(r.Arn), Path: aws.ToString(r.Path), Description: aws.ToString(r.Description), MaxSession: aws.ToInt32(r.MaxSessionDuration), Tags: len(r.Tags), LastUsed: r.RoleLastUsed != nil}
		if r.PermissionsBoundary != nil {
			f.Boundary = aws.ToString(r.PermissionsBoundary.PermissionsBoundaryArn)
		}
		f.Trust, _ = url.PathUnescape(aws.ToString(r.AssumeRolePolicyDocument))
		return f
	}
	base := facts{ARN: "arn:aws:iam::000000000000:role/a/b/R", Path: "/a/b/", Trust: trust}
	want := base
	want.Tags, want.Boundary = 1, readOnly
	if diff := cmp.Diff(want, factsOf(created.Role)); diff != "" {
		t.Errorf("CreateRole (-want +got):\n%s", diff)
	}
	want.Description, want.MaxSession, want.LastUsed = "what for", 7200, true
	got, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: new("r")}) // names are compared without regard to case
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, factsOf(got.Role)); diff != "" {
		t.Errorf("GetRole (-want +got):\n%s", diff)
	}
	want = base
	want.Description, want.MaxSession = "what for", 7200
	list, err := client.ListRoles(ctx, &iam.ListRolesInput{PathPrefix: new("/a/")})
	if err != nil || len(list.Roles) != 1 {
		t.Fatal(list, err)
	}
	if diff := cmp.Diff(want, factsOf(&list.Roles[0])); diff != "" {
		t.Errorf("ListRoles (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(aws.ToString(created.Role.AssumeRolePolicyDocument), "%7B%20%22Version%22%3A%20%222012-10-17%22%2C%0A%20") {
		t.Errorf("the document is not encoded by RFC 3986: %s", *created.Role.AssumeRolePolicyDocument)
	}
}

// TestIAMRefuses holds the texts of errors against those of AWS.
func TestIAMRefuses(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	ctx, client := t.Context(), iam.NewFromConfig(a.Config())
	a.Role("R", anyone, readOnly)
	a.Policy("R", "inline", map[string]any{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"})
	p, err := client.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("P"), PolicyDocument: &getObject})
	if err != nil {
		t.Fatal(err)
	}
	arn := p.Policy.Arn
	a.Role("other", anyone, *arn)
	for range 4 {
		if _, err := client.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: &getObject}); err != nil {
			t.Fatal(err)
		}
	}
	missing := new("arn:aws:iam::000000000000:policy/missing")
	big := document(map[string]any{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::" + strings.Repeat("x", 6200)})
	for _, c := range []struct {
		name          string
		call          func() (any, error)
		status        int
		code, message string
	}{
		{"create a role twice", func() (any, error) {
			return client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: &anyone})
		}, 409, "EntityAlreadyExists", "Role with name r already exists."},
		{"missing role", func() (any, error) { return client.GetRole(ctx, &iam.GetRoleInput{RoleName: new("x")}) },
			404, "NoSuchEntity", "The role with name x cannot be found."},
		{"missing inline policy", func() (any, error) {
			return client.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: new("R"), PolicyName: new("x")})
		}, 404, "NoSuchEntity", "The role policy with name x cannot be found."},
		{"missing policy", func() (any, error) { return client.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: missing}) },
			404, "NoSuchEntity", "Policy arn:aws:iam::000000000000:policy/missing was not found."},
		{"attach a missing policy", func() (any, error) {
			return client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: new("R"), PolicyArn: new("arn:aws:iam::aws:policy/NoSuchPolicy")})
		}, 404, "NoSuchEntity", "Policy arn:aws:iam::aws:policy/NoSuchPolicy does not exist or is not attachable."},
		{"detach what is not attached", func() (any, error) {
			return client.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: new("R"), PolicyArn: arn})
		}, 404, "NoSuchEntity", "Policy " + *arn + " was not found."},
		{"create a policy twice", func() (any, error) {
			return client.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("P"), PolicyDocument: &getObject})
		}, 409, "EntityAlreadyExists", "A policy called P already exists. Duplicate names are not allowed."},
		{"delete a role with managed policies", func() (any, error) { return client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: new("R")}) },
			409, "DeleteConflict", "Cannot delete entity, must detach all policies first."},
		{"delete an attached policy", func() (any, error) { return client.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn}) },
			409, "DeleteConflict", "Cannot delete a policy attached to entities."},
		{"sixth version", func() (any, error) {
			return client.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: &getObject})
		}, 409, "LimitExceeded", "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version."},
		{"delete the default version", func() (any, error) {
			return client.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: new("v1")})
		}, 409, "DeleteConflict", "Cannot delete the default version of a policy."},
		{"write to a policy of AWS", func() (any, error) {
			return client.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: new(readOnly), PolicyDocument: &getObject})
		}, 403, "AccessDenied", "User: " + rootARN + " is not authorized to perform: iam:CreatePolicyVersion on resource: policy " + readOnly},
		{"duplicate tags", func() (any, error) {
			return client.TagRole(ctx, &iam.TagRoleInput{RoleName: new("R"), Tags: []types.Tag{{Key: new("k"), Value: new("1")}, {Key: new("K"), Value: new("2")}}})
		}, 400, "InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive."},
		{"trust policy is no JSON", func() (any, error) {
			return client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: new("not json")})
		}, 400, "MalformedPolicyDocument", "This policy contains invalid Json"},
		{"trust in a role that is not there", func() (any, error) {
			doc := document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": "arn:aws:iam::000000000000:role/x"}, "Action": "sts:AssumeRole"})
			return client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: &doc})
		}, 400, "MalformedPolicyDocument", `Invalid principal in policy: "AWS":"arn:aws:iam::000000000000:role/x"`},
		{"long trust policy", func() (any, error) {
			doc := document(map[string]any{"Sid": strings.Repeat("x", 2100), "Effect": "Allow", "Principal": map[string]any{"AWS": rootARN}, "Action": "sts:AssumeRole"})
			return client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: &doc})
		}, 409, "LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048"},
		{"long managed policy", func() (any, error) {
			return client.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("big"), PolicyDocument: &big})
		}, 409, "LimitExceeded", "Cannot exceed quota for PolicySize: 6144"},
		{"long inline policies", func() (any, error) {
			for i := range 2 {
				if _, err := client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new("R"), PolicyName: new(fmt.Sprint("big", i)), PolicyDocument: &big}); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}, 409, "LimitExceeded", "Maximum policy size of 10240 bytes exceeded for role R"},
		{"malformed policy", func() (any, error) {
			return client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new("R"), PolicyName: new("x"), PolicyDocument: new("{}")})
		}, 400, "MalformedPolicyDocument", "Syntax errors in policy."},
		{"boundary that is not there", func() (any, error) {
			return client.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: new("R"), PermissionsBoundary: missing})
		}, 404, "NoSuchEntity", "Scope ARN: " + *missing + " does not exist or is not attachable."},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.call()
			refused(t, err, c.status, c.code, c.message)
		})
	}

	t.Run("eleventh attachment", func(t *testing.T) {
		a.Role("full", anyone)
		all, err := client.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeAws, MaxItems: new(int32(11))})
		if err != nil || len(all.Policies) != 11 {
			t.Fatal(err)
		}
		for i, p := range all.Policies {
			_, err = client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: new("full"), PolicyArn: p.Arn})
			if i < 10 && err != nil {
				t.Fatal(err)
			}
		}
		refused(t, err, 409, "LimitExceeded", "Cannot exceed quota for PoliciesPerRole: 10")
		if _, err := client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: new("full"), PolicyArn: all.Policies[0].Arn}); err != nil {
			t.Errorf("attaching again: %v", err)
		}
	})
	t.Run("versions are never numbered again", func(t *testing.T) {
		if _, err := client.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: new("v5")}); err != nil {
			t.Fatal(err)
		}
		v, err := client.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: &getObject, SetAsDefault: true})
		if err != nil || *v.PolicyVersion.VersionId != "v6" {
			t.Error(v, err)
		}
	})
}

// TestListGaps: gaps between the indexes of a list are closed up, of members
// that are texts and of those that have fields.
func TestListGaps(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	send := func(operation string, pairs ...string) string {
		t.Helper()
		return call(t, a.URL, "iam", "test", "test", form(append(pairs, "Action", operation, "Version", "2010-05-08")...))
	}
	const arn = "arn:aws:iam::000000000000:oidc-provider/i.example"
	send("CreateOpenIDConnectProvider", "Url", "https://i.example", "ThumbprintList.member.9", strings.Repeat("a", 40),
		"ClientIDList.member.1", "a", "ClientIDList.member.4", "b", "ClientIDList.member.014", "c",
		"Tags.member.3.Key", "k", "Tags.member.3.Value", "v", "Tags.member.05.Key", "l", "Tags.member.5.Value", "w")
	got := send("GetOpenIDConnectProvider", "OpenIDConnectProviderArn", arn)
	for _, want := range []string{
		"<ClientIDList><member>a</member><member>b</member><member>c</member></ClientIDList>",
		"<member><Key>k</Key><Value>v</Value></member><member><Key>l</Key><Value>w</Value></member>",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	// What a member leaves out is not taken from the one before it.
	got = send("TagOpenIDConnectProvider", "OpenIDConnectProviderArn", arn,
		"Tags.member.2.Key", "k", "Tags.member.2.Value", "v", "Tags.member.3.Key", "l")
	if !strings.Contains(got, "Value at 'tags.2.member.value' failed to satisfy constraint: Member must not be null") {
		t.Error(got)
	}
}

// TestParameters holds the answers to bad parameters against AWS's, whole.
func TestParameters(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	envelope := func(namespace, kind, code, message string) string {
		return `<ErrorResponse xmlns="` + namespace + `"><Error><Type>` + kind + `</Type><Code>` + code + `</Code><Message>` + message + `</Message></Error><RequestId>ID</RequestId></ErrorResponse>`
	}
	const stsNS, fault = "https://sts.amazonaws.com/doc/2011-06-15/", "http://webservices.amazon.com/AWSFault/2005-15-09"
	invalid := func(message string) string { return envelope(stsNS, "Sender", "ValidationError", message) }
	assume := func(pairs ...string) string {
		return form(append([]string{"Action", "AssumeRoleWithWebIdentity", "Version", "2011-06-15", "RoleArn", "arn:aws:iam::000000000000:role/R", "RoleSessionName", "app", "WebIdentityToken", "token"}, pairs...)...)
	}
	_ = idp
	for _, c := range []struct {
		name, form string
		status     int
		body       string
	}{
		{"short duration", assume("DurationSeconds", "100"), 400,
			invalid("1 validation error detected: Value &#39;100&#39; at &#39;durationSeconds&#39; failed to satisfy constraint: Member must have value greater than or equal to 900")},
		{"899", assume("DurationSeconds", "899"), 400,
			invalid("1 validation error detected: Value &#39;899&#39; at &#39;durationSeconds&#39; failed to satisfy constraint: Member must have value greater than or equal to 900")},
		{"long duration", assume("DurationSeconds", "43201"), 400,
			invalid("1 validation error detected: Value &#39;43201&#39; at &#39;durationSeconds&#39; failed to satisfy constraint: Member must have value less than or equal to 43200")},
		{"0", assume("DurationSeconds", "0"), 400,
			invalid("1 validation error detected: Value &#39;0&#39; at &#39;durationSeconds&#39; failed to satisfy constraint: Member must have value greater than or equal to 900")},
		{"no role", form("Action", "AssumeRoleWithWebIdentity", "Version", "2011-06-15", "RoleSessionName", "app", "WebIdentityToken", "token"), 400,
			invalid("1 validation error detected: Value at &#39;roleArn&#39; failed to satisfy constraint: Member must not be null")},
		{"short role", assume("RoleArn", "arn"), 400,
			invalid("1 validation error detected: Value &#39;arn&#39; at &#39;roleArn&#39; failed to satisfy constraint: Member must have length greater than or equal to 20")},
		{"bad session name", assume("RoleSessionName", "x y"), 400,
			invalid(`1 validation error detected: Value &#39;x y&#39; at &#39;roleSessionName&#39; failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*`)},
		{"the token is secret", assume("WebIdentityToken", "abc"), 400,
			invalid("1 validation error detected: Value at &#39;webIdentityToken&#39; failed to satisfy constraint: Member must have length greater than or equal to 4")},
		{"two faults", assume("RoleArn", "arn", "DurationSeconds", "1"), 400,
			invalid("2 validation errors detected: Value &#39;arn&#39; at &#39;roleArn&#39; failed to satisfy constraint: Member must have length greater than or equal to 20; Value &#39;1&#39; at &#39;durationSeconds&#39; failed to satisfy constraint: Member must have value greater than or equal to 900")},
		{"not a number", assume("DurationSeconds", " 900 "), 400,
			envelope(stsNS, "Sender", "MalformedInput", "The value of parameter DurationSeconds is not an integer")},
		{"beyond int32", assume("DurationSeconds", "2147483648"), 400,
			envelope(stsNS, "Sender", "MalformedInput", "The value of parameter DurationSeconds is not an integer")},
		{"index 0", assume("PolicyArns.member.0.arn", "arn:aws:iam::aws:policy/x"), 400,
			envelope(stsNS, "Sender", "MalformedInput", "Invalid index &#34;0&#34; in list PolicyArns")},
		{"index 12", assume("PolicyArns.member.12.arn", "arn:aws:iam::aws:policy/x"), 400,
			envelope(stsNS, "Sender", "MalformedInput", "Index 12 is too far beyond list PolicyArns")},
		{"index 11", assume("PolicyArns.member.11.arn", "arn:aws:iam::aws:policy/x"), 400, envelope(stsNS, "Sender", "InvalidIdentityToken", notJWT)},
		{"a gap of 11", assume("PolicyArns.member.2.arn", "arn:aws:iam::aws:policy/x", "PolicyArns.member.13.arn", "arn:aws:iam::aws:policy/y"), 400,
			envelope(stsNS, "Sender", "MalformedInput", "Index 13 is too far beyond list PolicyArns")},
		{"a plus before a number is fine", assume("DurationSeconds", "+0900"), 400, envelope(stsNS, "Sender", "InvalidIdentityToken", notJWT)},
		{"member.01 is member.1", assume("PolicyArns.member.01.arn", "arn:aws:iam::aws:policy/x"), 400, envelope(stsNS, "Sender", "InvalidIdentityToken", notJWT)},
		{"Login with Amazon", assume("ProviderId", "www.amazon.com"), 400, envelope(stsNS, "Sender", "InvalidIdentityToken", "Provided Token is not a Login With Amazon token")},
		{"other provider", assume("ProviderId", "example.com"), 403,
			envelope(stsNS, "Sender", "AccessDenied", "Unrecognized OAuth provider. Do not include a provider parameter when submitting OpenIDConnect ID tokens")},
		{"unknown operation", form("Action", "AssumeEverything", "Version", "2011-06-15"), 400,
			envelope(fault, "Sender", "InvalidAction", "Could not find operation AssumeEverything for version 2011-06-15")},
		{"no version", form("Action", "AssumeRole"), 400,
			envelope(fault, "Sender", "InvalidAction", "Could not find operation AssumeRole for version NO_VERSION_SPECIFIED")},
		{"unsigned", form("Action", "ListGroups", "Version", "2010-05-08"), 403,
			envelope("https://iam.amazonaws.com/doc/2010-05-08/", "Sender", "MissingAuthenticationToken", "Request is missing Authentication Token")},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := post(t, a, c.form)
			want := strings.ReplaceAll(strings.ReplaceAll(c.body, "&#39;", "'"), "&#34;", "&quot;")
			if status != c.status || body != want {
				t.Errorf("got  %d %s\nwant %d %s", status, body, c.status, want)
			}
		})
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	ctx, client := t.Context(), iam.NewFromConfig(a.Config())
	var names []string
	for i := range 25 {
		names = append(names, fmt.Sprintf("g%02d", i))
	}
	a.Groups(names...)
	var got []string
	pages := 0
	for p := iam.NewListGroupsPaginator(client, &iam.ListGroupsInput{MaxItems: new(int32(10))}); p.HasMorePages(); pages++ {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range out.Groups {
			got = append(got, *g.GroupName)
		}
	}
	if diff := cmp.Diff(names, got); diff != "" || pages != 3 {
		t.Errorf("%d pages (-want +got):\n%s", pages, diff)
	}
	_, err := client.ListGroups(ctx, &iam.ListGroupsInput{Marker: new(base64.URLEncoding.EncodeToString([]byte("ListRoles\x00g01")))})
	refused(t, err, 400, "ValidationError", "Invalid Marker.")
	n := 0
	for p := iam.NewListPoliciesPaginator(client, &iam.ListPoliciesInput{}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		n += len(out.Policies)
	}
	if n < 1000 {
		t.Errorf("%d managed policies, want more than 1000", n)
	}
}

// TestDenials holds the texts of AccessDenied against AWS's: the type of policy
// that is to blame, the spelling of the resource.
func TestDenials(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{Account: "123456789012"})
	idp.register()
	ctx, root := t.Context(), iam.NewFromConfig(a.Config())
	role := a.Role("R", idp.usual())
	token := idp.token(idp.claims())
	const who = "User: arn:aws:sts::123456789012:assumed-role/R/app1 is not authorized to perform: "
	client := iam.NewFromConfig(session(t, a, role, token))
	denied := func(err error, text string) {
		t.Helper()
		refused(t, err, 403, "AccessDenied", who+text)
	}

	_, err := client.ListGroups(ctx, nil)
	denied(err, "iam:ListGroups on resource: arn:aws:iam::123456789012:group/ because no identity-based policy allows the iam:ListGroups action")
	_, err = client.ListOpenIDConnectProviders(ctx, nil)
	denied(err, "iam:ListOpenIDConnectProviders on resource: arn:aws:iam::123456789012:oidc-provider/* because no identity-based policy allows the iam:ListOpenIDConnectProviders action")

	a.Role("other", anyone)
	if _, err := root.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: new("R"), PolicyArn: new(readOnly)}); err != nil {
		t.Fatal(err)
	}
	// A session sees the change at once.
	if _, err := client.ListRoles(ctx, nil); err != nil {
		t.Error(err)
	}
	_, err = client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("new"), AssumeRolePolicyDocument: &anyone})
	denied(err, "iam:CreateRole on resource: arn:aws:iam::123456789012:role/new because no identity-based policy allows the iam:CreateRole action")
	_, err = client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: new("other")})
	denied(err, "iam:DeleteRole on resource: role other because no identity-based policy allows the iam:DeleteRole action")
	_, err = client.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: new(readOnly), PolicyDocument: &getObject})
	denied(err, "iam:CreatePolicyVersion on resource: policy "+readOnly+" because no identity-based policy allows the iam:CreatePolicyVersion action")

	a.Policy("R", "deny", map[string]any{"Effect": "Deny", "Action": "iam:ListUsers", "Resource": "*"})
	_, err = client.ListUsers(ctx, nil)
	denied(err, "iam:ListUsers on resource: arn:aws:iam::123456789012:user/ with an explicit deny in an identity-based policy")
	if event := a.LastDenial(); event.Statement == nil || event.Statement.Policy != "deny" {
		t.Errorf("the event does not name the policy that denies: %+v", event)
	}

	limited := session(t, a, role, token, func(in *sts.AssumeRoleWithWebIdentityInput) {
		in.Policy = new(document(map[string]any{"Effect": "Allow", "Action": "iam:ListRoles", "Resource": "*"}, map[string]any{"Effect": "Deny", "Action": "iam:GetRole", "Resource": "*"}))
	})
	c := iam.NewFromConfig(limited)
	if _, err := c.ListRoles(ctx, nil); err != nil {
		t.Error(err)
	}
	_, err = c.ListGroups(ctx, nil)
	denied(err, "iam:ListGroups on resource: arn:aws:iam::123456789012:group/ because no session policy allows the iam:ListGroups action")
	_, err = c.GetRole(ctx, &iam.GetRoleInput{RoleName: new("R")})
	denied(err, "iam:GetRole on resource: role R with an explicit deny in a session policy")

	// The same with a managed session policy, which limits live.
	p, err := root.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("session"), PolicyDocument: new(document(map[string]any{"Effect": "Allow", "Action": "iam:List*", "Resource": "*"}))})
	if err != nil {
		t.Fatal(err)
	}
	c = iam.NewFromConfig(session(t, a, role, token, func(in *sts.AssumeRoleWithWebIdentityInput) {
		in.PolicyArns = []ststypes.PolicyDescriptorType{{Arn: p.Policy.Arn}}
	}))
	if _, err := c.ListGroups(ctx, nil); err != nil {
		t.Error(err)
	}
	if _, err := root.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: p.Policy.Arn, PolicyDocument: &getObject, SetAsDefault: true}); err != nil {
		t.Fatal(err)
	}
	_, err = c.ListGroups(ctx, nil)
	denied(err, "iam:ListGroups on resource: arn:aws:iam::123456789012:group/ because no session policy allows the iam:ListGroups action")

	if _, err := root.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: new("R"), PermissionsBoundary: new("arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")}); err != nil {
		t.Fatal(err)
	}
	_, err = client.ListGroups(ctx, nil)
	denied(err, "iam:ListGroups on resource: arn:aws:iam::123456789012:group/ because no permissions boundary allows the iam:ListGroups action")

	// GetCallerIdentity cannot be denied.
	a.Policy("R", "deny", map[string]any{"Effect": "Deny", "Action": "*", "Resource": "*"})
	if _, err := sts.NewFromConfig(session(t, a, role, token)).GetCallerIdentity(ctx, nil); err != nil {
		t.Error(err)
	}

	// A role that is made again is another one.
	for _, err := range []error{
		second(root.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: new("R"), PolicyArn: new(readOnly)})),
		second(root.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: new("R"), PolicyName: new("deny")})),
		second(root.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: new("R")})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	a.Role("R", idp.usual(), admin)
	_, err = client.ListGroups(ctx, nil)
	refused(t, err, 403, "InvalidClientTokenId", "The security token included in the request is invalid.")
}

func second[T any](_ T, err error) error { return err }

func TestProviders(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	ctx, client := t.Context(), iam.NewFromConfig(a.Config())
	create := func(address string, change ...func(*iam.CreateOpenIDConnectProviderInput)) (string, error) {
		in := &iam.CreateOpenIDConnectProviderInput{Url: &address, ThumbprintList: []string{strings.Repeat("A", 40)}}
		for _, f := range change {
			f(in)
		}
		out, err := client.CreateOpenIDConnectProvider(ctx, in)
		if err != nil {
			return "", err
		}
		return *out.OpenIDConnectProviderArn, nil
	}
	for _, c := range []struct{ address, url string }{
		{"https://i.example/c1", "i.example/c1"},
		{"https://i.example/c1/", "i.example/c1/"},
		{"https://i.example:443/c2", "i.example/c2"},
		{"https://I.Example/C1", "I.Example/C1"},
	} {
		arn, err := create(c.address)
		if err != nil || arn != "arn:aws:iam::000000000000:oidc-provider/"+c.url {
			t.Errorf("%s: %s, %v", c.address, arn, err)
			continue
		}
		got, err := client.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
		if err != nil || *got.Url != c.url || got.ThumbprintList[0] != strings.Repeat("a", 40) {
			t.Errorf("%s: %+v, %v", c.address, got, err)
		}
	}
	for _, c := range []struct{ address, message string }{
		{"http://i.example/c3", "Invalid Open ID Connect Provider URL. The URL must begin with https://."},
		{"https://i.example:8443/c3", "Invalid Open ID Connect Provider URL. The URL must not contain a port number."},
		{"https://i.example/c3?x=y", "Unknown"},
		{"https://i.example/c3#x", "Unknown"},
		{"https://user@i.example/c3", "Invalid Open ID Connect Provider URL"},
	} {
		_, err := create(c.address)
		refused(t, err, 400, "InvalidInput", c.message)
	}
	_, err := create("i.example/c3")
	refused(t, err, 400, "ValidationError", "Invalid Open ID Connect Provider URL")
	_, err = create("https://i.example/c1")
	refused(t, err, 409, "EntityAlreadyExists", "Provider with url https://i.example/c1 already exists.")
	_, err = create("https://i.example/c4", func(in *iam.CreateOpenIDConnectProviderInput) {
		for range 5 {
			in.ThumbprintList = append(in.ThumbprintList, in.ThumbprintList[0])
		}
	})
	refused(t, err, 400, "InvalidInput", "Thumbprint list must contain fewer than 5 entries.")

	arn := "arn:aws:iam::000000000000:oidc-provider/i.example/c1"
	_, err = client.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: &arn, ThumbprintList: []string{}})
	refused(t, err, 400, "InvalidInput", "Thumbprint list must contain at least one entry.")
	for range 2 { // both are idempotent
		if _, err := client.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, ClientID: new("one")}); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if _, err := client.RemoveClientIDFromOpenIDConnectProvider(ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, ClientID: new("two")}); err != nil {
			t.Error(err)
		}
	}
	for i := range 100 {
		_, err = client.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, ClientID: new(fmt.Sprint("id", i))})
	}
	refused(t, err, 409, "LimitExceeded", "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100")
	tag := func(k, v string) types.Tag { return types.Tag{Key: &k, Value: &v} }
	if _, err := client.TagOpenIDConnectProvider(ctx, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, Tags: []types.Tag{tag("b", "1"), tag("a", "2"), tag("A", "3")}}); err != nil {
		t.Error(err)
	}
	got, err := client.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
	if err != nil || len(got.Tags) != 3 || *got.Tags[0].Key != "A" || *got.Tags[1].Key != "a" {
		t.Errorf("tags %v, %v", got.Tags, err)
	}
	list, err := client.ListOpenIDConnectProviders(ctx, nil)
	if err != nil || len(list.OpenIDConnectProviderList) != 4 {
		t.Errorf("list %v, %v", list, err)
	}
	if _, err := client.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn}); err != nil {
		t.Error(err)
	}
	_, err = client.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
	refused(t, err, 404, "NoSuchEntity", "OpenIDConnect Provider not found for arn "+arn)
	_, err = client.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
	refused(t, err, 404, "NoSuchEntity", "OpenId connect Provider "+arn+" cannot be found.")
	_, err = client.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: new("arn:aws:iam::000000000000:role/x")})
	refused(t, err, 400, "InvalidInput", "Invalid resource type in ARN")
	_, err = client.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: new("arn:aws:iam::999999999999:oidc-provider/x")})
	refused(t, err, 403, "AccessDenied", "User: "+rootARN+" is not authorized to perform: iam:GetOpenIDConnectProvider on resource: arn:aws:iam::999999999999:oidc-provider/x")
}

// TestEveryOperation calls each operation once through the SDK, so that every
// answer is one that the SDK can read.
func TestUsersAndReports(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	ctx, root := t.Context(), iam.NewFromConfig(a.Config())
	a.Groups("readers")
	for _, err := range []error{
		second(root.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")})),
		second(root.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("readers"), UserName: new("ann")})),
		second(root.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: new("readers"), PolicyArn: new(readOnly)})),
		second(root.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("ann"), PolicyName: new("keys"),
			PolicyDocument: new(document(map[string]any{"Effect": "Allow", "Action": "iam:*AccessKey*", "Resource": "arn:aws:iam::*:user/${aws:username}"}))})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	made, err := root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("ann")})
	if err != nil {
		t.Fatal(err)
	}
	config := a.ConfigFor(*made.AccessKey.AccessKeyId, *made.AccessKey.SecretAccessKey, "")
	ann := iam.NewFromConfig(config)
	who, err := sts.NewFromConfig(config).GetCallerIdentity(ctx, nil)
	if err != nil || *who.Arn != "arn:aws:iam::000000000000:user/ann" || !strings.HasPrefix(*who.UserId, "AIDA") {
		t.Errorf("%v, %v", who, err)
	}
	groups, err := ann.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: new("ann")})
	if err != nil || len(groups.Groups) != 1 {
		t.Errorf("%v, %v", groups, err)
	}
	self, err := ann.GetUser(ctx, &iam.GetUserInput{})
	if err != nil || *self.User.UserName != "ann" {
		t.Errorf("%v, %v", self, err)
	}
	another, err := ann.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{}) // her own, by the policy variable
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ann.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{AccessKeyId: another.AccessKey.AccessKeyId, Status: types.StatusTypeInactive}); err != nil {
		t.Error(err)
	}
	_, err = sts.NewFromConfig(a.ConfigFor(*another.AccessKey.AccessKeyId, *another.AccessKey.SecretAccessKey, "")).GetCallerIdentity(ctx, nil)
	refused(t, err, 403, "InvalidClientTokenId", "The security token included in the request is invalid.")
	_, err = ann.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{})
	refused(t, err, 409, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2")

	summary, err := ann.GetAccountSummary(ctx, nil)
	if err != nil || summary.SummaryMap["Users"] != 1 || summary.SummaryMap["Groups"] != 1 {
		t.Errorf("%v, %v", summary, err)
	}
	details, err := ann.GetAccountAuthorizationDetails(ctx, nil)
	if err != nil || len(details.UserDetailList) != 1 || len(details.GroupDetailList) != 1 || len(details.Policies) != 1 ||
		details.UserDetailList[0].GroupList[0] != "readers" || *details.Policies[0].PolicyName != "IAMReadOnlyAccess" {
		t.Errorf("%+v, %v", details, err)
	}
	job, err := ann.GenerateServiceLastAccessedDetails(ctx, &iam.GenerateServiceLastAccessedDetailsInput{Arn: self.User.Arn})
	if err != nil {
		t.Fatal(err)
	}
	report, err := ann.GetServiceLastAccessedDetails(ctx, &iam.GetServiceLastAccessedDetailsInput{JobId: job.JobId})
	if err != nil || report.JobStatus != types.JobStatusTypeCompleted {
		t.Errorf("%v, %v", report, err)
	}
	for name, err := range map[string]error{
		"ListAccountAliases":   second(ann.ListAccountAliases(ctx, nil)),
		"ListSAMLProviders":    second(ann.ListSAMLProviders(ctx, nil)),
		"ListInstanceProfiles": second(ann.ListInstanceProfiles(ctx, nil)),
		"ListUsers":            second(ann.ListUsers(ctx, nil)),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	sim, err := ann.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{
		PolicySourceArn: self.User.Arn, ActionNames: []string{"iam:ListGroups", "iam:CreateRole", "iam:CreateAccessKey"},
		ResourceArns: []string{"arn:aws:iam::000000000000:user/ann"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range sim.EvaluationResults {
		got = append(got, *r.EvalActionName+" "+string(r.EvalDecision))
	}
	if diff := cmp.Diff([]string{"iam:ListGroups allowed", "iam:CreateRole implicitDeny", "iam:CreateAccessKey allowed"}, got); diff != "" {
		t.Error(diff)
	}
	custom, err := ann.SimulateCustomPolicy(ctx, &iam.SimulateCustomPolicyInput{
		PolicyInputList: []string{document(map[string]any{"Effect": "Deny", "Action": "s3:*", "Resource": "*", "Condition": map[string]any{"StringEquals": map[string]any{"aws:username": "bob"}}})},
		ActionNames:     []string{"s3:GetObject"},
		ContextEntries:  []types.ContextEntry{{ContextKeyName: new("aws:username"), ContextKeyType: types.ContextKeyTypeEnumString, ContextKeyValues: []string{"bob"}}},
	})
	if err != nil || custom.EvaluationResults[0].EvalDecision != types.PolicyEvaluationDecisionTypeExplicitDeny {
		t.Errorf("%+v, %v", custom, err)
	}
}
