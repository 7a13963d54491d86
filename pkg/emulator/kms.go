package emulator

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // registers the hashes of the signing algorithms
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"

	"github.com/openirsa/openirsa/pkg/emulator/internal/store"

	"github.com/openirsa/openirsa/pkg/policy"
)

// KMS here is what signing takes: asymmetric keys for signatures, with the
// default key policy, which leaves it to IAM who may use them. The rules are
// those of the AWS KMS API Reference; anything else KMS can do is refused with
// UnsupportedOperationException.

// bucketKey is the bucket of the state file with KMS keys, by key id.
const bucketKey = "kms"

// kmsTarget begins the header X-Amz-Target of a call to KMS.
const kmsTarget = "TrentService."

// keyRing are the KMS keys of the account.
type keyRing struct {
	mu   sync.RWMutex // guards keys; the keys themselves never change
	keys map[string]*kmsKey
}

// kmsKey is an asymmetric key for signatures.
type kmsKey struct {
	ID          string    `json:"id"`
	Region      string    `json:"region"`
	Spec        string    `json:"spec"`
	Description string    `json:"description"`
	Created     time.Time `json:"created"`
	Tags        []kmsTag  `json:"tags,omitempty"`
	Private     []byte    `json:"private"` // PKCS #8

	signer crypto.Signer
}

type kmsTag struct {
	Key   string `json:"TagKey"`
	Value string `json:"TagValue"`
}

// kmsAlgorithm is a signing algorithm of KMS (Sign, SigningAlgorithm).
type kmsAlgorithm struct {
	hash crypto.Hash
	pss  bool
}

var rsaAlgorithms = []string{
	"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512",
	"RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512",
}

var kmsAlgorithms = map[string]kmsAlgorithm{
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

// kmsSpec is a type of key (CreateKey, KeySpec).
type kmsSpec struct {
	algorithms []string
	generate   func() (crypto.Signer, error)
}

func rsaSpec(bits int) kmsSpec {
	return kmsSpec{rsaAlgorithms, func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, bits) }}
}

func ecSpec(curve elliptic.Curve, algorithm string) kmsSpec {
	return kmsSpec{[]string{algorithm}, func() (crypto.Signer, error) { return ecdsa.GenerateKey(curve, rand.Reader) }}
}

var kmsSpecs = map[string]kmsSpec{
	"RSA_2048":      rsaSpec(2048),
	"RSA_3072":      rsaSpec(3072),
	"RSA_4096":      rsaSpec(4096),
	"ECC_NIST_P256": ecSpec(elliptic.P256(), "ECDSA_SHA_256"),
	"ECC_NIST_P384": ecSpec(elliptic.P384(), "ECDSA_SHA_384"),
	"ECC_NIST_P521": ecSpec(elliptic.P521(), "ECDSA_SHA_512"),
}

// loadKeys reads the keys of the state file.
func (s *Server) loadKeys() error {
	s.kms.keys = map[string]*kmsKey{}
	return s.store.Load(bucketKey, func(id string, value []byte) error {
		var k kmsKey
		if err := json.Unmarshal(value, &k); err != nil {
			return err
		}
		private, err := x509.ParsePKCS8PrivateKey(k.Private)
		if err != nil {
			return err
		}
		signer, ok := private.(crypto.Signer)
		if !ok {
			return fmt.Errorf("a key of type %T", private)
		}
		k.signer = signer
		s.kms.keys[id] = &k
		return nil
	})
}

// isKMS says whether a request is one to KMS: its protocol, AWS JSON 1.1, names
// the operation in a header.
func isKMS(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("X-Amz-Target"), kmsTarget)
}

// kmsInput are the parameters of all operations together.
type kmsInput struct {
	KeyId            string
	KeySpec          string
	KeyUsage         string
	Description      string
	Tags             []kmsTag
	Message          []byte
	MessageType      string
	SigningAlgorithm string
	DryRun           bool

	// Older names, and what is not here.
	CustomerMasterKeySpec string
	Policy                string
	Origin                string
	MultiRegion           bool
	CustomKeyStoreId      string
	XksKeyId              string
	GrantTokens           []string
}

var kmsOperations = map[string]func(*Server, *call, *kmsInput) (any, *wire.Failure){
	"CreateKey":    (*Server).createKey,
	"DescribeKey":  (*Server).describeKey,
	"GetPublicKey": (*Server).getPublicKey,
	"Sign":         (*Server).signWithKey,
}

// serveKMS answers a request in the protocol AWS JSON 1.1.
func (s *Server) serveKMS(w http.ResponseWriter, c *call) {
	output, e := s.runKMS(c)
	if c.dropped {
		return
	}
	status := http.StatusOK
	if e != nil {
		status = e.Status
		output = map[string]string{"__type": e.Code, "message": e.Message}
	}
	body, err := json.Marshal(output)
	if err != nil {
		status, body = wire.ErrInternal.Status, []byte(`{"__type":"KMSInternalException"}`)
	}
	h := w.Header()
	h["x-amzn-RequestId"] = []string{c.id}
	h["Content-Type"] = []string{"application/x-amz-json-1.1"}
	w.WriteHeader(status)
	w.Write(body)
}

func (s *Server) runKMS(c *call) (any, *wire.Failure) {
	c.service = "kms"
	c.operation = strings.TrimPrefix(c.r.Header.Get("X-Amz-Target"), kmsTarget)
	var e *wire.Failure
	if c.body, e = s.readBody(c); e != nil {
		return nil, e
	}
	run, known := kmsOperations[c.operation]
	if !known {
		c.operation = "" // it is the client's word
		return nil, wire.Errorf(http.StatusBadRequest, "UnknownOperationException", "")
	}
	if e := s.refusePage(c); e != nil {
		return nil, e
	}
	if e := s.inject(c); e != nil {
		return nil, e
	}
	if e := s.identifyKMS(c); e != nil {
		return nil, e
	}
	var in kmsInput
	if err := json.Unmarshal(c.body, &in); err != nil {
		return nil, wire.Errorf(http.StatusBadRequest, "SerializationException", "")
	}
	return run(s, c, &in)
}

// identifyKMS is identify in the words of KMS, whose codes end in "Exception"
// (AWS KMS API Reference, "Common Errors").
func (s *Server) identifyKMS(c *call) *wire.Failure {
	failure, e := s.identifyBody(c, http.StatusBadRequest, "InvalidSignatureException")
	if e != nil {
		return e
	}
	if failure == nil {
		return nil
	}
	e = failure.queryError()
	e.Status = http.StatusBadRequest
	switch e.Code {
	case "InvalidClientTokenId":
		e.Code = "UnrecognizedClientException"
	case "SignatureDoesNotMatch":
		e.Code = "InvalidSignatureException"
	default:
		e.Code += "Exception"
	}
	s.refuse(c, "signature", failure.why, e)
	return e
}

func kmsError(code, format string, args ...any) *wire.Failure {
	return wire.Errorf(http.StatusBadRequest, code, format, args...)
}

// authorizeKMS is authorize in the words of KMS.
func (s *Server) authorizeKMS(c *call, resource string, key *kmsKey, conditions func(*policy.Context)) *wire.Failure {
	q := &question{action: "kms:" + c.operation, resource: resource}
	if key != nil {
		q.keys.Set("kms:KeySpec", key.Spec)
		q.keys.Set("kms:KeyUsage", "SIGN_VERIFY")
		q.keys.Set("kms:KeyOrigin", "AWS_KMS")
		for _, t := range key.Tags {
			q.keys.Set("aws:ResourceTag/"+t.Key, t.Value)
		}
	}
	if conditions != nil {
		conditions(&q.keys)
	}
	e := s.authorize(c, q)
	if e != nil && e.Code == "AccessDenied" {
		return kmsError("AccessDeniedException", "%s", e.Message)
	}
	return e
}

func (s *Server) keyARN(region, id string) string {
	return "arn:" + s.config.Partition + ":kms:" + region + ":" + s.config.Account + ":key/" + id
}

// findKey is the key that a call is for, once the caller may do the operation
// to it. A key is found in its own region only.
func (s *Server) findKey(c *call, id string, conditions func(*policy.Context)) (*kmsKey, *wire.Failure) {
	name := id
	if strings.HasPrefix(id, "arn:") {
		prefix := s.keyARN(c.region, "")
		if !strings.HasPrefix(id, prefix) {
			return nil, kmsError("NotFoundException", "Invalid arn %s", c.region)
		}
		name = strings.TrimPrefix(id, prefix)
	}
	if name == "" {
		return nil, kmsError("ValidationException", "1 validation error detected: Value '%s' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1", id)
	}
	s.kms.mu.RLock()
	key := s.kms.keys[name]
	s.kms.mu.RUnlock()
	if key != nil && key.Region != c.region {
		key = nil
	}
	arn := s.keyARN(c.region, name)
	if strings.HasPrefix(name, "alias/") {
		arn = strings.TrimSuffix(s.keyARN(c.region, ""), "key/") + name
	}
	if e := s.authorizeKMS(c, arn, key, conditions); e != nil {
		return nil, e
	}
	switch {
	case key != nil:
		return key, nil
	case strings.HasPrefix(name, "alias/"):
		return nil, kmsError("NotFoundException", "Alias %s is not found.", arn)
	}
	return nil, kmsError("NotFoundException", "Key '%s' does not exist", arn)
}

type kmsMetadata struct {
	AWSAccountId          string
	Arn                   string
	CreationDate          float64 // seconds since 1970
	CustomerMasterKeySpec string
	Description           string
	Enabled               bool
	KeyId                 string
	KeyManager            string
	KeySpec               string
	KeyState              string
	KeyUsage              string
	MultiRegion           bool
	Origin                string
	SigningAlgorithms     []string
}

func (s *Server) metadata(k *kmsKey) any {
	return map[string]kmsMetadata{"KeyMetadata": {
		AWSAccountId: s.config.Account, Arn: s.keyARN(k.Region, k.ID), CreationDate: float64(k.Created.UnixMilli()) / 1000,
		CustomerMasterKeySpec: k.Spec, Description: k.Description, Enabled: true, KeyId: k.ID, KeyManager: "CUSTOMER",
		KeySpec: k.Spec, KeyState: "Enabled", KeyUsage: "SIGN_VERIFY", Origin: "AWS_KMS", SigningAlgorithms: kmsSpecs[k.Spec].algorithms,
	}}
}

func (s *Server) createKey(c *call, in *kmsInput) (any, *wire.Failure) {
	spec := in.KeySpec
	switch {
	case spec == "":
		spec = in.CustomerMasterKeySpec
	case in.CustomerMasterKeySpec != "":
		return nil, kmsError("ValidationException", "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.")
	}
	if spec == "" {
		spec = "SYMMETRIC_DEFAULT"
	}
	kind, ok := kmsSpecs[spec]
	switch {
	case !ok:
		return nil, kmsError("UnsupportedOperationException", "The emulator has no keys of spec %s; it has RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256, ECC_NIST_P384 and ECC_NIST_P521", spec)
	case in.KeyUsage == "":
		return nil, kmsError("ValidationException", "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
	case in.KeyUsage != "SIGN_VERIFY":
		return nil, kmsError("UnsupportedOperationException", "The emulator has no keys for %s; it has keys for SIGN_VERIFY", in.KeyUsage)
	case in.Policy != "" || in.MultiRegion || in.CustomKeyStoreId != "" || in.XksKeyId != "" || in.Origin != "" && in.Origin != "AWS_KMS":
		return nil, kmsError("UnsupportedOperationException", "The emulator has no keys with a policy of their own, of several regions or from elsewhere")
	case len(in.Description) > 8192:
		return nil, kmsError("ValidationException", "1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal to 8192")
	}
	e := s.authorizeKMS(c, "*", &kmsKey{Spec: spec}, func(keys *policy.Context) {
		for _, t := range in.Tags {
			keys.Set("aws:RequestTag/"+t.Key, t.Value)
		}
	})
	if e != nil {
		return nil, e
	}
	signer, err := kind.generate()
	if err != nil {
		return nil, wire.ErrInternal
	}
	private, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return nil, wire.ErrInternal
	}
	key := &kmsKey{
		ID: newRequestID(), Region: c.region, Spec: spec, Description: in.Description, Created: c.at.UTC(), Tags: in.Tags,
		Private: private, signer: signer,
	}
	var change store.Change
	change.Put(bucketKey, key.ID, key)
	if change.Err != nil {
		return nil, wire.ErrInternal
	}
	s.kms.mu.Lock()
	s.kms.keys[key.ID] = key
	batch := s.store.Queue(change.Records...)
	s.kms.mu.Unlock()
	if s.store.Commit(batch) != nil {
		return nil, wire.ErrInternal
	}
	return s.metadata(key), nil
}

func (s *Server) describeKey(c *call, in *kmsInput) (any, *wire.Failure) {
	key, e := s.findKey(c, in.KeyId, nil)
	if e != nil {
		return nil, e
	}
	return s.metadata(key), nil
}

func (s *Server) getPublicKey(c *call, in *kmsInput) (any, *wire.Failure) {
	key, e := s.findKey(c, in.KeyId, nil)
	if e != nil {
		return nil, e
	}
	der, err := x509.MarshalPKIXPublicKey(key.signer.Public())
	if err != nil {
		return nil, wire.ErrInternal
	}
	return struct {
		KeyId                 string
		PublicKey             []byte
		CustomerMasterKeySpec string
		KeySpec               string
		KeyUsage              string
		SigningAlgorithms     []string
	}{s.keyARN(key.Region, key.ID), der, key.Spec, key.Spec, "SIGN_VERIFY", kmsSpecs[key.Spec].algorithms}, nil
}

// signWithKey is Sign.
func (s *Server) signWithKey(c *call, in *kmsInput) (any, *wire.Failure) {
	if in.MessageType == "" {
		in.MessageType = "RAW"
	}
	algorithm, known := kmsAlgorithms[in.SigningAlgorithm]
	switch {
	case !known:
		return nil, kmsError("ValidationException", "1 validation error detected: Value '%s' at 'signingAlgorithm' failed to satisfy constraint: Member must satisfy enum value set", in.SigningAlgorithm)
	case in.MessageType != "RAW" && in.MessageType != "DIGEST":
		return nil, kmsError("ValidationException", "1 validation error detected: Value '%s' at 'messageType' failed to satisfy constraint: Member must satisfy enum value set: [RAW, DIGEST]", in.MessageType)
	case len(in.Message) == 0 || len(in.Message) > 4096:
		return nil, kmsError("ValidationException", "1 validation error detected: Value at 'message' failed to satisfy constraint: Member must have length between 1 and 4096")
	}
	key, e := s.findKey(c, in.KeyId, func(keys *policy.Context) {
		keys.Set("kms:SigningAlgorithm", in.SigningAlgorithm)
		keys.Set("kms:MessageType", in.MessageType)
	})
	if e != nil {
		return nil, e
	}
	arn := s.keyARN(key.Region, key.ID)
	digest := in.Message
	switch {
	case !slices.Contains(kmsSpecs[key.Spec].algorithms, in.SigningAlgorithm):
		return nil, kmsError("InvalidKeyUsageException", "Algorithm %s is incompatible with key spec %s.", in.SigningAlgorithm, key.Spec)
	case in.MessageType == "RAW":
		h := algorithm.hash.New()
		h.Write(in.Message)
		digest = h.Sum(nil)
	case len(digest) != algorithm.hash.Size():
		return nil, kmsError("ValidationException", "Digest is invalid length for algorithm %s.", in.SigningAlgorithm)
	}
	if in.DryRun {
		return nil, kmsError("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
	}
	var options crypto.SignerOpts = algorithm.hash
	if algorithm.pss {
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: algorithm.hash}
	}
	signature, err := key.signer.Sign(rand.Reader, digest, options)
	if err != nil {
		return nil, wire.ErrInternal
	}
	return struct {
		KeyId            string
		Signature        []byte
		SigningAlgorithm string
	}{arn, signature, in.SigningAlgorithm}, nil
}
