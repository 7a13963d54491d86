package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/internal/wait"
)

// workload is what runs pods: a Deployment, a DaemonSet or a StatefulSet.
type workload struct {
	kind, namespace, name string
	available, want       int32
	done                  bool // all of its pods are of its present version, and available
	selector              *metav1.LabelSelector
	failures              []string
}

// isWorkload reports whether an object runs pods for which a rollout waits.
func isWorkload(o *unstructured.Unstructured) bool {
	return o.GetKind() == "Deployment" || o.GetKind() == "DaemonSet"
}

// workload reads one.
func (c *Cluster) workload(ctx context.Context, kind, namespace, name string) (workload, error) {
	w := workload{kind: kind, namespace: namespace, name: name}
	switch kind {
	case "StatefulSet":
		err := c.statefulSet(ctx, &w)
		return w, err
	case "DaemonSet":
		d, err := Retry(ctx, func() (*appsv1.DaemonSet, error) {
			return c.client.DaemonSets(namespace).Get(ctx, name, metav1.GetOptions{})
		})
		if err != nil {
			return w, err
		}
		s := d.Status
		w.available, w.want, w.selector = s.NumberAvailable, s.DesiredNumberScheduled, d.Spec.Selector
		w.done = s.ObservedGeneration >= d.Generation && s.UpdatedNumberScheduled == w.want && s.NumberAvailable == w.want
		return w, nil
	}
	d, err := Retry(ctx, func() (*appsv1.Deployment, error) {
		return c.client.Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	})
	if err != nil {
		return w, err
	}
	s := d.Status
	w.available, w.want, w.selector = s.AvailableReplicas, 1, d.Spec.Selector
	if d.Spec.Replicas != nil {
		w.want = *d.Spec.Replicas
	}
	w.done = s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == w.want && s.AvailableReplicas == w.want && s.Replicas == w.want
	for _, condition := range s.Conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			w.failures = append(w.failures, condition.Message)
		}
	}
	return w, nil
}

// statefulSet reads one.
func (c *Cluster) statefulSet(ctx context.Context, w *workload) error {
	d, err := Retry(ctx, func() (*appsv1.StatefulSet, error) {
		return c.client.StatefulSets(w.namespace).Get(ctx, w.name, metav1.GetOptions{})
	})
	if err != nil {
		return err
	}
	s := d.Status
	w.available, w.want, w.selector = s.AvailableReplicas, 1, d.Spec.Selector
	if d.Spec.Replicas != nil {
		w.want = *d.Spec.Replicas
	}
	w.done = s.ObservedGeneration >= d.Generation && s.CurrentRevision == s.UpdateRevision &&
		s.AvailableReplicas == w.want && s.Replicas == w.want
	return nil
}

// Rollout waits until the Deployments and DaemonSets among the objects have all their
// pods available in their present version, and their former pods have ended. After
// patience it is an error that says what the pods wait for.
func (c *Cluster) Rollout(ctx context.Context, objs []*unstructured.Unstructured, patience time.Duration) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, o := range objs {
		if isWorkload(o) {
			g.Go(func() error {
				if err := c.rollout(ctx, o.GetKind(), o.GetNamespace(), o.GetName(), patience); err != nil {
					return err
				}
				return c.formerEnded(ctx, o.GetKind(), o.GetNamespace(), o.GetName())
			})
		}
	}
	return g.Wait()
}

func (c *Cluster) rollout(ctx context.Context, kind, namespace, name string, patience time.Duration) error {
	var between wait.Looks
	deadline := time.Now().Add(patience)
	for {
		w, err := c.workload(ctx, kind, namespace, name)
		if err != nil {
			return fmt.Errorf("waiting for %s %s/%s: %w", kind, namespace, name, err)
		}
		if w.done {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the %s %s/%s has %d of %d replicas available after %s: %s",
				kind, namespace, name, w.available, w.want, patience, c.whyNot(ctx, w))
		}
		if err := between.Wait(ctx); err != nil {
			return err
		}
	}
}

// formerEnded waits until no pod of a workload is ending. Until then it may answer as it
// did before a change: a webhook drains for seconds, and API servers keep connections to
// it. A pod is waited for as long as its grace period, since its node may be lost; what
// cannot be read is not, since the workload's own pods are there.
func (c *Cluster) formerEnded(ctx context.Context, kind, namespace, name string) error {
	w, err := c.workload(ctx, kind, namespace, name)
	if err != nil {
		return nil
	}
	var between wait.Looks
	for start := time.Now(); ; {
		pods, err := c.podsOf(ctx, w)
		if err != nil {
			return nil
		}
		var grace time.Duration
		for _, p := range pods {
			if p.DeletionTimestamp != nil && p.DeletionGracePeriodSeconds != nil {
				grace = max(grace, time.Duration(*p.DeletionGracePeriodSeconds)*time.Second)
			}
		}
		if time.Since(start) >= grace {
			return nil
		}
		if err := between.Wait(ctx); err != nil {
			return err
		}
	}
}

// RolledOut reports whether the Deployments and DaemonSets among the objects are there,
// with all their pods available in their present version.
func (c *Cluster) RolledOut(ctx context.Context, objs []*unstructured.Unstructured) (bool, error) {
	for _, o := range objs {
		if !isWorkload(o) {
			continue
		}
		w, err := c.workload(ctx, o.GetKind(), o.GetNamespace(), o.GetName())
		if apierrors.IsNotFound(err) || err == nil && !w.done {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("reading %s of cluster %s: %w", name(o), c.Name, err)
		}
	}
	return true, nil
}

func (c *Cluster) podsOf(ctx context.Context, w workload) ([]corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(w.selector)
	if err != nil {
		return nil, err
	}
	list, err := c.client.Pods(w.namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// whyNot says what the pods of a workload wait for.
func (c *Cluster) whyNot(ctx context.Context, w workload) string {
	pods, err := c.podsOf(ctx, w)
	if err != nil {
		return err.Error()
	}
	var why []string
	for _, p := range pods {
		why = append(why, waitsFor(&p)...)
	}
	why = append(why, c.cutOff(ctx, pods)...)
	if why = append(why, w.failures...); len(why) == 0 {
		return "its pods have not been made; is kube-controller-manager well?"
	}
	return strings.Join(why, "; ")
}

// cutOff says from which nodes pods that run, and are not ready, do not reach the API
// server: without it a webhook does not get ready, and the cause is not in the pod. The
// nodes are asked at the same time, 5 s each at most.
func (c *Cluster) cutOff(ctx context.Context, pods []corev1.Pod) []string {
	server, err := c.serviceURL(ctx)
	if err != nil {
		return nil
	}
	why := make([]string, len(c.nodes))
	var asked sync.WaitGroup
	for i, n := range c.nodes {
		unready := slices.ContainsFunc(pods, func(p corev1.Pod) bool {
			return p.Spec.NodeName == n.Name && p.Status.Phase == corev1.PodRunning && len(waitsFor(&p)) > 0
		})
		if !unready {
			continue
		}
		asked.Go(func() {
			if err := reach(ctx, n, server, 1); err != nil && context.Cause(ctx) == nil {
				why[i] = c.unreached(ctx, n, server, err).Error()
			}
		})
	}
	asked.Wait()
	return slices.DeleteFunc(why, func(s string) bool { return s == "" })
}

// waitsFor says why a pod is not ready; nothing if it is.
func waitsFor(p *corev1.Pod) (why []string) {
	for _, s := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
		switch {
		case s.State.Waiting != nil:
			why = append(why, fmt.Sprintf("pod %s, container %s: %s %s", p.Name, s.Name, s.State.Waiting.Reason, s.State.Waiting.Message))
		case s.State.Terminated != nil:
			ended := s.State.Terminated
			why = append(why, fmt.Sprintf("pod %s, container %s ended with %d: %s", p.Name, s.Name, ended.ExitCode, ended.Message))
		case !s.Ready:
			why = append(why, fmt.Sprintf("pod %s, container %s is not ready: `kubectl --namespace %s logs %[1]s`",
				p.Name, s.Name, p.Namespace))
		}
	}
	for _, condition := range p.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			why = append(why, fmt.Sprintf("pod %s: %s", p.Name, condition.Message))
		}
	}
	return why
}
