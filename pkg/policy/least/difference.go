package least

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/order"
)

// Attached is a policy that a role has.
type Attached struct {
	Name     string // ARN, or the name of an inline policy
	Document string
}

// Difference is what the least policy changes for a role that has others.
type Difference struct {
	// Missing are facts that nothing grants, conditions left aside.
	Missing []Fact `json:"neededNotGranted"`
	// NeverUsed are permissions that were granted and were not seen to be used.
	NeverUsed []Unused `json:"grantedNeverUsed"`
	// OnlyByWildcard are those that were used and that nothing grants but a * in the
	// place of the action's name, or of the resource.
	OnlyByWildcard []Broad `json:"usedOnlyByWildcard"`
	// Lost are facts that are granted, and that the least policy does not allow: those
	// that it was not made of.
	Lost []Fact `json:"wouldBeLost"`
}

// Unused are actions that a statement grants.
type Unused struct {
	Policy    string `json:"policy"`
	Statement string `json:"statement"` // its Sid, or its number from 0
	Granted   string `json:"granted"`   // as the statement has it, such as "s3:*"
	// Actions are those of them that were not used, at most [Shown], and More how many
	// more there are. There are none if it is not known which there are.
	Actions []string `json:"actions,omitempty"`
	More    int      `json:"more,omitempty"`
}

// Broad is a fact that only a wildcard grants.
type Broad struct {
	Action   string `json:"action"`
	Resource string `json:"resource"`
	By       string `json:"by"` // the policy, the statement, and what in it
}

// Compare holds what a role has against what it was seen to need. facts are those that
// the suggestion was made of, and others those that were left out of it, such as what
// another service account did with the same role. Conditions of the policies that are
// attached are left aside, as are their Deny statements.
func Compare(attached []Attached, facts, others []Fact, s *Suggestion, reference Reference) Difference {
	if reference == nil {
		reference = noReference{}
	}
	d := Difference{Missing: []Fact{}, NeverUsed: []Unused{}, OnlyByWildcard: []Broad{}, Lost: []Fact{}}
	var granted, suggested []grantedStatement
	for _, a := range attached {
		granted = append(granted, grantedBy(a.Name, a.Document)...)
	}
	for _, p := range s.Policies {
		suggested = append(suggested, grantedBy(p.Name, string(p.Document))...)
	}
	for i := range granted {
		d.NeverUsed = append(d.NeverUsed, granted[i].unused(facts, reference)...)
	}
	for i := range facts {
		if b, ok := broad(granted, &facts[i]); ok && !slices.Contains(d.OnlyByWildcard, b) {
			d.OnlyByWildcard = append(d.OnlyByWildcard, b)
		}
	}
	allowed := func(statements []grantedStatement, f *Fact) bool {
		return slices.ContainsFunc(statements, func(g grantedStatement) bool { return g.allows(f) })
	}
	for i := range facts {
		if !allowed(granted, &facts[i]) {
			d.Missing = append(d.Missing, facts[i])
		}
	}
	for i := range others {
		if f := &others[i]; allowed(granted, f) && !allowed(suggested, f) {
			d.Lost = append(d.Lost, *f)
		}
	}
	order.By(d.OnlyByWildcard, func(a, b Broad) int {
		return cmp.Or(strings.Compare(a.Action, b.Action), strings.Compare(a.Resource, b.Resource))
	})
	for _, list := range [][]Fact{d.Missing, d.Lost} {
		order.By(list, func(a, b Fact) int {
			return cmp.Or(strings.Compare(a.Action, b.Action), strings.Compare(a.Resource, b.Resource))
		})
	}
	return d
}

// grantedStatement is an Allow statement of a policy.
type grantedStatement struct {
	policy, name string
	actions      []string
	resources    []string
	matchers     [][]*Matcher // by action and resource
	whole        *Matcher     // if it has a NotAction or a NotResource
}

// texts is one text, or several.
type texts []string

// UnmarshalJSON implements [json.Unmarshaler].
func (l *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*l = texts{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(l))
}

// grantedBy are the Allow statements of a document, none if it cannot be read.
func grantedBy(name, document string) []grantedStatement {
	var d struct{ Statement json.RawMessage }
	if json.Unmarshal([]byte(document), &d) != nil {
		return nil
	}
	var list []json.RawMessage
	if json.Unmarshal(d.Statement, &list) != nil {
		list = []json.RawMessage{d.Statement}
	}
	var all []grantedStatement
	for i, text := range list {
		var s struct {
			Sid, Effect                              string
			Action, NotAction, Resource, NotResource texts
		}
		if json.Unmarshal(text, &s) != nil || !strings.EqualFold(s.Effect, "Allow") {
			continue
		}
		g := grantedStatement{policy: name, name: cmp.Or(s.Sid, fmt.Sprint(i)), actions: s.Action, resources: s.Resource}
		if s.NotAction != nil || s.NotResource != nil {
			elements := map[string]any{}
			for name, list := range map[string]texts{
				"Action": s.Action, "NotAction": s.NotAction, "Resource": s.Resource, "NotResource": s.NotResource,
			} {
				if list != nil {
					elements[name] = []string(list)
				}
			}
			if g.whole = wholeMatcher(elements); g.whole == nil {
				continue
			}
		}
		for _, action := range g.actions {
			row := make([]*Matcher, len(g.resources))
			for j, resource := range g.resources {
				row[j] = NewMatcher(action, resource)
			}
			g.matchers = append(g.matchers, row)
		}
		all = append(all, g)
	}
	return all
}

// allows reports whether the statement allows a fact, conditions left aside.
func (g *grantedStatement) allows(f *Fact) bool {
	_, _, ok := g.by(f)
	return ok
}

// by are the action and the resource of the statement that allow a fact, those that
// say most of it.
func (g *grantedStatement) by(f *Fact) (action, resource string, ok bool) {
	if g.whole != nil {
		return "NotAction or NotResource", "", g.whole.Match(f.Action, f.seen())
	}
	for i, a := range g.actions {
		for j, r := range g.resources {
			if m := g.matchers[i][j]; m == nil || !m.Match(f.Action, f.seen()) {
				continue
			}
			if !ok || isBroad(action, resource, f) && !isBroad(a, r, f) {
				action, resource, ok = a, r, true
			}
		}
	}
	return action, resource, ok
}

// isBroad reports whether an action or a resource of a statement says nothing of a
// fact.
func isBroad(action, resource string, f *Fact) bool {
	return strings.ContainsAny(action, "*?") || resource == "*" && f.Resource != "*"
}

// broad is a fact of which only wildcards speak, in all statements.
func broad(granted []grantedStatement, f *Fact) (Broad, bool) {
	b, found := Broad{Action: f.Action, Resource: f.Resource}, false
	for i := range granted {
		g := &granted[i]
		action, resource, ok := g.by(f)
		switch {
		case !ok:
			continue
		case g.whole == nil && !isBroad(action, resource, f):
			return Broad{}, false
		case found:
			continue
		}
		found = true
		b.By = strings.TrimSpace(fmt.Sprintf("%s, statement %s: %s %s", g.policy, g.name, action, resource))
	}
	return b, found
}

// unused are the actions of a statement that no fact needs.
func (g *grantedStatement) unused(facts []Fact, reference Reference) []Unused {
	used := map[string]bool{} // by actions in lower case
	for i := range facts {
		if g.allows(&facts[i]) {
			used[strings.ToLower(facts[i].Action)] = true
		}
	}
	if g.whole != nil {
		return []Unused{{Policy: g.policy, Statement: g.name, Granted: "everything but what NotAction or NotResource names"}}
	}
	var all []Unused
	for _, granted := range g.actions {
		u := Unused{Policy: g.policy, Statement: g.name, Granted: granted}
		service, _, ok := strings.Cut(granted, ":")
		wild := strings.ContainsAny(granted, "*?")
		switch m := NewMatcher(granted, "*"); {
		case m == nil:
			continue
		case !wild && used[strings.ToLower(granted)]:
			continue
		case !wild, !ok || service == "*":
		default:
			var unused []string
			known := reference.Actions(service)
			for _, action := range known {
				if m.Match(action, "*") && !used[strings.ToLower(action)] {
					unused = append(unused, action)
				}
			}
			if known != nil && len(unused) == 0 {
				continue
			}
			u.Actions = unused[:min(len(unused), Shown)]
			u.More = len(unused) - len(u.Actions)
		}
		all = append(all, u)
	}
	return all
}

// String is the difference in lines of text, "" if there is none.
func (d Difference) String() string {
	var b strings.Builder
	part := func(title string, n int, line func(int) string) {
		if n == 0 {
			return
		}
		fmt.Fprintf(&b, "%s\n", title)
		for i := range n {
			fmt.Fprintf(&b, "  %s\n", line(i))
		}
	}
	part("Needed, and not granted:", len(d.Missing), func(i int) string {
		return fmt.Sprintf("+ %s on %s", d.Missing[i].Action, d.Missing[i].Resource)
	})
	part("Granted, and never used:", len(d.NeverUsed), func(i int) string {
		u := d.NeverUsed[i]
		text := fmt.Sprintf("- %s (%s, statement %s)", u.Granted, u.Policy, u.Statement)
		if len(u.Actions) > 0 {
			text += ": " + strings.Join(u.Actions, ", ")
		}
		if u.More > 0 {
			text += fmt.Sprintf(" and %d more", u.More)
		}
		return text
	})
	part("Used, and granted only by a wildcard:", len(d.OnlyByWildcard), func(i int) string {
		return fmt.Sprintf("~ %s on %s (%s)", d.OnlyByWildcard[i].Action, d.OnlyByWildcard[i].Resource, d.OnlyByWildcard[i].By)
	})
	part("Seen at other times or of others, and lost:", len(d.Lost), func(i int) string {
		return fmt.Sprintf("! %s on %s", d.Lost[i].Action, d.Lost[i].Resource)
	})
	return b.String()
}
