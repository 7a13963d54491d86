package cluster

import (
	"context"
	"fmt"
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
