package openirsa_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/openirsa/openirsa/internal/needs"
	"github.com/openirsa/openirsa/testcontainers"
)

// image is the project's own, in a Docker daemon. e2e/containers brings both.
func image(t *testing.T) string {
	img := os.Getenv("OPENIRSA_IMAGE")
	if img == "" {
		needs.Lacking(t, "a Docker daemon with the image that OPENIRSA_IMAGE names (e2e/containers has both)")
	}
	return img
}

// run runs the emulator until the test ends.
func run(t *testing.T, opts ...testcontainers.ContainerCustomizer) *openirsa.Container {
	t.Helper()
	start := time.Now()
	c, err := openirsa.Run(t.Context(), image(t), opts...)
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("runs after %.1f s", time.Since(start).Seconds())
	return c
}

func config(t *testing.T, c *openirsa.Container) aws.Config {
	t.Helper()
	config, err := c.Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// A token gives credentials of the role that trusts its service account, which may do what its policies say, and the
// token of another service account gives none.
func TestRole(t *testing.T) {
	c, ctx := run(t, openirsa.WithAccount("111122223333"), openirsa.WithRegion("eu-west-1")), t.Context()
	iss, err := c.Issuer(ctx, "dev")
	if err != nil {
		t.Fatal(err)
	}
	if want := "https://issuer-dev.s3.eu-west-1.amazonaws.com"; iss.URL != want {
		t.Errorf("issuer %s, want %s", iss.URL, want)
	}
	arn, err := iss.Role(ctx, "default", "app", "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
	if err != nil {
		t.Fatal(err)
	}
	assume := func(serviceAccount string) (*sts.AssumeRoleWithWebIdentityOutput, error) {
		token, err := iss.Token("default", serviceAccount)
		if err != nil {
			t.Fatal(err)
		}
		stranger := config(t, c)
		stranger.Credentials = aws.AnonymousCredentials{}
		return sts.NewFromConfig(stranger).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
			RoleArn: &arn, RoleSessionName: new("test"), WebIdentityToken: &token,
		})
	}
	if _, err := assume("other"); code(err) != "AccessDenied" {
		t.Errorf("another service account: %v, want AccessDenied", err)
	}
	out, err := assume("app")
	if err != nil {
		t.Fatal(err)
	}
	if got := aws.ToString(out.AssumedRoleUser.Arn); !strings.HasPrefix(got, "arn:aws:sts::111122223333:assumed-role/") {
		t.Errorf("the caller is %s", got)
	}
	role := config(t, c)
	role.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey,
			SessionToken: *out.Credentials.SessionToken}, nil
	})
	if _, err := iam.NewFromConfig(role).ListGroups(ctx, nil); err != nil {
		t.Error(err)
	}
	if _, err := iam.NewFromConfig(role).CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("g")}); code(err) != "AccessDenied" {
		t.Errorf("creating a group: %v, want AccessDenied", err)
	}
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

// What one container has acknowledged the next one has, if both have the same volume.
func TestState(t *testing.T) {
	ctx, volume := t.Context(), fmt.Sprintf("openirsa-test-%d", time.Now().UnixNano())
	first := run(t, openirsa.WithState(volume))
	if _, err := s3.NewFromConfig(config(t, first)).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: new("kept")}); err != nil {
		t.Fatal(err)
	}
	if err := first.Terminate(ctx); err != nil {
		t.Fatal(err)
	}
	second := run(t, openirsa.WithState(volume))
	t.Cleanup(func() {
		if err := second.Terminate(context.WithoutCancel(ctx), testcontainers.RemoveVolumes(volume)); err != nil {
			t.Error(err)
		}
	})
	if _, err := s3.NewFromConfig(config(t, second)).HeadBucket(ctx, &s3.HeadBucketInput{Bucket: new("kept")}); err != nil {
		t.Errorf("the bucket is lost: %v", err)
	}
}

// Another container reaches the emulator by its alias: the program issuer publishes a key into a bucket there. The
// emulator's own pages are there by that name, and by no other.
func TestAlias(t *testing.T) {
	ctx := t.Context()
	nw, err := network.New(ctx)
	testcontainers.CleanupNetwork(t, nw)
	if err != nil {
		t.Fatal(err)
	}
	c := run(t, network.WithNetwork([]string{"aws"}, nw))
	store := s3.NewFromConfig(config(t, c))
	if _, err := store.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: new("documents")}); err != nil {
		t.Fatal(err)
	}
	publisher, err := testcontainers.Run(ctx, image(t), testcontainers.WithEntrypoint("/issuer"),
		testcontainers.WithCmd("publish", "--once", "--bucket=documents", "--key-file=/key.pub"),
		testcontainers.WithFiles(testcontainers.ContainerFile{Reader: publicKey(t), ContainerFilePath: "/key.pub", FileMode: 0o644}),
		testcontainers.WithEnv(map[string]string{"AWS_ENDPOINT_URL": "http://aws:4566", "AWS_REGION": openirsa.DefaultRegion,
			"AWS_ACCESS_KEY_ID": openirsa.RootCredential, "AWS_SECRET_ACCESS_KEY": openirsa.RootCredential}),
		network.WithNetwork(nil, nw), testcontainers.WithWaitStrategy(wait.ForExit().WithExitTimeout(time.Minute)))
	testcontainers.CleanupContainer(t, publisher)
	if err != nil {
		t.Fatal(err)
	}
	state, err := publisher.State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if state.ExitCode != 0 {
		t.Errorf("issuer publish ends with %d: %s", state.ExitCode, logs(t, publisher))
	}
	if _, err := store.HeadObject(ctx, &s3.HeadObjectInput{Bucket: new("documents"), Key: new("openid/v1/jwks")}); err != nil {
		t.Errorf("the key set: %v", err)
	}

	url, err := c.EndpointURL(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for host, status := range map[string]int{"aws:4566": http.StatusOK, "stranger:4566": http.StatusMisdirectedRequest} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/_openirsa/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("events at %s: status %d, want %d", host, resp.StatusCode, status)
		}
	}
}

func publicKey(t *testing.T) io.Reader {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func logs(t *testing.T, c testcontainers.Container) string {
	t.Helper()
	r, err := c.Logs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A container that cannot start is an error that names the image, and says why.
func TestRefused(t *testing.T) {
	c, err := openirsa.Run(t.Context(), image(t), openirsa.WithAccount("12"),
		testcontainers.WithWaitStrategy(wait.ForHTTP("/_openirsa/health").WithPort(openirsa.Port).WithStartupTimeout(20*time.Second)))
	testcontainers.CleanupContainer(t, c)
	if err == nil || !strings.Contains(err.Error(), os.Getenv("OPENIRSA_IMAGE")) {
		t.Errorf("an account of two digits: %v", err)
	}
}
