package wire

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

//go:generate go run ../../gen -from ../../botocore/data -out shapes.txt

// shapesText is the table of what answers may hold; its head says how to read
// it.
//
//go:embed shapes.txt
var shapesText string

// shapeMember is a member of a structure: its name, the marks that tell what it
// is, and whether it is always there.
type shapeMember struct {
	name, kind string
	required   bool
}

// shapes are the members of each structure, by service, and by the name of the
// operation whose result it is, or by "*" and its own name.
var shapes = sync.OnceValue(func() map[string]map[string][]shapeMember {
	all := make(map[string]map[string][]shapeMember)
	var service map[string][]shapeMember
	for line := range strings.Lines(shapesText) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			service = make(map[string][]shapeMember)
			all[strings.Trim(line, "[]")] = service
			continue
		}
		name, members, ok := strings.Cut(line, ":")
		if !ok || service == nil {
			continue
		}
		service[name] = []shapeMember{}
		for field := range strings.FieldsSeq(members) {
			var m shapeMember
			m.name, m.kind, _ = strings.Cut(field, "=")
			m.name, m.required = strings.CutSuffix(m.name, "!")
			service[name] = append(service[name], m)
		}
	}
	return all
})

// element is an element of an answer in XML.
type element struct {
	name     string
	text     string
	children []*element
}

// parseElement reads an answer of ours.
func parseElement(text []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(text))
	root := new(element)
	stack := []*element{root}
	for {
		t, err := d.Token()
		if err == io.EOF {
			return root, nil
		}
		if err != nil {
			return nil, err
		}
		top := stack[len(stack)-1]
		switch t := t.(type) {
		case xml.StartElement:
			e := &element{name: t.Name.Local}
			top.children = append(top.children, e)
			stack = append(stack, e)
		case xml.CharData:
			top.text += string(t)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		}
	}
}

// shaper makes JSON values of elements by the shapes of a service.
type shaper struct {
	service map[string][]shapeMember
	// unknown are members that the model does not have, and missing those that
	// it says are always there.
	unknown, missing []string
}

// structure is an element as a JSON object. Members that are not there are null.
func (s *shaper) structure(name string, e *element) map[string]any {
	object := make(map[string]any)
	for _, m := range s.service[name] {
		object[m.name] = nil
	}
	for _, child := range e.children {
		if _, known := object[child.name]; !known {
			s.unknown = append(s.unknown, name+"."+child.name)
		}
	}
	for _, m := range s.service[name] {
		for _, child := range e.children {
			if child.name == m.name {
				object[m.name] = s.value(m.kind, child)
			}
		}
		if m.required && object[m.name] == nil {
			s.missing = append(s.missing, name+"."+m.name)
		}
	}
	return object
}

// value is an element as what its marks say.
func (s *shaper) value(kind string, e *element) any {
	switch {
	case kind == "":
		return e.text
	case kind[0] == '*':
		return s.structure(kind, e)
	case kind[0] == '[':
		list := []any{}
		for _, member := range e.children {
			list = append(list, s.value(kind[1:], member))
		}
		return list
	case kind[0] == '{':
		object := make(map[string]any)
		for _, entry := range e.children { // <entry><key/><value/></entry>
			if len(entry.children) == 2 {
				object[entry.children[0].text] = s.value(kind[1:], entry.children[1])
			}
		}
		return object
	case kind == "#":
		return json.Number(e.text)
	case kind == "?":
		return e.text == "true"
	case kind == "@":
		t, err := time.Parse(time.RFC3339, e.text)
		if err != nil {
			return nil
		}
		return t.Unix()
	}
	return nil
}

// resultShaped is the result of an operation as a JSON object, and the shaper
// that made it.
func resultShaped(service, operation string, result func(*XML)) (map[string]any, *shaper, error) {
	x := new(XML)
	result(x)
	e, err := parseElement(x.Buf)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the answer to %s: %w", operation, err)
	}
	s := &shaper{service: shapes()[service]}
	return s.structure(operation, e), s, nil
}

// jsonResponse is queryResponse in the JSON that AWS answers with if asked to.
func jsonResponse(service, operation, requestID string, result func(*XML)) ([]byte, error) {
	response := map[string]any{"ResponseMetadata": map[string]any{"RequestId": requestID}}
	if result != nil {
		object, _, err := resultShaped(service, operation, result)
		if err != nil {
			return nil, err
		}
		response[operation+"Result"] = object
	}
	return encodeJSON(map[string]any{operation + "Response": response})
}

// jsonError is queryError in JSON.
func jsonError(requestID string, e *Failure) ([]byte, error) {
	return encodeJSON(map[string]any{
		"Error":     map[string]any{"Type": e.Side(), "Code": e.Code, "Message": e.Message},
		"RequestId": requestID,
	})
}

func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// CheckAnswer holds an answer in XML against the service's model: which members
// it has that the model does not know, and which it lacks that the model says
// are always there.
func CheckAnswer(service, operation string, answer []byte) (unknown, missing []string, err error) {
	root, err := parseElement(answer)
	if err != nil {
		return nil, nil, err
	}
	s := &shaper{service: shapes()[service]}
	result := new(element)
	for _, e := range root.children[0].children {
		if e.name == operation+"Result" {
			result = e
		}
	}
	s.structure(operation, result)
	return s.unknown, s.missing, nil
}
