package question

import (
	"maps"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
)

// general asks by the general rule: about the action of the operation, on the
// resource types that the Service Authorization Reference lists for it.
func general(a *asker) {
	name := a.action("")
	action := a.listed(name)
	if action == nil {
		a.ask(name, anything)
		a.out[len(a.out)-1].Unlisted = true
		return
	}
	targets := a.resources(action)
	if len(targets) == 0 {
		targets = []target{anything}
	}
	a.ask(name, targets...)
}

// filled is a resource type with what the call says of it.
type filled struct {
	use     awsapi.TypeUse
	targets []target
	from    []string // members that it was filled from
	whole   bool     // nothing is missing
	arn     bool     // a member was the ARN
}

// resources are the resources of an action by the general rule; none if the action
// has none, or if all that it has are optional and the call names none.
func (a *asker) resources(action *awsapi.Action) []target {
	if len(action.Types) == 0 {
		return nil
	}
	all := a.byARN(action)
	for _, use := range action.Types {
		t := a.service.Types[use.Name]
		if t == nil {
			continue
		}
		byARN := slices.ContainsFunc(all, func(f filled) bool { return f.use.Name == use.Name })
		if f := a.fill(t); len(f.targets) > 0 && (f.whole || use.Required) && (!byARN || a.names(t, f.from)) {
			f.use = use
			all = append(all, f)
		}
	}
	all = choose(all, noun(a.Operation))
	var targets []target
	for _, f := range all {
		targets = append(targets, f.targets...)
	}
	if made := a.pattern(action, all); made != nil {
		targets = append(targets, made...)
	}
	return targets
}

// byARN are the types that a member is the ARN of. A member is held against all
// types of the service if it fits none of the action's: where two pages of the
// reference share a prefix, an action has the types of one page only.
func (a *asker) byARN(action *awsapi.Action) []filled {
	var own []string
	for _, use := range action.Types {
		own = append(own, use.Name)
	}
	var types []string // all of the service, once they are needed
	var all, others []filled
	for _, member := range a.memberNames() {
		for _, value := range texts(a.Input[member]) {
			if !strings.HasPrefix(value, "arn:") {
				continue
			}
			name, into := typeOf(a.service, value, own), &all
			if name == "" {
				if types == nil {
					types = slices.Sorted(maps.Keys(a.service.Types))
				}
				name, into = typeOf(a.service, value, types), &others
			}
			if name == "" {
				continue
			}
			i := slices.IndexFunc(*into, func(f filled) bool { return f.use.Name == name && f.from[0] == member })
			if i < 0 {
				use := awsapi.TypeUse{Name: name, Required: true}
				*into = append(*into, filled{use: use, from: []string{member}, whole: true, arn: true})
				i = len(*into) - 1
			}
			(*into)[i].targets = append((*into)[i].targets, target{arn: value})
		}
	}
	if len(all) > 0 {
		return all
	}
	// Another type's ARN is what is meant only if it is called so.
	return slices.DeleteFunc(others, func(f filled) bool {
		name := normal(f.from[0])
		return !strings.HasPrefix(name, "resource") && name != "arn" && !strings.HasPrefix(name, normal(noun(a.Operation)))
	})
}

// memberNames are the members of the input that may name resources, in the order
// of the model, and then by name.
func (a *asker) memberNames() []string {
	var names []string
	seen := map[string]bool{}
	if a.Model != nil {
		if op := a.Model.Operation(a.Operation); op != nil {
			for _, m := range op.Members {
				if _, there := a.Input[m.Name]; there {
					names, seen[m.Name] = append(names, m.Name), true
				}
			}
		}
	}
	for _, name := range sorted(a.Input) {
		if !seen[name] {
			names = append(names, name)
		}
	}
	return slices.DeleteFunc(names, namesNothing)
}

// namesNothing reports whether a member never names a resource, whatever it holds.
func namesNothing(member string) bool {
	name := normal(member)
	return strings.HasSuffix(name, "token") || strings.Contains(name, "tags") || strings.HasSuffix(name, "policy") ||
		name == "tagkeys" || name == "filters" || name == "description" || strings.HasSuffix(name, "rolearn")
}

// fill fills the template of a type of which the members have the most.
func (a *asker) fill(t *awsapi.ResourceType) filled {
	var best filled
	most := -1
	for _, template := range templatesOf(t) {
		f, count := a.fillTemplate(t, template)
		if count > most {
			best, most = f, count
		}
	}
	return best
}

// fillTemplate fills a template, and says how many of its parts the call names. If
// it names none of several there are no targets.
func (a *asker) fillTemplate(t *awsapi.ResourceType, template string) (filled, int) {
	f := filled{whole: true}
	built, count, named := []value{{}}, 0, 0
	claimed := a.claims(template)
	for _, h := range holes(template) {
		values := []value{{}}
		switch part, standard := a.standardPart(h.name); {
		case h.name == "":
		case standard:
			values = []value{{text: part, shown: part}}
		default:
			named++
			member, found := a.partOf(h.name, t.Name, claimed)
			if values = nil; len(found) == 0 {
				f.whole = false
				sample := sampleOf(h.name)
				values = []value{{text: sample, shown: "*"}}
				break
			}
			count++
			f.from = append(f.from, member)
			for _, s := range found {
				if strings.HasSuffix(h.before, "/") {
					s = strings.TrimPrefix(s, "/")
				}
				if a.family.lower {
					s = strings.ToLower(s)
				}
				values = append(values, value{text: s, shown: s})
			}
		}
		var next []value
		for _, b := range built {
			for _, v := range values {
				if len(next) > MaxQuestions {
					break
				}
				next = append(next, value{text: b.text + h.before + v.text, shown: b.shown + h.before + v.shown})
			}
		}
		built = next
	}
	if named > 0 && count == 0 {
		return filled{}, 0
	}
	for _, b := range built {
		to := target{arn: b.text}
		if b.shown != b.text {
			to.spelled, to.unknown = b.shown, true
		}
		f.targets = append(f.targets, to)
	}
	return f, count
}

// names reports whether members are called as the parts of the ARNs of a type are, so that
// they name one of the type even beside an ARN: AWS wants one of the two, and readers
// differ in which of them counts. A name that is given to something new is none.
func (a *asker) names(t *awsapi.ResourceType, members []string) bool {
	if v := verb(a.Operation); v != "Put" && slices.Contains(creating, v) {
		return false
	}
	claimed := map[string]string{}
	for _, template := range templatesOf(t) {
		maps.Copy(claimed, a.claims(template))
	}
	return len(members) > 0 && !slices.ContainsFunc(members, func(m string) bool { return claimed[m] == "" })
}

// claims are the members that have the very names of parts of a template, by member.
func (a *asker) claims(template string) map[string]string {
	claimed := map[string]string{}
	for _, h := range holes(template) {
		for _, name := range append([]string{h.name}, a.family.members[h.name]...) {
			for member := range a.Input {
				if h.name != "" && normal(member) == normal(name) {
					claimed[member] = h.name
				}
			}
		}
	}
	return claimed
}

// partOf finds what the input says for a part of an ARN: the member of the same
// name ignoring case and separators; one with another of the usual endings; a list
// of them; or Name or Id, if what the operation is about is of the type.
// A member that another part of the template has the very name of is not taken.
func (a *asker) partOf(part, typ string, claimed map[string]string) (member string, values []string) {
	wanted := []string{}
	for _, alias := range a.family.members[part] {
		wanted = append(wanted, normal(alias))
	}
	name := normal(part)
	wanted = append(wanted, name)
	creates := verb(a.Operation) == "Create" && strings.HasSuffix(name, "id") && normal(noun(a.Operation)) == normal(typ)
	if !creates {
		wanted = append(wanted, relatives(name)...)
		if name == "id" || name == "name" || name == "resourceid" || name == "resourcename" {
			wanted = append(wanted, relatives(normal(typ))...)
		}
		about := normal(noun(a.Operation))
		if about == normal(typ) || about == normal(typ)+"s" || verb(a.Operation) != "Create" && strings.HasPrefix(about, normal(typ)) {
			wanted = append(wanted, "name", "id", "identifier", "names", "ids", "identifiers")
		}
	}
	names := a.memberNames()
	for _, want := range wanted {
		for _, member := range names {
			if normal(member) != want || claimed[member] != "" && claimed[member] != part {
				continue
			}
			values := slices.DeleteFunc(unique(texts(a.Input[member])), func(s string) bool { return strings.HasPrefix(s, "arn:") })
			if len(values) > 0 {
				return member, values
			}
		}
	}
	return "", nil
}

// endings are those that a name may have or not.
var endings = []string{"identifier", "name", "id", "key"}

// relatives are the names that mean the same as one, by their endings.
func relatives(name string) []string {
	stem := name
	for _, e := range endings {
		if cut, ok := strings.CutSuffix(name, e); ok && cut != "" {
			stem = cut
			break
		}
	}
	all := []string{stem}
	for _, e := range endings {
		all = append(all, stem+e)
	}
	for _, one := range slices.Clone(all) {
		all = append(all, one+"s", one+"list")
	}
	return append(all, "resource"+stem)
}

// choose keeps what is meant of the types that a call fills. Types that are filled
// from the same members are alternatives, of which it keeps one: an ARN says which,
// else the one that the operation is named for, or that is whole, or required.
// Types filled from different members are all meant.
func choose(all []filled, about string) []filled {
	rank := func(f filled) int {
		n := 0
		for i, good := range []bool{f.use.Required, f.whole, normal(f.use.Name) == normal(about), f.arn} {
			if good {
				n += 1 << i
			}
		}
		return n
	}
	var kept []filled
	for i, f := range all {
		worse := func(j int, other filled) bool {
			if i == j || len(f.from) == 0 {
				return false
			}
			same := slices.Equal(f.from, other.from)
			if same {
				return rank(other) > rank(f) || rank(other) == rank(f) && j < i
			}
			// What is not whole, and names nothing that another does not, is no
			// resource of the call.
			covered := !slices.ContainsFunc(f.from, func(m string) bool { return !slices.Contains(other.from, m) })
			return covered && !f.whole && other.whole
		}
		if !slices.ContainsFunc(indexes(len(all)), func(j int) bool { return worse(j, all[j]) }) {
			kept = append(kept, f)
		}
	}
	return kept
}

func indexes(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// pattern is the resource of a required type that the call does not name: what it
// creates, or, if it names nothing at all, any one of the type.
func (a *asker) pattern(action *awsapi.Action, all []filled) []target {
	about := normal(noun(a.Operation))
	creates := verb(a.Operation) == "Create"
	var first *awsapi.ResourceType
	for _, use := range action.Types {
		if !use.Required || slices.ContainsFunc(all, func(f filled) bool { return f.use.Name == use.Name }) {
			continue
		}
		t := a.service.Types[use.Name]
		if t == nil {
			continue
		}
		name := normal(use.Name)
		if (name == about || name+"s" == about) && (creates || len(all) == 0) {
			return a.unknown(t, creates)
		}
		if first == nil {
			first = t
		}
	}
	if len(all) == 0 && first != nil {
		return a.unknown(first, false)
	}
	return nil
}

// unknown is any resource of a type.
func (a *asker) unknown(t *awsapi.ResourceType, created bool) []target {
	templates := templatesOf(t)
	if len(templates) == 0 {
		return nil
	}
	to := target{created: created}
	for _, h := range holes(templates[0]) {
		to.arn, to.spelled = to.arn+h.before, to.spelled+h.before
		if part, standard := a.standardPart(h.name); standard {
			to.arn, to.spelled = to.arn+part, to.spelled+part
		} else if h.name != "" {
			to.arn, to.spelled = to.arn+sampleOf(h.name), to.spelled+"*"
		}
	}
	if to.unknown = to.spelled != to.arn; !to.unknown {
		to.spelled = ""
	}
	return []target{to}
}

// verb is the first word of an operation, such as Create.
func verb(operation string) string {
	for i, r := range operation {
		if i > 0 && r >= 'A' && r <= 'Z' {
			return operation[:i]
		}
	}
	return operation
}

// noun is what an operation is about: its name without the first word.
func noun(operation string) string { return operation[len(verb(operation)):] }
