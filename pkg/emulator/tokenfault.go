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
}

// invalidToken is the code of most answers about tokens.
func invalidToken(text string) *wire.Failure {
	return &wire.Failure{Status: 400, Code: "InvalidIdentityToken", Message: text}
}

// invalidParameter is the answer to a value that cannot be.
func invalidParameter(format string, args ...any) *wire.Failure {
	return wire.Errorf(http.StatusBadRequest, "InvalidParameterValue", format, args...)
}
