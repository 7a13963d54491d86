package cluster_test

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admissionreviewv1 "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/kubetest"
	"github.com/openirsa/openirsa/pkg/cluster"
)

// A real API server cannot call a webhook at first, then not verify it, and then it can. What it says of another webhook
// is no reason to wait for this one.
func TestWaitUntilReached(t *testing.T) {
	server := kubetest.Start(t)
	c, err := cluster.New("dev", server.Config)
	if err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := server.Client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	const name = "pod.example.com"
	if err := c.Unreached(t.Context(), name); err != nil {
		t.Errorf("without any webhook: %v", err)
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	hook := httptest.NewUnstartedServer(http.HandlerFunc(admitAll))
	hook.TLS = &tls.Config{}
	other := httptest.NewTLSServer(nil) // with a certificate, which is the same for all
	defer other.Close()
	url := "https://" + address + "/mutate"
	configurations := server.Client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	configuration, err := configurations.Create(t.Context(), &admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "test"},
		Webhooks: []admissionv1.MutatingWebhook{{
			Name: name, AdmissionReviewVersions: []string{"v1"}, SideEffects: new(admissionv1.SideEffectClassNone), TimeoutSeconds: new(int32(1)),
			ClientConfig: admissionv1.WebhookClientConfig{URL: &url},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	refused := func() error { return c.Unreached(t.Context(), name) }
	for deadline := time.Now().Add(10 * time.Second); refused() == nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the API server does not ask the webhook")
		}
	}
	if err := refused(); !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody listens: %v", err)
	}
	if err := c.Unreached(t.Context(), "another.example.com"); err != nil {
		t.Errorf("another webhook: %v", err)
	}
	if err := c.WaitUntilReached(t.Context(), name, 300*time.Millisecond); err == nil || !strings.Contains(err.Error(), "cannot call the webhook") {
		t.Errorf("it was never reached, and the wait ended with %v", err)
	}

	if hook.Listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	hook.StartTLS()
	defer hook.Close()
	if err := refused(); err == nil || !strings.Contains(err.Error(), "x509") {
		t.Errorf("its certificate is not known: %v", err)
	}
	configuration.Webhooks[0].ClientConfig.CABundle = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate().Raw})
	if _, err = configurations.Update(t.Context(), configuration, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitUntilReached(t.Context(), name, 10*time.Second); err != nil {
		t.Errorf("it listens, and is known: %v", err)
	}
	if _, err := c.TrialPod(t.Context(), metav1.NamespaceDefault, "default"); err != nil {
		t.Errorf("it was waited for, and yet: %v", err)
	}
}

// admitAll is a webhook that has nothing to say.
func admitAll(w http.ResponseWriter, r *http.Request) {
	var review admissionreviewv1.AdmissionReview
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &review)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	review.Response, review.Request = &admissionreviewv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}, nil
	_ = json.NewEncoder(w).Encode(review)
}
