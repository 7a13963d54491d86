package emulator_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// TestGuardVectors: calls in the protocols in which their services' clients send them, with
// policies that allow them and that do not, as the guides of the services say.
func TestGuardVectors(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	const (
		zone   = "arn:aws:route53:::hostedzone/Z9"
		nsR53  = "https://route53.amazonaws.com/doc/2013-04-01/"
		change = `<?xml version="1.0" encoding="UTF-8"?><ChangeResourceRecordSetsRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ChangeBatch><Changes><Change>` +
			`<Action>CREATE</Action><ResourceRecordSet><Name>_acme.x.org.</Name><Type>TXT</Type><TTL>60</TTL><ResourceRecords><ResourceRecord><Value>"v"</Value>` +
			`</ResourceRecord></ResourceRecords></ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>`
		acme = `{"ForAllValues:StringLike":{"route53:ChangeResourceRecordSetsNormalizedRecordNames":["_acme*"]},
			"ForAllValues:StringEquals":{"route53:ChangeResourceRecordSetsRecordTypes":["TXT"],"route53:ChangeResourceRecordSetsActions":["CREATE"]}}`
		cluster = "arn:aws:rds:us-east-1:123456789012:cluster:c"
		stage   = "arn:aws:apigateway:us-east-1::/restapis/abc/stages/v1"
	)
	records := func(body string) func() *http.Request {
		return func() *http.Request {
			return g.by("route53", "POST", "/2013-04-01/hostedzone/Z9/rrset", body, "Content-Type", "application/xml")
		}
	}
	query := func(service string, pairs ...string) func() *http.Request {
		form := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return func() *http.Request { return g.query(service, "/", form.Encode()) }
	}
	sns := func(pairs ...string) func() *http.Request {
		return query("sns", append(pairs, "Version", "2010-03-31")...)
	}
	ec2 := func(pairs ...string) func() *http.Request {
		return query("ec2", append(pairs, "Version", "2016-11-15")...)
	}
	all := func(statements ...string) string {
		return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
	}
	allow := func(action, resource string) string {
		return `{"Effect":"Allow","Action":"` + action + `","Resource":"` + resource + `"}`
	}
	sqsOnly := all(allow("sns:*", "*"), `{"Effect":"Deny","Action":"sns:Subscribe","Resource":"*","Condition":{"StringNotEquals":{"sns:Protocol":"sqs"}}}`)
	subscribe := func(protocol, endpoint string) func() *http.Request {
		return sns("Action", "Subscribe", "TopicArn", arnSNS+"news", "Protocol", protocol, "Endpoint", endpoint)
	}
	run := ec2("Action", "RunInstances", "ImageId", "ami-9", "SubnetId", "subnet-9", "MinCount", "1", "MaxCount", "1",
		"TagSpecification.1.ResourceType", "instance", "TagSpecification.1.Tag.1.Key", "a", "TagSpecification.1.Tag.1.Value", "1")
	statement := func() *http.Request {
		return g.by("rds-data", "POST", "/BatchExecute", `{"resourceArn":"`+cluster+`","secretArn":"`+arnSecret+`app-Xy12Za","sql":"select 1"}`, "Content-Type", "application/json")
	}
	ec2Denied := func(action, resource string) string {
		return "403 text/xml;charset=UTF-8\n<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized to perform this operation. " +
			deniedText(action, resource) + " Encoded authorization failure message: SEALED</Message></Error></Errors><RequestID>ID</RequestID></Response>"
	}
	for name, test := range map[string]struct {
		r      func() *http.Request
		policy string
		want   string // the answer to a denial; "" if it is allowed
		asked  []string
	}{
		"D50 a record that may be made": {records(change), permitting("route53:ChangeResourceRecordSets", zone, acme), "", []string{"route53:ChangeResourceRecordSets " + zone}},
		"D50 a record of another type": {records(strings.Replace(change, "TXT", "A", 1)), permitting("route53:ChangeResourceRecordSets", zone, acme),
			deniedQuery(nsR53, "AccessDenied", deniedText("route53:ChangeResourceRecordSets", zone)), []string{"route53:ChangeResourceRecordSets " + zone}},
		"D50 a record of another name": {records(strings.Replace(change, "_acme", "www", 1)), permitting("route53:ChangeResourceRecordSets", zone, acme),
			deniedQuery(nsR53, "AccessDenied", deniedText("route53:ChangeResourceRecordSets", zone)), nil},
		"D15 a telephone": {sns("Action", "Publish", "PhoneNumber", "+15555550100", "Message", "m"), permitting("sns:Publish", "arn:aws:sns:*:*:*"),
			deniedQuery("http://sns.amazonaws.com/doc/2010-03-31/", "AuthorizationError", deniedText("SNS:Publish", "+15555550100")), nil},
		"D15 any telephone":      {sns("Action", "Publish", "PhoneNumber", "+15555550100", "Message", "m"), permitting("sns:Publish", "*"), "", []string{"sns:Publish *"}},
		"D16 a queue subscribes": {subscribe("sqs", arnSQS+"mail"), sqsOnly, "", []string{"sns:Subscribe " + arnSNS + "news"}},
		"D16 a page subscribes": {subscribe("https", "https://x/"), sqsOnly, deniedQuery("http://sns.amazonaws.com/doc/2010-03-31/", "AuthorizationError",
			"User: "+arnApp+" is not authorized to perform: SNS:Subscribe on resource: "+arnSNS+"news with an explicit deny in an identity-based policy"), nil},
		"D46 an instance with tags": {run, all(allow("ec2:RunInstances", "*"), `{"Effect":"Allow","Action":"ec2:CreateTags","Resource":"*","Condition":{"StringEquals":`+
			`{"ec2:CreateAction":"RunInstances","aws:RequestTag/a":"1"}}}`), "",
			[]string{
				"ec2:RunInstances " + arnEC2 + "instance/*", "ec2:RunInstances arn:aws:ec2:us-east-1::image/ami-9", "ec2:RunInstances " + arnEC2 + "subnet/subnet-9",
				"ec2:RunInstances " + arnEC2 + "network-interface/*", "ec2:RunInstances " + arnEC2 + "security-group/*", "ec2:RunInstances " + arnEC2 + "volume/*",
				"ec2:CreateTags " + arnEC2 + "instance/*",
			}},
		"D46 without the tags": {run, permitting("ec2:RunInstances", "*"), ec2Denied("ec2:CreateTags", arnEC2+"instance/*"), nil},
		"D47 a dry run":        {ec2("Action", "DescribeVolumes", "DryRun", "true"), permitting("ec2:DescribeVolumes", "*"), "", []string{"ec2:DescribeVolumes *"}},
		"D47 a dry run that is denied": {ec2("Action", "DescribeVolumes", "DryRun", "true"), "",
			"403 text/xml;charset=UTF-8\n<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized to perform this operation. " +
				deniedText("ec2:DescribeVolumes", "") + "</Message></Error></Errors><RequestID>ID</RequestID></Response>", nil},
		"D53 a statement": {statement, all(allow("rds-data:BatchExecuteStatement", cluster), allow("secretsmanager:GetSecretValue", arnSecret+"app-??????")), "",
			[]string{"rds-data:BatchExecuteStatement " + cluster, "secretsmanager:GetSecretValue " + arnSecret + "app-Xy12Za"}},
		"D53 without its secret": {statement, permitting("rds-data:BatchExecuteStatement", cluster),
			deniedREST(deniedText("secretsmanager:GetSecretValue", arnSecret+"app-Xy12Za")), nil},
		"D62 a stage": {func() *http.Request { return g.by("apigateway", "GET", "/restapis/abc/stages/v1", "") }, permitting("apigateway:GET", stage), "",
			[]string{"apigateway:GET " + stage}},
		"D62 another stage": {func() *http.Request { return g.by("apigateway", "GET", "/restapis/abc/stages/v2", "") }, permitting("apigateway:GET", stage),
			deniedREST(deniedText("apigateway:GET", strings.Replace(stage, "v1", "v2", 1))), nil},
	} {
		t.Run(name, func(t *testing.T) { g.vector(t, test.r, test.policy, test.want, test.asked) })
	}
}

// vector sends a request of the user, who has one policy, and looks at the answer and at
// what was asked, as "action resource".
func (g *guarded) vector(t *testing.T, r func() *http.Request, document, want string, asked []string) {
	t.Helper()
	g.policy(document)
	sent := r()
	body := string(must(io.ReadAll(sent.Body)))
	rec, got, events := g.send(r())
	if want == "" {
		if rec.Code != http.StatusOK || len(got) != 1 {
			t.Fatalf("%s, events %+v", raw(rec), events)
		}
		g.asSent(t, sent, body, got[0])
	} else if answer := encodedMessage.ReplaceAllString(raw(rec), "${1}SEALED"); answer != want || len(got) != 0 {
		t.Errorf("%d requests reached the backend:\n%s\nwant\n%s", len(got), answer, want)
	}
	pairs := make([]string, len(events))
	for i := range events {
		pairs[i] = events[i].Action + " " + events[i].Resource
	}
	for _, pair := range asked {
		if !has(pairs, pair) {
			t.Errorf("nobody was asked about %s: %q", pair, pairs)
		}
	}
	if want == "" && len(pairs) != len(asked) {
		t.Errorf("asked about %q, not %q", pairs, asked)
	}
	for _, e := range events {
		if want == "" && e.Decision != emulator.Allow {
			t.Errorf("event %+v", e)
		}
	}
}
