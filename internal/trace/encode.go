package trace

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/redact"
)

// maxText is how many bytes of a text are exported.
const maxText = 1024

// The messages of OTLP (opentelemetry/proto/collector/trace/v1/trace_service.proto) as
// far as they are used, in their JSON form: ids in hexadecimal, enumerations as
// numbers, 64-bit numbers as texts.
type (
	exportRequest struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   resource     `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	resource struct {
		Attributes []keyValue `json:"attributes"`
	}
	scopeSpans struct {
		Scope scope      `json:"scope"`
		Spans []spanJSON `json:"spans"`
	}
	scope struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	}
	spanJSON struct {
		TraceID    string      `json:"traceId"`
		SpanID     string      `json:"spanId"`
		TraceState string      `json:"traceState,omitempty"`
		ParentID   string      `json:"parentSpanId,omitempty"`
		Flags      int         `json:"flags"`
		Name       string      `json:"name"`
		Kind       int         `json:"kind"`
		Start      string      `json:"startTimeUnixNano"`
		End        string      `json:"endTimeUnixNano"`
		Attributes []keyValue  `json:"attributes,omitempty"`
		Events     []eventJSON `json:"events,omitempty"`
		Status     *statusJSON `json:"status,omitempty"`
	}
	eventJSON struct {
		Time       string     `json:"timeUnixNano"`
		Name       string     `json:"name"`
		Attributes []keyValue `json:"attributes,omitempty"`
	}
	statusJSON struct {
		Message string `json:"message,omitempty"`
		Code    int    `json:"code"`
	}
	keyValue struct {
		Key   string   `json:"key"`
		Value anyValue `json:"value"`
	}
	anyValue struct {
		String *string `json:"stringValue,omitempty"`
		Int    string  `json:"intValue,omitempty"`
		Bool   *bool   `json:"boolValue,omitempty"`
	}
)

// Flags of a span: sampled; whether the parent is another program's is known; it is.
const flagSampled, flagKnown, flagRemote = 1, 0x100, 0x200

// statusError is STATUS_CODE_ERROR.
const statusError = 2

func (t *Tracer) encode(spans []*Span) ([]byte, error) {
	all := make([]spanJSON, 0, len(spans))
	for _, s := range spans {
		all = append(all, s.json())
	}
	return json.Marshal(exportRequest{[]resourceSpans{{
		resource{attributes(t.resource)},
		[]scopeSpans{{scope{"github.com/openirsa/openirsa", t.version}, all}},
	}}})
}

func (s *Span) json() spanJSON {
	j := spanJSON{
		TraceID: hex.EncodeToString(s.request.trace[:]), SpanID: hex.EncodeToString(s.id[:]), TraceState: s.request.state,
		Flags: flagSampled | flagKnown, Name: text(s.name), Kind: s.kind, Start: nanos(s.start), End: nanos(s.end),
		Attributes: attributes(s.attributes),
	}
	if s.parent != [8]byte{} {
		j.ParentID = hex.EncodeToString(s.parent[:])
	}
	if s.remote {
		j.Flags |= flagRemote
	}
	for _, e := range s.events {
		j.Events = append(j.Events, eventJSON{nanos(e.at), e.name, attributes(e.attributes)})
	}
	if s.failed {
		j.Status = &statusJSON{text(s.message), statusError}
	}
	return j
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

// text is a text as it is exported: without secrets, not too long, and in UTF-8.
func text(s string) string {
	cut := len(s) == 2*maxText
	if s = redact.Text(s); cut && len(s) < maxText {
		// Of a secret that was cut in two the first half is not known for one.
		s = strings.TrimRightFunc(s, func(r rune) bool { return r > ' ' })
	}
	if len(s) > maxText {
		s = s[:maxText] + "..."
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// attributes are in the order in which they were set; of a key the latest counts.
func attributes(list []attribute) []keyValue {
	var all []keyValue
	at := make(map[string]int, len(list))
	for _, a := range list {
		var v anyValue
		switch value := a.value.(type) {
		case string:
			v.String = new(text(value))
		case int64:
			v.Int = strconv.FormatInt(value, 10)
		case bool:
			v.Bool = &value
		}
		if i, ok := at[a.key]; ok {
			all[i].Value = v
			continue
		}
		at[a.key] = len(all)
		all = append(all, keyValue{a.key, v})
	}
	return all
}
