package account

import (
	"errors"
	"fmt"
	"testing"

	"github.com/aws/smithy-go"
)

// A code that was refused is not a role that cannot be assumed, though it is
// AssumeRole that says so.
func TestWrongCode(t *testing.T) {
	err := Options{Profile: "mfa"}.credentialsError(fmt.Errorf("operation error STS: AssumeRole, %w",
		&smithy.GenericAPIError{Code: "AccessDenied", Message: "MultiFactorAuthentication failed with invalid MFA one time pass code."}))
	if e, ok := errors.AsType[*CredentialsError](err); !ok || e.Problem != WrongCode || e.Profile != "mfa" {
		t.Errorf("%#v", err)
	}
}
