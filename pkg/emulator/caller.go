package emulator

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/policy"
)

// caller is who makes a request, proved by a signature, or nobody in
// particular.
type caller struct {
	policy.Principal
	userID  string // as GetCallerIdentity says it: "AROA...:session", or "anonymous"
	keyID   string // access key id
	role    *role  // of a role session
	user    *user  // of a user, its session, or a user it federated
	session *session
}

// An authFailure is the reason why a signature does not identify anybody. Each
// service has its own words for it.
type authFailure struct {
	kind authKind
	sig  *sigv4.Error // of kind badSignature
	why  string       // for the event, in words
}

type authKind int

const (
	badSignature   authKind = iota // see sig.Kind; sigv4.Missing for none at all
	unknownKey                     // no such access key, or one that is inactive
	badToken                       // the session token is not that of the key
	expiredSession                 // the session is over
)

// anonymous is the caller without a signature.
func anonymous() caller {
	return caller{Principal: policy.Principal{Kind: policy.Anonymous}, userID: "anonymous"}
}

// identify verifies the signature of a request and sets the caller. The order
// is AWS's: the key, its session token, the session's expiry, the clock, the
// signature. The signing key is for S3's streamed bodies.
func (s *Server) identify(c *call, sig *sigv4.Signature, payloadHash string) (sigv4.Key, *authFailure) {
	c.region = sig.Region
	who, secret, failure := s.lookup(sig, c.at)
	if failure != nil {
		return sigv4.Key{}, failure
	}
	// A clock that was moved ahead moves tokens and sessions, not the clocks of
	// clients, so signatures are held against the clock as it was given.
	key, err := s.verifier.Verify(c.r, sig, secret, payloadHash, s.config.Now())
	if err != nil {
		return sigv4.Key{}, signatureFailure(err)
	}
	who.keyID = sig.AccessKeyID
	c.caller = who
	if who.user != nil && who.session == nil {
		if _, used := s.iam.key(sig.AccessKeyID); used != nil {
			used.used.Store(&keyUse{c.at, c.region, sig.Service})
		}
	}
	return key, nil
}

// signatureFailure is the failure that an error of package sigv4 means.
func signatureFailure(err error) *authFailure {
	e, ok := err.(*sigv4.Error)
	if !ok {
		e = &sigv4.Error{Kind: sigv4.Mismatch}
	}
	return &authFailure{kind: badSignature, sig: e, why: "signature refused: " + err.Error()}
}

// lookup is the caller that owns an access key, and the key's secret.
func (s *Server) lookup(sig *sigv4.Signature, now time.Time) (caller, string, *authFailure) {
	id := sig.AccessKeyID
	isRoot := id == s.config.RootAccessKeyID
	var owner *user
	var key *accessKey
	if !isRoot && !strings.HasPrefix(id, prefixSession) {
		switch owner, key = s.iam.key(id); {
		case key == nil:
			return caller{}, "", &authFailure{kind: unknownKey, why: "there is no access key " + shownKeyID(id)}
		case !key.Active:
			return caller{}, "", &authFailure{kind: unknownKey, why: "access key " + shownKeyID(id) + " of user " + owner.Name + " is inactive"}
		}
	}
	if sig.SessionToken != "" {
		session, err := s.seal.open(id, sig.SessionToken)
		if err != nil {
			return caller{}, "", &authFailure{kind: badToken, why: "the session token is not one that was issued with access key " + shownKeyID(id)}
		}
		if !now.Before(session.expires) {
			return caller{}, "", &authFailure{kind: expiredSession, why: fmt.Sprintf("the session expired at %s, now is %s",
				session.expires.Format(time.RFC3339), now.UTC().Format(time.RFC3339))}
		}
		who, why := s.sessionCaller(session)
		if why != "" {
			return caller{}, "", &authFailure{kind: badToken, why: why}
		}
		return who, s.seal.secretOf(id), nil
	}
	switch {
	case isRoot:
		return s.rootCaller(), s.config.RootSecret, nil
	case key == nil:
		return caller{}, "", &authFailure{kind: unknownKey, why: "access key " + shownKeyID(id) + " is a temporary one, but the request has no session token"}
	}
	return s.userCaller(owner), key.Secret, nil
}

func (s *Server) rootCaller() caller {
	return caller{
		Principal: policy.Principal{
			Kind:          policy.Root,
			Account:       s.config.Account,
			ARN:           s.arn("iam", "root"),
			CanonicalUser: s.canonicalUser,
		},
		userID: s.config.Account,
	}
}

func (s *Server) userCaller(u *user) caller {
	return caller{
		Principal: policy.Principal{
			Kind:          policy.User,
			Account:       s.config.Account,
			ARN:           u.ARN,
			ID:            u.ID,
			CanonicalUser: s.canonicalUser,
		},
		userID: u.ID,
		user:   u,
	}
}

// sessionCaller is the caller of a session, or the reason why there is none
// any more.
func (s *Server) sessionCaller(session *session) (caller, string) {
	var who caller
	switch session.kind {
	case roleSession:
		role := s.iam.roleByID(session.entity)
		if role == nil {
			return caller{}, "the role of the session, " + session.entity + ", was deleted"
		}
		who = caller{
			Principal: policy.Principal{
				Kind:          policy.RoleSession,
				Account:       s.config.Account,
				ARN:           s.assumedARN(role, session.name),
				EntityARN:     role.ARN,
				ID:            role.ID,
				CanonicalUser: s.canonicalUser,
			},
			userID: role.ID + ":" + session.name,
			role:   role,
		}
	case userSession, federatedSession:
		if session.entity == "" {
			who = s.rootCaller()
		} else {
			user := s.iam.userByID(session.entity)
			if user == nil {
				return caller{}, "the user of the session, " + session.entity + ", was deleted"
			}
			who = s.userCaller(user)
		}
		if session.kind == federatedSession {
			who.EntityARN = who.ARN
			who.Kind = policy.FederatedUser
			who.ARN = s.arn("sts", "federated-user/"+session.name)
			who.userID = s.config.Account + ":" + session.name
		}
	default:
		return caller{}, "the session is of an unknown kind"
	}
	who.session = session
	return who, ""
}

// identifyBody is identify for services whose whole request is in the body. A
// signature for another service is answered with the status and the code.
func (s *Server) identifyBody(c *call, status int, code string) (*authFailure, *wire.Failure) {
	sig, err := sigv4.Parse(c.r)
	if err != nil {
		return signatureFailure(err), nil
	}
	if sig.Service != c.service {
		c.region = sig.Region
		e := wire.Errorf(status, code, "Credential should be scoped to correct service: '%s'.", c.service)
		s.refuse(c, "signature", "the signature is for service "+sig.Service, e)
		return nil, e
	}
	_, failure := s.identify(c, &sig, sigv4.HashPayload(c.body))
	return failure, nil
}

// identifyQuery is identify for STS and IAM, with their words.
func (s *Server) identifyQuery(c *call) *wire.Failure {
	failure, e := s.identifyBody(c, http.StatusForbidden, "SignatureDoesNotMatch")
	if e != nil {
		return e
	}
	if failure == nil {
		return s.refuseIAM(c)
	}
	e = failure.queryError()
	s.refuse(c, "signature", failure.why, e)
	return e
}

// refuseIAM refuses to let sessions of GetSessionToken, which never have MFA
// here, and of GetFederationToken call IAM (IAM User Guide, "Compare AWS STS
// credentials").
func (s *Server) refuseIAM(c *call) *wire.Failure {
	if c.service != "iam" || c.caller.session == nil || c.caller.session.kind == roleSession {
		return nil
	}
	e := (&authFailure{kind: badToken}).queryError()
	s.refuse(c, "signature", "IAM does not accept the credentials of GetSessionToken without MFA, nor those of GetFederationToken", e)
	return e
}

// queryError is an authFailure in the words of STS and IAM.
func (f *authFailure) queryError() *wire.Failure {
	const invalidToken = "The security token included in the request is invalid."
	switch f.kind {
	case unknownKey, badToken:
		return wire.Errorf(http.StatusForbidden, "InvalidClientTokenId", invalidToken)
	case expiredSession:
		return wire.Errorf(http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired")
	}
	const iso = "20060102T150405Z"
	incomplete := func(format string, args ...any) *wire.Failure {
		return wire.Errorf(http.StatusBadRequest, "IncompleteSignature", format, args...)
	}
	mismatch := func(format string, args ...any) *wire.Failure {
		return wire.Errorf(http.StatusForbidden, "SignatureDoesNotMatch", format, args...)
	}
	e := f.sig
	switch e.Kind {
	case sigv4.Missing:
		return wire.Errorf(http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token")
	case sigv4.UnknownAlgorithm, sigv4.TwoSignatures:
		return incomplete("Unsupported AWS 'algorithm': '%s'.", e.Value)
	case sigv4.MissingFields:
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
		return incomplete("%s", strings.Join(words, " "))
	case sigv4.BadCredential:
		return incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'", e.Value)
	case sigv4.BadDate:
		return incomplete("Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601", e.Value)
	case sigv4.ScopeDate:
		return mismatch("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.",
			e.Value, e.Time.Format("20060102"), e.Time.Format(iso))
	case sigv4.BadExpires:
		return incomplete("X-Amz-Expires must be a number of seconds, got '%s'", e.Value)
	case sigv4.UnsignedHeaders:
		return mismatch("'%s' must be a 'SignedHeader' in the AWS Authorization.", strings.Join(e.Fields, "', '"))
	case sigv4.TooOld, sigv4.Expired:
		return mismatch("Signature expired: %s is now earlier than %s (%s - %d min.)",
			e.Time.Format(iso), e.Now.Add(-e.Window).Format(iso), e.Now.Format(iso), int(e.Window.Minutes()))
	case sigv4.NotYetValid:
		return mismatch("Signature not yet current: %s is still later than %s (%s + %d min.)",
			e.Time.Format(iso), e.Now.Add(e.Window).Format(iso), e.Now.Format(iso), int(e.Window.Minutes()))
	}
	return mismatch("The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
}
