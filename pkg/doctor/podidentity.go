package doctor

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/openirsa/openirsa/pkg/plan"
)

// associated reports whether EKS has an association for the service account.
func (d *diagnosis) associated() bool { return d.PodIdentity.Association != nil }

// byAgent is the first pod of the service account that was given the credentials of an
// agent; nil if there is none.
func (d *diagnosis) byAgent() *corev1.Pod {
	if i := slices.IndexFunc(d.Pods, func(p corev1.Pod) bool { return UsesPodIdentity(&p) }); i >= 0 {
		return &d.Pods[i]
	}
	return nil
}

// irsa reports whether the chain of IRSA is to be walked. Of a service account that has an
// association the annotation has no effect, but on pods that were admitted before; without
// an annotation it is not what pods wait for that ask an agent.
func (d *diagnosis) irsa() bool {
	if !d.associated() {
		return d.roleARN() != "" || d.byAgent() == nil
	}
	return d.roleARN() != "" && slices.ContainsFunc(d.Pods, func(p corev1.Pod) bool { return reached(&p) })
}

// podIdentity walks the chain of EKS Pod Identity up to the agent, for a service account
// that has an association or whose pods look for one; for none, what all share.
func (d *diagnosis) podIdentity() {
	p := &d.PodIdentity
	switch {
	case !p.Used:
		return
	case d.Name != "" && !d.associated() && d.byAgent() == nil:
		switch {
		case p.AssociationErr != nil:
			d.unknown(plan.Association, "association", "%v", p.AssociationErr)
		case p.EKS == nil && d.roleARN() == "":
			d.eksCluster() // which may have had one
		}
		return
	}
	d.eksCluster()
	if d.Name != "" && d.association() {
		d.podRole()
	}
	d.agent()
}

// eksCluster checks that EKS knows the cluster, and by the issuer of its tokens.
func (d *diagnosis) eksCluster() {
	const check = "cluster"
	p := &d.PodIdentity
	switch {
	case d.AWSErr != nil:
		d.unknown(plan.PodIdentity, check, "AWS could not be asked")
	case p.Cluster == "":
		d.unknown(plan.PodIdentity, check, "neither the record nor an agent names the cluster as EKS knows it")
	case p.EKSErr != nil:
		d.unknown(plan.PodIdentity, check, "%v", p.EKSErr)
	case p.EKS == nil:
		d.broken(Finding{
			Link: plan.PodIdentity, Check: check,
			Summary:  "EKS does not know the cluster, and takes no token of it",
			Expected: "cluster " + p.Cluster + " in EKS, account " + d.accountOr("ACCOUNT") + ", region " + p.Region,
			Found:    "clusters " + join(p.Clusters), Fix: d.installPodIdentity(),
		})
	case !d.iss.IsZero() && p.EKS.Issuer != d.iss.String():
		found := p.EKS.Issuer
		if found == "" {
			found = "none"
		}
		d.broken(Finding{
			Link: plan.PodIdentity, Check: check,
			Summary:  "EKS knows the cluster by another issuer than that of its tokens, and takes none of them",
			Expected: "issuer " + d.iss.String(), Found: "issuer " + found, Fix: d.installPodIdentity(),
		})
	case p.EKS.Status == "FAILED" || p.EKS.Status == "DELETING":
		d.broken(Finding{
			Link: plan.PodIdentity, Check: check,
			Summary:  "the cluster is going, or was never made",
			Expected: "status ACTIVE", Found: "status " + p.EKS.Status,
			Fix: run("aws", "eks", "describe-cluster", "--name", p.Cluster, "--region", p.Region),
		})
	default:
		d.ok(plan.PodIdentity, check, "%s, issuer %s", p.EKS.ARN, p.EKS.Issuer)
	}
}

// installPodIdentity is the command that brings up to date what EKS Pod Identity takes.
func (d *diagnosis) installPodIdentity() Fix {
	if d.PodIdentity.Installed {
		return setup("up")
	}
	return setup("up", "--emulator", "--pod-identity").noting("on EKS itself, which has its own clusters, the agent is an add-on")
}

// associate is the command that gives the service account a role by an association.
func (d *diagnosis) associate(more ...string) Fix {
	args := []string{"--namespace", d.Namespace, "--service-account-name", d.Name}
	return setup("podidentityassociation create", append(append(args, more...), "--approve")...)
}

// reassociate is the command that changes the association.
func (d *diagnosis) reassociate(more ...string) Fix {
	args := []string{"--namespace", d.Namespace, "--service-account-name", d.Name}
	return setup("podidentityassociation update", append(args, more...)...)
}

// association checks that there is one, and reports whether its role is to be looked at.
func (d *diagnosis) association() bool {
	const check = "association"
	p := &d.PodIdentity
	if p.AssociationErr != nil {
		d.unknown(plan.Association, check, "%v", p.AssociationErr)
		return false
	}
	if !d.associated() && p.EKS == nil {
		d.unknown(plan.Association, check, "EKS does not know the cluster, or could not be asked")
		return false
	}
	if !d.associated() {
		pod := d.byAgent()
		d.broken(Finding{
			Link: plan.Association, Check: check,
			Summary: "pod " + pod.Namespace + "/" + pod.Name + " asks the agent for credentials, " +
				"and its service account has no association",
			Expected: "an association of " + d.account() + " in cluster " + p.Cluster, Found: d.nearby(),
			Fix: d.associate("--permission-policy-arns", "ARN"),
		})
		return false
	}
	a := p.Association
	if owner := accountOf(a.ARN); owner != "" && accountOf(a.RoleARN) != owner {
		d.broken(Finding{
			Link: plan.Association, Check: check,
			Summary:  "the role of the association is in another account than the cluster: only a target role can be",
			Expected: "a role of account " + owner, Found: a.RoleARN,
			Fix: d.associate("--permission-policy-arns", "ARN", "--target-role-arn", a.RoleARN),
		})
		return false
	}
	d.ok(plan.Association, check, "%s, role %s", a.ID, a.RoleARN)
	if arn := d.roleARN(); arn != "" {
		summary := "there are an annotation and an association: new pods get the role of the association, " +
			"and those admitted before it keep that of the annotation, which AWS SDKs prefer where a container has both"
		d.warn(Finding{
			Link: plan.Association, Check: "two ways",
			Summary:  summary,
			Expected: "one of them", Found: "annotation " + arn + " and association " + a.RoleARN,
			Fix: d.unannotate(annotationKey).noting("after its pods were restarted"),
		})
	}
	return true
}

// nearby are the associations that may have been meant.
func (d *diagnosis) nearby() string {
	if len(d.PodIdentity.Nearby) == 0 {
		return "none"
	}
	return "associations of " + strings.Join(d.PodIdentity.Nearby, ", ")
}
