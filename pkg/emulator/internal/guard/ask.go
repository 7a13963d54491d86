package guard

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
)

// maxAnswer bounds, in bytes, what is read of an answer to the guard's own calls.
const maxAnswer = 1 << 20

// errNoCall is returned if a backend does not know a call.
var errNoCall = errors.New("the backend does not know the call")

// asking is one fact that is asked of a backend.
type asking struct {
	g   *Guard
	ctx context.Context
	question.Fact
}

// asker asks a backend about a fact of one kind.
type asker func(*asking) (known question.Known, found bool, err error)

// errNotThere is returned for what a backend does not have.
var errNotThere = errors.New("there is no such thing")

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
		return fmt.Errorf("%w: %w", errNoCall, err)
	}
	return nil
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
		return nil, nil, fmt.Errorf("asking %s: %w", to, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("asking %s: %w", to, err)
	case answer.StatusCode < 300:
		return answer.Header, text, nil
	case answer.StatusCode >= 500:
		return nil, nil, fmt.Errorf("asking %s: %w: status %d", to, errNoCall, answer.StatusCode)
	}
	return nil, nil, refusedBy(answer, text)
}

// refusedBy is what an error of a backend means: that there is no such thing, or
// that the backend does not know the call.
func refusedBy(answer *http.Response, text []byte) error {
	if answer.StatusCode == http.StatusNotFound && answer.Request != nil && answer.Request.Method == http.MethodHead {
		return errNotThere
	}
	said := answer.Header.Get("X-Amzn-Errortype") + " " + answer.Header.Get("X-Amzn-Query-Error") + " " + string(text[:min(len(text), 4<<10)])
	for _, word := range []string{"NotFound", "NonExistent", "NoSuch", "DoesNotExist", "InvalidInstanceID"} {
		if strings.Contains(said, word) {
			return errNotThere
		}
	}
	return fmt.Errorf("%w: status %d", errNoCall, answer.StatusCode)
}
