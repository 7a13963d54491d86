package wire

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/openirsa/openirsa/internal/order"
)

// MaxListGap is how far one index may go beyond the list so far.
const MaxListGap = 10

// Input reads the parameters of one operation and collects what is wrong with
// them, so that one error names it all. Read everything, then ask Err.
type Input struct {
	Params Params
	// Malformed is what comes before all faults: a value that cannot be read.
	Malformed *Failure

	// Quiet input is IAM's, whose errors do not repeat values, and name faults
	// in the order of the members.
	Quiet bool

	faults []fault
}

// fault is a violated constraint.
type fault struct{ member, text string }

// Err is the answer to what was read so far: nil if all was well.
func (in *Input) Err() *Failure {
	if in.Malformed != nil || len(in.faults) == 0 {
		return in.Malformed
	}
	if in.Quiet {
		order.By(in.faults, func(a, b fault) int { return strings.Compare(a.member, b.member) })
	}
	texts := make([]string, len(in.faults))
	for i, f := range in.faults {
		texts[i] = f.text
	}
	if len(texts) == 1 {
		return ValidationError("1 validation error detected: %s", texts[0])
	}
	return ValidationError("%d validation errors detected: %s", len(texts), strings.Join(texts, "; "))
}

// Fault records a violated constraint. Value is the text as AWS shows it, in
// quotes, or "" for one that is absent or secret.
func (in *Input) Fault(value, member, constraint string) {
	if value != "" {
		value += " "
	}
	if in.Quiet {
		value = ""
	}
	in.faults = append(in.faults, fault{member, "Value " + value + "at '" + member + "' failed to satisfy constraint: " + constraint})
}

// member is a parameter as AWS's errors spell it: with a small first letter.
func member(name string) string {
	if name == "" {
		return name
	}
	return strings.ToLower(name[:1]) + name[1:]
}

// Has reports whether a parameter was given, be it empty.
func (in *Input) Has(name string) bool {
	_, ok := in.Params[name]
	return ok
}

// Text reads a text.
func (in *Input) Text(name string, r Rule) string {
	return in.TextAt(name, "", r)
}

// TextAt is Text of a member that errors spell in a way of its own; "" is as [member]
// does.
func (in *Input) TextAt(name, at string, r Rule) string {
	s, ok := in.Params[name]
	if !ok && !r.Required {
		return ""
	}
	faults := []string{"Member must not be null"}
	if ok {
		faults = r.Faults(s)
	}
	for _, f := range faults {
		value := "'" + s + "'"
		if r.Secret || !ok {
			value = ""
		}
		in.Fault(value, cmp.Or(at, member(name)), f)
	}
	return s
}

// Number reads an integer within limits, or def if there is none.
func (in *Input) Number(name string, def, low, high int) int {
	s, ok := in.Params[name]
	if !ok {
		return def
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		if in.Malformed == nil {
			in.Malformed = MalformedInput("The value of parameter %s is not an integer", name)
		}
		return def
	}
	if int(n) < low {
		in.Fault("'"+strconv.Itoa(int(n))+"'", member(name), "Member must have value greater than or equal to "+strconv.Itoa(low))
	}
	if int(n) > high {
		in.Fault("'"+strconv.Itoa(int(n))+"'", member(name), "Member must have value less than or equal to "+strconv.Itoa(high))
	}
	return int(n)
}

// Bool reads a boolean, false if there is none.
func (in *Input) Bool(name string) bool {
	s, ok := in.Params[name]
	if !ok {
		return false
	}
	switch s {
	case "true", "1":
		return true
	case "false", "0":
		return false
	}
	if in.Malformed == nil {
		in.Malformed = MalformedInput("The value of parameter %s is not a boolean", name)
	}
	return false
}

// OneOf reads a text that must be one of a few.
func (in *Input) OneOf(name string, required bool, values ...string) string {
	s := in.Text(name, Rule{Required: required})
	if in.Has(name) && !slices.Contains(values, s) {
		in.Fault("'"+s+"'", member(name), "Member must satisfy enum value set: ["+strings.Join(values, ", ")+"]")
	}
	return s
}

// Size is the length of a list. Lists are spelled Name.member.1, .2 and so on,
// and an empty one as a bare Name. Gaps are closed up, as at AWS: afterwards
// the members are numbered from 1. An index below one, or one more than ten
// beyond the others, is malformed.
func (in *Input) Size(name string) int {
	type field struct {
		index            int
		key, rest, value string
	}
	prefix := name + ".member."
	var fields []field
	for key, value := range in.Params {
		after, found := strings.CutPrefix(key, prefix)
		if !found {
			continue
		}
		index, _, _ := strings.Cut(after, ".")
		n, err := strconv.Atoi(index)
		if err != nil || n < 1 {
			in.Malformed = MalformedInput("Invalid index %q in list %s", index, name)
			return 0
		}
		fields = append(fields, field{n, key, after[len(index):], value})
		delete(in.Params, key)
	}
	order.By(fields, func(a, b field) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.key, b.key))
	})
	n, last := 0, 0
	for _, f := range fields {
		if f.index > max(last, 1)+MaxListGap {
			in.Malformed = MalformedInput("Index %d is too far beyond list %s", f.index, name)
			return 0
		}
		if f.index > last { // member.01 is member.1
			n, last = n+1, f.index
		}
		in.Params[prefix+strconv.Itoa(n)+f.rest] = f.value
	}
	return n
}

// TooLong records that a list has more members than it may; 0 is no limit.
func (in *Input) TooLong(name string, n, limit int, value string) {
	if limit > 0 && n > limit {
		in.Fault("'["+value+"]'", member(name), "Member must have length less than or equal to "+strconv.Itoa(limit))
	}
}

// Texts reads a list of at most limit texts, of which each must satisfy r. The
// members that do not make one fault, which says what each must be.
func (in *Input) Texts(name string, required bool, limit int, r Rule) []string {
	n := in.Size(name)
	if n == 0 {
		if required && !in.Has(name) && in.Malformed == nil {
			in.Fault("", member(name), "Member must not be null")
		}
		return nil
	}
	list := make([]string, n)
	bad := false
	for i := range n {
		s, ok := in.Params[fmt.Sprintf("%s.member.%d", name, i+1)]
		if !ok {
			in.Fault("", fmt.Sprintf("%s.%d.member", member(name), i+1), "Member must not be null")
			continue
		}
		list[i] = s
		bad = bad || len(r.Faults(s)) > 0
	}
	all := strings.Join(list, ", ")
	in.TooLong(name, n, limit, all)
	if bad {
		in.Fault("'["+all+"]'", member(name), "Member must satisfy constraint: ["+strings.Join(r.constraints(), ", ")+"]")
	}
	return list
}

// Tag is a tag of a resource or a session.
type Tag struct{ Key, Value string }

// Tags reads a list of tags, at most limit of them.
func (in *Input) Tags(name string, limit int) []Tag {
	n := in.Size(name)
	if n == 0 {
		return nil
	}
	list := make([]Tag, n)
	for i := range n {
		param := fmt.Sprintf("%s.member.%d.", name, i+1)
		at := fmt.Sprintf("%s.%d.member.", member(name), i+1)
		list[i].Key = in.TextAt(param+"Key", at+"key", RuleTagKey)
		list[i].Value = in.TextAt(param+"Value", at+"value", RuleTagValue)
	}
	in.TooLong(name, n, limit, strconv.Itoa(n)+" members")
	return list
}
