package signer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"go.yaml.in/yaml/v3"

	"github.com/openirsa/openirsa/internal/durable"
	"github.com/openirsa/openirsa/pkg/keys"
)

// local is a key in this process.
type local struct{ private keys.Private }

// Local is a key held in memory, such as one from [keys.ReadPrivate].
func Local(private keys.Private) Key { return local{private} }

func (k local) Public() keys.Public { return k.private.Public() }

func (k local) SignDigest(_ context.Context, digest []byte, hash crypto.Hash) ([]byte, error) {
	return k.private.Signer().Sign(rand.Reader, digest, hash)
}

// KMS are the calls of AWS KMS that signing needs; *kms.Client has them.
type KMS interface {
	GetPublicKey(context.Context, *kms.GetPublicKeyInput, ...func(*kms.Options)) (*kms.GetPublicKeyOutput, error)
	Sign(context.Context, *kms.SignInput, ...func(*kms.Options)) (*kms.SignOutput, error)
}

// remote is a key in KMS.
type remote struct {
	client    KMS
	arn       string
	public    keys.Public
	algorithm types.SigningAlgorithmSpec
}

// kmsAlgorithms are KMS's names of the algorithms (Sign, SigningAlgorithm).
var kmsAlgorithms = map[string]types.SigningAlgorithmSpec{
	keys.RS256: types.SigningAlgorithmSpecRsassaPkcs1V15Sha256,
	keys.ES256: types.SigningAlgorithmSpecEcdsaSha256,
	keys.ES384: types.SigningAlgorithmSpecEcdsaSha384,
	keys.ES512: types.SigningAlgorithmSpecEcdsaSha512,
}

// InKMS is an asymmetric key in AWS KMS, by its id, ARN or alias: RSA, or ECC on
// a NIST curve, for signing (KeyUsage SIGN_VERIFY). An alias is followed once:
// the key is used by its ARN from then on. It needs kms:GetPublicKey and kms:Sign.
func InKMS(ctx context.Context, client KMS, id string) (Key, error) {
	public, arn, algorithms, err := publicKey(ctx, client, id)
	if err != nil {
		return nil, err
	}
	algorithm := kmsAlgorithms[public.Algorithm]
	if !slices.Contains(algorithms, algorithm) {
		return nil, fmt.Errorf("KMS key %s cannot sign with %s (it has %q)", id, algorithm, algorithms)
	}
	return remote{client, arn, public, algorithm}, nil
}

// publicKey is the public half of a key in KMS.
func publicKey(ctx context.Context, client KMS, id string) (keys.Public, string, []types.SigningAlgorithmSpec, error) {
	fail := func(err error) (keys.Public, string, []types.SigningAlgorithmSpec, error) {
		return keys.Public{}, "", nil, fmt.Errorf("reading the public key of KMS key %s: %w", id, err)
	}
	out, err := client.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &id})
	if err != nil {
		return fail(err)
	}
	if out.KeyUsage != types.KeyUsageTypeSignVerify {
		return fail(fmt.Errorf("its usage is %s, not %s", out.KeyUsage, types.KeyUsageTypeSignVerify))
	}
	key, err := x509.ParsePKIXPublicKey(out.PublicKey)
	if err != nil {
		return fail(err)
	}
	public, err := keys.NewPublic(key)
	if err != nil {
		return fail(err)
	}
	return public, aws.ToString(out.KeyId), out.SigningAlgorithms, nil
}

func (k remote) Public() keys.Public { return k.public }

func (k remote) SignDigest(ctx context.Context, digest []byte, _ crypto.Hash) ([]byte, error) {
	out, err := k.client.Sign(ctx, &kms.SignInput{
		KeyId: &k.arn, Message: digest, MessageType: types.MessageTypeDigest, SigningAlgorithm: k.algorithm,
	})
	if err != nil {
		return nil, err
	}
	return out.Signature, nil
}

// The head of a configuration file.
const (
	APIVersion = "openirsa.dev/v1alpha1"
	Kind       = "Signer"
)

// Config says where the keys of a signer are:
//
//	apiVersion: openirsa.dev/v1alpha1
//	kind: Signer
//	sign: {file: sa-2.key}
//	trust:
//	  - {file: sa-1.pub}
type Config struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	// Sign is the key that signs.
	Sign Ref `yaml:"sign"`
	// Trust are further keys whose tokens are valid. They are published, unless
	// they say otherwise.
	Trust []Ref `yaml:"trust"`
}

// Ref names a key: one of File and KMS.
type Ref struct {
	// File is a PEM file: a private key of mode 0600 if it signs; any keys, of
	// which the public halves count, if they are trusted. Relative names are
	// relative to the configuration file.
	File string `yaml:"file"`
	// KMS is the id, ARN or alias of a key in AWS KMS.
	KMS string `yaml:"kms"`
	// Unpublished keeps a trusted key out of the JWKS: its tokens are only for the
	// API server itself.
	Unpublished bool `yaml:"unpublished"`
}

// ParseConfig reads a configuration file that is in the directory dir.
func ParseConfig(data []byte, dir string) (Config, error) {
	var c Config
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		return Config{}, err
	}
	if c.APIVersion != APIVersion || c.Kind != Kind {
		return Config{}, fmt.Errorf("it is %q, %q: expected apiVersion: %s and kind: %s", c.APIVersion, c.Kind, APIVersion, Kind)
	}
	for _, ref := range c.refs() {
		if ref.File != "" && !filepath.IsAbs(ref.File) {
			ref.File = filepath.Join(dir, ref.File)
		}
	}
	return c, c.Check()
}

func (c *Config) refs() []*Ref {
	refs := []*Ref{&c.Sign}
	for i := range c.Trust {
		refs = append(refs, &c.Trust[i])
	}
	return refs
}

// Check reports what is wrong with the configuration, without reading any key.
func (c Config) Check() error {
	for i, ref := range c.refs() {
		what := "sign"
		if i > 0 {
			what = fmt.Sprintf("trust, key %d", i)
		}
		switch {
		case ref.File == "" && ref.KMS == "":
			return fmt.Errorf("%s: it names no key: file or kms", what)
		case ref.File != "" && ref.KMS != "":
			return fmt.Errorf("%s: it names both a file and a key of KMS", what)
		case i == 0 && ref.Unpublished:
			return errors.New("sign: the key that signs must be published")
		}
	}
	return nil
}

// maxFile bounds the files that are read, in bytes.
const maxFile = 1 << 20

// ReadTrusted reads a file that decides whose tokens are valid: the configuration,
// or a key. It must be a regular file that only this user and root can write.
func ReadTrusted(name string) ([]byte, error) {
	data, info, err := durable.ReadFile(name, maxFile)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return nil, fmt.Errorf("its mode is %#o and others can write it; run chmod go-w %s", mode, name)
	}
	return data, durable.CheckOwner(info)
}

// Keys reads the keys. The client is only made if one of them is in KMS.
func (c Config) Keys(ctx context.Context, client func(context.Context) (KMS, error)) (Keys, error) {
	var k Keys
	var err error
	if c.Sign.File != "" {
		private, err := keys.ReadPrivate(c.Sign.File)
		if err != nil {
			return Keys{}, err
		}
		k.Sign = Local(private)
	} else {
		in, err := client(ctx)
		if err != nil {
			return Keys{}, err
		}
		if k.Sign, err = InKMS(ctx, in, c.Sign.KMS); err != nil {
			return Keys{}, err
		}
	}
	for _, ref := range c.Trust {
		var public []keys.Public
		if ref.File != "" {
			var data []byte
			if data, err = ReadTrusted(ref.File); err == nil {
				public, err = keys.ParsePEM(data)
			}
			if err != nil {
				return Keys{}, fmt.Errorf("reading key file %s: %w", ref.File, err)
			}
		} else {
			in, err := client(ctx)
			if err != nil {
				return Keys{}, err
			}
			key, _, _, err := publicKey(ctx, in, ref.KMS)
			if err != nil {
				return Keys{}, err
			}
			public = []keys.Public{key}
		}
		if ref.Unpublished {
			k.Unpublished = append(k.Unpublished, public...)
		} else {
			k.Trusted = append(k.Trusted, public...)
		}
	}
	return k, nil
}

// remoteRefresh is how often keys in KMS are read again, since aliases may move.
const remoteRefresh = time.Minute

// Watch loads the keys again when their files or the configuration file at path
// change, which it checks every second, and keys in KMS every minute, until ctx
// ends. The path may be empty.
func (s *Signer) Watch(ctx context.Context, path string, current func() Config) {
	fingerprint := func() string {
		var b strings.Builder
		c := current()
		names := []string{path}
		for _, ref := range c.refs() {
			names = append(names, ref.File)
		}
		for _, name := range names {
			if info, err := os.Stat(name); err == nil {
				fmt.Fprintf(&b, "%s %d %d %o\n", name, info.Size(), info.ModTime().UnixNano(), info.Mode())
			}
		}
		return b.String()
	}
	before, loaded := fingerprint(), time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := fingerprint()
		if now == before && s.Fault() == nil && time.Since(loaded) < remoteRefresh {
			continue
		}
		s.Load(ctx) // it logs what is wrong
		before, loaded = now, time.Now()
	}
}
