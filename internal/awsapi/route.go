package awsapi

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
)

// maxPath bounds, in bytes, the paths in which labels are looked for. Those of S3
// are the longest: a bucket and a key of 1,024 bytes, each of which may be escaped.
const maxPath = 8 << 10

// A route is what a request in a REST protocol is told by.
type route struct {
	place    int // of the operation
	method   string
	segments []string // "{}" is a label, "{+}" a greedy one
	fixed    url.Values
}

// table makes the routes of the model.
func (m *Model) table() []route {
	m.load()
	m.routing.Do(func() {
		if !strings.HasPrefix(m.Protocol, "rest-") {
			return
		}
		for i := range m.operations {
			method, template := m.operations[i].route()
			path, query, _ := strings.Cut(template, "?")
			fixed, err := url.ParseQuery(query)
			if err != nil {
				panic("awsapi: the tables are damaged: " + err.Error())
			}
			m.routes = append(m.routes, route{i, method, strings.Split(path[1:], "/"), fixed})
		}
	})
	return m.routes
}

// Route is the operation that a request is for, in a REST protocol, and the
// values of the labels in its path, by the names of the members that they are; nil
// if there is none. The path is as it was sent, with its escapes, such as
// [url.URL.EscapedPath] has it: a label holds whatever has no slash, and its
// escapes are undone alone. A slash too many or too few at the end is no matter if
// without it nothing is found, nor are several slashes in a row.
//
// Where several operations fit, the one that says more of the path is meant, then
// the one that says more of the query. Some of S3 differ by headers, which are not
// looked at.
func (m *Model) Route(method, escapedPath string, query url.Values) (*Operation, map[string]string) {
	f := m.find(method, escapedPath, query)
	if f == nil {
		return nil, nil
	}
	return f.operation, f.labels()
}

// A found is a route that fits a request.
type found struct {
	*route
	operation *Operation
	values    []string // of the labels
	query     url.Values
	try       int // 0 if the slashes are as in the template
}

func (f *found) labels() map[string]string {
	labels := make(map[string]string, len(f.values))
	for i, value := range f.values { // members of the path are first
		labels[f.operation.Members[i].Name] = value
	}
	return labels
}

// find is the route that fits best, or nil.
func (m *Model) find(method, path string, query url.Values) *found {
	if len(path) > maxPath || !strings.HasPrefix(path, "/") {
		return nil
	}
	table := m.table()
	segments := strings.Split(path[1:], "/")
	single := slices.DeleteFunc(slices.Clone(segments), func(s string) bool { return s == "" })
	for try, segments := range [][]string{segments, trimmed(segments), single} {
		var best *found
		for i := range table {
			r := &table[i]
			if r.method != method || !r.asks(query) {
				continue
			}
			want := r.segments
			if try > 0 {
				want = trimmed(want)
			}
			values, ok := match(want, segments)
			if !ok {
				continue
			}
			f := &found{r, m.operations[r.place].operation(&m.structs), values, query, try}
			if best == nil || cmp.Or(r.compare(best.route), cmp.Compare(f.lacks(), best.lacks())) < 0 {
				best = f
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

// trimmed is a path without a slash at its end.
func trimmed(segments []string) []string {
	if n := len(segments); n > 0 && segments[n-1] == "" {
		return segments[:n-1]
	}
	return segments
}

// asks is whether a query has what the route fixes.
func (r *route) asks(query url.Values) bool {
	for key, values := range r.fixed {
		given, ok := query[key]
		if !ok || values[0] != "" && !slices.Contains(given, values[0]) {
			return false
		}
	}
	return true
}

// match holds the segments of a path against those of a template, and tells the
// values of its labels.
func match(template, path []string) (values []string, ok bool) {
	if len(path) < len(template) {
		return nil, false
	}
	for i, want := range template {
		switch want {
		case "{+}":
			rest := len(template) - i - 1
			value, err := url.PathUnescape(strings.Join(path[i:len(path)-rest], "/"))
			if err != nil || value == "" {
				return nil, false
			}
			values = append(values, value)
			path = slices.Concat(path[:i+1], path[len(path)-rest:])
		case "{}":
			value, err := url.PathUnescape(path[i])
			if err != nil || value == "" {
				return nil, false
			}
			values = append(values, value)
		default:
			if !literal(want, path[i]) {
				return nil, false
			}
		}
	}
	return values, len(path) == len(template)
}

// literal is whether a segment is a word of a template. Clients escape some
// characters in those too.
func literal(want, got string) bool {
	if want == got {
		return true
	}
	if !strings.Contains(got, "%") {
		return false
	}
	plain, err := url.PathUnescape(got)
	return err == nil && plain == want
}

// compare is less than 0 if the route says more of the request than another.
func (r *route) compare(other *route) int {
	for i := range min(len(r.segments), len(other.segments)) {
		if d := cmp.Compare(rank(r.segments[i]), rank(other.segments[i])); d != 0 {
			return d
		}
	}
	return cmp.Or(cmp.Compare(len(other.segments), len(r.segments)), cmp.Compare(len(other.fixed), len(r.fixed)))
}

func rank(segment string) int {
	switch segment {
	case "{+}":
		return 2
	case "{}":
		return 1
	}
	return 0
}

// lacks tells how little of what the operation must have the query has: it is
// less, below 0, the more it has, and much more if one is not there or can only
// be in a header.
func (f *found) lacks() int {
	lacks := 0
	for _, m := range f.operation.Members {
		switch {
		case !m.Required:
		case m.In == InQuery && f.query.Has(m.WireName):
			lacks -= 2
		default:
			lacks += 1000
		}
	}
	if f.operation.Deprecated {
		lacks++
	}
	return lacks
}
