// Package telemetry judges what the programs export by the code that OpenTelemetry's
// Collector reads it with.
package telemetry_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/openirsa/openirsa/cmd/emulator/app"
	"github.com/openirsa/openirsa/internal/cli"
)

// TestCollector: the emulator, as a program, exports a call that it refuses to a
// collector.
func TestCollector(t *testing.T) {
	requests := make(chan ptraceotlp.ExportRequest, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		request := ptraceotlp.NewExportRequest()
		if err == nil {
			err = request.UnmarshalJSON(body)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %v: %s", r.URL, r.Header, err, body)
		}
		requests <- request
		answer, _ := ptraceotlp.NewExportResponse().MarshalJSON()
		w.Header().Set("Content-Type", "application/json")
		w.Write(answer)
	}))
	defer collector.Close()
	environment := map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "OTEL_SERVICE_NAME": "aws", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
		"EMULATOR_LISTEN": "127.0.0.1:0",
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- app.Run(ctx, &cli.Invocation{
			Name: "emulator", Lookup: func(name string) (string, bool) { v, ok := environment[name]; return v, ok }, Stdout: io.Discard, Stderr: w,
		})
		w.Close()
	}()
	address := make(chan string, 1)
	go func() {
		var log strings.Builder
		buffer := make([]byte, 4096)
		for {
			n, err := r.Read(buffer)
			log.Write(buffer[:n])
			if m := regexp.MustCompile(`msg=serving url=(\S+)`).FindStringSubmatch(log.String()); m != nil && len(address) == 0 {
				address <- m[1]
				log.Reset()
			}
			if err != nil {
				close(address)
				return
			}
		}
	}()
	endpoint, ok := <-address
	if !ok {
		t.Fatal(<-ended)
	}
	form := url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {"arn:aws:iam::000000000000:role/R"},
		"RoleSessionName": {"app1"}, "WebIdentityToken": {"no token"}}
	call, _ := http.NewRequest(http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	call.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	call.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	resp, err := http.DefaultClient.Do(call)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	traces := (<-requests).Traces()
	if traces.SpanCount() != 2 || traces.ResourceSpans().Len() != 1 {
		t.Fatalf("%d spans", traces.SpanCount())
	}
	resource := traces.ResourceSpans().At(0)
	if got := resource.Resource().Attributes().AsRaw(); got["service.name"] != "aws" || got["deployment.environment.name"] != "test" {
		t.Errorf("resource %v", got)
	}
	spans := resource.ScopeSpans().At(0).Spans()
	part, span := spans.At(0), spans.At(1)
	if span.Name() != "STS/AssumeRoleWithWebIdentity" || span.Kind() != ptrace.SpanKindServer || span.Status().Code() != ptrace.StatusCodeError ||
		span.TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" || span.ParentSpanID().String() != "00f067aa0ba902b7" || span.Flags()&0x3ff != 0x301 {
		t.Errorf("span %q of %s below %s: %s %s", span.Name(), span.TraceID(), span.ParentSpanID(), span.Kind(), span.Status().Message())
	}
	if got := span.Attributes().AsRaw(); got["http.response.status_code"] != int64(400) || got["error.type"] != "InvalidIdentityToken" {
		t.Errorf("attributes %v", got)
	}
	if span.Events().Len() != 1 || span.Events().At(0).Name() != "decision" || span.Events().At(0).Timestamp() < span.StartTimestamp() {
		t.Errorf("%d events", span.Events().Len())
	}
	if part.Name() != "parse token" || part.ParentSpanID() != span.SpanID() || part.Kind() != ptrace.SpanKindInternal ||
		part.StartTimestamp() < span.StartTimestamp() || part.EndTimestamp() > span.EndTimestamp() {
		t.Errorf("part %q below %s: %s to %s", part.Name(), part.ParentSpanID(), part.StartTimestamp().AsTime(), part.EndTimestamp().AsTime())
	}
}
