package emulator_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/internal/trace"
	"github.com/openirsa/openirsa/internal/trace/tracetest"
	"github.com/openirsa/openirsa/pkg/emulator"
)

// TestTraces: the trace of a web identity says what was checked, and how each check
// ended, and has no token and no secret.
func TestTraces(t *testing.T) {
	a, idp := start(t, emulator.Config{})
	idp.register()
	role := a.Role("R", idp.usual())
	token := idp.token(idp.claims())
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	call := func(token string) (*tracetest.Collector, string) {
		collector := tracetest.Start(t)
		tracer := trace.New(trace.Options{Service: "emulator", Lookup: collector.Environment(), Log: slog.New(slog.DiscardHandler)})
		stop := tracer.Open()
		h := tracer.Handler(a.Server)
		r := assumeRequest(role, token)()
		r.RemoteAddr = "192.0.2.7:1234"
		r.Header.Set("Traceparent", parent)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://127.0.0.1/_openirsa/health", nil))
		stop()
		return collector, w.Body.String()
	}

	c, answer := call(token)
	want := "STS/AssumeRoleWithWebIdentity(parse token find provider get issuer keys(GET GET) verify signature evaluate trust policy issue session)"
	if got := c.Trees(); got != want {
		t.Errorf("spans\n%s, want\n%s", got, want)
	}
	span := c.Find("STS/AssumeRoleWithWebIdentity")
	for key, want := range map[string]string{
		"rpc.system": "aws-api", "rpc.service": "STS", "rpc.method": "AssumeRoleWithWebIdentity", "openirsa.outcome": "success",
		"openirsa.role_arn": role, "openirsa.token.issuer": "https://" + idp.hostPath(), "openirsa.token.subject": subject,
		"openirsa.token.audience": "sts.amazonaws.com", "openirsa.token.key_id": "one", "openirsa.token.algorithm": "RS256",
		"http.response.status_code": "200", "client.address": "192.0.2.7", "error.type": "",
	} {
		if got := span.Value(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if span.TraceID != parent[3:35] || span.ParentSpanID != parent[36:52] || span.Status.Code != 0 || span.Value("aws.request_id") == "" {
		t.Errorf("%+v", span)
	}
	if len(span.Events) != 1 || span.Events[0].Value("openirsa.decision") != "allow" || span.Events[0].Value("openirsa.step") != "trust" {
		t.Errorf("events %+v", span.Events)
	}
	if get := c.Find("GET"); get.Kind != 3 || !strings.HasPrefix(get.Value("url.full"), idp.URL) || get.Value("http.response.status_code") != "200" {
		t.Errorf("%+v", get)
	}
	_, secret, _ := strings.Cut(answer, "<SecretAccessKey>")
	secret, _, _ = strings.Cut(secret, "<")
	_, session, _ := strings.Cut(answer, "<SessionToken>")
	session, _, _ = strings.Cut(session, "<")
	for _, body := range c.Bodies() {
		for _, hidden := range []string{token, token[len(token)-40:], token[30:90], secret, session[20:80]} {
			if hidden == "" || strings.Contains(body, hidden) {
				t.Errorf("%q is in a trace: %s", hidden, body)
			}
		}
	}

	// Keys that are known are not fetched, and a refusal says why.
	c, _ = call(idp.token(idp.claims().with(claims{"sub": "system:serviceaccount:ns1:other"})))
	want = "STS/AssumeRoleWithWebIdentity(parse token find provider get issuer keys verify signature evaluate trust policy)"
	if got := c.Trees(); got != want {
		t.Errorf("spans\n%s, want\n%s", got, want)
	}
	span = c.Find("STS/AssumeRoleWithWebIdentity")
	if span.Status.Code != 2 || span.Value("error.type") != "AccessDenied" || !strings.Contains(span.Status.Message, `expects "`+subject+`"`) {
		t.Errorf("%+v", span)
	}
	if trust := c.Find("evaluate trust policy"); trust.Status.Code != 2 || trust.Value("error.type") != "trust" {
		t.Errorf("%+v", trust)
	}
	if c.Find("get issuer keys").Value("openirsa.fetched") != "false" {
		t.Error("keys that are known count as fetched")
	}

	c, _ = call("nonsense")
	if got := c.Trees(); got != "STS/AssumeRoleWithWebIdentity(parse token)" {
		t.Error(got)
	}
}

// TestTracesOfStrangers: a trace's name is not a client's word.
func TestTracesOfStrangers(t *testing.T) {
	a, _ := start(t, emulator.Config{})
	collector := tracetest.Start(t)
	tracer := trace.New(trace.Options{Lookup: collector.Environment(), Log: slog.New(slog.DiscardHandler)})
	stop := tracer.Open()
	r, _ := http.NewRequest(http.MethodPost, a.URL, bytes.NewReader([]byte(form("Action", "Strange", "Version", "2011-06-15"))))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	tracer.Handler(a.Server).ServeHTTP(httptest.NewRecorder(), r)
	stop()
	if got := collector.Trees(); got != "STS/other" {
		t.Error(got)
	}
}
