package cluster

import (
	"context"
	"fmt"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/wait"
)

// WaitForCABundle waits until every webhook of a configuration has the
// certificate by which the API server knows it, which the webhook itself puts
// there. Until then the API server refuses what it would ask the webhook about.
func (c *Cluster) WaitForCABundle(ctx context.Context, configuration string, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for {
		missing, err := c.FirstWithoutCABundle(ctx, configuration)
		if err != nil || missing == "" {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("webhook %s of MutatingWebhookConfiguration %s has no caBundle after %s", missing, configuration, patience)
		}
		if err := wait.Sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// FirstWithoutCABundle names a webhook of a configuration that has no certificate
// yet, if there is one.
func (c *Cluster) FirstWithoutCABundle(ctx context.Context, configuration string) (string, error) {
	live, err := Retry(ctx, func() (*admissionv1.MutatingWebhookConfiguration, error) {
		return c.client.MutatingWebhookConfigurations().Get(ctx, configuration, metav1.GetOptions{})
	})
	if err != nil {
		return "", fmt.Errorf("reading MutatingWebhookConfiguration %s of cluster %s: %w", configuration, c.Name, err)
	}
	for _, w := range live.Webhooks {
		if len(w.ClientConfig.CABundle) == 0 {
			return w.Name, nil
		}
	}
	return "", nil
}

// Unreached is why the API server gets no answer of a webhook, if that is so, as it says
// itself when it is asked for a pod in namespace default in a dry run ([Cluster.TrialPod]).
// It is nil too if no pod of that namespace is asked about, or if something else keeps the
// API server from making it, such as that the user of the kubeconfig has no right to.
func (c *Cluster) Unreached(ctx context.Context, webhook string) error {
	_, err := c.TrialPod(ctx, metav1.NamespaceDefault, "default")
	// NewInternalError and ErrCallingWebhook in k8s.io/apiserver, and net/http's client.
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("failed calling webhook %q: failed to call webhook: Post ", webhook)) {
		return context.Cause(ctx)
	}
	return fmt.Errorf("the API server cannot call the webhook: %w", err)
}

// WaitUntilReached waits until the API server gets an answer of a webhook, as far as
// [Cluster.Unreached] can tell. A webhook that is ready may not be reached for some seconds:
// until kube-proxy has put it behind its Service, and the API server knows its certificate.
func (c *Cluster) WaitUntilReached(ctx context.Context, webhook string, patience time.Duration) error {
	return wait.Retry(ctx, patience, wait.Any, func(ctx context.Context) error { return c.Unreached(ctx, webhook) })
}
