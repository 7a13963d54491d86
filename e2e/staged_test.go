package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
)

// tokenLifetime is how long the load uses a token, and what setup is given: Kubernetes itself gives none of less
// than ten minutes. OPENIRSA_E2E_TOKEN_LIFETIME=10m uses each to its very end.
func tokenLifetime(t testing.TB) time.Duration {
	t.Helper()
	s := os.Getenv("OPENIRSA_E2E_TOKEN_LIFETIME")
	if s == "" {
		return 90 * time.Second
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("OPENIRSA_E2E_TOKEN_LIFETIME: %v", err)
	}
	return d
}

// stages of a staged change, as setup announces them.
var stages = []string{"prepare", "wait-caches", "sign", "wait-tokens", "prune"}

// testRotation: the signing key is replaced while tokens are presented without pause, and none fails. The chain is removed
// then.
func testRotation(t *testing.T) {
	rotate := func(*testing.T) []string { return []string{"keys", "rotate"} }
	t.Run("UnderLoad", func(t *testing.T) { staged(t, primary, rotate, false) })
	t.Run("Killed", func(t *testing.T) { staged(t, primary, rotate, true) })
	if !t.Failed() {
		primary.setup(t, "down").ok(t)
	}
}

// staged goes through a change under load. If kill is set, in each stage first the API server is killed and then setup,
// and the same command is run again.
func staged(t *testing.T, k *kube, command func(*testing.T) []string, kill bool) {
	t.Cleanup(func() { k.explain(t) })
	lifetime := tokenLifetime(t)
	l := startLoad(t, k, "-age", lifetime.String())
	was := k.signs(t)
	old := k.token(t, loadNamespace, loadAccount)
	args := append(command(t), "--cache-wait", "10s", "--token-lifetime", lifetime.String(), "--kind-name", k.Name)
	within := 10*time.Minute + 2*lifetime
	start := time.Now()
	if kill {
		for _, stage := range stages {
			k.killedIn(t, stage, within, args)
		}
	}
	r := invocation{within: within}.run(t, args...).ok(t)
	took := time.Since(start)
	said := r.stdout
	if !kill {
		for _, stage := range stages {
			if !strings.Contains(said, "stage "+stage) {
				t.Errorf("setup does not speak of stage %s", stage)
			}
		}
	}
	last := l.stop(t)
	t.Logf("%s: %.0fs", strings.Join(args[:2], " "), took.Seconds())

	is := k.signs(t)
	if is == was {
		t.Fatalf("tokens are still of %s", was)
	}
	former, current := last.Kids[was], last.Kids[is]
	if former.STS == 0 || current.STS == 0 || former.API == 0 || current.API == 0 {
		t.Fatalf("the load used %v, want tokens of both %s and %s", last.Kids, was, is)
	}
	if overlap := former.Last.Sub(current.First); overlap < lifetime/4 {
		t.Errorf("tokens of the former were used for %s beside those of the new, want about %s", overlap, lifetime)
	} else {
		t.Logf("tokens of the former were used for %.0fs beside those of the new", overlap.Seconds())
	}

	// What is gone is gone.
	if _, err := k.whoami(suite, old); err == nil {
		t.Error("a token of the former is still good for the API server")
	}
	kid, iss, _ := strings.Cut(is, " ")
	if k.issuer(t) != iss {
		t.Errorf("the API server's issuer is %s, its tokens' %s", k.issuer(t), iss)
	}
	set := k.published(t, iss)
	if _, ok := set.Lookup(kid); !ok || set.Len() != 1 {
		t.Errorf("published are %v, want the one key %s", set, kid)
	}
	// And nothing is left under way.
	status := k.setup(t, "status", "-o", "json").ok(t)
	if strings.Contains(status.stdout, `"change"`) {
		t.Errorf("status speaks of a change:\n%s", status.stdout)
	}
	k.setup(t, "doctor").ok(t)
}

// killedIn runs setup until it is in a stage, and then kills first the API server and, if it is still there, setup.
func (k *kube) killedIn(t *testing.T, stage string, within time.Duration, args []string) {
	t.Helper()
	killed := make(chan error, 1)
	v := invocation{within: within, when: map[string]func(*os.Process){
		"stage " + stage: func(p *os.Process) {
			time.Sleep(2 * time.Second)
			killed <- k.killAPIServer(suite, "")
			time.Sleep(2 * time.Second)
			_ = p.Kill()
		},
	}}
	r := v.run(t, args...)
	select {
	case err := <-killed:
		if err != nil {
			t.Logf("in stage %s there was no API server to kill: %v", stage, err)
		}
	default:
		t.Fatalf("setup ended with %d before stage %s", r.code, stage)
	}
	switch {
	case r.code == 0:
		t.Logf("stage %s was over, and all that followed, before setup was killed", stage)
	case r.code == 1 && !strings.Contains(r.stderr, "next: "):
		t.Errorf("in stage %s setup does not say what is next:\n%s", stage, r.stderr)
	}
	k.ready(t)
}

// ready waits until the API server is.
func (k *kube) ready(t testing.TB) {
	t.Helper()
	poll(t, patience, "waiting for the API server", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_, err := k.client.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err
	})
}

// signs is with what the API server signs at the moment, as "KID ISSUER".
func (k *kube) signs(t testing.TB) string {
	t.Helper()
	var raw string
	poll(t, patience, "requesting a token", func(ctx context.Context) error {
		tr, err := k.client.CoreV1().ServiceAccounts(loadNamespace).CreateToken(ctx, loadAccount,
			&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err == nil {
			raw = tr.Status.Token
		}
		return err
	})
	parsed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.ES384, jose.ES512})
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Iss string }
	if err := json.Unmarshal(parsed.UnsafePayloadWithoutVerification(), &claims); err != nil {
		t.Fatal(err)
	}
	return parsed.Signatures[0].Header.KeyID + " " + claims.Iss
}

// published is the key set that a stranger reads below an issuer in the emulator's S3.
func (k *kube) published(t testing.TB, iss string) keys.Set {
	t.Helper()
	svc, err := k.client.CoreV1().Services(system).Get(suite, emulatorName, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("reading the emulator's service: %v", err)
	}
	u, err := issuer.Parse(iss)
	if err != nil {
		t.Fatal(err)
	}
	host, path, _ := strings.Cut(u.HostPath(), "/")
	bucket, _, _ := strings.Cut(host, ".")
	text := k.node(t, fmt.Sprintf("curl -sS --fail --max-time 10 http://%s:%d/%s/%s", svc.Spec.ClusterIP, emulatorPort,
		bucket, strings.TrimPrefix(path+issuer.JWKSPath, "/")))
	set, err := keys.ParseJWKS([]byte(text))
	if err != nil {
		t.Fatalf("reading the published key set: %v: %s", err, text)
	}
	return set
}

// testMigration: the issuer is replaced while tokens are presented without pause, by IRSA and by EKS Pod Identity, and none
// fails.
func testMigration(t *testing.T, k *kube) {
	bucket := ""
	migrate := func(t *testing.T) []string {
		bucket = fmt.Sprintf("openirsa-e2e-moved-%d", time.Now().Unix())
		return []string{"issuer", "migrate", "--to", bucket}
	}
	moved := func(t *testing.T, kill bool) {
		was := ""
		if k.installed(t) {
			was = k.issuer(t)
		}
		staged(t, k, migrate, kill)
		if is := k.issuer(t); !strings.HasPrefix(is, "https://"+bucket+".s3.") {
			t.Errorf("the issuer is %s, want that of bucket %s", is, bucket)
		}
		if was == "" {
			return
		}
		// Nothing is left of the former: AWS has no provider of it, and its bucket is gone.
		var chain struct{ Providers []struct{ URL string } }
		if err := k.emulatorGet(suite, "/_openirsa/chain", nil, &chain); err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprint(chain); len(chain.Providers) != 1 || strings.Contains(text, strings.TrimPrefix(was, "https://")) {
			t.Errorf("providers after the migration from %s: %s", was, text)
		}
	}
	t.Run("UnderLoad", func(t *testing.T) {
		k.setup(t, "up", "--emulator", "--pod-identity").ok(t)
		ended := exchanging(t, k, "e2e-exchanging")
		moved(t, false)
		ended()
	})
	t.Run("Killed", func(t *testing.T) { moved(t, true) })
	if !t.Failed() {
		k.setup(t, "down").ok(t)
	}
}
