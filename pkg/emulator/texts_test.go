package emulator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// TestIAMTexts: IAM's errors of 2026, which do not repeat what was sent.
func TestIAMTexts(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	ctx, client := t.Context(), iam.NewFromConfig(a.Config())
	a.Role("r", document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": "*"}, "Action": "sts:AssumeRole"}))
	const (
		detected = "1 validation error detected: Value at "
		fails    = " failed to satisfy constraint: "
		policy   = "arn:aws:iam::000000000000:policy/none"
		names    = `[\w+=,.@-]+`
	)
	_, err := client.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: new(policy), VersionId: new("1")})
	refused(t, err, 400, "ValidationError", detected+"'versionId'"+fails+`Member must satisfy regular expression pattern: v[1-9][0-9]*(\.[A-Za-z0-9-]*)?`)
	_, err = client.GetRole(ctx, &iam.GetRoleInput{RoleName: new("a/b")})
	refused(t, err, 400, "ValidationError", detected+"'roleName'"+fails+"Member must satisfy regular expression pattern: "+names)
	_, err = client.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: new("r"), MaxSessionDuration: new(int32(43201))})
	refused(t, err, 400, "ValidationError", detected+"'maxSessionDuration'"+fails+"Member must have value less than or equal to 43200")
	_, err = client.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: "Mine"})
	refused(t, err, 400, "ValidationError", detected+"'scope'"+fails+"Member must satisfy enum value set: [All, AWS, Local]")
	_, err = client.UntagRole(ctx, &iam.UntagRoleInput{RoleName: new("r"), TagKeys: []string{"a", strings.Repeat("k", 129), "b!"}})
	refused(t, err, 400, "ValidationError", detected+"'tagKeys'"+fails+"Member must satisfy constraint: [Member must have length less than or equal to 128, "+
		`Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+, Member must not be null]`)
	_, err = client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("a b"), Path: new("x"), AssumeRolePolicyDocument: new("{}"),
		MaxSessionDuration: new(int32(1))})
	refused(t, err, 400, "ValidationError", "3 validation errors detected: Value at 'maxSessionDuration'"+fails+"Member must have value greater than or equal to 3600; "+
		"Value at 'path'"+fails+`Member must satisfy regular expression pattern: (\u002F)|(\u002F[\u0021-\u007E]+\u002F); `+
		"Value at 'roleName'"+fails+"Member must satisfy regular expression pattern: "+names)

	for _, version := range []string{"v1", "v7"} {
		text := "Policy " + policy + " version " + version + " does not exist or is not attachable."
		_, err = client.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: new(policy), VersionId: &version})
		refused(t, err, 404, "NoSuchEntity", text)
		_, err = client.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: new(policy), VersionId: &version})
		refused(t, err, 404, "NoSuchEntity", text)
	}
	for arn, text := range map[string]string{
		"AmazonS3ReadOnlyAccess":                         "Invalid ARN:  Could not be parsed!",
		"policy/AmazonS3ReadOnlyAccess":                  "Invalid ARN:  Could not be parsed!",
		"arn:aws-cn:iam::aws:policy/AdministratorAccess": "Invalid ARN partition",
	} {
		_, err = client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: new("r"), PolicyArn: &arn})
		refused(t, err, 400, "ValidationError", text)
		_, err = client.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: new("r"), PolicyArn: &arn})
		refused(t, err, 400, "ValidationError", text)
		_, err = client.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("u"), PolicyArn: &arn})
		refused(t, err, 400, "ValidationError", text)
		_, err = client.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn})
		refused(t, err, 400, "ValidationError", text)
	}
	_, err = client.TagRole(ctx, &iam.TagRoleInput{RoleName: new("r"), Tags: []iamtypes.Tag{{Key: new("a"), Value: new("")}, {Key: new("A"), Value: new("")}}})
	refused(t, err, 400, "InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
}

// TestProviderQuotas: the quotas of an OIDC provider are no constraints on
// parameters.
func TestProviderQuotas(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	ctx, client := t.Context(), iam.NewFromConfig(a.Config())
	thumbprint := []string{strings.Repeat("a", 40)}
	create := func(n int, clientIDs []string) (string, error) {
		out, err := client.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{
			Url: new(fmt.Sprintf("https://i.example/%d", n)), ThumbprintList: thumbprint, ClientIDList: clientIDs,
		})
		if err != nil {
			return "", err
		}
		return *out.OpenIDConnectProviderArn, nil
	}
	ids := make([]string, 101)
	for i := range ids {
		ids[i] = fmt.Sprintf("client%d", i)
	}
	const tooMany = "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100"
	_, err := create(0, ids)
	refused(t, err, 409, "LimitExceeded", tooMany)
	ids[100] = ids[0] // the same one twice is one
	arn, err := create(0, ids)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, ClientID: new("more")})
	refused(t, err, 409, "LimitExceeded", tooMany)
	for n := 1; n < 100; n++ {
		if _, err := create(n, nil); err != nil {
			t.Fatal(err)
		}
	}
	_, err = client.TagOpenIDConnectProvider(ctx, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, Tags: []iamtypes.Tag{}})
	refused(t, err, 400, "InvalidInput", "The list of tags is empty.")
	_, err = client.UntagOpenIDConnectProvider(ctx, &iam.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, TagKeys: []string{}})
	refused(t, err, 400, "InvalidInput", "The list of tag keys is empty.")
	_, err = create(100, nil)
	refused(t, err, 409, "LimitExceeded", "Cannot exceed quota for OpenIdConnectProvidersPerAccount: 100")
}

// TestTemporaryCredentials: what AssumeRole says to the credentials of
// GetSessionToken, to the root user's, and to what is no role.
func TestTemporaryCredentials(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	ctx, root := t.Context(), iam.NewFromConfig(a.Config())
	must(root.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")}))
	must(root.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("ann"), PolicyArn: new(admin)}))
	key := must(root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("ann")})).AccessKey
	role := a.Role("r", document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": "000000000000"}, "Action": "sts:AssumeRole"}))
	must(root.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: new("r"), MaxSessionDuration: new(int32(43200))}))

	assumeFor := func(client *sts.Client, seconds int32) error {
		_, err := client.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: new("s1"), DurationSeconds: &seconds})
		return err
	}
	ann := sts.NewFromConfig(a.ConfigFor(*key.AccessKeyId, *key.SecretAccessKey, ""))
	if err := assumeFor(ann, 7200); err != nil {
		t.Error("long-term credentials:", err)
	}
	c := must(ann.GetSessionToken(ctx, nil)).Credentials
	token := sts.NewFromConfig(a.ConfigFor(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken))
	if err := assumeFor(token, 3600); err != nil {
		t.Error("GetSessionToken, an hour:", err)
	}
	for _, seconds := range []int32{3601, 43200} {
		refused(t, assumeFor(token, seconds), 400, "ValidationError",
			"The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	}

	refused(t, assumeFor(sts.NewFromConfig(a.Config()), 900), 403, "AccessDenied", "Roles may not be assumed by root accounts.")
	if last := a.Events(emulator.EventFilter{Limit: 1})[0]; !strings.Contains(last.Reason, "CreateUser") || !strings.Contains(last.Reason, "as at AWS") {
		t.Errorf("the event does not say what to do: %s", last.Reason)
	}
	for _, garbage := range []string{"garbage-that-is-no-arn", "arn:aws:iam::000000000000:user/ann"} {
		_, err := ann.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &garbage, RoleSessionName: new("s1")})
		refused(t, err, 400, "ValidationError", garbage+" is invalid")
	}
	_, err := ann.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: new("s1"),
		Tags: []ststypes.Tag{{Key: new("a"), Value: new("1")}, {Key: new("A"), Value: new("2")}}})
	refused(t, err, 400, "InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")

	for id, want := range map[string]string{"ASIAQNZGKIQY56JQ7WML": "029608264753", "AKIAIOSFODNN7EXAMPLE": "581039954779"} {
		info, err := ann.GetAccessKeyInfo(ctx, &sts.GetAccessKeyInfoInput{AccessKeyId: &id})
		if err != nil || *info.Account != want {
			t.Errorf("%s: %v, %v", id, info, err)
		}
	}
}

// TestTokenLeeway: the tolerance can be set, and be none.
func TestTokenLeeway(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	for leeway, tolerated := range map[time.Duration]int64{0: 60, -1: 0, 5 * time.Minute: 300} {
		a, idp := start(t, emulator.Config{Now: func() time.Time { return now }, TokenLeeway: leeway})
		idp.register()
		role := a.Role("R", idp.usual())
		for off, ok := range map[int64]bool{tolerated: true, tolerated + 1: false} {
			for _, c := range []claims{{"exp": now.Unix() - off}, {"iat": now.Unix() + off}, {"nbf": now.Unix() + off}} {
				if _, err := assume(t, a, role, idp.token(idp.claims().with(c))); (err == nil) != ok {
					t.Errorf("leeway %s, %v: %v", leeway, c, err)
				}
			}
		}
	}
}
