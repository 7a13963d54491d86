package app

import (
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openirsa/openirsa/internal/kubetest"
)

// TestClients has a real API server do all that the webhook asks of one.
func TestClients(t *testing.T) {
	server := kubetest.Start(t)
	c, err := newClients(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()

	secrets := c.secrets("default")
	changes, err := secrets.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=tls"})
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Stop()
	if _, err := secrets.Get(ctx, "tls", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("no Secret: %v", err)
	}
	secret, err := secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "tls"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	secret.Data = map[string][]byte{"key": []byte("value")}
	if _, err := secrets.Update(ctx, secret, metav1.UpdateOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := secrets.Update(ctx, secret, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("an old version: %v", err)
	}
	if got, err := secrets.Get(ctx, "tls", metav1.GetOptions{}); err != nil || string(got.Data["key"]) != "value" {
		t.Errorf("%v, %v", got, err)
	}
	for range 2 {
		if s, ok := (<-changes.ResultChan()).Object.(*corev1.Secret); !ok || s.Name != "tls" {
			t.Errorf("the watch tells of %v", s)
		}
	}

	hook := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "openirsa"}}
	if _, err := server.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(ctx, hook, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	label := []byte(`[{"op":"add","path":"/metadata/labels","value":{"a":"b"}}]`)
	if _, err := c.configurations().Patch(ctx, "openirsa", types.JSONPatchType, label, metav1.PatchOptions{FieldManager: "me"}); err != nil {
		t.Error(err)
	}
	if got, err := c.configurations().Get(ctx, "openirsa", metav1.GetOptions{}); err != nil || got.Labels["a"] != "b" {
		t.Errorf("%v, %v", got, err)
	}

	event := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "said"}, Reason: "Said",
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Secret", Namespace: "default", Name: "tls"},
	}
	if err := c.report(ctx, event); err != nil {
		t.Error(err)
	}
	if err := c.report(ctx, event); !apierrors.IsAlreadyExists(err) {
		t.Errorf("an Event made twice: %v", err)
	}
	if list, err := c.configMaps("kube-system").List(ctx, metav1.ListOptions{}); err != nil || len(list.Items) == 0 {
		t.Errorf("%v, %v", list, err)
	}
	if list, err := c.listPods(ctx, "default", metav1.ListOptions{Limit: 1}); err != nil || len(list.Items) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}
