package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/pkg/issuer"
)

// Right is one thing that may be done in a cluster, as `kubectl auth can-i`
// has it.
type Right struct {
	Verb, Group, Resource, Namespace string
	Path                             string // instead of a resource
}

func (r Right) String() string {
	if r.Path != "" {
		return r.Verb + " " + r.Path
	}
	s := r.Verb + " " + r.Resource
	if r.Group != "" {
		s += "." + r.Group
	}
	if r.Namespace != "" {
		s += " in namespace " + r.Namespace
	}
	return s
}

// InstallRights are the rights that installing and removing needs. Rights can
// only be granted by those who have them, which `escalate` and `bind` stand
// for; a cluster administrator has all.
func InstallRights() []Right {
	rights := []Right{{Verb: "get", Path: issuer.JWKSPath}, {Verb: "get", Path: issuer.DiscoveryPath}, {Verb: "list", Resource: "nodes"}}
	for _, r := range []Right{
		{Resource: "namespaces"},
		{Resource: "serviceaccounts"},
		{Resource: "configmaps", Namespace: Namespace},
		{Resource: "services", Namespace: Namespace},
		{Resource: "deployments", Group: "apps", Namespace: Namespace},
		{Resource: "roles", Group: "rbac.authorization.k8s.io", Namespace: metav1.NamespaceSystem},
		{Resource: "rolebindings", Group: "rbac.authorization.k8s.io", Namespace: metav1.NamespaceSystem},
		{Resource: "clusterroles", Group: "rbac.authorization.k8s.io"},
		{Resource: "clusterrolebindings", Group: "rbac.authorization.k8s.io"},
		{Resource: "mutatingwebhookconfigurations", Group: "admissionregistration.k8s.io"},
	} {
		for _, verb := range []string{"get", "create", "patch", "delete"} {
			r.Verb = verb
			rights = append(rights, r)
		}
	}
	return append(rights, Right{Verb: "create", Resource: "pods/portforward", Namespace: Namespace})
}

// ServiceAccountRights are the rights that giving service accounts of a namespace
// roles needs. The uid of kube-system tells whose roles are whose.
func ServiceAccountRights(namespace string) []Right {
	rights := []Right{
		{Verb: "get", Resource: "configmaps", Namespace: Namespace},
		{Verb: "get", Resource: "namespaces", Namespace: metav1.NamespaceSystem},
	}
	for _, verb := range []string{"get", "create", "patch", "delete"} {
		rights = append(rights, Right{Verb: verb, Resource: "serviceaccounts", Namespace: namespace})
	}
	return rights
}

// RestartRights are the rights that [Cluster.Restart] of workloads of a namespace needs.
func RestartRights(namespace string) []Right {
	rights := []Right{{Verb: "list", Resource: "pods", Namespace: namespace}}
	for _, verb := range []string{"get", "patch"} {
		for _, resource := range []string{"deployments", "statefulsets", "daemonsets"} {
			rights = append(rights, Right{Verb: verb, Group: "apps", Resource: resource, Namespace: namespace})
		}
	}
	return append(rights, Right{Verb: "get", Group: "apps", Resource: "replicasets", Namespace: namespace})
}

// Check asks the API server whether the user of the kubeconfig has the rights
// (a SelfSubjectAccessReview each). If not, the error wraps [ErrForbidden] and
// names those that are missing.
func (c *Cluster) Check(ctx context.Context, rights ...Right) error {
	missing := make([]string, len(rights))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, r := range rights {
		g.Go(func() error {
			review := &authorizationv1.SelfSubjectAccessReview{}
			if r.Path != "" {
				review.Spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Verb: r.Verb, Path: r.Path}
			} else {
				resource, sub, _ := strings.Cut(r.Resource, "/")
				review.Spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
					Verb: r.Verb, Group: r.Group, Resource: resource, Subresource: sub, Namespace: r.Namespace,
				}
			}
			answer, err := Retry(gctx, func() (*authorizationv1.SelfSubjectAccessReview, error) {
				return c.client.SelfSubjectAccessReviews().Create(gctx, review, metav1.CreateOptions{})
			})
			if err != nil {
				return fmt.Errorf("asking cluster %s for our rights: %w", c.Name, err)
			}
			if !answer.Status.Allowed {
				missing[i] = r.String()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	missing = slices.DeleteFunc(missing, func(s string) bool { return s == "" })
	if len(missing) == 0 {
		return nil
	}
	more := ""
	if len(missing) > 5 {
		more = fmt.Sprintf(" and %d more", len(missing)-5)
		missing = missing[:5]
	}
	return fmt.Errorf("%w: the user of the kubeconfig may not %s%s in cluster %s: use a kubeconfig of a cluster administrator",
		ErrForbidden, strings.Join(missing, ", "), more, c.Name)
}
