package clients

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"
)

// withoutGo is a service whose SDK for Go takes minutes to compile. The other clients speak its protocol.
const withoutGo = "ec2"

// guardGo does the workload behind the guard with the AWS SDK for Go v2, in this process with the environment of a pod.
func guardGo(t *testing.T, dir string, env map[string]string) {
	asPod(t, dir, env)
	ctx := t.Context()
	calls := goCalls()
	call := func(step *guardStep) error {
		t.Helper()
		pod, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return calls[step.Service+" "+step.Operation](ctx, pod)
	}
	for i := range guardSteps {
		if guardSteps[i].Service == withoutGo {
			continue
		}
		if err := call(&guardSteps[i]); err != nil {
			t.Fatalf("%s: %v", guardSteps[i].Operation, err)
		}
	}
	var denials []guardDenial
	if b, err := os.ReadFile(filepath.Join(dir, "denials.json")); err != nil || json.Unmarshal(b, &denials) != nil {
		t.Fatalf("denials.json: %v: %s", err, b)
	}
	for _, d := range denials {
		step := &guardSteps[d.Step]
		if step.Service == withoutGo {
			continue
		}
		t.Setenv("AWS_ROLE_ARN", env["ROLES"]+d.Role)
		err := call(step)
		denied, ok := errors.AsType[smithy.APIError](err)
		if !ok || denied.ErrorCode() != step.Code && denied.ErrorCode() != step.Class {
			t.Errorf("%s as %s: %v, want %s", step.Operation, d.Role, err, step.Code)
		}
		if step.Class != "" && !typed(err) {
			t.Errorf("%s: %T", step.Operation, denied)
		}
	}
}

// typed reports whether an error is one of the types by which programs know denials of SNS and Kinesis.
func typed(err error) bool {
	_, ofSNS := errors.AsType[*snstypes.AuthorizationErrorException](err)
	_, ofKinesis := errors.AsType[*kinesistypes.AccessDeniedException](err)
	return ofSNS || ofKinesis
}

// goCalls are the steps, by service and operation.
func goCalls() map[string]func(ctx context.Context, pod aws.Config) error {
	type fn = func(ctx context.Context, pod aws.Config) error
	id := map[string]dynamodbtypes.AttributeValue{"id": &dynamodbtypes.AttributeValueMemberS{Value: "7"}}
	var queueURL, receipt, topicARN *string
	return map[string]fn{
		"dynamodb CreateTable": func(ctx context.Context, pod aws.Config) error {
			_, err := dynamodb.NewFromConfig(pod).CreateTable(ctx, &dynamodb.CreateTableInput{
				TableName: new("Cart"), BillingMode: "PAY_PER_REQUEST",
				KeySchema:            []dynamodbtypes.KeySchemaElement{{AttributeName: new("id"), KeyType: "HASH"}},
				AttributeDefinitions: []dynamodbtypes.AttributeDefinition{{AttributeName: new("id"), AttributeType: "S"}},
			})
			return err
		},
		"dynamodb PutItem": func(ctx context.Context, pod aws.Config) error {
			_, err := dynamodb.NewFromConfig(pod).PutItem(ctx, &dynamodb.PutItemInput{TableName: new("Cart"), Item: id})
			return err
		},
		"dynamodb GetItem": func(ctx context.Context, pod aws.Config) error {
			got, err := dynamodb.NewFromConfig(pod).GetItem(ctx, &dynamodb.GetItemInput{TableName: new("Cart"), Key: id})
			if err == nil && len(got.Item) != 1 {
				return errors.New("the item is not there")
			}
			return err
		},
		"sqs CreateQueue": func(ctx context.Context, pod aws.Config) error {
			made, err := sqs.NewFromConfig(pod).CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: new("mail")})
			if err == nil {
				queueURL = made.QueueUrl
			}
			return err
		},
		"sqs SendMessage": func(ctx context.Context, pod aws.Config) error {
			_, err := sqs.NewFromConfig(pod).SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queueURL, MessageBody: new("hello")})
			return err
		},
		"sqs ReceiveMessage": func(ctx context.Context, pod aws.Config) error {
			got, err := sqs.NewFromConfig(pod).ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queueURL})
			if err == nil {
				if len(got.Messages) != 1 || aws.ToString(got.Messages[0].Body) != "hello" {
					return errors.New("the message is not there")
				}
				receipt = got.Messages[0].ReceiptHandle
			}
			return err
		},
		"sqs DeleteMessage": func(ctx context.Context, pod aws.Config) error {
			_, err := sqs.NewFromConfig(pod).DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: queueURL, ReceiptHandle: receipt})
			return err
		},
		"kinesis CreateStream": func(ctx context.Context, pod aws.Config) error {
			_, err := kinesis.NewFromConfig(pod).CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: new("clicks"), ShardCount: new(int32(1))})
			return err
		},
		"kinesis ListShards": func(ctx context.Context, pod aws.Config) error {
			_, err := kinesis.NewFromConfig(pod).ListShards(ctx, &kinesis.ListShardsInput{StreamName: new("clicks")})
			return err
		},
		"sns CreateTopic": func(ctx context.Context, pod aws.Config) error {
			made, err := sns.NewFromConfig(pod).CreateTopic(ctx, &sns.CreateTopicInput{Name: new("news")})
			if err == nil {
				topicARN = made.TopicArn
			}
			return err
		},
		"sns Publish": func(ctx context.Context, pod aws.Config) error {
			_, err := sns.NewFromConfig(pod).Publish(ctx, &sns.PublishInput{TopicArn: topicARN, Message: new("hello")})
			return err
		},
		"secretsmanager CreateSecret": func(ctx context.Context, pod aws.Config) error {
			_, err := secretsmanager.NewFromConfig(pod).CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("app"), SecretString: new("open")})
			return err
		},
		"secretsmanager GetSecretValue": func(ctx context.Context, pod aws.Config) error {
			_, err := secretsmanager.NewFromConfig(pod).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("app")})
			return err
		},
		"ssm PutParameter": func(ctx context.Context, pod aws.Config) error {
			_, err := ssm.NewFromConfig(pod).PutParameter(ctx, &ssm.PutParameterInput{
				Name: new("/svc/db"), Value: new("x"), Type: ssmtypes.ParameterTypeString})
			return err
		},
		"ssm GetParameter": func(ctx context.Context, pod aws.Config) error {
			_, err := ssm.NewFromConfig(pod).GetParameter(ctx, &ssm.GetParameterInput{Name: new("/svc/db")})
			return err
		},
		"cloudwatch PutMetricData": func(ctx context.Context, pod aws.Config) error {
			_, err := cloudwatch.NewFromConfig(pod).PutMetricData(ctx, &cloudwatch.PutMetricDataInput{
				Namespace: new("app"), MetricData: []cloudwatchtypes.MetricDatum{{MetricName: new("requests"), Value: new(1.0)}}})
			return err
		},
		"route53 ListHostedZones": func(ctx context.Context, pod aws.Config) error {
			_, err := route53.NewFromConfig(pod).ListHostedZones(ctx, nil)
			return err
		},
		"eks ListClusters": func(ctx context.Context, pod aws.Config) error {
			_, err := eks.NewFromConfig(pod).ListClusters(ctx, nil)
			return err
		},
	}
}
