package gather

import (
	"cmp"
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/podidentity"
	"github.com/openirsa/openirsa/pkg/role"
)

// agent finds the agent, and whatever else in the cluster speaks of EKS Pod Identity.
func (e *Examination) agent(ctx context.Context, p *doctor.PodIdentity) {
	client := e.chain.Cluster.Client()
	p.Installed = e.chain.Installed && e.chain.Record.PodIdentity
	p.Agent = e.chain.Agent(ctx)
	p.Cluster, p.Used = e.chain.Record.Cluster, p.Installed || p.Agent.DaemonSet != nil
	e.byAgent = map[string]bool{}
	of := metav1.ListOptions{LabelSelector: irsa.PodIdentityLabel + "=enabled"}
	if list, err := client.Pods(metav1.NamespaceAll).List(ctx, of); err == nil {
		for _, pod := range list.Items {
			if !ended(&pod) {
				e.byAgent[pod.Namespace+"/"+pod.Spec.ServiceAccountName], p.Used = true, true
			}
		}
	}
	if d := p.Agent.DaemonSet; d != nil {
		p.Cluster = cmp.Or(p.Cluster, clusterName(d.Spec.Template.Spec.Containers))
	}
}

// clusterName is the cluster that an agent is told to ask for.
func clusterName(containers []corev1.Container) string {
	for _, c := range containers {
		args := slices.Concat(c.Command, c.Args)
		for i, arg := range args {
			if v, ok := strings.CutPrefix(arg, "--cluster-name="); ok {
				return v
			}
			if (arg == "--cluster-name" || arg == "-c") && i+1 < len(args) {
				return args[i+1]
			}
		}
	}
	return ""
}

// ended reports whether a pod runs no more, or soon will not.
func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed || p.DeletionTimestamp != nil
}

// podIdentity reads what EKS knows of the cluster and of its associations, and who the
// agent is in AWS.
func (e *Examination) podIdentity(ctx context.Context, p *doctor.PodIdentity) {
	p.Region = cmp.Or(e.chain.Record.Region, e.chain.Account.Region)
	if !p.Used || p.Cluster == "" {
		return
	}
	client := eks.NewFromConfig(e.chain.Account.Config, func(o *eks.Options) { o.Region = p.Region })
	out, err := client.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &p.Cluster})
	_, missing := errors.AsType[*ekstypes.ResourceNotFoundException](err)
	switch {
	case missing:
		if list, err := client.ListClusters(ctx, &eks.ListClustersInput{}); err == nil {
			p.Clusters = list.Clusters
		}
		return
	case err != nil:
		p.EKSErr = account.Cause(err)
	default:
		c := out.Cluster
		p.EKS = &doctor.EKSCluster{ARN: aws.ToString(c.Arn), Status: string(c.Status)}
		if c.Identity != nil && c.Identity.Oidc != nil {
			p.EKS.Issuer = aws.ToString(c.Identity.Oidc.Issuer)
		}
	}
	all, err := podidentity.Read(ctx, client, p.Cluster, podidentity.Filter{})
	if err != nil {
		p.AssociationErr = account.Cause(err)
	}
	e.associations = map[string]podidentity.Association{}
	for _, a := range all {
		e.associations[a.String()] = a
	}
	if p.EKS != nil && p.Agent.DaemonSet != nil {
		e.agentIdentity(ctx, p)
	}
}

// association finds that of the service account, and those that may have been meant.
func (e *Examination) association(f *doctor.Facts) {
	p := &f.PodIdentity
	for name, a := range e.associations {
		switch {
		case name == f.Namespace+"/"+f.Name:
			p.Association = &doctor.Association{
				ID: a.ID, ARN: a.ARN, RoleARN: a.RoleARN, TargetRoleARN: a.TargetRoleARN, ExternalID: a.ExternalID,
				Policy: a.Policy, DisableSessionTags: a.DisableSessionTags, Created: a.Created,
			}
		case a.Namespace == f.Namespace || a.ServiceAccount == f.Name:
			p.Nearby = append(p.Nearby, name)
		}
	}
	slices.Sort(p.Nearby)
}

// agentIdentity finds whose credentials the agent has, and what their policies say.
func (e *Examination) agentIdentity(ctx context.Context, p *doctor.PodIdentity) {
	a := &p.Agent
	for _, c := range a.DaemonSet.Spec.Template.Spec.Containers {
		for _, v := range c.Env {
			switch {
			case v.Name == irsa.EnvAccessKey && v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil:
				e.agentUser(ctx, a, v.ValueFrom.SecretKeyRef)
			case v.Name == irsa.EnvRoleARN && a.Secret == "":
				a.Identity = v.Value
			}
		}
	}
	if parsed, err := role.ParseARN(a.Identity); err == nil && parsed.AccountID == e.chain.Account.ID {
		a.Role, a.IdentityErr = e.readRole(ctx, a.Identity)
		if a.Role == nil {
			return
		}
	}
	if a.Identity != "" {
		a.Grant = e.simulate(ctx, a.Identity, p.EKS.ARN, "eks-auth:AssumeRoleForPodIdentity")["eks-auth:AssumeRoleForPodIdentity"]
	}
}

// agentUser finds the user whose keys are in a Secret. The secret key is not looked at.
func (e *Examination) agentUser(ctx context.Context, a *doctor.Agent, ref *corev1.SecretKeySelector) {
	namespace := a.DaemonSet.Namespace
	a.Secret, a.Identity = namespace+"/"+ref.Name, ""
	s, err := e.chain.Cluster.Client().Secrets(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		a.NoKeys = "no such Secret"
		return
	case err != nil:
		a.IdentityErr = err
		return
	}
	id := strings.TrimSpace(string(s.Data[ref.Key]))
	if id == "" {
		a.NoKeys = "the Secret has no " + ref.Key
		return
	}
	used, err := e.chain.Account.IAM.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &id})
	if err != nil {
		a.IdentityErr = account.Cause(err) // IAM says the same of keys of others and of none
		return
	}
	user, err := e.chain.Account.IAM.GetUser(ctx, &iam.GetUserInput{UserName: used.UserName})
	if err != nil {
		a.IdentityErr = account.Cause(err)
		return
	}
	a.Identity = aws.ToString(user.User.Arn)
}

// simulate is what the policies of a user or a role say of actions on a resource; empty
// if IAM does not tell.
func (e *Examination) simulate(ctx context.Context, arn, resource string, actions ...string) map[string]string {
	out, err := e.chain.Account.IAM.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{
		PolicySourceArn: &arn, ActionNames: actions, ResourceArns: []string{resource},
	})
	if err != nil {
		return nil
	}
	said := map[string]string{}
	for _, r := range out.EvaluationResults {
		said[aws.ToString(r.EvalActionName)] = string(r.EvalDecision)
	}
	return said
}

// readRole is a role by its ARN, of whatever path; nil if there is none of the name.
func (e *Examination) readRole(ctx context.Context, arn string) (*doctor.Role, error) {
	there, ok, err := role.Get(ctx, e.chain.Account.IAM, path.Base(arn))
	if err != nil {
		return nil, account.Cause(err)
	}
	if !ok {
		return nil, nil
	}
	return &doctor.Role{
		Name: there.Name, ARN: there.ARN, Trust: there.Trust, PolicyARNs: there.PolicyARNs, Inline: len(there.Inline),
		Boundary: there.Boundary, Tags: there.Tags,
	}, nil
}

// podRoles reads the roles of the association.
func (e *Examination) podRoles(ctx context.Context, f *doctor.Facts) {
	p := &f.PodIdentity
	a := p.Association
	if e.chain.Account == nil || a == nil {
		return
	}
	ours := func(arn string) bool {
		parsed, err := role.ParseARN(arn)
		return err == nil && parsed.AccountID == e.chain.Account.ID
	}
	if !ours(a.RoleARN) {
		return
	}
	p.Role, p.RoleErr = e.readRole(ctx, a.RoleARN)
	if a.TargetRoleARN == "" || p.Role == nil {
		return
	}
	p.Grants = e.simulate(ctx, a.RoleARN, a.TargetRoleARN, "sts:AssumeRole", "sts:TagSession")
	if ours(a.TargetRoleARN) {
		p.Target, p.TargetErr = e.readRole(ctx, a.TargetRoleARN)
	}
}
