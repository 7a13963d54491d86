package awsapi

import (
	"strings"
	"sync"
)

// An Operation is one call of a model.
type Operation struct {
	// Name is as in the model, such as "PutItem". Most actions have the name of
	// their operation.
	Name string
	// Method and Template are of the request: POST and "/" for protocols that are
	// not REST. A template has labels in braces, of which the last may be greedy, and
	// may end in parameters that must be there: "/{Bucket}/{Key+}?uploads". The names
	// of labels are those on the wire, see [Member.WireName].
	Method, Template string
	// HostPrefix is before the service's host name, such as "sync-" or
	// "{AccountId}."; "" for most.
	HostPrefix string
	// Unsigned is whether the operation needs no signature, as a login does not.
	Unsigned bool
	// UnsignedPayload is whether the signature may leave out the body.
	UnsignedPayload bool
	// EventsUp and EventsDown are whether the request, and the answer, are streams
	// of events.
	EventsUp, EventsDown bool
	// Deprecated is whether the model says that it is.
	Deprecated bool
	// Members are those of the input: first those in the path, in the order of the
	// template, and then all others by name.
	Members []Member
}

// A lazyOperation is an operation that is read when it is first needed.
type lazyOperation struct {
	name string
	line string // without the name

	once sync.Once
	read Operation
}

// methods are the methods by the letters that gen has for them.
var methods = map[byte]string{'G': "GET", 'P': "POST", 'U': "PUT", 'D': "DELETE", 'A': "PATCH", 'H': "HEAD", 'O': "OPTIONS"}

// route is the method and the template of an operation, without the names of its
// labels.
func (l *lazyOperation) route() (method, template string) {
	for field := range strings.FieldsSeq(l.line) {
		if len(field) > 1 && field[1] == '/' && methods[field[0]] != "" {
			return methods[field[0]], field[1:]
		}
		if field[0] != '~' {
			break
		}
	}
	return "POST", "/"
}

// operation is the operation with all of it.
func (l *lazyOperation) operation(s *structures) *Operation {
	l.once.Do(func() {
		l.read.Name = l.name
		l.read.Method, l.read.Template = l.route()
		for field := range strings.FieldsSeq(l.line) {
			switch {
			case field[0] == '~':
				l.read.flag(field[1:])
			case len(field) > 1 && field[1] == '/':
			default:
				l.read.Members = append(l.read.Members, s.input(field))
			}
		}
		for _, m := range l.read.Members {
			if m.In == InPath {
				l.read.Template = labelled(l.read.Template, m.WireName)
			}
		}
	})
	return &l.read
}

// labelled names the first label of a template that has no name.
func labelled(template, name string) string {
	at := strings.Index(template, "{}")
	if greedy := strings.Index(template, "{+"); greedy >= 0 && (at < 0 || greedy < at) {
		at = greedy
	}
	return template[:at+1] + name + template[at+1:]
}

// flag is what gen writes with a tilde.
func (o *Operation) flag(letter string) {
	switch letter[0] {
	case 'u':
		o.Unsigned = true
	case 'p':
		o.UnsignedPayload = true
	case '>':
		o.EventsUp = true
	case '<':
		o.EventsDown = true
	case 'd':
		o.Deprecated = true
	case 'h':
		o.HostPrefix = letter[1:]
	}
}
