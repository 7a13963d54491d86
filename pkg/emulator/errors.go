package emulator

import (
	"fmt"
	"net/http"
)

// awsError is an answer that is an error. Code and message are AWS's own; what
// a service wraps around them is that service's affair. The nil *awsError is
// no error, and handlers return the concrete type so that nil stays nil.
type awsError struct {
	status  int // HTTP status
	code    string
	message string

	// namespace is the XML namespace of the answer where it is not the
	// service's own.
	namespace string
}

// faultOf says whose fault an error is, in the words of the Query protocol.
func (e *awsError) faultOf() string {
	if e.status >= http.StatusInternalServerError {
		return "Receiver"
	}
	return "Sender"
}

func (e *awsError) Error() string { return e.code + ": " + e.message }

func errorf(status int, code, format string, args ...any) *awsError {
	return &awsError{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// Errors of parameters (Common Errors of the IAM and STS API references).
func validationError(format string, args ...any) *awsError {
	return errorf(http.StatusBadRequest, "ValidationError", format, args...)
}

func malformedInput(format string, args ...any) *awsError {
	return errorf(http.StatusBadRequest, "MalformedInput", format, args...)
}

// Errors that many operations of IAM share (IAM's service model: codes and
// statuses).
func noSuchEntity(format string, args ...any) *awsError {
	return errorf(http.StatusNotFound, "NoSuchEntity", format, args...)
}

func alreadyExists(format string, args ...any) *awsError {
	return errorf(http.StatusConflict, "EntityAlreadyExists", format, args...)
}

func deleteConflict(format string, args ...any) *awsError {
	return errorf(http.StatusConflict, "DeleteConflict", format, args...)
}

func limitExceeded(format string, args ...any) *awsError {
	return errorf(http.StatusConflict, "LimitExceeded", format, args...)
}

func invalidInput(format string, args ...any) *awsError {
	return errorf(http.StatusBadRequest, "InvalidInput", format, args...)
}

func malformedPolicy(message string) *awsError {
	return &awsError{status: http.StatusBadRequest, code: "MalformedPolicyDocument", message: message}
}

func accessDenied(format string, args ...any) *awsError {
	return errorf(http.StatusForbidden, "AccessDenied", format, args...)
}

// errInternal is the answer when the emulator itself cannot go on: its state
// file does not take writes.
var errInternal = &awsError{
	status:  http.StatusInternalServerError,
	code:    "InternalFailure",
	message: "The request processing has failed because of an unknown error, exception or failure.",
}
