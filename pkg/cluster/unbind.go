package cluster

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/kube"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/plan"
)

// WithRole are the service accounts, of all namespaces, that are annotated with a role,
// whoever has done that.
func (c *Cluster) WithRole(ctx context.Context, prefix irsa.Prefix) ([]ServiceAccount, error) {
	var accounts []ServiceAccount
	options := metav1.ListOptions{Limit: 500}
	for {
		list, err := Retry(ctx, func() (*kube.List[corev1.ServiceAccount], error) {
			return c.client.ServiceAccounts(metav1.NamespaceAll).List(ctx, options)
		})
		if err != nil {
			return nil, fmt.Errorf("listing the service accounts of cluster %s: %w", c.Name, err)
		}
		for _, sa := range list.Items {
			if sa.Annotations[prefix.RoleARN()] != "" {
				accounts = append(accounts, ServiceAccount{Namespace: sa.Namespace, Name: sa.Name, Annotations: sa.Annotations, Labels: sa.Labels})
			}
		}
		if options.Continue = list.Continue; options.Continue == "" {
			return accounts, nil
		}
	}
}

// Unbind takes the annotations of IRSA from a service account, if they are ours. It and
// everything else of it stays: one that was made by us counts from then on as made by
// [Cluster.Make]. Kept reports that the annotation of the role is somebody else's, and
// stays.
func (c *Cluster) Unbind(ctx context.Context, namespace, name string, prefix irsa.Prefix) (steps []plan.Step, kept bool, err error) {
	live, err := c.serviceAccount(ctx, namespace, name)
	if err != nil || live == nil || live.Annotations[prefix.RoleARN()] == "" {
		return nil, false, err
	}
	labels, annotations, ours := withoutIRSA(live, prefix)
	if !ours {
		return nil, true, nil
	}
	var diff strings.Builder
	diff.WriteString(diffMaps("labels", live.Labels, labels))
	for _, key := range stale(live, labels, annotations) {
		fmt.Fprintf(&diff, "-metadata.%s\n", key)
	}
	return []plan.Step{{
		Link: plan.ServiceAccount, Action: plan.Update, Summary: "service account " + namespace + "/" + name, Diff: diff.String(),
		Do: func(ctx context.Context) error {
			now, err := c.serviceAccount(ctx, namespace, name)
			if err != nil || now == nil {
				return err // applying would make it
			}
			labels, annotations, ours := withoutIRSA(now, prefix)
			if !ours {
				return nil
			}
			return c.applyServiceAccount(ctx, namespace, name, labels, annotations)
		},
	}}, false, nil
}

// withoutIRSA are the labels and annotations of ours that have nothing to do with IRSA, and
// whether the annotation of the role is one of ours.
func withoutIRSA(live *corev1.ServiceAccount, prefix irsa.Prefix) (labels, annotations map[string]string, ours bool) {
	labels, annotations = map[string]string{}, map[string]string{}
	for _, key := range stale(live, nil, nil) {
		kind, key, _ := strings.Cut(key, ".")
		switch {
		case kind == "annotations" && key == prefix.RoleARN():
			ours = true
		case kind == "annotations" && !strings.HasPrefix(key, string(prefix)+"/"):
			annotations[key] = live.Annotations[key]
		case kind == "labels" && key != ServiceAccountLabel:
			labels[key] = live.Labels[key]
		}
	}
	if live.Labels[ServiceAccountLabel] == Created {
		labels[MadeLabel] = "true"
	}
	return labels, annotations, ours
}
