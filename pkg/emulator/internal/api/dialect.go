package api

import (
	"net/http"
	"strings"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// An AuthFailure is the reason why a signature does not identify anybody. S3 has
// words of its own for it; for the other services see [Dialect].
type AuthFailure struct {
	Kind      AuthKind
	Signature *sigv4.Error // of kind BadSignature
	Why       string       // for the event, in words
}

// AuthKind is a kind of AuthFailure.
type AuthKind int

const (
	BadSignature   AuthKind = iota // see Signature.Kind; sigv4.Missing for none at all
	UnknownKey                     // no such access key, or one that is inactive
	BadToken                       // the session token is not that of the key
	ExpiredSession                 // the session is over
)

// SignatureFailure is the failure that an error of package sigv4 means.
func SignatureFailure(err error) *AuthFailure {
	e, ok := err.(*sigv4.Error)
	if !ok {
		e = &sigv4.Error{Kind: sigv4.Mismatch}
	}
	return &AuthFailure{Kind: BadSignature, Signature: e, Why: "signature refused: " + err.Error()}
}

// Dialect are the codes by which the services of a protocol refuse a caller. The
// texts are the same in all.
type Dialect struct {
	AccessDenied Code
	InvalidToken Code // of a key or a session token
	ExpiredToken Code
	MissingToken Code // of a request without a signature
	Incomplete   Code // of a signature that cannot be read
	Mismatch     Code // of one that is not the right one
}

// Code is an error code and its HTTP status.
type Code struct {
	Status int
	Name   string
}

var (
	// QueryDialect are the codes of STS and IAM ("Common Errors" in their API
	// references).
	QueryDialect = &Dialect{
		AccessDenied: Code{http.StatusForbidden, "AccessDenied"},
		InvalidToken: Code{http.StatusForbidden, "InvalidClientTokenId"},
		ExpiredToken: Code{http.StatusForbidden, "ExpiredToken"},
		MissingToken: Code{http.StatusForbidden, "MissingAuthenticationToken"},
		Incomplete:   Code{http.StatusBadRequest, "IncompleteSignature"},
		Mismatch:     Code{http.StatusForbidden, "SignatureDoesNotMatch"},
	}
	// JSONDialect are those of the protocols AWS JSON 1.0 and 1.1 ("Common
	// Errors" in the AWS KMS API Reference).
	JSONDialect = &Dialect{
		AccessDenied: Code{http.StatusBadRequest, "AccessDeniedException"},
		InvalidToken: Code{http.StatusBadRequest, "UnrecognizedClientException"},
		ExpiredToken: Code{http.StatusBadRequest, "ExpiredTokenException"},
		MissingToken: Code{http.StatusBadRequest, "MissingAuthenticationTokenException"},
		Incomplete:   Code{http.StatusBadRequest, "IncompleteSignatureException"},
		Mismatch:     Code{http.StatusBadRequest, "InvalidSignatureException"},
	}
)

func (c Code) failure(format string, args ...any) *wire.Failure {
	return wire.Errorf(c.Status, c.Name, format, args...)
}

// Refusal is a failure in the words of the dialect.
func (d *Dialect) Refusal(f *AuthFailure) *wire.Failure {
	switch f.Kind {
	case UnknownKey, BadToken:
		return d.InvalidToken.failure("The security token included in the request is invalid.")
	case ExpiredSession:
		return d.ExpiredToken.failure("The security token included in the request is expired")
	}
	const iso = "20060102T150405Z"
	e := f.Signature
	switch e.Kind {
	case sigv4.Missing:
		return d.MissingToken.failure("Request is missing Authentication Token")
	case sigv4.UnknownAlgorithm, sigv4.TwoSignatures:
		return d.Incomplete.failure("Unsupported AWS 'algorithm': '%s'.", e.Value)
	case sigv4.MissingFields:
		return d.Incomplete.failure("%s", missingFields(e))
	case sigv4.BadCredential:
		return d.Incomplete.failure("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "+
			"got '%s'", e.Value)
	case sigv4.BadDate:
		return d.Incomplete.failure("Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601", e.Value)
	case sigv4.ScopeDate:
		return d.Mismatch.failure("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' "+
			"!= '%s', from '%s'.",
			e.Value, e.Time.Format("20060102"), e.Time.Format(iso))
	case sigv4.BadExpires:
		return d.Incomplete.failure("X-Amz-Expires must be a number of seconds, got '%s'", e.Value)
	case sigv4.UnsignedHeaders:
		return d.Mismatch.failure("'%s' must be a 'SignedHeader' in the AWS Authorization.", strings.Join(e.Fields, "', '"))
	case sigv4.TooOld, sigv4.Expired:
		return d.Mismatch.failure("Signature expired: %s is now earlier than %s (%s - %d min.)",
			e.Time.Format(iso), e.Now.Add(-e.Window).Format(iso), e.Now.Format(iso), int(e.Window.Minutes()))
	case sigv4.NotYetValid:
		return d.Mismatch.failure("Signature not yet current: %s is still later than %s (%s + %d min.)",
			e.Time.Format(iso), e.Now.Add(e.Window).Format(iso), e.Now.Format(iso), int(e.Window.Minutes()))
	}
	return d.Mismatch.failure("The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
}

// missingFields lists everything that a signature lacks.
func missingFields(e *sigv4.Error) string {
	var words []string
	for _, field := range e.Fields {
		switch {
		case e.Presigned:
			words = append(words, "AWS query-string parameters must include '"+field+"'.")
		case field == "Date":
			words = append(words, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
		default:
			words = append(words, "Authorization header requires '"+field+"' parameter.")
		}
	}
	return strings.Join(words, " ")
}
