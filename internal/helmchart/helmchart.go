// Package helmchart packages a Helm chart for a release, and pushes it to a registry
// in the form that Helm pulls, without Helm.
//
//	p, err := helmchart.New(os.DirFS("deploy/chart"), helmchart.Release{Version: "0.1.0", Image: image})
//	p.Archive                                       // openirsa-0.1.0.tgz
//	digest, err := p.Push(ctx, "registry.example/charts", false)
//
// The same chart and release give the same archive and the same digest.
package helmchart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"
)

// Release is what a chart is packaged for. Empty fields leave what the chart has.
type Release struct {
	Version    string // semantic, without v
	AppVersion string // the program's; default v and the Version
	// Image is the program's image as it was published, with a registry, and with a tag,
	// a digest or both: what a new installation runs.
	Image   string
	Changes []Change
	Created time.Time // of all files; default 1970
}

// Package is a chart that is packaged.
type Package struct {
	Name, Version string
	Archive       []byte
	about         []byte // Chart.yaml, as JSON
	created       time.Time
}

// New packages the chart in a folder: all of its files but hidden ones.
func New(chart fs.FS, r Release) (*Package, error) {
	p := &Package{created: r.Created}
	if p.created.IsZero() {
		p.created = time.Unix(0, 0)
	}
	p.created = p.created.UTC().Truncate(time.Second)
	about, err := fs.ReadFile(chart, "Chart.yaml")
	if err != nil {
		return nil, err
	}
	if about, err = r.about(about); err != nil {
		return nil, fmt.Errorf("reading Chart.yaml: %w", err)
	}
	if p.about, err = sigsyaml.YAMLToJSON(about); err != nil {
		return nil, fmt.Errorf("reading Chart.yaml: %w", err)
	}
	if err := json.Unmarshal(p.about, p); err != nil {
		return nil, fmt.Errorf("reading Chart.yaml: %w", err)
	}
	if p.Name == "" || p.Version == "" {
		return nil, errors.New("reading Chart.yaml: no name or no version")
	}
	values, err := fs.ReadFile(chart, "values.yaml")
	if err != nil {
		return nil, err
	}
	if r.Image != "" {
		if values, err = withImage(values, r.Image); err != nil {
			return nil, fmt.Errorf("values.yaml: %w", err)
		}
	}
	p.Archive, err = p.pack(chart, map[string][]byte{"Chart.yaml": about, "values.yaml": values})
	return p, err
}

// pack is the archive, with the stamped files in place of the chart's.
func (p *Package) pack(chart fs.FS, stamped map[string][]byte) ([]byte, error) {
	var archive bytes.Buffer
	z := gzip.NewWriter(&archive)
	t := tar.NewWriter(z)
	// WalkDir goes by name, so that Chart.yaml, with its capital, comes first.
	err := fs.WalkDir(chart, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is not a regular file", name)
		}
		body, ok := stamped[name]
		if !ok {
			if body, err = fs.ReadFile(chart, name); err != nil {
				return err
			}
		}
		header := &tar.Header{
			Name: path.Join(p.Name, name), Typeflag: tar.TypeReg, Size: int64(len(body)), Mode: 0o644, ModTime: p.created, Format: tar.FormatUSTAR,
		}
		if err := t.WriteHeader(header); err != nil {
			return err
		}
		_, err = t.Write(body)
		return err
	})
	if err = errors.Join(err, t.Close(), z.Close()); err != nil {
		return nil, fmt.Errorf("packaging the chart: %w", err)
	}
	return archive.Bytes(), nil
}

// about is Chart.yaml for the release.
func (r Release) about(body []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(body, &doc); err != nil {
		return nil, err
	}
	if doc.Kind != yaml.DocumentNode || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("not a mapping")
	}
	root := doc.Content[0]
	if r.Version != "" {
		put(root, "version", r.Version)
		if r.AppVersion == "" {
			r.AppVersion = "v" + r.Version
		}
	}
	if r.AppVersion != "" {
		put(root, "appVersion", r.AppVersion)
	}
	notes, err := r.annotations(value(root, "name"), value(root, "version"))
	if err != nil {
		return nil, err
	}
	if len(notes) > 0 {
		at := find(root, "annotations")
		if at == nil {
			at = &yaml.Node{Kind: yaml.MappingNode}
			root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "annotations"}, at)
		}
		for _, n := range notes {
			put(at, n[0], n[1])
		}
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// annotations are those of Artifact Hub that depend on the release
// (https://artifacthub.io/docs/topics/annotations/helm/).
func (r Release) annotations(name, version string) (all [][2]string, err error) {
	if len(r.Changes) > 0 {
		b, err := sigsyaml.Marshal(r.Changes)
		if err != nil {
			return nil, err
		}
		all = append(all, [2]string{"artifacthub.io/changes", string(b)})
		for _, c := range r.Changes {
			if c.Kind == "security" {
				all = append(all, [2]string{"artifacthub.io/containsSecurityUpdates", "true"})
				break
			}
		}
	}
	if r.Image != "" {
		b, err := sigsyaml.Marshal([]map[string]string{{"name": name, "image": r.Image}})
		if err != nil {
			return nil, err
		}
		all = append(all, [2]string{"artifacthub.io/images", string(b)})
	}
	if strings.Contains(version, "-") {
		all = append(all, [2]string{"artifacthub.io/prerelease", "true"})
	}
	return all, nil
}

func find(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

func value(mapping *yaml.Node, key string) string {
	if n := find(mapping, key); n != nil {
		return n.Value
	}
	return ""
}

// put sets a key of a mapping to a string.
func put(mapping *yaml.Node, key, text string) {
	n := find(mapping, key)
	if n == nil {
		n = &yaml.Node{}
		mapping.Content = append(mapping.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, n)
	}
	*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, LineComment: n.LineComment}
	if strings.Contains(text, "\n") {
		n.Style = yaml.LiteralStyle
	}
}
