package redact_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/internal/redact"
)

// bits are n random bytes, the same in each run: of a thousand keys of AWS one
// or two look like names.
func bits(n int) []byte {
	b := make([]byte, n)
	source.Read(b)
	return b
}

var source = mathrand.NewChaCha8([32]byte{6})

// TestText: secrets of each form are gone from a text, however they stand in
// it, and the rest of it is there.
func TestText(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{
		"example":       "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		"early slash":   "hp4/XUtnFEMI/K7MDENG/bPxRfiCYqT8vKw0aZs1",
		"PEM":           string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: ecDER})),
		"RSA PEM":       string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)})),
		"DER":           base64.StdEncoding.EncodeToString(ecDER),
		"session token": base64.StdEncoding.EncodeToString(bits(150)),
	}
	for i := range 20 {
		secrets[fmt.Sprint("key ", i)] = base64.StdEncoding.EncodeToString(bits(30))
	}
	raw := base64.RawURLEncoding
	token := raw.EncodeToString([]byte(`{"alg":"RS256","kid":"x"}`)) + "." + raw.EncodeToString([]byte(`{"iss":"https://x","sub":"y"}`)) + "."
	secrets["token"] = token + raw.EncodeToString(bits(256))
	secrets["EC token"] = token + raw.EncodeToString(bits(64))
	secrets["spaced token"] = raw.EncodeToString([]byte(`{ "alg":"RS256","kid":"x"}`)) + "." + raw.EncodeToString([]byte(`{ "iss":"https://x" }`)) + "." + raw.EncodeToString(bits(64))
	secrets["half a token"] = token
	for name, secret := range secrets {
		for _, form := range []string{
			"%s", "value '%s' at 'x' failed", `reading "%s": no`, "arn:aws:iam::000000000000:role/%s", "assumed-role/R/%s/x", "https://h/%s", "a=%s", "arn:aws:iam::000000000000:group%s",
			"arn:aws:iam::000000000000:instance-profile%s",
			"arn:aws:s3:::bucket/%s", "key %s.", "%s, %[1]s", "unknown flag: --%s",
		} {
			for variant, s := range map[string]string{"plain": secret, "quoted": strings.Trim(fmt.Sprintf("%q", secret), `"`), "escaped": url.QueryEscape(secret), "path": url.PathEscape(secret)} {
				got := redact.Text(fmt.Sprintf(form, s))
				// No piece of it that is long enough to be of use is left.
				for piece := range strings.FieldsFuncSeq(strings.ReplaceAll(s, `\n`, "\n"), func(r rune) bool { return r == '\n' }) {
					for i := 0; i+20 <= len(piece); i++ {
						if strings.Contains(got, piece[i:i+20]) {
							t.Errorf("%s, %s, in %q: %q", name, variant, form, got)
							break
						}
					}
				}
				// A word that the secret is glued to may go with it.
				if start, _, _ := strings.Cut(strings.NewReplacer("group", "%", "instance-profile", "%").Replace(form), "%"); !strings.HasPrefix(got, strings.TrimRight(start, "-")) {
					t.Errorf("%s in %q: %q", name, form, got)
				}
			}
		}
	}
	if got := redact.Text("https://user:hunter2@example.com/x"); strings.Contains(got, "hunter2") {
		t.Error(got)
	}
}

// TestOrdinary: what is no secret stays as it is.
func TestOrdinary(t *testing.T) {
	sum := sha256.Sum256([]byte("x"))
	texts := []string{
		"", "arn:aws:sts::000000000000:assumed-role/app/1732890123456789012", "arn:aws:iam::000000000000:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/B7B8F0F9E4A1B2C3D4E5F60718293A4B",
		hex.EncodeToString(sum[:]), strings.ToUpper(hex.EncodeToString(sum[:])), hex.EncodeToString(sum[:20]),
		"system:serviceaccount:a-quite-long-namespace-name:and-a-service-account-of-a-long-name",
		"0b9fbd4d-6e5c-4d1f-8a33-9f0c1a2b3c4d/0b9fbd4d-6e5c-4d1f-8a33-9f0c1a2b3c4d", "AKIAIOSFODNN7EXAMPLE",
		"arn:aws:s3:::reports/Documents/2024/Reports/Quarterly/Results/Final/Version-2.pdf", "someKeyJoinTable", "keyJsonNamesAreLong",
		"https://my-cluster-oidc.s3.eu-west-1.amazonaws.com/clusters/production/.well-known/openid-configuration",
		strings.Repeat("a", 5000), "aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_AdministratorAccess_0123456789abcdef",
		"registry.k8s.io/kube-apiserver@sha256:" + hex.EncodeToString(sum[:]), "/var/lib/kubelet/pods/0b9fbd4d-6e5c-4d1f-8a33-9f0c1a2b3c4d/volumes/kubernetes.io~projected/aws-iam-token",
		"sts:AssumeRoleWithWebIdentity is denied: no role trust policy allows it; statement 0 of role trust policy \"app\" does not apply",
	}
	for range 50 { // ids of keys, as kube-apiserver makes them
		id := base64.RawURLEncoding.EncodeToString(bits(32))
		texts = append(texts, fmt.Sprintf("the signature is not by the issuer's key %q", id))
	}
	for _, text := range texts {
		if got := redact.Text(text); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

func TestHandler(t *testing.T) {
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	var out bytes.Buffer
	log := slog.New(redact.Handler(slog.NewTextHandler(&out, nil))).With("with", secret).WithGroup("g")
	log.Info("message "+secret, "string", secret, "error", fmt.Errorf("wrapped: %w", errors.New(secret)), "list", []string{secret},
		slog.Group("group", "x", secret), "number", 5, "nothing", nil)
	if strings.Contains(out.String(), secret[:20]) || strings.Count(out.String(), redact.Secret) != 6 || !strings.Contains(out.String(), "g.number=5") {
		t.Error(out.String())
	}
}

func FuzzText(f *testing.F) {
	f.Add("a", "b")
	f.Add("arn:aws:iam::1:role/", "%2")
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
		got := redact.Text(before + " " + secret + " " + after)
		if strings.Contains(strings.ReplaceAll(got, redact.Secret, ""), secret) {
			t.Errorf("%q is in %q", secret, got)
		}
		if again := redact.Text(got); len(again) > len(got)+64 {
			t.Errorf("%q grows to %q", got, again)
		}
	})
}

// A key that stands alone is gone whole, also where its beginning could be a name.
func TestWhole(t *testing.T) {
	for _, text := range []string{"a %s", "%s", "role/%s", "a=%s b"} {
		got := redact.Text(fmt.Sprintf(text, "hp4/XUtnFEMI/K7MDENG/bPxRfiCYqT8vKw0aZs1"))
		if want := fmt.Sprintf(text, redact.Secret); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
