package policy

import (
	"slices"
	"strings"
)

// resourceGrammar is what trust and bucket policies have in common: another
// parser than that of identity policies reads them at AWS, with its own texts.
type resourceGrammar struct {
	kind Kind
	// code of the errors.
	code string
	// invalidJSON and syntax are the texts for documents that are not JSON and for
	// values of the wrong type.
	invalidJSON, syntax string
	// anyService is true for policies that are not only for S3.
	anyService bool
}

func (g *resourceGrammar) fault(message string) *Error {
	return &Error{Code: g.code, Message: message}
}

func parseTrust(doc []byte) (*Policy, *Error) {
	g := resourceGrammar{
		kind: Trust, code: "MalformedPolicyDocument",
		invalidJSON: "This policy contains invalid Json", syntax: "Syntax errors in policy.",
	}
	return g.parse(doc)
}

func parseBucket(kind Kind, doc []byte) (*Policy, *Error) {
	g := resourceGrammar{
		kind: Bucket, code: "MalformedPolicy",
		invalidJSON: "Policies must be valid JSON and the first byte must be '{'", syntax: "Invalid policy syntax.",
		anyService: kind == Resource,
	}
	p, err := g.parse(doc)
	if err != nil {
		return nil, err
	}
	p.kind = kind
	return p, nil
}

func (g *resourceGrammar) parse(doc []byte) (*Policy, *Error) {
	if len(doc) > maxBytes {
		return nil, g.fault(g.syntax)
	}
	root, err := parseJSON(doc)
	if err != nil || root.kind != objectNode || g.kind == Bucket && doc[0] != '{' {
		return nil, g.fault(g.invalidJSON)
	}
	version := ""
	for _, m := range root.members {
		switch m.name {
		case "Version":
			if version = m.value.text; version != version2008 && version != version2012 {
				if g.kind == Bucket {
					return nil, g.fault("The policy must contain a valid version string")
				}
				return nil, g.fault(g.syntax)
			}
		case "Id":
			if m.value.kind != stringNode {
				return nil, g.fault(g.syntax)
			}
		case "Statement":
		default:
			return nil, g.fault("Unknown field " + m.name)
		}
	}
	nodes, ok := statementNodes(root)
	if _, has := root.get("Statement"); has && !ok {
		return nil, g.fault(g.syntax)
	}
	if len(nodes) == 0 {
		if g.kind == Bucket && !ok {
			return nil, g.fault("Missing required field Statement")
		}
		return nil, g.fault("Could not parse the policy: Statement is empty!")
	}
	p := &Policy{kind: g.kind}
	sids := map[string]bool{}
	for _, n := range nodes {
		s, err := g.statement(n, version == version2012)
		if err != nil {
			return nil, err
		}
		if s.sid != "" && sids[s.sid] {
			return nil, g.fault("Statement IDs (SID) in a single policy must be unique.")
		}
		sids[s.sid] = true
		p.statements = append(p.statements, s)
	}
	return p, nil
}

// resourceElement is a statement of a trust or bucket policy while it is parsed.
type resourceElement struct {
	*resourceGrammar
	element
	variables                  bool
	principals                 []principal
	hasPrincipal, notPrincipal bool
}

// resourceChecks are the checks of a statement, after those of its members, in
// AWS's order, which is the specification.
var resourceChecks = []func(*resourceElement) *Error{
	(*resourceElement).required,
	(*resourceElement).validActions,
	(*resourceElement).validResources,
	(*resourceElement).cognito,
}

func (g *resourceGrammar) statement(n node, variables bool) (statement, *Error) {
	if n.kind != objectNode {
		return statement{}, g.fault(g.syntax)
	}
	e := &resourceElement{resourceGrammar: g, element: element{node: n}, variables: variables}
	for _, m := range n.members {
		if err := e.member(m); err != nil {
			return statement{}, err
		}
	}
	for _, check := range resourceChecks {
		if err := check(e); err != nil {
			return statement{}, err
		}
	}
	s := e.compile(variables)
	s.principals, s.notPrincipal = e.principals, e.notPrincipal
	return s, nil
}

// member reads one member: the first faulty one of the document is reported.
func (e *resourceElement) member(m member) (err *Error) {
	switch m.name {
	case "Sid":
		if m.value.kind != stringNode {
			return e.fault(e.syntax)
		}
		e.sid = m.value.text
	case "Effect":
		if m.value.kind != stringNode {
			return e.fault(e.syntax)
		}
		if e.effect = m.value.text; e.effect != "Allow" && e.effect != "Deny" {
			return e.fault("Invalid effect: " + e.effect)
		}
	case "Principal", "NotPrincipal":
		if e.hasPrincipal {
			return e.fault(e.syntax)
		}
		e.hasPrincipal, e.notPrincipal = true, m.name == "NotPrincipal"
		e.principals, err = e.resourceGrammar.principals(m.value)
	case "Resource", "NotResource":
		if e.kind == Trust {
			return e.fault("Has prohibited field Resource")
		}
		if !e.setList(m) {
			return e.fault(e.syntax)
		}
	case "Action", "NotAction":
		if !e.setList(m) {
			return e.fault(e.syntax)
		}
	case "Condition":
		e.element.conditions, err = e.resourceGrammar.conditions(m.value, e.variables)
	default:
		return e.fault("Unknown field " + m.name)
	}
	return err
}

func (e *resourceElement) required() *Error {
	switch {
	case e.effect == "":
		return e.fault("Missing required field Effect")
	case e.notPrincipal && e.effect == "Allow":
		return e.fault("Allow with NotPrincipal is not allowed.")
	case e.notPrincipal && e.kind == Trust:
		return e.fault("AssumeRole policy must not contain NotPrincipal field.")
	case !e.hasPrincipal:
		return e.fault("Missing required field Principal")
	case len(e.principals) == 0:
		return e.fault("Missing required field Principal cannot be empty!")
	case len(e.actions) == 0:
		return e.fault("Missing required field Action")
	case e.kind == Bucket && len(e.resources) == 0:
		return e.fault("Missing required field Resource")
	}
	return nil
}

func (e *resourceElement) validActions() *Error {
	for _, a := range e.actions {
		switch {
		case e.kind == Trust && !e.notAction && !mayBeTrustAction(a):
			return e.fault("AssumeRole policy may only specify STS AssumeRole actions.")
		case e.kind == Bucket && !e.mayBeAction(a):
			return e.fault("Policy has invalid action")
		}
	}
	return nil
}

func (e *resourceElement) validResources() *Error {
	for _, r := range e.resources {
		if !e.isResource(r) {
			return e.fault("Policy has invalid resource")
		}
	}
	return nil
}

func (e *resourceElement) cognito() *Error {
	if e.kind == Trust && !slices.ContainsFunc(e.element.conditions, func(c condition) bool { return c.key != "" }) &&
		slices.ContainsFunc(e.principals, func(p principal) bool { return p.value == cognito }) {
		return e.fault("A condition block must be present for the Cognito provider")
	}
	return nil
}

func (g *resourceGrammar) conditions(n node, variables bool) ([]condition, *Error) {
	if n.kind == objectNode {
		for _, m := range n.members {
			if _, _, _, ok := parseOperator(m.name); !ok {
				return nil, g.fault("Invalid Condition type : " + m.name)
			}
		}
	}
	all, ok := parseConditions(n, variables)
	if !ok {
		return nil, g.fault(g.syntax)
	}
	for _, c := range all {
		for _, o := range c.operands {
			if !o.ok && c.op.class != arnLike {
				return nil, g.fault(g.syntax)
			}
		}
	}
	return all, nil
}

// principals reads a Principal or NotPrincipal element.
func (g *resourceGrammar) principals(n node) ([]principal, *Error) {
	if n.kind == stringNode {
		if n.text != "*" {
			return nil, g.invalidPrincipal("AWS", n.text)
		}
		return []principal{{kind: everyone, value: "*"}}, nil
	}
	if n.kind != objectNode {
		return nil, g.fault(g.syntax)
	}
	var all []principal
	for _, m := range n.members {
		values, ok := m.value.strings()
		if !ok {
			return nil, g.fault(g.syntax)
		}
		for _, v := range values {
			p := principal{value: v}
			switch m.name {
			case "AWS":
				if p, ok = parseAWSPrincipal(v); !ok || g.kind == Bucket && isUniqueID(v) {
					return nil, g.invalidPrincipal("AWS", v)
				}
			case "Federated":
				if p.kind = federatedEntry; !isProvider(v) {
					return nil, g.fault("Federated principals must be valid domain names or SAML metadata ARNs")
				}
			case "Service":
				if p.kind = serviceEntry; !isDomain(v) {
					return nil, g.invalidPrincipal("SERVICE", v)
				}
			case "CanonicalUser":
				if p.kind = canonicalUser; g.kind != Bucket || v == "" {
					return nil, g.invalidPrincipal("CANONICAL_USER", v)
				}
			default:
				return nil, g.fault("Unknown field " + m.name)
			}
			p.raw = v
			all = append(all, p)
		}
	}
	return all, nil
}

func (g *resourceGrammar) invalidPrincipal(kind, value string) *Error {
	if g.kind == Bucket {
		return g.fault("Invalid principal in policy")
	}
	return g.fault(`Invalid principal in policy: "` + kind + `":"` + value + `"`)
}

// parseAWSPrincipal reads a value of "AWS": "*", an account, the ARN of a
// root user, user, role, role session or federated user, or a unique id.
// Wildcards in an ARN are not allowed.
func parseAWSPrincipal(s string) (principal, bool) {
	if s == "*" {
		return principal{kind: everyone, value: s}, true
	}
	if isAccount(s) {
		return principal{kind: awsAccount, value: s}, true
	}
	if isUniqueID(s) {
		return principal{kind: awsPrincipal, value: s}, true
	}
	parts := strings.SplitN(s, ":", arnColons+1)
	if len(parts) <= arnColons || parts[0] != "arn" || !slices.Contains(partitions, parts[1]) ||
		parts[3] != "" || !isAccount(parts[4]) || strings.ContainsAny(s, "*?") {
		return principal{}, false
	}
	resource := parts[5]
	switch parts[2] {
	case "iam":
		if resource == "root" {
			return principal{kind: awsAccount, value: parts[4]}, true
		}
		if hasName(resource, "user/", 1) || hasName(resource, "role/", 1) {
			return principal{kind: awsPrincipal, value: s}, true
		}
	case "sts":
		if hasName(resource, "assumed-role/", 2) || hasName(resource, "federated-user/", 1) {
			return principal{kind: awsPrincipal, value: s}, true
		}
	}
	return principal{}, false
}

// hasName reports whether s is prefix and then at least n parts.
func hasName(s, prefix string, n int) bool {
	name, ok := strings.CutPrefix(s, prefix)
	parts := strings.Split(name, "/")
	return ok && len(parts) >= n && !slices.Contains(parts, "")
}

func isAccount(s string) bool { return len(s) == 12 && allDigits(s) }

// isUniqueID recognises the ids of users and roles ("IAM identifiers").
func isUniqueID(s string) bool {
	if len(s) < 16 || !strings.HasPrefix(s, "AIDA") && !strings.HasPrefix(s, "AROA") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return !('A' <= r && r <= 'Z' || '0' <= r && r <= '9') })
}

const cognito = "cognito-identity.amazonaws.com"

// isProvider recognises the name of an identity provider: the ARN of an OIDC
// or SAML provider, or the domain of a built-in one.
func isProvider(s string) bool {
	parts := strings.SplitN(s, ":", arnColons+1)
	if len(parts) == 1 {
		return isDomain(s)
	}
	return len(parts) == arnColons+1 && parts[0] == "arn" && slices.Contains(partitions, parts[1]) &&
		parts[2] == "iam" && parts[3] == "" && isAccount(parts[4]) && !strings.ContainsAny(s, "*?") &&
		(strings.HasPrefix(parts[5], "oidc-provider/") && len(parts[5]) > len("oidc-provider/") ||
			strings.HasPrefix(parts[5], "saml-provider/") && len(parts[5]) > len("saml-provider/"))
}

func isDomain(s string) bool {
	return strings.Contains(s, ".") && !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '.')
	})
}

// trustActions are the actions that a trust policy can name.
var trustActions = []string{
	"sts:AssumeRole", "sts:AssumeRoleWithSAML", "sts:AssumeRoleWithWebIdentity",
	"sts:TagSession", "sts:SetSourceIdentity", "sts:SetContext",
}

// mayBeTrustAction reports whether a pattern matches one of [trustActions].
func mayBeTrustAction(pattern string) bool {
	if actionFormat(pattern) != "" {
		return false
	}
	a := compileActions([]string{pattern})
	return slices.ContainsFunc(trustActions, func(action string) bool {
		service, name, _ := strings.Cut(action, ":")
		return a.match(service, name)
	})
}

func (g *resourceGrammar) mayBeAction(pattern string) bool {
	service, name, _ := strings.Cut(pattern, ":")
	return pattern == "*" || name != "" && actionFormat(pattern) == "" &&
		(g.anyService || service == "*" || strings.EqualFold(service, "s3"))
}

func (g *resourceGrammar) isResource(r string) bool {
	if r == "*" {
		return true
	}
	parts := strings.SplitN(r, ":", arnColons+1)
	return len(parts) == arnColons+1 && parts[0] == "arn" && (parts[1] == "*" || slices.Contains(partitions, parts[1])) &&
		parts[5] != "" && (g.anyService || parts[2] == "s3" && !strings.HasPrefix(parts[5], "/"))
}
