package least

import (
	"strings"
)

// arnColons part an ARN into its six segments.
const arnColons = 5

// arn is an ARN, read by its type.
type arn struct {
	head  string   // the first five segments, with the last colon
	kind  string   // the name of its type
	fixed []string // what stands before each of the values, and after the last
	parts []string // the values of the placeholders
	marks string   // separators of names
}

// readARN reads an ARN as one of the types. One that fits none of them is read by its
// form: what stands before the first / or : of its last segment is its type.
// It is not ok if the text is no ARN.
func readARN(text string, types []Type) (arn, bool) {
	segments := strings.SplitN(text, ":", arnColons+1)
	if len(segments) <= arnColons || segments[0] != "arn" || segments[arnColons] == "" {
		return arn{}, false
	}
	head := strings.TrimSuffix(text, segments[arnColons])
	best, weight := arn{}, -1
	for _, t := range types {
		for _, template := range t.Templates {
			a, w, ok := fit(segments, template)
			if ok && w > weight {
				a.kind = t.Name
				best, weight = a, w
			}
		}
	}
	if weight < 0 {
		best = byForm(segments)
	}
	best.head, best.marks = head, "/:-."
	if segments[2] == "s3" && len(best.parts) > 1 {
		best.marks = "/" // an object's name is a path
	}
	return best, true
}

// byForm reads an ARN without a template.
func byForm(segments []string) arn {
	rest := segments[arnColons]
	if bucket, key, object := strings.Cut(rest, "/"); segments[2] == "s3" && segments[3] == "" {
		if !object || key == "" {
			return arn{kind: "bucket", fixed: []string{"", ""}, parts: []string{rest}}
		}
		return arn{kind: "object", fixed: []string{"", "/", ""}, parts: []string{bucket, key}}
	}
	i := strings.IndexAny(rest, "/:")
	if i < 0 || i+1 == len(rest) {
		return arn{fixed: []string{"", ""}, parts: []string{rest}}
	}
	return arn{kind: rest[:i], fixed: []string{rest[:i+1], ""}, parts: []string{rest[i+1:]}}
}

// fit holds the segments of an ARN against a template. The weight is larger the
// more of the ARN the template spells out.
func fit(segments []string, template string) (arn, int, bool) {
	want := strings.SplitN(template, ":", arnColons+1)
	if len(want) <= arnColons {
		return arn{}, 0, false
	}
	for i := range arnColons {
		if want[i] != segments[i] && !strings.HasPrefix(want[i], "${") && want[i] != "*" {
			return arn{}, 0, false
		}
	}
	a := arn{fixed: literals(want[arnColons])}
	if len(a.fixed) == 1 { // nothing varies
		return a, len(a.fixed[0]) * 2, a.fixed[0] == segments[arnColons]
	}
	rest, ok := strings.CutPrefix(segments[arnColons], a.fixed[0])
	if !ok {
		return arn{}, 0, false
	}
	weight := 2 * len(a.fixed[0])
	for i, next := range a.fixed[1:] {
		weight += 2 * len(next)
		end := len(rest)
		switch last := i == len(a.fixed)-2; {
		case !last && next != "":
			end = strings.Index(rest, next)
		case last && !strings.HasSuffix(rest, next):
			return arn{}, 0, false
		case last:
			end -= len(next)
		}
		if end <= 0 {
			return arn{}, 0, false
		}
		a.parts = append(a.parts, rest[:end])
		rest = rest[end+len(next):]
	}
	return a, weight, rest == ""
}

// literals are the texts between the placeholders of a template: one more than there
// are placeholders. A * in it is one too.
func literals(template string) []string {
	var all []string
	template = strings.ReplaceAll(template, "*", "${*}")
	for {
		before, after, ok := strings.Cut(template, "${")
		if !ok {
			return append(all, template)
		}
		all = append(all, before)
		_, template, _ = strings.Cut(after, "}")
	}
}

// write is the ARN as a policy has it, with a value or a pattern for each placeholder.
func (a *arn) write(values []value) string {
	var b strings.Builder
	b.WriteString(a.head)
	for i, v := range values {
		b.WriteString(escape(a.fixed[i]))
		b.WriteString(escape(v.text))
		if v.star {
			b.WriteByte('*')
		}
	}
	b.WriteString(escape(a.fixed[len(a.fixed)-1]))
	return b.String()
}

// value is what stands for a placeholder: a text, or everything that begins with it.
type value struct {
	text string
	star bool
}
