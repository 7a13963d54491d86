// Package role plans the IAM roles that service accounts assume: their trust,
// their permissions and their marks.
// [Plan] compares a [Role] as it is wanted with the existing one.
package role

import (
	"context"
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/pkg/trust"
)

// IAM is what this package calls; *iam.Client is one.
type IAM interface {
	GetRole(context.Context, *iam.GetRoleInput, ...func(*iam.Options)) (*iam.GetRoleOutput, error)
	GetAccountSummary(context.Context, *iam.GetAccountSummaryInput, ...func(*iam.Options)) (*iam.GetAccountSummaryOutput, error)
	ListRoles(context.Context, *iam.ListRolesInput, ...func(*iam.Options)) (*iam.ListRolesOutput, error)
	CreateRole(context.Context, *iam.CreateRoleInput, ...func(*iam.Options)) (*iam.CreateRoleOutput, error)
	DeleteRole(context.Context, *iam.DeleteRoleInput, ...func(*iam.Options)) (*iam.DeleteRoleOutput, error)
	UpdateAssumeRolePolicy(context.Context, *iam.UpdateAssumeRolePolicyInput, ...func(*iam.Options)) (
		*iam.UpdateAssumeRolePolicyOutput, error)
	TagRole(context.Context, *iam.TagRoleInput, ...func(*iam.Options)) (*iam.TagRoleOutput, error)
	ListAttachedRolePolicies(context.Context, *iam.ListAttachedRolePoliciesInput, ...func(*iam.Options)) (
		*iam.ListAttachedRolePoliciesOutput, error)
	AttachRolePolicy(context.Context, *iam.AttachRolePolicyInput, ...func(*iam.Options)) (*iam.AttachRolePolicyOutput, error)
	DetachRolePolicy(context.Context, *iam.DetachRolePolicyInput, ...func(*iam.Options)) (*iam.DetachRolePolicyOutput, error)
	ListRolePolicies(context.Context, *iam.ListRolePoliciesInput, ...func(*iam.Options)) (*iam.ListRolePoliciesOutput, error)
	GetRolePolicy(context.Context, *iam.GetRolePolicyInput, ...func(*iam.Options)) (*iam.GetRolePolicyOutput, error)
	PutRolePolicy(context.Context, *iam.PutRolePolicyInput, ...func(*iam.Options)) (*iam.PutRolePolicyOutput, error)
	DeleteRolePolicy(context.Context, *iam.DeleteRolePolicyInput, ...func(*iam.Options)) (*iam.DeleteRolePolicyOutput, error)
	PutRolePermissionsBoundary(context.Context, *iam.PutRolePermissionsBoundaryInput, ...func(*iam.Options)) (
		*iam.PutRolePermissionsBoundaryOutput, error)
	DeleteRolePermissionsBoundary(context.Context, *iam.DeleteRolePermissionsBoundaryInput, ...func(*iam.Options)) (
		*iam.DeleteRolePermissionsBoundaryOutput, error)
	GetPolicy(context.Context, *iam.GetPolicyInput, ...func(*iam.Options)) (*iam.GetPolicyOutput, error)
}

// Limits of IAM (User Guide, "IAM and AWS STS quotas").
const (
	MaxName     = 64
	MaxPolicies = 10 // managed policies of a role, without a quota increase

	maxInlineName = 128
	maxTags       = 50
)

// Role is an IAM role: as it is wanted, or as it is.
type Role struct {
	Name string
	// Path begins and ends with a slash; empty means "/". It cannot be changed
	// once the role is there.
	Path        string
	Description string
	// Trust is the trust policy document.
	Trust []byte
	// PolicyARNs are the managed policies to be attached.
	PolicyARNs []string
	// Inline are inline policy documents by name.
	Inline map[string][]byte
	// Boundary is the ARN of the permissions boundary, empty for none.
	Boundary string
	Tags     map[string]string
	// Shared asks for a role that service accounts of several clusters assume:
	// one that another cluster has made is joined, the statements of the others
	// in its trust policy stay, and what is attached to it stays.
	Shared bool
	// KeepAttached says that service accounts which are not spoken of here use the role
	// too: what is attached to it stays.
	KeepAttached bool

	// ownStatements are the trust policy without what stays for the sake of other
	// clusters.
	ownStatements []byte

	// ARN and Created are set for an existing role.
	ARN     string
	Created time.Time
}

// installed reports whether the role was read from IAM.
func (r Role) installed() bool { return r.ARN != "" }

var (
	nameForm = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]+$`)
	pathForm = regexp.MustCompile(`^/([!-~]+/)?$`)
	arnForm  = regexp.MustCompile(`^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/[!-~]+$`)
)

// NameFor is the name of a service account's role unless one is given:
// openirsa-CLUSTER-NAMESPACE-NAME, cut and ended by a hash of the whole where
// IAM's 64 characters do not suffice.
func NameFor(cluster, namespace, serviceAccount string) string {
	name := "openirsa-" + cluster + "-" + namespace + "-" + serviceAccount
	if len(name) <= MaxName && strings.Count(cluster+namespace+serviceAccount, "-") == 0 {
		return name
	}
	// With dashes inside the parts, two service accounts could share a name.
	sum := fmt.Sprintf("-%x", sha256.Sum256([]byte(cluster+"\x00"+namespace+"\x00"+serviceAccount)))[:9]
	return strings.TrimRight(name[:min(len(name), MaxName-len(sum))], "-.") + sum
}

// NameForPods is [NameFor] of the role that pods of a service account get by EKS Pod
// Identity, unless one is given: openirsa-pods-CLUSTER-NAMESPACE-NAME.
func NameForPods(cluster, namespace, serviceAccount string) string {
	return NameFor("pods-"+cluster, namespace, serviceAccount)
}

// PathFor is the path of a cluster's roles, below which they are found again.
func PathFor(cluster string) string { return "/openirsa/" + cluster + "/" }

// Describe is the description of a cluster's role for a service account, or for
// several if that is empty. IAM lists it: by it a role is found again that is not
// below the cluster's path and whose trust policy was spoilt.
func Describe(cluster, serviceAccount string) string {
	if serviceAccount == "" {
		return "Service accounts" + ofCluster + cluster
	}
	return "Service account " + serviceAccount + ofCluster + cluster
}

const ofCluster = " of cluster "

// Claims reports whether a role's path or description says that it is of a
// cluster; of any cluster if that is empty.
func (r Role) Claims(cluster string) bool {
	path := "/openirsa/"
	if cluster != "" {
		path = PathFor(cluster)
	}
	before, of, ok := strings.Cut(r.Description, ofCluster)
	return strings.HasPrefix(r.Path, path) || ok && strings.HasPrefix(before, "Service account") && (of == cluster || cluster == "")
}

// Check refuses what IAM would refuse, before the first call.
func (r Role) Check() error {
	switch {
	case !nameForm.MatchString(r.Name) || len(r.Name) > MaxName:
		return fmt.Errorf("role name %q is not 1 to %d of letters, digits and _+=,.@-", r.Name, MaxName)
	case r.Path != "" && (!pathForm.MatchString(r.Path) || len(r.Path) > 512):
		return fmt.Errorf("role path %q does not begin and end with a slash, or is longer than 512", r.Path)
	case len(r.PolicyARNs) > MaxPolicies:
		return fmt.Errorf("role %s: %d managed policies are more than the %d that IAM attaches to a role",
			r.Name, len(r.PolicyARNs), MaxPolicies)
	case len(r.Tags) > maxTags:
		return fmt.Errorf("role %s: %d tags are more than %d", r.Name, len(r.Tags), maxTags)
	}
	for _, arn := range r.PolicyARNs {
		if !arnForm.MatchString(arn) {
			return fmt.Errorf("policy %q is not the ARN of a managed policy, such as arn:aws:iam::aws:policy/IAMReadOnlyAccess", arn)
		}
	}
	for name := range r.Inline {
		if !nameForm.MatchString(name) || len(name) > maxInlineName {
			return fmt.Errorf("the name %q of an inline policy is not 1 to %d of letters, digits and _+=,.@-", name, maxInlineName)
		}
	}
	if r.Boundary != "" && !arnForm.MatchString(r.Boundary) {
		return fmt.Errorf("permissions boundary %q is not the ARN of a managed policy", r.Boundary)
	}
	return nil
}

// trustsSome reports whether a trust policy lets in tokens of one of the
// providers.
func trustsSome(document []byte, providers []string) bool {
	return slices.ContainsFunc(trust.Providers(document), func(arn string) bool { return slices.Contains(providers, arn) })
}

// TrustsSome reports whether the role lets in tokens of one of the providers.
func (r Role) TrustsSome(providers []string) bool { return trustsSome(r.Trust, providers) }
