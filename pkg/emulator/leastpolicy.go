package emulator

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/pkg/policy"
	"github.com/openirsa/openirsa/pkg/policy/least"
)

// PolicyQuery says whose least policy is wanted.
type PolicyQuery struct {
	// Role is the name or the ARN of a role. "" is the one that Subject had.
	Role string
	// Subject is who has the role: the sub of its tokens, "ISSUER:SUB", or NAMESPACE/NAME
	// of a service account. "" is everybody who has the role.
	Subject string
	// Since leaves out what was not seen since then.
	Since time.Time
	// Widen says how resources become patterns: "" is [least.Prefix].
	Widen least.Widen
	// Account is the account that the policy is for: it stands in ARNs in the place of the
	// role's. "" is the role's.
	Account string
	// Inline asks for one document that fits into a role as an inline policy, instead of
	// managed policies.
	Inline bool
}

// LeastPolicy is the least policy for what a role was seen to do.
type LeastPolicy struct {
	Role string `json:"role"` // ARN
	// Holders are those for whom it was seen. Of sessions that were not got for a token
	// there is none.
	Holders []Holder `json:"holders"`
	// First and Last are when the first and the latest of it was seen, and Decisions how
	// many decisions it rests on.
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Decisions uint64    `json:"decisions"`

	least.Suggestion
	// WouldDeny is what is in it and was let through only because denials were not
	// enforced: the policies that the role has do not allow it.
	WouldDeny []Seen `json:"wouldDeny"`
	// Refused is what is not in it, because it was refused whenever it was tried.
	Refused []Seen `json:"refused"`
	// Elsewhere is what is not in it, because the policy of the resource allows it alone.
	Elsewhere []Seen `json:"allowedByResource"`
	// Absent is what is not in it, because the resource that was named is not there. AWS
	// says so only to those who may do it to all resources, and denies it to others.
	Absent []Seen `json:"notThere"`
	// Difference is what would change for the role with the policies that it has.
	Difference least.Difference `json:"difference"`
}

// Seen is an action on a resource with how often and when it was seen.
type Seen struct {
	Action   string    `json:"action"`
	Resource string    `json:"resource"`
	Count    uint64    `json:"count"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
}

// notExercised is said with every suggestion.
var notExercised = []string{
	"What was not exercised is not in it: error paths, retries, clean-up, and jobs that run once a month.",
	"What AWS's services do on behalf of a call, such as S3 with a key of KMS, was not seen.",
}

// LeastPolicy is the least policy for what a role was seen to do since the state file
// was made, or since the start without one. The error is a [*NothingSeenError] if there
// is nothing to make it of, and a [least.ErrTooLarge] if it does not fit.
func (s *Server) LeastPolicy(q PolicyQuery) (*LeastPolicy, error) {
	arn, holder, err := s.facts.resolve(q.Role, q.Subject)
	switch {
	case err != nil:
		return nil, err
	case q.Account != "" && !isAccountID(q.Account):
		return nil, fmt.Errorf("account %q is not twelve digits", q.Account)
	}
	answer := &LeastPolicy{Role: arn, Holders: []Holder{}, WouldDeny: []Seen{}, Refused: []Seen{}, Elsewhere: []Seen{}, Absent: []Seen{}}
	pairs, left := s.facts.of(arn)
	var facts, others []least.Fact
	var used []*factPair
	for i := range pairs {
		p := &pairs[i]
		if holder != (Holder{}) && !slices.Contains(p.Holders, holder) || p.Last.Before(q.Since) {
			if p.needed() {
				others = append(others, p.Fact)
			}
			continue
		}
		if p.needed() {
			facts, used = append(facts, p.Fact), append(used, p)
		}
		answer.add(p)
	}
	if answer.Decisions == 0 {
		return nil, &NothingSeenError{"role " + nameOf(arn)}
	}
	options := least.Options{Name: nameOf(arn) + "-least", Widen: q.Widen, Reference: s.facts.reference}
	if q.Inline {
		options.Limit, options.Documents = policy.MaxRoleInline, 1
	}
	suggestion, err := least.Suggest(facts, options)
	if err != nil {
		return nil, err
	}
	answer.Difference = least.Compare(s.attachedTo(arn), facts, others, suggestion, s.facts.reference)
	if q.Account != "" {
		if suggestion, err = least.Suggest(inAccount(facts, accountOf(arn), q.Account), options); err != nil {
			return nil, err
		}
	}
	answer.Suggestion = *suggestion
	answer.Notes = append(answer.Notes, leadingNotes(used)...)
	answer.Notes = append(answer.Notes, notExercised...)
	if left > 0 {
		answer.Notes = append(answer.Notes, fmt.Sprintf("%d decisions are not in it: there was no room to remember them, or the name of the "+
			"resource looks like a secret.", left))
	}
	return answer, nil
}

// inAccount are facts with the ARNs of one account written as those of another.
func inAccount(facts []least.Fact, from, to string) []least.Fact {
	moved := func(arn string) string {
		parts := strings.SplitN(arn, ":", 6)
		if len(parts) == 6 && parts[4] == from {
			parts[4] = to
		}
		return strings.Join(parts, ":")
	}
	all := slices.Clone(facts)
	for i := range all {
		all[i].Resource, all[i].Instance = moved(all[i].Resource), moved(all[i].Instance)
	}
	return all
}

// leadingNotes offer conditions on the keys of a table, where every key was the value of
// a tag of the caller. They are never written: the next call may have another key.
func leadingNotes(used []*factPair) []string {
	tables := map[string][]string{} // tags that all actions on a table have in common
	for _, p := range used {
		tags, again := tables[p.Resource]
		switch {
		case !p.Leading:
		case again:
			tables[p.Resource] = slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return !slices.Contains(p.Tags, tag) })
		default:
			tables[p.Resource] = p.Tags
		}
	}
	var notes []string
	for _, table := range slices.Sorted(maps.Keys(tables)) {
		for _, tag := range tables[table] {
			notes = append(notes, fmt.Sprintf(`Every key of %s was the value of the caller's tag %s: a condition "ForAllValues:StringEquals": `+
				`{"dynamodb:LeadingKeys": "${aws:PrincipalTag/%s}"} would confine each caller to its own items.`, table, tag, tag))
		}
	}
	return notes
}

// add counts a pair.
func (a *LeastPolicy) add(p *factPair) {
	for outcome, list := range map[factOutcome]*[]Seen{
		factWouldDeny: &a.WouldDeny, factRefused: &a.Refused, factElsewhere: &a.Elsewhere, factAbsent: &a.Absent,
	} {
		n := p.Counts[outcome]
		if n > 0 && (outcome == factWouldDeny || !p.needed()) {
			*list = append(*list, Seen{p.Action, p.Resource, n, p.First, p.Last})
		}
	}
	for _, n := range p.Counts {
		a.Decisions += n
	}
	if a.First.IsZero() || p.First.Before(a.First) {
		a.First = p.First
	}
	if p.Last.After(a.Last) {
		a.Last = p.Last
	}
	for _, h := range p.Holders {
		if !slices.Contains(a.Holders, h) {
			a.Holders = append(a.Holders, h)
		}
	}
	order.By(a.Holders, func(x, y Holder) int {
		return cmp.Or(strings.Compare(x.Issuer, y.Issuer), strings.Compare(x.Subject, y.Subject))
	})
}

// attachedTo are the identity policies that a role has, none if it is gone.
func (s *Server) attachedTo(arn string) []least.Attached {
	s = s.ofRole(arn)
	r := s.iam.roleByName(nameOf(arn))
	if r == nil || r.ARN != arn {
		return nil
	}
	var all []least.Attached
	for _, policyARN := range r.Attached {
		if p := s.iam.managedPolicy(policyARN); p != nil {
			all = append(all, least.Attached{Name: shown(policyARN, maxText), Document: string(shownDocument(s.iam.document(p, p.Default)))})
		}
	}
	for _, p := range r.Inline {
		all = append(all, least.Attached{Name: shown(p.Name, maxText), Document: string(shownDocument(p.Document))})
	}
	return all
}

// serveLeastPolicy answers with the least policy of a role. The query is a
// [PolicyQuery]: role, sub, since (a time, or a duration such as "5m" ago), widen
// (exact, prefix, type), account, inline; and form: json, terraform or diff.
func (s *Server) serveLeastPolicy(w http.ResponseWriter, r *http.Request) {
	var q PolicyQuery
	form, err := "json", error(nil)
	for name, values := range r.URL.Query() {
		v := values[0]
		switch name {
		case "role":
			q.Role = v
		case "sub":
			q.Subject = v
		case "since":
			q.Since, err = s.parseSince(v)
		case "widen":
			q.Widen = least.Widen(v)
			if !slices.Contains([]least.Widen{least.Exact, least.Prefix, least.WholeType}, q.Widen) {
				err = errors.New("it is none of exact, prefix and type")
			}
		case "account":
			q.Account = v
		case "inline":
			if q.Inline = v == "true"; !q.Inline && v != "false" {
				err = errors.New("it is neither true nor false")
			}
		case "form":
			if form = v; !slices.Contains([]string{"json", "terraform", "diff"}, v) {
				err = errors.New("it is none of json, terraform and diff")
			}
		default:
			err = errors.New("there is no such parameter")
		}
		if err != nil {
			writeProblem(w, http.StatusBadRequest, "reading %s=%q: %v", name, v, err)
			return
		}
	}
	answer, err := s.LeastPolicy(q)
	if err != nil {
		status := http.StatusBadRequest
		if _, nothing := errors.AsType[*NothingSeenError](err); nothing {
			status = http.StatusNotFound
		}
		writeProblem(w, status, "%v", err)
		return
	}
	switch form {
	case "json":
		writeJSON(w, http.StatusOK, answer)
	case "terraform":
		plainText(w, answer.comments("# ")+answer.Terraform(nameOf(answer.Role)))
	default:
		plainText(w, answer.comments("")+cmp.Or(answer.Difference.String(), "The role has what it needs, and nothing else.\n"))
	}
}

// plainText answers with a text.
func plainText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	io.WriteString(w, text)
}

// comments are the head of a text form, each line with a prefix.
func (a *LeastPolicy) comments(prefix string) string {
	var b strings.Builder
	line := func(format string, args ...any) {
		// A name that a stranger chose must not begin a line of its own.
		text := strings.Map(func(r rune) rune {
			if r < ' ' {
				return ' '
			}
			return r
		}, fmt.Sprintf(format, args...))
		b.WriteString(prefix + text + "\n")
	}
	line("The least policy for role %s, of %d decisions from %s to %s.", a.Role, a.Decisions, a.First.UTC().Format(time.RFC3339),
		a.Last.UTC().Format(time.RFC3339))
	for _, note := range a.Notes {
		line("%s", note)
	}
	for _, seen := range a.Refused {
		line("Not in it, since it was refused: %s on %s (%d times).", seen.Action, seen.Resource, seen.Count)
	}
	for _, seen := range a.Absent {
		line("Not in it, since it is not there: %s on %s (%d times).", seen.Action, seen.Resource, seen.Count)
	}
	return b.String()
}
