package main

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A writer writes the section of a model.
type writer struct {
	*model
	places  map[string]int // of structures that are in the table, by shape
	lines   []string       // of those structures
	worth   map[string]bool
	failure error
}

// section is the section of a model: a line with its name, lines of operations,
// and lines of the structures in them, with an ampersand.
func (m *model) section(actions []action) (string, error) {
	w := &writer{model: m, places: map[string]int{}, worth: map[string]bool{}}
	lines := []string{m.name}
	names := map[string]int{}
	for i, a := range actions {
		names[a.name] = i
	}
	last := -1
	for _, name := range slices.Sorted(maps.Keys(m.Operations)) {
		line := "=" + name
		if place, ok := names[name]; ok {
			line = number(place - last - 1)
			last = place
		}
		o := m.Operations[name]
		lines = append(lines, strings.Join(append([]string{line}, w.operation(name, &o)...), " "))
	}
	return strings.Join(append(lines, w.lines...), "\n") + "\n", w.failure
}

func (w *writer) fail(format string, args ...any) {
	if w.failure == nil {
		w.failure = fmt.Errorf("model of %s: "+format, append([]any{w.name}, args...)...)
	}
}

// verbs are the letters of the methods.
var verbs = map[string]string{"GET": "G", "POST": "P", "PUT": "U", "DELETE": "D", "PATCH": "A", "HEAD": "H", "OPTIONS": "O"}

var (
	label      = regexp.MustCompile(`\{([A-Za-z0-9_-]+)(\+?)\}`)
	routeForm  = regexp.MustCompile(`^(/|(/([A-Za-z0-9_.:@$-]+|\{\+?\}))+/?)(\?[^{} ]+)?$`)
	hostForm   = regexp.MustCompile(`^[A-Za-z0-9{}.-]+$`)
	memberForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)
	wireForm   = regexp.MustCompile(`^[A-Za-z0-9_.:/@$-]+$`)
)

// operation is the fields of an operation's line but the first.
func (w *writer) operation(name string, o *operation) []string {
	var fields []string
	flag := func(is bool, letter string) {
		if is {
			fields = append(fields, "~"+letter)
		}
	}
	input := w.Shapes[o.Input.Shape]
	flag(o.AuthType == "none" || slices.Contains(o.Auth, "smithy.api#noAuth"), "u")
	flag(o.UnsignedPayload || o.AuthType == "v4-unsigned-body", "p")
	flag(w.events(o.Input), ">")
	flag(w.events(o.Output), "<")
	flag(o.Deprecated, "d")
	flag(o.Endpoint.HostPrefix != "", "h"+o.Endpoint.HostPrefix)
	if h := o.Endpoint.HostPrefix; h != "" && !hostForm.MatchString(h) {
		w.fail("operation %s: host prefix %q", name, h)
	}
	var labels []string
	uri := label.ReplaceAllStringFunc(o.HTTP.RequestURI, func(one string) string {
		labels = append(labels, strings.Trim(one, "{+}"))
		return "{" + strings.TrimLeft(one, "{abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
	})
	method := verbs[o.HTTP.Method]
	if method == "" || !routeForm.MatchString(uri) || strings.Count(uri, "+}") > 1 {
		w.fail("operation %s: route %s %q", name, o.HTTP.Method, o.HTTP.RequestURI)
	}
	if w.rest() || method != "P" || uri != "/" {
		fields = append(fields, method+uri)
	}
	found := map[string]string{} // members of the path by label
	for _, member := range slices.Sorted(maps.Keys(input.Members)) {
		if r := input.Members[member]; r.Location == "uri" {
			found[cmp.Or(r.LocationName, member)] = member
		}
	}
	if len(found) != len(labels) {
		w.fail("operation %s: labels of %q are not its members", name, o.HTTP.RequestURI)
	}
	for _, l := range labels {
		if found[l] == "" {
			w.fail("operation %s: label %q is no member", name, l)
			return nil
		}
		fields = append(fields, w.member(found[l], &input, true))
	}
	for _, member := range slices.Sorted(maps.Keys(input.Members)) {
		if input.Members[member].Location != "uri" {
			fields = append(fields, w.member(member, &input, true))
		}
	}
	return fields
}

// events is whether a structure has a stream of events.
func (w *writer) events(r reference) bool {
	for _, member := range w.Shapes[r.Shape].Members {
		if member.EventStream || w.Shapes[member.Shape].EventStream {
			return true
		}
	}
	return false
}

var places = map[string]string{"": "", "uri": "/", "querystring": "?", "header": "@", "headers": "%"}

// member is a member of a structure: its place if the structure is an input, its
// name, its name on the wire if that is another, and what it is if that is no text.
func (w *writer) member(name string, in *shape, input bool) string {
	r := in.Members[name]
	place, known := places[r.Location]
	switch {
	case !known || !input && place != "" || !memberForm.MatchString(name):
		w.fail("member %q in %q", name, r.Location)
	case input && in.Payload == name:
		place = "$"
	case (place == "?" || place == "@") && slices.Contains(in.Required, name):
		place += "!"
	}
	text := place + name
	wire := w.wire(name, &r)
	switch {
	case wire == name:
	case wire == strings.ToLower(name[:1])+name[1:]:
		text += "."
	case !wireForm.MatchString(wire):
		w.fail("member %q has the wire name %q", name, wire)
	default:
		text += "=" + wire
	}
	if kind := w.kind(&r, nil); kind != "$" {
		text += ";" + kind
	}
	return text
}

// wire is the name of a member in a request.
func (w *writer) wire(name string, r *reference) string {
	s := w.Shapes[r.Shape]
	switch {
	case w.protocol == "ec2":
		wire := cmp.Or(r.LocationName, name)
		return cmp.Or(r.QueryName, strings.ToUpper(wire[:1])+wire[1:])
	case w.protocol == "query" && s.Type == "list" && (s.Flattened || r.Flattened) && s.Member.LocationName != "":
		return s.Member.LocationName
	}
	return cmp.Or(r.LocationName, name)
}
