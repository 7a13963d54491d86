package emulator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/policy"
)

// simulation is a call of one of the Simulate operations.
type simulation struct {
	policies      policy.Policies
	actions       []string
	resources     []string
	keys          policy.Context
	principal     policy.Principal
	owner         string // account of the resources
	resourceGiven bool
}

// Limits of the simulator (IAM's service model).
var (
	ruleActionName   = rule{required: true, min: 3, max: 128}
	ruleResourceName = rule{required: true, min: 1, max: 2048}
	ruleContextKey   = rule{required: true, min: 5, max: 256}
)

// contextTypes are the types of values of ContextEntries.
var contextTypes = []string{"string", "stringList", "numeric", "numericList", "boolean", "booleanList",
	"ip", "ipList", "binary", "binaryList", "date", "dateList"}

// readSimulation reads what both operations have. Policies are checked only
// when the caller may simulate at all.
func (c *call) readSimulation(m *simulation) (documents, boundaries []string, resourcePolicy string) {
	documents = c.texts("PolicyInputList", c.operation == "SimulateCustomPolicy", maxItems, rule{min: 1, max: policy.MaxDocument, pattern: patternDocument})
	boundaries = c.texts("PermissionsBoundaryPolicyInputList", false, maxItems, rule{min: 1, max: policy.MaxDocument, pattern: patternDocument})
	m.actions = c.texts("ActionNames", true, maxItems, ruleActionName)
	m.resources = c.texts("ResourceArns", false, maxItems, ruleResourceName)
	resourcePolicy = c.text("ResourcePolicy", rule{min: 1, max: policy.MaxDocument, pattern: patternDocument})
	m.owner = c.text("ResourceOwner", rule{min: 1, max: 2048})
	c.text("CallerArn", rule{min: 1, max: 2048})
	c.text("ResourceHandlingOption", rule{min: 1, max: 64})
	m.resourceGiven = len(m.resources) > 0
	if !m.resourceGiven {
		m.resources = []string{"*"}
	}
	n := c.size("ContextEntries")
	for i := range n {
		param := fmt.Sprintf("ContextEntries.member.%d.", i+1)
		at := fmt.Sprintf("contextEntries.%d.member.", i+1)
		name := c.textAt(param+"ContextKeyName", at+"contextKeyName", ruleContextKey)
		kind := c.oneOf(param+"ContextKeyType", true, contextTypes...)
		values := c.texts(param+"ContextKeyValues", true, maxItems, rule{})
		switch {
		case name == "":
		case strings.HasSuffix(kind, "List"):
			m.keys.SetMulti(name, values...)
		case len(values) > 0:
			m.keys.Set(name, values[0])
		}
	}
	return documents, boundaries, resourcePolicy
}

// parsePolicies parses the policies that a call brings.
func (d *directory) parsePolicies(name string, documents []string) ([]policy.Named, *awsError) {
	var list []policy.Named
	for i, document := range documents {
		p, err := d.newPolicy(policy.Identity, document)
		if err != nil {
			return nil, invalidInput("%s", err.message)
		}
		list = append(list, policy.Named{Name: fmt.Sprintf("%s.%d", name, i+1), Policy: p})
	}
	return list, nil
}

// add adds the policies that a call brings to those of the principal.
func (m *simulation) add(d *directory, documents, boundaries []string, resourcePolicy string) *awsError {
	identity, e := d.parsePolicies("PolicyInputList", documents)
	if e != nil {
		return e
	}
	m.policies.Identity = append(slices.Clone(m.policies.Identity), identity...)
	limits, e := d.parsePolicies("PermissionsBoundaryPolicyInputList", boundaries)
	if e != nil {
		return e
	}
	if len(limits) > 0 {
		m.policies.Boundary = &limits[0] // AWS too takes one only
	}
	if resourcePolicy != "" {
		p, err := d.newPolicy(policy.Resource, resourcePolicy)
		if err != nil {
			return invalidInput("%s", err.message)
		}
		m.policies.Resource = &policy.Named{Name: "ResourcePolicy", Policy: p}
	}
	return nil
}

// simulateCustomPolicy evaluates policies that the call brings.
func (s *Server) simulateCustomPolicy(c *call) (func(*xmlWriter), *awsError) {
	m := &simulation{}
	documents, boundaries, resourcePolicy := c.readSimulation(m)
	callerARN := c.params["CallerArn"]
	page := c.readPage()
	if e := s.permitAccount(c, "*"); e != nil {
		return nil, e
	}
	if e := m.add(s.iam, documents, boundaries, resourcePolicy); e != nil {
		return nil, e
	}
	m.principal = policy.Principal{Kind: policy.User, Account: s.config.Account, ARN: callerARN, ID: "AIDASIMULATED"}
	return s.simulate(m, page), nil
}

// simulatePrincipalPolicy evaluates the policies of a role, user or group, and
// those that the call brings.
func (s *Server) simulatePrincipalPolicy(c *call) (func(*xmlWriter), *awsError) {
	m := &simulation{}
	source := c.text("PolicySourceArn", ruleARN)
	documents, boundaries, resourcePolicy := c.readSimulation(m)
	page := c.readPage()
	if e := s.permitAccount(c, source); e != nil {
		return nil, e
	}
	who, found := s.principal(source)
	if !found {
		return nil, noSuchEntity("The policy source %s cannot be found.", source)
	}
	m.policies = s.policiesOf(&who)
	m.principal = who.Principal
	simulated := m.keys
	m.keys = policy.Context{}
	s.callerKeys(&who, &m.keys)
	m.keys.SetAll(&simulated) // what the call says counts
	if e := m.add(s.iam, documents, boundaries, resourcePolicy); e != nil {
		return nil, e
	}
	return s.simulate(m, page), nil
}

// principal is the caller that a role, a user or a group would be.
func (s *Server) principal(arn string) (caller, bool) {
	var r *role
	var u *user
	s.iam.read(func() {
		for _, role := range s.iam.roles {
			if role.ARN == arn {
				r = role
			}
		}
		for _, user := range s.iam.users {
			if user.ARN == arn {
				u = user
			}
		}
		for _, g := range s.iam.groups {
			if g.ARN == arn { // as a user who is in no other group
				u = &user{entity: g.entity}
			}
		}
	})
	switch {
	case r != nil:
		who, why := s.sessionCaller(&session{kind: roleSession, entity: r.ID, name: "simulated"})
		return who, why == ""
	case u != nil:
		return s.userCaller(u), true
	}
	return caller{}, false
}

// simulate evaluates every action on every resource with the engine that
// decides on real calls.
func (s *Server) simulate(m *simulation, p page) func(*xmlWriter) {
	type result struct {
		key, action, resource string
	}
	var all []result
	for i, action := range m.actions {
		for j, resource := range m.resources {
			all = append(all, result{fmt.Sprintf("%06d.%06d", i, j), action, resource})
		}
	}
	all, marker := cut(p, all, func(r result) string { return r.key })
	return func(x *xmlWriter) {
		x.list("EvaluationResults", len(all), func(i int) {
			r := all[i]
			request := policy.Request{
				Principal:       m.principal,
				Action:          r.action,
				Resource:        r.resource,
				ResourceAccount: s.config.Account,
				Context:         &m.keys,
			}
			if account := resourceAccount(r.resource, m.owner); account != "" {
				request.ResourceAccount = account
			}
			d := policy.Evaluate(&request, &m.policies)
			x.text("EvalActionName", r.action)
			x.text("EvalResourceName", r.resource)
			verdict := "implicitDeny"
			switch {
			case d.Allowed:
				verdict = "allowed"
			case d.Explicit:
				verdict = "explicitDeny"
			}
			x.text("EvalDecision", verdict)
			x.open("MatchedStatements")
			if d.Statement.Policy != "" {
				x.open("member")
				x.text("SourcePolicyId", sourcePolicy(d.Statement.Policy))
				x.text("SourcePolicyType", sourceType(d.Statement))
				x.close("member")
			}
			x.close("MatchedStatements")
			x.texts("MissingContextValues", m.missing())
			if m.policies.Boundary != nil {
				only := m.policies
				only.Identity, only.Resource = []policy.Named{*m.policies.Boundary}, nil
				only.Boundary = nil
				request.ResourceAccount = m.principal.Account // no policy of the resource takes part
				x.open("PermissionsBoundaryDecisionDetail")
				x.bool("AllowedByPermissionsBoundary", policy.Evaluate(&request, &only).Allowed)
				x.close("PermissionsBoundaryDecisionDetail")
			}
			x.open("EvalDecisionDetails")
			x.close("EvalDecisionDetails")
			x.texts("ResourceSpecificResults", nil)
		})
		writePage(x, marker)
	}
}

// missing are the condition keys that the policies ask about and the call does
// not have.
func (m *simulation) missing() []string {
	var names []string
	add := func(p *policy.Policy) {
		for _, key := range p.ContextKeys() {
			if _, ok := m.keys.Values(key); !ok && !slices.Contains(names, key) {
				names = append(names, key)
			}
		}
	}
	for _, n := range m.policies.Identity {
		add(n.Policy)
	}
	if m.policies.Boundary != nil {
		add(m.policies.Boundary.Policy)
	}
	if m.policies.Resource != nil {
		add(m.policies.Resource.Policy)
	}
	slices.Sort(names)
	return names
}

// resourceAccount is the account of a resource in a simulation: the one in its
// ARN, or else that of the owner, who is an ARN or an account.
func resourceAccount(resource, owner string) string {
	if parts := strings.SplitN(resource, ":", 6); len(parts) == 6 && parts[4] != "" {
		return parts[4]
	}
	if parts := strings.SplitN(owner, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return owner
}

// sourcePolicy is the name of a policy as the simulator spells it.
func sourcePolicy(name string) string {
	if _, rest, ok := strings.Cut(name, ":policy/"); ok {
		return rest[strings.LastIndexByte(rest, '/')+1:]
	}
	return name
}

func sourceType(s policy.Statement) string {
	switch {
	case strings.Contains(s.Policy, ":iam::aws:policy/"):
		return "AWS Managed Policy"
	case strings.Contains(s.Policy, ":policy/"):
		return "IAM Policy"
	case s.Type == policy.ResourceType:
		return "Resource Policy"
	}
	return "IAM Policy"
}
