package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// gate lets everybody in whose signature says the service, but to one action.
type gate struct {
	denied   string
	recorded []api.Decision
}

func (g *gate) Admit(*api.Call) *wire.Failure { return nil }

func (g *gate) Identify(c *api.Call, sig *sigv4.Signature, _ string) (sigv4.Key, *api.AuthFailure) {
	if sig.AccessKeyID == "expired" {
		return sigv4.Key{}, &api.AuthFailure{Kind: api.ExpiredSession, Why: "it is over"}
	}
	return sigv4.Key{}, nil
}

func (g *gate) Authorize(c *api.Call, q *api.Question) *wire.Failure {
	if code := c.Speaks().AccessDenied; q.Action == g.denied {
		return wire.Errorf(code.Status, code.Name, "no")
	}
	return nil
}

func (g *gate) Ask(c *api.Call, q *api.Question) *api.Verdict {
	return &api.Verdict{Failure: g.Authorize(c, q), Keep: func() {}}
}

func (g *gate) Record(_ *api.Call, d api.Decision) { g.recorded = append(g.recorded, d) }

// queue is a service of two operations.
type queue struct{ account *api.Account }

func (q *queue) send(c *api.Call, in *struct{ Body string }) (out struct{ Length int }, e *wire.Failure) {
	if e := q.account.Gate.Authorize(c, &api.Question{Action: "queue:" + c.Operation}); e != nil {
		return out, e
	}
	out.Length = len(in.Body)
	return out, nil
}

func (q *queue) purge(c *api.Call, _ *struct{}) (out struct{}, e *wire.Failure) {
	return out, q.account.Gate.Authorize(c, &api.Question{Action: "queue:" + c.Operation})
}

func TestJSONService(t *testing.T) {
	g := &gate{denied: "queue:Purge"}
	account := &api.Account{Gate: g}
	q := &queue{account}
	service := &api.JSONService{
		Account: account, Name: "queue", Target: "Queue_20260101", Protocol: wire.JSON10,
		Operations: map[string]api.Operation{"Send": api.JSON(q.send), "Purge": api.JSON(q.purge)},
	}
	for _, c := range []struct {
		name, target, key, scope, body string
		status                         int
		want                           string
	}{
		{"an operation", "Queue_20260101.Send", "key", "queue", `{"body":"four","Unknown":1}`, 200, `{"Length":4}`},
		{"one that is denied", "Queue_20260101.Purge", "key", "queue", `{}`, 400, `{"__type":"AccessDeniedException","message":"no"}`},
		{"one that is not there", "Queue_20260101.Receive", "key", "queue", `{}`, 400, `{"__type":"UnknownOperationException","message":""}`},
		{"input of another type", "Queue_20260101.Send", "key", "queue", `{"Body":4}`, 400, `{"__type":"SerializationException","message":""}`},
		{"a session that is over", "Queue_20260101.Send", "expired", "queue", `{}`, 400,
			`{"__type":"ExpiredTokenException","message":"The security token included in the request is expired"}`},
		{"a signature for another service", "Queue_20260101.Send", "key", "sqs", `{}`, 400,
			`{"__type":"InvalidSignatureException","message":"Credential should be scoped to correct service: 'queue'."}`},
		{"no signature", "Queue_20260101.Send", "", "", `{}`, 400,
			`{"__type":"MissingAuthenticationTokenException","message":"Request is missing Authentication Token"}`},
		{"another service", "Queue.Send", "key", "queue", `{}`, 0, ""},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(c.body))
		r.Header.Set("X-Amz-Target", c.target)
		if c.key != "" {
			r.Header.Set("X-Amz-Date", "20260101T000000Z")
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+c.key+"/20260101/us-east-1/"+c.scope+
				"/aws4_request, SignedHeaders=host;x-amz-date, Signature="+strings.Repeat("0", 64))
		}
		call := api.NewCall(r, time.Now(), &api.Memory{Max: 1 << 20})
		answer := service.Take(call)
		if answer == nil {
			if c.status != 0 {
				t.Errorf("%s: it is not taken", c.name)
			}
			continue
		}
		w := httptest.NewRecorder()
		answer(w)
		if got := w.Body.String(); w.Code != c.status || got != c.want || w.Header().Get("Content-Type") != "application/x-amz-json-1.0" {
			t.Errorf("%s: %d %s %v, want %d %s", c.name, w.Code, got, w.Header(), c.status, c.want)
		}
	}
	if len(g.recorded) != 3 || g.recorded[0].Code != "ExpiredTokenException" || g.recorded[1].Step != "signature" {
		t.Errorf("decisions: %+v", g.recorded)
	}
}
