// Package config is the configuration file of a cluster: everything that is asked for
// its chain, and the service accounts with their roles, as openirsa.dev/v1alpha1, as
// the iam section of a ClusterConfig of eksctl, or as the list that eksctl prints. The
// values are checked here, alone and against each other; docs/configuration.md is the
// manual.
//
//	file, unread, err := config.Parse(body)
package config

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/openirsa/openirsa/pkg/plan"
)

// The header of a configuration file: apiVersion and kind.
const (
	Version = "openirsa.dev/v1alpha1"
	Kind    = "Cluster"
)

// File is a configuration file: what is asked for the chain of a cluster, and the
// service accounts with their roles. docs/cluster.schema.json describes
// it for editors.
type File struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		// Name is that of the cluster in AWS.
		Name string `yaml:"name"`
		// Region is that of the bucket, and of pods.
		Region string `yaml:"region"`
	} `yaml:"metadata"`

	KindName   string `yaml:"kindName"`
	Kubeconfig string `yaml:"kubeconfig"`
	Context    string `yaml:"context"`

	Emulator bool `yaml:"emulator"`
	// KeepIssuer is nil where the file does not say.
	KeepIssuer *bool  `yaml:"keepIssuer"`
	Bucket     string `yaml:"bucket"`
	IssuerURL  string `yaml:"issuerURL"`
	// PrivateBucket is closed to the public; the CloudFront distribution of the
	// DistributionARN serves its documents at the IssuerURL.
	PrivateBucket   bool   `yaml:"privateBucket"`
	DistributionARN string `yaml:"distributionARN"`
	Image           string `yaml:"image"`
	PodEndpointURL  string `yaml:"podEndpointURL"`
	// FailurePolicy, IgnoreNamespaces and ExcludeNamespaces are an [Admission].
	FailurePolicy     string   `yaml:"failurePolicy"`
	IgnoreNamespaces  []string `yaml:"ignoreNamespaces"`
	ExcludeNamespaces []string `yaml:"excludeNamespaces"`

	IAMServiceAccounts []ServiceAccount `yaml:"iamServiceAccounts"`
	// PodIdentity says whether there is to be EKS Pod Identity; nil where the file does
	// not say. Associations need it.
	PodIdentity *bool `yaml:"podIdentity"`
	// PodIdentityAssociations give service accounts roles by EKS Pod Identity.
	PodIdentityAssociations []PodIdentityAssociation `yaml:"podIdentityAssociations"`
	// IAM is the section of eksctl's ClusterConfig, as it is.
	IAM struct {
		WithOIDC        bool             `yaml:"withOIDC"`
		ServiceAccounts []ServiceAccount `yaml:"serviceAccounts"`

		PodIdentityAssociations []PodIdentityAssociation `yaml:"podIdentityAssociations"`
		// What EKS alone has.
		AutoCreatePodIdentityAssociations  ignored `yaml:"autoCreatePodIdentityAssociations"`
		ServiceRoleARN                     ignored `yaml:"serviceRoleARN"`
		ServiceRolePermissionsBoundary     ignored `yaml:"serviceRolePermissionsBoundary"`
		FargatePodExecutionRoleARN         ignored `yaml:"fargatePodExecutionRoleARN"`
		FargatePodExecutionRolePermissions ignored `yaml:"fargatePodExecutionRolePermissionsBoundary"`
		VPCResourceControllerPolicy        ignored `yaml:"vpcResourceControllerPolicy"`
	} `yaml:"iam"`
}

// check refuses fields that do not go together.
func (file *File) check(lines map[string]int) error {
	where := Documents{
		Bucket: file.Bucket, IssuerURL: file.IssuerURL, Emulator: file.Emulator,
		PrivateBucket: file.PrivateBucket, DistributionARN: file.DistributionARN,
	}
	waits := Admission{file.FailurePolicy, file.IgnoreNamespaces, file.ExcludeNamespaces}
	for _, err := range []error{where.Check(), waits.Check()} {
		if e, ok := errors.AsType[*FieldError](err); ok {
			return fmt.Errorf("line %d: %w", lines[e.Field], e)
		}
	}
	for _, pair := range []struct {
		first, second string
		both          bool
	}{
		{"keepIssuer", "bucket", file.KeepIssuer != nil && *file.KeepIssuer && file.Bucket != ""},
		{"podEndpointURL", "emulator", file.PodEndpointURL != "" && file.Emulator},
		{"kindName", "context", file.KindName != "" && file.Context != ""},
		{"kindName", "kubeconfig", file.KindName != "" && file.Kubeconfig != ""},
	} {
		if pair.both {
			return fmt.Errorf("line %d: %s and %s exclude each other", lines[pair.first], pair.first, pair.second)
		}
	}
	return nil
}

// checkAccounts refuses service accounts that cannot be made, alone or together.
// Their fields are at paths.
func checkAccounts(accounts []ServiceAccount, paths []string, lines map[string]int) error {
	// where names a field, and its line if it is one of the file.
	where := func(i int, field string) string {
		path := strings.TrimPrefix(join(paths[i], field), ".")
		if line := lines[path]; line != 0 {
			return fmt.Sprintf("(%s, line %d)", path, line)
		}
		return "(" + path + ")"
	}
	seen, sharers := map[string]int{}, map[string][]int{} // which share a role, IAM telling no names apart by case
	for i := range accounts {
		sa, line := &accounts[i], lines[paths[i]]
		sa.Metadata.Namespace = cmp.Or(sa.Metadata.Namespace, "default") // as in eksctl
		if err := sa.Check(); err != nil {
			at := ""
			if e, ok := errors.AsType[*FieldError](err); ok {
				at = " " + where(i, e.Field)
			}
			return fmt.Errorf("line %d: %w%s", line, err, at)
		}
		if first := seen[sa.String()]; first != 0 {
			return fmt.Errorf("line %d: service account %s is already on line %d %s", line, sa, first, where(i, "metadata.name"))
		}
		seen[sa.String()] = line
		if sa.RoleName == "" {
			continue
		}
		name := strings.ToLower(sa.RoleName)
		for _, j := range sharers[name] {
			other := &accounts[j]
			field := sa.Differs(other)
			if sa.RoleName != other.RoleName {
				field = "roleName"
			}
			if field != "" {
				return fmt.Errorf("line %d: %s: %s and %s on line %d share role %s and ask for different %s %s",
					line, plan.Role, sa, other, lines[paths[j]], sa.RoleName, field, where(i, field))
			}
		}
		sharers[name] = append(sharers[name], i)
	}
	return nil
}
