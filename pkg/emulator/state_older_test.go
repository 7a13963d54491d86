package emulator_test

import (
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// olderState is what testdata/state-a44849b.json tells of the state file beside
// it, which the emulator of that commit wrote.
type olderState struct {
	Made      time.Time
	AccessKey struct{ ID, Secret string }
	Session   struct{ ID, Secret, Token string }
	RoleARN   string
	RoleID    string
	Upload    string
	KMSKey    string
	PublicKey []byte
}

// olderAccount runs an emulator on that state file, at the time when it was
// made; with accounts, one that has several.
func olderAccount(t *testing.T, accounts ...string) (config func(id, secret, token string) aws.Config, state olderState) {
	t.Helper()
	text, err := os.ReadFile("testdata/state-a44849b.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	packed, err := os.Open("testdata/state-a44849b.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	content, err := io.ReadAll(must(gzip.NewReader(packed)))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := emulator.New(emulator.Config{State: path, Accounts: accounts})
	if err != nil {
		t.Fatal(err)
	}
	server.FastForward(time.Until(state.Made)) // the session is of then
	web := httptest.NewServer(server)
	t.Cleanup(func() { web.Close(); server.Close() })
	return func(id, secret, token string) aws.Config {
		return aws.Config{Region: "us-east-1", BaseEndpoint: &web.URL, Credentials: credentials.NewStaticCredentialsProvider(id, secret, token)}
	}, state
}

// TestOlderStateOfSeveral: the account of an older file is the home account of an
// emulator with several.
func TestOlderStateOfSeveral(t *testing.T) {
	config, state := olderAccount(t, emulator.DefaultAccount, accountB)
	for _, c := range []struct {
		config aws.Config
		want   string
	}{
		{config(state.AccessKey.ID, state.AccessKey.Secret, ""), emulator.DefaultAccount},
		{config(state.Session.ID, state.Session.Secret, state.Session.Token), emulator.DefaultAccount},
		{config(accountB, "test", ""), accountB},
	} {
		if got, _, _ := strings.Cut(whoIs(t, c.config), " "); got != c.want {
			t.Errorf("the caller is of %s, not of %s", got, c.want)
		}
	}
	key, err := kms.NewFromConfig(config("test", "test", "")).DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &state.KMSKey})
	if err != nil || *key.KeyMetadata.AWSAccountId != emulator.DefaultAccount {
		t.Errorf("the key: %v %v", key, err)
	}
	roles, err := iam.NewFromConfig(config(accountB, "test", "")).ListRoles(t.Context(), &iam.ListRolesInput{})
	if err != nil || len(roles.Roles) != 0 {
		t.Errorf("the other account has %v (%v)", roles, err)
	}
}

// TestOlderState: all that an earlier emulator stored is there, and means what it
// meant: credentials work, policies allow and deny, bodies and keys are whole.
func TestOlderState(t *testing.T) {
	config, state := olderAccount(t)
	ctx := t.Context()
	root := config("test", "test", "")

	user := config(state.AccessKey.ID, state.AccessKey.Secret, "")
	if who, err := sts.NewFromConfig(user).GetCallerIdentity(ctx, nil); err != nil || *who.Arn != "arn:aws:iam::000000000000:user/ann" {
		t.Errorf("the user: %+v, %v", who, err)
	}
	if _, err := sts.NewFromConfig(user).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &state.RoleARN, RoleSessionName: new("now")}); err != nil {
		t.Errorf("the user assumes the role, as its group and the role's trust policy allow: %v", err)
	}
	session := config(state.Session.ID, state.Session.Secret, state.Session.Token)
	if who, err := sts.NewFromConfig(session).GetCallerIdentity(ctx, nil); err != nil || *who.UserId != state.RoleID+":of-old" {
		t.Errorf("the session: %+v, %v", who, err)
	}

	buckets := s3.NewFromConfig(session, func(o *s3.Options) { o.UsePathStyle = true })
	got, err := buckets.GetObject(ctx, &s3.GetObjectInput{Bucket: new("documents"), Key: new("keys.json")})
	if err != nil {
		t.Fatalf("the role's attached policy: %v", err)
	}
	body, err := io.ReadAll(got.Body)
	if string(body) != `{"keys":[]}` || err != nil || got.Metadata["made-by"] != "openirsa" || *got.ContentType != "application/json" || *got.TagCount != 1 {
		t.Errorf("the object: %q, %v, %+v", body, err, got)
	}
	if list, err := buckets.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: new("documents")}); err != nil || len(list.Contents) != 1 {
		t.Errorf("the bucket's policy: %+v, %v", list, err)
	}
	if _, err := buckets.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: new("documents"), Key: new("keys.json")}); kmsCode(err) != "AccessDenied" {
		t.Errorf("what no policy allows: %v", err)
	}
	owner := s3.NewFromConfig(root, func(o *s3.Options) { o.UsePathStyle = true })
	if tags, err := owner.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: new("documents")}); err != nil || *tags.TagSet[0].Key != "openirsa" {
		t.Errorf("tags of the bucket: %+v, %v", tags, err)
	}
	parts, err := owner.ListParts(ctx, &s3.ListPartsInput{Bucket: new("documents"), Key: new("large"), UploadId: &state.Upload})
	if err != nil || len(parts.Parts) != 1 || *parts.Parts[0].Size != int64(len("part one")) {
		t.Errorf("the upload under way: %+v, %v", parts, err)
	}

	providers, err := iam.NewFromConfig(root).ListOpenIDConnectProviders(ctx, nil)
	if err != nil || len(providers.OpenIDConnectProviderList) != 1 {
		t.Errorf("the OIDC provider: %+v, %v", providers, err)
	}

	digest := sha256.Sum256([]byte("a message"))
	signed, err := kms.NewFromConfig(root).Sign(ctx, &kms.SignInput{
		KeyId: &state.KMSKey, Message: digest[:], MessageType: kmstypes.MessageTypeDigest, SigningAlgorithm: kmstypes.SigningAlgorithmSpecEcdsaSha256,
	})
	if err != nil {
		t.Fatal(err)
	}
	if public := must(x509.ParsePKIXPublicKey(state.PublicKey)).(*ecdsa.PublicKey); !ecdsa.VerifyASN1(public, digest[:], signed.Signature) {
		t.Error("the KMS key is another one")
	}
}
