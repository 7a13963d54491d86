package policy

import (
	"slices"
	"strings"
)

func malformed(message string) *Error {
	return &Error{Code: "MalformedPolicyDocument", Message: message}
}

var (
	errSyntax = malformed("Syntax errors in policy.")
	errLegacy = malformed("The policy failed legacy parsing")
)

// identity is an identity or session policy while it is parsed.
type identity struct {
	kind      Kind
	root      node
	variables bool // of version 2012-10-17
	elements  []element

	resourceFault string // found by legacyResources, due in resourceFormats
}

// identityChecks are the checks of identity and session policies in AWS's order,
// which is the specification: a document is refused for the first that fails.
var identityChecks = []func(*identity) *Error{
	(*identity).members,
	(*identity).syntax,
	(*identity).version,
	(*identity).legacyElements,
	(*identity).legacyResources,
	(*identity).sids,
	(*identity).hasActions,
	(*identity).noPrincipals,
	(*identity).resourceFormats,
	(*identity).actionFormats,
	(*identity).hasResources,
}

// parseIdentity reads identity and session policies.
func parseIdentity(kind Kind, doc []byte) (*Policy, *Error) {
	if len(doc) > maxBytes {
		return nil, errSyntax
	}
	root, err := parseJSON(doc)
	if err != nil || root.kind != objectNode {
		return nil, errSyntax
	}
	d := &identity{kind: kind, root: root}
	for _, check := range identityChecks {
		if err := check(d); err != nil {
			return nil, err
		}
	}
	p := &Policy{kind: kind}
	for _, e := range d.elements {
		p.statements = append(p.statements, e.compile(d.variables))
	}
	return p, nil
}

func (d *identity) members() *Error {
	for _, m := range d.root.members {
		switch m.name {
		case "Version":
			if m.value.kind != stringNode || m.value.text != version2008 && m.value.text != version2012 {
				return errSyntax
			}
		case "Id":
			if m.value.kind != stringNode {
				return errSyntax
			}
		case "Statement":
		default:
			return errSyntax
		}
	}
	return nil
}

// syntax reads the statements.
func (d *identity) syntax() *Error {
	version, _ := d.root.get("Version")
	d.variables = version.text == version2012
	statements, ok := statementNodes(d.root)
	if !ok || len(statements) == 0 {
		return errSyntax
	}
	d.elements = make([]element, len(statements))
	for i, n := range statements {
		if d.elements[i], ok = identityElement(n, d.variables); !ok {
			return errSyntax
		}
	}
	return nil
}

// version: a session policy may leave the version out, which then is 2008-10-17
// ("IAM JSON policy elements: Version").
func (d *identity) version() *Error {
	if d.kind == Identity && !d.variables {
		return malformed("Policy document must be version 2012-10-17 or greater.")
	}
	return nil
}

// legacyElements checks effects and conditions as an older parser of AWS's does.
// STS accepts literals in session policies that IAM refuses to store; only the
// values of BinaryEquals must be right there too.
func (d *identity) legacyElements() *Error {
	for _, e := range d.elements {
		if e.effect != "Allow" && e.effect != "Deny" {
			return errLegacy
		}
		for _, c := range e.conditions {
			for _, o := range c.operands {
				if !o.ok && c.op.class != arnLike && (d.kind == Identity || c.op.class == binary) {
					return errLegacy
				}
			}
		}
	}
	return nil
}

// legacyResources checks resources as that parser does. It also finds the fault of
// the resource that AWS would report later, which hides legacy ones after it.
func (d *identity) legacyResources() *Error {
	legacy := false
	for _, not := range []bool{false, true} {
		for _, e := range d.elements {
			if e.notResource != not || !e.hasResource {
				continue
			}
			sorted := slices.Clone(e.resources)
			slices.Sort(sorted)
			for _, r := range slices.Backward(sorted) {
				if fault := resourceFormat(r); fault != "" {
					d.resourceFault = fault
				}
			}
			if d.resourceFault == "" && slices.ContainsFunc(e.resources, failsLegacyParsing) {
				legacy = true
			}
		}
	}
	if legacy {
		return errLegacy
	}
	return nil
}

func (d *identity) sids() *Error {
	seen := map[string]bool{}
	for _, e := range d.elements {
		if d.kind == Identity && !isAlphanumeric(e.sid) {
			return malformed("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
		}
		if e.sid != "" && seen[e.sid] {
			return malformed("Statement IDs (SID) in a single policy must be unique.")
		}
		seen[e.sid] = true
	}
	return nil
}

func (d *identity) hasActions() *Error {
	for _, e := range d.elements {
		if len(e.actions) == 0 {
			return malformed("Policy statement must contain actions.")
		}
	}
	return nil
}

func (d *identity) noPrincipals() *Error {
	for _, e := range d.elements {
		for _, name := range []string{"Principal", "NotPrincipal"} {
			if _, ok := e.get(name); ok {
				return malformed("Policy document should not specify a principal.")
			}
		}
	}
	return nil
}

func (d *identity) resourceFormats() *Error {
	if d.resourceFault != "" {
		return malformed(d.resourceFault)
	}
	return nil
}

func (d *identity) actionFormats() *Error {
	for _, not := range []bool{false, true} {
		for _, e := range d.elements {
			if e.notAction != not {
				continue
			}
			for _, a := range e.actions {
				fault := actionFormat(a)
				if d.kind == Identity {
					fault = storedActionFormat(a)
				}
				if fault != "" {
					return malformed(fault)
				}
			}
		}
	}
	return nil
}

func (d *identity) hasResources() *Error {
	for _, e := range d.elements {
		if len(e.resources) == 0 {
			return malformed("Policy statement must contain resources.")
		}
	}
	return nil
}

func isAlphanumeric(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9')
	})
}

// identityElement checks the syntax of one statement.
func identityElement(n node, variables bool) (element, bool) {
	e := element{node: n}
	if n.kind != objectNode {
		return element{}, false
	}
	for _, m := range n.members {
		ok := true
		switch m.name {
		case "Sid":
			ok, e.sid = m.value.kind == stringNode, m.value.text
		case "Effect":
			e.effect = m.value.text
			ok = m.value.kind == stringNode && (strings.EqualFold(e.effect, "Allow") || strings.EqualFold(e.effect, "Deny"))
		case "Action", "NotAction", "Resource", "NotResource":
			ok = e.setList(m)
		case "Condition":
			e.conditions, ok = parseConditions(m.value, variables)
		case "Principal", "NotPrincipal":
		default:
			ok = false
		}
		if !ok {
			return element{}, false
		}
	}
	return e, e.effect != ""
}

// actionFormat is AWS's complaint about an action, or empty.
func actionFormat(a string) string {
	vendor, name, found := strings.Cut(a, ":")
	switch {
	case !found && a != "*":
		return noVendor
	case strings.Contains(name, ":"):
		return "Actions/Condition can contain only one colon."
	case vendor != "*" && strings.ContainsAny(vendor, "*?"):
		return wildVendor
	case vendor != "*" && strings.ContainsFunc(vendor, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '.')
	}):
		return "Vendor " + vendor + " is not valid"
	}
	return ""
}

const (
	noVendor   = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
	wildVendor = "Action vendors (e.g., aws, ec2, etc.) must not contain wildcards"
)

// storedActionFormat is actionFormat with what it lets pass in policies that are
// stored already. "*:*" is every action, as "*" is; with another name the vendor must
// be given in full. That a missing name counts like a missing colon is a guess.
func storedActionFormat(a string) string {
	vendor, name, _ := strings.Cut(a, ":")
	fault := actionFormat(a)
	switch {
	case fault != "" || a == "*" || a == "*:*":
		return fault
	case name == "":
		return noVendor
	case vendor == "*":
		return wildVendor
	case vendor == "":
		return "Vendor  is not valid"
	}
	return ""
}

// partitions that a resource may be in, besides "*".
var partitions = []string{"aws", "aws-cn", "aws-us-gov", "aws-eusc", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f"}

// s3Regional are S3's resources that have a region, unlike buckets.
var s3Regional = []string{"accesspoint/", "access-grants/", "async-request/", "job/", "storage-lens/", "storage-lens-group/"}

var iamPaths = []string{
	"user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/", "server-certificate/",
	"policy/", "sms-mfa/", "saml-provider/", "oidc-provider/", "report/", "access-report/",
}

// resourceFormat is AWS's complaint about a resource, or empty.
func resourceFormat(r string) string {
	if r == "*" {
		return ""
	}
	parts := strings.SplitN(r, ":", arnColons+1)
	if len(parts) == 1 {
		return "Resource " + r + ` must be in ARN format or "*".`
	}
	part := func(i int) string {
		if i < len(parts) {
			return parts[i]
		}
		return "*"
	}
	if partition := parts[1]; partition != "*" && !slices.Contains(partitions, partition) {
		return invalidPartition(parts)
	}
	if len(parts) == 2 {
		return "Resource vendor must be fully qualified and cannot contain regexes."
	}
	service, resource := parts[2], ""
	if len(parts) > arnColons {
		resource = parts[arnColons]
	}
	if region := part(3); len(parts) < 5 || region != "" {
		switch {
		case service == "iam":
			return "IAM resource " + r + " cannot contain region information."
		case service == "s3" && !slices.ContainsFunc(s3Regional, func(p string) bool { return strings.HasPrefix(resource, p) }):
			return "Resource " + r + " can not contain region information."
		}
	}
	if service == "iam" && resource != "*" && resource != "root" &&
		!slices.ContainsFunc(iamPaths, func(p string) bool { return strings.HasPrefix(resource, p) }) {
		return `IAM resource path must either be "*", root, or start with ` + strings.Join(iamPaths, ", ") + "."
	}
	return ""
}

// invalidPartition is AWS's complaint about the partition of an ARN, of which it
// shows the parts that are missing as "*".
func invalidPartition(parts []string) string {
	shown := append([]string{"arn"}, parts[1:]...)
	for len(shown) <= arnColons {
		shown = append(shown, "*")
	}
	return `Partition "` + parts[1] + `" is not valid for resource "` + strings.Join(shown, ":") + `".`
}

// failsLegacyParsing reports whether an older parser of AWS's cannot read a resource
// although its form is right.
func failsLegacyParsing(r string) bool {
	if r == "*" {
		return false
	}
	parts := strings.Split(r, ":")
	return len(parts) <= arnColons && strings.Contains(r, "::") || len(parts) < 3 || parts[2] == ""
}
