package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openirsa/openirsa/internal/kube"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/plan"
)

// ServiceAccountLabel is on every service account that carries an annotation
// of ours. Its value says what to do with it in the end: Created ones are
// deleted, Annotated ones existed before and only lose what was added.
const (
	ServiceAccountLabel = "openirsa.dev/service-account"
	Created             = "created"
	Annotated           = "annotated"
)

// ServiceAccount is a service account as it shall be.
type ServiceAccount struct {
	Namespace, Name string
	// Annotations are at least those of [irsa.Prefix.Annotations].
	Annotations map[string]string
	Labels      map[string]string
	// Override replaces what somebody else has set to another value.
	Override bool
}

// ConflictError is a service account on which somebody else has set an
// annotation or a label to another value.
type ConflictError struct {
	Namespace, Name string
	Key, Have, Want string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("service account %s/%s already has %s %q, not %q", e.Namespace, e.Name, e.Key, e.Have, e.Want)
}

// Annotate makes a service account, and its namespace, or adds the annotations
// to the one that exists. A different value that somebody else has set is a
// [*ConflictError] unless sa.Override.
func (c *Cluster) Annotate(ctx context.Context, sa ServiceAccount) ([]plan.Step, error) {
	steps, err := c.AnnotateAll(ctx, []ServiceAccount{sa})
	if err != nil {
		return nil, err
	}
	return steps[0], nil
}

// fewInNamespace is how many service accounts of a namespace are read one by one;
// to read more, they are listed.
const fewInNamespace = 4

// AnnotateAll is [Cluster.Annotate] for many service accounts: what must be done
// for each, in their order.
func (c *Cluster) AnnotateAll(ctx context.Context, all []ServiceAccount) ([][]plan.Step, error) {
	names := map[string][]string{} // by namespace
	for _, sa := range all {
		names[sa.Namespace] = append(names[sa.Namespace], sa.Name)
	}
	live := map[string]*corev1.ServiceAccount{} // by NAMESPACE/NAME
	exists := map[string]bool{}                 // namespaces, as far as it matters
	for namespace, names := range names {
		found, err := c.serviceAccounts(ctx, namespace, names)
		if err != nil {
			return nil, err
		}
		for _, sa := range found {
			live[sa.Namespace+"/"+sa.Name] = sa
		}
		if exists[namespace] = len(found) > 0; exists[namespace] {
			continue
		}
		_, err = Retry(ctx, func() (*corev1.Namespace, error) {
			return c.client.Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
			return nil, fmt.Errorf("reading namespace %s of cluster %s: %w", namespace, c.Name, err)
		}
		exists[namespace] = !apierrors.IsNotFound(err)
	}
	steps := make([][]plan.Step, len(all))
	for i, sa := range all {
		var err error
		if steps[i], err = c.planAnnotate(sa, live[sa.Namespace+"/"+sa.Name], exists[sa.Namespace]); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

// planAnnotate decides about a service account, given the existing one, or
// nil.
func (c *Cluster) planAnnotate(sa ServiceAccount, live *corev1.ServiceAccount, namespace bool) ([]plan.Step, error) {
	if !sa.Override {
		if err := conflict(live, sa); err != nil {
			return nil, err
		}
	}
	step := plan.Step{
		Link:    plan.ServiceAccount,
		Summary: "service account " + sa.Namespace + "/" + sa.Name,
		Do:      func(ctx context.Context) error { return c.annotate(ctx, sa) },
	}
	if live != nil {
		labels, annotations := sa.apply(live)
		changed := diffMaps("labels", live.Labels, labels) + diffMaps("annotations", live.Annotations, annotations)
		gone := stale(live, labels, annotations)
		if changed == "" && len(gone) == 0 {
			return nil, nil
		}
		for _, key := range gone {
			changed += fmt.Sprintf("-metadata.%s\n", key)
		}
		step.Action, step.Diff = plan.Update, changed
		return []plan.Step{step}, nil
	}
	labels, annotations := sa.apply(nil)
	step.Action = plan.Create
	step.Diff = diffMaps("labels", nil, labels) + diffMaps("annotations", nil, annotations)
	if namespace {
		return []plan.Step{step}, nil
	}
	return []plan.Step{{
		Link: plan.ServiceAccount, Action: plan.Create, Summary: "namespace " + sa.Namespace,
		Do: func(ctx context.Context) error { return c.createNamespace(ctx, sa.Namespace) },
	}, step}, nil
}

// serviceAccounts are those of the named service accounts of a namespace that
// are there, and perhaps others.
func (c *Cluster) serviceAccounts(ctx context.Context, namespace string, names []string) ([]*corev1.ServiceAccount, error) {
	var found []*corev1.ServiceAccount
	if len(names) > fewInNamespace {
		list, err := Retry(ctx, func() (*kube.List[corev1.ServiceAccount], error) {
			return c.client.ServiceAccounts(namespace).List(ctx, metav1.ListOptions{})
		})
		if err == nil {
			for i := range list.Items {
				found = append(found, &list.Items[i])
			}
			return found, nil
		}
		if !apierrors.IsForbidden(err) { // who may not list may read
			return nil, fmt.Errorf("listing the service accounts of namespace %s of cluster %s: %w", namespace, c.Name, err)
		}
	}
	for _, name := range names {
		live, err := c.serviceAccount(ctx, namespace, name)
		if err != nil {
			return nil, err
		}
		if live != nil {
			found = append(found, live)
		}
	}
	return found, nil
}

// createNamespace makes the namespace of a service account. It stays when the
// service account goes: others may have put things into it.
func (c *Cluster) createNamespace(ctx context.Context, namespace string) error {
	_, err := Retry(ctx, func() (*corev1.Namespace, error) {
		return c.client.Namespaces().Create(ctx,
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{FieldManager: Manager})
	})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// serviceAccount is the service account as it is, nil if it is not there.
func (c *Cluster) serviceAccount(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	live, err := Retry(ctx, func() (*corev1.ServiceAccount, error) {
		return c.client.ServiceAccounts(namespace).Get(ctx, name, metav1.GetOptions{})
	})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading service account %s/%s of cluster %s: %w", namespace, name, c.Name, err)
	}
	return live, nil
}

// conflict is the first value on which live and sa differ. What we have set
// ourselves is ours to change.
func conflict(live *corev1.ServiceAccount, sa ServiceAccount) error {
	if live == nil || live.Labels[ServiceAccountLabel] != "" {
		return nil
	}
	for _, pair := range []struct{ have, want map[string]string }{{live.Annotations, sa.Annotations}, {live.Labels, sa.Labels}} {
		for _, k := range slices.Sorted(maps.Keys(pair.want)) {
			if v, ok := pair.have[k]; ok && v != pair.want[k] {
				return &ConflictError{Namespace: sa.Namespace, Name: sa.Name, Key: k, Have: v, Want: pair.want[k]}
			}
		}
	}
	return nil
}

// apply are the labels and annotations to apply to live, which may be nil.
func (sa ServiceAccount) apply(live *corev1.ServiceAccount) (labels, annotations map[string]string) {
	labels = maps.Clone(sa.Labels)
	if labels == nil {
		labels = make(map[string]string)
	}
	labels[ServiceAccountLabel] = Created
	if live != nil && live.Labels[ServiceAccountLabel] != Created {
		labels[ServiceAccountLabel] = Annotated
	}
	return labels, sa.Annotations
}

func (c *Cluster) annotate(ctx context.Context, sa ServiceAccount) error {
	live, err := c.serviceAccount(ctx, sa.Namespace, sa.Name)
	if err != nil {
		return err
	}
	if !sa.Override { // somebody may have been faster
		if err := conflict(live, sa); err != nil {
			return err
		}
	}
	labels, annotations := sa.apply(live)
	return c.applyServiceAccount(ctx, sa.Namespace, sa.Name, labels, annotations)
}

// applyServiceAccount makes these the labels and annotations that we own.
func (c *Cluster) applyServiceAccount(ctx context.Context, namespace, name string, labels, annotations map[string]string) error {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetNamespace(namespace)
	o.SetName(name)
	o.SetLabels(labels)
	o.SetAnnotations(annotations)
	_, err := Retry(ctx, func() (*corev1.ServiceAccount, error) {
		return c.client.ServiceAccounts(namespace).Apply(ctx, o, metav1.ApplyOptions{FieldManager: Manager, Force: true})
	})
	return err
}

// stale are the keys of the labels and annotations that we have applied earlier and that
// are no longer wanted, such as "annotations.eks.amazonaws.com/audience".
func stale(live *corev1.ServiceAccount, labels, annotations map[string]string) []string {
	var keys []string
	for _, entry := range live.ManagedFields {
		if entry.Manager != Manager || entry.Operation != metav1.ManagedFieldsOperationApply || entry.FieldsV1 == nil {
			continue
		}
		var owned struct {
			Metadata map[string]map[string]any `json:"f:metadata"`
		}
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &owned); err != nil {
			continue // an entry we cannot read makes nothing stale
		}
		for kind, want := range map[string]map[string]string{"labels": labels, "annotations": annotations} {
			for key := range owned.Metadata["f:"+kind] {
				key, ok := strings.CutPrefix(key, "f:")
				if _, wanted := want[key]; ok && !wanted {
					keys = append(keys, kind+"."+key)
				}
			}
		}
	}
	slices.Sort(keys)
	return keys
}

// diffMaps shows which of the wanted keys are missing or different.
func diffMaps(what string, have, want map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(want)) {
		v, ok := have[k]
		if ok && v == want[k] {
			continue
		}
		if ok {
			fmt.Fprintf(&b, "-metadata.%s.%s: %q\n", what, k, v)
		}
		fmt.Fprintf(&b, "+metadata.%s.%s: %q\n", what, k, want[k])
	}
	return b.String()
}

// Unannotate undoes Annotate: a service account that we have made is deleted,
// one that existed before loses only what we have added. One that was never
// annotated by us is left alone.
func (c *Cluster) Unannotate(ctx context.Context, namespace, name string) ([]plan.Step, error) {
	live, err := c.serviceAccount(ctx, namespace, name)
	if err != nil || live == nil {
		return nil, err
	}
	step := plan.Step{Link: plan.ServiceAccount, Summary: "service account " + namespace + "/" + name}
	switch live.Labels[ServiceAccountLabel] {
	case Created:
		return c.deleteServiceAccount(namespace, name), nil
	case Annotated:
		step.Action = plan.Update
		for _, key := range stale(live, nil, nil) {
			step.Diff += fmt.Sprintf("-metadata.%s\n", key)
		}
		step.Do = func(ctx context.Context) error {
			if live, err := c.serviceAccount(ctx, namespace, name); err != nil || live == nil {
				return err // applying would make it
			}
			// Applying nothing gives up, and thereby removes, what only we own.
			return c.applyServiceAccount(ctx, namespace, name, nil, nil)
		}
	default:
		return nil, nil
	}
	return []plan.Step{step}, nil
}

// ServiceAccounts are the service accounts, of all namespaces, that carry
// annotations of ours, with the role of each.
func (c *Cluster) ServiceAccounts(ctx context.Context) ([]ServiceAccount, error) {
	return c.labelled(ctx, ServiceAccountLabel)
}

// labelled are the service accounts that have a label.
func (c *Cluster) labelled(ctx context.Context, label string) ([]ServiceAccount, error) {
	list, err := Retry(ctx, func() (*kube.List[corev1.ServiceAccount], error) {
		return c.client.ServiceAccounts(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: label})
	})
	if err != nil {
		return nil, fmt.Errorf("listing the service accounts of cluster %s: %w", c.Name, err)
	}
	accounts := make([]ServiceAccount, 0, len(list.Items))
	for _, sa := range list.Items {
		accounts = append(accounts, ServiceAccount{Namespace: sa.Namespace, Name: sa.Name, Annotations: sa.Annotations, Labels: sa.Labels})
	}
	return accounts, nil
}

// Role is the ARN of the service account's role; empty if it has none.
func (sa ServiceAccount) Role(prefix irsa.Prefix) string { return sa.Annotations[prefix.RoleARN()] }

// MadeLabel is "true" on a service account that was made for an association with EKS Pod
// Identity, which needs no annotation.
const MadeLabel = "openirsa.dev/pod-identity"

// Make makes a service account without annotations, and its namespace, unless it is there.
func (c *Cluster) Make(ctx context.Context, namespace, name string) ([]plan.Step, error) {
	live, err := c.serviceAccount(ctx, namespace, name)
	if err != nil || live != nil {
		return nil, err
	}
	return []plan.Step{{
		Link: plan.ServiceAccount, Action: plan.Create, Summary: "service account " + namespace + "/" + name,
		Do: func(ctx context.Context) error {
			if err := c.createNamespace(ctx, namespace); err != nil && !apierrors.IsForbidden(err) {
				return err
			}
			return c.applyServiceAccount(ctx, namespace, name, map[string]string{MadeLabel: "true"}, nil)
		},
	}}, nil
}

// Made are the service accounts, of all namespaces, that [Cluster.Make] has made.
func (c *Cluster) Made(ctx context.Context) ([]ServiceAccount, error) {
	return c.labelled(ctx, MadeLabel)
}

// Unmake deletes a service account that [Cluster.Make] has made, unless it was given a
// role by annotation since.
func (c *Cluster) Unmake(ctx context.Context, namespace, name string) ([]plan.Step, error) {
	live, err := c.serviceAccount(ctx, namespace, name)
	if err != nil || live == nil || live.Labels[MadeLabel] == "" || live.Labels[ServiceAccountLabel] != "" {
		return nil, err
	}
	return c.deleteServiceAccount(namespace, name), nil
}

// deleteServiceAccount is what must be done for a service account to be gone.
func (c *Cluster) deleteServiceAccount(namespace, name string) []plan.Step {
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"namespace": namespace, "name": name},
	}}
	return []plan.Step{{
		Link: plan.ServiceAccount, Action: plan.Delete, Summary: "service account " + namespace + "/" + name,
		Do: func(ctx context.Context) error { return c.delete(ctx, o) },
	}}
}
