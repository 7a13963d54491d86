package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/role"
)

// PodIdentityAssociation is a service account and the role that its pods get by EKS Pod
// Identity, in the fields of eksctl's iam.podIdentityAssociations
// (pkg/apis/eksctl.io/v1alpha5, PodIdentityAssociation).
type PodIdentityAssociation struct {
	Namespace          string `yaml:"namespace"`
	ServiceAccountName string `yaml:"serviceAccountName"`
	// RoleARN is of a role that is used as it is. Without it one is made, with the
	// permissions of the fields after it.
	RoleARN                string            `yaml:"roleARN"`
	RoleName               string            `yaml:"roleName"`
	PermissionsBoundaryARN string            `yaml:"permissionsBoundaryARN"`
	PermissionPolicyARNs   []string          `yaml:"permissionPolicyARNs"`
	PermissionPolicy       InlinePolicy      `yaml:"permissionPolicy"`
	PermissionPolicyName   string            `yaml:"permissionPolicyName"` // in the role; "inline" unless given
	WellKnownPolicies      map[string]bool   `yaml:"wellKnownPolicies"`
	CreateServiceAccount   bool              `yaml:"createServiceAccount"`
	Tags                   map[string]string `yaml:"tags"`
	TargetRoleARN          string            `yaml:"targetRoleARN"`
	DisableSessionTags     bool              `yaml:"disableSessionTags"`
	// Policy is a session policy. It needs DisableSessionTags.
	Policy InlinePolicy `yaml:"policy"`
}

// String is NAMESPACE/NAME of the service account.
func (a *PodIdentityAssociation) String() string { return a.Namespace + "/" + a.ServiceAccountName }

// Account is the service account with the permissions of the role that is to be made
// for it.
func (a *PodIdentityAssociation) Account() ServiceAccount {
	var sa ServiceAccount
	sa.Metadata.Namespace, sa.Metadata.Name = a.Namespace, a.ServiceAccountName
	sa.AttachPolicyARNs, sa.AttachPolicy, sa.WellKnownPolicies = a.PermissionPolicyARNs, a.PermissionPolicy, a.WellKnownPolicies
	sa.PermissionsBoundary, sa.RoleName, sa.Tags = a.PermissionsBoundaryARN, a.RoleName, a.Tags
	sa.AttachPolicyName = a.PermissionPolicyName
	return sa
}

// Differs is the field in which two associations that share a role ask for different
// ones, empty if there is none.
func (a *PodIdentityAssociation) Differs(other *PodIdentityAssociation) string {
	sa, its := a.Account(), other.Account()
	field := sa.Differs(&its)
	return cmp.Or(theirNames[field], field)
}

// theirNames are the fields here of what [PodIdentityAssociation.Account] takes from
// them.
var theirNames = map[string]string{
	"metadata.namespace": "namespace", "metadata.name": "serviceAccountName", "attachPolicyARNs": "permissionPolicyARNs",
	"attachPolicy": "permissionPolicy", "attachPolicyName": "permissionPolicyName", "permissionsBoundary": "permissionsBoundaryARN",
}

// Check refuses what cannot work, before the first call to AWS or the cluster, as a
// [*FieldError].
func (a *PodIdentityAssociation) Check() error {
	switch {
	case a.Namespace == "":
		return together("namespace", "{namespace} is required")
	case a.ServiceAccountName == "":
		return together("serviceAccountName", "{serviceAccountName} is required")
	case len(validation.IsDNS1123Label(a.Namespace)) > 0:
		return inField("namespace", "%s: namespace %q: %s", plan.Association, a.Namespace, validation.IsDNS1123Label(a.Namespace)[0])
	}
	if a.RoleARN == "" && len(a.PermissionPolicyARNs) == 0 && a.PermissionPolicy == nil && !anyOf(a.WellKnownPolicies) {
		return together("roleARN", "at least one of the following must be specified: {roleARN}, {permissionPolicyARNs}, {permissionPolicy}, "+
			"{wellKnownPolicies}")
	}
	if a.Policy != nil && !a.DisableSessionTags {
		return together("policy", "{disableSessionTags} must be set to true when using {policy}")
	}
	if a.Policy != nil && !json.Valid(a.Policy) {
		return inField("policy", "%s: the session policy is not JSON", plan.Association)
	}
	for _, arn := range []struct{ field, value string }{{"roleARN", a.RoleARN}, {"targetRoleARN", a.TargetRoleARN}} {
		if _, err := role.ParseARN(arn.value); arn.value != "" && err != nil {
			return inField(arn.field, "%s: %q is not the ARN of a role", plan.Association, arn.value)
		}
	}
	if a.RoleARN != "" {
		return a.checkGiven()
	}
	if a.PermissionPolicyName != "" && a.PermissionPolicy == nil {
		return together("permissionPolicyName", "{permissionPolicyName} can be specified only with {permissionPolicy}")
	}
	sa := a.Account()
	if err := sa.Check(); err != nil {
		if e, ok := errors.AsType[*FieldError](err); ok && theirNames[e.Field] != "" {
			return &FieldError{Field: theirNames[e.Field], Err: e.Err}
		}
		return err
	}
	return nil
}

// checkGiven refuses what would change a role that is used as it is.
func (a *PodIdentityAssociation) checkGiven() error {
	for _, f := range []struct {
		field string
		set   bool
	}{
		{"permissionPolicyARNs", len(a.PermissionPolicyARNs) > 0}, {"permissionPolicy", a.PermissionPolicy != nil},
		{"permissionPolicyName", a.PermissionPolicyName != ""},
		{"wellKnownPolicies", anyOf(a.WellKnownPolicies)}, {"roleName", a.RoleName != ""},
		{"permissionsBoundaryARN", a.PermissionsBoundaryARN != ""},
	} {
		if f.set {
			return together(f.field, "{"+f.field+"} cannot be specified when {roleARN} is %s", "set")
		}
	}
	return nil
}

func anyOf(switches map[string]bool) bool {
	for _, on := range switches {
		if on {
			return true
		}
	}
	return false
}

// checkAssociations refuses associations that cannot be made, alone or together. Their
// fields are at paths.
func checkAssociations(all []PodIdentityAssociation, paths []string, lines map[string]int) error {
	seen := map[string]int{}
	for i := range all {
		a, line := &all[i], lines[paths[i]]
		if err := a.Check(); err != nil {
			e, ok := errors.AsType[*FieldError](err)
			if !ok {
				return fmt.Errorf("line %d: %w", line, err)
			}
			return fmt.Errorf("line %d: %s", line, e.Say(func(field string) string { return paths[i] + "." + field }))
		}
		if first := seen[a.String()]; first != 0 {
			return fmt.Errorf("line %d: the association of %s is already on line %d (%s)", line, a, first, paths[i])
		}
		seen[a.String()] = line
	}
	return nil
}
