package policy_test

import (
	"fmt"

	"github.com/openirsa/openirsa/pkg/policy"
)

// A bucket policy that lets everybody read two documents, and what a stranger
// is told who asks for a third.
func ExampleEvaluate() {
	p, err := policy.Parse(policy.Bucket, []byte(`{
		"Version": "2012-10-17",
		"Statement": {
			"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
			"Resource": ["arn:aws:s3:::b/.well-known/openid-configuration", "arn:aws:s3:::b/openid/v1/jwks"]
		}
	}`))
	if err != nil {
		panic(err)
	}
	policies := &policy.Policies{Resource: &policy.Named{Name: "b", Policy: p}}
	for _, key := range []string{"openid/v1/jwks", "secret"} {
		fmt.Println(policy.Evaluate(&policy.Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/" + key}, policies))
	}
	// Output:
	// s3:GetObject is allowed by statement 0 of resource-based policy "b".
	// s3:GetObject is denied: no resource-based policy allows it; statement 0 of resource-based policy "b" does not apply because its Resource is "arn:aws:s3:::b/.well-known/openid-configuration" or "arn:aws:s3:::b/openid/v1/jwks" and the request's is "arn:aws:s3:::b/secret".
}

func ExampleParse() {
	_, err := policy.Parse(policy.Identity, []byte(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ListGroups", "Resource": "*"}]}`))
	fmt.Println(err)
	// Output: MalformedPolicyDocument: Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.
}

func ExamplePolicy_Warnings() {
	p, err := policy.Parse(policy.Trust, []byte(`{"Statement": {
		"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
		"Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/issuer.example.com"},
		"Condition": {"StringEquals": {"issuer.example.com:aud": "sts.amazonaws.com"}}
	}}`))
	if err != nil {
		panic(err)
	}
	for _, w := range p.Warnings() {
		fmt.Println(w)
	}
	// Output: Statement 0 lets in every service account of issuer.example.com: it has no condition that demands issuer.example.com:sub.
}
