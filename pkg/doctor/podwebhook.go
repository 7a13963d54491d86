package doctor

import (
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/plan"
)

// follows checks that the webhook knows the associations of this cluster, and takes those
// of the namespace. It reports whether it does, as far as its arguments say.
func (d *diagnosis) follows() bool {
	const check = "associations"
	w, p := &d.Webhook, &d.PodIdentity
	if w.Args == nil || !p.Used || d.Name != "" && !d.associated() || d.Name == "" && !p.Installed {
		return true
	}
	if flagOf(w.Args, "watch-container-credentials-config") != "" {
		return true // what the file says is seen by the trial
	}
	cluster := flagOf(w.Args, "pod-identity-cluster")
	switch {
	case cluster == "":
		d.broken(Finding{
			Link: plan.Webhook, Check: check,
			Summary:  "the webhook does not follow associations: pods get nothing of EKS Pod Identity",
			Expected: "--pod-identity-cluster=" + p.Cluster, Found: "no --pod-identity-cluster", Fix: d.installPodIdentity(),
		})
		return false
	case cluster != p.Cluster:
		d.broken(Finding{
			Link: plan.Webhook, Check: check,
			Summary:  "the webhook follows the associations of another cluster",
			Expected: "--pod-identity-cluster=" + p.Cluster, Found: "--pod-identity-cluster=" + cluster, Fix: d.installPodIdentity(),
		})
		return false
	}
	excluded := strings.Split(strings.Join(flagsOf(w.Args, "pod-identity-exclude-namespaces"), ","), ",")
	if !slices.ContainsFunc(w.Args, func(a string) bool { return strings.HasPrefix(a, "--pod-identity-exclude-namespaces") }) {
		excluded = []string{"kube-system"} // its default
	}
	if d.Namespace != "" && slices.Contains(excluded, d.Namespace) {
		d.broken(Finding{
			Link: plan.Webhook, Check: check,
			Summary:  "the webhook takes no associations of namespace " + d.Namespace + ", in which the agent may be its own client",
			Expected: "--pod-identity-exclude-namespaces without " + d.Namespace,
			Found:    "--pod-identity-exclude-namespaces=" + strings.Trim(strings.Join(excluded, ","), ","),
			Fix: setup("iamserviceaccount create", "--namespace", d.Namespace, "--name", d.Name, "--attach-policy-arn", "ARN", "--approve").
				noting("IRSA works there; or move the service account to another namespace"),
		})
		return false
	}
	return true
}

// associatedTrial checks what the API server makes of a pod of a service account that has
// an association.
func (d *diagnosis) associatedTrial() bool {
	got := d.Webhook.Trial.CredentialsURI
	if got != "" {
		return true
	}
	f := Finding{
		Link: plan.Webhook, Check: "trial",
		Summary: "the API server makes a pod of " + d.account() + " without the credentials of the agent: " +
			"the webhook does not know the association, or may not list them",
		Expected: irsa.EnvCredentialsURI + "=" + irsa.CredentialsURI, Found: "no " + irsa.EnvCredentialsURI, Fix: d.installPodIdentity(),
	}
	if arn := d.Webhook.Trial.RoleARN; arn != "" {
		f.Found = irsa.EnvRoleARN + "=" + arn
	}
	if hook := d.podHook(); hook != nil && hook.ClientConfig.Service != nil {
		s := hook.ClientConfig.Service
		f.Fix = kubectl(s.Namespace, "logs", "--selector", "app.kubernetes.io/name="+s.Name)
	}
	d.broken(f)
	return false
}
