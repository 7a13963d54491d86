package input

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
)

// XML reads the members of an operation from the element of a REST-XML body.
// Attributes are left out, and so is what the model does not have. What has another
// shape than the model says is refused. Comments, instructions and document types are
// refused too, since readers differ in what they make of a text around them. No body
// is no members.
func XML(r io.Reader, members []awsapi.Member) (map[string]any, error) {
	root, err := readXML(r)
	if err != nil || root == nil {
		return map[string]any{}, err
	}
	return root.structure(members)
}

// element is an element of XML: it has a text or children.
type element struct {
	text     string
	children map[string][]*element
}

// readXML reads the one element of a body, nil if there is no body.
func readXML(r io.Reader) (*element, error) {
	d := xml.NewDecoder(r)
	var used budget
	for first := true; ; first = false {
		token, err := d.RawToken()
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return nil, xmlFault(err)
		}
		switch t := token.(type) {
		case xml.ProcInst:
			if !first || t.Target != "xml" {
				return nil, ErrForm
			}
		case xml.CharData:
			if strings.TrimSpace(string(t)) != "" {
				return nil, ErrForm
			}
		case xml.StartElement:
			root, err := readElement(d, t.Name, 0, &used)
			if err != nil {
				return nil, err
			}
			return root, xmlEnd(d)
		default:
			return nil, ErrForm
		}
	}
}

// xmlFault is the error of a reader, or that of the form.
func xmlFault(err error) error {
	if _, ok := errors.AsType[*xml.SyntaxError](err); ok || err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrForm
	}
	return err
}

// xmlEnd sees to it that nothing follows.
func xmlEnd(d *xml.Decoder) error {
	for {
		token, err := d.RawToken()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return xmlFault(err)
		}
		if text, ok := token.(xml.CharData); !ok || strings.TrimSpace(string(text)) != "" {
			return ErrForm
		}
	}
}

// readElement reads an element whose start was read.
func readElement(d *xml.Decoder, name xml.Name, depth int, used *budget) (*element, error) {
	if depth == maxDepth {
		return nil, ErrTooLarge
	}
	if err := used.node(); err != nil {
		return nil, err
	}
	e := &element{}
	var text strings.Builder
	for {
		token, err := d.RawToken()
		if err != nil {
			return nil, xmlFault(err)
		}
		switch t := token.(type) {
		case xml.CharData:
			if err := used.keep(len(t)); err != nil {
				return nil, err
			}
			text.Write(t)
		case xml.StartElement:
			child := t.Name
			c, err := readElement(d, child, depth+1, used)
			if err != nil {
				return nil, err
			}
			if e.children == nil {
				e.children = map[string][]*element{}
			}
			e.children[child.Local] = append(e.children[child.Local], c)
		case xml.EndElement:
			if e.text = text.String(); t.Name != name || e.children != nil && strings.TrimSpace(e.text) != "" {
				return nil, ErrForm
			}
			return e, nil
		default:
			return nil, ErrForm
		}
	}
}

// structure are the members of a structure.
func (e *element) structure(members []awsapi.Member) (map[string]any, error) {
	if e.children == nil && strings.TrimSpace(e.text) != "" {
		return nil, ErrForm
	}
	tree := make(map[string]any, len(e.children))
	for name, all := range e.children {
		m, err := find(members, name)
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue
		}
		if tree[m.Name], err = shapedXML(m, all); err != nil {
			return nil, fmt.Errorf("the element %.40q: %w", name, err)
		}
	}
	return tree, nil
}

// shapedXML are elements of one name in the shape of a member. Only a list that is
// flattened has several.
func shapedXML(m *awsapi.Member, all []*element) (any, error) {
	if m.Flattened && (m.Shape == awsapi.List || m.Shape == awsapi.Map) {
		return listXML(m, all)
	}
	if len(all) != 1 {
		return nil, errors.New("it is there twice")
	}
	e := all[0]
	switch m.Shape {
	case awsapi.List, awsapi.Map:
		inner := "entry"
		if m.Shape == awsapi.List {
			inner = m.Item().WireName
		}
		if len(e.children) > 1 || len(e.children) == 1 && e.children[inner] == nil || strings.TrimSpace(e.text) != "" {
			return nil, ErrForm
		}
		return listXML(m, e.children[inner])
	case awsapi.Struct:
		return e.structure(m.Members())
	}
	if e.children != nil {
		return nil, ErrForm
	}
	if len(e.text) > maxText {
		return nil, nil
	}
	return e.text, nil
}

// listXML are elements as the entries of a list or map.
func listXML(m *awsapi.Member, all []*element) (any, error) {
	if m.Shape == awsapi.List {
		list := make([]any, len(all))
		for i, e := range all {
			var err error
			if list[i], err = shapedXML(m.Item(), []*element{e}); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	o := make(map[string]any, len(all))
	for _, e := range all {
		keys, values := e.children[m.Key().WireName], e.children[m.Item().WireName]
		if len(keys) != 1 || keys[0].children != nil || len(values) > 1 {
			return nil, ErrForm
		}
		key := keys[0].text
		if _, twice := o[key]; twice {
			return nil, fmt.Errorf("the key %.40q is there twice", key)
		}
		o[key] = nil
		if len(values) == 1 {
			var err error
			if o[key], err = shapedXML(m.Item(), values); err != nil {
				return nil, err
			}
		}
	}
	return o, nil
}
