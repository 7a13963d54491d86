package kms

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"slices"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

const (
	signVerify = "SIGN_VERIFY" // the one KeyUsage
	ownOrigin  = "AWS_KMS"     // the one Origin
)

// metadata is KeyMetadata.
type metadata struct {
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

type metadataOutput struct{ KeyMetadata metadata }

func (r *keyRing) metadata(k *key) metadataOutput {
	return metadataOutput{metadata{
		AWSAccountId: k.Account, Arn: r.arn(k), CreationDate: float64(k.Created.UnixMilli()) / 1000,
		CustomerMasterKeySpec: k.Spec, Description: k.Description, Enabled: true, KeyId: k.ID, KeyManager: "CUSTOMER",
		KeySpec: k.Spec, KeyState: "Enabled", KeyUsage: signVerify, Origin: ownOrigin, SigningAlgorithms: specs[k.Spec].algorithms,
	}}
}

type createKeyInput struct {
	KeySpec     string
	KeyUsage    string
	Description string
	Tags        []tag
	Policy      string

	BypassPolicyLockoutSafetyCheck bool

	// An older name, and what is not here.
	CustomerMasterKeySpec string
	Origin                string
	MultiRegion           bool
	CustomKeyStoreId      string
	XksKeyId              string
}

// spec is the spec that is asked for.
func (in *createKeyInput) spec() string {
	return cmp.Or(in.KeySpec, in.CustomerMasterKeySpec, "SYMMETRIC_DEFAULT")
}

// check refuses what the emulator does not have.
func (in *createKeyInput) check() *wire.Failure {
	_, known := specs[in.spec()]
	switch {
	case in.KeySpec != "" && in.CustomerMasterKeySpec != "":
		return invalid("You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.")
	case !known:
		return unsupported("The emulator has no keys of spec %s; it has RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256, ECC_NIST_P384 and "+
			"ECC_NIST_P521", in.spec())
	case in.KeyUsage == "":
		return invalid("You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
	case in.KeyUsage != signVerify:
		return unsupported("The emulator has no keys for %s; it has keys for SIGN_VERIFY", in.KeyUsage)
	case in.MultiRegion || in.CustomKeyStoreId != "" || in.XksKeyId != "" || in.Origin != "" && in.Origin != ownOrigin:
		return unsupported("The emulator has no keys of several regions or from elsewhere")
	case len(in.Description) > 8192:
		return invalid("1 validation error detected: Value at 'description' failed to satisfy constraint: " +
			"Member must have length less than or equal to 8192")
	}
	return nil
}

func (r *keyRing) createKey(c *api.Call, in *createKeyInput) (out metadataOutput, e *wire.Failure) {
	if e := in.check(); e != nil {
		return out, e
	}
	spec := in.spec()
	e = r.authorize(c, "*", &key{Spec: spec}, func(keys *policy.Context) {
		for _, t := range in.Tags {
			keys.Set("aws:RequestTag/"+t.Key, t.Value)
		}
	})
	if e != nil {
		return out, e
	}
	k := &key{
		ID: api.NewID(), Account: c.Caller.Account, Region: c.Region, Spec: spec,
		Description: in.Description, Created: c.At.UTC(), Tags: in.Tags,
	}
	if in.Policy != "" {
		e = r.setPolicy(c, k, in.Policy, in.BypassPolicyLockoutSafetyCheck)
	} else if r.parse(k) != nil {
		e = wire.ErrInternal
	}
	if e != nil {
		return out, e
	}
	signer, err := specs[spec].generate()
	if err != nil {
		return out, wire.ErrInternal
	}
	private, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return out, wire.ErrInternal
	}
	k.Private, k.signer = private, signer
	if e := r.keep(k); e != nil {
		return out, e
	}
	return r.metadata(k), nil
}

// keyInput is the input of operations on one key.
type keyInput struct{ KeyId string }

func (r *keyRing) describeKey(c *api.Call, in *keyInput) (out metadataOutput, e *wire.Failure) {
	k, e := r.find(c, in.KeyId, nil)
	if e != nil {
		return out, e
	}
	return r.metadata(k), nil
}

type publicKeyOutput struct {
	KeyId                 string
	PublicKey             []byte
	CustomerMasterKeySpec string
	KeySpec               string
	KeyUsage              string
	SigningAlgorithms     []string
}

func (r *keyRing) getPublicKey(c *api.Call, in *keyInput) (out publicKeyOutput, e *wire.Failure) {
	k, e := r.find(c, in.KeyId, nil)
	if e != nil {
		return out, e
	}
	der, err := x509.MarshalPKIXPublicKey(k.signer.Public())
	if err != nil {
		return out, wire.ErrInternal
	}
	return publicKeyOutput{r.arn(k), der, k.Spec, k.Spec, signVerify, specs[k.Spec].algorithms}, nil
}

type signInput struct {
	KeyId            string
	Message          []byte
	MessageType      string // RAW or DIGEST; "" is RAW
	SigningAlgorithm string
	DryRun           bool
}

type signOutput struct {
	KeyId            string
	Signature        []byte
	SigningAlgorithm string
}

// check refuses what no key signs.
func (in *signInput) check() *wire.Failure {
	const violated = "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: "
	_, known := algorithms[in.SigningAlgorithm]
	switch {
	case !known:
		return invalid(violated+"Member must satisfy enum value set", in.SigningAlgorithm, "signingAlgorithm")
	case in.MessageType != "RAW" && in.MessageType != "DIGEST":
		return invalid(violated+"Member must satisfy enum value set: [RAW, DIGEST]", in.MessageType, "messageType")
	case len(in.Message) == 0 || len(in.Message) > 4096:
		return invalid("1 validation error detected: Value at 'message' failed to satisfy constraint: " +
			"Member must have length between 1 and 4096")
	}
	return nil
}

// digest is what a key signs.
func (in *signInput) digest(k *key) ([]byte, *wire.Failure) {
	hash := algorithms[in.SigningAlgorithm].hash
	switch {
	case !slices.Contains(specs[k.Spec].algorithms, in.SigningAlgorithm):
		return nil, failure("InvalidKeyUsageException", "Algorithm %s is incompatible with key spec %s.", in.SigningAlgorithm, k.Spec)
	case in.MessageType == "RAW":
		h := hash.New()
		h.Write(in.Message)
		return h.Sum(nil), nil
	case len(in.Message) != hash.Size():
		return nil, invalid("Digest is invalid length for algorithm %s.", in.SigningAlgorithm)
	}
	return in.Message, nil
}

func (r *keyRing) sign(c *api.Call, in *signInput) (out signOutput, e *wire.Failure) {
	in.MessageType = cmp.Or(in.MessageType, "RAW")
	if e := in.check(); e != nil {
		return out, e
	}
	k, e := r.find(c, in.KeyId, func(keys *policy.Context) {
		keys.Set("kms:SigningAlgorithm", in.SigningAlgorithm)
		keys.Set("kms:MessageType", in.MessageType)
	})
	if e != nil {
		return out, e
	}
	digest, e := in.digest(k)
	if e != nil {
		return out, e
	}
	if in.DryRun {
		return out, failure("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
	}
	algorithm := algorithms[in.SigningAlgorithm]
	var options crypto.SignerOpts = algorithm.hash
	if algorithm.pss {
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: algorithm.hash}
	}
	signature, err := k.signer.Sign(rand.Reader, digest, options)
	if err != nil {
		return out, wire.ErrInternal
	}
	return signOutput{r.arn(k), signature, in.SigningAlgorithm}, nil
}
