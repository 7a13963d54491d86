package export

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// HCL is written here, and not by HashiCorp's libraries, which bring the functions of
// the language and Unicode's tables with them: a megabyte of a program. They read what
// is written, in the tests.

// An expression is one of HCL as it is written, its lines indented against the first.
type expression string

// member is one of an object, or an argument of a block.
type member struct {
	name  string
	value expression
}

// body is what is in a block, or in a file.
type body struct{ parts []part }

// part is an argument, or lines as they are: a comment, or an empty line; or a block.
type part struct {
	member
	lines string
	block *body
}

func (b *body) set(name string, value expression) {
	b.parts = append(b.parts, part{member: member{name, value}})
}

func (b *body) setText(name, value string) { b.set(name, quoted(value)) }

func (b *body) setBool(name string, value bool) { b.set(name, expression(fmt.Sprint(value))) }

func (b *body) comment(line string) { b.parts = append(b.parts, part{lines: "# " + line}) }

func (b *body) newline() { b.parts = append(b.parts, part{}) }

func (b *body) block(kind string, labels ...string) *body {
	for _, label := range labels {
		kind += " " + string(quoted(label))
	}
	in := &body{}
	b.parts = append(b.parts, part{lines: kind, block: in})
	return in
}

func (b *body) String() string {
	var out strings.Builder
	var members []member // that follow one another
	for _, p := range b.parts {
		if p.name != "" {
			members = append(members, p.member)
			continue
		}
		out.WriteString(aligned(members))
		members = nil
		out.WriteString(p.lines)
		if p.block != nil {
			out.WriteString(" {\n" + indented(p.block.String()) + "}")
		}
		out.WriteByte('\n')
	}
	out.WriteString(aligned(members))
	return out.String()
}

// aligned are members, a line each, with one "=" below the other as `terraform fmt` has
// them: as far as they follow one another and have one line.
func aligned(members []member) string {
	var out strings.Builder
	for len(members) > 0 {
		n, width := 0, 0
		for n < len(members) && !strings.Contains(string(members[n].value), "\n") {
			width = max(width, utf8.RuneCountInString(members[n].name))
			n++
		}
		for _, m := range members[:n] {
			fmt.Fprintf(&out, "%-*s = %s\n", width, m.name, m.value)
		}
		if members = members[n:]; len(members) > 0 {
			fmt.Fprintf(&out, "%s = %s\n", members[0].name, members[0].value)
			members = members[1:]
		}
	}
	return out.String()
}

// indented are lines one level further in.
func indented(lines string) string {
	var out strings.Builder
	for line := range strings.Lines(lines) {
		if line != "\n" {
			out.WriteString("  ")
		}
		out.WriteString(line)
	}
	return out.String()
}

func reference(parts ...string) expression { return expression(strings.Join(parts, ".")) }

func call(function string, argument expression) expression {
	return expression(function) + "(" + argument + ")"
}

func object(members []member) expression {
	if len(members) == 0 {
		return "{}"
	}
	return "{\n" + expression(indented(aligned(members))) + "}"
}

// longLine is the length above which a list gets a line per item.
const longLine = 80

func list(items ...expression) expression {
	var lines, line strings.Builder
	for i, item := range items {
		if i > 0 {
			line.WriteString(", ")
		}
		line.WriteString(string(item))
		lines.WriteString(string(item) + ",\n")
	}
	if len(items) < 2 || line.Len()+2 <= longLine && !strings.Contains(line.String(), "\n") {
		return expression("[" + line.String() + "]")
	}
	return expression("[\n" + indented(lines.String()) + "]")
}

func texts(items ...string) expression {
	values := make([]expression, len(items))
	for i, s := range items {
		values[i] = quoted(s)
	}
	return list(values...)
}

// key is the name of an object's member, in quotes if it must be.
func key(name string) string {
	if !isIdentifier(name) || name == "for" { // which would begin an expression
		return string(quoted(name))
	}
	return name
}

// isIdentifier reports whether a name is an identifier of HCL, of those in ASCII.
func isIdentifier(name string) bool {
	for i, r := range name {
		if !isAlphanumeric(r) && r != '_' && r != '-' || i == 0 && (r == '-' || '0' <= r && r <= '9') {
			return false
		}
	}
	return name != ""
}

// quoted is a text in which nothing is a template (HCL Native Syntax Specification,
// "Template Expressions").
func quoted(s string) expression {
	var out strings.Builder
	out.WriteByte('"')
	for i, r := range s {
		switch {
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\t':
			out.WriteString(`\t`)
		case r == '"' || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case (r == '$' || r == '%') && strings.HasPrefix(s[i+1:], "{"):
			out.WriteRune(r)
			out.WriteRune(r)
		case unicode.IsPrint(r):
			out.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			fmt.Fprintf(&out, `\U%08x`, r)
		}
	}
	out.WriteByte('"')
	return expression(out.String())
}
