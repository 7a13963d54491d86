package doctor

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/policy"
	"github.com/openirsa/openirsa/pkg/token"
)

// exchangeAction is the one that an agent needs, on the ARN of the cluster.
const exchangeAction = "eks-auth:AssumeRoleForPodIdentity"

// agent checks that an agent runs where the pods do, for this cluster, and that its own
// credentials may exchange tokens.
func (d *diagnosis) agent() {
	const check = "agent"
	a := &d.PodIdentity.Agent
	switch {
	case a.Err != nil:
		d.unknown(plan.PodIdentity, check, "%v", a.Err)
		return
	case a.DaemonSet == nil && len(a.BuiltIn) == 0:
		d.broken(Finding{
			Link: plan.PodIdentity, Check: check,
			Summary:  "no agent runs on the nodes: SDKs find nobody at 169.254.170.23",
			Expected: "DaemonSet openirsa-agent or eks-pod-identity-agent in kube-system", Found: "none", Fix: d.installPodIdentity(),
		})
		return
	case a.DaemonSet == nil:
		if d.agentsOfPods() {
			d.ok(plan.PodIdentity, check, "the nodes of EKS Auto Mode have one of their own")
		}
		return
	}
	namespace, name := a.DaemonSet.Namespace, a.DaemonSet.Name
	if got := flagOf(commandLine(&a.DaemonSet.Spec.Template.Spec), "cluster-name", "c"); got != "" && got != d.PodIdentity.Cluster {
		d.broken(Finding{
			Link: plan.PodIdentity, Check: check,
			Summary:  "the agent asks for another cluster than this one",
			Expected: "--cluster-name=" + d.PodIdentity.Cluster, Found: "--cluster-name=" + got, Fix: d.installPodIdentity(),
		})
		return
	}
	if !d.agentIdentity() {
		return
	}
	s := a.DaemonSet.Status
	if s.DesiredNumberScheduled > 0 && s.NumberReady == 0 {
		d.broken(Finding{
			Link: plan.PodIdentity, Check: "agent on node",
			Summary:  "the agent is ready on no node",
			Expected: fmt.Sprintf("%d ready pods of DaemonSet %s/%s", s.DesiredNumberScheduled, namespace, name),
			Found:    "0 ready pods" + a.unready(""),
			Fix:      kubectl(namespace, "describe", "daemonset", name),
		})
		return
	}
	if d.agentsOfPods() {
		d.ok(plan.PodIdentity, check, "DaemonSet %s/%s, ready on %d of %d nodes", namespace, name, s.NumberReady, s.DesiredNumberScheduled)
	}
}

// agentsOfPods checks that an agent is ready on each node where the pods run.
func (d *diagnosis) agentsOfPods() bool {
	good := true
	seen := map[string]bool{}
	for i := range d.Pods {
		if node := d.Pods[i].Spec.NodeName; node != "" && !seen[node] {
			seen[node] = true
			good = d.agentOn(&d.Pods[i], node) && good
		}
	}
	return good
}

// agentOn checks that an agent is ready on the node of a pod.
func (d *diagnosis) agentOn(p *corev1.Pod, node string) bool {
	a := &d.PodIdentity.Agent
	if a.PodsErr != nil {
		d.unknown(plan.PodIdentity, "agent on node", "%v", a.PodsErr)
		return false
	}
	there, found := a.On(node)
	if found == "" {
		return true
	}
	f := Finding{
		Link: plan.PodIdentity, Check: "agent on node",
		Summary:  "no agent is ready on node " + node + ", where pod " + p.Namespace + "/" + p.Name + " runs",
		Expected: "a ready pod of an agent's DaemonSet on " + node, Found: found, Fix: d.installPodIdentity(),
	}
	if s := a.DaemonSet; s != nil {
		f.Expected, f.Fix = "a ready pod of DaemonSet "+s.Namespace+"/"+s.Name+" on "+node, kubectl(s.Namespace, "describe", "daemonset", s.Name)
	}
	if there != nil {
		f.Fix = kubectl(there.Namespace, "describe", "pod", there.Name)
	}
	d.broken(f)
	return false
}

// On is the agent's pod on a node, nil if there is none, and what is found instead of a
// ready one: "none", or which pod is not ready and why. It is "" where an agent is ready.
func (a *Agent) On(node string) (there *corev1.Pod, found string) {
	if a.BuiltIn[node] {
		return nil, ""
	}
	found = "none"
	for i := range a.Pods {
		p := &a.Pods[i]
		if p.Spec.NodeName != node {
			continue
		}
		if ready(p) {
			return p, ""
		}
		there, found = p, "pod "+p.Name+", not ready"+a.unready(node)
	}
	return there, found
}

// ready reports whether a pod is.
func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// unready is why the agent of a node, or of some node, does not run, as far as its
// containers say.
func (a *Agent) unready(node string) string {
	for _, p := range a.Pods {
		if node != "" && p.Spec.NodeName != node {
			continue
		}
		for _, c := range append(append([]corev1.ContainerStatus{}, p.Status.InitContainerStatuses...), p.Status.ContainerStatuses...) {
			if w := c.State.Waiting; w != nil && w.Reason != "PodInitializing" {
				return ": container " + c.Name + ", " + w.Reason
			}
		}
	}
	return ""
}

// agentIdentity checks whose credentials the agent has, and that these may exchange
// tokens.
func (d *diagnosis) agentIdentity() bool {
	const check = "agent's credentials"
	a := &d.PodIdentity.Agent
	fix := d.installPodIdentity()
	switch {
	case a.IdentityErr != nil:
		d.unknown(plan.PodIdentity, check, "%v", a.IdentityErr)
		return true
	case a.NoKeys != "":
		d.broken(Finding{
			Link: plan.PodIdentity, Check: check,
			Summary:  "the agent's keys are nobody's",
			Expected: "AWS_ACCESS_KEY_ID of a user in Secret " + a.Secret, Found: a.NoKeys,
			Fix: run("aws", "iam", "create-access-key", "--user-name", "USER").noting("and restart the DaemonSet after they are in the Secret"),
		})
		return false
	case a.Identity == "":
		return true // the node's
	case strings.Contains(a.Identity, ":role/") && a.Role == nil && (d.Account == "" || accountOf(a.Identity) == d.Account):
		d.broken(Finding{
			Link: plan.PodIdentity, Check: check,
			Summary:  "the agent's own role does not exist",
			Expected: a.Identity, Found: "no role of that name in account " + d.Account, Fix: fix,
		})
		return false
	case a.Role != nil && !d.trustsAgent():
		return false
	case a.Grant == "implicitDeny" || a.Grant == "explicitDeny":
		if !d.PodIdentity.Installed {
			name := a.Identity[strings.LastIndexByte(a.Identity, '/')+1:]
			kind := "user"
			if a.Role != nil {
				kind = "role"
			}
			fix = run("aws", "iam", "put-"+kind+"-policy", "--"+kind+"-name", name, "--policy-name", "agent", "--policy-document",
				statement([]string{exchangeAction}, d.clusterARN()))
		}
		d.broken(Finding{
			Link: plan.PodIdentity, Check: check,
			Summary:  "the agent's credentials may not exchange tokens: it answers pods with 403",
			Expected: "Allow " + exchangeAction + " on " + d.clusterARN(), Found: a.Grant + " by the policies of " + a.Identity, Fix: fix,
		})
		return false
	}
	return true
}

// trustsAgent checks that the agent's own role lets in the tokens of its service account,
// which it gets by IRSA.
func (d *diagnosis) trustsAgent() bool {
	a := &d.PodIdentity.Agent
	spec := &a.DaemonSet.Spec.Template.Spec
	if d.iss.IsZero() {
		return true
	}
	p, err := policy.Parse(policy.Trust, a.Role.Trust)
	if err != nil {
		return true
	}
	subject := token.Subject(a.DaemonSet.Namespace, spec.ServiceAccountName)
	var keys policy.Context
	keys.Set(d.iss.ConditionKey("sub"), subject)
	keys.Set(d.iss.ConditionKey("aud"), Audience(nil))
	keys.Set("aws:FederatedProvider", d.providerARN())
	decision := policy.Evaluate(&policy.Request{
		Principal: policy.Principal{Kind: policy.WebIdentity, Account: d.Account, ARN: d.providerARN()},
		Action:    assumeAction, Resource: a.Role.ARN, ResourceAccount: d.Account, Context: &keys,
	}, &policy.Policies{Resource: &policy.Named{Name: a.Role.Name, Policy: p.Assuming(true, isUnknown(&keys))}})
	if decision.Allowed {
		return true
	}
	expected, found := "Federated "+d.providerARN()+", "+d.iss.ConditionKey("sub")+" "+subject, decision.String()
	if !decision.Explicit && len(decision.Misses) > 0 {
		expected, found = missValues(decision.Misses[0])
	}
	d.broken(Finding{
		Link: plan.PodIdentity, Check: "agent's credentials",
		Summary:  "the trust policy of the agent's own role does not let in the agent",
		Expected: expected, Found: found, Fix: d.installPodIdentity(),
	})
	return false
}

// commandLine are the arguments of the first container.
func commandLine(spec *corev1.PodSpec) []string {
	if len(spec.Containers) == 0 {
		return nil
	}
	return append(append([]string{}, spec.Containers[0].Command...), spec.Containers[0].Args...)
}

// flagOf is the last value of a flag in arguments, by one of its names; "" without it.
func flagOf(args []string, names ...string) string {
	if all := flagsOf(args, names...); len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// flagsOf are all values of a flag in arguments.
func flagsOf(args []string, names ...string) (all []string) {
	for i, arg := range args {
		for _, name := range names {
			dashed := "--" + name
			if len(name) == 1 {
				dashed = "-" + name
			}
			if v, ok := strings.CutPrefix(arg, dashed+"="); ok {
				all = append(all, v)
			} else if arg == dashed && i+1 < len(args) {
				all = append(all, args[i+1])
			}
		}
	}
	return all
}
