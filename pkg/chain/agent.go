package chain

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/doctor"
)

// agents are the names of DaemonSets with an agent of EKS Pod Identity: ours, and that of
// AWS's add-on.
var agents = []string{deploy.AgentName, "eks-pod-identity-agent"}

// autoMode selects the nodes of EKS Auto Mode, which have an agent without a DaemonSet (EKS
// User Guide, "Set up the Amazon EKS Pod Identity Agent").
const autoMode = "eks.amazonaws.com/compute-type=auto"

// Agent is the agent of EKS Pod Identity on the nodes of the cluster, ours or AWS's, with
// its pods. Of its own identity in AWS nothing is read. What cannot be read has an error
// in it, but for nodes, which not everybody may list.
func (ch *Chain) Agent(ctx context.Context) (a doctor.Agent) {
	client := ch.Cluster.Client()
	for _, name := range agents {
		d, err := client.DaemonSets(deploy.AgentNamespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			a.DaemonSet, a.Err = d, nil
			break
		}
		if !apierrors.IsNotFound(err) {
			a.Err = err
		}
	}
	if nodes, err := client.Nodes().List(ctx, metav1.ListOptions{LabelSelector: autoMode}); err == nil {
		a.BuiltIn = map[string]bool{}
		for _, n := range nodes.Items {
			a.BuiltIn[n.Name] = true
		}
	}
	if a.DaemonSet == nil || a.DaemonSet.Spec.Selector == nil {
		return a
	}
	of := metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(a.DaemonSet.Spec.Selector)}
	pods, err := client.Pods(deploy.AgentNamespace).List(ctx, of)
	if err != nil {
		a.PodsErr = err
		return a
	}
	a.Pods = pods.Items
	return a
}

// ErrNoAgent is that no agent of EKS Pod Identity answers the pods of a service account:
// they would have no credentials.
var ErrNoAgent = errors.New("no agent of EKS Pod Identity answers its pods")

// unanswered is why no agent answers pods where they run; nil if one does. Without pods an
// agent has to be ready anywhere.
func unanswered(a *doctor.Agent, pods []cluster.Pod) error {
	if a.DaemonSet == nil && len(a.BuiltIn) == 0 {
		return fmt.Errorf("%w: in namespace %s there is no DaemonSet %s", ErrNoAgent, deploy.AgentNamespace, strings.Join(agents, " or "))
	}
	for _, p := range pods {
		if _, found := a.On(p.Node); found != "" {
			return fmt.Errorf("%w: on node %s, where pod %s runs, there is to be a ready agent, and there is %s", ErrNoAgent, p.Node, p, found)
		}
	}
	if d := a.DaemonSet; d != nil && d.Status.NumberReady == 0 && len(a.BuiltIn) == 0 {
		return fmt.Errorf("%w: DaemonSet %s/%s is ready on none of %d nodes", ErrNoAgent, d.Namespace, d.Name, d.Status.DesiredNumberScheduled)
	}
	return nil
}
