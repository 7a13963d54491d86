package emulator_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// claims are the claims of a token, in no fixed form, so that tests can get
// them wrong.
type claims map[string]any

// with is a copy with some claims changed; a nil value removes a claim.
func (c claims) with(changes claims) claims {
	d := maps.Clone(c)
	for k, v := range changes {
		if v == nil {
			delete(d, k)
		} else {
			d[k] = v
		}
	}
	return d
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// sign makes a JWS over claims, which may be raw JSON.
func sign(t testing.TB, header map[string]any, body any, key crypto.Signer) string {
	t.Helper()
	payload, ok := body.(string)
	if !ok {
		payload = encode(body)
	}
	signed := encode(header) + "." + payload
	digest := sha256.Sum256([]byte(signed))
	var signature []byte
	var err error
	switch k := key.(type) {
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, digest[:])
	case *ecdsa.PrivateKey:
		r, s, e := ecdsa.Sign(rand.Reader, k, digest[:])
		err = e
		signature = make([]byte, 64)
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
	}
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func rsaJWK(kid string, key *rsa.PublicKey) map[string]any {
	return map[string]any{"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256",
		"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString([]byte{1, 0, 1})}
}

func ecJWK(kid string, key *ecdsa.PublicKey) map[string]any {
	b, err := key.Bytes()
	if err != nil {
		panic(err)
	}
	return map[string]any{"kty": "EC", "kid": kid, "crv": "P-256",
		"x": base64.RawURLEncoding.EncodeToString(b[1:33]), "y": base64.RawURLEncoding.EncodeToString(b[33:])}
}

// Keys that all tests share, since RSA keys take long to make.
var (
	keyOne   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	keyOther = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	keyEC    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// idp is an issuer on an https server of its own, which does what it is told.
type idp struct {
	*httptest.Server
	t   testing.TB
	aws *emulatortest.AWS

	mu        sync.Mutex
	jwks      any
	discovery any // nil is the right one
	header    http.Header
	wait      time.Duration
	status    int
	requests  []string
}

// start runs an emulator that reaches issuers on this machine, and one such
// issuer with the key one.
func start(t testing.TB, config emulator.Config) (*emulatortest.AWS, *idp) {
	t.Helper()
	i := &idp{t: t, header: http.Header{"Cache-Control": {"max-age=300"}}}
	i.publish(rsaJWK("one", &keyOne().PublicKey))
	i.Server = httptest.NewTLSServer(http.HandlerFunc(i.serve))
	i.Config.ErrorLog = nil
	t.Cleanup(i.Close)
	if config.Roots == nil {
		config.Roots = x509.NewCertPool()
		config.Roots.AddCert(i.Certificate())
	}
	config.AllowPrivateIssuers = !config.Strict
	i.aws = startAWS(t, config)
	return i.aws, i
}

func (i *idp) publish(keys ...map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.jwks = map[string]any{"keys": keys}
}

func (i *idp) serve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.requests = append(i.requests, r.URL.Path)
	wait, status, doc, jwks := i.wait, i.status, i.discovery, i.jwks
	maps.Copy(w.Header(), i.header)
	i.mu.Unlock()
	select {
	case <-time.After(wait):
	case <-r.Context().Done():
	}
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	if before, ok := strings.CutSuffix(r.URL.Path, "/.well-known/openid-configuration"); ok {
		if doc == nil {
			issuer := i.URL + before
			doc = map[string]any{"issuer": issuer, "jwks_uri": i.URL + "/keys"}
		}
		json.NewEncoder(w).Encode(doc)
		return
	}
	json.NewEncoder(w).Encode(jwks)
}

// count is how many requests there were.
func (i *idp) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.requests)
}

func (i *idp) hostPath() string { return strings.TrimPrefix(i.URL, "https://") + "/c1" }

func (i *idp) arn() string {
	return "arn:aws:iam::" + i.aws.Account() + ":oidc-provider/" + i.hostPath()
}

// register makes the provider.
func (i *idp) register(clientIDs ...string) {
	i.t.Helper()
	if clientIDs == nil {
		clientIDs = []string{"sts.amazonaws.com"}
	}
	_, err := iam.NewFromConfig(i.aws.Config()).CreateOpenIDConnectProvider(i.t.Context(), &iam.CreateOpenIDConnectProviderInput{
		Url: new("https://" + i.hostPath()), ClientIDList: clientIDs,
	})
	if err != nil {
		i.t.Fatal(err)
	}
}

const subject = "system:serviceaccount:ns1:app"

// trust is a trust policy with one condition block.
func (i *idp) trust(condition map[string]any) string {
	statement := map[string]any{"Effect": "Allow", "Principal": map[string]any{"Federated": i.arn()}, "Action": "sts:AssumeRoleWithWebIdentity"}
	if condition != nil {
		statement["Condition"] = condition
	}
	return document(statement)
}

// usual is the trust policy of issue: both sub and aud are pinned.
func (i *idp) usual() string {
	return i.trust(map[string]any{"StringEquals": map[string]any{i.hostPath() + ":sub": subject, i.hostPath() + ":aud": "sts.amazonaws.com"}})
}

// claims are those of a good token, as of now.
func (i *idp) claims() claims {
	now := i.aws.Now().Unix()
	return claims{"iss": "https://" + i.hostPath(), "sub": subject, "aud": []string{"sts.amazonaws.com"}, "exp": now + 3600, "iat": now, "nbf": now}
}

// token signs claims with the key one.
func (i *idp) token(c claims) string {
	return sign(i.t, map[string]any{"alg": "RS256", "kid": "one"}, c, keyOne())
}

func document(statements ...map[string]any) string {
	b, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// assume calls AssumeRoleWithWebIdentity without credentials.
func assume(t testing.TB, a *emulatortest.AWS, roleARN, token string, change ...func(*sts.AssumeRoleWithWebIdentityInput)) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	t.Helper()
	in := &sts.AssumeRoleWithWebIdentityInput{RoleArn: &roleARN, RoleSessionName: new("app1"), WebIdentityToken: &token}
	for _, f := range change {
		f(in)
	}
	config := a.Config()
	config.Credentials = aws.AnonymousCredentials{}
	return sts.NewFromConfig(config).AssumeRoleWithWebIdentity(t.Context(), in)
}

// session is a client configuration with the role's credentials.
func session(t testing.TB, a *emulatortest.AWS, roleARN, token string, change ...func(*sts.AssumeRoleWithWebIdentityInput)) aws.Config {
	t.Helper()
	out, err := assume(t, a, roleARN, token, change...)
	if err != nil {
		t.Fatal(err)
	}
	c := out.Credentials
	return a.ConfigFor(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
}

// refused checks that an error is AWS's, and this one.
func refused(t testing.TB, err error, status int, code, message string) {
	t.Helper()
	var response interface{ HTTPStatusCode() int }
	apiErr, ok := errors.AsType[smithy.APIError](err)
	switch {
	case err == nil:
		t.Errorf("accepted, want %s: %s", code, message)
	case !ok || !errors.As(err, &response):
		t.Errorf("error %v is not an answer of AWS", err)
	case apiErr.ErrorCode() != code || apiErr.ErrorMessage() != message || response.HTTPStatusCode() != status:
		t.Errorf("got  %d %s: %s\nwant %d %s: %s", response.HTTPStatusCode(), apiErr.ErrorCode(), apiErr.ErrorMessage(), status, code, message)
	}
}

// post sends a form as it is, and returns status and body.
func post(t testing.TB, a *emulatortest.AWS, form string) (int, string) {
	t.Helper()
	resp, err := http.Post(a.URL, "application/x-www-form-urlencoded; charset=utf-8", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if id := resp.Header.Get("x-amzn-RequestId"); !strings.Contains(string(body), id) || id == "" {
		t.Errorf("request id %q of the header is not in the body %s", id, body)
	} else {
		body = []byte(strings.ReplaceAll(string(body), id, "ID"))
	}
	return resp.StatusCode, string(body)
}

// form is a form of pairs of name and value.
func form(pairs ...string) string {
	v := url.Values{}
	for p := range slices.Chunk(pairs, 2) {
		v.Set(p[0], p[1])
	}
	return v.Encode()
}

var _ = fmt.Sprint
