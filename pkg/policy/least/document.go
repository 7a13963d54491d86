package least

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/pkg/policy"
)

// Policy is one document of a [Suggestion].
type Policy struct {
	Name string `json:"name"`
	// Document is the document, indented, in printable ASCII.
	Document json.RawMessage `json:"document"`
	// Size is its length as AWS's quotas count it.
	Size int `json:"size"`
}

// statement is one of a document that is yet to be.
type statement struct {
	service   string
	actions   []string // sorted, see actionsInOrder
	resources []string
	condition condition
	levels    []string // access levels of its actions, in their order
}

// statementsOf are the statements for grants, in the order of the document. Actions
// of a service with equal resources and conditions share one.
func statementsOf(grants []grant, reference Reference) []statement {
	type allowed struct {
		action    string
		condition condition
		resources []string
	}
	index := map[string]int{}
	var each []allowed
	for _, g := range grants {
		id := g.action + "\x00" + g.condition.signature()
		if _, ok := index[id]; !ok {
			index[id] = len(each)
			each = append(each, allowed{action: g.action, condition: g.condition})
		}
		a := &each[index[id]]
		a.resources = append(a.resources, g.text)
	}
	merged := map[string]int{}
	var all []statement
	for _, a := range each {
		service, _, _ := strings.Cut(a.action, ":")
		id := fmt.Sprintf("%s %q %s", service, a.resources, a.condition.signature())
		if _, ok := merged[id]; !ok {
			merged[id] = len(all)
			all = append(all, statement{service: service, resources: a.resources, condition: a.condition})
		}
		s := &all[merged[id]]
		s.actions = append(s.actions, a.action)
	}
	level := func(action string) int { return rank(reference.Level(action)) }
	for i := range all {
		s := &all[i]
		slices.SortFunc(s.actions, func(a, b string) int { return cmp.Or(level(a)-level(b), strings.Compare(a, b)) })
		for _, a := range s.actions {
			if l := reference.Level(a); l != "" && !slices.Contains(s.levels, l) {
				s.levels = append(s.levels, l)
			}
		}
	}
	order.By(all, func(a, b statement) int {
		return cmp.Or(strings.Compare(a.service, b.service), level(a.actions[0])-level(b.actions[0]),
			strings.Compare(a.actions[0], b.actions[0]), slices.Compare(a.resources, b.resources),
			strings.Compare(a.condition.signature(), b.condition.signature()))
	})
	return all
}

// sid is the name of a statement without a number.
func (s *statement) sid() string {
	words := append([]string{s.service}, s.levels...)
	var b strings.Builder
	for word := range strings.FieldsSeq(strings.Join(words, " ")) {
		up := true
		for _, r := range word {
			letter := r < 128 && (unicode.IsLetter(r) || unicode.IsDigit(r))
			if letter && up {
				r, up = unicode.ToUpper(r), false
			}
			if letter {
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}

// pack puts statements into documents, those of a service together if they fit. It is
// not ok if there would be too many.
func pack(statements []statement, o Options) ([]Policy, bool) {
	var documents [][]statement
	last := func() []statement {
		if len(documents) == 0 {
			return nil
		}
		return documents[len(documents)-1]
	}
	put := func(block []statement) bool {
		if len(documents) > o.Documents {
			return true // there are too many, whatever comes
		}
		if both := slices.Concat(last(), block); len(documents) > 0 && size(both) <= o.Limit {
			documents[len(documents)-1] = both
			return true
		}
		if size(block) > o.Limit {
			return false
		}
		documents = append(documents, block)
		return true
	}
	for len(statements) > 0 && len(documents) <= o.Documents {
		n := 1
		for n < len(statements) && statements[n].service == statements[0].service {
			n++
		}
		if !put(statements[:n]) {
			for _, s := range statements[:n] {
				if !putParts(s, put) {
					return nil, false
				}
			}
		}
		statements = statements[n:]
	}
	if len(documents) > o.Documents {
		return nil, false
	}
	policies := []Policy{}
	for i, d := range documents {
		p := Policy{Name: o.Name, Document: render(d), Size: size(d)}
		if len(documents) > 1 {
			p.Name = fmt.Sprintf("%s-%d", o.Name, i+1)
		}
		policies = append(policies, p)
	}
	return policies, true
}

// putParts puts a statement, in halves if it is too long for a document.
func putParts(s statement, put func([]statement) bool) bool {
	if put([]statement{s}) {
		return true
	}
	first, second := s, s
	switch {
	case len(s.resources) > 1:
		half := len(s.resources) / 2
		first.resources, second.resources = s.resources[:half], s.resources[half:]
	case len(s.actions) > 1:
		half := len(s.actions) / 2
		first.actions, second.actions = s.actions[:half], s.actions[half:]
	default:
		return false
	}
	return putParts(first, put) && putParts(second, put)
}

// size is the length of a document as quotas count it.
func size(statements []statement) int { return policy.Size(render(statements)) }

// written is a statement as it is written.
type written struct {
	Sid       string
	Effect    string
	Action    any
	Resource  any
	Condition map[string]map[string]any `json:",omitempty"`
}

// render is the document of statements.
func render(statements []statement) []byte {
	total, numbered := map[string]int{}, map[string]int{}
	for i := range statements {
		total[statements[i].sid()]++
	}
	list := make([]written, len(statements))
	for i := range statements {
		s := &statements[i]
		w := written{Sid: s.sid(), Effect: "Allow", Action: oneOrMore(s.actions), Resource: oneOrMore(s.resources)}
		if total[w.Sid] > 1 {
			numbered[w.Sid]++
			w.Sid = fmt.Sprintf("%sN%d", w.Sid, numbered[w.Sid])
		}
		for key, values := range s.condition {
			if w.Condition == nil {
				w.Condition = map[string]map[string]any{"StringEquals": {}}
			}
			escaped := make([]string, len(values))
			for j, v := range values {
				escaped[j] = strings.ReplaceAll(v, "${", "${$}{")
			}
			w.Condition["StringEquals"][key] = oneOrMore(escaped)
		}
		list[i] = w
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(struct {
		Version   string
		Statement []written
	}{"2012-10-17", list})
	if err != nil {
		return nil // of texts, lists and maps it is none
	}
	return ascii(bytes.TrimSpace(b.Bytes()))
}

// oneOrMore is a list as policies have it: a single value stands alone.
func oneOrMore(list []string) any {
	if len(list) == 1 {
		return list[0]
	}
	return list
}

// ascii is JSON in printable ASCII.
func ascii(text []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(text) {
		switch {
		case r == '\n' || r >= ' ' && r <= '~':
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}
