package emulator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// simulation is a call of one of the Simulate operations.
type simulation struct {
	policies      policy.Policies
	actions       []string
	resources     []string
	keys          policy.Context
	principal     policy.Principal
	caller        string // CallerArn, "" if there is none
	owner         string // ARN whose account owns resources that name none
	resourceGiven bool
	member        bool              // the account is in an organization
	controls      []policy.Level    // its service control policies
	sources       map[string]source // by the name that package policy has
}

const resourcePolicyKind = "Resource Policy"

// Limits of the simulator (IAM's service model).
var (
	ruleActionName   = wire.Rule{Required: true, Min: 3, Max: 128}
	ruleResourceName = wire.Rule{Required: true, Min: 1, Max: 2048}
	ruleContextKey   = wire.Rule{Required: true, Min: 5, Max: 256}
)

// contextTypes are the types of values of ContextEntries.
var contextTypes = []string{"string", "stringList", "numeric", "numericList", "boolean", "booleanList",
	"ip", "ipList", "binary", "binaryList", "date", "dateList"}

// readSimulation reads what both operations have. Policies are checked only
// when the caller may simulate at all.
func (c *call) readSimulation(m *simulation) (documents, boundaries []string, resourcePolicy string) {
	documents = c.Texts("PolicyInputList", c.Operation == "SimulateCustomPolicy", maxItems, ruleDocument)
	boundaries = c.Texts("PermissionsBoundaryPolicyInputList", false, maxItems, ruleDocument)
	m.actions = c.Texts("ActionNames", true, maxItems, ruleActionName)
	m.resources = c.Texts("ResourceArns", false, maxItems, ruleResourceName)
	resourcePolicy = c.Text("ResourcePolicy", wire.Rule{Min: 1, Max: policy.MaxDocument, Pattern: patternDocument})
	m.owner = c.Text("ResourceOwner", wire.Rule{Min: 1, Max: 2048})
	m.caller = c.Text("CallerArn", wire.Rule{Min: 1, Max: 2048})
	m.sources = make(map[string]source)
	c.Text("ResourceHandlingOption", wire.Rule{Min: 1, Max: 64})
	m.resourceGiven = len(m.resources) > 0
	if !m.resourceGiven {
		m.resources = []string{"*"}
	}
	n := c.Size("ContextEntries")
	for i := range n {
		param := fmt.Sprintf("ContextEntries.member.%d.", i+1)
		at := fmt.Sprintf("contextEntries.%d.member.", i+1)
		name := c.TextAt(param+"ContextKeyName", at+"contextKeyName", ruleContextKey)
		kind := c.OneOf(param+"ContextKeyType", true, contextTypes...)
		values := c.Texts(param+"ContextKeyValues", true, maxItems, wire.Rule{})
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

// setCaller makes the caller that a call names the principal, and refuses a caller
// and an owner that are none.
func (m *simulation) setCaller() *wire.Failure {
	if m.owner != "" && resourceAccount("", m.owner) == "" {
		return invalidInput("'%s' is not a valid as a Resource Owner.", m.owner) // AWS's words
	}
	if m.caller == "" {
		return nil
	}
	account := resourceAccount("", m.caller)
	if account == "" {
		return invalidInput("'%s' is not a valid as a Caller.", m.caller)
	}
	m.principal.ARN, m.principal.Account, m.principal.EntityARN = m.caller, account, ""
	return nil
}

// parsePolicies parses the policies that a call brings.
func (m *simulation) parsePolicies(d *directory, kind, name string, documents []string) ([]policy.Named, *wire.Failure) {
	var list []policy.Named
	for i, document := range documents {
		p, err := d.newPolicy(policy.Identity, document)
		if err != nil {
			return nil, invalidInput("%s", err.Message)
		}
		list = append(list, policy.Named{Name: fmt.Sprintf("%s.%d", name, i+1), Policy: p})
		m.sources[list[i].Name] = source{list[i].Name, kind, document}
	}
	return list, nil
}

// add adds the policies that a call brings to those of the principal.
func (m *simulation) add(d *directory, documents, boundaries []string, resourcePolicy string) *wire.Failure {
	identity, e := m.parsePolicies(d, iamPolicy, "PolicyInputList", documents)
	if e != nil {
		return e
	}
	m.policies.Identity = append(slices.Clone(m.policies.Identity), identity...)
	limits, e := m.parsePolicies(d, "Permissions Boundary Policy", "PermissionsBoundaryPolicyInputList", boundaries)
	if e != nil {
		return e
	}
	if len(limits) > 0 {
		m.policies.Boundary = &limits[0] // AWS too takes one only
	}
	if resourcePolicy != "" {
		p, err := d.newPolicy(policy.Resource, resourcePolicy)
		if err != nil {
			return invalidInput("%s", err.Message)
		}
		m.policies.Resource = &policy.Named{Name: "ResourcePolicy", Policy: p}
		m.sources["ResourcePolicy"] = source{"ResourcePolicy", resourcePolicyKind, resourcePolicy}
	}
	return nil
}

// simulateCustomPolicy evaluates policies that the call brings.
func (s *Server) simulateCustomPolicy(c *call) (func(*wire.XML), *wire.Failure) {
	m := &simulation{}
	documents, boundaries, resourcePolicy := c.readSimulation(m)
	page := c.readPage()
	if e := s.permitAccount(c, "*"); e != nil {
		return nil, e
	}
	if e := m.add(s.iam, documents, boundaries, resourcePolicy); e != nil {
		return nil, e
	}
	m.principal = policy.Principal{Kind: policy.User, Account: s.account.ID, ID: "AIDASIMULATED"}
	if e := m.setCaller(); e != nil {
		return nil, e
	}
	if _, given := m.keys.Values("aws:userid"); !given {
		m.keys.Set("aws:userid", cmp.Or(m.caller, "STUB_PRINCIPAL_FOR_POLICY_SIMULATOR"))
	}
	return s.simulate(m, page), nil
}

// simulatePrincipalPolicy evaluates the policies of a role, user or group, and
// those that the call brings.
func (s *Server) simulatePrincipalPolicy(c *call) (func(*wire.XML), *wire.Failure) {
	m := &simulation{}
	source := c.Text("PolicySourceArn", ruleARN)
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
	m.setControls(s, &who)
	m.addSourcesOf(s, &who)
	if e := m.setCaller(); e != nil {
		return nil, e
	}
	simulated := m.keys
	m.keys = policy.Context{}
	s.callerKeys(&who, &m.keys)
	m.keys.SetAll(&simulated) // what the call says counts
	if e := m.add(s.iam, documents, boundaries, resourcePolicy); e != nil {
		return nil, e
	}
	return s.simulate(m, page), nil
}

// addSourcesOf notes the policies that a caller has.
func (m *simulation) addSourcesOf(s *Server, caller *api.Caller) {
	who := identityOf(caller)
	if who.role != nil {
		m.addSources(s.iam, roleKind, &who.role.entity, "")
	}
	if who.user == nil {
		return
	}
	kind := userKind
	if strings.Contains(who.user.ARN, ":group/") { // a group stands for a user who is in no other
		kind = groupKind
	}
	m.addSources(s.iam, kind, &who.user.entity, "")
	for _, id := range who.user.Groups {
		if g := s.iam.groupByID(id); g != nil {
			m.addSources(s.iam, groupKind, &g.entity, "group "+g.Name+": ")
		}
	}
}

// principal is the caller that a role, a user or a group would be.
func (s *Server) principal(arn string) (api.Caller, bool) {
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
	return api.Caller{}, false
}

// source is a policy of a simulation as answers name it, and its text.
type source struct{ id, kind, document string }

// addSources notes the policies that an entity has. The names are those by which
// package policy knows them.
func (m *simulation) addSources(d *directory, kind *entityKind, e *entity, prefix string) {
	for _, arn := range e.Attached {
		m.addManaged(d, prefix+arn, arn)
	}
	for _, in := range e.Inline {
		m.sources[prefix+in.Name] = source{kind.name + "_" + e.Name + "_" + in.Name, iamPolicy, in.Document}
	}
	if e.Boundary != "" {
		m.addManaged(d, e.Boundary, e.Boundary)
	}
}

func (m *simulation) addManaged(d *directory, name, arn string) {
	if p := d.managedPolicy(arn); p != nil {
		m.sources[name] = source{p.Name, iamPolicy, d.document(p, p.Default)}
	}
}

const iamPolicy = "IAM Policy"

// Decisions as the simulator spells them.
const (
	decidedAllow    = "allowed"
	decidedDeny     = "explicitDeny"
	decidedImplicit = "implicitDeny"
)

// simulated is what a simulation says of one action on one resource, or on all.
type simulated struct {
	resource string
	decision string
	matched  []policy.Statement
	boundary bool              // whether the permissions boundary allows it
	byOrg    bool              // whether the service control policies allow it
	details  map[string]string // decisions by type of policy, of cross-account calls
}

// simulateOne evaluates an action on a resource with the engine that decides on
// real calls.
func (m *simulation) simulateOne(s *Server, action, resource string) simulated {
	request := policy.Request{
		Principal: m.principal, Action: action, Resource: resource,
		ResourceAccount: m.principal.Account, Context: &m.keys,
	}
	if account := resourceAccount(resource, m.owner); account != "" {
		request.ResourceAccount = account
	}
	d := policy.Evaluate(&request, &m.policies)
	r := simulated{resource: resource, decision: decided(&d)}
	var allows, denies []policy.Statement
	gather := func(n *policy.Named, t policy.Type) (allowed bool) {
		if n == nil {
			return false
		}
		a, d := policy.Applying(&request, n, t)
		allows, denies = append(allows, a...), append(denies, d...)
		return len(a) > 0 && len(d) == 0
	}
	if r.byOrg = m.allowedByOrganization(request); !r.byOrg && r.decision == decidedAllow {
		r.decision = decidedImplicit // whether there is no Allow or a Deny
	}
	for i := range m.policies.Identity {
		gather(&m.policies.Identity[i], policy.IdentityType)
	}
	r.boundary = gather(m.policies.Boundary, policy.BoundaryType)
	granted := gather(m.policies.Resource, policy.ResourceType)
	switch {
	case request.ResourceAccount != m.principal.Account:
		r.details = m.detailsOf(request)
	case granted && r.byOrg && len(denies) == 0:
		// Unlike real calls, AWS's simulator takes a grant to the account for one
		// to the caller, and asks no other policy.
		r.decision = decidedAllow
	}
	switch r.decision {
	case decidedAllow:
		r.matched = allows
	case decidedDeny:
		r.matched = denies
	}
	return r
}

// setControls are the service control policies for a caller. AWS's simulator leaves out
// those with conditions, and knows no resource control policies (IAM User Guide, "IAM
// policy testing with the IAM policy simulator").
func (m *simulation) setControls(s *Server, who *api.Caller) {
	m.member = s.membership(s.account.ID) != nil
	var limits policy.Policies
	s.limit(&limits, who, &policy.Request{Resource: "*"})
	for _, level := range limits.ServiceControl {
		conditional := func(n policy.Named) bool { return len(n.Policy.ConditionKeys()) > 0 }
		level.Policies = slices.DeleteFunc(slices.Clone(level.Policies), conditional)
		m.controls = append(m.controls, level)
	}
}

// allowedByOrganization reports whether service control policies allow a request: the
// root user of the account, whom nothing else limits in it, could make it.
func (m *simulation) allowedByOrganization(request policy.Request) bool {
	request.Principal.Kind, request.ResourceAccount = policy.Root, request.Principal.Account
	d := policy.Evaluate(&request, &policy.Policies{ServiceControl: m.controls})
	return d.Allowed
}

// detailsOf are the decisions of a cross-account call on either side.
func (m *simulation) detailsOf(request policy.Request) map[string]string {
	owner := decidedImplicit
	if m.policies.Resource != nil {
		switch allows, denies := policy.Applying(&request, m.policies.Resource, policy.ResourceType); {
		case len(denies) > 0:
			owner = decidedDeny
		case len(allows) > 0:
			owner = decidedAllow
		}
	}
	own := m.policies
	own.Resource = nil
	request.ResourceAccount = request.Principal.Account
	d := policy.Evaluate(&request, &own)
	return map[string]string{iamPolicy: decided(&d), resourcePolicyKind: owner}
}

func decided(d *policy.Decision) string {
	switch {
	case d.Allowed:
		return decidedAllow
	case d.Explicit:
		return decidedDeny
	}
	return decidedImplicit
}

// whole is what a simulation says of an action on several resources together: it
// is allowed if each is, and denied if one is.
func whole(action string, each []simulated, partition string) simulated {
	if len(each) == 1 {
		return each[0]
	}
	w := simulated{resource: anyResource(action, partition), decision: decidedAllow, boundary: true, byOrg: true}
	for _, r := range each {
		if r.decision == decidedDeny || r.decision == decidedImplicit && w.decision == decidedAllow {
			w.decision = r.decision
		}
		w.boundary, w.byOrg = w.boundary && r.boundary, w.byOrg && r.byOrg
		for _, statement := range r.matched {
			if !slices.Contains(w.matched, statement) {
				w.matched = append(w.matched, statement)
			}
		}
		for kind, decision := range r.details {
			if w.details == nil {
				w.details = make(map[string]string)
			}
			if old := w.details[kind]; old == "" || decision == decidedDeny || old == decidedAllow {
				w.details[kind] = decision
			}
		}
	}
	return w
}

// anyResource is the form of the ARNs that an action is about, as the simulator
// shows it where there are several. Those of other services are not on record.
func anyResource(action, partition string) string {
	service, name, _ := strings.Cut(strings.ToLower(action), ":")
	switch {
	case service == "iam":
		return "arn:" + partition + ":iam::${Account}:${ResourceType}/${ResourceName}"
	case service == "s3" && (strings.Contains(name, "object") || name == "abortmultipartupload" || name == "listmultipartuploadparts"):
		return "arn:" + partition + ":s3:::${BucketName}/${KeyName}"
	case service == "s3":
		return "arn:" + partition + ":s3:::${BucketName}"
	}
	return ""
}

// simulate evaluates every action on every resource. A page is of actions.
func (s *Server) simulate(m *simulation, p page) func(*wire.XML) {
	type result struct{ key, action string }
	var all []result
	for i, action := range m.actions {
		all = append(all, result{fmt.Sprintf("%06d", i), action})
	}
	all, marker := cut(p, all, func(r result) string { return r.key })
	return func(x *wire.XML) {
		x.List("EvaluationResults", len(all), func(i int) {
			action := all[i].action
			var each []simulated
			for _, resource := range m.resources {
				each = append(each, m.simulateOne(s, action, resource))
			}
			w := whole(action, each, s.config.Partition)
			x.Text("EvalActionName", action)
			x.Optional("EvalResourceName", w.resource)
			x.Text("EvalDecision", w.decision)
			m.writeMatched(x, &w)
			x.Texts("MissingContextValues", m.missing(w.decision))
			if m.member {
				x.Open("OrganizationsDecisionDetail")
				x.Bool("AllowedByOrganizations", w.byOrg)
				x.Close("OrganizationsDecisionDetail")
			}
			m.writeBoundaryDetail(x, &w)
			if !m.resourceGiven {
				return
			}
			writeDetails(x, w.details)
			x.List("ResourceSpecificResults", len(each), func(j int) { m.writeSpecific(x, &each[j]) })
		})
		writePage(x, marker)
	}
}

// writeSpecific writes what a simulation says of one resource. Unlike in the
// whole, lists that are empty are not there.
func (m *simulation) writeSpecific(x *wire.XML, r *simulated) {
	x.Text("EvalResourceName", r.resource)
	x.Text("EvalResourceDecision", r.decision)
	if len(r.matched) > 0 {
		m.writeMatched(x, r)
	}
	if missing := m.missing(r.decision); len(missing) > 0 {
		x.Texts("MissingContextValues", missing)
	}
	if len(r.details) > 0 {
		writeDetails(x, r.details)
	}
	m.writeBoundaryDetail(x, r)
}

func (m *simulation) writeBoundaryDetail(x *wire.XML, r *simulated) {
	if m.policies.Boundary == nil {
		return
	}
	x.Open("PermissionsBoundaryDecisionDetail")
	x.Bool("AllowedByPermissionsBoundary", r.boundary)
	x.Close("PermissionsBoundaryDecisionDetail")
}

func writeDetails(x *wire.XML, details map[string]string) {
	x.Open("EvalDecisionDetails")
	for _, kind := range slices.Sorted(maps.Keys(details)) {
		x.Open("entry")
		x.Text("key", kind)
		x.Text("value", details[kind])
		x.Close("entry")
	}
	x.Close("EvalDecisionDetails")
}

func (m *simulation) writeMatched(x *wire.XML, r *simulated) {
	x.List("MatchedStatements", len(r.matched), func(i int) {
		statement := r.matched[i]
		from, ok := m.sources[statement.Policy]
		if !ok {
			from = source{id: statement.Policy, kind: iamPolicy}
		}
		x.Text("SourcePolicyId", from.id)
		x.Text("SourcePolicyType", from.kind)
		if statement.End <= len(from.document) {
			writePosition(x, "StartPosition", from.document[:statement.After])
			writePosition(x, "EndPosition", from.document[:statement.End])
		}
	})
}

// writePosition writes the line and the column, both from one, that come after a
// beginning of a document.
func writePosition(x *wire.XML, name, before string) {
	before = strings.ReplaceAll(before, "\r\n", "\n")
	before = strings.ReplaceAll(before, "\r", "\n")
	line := before[strings.LastIndexByte(before, '\n')+1:]
	x.Open(name)
	x.Number("Line", strings.Count(before, "\n")+1)
	x.Number("Column", len(utf16.Encode([]rune(line)))+1)
	x.Close(name)
}

// missing are the condition keys that the policies ask about and the call does
// not have, if they might have mattered: if nothing allowed or denied.
func (m *simulation) missing(decision string) []string {
	if decision != decidedImplicit {
		return nil
	}
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
// ARN, or else that of the owner, who is an ARN.
func resourceAccount(resource, owner string) string {
	for _, arn := range []string{resource, owner} {
		if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 && parts[4] != "" {
			return parts[4]
		}
	}
	return ""
}
