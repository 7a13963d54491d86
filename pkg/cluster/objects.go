package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/plan"
)

const (
	// Manager is the field manager of server-side apply.
	Manager = "openirsa"
	// OwnedSelector selects the objects that were installed.
	OwnedSelector = "app.kubernetes.io/part-of=openirsa,app.kubernetes.io/managed-by=openirsa"
)

// goneWait is how long an object, or a namespace with all it holds, may take
// to be gone once it is deleted. kube-controller-manager sees to that, which
// ends when the API server is away for long; kubelet starts it again after at
// most five minutes (Kubernetes, "Pod Lifecycle", container restarts).
const goneWait = 6 * time.Minute

// name is how messages call an object.
func name(o *unstructured.Unstructured) string {
	s := o.GetKind() + " " + o.GetName()
	if o.GetNamespace() != "" {
		s = o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
	}
	return s
}

// resource is the API of an object's kind, in its namespace.
func (c *Cluster) resource(ctx context.Context, o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	r, err := Retry(ctx, func() (dynamic.ResourceInterface, error) { return c.client.For(ctx, o) })
	if err != nil {
		return nil, fmt.Errorf("looking up %s in cluster %s: %w", o.GetKind(), c.Name, err)
	}
	return r, nil
}

// Apply makes the cluster hold the objects, in their order, by server-side
// apply under the field manager [Manager]. What differs is found by a dry run
// of the same apply, so that an object which is already as wanted has no step.
func (c *Cluster) Apply(ctx context.Context, objs []*unstructured.Unstructured, link string) ([]plan.Step, error) {
	going, err := c.going(ctx, objs)
	if err != nil {
		return nil, err
	}
	steps := make([]plan.Step, len(objs))
	decide := func(ctx context.Context, i int) error {
		step, err := c.apply(ctx, objs[i], link, going[objs[i].GetNamespace()])
		if err != nil {
			return fmt.Errorf("comparing %s with cluster %s: %w", name(objs[i]), c.Name, err)
		}
		steps[i] = step
		return nil
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range objs {
		g.Go(func() error { return decide(gctx, i) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(steps, func(s plan.Step) bool { return s.Do == nil }), nil
}

// going are those of the objects' namespaces that are being deleted. What is
// in them now will not be there soon.
func (c *Cluster) going(ctx context.Context, objs []*unstructured.Unstructured) (map[string]bool, error) {
	going := make(map[string]bool)
	for _, o := range objs {
		namespace := o.GetNamespace()
		if _, known := going[namespace]; known || namespace == "" {
			continue
		}
		ns, err := Retry(ctx, func() (*corev1.Namespace, error) {
			return c.client.Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("reading namespace %s of cluster %s: %w", namespace, c.Name, err)
		}
		going[namespace] = err == nil && ns.DeletionTimestamp != nil
	}
	return going, nil
}

// apply decides about one object, which is in a namespace that is going or
// not. The step has no Do if there is nothing to do.
func (c *Cluster) apply(ctx context.Context, o *unstructured.Unstructured, link string, going bool) (plan.Step, error) {
	step := plan.Step{Link: link, Summary: name(o), Do: func(ctx context.Context) error { return c.applyNow(ctx, o) }}
	r, err := c.resource(ctx, o)
	if err != nil {
		return plan.Step{}, err
	}
	if going {
		step.Action = plan.Create
		return step, nil
	}
	live, err := Retry(ctx, func() (*unstructured.Unstructured, error) { return r.Get(ctx, o.GetName(), metav1.GetOptions{}) })
	if apierrors.IsNotFound(err) || err == nil && live.GetDeletionTimestamp() != nil {
		step.Action = plan.Create
		return step, nil
	}
	if err != nil {
		return plan.Step{}, err
	}
	dry, err := Retry(ctx, func() (*unstructured.Unstructured, error) {
		return r.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: Manager, Force: true, DryRun: []string{metav1.DryRunAll}})
	})
	switch {
	case immutable(err):
		step.Diff = "the object is recreated: a field that cannot change differs\n"
	case err != nil:
		return plan.Step{}, err
	default:
		step.Diff = diffObjects(live, dry)
		if step.Diff == "" {
			return plan.Step{}, nil
		}
	}
	step.Action = plan.Update
	return step, nil
}

// immutable reports whether an object differs in a field that only a new
// object can have, such as a Deployment's selector.
func immutable(err error) bool {
	return apierrors.IsInvalid(err) && strings.Contains(err.Error(), "immutable")
}

// applyNow applies one object, if need be after the previous one of its name, or
// its namespace, is gone.
func (c *Cluster) applyNow(ctx context.Context, o *unstructured.Unstructured) error {
	r, err := c.resource(ctx, o)
	if err != nil {
		return err
	}
	if err := c.gone(ctx, o); err != nil { // if it is being deleted
		return err
	}
	if o.GetNamespace() != "" {
		namespace := &unstructured.Unstructured{}
		namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
		namespace.SetName(o.GetNamespace())
		if err := c.gone(ctx, namespace); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(goneWait)
	for {
		_, err := Retry(ctx, func() (*unstructured.Unstructured, error) {
			return r.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: Manager, Force: true})
		})
		switch {
		case err == nil:
			return nil
		case immutable(err):
			if err := c.delete(ctx, o); err != nil {
				return err
			}
		case !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			return err
		}
		if time.Now().After(deadline) {
			return err
		}
		if err := wait.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// diffObjects shows, a line for each field, where two objects differ. What the
// API server keeps by itself is left out, and the values of Secrets are.
func diffObjects(live, want *unstructured.Unstructured) string {
	before, after := fields(live), fields(want)
	secret := want.GetKind() == "Secret"
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(union(before, after))) {
		was, had := before[k]
		is, has := after[k]
		if was == is && had == has {
			continue
		}
		if secret {
			was, is = "(secret)", "(secret)"
		}
		if had {
			fmt.Fprintf(&b, "-%s: %s\n", k, was)
		}
		if has {
			fmt.Fprintf(&b, "+%s: %s\n", k, is)
		}
	}
	return b.String()
}

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// fields are the leaves of an object by their paths, as JSON.
func fields(o *unstructured.Unstructured) map[string]string {
	flat := make(map[string]string)
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, item := range v {
				if path == "" && k == "status" {
					continue
				}
				if path == "metadata" && slices.Contains([]string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"}, k) {
					continue
				}
				walk(strings.TrimPrefix(path+"."+k, "."), item)
			}
			if len(v) == 0 {
				flat[path] = "{}"
			}
		case []any:
			for i, item := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), item)
			}
			if len(v) == 0 {
				flat[path] = "[]"
			}
		default:
			s, err := json.Marshal(v)
			if err != nil {
				s = fmt.Appendf(nil, "%v", v)
			}
			flat[path] = string(s)
		}
	}
	walk("", o.Object)
	return flat
}

// Delete removes those of the objects that exist, the last first, and
// waits until each is gone, a namespace with all it holds.
func (c *Cluster) Delete(ctx context.Context, objs []*unstructured.Unstructured, link string) ([]plan.Step, error) {
	steps := make([]plan.Step, len(objs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, o := range objs {
		g.Go(func() error {
			r, err := c.resource(gctx, o)
			if err != nil {
				return err
			}
			_, err = Retry(gctx, func() (*unstructured.Unstructured, error) { return r.Get(gctx, o.GetName(), metav1.GetOptions{}) })
			if apierrors.IsNotFound(err) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("reading %s of cluster %s: %w", name(o), c.Name, err)
			}
			steps[len(objs)-1-i] = plan.Step{
				Link: link, Action: plan.Delete, Summary: name(o),
				Do: func(ctx context.Context) error { return c.delete(ctx, o) },
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(steps, func(s plan.Step) bool { return s.Do == nil }), nil
}

// delete removes an object and waits until it is gone.
func (c *Cluster) delete(ctx context.Context, o *unstructured.Unstructured) error {
	r, err := c.resource(ctx, o)
	if err != nil {
		return err
	}
	if o.GetKind() == "Namespace" {
		c.endPods(ctx, o.GetName())
	}
	_, err = Retry(ctx, func() (struct{}, error) {
		return struct{}{}, r.Delete(ctx, o.GetName(), metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)})
	})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) { // conflict: a namespace that is already being deleted
		return err
	}
	return c.gone(ctx, o)
}

// gone waits for the end of an object that is being deleted.
func (c *Cluster) gone(ctx context.Context, o *unstructured.Unstructured) error {
	r, err := c.resource(ctx, o)
	if err != nil {
		return err
	}
	var between wait.Looks
	deadline := time.Now().Add(goneWait)
	for {
		live, err := Retry(ctx, func() (*unstructured.Unstructured, error) { return r.Get(ctx, o.GetName(), metav1.GetOptions{}) })
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if live.GetDeletionTimestamp() == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is still there %s after its deletion%s", name(o), goneWait, whyStill(live))
		}
		if err := between.Wait(ctx); err != nil {
			return err
		}
	}
}

// whyStill says what holds an object back from being gone.
func whyStill(o *unstructured.Unstructured) string {
	if f := o.GetFinalizers(); len(f) > 0 {
		return ": its finalizers " + strings.Join(f, ", ") + " have not run"
	}
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, item := range conditions {
		condition, ok := item.(map[string]any)
		if message, isText := condition["message"].(string); ok && isText && condition["status"] == "True" {
			return ": " + message
		}
	}
	return ": nobody sees to it; does kube-controller-manager run? `kubectl --namespace kube-system get pods`"
}

// installedGroups are the API groups without which it is not known what is installed.
// Others have nothing of ours, such as that of an aggregated API that does not answer.
var installedGroups = []string{
	"", "admissionregistration.k8s.io", "apps", "networking.k8s.io", "policy", "rbac.authorization.k8s.io",
}

// Owned are the objects that were installed, of whatever kind, by their labels
// ([OwnedSelector]), in an order for [Cluster.Delete]: namespaces first, so
// deleted last, and the webhook's configuration last, so that no pod is asked
// of a webhook that has gone. What is deleted along with its owner or its
// namespace is left out.
func (c *Cluster) Owned(ctx context.Context) ([]*unstructured.Unstructured, error) {
	needed := func(group string) bool { return slices.Contains(installedGroups, group) }
	resources, err := Retry(ctx, func() ([]metav1.APIResource, error) { return c.client.Resources(ctx, needed) })
	if err != nil {
		return nil, fmt.Errorf("listing the resources of cluster %s: %w", c.Name, err)
	}
	var mu sync.Mutex
	var owned []*unstructured.Unstructured
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, r := range resources {
		if !slices.Contains(r.Verbs, "list") || !slices.Contains(r.Verbs, "delete") || r.Kind == "Event" || r.Kind == "Endpoints" {
			continue
		}
		g.Go(func() error {
			found, err := Retry(gctx, func() (*unstructured.UnstructuredList, error) {
				return c.client.ListAll(gctx, r, metav1.ListOptions{LabelSelector: OwnedSelector})
			})
			if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("listing %s of cluster %s: %w", r.Name, c.Name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, o := range found.Items {
				if len(o.GetOwnerReferences()) == 0 {
					owned = append(owned, &o)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	namespaces := make(map[string]bool)
	for _, o := range owned {
		if o.GetKind() == "Namespace" {
			namespaces[o.GetName()] = true
		}
	}
	owned = slices.DeleteFunc(owned, func(o *unstructured.Unstructured) bool { return namespaces[o.GetNamespace()] })
	order := func(o *unstructured.Unstructured) int {
		switch {
		case o.GetKind() == "PersistentVolume": // kept for as long as a claim has it
			return -1
		case o.GetKind() == "Namespace":
			return 0
		case strings.HasSuffix(o.GetKind(), "WebhookConfiguration"):
			return 2
		}
		return 1
	}
	slices.SortFunc(owned, func(a, b *unstructured.Unstructured) int {
		if d := order(a) - order(b); d != 0 {
			return d
		}
		return strings.Compare(name(a), name(b))
	})
	return owned, nil
}
