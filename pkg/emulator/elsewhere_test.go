package emulator_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator"
)

// foreign is a request to a service, signed for it by the root user, or by
// nobody if there is no service.
func foreign(t *testing.T, service, method, uri, body string, header ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, uri, strings.NewReader(body))
	r.Host = "127.0.0.1:4566"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if service == "" {
		return r
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	c := aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}
	hash := sigv4.HashPayload([]byte(body))
	if service == "s3" {
		r.Header.Set("X-Amz-Content-Sha256", hash)
	}
	if err := signer.SignHTTP(t.Context(), c, r, hash, service, "us-east-1", wireTime); err != nil {
		t.Fatal(err)
	}
	return r
}

// raw is an answer as the tables have it: status, headers that tell of it, and
// body, with ID for the request id.
func raw(w *httptest.ResponseRecorder) string {
	h := w.Header()
	id := strings.Join(spelled(h, "x-amzn-RequestId"), ",")
	var text strings.Builder
	fmt.Fprintf(&text, "%d %s", w.Code, h.Get("Content-Type"))
	for _, name := range []string{"x-amzn-ErrorType", "x-amzn-query-error", "smithy-protocol"} {
		if v := h[name]; v != nil {
			text.WriteString("; " + name + ": " + strings.Join(v, ","))
		}
	}
	text.WriteString("\n" + w.Body.String())
	if id == "" {
		return text.String() + " without a request id"
	}
	return strings.ReplaceAll(text.String(), id, "ID")
}

// notHere is the text about a service that is not here.
func notHere(service, operation, variables string) string {
	text := "This emulator does not have " + service
	forward := ", or have the emulator pass on what is allowed, with --forward " + service + "=URL"
	if strings.Contains(service, " ") {
		forward = ""
	}
	if operation != "" {
		text += ", so it cannot do " + operation
	}
	return text + "; it has STS, IAM, S3, KMS, Organizations, EKS and EKS Auth. AWS_ENDPOINT_URL sends the calls of all services here: give the client of " + service +
		" an endpoint of its own, such as with " + variables + forward + "."
}

// Bodies of errors, by protocol.
func errorJSON(version, text string) string {
	return "400 application/x-amz-json-" + version + "\n" + `{"Message":"` + text + `","__type":"com.amazon.coral.service#UnknownOperationException"}`
}

// errorCompatible is errorJSON of a service whose clients were written for the Query protocol.
func errorCompatible(text string) string {
	return "400 application/x-amz-json-1.0; x-amzn-query-error: InvalidAction;Sender\n" +
		`{"__type":"com.amazon.coral.service#UnknownOperationException","message":"` + text + `"}`
}

func errorREST(text string) string {
	return "400 application/json; x-amzn-ErrorType: UnknownOperationException\n" + `{"Message":"` + text + `"}`
}

func errorXML(namespace, code, text string) string {
	return "400 text/xml\n" + `<ErrorResponse xmlns="` + namespace + `"><Error><Type>Sender</Type><Code>` + code +
		"</Code><Message>" + text + "</Message></Error><RequestId>ID</RequestId></ErrorResponse>"
}

// Namespaces of errors in XML.
const (
	nsSNS         = "http://sns.amazonaws.com/doc/2010-03-31/"
	nsSQS         = "http://queue.amazonaws.com/doc/2012-11-05/"
	nsCloudWatch  = "http://monitoring.amazonaws.com/doc/2010-08-01/"
	nsAutoScaling = "http://autoscaling.amazonaws.com/doc/2011-01-01/"
	nsBalancing   = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"
	nsRDS         = "http://rds.amazonaws.com/doc/2014-10-31/"
	nsRoute53     = "https://route53.amazonaws.com/doc/2013-04-01/"
)

func errorEC2(text string) string {
	return "400 text/xml;charset=UTF-8\n<Response><Errors><Error><Code>InvalidAction</Code><Message>" + text +
		"</Message></Error></Errors><RequestID>ID</RequestID></Response>"
}

func errorCBOR(text string) string {
	return "400 application/cbor; x-amzn-query-error: InvalidAction;Sender; smithy-protocol: rpc-v2-cbor\n" + textCBOR(text)
}

func errorOldCBOR(text string) string { return "400 application/x-amz-cbor-1.1\n" + textCBOR(text) }

func textCBOR(text string) string {
	length := "\x78" + string([]byte{byte(len(text))})
	if len(text) > 255 {
		length = "\x79" + string([]byte{byte(len(text) >> 8), byte(len(text))})
	}
	return "\xa2\x66__type\x78\x19UnknownOperationException\x67message" + length + text
}

// Whole answers to services that are not here, in each protocol of AWS.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	target := func(service, kind, target string, more ...string) *http.Request {
		return foreign(t, service, "POST", "/", `{"a":"b"}`, append(more, "Content-Type", kind, "X-Amz-Target", target)...)
	}
	query := func(service, uri, body string, more ...string) *http.Request {
		return foreign(t, service, "POST", uri, body, append(more, "Content-Type", formType)...)
	}
	cloudwatch := notHere("cloudwatch", "PutMetricData", "AWS_ENDPOINT_URL_CLOUDWATCH")
	long := strings.Repeat("Put", 20)
	sqs := notHere("sqs", "SendMessage", "AWS_ENDPOINT_URL_SQS")
	bedrock := "AWS_ENDPOINT_URL_BEDROCK_AGENT or AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME"
	for _, test := range []struct {
		name string
		r    *http.Request
		want string
	}{
		{"JSON 1.0", target("dynamodb", json10, "DynamoDB_20120810.PutItem"), errorJSON("1.0", notHere("dynamodb", "PutItem", "AWS_ENDPOINT_URL_DYNAMODB"))},
		{"JSON 1.1", target("secretsmanager", json11, "secretsmanager.GetSecretValue"),
			errorJSON("1.1", notHere("secretsmanager", "GetSecretValue", "AWS_ENDPOINT_URL_SECRETS_MANAGER"))},
		{"a prefix with dots", target("cloudtrail", json11, "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"),
			errorJSON("1.1", notHere("cloudtrail", "LookupEvents", "AWS_ENDPOINT_URL_CLOUDTRAIL"))},
		{"one signature, two services", target("dynamodb", json10, "DynamoDBStreams_20120810.GetRecords"),
			errorJSON("1.0", notHere("dynamodbstreams", "GetRecords", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"))},
		{"another name", target("states", json10, "AWSStepFunctions.StartExecution"), errorJSON("1.0", notHere("stepfunctions", "StartExecution", "AWS_ENDPOINT_URL_SFN"))},
		{"not signed", target("", json11, "AWSCognitoIdentityProviderService.InitiateAuth"),
			errorJSON("1.1", notHere("cognito-idp", "InitiateAuth", "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER"))},
		{"a service of tomorrow", target("newsvc", json11, "NewService_2031.Frobnicate"),
			errorJSON("1.1", notHere("newsvc", "Frobnicate", "AWS_ENDPOINT_URL_ and the service's name"))},
		{"CBOR of old SDKs in place of JSON", target("kinesis", "application/x-amz-cbor-1.1", "Kinesis_20131202.PutRecord"),
			errorOldCBOR(notHere("kinesis", "PutRecord", "AWS_ENDPOINT_URL_KINESIS"))},
		{"SQS", target("sqs", json10, "AmazonSQS.SendMessage", "X-Amzn-Query-Mode", "true"), errorCompatible(sqs)},
		{"SQS, which does not ask", target("sqs", json10, "AmazonSQS.SendMessage"), errorCompatible(sqs)},
		{"SQS of old SDKs", query("sqs", "/", "Action=SendMessage&Version=2012-11-05&MessageBody=a"), errorXML(nsSQS, "InvalidAction", sqs)},
		{"SQS at a queue", query("sqs", "/000000000000/q", "Action=SendMessage&Version=2012-11-05&MessageBody=a"), errorXML(nsSQS, "InvalidAction", sqs)},
		{"query", query("sns", "/", "Action=Publish&Version=2010-03-31&Message=m"), errorXML(nsSNS, "InvalidAction", notHere("sns", "Publish", "AWS_ENDPOINT_URL_SNS"))},
		{"query, which is no form", query("sns", "/", "Action=%zz"), errorXML(nsSNS, "InvalidAction", notHere("sns", "", "AWS_ENDPOINT_URL_SNS"))},
		{"query in JSON", query("sns", "/", "Action=Publish&Version=2010-03-31", "Accept", "application/json"),
			"400 application/json\n" + `{"Error":{"Code":"InvalidAction","Message":"` + notHere("sns", "Publish", "AWS_ENDPOINT_URL_SNS") + `","Type":"Sender"},"RequestId":"ID"}`},
		{"query in the URL", foreign(t, "autoscaling", "GET", "/?Action=DescribePolicies&Version=2011-01-01", ""),
			errorXML(nsAutoScaling, "InvalidAction", notHere("autoscaling", "DescribePolicies", "AWS_ENDPOINT_URL_AUTO_SCALING"))},
		{"query without anything", foreign(t, "sns", "GET", "/", ""), errorXML(nsSNS, "InvalidAction", notHere("sns", "", "AWS_ENDPOINT_URL_SNS"))},
		{"one signature, two versions", query("elasticloadbalancing", "/", "Action=DescribeTags&Version=2015-12-01"),
			errorXML(nsBalancing, "InvalidAction", notHere("elbv2", "DescribeTags", "AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2"))},
		{"three of one version", query("rds", "/", "Action=StopDBCluster&Version=2014-10-31"),
			errorXML(nsRDS, "InvalidAction", notHere("rds", "StopDBCluster", "AWS_ENDPOINT_URL_DOCDB or AWS_ENDPOINT_URL_NEPTUNE or AWS_ENDPOINT_URL_RDS"))},
		{"EC2", query("ec2", "/", "Action=DescribeInstances&Version=2016-11-15"), errorEC2(notHere("ec2", "DescribeInstances", "AWS_ENDPOINT_URL_EC2"))},
		{"EC2 of another version", query("ec2", "/", "Action=DescribeInstances&Version=2014-10-01"), errorEC2(notHere("ec2", "DescribeInstances", "AWS_ENDPOINT_URL_EC2"))},
		{"REST JSON", foreign(t, "batch", "GET", "/v1/queues/prod", ""), errorREST(notHere("batch", "", "AWS_ENDPOINT_URL_BATCH"))},
		{"REST JSON at /", foreign(t, "sso", "GET", "/", ""), errorREST(notHere("sso-admin", "", "AWS_ENDPOINT_URL_SSO_ADMIN"))},
		{"REST JSON with a body", foreign(t, "lambda", "POST", "/2015-03-31/functions/f/invocations", `{}`, "Content-Type", "application/json"),
			errorREST(notHere("lambda", "Invoke", "AWS_ENDPOINT_URL_LAMBDA"))},
		{"REST JSON of several", foreign(t, "bedrock", "GET", "/tags/arn%3Aaws", ""), errorREST(notHere("bedrock", "ListTagsForResource", bedrock))},
		{"REST JSON of several, which says which", foreign(t, "bedrock", "GET", "/tags/arn%3Aaws", "", "User-Agent", "aws-sdk-go-v2/1.45 ua/2.1 api/bedrockagent#1.2 m/E"),
			errorREST(notHere("bedrock-agent", "ListTagsForResource", "AWS_ENDPOINT_URL_BEDROCK_AGENT"))},
		{"REST JSON of an unknown path, which says which", foreign(t, "bedrock", "GET", "/of/tomorrow", "", "User-Agent", "aws-sdk-go-v2/1.45 ua/2.1 api/bedrockruntime#1.2 m/E"),
			errorREST(notHere("bedrock-runtime", "", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"))},
		{"REST JSON, not signed", foreign(t, "", "POST", "/token", `{}`, "User-Agent", "aws-sdk-js/3.1 ua/2.1 api/sso-oidc#3.1"),
			errorREST(notHere("sso-oidc", "CreateToken", "AWS_ENDPOINT_URL_SSO_OIDC"))},
		{"REST JSON of one that queries too", foreign(t, "ses", "POST", "/v2/email/outbound-emails", `{}`),
			errorREST(notHere("sesv2", "SendEmail", "AWS_ENDPOINT_URL_SESV2"))},
		{"REST XML", foreign(t, "route53", "GET", "/2013-04-01/hostedzone", ""),
			errorXML(nsRoute53, "UnknownOperationException", notHere("route53", "ListHostedZones", "AWS_ENDPOINT_URL_ROUTE_53"))},
		{"of S3's family", foreign(t, "s3express", "GET", "/bucket?session", ""),
			"400 application/xml\n<Error><Code>UnknownOperationException</Code><Message>" + notHere("s3express", "", "AWS_ENDPOINT_URL_ and the service's name") +
				"</Message><RequestId>ID</RequestId></Error>"},
		{"CBOR", foreign(t, "monitoring", "POST", "/service/GraniteServiceVersion20100801/operation/PutMetricData", "\xa0",
			"Smithy-Protocol", "rpc-v2-cbor", "Content-Type", "application/cbor"), errorCBOR(cloudwatch)},
		{"CBOR below a path", foreign(t, "monitoring", "POST", "/aws/service/GraniteServiceVersion20100801/operation/PutMetricData", "\xa0",
			"Smithy-Protocol", "rpc-v2-cbor", "X-Amzn-Query-Mode", "true"), errorCBOR(cloudwatch)},
		{"CBOR of a long text", foreign(t, "monitoring", "POST", "/service/GraniteServiceVersion20100801/operation/"+long, "\xa0", "Smithy-Protocol", "rpc-v2-cbor"),
			errorCBOR(notHere("cloudwatch", long, "AWS_ENDPOINT_URL_CLOUDWATCH"))},
		{"the same in JSON", target("monitoring", json10, "GraniteServiceVersion20100801.PutMetricData"), errorCompatible(cloudwatch)},
		{"the same as a query", query("monitoring", "/", "Action=PutMetricData&Version=2010-08-01"), errorXML(nsCloudWatch, "InvalidAction", cloudwatch)},
		{"no form of a service", foreign(t, "X<y>", "GET", "/", ""),
			errorREST(notHere("the service that this request is for", "", "AWS_ENDPOINT_URL_ and the service's name"))},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			before := len(w.Events(emulator.EventFilter{}))
			w.ServeHTTP(rec, test.r)
			if diff := cmp.Diff(test.want, raw(rec)); diff != "" {
				t.Errorf("the answer (-want +got):\n%s", diff)
			}
			events := w.Events(emulator.EventFilter{})[before:]
			if len(events) != 1 || events[0].Decision != emulator.Deny || events[0].Step != "service" || !strings.HasPrefix(events[0].Reason, "This emulator does not have ") {
				t.Errorf("events %+v", events)
			}
		})
	}
}

// TestElsewhereStranger: who cannot prove who it is does not learn what is not here. Each
// error is the one of the client's protocol; see TestGuardAuthentication for the words.
func TestElsewhereStranger(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	forged := func(service, method, uri, body string, header ...string) *http.Request {
		r := foreign(t, service, method, uri, body, header...)
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "Signature=", "Signature=0", 1))
		return r
	}
	unknown := func(r *http.Request) *http.Request {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "Credential=test/", "Credential=AKIAUNKNOWN/", 1))
		return r
	}
	at := func(r *http.Request, host string) *http.Request {
		r.Host = host
		return r
	}
	const missing = "Request is missing Authentication Token"
	for name, test := range map[string]struct {
		r    *http.Request
		want string // code, status and the beginning of the text
	}{
		"JSON, not signed": {foreign(t, "", "POST", "/", "{}", "Content-Type", json11, "X-Amz-Target", "AmazonSSM.GetParameter"),
			`400 application/x-amz-json-1.1|MissingAuthenticationTokenException|` + missing},
		"JSON of an unknown service, not signed": {foreign(t, "", "POST", "/", "{}", "Content-Type", json11, "X-Amz-Target", "NewService_2031.Frobnicate"),
			`400 application/x-amz-json-1.1|MissingAuthenticationTokenException|` + missing},
		"JSON, forged":         {forged("dynamodb", "POST", "/", "{}", "Content-Type", json10, "X-Amz-Target", "DynamoDB_20120810.PutItem"), "400 application/x-amz-json-1.0|InvalidSignatureException|"},
		"JSON, large, forged":  {forged("dynamodb", "POST", "/", strings.Repeat("x", 2<<20), "Content-Type", json10, "X-Amz-Target", "DynamoDB_20120810.PutItem"), "400 application/x-amz-json-1.0|InvalidSignatureException|"},
		"JSON, an unknown key": {unknown(foreign(t, "dynamodb", "POST", "/", "{}", "Content-Type", json10, "X-Amz-Target", "DynamoDB_20120810.PutItem")), "400 application/x-amz-json-1.0|UnrecognizedClientException|"},
		"JSON, signed for another": {foreign(t, "sqs", "POST", "/", "{}", "Content-Type", json10, "X-Amz-Target", "DynamoDB_20120810.PutItem"),
			"400 application/x-amz-json-1.0|InvalidSignatureException|Credential should be scoped to correct service: 'dynamodb'."},
		"SQS, not signed":   {foreign(t, "", "POST", "/", "{}", "Content-Type", json10, "X-Amz-Target", "AmazonSQS.SendMessage"), "403 application/x-amz-json-1.0; x-amzn-query-error: MissingAuthenticationToken;Sender|MissingAuthenticationTokenException|" + missing},
		"query, not signed": {foreign(t, "", "POST", "/", "Action=Publish&Version=2010-03-31", "Content-Type", formType), "403 text/xml|<Code>MissingAuthenticationToken<|" + missing},
		"query, forged":     {forged("sns", "POST", "/", "Action=Publish&Version=2010-03-31", "Content-Type", formType), "403 text/xml|<Code>SignatureDoesNotMatch<|"},
		"EC2, not signed":   {foreign(t, "", "POST", "/", "Action=DescribeInstances&Version=2016-11-15", "Content-Type", formType), "401 text/xml;charset=UTF-8|<Response><Errors><Error><Code>AuthFailure<|" + missing},
		"REST JSON, forged": {forged("lambda", "POST", "/2015-03-31/functions/f/invocations", "{}"), "403 application/json; x-amzn-ErrorType: InvalidSignatureException||"},
		"REST JSON, not signed": {foreign(t, "", "GET", "/2015-03-31/functions/f", "", "User-Agent", "aws-sdk-js/3.1 ua/2.1 api/lambda#3.1"),
			"403 application/json; x-amzn-ErrorType: MissingAuthenticationTokenException||" + missing},
		"REST XML, forged": {forged("route53", "GET", "/2013-04-01/hostedzone", ""), "403 text/xml|<Code>SignatureDoesNotMatch<|"},
		"a host of AWS, not signed": {at(foreign(t, "", "GET", "/2015-03-31/functions/f", ""), "lambda.us-east-1.amazonaws.com"),
			"403 application/json; x-amzn-ErrorType: MissingAuthenticationTokenException||" + missing},
		"S3's family, forged": {forged("s3express", "GET", "/bucket?session", ""), "403 application/xml|<Code>SignatureDoesNotMatch<|"},
		"CBOR, forged": {forged("monitoring", "POST", "/service/GraniteServiceVersion20100801/operation/PutMetricData", "\xa0", "Smithy-Protocol", "rpc-v2-cbor"),
			"403 application/cbor; x-amzn-query-error: SignatureDoesNotMatch;Sender; smithy-protocol: rpc-v2-cbor|InvalidSignatureException|"},
	} {
		rec := httptest.NewRecorder()
		before := len(w.Events(emulator.EventFilter{}))
		w.ServeHTTP(rec, test.r)
		got := raw(rec)
		part := strings.Split(test.want, "|")
		if !strings.HasPrefix(got, part[0]+"\n") || !strings.Contains(got, part[1]) || !strings.Contains(got, part[2]) || strings.Contains(got, "does not have") {
			t.Errorf("%s: %s\nwant %s", name, got, test.want)
		}
		events := w.Events(emulator.EventFilter{})[before:]
		if len(events) != 1 || events[0].Decision != emulator.Deny || events[0].Step != "signature" || events[0].Caller != "anonymous" {
			t.Errorf("%s: events %+v", name, events)
		}
	}
}

// What is not for another service is answered as ever.
func TestNotElsewhere(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	const formType = "application/x-www-form-urlencoded"
	for name, test := range map[string]struct {
		r    *http.Request
		want string // part of the answer
	}{
		"S3 with the headers of others":       {foreign(t, "s3", "GET", "/bucket/k", "", "X-Amz-Target", "DynamoDB_20120810.GetItem", "Smithy-Protocol", "rpc-v2-cbor"), "200 "},
		"unsigned S3":                         {foreign(t, "", "GET", "/bucket/k", "", "X-Amz-Target", "DynamoDB_20120810.GetItem", "User-Agent", "x api/s3#1"), "<Code>AccessDenied</Code>"},
		"an object, with a form's parameters": {foreign(t, "", "GET", "/bucket/k?Action=Publish&Version=2010-03-31", ""), "<Code>AccessDenied</Code>"},
		"an object's name": {foreign(t, "", "GET", "/bucket/service/X/operation/Y", "", "Smithy-Protocol", "rpc-v2-cbor"),
			"<Code>AccessDenied</Code>"},
		"STS":                       {foreign(t, "sts", "POST", "/", "Action=GetCallerIdentity&Version=2011-06-15", "Content-Type", formType), "<GetCallerIdentityResult>"},
		"STS with another scope":    {foreign(t, "sqs", "POST", "/", "Action=GetCallerIdentity&Version=2011-06-15", "Content-Type", formType), "Credential should be scoped to correct service: 'sts'."},
		"STS without an operation":  {foreign(t, "sts", "POST", "/", "a=b", "Content-Type", formType), "<Code>MissingAction</Code>"},
		"STS with another version":  {foreign(t, "sts", "POST", "/", "Action=Publish&Version=2010-03-31", "Content-Type", formType), "<Code>InvalidAction</Code><Message>Could not find operation Publish for version 2010-03-31"},
		"a version that nobody has": {foreign(t, "", "POST", "/", "Action=Publish&Version=1999-01-01", "Content-Type", formType), "Could not find operation Publish for version 1999-01-01"},
		"KMS":                       {foreign(t, "kms", "POST", "/", "{}", "X-Amz-Target", "TrentService.ListKeys"), `"__type":"UnknownOperationException"`},
		"KMS with another scope":    {foreign(t, "dynamodb", "POST", "/", "{}", "X-Amz-Target", "TrentService.Sign"), "Credential should be scoped to correct service: 'kms'."},
	} {
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, test.r)
		if got := raw(rec); !strings.Contains(got, test.want) || strings.Contains(got, "does not have") {
			t.Errorf("%s: %s\nwant %s", name, got, test.want)
		}
	}
}

// TestElsewhereEvent: who called what is an event and in the log, and what
// strangers write is neither taken for a name nor shown.
func TestElsewhereEvent(t *testing.T) {
	t.Parallel()
	var log safeBuffer
	s, err := emulator.New(emulator.Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Now: newWire(t).Now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	large := strings.Repeat("x", 2<<20)
	forged := foreign(t, "dynamodb", "POST", "/", "{}", "X-Amz-Target", "DynamoDB_20120810.PutItem")
	forged.Header.Set("Authorization", strings.Replace(forged.Header.Get("Authorization"), "Signature=", "Signature=0", 1))
	root := "arn:aws:iam::000000000000:root"
	type seen struct{ Service, Operation, Action, Resource, Caller, Code string }
	for name, test := range map[string]struct {
		r    *http.Request
		want seen
	}{
		"an operation": {foreign(t, "dynamodb", "POST", "/", "{}", "X-Amz-Target", "DynamoDB_20120810.PutItem"),
			seen{"dynamodb", "PutItem", "dynamodb:PutItem", "", root, "UnknownOperationException"}},
		"a path": {foreign(t, "batch", "GET", "/v1/queues/prod", ""), seen{"batch", "", "batch", "GET /v1/queues/prod", root, "UnknownOperationException"}},
		"a secret in a path": {foreign(t, "batch", "GET", "/v1/queues/"+secret, ""),
			seen{"batch", "", "batch", "GET /v1/queues/[secret]", root, "UnknownOperationException"}},
		"a query":        {foreign(t, "sns", "GET", "/?Action=Publish&Version=2010-03-31", ""), seen{"sns", "Publish", "sns:Publish", "", root, "InvalidAction"}},
		"a forged one":   {forged, seen{"dynamodb", "PutItem", "dynamodb:PutItem", "", "anonymous", "InvalidSignatureException"}},
		"a large body":   {foreign(t, "lambda", "POST", "/2015-03-31/functions", large), seen{"lambda", "CreateFunction", "lambda:CreateFunction", "", root, "UnknownOperationException"}},
		"a large target": {foreign(t, "ssm", "POST", "/", large, "X-Amz-Target", "AmazonSSM.PutParameter"), seen{"ssm", "PutParameter", "ssm:PutParameter", "", root, "UnknownOperationException"}},
		"no operation":   {foreign(t, "sns", "GET", "/?Action="+secret+"&Version=2010-03-31", ""), seen{"sns", "", "sns", "GET /", root, "InvalidAction"}},
		"no service": {foreign(t, strings.ReplaceAll(secret, "/", "."), "GET", "/", ""),
			seen{"", "", "", "GET /", root, "UnknownOperationException"}},
		"a page of another origin": {foreign(t, "batch", "GET", "/v1/queues", "", "Origin", "http://evil.example"),
			seen{"batch", "", "batch:", "", "anonymous", "AccessDenied"}},
	} {
		log.buf.Reset()
		before := len(s.Events(emulator.EventFilter{}))
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, test.r)
		events := s.Events(emulator.EventFilter{})[before:]
		if len(events) != 1 {
			t.Fatalf("%s: events %+v", name, events)
		}
		e := events[0]
		if diff := cmp.Diff(test.want, seen{e.Service, e.Operation, e.Action, e.Resource, e.Caller, e.Code}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if id := strings.Join(spelled(rec.Header(), "x-amzn-RequestId"), ""); e.RequestID != id || e.Decision != emulator.Deny {
			t.Errorf("%s: event %+v of request %s", name, e, id)
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=INFO msg=decision decision=deny") ||
			!strings.Contains(got, "request="+e.RequestID) || strings.Contains(got, secret[:12]) {
			t.Errorf("%s: log %s", name, got)
		}
	}
}
