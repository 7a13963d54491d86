package token_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/token"
)

func TestParseSubject(t *testing.T) {
	for _, sub := range []string{"system:serviceaccount:default:app", "system:serviceaccount:a-1:b.c-2.d"} {
		namespace, name, err := token.ParseSubject(sub)
		if err != nil || token.Subject(namespace, name) != sub {
			t.Errorf("%s: %q, %q, %v", sub, namespace, name, err)
		}
	}
	for _, sub := range []string{"", "app", "system:serviceaccount:a", "system:serviceaccount:a:b:c", "system:serviceaccount:a:b\n", "system:serviceaccount:-a:b", "system:serviceaccount:a:.b"} {
		if namespace, name, err := token.ParseSubject(sub); err == nil || namespace+name != "" {
			t.Errorf("%q: %q, %q, %v", sub, namespace, name, err)
		}
	}
}

// Names of claims are exact: what a verifier of another kind would not see does
// not count here, and what it might see otherwise is refused.
func TestClaimsAreReadExactly(t *testing.T) {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	parse := func(header, claims string) (token.Header, token.Claims, error) {
		return token.ParseInsecure(part(header) + "." + part(claims) + ".x")
	}
	header, claims, err := parse(`{"ALG":"none","alg":"ES256","kid":"k","Kid":"l"}`,
		`{"iss":"a","ISS":"b","Sub":"c","aud":"d","EXP":1,"kubernetes.io":{"Namespace":"e","pod":{"Name":"f","uid":"g"}}}`)
	if err != nil || header.Algorithm != "ES256" || header.KID != "k" || claims.Issuer != "a" || claims.Subject != "" || claims.Expiry != 0 ||
		claims.Kubernetes.Namespace != "" || claims.Kubernetes.Pod.Name != "" || claims.Kubernetes.Pod.UID != "g" {
		t.Errorf("%+v, %+v, %v", header, claims, err)
	}
	for _, twice := range [][2]string{
		{`{"alg":"ES256","alg":"RS256"}`, `{}`}, {`{}`, `{"iss":"a","iss":"b"}`}, {`{}`, `{"kubernetes.io":{"namespace":"a","namespace":"b"}}`},
		{`{}`, `{"kubernetes.io":{"pod":{"name":"a","name":"b"}}}`}, {`[]`, `{}`}, {`{}`, `null`},
	} {
		if _, c, err := parse(twice[0], twice[1]); err == nil || c.Issuer != "" {
			t.Errorf("%s: %+v, %v", twice, c, err)
		}
	}
	raw := part(`{}`) + "." + part(`{"iss":"a"}`) + ".x"
	if _, _, err := token.ParseInsecure(strings.Replace(raw, ".", "\n.", 1)); err == nil {
		t.Error("a line break was passed over")
	}
}
