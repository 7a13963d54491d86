package question

import (
	"fmt"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
)

// asker is a call while its questions are found.
type asker struct {
	*Call
	prefix  string // of actions, such as "dynamodb"
	service *awsapi.Service
	family  *family

	// find asks the world; it says nothing twice.
	find     func(Fact) (Known, bool)
	mentions func(key string) bool

	creates  *target // what the call creates, if no question is about it
	out      []Question
	groups   int // numbers given out in Either
	warnings []string
	err      error

	unanswered error // the first [ErrNoAnswer] of find
}

// rule asks the questions of an operation.
type rule func(a *asker)

// family is what is particular to the services of an IAM prefix.
type family struct {
	// rules are the operations whose resources do not follow the general rule.
	rules map[string]rule
	// otherwise is the rule of those that rules do not have; nil is the general
	// one.
	otherwise rule
	// actions are names of actions that are not those of their operations. They are
	// used by the general rule, and by ask without an action.
	actions map[string]string
	// members are further members that may hold a part of an ARN, by the name that
	// the part has in the Service Authorization Reference.
	members map[string][]string
	// keys sets the condition keys of a question that are not simply members of
	// like name.
	keys func(a *asker, q *Question)
	// computed are the names of the keys that keys may set; one that ends in "/" or
	// ":" stands for all that begin so.
	computed []string
	// passes is the service to which the calls of the family hand roles, "" for one of
	// the prefix; passing those of an operation, or of a member (".role"), or of both
	// (operation.member).
	passes  string
	passing map[string]string
	// roleNames says that calls may name a role without its ARN.
	roleNames bool
	// global says that the services are in one region of the partition.
	global bool
	// lower says that the service keeps names in lower case.
	lower bool
	// forms are those of names that a call may not have otherwise.
	forms []form
}

// arn is an ARN in the service, region and account of the call.
func (a *asker) arn(resource string) string {
	return "arn:" + a.Partition + ":" + a.prefix + ":" + a.Region + ":" + a.Account + ":" + resource
}

// standard fills the parts of an ARN that every call has.
func (a *asker) standard(template string) string {
	return strings.NewReplacer("$P", a.Partition, "$R", a.Region, "$A", a.Account).Replace(template)
}

// action is an action with its prefix. "" is that of the operation.
func (a *asker) action(name string) string {
	if name == "" {
		name = a.ownAction()
	}
	if strings.Contains(name, ":") {
		return name
	}
	return a.prefix + ":" + name
}

// ownAction is the action of the operation's name, which a few services spell in
// another case.
func (a *asker) ownAction() string {
	if name := a.family.actions[a.Operation]; name != "" {
		return name
	}
	if a.service != nil && a.service.Actions[a.Operation] == nil && a.Model != nil {
		if action := a.Model.Action(a.Operation); action != nil {
			return action.Name
		}
	}
	return a.Operation
}

// listed is the action as the Service Authorization Reference has it, nil if it
// has none or belongs to another service.
func (a *asker) listed(action string) *awsapi.Action {
	prefix, name, _ := strings.Cut(action, ":")
	if prefix != a.prefix || a.service == nil {
		return nil
	}
	return a.service.Actions[name]
}

// ask asks about an action on each of some resources.
func (a *asker) ask(action string, targets ...target) {
	name := a.action(action)
	for _, t := range targets {
		if a.err != nil {
			return
		}
		if slices.ContainsFunc(a.out, func(q Question) bool { return q.Action == name && q.Resource == t.arn && t.keys == nil && q.plain }) {
			continue
		}
		if t.also == "" {
			a.add(name, t, 0)
			continue
		}
		a.groups++
		also := t
		also.arn = t.also
		if also.unknown { // it is spelled as a pattern
			also.spelled += strings.TrimPrefix(t.also, t.arn)
		}
		a.add(name, t, a.groups)
		a.add(name, also, a.groups)
	}
}

func (a *asker) add(action string, t target, group int) {
	if len(a.out) >= MaxQuestions {
		a.err = fmt.Errorf("%w: %s names more than %d resources", ErrTooMany, a.Operation, MaxQuestions)
		return
	}
	if t.arn != "*" && !strings.HasPrefix(t.arn, "arn:") {
		// What should be an ARN is none: no policy can name it.
		t.arn, t.spelled, t.unknown = "*", t.arn, true
	}
	q := Question{
		Action: action, Resource: t.arn, Spelled: t.spelled, Account: accountOf(t.arn), Known: !t.unknown, Either: group,
		created: t.created, plain: t.keys == nil, tagsOf: t.tagsOf,
	}
	if r, _ := parseARN(t.arn); r.region != "" && r.region != a.Region {
		q.Warnings = append(q.Warnings, "the resource is in "+r.region+", the call was signed for "+a.Region)
	}
	if t.unknown && t.arn != "*" {
		q.Warnings = append(q.Warnings, "the call does not say all of the resource: statements that spell it out do not match")
	}
	if q.tagsOf == "" && q.Known {
		q.tagsOf = q.Resource
	}
	if t.warn != "" {
		q.Warnings = append(q.Warnings, t.warn)
	}
	for _, k := range t.keys {
		if k.multi {
			q.Keys.SetMulti(k.name, k.values...)
		} else if len(k.values) > 0 {
			q.Keys.Set(k.name, k.values[0])
		}
	}
	a.out = append(a.out, q)
}

// warn is a sentence for the event of the call.
func (a *asker) warn(format string, args ...any) {
	a.warnings = append(a.warnings, fmt.Sprintf(format, args...))
}

// asks is the rule that asks about an action on everything that some sources find,
// or without any resource if they find nothing. "" is the operation's own action.
//
//go:noinline // so that what it makes is there once, not again at each call
func asks(action string, sources ...source) rule {
	return func(a *asker) {
		before := len(a.out)
		for _, s := range sources {
			a.ask(action, s(a)...)
		}
		if len(a.out) == before && a.err == nil {
			a.ask(action, anything)
		}
	}
}

// rename changes the resources that a source finds.
//
//go:noinline // so that what it makes is there once, not again at each call
func rename(s source, change func(a *asker, t *target)) source {
	return func(a *asker) []target {
		targets := s(a)
		for i := range targets {
			change(a, &targets[i])
		}
		return targets
	}
}

// both asks by several rules.
func both(rules ...rule) rule {
	return func(a *asker) {
		for _, r := range rules {
			r(a)
		}
	}
}

// creates says what a call creates, of which no question is.
func creates(template string) rule {
	all := maker(template)
	return func(a *asker) {
		if made := all(a); len(made) > 0 {
			a.creates = &made[0]
		}
	}
}

// on gives some operations, with spaces between them, a rule.
func (f *family) on(r rule, operations string) {
	for op := range strings.FieldsSeq(operations) {
		f.rules[op] = r
	}
}

// usesType reports whether an action has a type of resources.
func usesType(types []awsapi.TypeUse, name string) bool {
	return slices.ContainsFunc(types, func(u awsapi.TypeUse) bool { return u.Name == name })
}
