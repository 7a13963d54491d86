package emulator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxWait is how long a request for events may wait for one.
const maxWait = 60 * time.Second

// controlHandler is everything below /_openirsa/, which is the emulator's own
// and not AWS's.
func (s *Server) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_openirsa/health", s.serveHealth)
	mux.HandleFunc("GET /_openirsa/events", s.serveEvents)
	mux.HandleFunc("GET /_openirsa/metrics", s.serveMetrics)
	mux.HandleFunc("GET /_openirsa/policy", s.serveLeastPolicy)
	mux.HandleFunc("GET /_openirsa/chain", s.serveChain)
	mux.HandleFunc("GET /_openirsa/tokens/{id}/.well-known/{document}", s.serveOutboundHere)
	mux.HandleFunc("GET /_openirsa/{$}", servePage)
	mux.HandleFunc("GET /_openirsa/page.css", servePage)
	mux.HandleFunc("GET /_openirsa/page.js", servePage)
	mux.Handle("GET /_openirsa", http.RedirectHandler("/_openirsa/", http.StatusFound))
	mux.HandleFunc("POST "+clustersPath, s.serveRegisterCluster)
	mux.HandleFunc("GET "+clustersPath+"/{name}", s.serveCluster)
	mux.HandleFunc("DELETE "+clustersPath+"/{name}", s.serveUnregisterCluster)
	if s.config.Control {
		mux.HandleFunc("POST /_openirsa/control/clock", s.serveClock)
		mux.HandleFunc("POST /_openirsa/control/faults", s.serveInject)
		mux.HandleFunc("DELETE /_openirsa/control/faults", s.serveClearFaults)
		mux.HandleFunc("POST "+resetPath, s.serveReset)
		mux.HandleFunc("POST /_openirsa/control/buckets", s.serveForeignBucket)
	}
	return mux
}

// serveControl answers at the emulator's own names only, and no page of another
// origin.
func (s *Server) serveControl(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/_openirsa/health" && !s.ownHost(r.Host) {
		writeProblem(w, http.StatusMisdirectedRequest,
			"this is served at addresses, localhost, and the emulator's own hosts, and %q is none of them",
			clipText(splitHost(r.Host), maxShownWord))
		return
	}
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	linked := read && r.Header.Get("Sec-Fetch-Mode") == "navigate" // somebody followed a link
	if why := s.foreignPage(r); why != "" && !linked && r.URL.Path != "/_openirsa/health" {
		writeProblem(w, http.StatusForbidden, "refused: %s", why)
		return
	}
	if r.URL.Path != "/_openirsa/events" && r.URL.Path != resetPath { // which wait, the latter for all others
		defer s.enter()()
	}
	s.control.ServeHTTP(w, r)
}

// serveHealth reports whether the emulator can do its work: 200, or 503 with a
// reason if the state file does not take writes.
func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	if s.store.LastFailure() != nil {
		s.store.TryWrite()
	}
	if err := s.store.LastFailure(); err != nil {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "failing", "reason": err.Error()})
		return
	}
	health := map[string]any{
		"status":    "ok",
		"account":   s.config.Account,
		"partition": s.config.Partition,
		"time":      s.Now().UTC().Format(time.RFC3339),
	}
	if s.several() {
		health["accounts"] = s.Accounts()
	}
	writeJSON(w, http.StatusOK, health)
}

// serveEvents answers with decisions: {"events": [...], "last": N}. The query
// is an EventFilter: caller, account, action, decision, requestId, since (a time, or a
// duration such as "5m" ago), after (the "last" of an earlier answer), limit
// (100 unless told); and wait, a duration for which to wait if there is none.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f := EventFilter{
		Caller:    q.Get("caller"),
		Account:   q.Get("account"),
		Action:    q.Get("action"),
		Decision:  q.Get("decision"),
		RequestID: q.Get("requestId"),
		Limit:     100,
	}
	var wait time.Duration
	var err error
	for name, values := range q {
		v := values[0]
		if err != nil {
			break
		}
		switch name {
		case "caller", "account", "action", "requestId":
		case "decision":
			if v != "" && v != Allow && v != Deny && v != WouldDeny {
				err = fmt.Errorf("it is none of %q, %q and %q", Allow, Deny, WouldDeny)
			}
		case "since":
			f.Since, err = s.parseSince(v)
		case "after":
			f.After, err = strconv.ParseUint(v, 10, 64)
		case "limit":
			f.Limit, err = strconv.Atoi(v)
			if err == nil && f.Limit < 0 {
				err = fmt.Errorf("it is negative")
			}
		case "wait":
			wait, err = time.ParseDuration(v)
			wait = min(wait, maxWait)
		default:
			err = fmt.Errorf("there is no such filter")
		}
		if err != nil {
			err = fmt.Errorf("reading %s=%q: %w", name, v, err)
		}
	}
	if err != nil {
		writeProblem(w, http.StatusBadRequest, "%v", err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	entries, last := s.events.wait(ctx, f)
	s.writeEvents(w, entries, last)
}

// writeEvents words and writes one event after the other, so that no more than
// one of them is in memory twice.
func (s *Server) writeEvents(w http.ResponseWriter, entries []*entry, last uint64) {
	jsonHeader(w, http.StatusOK)
	io.WriteString(w, `{"events":[`)
	for i, e := range entries {
		text, err := json.Marshal(s.readEvent(e))
		if err != nil {
			return // the answer is cut short, and no JSON
		}
		if i > 0 {
			io.WriteString(w, ",")
		}
		if _, err := w.Write(text); err != nil {
			return
		}
	}
	fmt.Fprintf(w, "],\"last\":%d}\n", last)
}

// parseSince reads a time, or how long ago it was.
func (s *Server) parseSince(v string) (time.Time, error) {
	if d, err := time.ParseDuration(strings.TrimPrefix(v, "-")); err == nil {
		return s.Now().Add(-d), nil
	}
	return time.Parse(time.RFC3339, v)
}

// readControl reads a body of the control API.
func readControl(w http.ResponseWriter, r *http.Request, v any) bool {
	// Other content types can be posted from any page on the web.
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/json" {
		writeProblem(w, http.StatusUnsupportedMediaType, "Content-Type must be application/json")
		return false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		writeProblem(w, http.StatusBadRequest, "reading the request: %v", err)
		return false
	}
	return true
}

// serveClock moves the clock: {"forward": "1h"}. It answers with the time.
func (s *Server) serveClock(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Forward string `json:"forward"`
	}
	if !readControl(w, r, &body) {
		return
	}
	d, err := time.ParseDuration(body.Forward)
	if err != nil {
		writeProblem(w, http.StatusBadRequest, "reading forward: %v", err)
		return
	}
	s.FastForward(d)
	writeJSON(w, http.StatusOK, map[string]string{"time": s.Now().UTC().Format(time.RFC3339)})
}

// serveInject injects a fault: the fields of [Fault], latency as "200ms".
func (s *Server) serveInject(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Fault
		Latency string `json:"latency"`
	}
	if !readControl(w, r, &body) {
		return
	}
	if body.Latency != "" {
		d, err := time.ParseDuration(body.Latency)
		if err != nil {
			writeProblem(w, http.StatusBadRequest, "reading latency: %v", err)
			return
		}
		body.Fault.Latency = d
	}
	s.Inject(body.Fault)
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) serveClearFaults(w http.ResponseWriter, r *http.Request) {
	s.ClearFaults()
	w.WriteHeader(http.StatusNoContent)
}

// AddForeignBucket makes a bucket that belongs to another account, so that a
// test can run into it: its name is taken, and nobody here may look into it.
// The account has twelve digits. An empty region is us-east-1.
func (s *Server) AddForeignBucket(name, account, region string) error {
	return s.s3.AddForeignBucket(name, account, region)
}

// serveForeignBucket is AddForeignBucket in the control API:
// {"name": "b", "account": "111122223333", "region": "eu-west-1"}.
func (s *Server) serveForeignBucket(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Name    string `json:"name"`
		Account string `json:"account"`
		Region  string `json:"region"`
	}
	if !readControl(w, r, &body) {
		return
	}
	if err := s.AddForeignBucket(body.Name, body.Account, body.Region); err != nil {
		writeProblem(w, http.StatusBadRequest, "%v", err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
