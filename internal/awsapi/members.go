package awsapi

import (
	"strings"
	"sync"
)

// Places of a [Member] in a request.
const (
	InBody    = "body"    // a member of the JSON or XML body, or a parameter of the form
	InPath    = "path"    // a label of the template
	InQuery   = "query"   // a parameter of the URL; a map is of all that have no other name
	InHeader  = "header"  // a header
	InHeaders = "headers" // a map of all headers that begin with WireName
	InPayload = "payload" // the whole body: bytes, a text, or the structure itself
)

// Shapes of a [Member].
const (
	String    = "string"
	Number    = "number"
	Bool      = "bool"
	Timestamp = "timestamp"
	Blob      = "blob" // bytes, in base64 but as a payload
	List      = "list"
	Map       = "map"
	Struct    = "struct"
	Document  = "document" // any JSON
)

// A Member is a member of an input or of a structure in it, or what is in a list
// or a map.
type Member struct {
	// Name is that of the model; "" in lists and maps.
	Name string
	// WireName is the name in a request. It is that of the protocol: in EC2 and
	// Query it is the part of a parameter's name between two dots, so that of a
	// flattened list is what the model has for its elements. In XML it is that of
	// the element. For lists and maps see [Member.Item] and [Member.Key].
	WireName string
	// In is the place in the request, one of the constants above, of a member of the
	// input; "" for what is deeper.
	In string
	// Shape is what it is, one of the constants above.
	Shape string
	// Flattened is whether the elements of a list or map have no element of XML, or
	// part of a parameter's name, around them: "Tag.1" and not "Tags.member.1". It is
	// so for all lists in EC2.
	Flattened bool
	// Required is whether a request must have it. It is told of those in headers and
	// in the query of the URL only, by which some routes differ.
	Required bool

	inner *inner
}

// An inner is what is in a member.
type inner struct {
	key, item *Member // of a list or map
	structs   *structures
	place     int // of a structure
}

// Item is what is in a list or what the values of a map are; nil for all else.
// Its WireName is that around each element, or of a value: "member" and "value"
// if the model says nothing else. It means nothing in JSON, nor if it is flattened,
// nor in EC2.
func (m *Member) Item() *Member {
	if m.inner == nil {
		return nil
	}
	return m.inner.item
}

// Key is what the keys of a map are, texts, with a WireName as [Member.Item]; nil
// for all else.
func (m *Member) Key() *Member {
	if m.inner == nil {
		return nil
	}
	return m.inner.key
}

// Members are those of a structure, by name. In the JSON protocols these are only
// those whose name on the wire is another than the model's, those that give tags
// or roles, and those in which such are: all others have on the wire the name that
// they have in the model. So a structure may have none. In the other protocols,
// and for a service to which old clients speak Query, they are all that there are.
func (m *Member) Members() []Member {
	if m.inner == nil || m.inner.structs == nil {
		return nil
	}
	return m.inner.structs.members(m.inner.place)
}

// structures are the structures of a model, each read when it is first needed.
type structures struct{ all []structure }

type structure struct {
	line    string
	once    sync.Once
	members []Member
}

func (s *structures) members(place int) []Member {
	one := &s.all[place]
	one.once.Do(func() {
		for field := range strings.FieldsSeq(one.line) {
			one.members = append(one.members, s.member(field))
		}
	})
	return one.members
}

// memberPlaces are the places by the character before a member; body has none.
var memberPlaces = map[byte]string{'/': InPath, '?': InQuery, '@': InHeader, '%': InHeaders, '$': InPayload}

// input is a member of an input, as gen writes it.
func (s *structures) input(field string) Member {
	place, ok := memberPlaces[field[0]]
	if !ok {
		m := s.member(field)
		m.In = InBody
		return m
	}
	rest, required := strings.CutPrefix(field[1:], "!")
	m := s.member(rest)
	m.In, m.Required = place, required
	return m
}

// member is a member of a structure, as gen writes it: its name, its name on the
// wire if that is another, and what it is if that is no text.
func (s *structures) member(field string) Member {
	names, kind, told := strings.Cut(field, ";")
	if !told {
		kind = "$"
	}
	m := s.kind(kind)
	name, wire, differs := strings.Cut(names, "=")
	switch lower, first := strings.CutSuffix(name, "."); {
	case differs:
		m.Name, m.WireName = name, wire
	case first:
		m.Name, m.WireName = lower, strings.ToLower(lower[:1])+lower[1:]
	default:
		m.Name, m.WireName = name, name
	}
	return m
}

var scalars = map[string]string{"$": String, "#": Number, "?": Bool, "@": Timestamp, "!": Blob, "*": Document, "S": Struct}

// kind is a member of which is told what it is.
func (s *structures) kind(text string) Member {
	if shape := scalars[text]; shape != "" {
		return Member{Shape: shape}
	}
	text, flat := strings.CutPrefix(text, "^")
	switch text[0] {
	case '[':
		names, kind := named(text[1:], "member")
		item := s.kind(kind)
		item.WireName = names
		return Member{Shape: List, Flattened: flat, inner: &inner{item: &item}}
	case '{':
		names, kind := named(text[1:], "key,value")
		item := s.kind(kind)
		key := Member{Shape: String}
		key.WireName, item.WireName, _ = strings.Cut(names, ",")
		return Member{Shape: Map, Flattened: flat, inner: &inner{key: &key, item: &item}}
	}
	return Member{Shape: Struct, inner: &inner{structs: s, place: number(text)}}
}

// named takes the names from what is in a list or map, if it has others than most.
func named(text, most string) (names, kind string) {
	if text[0] != '=' {
		return most, text
	}
	names, kind, _ = strings.Cut(text[1:], ";")
	return names, kind
}
