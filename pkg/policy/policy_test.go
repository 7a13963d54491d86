package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/policy"
)

func mustParse(t testing.TB, kind policy.Kind, doc string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse(kind, []byte(doc))
	if err != nil {
		t.Fatalf("parsing %s: %v", doc, err)
	}
	documents.Store(p, doc)
	return p
}

// statements makes a document of statements written as JSON.
func statements(s ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(s, ",") + `]}`
}

func context(pairs ...string) *policy.Context {
	var c policy.Context
	for i := 0; i < len(pairs); i += 2 {
		c.Set(pairs[i], pairs[i+1])
	}
	return &c
}

const account = "123456789012"

var (
	anonymous = policy.Principal{}
	root      = policy.Principal{Kind: policy.Root, Account: account, ARN: "arn:aws:iam::123456789012:root"}
	user      = policy.Principal{Kind: policy.User, Account: account, ARN: "arn:aws:iam::123456789012:user/carlossalazar", ID: "AIDACKCEVSQ6C2EXAMPLE"}
	session   = policy.Principal{
		Kind: policy.RoleSession, Account: account,
		ARN:       "arn:aws:sts::123456789012:assumed-role/R/S",
		EntityARN: "arn:aws:iam::123456789012:role/path/R",
		ID:        "AROADBQP57FF2AEXAMPLE",
	}
	federated = policy.Principal{
		Kind: policy.FederatedUser, Account: account,
		ARN:       "arn:aws:sts::123456789012:federated-user/carlossalazar",
		EntityARN: user.ARN, ID: user.ID,
	}
)

// The texts of identity policies, in the order of AWS's checks. The cases are
// those that public test suites took from AWS's answers to CreatePolicy.
func TestParseIdentityRefuses(t *testing.T) {
	const (
		syntax   = "Syntax errors in policy."
		version  = "Policy document must be version 2012-10-17 or greater."
		legacy   = "The policy failed legacy parsing"
		noAction = "Policy statement must contain actions."
		noRes    = "Policy statement must contain resources."
		vendor   = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
		oneColon = "Actions/Condition can contain only one colon."

		wildVendor = "Action vendors (e.g., aws, ec2, etc.) must not contain wildcards"
		sid        = "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"
		iamPath    = `IAM resource path must either be "*", root, or start with user/, federated-user/, role/, group/, instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/.`
		list       = `"Action":"s3:ListBucket"`
		bucket     = `"Resource":"arn:aws:s3:::example_bucket"`
		good       = `"Effect":"Allow",` + list + `,` + bucket
	)
	in := func(s string) string { return statements("{" + s + "}") }
	allow := func(s string) string { return in(`"Effect":"Allow",` + s) }
	condition := func(s string) string { return in(good + `,"Condition":` + s) }
	for _, c := range []struct{ doc, message string }{
		{"This is not a json document", syntax},
		{"", syntax},
		{"[]", syntax},
		{in(good) + "{}", syntax},
		{strings.Repeat("[", 100_000), syntax},
		{`{"Statement":{` + good + `}}`, version},
		{`{"Version":"2008-10-17","Statement":{` + good + `}}`, version},
		{`{"Version":"2013-10-17","Statement":{` + good + `}}`, syntax},
		{`{"Version":"2012-10-17"}`, syntax},
		{`{"Version":"2012-10-17","Statement":[]}`, syntax},
		{`{"Version":"2012-10-17","Statement":["afd"]}`, syntax},
		{`{"Version":"2012-10-17","Statement":{` + good + `},"Extra field":"value"}`, syntax},
		{`{"Version":"2012-10-17","Version":"2012-10-17","Statement":{` + good + `}}`, syntax},
		{`{"Version":"2012-10-17","Id":["x"],"Statement":{` + good + `}}`, syntax},
		{in(good + `,"Extra field":"value"`), syntax},
		{in(good + `,"effect":"Allow"`), syntax},
		{in(good + `,"Sid":{}`), syntax},
		{in(good + `,"Sid":[]`), syntax},
		{in(list + "," + bucket), syntax},
		{in(`"Effect":"invalid",` + list + "," + bucket), syntax},
		{in(`"Effect":"denY",` + list + "," + bucket), legacy},
		{`{"Statement":{"Effect":"denY",` + list + "," + bucket + `}}`, version},
		{allow(`"Action":"invalid",` + bucket), vendor},
		{allow(`"Action":"invalid"`), vendor},
		{allow(`"NotAction":"",` + bucket), vendor},
		{allow(`"Action":"a a:ListBucket",` + bucket), "Vendor a a is not valid"},
		{allow(`"Action":"iam :Get",` + bucket), "Vendor iam  is not valid"},
		{allow(`"Action":"S3 :Get*",` + bucket), "Vendor S3  is not valid"},
		{allow(`"Action":":GetObject",` + bucket), "Vendor  is not valid"},
		{allow(`"NotAction":["s3:GetObject",":*"],` + bucket), "Vendor  is not valid"},
		{allow(`"Action":"s3:",` + bucket), vendor},
		{allow(`"Action":":",` + bucket), vendor},
		{allow(`"Action":"s*:Get*",` + bucket), wildVendor},
		{allow(`"Action":"*:Untag*",` + bucket), wildVendor},
		{allow(`"Action":"s?:Get*",` + bucket), wildVendor},
		{allow(`"Action":"::GetObject",` + bucket), oneColon},
		{allow(`"Action":"s3:List:Bucket",` + bucket), oneColon},
		{allow(`"Action":"s:3:ListBucket","Resource":"sdfsadf"`), `Resource sdfsadf must be in ARN format or "*".`},
		{allow(list + `,"Resource":"invalid resource"`), `Resource invalid resource must be in ARN format or "*".`},
		{allow(list + `,"Resource":""`), `Resource  must be in ARN format or "*".`},
		{allow(list + `,"Resource":["adf"]`), `Resource adf must be in ARN format or "*".`},
		{allow(list + `,"Resource":"a:bsdfdsafsad"`), `Partition "bsdfdsafsad" is not valid for resource "arn:bsdfdsafsad:*:*:*:*".`},
		{allow(list + `,"Resource":"a:b:cadfsdf"`), `Partition "b" is not valid for resource "arn:b:cadfsdf:*:*:*".`},
		{allow(list + `,"Resource":"a:b:c:d:e:f:g:h"`), `Partition "b" is not valid for resource "arn:b:c:d:e:f:g:h".`},
		{allow(list + `,"Resource":"aws:s3:::example_bucket"`), `Partition "s3" is not valid for resource "arn:s3:::example_bucket:*".`},
		{
			allow(list + `,"Resource":["arn:error:s3:::example_bucket","arn:error:s3::example_bucket"]`),
			`Partition "error" is not valid for resource "arn:error:s3:::example_bucket".`,
		},
		{
			allow(list + `,"Resource":["arn:error:s3::example_bucket","arn:error:s3:::example_bucket"]`),
			`Partition "error" is not valid for resource "arn:error:s3:::example_bucket".`,
		},
		{allow(list), noRes},
		{allow(list + `,"Resource":[]`), noRes},
		{allow(bucket), noAction},
		{allow(`"Action":[],` + bucket), noAction},
		{in(`"Effect":"Allow"`), noAction},
		{statements(`{"Effect":"Deny"}`, "{"+good+"}"), noAction},
		{allow(list + `,"Resource":"arn:aws:iam:::example_bucket"`), iamPath},
		{allow(list + `,"Resource":"arn:aws:iam::123456789012:*/cdk"`), iamPath},
		{allow(list + `,"Resource":"arn:aws:s3::example_bucket"`), legacy},
		{allow(list + `,"NotResource":"arn:aws:s3::example_bucket"`), legacy},
		{allow(`"Resource":"arn:aws:s3::example_bucket"`), legacy},
		{allow(list + `,"Resource":"arn:aws::::example_bucket"`), legacy},
		{allow(list + `,"Resource":"arn:aws::fdsasf"`), legacy},
		{allow(list + `,"Resource":"arn:aws"`), "Resource vendor must be fully qualified and cannot contain regexes."},
		{allow(list + `,"Resource":"arn:aws:iam:us-east-1::example_bucket"`), "IAM resource arn:aws:iam:us-east-1::example_bucket cannot contain region information."},
		{allow(list + `,"Resource":"arn:aws:s3:us-east-1::example_bucket"`), "Resource arn:aws:s3:us-east-1::example_bucket can not contain region information."},
		{allow(list + `,"Resource":{"a":"b"}`), syntax},
		{allow(list + `,"Resource":["adfdf",{}]`), syntax},
		{in(good + `,"NotResource":"*"`), syntax},
		{in(good + `,"NotAction":"iam:dsf"`), syntax},
		{allow(`"Action":[[]],` + bucket), syntax},
		{allow(`"Action":{},` + bucket), syntax},
		{condition(`[]`), syntax},
		{condition(`"a"`), syntax},
		{condition(`{"a":"b"}`), syntax},
		{condition(`{"DateGreaterThan":[]}`), syntax},
		{condition(`{"DateGreaterThan":{"a":{}}}`), syntax},
		{condition(`{"StringEquals":{"a":null}}`), syntax},
		{condition(`{"x":{"a":"1"}}`), syntax},
		{condition(`{"stringequals":{"a":"1"}}`), syntax},
		{condition(`{"NullIfExists":{"a":"true"}}`), syntax},
		{condition(`{"ForAnyValue::StringEqualsIfExists":{"a":"asf"}}`), syntax},
		{condition(`{"DateGreaterThan":{"a":"sdfdsf"}}`), legacy},
		{condition(`{"DateLessThanEquals":{"a":"234-13"}}`), legacy},
		{condition(`{"DateLessThanEquals":{"a":"2016-12-13t2:00:00.593194+1"}}`), legacy},
		{condition(`{"DateLessThanEquals":{"a":"2016-12-13t2:00:00.1999999999+10:59"}}`), legacy},
		{condition(`{"DateLessThan":{"a":"9223372036854775808"}}`), legacy},
		{condition(`{"NumericLessThan":{"a":"ten"}}`), legacy},
		{condition(`{"IpAddress":{"a":"2001:db8::5/64"}}`), legacy},
		{condition(`{"BinaryEquals":{"a":"!"}}`), legacy},
		{
			statements(`{"Sid":"sdf",`+good+`}`, `{"Sid":"sdf","Effect":"Allow"}`),
			"Statement IDs (SID) in a single policy must be unique.",
		},
		{in(good + `,"Sid":"a b"`), sid},
		{in(good + `,"Sid":"a-b"`), sid},
		{in(good + `,"Sid":"a_b"`), sid},
		{in(good + `,"Sid":"é"`), sid},
		{statements(`{"Sid":"a-b",`+good+`}`, `{"Sid":"a-b",`+good+`}`), sid},
		{in(`"Sid":"a-b","Effect":"Allow"`), sid},
		{in(`"Sid":"a-b","Effect":"denY",` + list + "," + bucket), legacy},
		{in(good + `,"Principal":"*"`), "Policy document should not specify a principal."},
	} {
		p, err := policy.Parse(policy.Identity, []byte(c.doc))
		e, ok := errors.AsType[*policy.Error](err)
		if !ok || e.Code != "MalformedPolicyDocument" || e.Message != c.message {
			t.Errorf("%.200s:\n got %v\nwant %s", c.doc, err, c.message)
		}
		if p != nil {
			t.Errorf("%.200s: a policy along with an error", c.doc)
		}
	}
}

func TestParseIdentityAccepts(t *testing.T) {
	resource := `"Resource":"arn:aws:s3:::example_bucket"`
	for _, s := range []string{
		`"Action":"iam: asdf safdsf af ",` + resource,
		`"Action":"*","Resource":["arn:aws:s3:::example_bucket","*"]`,
		`"Action":"*:*",` + resource,
		`"Sid":"","Action":"*:*",` + resource,
		`"Sid":"Az09","Action":"*:*",` + resource,
		`"Action":"s3-s:ListBucket",` + resource,
		`"Action":"s3.s:ListBucket",` + resource,
		`"NotAction":"s3:ListBucket","NotResource":"*"`,
		`"Action":"s3:ListBucket","Resource":"arn:aws:iam:::user/example_bucket"`,
		`"Action":"s3:ListBucket","Resource":"arn:aws:iam::123456789012:*"`,
		`"Action":"s3:ListBucket","Resource":"arn:aws:fdsasf"`,
		`"Action":"s3:ListBucket","Resource":"arn:aws:rds:*"`,
		`"Action":"s3:ListBucket","Resource":"arn:*:s3:::x"`,
		`"Action":"s3:ListBucket","Resource":"arn:aws:invalid-service:us-east-1::example_bucket"`,
		`"Action":"s3:ListBucket","Resource":"arn:aws:s3:us-west-2:123456789012:accesspoint/*"`,
		`"Action":"s3:ListBucket",` + resource + `,"Condition":{}`,
		`"Action":"s3:ListBucket",` + resource + `,"Condition":{"a":{}}`,
		`"Action":"s3:ListBucket",` + resource + `,"Condition":{"DateGreaterThan":{}}`,
		`"Action":"s3:ListBucket",` + resource + `,"Condition":{"DateGreaterThan":{"a":[]}}`,
		`"Action":"s3:ListBucket",` + resource + `,"Condition":{"DateGreaterThan":{"a":"01T"}}`,
		`"Action":"s3:ListBucket",` + resource + `,"Condition":{"DateLessThan":{"a":"-292275054"}}`,
		`"Action":"s3:ListBucket",` + resource + `,"Condition":{"DateLessThan":{"a":"2016-12-13t2:00:00.593194+23"}}`,
		`"Action":"s3:ListBucket",` + resource + `,"Condition":{"ForAnyValue:StringEqualsIfExists":{"a":"asf"}}`,
		`"Action":"s3:ListBucket",` + resource + `,"Condition":{"Bool":{"aws:SecureTransport":false},"NumericLessThan":{"s3:max-keys":10}}`,
	} {
		doc := statements(`{"Effect":"Allow",` + s + `}`)
		if _, err := policy.Parse(policy.Identity, []byte(doc)); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

// STS takes literals that IAM does not store, and documents without a version.
func TestParseSession(t *testing.T) {
	accepted := `{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{
		"NumericLessThan":{"a":"ten"},"DateEquals":{"a":"x"},"IpAddress":{"a":"2001:db8::5/64"}}}}`
	mustParse(t, policy.Session, accepted)
	refused := strings.Replace(accepted, `"NumericLessThan":{"a":"ten"}`, `"BinaryEquals":{"a":"!"}`, 1)
	if _, err := policy.Parse(policy.Session, []byte(refused)); err == nil {
		t.Errorf("accepted %s", refused)
	}
}

// The Sids of other policies are free: those of bucket policies at AWS too,
// about those of the other two nothing is known.
func TestParseSids(t *testing.T) {
	const sid = `"Sid":"any text","Effect":"Allow",`
	mustParse(t, policy.Session, statements("{"+sid+`"Action":"s3:*","Resource":"*"}`))
	mustParse(t, policy.Trust, statements("{"+sid+`"Action":"sts:AssumeRole","Principal":{"AWS":"123456789012"}}`))
	mustParse(t, policy.Bucket, statements("{"+sid+`"Action":"s3:GetObject","Principal":"*","Resource":"arn:aws:s3:::b/*"}`))
}

func TestParseTrustRefuses(t *testing.T) {
	const (
		effect    = `"Effect":"Allow"`
		principal = `"Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/i.example/c1"}`
		action    = `"Action":"sts:AssumeRoleWithWebIdentity"`
		federated = "Federated principals must be valid domain names or SAML metadata ARNs"
	)
	aws := func(v string) string { return effect + `,"Principal":{"AWS":` + v + `},"Action":"sts:AssumeRole"` }
	for _, c := range []struct{ statement, message string }{
		{principal + "," + action, "Missing required field Effect"},
		{`"Effect":"allow",` + principal + "," + action, "Invalid effect: allow"},
		{effect + "," + action, "Missing required field Principal"},
		{effect + `,"Principal":{},` + action, "Missing required field Principal cannot be empty!"},
		{effect + `,"Principal":{"AWS":[]},` + action, "Missing required field Principal cannot be empty!"},
		{effect + "," + principal, "Missing required field Action"},
		{effect + "," + principal + "," + action + `,"Resource":"*"`, "Has prohibited field Resource"},
		{effect + "," + principal + `,"Action":"s3:GetObject"`, "AssumeRole policy may only specify STS AssumeRole actions."},
		{effect + "," + principal + `,"Action":["sts:AssumeRole","sts:GetCallerIdentity"]`, "AssumeRole policy may only specify STS AssumeRole actions."},
		{effect + "," + principal + "," + action + `,"Comment":"x"`, "Unknown field Comment"},
		{effect + "," + principal + "," + action + `,"Condition":{"StringEqual":{"a":"b"}}`, "Invalid Condition type : StringEqual"},
		{`"Effect":"Allow","NotPrincipal":{"AWS":"123456789012"},` + action, "Allow with NotPrincipal is not allowed."},
		{`"Effect":"Deny","NotPrincipal":{"AWS":"123456789012"},` + action, "AssumeRole policy must not contain NotPrincipal field."},
		{aws(`"arn:aws:iam::123456789012:role/*"`), `Invalid principal in policy: "AWS":"arn:aws:iam::123456789012:role/*"`},
		{aws(`"arn:aws:iam::123456789012:group/g"`), `Invalid principal in policy: "AWS":"arn:aws:iam::123456789012:group/g"`},
		{aws(`"arn:aws:sts::123456789012:assumed-role/R"`), `Invalid principal in policy: "AWS":"arn:aws:sts::123456789012:assumed-role/R"`},
		{aws(`["*","someone"]`), `Invalid principal in policy: "AWS":"someone"`},
		{effect + `,"Principal":"everyone",` + action, `Invalid principal in policy: "AWS":"everyone"`},
		{effect + `,"Principal":{"Service":"ec2"},` + action, `Invalid principal in policy: "SERVICE":"ec2"`},
		{effect + `,"Principal":{"Federated":"*"},` + action, federated},
		{effect + `,"Principal":{"Federated":""},` + action, federated},
		{effect + `,"Principal":{"Federated":"https://i.example"},` + action, federated},
		{effect + `,"Principal":{"Federated":"arn:aws:iam//123456789012:oidc-provider/i.example"},` + action, federated},
		{effect + `,"Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/"},` + action, federated},
		{effect + `,"Principal":{"Federated":"cognito-identity.amazonaws.com"},` + action, "A condition block must be present for the Cognito provider"},
	} {
		doc := statements("{" + c.statement + "}")
		_, err := policy.Parse(policy.Trust, []byte(doc))
		if want := "MalformedPolicyDocument: " + c.message; err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", doc, err, want)
		}
	}
	for _, c := range []struct{ doc, message string }{
		{"not json", "This policy contains invalid Json"},
		{"", "This policy contains invalid Json"},
		{`{"Version":"2012-10-17"}`, "Could not parse the policy: Statement is empty!"},
		{`{"Version":"2012-10-17","Statement":[]}`, "Could not parse the policy: Statement is empty!"},
		{`{"version":"2012-10-17","statement":[]}`, "Unknown field version"},
	} {
		_, err := policy.Parse(policy.Trust, []byte(c.doc))
		if want := "MalformedPolicyDocument: " + c.message; err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", c.doc, err, want)
		}
	}
}

func TestParseTrustAccepts(t *testing.T) {
	for _, s := range []string{
		`"Principal":"*","Action":"sts:AssumeRole"`,
		`"Principal":{"AWS":["*","123456789012","arn:aws:iam::123456789012:root","AROADBQP57FF2AEXAMPLE"]},"Action":["sts:AssumeRole","sts:TagSession"]`,
		`"Principal":{"AWS":["arn:aws:iam::123456789012:role/p/R","arn:aws:sts::123456789012:assumed-role/R/S"]},"Action":"sts:*"`,
		`"Principal":{"Service":["ec2.amazonaws.com"]},"Action":"sts:AssumeRole","Sid":""`,
		`"Principal":{"Federated":"accounts.google.com"},"Action":"sts:AssumeRoleWithWebIdentity"`,
		`"Principal":{"Federated":"arn:aws-cn:iam::123456789012:oidc-provider/10.0.0.1:6443"},"Action":"sts:AssumeRoleWithWebIdentity"`,
		`"Principal":{"Federated":"arn:aws:iam::123456789012:saml-provider/x"},"Action":"sts:AssumeRoleWithSAML"`,
		`"Principal":{"AWS":"*"},"NotAction":"sts:AssumeRole"`,
		`"Principal":{"AWS":"*"},"Action":"*"`,
	} {
		mustParse(t, policy.Trust, statements(`{"Effect":"Allow",`+s+`}`))
	}
	// The version is optional.
	mustParse(t, policy.Trust, `{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}`)
}

func TestParseBucketRefuses(t *testing.T) {
	const good = `"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`
	for _, c := range []struct{ doc, message string }{
		{"not json", "Policies must be valid JSON and the first byte must be '{'"},
		{" {}", "Policies must be valid JSON and the first byte must be '{'"},
		{`{"Version":"2012-10-17"}`, "Missing required field Statement"},
		{statements(), "Could not parse the policy: Statement is empty!"},
		{`{"Version":"2020-10-17","Statement":{` + good + `}}`, "The policy must contain a valid version string"},
		{statements("{" + strings.Replace(good, `"Principal":"*",`, "", 1) + "}"), "Missing required field Principal"},
		{statements("{" + strings.Replace(good, `"Action":"s3:GetObject",`, "", 1) + "}"), "Missing required field Action"},
		{statements("{" + strings.Replace(good, `,"Resource":"arn:aws:s3:::b/*"`, "", 1) + "}"), "Missing required field Resource"},
		{statements("{" + strings.Replace(good, "Allow", "hello", 1) + "}"), "Invalid effect: hello"},
		{statements("{" + strings.Replace(good, "s3:GetObject", "invalid_action", 1) + "}"), "Policy has invalid action"},
		{statements("{" + strings.Replace(good, "s3:GetObject", "iam:GetRole", 1) + "}"), "Policy has invalid action"},
		{statements("{" + strings.Replace(good, "arn:aws:s3:::b/*", "b/*", 1) + "}"), "Policy has invalid resource"},
		{statements("{" + strings.Replace(good, `"*"`, `{"AWS":"user"}`, 1) + "}"), "Invalid principal in policy"},
		{statements("{" + strings.Replace(good, `"*"`, `{"AWS":"AROADBQP57FF2AEXAMPLE"}`, 1) + "}"), "Invalid principal in policy"},
		{statements("{" + strings.Replace(good, "Principal", "NotPrincipal", 1) + "}"), "Allow with NotPrincipal is not allowed."},
		{statements("{" + good + `,"Condition":{"StringLikes":{"a":"b"}}}`), "Invalid Condition type : StringLikes"},
	} {
		_, err := policy.Parse(policy.Bucket, []byte(c.doc))
		if want := "MalformedPolicy: " + c.message; err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", c.doc, err, want)
		}
	}
}

func TestCheckBucket(t *testing.T) {
	for _, c := range []struct{ action, resource, message string }{
		{`"s3:GetObject"`, `"arn:aws:s3:::b/*"`, ""},
		{`["s3:GetObject","s3:ListBucket"]`, `["arn:aws:s3:::b/*","arn:aws:s3:::b"]`, ""},
		{`["s3:GetObject","s3:ListBucket"]`, `"arn:aws:s3:::b*"`, ""},
		{`"s3:*"`, `"arn:aws:s3:::b"`, ""},
		{`"s3:GetObject"`, `"*"`, ""},
		{`"s3:ListMultipartUploadParts"`, `"arn:aws:s3:::b/x"`, ""},
		{`"s3:GetObject"`, `"arn:aws:s3:::c/*"`, "Policy has invalid resource"},
		{`"s3:GetObject"`, `["arn:aws:s3:::b/*","arn:aws:s3:::c/*"]`, "Policy has invalid resource"},
		{`"s3:PutObject"`, `"arn:aws:s3:::b"`, "Action does not apply to any resource(s) in statement"},
		{`"s3:ListBucket"`, `"arn:aws:s3:::b/*"`, "Action does not apply to any resource(s) in statement"},
		{`"s3:PutBucketObjectLockConfiguration"`, `"arn:aws:s3:::b/*"`, "Action does not apply to any resource(s) in statement"},
	} {
		p := mustParse(t, policy.Bucket, statements(fmt.Sprintf(`{"Effect":"Allow","Principal":"*","Action":%s,"Resource":%s}`, c.action, c.resource)))
		got := ""
		if err := p.CheckBucket("b"); err != nil {
			got = err.(*policy.Error).Message
		}
		if got != c.message {
			t.Errorf("%s on %s: got %q, want %q", c.action, c.resource, got, c.message)
		}
	}
}

// TestCheckBucketConditions follows public records of what PutBucketPolicy
// answers, and the tables of the Service Authorization Reference.
func TestCheckBucketConditions(t *testing.T) {
	const (
		invalid    = "Policy has an invalid condition key"
		notApplied = "Conditions do not apply to combination of actions and resources in statement"
		objects    = `"arn:aws:s3:::b/*"`
		bucket     = `"arn:aws:s3:::b"`
		both       = `["arn:aws:s3:::b","arn:aws:s3:::b/*"]`
	)
	for _, c := range []struct{ action, resource, key, message string }{
		{`"s3:GetObject"`, objects, "s3:nope", invalid},
		{`"s3:PutObject"`, objects, "s3:x-acl", invalid},
		{`"s3:GetObject"`, objects, "nope:key", invalid},
		{`"s3:GetObject"`, objects, "s3:ExistingObjectTag", invalid},
		{`"s3:GetObject"`, objects, "kms:ViaService", invalid},
		{`"s3:GetObject"`, objects, "aws:SecureTransport", ""},
		{`"s3:*"`, both, "AWS:SourceArn", ""},
		{`"s3:GetObject"`, objects, "lambda:SourceFunctionArn", ""},
		{`"s3:GetObject"`, objects, "oidc.example/id/1:sub", ""},
		{`"s3:GetObject"`, objects, "s3:signatureversion", ""},
		{`"s3:GetObject"`, objects, "S3:AuthType", ""},

		{`"s3:ListBucket"`, bucket, "s3:prefix", ""},
		{`["s3:ListBucket","s3:ListBucketVersions"]`, bucket, "s3:max-keys", ""},
		{`"s3:ListBucketMultipartUploads"`, bucket, "s3:prefix", notApplied},
		{`"s3:GetObject"`, objects, "s3:prefix", notApplied},
		{`["s3:GetObject","s3:ListBucket"]`, both, "s3:prefix", notApplied},
		{`"s3:*"`, both, "s3:prefix", ""},
		{`"s3:List*"`, both, "s3:prefix", ""},
		{`"s3:*"`, objects, "s3:prefix", notApplied},
		{`"s3:Get*"`, both, "s3:prefix", notApplied},
		{`"*"`, both, "s3:prefix", ""},
		{`"s3:*"`, `"*"`, "s3:prefix", ""},

		{`"s3:GetObject"`, objects, "s3:ExistingObjectTag/a", ""},
		{`"s3:GetObjectAttributes"`, objects, "s3:ExistingObjectTag/a", ""},
		{`"s3:DeleteObjectVersionTagging"`, objects, "s3:existingobjecttag/a", ""},
		{`"s3:PutObject"`, objects, "s3:ExistingObjectTag/a", notApplied},
		{`"s3:DeleteObject"`, objects, "s3:ExistingObjectTag/a", notApplied},
		{`"s3:GetObjectRetention"`, objects, "s3:ExistingObjectTag/a", notApplied},
		{`["s3:GetObject","s3:PutObject"]`, objects, "s3:ExistingObjectTag/a", notApplied},
		{`"s3:PutObject"`, objects, "s3:RequestObjectTag/a", ""},
		{`"s3:PutObjectAcl"`, objects, "s3:RequestObjectTag/a", notApplied},
		{`["s3:PutObjectAcl","s3:PutObjectTagging"]`, objects, "s3:RequestObjectTag/a", notApplied},

		{`"s3:PutObject"`, objects, "s3:x-amz-acl", ""},
		{`["s3:PutObject","s3:PutObjectAcl"]`, objects, "s3:x-amz-acl", ""},
		{`["s3:GetObject","s3:PutObject"]`, objects, "s3:x-amz-acl", notApplied},
		{`["s3:GetObjectVersion","s3:PutObject"]`, objects, "s3:x-amz-grant-read", notApplied},
		{`["s3:GetObject","s3:PutObject"]`, objects, "s3:x-amz-server-side-encryption", notApplied},
		{`["s3:GetObject","s3:PutObject"]`, objects, "s3:x-amz-copy-source", notApplied},
		{`"s3:PutObject"`, objects, "s3:ObjectCreationOperation", ""},
		{`"s3:GetObject"`, objects, "s3:if-none-match", notApplied},
		{`"s3:GetObjectVersion"`, objects, "s3:VersionId", ""},
	} {
		for _, effect := range []string{"Allow", "Deny"} {
			p := mustParse(t, policy.Bucket, statements(fmt.Sprintf(
				`{"Effect":%q,"Principal":"*","Action":%s,"Resource":%s,"Condition":{"StringLike":{%q:"x"}}}`, effect, c.action, c.resource, c.key)))
			got := ""
			if err := p.CheckBucket("b"); err != nil {
				got = err.(*policy.Error).Message
			}
			if got != c.message {
				t.Errorf("%s %s on %s with %s: got %q, want %q", effect, c.action, c.resource, c.key, got, c.message)
			}
		}
	}
}

// S3 User Guide, "Blocking public access to your Amazon S3 storage", "The
// meaning of public", with its examples.
func TestPublic(t *testing.T) {
	public := func(s string) {
		t.Helper()
		if !mustParse(t, policy.Bucket, statements("{"+s+"}")).Public() {
			t.Errorf("not public: %s", s)
		}
	}
	private := func(s string) {
		t.Helper()
		if mustParse(t, policy.Bucket, statements("{"+s+"}")).Public() {
			t.Errorf("public: %s", s)
		}
	}
	const put = `"Effect":"Allow","Action":"s3:PutObject","Resource":"*",`
	everyone := put + `"Principal":"*"`
	condition := func(s string) string { return everyone + `,"Condition":` + s }

	public(put + `"Principal":{"Federated":"graph.facebook.com"}`)
	public(everyone)
	public(put + `"Principal":{"AWS":["arn:aws:iam::123456789012:role/JohnDoe","*"]}`)
	public(condition(`{"StringLike":{"aws:SourceVpc":"vpc-*"}}`))
	public(condition(`{"StringNotEquals":{"aws:SourceVpc":"vpc-91237329"}}`))
	public(condition(`{"StringEqualsIfExists":{"aws:SourceVpc":"vpc-91237329"}}`))
	public(condition(`{"StringEquals":{"aws:SourceVpc":"${aws:username}"}}`))
	public(condition(`{"StringEquals":{"aws:Referer":"https://example.com"}}`))
	public(condition(`{"IpAddress":{"aws:SourceIp":"0.0.0.0/1"}}`))
	public(condition(`{"IpAddress":{"aws:SourceIp":["54.240.143.0/24","2001::/16"]}}`))
	public(condition(`{"StringLike":{"aws:userid":"AROLEID:*"}}`))

	private(strings.Replace(everyone, "Allow", "Deny", 1))
	private(put + `"Principal":{"AWS":"arn:aws:iam::111122223333:role/JohnDoe"}`)
	private(put + `"Principal":{"AWS":"111122223333"}`)
	private(put + `"Principal":{"Service":"cloudtrail.amazonaws.com"}`)
	private(condition(`{"StringEquals":{"aws:SourceVpc":"vpc-91237329"}}`))
	private(condition(`{"StringEquals":{"aws:PrincipalOrgID":"o-xxxxxxxxxx"}}`))
	private(condition(`{"StringEquals":{"AWS:sourceaccount":"111122223333"}}`))
	private(condition(`{"IpAddress":{"aws:SourceIp":"54.240.143.0/24"}}`))
	private(condition(`{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`))
	private(condition(`{"ArnLike":{"s3:DataAccessPointArn":"arn:aws:s3:us-west-2:123456789012:accesspoint/*"}}`))
}

func TestSize(t *testing.T) {
	if n := policy.Size([]byte("{ \"Sid\" :\t\"é\"\n}")); n != len(`{"Sid":"x"}`) {
		t.Errorf("size %d", n)
	}
}
