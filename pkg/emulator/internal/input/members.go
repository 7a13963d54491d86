package input

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
)

// find is the member that has a name in a request, of those of a body or of a structure
// in it, or of those at a place; nil if there is none. A name that differs from one of
// the model in nothing but case is refused: some servers take it for the same.
func find(members []awsapi.Member, name string, in ...string) (*awsapi.Member, error) {
	var near *awsapi.Member
	for i := range members {
		m := &members[i]
		if len(m.WireName) != len(name) || !at(m, in) {
			continue
		}
		if m.WireName == name {
			return m, nil
		}
		if strings.EqualFold(m.WireName, name) {
			near = m
		}
	}
	if near != nil {
		return nil, fmt.Errorf("the member %.40q is %q in the model", name, near.WireName)
	}
	return nil, nil
}

// at reports whether a member is at one of some places: in a body, if there are none.
func at(m *awsapi.Member, in []string) bool {
	if in == nil {
		return m.In == awsapi.InBody || m.In == ""
	}
	return slices.Contains(in, m.In)
}

// FromJSON makes the members of an operation of a JSON object, or of a CBOR map. What
// the model does not have is left out, as services do. Without members the object
// is as it was sent.
func FromJSON(members []awsapi.Member, sent map[string]any) (map[string]any, error) {
	if err := twins(sent); err != nil || members == nil {
		return sent, err
	}
	tree := make(map[string]any, len(sent))
	for name, v := range sent {
		m, err := find(members, name)
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue
		}
		if tree[m.Name], err = renamed(m, v); err != nil {
			return nil, err
		}
	}
	return tree, nil
}

// renamed is a value with the names of the model in place of those of the protocol.
// Of structures in the JSON protocols the tables have only the members that differ,
// and a few more; the rest has its names.
func renamed(m *awsapi.Member, v any) (any, error) {
	switch v := v.(type) {
	case []any:
		if m.Shape != awsapi.List {
			return v, nil
		}
		for i := range v {
			var err error
			if v[i], err = renamed(m.Item(), v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		switch m.Shape {
		case awsapi.Map:
			for key := range v {
				var err error
				if v[key], err = renamed(m.Item(), v[key]); err != nil {
					return nil, err
				}
			}
		case awsapi.Struct:
			return renamedStructure(m.Members(), v)
		}
	}
	return v, nil
}

func renamedStructure(members []awsapi.Member, v map[string]any) (any, error) {
	tree := make(map[string]any, len(v))
	folded := make(map[string]bool, len(v))
	for name, inner := range v {
		if lower := strings.ToLower(name); folded[lower] {
			return nil, fmt.Errorf("the member %.40q is there twice, but for case", name)
		} else {
			folded[lower] = true
		}
		m, err := find(members, name)
		if err != nil {
			return nil, err
		}
		if m == nil {
			tree[name] = inner
			continue
		}
		if tree[m.Name], err = renamed(m, inner); err != nil {
			return nil, err
		}
	}
	return tree, nil
}

// deciding are names of members that say what a call is about. The tables do not have
// all structures that they are in, so they are looked for at any depth.
var deciding = []string{
	"TableName", "IndexName", "Statement", "StreamName", "StreamARN", "QueueUrl", "TopicArn", "SecretId", "KeyId", "EventBusName",
	"RoleArn", "DatabaseName",
}

// twins refuses an object that has a member that decides in two spellings.
func twins(v any) error {
	switch v := v.(type) {
	case []any:
		for _, inner := range v {
			if err := twins(inner); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, inner := range v {
			for _, right := range deciding {
				if len(name) != len(right) || name == right || !strings.EqualFold(name, right) {
					continue
				}
				if _, both := v[right]; both {
					return fmt.Errorf("the member %q is there twice, but for case", right)
				}
			}
			if err := twins(inner); err != nil {
				return err
			}
		}
	}
	return nil
}

// Parts are the parts of a request that is known by its path.
type Parts struct {
	Labels map[string]string // of the path, by the names of the members
	Query  url.Values        // of the URL
	Header http.Header
}

// Put puts the members that are not in the body into a tree.
func (p *Parts) Put(members []awsapi.Member, tree map[string]any) error {
	for name := range p.Query {
		if _, err := find(members, name, awsapi.InQuery); err != nil {
			return err
		}
	}
	for i := range members {
		switch m := &members[i]; m.In {
		case awsapi.InPath:
			if v, ok := p.Labels[m.Name]; ok {
				tree[m.Name] = v
			}
		case awsapi.InQuery:
			p.putQuery(m, members, tree)
		case awsapi.InHeader:
			if values := p.Header.Values(m.WireName); len(values) == 1 {
				tree[m.Name] = values[0]
			} else if len(values) > 1 {
				return fmt.Errorf("the header %s is there twice", m.WireName)
			}
		case awsapi.InHeaders:
			some := map[string]any{}
			for name, values := range p.Header {
				if rest, ok := strings.CutPrefix(strings.ToLower(name), strings.ToLower(m.WireName)); ok {
					some[rest] = values[0]
				}
			}
			if len(some) > 0 {
				tree[m.Name] = some
			}
		}
	}
	return nil
}

// putQuery puts a member that is a parameter of the URL, or a map of all that are no
// other's.
func (p *Parts) putQuery(m *awsapi.Member, members []awsapi.Member, tree map[string]any) {
	values := p.Query[m.WireName]
	switch {
	case m.Shape == awsapi.Map:
		others := map[string]any{}
		for name, values := range p.Query {
			if m, err := find(members, name, awsapi.InQuery); m != nil || err != nil {
				continue
			}
			list := make([]any, len(values))
			for i, v := range values {
				list[i] = v
			}
			others[name] = list
			if len(values) == 1 {
				others[name] = values[0]
			}
		}
		if len(others) > 0 {
			tree[m.Name] = others
		}
	case len(values) == 0:
	case m.Shape == awsapi.List:
		list := make([]any, len(values))
		for i, v := range values {
			list[i] = v
		}
		tree[m.Name] = list
	default:
		tree[m.Name] = values[0]
	}
}
