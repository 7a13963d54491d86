package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxDepth limits the nesting of a document. The grammar needs six levels.
const maxDepth = 16

// node is a JSON value that remembers what encoding/json would lose: the
// order and the repetition of members, and where the value stood.
type node struct {
	kind       nodeKind
	text       string // of a string, number or boolean
	list       []node
	members    []member
	start, end int // byte offsets in the document
	after      int // of a statement, see [Statement.After]
}

type member struct {
	name  string
	value node
}

type nodeKind uint8

const (
	nullNode nodeKind = iota
	stringNode
	numberNode
	boolNode
	listNode
	objectNode
)

// parseJSON reads one JSON value and nothing after it. Objects that repeat a
// member are refused ("Grammar of the IAM JSON policy language": "Individual
// elements must not contain multiple instances of the same key").
func parseJSON(doc []byte) (node, error) {
	if !utf8.Valid(doc) {
		return node{}, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	n, err := parseValue(d, 0)
	if err != nil {
		return node{}, err
	}
	if _, err := d.Token(); err != io.EOF {
		return node{}, errors.New("more than one value")
	}
	return n, nil
}

func parseValue(d *json.Decoder, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, errors.New("nested too deeply")
	}
	t, err := d.Token()
	if err != nil {
		return node{}, err
	}
	end := int(d.InputOffset())
	switch t := t.(type) {
	case string:
		return node{kind: stringNode, text: t, end: end}, nil
	case json.Number:
		return node{kind: numberNode, text: t.String(), end: end}, nil
	case bool:
		return node{kind: boolNode, text: fmt.Sprint(t), end: end}, nil
	case json.Delim:
		n := node{kind: listNode, start: end - 1}
		if t == '{' {
			n.kind = objectNode
		}
		seen := map[string]bool{}
		for d.More() {
			var name string
			if n.kind == objectNode {
				t, err := d.Token()
				if err != nil {
					return node{}, err
				}
				name, _ = t.(string)
				if seen[name] {
					return node{}, fmt.Errorf("member %q is repeated", name)
				}
				seen[name] = true
			}
			v, err := parseValue(d, depth+1)
			if err != nil {
				return node{}, err
			}
			if n.kind == objectNode {
				n.members = append(n.members, member{name, v})
			} else {
				n.list = append(n.list, v)
			}
		}
		if _, err := d.Token(); err != nil {
			return node{}, err
		}
		n.end = int(d.InputOffset())
		return n, nil
	}
	return node{kind: nullNode, end: end}, nil
}

// get is the member of an object.
func (n node) get(name string) (node, bool) {
	for _, m := range n.members {
		if m.name == name {
			return m.value, true
		}
	}
	return node{}, false
}

// strings are the values of a string or a list of strings.
func (n node) strings() ([]string, bool) {
	switch n.kind {
	case stringNode:
		return []string{n.text}, true
	case listNode:
		all := make([]string, len(n.list))
		for i, v := range n.list {
			if v.kind != stringNode {
				return nil, false
			}
			all[i] = v.text
		}
		return all, true
	}
	return nil, false
}

// scalars are the values of a string, number or boolean, or of a list of
// these: what the grammar allows as condition values.
func (n node) scalars() ([]string, bool) {
	list := n.list
	if n.kind != listNode {
		list = []node{n}
	}
	all := make([]string, len(list))
	for i, v := range list {
		if v.kind != stringNode && v.kind != numberNode && v.kind != boolNode {
			return nil, false
		}
		all[i] = v.text
	}
	return all, true
}
