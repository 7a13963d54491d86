package signer_test

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	externaljwt "k8s.io/externaljwt/apis/v1"

	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/signer"
	"github.com/openirsa/openirsa/pkg/token"
)

const iss = "https://oidc.example.com/test"

func generate(t testing.TB, alg string) keys.Private {
	t.Helper()
	key, err := keys.Generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// served is a client of a signer that serves.
func served(t testing.TB, s *signer.Signer) externaljwt.ExternalJWTSignerClient {
	t.Helper()
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	externaljwt.RegisterExternalJWTSignerServer(server, s)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("unix://"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return externaljwt.NewExternalJWTSignerClient(conn)
}

func fixed(k signer.Keys) func(context.Context) (signer.Keys, error) {
	return func(context.Context) (signer.Keys, error) { return k, nil }
}

func claims(change func(map[string]any)) string {
	now := time.Now().Unix()
	c := map[string]any{
		"iss": iss, "sub": "system:serviceaccount:default:app", "aud": []string{"sts.amazonaws.com"},
		"iat": now, "nbf": now, "exp": now + 3600, "jti": "1",
		"kubernetes.io": map[string]any{"namespace": "default", "serviceaccount": map[string]any{"name": "app", "uid": "u"}},
	}
	if change != nil {
		change(c)
	}
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// signs asks for a token and verifies it as AWS does.
func signs(t testing.TB, client externaljwt.ExternalJWTSignerClient, by keys.Public) {
	t.Helper()
	payload := claims(nil)
	got, err := client.Sign(t.Context(), &externaljwt.SignJWTRequest{Claims: payload})
	if err != nil {
		t.Errorf("%s: %v", by.Algorithm, err)
		return
	}
	header, err := base64.RawURLEncoding.DecodeString(got.Header)
	if want := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"JWT"}`, by.Algorithm, by.KID); err != nil || string(header) != want {
		t.Errorf("header %s, %v, want %s", header, err, want)
	}
	set, err := keys.NewSet(by)
	if err != nil {
		t.Fatal(err)
	}
	url, err := issuer.Parse(iss)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := token.Verify(got.Header+"."+payload+"."+got.Signature, set, token.Want{Issuer: url, Audience: "sts.amazonaws.com"}); err != nil {
		t.Errorf("%s: %v", by.Algorithm, err)
	}
}

func TestSign(t *testing.T) {
	for _, alg := range []string{keys.RS256, keys.ES256, keys.ES384, keys.ES512} {
		key := generate(t, alg)
		client := served(t, &signer.Signer{Read: fixed(signer.Keys{Sign: signer.Local(key)}), MaxLifetime: time.Hour})
		for range 20 { // r and s are short now and then
			signs(t, client, key.Public())
		}
	}
}

func TestFetchKeys(t *testing.T) {
	k := signer.Keys{Sign: signer.Local(generate(t, keys.RS256))}
	for range 3 {
		k.Trusted = append(k.Trusted, generate(t, keys.ES256).Public())
	}
	k.Trusted = append(k.Trusted, k.Sign.Public()) // there once
	k.Unpublished = []keys.Public{generate(t, keys.ES384).Public()}
	now := time.Unix(1700000000, 0)
	client := served(t, &signer.Signer{Read: fixed(k), MaxLifetime: 2 * time.Hour, Refresh: 30 * time.Second, Now: func() time.Time { return now }})
	got, err := client.FetchKeys(t.Context(), &externaljwt.FetchKeysRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var ids, unpublished []string
	for _, key := range got.Keys {
		ids = append(ids, key.KeyId)
		if key.ExcludeFromOidcDiscovery {
			unpublished = append(unpublished, key.KeyId)
		}
	}
	if len(ids) != 5 || !slices.IsSorted(ids) || !slices.Equal(unpublished, []string{k.Unpublished[0].KID}) {
		t.Errorf("keys %q, unpublished %q", ids, unpublished)
	}
	if got.RefreshHintSeconds != 30 || !got.DataTimestamp.AsTime().Equal(now) {
		t.Errorf("refresh %d, data of %s", got.RefreshHintSeconds, got.DataTimestamp.AsTime())
	}
	meta, err := client.Metadata(t.Context(), &externaljwt.MetadataRequest{})
	if err != nil || meta.MaxTokenExpirationSeconds != 7200 {
		t.Errorf("metadata %v, %v", meta, err)
	}
}

func TestSignRefuses(t *testing.T) {
	client := served(t, &signer.Signer{Read: fixed(signer.Keys{Sign: signer.Local(generate(t, keys.ES256))}), Issuers: []string{iss}, MaxLifetime: time.Hour})
	now := time.Now().Unix()
	set := func(name string, v any) string { return claims(func(c map[string]any) { c[name] = v }) }
	for _, test := range []struct{ claims, want string }{
		{"", "not the JSON"},
		{"!", "not base64url"},
		{claims(nil) + "=", "not base64url"},
		{base64.RawURLEncoding.EncodeToString([]byte("[]")), "not the JSON"},
		{base64.RawURLEncoding.EncodeToString(make([]byte, 60<<10)), "more than"},
		{set("iss", "https://other.example.com"), `the issuer is "https://other.example.com"`},
		{set("sub", "system:node:a"), "no service account"},
		{set("sub", ""), "no service account"},
		{set("exp", 0), "do not say when"},
		{set("iat", 0), "do not say when"},
		{set("exp", now+3700), "longer than 1h0m0s"},
		{claims(func(c map[string]any) { c["iat"], c["exp"] = now+7200, now+10800 }), "from now"},
	} {
		_, err := client.Sign(t.Context(), &externaljwt.SignJWTRequest{Claims: test.claims})
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.40s...: %v, want %q", test.claims, err, test.want)
		}
	}
}

// What is checked is what every reader of the token sees, whether it tells "ISS"
// from "iss" or not and whichever of two claims it takes.
func TestSignReadsClaimsExactly(t *testing.T) {
	client := served(t, &signer.Signer{Read: fixed(signer.Keys{Sign: signer.Local(generate(t, keys.ES256))}), Issuers: []string{iss}, MaxLifetime: time.Hour})
	raw, err := base64.RawURLEncoding.DecodeString(claims(nil))
	if err != nil {
		t.Fatal(err)
	}
	good := string(raw)
	sign := func(payload string) error {
		_, err := client.Sign(t.Context(), &externaljwt.SignJWTRequest{Claims: base64.RawURLEncoding.EncodeToString([]byte(payload))})
		return err
	}
	if err := sign(good); err != nil {
		t.Fatal(err)
	}
	refuse := func(payload, why string) {
		t.Helper()
		if payload == good {
			t.Fatal("nothing was changed")
		}
		if err := sign(payload); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", payload, err, why)
		}
	}
	first := func(member string) string { return "{" + member + "," + good[1:] }
	last := func(member string) string { return good[:len(good)-1] + "," + member + "}" }
	for _, with := range []func(string) string{first, last} {
		for name, value := range map[string]string{"iss": `"https://evil.example.com"`, "sub": `"system:serviceaccount:kube-system:admin"`, "exp": "1", "iat": "1", "aud": `"x"`, "kubernetes.io": `{}`} {
			refuse(with(`"`+name+`":`+value), "twice")
			refuse(with(`"`+strings.ToUpper(name)+`":`+value), "case")
			refuse(with(`"\u00`+fmt.Sprintf("%02x", name[0])+name[1:]+`":`+value), "twice")
		}
	}
	refuse(first(`"\u017fub":"x"`), "case") // folds to sub
	refuse(strings.Replace(good, `"iss"`, `"Iss"`, 1), "case")
	refuse(strings.Replace(good, `"exp"`, `"EXP"`, 1), "case")
	refuse(strings.Replace(good, `"namespace"`, `"namespace":"other","namespace"`, 1), "twice")
	refuse(strings.Replace(good, `"namespace":"default"`, `"namespace":"other"`, 1), "another service account")
	refuse(strings.Replace(good, `"name":"app"`, `"name":"other"`, 1), "another service account")
	refuse(good+good, "not the JSON")
	refuse(good+"x", "not the JSON")
	for _, sub := range []string{
		"system:serviceaccount:x", "system:serviceaccount:", "system:serviceaccount::", "system:serviceaccount:a:", "system:serviceaccount::b",
		"system:serviceaccount:a:b:c", "system:serviceaccount:a:b\\n", "system:serviceaccount:A:b", "system:serviceaccount:a:*", "system:serviceaccount:a.b:c",
		"system:serviceaccount:" + strings.Repeat("a", 64) + ":b", "system:serviceaccount:a:" + strings.Repeat("b", 254), "system:serviceaccount:a:b.", "system:serviceaccount:../a:b",
		" system:serviceaccount:default:app", "System:serviceaccount:default:app", "system:anonymous",
	} {
		refuse(strings.Replace(good, "system:serviceaccount:default:app", sub, 1), "no service account")
	}
	payload := claims(nil)
	if _, err := client.Sign(t.Context(), &externaljwt.SignJWTRequest{Claims: payload[:9] + "\n" + payload[9:]}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("claims with a line break: %v", err)
	}
}

func TestLoad(t *testing.T) {
	good := generate(t, keys.ES256)
	k, err := signer.Keys{Sign: signer.Local(good)}, error(nil)
	s := &signer.Signer{Read: func(context.Context) (signer.Keys, error) { return k, err }, MaxLifetime: time.Hour}
	if _, err := s.FetchKeys(t.Context(), nil); status.Code(err) != codes.Unavailable {
		t.Errorf("before the keys are there: %v", err)
	}
	client := served(t, s)
	for _, bad := range []signer.Keys{
		{},
		{Sign: signer.Local(good), Unpublished: []keys.Public{good.Public()}},
		{Sign: signer.Local(good), Trusted: []keys.Public{{KID: "x"}}},
	} {
		k = bad
		if s.Load(t.Context()) == nil || s.Fault() == nil {
			t.Errorf("%+v is loaded", bad)
		}
		signs(t, client, good.Public())
	}
	k, err = signer.Keys{}, errors.New("unreadable")
	if s.Load(t.Context()) == nil || s.Fault().Error() != "unreadable" {
		t.Errorf("fault %v", s.Fault())
	}
	next := generate(t, keys.RS256)
	k, err = signer.Keys{Sign: signer.Local(next)}, nil
	if err := s.Load(t.Context()); err != nil || s.Fault() != nil {
		t.Errorf("fixed: %v, %v", err, s.Fault())
	}
	signs(t, client, next.Public())
}

// moved is a key that signs with another one than it says.
type moved struct{ says, signs keys.Private }

func (m moved) Public() keys.Public { return m.says.Public() }
func (m moved) SignDigest(ctx context.Context, digest []byte, hash crypto.Hash) ([]byte, error) {
	return signer.Local(m.signs).SignDigest(ctx, digest, hash)
}

func TestSignVerifiesItself(t *testing.T) {
	for _, alg := range []string{keys.RS256, keys.ES256} {
		client := served(t, &signer.Signer{Read: fixed(signer.Keys{Sign: moved{generate(t, alg), generate(t, alg)}}), MaxLifetime: time.Hour})
		_, err := client.Sign(t.Context(), &externaljwt.SignJWTRequest{Claims: claims(nil)})
		if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "does not match the published key") {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// The counterparty of keys in KMS is the emulator's, by the real SDK.
// hung is a key whose backend has stopped to answer.
type hung struct{ keys.Private }

func (hung) SignDigest(ctx context.Context, _ []byte, _ crypto.Hash) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestSignGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &signer.Signer{Read: fixed(signer.Keys{Sign: hung{generate(t, keys.ES256)}}), MaxLifetime: time.Hour}
		if err := s.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := s.Sign(t.Context(), &externaljwt.SignJWTRequest{Claims: claims(nil)})
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "no answer within 10s") {
			t.Errorf("error %v, want Unavailable and for how long there was no answer", err)
		}
	})
}

func TestKMS(t *testing.T) {
	a := emulatortest.Start(t)
	client := kms.NewFromConfig(a.Config())
	connect := func(context.Context) (signer.KMS, error) { return client, nil }
	var arns []string
	for _, spec := range []types.KeySpec{types.KeySpecRsa2048, types.KeySpecEccNistP256, types.KeySpecEccNistP384, types.KeySpecEccNistP521} {
		made, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: spec, KeyUsage: types.KeyUsageTypeSignVerify})
		if err != nil {
			t.Fatal(err)
		}
		arns = append(arns, *made.KeyMetadata.Arn)
	}
	for i, arn := range arns {
		config := signer.Config{Sign: signer.Ref{KMS: arn}, Trust: []signer.Ref{{KMS: arns[(i+1)%len(arns)]}}}
		k, err := config.Keys(t.Context(), connect)
		if err != nil {
			t.Fatal(err)
		}
		s := &signer.Signer{Read: fixed(k), MaxLifetime: time.Hour}
		remote := served(t, s)
		signs(t, remote, k.Sign.Public())
		if got, err := remote.FetchKeys(t.Context(), &externaljwt.FetchKeysRequest{}); err != nil || len(got.Keys) != 2 {
			t.Errorf("%v, %v", got, err)
		}
	}
	config := signer.Config{Sign: signer.Ref{KMS: "1234abcd-12ab-34cd-56ef-1234567890ab"}}
	if _, err := config.Keys(t.Context(), connect); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a key that is not there: %v", err)
	}
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	key, old := generate(t, keys.ES256), generate(t, keys.RS256)
	if err := keys.WritePrivate(in("sa.key"), key); err != nil {
		t.Fatal(err)
	}
	pem, err := old.Public().PEM()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in("old.pub"), pem, 0o644); err != nil {
		t.Fatal(err)
	}
	const head = "apiVersion: openirsa.dev/v1alpha1\nkind: Signer\n"
	config, err := signer.ParseConfig([]byte(head+"sign: {file: sa.key}\ntrust: [{file: old.pub, unpublished: true}, {file: sa.key}]\n"), dir)
	if err != nil {
		t.Fatal(err)
	}
	k, err := config.Keys(t.Context(), nil)
	if err != nil || !k.Sign.Public().Equal(key.Public()) || len(k.Unpublished) != 1 || !k.Unpublished[0].Equal(old.Public()) || len(k.Trusted) != 1 {
		t.Errorf("%+v, %v", k, err)
	}
	if err := os.Chmod(in("sa.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Keys(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that all can read: %v", err)
	}
	for _, test := range []struct{ config, want string }{
		{"", "EOF"},
		{"kind: Signer\n", "expected apiVersion"},
		{head, "names no key"},
		{head + "sign: {file: a, kms: b}\n", "both a file and a key"},
		{head + "sign: {file: a, unpublished: true}\n", "must be published"},
		{head + "sign: {file: a}\ntrust: [{}]\n", "trust, key 1"},
		{head + "sign: {fyle: a}\n", "line 3: field fyle not found"},
	} {
		if _, err := signer.ParseConfig([]byte(test.config), dir); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.config, err, test.want)
		}
	}
}
