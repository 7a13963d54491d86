package awsapi_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/internal/awsapi"
)

// TestReference holds some actions, types and keys to the pages of the Service
// Authorization Reference.
func TestReference(t *testing.T) {
	for _, c := range []struct {
		prefix string
		want   awsapi.Action
	}{
		{"dynamodb", awsapi.Action{Name: "PutItem", Level: "Write", Types: []awsapi.TypeUse{{Name: "table", Required: true}},
			Keys: []string{"dynamodb:Attributes", "dynamodb:EnclosingOperation", "dynamodb:LeadingKeys", "dynamodb:ReturnConsumedCapacity",
				"dynamodb:ReturnValues"}}},
		{"lambda", awsapi.Action{Name: "CreateFunction", Level: "Write", Types: []awsapi.TypeUse{{Name: "function", Required: true}},
			Keys: []string{"aws:RequestTag/${TagKey}", "aws:TagKeys", "lambda:CodeSigningConfigArn", "lambda:Layer", "lambda:SecurityGroupIds",
				"lambda:SubnetIds", "lambda:VpcIds"},
			Dependent: []string{"iam:PassRole", "lambda:PassCapacityProvider"}}},
		{"ssm", awsapi.Action{Name: "SendCommand", Level: "Write", Types: []awsapi.TypeUse{{Name: "bucket"}, {Name: "document", Required: true},
			{Name: "instance"}, {Name: "managed-instance"}}, Keys: []string{"aws:ResourceTag/${TagKey}", "ssm:resourceTag/${TagKey}"}}},
		{"sqs", awsapi.Action{Name: "TagQueue", Level: "Tagging", Types: []awsapi.TypeUse{{Name: "queue", Required: true}},
			Keys: []string{"aws:RequestTag/${TagKey}", "aws:TagKeys"}}},
		{"sqs", awsapi.Action{Name: "AddPermission", Level: "Permissions management",
			Types: []awsapi.TypeUse{{Name: "queue", Required: true}}}},
		{"kinesis", awsapi.Action{Name: "ListStreams", Level: "List"}},
	} {
		if d := cmp.Diff(&c.want, awsapi.Reference(c.prefix).Actions[c.want.Name]); d != "" {
			t.Errorf("%s:%s: %s", c.prefix, c.want.Name, d)
		}
	}
	sqs := awsapi.Reference("sqs")
	if d := cmp.Diff(&awsapi.Service{Prefix: "sqs", Name: "Amazon SQS", Actions: sqs.Actions,
		Types: map[string]*awsapi.ResourceType{"queue": {Name: "queue", Keys: []string{"aws:ResourceTag/${TagKey}"},
			Templates: []string{"arn:${Partition}:sqs:${Region}:${Account}:${QueueName}"}}},
		Keys: map[string]string{"aws:RequestTag/${TagKey}": "String", "aws:ResourceTag/${TagKey}": "String", "aws:TagKeys": "ArrayOfString"}},
		sqs); d != "" {
		t.Error(d)
	}
	// A key that is one of the action with one type of resource only.
	for _, use := range awsapi.Reference("ec2").Actions["AttachVolume"].Types {
		for _, key := range use.Keys {
			if key == "ec2:VolumeSize" && use.Name != "volume" || key == "ec2:InstanceType" && use.Name != "instance" {
				t.Errorf("AttachVolume has %s with %s", key, use.Name)
			}
		}
		if len(use.Keys) == 0 {
			t.Errorf("AttachVolume has no keys with %s", use.Name)
		}
	}
	if awsapi.Date() < "2026-09-26" || awsapi.Botocore() == "" {
		t.Errorf("tables of %q, botocore %q", awsapi.Date(), awsapi.Botocore())
	}
}
