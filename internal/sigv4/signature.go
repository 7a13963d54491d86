package sigv4

import (
	"strings"
	"time"
)

// Algorithm is the only signing algorithm accepted.
const Algorithm = "AWS4-HMAC-SHA256"

const (
	terminator = "aws4_request"     // the end of every credential scope
	basicISO   = "20060102T150405Z" // how X-Amz-Date has the time
)

// Signature is what a request says about its signature. None of it can be trusted
// before [Verifier.Verify] has returned without an error.
type Signature struct {
	// AccessKeyID says whose secret key has signed.
	AccessKeyID string
	Region      string // of the credential scope
	Service     string // of the credential scope, such as "s3"
	// Time is when the client says it signed, to the second.
	Time time.Time
	// SessionToken is X-Amz-Security-Token, from the headers or the query.
	SessionToken string
	// Presigned is true where the signature is in the query string.
	Presigned bool
	// Expires is X-Amz-Expires of a presigned request; zero where it has none.
	Expires time.Duration

	scope         string // date/region/service/aws4_request
	timestamp     string // Time as the string to sign has it
	signedHeaders string // as sent: lower case, separated by ";"
	signature     string // 64 hexadecimal digits
}

// SignedHeader reports whether the signature covers a header, whose name may be
// in any case. Signed names are in lower case: another spelling signs nothing.
func (s *Signature) SignedHeader(name string) bool {
	for list := s.signedHeaders; list != ""; {
		var h string
		h, list, _ = strings.Cut(list, ";")
		if isLower(h, name) {
			return true
		}
	}
	return false
}

// isLower reports whether lower is name in lower case, without allocating.
func isLower(lower, name string) bool {
	if len(lower) != len(name) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if lower[i] != c {
			return false
		}
	}
	return true
}
