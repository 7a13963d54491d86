package trace

import (
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/openirsa/openirsa/internal/redact"
)

// parent is the span of a caller (W3C Trace Context).
type parent struct {
	trace   [16]byte
	span    [8]byte
	sampled bool
	state   string // for systems of other vendors, handed on as it is
}

// parseParent reads the headers traceparent and tracestate. A malformed traceparent
// counts as none.
func parseParent(h http.Header) (p parent, ok bool) {
	values := h.Values("Traceparent")
	if len(values) != 1 {
		return parent{}, false
	}
	s := values[0]
	// version-trace-span-flags; versions to come may have more after that.
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' || s[:2] == "ff" ||
		s[:2] == "00" && len(s) != 55 || len(s) > 55 && s[55] != '-' {
		return parent{}, false
	}
	var version, flags [1]byte
	for _, part := range []struct {
		to   []byte
		from string
	}{{version[:], s[:2]}, {p.trace[:], s[3:35]}, {p.span[:], s[36:52]}, {flags[:], s[53:55]}} {
		if part.from != strings.ToLower(part.from) {
			return parent{}, false
		}
		if _, err := hex.Decode(part.to, []byte(part.from)); err != nil {
			return parent{}, false
		}
	}
	if p.trace == [16]byte{} || p.span == [8]byte{} {
		return parent{}, false
	}
	p.sampled = flags[0]&1 != 0
	if state := strings.Join(h.Values("Tracestate"), ","); len(state) <= maxState && redact.Text(state) == state {
		p.state = state
	}
	return p, true
}

// maxState is the length of a tracestate that everybody must hand on.
const maxState = 512

// sampler decides which requests are traced.
type sampler struct {
	parentBased bool    // a caller's decision counts
	ratio       float64 // of the others, 0 to 1
}

func (s sampler) samples(p parent, known bool) bool {
	if known && s.parentBased {
		return p.sampled
	}
	// As OpenTelemetry's Go SDK does, so that all services choose the same traces.
	var n uint64
	for _, b := range p.trace[8:] {
		n = n<<8 | uint64(b)
	}
	return n>>1 < uint64(s.ratio*(1<<63))
}
