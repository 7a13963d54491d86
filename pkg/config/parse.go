package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/openirsa/openirsa/internal/yamlnode"
)

// Parse reads a configuration file: our own, a ClusterConfig of eksctl, or the list
// that `eksctl get iamserviceaccount` prints. unread is what of it has no meaning
// here, by its path. The service accounts of all its sections are in
// IAMServiceAccounts. An error names the line and the field.
func Parse(body []byte) (file File, unread []string, err error) {
	roots, err := yamlnode.Documents(body)
	if err != nil {
		return File{}, nil, err
	}
	root, others, err := chooseDocument(roots)
	if err != nil {
		return File{}, nil, err
	}
	d := &decoder{}
	at := []string{"iamServiceAccounts", "iam.serviceAccounts"}
	switch {
	case root.Kind == yaml.SequenceNode:
		d.lenient, at = true, []string{""}
		err = d.value(root, reflect.ValueOf(&file.IAMServiceAccounts).Elem(), "")
		for i := range file.IAMServiceAccounts {
			file.IAMServiceAccounts[i].adopt(d, fmt.Sprintf("[%d]", i))
		}
		file.IAMServiceAccounts = slices.DeleteFunc(file.IAMServiceAccounts, func(sa ServiceAccount) bool {
			return sa.AttachRoleARN != "" && sa.RoleOnly // there is nothing to do
		})
	case yamlnode.Field(root, "kind") == eksctlKind:
		d.lenient = true
		var theirs eksctlFile
		err = d.value(root, reflect.ValueOf(&theirs).Elem(), "")
		file = theirs.file()
	default:
		err = d.value(root, reflect.ValueOf(&file).Elem(), "")
	}
	if err != nil {
		return File{}, nil, err
	}
	var paths []string // of the service accounts
	for i, list := range [][]ServiceAccount{file.IAMServiceAccounts, file.IAM.ServiceAccounts} {
		for j := range list {
			paths = append(paths, fmt.Sprintf("%s[%d]", at[min(i, len(at)-1)], j))
		}
	}
	file.IAMServiceAccounts = append(file.IAMServiceAccounts, file.IAM.ServiceAccounts...)
	if err := file.check(d.lines); err != nil {
		return File{}, nil, err
	}
	if err := checkAccounts(file.IAMServiceAccounts, paths, d.lines); err != nil {
		return File{}, nil, err
	}
	paths = nil // of the associations
	for _, list := range []struct {
		at  string
		all []PodIdentityAssociation
	}{{"podIdentityAssociations", file.PodIdentityAssociations}, {"iam.podIdentityAssociations", file.IAM.PodIdentityAssociations}} {
		for i := range list.all {
			paths = append(paths, fmt.Sprintf("%s[%d]", list.at, i))
		}
	}
	file.PodIdentityAssociations = append(file.PodIdentityAssociations, file.IAM.PodIdentityAssociations...)
	if len(paths) > 0 && file.PodIdentity != nil && !*file.PodIdentity {
		at, _, _ := strings.Cut(paths[0], "[")
		return File{}, nil, fmt.Errorf("line %d: podIdentity is false, and %s need it", d.lines["podIdentity"], at)
	}
	if err := checkAssociations(file.PodIdentityAssociations, paths, d.lines); err != nil {
		return File{}, nil, err
	}
	return file, append(d.ignored, others...), nil
}
