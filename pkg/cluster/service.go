package cluster

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/node"
)

// kubeletConf is the kubeconfig of kubelet, which every kubeadm node has.
const kubeletConf = "/etc/kubernetes/kubelet.conf"

// WaitForService waits until pods, on the nodes that can be reached, find the
// API server behind its Service. One that stops takes its address out of the
// Service, and kube-proxy hears of its return only when it looks again, up to
// half a minute later: until then everything in the cluster that asks the API
// server is refused, such as the webhook about a new service account.
func (c *Cluster) WaitForService(ctx context.Context, patience time.Duration) error {
	server, err := c.serviceURL(ctx)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range c.nodes {
		group.Go(func() error {
			deadline := time.Now().Add(patience)
			for {
				err := reach(ctx, n, server, 5)
				if err == nil || context.Cause(ctx) != nil {
					return context.Cause(ctx)
				}
				if time.Now().After(deadline) {
					return fmt.Errorf("after %s, %w", patience, c.unreached(ctx, n, server, err))
				}
				if err := wait.Sleep(ctx, 300*time.Millisecond); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// apiService is the Service of the API server. The error wraps that of Kubernetes.
func (c *Cluster) apiService(ctx context.Context) (*corev1.Service, error) {
	service, err := Retry(ctx, func() (*corev1.Service, error) {
		return c.client.Services(metav1.NamespaceDefault).Get(ctx, "kubernetes", metav1.GetOptions{})
	})
	if err != nil {
		return nil, fmt.Errorf("reading the Service of the API server of cluster %s: %w", c.Name, err)
	}
	return service, nil
}

// serviceURL is where pods find the API server.
func (c *Cluster) serviceURL(ctx context.Context) (string, error) {
	service, err := c.apiService(ctx)
	if err != nil {
		return "", err
	}
	if len(service.Spec.Ports) == 0 {
		return "", fmt.Errorf("the Service of the API server of cluster %s has no port", c.Name)
	}
	return "https://" + net.JoinHostPort(service.Spec.ClusterIP, strconv.Itoa(int(service.Spec.Ports[0].Port))), nil
}

// reach asks the API server, as pods on a node do, whether it is ready, as often as
// times says.
func reach(ctx context.Context, n node.Node, server string, times int) error {
	return n.Until(ctx, times, "kubectl", "--kubeconfig="+kubeletConf, "--server="+server,
		"--tls-server-name=kubernetes", "--request-timeout=5s", "get", "--raw", "/readyz")
}

// unreached is that pods on a node do not reach the API server, and why.
func (c *Cluster) unreached(ctx context.Context, n node.Node, server string, err error) error {
	return fmt.Errorf("pods on node %s do not reach the API server at %s%s: %w", n.Name, server, c.whyNoService(ctx, n.Name), err)
}

// OnlyIPv6 reports whether the cluster's pods and Services have IPv6 addresses alone, as
// the Service of the API server has. Without that Service it is false.
func (c *Cluster) OnlyIPv6(ctx context.Context) (bool, error) {
	service, err := c.apiService(ctx)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return slices.Equal(service.Spec.IPFamilies, []corev1.IPFamily{corev1.IPv6Protocol}), nil
}

// whyNoService says, in brackets, who keeps pods on a node from the API server,
// as far as that is known: the API server itself, or kube-proxy.
func (c *Cluster) whyNoService(ctx context.Context, node string) string {
	list, err := c.client.EndpointSlices(metav1.NamespaceDefault).List(ctx,
		metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=kubernetes"})
	if err != nil {
		return ""
	}
	if !slices.ContainsFunc(list.Items, func(s discoveryv1.EndpointSlice) bool { return len(s.Endpoints) > 0 }) {
		return " (no API server has added itself to the Service: `kubectl --namespace default get endpointslices`)"
	}
	proxies, err := c.client.Pods(metav1.NamespaceSystem).List(ctx,
		metav1.ListOptions{LabelSelector: "k8s-app=kube-proxy", FieldSelector: "spec.nodeName=" + node})
	if err != nil || len(proxies.Items) == 0 {
		return ""
	}
	proxy := &proxies.Items[0]
	if why := waitsFor(proxy); len(why) > 0 {
		return " (" + strings.Join(why, "; ") + ")"
	}
	return fmt.Sprintf(" (its kube-proxy knows of none: `kubectl --namespace %s logs %s`; "+
		"`kubectl --namespace %[1]s delete pod %[2]s` restarts it)", proxy.Namespace, proxy.Name)
}
