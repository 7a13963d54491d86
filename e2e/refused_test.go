package e2e

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/token"
)

const assume = "sts:AssumeRoleWithWebIdentity"

// testRefused: each way of asking for a role that one was not given ends with AWS's own error, and the emulator's
// events tell why.
func testRefused(t *testing.T) {
	needChain(t)
	const ns, sa = "e2e-refused", "app"
	primary.namespace(t, ns)
	setup(t, "iamserviceaccount", "create", "--namespace", ns, "--name", sa, "--attach-policy-arn", readOnly, "--approve").ok(t)
	role := primary.annotations(t, ns, sa)[roleAnnotation]
	subject := token.Subject(ns, sa)
	issuer := primary.issuer(t)

	identity := func(t *testing.T, namespace, serviceAccount string) result {
		t.Helper()
		return primary.run(t, podSpec{namespace: namespace, name: "identity", serviceAccount: serviceAccount, image: client,
			args: []string{"/client", "identity"}})
	}
	// A pod without an identity of its own, for tokens that no kubelet would give out.
	hand := primary.pod(t, podSpec{namespace: ns, name: "hand", image: client, args: []string{"/client", "sleep"},
		env: noIdentity(t)}).running(t)
	assumeWith := func(t *testing.T, raw string) result {
		t.Helper()
		return hand.exec(t, raw, "/client", "assume", role)
	}
	refused := func(t *testing.T, r result, code string) {
		t.Helper()
		if text := r.stdout + r.stderr; r.code == 0 || !strings.Contains(text, code) {
			t.Errorf("exit %d, want 1 and %s: %s", r.code, code, text)
		}
	}

	t.Run("Accepted", func(t *testing.T) { // or the refusals below would prove nothing
		if r := identity(t, ns, sa); r.code != 0 {
			t.Fatalf("exit %d: %s", r.code, r.stdout)
		}
		if r := assumeWith(t, primary.token(t, ns, sa, "sts.amazonaws.com")); r.code != 0 {
			t.Fatalf("exit %d: %s", r.code, r.stderr)
		}
	})
	t.Run("OtherServiceAccount", func(t *testing.T) {
		primary.serviceAccount(t, ns, "impostor", map[string]string{roleAnnotation: role})
		at := mark(t)
		refused(t, identity(t, ns, "impostor"), "AccessDenied")
		denied(t, at, assume, "trust", ":sub", subject, token.Subject(ns, "impostor"))
	})
	t.Run("OtherNamespace", func(t *testing.T) {
		primary.namespace(t, ns+"-too")
		primary.serviceAccount(t, ns+"-too", sa, map[string]string{roleAnnotation: role})
		at := mark(t)
		refused(t, identity(t, ns+"-too", sa), "AccessDenied")
		denied(t, at, assume, "trust", ":sub", subject, token.Subject(ns+"-too", sa))
	})
	t.Run("WrongAudience", func(t *testing.T) {
		primary.serviceAccount(t, ns, "audience", map[string]string{roleAnnotation: role, audienceAnnotation: "vault"})
		at := mark(t)
		refused(t, identity(t, ns, "audience"), "InvalidIdentityToken")
		denied(t, at, assume, "audience", "vault", "sts.amazonaws.com")
	})
	t.Run("NoAnnotation", func(t *testing.T) {
		primary.serviceAccount(t, ns, "plain", nil)
		r := primary.run(t, podSpec{namespace: ns, name: "plain", serviceAccount: "plain", image: client, args: []string{"/client", "environ"}})
		if r.code != 0 || r.stdout != "" {
			t.Errorf("a pod without a role got: exit %d: %s", r.code, r.stdout)
		}
		at := mark(t)
		r = primary.run(t, podSpec{namespace: ns, name: "plain", serviceAccount: "plain", image: awscli, env: noIdentity(t),
			args: []string{"aws", "iam", "list-groups", "--no-sign-request"}})
		refused(t, r, "MissingAuthenticationToken")
		denied(t, at, "iam:ListGroups", "signature", "anonymous")
	})
	t.Run("Expired", func(t *testing.T) {
		raw := expired(t, primary, primary.token(t, ns, sa, "sts.amazonaws.com"))
		at := mark(t)
		refused(t, assumeWith(t, raw), "ExpiredToken")
		denied(t, at, assume, "claims", "expired")
	})
	t.Run("OtherCluster", func(t *testing.T) {
		at := mark(t)
		refused(t, assumeWith(t, foreign.token), "InvalidIdentityToken")
		denied(t, at, assume, "provider", foreign.issuer)
		// The names that the role trusts, under the first cluster's issuer: signed by a key that its documents do not have ...
		claims := claimsOf(t, foreign.token, func(c map[string]any) { c["iss"], c["sub"] = issuer, subject })
		at = mark(t)
		refused(t, assumeWith(t, foreign.mint(t, claims)), "InvalidIdentityToken")
		denied(t, at, assume, "keys", foreign.kid)
		// ... and by that key under the name of one that they do have.
		disguised := foreign.signer
		disguised.kid = signerOf(t, primary).kid
		at = mark(t)
		refused(t, assumeWith(t, disguised.mint(t, claims)), "InvalidIdentityToken")
		denied(t, at, assume, "signature", disguised.kid)
	})
	t.Run("PrivateBucket", func(t *testing.T) {
		bucket, _, _ := strings.Cut(strings.TrimPrefix(issuer, "https://"), ".")
		rootCLI(t, "s3api", "put-public-access-block", "--bucket", bucket, "--public-access-block-configuration",
			"BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true")
		killEmulator(t) // with it goes its copy of the keys, as AWS's goes in time
		at := mark(t)
		refused(t, identity(t, ns, sa), "InvalidIdentityToken")
		denied(t, at, assume, "keys", "403", "openid-configuration")
		fetched := func(e event) bool {
			return slices.ContainsFunc(e.Fetches, func(f fetch) bool { return f.Inside && f.Status == 403 })
		}
		if list := since(t, at); !slices.ContainsFunc(list, fetched) {
			t.Errorf("no event shows a fetch that S3 refused: %v", list)
		}
		// up sees it and mends it.
		v := setup(t, "up", "--emulator", "-o", "json").ok(t).report(t)
		if v.Writes == 0 {
			t.Error("up after the bucket was closed: no writes")
		}
		if r := identity(t, ns, sa); r.code != 0 {
			t.Errorf("after up: exit %d: %s", r.code, r.stdout)
		}
	})
}

// expired is a token like another one of the cluster that has been of no use for an hour. Kubernetes gives out none of less
// than ten minutes, so this one is signed here, by the cluster's key.
func expired(t testing.TB, k *kube, raw string) string {
	t.Helper()
	return signerOf(t, k).mint(t, claimsOf(t, raw, func(c map[string]any) {
		now := time.Now()
		c["iat"], c["nbf"], c["exp"] = now.Add(-2*time.Hour).Unix(), now.Add(-2*time.Hour).Unix(), now.Add(-time.Hour).Unix()
	}))
}

// claimsOf changes the claims of a token.
func claimsOf(t testing.TB, raw string, change func(map[string]any)) map[string]any {
	t.Helper()
	parsed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.ES384, jose.ES512})
	if err != nil {
		t.Fatalf("reading a token: %v", err)
	}
	var claims map[string]any
	if err := json.Unmarshal(parsed.UnsafePayloadWithoutVerification(), &claims); err != nil {
		t.Fatalf("reading a token: %v", err)
	}
	claims = maps.Clone(claims)
	change(claims)
	return claims
}

// foreign is what the second cluster has for its service accounts as kubeadm makes it. Its stories replace that, and are
// told beside those of the first.
var foreign struct {
	signer
	issuer, token string
}

// meetForeigner makes foreign, before the first story.
func meetForeigner(t testing.TB) {
	t.Helper()
	const ns = "e2e-foreign"
	secondary.namespace(t, ns)
	foreign.signer, foreign.issuer = signerOf(t, secondary), secondary.issuer(t)
	foreign.token = secondary.token(t, ns, "default", "sts.amazonaws.com")
}

// signer is a cluster's own signing key.
type signer struct {
	key any
	alg jose.SignatureAlgorithm
	kid string
}

// signerOf reads the key from the cluster's node.
func signerOf(t testing.TB, k *kube) signer {
	t.Helper()
	block, _ := pem.Decode([]byte(k.node(t, "cat /etc/kubernetes/pki/sa.key")))
	if block == nil {
		t.Fatal("the cluster's signing key is not PEM")
	}
	var key any
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		if key, err = x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
			t.Fatalf("the cluster's signing key: %v", err)
		}
	}
	b, err := k.client.RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(suite)
	if err != nil {
		t.Fatalf("reading the JWKS: %v", err)
	}
	set, err := keys.ParseJWKS(b)
	if err != nil || set.Len() != 1 {
		t.Fatalf("reading the JWKS: %v, %d keys", err, set.Len())
	}
	public := set.All()[0]
	return signer{key, jose.SignatureAlgorithm(public.Algorithm), public.KID}
}

// mint signs claims, under the signer's kid.
func (s signer) mint(t testing.TB, claims map[string]any) string {
	t.Helper()
	with, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: jose.JSONWebKey{Key: s.key, KeyID: s.kid}}, nil)
	if err != nil {
		t.Fatalf("signing a token: %v", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatalf("signing a token: %v", err)
	}
	signed, err := with.Sign(payload)
	if err != nil {
		t.Fatalf("signing a token: %v", err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		t.Fatalf("signing a token: %v", err)
	}
	return raw
}
