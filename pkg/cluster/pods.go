package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openirsa/openirsa/internal/kube"
	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/pkg/irsa"
)

// Pod is a pod that has not ended, and how its containers get a role.
type Pod struct {
	Namespace, Name string
	UID             types.UID
	// Node is where it runs; empty as long as it is on none.
	Node string
	// Account is the name of its service account.
	Account string
	// WebIdentity says that a container has a token for STS, as with IRSA. Every SDK
	// takes that first, whatever else there is.
	WebIdentity bool
	// PodIdentity says that a container asks the agent of EKS Pod Identity.
	PodIdentity bool
	// Leaving says that it is being deleted.
	Leaving bool

	controller *metav1.OwnerReference
}

// String is NAMESPACE/NAME.
func (p Pod) String() string { return p.Namespace + "/" + p.Name }

// PodsOf are the pods of a service account that have not ended, in the order of their
// names. An empty account is all of the namespace.
func (c *Cluster) PodsOf(ctx context.Context, namespace, account string) ([]Pod, error) {
	options := metav1.ListOptions{Limit: 500}
	if account != "" {
		options.FieldSelector = "spec.serviceAccountName=" + account
	}
	var all []Pod
	for {
		list, err := Retry(ctx, func() (*kube.List[corev1.Pod], error) { return c.client.Pods(namespace).List(ctx, options) })
		if err != nil {
			return nil, fmt.Errorf("listing the pods of namespace %s of cluster %s: %w", namespace, c.Name, err)
		}
		for i := range list.Items {
			p := &list.Items[i]
			ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
			if of := cmp.Or(p.Spec.ServiceAccountName, "default"); !ended && (account == "" || of == account) {
				all = append(all, PodOf(p))
			}
		}
		if options.Continue = list.Continue; options.Continue == "" {
			order.By(all, func(a, b Pod) int { return cmp.Compare(a.Name, b.Name) })
			return all, nil
		}
	}
}

// PodOf is a pod as the API server has it.
func PodOf(p *corev1.Pod) Pod {
	return Pod{
		Namespace: p.Namespace, Name: p.Name, UID: p.UID, Node: p.Spec.NodeName, Account: cmp.Or(p.Spec.ServiceAccountName, "default"),
		WebIdentity: HasVariable(&p.Spec, irsa.EnvTokenFile), PodIdentity: HasVariable(&p.Spec, irsa.EnvCredentialsURI),
		Leaving: p.DeletionTimestamp != nil, controller: metav1.GetControllerOfNoCopy(p),
	}
}

// CredentialsToken is a new token of a pod's service account for EKS Pod Identity, bound to
// the pod as the ones that kubelet asks for are. It lives for
// [irsa.MinExpirationSeconds], and no longer than the pod. It needs the right to create
// serviceaccounts/token in the namespace; the error is the API server's.
func (c *Cluster) CredentialsToken(ctx context.Context, p Pod) (string, error) {
	request := &authenticationv1.TokenRequest{ObjectMeta: metav1.ObjectMeta{Name: p.Account}, Spec: authenticationv1.TokenRequestSpec{
		Audiences: []string{irsa.CredentialsAudience}, ExpirationSeconds: new(int64(irsa.MinExpirationSeconds)),
		BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: p.Name, UID: p.UID},
	}}
	got, err := Retry(ctx, func() (*authenticationv1.TokenRequest, error) {
		return c.client.Tokens(p.Namespace).Create(ctx, request, metav1.CreateOptions{})
	})
	if err != nil {
		return "", fmt.Errorf("asking for a token of pod %s: %w", p, err)
	}
	return got.Status.Token, nil
}

// HasVariable reports whether a container of a pod has a variable.
func HasVariable(p *corev1.PodSpec, name string) bool {
	return slices.ContainsFunc(slices.Concat(p.InitContainers, p.Containers), func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name })
	})
}

// TrialPod asks the API server what it would make of a pod of a service account, with
// whatever its webhooks add. The pod is never made. It is as the strictest of the Pod
// Security Standards wants it; the error is what the API server says to refuse it, such
// as that there is no such service account.
func (c *Cluster) TrialPod(ctx context.Context, namespace, account string) (*corev1.Pod, error) {
	return c.client.Pods(namespace).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "openirsa-trial-", Namespace: namespace},
		Spec: corev1.PodSpec{
			ServiceAccountName: account,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(65532)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "trial", Image: "openirsa.dev/never-run",
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}
