package guarded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"
)

// WithoutGo is a service whose SDK for Go takes minutes to compile. The other clients speak its protocol.
const WithoutGo = "ec2"

// Run does the workload with the AWS SDK for Go v2, as the environment says. The error has all that went wrong.
func Run(ctx context.Context) error {
	var steps []Step
	var denials []Denial
	for name, into := range map[string]any{"STEPS": &steps, "DENIALS": &denials} {
		if err := json.Unmarshal([]byte(os.Getenv(name)), into); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	all := calls()
	do := func(step *Step) error {
		pod, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return err
		}
		return all[step.Service+" "+step.Operation](ctx, pod)
	}
	for i := range steps {
		if steps[i].Service == WithoutGo {
			continue
		}
		if err := do(&steps[i]); err != nil {
			return fmt.Errorf("%s: %w", steps[i].Operation, err)
		}
	}
	var wrong []error
	for _, d := range denials {
		step := &steps[d.Step]
		if step.Service == WithoutGo {
			continue
		}
		if err := os.Setenv("AWS_ROLE_ARN", os.Getenv("ROLES")+d.Role); err != nil {
			return err
		}
		err := do(step)
		denied, ok := errors.AsType[smithy.APIError](err)
		if !ok || denied.ErrorCode() != step.Code && denied.ErrorCode() != step.Class {
			wrong = append(wrong, fmt.Errorf("%s as %s: %v, want %s", step.Operation, d.Role, err, step.Code))
		} else if step.Class != "" && !typed(err) {
			wrong = append(wrong, fmt.Errorf("%s: %T", step.Operation, denied))
		}
	}
	return errors.Join(wrong...)
}

// typed reports whether an error is one of the types by which programs know denials of SNS and Kinesis.
func typed(err error) bool {
	_, ofSNS := errors.AsType[*snstypes.AuthorizationErrorException](err)
	_, ofKinesis := errors.AsType[*kinesistypes.AccessDeniedException](err)
	return ofSNS || ofKinesis
}

type call = func(ctx context.Context, pod aws.Config) error

// calls are the steps with the AWS SDK for Go v2, by service and operation.
func calls() map[string]call {
	all := tablesAndQueues()
	maps.Copy(all, others())
	return all
}

func tablesAndQueues() map[string]call {
	id := map[string]dynamodbtypes.AttributeValue{"id": &dynamodbtypes.AttributeValueMemberS{Value: "7"}}
	var queueURL, receipt *string
	return map[string]call{
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
		"dynamodb DeleteTable": func(ctx context.Context, pod aws.Config) error {
			_, err := dynamodb.NewFromConfig(pod).DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: new("Cart")})
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
		"sqs DeleteQueue": func(ctx context.Context, pod aws.Config) error {
			_, err := sqs.NewFromConfig(pod).DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: queueURL})
			return err
		},
	}
}

func others() map[string]call {
	var topicARN, keyARN *string
	return map[string]call{
		"kinesis CreateStream": func(ctx context.Context, pod aws.Config) error {
			_, err := kinesis.NewFromConfig(pod).CreateStream(ctx,
				&kinesis.CreateStreamInput{StreamName: new("clicks"), ShardCount: new(int32(1))})
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
			_, err := secretsmanager.NewFromConfig(pod).CreateSecret(ctx,
				&secretsmanager.CreateSecretInput{Name: new("app"), SecretString: new("open")})
			return err
		},
		"secretsmanager GetSecretValue": func(ctx context.Context, pod aws.Config) error {
			_, err := secretsmanager.NewFromConfig(pod).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("app")})
			return err
		},
		"kms CreateKey": func(ctx context.Context, pod aws.Config) error {
			made, err := kms.NewFromConfig(pod).CreateKey(ctx, nil)
			if err == nil {
				keyARN = made.KeyMetadata.Arn
			}
			return err
		},
		"ssm PutParameter": func(ctx context.Context, pod aws.Config) error {
			_, err := ssm.NewFromConfig(pod).PutParameter(ctx, &ssm.PutParameterInput{
				Name: new("/svc/db"), Value: new("x"), Type: ssmtypes.ParameterTypeSecureString, KeyId: keyARN})
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
