package emulator_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// ask makes a signed call of the Query protocol, whose parameters are a URL's
// query, and is the answer.
func ask(t *testing.T, config aws.Config, service, parameters string) (int, string) {
	t.Helper()
	version := map[string]string{"iam": "2010-05-08", "sts": "2011-06-15"}[service]
	form := []byte(parameters + "&Version=" + version)
	r := must(http.NewRequestWithContext(t.Context(), http.MethodPost, *config.BaseEndpoint+"/", bytes.NewReader(form)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256(form)
	creds := must(config.Credentials.Retrieve(t.Context()))
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, hex.EncodeToString(sum[:]), service, "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	response := must(http.DefaultClient.Do(r))
	defer response.Body.Close()
	return response.StatusCode, string(must(io.ReadAll(response.Body)))
}

// TestAnswersFollowModel makes every operation of STS and IAM answer, and holds
// the answers against AWS's service models.
func TestAnswersFollowModel(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	idp.register()
	config := a.Config()
	left := map[string]map[string]bool{"iam": emulator.Operations("iam"), "sts": emulator.Operations("sts")}
	query := func(config aws.Config, service, operation, parameters string) string {
		t.Helper()
		status, answer := ask(t, config, service, "Action="+operation+"&"+parameters)
		if status != 200 {
			t.Errorf("%s %s: %d %s", operation, parameters, status, answer)
			return ""
		}
		unknown, missing, err := emulator.CheckAnswer(service, operation, []byte(answer))
		if err != nil || len(unknown) > 0 || len(missing) > 0 {
			t.Errorf("%s: not in the model: %v, missing: %v, %v\n%s", operation, unknown, missing, err, answer)
		}
		delete(left[service], operation)
		return answer
	}
	account := "arn:aws:iam::" + a.Account() + ":"
	policy, provider, role := account+"policy/p", idp.arn(), account+"role/r"
	doc := "Document=" + url.QueryEscape(document(map[string]any{"Effect": "Allow", "Action": "*", "Resource": "*"}))
	trust := "Document=" + url.QueryEscape(document(
		map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": "*"}, "Action": []string{"sts:AssumeRole", "sts:SetSourceIdentity"}},
		map[string]any{"Effect": "Allow", "Principal": map[string]any{"Federated": provider}, "Action": "sts:AssumeRoleWithWebIdentity"}))
	const tags = "&Tags.member.1.Key=k&Tags.member.1.Value=v"
	const managed = "arn:aws:iam::aws:policy/AdministratorAccess"
	for line := range strings.Lines(strings.NewReplacer("DOC", doc, "TRUST", trust, "POLICY", policy, "PROVIDER", provider, "ROLE", role,
		"TAGS", tags, "MANAGED", managed, "ACCOUNT", account, "IDENTITY", strings.TrimPrefix(doc, "Document=")).Replace(modelCalls)) {
		if operation, parameters, _ := strings.Cut(strings.TrimSpace(line), " "); operation != "" {
			query(config, "iam", operation, parameters)
		}
	}
	task := query(config, "iam", "DeleteServiceLinkedRole", "RoleName=AWSServiceRoleForAutoScaling_x")
	query(config, "iam", "GetServiceLinkedRoleDeletionStatus", "DeletionTaskId="+between(task, "<DeletionTaskId>", "</DeletionTaskId>"))
	job := query(config, "iam", "GenerateServiceLastAccessedDetails", "Arn="+role)
	query(config, "iam", "GetServiceLastAccessedDetails", "JobId="+between(job, "<JobId>", "</JobId>"))
	key := query(config, "iam", "CreateAccessKey", "UserName=u")
	id := between(key, "<AccessKeyId>", "</AccessKeyId>")
	user := a.ConfigFor(id, between(key, "<SecretAccessKey>", "</SecretAccessKey>"), "")
	for _, operation := range []string{"GetCallerIdentity", "GetSessionToken"} {
		query(user, "sts", operation, "")
	}
	query(user, "sts", "AssumeRole", "RoleSessionName=s1&SourceIdentity=me&RoleArn="+role)
	query(user, "sts", "GetFederationToken", "Name=fed")
	query(user, "sts", "GetAccessKeyInfo", "AccessKeyId="+id)
	delete(left["sts"], "DecodeAuthorizationMessage") // see TestGuardEncodedMessage
	query(config, "sts", "GetWebIdentityToken", "Audience.member.1=a&Audience.member.2=b&SigningAlgorithm=ES384"+tags)
	query(user, "sts", "AssumeRoleWithWebIdentity", "RoleSessionName=s1&RoleArn="+role+"&WebIdentityToken="+idp.token(idp.claims()))
	query(config, "iam", "GetRole", "RoleName=r") // which was used
	query(config, "iam", "ListAccessKeys", "UserName=u")
	query(config, "iam", "GetAccessKeyLastUsed", "AccessKeyId="+id)
	query(config, "iam", "UpdateAccessKey", "UserName=u&Status=Inactive&AccessKeyId="+id)
	query(config, "iam", "DeleteAccessKey", "UserName=u&AccessKeyId="+id)
	for line := range strings.Lines(strings.NewReplacer("POLICY", policy, "PROVIDER", provider, "MANAGED", managed).Replace(modelEnd)) {
		if operation, parameters, _ := strings.Cut(strings.TrimSpace(line), " "); operation != "" {
			query(config, "iam", operation, parameters)
		}
	}
	for service, operations := range left {
		for operation := range operations {
			t.Errorf("%s: %s was not called", service, operation)
		}
	}
}

// TestEmptyLists: which lists without members are there as empty elements, as
// answers of AWS recorded in September 2026 have them.
func TestEmptyLists(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	idp.register()
	config := a.Config()
	account := "arn:aws:iam::" + a.Account() + ":"
	doc := "Document=" + url.QueryEscape(document(map[string]any{"Effect": "Allow", "Action": "*", "Resource": "*"}))
	trust := "Document=" + url.QueryEscape(document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": "*"}, "Action": "sts:AssumeRole"}))
	for _, c := range []struct {
		call    string
		with    []string // elements that are there, in this order
		without []string
	}{
		{"CreatePolicy&PolicyName=p&Policy" + doc, nil, []string{"Tags"}},
		{"GetPolicy&PolicyArn=" + account + "policy/p", []string{"<Tags></Tags>"}, nil},
		{"GetPolicy&PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess", []string{"<Tags></Tags>"}, nil},
		{"ListPolicyTags&PolicyArn=" + account + "policy/p", []string{"<Tags></Tags>"}, nil},
		{"GetOpenIDConnectProvider&OpenIDConnectProviderArn=" + idp.arn(), []string{"<Tags></Tags>"}, nil},
		{"CreateOpenIDConnectProvider&Url=https://i.example&ThumbprintList.member.1=" + strings.Repeat("a", 40), nil, []string{"Tags"}},
		{"GetOpenIDConnectProvider&OpenIDConnectProviderArn=" + account + "oidc-provider/i.example",
			[]string{"<ClientIDList></ClientIDList>", "<Tags></Tags>"}, nil},
		{"CreateRole&RoleName=r&AssumeRolePolicy" + trust, nil, []string{"Tags", "RoleLastUsed", "MaxSessionDuration"}},
		{"GetRole&RoleName=r", []string{"<RoleLastUsed></RoleLastUsed>"}, []string{"Tags", "PermissionsBoundary", "Description"}},
		{"UpdateRoleDescription&RoleName=r&Description=d", []string{"<Description>d</Description>"}, []string{"MaxSessionDuration", "Tags", "RoleLastUsed"}},
		{"CreateUser&UserName=u", nil, []string{"Tags"}},
		{"GetUser&UserName=u", nil, []string{"Tags", "PermissionsBoundary"}},
		{"CreateGroup&GroupName=g", nil, nil},
		{"GetGroup&GroupName=g", []string{"<Users></Users>", "<IsTruncated>false</IsTruncated>"}, []string{"Marker"}},
		{"ListAttachedRolePolicies&RoleName=r", []string{"<AttachedPolicies></AttachedPolicies>"}, nil},
		{"ListEntitiesForPolicy&PolicyArn=" + account + "policy/p", []string{"<PolicyGroups></PolicyGroups>", "<PolicyUsers></PolicyUsers>", "<PolicyRoles></PolicyRoles>"}, nil},
		{"GetAccountAuthorizationDetails&Filter.member.1=User",
			[]string{"<Policies></Policies><UserDetailList>", "<GroupList></GroupList>", "<AttachedManagedPolicies></AttachedManagedPolicies>", "<Tags></Tags>",
				"<RoleDetailList></RoleDetailList><GroupDetailList></GroupDetailList>"}, []string{"UserPolicyList"}},
		{"GetAccountAuthorizationDetails&Filter.member.1=Group",
			[]string{"<GroupPolicyList></GroupPolicyList>", "<AttachedManagedPolicies></AttachedManagedPolicies>"}, nil},
		{"GetAccountAuthorizationDetails&Filter.member.1=Role",
			[]string{"<InstanceProfileList></InstanceProfileList>", "<RolePolicyList></RolePolicyList>", "<AttachedManagedPolicies></AttachedManagedPolicies>",
				"<Tags></Tags>", "<RoleLastUsed></RoleLastUsed>"}, nil},
	} {
		status, answer := ask(t, config, "iam", "Action="+c.call)
		rest, ok := answer, status == 200
		for _, element := range c.with {
			var found bool
			_, rest, found = strings.Cut(rest, element)
			ok = ok && found
		}
		for _, name := range c.without {
			ok = ok && !strings.Contains(answer, "<"+name+">")
		}
		if !ok {
			t.Errorf("%s: %d, want %q in this order and not %q\n%s", c.call, status, c.with, c.without, answer)
		}
	}
	_, answer := ask(t, config, "iam", "Action=GetAccountAuthorizationDetails&Filter.member.1=user")
	if want := "Value at 'filter' failed to satisfy constraint: Member must satisfy constraint: " +
		"[Member must satisfy enum value set: [LocalManagedPolicy, User, AWSManagedPolicy, Role, Group]]"; !strings.Contains(answer, want) {
		t.Error(answer)
	}
}

func between(text, before, after string) string {
	_, text, _ = strings.Cut(text, before)
	text, _, _ = strings.Cut(text, after)
	return text
}

const modelCalls = `
	CreatePolicy PolicyName=p&Description=d&PolicyDOCTAGS
	CreatePolicy PolicyName=q&PolicyDOC
	CreatePolicyVersion PolicyArn=POLICY&PolicyDOC
	GetPolicy PolicyArn=POLICY
	GetPolicyVersion PolicyArn=POLICY&VersionId=v2
	ListPolicies Scope=Local
	ListPolicyVersions PolicyArn=POLICY
	SetDefaultPolicyVersion PolicyArn=POLICY&VersionId=v2
	TagPolicy PolicyArn=POLICYTAGS
	ListPolicyTags PolicyArn=POLICY
	UntagPolicy PolicyArn=POLICY&TagKeys.member.1=k

	CreateRole RoleName=r&Description=d&PermissionsBoundary=MANAGED&AssumeRolePolicyTRUSTTAGS
	CreateRole RoleName=bare&AssumeRolePolicyTRUST
	ListRoles
	UpdateRole RoleName=r&MaxSessionDuration=7200
	UpdateRoleDescription RoleName=r&Description=e
	UpdateAssumeRolePolicy RoleName=r&PolicyTRUST
	TagRole RoleName=rTAGS
	ListRoleTags RoleName=r
	UntagRole RoleName=r&TagKeys.member.1=k
	AttachRolePolicy RoleName=r&PolicyArn=POLICY
	ListAttachedRolePolicies RoleName=r
	PutRolePolicy RoleName=r&PolicyName=i&PolicyDOC
	GetRolePolicy RoleName=r&PolicyName=i
	ListRolePolicies RoleName=r
	PutRolePermissionsBoundary RoleName=r&PermissionsBoundary=POLICY

	CreateInstanceProfile InstanceProfileName=iTAGS
	CreateInstanceProfile InstanceProfileName=bare&Path=/x/
	AddRoleToInstanceProfile InstanceProfileName=i&RoleName=r
	GetInstanceProfile InstanceProfileName=i
	ListInstanceProfiles
	ListInstanceProfilesForRole RoleName=r
	TagInstanceProfile InstanceProfileName=iTAGS
	ListInstanceProfileTags InstanceProfileName=i
	UntagInstanceProfile InstanceProfileName=i&TagKeys.member.1=k

	CreateUser UserName=u&PermissionsBoundary=MANAGEDTAGS
	CreateUser UserName=bare
	GetUser UserName=u
	ListUsers
	UpdateUser UserName=bare&NewUserName=bare2
	TagUser UserName=uTAGS
	ListUserTags UserName=u
	UntagUser UserName=u&TagKeys.member.1=k
	AttachUserPolicy UserName=u&PolicyArn=POLICY
	ListAttachedUserPolicies UserName=u
	PutUserPolicy UserName=u&PolicyName=i&PolicyDOC
	GetUserPolicy UserName=u&PolicyName=i
	ListUserPolicies UserName=u
	PutUserPermissionsBoundary UserName=u&PermissionsBoundary=MANAGED
	ListSSHPublicKeys UserName=u
	ListMFADevices UserName=u
	ListVirtualMFADevices
	ListSigningCertificates UserName=u
	ListServiceSpecificCredentials UserName=u
	ListServerCertificates

	CreateGroup GroupName=g
	CreateGroup GroupName=bare
	ListGroups
	UpdateGroup GroupName=bare&NewPath=/x/
	AddUserToGroup GroupName=g&UserName=u
	GetGroup GroupName=g
	ListGroupsForUser UserName=u
	AttachGroupPolicy GroupName=g&PolicyArn=POLICY
	ListAttachedGroupPolicies GroupName=g
	PutGroupPolicy GroupName=g&PolicyName=i&PolicyDOC
	GetGroupPolicy GroupName=g&PolicyName=i
	ListGroupPolicies GroupName=g
	ListEntitiesForPolicy PolicyArn=POLICY

	CreateOpenIDConnectProvider Url=https://i.example&ThumbprintList.member.1=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaTAGS
	GetOpenIDConnectProvider OpenIDConnectProviderArn=PROVIDER
	ListOpenIDConnectProviders
	UpdateOpenIDConnectProviderThumbprint OpenIDConnectProviderArn=ACCOUNToidc-provider/i.example&ThumbprintList.member.1=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
	AddClientIDToOpenIDConnectProvider OpenIDConnectProviderArn=PROVIDER&ClientID=c
	RemoveClientIDFromOpenIDConnectProvider OpenIDConnectProviderArn=PROVIDER&ClientID=c
	TagOpenIDConnectProvider OpenIDConnectProviderArn=PROVIDERTAGS
	ListOpenIDConnectProviderTags OpenIDConnectProviderArn=PROVIDER
	UntagOpenIDConnectProvider OpenIDConnectProviderArn=PROVIDER&TagKeys.member.1=k

	GetAccountSummary
	GetAccountAuthorizationDetails
	EnableOutboundWebIdentityFederation
	GetOutboundWebIdentityFederationInfo
	CreateAccountAlias AccountAlias=openirsa-test
	ListAccountAliases
	DeleteAccountAlias AccountAlias=openirsa-test
	CreateServiceLinkedRole AWSServiceName=autoscaling.amazonaws.com&CustomSuffix=x&Description=d
	ListSAMLProviders
	SimulateCustomPolicy ActionNames.member.1=s3:GetObject&ResourceArns.member.1=arn:aws:s3:::b/k&PolicyInputList.member.1=IDENTITY
	SimulatePrincipalPolicy ActionNames.member.1=s3:GetObject&ActionNames.member.2=iam:GetRole&PolicySourceArn=ROLE
`

const modelEnd = `
	DisableOutboundWebIdentityFederation
	RemoveUserFromGroup GroupName=g&UserName=u
	DetachGroupPolicy GroupName=g&PolicyArn=POLICY
	DeleteGroupPolicy GroupName=g&PolicyName=i
	DeleteGroup GroupName=g
	DeleteUserPermissionsBoundary UserName=u
	DetachUserPolicy UserName=u&PolicyArn=POLICY
	DeleteUserPolicy UserName=u&PolicyName=i
	DeleteUser UserName=u
	DeleteRolePermissionsBoundary RoleName=r
	DetachRolePolicy RoleName=r&PolicyArn=POLICY
	DeleteRolePolicy RoleName=r&PolicyName=i
	RemoveRoleFromInstanceProfile InstanceProfileName=i&RoleName=r
	DeleteInstanceProfile InstanceProfileName=i
	DeleteRole RoleName=r
	DeletePolicyVersion PolicyArn=POLICY&VersionId=v1
	DeletePolicy PolicyArn=POLICY
	DeleteOpenIDConnectProvider OpenIDConnectProviderArn=PROVIDER
`
