package emulator

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Fault is something that goes wrong on purpose, so that a test can see what
// its subject makes of it.
type Fault struct {
	// Action is the operation that it befalls, such as "CreateRole", or with
	// its service, such as "s3:PutObject"; "*" and "?" are wildcards. "" is
	// every operation.
	Action string `json:"action,omitempty"`
	// Times is how many calls it befalls; 0 is all until it is removed.
	Times int `json:"times,omitempty"`
	// Skip is how many calls of the action pass before the first.
	Skip int `json:"skip,omitempty"`
	// Latency is how long the call waits first, in real time.
	Latency time.Duration `json:"latency,omitempty"`
	// Code is the error code of the answer, which is given instead of
	// doing anything. "" does what was asked.
	Code string `json:"code,omitempty"`
	// Status and Message belong to Code. Status 0 is 500 if the code is one of
	// a server's fault and else 400; for throttling it is 400 too, as at AWS.
	Status  int    `json:"status,omitempty"`
	Message string `json:"message,omitempty"`
	// Drop cuts the connection instead of an answer. Without Code, what
	// was asked has been done by then: the client cannot know.
	Drop bool `json:"drop,omitempty"`
}

// status is the HTTP status of the fault's answer.
func (f *Fault) status() int {
	if f.Status != 0 {
		return f.Status
	}
	switch f.Code {
	case "InternalFailure", "InternalError", "ServiceFailure":
		return http.StatusInternalServerError
	case "ServiceUnavailable", "SlowDown":
		return http.StatusServiceUnavailable
	case "AccessDenied":
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}

// faultList holds the faults that are still to happen.
type faultList struct {
	some atomic.Bool // whether there are any, so that others need not look

	mu   sync.Mutex // guards list
	list []Fault
}

// take is the fault that befalls a call, if any.
func (l *faultList) take(service, operation string) (Fault, bool) {
	if !l.some.Load() {
		return Fault{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.list {
		f := &l.list[i]
		name := operation
		if strings.Contains(f.Action, ":") {
			name = service + ":" + operation
		}
		if f.Action != "" && !wildcard(f.Action, name) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		fault := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				l.list = slices.Delete(l.list, i, i+1)
				l.some.Store(len(l.list) > 0)
			}
		}
		return fault, true
	}
	return Fault{}, false
}
