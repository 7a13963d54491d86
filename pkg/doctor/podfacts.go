package doctor

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/openirsa/openirsa/pkg/irsa"
)

// PodIdentity are the facts about the chain of EKS Pod Identity: a cluster that EKS knows,
// an association, a role that trusts pods.eks.amazonaws.com, and an agent on each node.
type PodIdentity struct {
	// Used says that something in the cluster speaks of it: the record, an agent or a
	// pod. Without it nothing else is looked at.
	Used bool
	// Installed says that setup has installed it, and so can bring it up to date.
	Installed bool
	// Cluster is the name by which EKS should know the cluster, and Region where.
	Cluster, Region string

	// EKS is what EKS knows of the cluster; nil if it knows none of that name.
	EKS    *EKSCluster
	EKSErr error
	// Clusters are the names that EKS does know, where it has not that one.
	Clusters []string

	// Association is the service account's; nil if it has none.
	Association    *Association
	AssociationErr error
	// Nearby are the service accounts with an association in the same namespace, or with
	// the same name, as NAMESPACE/NAME.
	Nearby []string

	// Role is that of the association, and Target its target role; nil if there is none
	// of the name.
	Role, Target       *Role
	RoleErr, TargetErr error
	// Grants are what the policies of the role say of assuming the target role and of
	// tagging that session, by action, in the words of IAM's policy simulator: allowed,
	// implicitDeny, explicitDeny. An action that is missing was not asked about.
	Grants map[string]string

	Agent Agent
	// Exchange is what EKS Auth answered to the token of a pod; nil if it was not asked.
	Exchange *Exchange
}

// EKSCluster is a cluster as EKS describes it.
type EKSCluster struct {
	ARN    string
	Issuer string // "" if it has none
	Status string // such as ACTIVE
}

// Association says which role the pods of a service account get.
type Association struct {
	ID, ARN                string
	RoleARN, TargetRoleARN string
	ExternalID             string // that the target role's trust policy may ask for
	Policy                 string // of sessions
	DisableSessionTags     bool
	Created                time.Time
}

// Agent is what answers pods on their node.
type Agent struct {
	// DaemonSet is nil if there is none.
	DaemonSet *appsv1.DaemonSet
	Err       error
	// Pods are those of the DaemonSet.
	Pods    []corev1.Pod
	PodsErr error
	// BuiltIn are the nodes that have an agent of their own: those of EKS Auto Mode.
	BuiltIn map[string]bool

	// Identity is the ARN of the role or the user whose credentials it signs with; ""
	// if it is not known, as where they are the node's.
	Identity    string
	IdentityErr error
	// Secret is NAMESPACE/NAME of the Secret with its keys; "" if it has none. NoKeys says
	// why these are nobody's.
	Secret, NoKeys string
	// Role is its role; nil if there is none of the name, or if it is a user.
	Role *Role
	// Grant is what the policies of the identity say of the exchange, as in
	// [PodIdentity.Grants]; "" if that is not known.
	Grant string
}

// Exchange is AssumeRoleForPodIdentity with the token of a pod, by the credentials in
// use, and GetCallerIdentity with what it gave.
type Exchange struct {
	Pod string // whose token it was, NAMESPACE/NAME
	// Status, Code and Message are AWS's error; zero if it gave credentials.
	Status        int
	Code, Message string
	// Err is any other failure, such as of the network.
	Err error
	// Reason is what the endpoint said about it when asked.
	Reason string
	// Identity is the ARN that GetCallerIdentity answered, and IdentityErr its failure.
	Identity    string
	IdentityErr error
}

// TokenAudience is the audience of the token by which the service account is examined:
// that of EKS Pod Identity, if the account has an association and no annotation, and
// otherwise the one of [Audience].
func (f Facts) TokenAudience() string {
	if f.ServiceAccount == nil {
		return irsa.Audience
	}
	if f.PodIdentity.Association != nil && f.ServiceAccount.Annotations[irsa.DefaultPrefix.RoleARN()] == "" {
		return irsa.CredentialsAudience
	}
	return Audience(f.ServiceAccount.Annotations)
}

// UsesPodIdentity reports whether some container of a pod was given the credentials of
// an agent.
func UsesPodIdentity(p *corev1.Pod) bool { return has(p, irsa.EnvCredentialsURI) }
