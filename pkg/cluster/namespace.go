package cluster

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/wait"
)

// podsWait is how long the pods of a namespace may take to end before it is deleted
// with them.
const podsWait = 15 * time.Second

// endPods deletes the Deployments of a namespace that is about to be deleted, and waits
// until its pods have ended. A namespace controller that finds pods looks again only
// after half their grace period, 16 seconds (pkg/controller/namespace in
// k8s.io/kubernetes). What fails here the deletion of the namespace does all the same.
func (c *Cluster) endPods(ctx context.Context, namespace string) {
	deployments, err := c.client.Deployments(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	for _, d := range deployments.Items {
		c.client.Deployments(namespace).Delete(ctx, d.Name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)})
	}
	var between wait.Looks
	for deadline := time.Now().Add(podsWait); time.Now().Before(deadline); {
		pods, err := c.client.Pods(namespace).List(ctx, metav1.ListOptions{Limit: 1})
		if err != nil || len(pods.Items) == 0 || between.Wait(ctx) != nil {
			return
		}
	}
}
