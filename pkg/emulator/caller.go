package emulator

import (
	"fmt"
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// identity is what the account knows of a caller, behind the ARN.
type identity struct {
	role    *role // of a role session
	user    *user // of a user, its session, or a user it federated
	session *session
}

// nobody is the identity of the root user and of strangers.
var nobody identity

// identityOf is the identity of a caller. It is never nil.
func identityOf(who *api.Caller) *identity {
	if known, ok := who.Identity.(*identity); ok {
		return known
	}
	return &nobody
}

// identify verifies the signature of a request and sets the caller. The order
// is AWS's: the key, its session token, the session's expiry, the clock, the
// signature. The signing key is for S3's streamed bodies.
func (s *Server) identify(c *api.Call, sig *sigv4.Signature, payloadHash string) (sigv4.Key, *api.AuthFailure) {
	c.Region = sig.Region
	who, secret, failure := s.lookup(sig, c.At)
	if failure != nil {
		return sigv4.Key{}, failure
	}
	// A clock that was moved ahead moves tokens and sessions, not the clocks of
	// clients, so signatures are held against the clock as it was given.
	key, err := s.verifier.Verify(c.Request, sig, secret, payloadHash, s.config.Now())
	if err != nil {
		return sigv4.Key{}, api.SignatureFailure(err)
	}
	who.KeyID = sig.AccessKeyID
	c.Caller = who
	if known := identityOf(&who); known.user != nil && known.session == nil {
		if _, used := s.of(&who).iam.key(sig.AccessKeyID); used != nil {
			used.used.Store(&keyUse{c.At, c.Region, sig.Service})
		}
	}
	return key, nil
}

// lookup is the caller that owns an access key, and the key's secret.
func (s *Server) lookup(sig *sigv4.Signature, now time.Time) (api.Caller, string, *api.AuthFailure) {
	refused := func(kind api.AuthKind, format string, args ...any) (api.Caller, string, *api.AuthFailure) {
		return api.Caller{}, "", &api.AuthFailure{Kind: kind, Why: fmt.Sprintf(format, args...)}
	}
	id := sig.AccessKeyID
	account, isRoot, why := s.ofKey(id)
	if account == nil {
		return refused(api.UnknownKey, "%s", why)
	}
	var owner *user
	var key *accessKey
	if !isRoot && !strings.HasPrefix(id, prefixSession) {
		switch owner, key = account.iam.key(id); {
		case key == nil:
			return refused(api.UnknownKey, "there is no access key %s", shownKeyID(id))
		case !key.Active:
			return refused(api.UnknownKey, "access key %s of user %s is inactive", shownKeyID(id), owner.Name)
		}
	}
	if sig.SessionToken != "" {
		session, err := s.seal.open(id, sig.SessionToken)
		if err != nil {
			return refused(api.BadToken, "the session token is not one that was issued with access key %s", shownKeyID(id))
		}
		if !now.Before(session.expires) {
			return refused(api.ExpiredSession, "the session expired at %s, now is %s",
				session.expires.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
		}
		who, why := account.sessionCaller(session)
		if why != "" {
			return refused(api.BadToken, "%s", why)
		}
		return who, s.seal.secretOf(id), nil
	}
	switch {
	case isRoot:
		return account.rootCaller(), s.config.RootSecret, nil
	case key == nil:
		return refused(api.UnknownKey, "access key %s is a temporary one, but the request has no session token", shownKeyID(id))
	}
	return account.userCaller(owner), key.Secret, nil
}

// again finds out who makes a call once more if the state was left meanwhile: the role may
// be gone, or the key, and what the caller may do is what it may now. The signature was
// verified, and a session that was valid when the call came is.
func (s *Server) again(c *api.Call) *api.AuthFailure {
	if !c.Left || c.Caller.KeyID == "" {
		return nil
	}
	sig, err := c.Signature()
	if err != nil {
		return api.SignatureFailure(err)
	}
	who, _, failure := s.lookup(&sig, c.At)
	if failure != nil {
		return failure
	}
	who.KeyID = sig.AccessKeyID
	c.Caller, c.Left = who, false
	return nil
}

func (s *Server) rootCaller() api.Caller {
	return api.Caller{
		Principal: policy.Principal{
			Kind:          policy.Root,
			Account:       s.account.ID,
			ARN:           s.arn("iam", "root"),
			CanonicalUser: s.account.CanonicalUser,
		},
		UserID: s.account.ID,
	}
}

func (s *Server) userCaller(u *user) api.Caller {
	return api.Caller{
		Principal: policy.Principal{
			Kind:          policy.User,
			Account:       s.account.ID,
			ARN:           u.ARN,
			ID:            u.ID,
			CanonicalUser: s.account.CanonicalUser,
		},
		UserID:   u.ID,
		Identity: &identity{user: u},
	}
}

// sessionCaller is the caller of a session, or the reason why there is none
// any more.
func (s *Server) sessionCaller(session *session) (api.Caller, string) {
	var who api.Caller
	switch session.kind {
	case roleSession:
		role := s.iam.roleByID(session.entity)
		if role == nil {
			return api.Caller{}, "the role of the session, " + session.entity + ", was deleted"
		}
		who = api.Caller{
			Principal: policy.Principal{
				Kind:          policy.RoleSession,
				Account:       s.account.ID,
				ARN:           s.assumedARN(role, session.name),
				EntityARN:     role.ARN,
				ID:            role.ID,
				CanonicalUser: s.account.CanonicalUser,
			},
			UserID:   role.ID + ":" + session.name,
			Identity: &identity{role: role, session: session},
		}
	case userSession, federatedSession:
		if session.entity == "" {
			who = s.rootCaller()
		} else {
			user := s.iam.userByID(session.entity)
			if user == nil {
				return api.Caller{}, "the user of the session, " + session.entity + ", was deleted"
			}
			who = s.userCaller(user)
		}
		who.Identity = &identity{user: identityOf(&who).user, session: session}
		if session.kind == federatedSession {
			who.EntityARN = who.ARN
			who.Kind = policy.FederatedUser
			who.ARN = s.arn("sts", "federated-user/"+session.name)
			who.UserID = s.account.ID + ":" + session.name
		}
	default:
		return api.Caller{}, "the session is of an unknown kind"
	}
	return who, ""
}

// identifyQuery is identify for STS and IAM.
func (s *Server) identifyQuery(c *api.Call) *wire.Failure {
	if e := api.IdentifyBody(s.account.Gate, c); e != nil {
		return e
	}
	return s.refuseIAM(c)
}

// refuseIAM refuses to let sessions of GetSessionToken, which never have MFA
// here, and of GetFederationToken call IAM (IAM User Guide, "Compare AWS STS
// credentials").
func (s *Server) refuseIAM(c *api.Call) *wire.Failure {
	session := identityOf(&c.Caller).session
	if c.Service != "iam" || session == nil || session.kind == roleSession {
		return nil
	}
	e := c.Speaks().Refusal(&api.AuthFailure{Kind: api.BadToken})
	s.logRefused(c, "signature", "IAM does not accept the credentials of GetSessionToken without MFA, nor those of GetFederationToken", e)
	return e
}

// assumedARN is the ARN of a session of a role, which has no path.
func (s *Server) assumedARN(r *role, session string) string {
	return s.arn("sts", "assumed-role/"+r.Name+"/"+session)
}
