package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
	"github.com/openirsa/openirsa/internal/needs"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// guardStep is one call of the workload that clients do through the guard.
type guardStep struct {
	Service   string            `json:"service"` // as botocore names it
	Operation string            `json:"operation"`
	Input     map[string]any    `json:"input"`
	Keep      map[string]string `json:"keep,omitempty"`  // of the answer, by path, for inputs that name them with a $
	Code      string            `json:"code"`            // of a denial
	Class     string            `json:"class,omitempty"` // of a denial that is modelled
	action    string            // that it needs
	resource  string            // as policies have it
}

// guardSteps go through every protocol: JSON 1.0 and 1.1, Query, EC2's, REST with JSON and with XML, and CBOR, which the SDK
// for Go speaks to CloudWatch. The codes are those of section "Errors" in each service's API reference.
var guardSteps = []guardStep{
	{"dynamodb", "CreateTable", map[string]any{
		"TableName": "Cart", "BillingMode": "PAY_PER_REQUEST",
		"KeySchema":            []any{map[string]any{"AttributeName": "id", "KeyType": "HASH"}},
		"AttributeDefinitions": []any{map[string]any{"AttributeName": "id", "AttributeType": "S"}},
	}, nil, "AccessDeniedException", "", "dynamodb:CreateTable", cart},
	{"dynamodb", "PutItem", map[string]any{"TableName": "Cart", "Item": item("7")}, nil, "AccessDeniedException", "", "dynamodb:PutItem", cart},
	{"dynamodb", "GetItem", map[string]any{"TableName": "Cart", "Key": item("7")}, nil, "AccessDeniedException", "", "dynamodb:GetItem", cart},
	{"sqs", "CreateQueue", map[string]any{"QueueName": "mail"}, map[string]string{"QueueUrl": "QueueUrl"},
		"AccessDenied", "", "sqs:CreateQueue", queue},
	{"sqs", "SendMessage", map[string]any{"QueueUrl": "$QueueUrl", "MessageBody": "hello"}, nil, "AccessDenied", "", "sqs:SendMessage", queue},
	{"sqs", "ReceiveMessage", map[string]any{"QueueUrl": "$QueueUrl"}, map[string]string{"Receipt": "Messages.0.ReceiptHandle"},
		"AccessDenied", "", "sqs:ReceiveMessage", queue},
	{"sqs", "DeleteMessage", map[string]any{"QueueUrl": "$QueueUrl", "ReceiptHandle": "$Receipt"}, nil, "AccessDenied", "",
		"sqs:DeleteMessage", queue},
	{"kinesis", "CreateStream", map[string]any{"StreamName": "clicks", "ShardCount": 1}, nil, "AccessDeniedException",
		"", "kinesis:CreateStream", stream},
	{"kinesis", "ListShards", map[string]any{"StreamName": "clicks"}, nil, "AccessDeniedException", "AccessDeniedException",
		"kinesis:ListShards", stream},
	{"sns", "CreateTopic", map[string]any{"Name": "news"}, map[string]string{"TopicArn": "TopicArn"}, "AuthorizationError",
		"AuthorizationErrorException", "sns:CreateTopic", topic},
	{"sns", "Publish", map[string]any{"TopicArn": "$TopicArn", "Message": "hello"}, nil, "AuthorizationError",
		"AuthorizationErrorException", "sns:Publish", topic},
	{"secretsmanager", "CreateSecret", map[string]any{"Name": "app", "SecretString": "open"}, nil, "AccessDeniedException", "",
		"secretsmanager:CreateSecret", secret},
	{"secretsmanager", "GetSecretValue", map[string]any{"SecretId": "app"}, nil, "AccessDeniedException", "",
		"secretsmanager:GetSecretValue", secret},
	{"ssm", "PutParameter", map[string]any{"Name": "/svc/db", "Value": "x", "Type": "String"}, nil, "AccessDeniedException", "",
		"ssm:PutParameter", parameter},
	{"ssm", "GetParameter", map[string]any{"Name": "/svc/db"}, nil, "AccessDeniedException", "", "ssm:GetParameter", parameter},
	{"cloudwatch", "PutMetricData", map[string]any{"Namespace": "app",
		"MetricData": []any{map[string]any{"MetricName": "requests", "Value": 1}}}, nil, "AccessDenied", "", "cloudwatch:PutMetricData", "*"},
	{"ec2", "DescribeVpcs", map[string]any{}, nil, "UnauthorizedOperation", "", "ec2:DescribeVpcs", "*"},
	{"route53", "ListHostedZones", map[string]any{}, nil, "AccessDenied", "", "route53:ListHostedZones", "*"},
	{"eks", "ListClusters", map[string]any{}, nil, "AccessDeniedException", "", "eks:ListClusters", "*"},
}

// The resources of the steps.
const (
	inRegion  = ":" + region + ":" + accountID + ":"
	cart      = "arn:aws:dynamodb" + inRegion + "table/Cart"
	queue     = "arn:aws:sqs" + inRegion + "mail"
	stream    = "arn:aws:kinesis" + inRegion + "stream/clicks"
	topic     = "arn:aws:sns" + inRegion + "news"
	secret    = "arn:aws:secretsmanager" + inRegion + "secret:app-??????"
	parameter = "arn:aws:ssm" + inRegion + "parameter/svc/*"
)

func item(id string) map[string]any { return map[string]any{"id": map[string]any{"S": id}} }

// guardDenial is a role that lacks something, and the step that is denied for it.
type guardDenial struct {
	Role string `json:"role"`
	Step int    `json:"step"`
	why  string
	// policy of the role
	statements []map[string]any
}

// workloadPolicy allows exactly the steps, but for those that except says.
func workloadPolicy(except func(*guardStep) bool) []map[string]any {
	var all []map[string]any
	for i := range guardSteps {
		if s := &guardSteps[i]; !except(s) {
			all = append(all, map[string]any{"Effect": "Allow", "Action": s.action, "Resource": s.resource})
		}
	}
	return all
}

// guardDenials take away each action in turn, and resources and conditions of some.
func guardDenials() []guardDenial {
	var all []guardDenial
	without := func(step int, why string, instead ...map[string]any) {
		action := guardSteps[step].action
		all = append(all, guardDenial{
			Role: fmt.Sprintf("%s-%d", guardRole, len(all)), Step: step, why: why,
			statements: append(workloadPolicy(func(s *guardStep) bool { return s.action == action }), instead...),
		})
	}
	index := func(action string) int {
		return slices.IndexFunc(guardSteps, func(s guardStep) bool { return s.action == action })
	}
	allow := func(action, resource string, condition ...map[string]any) map[string]any {
		s := map[string]any{"Effect": "Allow", "Action": action, "Resource": resource}
		if condition != nil {
			s["Condition"] = condition[0]
		}
		return s
	}
	for i, s := range guardSteps {
		without(i, "no "+s.action)
		if s.resource != "*" {
			without(i, s.action+" on another resource", allow(s.action, s.resource+"-else"))
		}
	}
	without(index("dynamodb:GetItem"), "another key", allow("dynamodb:GetItem", cart, map[string]any{
		"ForAllValues:StringEquals": map[string]any{"dynamodb:LeadingKeys": "8"}}))
	without(index("cloudwatch:PutMetricData"), "another namespace", allow("cloudwatch:PutMetricData", "*", map[string]any{
		"StringEquals": map[string]any{"cloudwatch:namespace": "else"}}))
	without(index("sqs:SendMessage"), "another account's principal", allow("sqs:SendMessage", queue, map[string]any{
		"StringEquals": map[string]any{"aws:PrincipalAccount": "111122223333"}}))
	return all
}

// notAnswered is a service of which kumo knows the CBOR that the SDK for Go speaks, and neither JSON nor Query: the others
// are only denied there.
const notAnswered = "cloudwatch"

const guardRole = "guarded"

// guardStory is what a client does through the guard.
type guardStory struct {
	permissions []map[string]any // of the role that does the workload
	denials     []guardDenial
	without     string // a service that the client does not use
	// client is the client's part. Its files are in dir: steps.json, denials.json and the token.
	client func(t *testing.T, dir string, env map[string]string)
}

// guarded has a client do the workload through the guard as a pod would, with a role that has exactly the permissions for
// it, and then each call once with a role that lacks something of it. It returns the least policy for the workload, as the
// emulator suggests it.
func guarded(t *testing.T, modules string, story guardStory) []map[string]any {
	t.Helper()
	var forward []string
	for _, f := range backends(t, modules) {
		forward = append(forward, "--forward", f)
	}
	a := startAccount(t, "http", forward...)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, admin := t.Context(), iam.NewFromConfig(a.config)
	_, err := admin.CreateOpenIDConnectProvider(ctx,
		&iam.CreateOpenIDConnectProviderInput{Url: new(a.issuer.String()), ClientIDList: []string{audience}})
	if err != nil {
		t.Fatal(err)
	}
	create := func(name string, statements []map[string]any) {
		t.Helper()
		_, err := admin.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: new(a.trust("default", "app"))})
		if err == nil {
			_, err = admin.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: new("workload"),
				PolicyDocument: new(emulatortest.Document(statements...))})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	create(guardRole, story.permissions)
	for _, d := range story.denials {
		create(d.Role, d.statements)
	}
	for name, content := range map[string]any{"steps.json": guardSteps, "denials.json": story.denials} {
		b, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name, string(b))
	}
	write(t, dir, "token", a.token(t, "default", "app"))
	if err := os.CopyFS(dir, os.DirFS("scenarios")); err != nil {
		t.Fatal(err)
	}
	env := a.environ(guardRole)
	env["ROLES"] = "arn:aws:iam::" + accountID + ":role/"
	story.client(t, dir, env)
	checkExplained(t, a, slices.DeleteFunc(story.denials, func(d guardDenial) bool { return guardSteps[d.Step].Service == story.without }))
	return a.suggested(t, guardRole)
}

// checkExplained holds the emulator's events against the denials: each names the action, the resource and a reason.
func checkExplained(t *testing.T, a *account, denials []guardDenial) {
	t.Helper()
	response, err := http.Get(a.url + "/_openirsa/events?decision=deny&limit=1000")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Events []struct{ Caller, Action, Resource, Reason, Decision string }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, e := range answer.Events {
		if e.Decision == "deny" && e.Resource != "" && e.Reason != "" {
			found[filepath.Base(filepath.Dir(e.Caller))+" "+e.Action] = true
		}
	}
	for _, d := range denials {
		if action := guardSteps[d.Step].action; !found[d.Role+" "+action] {
			t.Errorf("no event explains that %s was denied to %s (%s)", action, d.Role, d.why)
		}
	}
}

// TestGuard has unmodified clients work with services of other emulators behind the guard.
func TestGuard(t *testing.T) {
	if err := kindenv.Install(t.Context(), os.Stderr, "node", "npm"); err != nil {
		needs.Lacking(t, fmt.Errorf("there is no Node.js: %w", err))
	}
	modules, err := kindenv.NodeModules(t.Context(), "scenarios", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := kindenv.NewClients(t.Context(), t.TempDir(), os.Stderr)
	if errors.Is(err, kindenv.ErrImpossible) {
		needs.Lacking(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	exact := workloadPolicy(func(*guardStep) bool { return false })
	var least []map[string]any
	t.Run("Go", func(t *testing.T) { least = guarded(t, modules, guardStory{exact, guardDenials(), withoutGo, guardGo}) })
	t.Run("Suggested", func(t *testing.T) { guarded(t, modules, guardStory{least, leaveOut(t, least), withoutGo, guardGo}) })
	t.Run("JavaScript", func(t *testing.T) {
		guarded(t, modules, guardStory{exact, guardDenials(), "", func(t *testing.T, dir string, env map[string]string) {
			if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
				t.Fatal(err)
			}
			env = maps.Clone(env)
			env["NOT_ANSWERED"] = notAnswered
			passes(t, func(ctx context.Context) (*exec.Cmd, error) {
				cmd := exec.CommandContext(ctx, "node", "guard.mjs")
				cmd.Dir, cmd.Env = dir, environ(dir, env)
				return cmd, nil
			})
		}})
	})
	for name, client := range map[string]string{"boto3": "boto3", "AWS CLI": "cli"} {
		t.Run(name, func(t *testing.T) {
			denials := guardDenials()
			if client == "cli" { // which starts a Python for each call: one denial of every third
				var some []guardDenial
				for i := 0; i < len(denials); i += 3 {
					some = append(some, denials[i])
				}
				denials = some
			}
			guarded(t, modules, guardStory{exact, denials, "", func(t *testing.T, dir string, env map[string]string) {
				env = maps.Clone(env)
				env["CLIENT"], env["NOT_ANSWERED"] = client, notAnswered
				passes(t, func(ctx context.Context) (*exec.Cmd, error) {
					return clients.Command(ctx, dir, env, "python3", "guard.py")
				})
			}})
		})
	}
}
