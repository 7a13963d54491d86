package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/plan"
)

// Workload is a Deployment, a StatefulSet or a DaemonSet, whose pods a restart replaces.
type Workload struct{ Kind, Namespace, Name string }

// String is the kind and NAMESPACE/NAME.
func (w Workload) String() string { return w.Kind + " " + w.Namespace + "/" + w.Name }

// StuckError is a pod that no restart replaces by another one.
type StuckError struct {
	Pod Pod
	// Why says what runs the pod, or what keeps that from a restart.
	Why string
}

func (e *StuckError) Error() string { return fmt.Sprintf("pod %s is not replaced: %s", e.Pod, e.Why) }

// WorkloadsOf are the workloads that run the pods, each once, in the order of the pods,
// and the pods that none of them runs, or one that cannot be restarted. Pods that are
// being deleted do not count.
func (c *Cluster) WorkloadsOf(ctx context.Context, pods []Pod) (all []Workload, stuck []*StuckError, err error) {
	keeps := map[Workload]string{}
	for _, p := range pods {
		if p.Leaving {
			continue
		}
		w, why, err := c.workloadOf(ctx, p)
		if err != nil {
			return nil, nil, err
		}
		if why == "" {
			known, ok := keeps[w]
			if why = known; !ok {
				if why, err = c.keepsFromRestart(ctx, w); err != nil {
					return nil, nil, err
				}
				keeps[w] = why
			}
		}
		switch {
		case why != "":
			stuck = append(stuck, &StuckError{Pod: p, Why: why})
		case !slices.Contains(all, w):
			all = append(all, w)
		}
	}
	return all, stuck, nil
}

// workloadOf is what runs a pod, or why that is nothing to be restarted.
func (c *Cluster) workloadOf(ctx context.Context, p Pod) (w Workload, why string, err error) {
	by := p.controller
	if by != nil && by.Kind == "ReplicaSet" {
		set, err := Retry(ctx, func() (*appsv1.ReplicaSet, error) {
			return c.client.ReplicaSets(p.Namespace).Get(ctx, by.Name, metav1.GetOptions{})
		})
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return Workload{}, "", fmt.Errorf("reading what runs pod %s: %w", p, err)
		default:
			if of := metav1.GetControllerOfNoCopy(set); of != nil {
				by = of
			}
		}
	}
	switch {
	case by == nil:
		return Workload{}, "it was made by hand: make it anew", nil
	case slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet"}, by.Kind):
		return Workload{by.Kind, p.Namespace, by.Name}, "", nil
	case by.Kind == "Job":
		return Workload{}, "it is of Job " + by.Name + ", and ends by itself", nil
	}
	return Workload{}, "it is of " + by.Kind + " " + by.Name + ": restart that", nil
}

// keepsFromRestart is why a restart of a workload would not replace its pods by some
// without the token for STS; nothing if it would.
func (c *Cluster) keepsFromRestart(ctx context.Context, w Workload) (string, error) {
	var template corev1.PodTemplateSpec
	var why string
	_, err := Retry(ctx, func() (*struct{}, error) {
		switch w.Kind {
		case "StatefulSet":
			s, err := c.client.StatefulSets(w.Namespace).Get(ctx, w.Name, metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			template = s.Spec.Template
			if s.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
				why = "%s replaces pods only when they are deleted"
			} else if r := s.Spec.UpdateStrategy.RollingUpdate; r != nil && r.Partition != nil && *r.Partition > 0 {
				why = "%s updates only a part of its pods"
			}
		case "DaemonSet":
			s, err := c.client.DaemonSets(w.Namespace).Get(ctx, w.Name, metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			template = s.Spec.Template
			if s.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType {
				why = "%s replaces pods only when they are deleted"
			}
		default:
			s, err := c.client.Deployments(w.Namespace).Get(ctx, w.Name, metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			template = s.Spec.Template
			if s.Spec.Paused {
				why = "%s is paused"
			}
		}
		return nil, nil
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("reading %s: %w", w, err)
	case HasVariable(&template.Spec, irsa.EnvTokenFile):
		return w.String() + " sets " + irsa.EnvTokenFile + " itself", nil
	case why != "":
		return fmt.Sprintf(why, w), nil
	}
	return "", nil
}

// restartedAt is what `kubectl rollout restart` sets, and tools for GitOps leave alone.
const restartedAt = "kubectl.kubernetes.io/restartedAt"

// Restart is what must be done for a workload to replace its pods, as `kubectl rollout
// restart` does, and to have all the new ones available, for which it waits as long as
// patience says. Where a rollout is under way already, that is waited for first, and it
// is enough if nothing is needed any more then.
func (c *Cluster) Restart(w Workload, patience time.Duration, needed func(context.Context) (bool, error)) plan.Step {
	return plan.Step{Link: plan.Workload, Action: plan.Update, Summary: "pods of " + w.String(), Do: func(ctx context.Context) error {
		if err := c.rollout(ctx, w.Kind, w.Namespace, w.Name, patience); err != nil {
			return err
		}
		if still, err := needed(ctx); err != nil || !still {
			return err
		}
		o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"template": map[string]any{
			"metadata": map[string]any{"annotations": map[string]any{restartedAt: time.Now().Format(time.RFC3339)}},
		}}}}
		o.SetNamespace(w.Namespace)
		o.SetName(w.Name)
		// A manager of its own: what is ours otherwise, such as a whole Deployment, stays.
		options := metav1.ApplyOptions{FieldManager: Manager + "-restart", Force: true}
		var err error
		switch w.Kind {
		case "StatefulSet":
			_, err = c.client.StatefulSets(w.Namespace).Apply(ctx, o, options)
		case "DaemonSet":
			_, err = c.client.DaemonSets(w.Namespace).Apply(ctx, o, options)
		default:
			_, err = c.client.Deployments(w.Namespace).Apply(ctx, o, options)
		}
		if err != nil {
			return err
		}
		return c.rollout(ctx, w.Kind, w.Namespace, w.Name, patience)
	}}
}
