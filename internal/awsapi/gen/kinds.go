package main

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
)

var scalars = map[string]string{"string": "$", "character": "$", "integer": "#", "long": "#", "short": "#", "float": "#", "double": "#",
	"bigdecimal": "#", "biginteger": "#", "boolean": "?", "timestamp": "@", "blob": "!"}

// kind is what a member is: a letter for a scalar, [ and { with what is in a list
// or a map, the number of a structure, or S for one that is not in the table. A ^
// is before what is flattened. Over are the lists and maps that it is in.
func (w *writer) kind(r *reference, over []string) string {
	s, ok := w.Shapes[r.Shape]
	if !ok || len(over) == deepest || slices.Contains(over, r.Shape) {
		w.fail("shape %q is not there, or in itself", r.Shape)
		return ""
	}
	flat := ""
	if s.Flattened || r.Flattened || w.protocol == "ec2" && s.Type == "list" {
		flat = "^"
	}
	switch s.Type {
	case "structure":
		if s.Document {
			return "*"
		}
		return w.structure(r.Shape)
	case "list":
		name := cmp.Or(s.Member.LocationName, "member")
		if name == "member" || w.protocol == "ec2" || flat != "" && w.protocol == "query" || w.json() {
			name = ""
		}
		return flat + "[" + marked(name) + w.kind(&s.Member, append(over, r.Shape))
	case "map":
		name := cmp.Or(s.Key.LocationName, "key") + "," + cmp.Or(s.Value.LocationName, "value")
		if name == "key,value" || w.json() {
			name = ""
		}
		return flat + "{" + marked(name) + w.kind(s.Value, append(over, r.Shape))
	}
	if scalars[s.Type] == "" {
		w.fail("shape %q of type %q", r.Shape, s.Type)
	}
	return scalars[s.Type]
}

func marked(name string) string {
	if name == "" {
		return ""
	}
	return "=" + name + ";"
}

// json is whether all clients speak JSON, or what has the same names.
func (w *writer) json() bool {
	return (strings.HasPrefix(w.protocol, "json-") || w.protocol == "rest-json") && !w.oldQuery()
}

// structure is the number of a structure, or S if nothing in it is worth room: in
// JSON most names on the wire are those of the model.
func (w *writer) structure(name string) string {
	if w.json() && !w.worthy(name, nil) {
		return "S"
	}
	if place, ok := w.places[name]; ok {
		return number(place)
	}
	place := len(w.lines)
	w.places[name] = place
	w.lines = append(w.lines, "")
	s := w.Shapes[name]
	var members []string
	for _, member := range slices.Sorted(maps.Keys(s.Members)) {
		if !w.json() || w.tag(name) || w.worthyMember(member, s.Members[member], nil) {
			members = append(members, w.member(member, &s, false))
		}
	}
	w.lines[place] = "&" + strings.Join(members, " ")
	return number(place)
}

// deepest is how many lists and maps may be in each other.
const deepest = 8

// telling are names of members that are worth room wherever they are: those of
// tags, and of roles that are given to a service.
var telling = regexp.MustCompile(`(?i)(^tags?|tags|tag_?(list|set)|tag_?specifications?|tag_?keys|role(_?arn)?s?)$`)

// worthy is whether a structure has a member that is worth room. Over are those
// that it is in.
func (w *writer) worthy(name string, over []string) bool {
	if worth, ok := w.worth[name]; ok {
		return worth
	}
	if slices.Contains(over, name) {
		return false
	}
	worth := w.tag(name)
	for member, r := range w.Shapes[name].Members {
		worth = worth || w.worthyMember(member, r, append(over, name))
	}
	if worth || len(over) == 0 {
		w.worth[name] = worth
	}
	return worth
}

// tag is whether a structure is a tag.
func (w *writer) tag(name string) bool {
	var key, value bool
	for member := range w.Shapes[name].Members {
		member = strings.ToLower(member)
		key = key || member == "key" || member == "tagkey"
		value = value || member == "value" || member == "tagvalue"
	}
	return key && value && strings.Contains(strings.ToLower(name), "tag")
}

func (w *writer) worthyMember(name string, r reference, over []string) bool {
	if r.LocationName != "" && r.LocationName != name || telling.MatchString(name) {
		return true
	}
	s := w.Shapes[r.Shape]
	for depth := 0; depth < deepest && (s.Type == "list" || s.Type == "map"); depth++ {
		if s.Type == "list" {
			r = s.Member
		} else {
			r = *s.Value
		}
		s = w.Shapes[r.Shape]
	}
	return s.Type == "structure" && !s.Document && w.worthy(r.Shape, over)
}
