package kms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // registers the hashes of the signing algorithms
	_ "crypto/sha512"
)

// algorithm is a signing algorithm of KMS (Sign, SigningAlgorithm).
type algorithm struct {
	hash crypto.Hash
	pss  bool
}

var rsaAlgorithms = []string{
	"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512",
	"RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512",
}

var algorithms = map[string]algorithm{
	"RSASSA_PKCS1_V1_5_SHA_256": {hash: crypto.SHA256},
	"RSASSA_PKCS1_V1_5_SHA_384": {hash: crypto.SHA384},
	"RSASSA_PKCS1_V1_5_SHA_512": {hash: crypto.SHA512},
	"RSASSA_PSS_SHA_256":        {crypto.SHA256, true},
	"RSASSA_PSS_SHA_384":        {crypto.SHA384, true},
	"RSASSA_PSS_SHA_512":        {crypto.SHA512, true},
	"ECDSA_SHA_256":             {hash: crypto.SHA256},
	"ECDSA_SHA_384":             {hash: crypto.SHA384},
	"ECDSA_SHA_512":             {hash: crypto.SHA512},
}

// spec is a type of key (CreateKey, KeySpec).
type spec struct {
	algorithms []string
	generate   func() (crypto.Signer, error)
}

func rsaSpec(bits int) spec {
	return spec{rsaAlgorithms, func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, bits) }}
}

func ecSpec(curve elliptic.Curve, algorithm string) spec {
	return spec{[]string{algorithm}, func() (crypto.Signer, error) { return ecdsa.GenerateKey(curve, rand.Reader) }}
}

var specs = map[string]spec{
	"RSA_2048":      rsaSpec(2048),
	"RSA_3072":      rsaSpec(3072),
	"RSA_4096":      rsaSpec(4096),
	"ECC_NIST_P256": ecSpec(elliptic.P256(), "ECDSA_SHA_256"),
	"ECC_NIST_P384": ecSpec(elliptic.P384(), "ECDSA_SHA_384"),
	"ECC_NIST_P521": ecSpec(elliptic.P521(), "ECDSA_SHA_512"),
}
