package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"

	"github.com/openirsa/openirsa/internal/kube"
	"github.com/openirsa/openirsa/pkg/issuer"
)

// raw gets a path of the API server.
func (c *Cluster) raw(ctx context.Context, path string) ([]byte, error) {
	return c.client.REST().Get().AbsPath(path).DoRaw(ctx)
}

// JWKS is the cluster's set of public keys with which its tokens are signed,
// as the API server serves it.
func (c *Cluster) JWKS(ctx context.Context) ([]byte, error) {
	b, err := Retry(ctx, func() ([]byte, error) { return c.raw(ctx, issuer.JWKSPath) })
	if err != nil {
		return nil, fmt.Errorf("reading %s of cluster %s: %w", issuer.JWKSPath, c.Name, err)
	}
	return b, nil
}

// Discovery is the discovery document that the API server has for its issuer.
func (c *Cluster) Discovery(ctx context.Context) ([]byte, error) {
	b, err := Retry(ctx, func() ([]byte, error) { return c.raw(ctx, issuer.DiscoveryPath) })
	if err != nil {
		return nil, fmt.Errorf("reading %s of cluster %s: %w", issuer.DiscoveryPath, c.Name, err)
	}
	return b, nil
}

// Issuer is the issuer of the cluster's new tokens, as the API server's
// discovery document has it. Empty where the API server has none, which is the
// case when its issuer is not an https URL.
func (c *Cluster) Issuer(ctx context.Context) (string, error) {
	b, err := c.Discovery(ctx)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var doc struct {
		Issuer string `json:"issuer"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return "", fmt.Errorf("reading %s of cluster %s: %w", issuer.DiscoveryPath, c.Name, err)
	}
	return doc.Issuer, nil
}

// Architecture is that of all nodes, such as "amd64".
func (c *Cluster) Architecture(ctx context.Context) (string, error) {
	list, err := Retry(ctx, func() (*kube.List[corev1.Node], error) { return c.client.Nodes().List(ctx, metav1.ListOptions{}) })
	if err != nil {
		return "", fmt.Errorf("listing the nodes of cluster %s: %w", c.Name, err)
	}
	var arch string
	for _, n := range list.Items {
		switch a := n.Status.NodeInfo.Architecture; arch {
		case "", a:
			arch = a
		default:
			return "", fmt.Errorf("the nodes of cluster %s differ in architecture: %s and %s", c.Name, arch, a)
		}
	}
	if arch == "" {
		return "", fmt.Errorf("cluster %s has no nodes", c.Name)
	}
	return arch, nil
}

// Version is that of the API server, MAJOR.MINOR.
func (c *Cluster) Version(ctx context.Context) (string, error) {
	v, err := Retry(ctx, func() (*version.Info, error) { return c.client.Version(ctx) })
	if err != nil {
		return "", fmt.Errorf("asking cluster %s for its version: %w", c.Name, err)
	}
	at, err := utilversion.ParseGeneric(v.GitVersion)
	if err != nil {
		return "", fmt.Errorf("reading the version of cluster %s: %w", c.Name, err)
	}
	return fmt.Sprintf("%d.%d", at.Major(), at.Minor()), nil
}

// Endpoint is the URL of the API server in the kubeconfig, and the certificates (PEM) of
// the authorities that have signed its own; nil if the kubeconfig names none.
func (c *Cluster) Endpoint() (url string, ca []byte, err error) {
	config := c.Config()
	at, _, err := rest.DefaultServerUrlFor(config)
	if err == nil {
		err = rest.LoadTLSFiles(config)
	}
	if err != nil {
		return "", nil, fmt.Errorf("reading the kubeconfig of %s: %w", c.Name, err)
	}
	at.User = nil
	return strings.TrimSuffix(at.String(), "/"), config.CAData, nil
}

// SupportsMatchConditions reports whether the API server honours the matchConditions
// of webhooks, as it does by default since Kubernetes 1.28 (KEP 3716). Before,
// it drops them, or refuses what has them.
func (c *Cluster) SupportsMatchConditions(ctx context.Context) (bool, error) {
	v, err := Retry(ctx, func() (*version.Info, error) { return c.client.Version(ctx) })
	if err != nil {
		return false, fmt.Errorf("asking cluster %s for its version: %w", c.Name, err)
	}
	at, err := utilversion.ParseGeneric(v.GitVersion)
	if err != nil {
		return false, fmt.Errorf("reading the version of cluster %s: %w", c.Name, err)
	}
	return at.AtLeast(utilversion.MajorMinor(1, 28)), nil
}
