package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/openirsa/openirsa/internal/kubetest"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/token"
)

// apiServer is a real kube-apiserver with a service account default/app.
type apiServer struct {
	*testing.T
	*kubetest.Server
}

// startAPIServer starts one whose tokens are signed as the flags say.
func startAPIServer(t *testing.T, flags ...string) *apiServer {
	t.Helper()
	s := &apiServer{t, kubetest.Start(t, flags...)}
	_, err := s.Client.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "app"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// eventually waits until something works, and reports how long that took.
func (s *apiServer) eventually(within time.Duration, what string, try func(context.Context) error) time.Duration {
	s.Helper()
	start := time.Now()
	for {
		ctx, cancel := context.WithTimeout(s.Context(), 5*time.Second)
		err := try(ctx)
		cancel()
		if err == nil {
			return time.Since(start)
		}
		if time.Since(start) > within {
			s.Fatalf("not within %s: %s: %v", within, what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// token asks for a token of the service account default/app.
func (s *apiServer) token(ctx context.Context, seconds int64) (string, error) {
	r, err := s.Client.CoreV1().ServiceAccounts("default").CreateToken(ctx, "app", &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(seconds)},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return r.Status.Token, nil
}

func (s *apiServer) mustToken(seconds int64) string {
	s.Helper()
	t, err := s.token(s.Context(), seconds)
	if err != nil {
		s.Fatalf("asking for a token: %v", err)
	}
	return t
}

// whoami asks the API server whose token this is.
func (s *apiServer) whoami(ctx context.Context, token string) (string, error) {
	config := rest.AnonymousClientConfig(s.Config)
	config.BearerToken = token
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", err
	}
	r, err := c.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return r.Status.UserInfo.Username, nil
}

// good checks that the API server knows the token's service account.
func (s *apiServer) good(token string) {
	s.Helper()
	if who, err := s.whoami(s.Context(), token); err != nil || who != "system:serviceaccount:default:app" {
		s.Errorf("whoami: %q, %v", who, err)
	}
}

// jwks is what the API server publishes.
func (s *apiServer) jwks(ctx context.Context) (keys.Set, error) {
	body, err := s.Client.Discovery().RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(ctx)
	if err != nil {
		return keys.Set{}, err
	}
	return keys.ParseJWKS(body)
}

// publishes waits until the API server publishes exactly these keys.
func (s *apiServer) publishes(public ...keys.Public) time.Duration {
	s.Helper()
	want, err := keys.NewSet(public...)
	if err != nil {
		s.Fatal(err)
	}
	return s.eventually(20*time.Second, "the API server publishes the keys", func(ctx context.Context) error {
		set, err := s.jwks(ctx)
		if err == nil && !set.Equal(want) {
			err = fmt.Errorf("they are %s, want %s", set.JWKS(), want.JWKS())
		}
		return err
	})
}

// background is a run of the program until it is stopped.
type background struct {
	t    *testing.T
	stop context.CancelFunc
	done chan error
	log  lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func start(t *testing.T, args ...string) *background {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b := &background{t: t, stop: cancel, done: make(chan error, 1)}
	go func() { b.done <- Run(ctx, called(os.LookupEnv, &b.log, args...)) }()
	t.Cleanup(func() {
		b.end()
		if t.Failed() {
			t.Logf("issuer %s:\n%s", args[0], b.log.String())
		}
	})
	return b
}

// end stops it and waits.
func (b *background) end() {
	b.t.Helper()
	if b.stop == nil {
		return
	}
	b.stop()
	b.stop = nil
	if err := <-b.done; err != nil {
		b.t.Errorf("issuer: %v\n%s", err, b.log.String())
	}
}

// writeKey makes a key and puts it into a file of mode 0600, in one step.
func writeKey(t *testing.T, name, alg string) keys.Private {
	t.Helper()
	private, err := keys.Generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	next := name + ".next"
	if err := keys.WritePrivate(next, private); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, name); err != nil {
		t.Fatal(err)
	}
	return private
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name+".next", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".next", name); err != nil {
		t.Fatal(err)
	}
}

func TestSignForAPIServer(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	rsa := writeKey(t, in("rsa.key"), keys.RS256)
	account := newBucket(t).aws // whose KMS the signer reaches by the environment
	const head = "apiVersion: openirsa.dev/v1alpha1\nkind: Signer\n"
	writeFile(t, in("signer.yaml"), head+"sign: {file: rsa.key}\n")
	args := []string{"sign", "--config", in("signer.yaml"), "--socket", in("s.sock"), "--issuer", kubetest.Issuer, "--max-token-lifetime", "2h", "--refresh", "1s"}
	signer := start(t, args...)
	s := startAPIServer(t, "--service-account-signing-endpoint", in("s.sock"))
	s.publishes(rsa.Public())

	iss, err := issuer.Parse(kubetest.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	// verified checks a token as AWS does: against the published keys.
	verified := func(raw string, by keys.Public) token.Claims {
		t.Helper()
		header, _, err := token.ParseInsecure(raw)
		if err != nil {
			t.Fatal(err)
		}
		if header.KID != by.KID || header.Algorithm != by.Algorithm {
			t.Errorf("signed by %s %s, want %s %s", header.Algorithm, header.KID, by.Algorithm, by.KID)
		}
		set, err := s.jwks(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		claims, err := token.Verify(raw, set, token.Want{Issuer: iss, Audience: kubetest.Issuer})
		if err != nil {
			t.Errorf("verifying: %v", err)
		}
		return claims
	}

	old := s.mustToken(3600)
	verified(old, rsa.Public())
	s.good(old)

	t.Log("a token lives no longer than the signer allows")
	claims := verified(s.mustToken(48*3600), rsa.Public())
	if lives := claims.Expiry.Time().Sub(claims.IssuedAt.Time()); lives != 2*time.Hour {
		t.Errorf("a token lives %s, want 2h", lives)
	}

	t.Log("rotation: the new key is published first, then it signs, then the old one goes")
	ec := writeKey(t, in("ec.key"), keys.ES256)
	writeFile(t, in("signer.yaml"), head+"sign: {file: rsa.key}\ntrust: [{file: ec.key}]\n")
	t.Logf("published after %s", s.publishes(rsa.Public(), ec.Public()))
	verified(s.mustToken(3600), rsa.Public())
	writeFile(t, in("signer.yaml"), head+"sign: {file: ec.key}\ntrust: [{file: rsa.key}]\n")
	var newer string
	s.eventually(10*time.Second, "the new key signs", func(ctx context.Context) error {
		var err error
		newer, err = s.token(ctx, 3600)
		if err == nil {
			if header, _, _ := token.ParseInsecure(newer); header.KID != ec.Public().KID {
				err = errors.New("the old one does")
			}
		}
		return err
	})
	verified(newer, ec.Public())
	s.good(old)
	s.good(newer)
	writeFile(t, in("signer.yaml"), head+"sign: {file: ec.key}\n")
	s.publishes(ec.Public())
	s.good(newer)
	s.eventually(20*time.Second, "the API server refuses tokens of the old key", func(ctx context.Context) error {
		if who, err := s.whoami(ctx, old); err == nil {
			return fmt.Errorf("it takes it as one of %s", who)
		}
		return nil
	})

	t.Log("a configuration that is broken changes nothing")
	writeFile(t, in("signer.yaml"), head+"sign: {file: ec.key}\ntrust: [{fyle: rsa.key}]\n")
	s.eventually(5*time.Second, "the log says so", func(context.Context) error {
		if !strings.Contains(signer.log.String(), "field fyle not found") {
			return errors.New(signer.log.String())
		}
		return nil
	})
	verified(s.mustToken(3600), ec.Public())
	writeFile(t, in("signer.yaml"), head+"sign: {file: ec.key}\n")

	t.Log("the signer is down: no tokens, a clear error, and those that exist stay good")
	signer.end()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	_, err = s.token(ctx, 3600)
	cancel()
	if err == nil {
		t.Error("a token without a signer")
	}
	t.Logf("the API server says: %v", err)
	s.good(newer)
	if !strings.Contains(s.Log(), "s.sock") {
		t.Error("the API server's log does not name the socket")
	}
	signer = start(t, args...)
	t.Logf("it recovers after %s", s.eventually(30*time.Second, "tokens again", func(ctx context.Context) error {
		_, err := s.token(ctx, 3600)
		return err
	}))

	t.Log("a second signer takes the socket over")
	second := start(t, args...)
	s.eventually(10*time.Second, "the second serves", func(context.Context) error {
		if !strings.Contains(second.log.String(), "serving the API server") {
			return errors.New("not yet")
		}
		return nil
	})
	signer.end()
	s.eventually(30*time.Second, "tokens from the second", func(ctx context.Context) error {
		_, err := s.token(ctx, 3600)
		return err
	})

	t.Log("keys that never leave KMS")
	inKMS := kms.NewFromConfig(account.Config())
	for _, spec := range []types.KeySpec{types.KeySpecRsa2048, types.KeySpecEccNistP384} {
		made, err := inKMS.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: spec, KeyUsage: types.KeyUsageTypeSignVerify})
		if err != nil {
			t.Fatal(err)
		}
		got, err := inKMS.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: made.KeyMetadata.KeyId})
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParsePKIXPublicKey(got.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		public, err := keys.NewPublic(parsed)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, in("signer.yaml"), head+"sign: {kms: '"+*made.KeyMetadata.Arn+"'}\ntrust: [{file: ec.key}]\n")
		s.publishes(ec.Public(), public)
		remote := s.mustToken(3600)
		verified(remote, public)
		s.good(remote)
		s.good(newer)
	}
	if strings.Contains(second.log.String(), "level=ERROR") {
		t.Errorf("the log has errors:\n%s", second.log.String())
	}

	t.Log("KMS refuses: whoever wants a token learns why there is none")
	account.Inject(emulator.Fault{Action: "kms:Sign", Code: "DisabledException", Message: "the key is disabled"})
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
	_, err = s.token(ctx, 3600)
	cancel()
	for _, w := range []string{"signing with key", "DisabledException", "the key is disabled"} {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("the API server says %v, want %q in it", err, w)
		}
	}
	t.Logf("the API server says: %v", err)
	s.good(newer)
	account.ClearFaults()
	s.mustToken(3600)
}

// What an API server publishes is served as its bytes, and follows it.
func TestServeAPIServer(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	k1 := writeKey(t, in("sa.key"), keys.RS256)
	s := startAPIServer(t, "--service-account-signing-key-file", in("sa.key"), "--service-account-key-file", in("sa.key"))
	address := fmt.Sprintf("127.0.0.1:%d", kubetest.FreePort(t))
	start(t, "serve", "--issuer", "https://"+address, "--kubeconfig", s.Kubeconfig(), "--listen", address, "--admin-listen", "")
	s.eventually(10*time.Second, "the keys are served", func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, "GET", "http://"+address+issuer.JWKSPath, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var body strings.Builder
		if err := resp.Write(&body); err != nil {
			return err
		}
		if !strings.Contains(body.String(), k1.Public().KID) {
			return fmt.Errorf("served: %s", body.String())
		}
		return nil
	})

	t.Log("one of several replicas publishes, and another takes over")
	b := newBucket(t)
	publish := func() *background {
		return start(t, "publish", "--bucket", bucketName, "--kubeconfig", s.Kubeconfig(), "--lease-namespace", "default", "--admin-listen", "", "--interval", "1s")
	}
	first := publish()
	s.eventually(20*time.Second, "the first publishes", func(context.Context) error {
		_, body, err := b.object(b.s3, issuer.JWKSPath)
		if err == nil && !strings.Contains(string(body), k1.Public().KID) {
			err = fmt.Errorf("published: %s", body)
		}
		return err
	})
	b.served(k1.Public())
	second := publish()
	time.Sleep(3 * time.Second)
	if strings.Contains(second.log.String(), "this replica is elected") {
		t.Errorf("both are elected:\n%s", second.log.String())
	}
	first.end()
	t.Logf("the second takes over after %s", s.eventually(10*time.Second, "the second is elected", func(context.Context) error {
		if !strings.Contains(second.log.String(), "this replica is elected") {
			return errors.New("not yet")
		}
		return nil
	}))
	lease, err := s.Client.CoordinationV1().Leases("default").Get(t.Context(), "issuer-publish", metav1.GetOptions{})
	if err != nil || *lease.Spec.LeaseDurationSeconds != 15 {
		t.Errorf("lease %v, %v", lease, err)
	}
}
