package question

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
)

// families are the services that have entries of their own, by IAM prefix.
var families = map[string]*family{
	"apigateway": &apiGateway, "aoss": &serverlessSearch, "athena": &athena, "autoscaling": &autoScaling, "batch": &batch,
	"bedrock": &bedrock, "cloudformation": &cloudFormation, "cloudwatch": &cloudWatch, "dynamodb": &dynamoDB, "ec2": &ec2,
	"ecr": &registries, "ecs": &ecs, "eks": &eks, "elasticache": &elastiCache, "elasticloadbalancing": &balancing, "es": &searching,
	"events": &eventBridge, "execute-api": &executeAPI, "glue": &glue, "kinesis": &kinesis, "kms": &kms, "lambda": &lambda,
	"logs": &logs, "rds": &rds, "rds-data": &rdsData, "route53": &route53, "secretsmanager": &secretsManager, "ses": &email,
	"aps": &prometheus, "appsync": &graphs,
	"cassandra": &keyspaces, "cloudtrail": &trails, "codeartifact": &packages, "mobiletargeting": &pinpoint,
	"scheduler": &scheduler, "sns": &sns, "sqs": &sqs, "ssm": &systemsManager, "states": &stepFunctions,
}

// plainFamily is that of services without an entry.
var plainFamily = &family{}

// Questions are what must be allowed for a call; none at all for an operation that
// is not signed, such as InitiateAuth of Amazon Cognito. world may be nil, who
// knows nothing. The error is [ErrTooMany], [ErrNoAnswer], a [Refusal], or that of the context.
func Questions(ctx context.Context, call *Call, world World) ([]Question, error) {
	a := newAsker(ctx, call, world)
	r := a.family.rules[call.Operation]
	switch {
	case call.Operation == "" && r == nil:
		return []Question{a.unlisted("UnknownOperation")}, nil
	case (call.Model == nil || a.service == nil) && r == nil:
		return []Question{a.unlisted(call.Operation)}, nil
	case call.Model != nil:
		if op := call.Model.Operation(call.Operation); op != nil && op.Unsigned {
			return nil, nil
		}
	}
	if r == nil {
		r = a.family.otherwise
	}
	if r == nil {
		r = general
	}
	if a.checkForms(); a.err != nil {
		return nil, a.err
	}
	r(a)
	tagOnCreate(a)
	passRoles(a)
	if err := a.fault(ctx); err != nil {
		return nil, err
	}
	tags := tagged(call.Input, call.Operation)
	for i := range a.out {
		q := &a.out[i]
		a.setKeys(q, tags)
		if a.family.global || globals[a.prefix] {
			q.Keys.Set("aws:RequestedRegion", "us-east-1")
		}
		if q.Unlisted {
			q.Warnings = append(q.Warnings, fmt.Sprintf("%s is not in the tables of %s", q.Action, awsapi.Date()))
		}
	}
	a.askKeys()
	if err := a.fault(ctx); err != nil {
		return nil, err
	}
	for i := range a.out {
		a.out[i].call = call
	}
	if len(a.out) > 0 {
		a.out[0].Warnings = append(a.out[0].Warnings, a.warnings...)
	}
	return a.out, nil
}

// globals are services that have one place for all regions, by prefix, beside those
// whose family says so (IAM User Guide, "AWS global condition context keys",
// aws:RequestedRegion).
var globals = map[string]bool{
	"cloudfront": true, "organizations": true, "iam": true, "route53domains": true, "budgets": true, "ce": true, "health": true,
	"shield": true, "waf": true, "support": true, "trustedadvisor": true, "account": true,
}

func newAsker(ctx context.Context, call *Call, world World) *asker {
	a := &asker{Call: call, prefix: call.prefix()}
	a.service = awsapi.Reference(a.prefix)
	if a.family = families[a.prefix]; a.family == nil {
		a.family = plainFamily
	}
	a.find = func(Fact) (Known, bool) { return Known{}, false }
	a.mentions = func(string) bool { return false }
	if world == nil {
		return a
	}
	a.mentions = world.Mentions
	type answer struct {
		known Known
		found bool
	}
	asked := map[Fact]answer{}
	a.find = func(f Fact) (Known, bool) {
		if before, is := asked[f]; is {
			return before.known, before.found
		}
		if f.Region == "" {
			f.Region = call.Region
		}
		if f.Account == "" {
			f.Account = call.Account
		}
		known, found, err := world.Find(ctx, f)
		if err != nil {
			if a.warn("asking for the %s of %s: %v", f.Kind, f.Name, err); errors.Is(err, ErrNoAnswer) {
				a.unanswered = cmp.Or(a.unanswered, fmt.Errorf("asking for the %s of %s: %w", f.Kind, f.Name, err))
			}
			known, found = Known{}, false
		}
		asked[f] = answer{known, found}
		return known, found
	}
	return a
}

// fault is why the questions are of no use, nil if they are.
func (a *asker) fault(ctx context.Context) error { return cmp.Or(a.err, ctx.Err(), a.unanswered) }

// prefix is that of the actions of the call's service.
func (c *Call) prefix() string {
	switch {
	case c.Model == nil:
		return strings.ToLower(c.Service)
	case c.Model.Prefix != "":
		return c.Model.Prefix
	}
	return c.Model.SigningName
}

// unlisted is the question about an operation that no table has: its name as an
// action without resources, so that only a policy for all resources allows it.
func (a *asker) unlisted(operation string) Question {
	action := a.prefix + ":" + operation
	return Question{
		Action: action, Resource: "*", Known: true, Unlisted: true,
		Warnings: []string{action + " is not in the tables of " + awsapi.Date() + ": only a policy for all resources allows it"},
	}
}

// Computes reports whether a question has a condition key whenever AWS would set
// it. Of a key that a policy mentions and a question lacks, it tells whether the
// request has none, or whether this package cannot tell.
func (q *Question) Computes(name string) bool {
	if matches(everywhere, name) {
		return true
	}
	service, bare, found := strings.Cut(name, ":")
	if !found {
		return false
	}
	prefix, _, _ := strings.Cut(q.Action, ":")
	if strings.EqualFold(service, "aws") {
		return false
	}
	if !strings.EqualFold(service, prefix) {
		return true // another service's, which requests to this one never have
	}
	if family := families[prefix]; family != nil && matches(family.computed, name) {
		return true
	}
	if hasPrefix(bare, "ResourceTag/") {
		return true
	}
	if prefix == "iam" && matches([]string{"iam:PassedToService", "iam:AssociatedResourceArn"}, name) {
		return true
	}
	if q.call == nil || q.call.Model == nil {
		return false
	}
	op := q.call.Model.Operation(q.call.Operation)
	if op == nil {
		return false
	}
	for _, m := range op.Members {
		if normal(m.Name) == normal(bare) {
			return true
		}
	}
	return false
}
