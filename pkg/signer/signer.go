// Package signer signs a cluster's service-account tokens instead of the API
// server: it is the server of Kubernetes' ExternalJWTSigner API (v1), which
// kube-apiserver calls through a Unix socket (--service-account-signing-endpoint).
// The API server then holds no key, and need not restart for a new one.
//
//	s := &signer.Signer{Keys: config.Keys, MaxLifetime: 24 * time.Hour}
//	err := s.Load(ctx)
//	externaljwt.RegisterExternalJWTSignerServer(grpcServer, s)
//
// The rules of the protocol are those of k8s.io/externaljwt/apis/v1/api.proto and
// of k8s.io/kubernetes/pkg/serviceaccount/externaljwt/plugin.
package signer

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha256" // registers the hashes of the algorithms
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	externaljwt "k8s.io/externaljwt/apis/v1"

	"github.com/openirsa/openirsa/internal/exactjson"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/token"
)

// Key is a private key, wherever it is.
type Key interface {
	// Public is the half that is published.
	Public() keys.Public
	// SignDigest signs a digest made with hash: PKCS #1 v1.5 for an RSA key,
	// and for an ECDSA key an ASN.1 sequence of r and s.
	SignDigest(ctx context.Context, digest []byte, hash crypto.Hash) ([]byte, error)
}

// Keys are the keys of a signer.
type Keys struct {
	// Sign is the key that signs. It is published.
	Sign Key
	// Trusted are further keys whose tokens are valid. They are published too:
	// new keys until everybody knows them and they can sign, and old keys until the
	// last token that they signed has expired.
	Trusted []keys.Public
	// Unpublished are keys whose tokens are valid only within the cluster: the API
	// server leaves them out of its JWKS.
	Unpublished []keys.Public
}

// Limits of the protocol.
const (
	// MinLifetime is the least MaxLifetime that kube-apiserver accepts
	// (MinTokenAgeSec).
	MinLifetime = 10 * time.Minute
	// maxClaims bounds the payload of a token.
	maxClaims = 64 << 10
	// signTimeout is how long a key may take. kube-apiserver waits longer, up to
	// the minute that a request may take, so whoever asked for a token gets the
	// reason.
	signTimeout = 10 * time.Second
)

// Signer is the server. Its fields must not change once it serves.
type Signer struct {
	externaljwt.UnimplementedExternalJWTSignerServer

	// Read reads the keys as they are now.
	Read func(context.Context) (Keys, error)
	// Issuers are those for which it signs; empty means any.
	Issuers []string
	// MaxLifetime is how long a token may live, at least [MinLifetime]. The API
	// server learns it, and a request for more is refused.
	MaxLifetime time.Duration
	// Refresh is how often the API server should ask for the keys, and so how long
	// a new key takes to be published. Zero means ten seconds.
	Refresh time.Duration
	// Log may be nil.
	Log *slog.Logger
	// Now is the clock; nil is [time.Now].
	Now func() time.Time
	// Signed, if not nil, is called for each requested signature.
	Signed func(took time.Duration, err error)

	mu    sync.Mutex // guards the fields below
	keys  *loaded
	fault error
}

// loaded are keys that have been checked.
type loaded struct {
	sign      Key
	public    keys.Public
	hash      crypto.Hash
	header    string // of all tokens, as it appears in them
	published []*externaljwt.Key
	at        time.Time
}

func (s *Signer) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

func (s *Signer) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

// Load reads the keys. If that fails the signer continues with the previous ones,
// and [Signer.Fault] returns the error too.
func (s *Signer) Load(ctx context.Context) error {
	k, err := s.Read(ctx)
	var next *loaded
	if err == nil {
		next, err = load(k)
	}
	s.mu.Lock()
	before, faultBefore := s.keys, s.fault
	s.fault = err
	if err == nil {
		next.at = s.now()
		s.keys = next
	}
	s.mu.Unlock()
	switch {
	case err != nil:
		if faultBefore == nil || faultBefore.Error() != err.Error() {
			s.log().Error("the keys cannot be read; continuing with the previous ones", "error", err)
		}
	case before == nil || before.header != next.header || !slices.EqualFunc(before.published, next.published, sameKey):
		var kids []string
		for _, key := range next.published {
			kids = append(kids, key.KeyId)
		}
		s.log().Info("keys", "signs", next.public.KID, "published", kids)
	case faultBefore != nil:
		s.log().Info("the keys can be read again")
	}
	return err
}

func sameKey(a, b *externaljwt.Key) bool {
	return a.KeyId == b.KeyId && bytes.Equal(a.Key, b.Key) && a.ExcludeFromOidcDiscovery == b.ExcludeFromOidcDiscovery
}

// Fault is why the keys cannot be read now, nil if they can.
func (s *Signer) Fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// KID is the id of the key that signs.
func (s *Signer) KID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		return ""
	}
	return s.keys.public.KID
}

// algorithms are those that kube-apiserver accepts from an external signer
// (validateJWTHeader).
var algorithms = map[string]crypto.Hash{
	keys.RS256: crypto.SHA256, keys.ES256: crypto.SHA256, keys.ES384: crypto.SHA384, keys.ES512: crypto.SHA512,
}

func load(k Keys) (*loaded, error) {
	if k.Sign == nil {
		return nil, errors.New("there is no key to sign with")
	}
	l := &loaded{sign: k.Sign, public: k.Sign.Public()}
	var ok bool
	if l.hash, ok = algorithms[l.public.Algorithm]; !ok {
		return nil, fmt.Errorf("key %q: kube-apiserver does not accept %s", l.public.KID, l.public.Algorithm)
	}
	header, err := json.Marshal(struct {
		Algorithm string `json:"alg"`
		KID       string `json:"kid"`
		Type      string `json:"typ"`
	}{l.public.Algorithm, l.public.KID, "JWT"})
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", l.public.KID, err)
	}
	l.header = base64.RawURLEncoding.EncodeToString(header)

	published, err := keys.NewSet(append(slices.Clone(k.Trusted), l.public)...)
	if err != nil {
		return nil, err
	}
	add := func(key keys.Public, exclude bool) error {
		der, err := x509.MarshalPKIXPublicKey(key.Key)
		if err != nil {
			return fmt.Errorf("key %q: %w", key.KID, err)
		}
		l.published = append(l.published, &externaljwt.Key{KeyId: key.KID, Key: der, ExcludeFromOidcDiscovery: exclude})
		return nil
	}
	for _, key := range published.All() {
		if err := add(key, false); err != nil {
			return nil, err
		}
	}
	for _, key := range k.Unpublished {
		if _, ok := published.Lookup(key.KID); ok {
			return nil, fmt.Errorf("key %q is both published and not", key.KID)
		}
		if err := add(key, true); err != nil {
			return nil, err
		}
	}
	// The API server compares the order too.
	slices.SortFunc(l.published, func(a, b *externaljwt.Key) int { return cmp.Compare(a.KeyId, b.KeyId) })
	return l, nil
}

// current returns the keys, or an error for the API server if there are none yet.
func (s *Signer) current() (*loaded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		return nil, status.Error(codes.Unavailable, "the keys have not been read yet")
	}
	return s.keys, nil
}

// Metadata says how long tokens may live. The API server asks once, when it starts.
func (s *Signer) Metadata(context.Context, *externaljwt.MetadataRequest) (*externaljwt.MetadataResponse, error) {
	return &externaljwt.MetadataResponse{MaxTokenExpirationSeconds: int64(s.MaxLifetime / time.Second)}, nil
}

// FetchKeys is the set of keys that the API server trusts and publishes.
func (s *Signer) FetchKeys(context.Context, *externaljwt.FetchKeysRequest) (*externaljwt.FetchKeysResponse, error) {
	k, err := s.current()
	if err != nil {
		return nil, err
	}
	refresh := cmp.Or(s.Refresh, 10*time.Second)
	return &externaljwt.FetchKeysResponse{
		Keys: k.published, DataTimestamp: timestamppb.New(k.at), RefreshHintSeconds: max(1, int64(refresh/time.Second)),
	}, nil
}

// Sign signs the payload of a token of a service account. Anything else is
// refused: whoever can connect to the socket can have tokens, but no other
// signatures. No error or log shows the payload.
func (s *Signer) Sign(ctx context.Context, req *externaljwt.SignJWTRequest) (*externaljwt.SignJWTResponse, error) {
	start := time.Now()
	resp, err := s.sign(ctx, req.GetClaims())
	if s.Signed != nil {
		s.Signed(time.Since(start), err)
	}
	if err != nil {
		s.log().Error("a token was not signed", "error", err)
	}
	return resp, err
}

func (s *Signer) sign(ctx context.Context, payload string) (*externaljwt.SignJWTResponse, error) {
	if err := s.check(payload); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "the claims are refused: %v", err)
	}
	k, err := s.current()
	if err != nil {
		return nil, err
	}
	h := k.hash.New()
	h.Write([]byte(k.header + "." + payload))
	digest := h.Sum(nil)
	ctx, cancel := context.WithTimeoutCause(ctx, signTimeout, fmt.Errorf("no answer within %s", signTimeout))
	defer cancel()
	raw, err := k.sign.SignDigest(ctx, digest, k.hash)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return nil, status.Errorf(codes.Unavailable, "signing with key %q: %v", k.public.KID, err)
	}
	signature, err := encode(k.public, digest, k.hash, raw)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "signing with key %q: %v", k.public.KID, err)
	}
	return &externaljwt.SignJWTResponse{Header: k.header, Signature: base64.RawURLEncoding.EncodeToString(signature)}, nil
}

// check reports why a payload is not that of a token that may be signed.
func (s *Signer) check(payload string) error {
	if len(payload) > maxClaims {
		return fmt.Errorf("%d bytes are more than %d", len(payload), maxClaims)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(payload)
	if err != nil || strings.ContainsAny(payload, "\r\n") { // which package base64 passes over
		return errors.New("they are not base64url")
	}
	// Every reader of the token reads what is checked here.
	if err := exactjson.Check(raw, token.ClaimNames...); err != nil {
		return fmt.Errorf("they are not the JSON of a token: %w", err)
	}
	var claims token.Claims
	if err := json.Unmarshal(raw, &claims); err != nil {
		return errors.New("they are not the JSON of a token")
	}
	if err := checkSubject(claims); err != nil {
		return err
	}
	issued := claims.IssuedAt.Time()
	switch {
	case len(s.Issuers) > 0 && !slices.Contains(s.Issuers, claims.Issuer):
		return fmt.Errorf("the issuer is %.256q", claims.Issuer)
	case claims.Expiry == 0 || claims.IssuedAt == 0:
		return errors.New("they do not say when the token was issued and when it expires")
	case claims.Expiry.Time().Sub(issued) > s.MaxLifetime:
		return fmt.Errorf("the token would live %s, longer than %s", claims.Expiry.Time().Sub(issued), s.MaxLifetime)
	case claims.Expiry.Time().After(s.now().Add(s.MaxLifetime + token.Leeway)):
		return fmt.Errorf("the token would live until %s, longer than %s from now", claims.Expiry.Time().Format(time.RFC3339), s.MaxLifetime)
	}
	return nil
}

// checkSubject refuses a subject that is not a service account, or not the one that
// the claim kubernetes.io names, if there is one.
func checkSubject(claims token.Claims) error {
	namespace, name, err := token.ParseSubject(claims.Subject)
	if err != nil {
		return err
	}
	of := claims.Kubernetes
	if of.Namespace != "" && of.Namespace != namespace || of.ServiceAccount != nil && of.ServiceAccount.Name != name {
		return fmt.Errorf("the subject is %s/%s, and the claim kubernetes.io names another service account", namespace, name)
	}
	return nil
}

// encode turns a signature into the one in a token (RFC 7518, sections 3.3 and
// 3.4), and verifies it: a key other than the published one, as behind an alias that
// was moved, signs nothing.
func encode(public keys.Public, digest []byte, hash crypto.Hash, raw []byte) ([]byte, error) {
	wrong := errors.New("the signature does not match the published key")
	switch key := public.Key.(type) {
	case *rsa.PublicKey:
		if rsa.VerifyPKCS1v15(key, hash, digest, raw) != nil {
			return nil, wrong
		}
		return raw, nil
	case *ecdsa.PublicKey:
		if !ecdsa.VerifyASN1(key, digest, raw) {
			return nil, wrong
		}
		var sig struct{ R, S *big.Int }
		if rest, err := asn1.Unmarshal(raw, &sig); err != nil || len(rest) > 0 {
			return nil, errors.New("the signature is not an ASN.1 sequence of two numbers")
		}
		size := (key.Curve.Params().BitSize + 7) / 8
		out := make([]byte, 2*size)
		sig.R.FillBytes(out[:size])
		sig.S.FillBytes(out[size:])
		return out, nil
	}
	return nil, wrong
}
