package crash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// call is one call of the program under test to AWS or to Kubernetes. Calls that are under way at the same time
// come in any order, so a call goes by what it asks, and by how many times that was asked before.
type call struct {
	name   string // such as "kubernetes GET /api/v1/nodes" and "aws CreateRole 1a2b3c"
	nth    int    // 0 for the first one of its name
	writes bool
}

func (c call) String() string { return fmt.Sprintf("%s #%d", c.name, c.nth) }

// fault is what happens to a call.
type fault string

const (
	refused     fault = "refused"      // an error, instead of the call
	lost        fault = "lost"         // an error, although the call was made
	cutBefore   fault = "cut before"   // the connection ends, once, instead of the call
	cutAfter    fault = "cut after"    // the connection ends, once, instead of the answer
	killed      fault = "killed"       // the program is killed, and the call not made
	killedAfter fault = "killed after" // the program is killed once the call was made
	none        fault = ""
)

// faults are all that can happen to a call. To the program a read that is refused before it is served is one
// that is refused after, and so it is to the server.
func (c call) faults() []fault {
	if c.writes {
		return []fault{refused, lost, cutBefore, cutAfter, killed, killedAfter}
	}
	return []fault{refused, cutBefore, killed}
}

// gate stands between one run of the program under test and everything else. It counts the calls, and at one of them
// it makes something go wrong.
type gate struct {
	t     testing.TB
	uid   string // of the cluster, which is part of what calls say
	at    call
	fault fault
	kill  func() // returns when the program has ended

	mu     sync.Mutex // guards the fields below
	calls  []call
	counts map[string]int // of the calls, by name
	fired  bool           // the fault has happened
}

// enter counts a call and decides about it.
func (g *gate) enter(name string, writes bool) fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fired && (g.fault == killed || g.fault == killedAfter) {
		return killed // what was on its way
	}
	// A question that is asked again at once is one that waits for the answer to change: how many times depends on
	// how fast the machine is.
	if n := len(g.calls); n > 0 && !writes && g.calls[n-1].name == name {
		return none
	}
	c := call{name, g.counts[name], writes}
	g.counts[name]++
	g.calls = append(g.calls, c)
	if g.fault == none || c != g.at {
		return none
	}
	g.fired = true
	return g.fault
}

// through has a server's calls go through the gate. describe names a call, refuse answers one with an error that no
// client makes again.
func (g *gate) through(server http.Handler, describe func(*http.Request, []byte) (string, bool),
	refuse func(http.ResponseWriter, *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the program is gone
		}
		if r.Header.Get("Upgrade") != "" {
			g.t.Errorf("%s %s: calls that go on for long cannot be counted", r.Method, r.URL)
		}
		f := g.enter(describe(r, body))
		switch f {
		case refused:
			refuse(w, r)
			return
		case cutBefore:
			panic(http.ErrAbortHandler)
		case killed:
			g.kill()
			panic(http.ErrAbortHandler)
		}
		// Once a call is through it is made, whatever becomes of the program.
		made := r.Clone(context.WithoutCancel(r.Context()))
		made.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, made)
		switch f {
		case lost:
			refuse(w, r)
			return
		case cutAfter:
			panic(http.ErrAbortHandler)
		case killedAfter:
			g.kill()
			panic(http.ErrAbortHandler)
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
	})
}

// sum is short for a body.
func (g *gate) sum(body []byte) string {
	return fmt.Sprintf("%x", sha256.Sum256(bytes.ReplaceAll(body, []byte(g.uid), nil)))[:6]
}

// describeAWS names a call to AWS: IAM's and STS's by their action, S3's by what they look like.
func (g *gate) describeAWS(r *http.Request, body []byte) (string, bool) {
	if r.Method == http.MethodPost && r.URL.Path == "/" {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			g.t.Errorf("reading a call to AWS: %v", err)
		}
		action := form.Get("Action")
		reads := strings.HasPrefix(action, "Get") || strings.HasPrefix(action, "List")
		return "aws " + action + " " + g.sum(body), !reads
	}
	who := ""
	if r.Header.Get("Authorization") == "" {
		who = "stranger "
	}
	return "aws " + who + r.Method + " " + r.URL.RequestURI(), r.Method != http.MethodGet && r.Method != http.MethodHead
}

// refuseAWS answers as AWS does those who may not; no SDK tries that again.
func refuseAWS(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(http.StatusForbidden)
	refusal := "<Error><Code>AccessDenied</Code><Message>not this one</Message></Error>" // S3's
	if r.Method == http.MethodPost && r.URL.Path == "/" {
		refusal = "<ErrorResponse>" + refusal + "</ErrorResponse>"
	}
	io.WriteString(w, refusal)
}

// describeKubernetes names a call to Kubernetes. Questions about rights differ in their bodies only.
func (g *gate) describeKubernetes(r *http.Request, body []byte) (string, bool) {
	name := "kubernetes " + r.Method + " " + r.URL.RequestURI()
	review := strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews")
	if review {
		name += " " + g.sum(body)
	}
	return name, r.Method != http.MethodGet && !review && r.URL.Query().Get("dryRun") == ""
}

// refuseKubernetes answers as an API server does that has come upon a bug of its own.
func refuseKubernetes(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusInternalServerError)
	json.NewEncoder(w).Encode(map[string]any{
		"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "InternalError", "code": http.StatusInternalServerError, "message": "not this one",
	})
}
