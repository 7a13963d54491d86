package app

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/yamlnode"
	"github.com/openirsa/openirsa/pkg/issuer"
)

const (
	kindVersion = "kind.x-k8s.io/v1alpha4"
	// kindPatches is the field of kind's configuration for patches that add to
	// lists, where its kubeadmConfigPatches may replace what others have put there.
	kindPatches = "kubeadmConfigPatchesJSON6902"
)

// kindFile is somebody's own configuration of a kind cluster.
type kindFile struct {
	path string
	body []byte
	root *yaml.Node
}

// readKindFile reads a configuration, "-" being stdin.
func readKindFile(path string, stdin io.Reader) (*kindFile, error) {
	f := &kindFile{path: path}
	var err error
	if path == "-" {
		f.body, err = io.ReadAll(stdin)
	} else {
		f.body, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of kind: %w", err)
	}
	f.body = bytes.TrimPrefix(f.body, []byte("\ufeff"))
	if err := f.parse(); err != nil {
		return nil, cli.Usage(fmt.Errorf("%s: %w", path, err))
	}
	return f, nil
}

func (f *kindFile) parse() error {
	roots, err := yamlnode.Documents(f.body)
	switch {
	case err != nil:
		return err
	case len(roots) == 0:
		return fmt.Errorf("line 1: apiVersion: the file is empty")
	case len(roots) > 1:
		return yamlnode.Fault(roots[1], "", "it holds more than one document")
	}
	f.root = roots[0]
	if version, kind := yamlnode.Field(f.root, "apiVersion"), yamlnode.Field(f.root, "kind"); version != kindVersion || kind != "Cluster" {
		return yamlnode.Fault(f.root, "", "apiVersion and kind: it is %s %s, not %s Cluster", version, kind, kindVersion)
	}
	return nil
}

// name is that of the cluster, if the file has one.
func (f *kindFile) name() string { return yamlnode.Field(f.root, "name") }

// merge is the file with the issuer, and with a name if that is not empty. All
// other text stays as it is.
func (f *kindFile) merge(iss issuer.URL, name string) ([]byte, error) {
	patches := kindIssuerPatches(iss)
	if node := mentions(f.root, "service-account-issuer"); node != nil {
		_, list := f.section(kindPatches)
		if list != nil && mentions(list, "service-account-issuer") == node && mentions(list, iss.String()+"\"}") != nil {
			return f.body, nil // it is merged already
		}
		return nil, cli.Usage(fmt.Errorf("%s: %w", f.path, yamlnode.Fault(node, "", "it already has a service-account-issuer, and only "+
			"one can sign")))
	}
	key, value := f.section(kindPatches)
	if inBraces := f.root.Style&yaml.FlowStyle != 0; inBraces || value != nil && value.Style&yaml.FlowStyle != 0 {
		return f.splice(inBraces, value, patches, name)
	}
	var more []string
	if name != "" {
		more = append(more, "name: "+name)
	}
	if value != nil && value.Kind == yaml.SequenceNode {
		f.insert(f.end(key), indent(patches, value.Column-1))
	} else {
		if value != nil { // empty
			lines := f.lines()
			lines[key.Line-1] = bytes.Replace(lines[key.Line-1], []byte(kindPatches), []byte("# "+kindPatches), 1)
			f.body = bytes.Join(lines, nil)
		}
		more = append(more, kindPatches+":", patches)
	}
	if len(more) > 0 {
		f.insert(f.last(), strings.Join(more, "\n"))
	}
	return f.body, nil
}

// splice puts the patches into a file, or a list of it, that is written in braces.
func (f *kindFile) splice(inBraces bool, list *yaml.Node, patches, name string) ([]byte, error) {
	items, err := yaml2json(patches)
	if err != nil {
		return nil, err
	}
	closing, text, want := byte(']'), strings.Trim(items, "[]"), 2
	if list == nil {
		closing, text = '}', fmt.Sprintf(", %q: %s", kindPatches, items)
	} else if want += len(list.Content); len(list.Content) > 0 {
		text = ", " + text
	}
	if name != "" && inBraces && list == nil {
		text += fmt.Sprintf(", %q: %q", "name", name)
	} else if name != "" {
		return nil, cli.Usagef("%s: write name: %s into it", f.path, name)
	}
	for i := len(f.body) - 1; i >= 0; i-- {
		if f.body[i] != closing {
			continue
		}
		g := &kindFile{path: f.path, body: slices.Concat(f.body[:i], []byte(text), f.body[i:])}
		if g.parse() != nil {
			continue
		}
		if _, list := g.section(kindPatches); list != nil && len(list.Content) == want {
			return g.body, nil
		}
	}
	return nil, cli.Usage(fmt.Errorf("%s: %w", f.path, yamlnode.Fault(f.root, kindPatches, "nothing can be added to it as it is written")))
}

// yaml2json is a list in one line.
func yaml2json(text string) (string, error) {
	body, err := sigsyaml.YAMLToJSON([]byte(text))
	return string(body), err
}

// kindIssuerPatches are items of the list, for both forms of kubeadm's
// extraArgs.
func kindIssuerPatches(iss issuer.URL) string {
	return fmt.Sprintf(`- group: kubeadm.k8s.io
  version: v1beta4
  kind: ClusterConfiguration
  patch: |
    - op: add
      path: /apiServer/extraArgs/-
      value: {name: service-account-issuer, value: %[1]q}
    - op: add
      path: /apiServer/extraArgs/-
      value: {name: service-account-jwks-uri, value: %[2]q}
- group: kubeadm.k8s.io
  version: v1beta3
  kind: ClusterConfiguration
  patch: |
    - op: add
      path: /apiServer/extraArgs/service-account-issuer
      value: %[1]s
    - op: add
      path: /apiServer/extraArgs/service-account-jwks-uri
      value: %[2]s`, iss, iss.JWKS())
}

// mentions finds a text that speaks of a flag.
func mentions(node *yaml.Node, flag string) *yaml.Node {
	if node.Kind == yaml.ScalarNode && strings.Contains(node.Value, flag) {
		return node
	}
	for _, child := range node.Content {
		if found := mentions(child, flag); found != nil {
			return found
		}
	}
	return nil
}

func (f *kindFile) section(name string) (key, value *yaml.Node) {
	for i := 0; i < len(f.root.Content); i += 2 {
		if f.root.Content[i].Value == name {
			return f.root.Content[i], f.root.Content[i+1]
		}
	}
	return nil, nil
}

func (f *kindFile) lines() [][]byte { return bytes.SplitAfter(f.body, []byte("\n")) }

// end is the number of the last line of a field of the root that is neither
// empty nor a comment.
func (f *kindFile) end(key *yaml.Node) int {
	next := f.last()
	for i := 0; i < len(f.root.Content); i += 2 {
		if line := f.root.Content[i].Line; line > key.Line {
			next = min(next, line-1)
		}
	}
	lines := f.lines()
	for next > key.Line {
		if text := bytes.TrimSpace(lines[next-1]); len(text) > 0 && (text[0] != '#' || lines[next-1][0] == ' ') {
			break
		}
		next--
	}
	return next
}

// last is the number of the last line of the document.
func (f *kindFile) last() int {
	lines := f.lines()
	n := len(lines)
	if len(lines[n-1]) == 0 {
		n--
	}
	for i := f.root.Line; i < n; i++ {
		if text := bytes.TrimRight(lines[i], " \t\r\n"); bytes.Equal(text, []byte("...")) ||
			bytes.HasPrefix(text, []byte("---")) && len(text) <= 4 {
			return i
		}
	}
	return n
}

// insert puts text after a line, with the line ends that the file has.
func (f *kindFile) insert(after int, text string) {
	lines := f.lines()
	ending := "\n"
	if bytes.Contains(f.body, []byte("\r\n")) {
		ending = "\r\n"
	}
	before := bytes.Join(lines[:after], nil)
	if !bytes.HasSuffix(before, []byte("\n")) {
		before = append(slices.Clone(before), ending...)
	}
	text = strings.ReplaceAll(text+"\n", "\n", ending)
	f.body = slices.Concat(before, []byte(text), bytes.Join(lines[after:], nil))
}

func indent(text string, blanks int) string {
	if blanks == 0 {
		return text
	}
	return strings.Repeat(" ", blanks) + strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", blanks))
}
