package emulator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// TestForeignDocuments: whatever the host of an issuer answers, nothing of it
// is shown but what a discovery document and a key set have.
func TestForeignDocuments(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	var host string
	answers := map[string]string{
		"list":     `["` + secret + `"]`,
		"text":     `"` + secret + `"`,
		"object":   `{"AccessKeyId":"` + secret + `","SecretAccessKey":"` + secret + `"}`,
		"html":     `<html>` + secret + `</html>`,
		"xml":      `<Error><Code>` + secret + `</Code></Error>`,
		"issuer":   `{"issuer":"` + secret + `","jwks_uri":"` + secret + `"}`,
		"number":   `{"issuer":5,"x":"` + secret + `"}`,
		"other":    `{"issuer":"https://other.example/?` + secret + `","x":"` + secret + `"}`,
		"jwks":     `{"issuer":"https://HOST/jwks","jwks_uri":"` + secret + `"}`,
		"good":     `{"issuer":"https://HOST/good","jwks_uri":"https://HOST/keys?` + secret + `","password":"` + secret + `","jwks":{"keys":["` + secret + `"]},"claims_supported":["sub"],"scopes_supported":{"x":"` + secret + `"}}`,
		"keys":     `{"keys":["` + secret + `",{"kid":"a","kty":"oct","k":"` + secret + `"},{"kid":"b","kty":"RSA","d":"` + secret + `"}],"x":"` + secret + `"}`,
		"location": "302 https://HOST/object?" + secret,
		"userinfo": "302 https://user:" + secret + "@HOST/object",
		"nowhere":  "302 %" + secret,
		"status":   "503 " + secret,
	}
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
		answer := strings.ReplaceAll(answers[name], "HOST", host)
		if to, ok := strings.CutPrefix(answer, "302 "); ok {
			w.Header()["Location"] = []string{to}
			w.WriteHeader(http.StatusFound)
			return
		}
		if strings.HasPrefix(answer, "503 ") {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if name == "xml" {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusNotFound)
		}
		io.WriteString(w, answer)
	}))
	defer web.Close()
	host = strings.TrimPrefix(web.URL, "https://")
	a, idp := start(t, emulator.Config{AllowPrivateIssuers: true})
	for name := range answers {
		address := web.URL + "/" + name
		created, err := iam.NewFromConfig(a.Config()).CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{
			Url: &address, ClientIDList: []string{"sts.amazonaws.com"}, ThumbprintList: []string{strings.Repeat("0", 40)},
		})
		if err != nil {
			t.Fatal(err)
		}
		role := a.Role("R"+name, document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"Federated": *created.OpenIDConnectProviderArn}, "Action": "sts:AssumeRoleWithWebIdentity"}))
		if _, err := assume(t, a, role, idp.token(idp.claims().with(claims{"iss": address}))); err == nil {
			t.Errorf("%s: the token is accepted", name)
		}
	}
	var documents int
	for _, path := range []string{"chain", "events?limit=0"} {
		resp, err := http.Get(a.URL + "/_openirsa/" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for rest := string(body); ; {
			i := strings.Index(rest, secret)
			if i < 0 {
				break
			}
			t.Errorf("%s shows %q", path, rest[max(0, i-200):i+len(secret)])
			rest = rest[i+len(secret):]
		}
		var chain struct {
			Providers []struct{ Document map[string]any }
		}
		if path == "chain" {
			if err := json.Unmarshal(body, &chain); err != nil {
				t.Fatal(err)
			}
			for _, p := range chain.Providers {
				if p.Document != nil {
					documents++
				}
			}
		}
	}
	if documents != 2 { // of "good" and "jwks", which are of the issuer
		t.Errorf("%d documents are shown", documents)
	}
}
