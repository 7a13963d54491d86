// Package guarded is a workload with services of other emulators behind the guard, for clients that nobody here wrote:
// steps that a role with exactly the permissions for them does, and denials, each to a role that lacks something of them.
// Clients get both as JSON, in the variables STEPS and DENIALS; ROLES is what comes before the names of roles in their ARNs.
package guarded

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
)

// Step is one call.
type Step struct {
	Service   string            `json:"service"` // as botocore names it
	Operation string            `json:"operation"`
	Input     map[string]any    `json:"input"`
	Keep      map[string]string `json:"keep,omitempty"`  // of the answer, by path, for inputs that name them with a $
	Code      string            `json:"code"`            // of a denial
	Class     string            `json:"class,omitempty"` // of a denial that is modelled
	// Action on Resource is what it needs, Resource as policies have it, and Key what it needs of KMS on the caller's behalf.
	Action   string `json:"-"`
	Resource string `json:"-"`
	Key      string `json:"-"`
}

// Account and Region are where the steps' resources are.
const (
	Account = "000000000000"
	Region  = "us-east-1"
)

// The resources of the steps, as policies have them.
const (
	here      = ":" + Region + ":" + Account + ":"
	Cart      = "arn:aws:dynamodb" + here + "table/Cart"
	queue     = "arn:aws:sqs" + here + "mail"
	stream    = "arn:aws:kinesis" + here + "stream/clicks"
	topic     = "arn:aws:sns" + here + "news"
	Secret    = "arn:aws:secretsmanager" + here + "secret:app-??????"
	parameter = "arn:aws:ssm" + here + "parameter/svc/*"
	keys      = "arn:aws:kms" + here + "key/*"
)

// Steps go through every protocol: JSON 1.0 and 1.1, Query, EC2's, REST with JSON and with XML, and CBOR, which the SDK
// for Go speaks to CloudWatch. What they make of DynamoDB and SQS is gone in the end. The codes are those of section
// "Errors" in each service's API reference.
func Steps() []Step {
	item := map[string]any{"id": map[string]any{"S": "7"}}
	return []Step{
		{"dynamodb", "CreateTable", map[string]any{
			"TableName": "Cart", "BillingMode": "PAY_PER_REQUEST",
			"KeySchema":            []any{map[string]any{"AttributeName": "id", "KeyType": "HASH"}},
			"AttributeDefinitions": []any{map[string]any{"AttributeName": "id", "AttributeType": "S"}},
		}, nil, "AccessDeniedException", "", "dynamodb:CreateTable", Cart, ""},
		{"dynamodb", "PutItem", map[string]any{"TableName": "Cart", "Item": item}, nil,
			"AccessDeniedException", "", "dynamodb:PutItem", Cart, ""},
		{"dynamodb", "GetItem", map[string]any{"TableName": "Cart", "Key": item}, nil,
			"AccessDeniedException", "", "dynamodb:GetItem", Cart, ""},
		{"dynamodb", "DeleteTable", map[string]any{"TableName": "Cart"}, nil,
			"AccessDeniedException", "", "dynamodb:DeleteTable", Cart, ""},
		{"sqs", "CreateQueue", map[string]any{"QueueName": "mail"}, map[string]string{"QueueUrl": "QueueUrl"},
			"AccessDenied", "", "sqs:CreateQueue", queue, ""},
		{"sqs", "SendMessage", map[string]any{"QueueUrl": "$QueueUrl", "MessageBody": "hello"}, nil,
			"AccessDenied", "", "sqs:SendMessage", queue, ""},
		{"sqs", "ReceiveMessage", map[string]any{"QueueUrl": "$QueueUrl"}, map[string]string{"Receipt": "Messages.0.ReceiptHandle"},
			"AccessDenied", "", "sqs:ReceiveMessage", queue, ""},
		{"sqs", "DeleteMessage", map[string]any{"QueueUrl": "$QueueUrl", "ReceiptHandle": "$Receipt"}, nil, "AccessDenied", "",
			"sqs:DeleteMessage", queue, ""},
		{"sqs", "DeleteQueue", map[string]any{"QueueUrl": "$QueueUrl"}, nil, "AccessDenied", "", "sqs:DeleteQueue", queue, ""},
		{"kinesis", "CreateStream", map[string]any{"StreamName": "clicks", "ShardCount": 1}, nil, "AccessDeniedException",
			"", "kinesis:CreateStream", stream, ""},
		{"kinesis", "ListShards", map[string]any{"StreamName": "clicks"}, nil, "AccessDeniedException", "AccessDeniedException",
			"kinesis:ListShards", stream, ""},
		{"sns", "CreateTopic", map[string]any{"Name": "news"}, map[string]string{"TopicArn": "TopicArn"}, "AuthorizationError",
			"AuthorizationErrorException", "sns:CreateTopic", topic, ""},
		{"sns", "Publish", map[string]any{"TopicArn": "$TopicArn", "Message": "hello"}, nil, "AuthorizationError",
			"AuthorizationErrorException", "sns:Publish", topic, ""},
		{"secretsmanager", "CreateSecret", map[string]any{"Name": "app", "SecretString": "open"}, nil, "AccessDeniedException", "",
			"secretsmanager:CreateSecret", Secret, ""},
		{"secretsmanager", "GetSecretValue", map[string]any{"SecretId": "app"}, nil, "AccessDeniedException", "",
			"secretsmanager:GetSecretValue", Secret, ""},
		{"kms", "CreateKey", map[string]any{}, map[string]string{"KeyId": "KeyMetadata.Arn"},
			"AccessDeniedException", "", "kms:CreateKey", "*", ""},
		{"ssm", "PutParameter", map[string]any{"Name": "/svc/db", "Value": "x", "Type": "SecureString", "KeyId": "$KeyId"}, nil,
			"AccessDeniedException", "", "ssm:PutParameter", parameter, "kms:Encrypt"},
		{"ssm", "GetParameter", map[string]any{"Name": "/svc/db"}, nil, "AccessDeniedException", "", "ssm:GetParameter", parameter, ""},
		{"cloudwatch", "PutMetricData", map[string]any{"Namespace": "app",
			"MetricData": []any{map[string]any{"MetricName": "requests", "Value": 1}}}, nil,
			"AccessDenied", "", "cloudwatch:PutMetricData", "*", ""},
		{"ec2", "DescribeVpcs", map[string]any{}, nil, "UnauthorizedOperation", "", "ec2:DescribeVpcs", "*", ""},
		{"route53", "ListHostedZones", map[string]any{}, nil, "AccessDenied", "", "route53:ListHostedZones", "*", ""},
		{"eks", "ListClusters", map[string]any{}, nil, "AccessDeniedException", "", "eks:ListClusters", "*", ""},
	}
}

// viaService is the condition key by which keys are let into one service alone.
const viaService = "kms:ViaService"

// permissions are the statements that a step needs.
func (s *Step) permissions() []map[string]any {
	all := []map[string]any{allow(s.Action, s.Resource)}
	if s.Key != "" {
		via := allow(s.Key, keys)
		via["Condition"] = equals("StringEquals", viaService, s.Service+"."+Region+".amazonaws.com")
		all = append(all, via)
	}
	return all
}

// Needs reports whether a step needs an action.
func (s *Step) Needs(action any) bool { return action == s.Action || action == s.Key && s.Key != "" }

func allow(action, resource string) map[string]any {
	return map[string]any{"Effect": "Allow", "Action": action, "Resource": resource}
}

func equals(operator, key string, value any) map[string]any {
	return map[string]any{operator: map[string]any{key: value}}
}

// Exact are the statements of a policy that allows exactly the steps.
func Exact(steps []Step) []map[string]any { return without(steps, "") }

// without are those of Exact but for those of an action.
func without(steps []Step, action string) []map[string]any {
	var all []map[string]any
	for i := range steps {
		all = append(all, slices.DeleteFunc(steps[i].permissions(), func(p map[string]any) bool { return p["Action"] == action })...)
	}
	return all
}

// Denial is a role that lacks something, and the step that is denied for it.
type Denial struct {
	Role string `json:"role"`
	Step int    `json:"step"`
	// Action is what is denied, and Why what the role has instead.
	Action string `json:"-"`
	Why    string `json:"-"`
	// Statements are those of the role's policy.
	Statements []map[string]any `json:"-"`
}

// conditions that calls of the workload do not meet, by action.
var conditions = []struct {
	action, why, operator, key, value string
}{
	{"dynamodb:GetItem", "another key", "ForAllValues:StringEquals", "dynamodb:LeadingKeys", "8"},
	{"cloudwatch:PutMetricData", "another namespace", "StringEquals", "cloudwatch:namespace", "else"},
	{"sqs:SendMessage", "another account's principal", "StringEquals", "aws:PrincipalAccount", "111122223333"},
	{"kms:Encrypt", "another service", "StringEquals", viaService, "sqs." + Region + ".amazonaws.com"},
}

// Denials take away each action and each resource of the steps in turn, and conditions. The roles' names begin with role.
func Denials(role string, steps []Step) []Denial {
	var all []Denial
	put := func(step int, action, why string, instead ...map[string]any) {
		all = append(all, Denial{
			Role: fmt.Sprintf("%s-%d", role, len(all)), Step: step, Action: action, Why: why,
			Statements: append(without(steps, action), instead...),
		})
	}
	for i := range steps {
		for _, p := range steps[i].permissions() {
			action, resource := p["Action"].(string), p["Resource"].(string)
			put(i, action, "no "+action)
			if resource != "*" {
				elsewhere := maps.Clone(p)
				elsewhere["Resource"] = resource + "-else"
				put(i, action, action+" on another resource", elsewhere)
			}
		}
	}
	for _, c := range conditions {
		for i := range steps {
			for _, p := range steps[i].permissions() {
				if p["Action"] == c.action {
					other := maps.Clone(p)
					other["Condition"] = equals(c.operator, c.key, c.value)
					put(i, c.action, c.why, other)
				}
			}
		}
	}
	return all
}

// LeaveOut takes each permission of a policy away in turn, and has each of its conditions demand something else; the step
// that needs it must be denied then. The statements have one action on one resource each. An error names what no step needs.
func LeaveOut(role string, steps []Step, policy []map[string]any) (all []Denial, err error) {
	for i, p := range policy {
		step := slices.IndexFunc(steps, func(s Step) bool { return s.Needs(p["Action"]) })
		if step < 0 {
			return nil, fmt.Errorf("no step needs %v", p["Action"])
		}
		put := func(why string, instead ...map[string]any) {
			all = append(all, Denial{
				Role: fmt.Sprintf("%s-%d", role, len(all)), Step: step, Action: p["Action"].(string), Why: why,
				Statements: slices.Concat(policy[:i], instead, policy[i+1:]),
			})
		}
		put(fmt.Sprintf("no %v on %v", p["Action"], p["Resource"]))
		tests, _ := p["Condition"].(map[string]any)
		for operator, of := range tests {
			for key := range of.(map[string]any) {
				other := maps.Clone(p)
				other["Condition"] = maps.Clone(tests)
				other["Condition"].(map[string]any)[operator] = maps.Clone(of.(map[string]any))
				other["Condition"].(map[string]any)[operator].(map[string]any)[key] = "else"
				put(fmt.Sprintf("%v with another %s", p["Action"], key), other)
			}
		}
	}
	return all, nil
}

// Event is a decision of the emulator, as its control API tells it.
type Event struct{ Caller, Action, Resource, Decision, Reason string }

// Unexplained are the denials of which no event names the role, the action, a resource and a reason.
func Unexplained(events []Event, denials []Denial) (missing []Denial) {
	found := map[[2]string]bool{}
	for _, e := range events {
		if e.Decision == "deny" && e.Resource != "" && e.Reason != "" {
			found[[2]string{path.Base(path.Dir(e.Caller)), e.Action}] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(denials), func(d Denial) bool { return found[[2]string{d.Role, d.Action}] })
}

func (d Denial) String() string { return fmt.Sprintf("%s to %s (%s)", d.Action, d.Role, d.Why) }

// Environment has the steps and denials for a client whose roles are those of the account.
func Environment(steps []Step, denials []Denial) (map[string]string, error) {
	env := map[string]string{"ROLES": "arn:aws:iam::" + Account + ":role/"}
	for name, v := range map[string]any{"STEPS": steps, "DENIALS": denials} {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		env[name] = string(b)
	}
	return env, nil
}
