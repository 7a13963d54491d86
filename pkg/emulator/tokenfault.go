package emulator

import (
	_ "crypto/sha256" // the hashes of RS256 to ES512
	_ "crypto/sha512"
	"net/http"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// A tokenFault is why a token is refused: at which step, why in words, and
// what AWS answers.
type tokenFault struct {
	step   string
	why    string
	answer *wire.Failure
	// expected and found are the two values that disagree, if it is about two.
	expected, found []string
	// unread says that it is not known whether the token is good, since the issuer's
	// keys could not be fetched.
	unread bool
}

func refusal(step, why string, answer *wire.Failure) *tokenFault {
	return &tokenFault{step: step, why: why, answer: answer}
}

// between sets the two values that disagree.
func (f *tokenFault) between(expected, found []string) *tokenFault {
	f.expected, f.found = expected, found
	return f
}

// whileUnread is the same fault, of keys that could not be fetched.
func (f *tokenFault) whileUnread() *tokenFault {
	changed := *f
	changed.unread = true
	return &changed
}

// invalidToken is the code of most answers about tokens.
func invalidToken(text string) *wire.Failure {
	return &wire.Failure{Status: 400, Code: "InvalidIdentityToken", Message: text}
}

// invalidParameter is the answer to a value that cannot be.
func invalidParameter(format string, args ...any) *wire.Failure {
	return wire.Errorf(http.StatusBadRequest, "InvalidParameterValue", format, args...)
}
