package controlplane

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// manifest is the static-pod manifest of a kube-apiserver or a
// kube-controller-manager. It is changed by replacing whole arguments in the text, so that everything else (comments,
// order, indentation, what newer versions add) stays byte for byte.
type manifest struct {
	pod   staticPod
	text  []byte
	lines []int        // offset of the start of each line
	list  *yaml.Node   // the sequence that holds the flags: the container's command or args
	args  []*yaml.Node // its items
	Flags Flags
	// The whole command line, and the directories and files of the node that
	// the container sees at the same place.
	commandLine []string
	mounts      []string
}

// parseManifest reads the manifest of an API server.
func parseManifest(text []byte) (*manifest, error) { return apiServerPod.parse(text) }

// parse reads a manifest. It refuses what it could not change without
// harm: several documents, carriage returns, flags within a shell script.
func (pod staticPod) parse(text []byte) (*manifest, error) {
	if bytes.ContainsRune(text, '\r') {
		return nil, errors.New("it has carriage returns (CRLF line ends); convert it to plain line ends first")
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty")
	} else if err != nil {
		return nil, err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("it holds more than one YAML document")
	}
	m := &manifest{pod: pod, text: text, lines: []int{0, 0}} // lines count from 1
	for i, b := range text {
		if b == '\n' {
			m.lines = append(m.lines, i+1)
		}
	}
	container, err := pod.container(&doc)
	if err != nil {
		return nil, err
	}
	m.mounts = identicalMounts(container, child(doc.Content[0], "spec"))
	for _, key := range []string{"command", "args"} {
		list := child(container, key)
		if list == nil {
			continue
		}
		if list.Kind != yaml.SequenceNode {
			return nil, fmt.Errorf("line %d: %s is not a plain list", list.Line, key)
		}
		var args []string
		for _, item := range list.Content {
			for item.Kind == yaml.AliasNode {
				item = item.Alias
			}
			if item.Kind != yaml.ScalarNode {
				return nil, fmt.Errorf("line %d: an argument is not a string", item.Line)
			}
			args = append(args, item.Value)
		}
		m.commandLine = append(m.commandLine, args...)
		if len(flagsIn(args)) > 0 {
			if m.list != nil {
				return nil, fmt.Errorf("line %d: there are flags in both command and args", list.Line)
			}
			m.list, m.args = list, list.Content
		}
	}
	if m.list == nil {
		return nil, fmt.Errorf("its %s has no flags of its own (are they in a script or a configuration file?)", string(pod))
	}
	if m.Flags, err = parseFlags(m.commandLine); err != nil {
		return nil, err
	}
	return m, nil
}

// identicalMounts are the paths of the node that a container sees under the
// same name, as kubeadm mounts them.
func identicalMounts(container, spec *yaml.Node) []string {
	hostPaths := make(map[string]string) // by volume
	if volumes := child(spec, "volumes"); volumes != nil {
		for _, v := range volumes.Content {
			if name, dir := child(v, "name"), child(child(v, "hostPath"), "path"); name != nil && dir != nil {
				hostPaths[name.Value] = path.Clean(dir.Value)
			}
		}
	}
	var mounts []string
	if list := child(container, "volumeMounts"); list != nil {
		for _, v := range list.Content {
			name, at := child(v, "name"), child(v, "mountPath")
			if name != nil && at != nil && child(v, "subPath") == nil && hostPaths[name.Value] == path.Clean(at.Value) {
				mounts = append(mounts, path.Clean(at.Value))
			}
		}
	}
	return mounts
}

// sees reports whether the container sees a directory of the node under its
// own name.
func (m *manifest) sees(dir string) bool {
	return slices.ContainsFunc(m.mounts, func(mount string) bool {
		return dir == mount || strings.HasPrefix(dir, strings.TrimSuffix(mount, "/")+"/")
	})
}

// container is the container that runs the program of the pod.
func (pod staticPod) container(doc *yaml.Node) (*yaml.Node, error) {
	if len(doc.Content) != 1 {
		return nil, errors.New("it is empty")
	}
	if kind := child(doc.Content[0], "kind"); kind == nil || kind.Value != "Pod" {
		return nil, errors.New("it is not a Pod")
	}
	containers := child(child(doc.Content[0], "spec"), "containers")
	if containers == nil || containers.Kind != yaml.SequenceNode {
		return nil, errors.New("it has no containers")
	}
	for _, c := range containers.Content {
		if name := child(c, "name"); name != nil && name.Value == string(pod) {
			return c, nil
		}
		if command := child(c, "command"); command != nil && len(command.Content) > 0 && path.Base(command.Content[0].Value) == string(pod) {
			return c, nil
		}
	}
	return nil, fmt.Errorf("it has no container %s", string(pod))
}

// child is the value of a key of a mapping, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// others is everything in the manifest but Flags.
func (m *manifest) others() (any, error) {
	var all any
	if err := yaml.Unmarshal(m.text, &all); err != nil {
		return nil, err
	}
	var walk func(v any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for k := range v {
				v[k] = walk(v[k])
			}
			return v
		case []any:
			var args []string
			for _, item := range v {
				s, ok := item.(string)
				if !ok {
					for i := range v {
						v[i] = walk(v[i])
					}
					return v
				}
				args = append(args, s)
			}
			for _, f := range slices.Backward(flagsIn(args)) {
				if slices.Contains(flagNames, f.name) {
					args = slices.Delete(args, f.at, f.at+f.n)
				}
			}
			return args
		}
		return v
	}
	return walk(all), nil
}

// sameBut reports whether two manifests differ in nothing but Flags, comments
// included.
func (m *manifest) sameBut(other *manifest) (bool, error) {
	mine, err := m.others()
	if err != nil {
		return false, err
	}
	theirs, err := other.others()
	if err != nil {
		return false, err
	}
	return reflect.DeepEqual(mine, theirs) && bytes.Equal(m.otherLines(), other.otherLines()), nil
}

// otherLines is the text without the lines that have to do with Flags.
func (m *manifest) otherLines() []byte {
	var b bytes.Buffer
	for line := range bytes.Lines(m.text) {
		for _, name := range flagNames {
			if bytes.Contains(line, []byte(name)) {
				line = nil
			}
		}
		b.Write(line)
	}
	return b.Bytes()
}
