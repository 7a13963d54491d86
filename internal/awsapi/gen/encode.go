package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The form of the tables, which awsapi's files parse*.go read. A block is the text
// of a prefix: what the reference has of it and then each model, in sections with
// an empty line between. Numbers are in base 36. README.md has an example.

func number(n int) string { return strconv.FormatInt(int64(n), 36) }

// keyTypes are the letters of the types of condition keys.
var keyTypes = map[string]string{"String": "S", "ArrayOfString": "L", "ARN": "A", "ArrayOfARN": "M", "Bool": "B",
	"ArrayOfBool": "C", "Numeric": "N", "Date": "D", "IPAddress": "I"}

// section is the section of the reference: a line with the name, one of the
// condition keys and one of the dependent actions, and then lines of types, with a
// slash, and of actions.
func (s *service) section() (string, error) {
	var b strings.Builder
	b.WriteString(s.name + "\n")
	names := slices.Sorted(maps.Keys(s.keys))
	keys := newIndex(names)
	for i, name := range names {
		letter := keyTypes[s.keys[name]]
		if letter == "" {
			return "", fmt.Errorf("reference of %s: key %s: unknown type %q", s.prefix, name, s.keys[name])
		}
		names[i] = letter + s.short(name)
	}
	b.WriteString("#" + strings.Join(names, " ") + "\n")
	var dependent []string
	for _, a := range s.actions {
		dependent = append(dependent, a.dependent...)
	}
	slices.Sort(dependent)
	dependent = slices.Compact(dependent)
	dependents := newIndex(dependent)
	for i, name := range dependent {
		dependent[i] = s.short(name)
	}
	b.WriteString(">" + strings.Join(dependent, " ") + "\n")
	var types []string
	for _, t := range s.types {
		types = append(types, t.name)
		b.WriteString("/" + t.name)
		for _, template := range t.templates {
			b.WriteString("\t" + s.template(template))
		}
		b.WriteString("\t" + keys.list(t.keys) + "\n")
	}
	index := newIndex(types)
	for _, a := range s.actions {
		b.WriteString(a.name + " " + levels[a.level])
		for i, t := range a.types {
			if i > 0 {
				b.WriteString(",")
			}
			b.WriteString(index.list([]string{t.name}))
			if t.required {
				b.WriteString("!")
			}
			if k := keys.list(t.keys); k != "" {
				b.WriteString(":" + k)
			}
		}
		if k := keys.list(a.keys); k != "" {
			b.WriteString(" " + k)
		}
		if d := dependents.list(a.dependent); d != "" {
			b.WriteString(" >" + d)
		}
		b.WriteString("\n")
	}
	if err := keys.err; err != nil {
		return "", fmt.Errorf("reference of %s: %w", s.prefix, err)
	}
	return b.String(), nil
}

// short leaves out the service's own prefix.
func (s *service) short(name string) string {
	if rest, ok := strings.CutPrefix(name, s.prefix+":"); ok {
		return ":" + rest
	}
	return name
}

// template shortens what most templates have.
func (s *service) template(t string) string {
	t = strings.ReplaceAll(strings.TrimPrefix(t, "arn:${Partition}:"), "${", "{")
	if rest, ok := strings.CutPrefix(t, s.prefix+":{Region}:{Account}:"); ok {
		return "~" + rest
	}
	return t
}

// An index tells the places of names.
type index struct {
	places map[string]int
	err    error
}

func newIndex(names []string) *index {
	x := &index{places: map[string]int{}}
	for i, name := range names {
		if strings.ContainsAny(name, " \t\n") || name == "" {
			x.err = fmt.Errorf("name %q", name)
		}
		x.places[name] = i
	}
	return x
}

// list is a list of places, with dots between, in their order.
func (x *index) list(names []string) string {
	var places []int
	for _, name := range names {
		place, ok := x.places[name]
		if !ok {
			x.err = fmt.Errorf("%q is used and not defined", name)
		}
		places = append(places, place)
	}
	slices.Sort(places)
	var all []string
	for _, place := range slices.Compact(places) {
		all = append(all, number(place))
	}
	return strings.Join(all, ".")
}
