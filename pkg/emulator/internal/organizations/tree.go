package organizations

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/policy"
)

// organization is an organization as it is stored. What is handed out is never
// written to again; a change puts a changed copy in its place.
type organization struct {
	ID       string
	Master   string // the management account
	Features string // ALL or CONSOLIDATED_BILLING
	Root     string // id of the root
	Units    []unit
	Accounts []member
	Types    []string // of policies that are enabled
	Policies []control
	// Attached are the ids of the policies at each target, by the target's id, in the
	// order in which they were attached.
	Attached map[string][]string
	Tags     map[string][]tag `json:",omitempty"` // by id of a root, unit, account or policy

	parsed      map[string]*policy.Policy  // by id
	memberships map[string]*api.Membership // by account
	partition   string
}

// unit is an organizational unit.
type unit struct{ ID, Name, Parent string }

// member is an account of an organization.
type member struct {
	ID, Parent string
	Joined     time.Time
}

// control is a policy.
type control struct{ ID, Name, Description, Type, Content string }

type tag struct{ Key, Value string }

// Types of policies, and of targets and parents.
const (
	serviceControl  = "SERVICE_CONTROL_POLICY"
	resourceControl = "RESOURCE_CONTROL_POLICY"

	typeRoot    = "ROOT"
	typeUnit    = "ORGANIZATIONAL_UNIT"
	typeAccount = "ACCOUNT"
)

// types are those that the emulator has.
var types = []string{serviceControl, resourceControl}

// ofAWS are AWS's own policies, one of each type, which are attached everywhere at
// first.
var ofAWS = []control{
	{"p-FullAWSAccess", "FullAWSAccess", "Allows access to every operation", serviceControl, policy.FullServiceControl},
	{"p-RCPFullAWSAccess", "RCPFullAWSAccess", "Allow all access through RCP evaluation", resourceControl, policy.FullResourceControl},
}

// fullOf is AWS's policy of a type.
func fullOf(kind string) *control {
	for i := range ofAWS {
		if ofAWS[i].Type == kind {
			return &ofAWS[i]
		}
	}
	return nil
}

// isAWS reports whether a policy is one of AWS's.
func (p *control) isAWS() bool { return p == fullOf(p.Type) }

// randomWord is a word of so many letters and digits.
func randomWord(n int) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	rand.Read(b)
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}

func (o *organization) unit(id string) *unit {
	if i := slices.IndexFunc(o.Units, func(u unit) bool { return u.ID == id }); i >= 0 {
		return &o.Units[i]
	}
	return nil
}

func (o *organization) member(id string) *member {
	if i := slices.IndexFunc(o.Accounts, func(m member) bool { return m.ID == id }); i >= 0 {
		return &o.Accounts[i]
	}
	return nil
}

func (o *organization) policy(id string) *control {
	for i := range ofAWS {
		if ofAWS[i].ID == id {
			return &ofAWS[i]
		}
	}
	if i := slices.IndexFunc(o.Policies, func(p control) bool { return p.ID == id }); i >= 0 {
		return &o.Policies[i]
	}
	return nil
}

// isParent reports whether an id is that of the root or a unit.
func (o *organization) isParent(id string) bool { return id == o.Root || o.unit(id) != nil }

// kindOf is the type of a target, "" for none.
func (o *organization) kindOf(id string) string {
	switch {
	case id == o.Root:
		return typeRoot
	case o.unit(id) != nil:
		return typeUnit
	case o.member(id) != nil:
		return typeAccount
	}
	return ""
}

// targets are the ids of all that policies can be attached to.
func (o *organization) targets() []string {
	all := []string{o.Root}
	for _, u := range o.Units {
		all = append(all, u.ID)
	}
	for _, m := range o.Accounts {
		all = append(all, m.ID)
	}
	return all
}

// chain are the ids from the root to a target, the target last.
func (o *organization) chain(id string) []string {
	chain := []string{id}
	for id != o.Root {
		switch u, m := o.unit(id), o.member(id); {
		case u != nil:
			id = u.Parent
		case m != nil:
			id = m.Parent
		default:
			return nil
		}
		chain = append(chain, id)
	}
	slices.Reverse(chain)
	return chain
}

func (o *organization) arn(owner, kind, rest string) string {
	return "arn:" + o.partition + ":organizations::" + owner + ":" + kind + "/" + rest
}

// arnOf is the ARN of a target or a policy.
func (o *organization) arnOf(id string) string {
	switch o.kindOf(id) {
	case typeRoot:
		return o.arn(o.Master, "root", o.ID+"/"+id)
	case typeUnit:
		return o.arn(o.Master, "ou", o.ID+"/"+id)
	case typeAccount:
		return o.arn(o.Master, "account", o.ID+"/"+id)
	}
	p := o.policy(id)
	switch {
	case p == nil:
		return "*"
	case p.isAWS():
		return o.arn("aws", "policy", strings.ToLower(p.Type)+"/"+id)
	}
	return o.arn(o.Master, "policy", o.ID+"/"+strings.ToLower(p.Type)+"/"+id)
}

// named is a level in words.
func (o *organization) named(id string) string {
	switch o.kindOf(id) {
	case typeRoot:
		return "the root " + id
	case typeUnit:
		return fmt.Sprintf("organizational unit %s (%s)", id, o.unit(id).Name)
	}
	return "account " + id
}

// grammar is the grammar of policies of a type.
func grammar(kind string) policy.Kind {
	if kind == resourceControl {
		return policy.ResourceControl
	}
	return policy.ServiceControl
}

// derive makes what follows from what is stored. Of what it was before, which may be
// nil, the parsed policies are taken over that are the same.
func (o *organization) derive(partition string, before *organization) error {
	o.partition = partition
	o.parsed = map[string]*policy.Policy{}
	known := map[string]string{} // contents by id
	if before != nil {
		for _, p := range before.Policies {
			known[p.ID] = p.Content
		}
	}
	for _, p := range slices.Concat(ofAWS, o.Policies) {
		if content, ok := known[p.ID]; ok && content == p.Content {
			o.parsed[p.ID] = before.parsed[p.ID]
			continue
		}
		parsed, err := policy.Parse(grammar(p.Type), []byte(p.Content))
		if err != nil {
			return fmt.Errorf("policy %q: %w", p.Name, err)
		}
		o.parsed[p.ID] = parsed
	}
	levels := map[string]map[string]policy.Level{serviceControl: {}, resourceControl: {}} // by type and target
	for _, kind := range o.Types {
		for _, id := range o.targets() {
			levels[kind][id] = o.level(id, kind)
		}
	}
	o.memberships = map[string]*api.Membership{}
	for _, m := range o.Accounts {
		chain := o.chain(m.ID)
		if chain == nil {
			return fmt.Errorf("account %s is in no organizational unit", m.ID)
		}
		is := &api.Membership{
			ID: o.ID, Management: m.ID == o.Master, Master: o.Master,
			Path: o.ID + "/" + strings.Join(chain[:len(chain)-1], "/") + "/",
		}
		for _, kind := range o.Types {
			var at []policy.Level
			for _, id := range chain {
				at = append(at, levels[kind][id])
			}
			switch {
			case is.Management: // "SCPs don't affect users or roles in the management account", nor RCPs its resources
			case kind == serviceControl:
				is.ServiceControl = at
			default:
				is.ResourceControl = at
			}
		}
		o.memberships[m.ID] = is
	}
	return nil
}

// level are the policies of a type at a target.
func (o *organization) level(id, kind string) policy.Level {
	l := policy.Level{Name: o.named(id), ID: id}
	for _, p := range o.at(id, kind) {
		l.Policies = append(l.Policies, policy.Named{Name: p.Name + " (" + p.ID + ")", Policy: o.parsed[p.ID]})
	}
	return l
}

// at are the policies of a type that are attached to a target.
func (o *organization) at(id, kind string) []*control {
	var found []*control
	for _, attached := range o.Attached[id] {
		if p := o.policy(attached); p != nil && p.Type == kind {
			found = append(found, p)
		}
	}
	return found
}

// attachFull attaches AWS's policies of all types that are enabled to a new target.
func (o *organization) attachFull(id string) {
	for _, kind := range o.Types {
		o.Attached[id] = append(o.Attached[id], fullOf(kind).ID)
	}
}
