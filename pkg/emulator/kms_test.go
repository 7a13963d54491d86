package emulator_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/openirsa/openirsa/pkg/emulator"
)

func kmsCode(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

func TestKMS(t *testing.T) {
	a := startAWS(t, emulator.Config{State: filepath.Join(t.TempDir(), "state.db")})
	client := kms.NewFromConfig(a.Config())
	ctx := t.Context()

	for spec, algorithms := range map[types.KeySpec][]types.SigningAlgorithmSpec{
		types.KeySpecRsa2048: {types.SigningAlgorithmSpecRsassaPkcs1V15Sha256, types.SigningAlgorithmSpecRsassaPkcs1V15Sha512, types.SigningAlgorithmSpecRsassaPssSha256,
			types.SigningAlgorithmSpecRsassaPkcs1V15Sha384, types.SigningAlgorithmSpecRsassaPssSha384, types.SigningAlgorithmSpecRsassaPssSha512},
		types.KeySpecEccNistP256: {types.SigningAlgorithmSpecEcdsaSha256},
		types.KeySpecEccNistP384: {types.SigningAlgorithmSpecEcdsaSha384},
		types.KeySpecEccNistP521: {types.SigningAlgorithmSpecEcdsaSha512},
	} {
		made, err := client.CreateKey(ctx, &kms.CreateKeyInput{KeySpec: spec, KeyUsage: types.KeyUsageTypeSignVerify, Description: new("for tokens")})
		if err != nil {
			t.Fatal(err)
		}
		meta := made.KeyMetadata
		if meta.KeySpec != spec || !meta.Enabled || meta.KeyState != types.KeyStateEnabled || *meta.Description != "for tokens" || len(meta.SigningAlgorithms) != len(algorithms) ||
			!strings.HasPrefix(*meta.Arn, "arn:aws:kms:us-east-1:"+a.Account()+":key/") || meta.CreationDate.IsZero() {
			t.Errorf("%s: made %+v", spec, meta)
		}
		described, err := client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: meta.Arn})
		if err != nil || *described.KeyMetadata.KeyId != *meta.KeyId {
			t.Errorf("%s: DescribeKey: %v", spec, err)
		}
		public, err := client.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: meta.KeyId})
		if err != nil || *public.KeyId != *meta.Arn || public.KeyUsage != types.KeyUsageTypeSignVerify {
			t.Fatalf("%s: GetPublicKey: %v %+v", spec, err, public)
		}
		key, err := x509.ParsePKIXPublicKey(public.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		message := []byte("a message")
		for _, algorithm := range algorithms {
			sum := sha256.Sum256(message)
			hash, digest := crypto.SHA256, sum[:]
			switch {
			case strings.HasSuffix(string(algorithm), "384"):
				sum := sha512.Sum384(message)
				hash, digest = crypto.SHA384, sum[:]
			case strings.HasSuffix(string(algorithm), "512"):
				sum := sha512.Sum512(message)
				hash, digest = crypto.SHA512, sum[:]
			}
			for messageType, content := range map[types.MessageType][]byte{"": message, types.MessageTypeRaw: message, types.MessageTypeDigest: digest} {
				got, err := client.Sign(ctx, &kms.SignInput{KeyId: meta.Arn, Message: content, MessageType: messageType, SigningAlgorithm: algorithm})
				if err != nil {
					t.Errorf("%s %s %s: %v", spec, algorithm, messageType, err)
					continue
				}
				good := false
				switch key := key.(type) {
				case *rsa.PublicKey:
					if strings.Contains(string(algorithm), "PSS") {
						good = rsa.VerifyPSS(key, hash, digest, got.Signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
					} else {
						good = rsa.VerifyPKCS1v15(key, hash, digest, got.Signature) == nil
					}
				case *ecdsa.PublicKey:
					good = ecdsa.VerifyASN1(key, digest, got.Signature)
				}
				if !good {
					t.Errorf("%s %s %s: the signature is wrong", spec, algorithm, messageType)
				}
			}
		}
	}
}

// Errors are those of the AWS KMS API Reference.
func TestKMSErrors(t *testing.T) {
	a := startAWS(t)
	client := kms.NewFromConfig(a.Config())
	ctx := t.Context()
	made, err := client.CreateKey(ctx, &kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify})
	if err != nil {
		t.Fatal(err)
	}
	id, arn := made.KeyMetadata.KeyId, made.KeyMetadata.Arn
	const ecdsa256 = types.SigningAlgorithmSpecEcdsaSha256
	sign := func(in kms.SignInput) error { _, err := client.Sign(ctx, &in); return err }
	create := func(in kms.CreateKeyInput) error { _, err := client.CreateKey(ctx, &in); return err }
	describe := func(id string, options ...func(*kms.Options)) error {
		_, err := client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &id}, options...)
		return err
	}
	// The SDK remembers signing keys by access key id, so each has a client.
	describeAs := func(id, secret string) error {
		_, err := kms.NewFromConfig(a.ConfigFor(id, secret, "")).DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: arn})
		return err
	}
	for _, test := range []struct {
		what string
		err  error
		code string
	}{
		{"no usage", create(kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048}), "ValidationException"},
		{"for encryption", create(kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeEncryptDecrypt}), "UnsupportedOperationException"},
		{"symmetric", create(kms.CreateKeyInput{}), "UnsupportedOperationException"},
		{"no policy", create(kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeSignVerify, Policy: new("{}")}), "MalformedPolicyDocumentException"},
		{"unknown key", describe("1234abcd-12ab-34cd-56ef-1234567890ab"), "NotFoundException"},
		{"unknown alias", describe("alias/none"), "NotFoundException"},
		{"other region", describe(*arn, func(o *kms.Options) { o.Region = "eu-west-1" }), "NotFoundException"},
		{"id in other region", describe(*id, func(o *kms.Options) { o.Region = "eu-west-1" }), "NotFoundException"},
		{"short digest", sign(kms.SignInput{KeyId: id, Message: []byte("x"), MessageType: types.MessageTypeDigest, SigningAlgorithm: ecdsa256}), "ValidationException"},
		{"no message", sign(kms.SignInput{KeyId: id, Message: []byte{}, SigningAlgorithm: ecdsa256}), "ValidationException"},
		{"long message", sign(kms.SignInput{KeyId: id, Message: make([]byte, 4097), SigningAlgorithm: ecdsa256}), "ValidationException"},
		{"unknown algorithm", sign(kms.SignInput{KeyId: id, Message: []byte("x"), SigningAlgorithm: "none"}), "ValidationException"},
		{"algorithm of RSA", sign(kms.SignInput{KeyId: id, Message: []byte("x"), SigningAlgorithm: types.SigningAlgorithmSpecRsassaPssSha256}), "InvalidKeyUsageException"},
		{"dry run", sign(kms.SignInput{KeyId: id, Message: []byte("x"), SigningAlgorithm: ecdsa256, DryRun: new(true)}), "DryRunOperationException"},
		{"wrong secret", describeAs("test", "wrong"), "InvalidSignatureException"},
		{"unknown access key", describeAs("AKIAUNKNOWN000000000", "x"), "UnrecognizedClientException"},
		{"no such operation", func() error { _, err := client.ListKeys(ctx, &kms.ListKeysInput{}); return err }(), "UnknownOperationException"},
	} {
		if got := kmsCode(test.err); got != test.code {
			t.Errorf("%s: %q (%v), want %q", test.what, got, test.err, test.code)
		}
	}
}

func TestKMSAuthorization(t *testing.T) {
	a := startAWS(t)
	ctx := t.Context()
	made, err := kms.NewFromConfig(a.Config()).CreateKey(ctx, &kms.CreateKeyInput{
		KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify, Tags: []types.Tag{{TagKey: new("for"), TagValue: new("tokens")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	root := iam.NewFromConfig(a.Config())
	if _, err := root.CreateUser(ctx, &iam.CreateUserInput{UserName: new("signer")}); err != nil {
		t.Fatal(err)
	}
	key, err := root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("signer")})
	if err != nil {
		t.Fatal(err)
	}
	client := kms.NewFromConfig(a.ConfigFor(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, ""))
	sign := func(messageType types.MessageType) error {
		_, err := client.Sign(ctx, &kms.SignInput{KeyId: made.KeyMetadata.KeyId, Message: make([]byte, 32), MessageType: messageType, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256})
		return err
	}
	err = sign(types.MessageTypeDigest)
	if kmsCode(err) != "AccessDeniedException" || !strings.Contains(err.Error(), "kms:Sign on resource: "+*made.KeyMetadata.Arn) {
		t.Errorf("without a policy: %v", err)
	}
	if d := a.LastDenial(); d.Service != "kms" || d.Action != "kms:Sign" || d.Resource != *made.KeyMetadata.Arn {
		t.Errorf("the event is %+v", d)
	}
	_, err = root.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("signer"), PolicyName: new("sign"), PolicyDocument: new(`{"Version": "2012-10-17", "Statement": {
		"Effect": "Allow", "Action": "kms:Sign", "Resource": "` + *made.KeyMetadata.Arn + `",
		"Condition": {"StringEquals": {"kms:MessageType": "DIGEST", "kms:SigningAlgorithm": "ECDSA_SHA_256", "aws:ResourceTag/for": "tokens",
			"kms:KeySpec": "ECC_NIST_P256", "kms:CustomerMasterKeySpec": "ECC_NIST_P256", "kms:CustomerMasterKeyUsage": "SIGN_VERIFY"}}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	if err := sign(types.MessageTypeDigest); err != nil {
		t.Errorf("with the policy: %v", err)
	}
	if err := sign(types.MessageTypeRaw); kmsCode(err) != "AccessDeniedException" {
		t.Errorf("against the policy's condition: %v", err)
	}
	if _, err := client.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: made.KeyMetadata.KeyId}); kmsCode(err) != "AccessDeniedException" {
		t.Errorf("another operation: %v", err)
	}
	if _, err := client.CreateKey(ctx, &kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify}); kmsCode(err) != "AccessDeniedException" {
		t.Errorf("making a key: %v", err)
	}
}

// Keys outlive the process.
func TestKMSState(t *testing.T) {
	config := emulator.Config{State: filepath.Join(t.TempDir(), "state.db")}
	var made *kms.CreateKeyOutput
	var before []byte
	t.Run("first", func(t *testing.T) {
		a := startAWS(t, config)
		var err error
		client := kms.NewFromConfig(a.Config())
		if made, err = client.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeSignVerify}); err != nil {
			t.Fatal(err)
		}
		public, err := client.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: made.KeyMetadata.KeyId})
		if err != nil {
			t.Fatal(err)
		}
		before = public.PublicKey
	})
	t.Run("second", func(t *testing.T) {
		a := startAWS(t, config)
		public, err := kms.NewFromConfig(a.Config()).GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: made.KeyMetadata.KeyId})
		if err != nil || string(public.PublicKey) != string(before) {
			t.Errorf("after a restart: %v", err)
		}
	})
}
