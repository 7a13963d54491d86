package agent

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Failure is why there are no credentials, in EKS Auth's words.
type Failure struct {
	// Status is that of EKS Auth's answer; 0: there was none.
	Status int
	// RequestID, Code and Message are EKS Auth's. The message is shown to the pod.
	RequestID, Code, Message string
	// Fault is whose it is: client, server or unknown.
	Fault string
	// Err says more, for the log.
	Err error
}

// errBusy is that somebody has too many exchanges under way, or too many that failed.
var errBusy = errors.New("too many exchanges")

// Error says everything, for the log.
func (f *Failure) Error() string {
	if f.Err != nil {
		return f.Err.Error()
	}
	return f.text()
}

func (f *Failure) Unwrap() error { return f.Err }

// failure is what err says of EKS Auth's answer.
func failure(err error) *Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	return &Failure{Code: "InternalError", Message: "the agent has no answer", Err: err}
}

// status is that of the answer to the pod.
func (f *Failure) status() int { return cmp.Or(f.Status, http.StatusInternalServerError) }

// text is that of the answer to the pod, as the original agent has it.
func (f *Failure) text() string {
	message := f.Message
	if len(message) > maxText {
		message = strings.ToValidUTF8(message[:maxText], "")
	}
	return fmt.Sprintf("[%s]: (%s): %s, fault: %s", f.RequestID, cmp.Or(f.Code, "UnknownError"), message, cmp.Or(f.Fault, "unknown"))
}

// final reports whether credentials that were given before may not be given any longer:
// the association, the token or the role's trust is gone. A status of 403 is about the
// agent itself, whose own session may have ended (the codes are the same): pods keep what
// they have.
func (f *Failure) final() bool {
	switch f.Code {
	case "ResourceNotFoundException", "ExpiredTokenException", "InvalidTokenException", "AccessDeniedException":
		return f.Status != http.StatusForbidden
	}
	return false
}

// aboutPod reports whether the answer would be the same for another token of the pod.
func (f *Failure) aboutPod() bool {
	return f.Code == "ResourceNotFoundException" || f.Code == "AccessDeniedException"
}

// aboutToken reports whether it is the token's fault, and not the agent's.
func (f *Failure) aboutToken() bool {
	return f.Status == http.StatusBadRequest || f.Status == http.StatusNotFound
}

// lasts reports whether asking again at once would be in vain.
func (f *Failure) lasts() bool { return f.aboutToken() || f.Status == http.StatusForbidden }
