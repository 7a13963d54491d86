package emulator_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// Who makes something with tags needs the permission to tag it too (IAM User
// Guide, "Tags for IAM resources"; AWS refuses with the name of that action).
func TestTagsFromTheStart(t *testing.T) {
	a := startAWS(t)
	root := iam.NewFromConfig(a.Config())
	ctx, name := t.Context(), new("maker")
	if _, err := root.CreateUser(ctx, &iam.CreateUserInput{UserName: name}); err != nil {
		t.Fatal(err)
	}
	key, err := root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: name})
	if err != nil {
		t.Fatal(err)
	}
	allow := func(actions ...string) {
		t.Helper()
		document := emulatortest.Document(map[string]any{"Effect": "Allow", "Action": actions, "Resource": "*"})
		if _, err := root.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: name, PolicyName: name, PolicyDocument: &document}); err != nil {
			t.Fatal(err)
		}
	}
	client := iam.NewFromConfig(a.ConfigFor(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, ""))
	tags := []types.Tag{{Key: new("team"), Value: new("a")}}
	trust := new(emulatortest.Document(map[string]any{"Effect": "Allow", "Principal": map[string]string{"AWS": a.Account()}, "Action": "sts:AssumeRole"}))
	document := new(emulatortest.Document(map[string]any{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}))
	for kind, create := range map[string]func(tags []types.Tag) error{
		"Role": func(tags []types.Tag) error {
			_, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: trust, Tags: tags})
			return err
		},
		"User": func(tags []types.Tag) error {
			_, err := client.CreateUser(ctx, &iam.CreateUserInput{UserName: new("x"), Tags: tags})
			return err
		},
		"Policy": func(tags []types.Tag) error {
			_, err := client.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("x"), PolicyDocument: document, Tags: tags})
			return err
		},
		"OpenIDConnectProvider": func(tags []types.Tag) error {
			_, err := client.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: new("https://oidc.example.com"),
				ClientIDList: []string{emulatortest.Audience}, ThumbprintList: []string{strings.Repeat("a", 40)}, Tags: tags})
			return err
		},
	} {
		allow("iam:Create" + kind)
		if err := create(tags); err == nil || !strings.Contains(err.Error(), "is not authorized to perform: iam:Tag"+kind+" on resource: ") {
			t.Errorf("%s with tags: %v", kind, err)
		}
		allow("iam:Create"+kind, "iam:Tag"+kind)
		if err := create(tags); err != nil {
			t.Errorf("%s with tags, and the permission to tag: %v", kind, err)
		}
	}
	allow("iam:CreateRole")
	if _, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("y"), AssumeRolePolicyDocument: trust}); err != nil {
		t.Errorf("without tags: %v", err)
	}
}
