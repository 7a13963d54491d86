package guard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
	"github.com/openirsa/openirsa/pkg/policy"
)

// How long what a backend said is believed. Somebody may change it without passing
// here.
const (
	believed       = 5 * time.Minute
	believedTags   = 30 * time.Second
	believedPolicy = 10 * time.Second
	believedNot    = 5 * time.Second // that there is no such thing
	remembered     = 24 * time.Hour  // what only an answer that passed by can tell
	askTimeout     = 10 * time.Second
)

// errUnknown is returned for what no backend can be asked.
var errUnknown = errors.New("it is not known, and there is nobody to ask")

// world is what is known beside one call.
type world struct {
	g *Guard
	c *api.Call
}

// Mentions implements [question.World].
func (w *world) Mentions(key string) bool { return w.g.config.Mentions(w.c, key) }

// Find implements [question.World]: by memory, and else by asking the backend with the
// guard's own credentials.
func (w *world) Find(ctx context.Context, name question.Fact) (question.Known, bool, error) {
	if name.Region == "" {
		name.Region = w.c.Region
	}
	if name.Account == "" {
		name.Account = w.c.Caller.Account
	}
	if known, found, own := w.ownKey(name); own {
		return known, found, nil
	}
	if name.Kind == question.ProfileRole { // IAM is always the emulator's
		role, found := w.g.config.ProfileRole(name.Account, name.Name)
		return question.Known{Text: role}, found, nil
	}
	now := time.Now()
	f, ok, since := w.g.memory.get(name, now)
	if ok {
		return f.known, f.found, nil
	}
	ask := askers[name.Kind]
	if ask == nil {
		return question.Known{}, false, errUnknown
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	w.c.Leave() // the backend may take long
	known, found, err := ask(&asking{w.g, ctx, since, name})
	w.c.Enter()
	if err != nil {
		return question.Known{}, false, err
	}
	f = fact{name: name, known: known, found: found, until: now.Add(lifetime(name.Kind, found))}
	w.g.memory.put(f, since)
	return known, found, nil
}

// ownKey is what is known of keys if KMS is not forwarded: the emulator's own keys, as they
// are now. They have no aliases.
func (w *world) ownKey(name question.Fact) (known question.Known, found, own bool) {
	if w.g.Forwards("kms") {
		return question.Known{}, false, false
	}
	switch name.Kind {
	case question.KeyByID:
		arn := "arn:" + w.g.account.Partition + ":kms:" + name.Region + ":" + name.Account + ":key/" + name.Name
		_, found = w.g.config.KeyPolicy(arn)
		return question.Known{Text: arn}, found, true
	case question.KeyOfAlias, question.KeyAliases:
		return question.Known{}, false, true
	case question.ResourcePolicy, question.Tags:
		if part := strings.SplitN(name.Name, ":", 4); len(part) < 4 || part[2] != "kms" {
			return question.Known{}, false, false
		}
		if name.Kind == question.Tags {
			return question.Known{Pairs: w.g.config.KeyTags(name.Name)}, true, true
		}
		document, found := w.g.config.KeyPolicy(name.Name)
		return question.Known{Text: document}, found, true
	}
	return question.Known{}, false, false
}

// lifetime is how long a fact is believed. What nobody can be asked about does not change.
func lifetime(kind question.Kind, found bool) time.Duration {
	switch {
	case askers[kind] == nil:
		return remembered
	case kind == question.ResourcePolicy:
		return believedPolicy // that there is none, too
	case !found:
		return believedNot
	case kind == question.Tags:
		return believedTags
	}
	return believed
}

// attached is the policy of the resource that a question is about, nil if it has
// none; see policyOf.
func (w *world) attached(ctx context.Context, q *question.Question) (p *policy.Named, warning string, err error) {
	if !q.Known {
		return nil, "", nil
	}
	return w.policyOf(ctx, q.Resource)
}

// policyOf is the policy of the resource with an ARN, nil if it has none. The resources of
// a backend that does not know such policies have none, which the log says once. One that
// cannot be read is an error: it might deny. One that cannot be parsed counts as none, as a
// sentence says, but for that of a key, without which nobody may use the key.
func (w *world) policyOf(ctx context.Context, arn string) (p *policy.Named, warning string, err error) {
	part := strings.SplitN(arn, ":", 6)
	if len(part) < 6 || policyReaders[part[2]] == nil {
		return nil, "", nil
	}
	known, found, err := w.Find(ctx, question.Fact{Kind: question.ResourcePolicy, Region: part[3], Account: part[4], Name: arn})
	switch {
	case errors.Is(err, errNoCall):
		w.g.say("no-policies:"+part[2], "the backend of "+part[2]+" does not say what policies its resources have: they are not evaluated")
		return nil, "", nil
	case errors.Is(err, errUnknown):
		return nil, "The policy of the resource was not evaluated: " + part[2] + " has no backend.", nil
	case err != nil:
		return nil, "", err
	case (!found || known.Text == "") && part[2] == "kms" && !w.g.Forwards("kms"):
		return nil, "The policy of the key was not evaluated: the emulator's KMS has no such key, and kms is not forwarded.", nil
	case !found || known.Text == "":
		return nil, "", nil
	}
	kind, name := policy.Resource, "policy of "+arn
	if part[2] == "s3" {
		kind, name = policy.Bucket, "policy of bucket "+part[5]
	}
	parsed, err := policy.Parse(kind, []byte(known.Text))
	switch {
	case err != nil && part[2] == "kms":
		return nil, "", fmt.Errorf("it cannot be parsed: %w", err)
	case err != nil:
		return nil, "The policy of the resource cannot be parsed and was not evaluated.", nil
	}
	return &policy.Named{Name: name, Policy: parsed}, "", nil
}

// setTags sets the condition keys of the tags of the resource that a question is about, if
// its policy names one, or if one of the caller's does and the resource was not known
// before. If the tags cannot be told, a sentence says so.
func (w *world) setTags(ctx context.Context, q *question.Question, attached *policy.Named) (warning string, err error) {
	f, ok := q.Tags(func(key string) bool { return attached != nil && attached.Policy.Mentions(key) || w.Mentions(key) })
	if !ok {
		return "", nil
	}
	known, _, err := w.Find(ctx, f)
	if err != nil && !errors.Is(err, question.ErrNoAnswer) {
		return "The tags of the resource could not be read: " + err.Error(), nil
	}
	q.SetTags(known.Pairs)
	return "", err
}
