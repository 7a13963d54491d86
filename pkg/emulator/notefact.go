package emulator

import (
	"cmp"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/policy"
	"github.com/openirsa/openirsa/pkg/policy/least"
)

// noteFact remembers a decision about what a session of a role asked for.
func (s *Server) noteFact(c *api.Call, q *api.Question, outcome factOutcome) {
	who := identityOf(&c.Caller)
	if who.role == nil {
		return
	}
	var h Holder
	if who.session != nil {
		h = Holder{who.session.issuer, who.session.subject}
	}
	f := least.Fact{Action: q.Action, Resource: q.Resource}
	if q.Unknown && strings.HasPrefix(q.Spelled, "arn:") && q.Spelled != q.Resource {
		f.Resource, f.Instance = least.Pattern(q.Spelled, q.Resource), q.Resource
	}
	if q.Unknown && q.Resource == "*" {
		// Only a policy for everything allows what nobody has heard of, such as a secret
		// whose name is misspelt, and that is no reason for one.
		f.Resource = cmp.Or(q.Spelled, "*")
		if outcome != factRefused {
			outcome = factAbsent
		}
	}
	for _, name := range least.MeaningfulKeys(q.Action) {
		if values, ok := q.Keys.Values(name); ok && len(values) == 1 {
			f.Keys = append(f.Keys, least.Key{Name: name, Value: values[0]})
		}
	}
	s.facts.note(who.role.ARN, h, &f, outcome, c.At)
	if values, ok := q.Keys.Values("dynamodb:LeadingKeys"); ok && len(values) > 0 && outcome != factRefused {
		s.facts.noteLeading(who.role.ARN, &f, leadingTags(&q.Keys, values))
	}
}

// leadingTags are the tags of the caller whose value every leading key has.
func leadingTags(keys *policy.Context, values []string) []string {
	var tags []string
	for _, key := range keys.Keys() {
		tag, ok := strings.CutPrefix(key, "aws:PrincipalTag/")
		if !ok {
			continue
		}
		own, _ := keys.Values(key)
		if len(own) == 1 && !slices.ContainsFunc(values, func(v string) bool { return v != own[0] }) {
			tags = append(tags, strings.Clone(tag))
		}
	}
	return tags
}

// allowedBy is the outcome of a decision that allows. The policy of a resource may
// allow without the caller's own.
func allowedBy(d *policy.Decision) factOutcome {
	switch d.Type {
	case policy.ResourceType, policy.TrustType, policy.ACLType:
		return factElsewhere
	}
	return factAllowed
}
