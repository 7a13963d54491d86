package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"

	"github.com/openirsa/openirsa/internal/durable"
)

// maxPEMBytes bounds the key files that are read.
const maxPEMBytes = 1 << 20

// ParsePEM reads the keys in a PEM file as kube-apiserver reads
// --service-account-key-file: any number of public keys (PKIX, PKCS #1) and of
// private keys (PKCS #1, SEC 1, PKCS #8), of which it takes the public half,
// and certificates. Other blocks, comments and other text are skipped; a file
// without a key is an error. So are the remains of a block, which kube-apiserver
// skips (k8s.io/client-go/util/keyutil): the key of a half-written file would be
// missed silently. No error shows key material.
func ParsePEM(data []byte) ([]Public, error) {
	var public []Public
	err := eachKey(data, func(key any) error {
		if signer, ok := key.(crypto.Signer); ok {
			key = signer.Public()
		}
		p, err := NewPublic(key)
		if err == nil {
			public = append(public, p)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if public == nil {
		return nil, errors.New("no PEM block holds a key")
	}
	return public, nil
}

// ParsePrivatePEM reads the first private key in a PEM file (PKCS #1, SEC 1 or
// PKCS #8). No error shows key material.
func ParsePrivatePEM(data []byte) (Private, error) {
	var found crypto.Signer
	err := eachKey(data, func(key any) error {
		if signer, ok := key.(crypto.Signer); ok && found == nil {
			found = signer
		}
		return nil
	})
	if err != nil {
		return Private{}, err
	}
	if found == nil {
		return Private{}, errors.New("no PEM block holds a private key")
	}
	return NewPrivate(found)
}

// boundary is a line that begins or ends a block, even if malformed or cut off;
// in a comment it is none.
var boundary = regexp.MustCompile(`(?m)^(?:[^#\n]*----(?:BEGIN|END) |-----[BEGIN]*\z)`)

// eachKey calls visit with every key in the PEM blocks of data.
func eachKey(data []byte, visit func(key any) error) error {
	if len(data) > maxPEMBytes {
		return fmt.Errorf("%d bytes are more than a key file has", len(data))
	}
	for n := 1; ; n++ {
		block, rest := pem.Decode(data)
		text, boundaries := data, 0
		if block != nil {
			text, boundaries = data[:len(data)-len(rest)], 2
		}
		if len(boundary.FindAllIndex(text, -1)) != boundaries {
			return fmt.Errorf("PEM block %d is malformed or cut off", n)
		}
		if block == nil {
			return nil
		}
		data = rest
		key, err := parseBlock(block)
		if err == nil && key != nil {
			err = visit(key)
		}
		if err != nil {
			return fmt.Errorf("PEM block %d (%s): %w", n, block.Type, err)
		}
	}
}

// parseBlock is the key in a block, nil if its type does not hold one.
func parseBlock(block *pem.Block) (any, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	}
	return nil, nil
}

// ReadPrivate reads a signing key from a PEM file. A file that anybody but its
// owner can read, or that belongs to a user other than this one or root, is refused.
func ReadPrivate(path string) (Private, error) {
	data, info, err := durable.ReadFile(path, maxPEMBytes)
	if err != nil {
		return Private{}, fmt.Errorf("reading a private key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return Private{}, fmt.Errorf("reading private key %s: its mode is %#o and others can read it; run chmod 600 %s", path, mode, path)
	}
	if err := durable.CheckOwner(info); err != nil {
		return Private{}, fmt.Errorf("reading private key %s: %w", path, err)
	}
	private, err := ParsePrivatePEM(data)
	if err != nil {
		return Private{}, fmt.Errorf("reading private key %s: %w", path, err)
	}
	return private, nil
}

// WritePrivate writes a signing key to a new file of mode 0600, as PKCS #8 PEM,
// which kube-apiserver reads. A file that exists is never replaced: the error
// is [fs.ErrExist].
func WritePrivate(path string, private Private) error {
	switch private.signer.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey:
	default:
		return fmt.Errorf("writing private key %s: it is not held here", path)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private.signer)
	if err != nil {
		return fmt.Errorf("writing private key %s: %w", path, err)
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("writing private key %s: %w", path, fs.ErrExist)
	}
	return durable.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// PEM is the public key as a PKIX PEM block, which kube-apiserver reads.
func (p Public) PEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(p.Key)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", p.KID, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}
