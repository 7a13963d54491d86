package least

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/order"
)

// need is an action on a resource that a policy must allow.
type need struct {
	action    string
	condition condition
	resource  string // as a policy has it: escaped, or a pattern, or "*"
	seen      string // what it stands for
	pattern   bool   // resource is a pattern that stays
	merged    bool   // the pattern stands for many
	open      bool   // it is "*", and the action has types of resources
	arn       arn    // of the resource, unless it is "*"
}

// group names what is collapsed together: a type of resources in an account and a
// region. It is "" of "*".
func (n *need) group() string {
	if n.resource == "*" {
		return ""
	}
	return n.arn.head + "\x00" + n.arn.kind + "\x00" + strings.Join(n.arn.fixed, "${}")
}

// condition are the values that a statement demands of keys, all of them equal to one
// of theirs.
type condition map[string][]string

// signature tells conditions apart.
func (c condition) signature() string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "%q=%q;", key, c[key])
	}
	return b.String()
}

// needsOf are the needs of facts, each once and in a fixed order, and notes of what
// cannot be written down.
func needsOf(facts []Fact, reference Reference) ([]need, []string) {
	byID := map[string]*need{}
	conditions := map[string]condition{}
	var unwritten []string
	known := map[string]kinds{} // by action
	for i := range facts {
		f := &facts[i]
		k, ok := known[f.Action]
		if !ok {
			k.types, k.known = reference.Types(f.Action)
			known[f.Action] = k
		}
		n, ok := needOf(f, k)
		if !ok {
			unwritten = append(unwritten, f.Action+" on "+f.Resource)
			continue
		}
		subject := n.action + "\x00" + n.resource
		if byID[subject+"\x00"+n.seen] == nil {
			byID[subject+"\x00"+n.seen] = &n
		}
		conditions[subject] = narrow(conditions[subject], f)
	}
	var needs []need
	for _, n := range byID {
		n.condition = conditions[n.action+"\x00"+n.resource]
		for key, values := range n.condition {
			if len(values) == 0 {
				n.condition = maps.Clone(n.condition)
				delete(n.condition, key)
			}
		}
		needs = append(needs, *n)
	}
	order.By(needs, func(a, b need) int {
		return cmp.Or(strings.Compare(a.action, b.action), strings.Compare(a.resource, b.resource), strings.Compare(a.seen, b.seen))
	})
	var notes []string
	slices.Sort(unwritten)
	for _, u := range slices.Compact(unwritten) {
		notes = append(notes, "Left out, since it is no ARN: "+u+".")
	}
	return needs, notes
}

// kinds are the types of resources of an action, if they are known.
type kinds struct {
	types []Type
	known bool
}

// needOf is the need of a fact.
func needOf(f *Fact, k kinds) (need, bool) {
	service, name, ok := strings.Cut(f.Action, ":")
	if !ok || service == "" || name == "" || strings.ContainsAny(f.Action, "*? ") {
		return need{}, false
	}
	n := need{action: f.Action, resource: "*", seen: f.seen()}
	if f.Resource == "*" || k.known && len(k.types) == 0 {
		n.open = len(k.types) > 0
		return n, true
	}
	if n.arn, ok = readARN(f.Resource, k.types); !ok {
		return need{}, false
	}
	n.pattern, n.merged = f.Instance != "", f.Merged
	if n.resource = f.Resource; !n.pattern {
		values := make([]value, len(n.arn.parts))
		for i, text := range n.arn.parts {
			values[i] = value{text: text}
		}
		n.resource = n.arn.write(values)
	}
	return n, true
}

// narrow is a condition that a fact meets too. A key that one of the facts does not
// have is left without values: it is no condition then.
func narrow(c condition, f *Fact) condition {
	first := c == nil
	if first {
		c = condition{}
	}
	has := map[string]bool{}
	for _, k := range f.Keys {
		has[k.Name] = true
		switch values, ok := c[k.Name]; {
		case first:
			c[k.Name] = []string{k.Value}
		case !ok:
			c[k.Name] = nil // an earlier fact came without it
		case len(values) > 0 && !slices.Contains(values, k.Value):
			c[k.Name] = slices.Sorted(slices.Values(append(slices.Clone(values), k.Value)))
		}
	}
	for key := range c {
		if !has[key] {
			c[key] = nil
		}
	}
	return c
}
