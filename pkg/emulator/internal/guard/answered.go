package guard

import (
	"bytes"
	"encoding/json"
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
	if answer.StatusCode < 300 {
		if text, err = g.decideAnswer(c, a, p, text); err != nil {
			return err
		}
		answer.Header.Del("X-Amz-Crc32")
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	answer.Header.Set("Content-Length", strconv.Itoa(len(text)))
	return nil
}

// decideAnswer asks what only the answer tells, and adds errors for what was denied.
func (g *Guard) decideAnswer(c *api.Call, a *asked, p *plan, text []byte) ([]byte, error) {
	var answer map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&answer); err != nil {
		return nil, err
	}
	w := &world{g, c}
	for _, i := range p.later {
		q := &p.asks[i]
		arns := q.Resources(answer)
		if arns == nil && len(answer) > 0 && !strings.Contains(q.FromAnswer, "[]") {
			arns = []string{""} // the backend does not say: a sample decides
		}
		for _, arn := range arns {
			ask := *q
			if arn != "" {
				ask = q.With(arn)
			}
			v := g.account.Gate.Ask(c, a.put(c, &ask, w))
			v.Keep()
			if v.Failure != nil {
				return nil, denied{v.Failure}
			}
		}
	}
	if p.denied == nil {
		return text, nil
	}
	errors, _ := answer["Errors"].([]any)
	for _, d := range p.denied {
		errors = append(errors, map[string]string{"SecretId": d.name, "ErrorCode": d.failure.Code, "Message": d.failure.Message})
	}
	answer["Errors"] = errors
	return json.Marshal(answer)
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
			g.memory.learn(fact{name: l.Fact, known: l.Known, found: true, until: time.Now().Add(remembered)})
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
