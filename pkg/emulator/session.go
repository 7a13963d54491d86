package emulator

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// session is what temporary credentials stand for. The emulator does not keep
// sessions: the session token is the session, sealed, so that a million of
// them cost nothing and all of them survive a restart. It names its role or
// user by unique id and holds no permission: what the entity may do is looked
// up when a request comes, as at AWS.
type session struct {
	kind    sessionKind
	entity  string // unique id of the role or the user; "" for the root user
	name    string // role session name, or name of the federated user
	issued  time.Time
	expires time.Time

	tags           []wire.Tag // session tags
	transitive     []string   // keys of those passed on to chained sessions
	sourceIdentity string

	// The session policies. They limit if there are any, or if limited is set
	// (a federated user without policies may do nothing).
	policy     string
	policyARNs []string
	limited    bool

	// Of sessions from a web identity token only: the provider's ARN, its URL
	// without a scheme, and the claims that later requests can be told by. Those that
	// EKS Pod Identity got for a pod's token have a cluster, by its ARN, and no provider.
	provider string
	issuer   string
	subject  string
	audience string
	amr      []string
	cluster  string
}

type sessionKind byte

const (
	roleSession      sessionKind = 'r'
	userSession      sessionKind = 'u' // GetSessionToken, of a user or the root user
	federatedSession sessionKind = 'f' // GetFederationToken
)

// hasPolicy reports whether session policies limit the session.
func (s *session) hasPolicy() bool {
	return s.limited || s.policy != "" || len(s.policyARNs) > 0
}

// credentials are what a client signs with.
type credentials struct {
	keyID, secret, token string
	expires              time.Time
}

// sealer makes and opens session tokens. A token is base64 of a version byte,
// a nonce and the session sealed with AES-256-GCM; the access key id is bound
// to it as additional data, and the secret follows from the access key id, so
// the three cannot be mixed with those of another session.
type sealer struct {
	aead   cipher.AEAD
	secret []byte // from which the secrets of access key ids are derived
}

const (
	tokenVersion = 1
	sealKeySize  = 64 // bytes: half for the tokens, half for the secrets
)

func newSealKey() []byte {
	key := make([]byte, sealKeySize)
	rand.Read(key)
	return key
}

func newSealer(key []byte) (*sealer, error) {
	if len(key) != sealKeySize {
		return nil, fmt.Errorf("reading the session key: it has %d bytes, not %d", len(key), sealKeySize)
	}
	block, err := aes.NewCipher(key[:32])
	if err != nil {
		return nil, fmt.Errorf("making the session cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("making the session cipher: %w", err)
	}
	return &sealer{aead, key[32:]}, nil
}

// secretOf derives the secret access key of a temporary access key id.
func (k *sealer) secretOf(keyID string) string {
	h := hmac.New(sha256.New, k.secret)
	h.Write([]byte(keyID))
	var sum [sha256.Size]byte
	return base64.StdEncoding.EncodeToString(h.Sum(sum[:0])[:30])
}

// issue makes credentials for a session.
func (k *sealer) issue(account string, s *session) credentials {
	keyID := newAccessKeyID(prefixSession, account)
	plain := s.marshal(make([]byte, 0, 512))
	b := make([]byte, 1+k.aead.NonceSize(), 1+k.aead.NonceSize()+len(plain)+k.aead.Overhead())
	b[0] = tokenVersion
	nonce := b[1:]
	rand.Read(nonce)
	b = k.aead.Seal(b, nonce, plain, []byte(keyID))
	return credentials{
		keyID:   keyID,
		secret:  k.secretOf(keyID),
		token:   base64.StdEncoding.EncodeToString(b),
		expires: s.expires,
	}
}

var errBadToken = errors.New("session token is not one of this access key")

// open is the session of a token, which must be one that was issued together
// with the access key id.
func (k *sealer) open(keyID, token string) (*session, error) {
	b, ok := decodeStrict(base64.StdEncoding, token)
	n := 1 + k.aead.NonceSize()
	if !ok || len(b) < n || b[0] != tokenVersion {
		return nil, errBadToken
	}
	plain, err := k.aead.Open(b[n:n], b[1:n], b[n:], []byte(keyID))
	if err != nil {
		return nil, errBadToken
	}
	s := new(session)
	if !s.unmarshal(plain) {
		return nil, errBadToken
	}
	return s, nil
}

// marshal appends the session: each text as its length and its bytes.
func (s *session) marshal(b []byte) []byte {
	text := func(v string) {
		b = binary.AppendUvarint(b, uint64(len(v)))
		b = append(b, v...)
	}
	texts := func(list []string) {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, v := range list {
			text(v)
		}
	}
	b = append(b, byte(s.kind))
	text(s.entity)
	text(s.name)
	b = binary.AppendVarint(b, s.issued.Unix())
	b = binary.AppendVarint(b, s.expires.Unix())
	b = binary.AppendUvarint(b, uint64(len(s.tags)))
	for _, t := range s.tags {
		text(t.Key)
		text(t.Value)
	}
	texts(s.transitive)
	text(s.sourceIdentity)
	text(s.policy)
	texts(s.policyARNs)
	if s.limited {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	text(s.provider)
	text(s.issuer)
	text(s.subject)
	text(s.audience)
	texts(s.amr)
	if s.cluster != "" { // of which tokens of older emulators know nothing
		text(s.cluster)
	}
	return b
}

// unmarshal is the inverse of marshal. What it reads was sealed by us, so that
// false means a token of another layout.
func (s *session) unmarshal(b []byte) bool {
	ok := true
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			ok, b = false, nil
			return 0
		}
		b = b[size:]
		return n
	}
	signed := func() int64 {
		n, size := binary.Varint(b)
		if size <= 0 {
			ok, b = false, nil
			return 0
		}
		b = b[size:]
		return n
	}
	text := func() string {
		n := number()
		if n > uint64(len(b)) {
			ok, b = false, nil
			return ""
		}
		v := string(b[:n])
		b = b[n:]
		return v
	}
	count := func() int {
		n := number()
		if n > uint64(len(b)) { // each member takes a byte at least
			ok, b = false, nil
			return 0
		}
		return int(n)
	}
	texts := func() []string {
		n := count()
		if n == 0 {
			return nil
		}
		list := make([]string, n)
		for i := range list {
			list[i] = text()
		}
		return list
	}
	if len(b) == 0 {
		return false
	}
	s.kind, b = sessionKind(b[0]), b[1:]
	s.entity = text()
	s.name = text()
	s.issued = time.Unix(signed(), 0).UTC()
	s.expires = time.Unix(signed(), 0).UTC()
	if n := count(); n > 0 {
		s.tags = make([]wire.Tag, n)
		for i := range s.tags {
			s.tags[i] = wire.Tag{Key: text(), Value: text()}
		}
	}
	s.transitive = texts()
	s.sourceIdentity = text()
	s.policy = text()
	s.policyARNs = texts()
	s.limited = number() == 1
	s.provider = text()
	s.issuer = text()
	s.subject = text()
	s.audience = text()
	s.amr = texts()
	if len(b) > 0 {
		s.cluster = text()
		ok = ok && s.cluster != ""
	}
	return ok && len(b) == 0
}
