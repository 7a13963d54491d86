package app

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	externaljwt "k8s.io/externaljwt/apis/v1"

	"github.com/openirsa/openirsa/internal/kubetest"
	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/internal/redact"
	"github.com/openirsa/openirsa/pkg/keys"
)

// TestNothingSecretIsShown: in whatever flag, variable, file or request a token, a
// secret access key or a private key is, no error, log line or answer about it
// shows it.
func TestNothingSecretIsShown(t *testing.T) {
	const token = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJodHRwczovL3giLCJzdWIiOiJ5In0.c2lnbmF0dXJlLW9mLWEtdG9rZW4tdGhhdC1ub2JvZHktbWF5LXNlZQ"
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	const body = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2"
	const broken = "-----BEGIN PRIVATE KEY-----\n" + body + "\n-----END PRIVATE KEY-----\n"
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	look := func(what, text string) {
		t.Helper()
		for _, piece := range []string{token[40:60], secret[15:35], body[:20], body[40:60]} {
			if at := strings.Index(text, piece); at >= 0 {
				t.Errorf("%.150s: ...%q", what, text[max(0, at-200):min(len(text), at+60)])
			}
		}
	}
	told := 0
	try := func(lookup func(string) (string, bool), args ...string) {
		t.Helper()
		ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer stop()
		var out lockedBuffer
		if err := Run(ctx, called(lookup, &out, args...)); err != nil {
			plain.Error(&out, "issuer", err)
		}
		look(fmt.Sprintf("issuer %q", args), out.String())
		if text := out.String(); strings.Contains(text, redact.Token) || strings.Contains(text, redact.Secret) || strings.Contains(text, redact.Key) {
			told++
		}
	}
	write := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	brokenFile := write("broken.pem", broken)
	good := filepath.Join(dir, "sa.key")
	writeKey(t, good, keys.ES256)
	const local = "127.0.0.1:0"
	for _, word := range []string{token, secret, broken} {
		file := write("word", word)
		for _, args := range [][]string{
			{"serve", "--issuer", word}, {"serve", "--issuer", "https://h.example/" + word, "--key-file", good, "--listen", local, "--admin-listen", local},
			{"serve", "--issuer", "https://h.example", "--key-file", word, "--listen", local, "--admin-listen", local},
			{"serve", "--issuer", "https://h.example", "--directory", word, "--listen", local, "--admin-listen", local},
			{"serve", "--issuer", "https://h.example", "--key-file", file, "--listen", local, "--admin-listen", local},
			{"serve", "--issuer", "https://h.example", "--key-file", good, "--tls-cert", word, "--tls-key", file}, {"serve", "--config", word, "--listen", local, "--admin-listen", local},
			{"serve", "--issuer", "https://h.example", "--key-file", good, "--listen", word}, {"serve", "--config", file, "--listen", local, "--admin-listen", local},
			{"publish", "--bucket", word, "--region", word, "--key-file", good, "--once"}, {"publish", "--bucket", "b", "--region", "eu-west-1", "--key-file", word, "--once"},
			{"sign", "--signing-key-file", word, "--socket", "@s"}, {"sign", "--signing-key-file", file, "--socket", "@s"}, {"sign", "--signing-key-file", brokenFile, "--socket", "@s"},
			{"sign", "--signing-kms-key", word, "--region", "eu-west-1", "--socket", "@s"}, {"sign", "--config", file, "--socket", "@s"}, {"sign", "--signing-key-file", good, "--socket", word},
			{"serve", "--log-level", word}, {"serve", "--log-format", word}, {"serve", "--" + word}, {word}, {"serve", word}, {"sign", "--refresh", word},
		} {
			try(nil, args...)
		}
		try(func(name string) (string, bool) {
			return word, name == "ISSUER_DRAIN"
		}, "serve", "--issuer", "https://h.example")
		for _, text := range []string{"clusters: %q", "clusters:\n- {issuer: %q}", "%q: x", "clusters:\n- {issuer: https://h.example, keyFiles: [%q]}", "clusters:\n- {issuer: https://h.example, s3: {bucket: %[1]q, region: %[1]q}}"} {
			config := write("issuer.yaml", fmt.Sprintf("apiVersion: openirsa.dev/v1alpha1\nkind: Issuer\n"+text+"\n", word))
			try(nil, "serve", "--config", config, "--listen", local, "--admin-listen", local)
		}
	}
	if told < 30 {
		t.Errorf("%d runs have told of it", told)
	}

	// What is asked of a program that runs.
	port, admin := kubetest.FreePort(t), kubetest.FreePort(t)
	config := write("issuer.yaml", fmt.Sprintf("apiVersion: openirsa.dev/v1alpha1\nkind: Issuer\nclusters:\n- {issuer: https://h.example/a, keyFiles: [%q]}\n- {issuer: https://h.example/b, keyFiles: [broken.pem]}\n", secret))
	b := start(t, "serve", "--config", config, "--log-level", "debug", "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--admin-listen", fmt.Sprintf("127.0.0.1:%d", admin))
	eventually(t, 5*time.Second, "serving", func() error {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", admin))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		look("/readyz", string(text))
		if !strings.Contains(string(text), redact.Secret) {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
	for _, url := range []string{fmt.Sprintf("http://127.0.0.1:%d/%s/openid/v1/jwks", port, secret), fmt.Sprintf("http://127.0.0.1:%d/readyz?issuer=%s", admin, secret), fmt.Sprintf("http://127.0.0.1:%d/readyz?issuer=https://x.example/%s", admin, token)} {
		r, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		look(url, string(text))
	}
	look("the log of issuer serve", b.log.String())

	socket := filepath.Join(dir, "own", "s.sock")
	s := start(t, "sign", "--signing-key-file", good, "--socket", socket, "--log-level", "debug", "--issuer", "https://h.example")
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, word := range []string{token, secret, broken} {
		encode := func(format string) string {
			return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, format, word))
		}
		for _, claims := range []string{
			word, encode("%s"), encode(`{"iss":%q,"sub":"x","exp":1,"iat":0}`), encode(`{"iss":"https://h.example","sub":%q,"exp":1,"iat":0}`), encode(`{%q:1}`),
		} {
			eventually(t, 5*time.Second, "an answer", func() error {
				_, err := externaljwt.NewExternalJWTSignerClient(conn).Sign(t.Context(), &externaljwt.SignJWTRequest{Claims: claims})
				if err == nil || strings.Contains(err.Error(), "Unavailable") {
					return fmt.Errorf("%v", err)
				}
				look("sign", err.Error())
				return nil
			})
		}
	}
	look("the log of issuer sign", s.log.String())
}
