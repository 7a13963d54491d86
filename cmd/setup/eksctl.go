package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// The header of eksctl's configuration files.
const (
	eksctlVersion = "eksctl.io/v1alpha5"
	eksctlKind    = "ClusterConfig"
)

// eksctlFile is what has a meaning here of a ClusterConfig of eksctl
// (pkg/apis/eksctl.io/v1alpha5 in eksctl-io/eksctl): the service accounts, the
// cluster's name and the region.
type eksctlFile struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name   string `yaml:"name"`
		Region string `yaml:"region"`
	} `yaml:"metadata"`
	IAM struct {
		WithOIDC        bool                `yaml:"withOIDC"`
		ServiceAccounts []iamServiceAccount `yaml:"serviceAccounts"`
	} `yaml:"iam"`
}

// file is our own file that says the same.
func (theirs *eksctlFile) file() clusterFile {
	var file clusterFile
	file.APIVersion, file.Kind = configVersion, configKind
	file.Metadata.Name, file.Metadata.Region = theirs.Metadata.Name, theirs.Metadata.Region
	file.IAM.WithOIDC, file.IAM.ServiceAccounts = theirs.IAM.WithOIDC, theirs.IAM.ServiceAccounts
	return file
}

// adopt has a service account of eksctl's list, which names its role in the
// status and seldom says what the role is made of, use that role as it is.
func (sa *iamServiceAccount) adopt(d *decoder, path string) {
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
		version, kind := field(root, "apiVersion"), field(root, "kind")
		ours := root.Kind == yaml.SequenceNode || version == configVersion && kind == configKind || version == eksctlVersion && kind == eksctlKind
		switch {
		case ours && chosen == nil:
			chosen = root
		case ours || version == "" || kind == "":
			if len(roots) > 1 && (chosen != nil || ours) {
				return nil, nil, fault(root, "", "it holds more than one document")
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
		return nil, nil, fmt.Errorf("line 1: apiVersion: the file is empty: %w", errEOF)
	}
	return nil, nil, unknownDocument(roots[0], field(roots[0], "apiVersion"), field(roots[0], "kind"))
}

func unknownDocument(root *yaml.Node, version, kind string) error {
	if root.Kind != yaml.MappingNode {
		return fault(root, "", "fields are wanted, such as apiVersion and kind, and this is %s", what(root))
	}
	return fault(root, "", "apiVersion and kind: it is %s %s, not %s %s, nor eksctl's %s %s",
		version, kind, configVersion, configKind, eksctlVersion, eksctlKind)
}

var errEOF = io.EOF

// inList is the number of an item.
var inList = regexp.MustCompile(`\[[0-9]+\]`)

// readable refuses what is no text, on the line on which it is.
func readable(body []byte) error {
	if bytes.HasPrefix(body, []byte("\xff\xfe")) || bytes.HasPrefix(body, []byte("\xfe\xff")) {
		return nil // UTF-16, which YAML may be written in
	}
	line := 1
	for i := 0; i < len(body); {
		r, size := utf8.DecodeRune(body[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return fmt.Errorf("line %d: byte %#02x is no text in UTF-8", line, body[i])
		case r == '\n':
			line++
		case r != '\t' && r != '\r' && r != 0x85 && unicode.IsControl(r):
			return fmt.Errorf("line %d: control character %U cannot stand in the file", line, r)
		}
		i += size
	}
	return nil
}

var (
	unknownAnchor = regexp.MustCompile(`unknown anchor '(.*)' referenced`)
	lineSaid      = regexp.MustCompile(`\bline ([0-9]+)`)
)

// syntaxError is what a parser says of a broken file, with the line.
func syntaxError(body []byte, err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if lineSaid.MatchString(text) {
		return errors.New(text)
	}
	line := bytes.Count(bytes.TrimRight(body, "\n"), []byte("\n")) + 1 // where it gave up
	if m := unknownAnchor.FindStringSubmatch(text); m != nil {
		if before, _, ok := bytes.Cut(body, []byte("*"+m[1])); ok {
			line = bytes.Count(before, []byte("\n")) + 1
		}
		text = "alias *" + m[1] + " stands for nothing: no &" + m[1] + " comes before it"
	}
	return fmt.Errorf("line %d: %s", line, text)
}
