package cluster

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openirsa/openirsa/internal/wait"
)

// The namespace controller first looks at a namespace 5 seconds after its deletion, and
// if it finds pods, again after half their grace period, 16 seconds
// (pkg/controller/namespace in k8s.io/kubernetes).
const (
	// podsWait is how long the pods of a namespace may take to end before it is deleted
	// with them.
	podsWait = 15 * time.Second
	// podsEnd is after how long pods that are ending may be left to those 5 seconds: the
	// webhook's take 6 seconds in all.
	podsEnd = 3 * time.Second
)

// endPods deletes the Deployments and the volume claims of a namespace that is about to
// be deleted, and waits until its pods have ended or soon will have. A claim goes only
// after the pods that use it, and would have the controller look once more. What fails
// here the deletion of the namespace does all the same.
func (c *Cluster) endPods(ctx context.Context, namespace string) {
	deployments, err := c.client.Deployments(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	background := metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}
	for _, d := range deployments.Items {
		c.client.Deployments(namespace).Delete(ctx, d.Name, background)
	}
	claim := &unstructured.Unstructured{}
	claim.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim"))
	claim.SetNamespace(namespace)
	if claims, err := c.resource(ctx, claim); err == nil {
		if list, err := claims.List(ctx, metav1.ListOptions{}); err == nil {
			for _, o := range list.Items {
				claims.Delete(ctx, o.GetName(), background)
			}
		}
	}
	var between wait.Looks
	var ending time.Time // since when all of them are
	for deadline := time.Now().Add(podsWait); time.Now().Before(deadline); {
		pods, err := c.client.Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil || len(pods.Items) == 0 {
			return
		}
		switch {
		case slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp == nil }):
			ending = time.Time{}
		case ending.IsZero():
			ending = time.Now()
		case time.Since(ending) >= podsEnd:
			return
		}
		if between.Wait(ctx) != nil {
			return
		}
	}
}
