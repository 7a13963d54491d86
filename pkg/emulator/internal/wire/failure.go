// Package wire is how requests and answers of AWS's services look: the Query
// protocol with its parameters and what a service model demands of them, XML
// and JSON, and an error in each of the protocols. It knows no service.
package wire

import (
	"fmt"
	"net/http"
)

// Failure is an answer that is an error. Code and message are AWS's own; what a
// service wraps around them is that service's affair. The nil *Failure is
// no error, and handlers return the concrete type so that nil stays nil.
type Failure struct {
	Status  int // HTTP status
	Code    string
	Message string

	// Namespace is the XML namespace of the answer where it is not the
	// service's own.
	Namespace string
}

// Side says whose fault an error is, in the words of the Query protocol.
func (e *Failure) Side() string {
	if e.Status >= http.StatusInternalServerError {
		return "Receiver"
	}
	return "Sender"
}

func (e *Failure) Error() string { return e.Code + ": " + e.Message }

// Errorf is a failure with a message that is put together.
func Errorf(status int, code, format string, args ...any) *Failure {
	return &Failure{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// ErrInternal is the answer when the emulator itself cannot continue: its state
// file does not take writes.
var ErrInternal = &Failure{
	Status:  http.StatusInternalServerError,
	Code:    "InternalFailure",
	Message: "The request processing has failed because of an unknown error, exception or failure.",
}

// MalformedInput is the failure of a request that cannot be read.
func MalformedInput(format string, args ...any) *Failure {
	return Errorf(http.StatusBadRequest, "MalformedInput", format, args...)
}

// ValidationError is the failure of parameters that are not what they must be
// (Common Errors of the IAM and STS API references).
func ValidationError(format string, args ...any) *Failure {
	return Errorf(http.StatusBadRequest, "ValidationError", format, args...)
}
