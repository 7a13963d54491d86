package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/pkg/policy"
)

const providerARN = "arn:aws:iam::123456789012:oidc-provider/i.example/c1"

var webIdentity = policy.Principal{Kind: policy.WebIdentity, Account: account, ARN: providerARN}

// trustStatement is an Allow for tokens of the provider.
func trustStatement(condition string) string {
	s := `{"Effect":"Allow","Principal":{"Federated":"` + providerARN + `"},"Action":"sts:AssumeRoleWithWebIdentity"`
	if condition != "" {
		s += `,"Condition":` + condition
	}
	return s + "}"
}

func evaluateTrust(t testing.TB, doc string, ctx *policy.Context) policy.Decision {
	t.Helper()
	return evaluate(t, &policy.Request{
		Principal: webIdentity, Action: "sts:AssumeRoleWithWebIdentity",
		Resource: "arn:aws:iam::123456789012:role/R", ResourceAccount: account, Context: ctx,
	}, &policy.Policies{Resource: &policy.Named{Name: "R", Policy: mustParse(t, policy.Trust, doc)}})
}

// What AWS says of a token of a service account, with the sources:
// IAM User Guide, "Create a role for OpenID Connect federation", "IAM and AWS
// STS condition context keys" and "Condition operators".
func TestTrust(t *testing.T) {
	const sub = "system:serviceaccount:ns1:app"
	other := strings.Replace(providerARN, account, "999999999999", 1)
	one := func(condition string) string { return statements(trustStatement(condition)) }
	for _, c := range []struct {
		name, doc string
		allowed   bool
	}{
		{"1 subject and audience", one(`{"StringEquals":{"i.example/c1:sub":"` + sub + `","i.example/c1:aud":"sts.amazonaws.com"}}`), true},
		{"2 no condition", one(""), true},
		{"3 StringLike", one(`{"StringLike":{"i.example/c1:sub":"system:serviceaccount:ns1:*"}}`), true},
		{"4 wildcard in StringEquals", one(`{"StringEquals":{"i.example/c1:sub":"system:serviceaccount:ns1:*"}}`), false},
		{"5 key in upper case", one(`{"StringLike":{"I.EXAMPLE/C1:SUB":"system:serviceaccount:ns?:app"}}`), true},
		{"6 value in upper case", one(`{"StringEquals":{"i.example/c1:sub":"System:ServiceAccount:ns1:app"}}`), false},
		{"7 the same, ignoring case", one(`{"StringEqualsIgnoreCase":{"i.example/c1:sub":"System:ServiceAccount:ns1:app"}}`), true},
		{"8 path of the provider forgotten", one(`{"StringEquals":{"i.example:sub":"` + sub + `"}}`), false},
		{"9 scheme left in", one(`{"StringEquals":{"https://i.example/c1:sub":"` + sub + `"}}`), false},
		{"10 negated, key missing", one(`{"StringNotEquals":{"i.example/c1:nope":"x"}}`), true},
		{"11 IfExists, key missing", one(`{"StringEqualsIfExists":{"i.example/c1:nope":"x"}}`), true},
		{"12 Null", one(`{"Null":{"i.example/c1:sub":"false"}}`), true},
		{"13 ForAllValues without values", one(`{"ForAllValues:StringEquals":{"i.example/c1:amr":["pwd"]}}`), true},
		{"14 ForAnyValue without values", one(`{"ForAnyValue:StringEquals":{"i.example/c1:amr":["pwd"]}}`), false},
		{"15 list of subjects", one(`{"StringEquals":{"i.example/c1:sub":["a","` + sub + `"]}}`), true},
		{
			"16 Deny by session name",
			statements(trustStatement(`{"StringEquals":{"i.example/c1:sub":"`+sub+`"}}`),
				`{"Effect":"Deny","Principal":{"Federated":"`+providerARN+`"},"Action":"sts:*","Condition":{"StringEquals":{"sts:RoleSessionName":"evil"}}}`),
			false,
		},
		{
			"17 two providers",
			statements(`{"Effect":"Allow","Principal":{"Federated":["` + other + `","` + providerARN + `"]},"Action":"sts:AssumeRoleWithWebIdentity"}`),
			true,
		},
		{
			"18 provider of another account",
			statements(`{"Effect":"Allow","Principal":{"Federated":"` + other + `"},"Action":"sts:AssumeRoleWithWebIdentity"}`),
			false,
		},
		{"19 sts:AssumeRole", strings.Replace(one(""), "sts:AssumeRoleWithWebIdentity", "sts:AssumeRole", 1), false},
		// 20, a token with two audiences, is refused before the trust policy
		// is looked at; so is 22, an issuer that differs by a slash, which has
		// no provider. What reaches the policy is that provider's own ARN.
		{"21 Bool over http", one(`{"Bool":{"aws:SecureTransport":"true"}}`), false},
		{"22 provider with a slash", strings.ReplaceAll(one(""), "i.example/c1", "i.example/c1/"), false},

		{"action with wildcard", strings.Replace(one(""), "sts:AssumeRoleWithWebIdentity", "sts:AssumeRole*", 1), true},
		{"action in another case", strings.Replace(one(""), "sts:AssumeRoleWithWebIdentity", "STS:assumerolewithwebidentity", 1), true},
		{"NotAction", strings.Replace(one(""), `"Action":"sts:AssumeRoleWithWebIdentity"`, `"NotAction":"sts:AssumeRole"`, 1), true},
		{"Principal *", statements(`{"Effect":"Allow","Principal":"*","Action":"sts:*"}`), false},
		{"Principal AWS *", statements(`{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:*"}`), false},
		{"Deny for everyone", statements(trustStatement(""), `{"Effect":"Deny","Principal":"*","Action":"sts:*"}`), false},
	} {
		ctx := context(
			"i.example/c1:sub", sub, "i.example/c1:aud", "sts.amazonaws.com",
			"aws:SecureTransport", "false", "sts:RoleSessionName", "evil",
		)
		if d := evaluateTrust(t, c.doc, ctx); d.Allowed != c.allowed {
			t.Errorf("%s: allowed %t: %s", c.name, d.Allowed, d)
		}
	}
}

// holds reports whether a condition on key k is met. It asks an Allow and a Deny
// statement, which must agree.
func holds(t testing.TB, condition string, ctx *policy.Context) bool {
	t.Helper()
	ask := func(effect string) bool {
		list := []string{`{"Effect":"` + effect + `","Action":"s3:*","Resource":"*","Condition":` + condition + `}`}
		if effect == "Deny" {
			list = append(list, `{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`)
		}
		doc := statements(list...)
		return evaluate(t,
			&policy.Request{Principal: user, Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", Context: ctx},
			&policy.Policies{Identity: []policy.Named{{Name: "p", Policy: mustParse(t, policy.Session, doc)}}},
		).Allowed
	}
	allow, deny := ask("Allow"), !ask("Deny")
	if allow != deny {
		t.Errorf("%s: met in an Allow: %t, in a Deny: %t", condition, allow, deny)
	}
	return allow
}

// IAM User Guide, "IAM JSON policy elements: Condition operators"; the finer
// points of conversion are from captures of AWS's answers.
func TestOperators(t *testing.T) {
	for _, c := range []struct {
		operator, policy, request string
		met                       bool
	}{
		{"StringEquals", "a", "a", true},
		{"StringEquals", "a", "A", false},
		{"StringEquals", "a*", "ab", false},
		{"StringEquals", "a*", "a*", true},
		{"StringEquals", "", "", true},
		{"StringNotEquals", "a", "a", false},
		{"StringNotEquals", "a", "b", true},
		{"StringEqualsIgnoreCase", "Straße", "sTRAßE", true},
		{"StringEqualsIgnoreCase", "s", "ſ", false}, // lower case, not case folding
		{"StringEqualsIgnoreCase", "i", "İ", false},
		{"StringNotEqualsIgnoreCase", "A", "a", false},
		{"StringNotEqualsIgnoreCase", "A", "b", true},
		{"StringLike", "home/*/x", "home/a/b/x", true},
		{"StringLike", "home/*/x", "home/x", false},
		{"StringLike", "a?c", "abc", true},
		{"StringLike", "a?c", "ac", false},
		{"StringLike", "*", "", true},
		{"StringLike", "a*b*c", "abbbc", true},
		{"StringLike", "[a]", "a", false},
		{"StringLike", `\*`, "*", false},
		{"StringLike", "a*b", "a\nb", true},
		{"StringLike", "?", "𐐀", false}, // two UTF-16 units
		{"StringLike", "??", "𐐀", true},
		{"StringLike", "*?", "𐐀", true},
		{"StringLike", "?", "é", true},
		{"StringLike", "𐐀*", "𐐀x", true},
		{"StringNotLike", "a*", "abc", false},
		{"StringNotLike", "a*", "bc", true},
		{"NumericEquals", "1", "1", true},
		{"NumericEquals", "1", "01", true},
		{"NumericEquals", "1", "+1", true},
		{"NumericEquals", "1", "1.0", true},
		{"NumericEquals", "1", "1e0", true},
		{"NumericEquals", "100", "1e2", true},
		{"NumericEquals", "0", "-0.0", true},
		{"NumericEquals", "1", "2", false},
		{"NumericEquals", "1", "one", false},
		{"NumericEquals", "1", "", false},
		{"NumericEquals", "1", "NaN", false},
		{"NumericEquals", "1", "1e999999999", false},
		{"NumericEquals", "9007199254740993", "9007199254740992", false},
		{"NumericEquals", "one", "one", false},
		{"NumericNotEquals", "1", "2", true},
		{"NumericNotEquals", "1", "1.0", false},
		{"NumericNotEquals", "1", "one", true},
		{"NumericLessThan", "10", "9.99", true},
		{"NumericLessThan", "10", "10", false},
		{"NumericLessThan", "-1", "-2", true},
		{"NumericLessThan", "10", "text", false},
		{"NumericLessThanEquals", "10", "10", true},
		{"NumericLessThanEquals", "10", "11", false},
		{"NumericGreaterThan", "10", "10.0001", true},
		{"NumericGreaterThan", "10", "9", false},
		{"NumericGreaterThanEquals", "10", "10", true},
		{"NumericGreaterThanEquals", "10", "9", false},
		{"DateEquals", "2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z", true},
		{"DateEquals", "2030-01-01T00:00:00Z", "1893456000", true},
		{"DateEquals", "2030-01-01T00:00:00Z", "2030-01-01", true},
		{"DateEquals", "2030-01-01T00:00:00Z", "2030-01", true},
		{"DateEquals", "2030-01-01T00:00:00Z", "2030-01-01T02:00:00+02:00", true},
		{"DateEquals", "2030-01-01T00:00:00Z", "2029-12-31T19:00:00-0500", true},
		{"DateEquals", "2030-01-01T00:00:00.001Z", "2030-01-01T00:00:00.0019Z", true},
		{"DateEquals", "2030-01-01T00:00:00.001Z", "2030-01-01T00:00:00.002Z", false},
		{"DateEquals", "2030-01-01T00:00:00Z", "not-a-date", false},
		{"DateEquals", "2030-01-01T00:00:00Z", "", false},
		{"DateNotEquals", "2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z", true},
		{"DateNotEquals", "2030-01-01T00:00:00Z", "not-a-date", true},
		{"DateNotEquals", "2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z", false},
		{"DateLessThan", "2013-06-30T00:00:00Z", "2013-06-29T23:59:59Z", true},
		{"DateLessThan", "2013-06-30T00:00:00Z", "2013-06-30T00:00:00Z", false},
		{"DateLessThanEquals", "2013-06-30T00:00:00Z", "2013-06-30T00:00:00Z", true},
		{"DateGreaterThan", "2020-01-01T00:00:01Z", "2020-01-01T00:00:02Z", true},
		{"DateGreaterThan", "2020-01-01T00:00:01Z", "2020-01-01T00:00:01Z", false},
		{"DateGreaterThanEquals", "2020-01-01T00:00:01Z", "2020-01-01T00:00:01Z", true},
		{"Bool", "true", "TRUE", true},
		{"Bool", "true", "false", false},
		{"Bool", "false", "anything", true},
		{"Bool", "anything", "false", true},
		{"BinaryEquals", "QmluYXJ5VmFsdWVJbkJhc2U2NA==", "QmluYXJ5VmFsdWVJbkJhc2U2NA==", true},
		{"BinaryEquals", "QmluYXJ5VmFsdWVJbkJhc2U2NA==", "QmluYXJ5", false},
		{"BinaryEquals", "QmluYXJ5VmFsdWVJbkJhc2U2NA==", "!", false},
		{"IpAddress", "203.0.113.0/24", "203.0.113.255", true},
		{"IpAddress", "203.0.113.0/24", "203.0.114.0", false},
		{"IpAddress", "203.0.113.77/24", "203.0.113.1", true}, // host bits of IPv4 are ignored
		{"IpAddress", "203.0.113.7", "203.0.113.7", true},
		{"IpAddress", "203.0.113.7", "203.0.113.8", false},
		{"IpAddress", "203.000.113.007", "203.0.113.7", true},
		{"IpAddress", "2001:DB8:1234:5678::/64", "2001:db8:1234:5678::1", true},
		{"IpAddress", "2001:db8::5/64", "2001:db8::5", false}, // those of IPv6 are not
		{"IpAddress", "2001:db8::4/127", "2001:db8::5", true},
		{"IpAddress", "203.0.113.0/24", "::ffff:203.0.113.9", true},
		{"IpAddress", "::ffff:203.0.113.0/120", "203.0.113.9", false},
		{"IpAddress", "203.0.113.0/24", "nonsense", false},
		{"NotIpAddress", "203.0.113.0/24", "203.0.113.9", false},
		{"NotIpAddress", "203.0.113.0/24", "198.51.100.1", true},
		{"NotIpAddress", "203.0.113.0/24", "nonsense", false},
		{"NotIpAddress", "nonsense", "203.0.113.9", true},
		{"ArnEquals", "arn:aws:sns:us-east-2:123456789012:topic", "arn:aws:sns:us-east-2:123456789012:topic", true},
		{"ArnEquals", "arn:aws:sns:*:123456789012:t?pic", "arn:aws:sns:us-east-2:123456789012:topic", true},
		{"ArnLike", "arn:aws:someservice:*:111122223333:finance/*", "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt", false},
		{"StringLike", "arn:aws:someservice:*:111122223333:finance/*", "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt", true},
		{"ArnLike", "arn:aws:s:r:1:a*z", "arn:aws:s:r:1:a:b:z", true},
		{"ArnLike", "arn:aws:s:r:1:x", "ARN:aws:s:r:1:x", false},
		{"ArnLike", "arn:aws:s:r:1:x", "arn:aws:s:r:1:X", false},
		{"ArnLike", "arn:*:*:*:*:*", "not an arn", false},
		{"ArnNotEquals", "arn:aws:s:r:1:x", "arn:aws:s:r:1:y", true},
		{"ArnNotLike", "arn:aws:s:r:1:*", "arn:aws:s:r:1:y", false},
		{"ArnNotLike", "arn:aws:s:r:1:*", "not an arn", false},
	} {
		condition := fmt.Sprintf(`{%q:{"k":%q}}`, c.operator, c.policy)
		if c.policy == `\*` {
			condition = `{"StringLike":{"k":"\\*"}}`
		}
		if got := holds(t, condition, context("k", c.request)); got != c.met {
			t.Errorf("%s: policy %q, request %q: %t", c.operator, c.policy, c.request, got)
		}
	}
}

// "Condition operators" on keys that are not there: positive operators fail,
// negated ones and IfExists hold, whatever the values.
func TestMissingKey(t *testing.T) {
	values := map[string]string{
		"String": "x", "Numeric": "1", "Date": "2020-01-01", "Bool": "true", "Binary": "QQ==",
		"Ip": "10.0.0.0/8", "NotIp": "10.0.0.0/8", "Arn": "arn:aws:s3:::b",
	}
	for _, operator := range []string{
		"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike",
		"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals",
		"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals",
		"Bool", "BinaryEquals", "IpAddress", "NotIpAddress", "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike",
	} {
		value := ""
		for prefix, v := range values {
			if strings.HasPrefix(operator, prefix) {
				value = v
			}
		}
		condition := func(name string) string { return fmt.Sprintf(`{%q:{"k":%q}}`, name, value) }
		if got, want := holds(t, condition(operator), nil), strings.Contains(operator, "Not"); got != want {
			t.Errorf("%s: %t", operator, got)
		}
		if !holds(t, condition(operator+"IfExists"), nil) {
			t.Errorf("%sIfExists does not hold", operator)
		}
		if !holds(t, condition("ForAllValues:"+operator), nil) {
			t.Errorf("ForAllValues:%s does not hold", operator)
		}
		if holds(t, condition("ForAnyValue:"+operator), nil) {
			t.Errorf("ForAnyValue:%s holds", operator)
		}
		if !holds(t, condition("ForAnyValue:"+operator+"IfExists"), nil) {
			t.Errorf("ForAnyValue:%sIfExists does not hold", operator)
		}
	}
	if holds(t, `{"StringEqualsIfExists":{"k":"x"}}`, context("k", "y")) {
		t.Error("IfExists holds for a key that is there with another value")
	}
}

// "Condition operator to check existence of condition keys".
func TestNull(t *testing.T) {
	for _, c := range []struct {
		condition string
		ctx       *policy.Context
		met       bool
	}{
		{`{"Null":{"aws:TokenIssueTime":"true"}}`, nil, true},
		{`{"Null":{"aws:TokenIssueTime":"true"}}`, context("aws:tokenissuetime", "2020-01-01"), false},
		{`{"Null":{"aws:TokenIssueTime":"false"}}`, nil, false},
		{`{"Null":{"aws:TokenIssueTime":"false"}}`, context("aws:tokenissuetime", ""), true},
		{`{"Null":{"aws:TokenIssueTime":false}}`, context("aws:tokenissuetime", "2020-01-01"), true},
		{`{"Null":{"aws:TokenIssueTime":["true","false"]}}`, nil, true},
	} {
		if got := holds(t, c.condition, c.ctx); got != c.met {
			t.Errorf("%s: %t", c.condition, got)
		}
	}
}

// "Set operators for multivalued context keys" and "Single-valued vs.
// multivalued context keys", with the DynamoDB example of the former.
func TestSetOperators(t *testing.T) {
	for _, c := range []struct {
		operator string
		request  []string
		met      bool
	}{
		{"ForAllValues:StringLike", []string{"PostDateTime", "Message"}, true},
		{"ForAllValues:StringLike", []string{"PostDateTime", "UserName"}, false},
		{"ForAllValues:StringLike", []string{}, true},
		{"ForAllValues:StringLike", []string{""}, false},
		{"ForAnyValue:StringLike", []string{"UserName", "Message", "PostDateTime"}, true},
		{"ForAnyValue:StringLike", []string{"UserName"}, false},
		{"ForAnyValue:StringLike", []string{}, false},
		{"ForAllValues:StringNotLike", []string{"UserName", "ID"}, true},
		{"ForAllValues:StringNotLike", []string{"UserName", "Tags"}, false},
		{"ForAnyValue:StringNotLike", []string{"UserName", "Tags"}, true},
		{"ForAnyValue:StringNotLike", []string{"Message", "Tags"}, false},
		{"ForAnyValue:StringEqualsIfExists", []string{}, false},
		// Without a set operator a multivalued key meets nothing.
		{"StringLike", []string{"Tags"}, false},
		{"StringNotLike", []string{"UserName"}, false},
		{"StringLikeIfExists", []string{"Tags"}, false},
		{"StringNotLike", []string{}, false},
	} {
		var ctx policy.Context
		ctx.SetMulti("dynamodb:requestedAttributes", c.request...)
		condition := fmt.Sprintf(`{%q:{"dynamodb:requestedAttributes":["PostDateTime","Message","Tags"]}}`, c.operator)
		if got := holds(t, condition, &ctx); got != c.met {
			t.Errorf("%s with %q: %t", c.operator, c.request, got)
		}
	}
	// A single value under a set operator is a set of one.
	if !holds(t, `{"ForAnyValue:StringEquals":{"k":"v"}}`, context("k", "v")) || holds(t, `{"ForAllValues:StringEquals":{"k":"v"}}`, context("k", "w")) {
		t.Error("set operators and single-valued keys")
	}
}

// "IAM JSON policy elements: Condition": operators and keys are AND, the
// values of a key OR, or NOR with a negated operator.
func TestConditionLogic(t *testing.T) {
	ctx := context("a", "1", "b", "2")
	for condition, met := range map[string]bool{
		`{"StringEquals":{"a":"1","b":"2"}}`:                       true,
		`{"StringEquals":{"a":"1","b":"3"}}`:                       false,
		`{"StringEquals":{"a":"1"},"NumericLessThan":{"b":3}}`:     true,
		`{"StringEquals":{"a":"1"},"NumericLessThan":{"b":1}}`:     false,
		`{"StringEquals":{"a":["0","1"]}}`:                         true,
		`{"StringNotEquals":{"a":["0","1"]}}`:                      false,
		`{"StringNotEquals":{"a":["0","2"]}}`:                      true,
		`{"StringEquals":{"a":[]}}`:                                false,
		`{"StringNotEquals":{"a":[]}}`:                             true,
		`{"NotIpAddress":{"a":["10.0.0.0/8"]}}`:                    false,
		`{"StringEquals":{"A":"1"}}`:                               true,
		`{"StringEquals":{"a":"1"},"StringNotEquals":{"a":["1"]}}`: false,
	} {
		if got := holds(t, condition, ctx); got != met {
			t.Errorf("%s: %t", condition, got)
		}
	}
}

// An ARN in the policy that is none cannot grant, and does not open what a
// Deny was to close; a match before it counts.
func TestMalformedARNInPolicy(t *testing.T) {
	const arn = "arn:aws:sns:us-east-2:123456789012:topic"
	for _, c := range []struct {
		condition, request string
		allow, deny        bool // whether it is met in either
	}{
		{`{"ArnLike":{"k":"topic"}}`, arn, false, true},
		{`{"ArnNotLike":{"k":"topic"}}`, arn, false, true},
		{`{"ArnLike":{"k":["` + arn + `","topic"]}}`, arn, true, true},
		{`{"ArnLike":{"k":"topic"}}`, "topic", false, false},
	} {
		for effect, met := range map[string]bool{"Allow": c.allow, "Deny": c.deny} {
			doc := statements(
				`{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}`,
				`{"Effect":"`+effect+`","Action":"s3:*","Resource":"*","Condition":`+c.condition+`}`,
			)
			action := map[string]string{"Allow": "s3:GetObject", "Deny": "s3:PutObject"}[effect]
			d := evaluate(t,
				&policy.Request{Principal: user, Action: action, Resource: "*", Context: context("k", c.request)},
				&policy.Policies{Identity: []policy.Named{{Name: "p", Policy: mustParse(t, policy.Session, doc)}}},
			)
			if got := d.Allowed == (effect == "Allow"); got != met {
				t.Errorf("%s %s: met %t", effect, c.condition, got)
			}
		}
	}
}

// identity asks an identity policy of one statement.
func identity(t testing.TB, statement, action, resource string, ctx *policy.Context) bool {
	t.Helper()
	return evaluate(t,
		&policy.Request{Principal: user, Action: action, Resource: resource, Context: ctx},
		&policy.Policies{Identity: []policy.Named{{Name: "p", Policy: mustParse(t, policy.Identity, statements(statement))}}},
	).Allowed
}

// IAM User Guide, "IAM policy elements: Variables and tags".
func TestVariables(t *testing.T) {
	david := context("aws:username", "David", "aws:PrincipalTag/department", "sales", "star", "*")
	var multi policy.Context
	multi.SetMulti("aws:username", "David")
	resource := func(r string) string { return `{"Effect":"Allow","Action":"s3:*","Resource":"` + r + `"}` }
	for _, c := range []struct {
		pattern, request string
		ctx              *policy.Context
		allowed          bool
	}{
		{"arn:aws:s3:::mybucket/${aws:username}/*", "arn:aws:s3:::mybucket/David/x", david, true},
		{"arn:aws:s3:::mybucket/${AWS:UserName}/*", "arn:aws:s3:::mybucket/David/x", david, true},
		{"arn:aws:s3:::mybucket/${aws:username}/*", "arn:aws:s3:::mybucket/Carlos/x", david, false},
		{"arn:aws:s3:::mybucket/${aws:username}/*", "arn:aws:s3:::mybucket//x", nil, false},
		{"arn:aws:s3:::mybucket/${aws:username}/*", "arn:aws:s3:::mybucket/David/x", &multi, false},
		{"arn:aws:s3:::mybucket/${aws:username}/*", "arn:aws:s3:::mybucket//x", &multi, false},
		{"arn:aws:s3:::bucket/${aws:PrincipalTag/department}", "arn:aws:s3:::bucket/sales", david, true},
		{"arn:aws:s3:::bucket/${aws:PrincipalTag/team, 'company-wide'}", "arn:aws:s3:::bucket/company-wide", david, true},
		{"arn:aws:s3:::bucket/${aws:PrincipalTag/department, 'company-wide'}", "arn:aws:s3:::bucket/company-wide", david, false},
		{"arn:aws:s3:::bucket/${aws:username, 'David'}", "arn:aws:s3:::bucket/David", &multi, false},
		{"arn:aws:s3:::bucket/${aws:PrincipalTag/team,''}x", "arn:aws:s3:::bucket/x", david, true},
		{"arn:aws:s3:::bucket/${star}", "arn:aws:s3:::bucket/anything", david, false}, // values are literal
		{"arn:aws:s3:::bucket/${star}", "arn:aws:s3:::bucket/*", david, true},
		{"arn:aws:s3:::bucket/${*}", "arn:aws:s3:::bucket/anything", david, false},
		{"arn:aws:s3:::bucket/${*}", "arn:aws:s3:::bucket/*", david, true},
		{"arn:aws:s3:::bucket/${?}", "arn:aws:s3:::bucket/?", david, true},
		{"arn:aws:s3:::bucket/${?}", "arn:aws:s3:::bucket/x", david, false},
		{"arn:aws:s3:::bucket/${$}{aws:username}", "arn:aws:s3:::bucket/${aws:username}", david, true},
		{"arn:aws:s3:::bucket/${aws:username", "arn:aws:s3:::bucket/${aws:username", david, true},
		// Not before the fifth colon.
		{"arn:aws:sns:r:${aws:username}:x", "arn:aws:sns:r:David:x", david, false},
	} {
		if got := identity(t, resource(c.pattern), "s3:GetObject", c.request, c.ctx); got != c.allowed {
			t.Errorf("%s, %s: %t", c.pattern, c.request, got)
		}
	}

	for condition, met := range map[string]bool{
		`{"StringEquals":{"aws:username":"${aws:username}"}}`:                             true,
		`{"StringEquals":{"aws:username":"${aws:PrincipalTag/team}"}}`:                    false,
		`{"StringNotEquals":{"aws:username":"${aws:PrincipalTag/team}"}}`:                 true,
		`{"StringEqualsIgnoreCase":{"aws:username":"${aws:PrincipalTag/team, 'DAVID'}"}}`: true,
		`{"StringLike":{"aws:username":"${star}"}}`:                                       false,
		`{"StringLike":{"aws:username":"*${aws:username}"}}`:                              true,
		`{"NumericEquals":{"aws:username":"${aws:username}"}}`:                            false,
	} {
		if got := holds(t, condition, david); got != met {
			t.Errorf("%s: %t", condition, got)
		}
	}
	arn := context("aws:PrincipalArn", "arn:aws:iam::1:role/x", "aws:SourceArn", "arn:aws:iam::1:role/x")
	if !holds(t, `{"ArnEquals":{"aws:SourceArn":"${aws:PrincipalArn}"}}`, arn) {
		t.Error("a variable for a whole ARN")
	}

	// NotResource with a variable without value: the element does not apply.
	if identity(t, `{"Effect":"Allow","Action":"s3:*","NotResource":"arn:aws:s3:::b/${aws:nobody}"}`, "s3:GetObject", "arn:aws:s3:::c/x", david) {
		t.Error("NotResource with an unresolved variable applies")
	}

	// In documents of 2008-10-17 variables are plain text.
	old := mustParse(t, policy.Session, `{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username}"}}`)
	for resource, allowed := range map[string]bool{"arn:aws:s3:::b/David": false, "arn:aws:s3:::b/${aws:username}": true} {
		d := evaluate(t, &policy.Request{Principal: user, Action: "s3:GetObject", Resource: resource, Context: david},
			&policy.Policies{Identity: []policy.Named{{Name: "old", Policy: old}}})
		if d.Allowed != allowed {
			t.Errorf("version 2008-10-17, %s: %t", resource, d.Allowed)
		}
	}
}

// "IAM JSON policy elements: Action", "Resource", "NotAction", "NotResource".
func TestElements(t *testing.T) {
	for _, c := range []struct {
		statement, action, resource string
		allowed                     bool
	}{
		{`"Action":"iam:*AccessKey*","Resource":"*"`, "iam:ListAccessKeys", "*", true},
		{`"Action":"iam:*AccessKey*","Resource":"*"`, "IAM:listaccesskeys", "*", true},
		{`"Action":"IAM:LISTACCESSKEYS","Resource":"*"`, "iam:ListAccessKeys", "*", true},
		{`"Action":"iam:*AccessKey*","Resource":"*"`, "iam:ListUsers", "*", false},
		{`"Action":"s3:Get?bject","Resource":"*"`, "s3:GetObject", "*", true},
		{`"Action":"*","Resource":"*"`, "s3:GetObject", "*", true},
		{`"Action":"*:*","Resource":"*"`, "s3:GetObject", "*", true},
		{`"Action":"s3:*","Resource":"*"`, "s3-object-lambda:GetObject", "*", false},
		{`"Action":["sqs:*","s3:GetObject"],"Resource":"*"`, "s3:GetObject", "*", true},
		{`"NotAction":"s3:DeleteBucket","Resource":"*"`, "s3:GetObject", "*", true},
		{`"NotAction":"s3:DeleteBucket","Resource":"*"`, "s3:deletebucket", "*", false},
		{`"NotAction":["iam:*","organizations:*"],"Resource":"*"`, "iam:ListRoles", "*", false},

		{`"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`, "s3:GetObject", "arn:aws:s3:::b/k", true},
		{`"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`, "s3:ListBucket", "arn:aws:s3:::b", false},
		{`"Action":"s3:*","Resource":"arn:aws:s3:::b"`, "s3:GetObject", "arn:aws:s3:::b/k", false},
		{`"Action":"s3:*","Resource":"arn:aws:s3:::B"`, "s3:ListBucket", "arn:aws:s3:::b", false},
		{`"Action":"s3:*","Resource":"arn:aws:s3:::amzn-s3-demo-bucket/*/test/*"`, "s3:GetObject", "arn:aws:s3:::amzn-s3-demo-bucket/1/2/test/object.jpg", true},
		{`"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`, "s3:GetObject", "arn:aws:s3:::b/a:b:c", true},
		{`"Action":"iam:*","Resource":"arn:aws:iam::*:user/x"`, "iam:GetUser", "arn:aws:iam::123456789012:user/x", true},
		{`"Action":"iam:*","Resource":"arn:aws:iam::123456789012:role/x"`, "iam:ListRoles", "arn:aws:iam::123456789012:role/", false},
		{`"Action":"iam:*","Resource":"arn:*:iam::123456789012:role/x"`, "iam:GetRole", "arn:aws-cn:iam::123456789012:role/x", true},
		{`"Action":"sns:*","Resource":"arn:aws:sns:us-*-1:1:t"`, "sns:Publish", "arn:aws:sns:us-east-1:1:t", true},
		// A star inside a segment stays in it; one that ends it may run on.
		{`"Action":"sns:*","Resource":"arn:aws:sns:u*1:t"`, "sns:Publish", "arn:aws:sns:us-east-1:1:t", false},
		{`"Action":"dynamodb:*","Resource":"arn:aws:dynamodb:*:table/prod-*"`, "dynamodb:DeleteTable", "arn:aws:dynamodb:us-east-1:111122223333:table/prod-x", true},
		{`"Action":"dynamodb:*","Resource":"arn:aws:dynamodb:*:table/prod-*"`, "dynamodb:DeleteTable", "arn:aws:dynamodb:us-east-1:111122223333:table/dev-x", false},
		{`"Action":"sns:*","Resource":"arn:aws:sns:us?east-1:1:t"`, "sns:Publish", "arn:aws:sns:us-east-1:1:t", true},
		{`"Action":"sns:*","Resource":"arn:aws:sns:us-east-1?1:t"`, "sns:Publish", "arn:aws:sns:us-east-1:1:t", false},
		// An incomplete ARN covers what it begins.
		{`"Action":"rds:*","Resource":"arn:aws:rds:*"`, "rds:StartDBInstance", "arn:aws:rds:us-east-1:1:db:x", true},
		{`"Action":"rds:*","Resource":"arn:aws:rds:us-east-1"`, "rds:StartDBInstance", "arn:aws:rds:us-east-1:1:db:x", true},
		{`"Action":"rds:*","Resource":"arn:aws:rds:us-east-1"`, "rds:StartDBInstance", "arn:aws:rds:us-east-2:1:db:x", false},
		// An action without resources needs "*".
		{`"Action":"iam:*","Resource":"arn:aws:iam::123456789012:*"`, "iam:GetAccountSummary", "*", false},

		{`"Action":"s3:*","NotResource":["arn:aws:s3:::HRBucket/Payroll","arn:aws:s3:::HRBucket/Payroll/*"]`, "s3:GetObject", "arn:aws:s3:::HRBucket/x", true},
		{`"Action":"s3:*","NotResource":["arn:aws:s3:::HRBucket/Payroll","arn:aws:s3:::HRBucket/Payroll/*"]`, "s3:GetObject", "arn:aws:s3:::HRBucket/Payroll/x", false},
	} {
		if got := identity(t, `{"Effect":"Allow",`+c.statement+`}`, c.action, c.resource, nil); got != c.allowed {
			t.Errorf("%s: %s on %s: %t", c.statement, c.action, c.resource, got)
		}
	}
}

// decide evaluates policies given as documents: the keys are identity,
// boundary, session and bucket.
func decide(t testing.TB, caller policy.Principal, action, resource, owner string, docs map[string]string) policy.Decision {
	t.Helper()
	var p policy.Policies
	for name, doc := range docs {
		switch name {
		case "identity":
			p.Identity = []policy.Named{{Name: name, Policy: mustParse(t, policy.Identity, doc)}}
		case "boundary":
			p.Boundary = &policy.Named{Name: name, Policy: mustParse(t, policy.Identity, doc)}
		case "session":
			p.HasSession = true
			p.Session = []policy.Named{{Name: name, Policy: mustParse(t, policy.Session, doc)}}
		case "bucket":
			p.Resource = &policy.Named{Name: name, Policy: mustParse(t, policy.Bucket, doc)}
		case "trust":
			p.Resource = &policy.Named{Name: name, Policy: mustParse(t, policy.Trust, doc)}
		}
	}
	return evaluate(t, &policy.Request{Principal: caller, Action: action, Resource: resource, ResourceAccount: owner}, &p)
}

// "Policy evaluation logic": the example of Carlos, and "The difference
// between explicit and implicit denies".
func TestDocumentedExamples(t *testing.T) {
	carlos := map[string]string{
		"identity": statements(
			`{"Sid":"AllowS3ListRead","Effect":"Allow","Action":["s3:GetBucketLocation","s3:GetAccountPublicAccessBlock","s3:ListAccessPoints","s3:ListAllMyBuckets"],"Resource":"arn:aws:s3:::*"}`,
			`{"Sid":"AllowS3Self","Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::carlossalazar/*","arn:aws:s3:::carlossalazar"]}`,
			`{"Sid":"DenyS3Logs","Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::*log*"}`),
		"bucket": statements(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/carlossalazar"},"Action":"s3:*","Resource":["arn:aws:s3:::carlossalazar/*","arn:aws:s3:::carlossalazar"]}`),
	}
	d := decide(t, user, "s3:PutObject", "arn:aws:s3:::carlossalazar-logs/x", account, carlos)
	if d.Allowed || !d.Explicit || d.Statement.Sid != "DenyS3Logs" {
		t.Errorf("carlossalazar-logs: %s", d)
	}
	if d := decide(t, user, "s3:PutObject", "arn:aws:s3:::carlossalazar/x", account, carlos); !d.Allowed {
		t.Errorf("carlossalazar: %s", d)
	}

	reports := map[string]string{"identity": statements(
		`{"Sid":"AllowGetList","Effect":"Allow","Action":["iam:Get*","iam:List*"],"Resource":"*"}`,
		`{"Sid":"DenyReports","Effect":"Deny","Action":"iam:*Report","Resource":"*"}`)}
	for action, want := range map[string]string{
		"iam:GetUser":                      "allowed",
		"iam:CreatePolicy":                 "because no identity-based policy allows the iam:CreatePolicy action",
		"iam:GetOrganizationsAccessReport": "with an explicit deny in an identity-based policy",
	} {
		d := decide(t, user, action, "*", account, reports)
		if got := d.Tail(); got != want && (want != "allowed" || !d.Allowed) {
			t.Errorf("%s: %s", action, d)
		}
	}

	// "Permissions boundaries for IAM entities", the example of Shirley.
	shirley := map[string]string{
		"boundary": statements(`{"Effect":"Allow","Action":["s3:*","cloudwatch:*","ec2:*"],"Resource":"*"}`),
		"identity": statements(`{"Effect":"Allow","Action":"iam:CreateUser","Resource":"*"}`),
	}
	d = decide(t, user, "iam:CreateUser", "arn:aws:iam::123456789012:user/x", account, shirley)
	if d.Allowed || d.Tail() != "because no permissions boundary allows the iam:CreateUser action" {
		t.Errorf("Shirley: %s", d)
	}
	if d := decide(t, user, "s3:ListAllMyBuckets", "*", account, shirley); d.Allowed || d.Type != policy.IdentityType {
		t.Errorf("Shirley: a boundary grants: %s", d)
	}
}

// "Policy evaluation logic", "Evaluating policies within a single account",
// and "Cross-account policy evaluation logic": every combination of policies
// and principals.
func TestAlgorithm(t *testing.T) {
	const (
		action   = "s3:GetObject"
		resource = "arn:aws:s3:::b/k"
	)
	yes := statements(`{"Effect":"Allow","Action":"s3:*","Resource":"*"}`)
	no := statements(`{"Effect":"Allow","Action":"sqs:*","Resource":"*"}`)
	deny := statements(`{"Effect":"Allow","Action":"*","Resource":"*"}`, `{"Effect":"Deny","Action":"s3:*","Resource":"*"}`)
	bucket := func(principal string) string {
		return statements(`{"Effect":"Allow","Principal":` + principal + `,"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}`)
	}
	aws := func(arn string) string { return bucket(`{"AWS":"` + arn + `"}`) }
	bucketDeny := func(element, principal string) string {
		return statements(`{"Effect":"Deny","` + element + `":` + principal + `,"Action":"s3:*","Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]}`)
	}
	const here, elsewhere = account, "999999999999"
	noIdentity := "because no identity-based policy allows the s3:GetObject action"
	noBoundary := "because no permissions boundary allows the s3:GetObject action"
	noSession := "because no session policy allows the s3:GetObject action"
	noResource := "because no resource-based policy allows the s3:GetObject action"
	type docs = map[string]string
	for _, c := range []struct {
		name   string
		caller policy.Principal
		owner  string
		docs   docs
		tail   string // empty: allowed
	}{
		{"nothing", session, here, docs{}, noIdentity},
		{"identity", session, here, docs{"identity": yes}, ""},
		{"identity of something else", session, here, docs{"identity": no}, noIdentity},
		{"boundary allows", session, here, docs{"identity": yes, "boundary": yes}, ""},
		{"boundary lacks", session, here, docs{"identity": yes, "boundary": no}, noBoundary},
		{"boundary alone", session, here, docs{"boundary": yes}, noIdentity},
		{"session allows", session, here, docs{"identity": yes, "session": yes}, ""},
		{"session lacks", session, here, docs{"identity": yes, "session": no}, noSession},
		{"session alone", session, here, docs{"session": yes}, noIdentity},
		{"all three", session, here, docs{"identity": yes, "boundary": yes, "session": yes}, ""},
		{"identity is named first", session, here, docs{"identity": no, "boundary": no, "session": no}, noIdentity},
		{"boundary is named second", session, here, docs{"identity": yes, "boundary": no, "session": no}, noBoundary},

		{"deny in identity", session, here, docs{"identity": deny, "bucket": aws(session.ARN)}, "with an explicit deny in an identity-based policy"},
		{"deny in boundary", session, here, docs{"identity": yes, "boundary": deny, "bucket": aws(session.ARN)}, "with an explicit deny in a permissions boundary"},
		{"deny in session", session, here, docs{"identity": yes, "session": deny, "bucket": aws(session.ARN)}, "with an explicit deny in a session policy"},
		{"deny in bucket", session, here, docs{"identity": yes, "bucket": bucketDeny("Principal", `"*"`)}, "with an explicit deny in a resource-based policy"},
		{"deny for the account", session, here, docs{"identity": yes, "bucket": bucketDeny("Principal", `{"AWS":"123456789012"}`)}, "with an explicit deny in a resource-based policy"},
		{"deny for another role", session, here, docs{"identity": yes, "bucket": bucketDeny("Principal", `{"AWS":"arn:aws:iam::123456789012:role/Q"}`)}, ""},

		// Grants to the very session are not limited by implicit denies.
		{"bucket names the session", session, here, docs{"bucket": aws(session.ARN)}, ""},
		{"the same, all else lacks", session, here, docs{"identity": no, "boundary": no, "session": no, "bucket": aws(session.ARN)}, ""},
		{"bucket names everyone", session, here, docs{"boundary": no, "session": no, "bucket": bucket(`"*"`)}, ""},
		{"bucket names AWS *", session, here, docs{"bucket": bucket(`{"AWS":"*"}`)}, ""},
		{"bucket names another session", session, here, docs{"bucket": aws("arn:aws:sts::123456789012:assumed-role/R/T")}, noIdentity},
		// Grants to the role are, by boundary and session policies.
		{"bucket names the role", session, here, docs{"bucket": aws(session.EntityARN)}, ""},
		{"the same, identity lacks", session, here, docs{"identity": no, "bucket": aws(session.EntityARN)}, ""},
		{"the same, boundary lacks", session, here, docs{"identity": yes, "boundary": no, "bucket": aws(session.EntityARN)}, noBoundary},
		{"the same, session lacks", session, here, docs{"identity": yes, "session": no, "bucket": aws(session.EntityARN)}, noSession},
		{"the same, both allow", session, here, docs{"boundary": yes, "session": yes, "bucket": aws(session.EntityARN)}, ""},
		{"role named without its path", session, here, docs{"bucket": aws("arn:aws:iam::123456789012:role/R")}, noIdentity},
		// Grants to the account only delegate.
		{"bucket names the root", session, here, docs{"bucket": aws("arn:aws:iam::123456789012:root")}, noIdentity},
		{"the same, identity allows", session, here, docs{"identity": yes, "bucket": aws("arn:aws:iam::123456789012:root")}, ""},
		{"bucket names the account", user, here, docs{"bucket": aws("123456789012")}, noIdentity},

		{"bucket names the user", user, here, docs{"identity": no, "boundary": no, "bucket": aws(user.ARN)}, ""},
		{"bucket names the user in another case", user, here, docs{"bucket": aws("arn:aws:iam::123456789012:user/CarlosSalazar")}, noIdentity},

		{"federated user without session policies", federated, here, docs{"identity": yes}, noSession},
		{"federated user", federated, here, docs{"identity": yes, "session": yes}, ""},
		{"bucket names the federated user", federated, here, docs{"bucket": aws(federated.ARN)}, ""},
		{"bucket names the user behind", federated, here, docs{"session": no, "bucket": aws(user.ARN)}, noSession},
		{"the same, session allows", federated, here, docs{"session": yes, "bucket": aws(user.ARN)}, ""},

		{"root", root, here, docs{}, ""},
		{"root denied by bucket", root, here, docs{"bucket": bucketDeny("Principal", `"*"`)}, "with an explicit deny in a resource-based policy"},
		{"root elsewhere", root, elsewhere, docs{}, noResource},
		{"root elsewhere, let in", root, elsewhere, docs{"bucket": aws(root.ARN)}, ""},

		{"anonymous", anonymous, here, docs{}, noResource},
		{"anonymous, public bucket", anonymous, here, docs{"bucket": bucket(`"*"`)}, ""},
		{"anonymous, AWS *", anonymous, here, docs{"bucket": bucket(`{"AWS":"*"}`)}, ""},
		{"anonymous, bucket of an account", anonymous, here, docs{"bucket": aws("123456789012")}, noResource},

		// Cross-account: both sides, and a role or root on the other suffices.
		{"abroad, identity only", session, elsewhere, docs{"identity": yes}, noResource},
		{"abroad, bucket only", session, elsewhere, docs{"bucket": aws(session.ARN)}, noIdentity},
		{"abroad, everyone, no identity", session, elsewhere, docs{"bucket": bucket(`"*"`)}, noIdentity},
		{"abroad, both", session, elsewhere, docs{"identity": yes, "bucket": aws(session.EntityARN)}, ""},
		{"abroad, role, no identity", session, elsewhere, docs{"bucket": aws(session.EntityARN)}, noIdentity},
		{"abroad, root", session, elsewhere, docs{"identity": yes, "bucket": aws("123456789012")}, ""},
		{"abroad, everyone", session, elsewhere, docs{"identity": yes, "bucket": bucket(`"*"`)}, ""},
		{"abroad, boundary lacks", session, elsewhere, docs{"identity": yes, "boundary": no, "bucket": aws(session.ARN)}, noBoundary},
		{"abroad, session lacks", session, elsewhere, docs{"identity": yes, "session": no, "bucket": aws(session.ARN)}, noSession},
		{"abroad, their own account", session, elsewhere, docs{"identity": yes, "bucket": aws("999999999999")}, noResource},

		// "IAM JSON policy elements: NotPrincipal": all that the caller is
		// must be listed.
		{
			"NotPrincipal lists all", session, here,
			docs{"identity": yes, "bucket": bucketDeny("NotPrincipal", `{"AWS":["`+session.ARN+`","`+session.EntityARN+`","arn:aws:iam::123456789012:root"]}`)}, "",
		},
		{
			"NotPrincipal lacks the role", session, here,
			docs{"identity": yes, "bucket": bucketDeny("NotPrincipal", `{"AWS":["`+session.ARN+`","arn:aws:iam::123456789012:root"]}`)}, "with an explicit deny in a resource-based policy",
		},
		{
			"NotPrincipal lacks the account", user, here,
			docs{"identity": yes, "bucket": bucketDeny("NotPrincipal", `{"AWS":"`+user.ARN+`"}`)}, "with an explicit deny in a resource-based policy",
		},
		{
			"NotPrincipal lists user and account", user, here,
			docs{"identity": yes, "bucket": bucketDeny("NotPrincipal", `{"AWS":["`+user.ARN+`","123456789012"]}`)}, "",
		},
		{
			"NotPrincipal and a stranger", anonymous, here,
			docs{"bucket": bucketDeny("NotPrincipal", `{"AWS":["`+user.ARN+`","123456789012"]}`)}, "with an explicit deny in a resource-based policy",
		},
	} {
		d := decide(t, c.caller, action, resource, c.owner, c.docs)
		if d.Tail() != c.tail || d.Allowed != (c.tail == "") {
			t.Errorf("%s: %s\nwant tail %q", c.name, d, c.tail)
		}
	}
}

// AssumeRole: the trust policy is needed even in the same account, and is
// enough if it names the caller itself ("AssumeRole", API reference).
func TestAssumeRole(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/T"
	may := statements(`{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}`)
	trust := func(arn string) string {
		return statements(`{"Effect":"Allow","Principal":{"AWS":"` + arn + `"},"Action":"sts:AssumeRole"}`)
	}
	for _, c := range []struct {
		name    string
		caller  policy.Principal
		owner   string
		docs    map[string]string
		allowed bool
	}{
		{"identity only", user, account, map[string]string{"identity": may, "trust": trust("arn:aws:iam::123456789012:user/other")}, false},
		{"trust names the user", user, account, map[string]string{"trust": trust(user.ARN)}, true},
		{"trust names the account", user, account, map[string]string{"trust": trust(account)}, false},
		{"trust names the account, identity allows", user, account, map[string]string{"identity": may, "trust": trust(account)}, true},
		{"trust names the role", session, account, map[string]string{"trust": trust(session.EntityARN)}, true},
		{"abroad, trust only", user, "999999999999", map[string]string{"trust": trust(user.ARN)}, false},
		{"abroad, both", user, "999999999999", map[string]string{"identity": may, "trust": trust(user.ARN)}, true},
	} {
		if d := decide(t, c.caller, "sts:AssumeRole", role, c.owner, c.docs); d.Allowed != c.allowed {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// "IAM JSON policy elements: Principal": a role that was deleted and made
// again is not the one that was trusted.
func TestBind(t *testing.T) {
	doc := statements(`{"Effect":"Allow","Principal":{"AWS":["` + session.EntityARN + `","*"]},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"k":"v"}}}`)
	p := mustParse(t, policy.Trust, doc)
	if diff := cmp.Diff([]string{session.EntityARN}, p.AWSPrincipals()); diff != "" {
		t.Error(diff)
	}
	doc = statements(`{"Effect":"Allow","Principal":{"AWS":"` + session.EntityARN + `"},"Action":"sts:AssumeRole"}`)
	bound := mustParse(t, policy.Trust, doc).Bind(map[string]string{session.EntityARN: session.ID})
	documents.Store(bound, doc)
	ask := func(caller policy.Principal) policy.Decision {
		return evaluate(t, &policy.Request{Principal: caller, Action: "sts:AssumeRole", ResourceAccount: account},
			&policy.Policies{Resource: &policy.Named{Name: "R", Policy: bound}})
	}
	if d := ask(session); !d.Allowed {
		t.Error(d)
	}
	again := session
	again.ID = "AROAJBQP57FF2AEXAMPLE"
	d := ask(again)
	if d.Allowed || !strings.Contains(d.String(), "deleted since") {
		t.Error(d)
	}
	// A unique id in the document itself.
	byID := mustParse(t, policy.Trust, strings.Replace(doc, session.EntityARN, session.ID, 1))
	policies := &policy.Policies{Resource: &policy.Named{Name: "R", Policy: byID}}
	if d = evaluate(t, &policy.Request{Principal: session, Action: "sts:AssumeRole", Resource: "arn:aws:iam::123456789012:role/R"}, policies); !d.Allowed {
		t.Error(d)
	}
	// It names the role, so that session policies limit it.
	policies.HasSession = true
	if d = evaluate(t, &policy.Request{Principal: session, Action: "sts:AssumeRole", Resource: "arn:aws:iam::123456789012:role/R"}, policies); d.Type != policy.SessionType {
		t.Error(d)
	}
}

func TestContextKeys(t *testing.T) {
	p := mustParse(t, policy.Identity, statements(`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username}","Condition":{
		"StringEquals":{"aws:UserName":"x","s3:prefix":"${aws:PrincipalTag/team, 'a'}"},"Null":{"aws:TokenIssueTime":"true"}}}`))
	want := []string{"aws:PrincipalTag/team", "aws:TokenIssueTime", "aws:username", "s3:prefix"}
	if got := p.ContextKeys(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
