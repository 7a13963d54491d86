// Package yamlnode reads files of YAML, of which JSON is a part, as nodes, and says
// of what is wrong in them on which line it is, in the words of whoever writes the
// file.
package yamlnode

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Documents are the roots of those in a file, without the empty ones.
func Documents(body []byte) ([]*yaml.Node, error) {
	if err := readable(body); err != nil {
		return nil, err
	}
	var all []*yaml.Node
	decoder := yaml.NewDecoder(strings.NewReader(string(body)))
	for {
		var node yaml.Node
		switch err := decoder.Decode(&node); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, syntaxError(body, err)
		}
		if root := node.Content[0]; root.Kind != yaml.ScalarNode || root.ShortTag() != "!!null" {
			all = append(all, root)
		}
	}
}

// Field is the text of a field of a mapping.
func Field(node *yaml.Node, name string) string {
	for i := 0; node.Kind == yaml.MappingNode && i < len(node.Content); i += 2 {
		if node.Content[i].Value == name && node.Content[i+1].Kind == yaml.ScalarNode {
			return cmp.Or(node.Content[i+1].Value, "")
		}
	}
	return ""
}

// Fault is what is wrong with a field.
func Fault(node *yaml.Node, path, format string, args ...any) error {
	if path != "" {
		path += ": "
	}
	return fmt.Errorf("line %d: %s%s", node.Line, path, fmt.Sprintf(format, args...))
}

// What is what a node is, in the words of whoever writes the file.
func What(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case node.Kind == yaml.MappingNode:
		return "a set of fields"
	case node.ShortTag() == "!!null":
		return "empty"
	case node.ShortTag() == "!!bool":
		return "true or false"
	case node.ShortTag() == "!!int" || node.ShortTag() == "!!float":
		return "a number"
	}
	return "a text"
}

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
