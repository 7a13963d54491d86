package plain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// MarshalYAML is [yaml.Marshal], with every text in double quotes that does more than
// show itself: only there YAML can quote every character. It leaves a [Writer] nothing
// to quote, and has the same meaning as v.
func MarshalYAML(v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	document, err := yaml.JSONToYAML(escape(string(body))) // which reads it as YAML
	if err != nil || plainly(string(document)) {
		return document, err
	}
	var node yamlv3.Node
	if err := yamlv3.Unmarshal(document, &node); err != nil {
		return nil, err
	}
	quoteScalars(&node)
	var out bytes.Buffer
	e := yamlv3.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(&node); err != nil {
		return nil, err
	}
	return escape(out.String()), nil
}

// escape quotes, as YAML does between double quotes, what does more than show
// itself.
func escape(s string) []byte {
	var quoted []byte
	for _, r := range s {
		if shows(r) || r == '\n' {
			quoted = append(quoted, string(r)...)
		} else {
			quoted = fmt.Appendf(quoted, `\U%08x`, r)
		}
	}
	return quoted
}

func quoteScalars(node *yamlv3.Node) {
	if node.Kind == yamlv3.ScalarNode && !plainly(node.Value) {
		node.Style = yamlv3.DoubleQuotedStyle
	}
	for _, child := range node.Content {
		quoteScalars(child)
	}
}

// plainly reports whether s only shows itself.
func plainly(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !shows(r) && r != '\n' })
}
