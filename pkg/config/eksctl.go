package config

import (
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"

	"github.com/openirsa/openirsa/internal/yamlnode"
)

// The header of eksctl's configuration files.
const (
	eksctlVersion = "eksctl.io/v1alpha5"
	eksctlKind    = "ClusterConfig"
)

// eksctlFile is what has a meaning here of a ClusterConfig of eksctl
// (pkg/apis/eksctl.io/v1alpha5 in eksctl-io/eksctl): the service accounts, the
// associations, the cluster's name and the region.
type eksctlFile struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name   string `yaml:"name"`
		Region string `yaml:"region"`
	} `yaml:"metadata"`
	IAM struct {
		WithOIDC        bool             `yaml:"withOIDC"`
		ServiceAccounts []ServiceAccount `yaml:"serviceAccounts"`

		PodIdentityAssociations []PodIdentityAssociation `yaml:"podIdentityAssociations"`
	} `yaml:"iam"`
}

// file is our own file that says the same.
func (theirs *eksctlFile) file() File {
	var file File
	file.APIVersion, file.Kind = Version, Kind
	file.Metadata.Name, file.Metadata.Region = theirs.Metadata.Name, theirs.Metadata.Region
	file.IAM.WithOIDC, file.IAM.ServiceAccounts = theirs.IAM.WithOIDC, theirs.IAM.ServiceAccounts
	file.IAM.PodIdentityAssociations = theirs.IAM.PodIdentityAssociations
	return file
}

// adopt has a service account of eksctl's list, which names its role in the
// status and seldom says what the role is made of, use that role as it is.
func (sa *ServiceAccount) adopt(d *decoder, path string) {
	wellKnown := false
	for _, on := range sa.WellKnownPolicies {
		wellKnown = wellKnown || on
	}
	made := len(sa.AttachPolicyARNs) > 0 || sa.AttachPolicy != nil || wellKnown || sa.RoleName != ""
	if made || sa.AttachRoleARN != "" || sa.Status.RoleARN == "" {
		return
	}
	sa.AttachRoleARN, sa.WellKnownPolicies = sa.Status.RoleARN, nil
	if len(sa.Tags) > 0 {
		sa.Tags = nil
		d.ignore(path + ".tags")
	}
	if sa.PermissionsBoundary != "" {
		sa.PermissionsBoundary = ""
		d.ignore(path + ".permissionsBoundary")
	}
}

// chooseDocument is the one document of a file that is to be read. Others of any
// kind but ours are named: manifests that are kept in the same file.
func chooseDocument(roots []*yaml.Node) (chosen *yaml.Node, others []string, err error) {
	for _, root := range roots {
		version, kind := yamlnode.Field(root, "apiVersion"), yamlnode.Field(root, "kind")
		ours := root.Kind == yaml.SequenceNode || version == Version && kind == Kind || version == eksctlVersion && kind == eksctlKind
		switch {
		case ours && chosen == nil:
			chosen = root
		case ours || version == "" || kind == "":
			if len(roots) > 1 && (chosen != nil || ours) {
				return nil, nil, yamlnode.Fault(root, "", "it holds more than one document")
			}
			return nil, nil, unknownDocument(root, version, kind)
		default:
			others = append(others, fmt.Sprintf("%s %s (line %d)", version, kind, root.Line))
		}
	}
	switch {
	case chosen != nil:
		return chosen, others, nil
	case len(roots) == 0:
		return nil, nil, fmt.Errorf("line 1: apiVersion: the file is empty: %w", io.EOF)
	}
	return nil, nil, unknownDocument(roots[0], yamlnode.Field(roots[0], "apiVersion"), yamlnode.Field(roots[0], "kind"))
}

func unknownDocument(root *yaml.Node, version, kind string) error {
	if root.Kind != yaml.MappingNode {
		return yamlnode.Fault(root, "", "expected fields such as apiVersion and kind, found %s", yamlnode.What(root))
	}
	return yamlnode.Fault(root, "", "apiVersion and kind: it is %s %s, not %s %s, nor eksctl's %s %s",
		version, kind, Version, Kind, eksctlVersion, eksctlKind)
}
