package emulator_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// TestStoredPolicies: what AWS does not store is refused wherever a policy
// enters, and nothing of it is kept.
func TestStoredPolicies(t *testing.T) {
	t.Parallel()
	for _, partition := range []string{"aws", "aws-cn"} {
		other := map[string]string{"aws": "aws-cn", "aws-cn": "aws"}[partition]
		a := startAWS(t, emulator.Config{Partition: partition})
		ctx, client := t.Context(), iam.NewFromConfig(a.Config())
		trust := func(principal map[string]any, action string) string {
			return document(map[string]any{"Effect": "Allow", "Principal": principal, "Action": action})
		}
		service := trust(map[string]any{"Service": "ec2.amazonaws.com"}, "sts:AssumeRole")
		role := must(client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: &service})).Role
		identity := func(action, arn string) *string {
			return new(document(map[string]any{"Effect": "Allow", "Action": action, "Resource": arn}))
		}
		bucket := "arn:" + partition + ":s3:::bucket"
		managed := must(client.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("p"), PolicyDocument: identity("s3:*", bucket)})).Policy

		for document, message := range map[*string]string{
			identity("s3:*", "arn:"+other+":s3:::b"): `Partition "` + other + `" is not valid for resource "arn:` + other + `:s3:::b".`,
			identity(":GetObject", "*"):              "Vendor  is not valid",
		} {
			_, err := client.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("q"), PolicyDocument: document})
			refused(t, err, 400, "MalformedPolicyDocument", message)
			_, err = client.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: managed.Arn, PolicyDocument: document})
			refused(t, err, 400, "MalformedPolicyDocument", message)
			_, err = client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: role.RoleName, PolicyName: new("q"), PolicyDocument: document})
			refused(t, err, 400, "MalformedPolicyDocument", message)
			_, err = client.SimulateCustomPolicy(ctx, &iam.SimulateCustomPolicyInput{PolicyInputList: []string{*document}, ActionNames: []string{"s3:GetObject"}})
			refused(t, err, 400, "InvalidInput", message)
			_, err = sts.NewFromConfig(a.Config()).GetFederationToken(ctx, &sts.GetFederationTokenInput{Name: new("bob"), Policy: document})
			refused(t, err, 400, "MalformedPolicyDocument", message)
		}
		github := "arn:" + partition + ":iam::000000000000:oidc-provider/token.actions.githubusercontent.com"
		for document, message := range map[string]string{
			trust(map[string]any{"Service": "nope.amazonaws.com"}, "sts:AssumeRole"):                                                     `Invalid principal in policy: "SERVICE":"nope.amazonaws.com"`,
			trust(map[string]any{"AWS": "arn:" + other + ":iam::000000000000:root"}, "sts:AssumeRole"):                                   `Partition "` + other + `" is not valid for resource "arn:` + other + `:iam::000000000000:root".`,
			trust(map[string]any{"Federated": "arn:" + other + ":iam::000000000000:oidc-provider/x.y"}, "sts:AssumeRoleWithWebIdentity"): `Partition "` + other + `" is not valid for resource "arn:` + other + `:iam::000000000000:oidc-provider/x.y".`,
			trust(map[string]any{"Federated": github}, "sts:AssumeRoleWithWebIdentity"): "Trust policy with trusted principal " + github + " must evaluate, using StringEquals, StringLike or StringEqualsIgnoreCase, " +
				"token.actions.githubusercontent.com:sub or token.actions.githubusercontent.com:job_workflow_ref which is not scoped to all.",
		} {
			_, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("q"), AssumeRolePolicyDocument: &document})
			refused(t, err, 400, "MalformedPolicyDocument", message)
			_, err = client.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: role.RoleName, PolicyDocument: &document})
			refused(t, err, 400, "MalformedPolicyDocument", message)
		}
		files := a.S3(a.Config())
		must(files.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: new("bucket")}))
		for message, statement := range map[string]map[string]any{
			"Invalid principal in policy": {"Principal": map[string]any{"Service": "nope.amazonaws.com"}, "Resource": bucket + "/*"},
			"Policy has invalid resource": {"Principal": map[string]any{"Service": "ec2.amazonaws.com"}, "Resource": "arn:" + other + ":s3:::bucket/*"},
		} {
			statement["Effect"], statement["Action"] = "Allow", "s3:GetObject"
			_, err := files.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: new("bucket"), Policy: new(document(statement))})
			refused(t, err, 400, "MalformedPolicy", message)
		}
		if n := len(must(client.ListRoles(ctx, &iam.ListRolesInput{})).Roles); n != 1 {
			t.Errorf("%d roles", n)
		}
		if !strings.HasPrefix(*role.Arn, "arn:"+partition+":") {
			t.Errorf("role %s", *role.Arn)
		}
	}
}
