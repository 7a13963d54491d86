package deploy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// The chart's README is made of values.yaml, whose comments say what each value means, and of its schema, which
// says the type, and the meaning of what all components have.
func TestReadme(t *testing.T) {
	raw, err := os.ReadFile("chart/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(raw, &root); err != nil {
		t.Fatal(err)
	}
	raw, err = os.ReadFile("chart/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	r := readme{t: t, root: root}
	r.table("", doc.Content[0], root)

	text, err := os.ReadFile("readme.md.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	before, after, ok := strings.Cut(string(text), "<!-- values -->\n")
	if !ok {
		t.Fatal("readme.md.tmpl has no place for the values")
	}
	want := before + r.String() + after
	if *update {
		if err := os.WriteFile("chart/README.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("chart/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("the chart's README is not what values.yaml and its schema say; run go test ./deploy -update\n%s", diff)
	}
}

// What the chart can run is in the README's table of components, by the name of its template.
func TestReadmeComponents(t *testing.T) {
	text, err := os.ReadFile("chart/README.md")
	if err != nil {
		t.Fatal(err)
	}
	templates, err := filepath.Glob("chart/templates/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	runs := regexp.MustCompile(`(?m)^kind: (Deployment|DaemonSet)$`)
	components := 0
	for _, file := range templates {
		template, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !runs.Match(template) {
			continue
		}
		components++
		if name := strings.TrimSuffix(filepath.Base(file), ".yaml"); !strings.Contains(string(text), "\n| "+name+" | ") {
			t.Errorf("the chart's README has no row for the component %s of %s: add it to readme.md.tmpl", name, file)
		}
	}
	if components < 5 {
		t.Errorf("%d components found in chart/templates, expected 5 or more", components)
	}
}

type readme struct {
	t    *testing.T
	root map[string]any
	strings.Builder
}

// table writes a row for each value below a node.
func (r *readme) table(prefix string, node *yaml.Node, schema map[string]any) {
	if prefix == "" {
		r.WriteString("| value | type | default | |\n|---|---|---|---|\n")
	}
	properties := propertiesOf(r.root, schema)
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		sub, ok := properties[key.Value].(map[string]any)
		if !ok {
			r.t.Errorf("the schema has no %s%s", prefix, key.Value)
			continue
		}
		name, means := prefix+key.Value, r.means(key, sub)
		parts := propertiesOf(r.root, sub) != nil && key.Value != "resources"
		if means == "" && !parts {
			r.t.Errorf("nobody says what %s means", name)
		}
		if parts {
			if means != "" {
				fmt.Fprintf(r, "| **`%s`** | | | %s |\n", name, means)
			}
			r.table(name+".", value, sub)
			continue
		}
		fmt.Fprintf(r, "| `%s` | %s | `%s` | %s |\n", name, r.kind(sub), r.json(value), means)
	}
}

// means is what a value's comment says, or else its schema.
func (r *readme) means(key *yaml.Node, schema map[string]any) string {
	var words []string
	for line := range strings.Lines(key.HeadComment) {
		words = append(words, strings.Fields(strings.TrimPrefix(line, "#"))...)
	}
	if len(words) == 0 {
		own, _ := schema["description"].(string)
		if own == "" {
			own, _ = object(r.root, schema)["description"].(string)
		}
		if ref, ok := schema["$ref"].(string); ok && own == "" {
			own, _ = r.root["definitions"].(map[string]any)[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any)["description"].(string)
		}
		words = strings.Fields(own)
	}
	return strings.ReplaceAll(strings.Join(words, " "), "|", `\|`)
}

// kind is the type of a value.
func (r *readme) kind(schema map[string]any) string {
	s := object(r.root, schema)
	if values, ok := s["enum"].([]any); ok {
		var all []string
		for _, v := range values {
			all = append(all, fmt.Sprintf("`%v`", v))
		}
		return strings.ReplaceAll(strings.Join(all, ", "), "``", `""`)
	}
	for _, of := range []string{"allOf", "anyOf"} {
		var all []string
		alternatives, _ := s[of].([]any)
		for _, one := range alternatives {
			k := r.kind(one.(map[string]any))
			if k != "" && !strings.Contains(strings.Join(all, " or "), k) {
				all = append(all, k)
			}
		}
		if len(all) > 0 {
			return strings.Join(all, " or ")
		}
	}
	kind, _ := s["type"].(string)
	if _, ok := s["const"]; ok {
		return "string"
	}
	return kind
}

func (r *readme) json(node *yaml.Node) string {
	var v any
	if err := node.Decode(&v); err != nil {
		r.t.Fatal(err)
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		r.t.Fatal(err)
	}
	return strings.ReplaceAll(strings.TrimSpace(b.String()), "|", `\|`)
}
