package guard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// What is done with the answers of some calls: facts are remembered that nobody could
// be asked, and what only the answer tells is decided before it is released.

// maxHeld bounds, in bytes, answers that are held back until they are decided about.
// Those of KMS have a few kilobytes, those of BatchGetSecretValue twenty secrets of
// 64 KiB.
const maxHeld = 4 << 20

// denied is the error of an answer that is not released.
type denied struct{ *wire.Failure }

// canLeaveOut reports whether the service answers a denied part of a call with an error
// for that part: BatchGetSecretValue of Secrets Manager does.
func canLeaveOut(c *api.Call) bool {
	return c.Service == "secretsmanager" && c.Operation == "BatchGetSecretValue"
}

// holds reports whether the answer is to be held back.
func (p *plan) holds() bool { return p.later != nil || p.denied != nil }

// reads reports whether the answer to a call is looked at here.
func (p *plan) reads(c *api.Call) bool {
	return p.holds() || p.call != nil && question.Teaches(p.call) || hasQueueURLs(c)
}

// without is the body of a call without the parts that were denied.
func (p *plan) without(b *body) error {
	var sent map[string]json.RawMessage
	var names []string
	if err := json.NewDecoder(b.reader()).Decode(&sent); err != nil {
		return err
	}
	if err := json.Unmarshal(sent["SecretIdList"], &names); err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(p.denied, func(d part) bool { return d.name == name })
	})
	list, err := json.Marshal(names)
	if err != nil {
		return err
	}
	sent["SecretIdList"] = list
	whole, err := json.Marshal(sent)
	if err != nil {
		return err
	}
	b.replace(whole)
	return nil
}

// nothingLeft reports whether all of a call was denied.
func (p *plan) nothingLeft() bool {
	ids, _ := p.call.Input["SecretIdList"].([]any)
	for _, id := range ids {
		if !slices.ContainsFunc(p.denied, func(d part) bool { return d.name == id }) {
			return false
		}
	}
	return true
}

// release decides about an answer that was held back. An answer that is not released
// is an error of type denied.
func (g *Guard) release(c *api.Call, a *asked, p *plan, answer *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxHeld+1))
	answer.Body.Close()
	if err != nil {
		return err
	}
	if len(text) > maxHeld {
		return denied{g.refuse(c, "backend", wire.Errorf(http.StatusBadRequest, "InvalidRequest",
			"The answer to %s is larger than the emulator can decide about.", c.Operation))}
	}
	l := later{g, c, a, p, &world{g, c}}
	c.Enter() // it was left while the backend worked
	if answer.StatusCode < 300 {
		text, err = l.answered(text)
	} else if e := l.failed(answer.StatusCode); e != nil {
		err = denied{e}
	}
	c.Leave()
	if err != nil {
		return err
	}
	if answer.StatusCode < 300 {
		answer.Header.Del("X-Amz-Crc32")
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	answer.Header.Set("Content-Length", strconv.Itoa(len(text)))
	return nil
}

// later decides about what only the answer to a call tells.
type later struct {
	g *Guard
	c *api.Call
	a *asked
	p *plan
	w *world
}

// ask asks the policies a question.
func (l *later) ask(q *question.Question) *api.Verdict {
	return l.g.account.Gate.Ask(l.c, l.a.put(l.c, q, l.w))
}

// anywhere asks, before a call is forwarded, whether the caller may do anything of what only
// the answer can decide: by its own policies, or by those of the keys of its account. If
// nobody knows the keys the call goes on, and an error of the backend does not come back.
func (l *later) anywhere() *wire.Failure {
	for _, i := range l.p.later {
		q := &l.p.asks[i]
		if l.decided(q) {
			continue
		}
		v := l.ask(q)
		if v.Final {
			v.Keep()
			return v.Failure
		}
		if v.Failure == nil || v.Somewhere() {
			continue
		}
		may, err := l.byKey(q)
		if err == nil && !may {
			v.Keep()
			return v.Failure
		}
		l.p.unsure = l.p.unsure || err != nil
	}
	return nil
}

// decided reports whether there is no need to decide about a call as a whole by a
// question that only the answer can decide: others are about the same action, or about
// the call of which this one is about parts.
func (l *later) decided(q *question.Question) bool {
	return strings.Contains(q.FromAnswer, "[]") || slices.ContainsFunc(l.p.asks, func(other question.Question) bool {
		return other.FromAnswer == "" && other.Action == q.Action
	})
}

// byKey reports whether the policy of any key lets the caller do what a question is about.
func (l *later) byKey(q *question.Question) (bool, error) {
	ctx := l.c.Request.Context()
	keys, _, err := l.w.Find(ctx, question.Fact{Kind: question.AccountKeys})
	if err != nil {
		return false, err
	}
	for _, arn := range keys.List {
		asks, err := question.Told(ctx, l.p.call, q, arn, l.w)
		if err != nil {
			return false, err
		}
		i := slices.IndexFunc(asks, func(other question.Question) bool { return other.Action == q.Action && other.Resource == arn })
		if i < 0 {
			continue
		}
		switch v := l.ask(&asks[i]); {
		case v.Final:
			return false, question.ErrNoAnswer
		case v.Failure == nil:
			return true, nil
		}
	}
	return false, nil
}

// failed decides about an error of the backend, which leaves questions open: an event says
// so. Whoever may do such a thing nowhere, as far as is known, does not get the error.
func (l *later) failed(status int) *wire.Failure {
	for _, i := range l.p.later {
		q := &l.p.asks[i]
		switch {
		case l.decided(q):
		case l.p.unsure:
			v := l.ask(q)
			v.Keep()
			return v.Failure
		default:
			l.g.account.Gate.Record(l.c, api.Decision{Allowed: true, Step: "permission", Resource: q.Shown(),
				Reason: "the backend answered " + strconv.Itoa(status) + ", which names no resource, and the caller may do " + q.Action + " with some"})
		}
	}
	return nil
}

// answered asks what only the answer tells. Of the entries of a list those that are denied
// are left out, and errors are added for them and for what was denied before.
func (l *later) answered(text []byte) ([]byte, error) {
	var answer map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&answer); err != nil {
		return nil, err
	}
	out := l.p.denied
	for _, i := range l.p.later {
		q := &l.p.asks[i]
		if strings.Contains(q.FromAnswer, "[]") {
			more, err := l.leaveOut(q, answer)
			if err != nil {
				return nil, err
			}
			out = append(slices.Clip(out), more...)
			continue
		}
		arns := q.Resources(answer)
		if arns == nil {
			arns = []string{""}
		}
		for _, arn := range arns {
			if e, err := l.told(q, arn); err != nil {
				return nil, err
			} else if e != nil {
				return nil, denied{e}
			}
		}
	}
	if out == nil {
		return text, nil
	}
	errors, _ := answer["Errors"].([]any)
	for _, d := range out {
		errors = append(errors, map[string]string{"SecretId": d.name, "ErrorCode": d.failure.Code, "Message": d.failure.Message})
	}
	answer["Errors"] = errors
	return json.Marshal(answer)
}

// told asks about a resource that the answer to a call has named, all that would be asked if
// the call had. Of one that the backend does not say, "", a sample decides.
func (l *later) told(q *question.Question, arn string) (*wire.Failure, error) {
	asks := []question.Question{*q}
	if arn != "" {
		var err error
		if asks, err = question.Told(l.c.Request.Context(), l.p.call, q, arn, l.w); err != nil {
			return nil, err
		}
	}
	for i := range asks {
		ask := &asks[i]
		allowed := func(before question.Question) bool {
			return before.Known && before.Item == "" && before.Action == ask.Action && before.Resource == ask.Resource && before.Via == ask.Via
		}
		if slices.ContainsFunc(l.p.asks, allowed) {
			continue
		}
		v := l.ask(ask)
		if v.Keep(); v.Final {
			return nil, denied{v.Failure}
		} else if v.Failure != nil {
			return v.Failure, nil
		}
	}
	return nil, nil
}

// leaveOut leaves the entries of a list in an answer out that the caller may not see, and
// says which.
func (l *later) leaveOut(q *question.Question, answer map[string]any) ([]part, error) {
	list, member, _ := strings.Cut(q.FromAnswer, "[].")
	entries, is := answer[list].([]any)
	if !is && answer[list] != nil {
		return nil, fmt.Errorf("%s in the answer is no list", list)
	}
	kept := []any{}
	var out []part
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		arn, _ := entry[member].(string)
		failure, err := l.told(q, arn)
		switch {
		case err != nil:
			return nil, err
		case failure == nil:
			kept = append(kept, e)
		default:
			out = append(out, part{arn, failure})
		}
	}
	if out != nil {
		answer[list] = kept
	}
	return out, nil
}

// listen has what an answer tells remembered, if a call is one from whose answer
// something can be learned.
func (g *Guard) listen(p *plan, answer *http.Response) {
	if p.call == nil || answer.StatusCode >= 300 || !question.Teaches(p.call) {
		return
	}
	answer.Body = &overheard{ReadCloser: answer.Body, done: func(text []byte) {
		var told any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if d.Decode(&told) != nil {
			return
		}
		for _, l := range append(question.Learn(p.call, told), question.LearnNext(p.call, p.asks, told)...) {
			g.memory.put(fact{name: l.Fact, known: l.Known, found: true, until: time.Now().Add(lifetime(l.Fact.Kind, true))}, p.began)
		}
	}}
}

// maxOverheard is how much of an answer is kept to learn from it, in bytes.
const maxOverheard = 256 << 10

// overheard is the body of an answer that somebody listens to.
type overheard struct {
	io.ReadCloser
	heard bytes.Buffer
	done  func([]byte)
	over  bool
}

func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p)
	if o.over {
		return n, err
	}
	o.heard.Write(p[:n])
	switch {
	case o.heard.Len() > maxOverheard:
		o.over, o.heard = true, bytes.Buffer{}
	case err == io.EOF:
		o.over = true
		o.done(o.heard.Bytes())
	}
	return n, err
}
