package least

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/order"
)

// grant is an action on a resource, or a pattern, that the policy allows.
type grant struct {
	action    string
	condition condition
	text      string   // the resource as the policy has it
	kind      string   // its type
	group     string   // see [need.group]
	star      bool     // made of several resources
	unknown   bool     // the pattern of an id that was not known
	merged    bool     // a pattern for many, made before
	open      bool     // everything, though the action has types of resources
	instances []string // what it rests on
}

// wide reports whether the grant allows more than was seen.
func (g *grant) wide() bool { return g.star || g.unknown || g.merged }

// why says why it is a pattern.
func (g *grant) why(widen Widen, pressed bool) string {
	switch {
	case g.star && pressed:
		return fmt.Sprintf("the policy would not fit otherwise, and these %d resources begin alike", len(g.instances))
	case g.star && widen == WholeType:
		return fmt.Sprintf("all of a type were asked for, and there were %d", len(g.instances))
	case g.star:
		return fmt.Sprintf("there were %d that begin alike, and more than %d are not listed", len(g.instances), Few)
	case g.open:
		return "it was called without a resource, or with one that nobody knows"
	case g.merged:
		return "there were more resources than are remembered one by one, such as"
	case strings.HasSuffix(g.text, "-??????"):
		return "its last six characters are chosen when the secret is made, such as"
	}
	return "the id was not known when it was asked for, such as"
}

// grantsOf are the grants for needs, which are sorted: none that others make
// superfluous. pressed are the groups of which two resources are enough for a pattern.
func grantsOf(needs []need, widen Widen, pressed map[string]bool) []grant {
	var all []grant
	for len(needs) > 0 {
		n := 1
		for n < len(needs) && needs[n].action == needs[0].action {
			n++
		}
		all = append(all, grantsOfAction(needs[:n], widen, pressed)...)
		needs = needs[n:]
	}
	return all
}

// grantsOfAction are the grants for the needs of one action.
func grantsOfAction(needs []need, widen Widen, pressed map[string]bool) []grant {
	var ids []string
	together := map[string][]need{}
	var grants []grant
	fixed := map[string]int{} // where the pattern of several needs is
	for _, n := range needs {
		base := grant{action: n.action, condition: n.condition, text: n.resource, kind: n.arn.kind, group: n.group(), instances: []string{n.seen}}
		if n.resource == "*" || n.pattern {
			id := n.resource + "\x00" + n.condition.signature()
			if at, ok := fixed[id]; ok {
				grants[at].instances = append(grants[at].instances, n.seen)
				continue
			}
			fixed[id] = len(grants)
			base.unknown, base.merged, base.open = n.pattern && !n.merged, n.merged, n.open
			grants = append(grants, base)
			continue
		}
		id := n.group() + "\x00" + n.condition.signature()
		if together[id] == nil {
			ids = append(ids, id)
		}
		together[id] = append(together[id], n)
	}
	for _, id := range ids {
		grants = append(grants, collapsed(together[id], widen, pressed)...)
	}
	order.By(grants, func(a, b grant) int {
		return cmp.Or(strings.Compare(a.text, b.text), strings.Compare(a.condition.signature(), b.condition.signature()))
	})
	return withoutSuperfluous(grants)
}

// collapsed are the grants for needs of one group and condition.
func collapsed(needs []need, widen Widen, pressed map[string]bool) []grant {
	first := needs[0]
	few := Few
	if pressed[first.group()] {
		few = 1
	}
	patterns := make([]pattern, len(needs))
	for i, n := range needs {
		p := pattern{seen: []string{n.seen}}
		for _, text := range n.arn.parts {
			p.values = append(p.values, value{text: text})
		}
		patterns[i] = p
	}
	var grants []grant
	for _, p := range collapse(&first.arn, patterns, widen, few) {
		star := slices.ContainsFunc(p.values, func(v value) bool { return v.star })
		grants = append(grants, grant{
			action: first.action, condition: first.condition, text: first.arn.write(p.values), kind: first.arn.kind, group: first.group(),
			star: star, instances: p.seen,
		})
	}
	return grants
}

// withoutSuperfluous drops grants of an action all of whose instances others allow,
// those for one resource before patterns.
func withoutSuperfluous(grants []grant) []grant {
	matchers := make([]*Matcher, len(grants))
	begins := map[string][]int{} // which matchers want a resource to begin so
	for i := range grants {
		if grants[i].wide() || grants[i].text == "*" {
			if m := NewMatcher(grants[i].action, grants[i].text); m != nil {
				matchers[i], begins[m.begins] = m, append(begins[m.begins], i)
			}
		}
	}
	lengths := map[int]bool{}
	for b := range begins {
		lengths[len(b)] = true
	}
	dropped := make([]bool, len(grants))
	allowed := func(i int, seen string) bool { // by another than i
		for n := range lengths {
			if n > len(seen) {
				continue
			}
			for _, j := range begins[seen[:n]] {
				if j != i && !dropped[j] && covers(&grants[j], &grants[i]) && matchers[j].Match(grants[i].action, seen) {
					return true
				}
			}
		}
		return false
	}
	for _, wide := range []bool{false, true} {
		for i := range grants {
			if grants[i].wide() == wide {
				dropped[i] = !slices.ContainsFunc(grants[i].instances, func(seen string) bool { return !allowed(i, seen) })
			}
		}
	}
	var left []grant
	for i, g := range grants {
		if !dropped[i] {
			left = append(left, g)
		}
	}
	return left
}

// covers reports whether the condition of g lets pass whatever that of h does.
func covers(g, h *grant) bool {
	return len(g.condition) == 0 || g.condition.signature() == h.condition.signature()
}

// largestGroups are the groups, of those that are not pressed, that have resources
// which could begin alike, what takes most room first.
func largestGroups(grants []grant, pressed map[string]bool) []string {
	count, room := map[string]int{}, map[string]int{}
	for _, g := range grants {
		if g.group != "" && !g.unknown && !g.merged && !pressed[g.group] {
			count[g.group]++
			room[g.group] += len(g.text)
		}
	}
	var groups []string
	for group, n := range count {
		if n > 1 {
			groups = append(groups, group)
		}
	}
	slices.SortFunc(groups, func(a, b string) int { return cmp.Or(room[b]-room[a], strings.Compare(a, b)) })
	return groups
}
