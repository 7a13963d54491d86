package policy

import (
	"slices"
	"strings"
)

// Organizations' policies (AWS Organizations User Guide): service control policies
// limit the principals of an account, resource control policies its resources.
// Neither grants anything.

// Level is a level of an organization: the root, an organizational unit, or an
// account, with the policies of one type that are attached there. Of the levels from
// the root to an account each must allow a request ("SCP evaluation", "RCP
// evaluation").
type Level struct {
	Name     string // such as "organizational unit ou-ab12-11111111"
	ID       string // of the target that policies are attached to
	Policies []Named
}

// FullServiceControl and FullResourceControl are the documents of FullAWSAccess and
// RCPFullAWSAccess, which are attached everywhere at first.
const (
	FullServiceControl = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

	FullResourceControl = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`
)

// MaxServiceControl and MaxResourceControl are how many characters these policies may
// have, all of them counted ("Quotas and service limits for AWS Organizations").
const (
	MaxServiceControl  = 10240
	MaxResourceControl = 5120
)

// errControl is what Organizations says of any document that it does not take.
var errControl = &Error{
	Code:    "MalformedPolicyDocumentException",
	Message: "The provided policy document does not meet the requirements of the specified policy type.",
}

// parseServiceControl reads a service control policy: an identity policy that must
// say its version ("SCP syntax").
func parseServiceControl(doc []byte) (*Policy, *Error) {
	p, err := parseIdentity(Identity, doc)
	if err != nil {
		return nil, errControl
	}
	p.kind = ServiceControl
	return p, nil
}

// parseResourceControl reads a resource control policy: it denies everyone, and names
// services ("RCP syntax"). The one that allows is AWS's own.
func parseResourceControl(doc []byte) (*Policy, *Error) {
	root, fault := parseJSON(doc)
	p, err := parseBucket(Resource, doc)
	if fault != nil || err != nil {
		return nil, errControl
	}
	if version, _ := root.get("Version"); version.text != version2012 {
		return nil, errControl
	}
	full := string(doc) == FullResourceControl
	for i := range p.statements {
		s := &p.statements[i]
		named := func(q principal) bool { return q.kind != everyone }
		if !s.deny && !full || s.notPrincipal || len(s.principals) == 0 || slices.ContainsFunc(s.principals, named) || s.notAction ||
			s.resources == nil || !full && slices.Contains(s.actions.raw, "*") {
			return nil, errControl
		}
	}
	p.kind = ResourceControl
	return p, nil
}

// resourceControlled are the services of which resource control policies limit
// resources ("List of AWS services that support RCPs").
var resourceControlled = strings.Fields(`
	aoss appconfig appstream autoscaling autoscaling-plans budgets cloudfront cloudsearch clouddirectory cloudtrail-data
	codeartifact codebuild codecommit codepipeline cognito-identity cognito-idp comprehend comprehendmedical compute-optimizer
	cost-optimization-hub dax dsql dynamodb ecr ecr-public events firehose fis fms gamelift health inspector-scan kendra
	kinesisvideo kms logs memorydb networkmonitor notifications opensearch pca-connector-ad personalize polly pricing
	resource-groups rolesanywhere s3 secretsmanager servicediscovery signin sqs sts support swf textract timestream-influxdb
	transcribe transfer translate wafv2 workspaces xray`)

// ResourceControlled reports whether resource control policies limit who may do an
// action to a resource of another's, such as "s3:GetObject". They leave alone what
// needs no permission or is about no resource.
func ResourceControlled(action string) bool {
	service, name, _ := strings.Cut(action, ":")
	switch {
	case strings.EqualFold(action, "kms:RetireGrant"):
		return false
	case strings.EqualFold(service, "sts") && strings.HasPrefix(strings.ToLower(name), "get"):
		return false
	}
	return slices.Contains(resourceControlled, strings.ToLower(service))
}

// control asks the policies of an organization. A Deny of any level denies, and each
// level must allow.
func (ev *evaluation) control(t Type, levels []Level) (Decision, bool) {
	lacking := -1
	for i := range levels {
		out := ev.scan(levels[i].Policies)
		if out.deny.policy != nil {
			d := ev.denied(t, out.deny)
			d.Level = levels[i].Name
			return d, false
		}
		if out.allow.policy == nil && lacking < 0 {
			lacking = i
		}
	}
	if lacking < 0 {
		return Decision{}, true
	}
	d := ev.missedIn(t, levels[lacking].Policies)
	d.Level = levels[lacking].Name
	return d, false
}

// Sides says which side of a call across accounts does not allow it, where both must.
type Sides struct {
	Caller, Owner string // accounts of the caller and of the resource
	// ByCaller and ByOwner say whether the policies of the caller, and the policy of
	// the resource, allow it.
	ByCaller, ByOwner bool
}

// words are the sides in a sentence.
func (s *Sides) words() string {
	does := func(allows bool) string {
		if allows {
			return "allows it"
		}
		return "does not"
	}
	return " Across accounts both sides must allow: account " + s.Caller + ", of the caller, " + does(s.ByCaller) +
		"; account " + s.Owner + ", of the resource, " + does(s.ByOwner) + "."
}
