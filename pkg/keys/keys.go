// Package keys holds the keys that sign service-account tokens and the JSON
// Web Key Set in which their public halves are published.
//
// Keys are identified, used and published as kube-apiserver does it, so that a set
// made from key files and a set served by a cluster are the same bytes:
//
//	private, err := keys.Generate(keys.RS256)
//	err = keys.WritePrivate("sa.key", private)
//	set, err := keys.NewSet(private.Public())
//	os.Stdout.Write(set.JWKS())
package keys

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
)

// Signature algorithms of service-account tokens (RFC 7518, section 3.1). STS
// takes these and no others.
const (
	RS256 = "RS256" // RSASSA-PKCS1-v1_5 with SHA-256: what kube-apiserver makes of an RSA key
	RS384 = "RS384"
	RS512 = "RS512"
	ES256 = "ES256" // ECDSA on P-256 with SHA-256
	ES384 = "ES384" // ECDSA on P-384 with SHA-384
	ES512 = "ES512" // ECDSA on P-521 with SHA-512
)

// rsaBits is the size of generated RSA keys, and the least that is accepted
// (NIST SP 800-131A, and what EKS and kubeadm use).
const rsaBits = 2048

// ErrUnsupported is wrapped by errors about keys that STS cannot verify: it
// takes RSA and ECDSA on P-256, P-384 and P-521.
var ErrUnsupported = errors.New("not a key that AWS STS can verify (RSA of 2048 bits or more, or EC P-256, P-384, P-521)")

// Public is a published key.
type Public struct {
	// KID is the id by which tokens name the key. It is copied from where the
	// key was found; [NewPublic] derives it.
	KID string
	// Algorithm is one of the constants of this package, fixed by the key and
	// never by a token.
	Algorithm string
	// Key is an *rsa.PublicKey or an *ecdsa.PublicKey.
	Key crypto.PublicKey
}

// Private is a signing key. It prints as its key id.
type Private struct {
	public Public
	signer crypto.Signer
}

// KID derives the id of a key as kube-apiserver does: the unpadded base64url of
// the SHA-256 of the DER SubjectPublicKeyInfo
// (k8s.io/kubernetes/pkg/serviceaccount/jwt.go, keyIDFromPublicKey).
func KID(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("%T: %w", key, ErrUnsupported)
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// algorithm is what kube-apiserver uses with such a key. The error wraps
// [ErrUnsupported].
func algorithm(key crypto.PublicKey) (string, error) {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < rsaBits {
			return "", fmt.Errorf("RSA key of %d bits: %w", key.N.BitLen(), ErrUnsupported)
		}
		return RS256, nil
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return ES256, nil
		case elliptic.P384():
			return ES384, nil
		case elliptic.P521():
			return ES512, nil
		}
		return "", fmt.Errorf("EC key on %s: %w", key.Curve.Params().Name, ErrUnsupported)
	default:
		return "", fmt.Errorf("%T: %w", key, ErrUnsupported)
	}
}

// NewPublic is the key as kube-apiserver would publish it. The error wraps
// [ErrUnsupported].
func NewPublic(key crypto.PublicKey) (Public, error) {
	alg, err := algorithm(key)
	if err != nil {
		return Public{}, err
	}
	kid, err := KID(key)
	if err != nil {
		return Public{}, err
	}
	return Public{KID: kid, Algorithm: alg, Key: key}, nil
}

// Equal reports whether two keys are the same key with the same id and algorithm.
func (p Public) Equal(q Public) bool {
	key, ok := p.Key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && p.KID == q.KID && p.Algorithm == q.Algorithm && key.Equal(q.Key)
}

// NewPrivate is a signing key held by signer, which may keep it elsewhere, such
// as in a KMS. The error wraps [ErrUnsupported].
func NewPrivate(signer crypto.Signer) (Private, error) {
	public, err := NewPublic(signer.Public())
	if err != nil {
		return Private{}, err
	}
	return Private{public: public, signer: signer}, nil
}

// Generate makes a new key for an algorithm: an RSA key of 2048 bits for
// [RS256], an EC key for [ES256], [ES384] and [ES512].
func Generate(alg string) (Private, error) {
	var signer crypto.Signer
	var err error
	switch alg {
	case RS256:
		signer, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case ES256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ES384:
		signer, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ES512:
		signer, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	default:
		return Private{}, fmt.Errorf("generating a key for %q: the algorithms are %s, %s, %s and %s", alg, RS256, ES256, ES384, ES512)
	}
	if err != nil {
		return Private{}, fmt.Errorf("generating a key for %s: %w", alg, err)
	}
	return NewPrivate(signer)
}

// Public is the half that is published.
func (p Private) Public() Public { return p.public }

// Signer is the key itself. A caller signs tokens with it and does nothing
// else.
func (p Private) Signer() crypto.Signer { return p.signer }

// String is the key's id, so that a key logged by mistake shows nothing else.
func (p Private) String() string { return "private key " + p.public.KID }

// GoString is [Private.String], for %#v.
func (p Private) GoString() string { return p.String() }

func byKID(a, b Public) int { return cmp.Compare(a.KID, b.KID) }
