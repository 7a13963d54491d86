package controlplane

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/pkg/plan"
)

// edit replaces text[from:to].
type edit struct {
	from, to int
	text     []byte
}

// edits are the changes that make the flags those wanted. Arguments that can
// stay do; new ones go before the argument that shall follow them.
func (m *manifest) edits(want Flags) ([]edit, error) {
	audiences, err := m.wantedAudiences(want)
	if err != nil {
		return nil, err
	}
	one := func(value string) []string {
		if value == "" {
			return nil
		}
		return []string{value}
	}
	flags := flagsIn(m.words())
	named := func(name string) []flag {
		return slices.DeleteFunc(slices.Clone(flags), func(f flag) bool { return f.name != name })
	}
	// Where there is no flag of a name yet, it goes before the neighbour that
	// kubeadm's alphabetical order gives it, or before the first flag.
	first := flags[0].at
	after := func(have []flag) int { // the argument after a group of flags, or the group's last itself
		if len(have) == 0 {
			return first
		}
		last := have[len(have)-1]
		return min(last.at+last.n, len(m.args))
	}
	afterIssuers := after(named(issuerFlag))
	var all []edit
	for _, group := range []struct {
		flag string
		want []string
		next int // where the first of them goes
	}{
		{issuerFlag, want.Issuers, afterIssuers},
		{jwksFlag, one(want.JWKSURI), afterIssuers},
		{keyFilesFlag, want.KeyFiles, after(named(keyFilesFlag))},
		{signingKeyFlag, one(want.SigningKeyFile), first},
		{privateKeyFlag, one(want.PrivateKeyFile), first},
		{audiencesFlag, audiences, first},
	} {
		edits, err := m.change(group.flag, named(group.flag), group.want, group.next)
		if err != nil {
			return nil, err
		}
		all = append(all, edits...)
	}
	return all, nil
}

// words are the arguments as the program gets them.
func (m *manifest) words() []string {
	words := make([]string, len(m.args))
	for i, n := range m.args {
		for n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		words[i] = n.Value
	}
	return words
}

// wantedAudiences are the values of the flags about audiences: those that there
// are, where they mean what is wanted, or else one.
func (m *manifest) wantedAudiences(want Flags) ([]string, error) {
	if slices.Equal(m.Flags.APIAudiences, want.APIAudiences) && (m.Flags.APIAudiences == nil) == (want.APIAudiences == nil) {
		var values []string
		for _, f := range flagsIn(m.words()) {
			if f.name == audiencesFlag {
				values = append(values, f.value)
			}
		}
		return values, nil
	}
	if want.APIAudiences == nil {
		return nil, nil
	}
	var b strings.Builder
	w := csv.NewWriter(&b)
	if err := w.Write(want.APIAudiences); err != nil {
		return nil, err
	}
	w.Flush()
	return []string{strings.TrimSuffix(b.String(), "\n")}, nil
}

// change gives the flags of one name the values wanted. Next is the argument
// before which those go that follow all that there are.
func (m *manifest) change(name string, have []flag, want []string, next int) ([]edit, error) {
	if strings.HasSuffix(name, "-key-file") && len(have) == len(want) {
		// One for one, so that each keeps its place and its quotes: a
		// rotation goes away from these values and comes back to them.
		return m.revaluations(have, want)
	}
	var edits []edit
	kept, added := align(have, want)
	for i, f := range have {
		if kept[i] {
			continue
		}
		for at := f.at; at < f.at+f.n; at++ {
			e, err := m.deletion(at)
			if err != nil {
				return nil, err
			}
			edits = append(edits, e)
		}
	}
	for i, values := range added { // added[i] go before have[i], added[len(have)] after them all
		at := next
		if i < len(have) {
			at = have[i].at
		}
		for _, v := range values {
			e, err := m.insertion(at, "--"+name+"="+v)
			if err != nil {
				return nil, err
			}
			edits = append(edits, e)
		}
	}
	return edits, nil
}

// align says which flags stay where they are, and which values come before each of
// them and after the last.
func align(have []flag, want []string) (kept []bool, added [][]string) {
	kept, added = make([]bool, len(have)), make([][]string, len(have)+1)
	values := make([]string, len(have))
	for i, f := range have {
		values[i] = f.value
	}
	i := 0
	for _, e := range plan.Edits(values, want) {
		switch e.Mark {
		case '+':
			added[i] = append(added[i], e.Item)
		default:
			kept[i] = e.Mark == ' '
			i++
		}
	}
	return kept, added
}

// flow reports whether the arguments stand between brackets.
func (m *manifest) flow() bool { return m.list.Style&yaml.FlowStyle != 0 }

// offset is where a node starts. Columns count characters.
func (m *manifest) offset(n *yaml.Node) int {
	at := m.lines[n.Line]
	for range n.Column - 1 {
		r := bytes.Runes(m.text[at:min(at+4, len(m.text))])
		if len(r) == 0 {
			break
		}
		at += len(string(r[0]))
	}
	return at
}

var (
	doubleQuoted = regexp.MustCompile(`^"(?:[^"\\\n]|\\.)*"`)
	singleQuoted = regexp.MustCompile(`^'(?:[^'\n]|'')*'`)
	plainInBlock = regexp.MustCompile(`^[^\n]*?(?:\s+#|\s*\n|\s*$)`)
	plainInFlow  = regexp.MustCompile(`^[^\n,\[\]{}]*?(?:\s+#|\s*[\n,\[\]{}]|\s*$)`)
)

// span is where an argument's text starts and ends, quotes included. An
// argument that spans lines, or has an anchor or a tag, has none.
func (m *manifest) span(i int) (from, to int, err error) {
	n := m.args[i]
	refuse := fmt.Errorf("line %d: %q is written in a way that cannot be edited safely; write it on one line", n.Line, n.Value)
	if n.Kind != yaml.ScalarNode || n.Anchor != "" {
		return 0, 0, refuse
	}
	from = m.offset(n)
	rest := m.text[from:]
	var token []byte
	switch {
	case n.Style == yaml.DoubleQuotedStyle:
		token = doubleQuoted.Find(rest)
	case n.Style == yaml.SingleQuotedStyle:
		token = singleQuoted.Find(rest)
	case n.Style != 0:
		return 0, 0, refuse
	case m.flow():
		token = bytes.TrimRight(plainInFlow.Find(rest), " \t\n#,[]{}")
	default:
		token = plainInBlock.Find(rest)
		token = bytes.TrimRight(bytes.TrimSuffix(token, []byte("#")), " \t\n")
	}
	var value string
	if err := yaml.Unmarshal(token, &value); err != nil || value != n.Value {
		return 0, 0, refuse
	}
	return from, from + len(token), nil
}

// plainAnywhere is text that needs no quotes in YAML, be it in a block or
// between brackets.
var plainAnywhere = regexp.MustCompile(`^-{0,2}[A-Za-z/][A-Za-z0-9/._=-]*(:[A-Za-z0-9/._=-]+)*$`)

// revaluations give each flag the value wanted, where it has another.
func (m *manifest) revaluations(have []flag, want []string) ([]edit, error) {
	var edits []edit
	for i, f := range have {
		if f.value == want[i] {
			continue
		}
		e, err := m.revaluation(f, want[i])
		if err != nil {
			return nil, err
		}
		edits = append(edits, e)
	}
	return edits, nil
}

// revaluation gives a flag another value, written as the previous one was.
func (m *manifest) revaluation(f flag, value string) (edit, error) {
	last := f.at + f.n - 1
	from, to, err := m.span(last)
	if err != nil {
		return edit{}, err
	}
	text := value
	if f.n == 1 {
		text = "--" + f.name + "=" + value
	}
	switch {
	case m.args[last].Style == yaml.SingleQuotedStyle && !strings.Contains(text, "'"):
		return edit{from, to, []byte("'" + text + "'")}, nil
	case m.args[last].Style == 0 && plainAnywhere.MatchString(text):
		return edit{from, to, []byte(text)}, nil
	}
	quoted, err := json.Marshal(text) // JSON is YAML
	return edit{from, to, quoted}, err
}

// deletion removes an argument: its line, or the item between brackets.
func (m *manifest) deletion(i int) (edit, error) {
	from, to, err := m.span(i)
	if err != nil {
		return edit{}, err
	}
	if !m.flow() {
		return m.line(i)
	}
	if i > 0 { // with the comma before it, as insertion puts it there
		_, before, err := m.span(i - 1)
		return edit{from: before, to: to}, err
	}
	if i+1 < len(m.args) {
		next, _, err := m.span(i + 1)
		return edit{from: from, to: next}, err
	}
	return edit{from: from, to: to}, nil
}

// line is the deletion of the whole line of an item of a block sequence,
// which must hold nothing but the item and perhaps a comment.
func (m *manifest) line(i int) (edit, error) {
	n := m.args[i]
	from, _, err := m.span(i)
	if err != nil {
		return edit{}, err
	}
	start, end := m.lines[n.Line], len(m.text)
	if n.Line+1 < len(m.lines) {
		end = m.lines[n.Line+1]
	}
	if strings.Trim(string(m.text[start:from]), " ") != "-" {
		return edit{}, fmt.Errorf("line %d: %q shares its line with something else; write it on a line of its own", n.Line, n.Value)
	}
	return edit{from: start, to: end}, nil
}

// insertion puts an argument before argument i, or after the last where i is
// their number. In a block it goes right after its predecessor, so that
// comments stay above the argument that they belong to.
func (m *manifest) insertion(i int, arg string) (edit, error) {
	quoted, err := json.Marshal(arg) // JSON is YAML
	if err != nil {
		return edit{}, err
	}
	if m.flow() {
		if i > 0 {
			_, to, err := m.span(i - 1)
			return edit{from: to, to: to, text: append([]byte(", "), quoted...)}, err
		}
		from, _, err := m.span(0)
		return edit{from: from, to: from, text: append(quoted, ", "...)}, err
	}
	at := max(i-1, 0)
	line, err := m.line(at)
	if err != nil && 0 < i && i < len(m.args) {
		at = i
		line, err = m.line(at)
	}
	if err != nil {
		return edit{}, err
	}
	var b bytes.Buffer
	place := line.from
	if at < i {
		place = line.to
		if !bytes.HasSuffix(m.text[:place], []byte("\n")) {
			b.WriteByte('\n')
		}
	}
	b.Write(m.text[line.from:m.offset(m.args[at])])
	var plain string
	if yaml.Unmarshal([]byte(arg), &plain) == nil && plain == arg && m.args[at].Style == 0 {
		b.WriteString(arg)
	} else {
		b.Write(quoted)
	}
	b.WriteByte('\n')
	return edit{from: place, to: place, text: b.Bytes()}, nil
}

// With is the text of the manifest with other flags, checked to differ from
// the former in nothing else.
func (m *manifest) With(want Flags) ([]byte, error) {
	edits, err := m.edits(want)
	if err != nil {
		return nil, err
	}
	// From the end, so that offsets stay true. Insertions at one place are in
	// the order in which they shall stand.
	order.By(edits, func(a, b edit) int { return cmp.Or(a.from-b.from, a.to-b.to) })
	text := slices.Clone(m.text)
	for _, e := range slices.Backward(edits) {
		text = slices.Replace(text, e.from, e.to, e.text...)
	}
	if err := m.check(text, want); err != nil {
		return nil, err
	}
	return text, nil
}

// notSafely is why an edit is not made.
const notSafely = "the manifest is written in a way that cannot be edited safely"

// check proves that text is the manifest with other flags and nothing else
// changed, whatever the editing may have done.
func (m *manifest) check(text []byte, want Flags) error {
	edited, err := m.pod.parse(text)
	if err != nil {
		return fmt.Errorf("the edited manifest would be broken: %w", err)
	}
	if !edited.Flags.equal(want) {
		return fmt.Errorf("the edited manifest would have the flags %+v, not %+v; %s", edited.Flags, want, notSafely)
	}
	before, err := m.others()
	if err != nil {
		return err
	}
	after, err := edited.others()
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(before, after) {
		return errors.New("the edited manifest would differ in more than these flags; " + notSafely)
	}
	return nil
}
