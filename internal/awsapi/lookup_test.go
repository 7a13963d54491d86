package awsapi_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openirsa/openirsa/internal/awsapi"
)

func names(models []*awsapi.Model) string {
	var all []string
	for _, m := range models {
		all = append(all, m.Name)
	}
	return strings.Join(all, " ")
}

func TestLookups(t *testing.T) {
	for _, c := range []struct {
		asked string
		found []*awsapi.Model
		want  string
	}{
		{"target", awsapi.ByTarget("DynamoDB_20120810"), "dynamodb"},
		{"target with dots", awsapi.ByTarget("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101"), "cloudtrail"},
		{"shared target", awsapi.ByTarget("Timestream_20181101"), "timestream-query timestream-write"},
		{"no target", awsapi.ByTarget(""), ""},
		{"target of a query service", awsapi.ByTarget("AmazonSNS"), ""},
		{"shape", awsapi.ByShape("GraniteServiceVersion20100801"), "cloudwatch"},
		{"shape without CBOR", awsapi.ByShape("DynamoDB_20120810"), ""},
		{"signing", awsapi.BySigning("states"), "stepfunctions"},
		{"shared signing", awsapi.BySigning("ses"), "mailmanager pinpoint-email ses sesv2"},
		{"version", awsapi.ByVersion("2014-10-31", ""), "docdb neptune rds"},
		{"version of old clients", awsapi.ByVersion("2012-11-05", "sqs"), "sqs"},
		{"version of old clients", awsapi.ByVersion("2010-08-01", "monitoring"), "cloudwatch"},
		{"version and another signing", awsapi.ByVersion("2012-11-05", "sns"), ""},
		{"version of a JSON service", awsapi.ByVersion("2012-08-10", ""), ""},
		{"no version", awsapi.ByVersion("", "sns"), ""},
		{"elb", awsapi.ByVersion("2012-06-01", ""), "elb"},
		{"ec2", awsapi.ByVersion("2016-11-15", ""), "ec2"},
		{"prefix", awsapi.Named("elasticloadbalancing"), "elb elbv2"},
		{"signing name", awsapi.Named("monitoring"), "cloudwatch"},
		{"name", awsapi.Named("stepfunctions"), "stepfunctions"},
		{"service id", awsapi.ByServiceID("sso-oidc"), "sso-oidc"},
		{"service id", awsapi.ByServiceID("CloudWatch Logs"), "logs"},
		{"nothing", awsapi.Named(""), ""},
	} {
		if got := names(c.found); got != c.want {
			t.Errorf("%s: %q, want %q", c.asked, got, c.want)
		}
	}
	if cbor := slices.DeleteFunc(awsapi.Models(), func(m *awsapi.Model) bool { return !m.CBOR }); len(cbor) != 9 {
		t.Errorf("CBOR is spoken by %s", names(cbor))
	}
	if q := slices.DeleteFunc(awsapi.Models(), func(m *awsapi.Model) bool { return !m.QueryCompatible }); names(q) != "cloudwatch sqs" {
		t.Errorf("codes of Query are had by %s", names(q))
	}
	if awsapi.Reference("") != nil || awsapi.Reference("nosuch") != nil {
		t.Error("there is a reference of nothing")
	}
}

func TestModel(t *testing.T) {
	for name, want := range map[string]*awsapi.Model{
		"sqs": {Name: "sqs", SigningName: "sqs", Prefix: "sqs", Protocol: awsapi.JSON10, OldQuery: true, QueryCompatible: true,
			Target: "AmazonSQS", Version: "2012-11-05", ServiceID: "SQS"},
		"sns": {Name: "sns", SigningName: "sns", Prefix: "sns", Protocol: awsapi.Query, Version: "2010-03-31",
			Namespace: "http://sns.amazonaws.com/doc/2010-03-31/", ServiceID: "SNS", Denied: "AuthorizationError", DeniedStatus: 403},
		"cloudwatch": {Name: "cloudwatch", SigningName: "monitoring", Prefix: "cloudwatch", Protocol: awsapi.JSON10, CBOR: true, OldQuery: true,
			QueryCompatible: true, Target: "GraniteServiceVersion20100801", Shape: "GraniteServiceVersion20100801", Version: "2010-08-01",
			Namespace: "http://monitoring.amazonaws.com/doc/2010-08-01/", ServiceID: "CloudWatch"},
		"efs": {Name: "efs", SigningName: "elasticfilesystem", Prefix: "elasticfilesystem", Protocol: awsapi.RESTJSON, ServiceID: "EFS"},
		"ec2": {Name: "ec2", SigningName: "ec2", Prefix: "ec2", Protocol: awsapi.EC2, Version: "2016-11-15",
			Namespace: "http://ec2.amazonaws.com/doc/2016-11-15", ServiceID: "EC2"},
	} {
		got := awsapi.ByName(name)
		if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(awsapi.Model{})); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestOperation(t *testing.T) {
	operation := func(model, name string) *awsapi.Operation { return awsapi.ByName(model).Operation(name) }
	if op := operation("cognito-idp", "InitiateAuth"); !op.Unsigned || op.Method != "POST" || op.Template != "/" {
		t.Errorf("InitiateAuth: %+v", op)
	}
	if op := operation("stepfunctions", "StartSyncExecution"); op.HostPrefix != "sync-" || op.Unsigned {
		t.Errorf("StartSyncExecution: %+v", op)
	}
	if op := operation("ebs", "PutSnapshotBlock"); !op.UnsignedPayload {
		t.Errorf("PutSnapshotBlock: %+v", op)
	}
	if op := operation("kinesis", "SubscribeToShard"); !op.EventsDown || op.EventsUp {
		t.Errorf("SubscribeToShard: %+v", op)
	}
	if op := operation("lexv2-runtime", "StartConversation"); !op.EventsDown || !op.EventsUp {
		t.Errorf("StartConversation: %+v", op)
	}
	if op := operation("sqs", "SendMessages"); op != nil {
		t.Errorf("SendMessages: %+v", op)
	}
	count := map[string]int{}
	for _, m := range awsapi.Models() {
		for _, name := range m.Operations() {
			op := m.Operation(name)
			for flag, is := range map[string]bool{"unsigned": op.Unsigned, "payload": op.UnsignedPayload, "events": op.EventsUp || op.EventsDown} {
				if is {
					count[flag]++
				}
			}
		}
	}
	if d := cmp.Diff(map[string]int{"unsigned": 46, "payload": 6, "events": 23}, count); d != "" {
		t.Error(d)
	}
}
