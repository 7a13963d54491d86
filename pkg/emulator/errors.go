package emulator

import (
	"net/http"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// Errors that many operations of IAM share (IAM's service model: codes and
// statuses).
func noSuchEntity(format string, args ...any) *wire.Failure {
	return wire.Errorf(http.StatusNotFound, "NoSuchEntity", format, args...)
}

func alreadyExists(format string, args ...any) *wire.Failure {
	return wire.Errorf(http.StatusConflict, "EntityAlreadyExists", format, args...)
}

func deleteConflict(format string, args ...any) *wire.Failure {
	return wire.Errorf(http.StatusConflict, "DeleteConflict", format, args...)
}

func limitExceeded(format string, args ...any) *wire.Failure {
	return wire.Errorf(http.StatusConflict, "LimitExceeded", format, args...)
}

func invalidInput(format string, args ...any) *wire.Failure {
	return wire.Errorf(http.StatusBadRequest, "InvalidInput", format, args...)
}

func malformedPolicy(message string) *wire.Failure {
	return &wire.Failure{Status: http.StatusBadRequest, Code: "MalformedPolicyDocument", Message: message}
}

func accessDenied(format string, args ...any) *wire.Failure {
	return wire.Errorf(http.StatusForbidden, "AccessDenied", format, args...)
}
