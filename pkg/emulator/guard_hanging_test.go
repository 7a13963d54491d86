package emulator_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// tryIAM calls IAM as the root user.
func (g *guarded) tryIAM(pairs ...string) error {
	rec := httptest.NewRecorder()
	g.ServeHTTP(rec, g.signed("test", "test", "iam", "POST", "/", form(append(pairs, "Version", "2010-05-08")...), "Content-Type", formType))
	if rec.Code != http.StatusOK {
		return fmt.Errorf("%d %s", rec.Code, rec.Body)
	}
	return nil
}

// TestGuardHangingBackend: who waits for a backend keeps nobody else waiting, and what is
// decided afterwards is decided about the caller as it is then.
func TestGuardHangingBackend(t *testing.T) {
	t.Parallel()
	const key = "arn:aws:kms:us-east-1:123456789012:key/mine"
	for call, body := range map[string]string{
		"TrentService.Decrypt":          `{"CiphertextBlob":"bWluZQ=="}`, // whose answer is held
		"secretsmanager.GetSecretValue": `{"SecretId":"app"}`,            // about which the guard asks
	} {
		for name, test := range map[string]struct {
			change func(g *guarded) error
			want   string // in the answer
		}{
			"nothing": {func(*guarded) error { return nil }, "c2VjcmV0"},
			"a reset": {func(g *guarded) error { return g.Reset() }, "UnrecognizedClientException"},
			"a deleted key": {func(g *guarded) error {
				return g.tryIAM("Action", "DeleteAccessKey", "UserName", "app", "AccessKeyId", g.id)
			}, "UnrecognizedClientException"},
			"no policy any more": {func(g *guarded) error {
				return g.tryIAM("Action", "DeleteUserPolicy", "UserName", "app", "PolicyName", "p")
			}, "AccessDeniedException"},
		} {
			g := newGuarded(t, func(c *emulator.Config) { c.Forward["kms"] = c.Forward["*"] })
			g.policy(permitting("kms:Decrypt secretsmanager:GetSecretValue", "*"))
			begun, released := make(chan struct{}), make(chan struct{})
			hang := sync.OnceFunc(func() {
				close(begun)
				<-released
			})
			g.stub.serve = func(w http.ResponseWriter, r *http.Request, _ string) {
				if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".Decrypt") {
					hang()
				}
				io.WriteString(w, `{"KeyId":"`+key+`","Plaintext":"c2VjcmV0"}`)
			}
			g.stub.ask = func(w http.ResponseWriter, r *http.Request, _ string) {
				if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DescribeSecret") {
					hang()
					io.WriteString(w, `{"ARN":"`+arnSecret+`app-Xy12Za","Name":"app"}`)
					return
				}
				w.WriteHeader(http.StatusBadRequest)
			}
			service, _, _ := strings.Cut(call, ".")
			if service == "TrentService" {
				service = "kms"
			}
			rec, over := httptest.NewRecorder(), make(chan struct{})
			r := g.json(service, json11, call, body)
			go func() {
				defer close(over)
				g.ServeHTTP(rec, r)
			}()
			<-begun
			changed := make(chan error, 1)
			go func() {
				err := test.change(g)
				if err == nil {
					err = g.tryIAM("Action", "ListUsers") // which is nobody's affair
				}
				changed <- err
			}()
			select {
			case err := <-changed:
				if err != nil {
					t.Errorf("%s, %s: %v", call, name, err)
				}
			case <-time.After(10 * time.Second):
				t.Errorf("%s, %s: others wait for the backend", call, name)
			}
			close(released)
			<-over
			answer := raw(rec)
			if !strings.Contains(answer, test.want) || strings.Contains(answer, "c2VjcmV0") != (name == "nothing") {
				t.Errorf("%s, %s: %s", call, name, answer)
			}
		}
	}
}
