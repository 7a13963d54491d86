package question

import (
	"slices"
	"strings"
)

const passRole = "iam:PassRole"

// maxNodes bounds how much of an input is searched for roles.
const maxNodes = 20000

// passRoles asks for the permission to hand a role to a service, for each role of
// the account that the call names in a member whose name ends in Role or RoleArn
// (IAM User Guide, "Grant a user permissions to pass a role to an AWS service").
func passRoles(a *asker) {
	if len(a.out) == 0 {
		return
	}
	passProfiles(a)
	if !a.passesRoles() {
		return
	}
	main := a.out[0]
	search := roleSearch{account: a.Account, names: a.family.roleNames, arn: a.standard("arn:$P:iam::$A:role/")}
	search.walk("", a.Input, 0)
	for _, found := range search.found {
		associated := ""
		if main.Known && main.Resource != "*" {
			associated = main.Resource
		}
		a.pass(target{arn: found.arn}, a.passedTo(found.member), associated)
	}
}

// pass asks for the permission to hand a role to a service, for a resource that is to
// have it; "" is for none that is known.
func (a *asker) pass(role target, service, associated string) {
	role.keys = []key{{name: "iam:PassedToService", values: []string{service}}}
	if associated != "" {
		role.keys = append(role.keys, key{name: "iam:AssociatedResourceArn", values: []string{associated}})
	}
	a.ask(passRole, role)
}

// alsoPass are operations that hand roles to their service, as the guides of the
// services say, while the Service Authorization Reference does not, by prefix.
var alsoPass = map[string]string{
	"appsync":     "CreateDataSource UpdateDataSource CreateGraphqlApi UpdateGraphqlApi",
	"autoscaling": "PutLifecycleHook",
	"batch":       "CreateComputeEnvironment UpdateComputeEnvironment RegisterJobDefinition",
	"bedrock": "CreateAgent UpdateAgent CreateKnowledgeBase UpdateKnowledgeBase CreateFlow UpdateFlow CreateModelCustomizationJob " +
		"CreateModelImportJob CreateModelInvocationJob CreateEvaluationJob",
	"cloudformation": "CreateStack UpdateStack DeleteStack CreateChangeSet ContinueUpdateRollback RollbackStack CreateStackSet " +
		"UpdateStackSet",
	"codebuild":        "CreateProject UpdateProject",
	"cognito-identity": "SetIdentityPoolRoles",
	"cognito-idp":      "CreateGroup UpdateGroup CreateUserImportJob",
	"ec2":              "RequestSpotFleet",
	"ecs":              "RegisterTaskDefinition CreateService UpdateService RunTask StartTask",
	"eks": "CreateCluster CreateNodegroup CreateFargateProfile CreatePodIdentityAssociation UpdatePodIdentityAssociation " +
		"CreateAddon UpdateAddon",
	"es":       "CreateDomain UpdateDomainConfig CreateElasticsearchDomain UpdateElasticsearchDomainConfig",
	"events":   "PutRule PutTargets",
	"firehose": "CreateDeliveryStream UpdateDestination",
	"glue":     "CreateJob UpdateJob CreateCrawler UpdateCrawler CreateDevEndpoint CreateMLTransform UpdateMLTransform CreateSession",
	"iot":      "CreateTopicRule ReplaceTopicRule",
	"lambda":   "UpdateFunctionConfiguration",
	"ssm": "RegisterTaskWithMaintenanceWindow UpdateMaintenanceWindowTask SendCommand CreateActivation " +
		"UpdateManagedInstanceRole",
	"states": "TestState",
}

// passesRoles reports whether the operation hands roles to a service.
func (a *asker) passesRoles() bool {
	if hasWord(alsoPass[a.prefix], a.Operation) {
		return true
	}
	for _, q := range a.out {
		if action := a.listed(q.Action); action != nil && slices.ContainsFunc(action.Dependent, isPassRole) {
			return true
		}
	}
	return false
}

func isPassRole(action string) bool { return strings.EqualFold(action, passRole) }

// passedTo is the service that gets the role in a member.
func (a *asker) passedTo(member string) string {
	service := a.prefix + ".amazonaws.com"
	if a.family.passes != "" {
		service = a.family.passes
	}
	for _, name := range []string{"." + member, a.Operation, a.Operation + "." + member} {
		if s := a.family.passing[name]; s != "" {
			service = s
		}
	}
	return service
}

type foundRole struct{ member, arn string }

type roleSearch struct {
	account string
	// names says that a role may be named without its ARN, which begins with arn.
	names bool
	arn   string
	nodes int
	found []foundRole
}

// walk looks for roles at any depth.
func (s *roleSearch) walk(name string, v any, depth int) {
	if s.nodes++; s.nodes > maxNodes || depth > 32 {
		return
	}
	switch v := v.(type) {
	case string:
		lower := strings.ToLower(name)
		if !strings.HasSuffix(lower, "role") && !strings.HasSuffix(lower, "rolearn") {
			return
		}
		if s.names && v != "" && !strings.Contains(v, ":") {
			v = s.arn + strings.TrimPrefix(v, "/")
		}
		role, ok := parseARN(v)
		found := foundRole{name, v}
		if ok && role.service == "iam" && role.account == s.account && strings.HasPrefix(role.resource, "role/") &&
			!slices.Contains(s.found, found) && len(s.found) <= MaxQuestions {
			s.found = append(s.found, found)
		}
	case []any:
		for _, entry := range v {
			s.walk(name, entry, depth+1)
		}
	case map[string]any:
		for _, key := range sorted(v) {
			s.walk(key, v[key], depth+1)
		}
	}
}
