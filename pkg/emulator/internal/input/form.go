package input

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/internal/order"
)

// maxParams is how many parameters a form may have.
const maxParams = 16 << 10

// Form reads the parameters of a form, by name. A name that is there twice is
// refused, since readers choose differently, and so is what is not UTF-8 or has a
// semicolon between parameters. A value that is longer than is kept is left out,
// but the name must still not come twice.
func Form(r io.Reader) (map[string]string, error) {
	d := &formReader{r: r, buf: make([]byte, 0, 4<<10)}
	params := map[string]string{}
	for {
		name, value, err := d.pair()
		if err == io.EOF {
			return params, nil
		}
		if err != nil {
			return nil, err
		}
		if _, twice := params[name]; twice {
			return nil, fmt.Errorf("the parameter %.40q is there twice", name)
		}
		if len(params) == maxParams {
			return nil, ErrTooLarge
		}
		if err := d.used.keep(len(name) + len(value)); err != nil {
			return nil, err
		}
		params[name] = value
	}
}

// formReader reads a form from a stream.
type formReader struct {
	r    io.Reader
	buf  []byte
	pos  int
	err  error
	used budget
}

// pair reads one parameter. The error is io.EOF at the end.
func (d *formReader) pair() (name, value string, err error) {
	var raw []byte
	equals, long, some := -1, false, false
	for {
		if d.pos == len(d.buf) {
			if d.err == nil {
				var n int
				n, d.err = d.r.Read(d.buf[:cap(d.buf)])
				d.buf, d.pos = d.buf[:n], 0
				continue
			}
			if d.err != io.EOF {
				return "", "", d.err
			}
			if !some {
				return "", "", io.EOF
			}
			break
		}
		c := d.buf[d.pos]
		d.pos++
		if c == '&' {
			if !some {
				continue // an empty parameter is none
			}
			break
		}
		some = true
		switch {
		case c == '=' && equals < 0:
			equals = len(raw)
		case long:
		case equals >= 0 && len(raw)-equals > 3*maxText: // a byte may take three
			long, raw = true, raw[:equals]
		case equals < 0 && len(raw) > 1<<10:
			return "", "", ErrTooLarge
		default:
			raw = append(raw, c)
		}
	}
	if equals < 0 {
		equals = len(raw)
	}
	if name, err = decoded(raw[:equals]); err != nil {
		return "", "", err
	}
	if value, err = decoded(raw[equals:]); err != nil {
		return "", "", err
	}
	if len(value) > maxText {
		value = ""
	}
	return name, value, nil
}

// decoded is a part of a form without its escapes.
func decoded(raw []byte) (string, error) {
	text := string(raw)
	if strings.ContainsRune(text, ';') {
		return "", ErrForm // once a separator, which some readers take for one
	}
	text, err := url.QueryUnescape(text)
	if err != nil || !utf8.ValidString(text) {
		return "", ErrForm
	}
	return text, nil
}

// FromForm makes the members of an operation of the flat parameters of the Query
// protocol and of EC2's (Smithy's documentation, "AWS query protocol"): "A.B" is the
// member B of A, "A.member.1" and, if it is flattened, "A.1" are entries of a list,
// "A.entry.1.key" with "A.entry.1.value" is an entry of a map. Action and Version are
// left out, and so is what the model does not have. What has another shape than the
// model says is refused. Without members it is each parameter by its name.
func FromForm(members []awsapi.Member, params map[string]string) (map[string]any, error) {
	return fromForm(members, params, nil)
}

// oldNames are what parameters of SQS, which now speaks JSON, were called in the Query
// protocol (its API Reference of 2022), by their first part: lists and maps were
// flattened, and had the names of their entries.
var oldNames = map[string]string{
	"Attribute": "Attributes", "AttributeName": "AttributeNames", "MessageAttribute": "MessageAttributes",
	"MessageAttributeName": "MessageAttributeNames", "MessageSystemAttribute": "MessageSystemAttributes",
	"MessageSystemAttributeName": "MessageSystemAttributeNames", "ActionName": "Actions", "AWSAccountId": "AWSAccountIds",
	"SendMessageBatchRequestEntry": "Entries", "DeleteMessageBatchRequestEntry": "Entries",
	"ChangeMessageVisibilityBatchRequestEntry": "Entries", "Tag": "Tags", "TagKey": "TagKeys",
}

// FromOldForm is [FromForm] for a service whose model is of another protocol now.
func FromOldForm(members []awsapi.Member, params map[string]string) (map[string]any, error) {
	return fromForm(members, params, oldNames)
}

func fromForm(members []awsapi.Member, params, old map[string]string) (map[string]any, error) {
	root := &branch{}
	var used budget
	for name, value := range params {
		if name == "Action" || name == "Version" {
			continue
		}
		path := strings.Split(name, ".")
		if now := old[path[0]]; now != "" {
			path[0] = current(members, now)
		}
		if err := root.put(path, value, &used); err != nil {
			return nil, fmt.Errorf("the parameter %.40q: %w", name, err)
		}
	}
	if members == nil {
		tree := make(map[string]any, len(params))
		for name, value := range params {
			tree[name] = value
		}
		return tree, nil
	}
	return root.structure(members, old != nil)
}

// current is the name of a member as the model has it now, in the case that it has.
func current(members []awsapi.Member, name string) string {
	for _, m := range members {
		if strings.EqualFold(m.WireName, name) {
			return m.WireName
		}
	}
	return name
}

// branch is a parameter on the way to a tree: it has a value or parts.
type branch struct {
	value *string
	parts map[string]*branch
}

// put puts a value where the segments of its name say.
func (b *branch) put(path []string, value string, used *budget) error {
	if len(path) > maxDepth {
		return ErrTooLarge
	}
	for _, segment := range path {
		if segment == "" || b.value != nil {
			return ErrForm
		}
		next := b.parts[segment]
		if next == nil {
			if err := used.node(); err != nil {
				return err
			}
			next = &branch{}
			if b.parts == nil {
				b.parts = map[string]*branch{}
			}
			b.parts[segment] = next
		}
		b = next
	}
	if b.parts != nil || b.value != nil {
		return ErrForm
	}
	b.value = &value
	return nil
}

// structure are the members of a structure. Of the models of old forms not all are
// known.
func (b *branch) structure(members []awsapi.Member, old bool) (map[string]any, error) {
	tree := make(map[string]any, len(b.parts))
	for name, part := range b.parts {
		m, err := find(members, name)
		if err != nil {
			return nil, err
		}
		if m == nil {
			if old && part.value != nil {
				tree[name] = *part.value
			}
			continue
		}
		if tree[m.Name], err = part.shaped(m, old); err != nil {
			return nil, fmt.Errorf("the parameter %.40q: %w", name, err)
		}
	}
	return tree, nil
}

// shaped is a branch in the shape of a member.
func (b *branch) shaped(m *awsapi.Member, old bool) (any, error) {
	switch m.Shape {
	case awsapi.List:
		entries, err := b.entries()
		if err != nil {
			return nil, err
		}
		list := make([]any, len(entries))
		for i, entry := range entries {
			if list[i], err = entry.shaped(m.Item(), old); err != nil {
				return nil, err
			}
		}
		return list, nil
	case awsapi.Map:
		return b.pairs(m, old)
	case awsapi.Struct:
		if b.value != nil && *b.value != "" {
			return nil, ErrForm
		}
		return b.structure(m.Members(), old)
	}
	if b.value == nil {
		return nil, ErrForm
	}
	return *b.value, nil
}

// entries are those of a list or map, in the order of their numbers. A part of the
// name that is around them has any name here: no reader takes them for anything
// else.
func (b *branch) entries() ([]*branch, error) {
	switch {
	case b.value != nil && *b.value == "":
		return nil, nil // how an empty list is sent
	case b.value != nil:
		return nil, ErrForm
	}
	parts := b.parts
	if len(parts) == 1 {
		for name, part := range parts {
			if !isNumber(name) {
				parts = part.parts
			}
		}
	}
	type numbered struct {
		number int
		*branch
	}
	all := make([]numbered, 0, len(parts))
	for name, part := range parts {
		n, err := strconv.Atoi(name)
		if !isNumber(name) || err != nil {
			return nil, ErrForm
		}
		all = append(all, numbered{n, part})
	}
	order.By(all, func(a, b numbered) int { return a.number - b.number })
	entries := make([]*branch, len(all))
	for i, n := range all {
		if entries[i] = n.branch; i > 0 && n.number == all[i-1].number {
			return nil, ErrForm // "1" and "01"
		}
	}
	return entries, nil
}

// pairs are the entries of a map.
func (b *branch) pairs(m *awsapi.Member, old bool) (map[string]any, error) {
	entries, err := b.entries()
	if err != nil {
		return nil, err
	}
	o := make(map[string]any, len(entries))
	for _, entry := range entries {
		key, value := entry.parts[m.Key().WireName], entry.parts[m.Item().WireName]
		if old {
			key, value = entry.one("Name", "Key", "key"), entry.one("Value", "value")
		}
		if key == nil || key.value == nil || len(entry.parts) > 2 || len(entry.parts) == 2 && value == nil {
			return nil, ErrForm
		}
		if _, twice := o[*key.value]; twice {
			return nil, fmt.Errorf("the key %.40q is there twice", *key.value)
		}
		o[*key.value] = nil
		if value == nil {
			continue
		}
		if o[*key.value], err = value.shaped(m.Item(), old); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// one is the part that has one of some names, nil if none has or several have.
func (b *branch) one(names ...string) (found *branch) {
	for _, name := range names {
		if part := b.parts[name]; part != nil && found != nil {
			return nil
		} else if part != nil {
			found = part
		}
	}
	return found
}

// isNumber reports whether a segment is a number.
func isNumber(s string) bool {
	return s != "" && len(s) < 10 && strings.Trim(s, "0123456789") == ""
}
