package chaintest

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	poll "k8s.io/apimachinery/pkg/util/wait"

	"github.com/openirsa/openirsa/internal/wait"
)

// Pod is a pod that runs one command to its end.
type Pod struct {
	// Namespace; empty for "default".
	Namespace string
	// ServiceAccount whose role the pod has; empty for "default".
	ServiceAccount string
	// Image of the container. It is not pulled if the node has it.
	Image string
	// Args of the image's entrypoint, or of Command.
	Args []string
	// Command replaces the image's entrypoint.
	Command []string
	// Within is how long the pod may take; zero for two minutes.
	Within time.Duration
}

// Run runs a pod and returns what it wrote, to both streams. An exit status other
// than zero is an [*ExitError]. The pod is removed at once. If t fails, everything
// that was refused to the service account is in its log.
func (c *Chain) Run(t testing.TB, p Pod) (output string, err error) {
	t.Helper()
	p.Namespace, p.ServiceAccount = cmp.Or(p.Namespace, "default"), cmp.Or(p.ServiceAccount, "default")
	c.explain(t, p.Namespace, p.ServiceAccount)
	ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(p.Within, 2*time.Minute))
	defer cancel()
	pods := c.Chain.Cluster.Client().Pods(p.Namespace)
	const interval = 500 * time.Millisecond
	wanted := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "chaintest-"},
		Spec: corev1.PodSpec{
			ServiceAccountName: p.ServiceAccount, RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{
				Name: "main", Image: p.Image, ImagePullPolicy: corev1.PullIfNotPresent, Command: p.Command, Args: p.Args,
			}},
		},
	}
	var pod *corev1.Pod
	err = admit(ctx, func(ctx context.Context) (err error) {
		pod, err = pods.Create(ctx, wanted, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return "", fmt.Errorf("making the pod: %w", err)
	}
	defer func() {
		_ = pods.Delete(context.WithoutCancel(ctx), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
	}()
	err = poll.PollUntilContextCancel(ctx, interval, true, func(ctx context.Context) (bool, error) {
		pod, err = pods.Get(ctx, pod.Name, metav1.GetOptions{})
		return err == nil && (pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed), err
	})
	if err != nil {
		return "", fmt.Errorf("pod %s/%s has not ended: %w (%s)", p.Namespace, pod.Name, err, waiting(pod))
	}
	logs, err := c.Chain.Cluster.Client().REST().Get().AbsPath("/api/v1").
		Namespace(p.Namespace).Resource("pods").Name(pod.Name).SubResource("log").DoRaw(ctx)
	if err != nil {
		return "", fmt.Errorf("reading the log of pod %s/%s: %w", p.Namespace, pod.Name, err)
	}
	for _, status := range pod.Status.ContainerStatuses {
		if ended := status.State.Terminated; ended != nil && ended.ExitCode != 0 {
			return string(logs), &ExitError{Code: int(ended.ExitCode), Output: string(logs)}
		}
	}
	return string(logs), nil
}

// ExitError is a command in a pod that ended with a status other than zero.
type ExitError struct {
	Code   int
	Output string
}

func (e *ExitError) Error() string { return fmt.Sprintf("exit status %d: %s", e.Code, e.Output) }

// waiting is why the container of a pod does not run.
func waiting(p *corev1.Pod) string {
	for _, status := range p.Status.ContainerStatuses {
		if w := status.State.Waiting; w != nil {
			return w.Reason + ": " + w.Message
		}
	}
	return string(p.Status.Phase)
}

// webhookWithin is how long an API server gets to reach a webhook that has just started:
// as long as `webhook check` gives it.
const webhookWithin = 30 * time.Second

// admit makes a pod, as controllers do again and again while the API server cannot call a
// webhook (NewInternalError in k8s.io/apiserver/pkg/admission/plugin/webhook): its node may
// not know yet where one is that has just started.
func admit(ctx context.Context, create func(context.Context) error) error {
	return wait.Retry(ctx, webhookWithin, func(err error) bool {
		return apierrors.IsInternalError(err) && strings.Contains(err.Error(), "failed to call webhook")
	}, create)
}
