package webhook_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/redact"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/webhook"
)

// TestSecretsInWrongPlaces puts a token, a secret access key and a private key
// into each text of service accounts and reviews, and looks for them in warnings,
// refusals, Events and the log.
func TestSecretsInWrongPlaces(t *testing.T) {
	secrets := map[string]string{
		"token":       "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJodHRwczovL3giLCJzdWIiOiJ5In0.c2lnbmF0dXJlLW9mLWEtdG9rZW4tdGhhdC1ub2JvZHktbWF5LXNlZQ",
		"secret":      "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		"private key": "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\n-----END PRIVATE KEY-----\n",
	}
	var log lockedLog
	c := newCluster(t)
	events := webhook.NewEvents(report(c.core()), nil)
	logger := slog.New(redact.Handler(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	d := &webhook.Directory{Metadata: c.meta, Events: events, Log: logger}
	prefix := irsa.DefaultPrefix
	keys := []string{prefix.RoleARN(), "eks.amazonaws.com/audience", prefix.TokenExpiration(), prefix.SkipContainers(), "eks.amazonaws.com/sts-regional-endpoints",
		"eks.amazonaws.com/role-session-name", "eks.amazonaws.com/include-containers", "eks.amazonaws.com/unknown"}
	accounts := []string{"good"}
	c.serviceAccount(t, "ns", "good", annotated(roleA))
	for which, secret := range secrets {
		for i, key := range keys {
			for form, value := range []string{secret, "arn:aws:iam::123456789012:role/" + secret} {
				name := fmt.Sprintf("sa-%s-%d-%d", strings.ReplaceAll(which, " ", "-"), i, form)
				annotations := annotated(roleA)
				annotations[key] = value
				c.serviceAccount(t, "ns", name, annotations)
				accounts = append(accounts, name)
			}
		}
	}
	follow(t, d)
	run(t, events)
	var said strings.Builder
	ask := func(h *webhook.Handler, review string) {
		r := httptest.NewRequest("POST", "/mutate", strings.NewReader(review))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var answer admissionv1.AdmissionReview
		if w.Code != http.StatusOK || json.Unmarshal(w.Body.Bytes(), &answer) != nil {
			said.WriteString(w.Body.String())
			return
		}
		said.WriteString(strings.Join(answer.Response.Warnings, "\n") + "\n") // the patch says what was asked for
		if answer.Response.Result != nil {
			said.WriteString(answer.Response.Result.Message + "\n")
		}
	}
	for _, refuse := range []bool{false, true} {
		h := &webhook.Handler{Lookup: d.Lookup, Events: events, Log: logger, RefuseMalformed: refuse}
		for _, account := range accounts {
			ask(h, aReview(aPod, `"serviceAccountName":"sa"`, `"serviceAccountName":"`+account+`"`))
		}
		for _, secret := range secrets {
			quoted, _ := json.Marshal(secret)
			q := string(quoted)
			in := func(change ...string) {
				ask(h, aReview(strings.ReplaceAll(aPod, `"serviceAccountName":"sa"`, `"serviceAccountName":"good"`), change...))
			}
			for _, key := range keys {
				in(`"name":"p"`, `"name":"p","annotations":{"`+key+`":`+q+`}`)
				in(`"name":"p"`, `"name":"p","annotations":{`+q+`:`+q+`},"labels":{`+q+`:`+q+`}`)
			}
			in(`"name":"p"`, `"name":`+q)
			in(`"name":"p"`, `"generateName":`+q)
			in(`"name":"c"`, `"name":`+q)
			in(`"image":"i"`, `"image":`+q+`,"env":[{"name":`+q+`,"value":`+q+`},{"name":"AWS_ROLE_ARN","value":`+q+`}]`)
			in(`"image":"i"`, `"image":"i","volumeMounts":[{"name":`+q+`,"mountPath":"/var/run/secrets/eks.amazonaws.com/serviceaccount"}]`)
			in(`"name":"c","image":"i"`, `"name":`+q+`,"volumeMounts":[{"name":"x","mountPath":"/var/run/secrets/eks.amazonaws.com/serviceaccount"}]`)
			in(`"containers"`, `"volumes":[{"name":"aws-iam-token","projected":{"sources":[{"serviceAccountToken":{"audience":`+q+`,"path":`+q+`}}]}}],"containers"`)
			in(`"serviceAccountName":"good"`, `"serviceAccountName":`+q)
			in(`"namespace":"ns"`, `"namespace":`+q)
			in(`"containers":[`, `"containers":`+q+`,"x":[`)
			in(`"kind":"AdmissionReview"`, `"kind":`+q)
			in(`admission.k8s.io/v1"`, `admission.k8s.io/v1","apiVersion":`+q)
			ask(h, q)
			ask(h, secret)
		}
	}
	var told strings.Builder
	eventually(t, "Events are there", func() bool {
		list, err := c.core().Events("ns").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		told.Reset()
		for _, e := range list.Items {
			told.WriteString(e.Reason + " " + e.Message + "\n")
		}
		return len(list.Items) >= 2*len(secrets)
	})
	for what, output := range map[string]string{"answers": said.String(), "Events": told.String(), "log": log.String()} {
		for name, secret := range secrets {
			if name == "private key" {
				secret = strings.Split(secret, "\n")[1]
			}
			for i := 0; i+20 <= len(secret); i++ {
				if at := strings.Index(output, secret[i:i+20]); at >= 0 {
					t.Errorf("the %s is in %s: ...%q", name, what, output[max(0, at-150):min(len(output), at+60)])
					break
				}
			}
		}
		if !strings.Contains(output, redact.Secret) {
			t.Errorf("nothing is said of it in %s: %.300s", what, output)
		}
	}
}

// lockedLog may be written while it is read.
type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
