package guard

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
)

// maxAnswer bounds, in bytes, what is read of an answer to the guard's own calls.
const maxAnswer = 1 << 20

// What a backend may answer beside what was asked; see also [question.ErrNoAnswer].
var (
	errNoCall   = errors.New("the backend does not know the call")
	errNotThere = errors.New("there is no such thing")
	errStrange  = errors.New("what the backend says is no answer to the question")
)

// asking is one fact that is asked of a backend.
type asking struct {
	g     *Guard
	ctx   context.Context
	since moment // when it was asked
	question.Fact
}

// asker asks a backend about a fact of one kind.
type asker func(*asking) (known question.Known, found bool, err error)

// none is the answer of an asker for an error.
func none(err error) (question.Known, bool, error) {
	if errors.Is(err, errNotThere) {
		err = nil
	}
	return question.Known{}, false, err
}

// json calls an operation of a model that speaks JSON, and reads its answer.
func (q *asking) json(service, operation string, in map[string]any, out any) error {
	m := awsapi.ByName(service)
	if m == nil || m.Target == "" {
		return errUnknown
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(q.ctx, http.MethodPost, "http://backend/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-amz-"+m.Protocol)
	r.Header.Set("X-Amz-Target", m.Target+"."+operation)
	answer, err := q.call(m, r, body)
	if err != nil {
		return err
	}
	return understood(json.Unmarshal(answer, out))
}

// get calls an operation of a model that is known by its path, and reads its answer
// in JSON.
func (q *asking) get(service, escapedPath string, out any) error {
	answer, err := q.fetch(service, escapedPath)
	if err != nil {
		return err
	}
	return understood(json.Unmarshal(answer, out))
}

// fetch is get for an answer of any form.
func (q *asking) fetch(service, escapedPath string) ([]byte, error) {
	m := awsapi.ByName(service)
	if m == nil {
		return nil, errUnknown
	}
	r, err := http.NewRequestWithContext(q.ctx, http.MethodGet, "http://backend"+escapedPath, nil)
	if err != nil {
		return nil, err
	}
	return q.call(m, r, nil)
}

// head is the header of what a path has.
func (q *asking) head(service, escapedPath string) (http.Header, error) {
	m := awsapi.ByName(service)
	if m == nil {
		return nil, errUnknown
	}
	r, err := http.NewRequestWithContext(q.ctx, http.MethodHead, "http://backend"+escapedPath, nil)
	if err != nil {
		return nil, err
	}
	header, _, err := q.exchange(m, r, nil)
	return header, err
}

// query calls an operation of a model that speaks Query, and reads its answer.
func (q *asking) query(service string, params url.Values, out any) error {
	m := awsapi.ByName(service)
	if m == nil {
		return errUnknown
	}
	params.Set("Version", m.Version)
	body := []byte(params.Encode())
	r, err := http.NewRequestWithContext(q.ctx, http.MethodPost, "http://backend/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := q.call(m, r, body)
	if err != nil {
		return err
	}
	return understood(xml.Unmarshal(answer, out))
}

// understood is the error of an answer that is none to the question.
func understood(err error) error {
	if err != nil {
		return fmt.Errorf("%w: %w", errStrange, err)
	}
	return nil
}

// noAnswer is the error of a backend that was asked and does not answer.
func noAnswer(to *backend, why error) error {
	return fmt.Errorf("asking %s: %w: %w", to, question.ErrNoAnswer, why)
}

// call signs and sends a request to the backend of a model.
func (q *asking) call(m *awsapi.Model, r *http.Request, body []byte) ([]byte, error) {
	_, text, err := q.exchange(m, r, body)
	return text, err
}

// exchange is call, with the header of the answer.
func (q *asking) exchange(m *awsapi.Model, r *http.Request, body []byte) (http.Header, []byte, error) {
	to := (*q.g.backends.Load()).of(m, "", q.g.config.Own)
	if to == nil {
		return nil, nil, errUnknown
	}
	r.URL.Scheme, r.URL.Host = to.url.Scheme, to.url.Host
	r.Host = to.url.Host
	r.Header[loopHeader] = []string{q.g.id}
	region, account := q.Region, q.Account
	if region == "" {
		region = "us-east-1"
	}
	if account == "" {
		account = q.g.account.ID
	}
	scope := sigv4.Scope{Region: region, Service: m.SigningName}
	if scope.Service == "s3" { // which wants it
		r.Header.Set("X-Amz-Content-Sha256", sigv4.HashPayload(body))
	}
	q.g.signer.Sign(r, q.g.key(account), scope, sigv4.HashPayload(body), q.g.account.Now())
	answer, err := to.transport.RoundTrip(r)
	if err != nil {
		return nil, nil, noAnswer(to, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, nil, noAnswer(to, err)
	case len(text) > maxAnswer:
		return nil, nil, noAnswer(to, fmt.Errorf("it says more than %d bytes", maxAnswer))
	case answer.StatusCode < 300:
		return answer.Header, text, nil
	}
	return nil, nil, refusedBy(to, answer, text)
}

// unknownCalls are in the codes by which servers say that they do not have an operation,
// beside the statuses 404, 405 and 501 that LocalStack and others answer: AWS's own
// (UnknownOperationException, InvalidAction), floci's (UnsupportedOperation) and kumo's
// (UnknownAction, UnknownService). goaws says so without any code.
var unknownCalls = []string{
	"UnknownOperation", "UnknownAction", "UnknownService", "InvalidAction", "NotImplemented", "UnsupportedOperation",
}

// refusedBy is what an error of a backend means: that there is no such thing, that the
// backend does not know the call, or that it does not answer now, or not to the guard.
func refusedBy(to *backend, answer *http.Response, text []byte) error {
	code := errorCode(answer.Header, text)
	status := fmt.Errorf("status %d %s", answer.StatusCode, code)
	switch s := answer.StatusCode; {
	case s == http.StatusMethodNotAllowed, s == http.StatusNotImplemented:
		return fmt.Errorf("%w: %w", errNoCall, status)
	case s >= 500, s == http.StatusTooManyRequests, s == http.StatusRequestTimeout, s == http.StatusForbidden, s == http.StatusUnauthorized:
		return noAnswer(to, status)
	case s == http.StatusNotFound && answer.Request != nil && answer.Request.Method == http.MethodHead:
		return errNotThere
	}
	said := code + " " + string(text[:min(len(text), 4<<10)])
	for _, word := range []string{"NotFound", "NonExistent", "NoSuch", "DoesNotExist", "InvalidInstanceID"} {
		if strings.Contains(said, word) {
			return errNotThere
		}
	}
	in := func(part string) bool { return strings.Contains(code, part) }
	if answer.StatusCode == http.StatusNotFound || code == "" || slices.ContainsFunc(unknownCalls, in) {
		return fmt.Errorf("%w: %w", errNoCall, status)
	}
	return fmt.Errorf("%w: %w", errStrange, status)
}

// errorCode is the code of an error in any of the protocols, "" if the answer has none.
func errorCode(h http.Header, text []byte) string {
	if code := cmp.Or(h.Get("X-Amzn-Query-Error"), h.Get("X-Amzn-Errortype")); code != "" {
		return code
	}
	var in struct {
		Type string `json:"__type"`
		Code string `json:"code"`
	}
	if json.Unmarshal(text, &in) == nil {
		return cmp.Or(in.Type, in.Code)
	}
	_, code, _ := strings.Cut(string(text), "<Code>")
	code, _, _ = strings.Cut(code, "<")
	return code
}
