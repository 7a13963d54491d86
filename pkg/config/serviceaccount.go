package config

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/policy"
	"github.com/openirsa/openirsa/pkg/role"
)

// ServiceAccount is a service account and its role, in the fields of eksctl's
// iam.serviceAccounts (pkg/apis/eksctl.io/v1alpha5, ClusterIAMServiceAccount).
type ServiceAccount struct {
	Metadata struct {
		Name        string            `yaml:"name"`
		Namespace   string            `yaml:"namespace"`
		Labels      map[string]string `yaml:"labels"`
		Annotations map[string]string `yaml:"annotations"`
	} `yaml:"metadata"`
	AttachPolicyARNs []string     `yaml:"attachPolicyARNs"`
	AttachPolicy     InlinePolicy `yaml:"attachPolicy"`
	// AttachPolicyName is the name of AttachPolicy in the role, "inline" unless given.
	// In files associations alone have it.
	AttachPolicyName    string            `yaml:"-"`
	WellKnownPolicies   map[string]bool   `yaml:"wellKnownPolicies"`
	AttachRoleARN       string            `yaml:"attachRoleARN"`
	PermissionsBoundary string            `yaml:"permissionsBoundary"`
	RoleName            string            `yaml:"roleName"`
	ShareRole           bool              `yaml:"shareRole"`
	RolePath            string            `yaml:"rolePath"`
	RoleOnly            bool              `yaml:"roleOnly"`
	SubjectPattern      string            `yaml:"subjectPattern"`
	Tags                map[string]string `yaml:"tags"`
	// Status is what eksctl writes back. It is read in the list that eksctl
	// prints, which has nothing else.
	Status struct {
		RoleARN string `yaml:"roleARN"`
	} `yaml:"status"`
}

// NewServiceAccount is a service account whose role has some managed policies, by
// their ARNs.
func NewServiceAccount(namespace, name string, policyARNs ...string) ServiceAccount {
	var sa ServiceAccount
	sa.Metadata.Namespace, sa.Metadata.Name, sa.AttachPolicyARNs = namespace, name, policyARNs
	return sa
}

// String is NAMESPACE/NAME.
func (sa *ServiceAccount) String() string { return sa.Metadata.Namespace + "/" + sa.Metadata.Name }

// PolicyName is the name of AttachPolicy in the role.
func (sa *ServiceAccount) PolicyName() string { return cmp.Or(sa.AttachPolicyName, "inline") }

func isAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// InlinePolicy is a policy document as JSON, written as YAML or as a text of JSON.
type InlinePolicy []byte

// ignored is a field of eksctl's that has no meaning here.
type ignored struct{}

// Check refuses what cannot work, before the first call to AWS or the cluster, mostly
// as a [*FieldError].
func (sa *ServiceAccount) Check() error {
	if msgs := validation.IsDNS1123Label(sa.Metadata.Namespace); len(msgs) > 0 {
		return inField("metadata.namespace", "%s: namespace %q: %s", plan.ServiceAccount, sa.Metadata.Namespace, msgs[0])
	}
	if msgs := validation.IsDNS1123Subdomain(sa.Metadata.Name); len(msgs) > 0 {
		return inField("metadata.name", "%s: name %q: %s", plan.ServiceAccount, sa.Metadata.Name, msgs[0])
	}
	if sa.AttachRoleARN != "" {
		return sa.checkAttached()
	}
	if sa.ShareRole && sa.RoleName == "" {
		return inField("shareRole", "%s: a role that several clusters share needs a roleName that they agree on", plan.Role)
	}
	if p := sa.SubjectPattern; p != "" && !strings.HasPrefix(p, irsa.SubjectPrefix) {
		return inField("subjectPattern", "%s: subject pattern %q does not begin with %q", plan.Role, p, irsa.SubjectPrefix)
	}
	for _, key := range slices.Sorted(maps.Keys(sa.Tags)) {
		if strings.HasPrefix(strings.ToLower(key), owner.Prefix) && key != owner.EnforceTag { // IAM tells no keys apart by case
			return inField("tags."+key, "%s: tag %s: what begins with %s marks what setup has made", plan.Role, key, owner.Prefix)
		}
	}
	for name := range sa.WellKnownPolicies {
		if !slices.Contains(WellKnownNames(), name) {
			return inField("wellKnownPolicies."+name, "%s: well-known policy %q is not one of %s",
				plan.Role, name, strings.Join(WellKnownNames(), ", "))
		}
	}
	if sa.AttachPolicy != nil {
		if _, err := policy.Parse(policy.Identity, sa.AttachPolicy); err != nil {
			return inField("attachPolicy", "%s: the inline policy: %w", plan.Role, err)
		}
	}
	if name := sa.AttachPolicyName; name != "" {
		if !strings.ContainsFunc(name, isAlphanumeric) {
			return inField("attachPolicyName", "%s: the name %q of the inline policy has neither a letter nor a digit", plan.Role, name)
		}
		if sa.WellKnownPolicies[name] {
			return inField("attachPolicyName", "%s: the role has a well-known policy %s beside the inline policy of that name", plan.Role, name)
		}
	}
	for _, part := range []struct {
		field string
		role  role.Role
	}{
		{"roleName", role.Role{Name: cmp.Or(sa.RoleName, "x")}}, {"rolePath", role.Role{Name: "x", Path: sa.RolePath}},
		{"attachPolicyARNs", role.Role{Name: "x", PolicyARNs: sa.AttachPolicyARNs}},
		{"permissionsBoundary", role.Role{Name: "x", Boundary: sa.PermissionsBoundary}}, {"tags", role.Role{Name: "x", Tags: sa.Tags}},
		{"attachPolicyName", role.Role{Name: "x", Inline: map[string][]byte{sa.PolicyName(): nil}}},
	} {
		if err := part.role.Check(); err != nil {
			return inField(part.field, "%s: %w", plan.Role, err)
		}
	}
	return nil
}

// inField is an error about a field.
func inField(field, format string, args ...any) error {
	return &FieldError{Field: field, Err: fmt.Errorf(format, args...)}
}

// checkAttached refuses what would make another role of one that is used as it
// is.
func (sa *ServiceAccount) checkAttached() error {
	if _, err := role.ParseARN(sa.AttachRoleARN); err != nil {
		return inField("attachRoleARN", "%s: %q is not the ARN of a role", plan.Role, sa.AttachRoleARN)
	}
	for _, f := range []struct {
		field string
		set   bool
	}{
		{"attachPolicyARNs", len(sa.AttachPolicyARNs) > 0}, {"attachPolicy", sa.AttachPolicy != nil},
		{"wellKnownPolicies", len(sa.WellKnownPolicies) > 0},
		{"permissionsBoundary", sa.PermissionsBoundary != ""}, {"roleName", sa.RoleName != ""},
		{"shareRole", sa.ShareRole}, {"rolePath", sa.RolePath != ""},
		{"roleOnly", sa.RoleOnly}, {"subjectPattern", sa.SubjectPattern != ""}, {"tags", len(sa.Tags) > 0},
	} {
		if f.set {
			return inField(f.field, "%s: a role that is attached as it is takes no %s here", plan.Role, f.field)
		}
	}
	return nil
}

// Differs is the field in which two service accounts that share a role ask for
// different ones, empty if there is none.
func (sa *ServiceAccount) Differs(other *ServiceAccount) string {
	for key, value := range sa.Tags {
		if v, ok := other.Tags[key]; ok && v != value {
			return "tags"
		}
	}
	switch {
	case sa.PermissionsBoundary != other.PermissionsBoundary:
		return "permissionsBoundary"
	case sa.RolePath != other.RolePath:
		return "rolePath"
	case sa.SubjectPattern != other.SubjectPattern:
		return "subjectPattern"
	case sa.ShareRole != other.ShareRole:
		return "shareRole"
	case !bytes.Equal(sa.AttachPolicy, other.AttachPolicy):
		return "attachPolicy"
	case sa.AttachPolicyName != other.AttachPolicyName:
		return "attachPolicyName"
	}
	return ""
}
