package webhook_test

import (
	"crypto/tls"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/openirsa/openirsa/internal/kubetest"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/webhook"
)

// TestAPIServer asks a real API server what it makes of the webhook's answers: it
// tries again where there are too many reviews, and takes what comes within the
// grace period.
func TestAPIServer(t *testing.T) {
	server := kubetest.Start(t)
	client, ctx := server.Client, t.Context()
	meta, err := metadata.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	events := webhook.NewEvents(report(client.CoreV1()), nil)
	run(t, events)
	d := &webhook.Directory{Metadata: meta, Grace: 3 * time.Second, Events: events, Defaults: irsa.Defaults{PodSession: true}}
	follow(t, d)
	ours := &webhook.Handler{Lookup: d.Lookup, Events: events}
	var refusals, asked atomic.Int32
	register(t, client, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1); refusals.Add(-1) >= 0 {
			webhook.TooMany(w)
			return
		}
		ours.ServeHTTP(w, r)
	}))
	account := func(name string, annotations map[string]string) {
		t.Helper()
		if _, err := client.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	pod := func(account string) *corev1.Pod {
		t.Helper()
		made, err := client.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: account + "-"}, Spec: corev1.PodSpec{
			ServiceAccountName: account, Containers: []corev1.Container{{Name: "c", Image: "i"}},
		}}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			t.Fatalf("a pod of %s: %v", account, err)
		}
		return made
	}
	variable := func(p *corev1.Pod, name string) *corev1.EnvVar {
		for i, e := range p.Spec.Containers[0].Env {
			if e.Name == name {
				return &p.Spec.Containers[0].Env[i]
			}
		}
		return new(corev1.EnvVar)
	}
	account("app", map[string]string{"eks.amazonaws.com/role-arn": roleA})
	eventually(t, "the webhook is called", func() bool { return variable(pod("app"), irsa.EnvRoleARN).Value == roleA })
	if v := variable(pod("app"), irsa.EnvRoleSessionName); v.ValueFrom == nil || v.ValueFrom.FieldRef.FieldPath != "metadata.name" {
		t.Errorf("session name %+v", v)
	}

	refusals.Store(2)
	asked.Store(0)
	if p := pod("app"); variable(p, irsa.EnvRoleARN).Value != roleA || asked.Load() != 3 {
		t.Errorf("after %d questions: %+v", asked.Load(), p.Spec.Containers[0].Env)
	}

	account("later", nil)
	time.AfterFunc(time.Second, func() {
		client.CoreV1().ServiceAccounts("default").Patch(ctx, "later", "application/merge-patch+json", []byte(`{"metadata":{"annotations":{"eks.amazonaws.com/role-arn":"`+roleB+`"}}}`), metav1.PatchOptions{})
	})
	if p := pod("later"); variable(p, irsa.EnvRoleARN).Value != roleB {
		t.Errorf("annotated a second after its pod: %+v", p.Spec.Containers[0].Env)
	}
}

// register serves a webhook and has the API server call it for pods.
func register(t *testing.T, client kubernetes.Interface, h http.Handler) {
	t.Helper()
	hook := httptest.NewUnstartedServer(h)
	hook.TLS = &tls.Config{}
	hook.StartTLS()
	t.Cleanup(hook.Close)
	url := hook.URL + "/mutate"
	_, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(), &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "openirsa"},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "pod-identity.openirsa.dev", AdmissionReviewVersions: []string{"v1"}, TimeoutSeconds: new(int32(5)),
			SideEffects:  new(admissionregistrationv1.SideEffectClassNoneOnDryRun),
			ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hook.Certificate().Raw})},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}
