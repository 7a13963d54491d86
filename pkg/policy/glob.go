package policy

import (
	"strings"
	"unicode/utf8"
)

// glob is a pattern with wildcards and policy variables, compiled once.
type glob struct {
	parts []part
	vars  bool // some part is a variable
	// least is the number of bytes that a match has at least, variables not
	// counted.
	least int
}

type part struct {
	kind       partKind
	text       string // literal text, or the name of a variable
	fallback   string // default value of a variable
	hasDefault bool
}

type partKind uint8

const (
	literal    partKind = iota
	variable            // ${name}
	anyUnit             // ?
	anyInside           // ? that does not stand for a colon
	star                // *
	starInside          // * that does not pass a colon
)

// globSyntax says how to read the text of a glob.
type globSyntax struct {
	wildcards bool // * and ? are special
	variables bool // ${...} is special; documents of 2008-10-17 have none
	// arn confines wildcards to the segment of an ARN that they stand in. The
	// last segment is the rest of the ARN, colons included.
	arn bool
	// runOn lets a * that ends its segment pass colons all the same
	// (IAM User Guide, "IAM JSON policy elements: Resource").
	runOn bool
	// varsFrom is the first segment of an ARN that may have variables.
	varsFrom int
}

// arnColons is the number of colons that part an ARN into its six segments.
const arnColons = 5

func compileGlob(s string, syntax globSyntax) glob {
	var g glob
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			g.parts = append(g.parts, part{kind: literal, text: lit.String()})
			lit.Reset()
		}
	}
	segment := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '$' && syntax.variables && segment >= syntax.varsFrom {
			if v, n, ok := parseVariable(s[i:]); ok {
				if v.kind == literal {
					lit.WriteString(v.text)
				} else {
					flush()
					g.parts = append(g.parts, v)
					g.vars = true
				}
				i += n - 1
				continue
			}
		}
		inside := syntax.arn && segment < arnColons
		switch {
		case c == '*' && syntax.wildcards:
			flush()
			kind := star
			if inside && !(syntax.runOn && (i+1 == len(s) || s[i+1] == ':')) {
				kind = starInside
			}
			if n := len(g.parts); n == 0 || g.parts[n-1].kind != kind {
				g.parts = append(g.parts, part{kind: kind})
			}
		case c == '?' && syntax.wildcards:
			flush()
			kind := anyUnit
			if inside {
				kind = anyInside
			}
			g.parts = append(g.parts, part{kind: kind})
		default:
			if c == ':' {
				segment++
			}
			lit.WriteByte(c)
		}
	}
	flush()
	g.measure()
	return g
}

func (g *glob) measure() {
	g.least = 0
	for _, p := range g.parts {
		switch p.kind {
		case literal:
			g.least += len(p.text)
		case anyUnit, anyInside:
			g.least++
		}
	}
}

// parseVariable reads ${name}, ${name, 'default'}, or ${*}, ${?} and ${$},
// which stand for the character itself (IAM User Guide, "IAM policy elements:
// Variables and tags"). Anything else is not a variable but plain text.
func parseVariable(s string) (p part, n int, ok bool) {
	if !strings.HasPrefix(s, "${") {
		return part{}, 0, false
	}
	end := strings.IndexByte(s, '}')
	if end < 0 {
		return part{}, 0, false
	}
	body := s[2:end]
	switch body {
	case "*", "?", "$":
		return part{kind: literal, text: body}, end + 1, true
	}
	name, fallback, hasDefault := strings.Cut(body, ",")
	name = strings.TrimSpace(name)
	if name == "" {
		return part{}, 0, false
	}
	if hasDefault {
		fallback = strings.TrimSpace(fallback)
		if len(fallback) < 2 || fallback[0] != '\'' || fallback[len(fallback)-1] != '\'' {
			return part{}, 0, false
		}
		fallback = fallback[1 : len(fallback)-1]
	}
	return part{kind: variable, text: name, fallback: fallback, hasDefault: hasDefault}, end + 1, true
}

// resolve puts the values of variables in their places, as plain text: a *
// in a value is no wildcard. It reports false if a variable has no value and
// no default, or is a multivalued key, which cannot be a variable at all.
func (g glob) resolve(ctx *Context) (glob, bool) {
	if !g.vars {
		return g, true
	}
	parts := make([]part, len(g.parts))
	for i, p := range g.parts {
		if p.kind == variable {
			e := ctx.find(p.text)
			switch {
			case e != nil && e.multi:
				return glob{}, false
			case e != nil:
				p = part{kind: literal, text: e.value}
			case p.hasDefault:
				p = part{kind: literal, text: p.fallback}
			default:
				return glob{}, false
			}
		}
		parts[i] = p
	}
	r := glob{parts: parts}
	r.measure()
	return r, true
}

// text is a resolved glob without wildcards as a string.
func (g glob) text() string {
	switch len(g.parts) {
	case 0:
		return ""
	case 1:
		return g.parts[0].text
	}
	var b strings.Builder
	for _, p := range g.parts {
		b.WriteString(p.text)
	}
	return b.String()
}

// unit is a position in a string, counted as AWS does in UTF-16 units: a
// character beyond U+FFFF has two, and ? stands for one of them.
type unit struct {
	i    int
	half bool // between the two units of the character at i
}

// next is the position one unit on. It must not be called at the end.
func (u unit) next(s string) unit {
	if s[u.i] < utf8.RuneSelf {
		return unit{i: u.i + 1}
	}
	r, size := utf8.DecodeRuneInString(s[u.i:])
	if r > 0xFFFF && !u.half {
		return unit{i: u.i, half: true}
	}
	return unit{i: u.i + size}
}

// match holds a resolved glob against the whole of s. With fold, letters of
// ASCII are compared without regard to case, and the glob must have been
// compiled from lower case.
//
// A failed comparison goes back to the last star only: what the stars before
// it have taken is the least they could take. A star that must not pass a
// colon may be unable to take more; then the last one that may is asked. The
// time is thus bounded by a power of the length of s, for any number of stars.
func (g glob) match(s string, fold bool) bool {
	if len(s) < g.least {
		return false
	}
	type retry struct {
		part int
		at   unit
		set  bool
	}
	var wide, inside retry
	var at unit
	p := 0
	for {
		ok := false
		if p == len(g.parts) {
			if at.i == len(s) {
				return true
			}
		} else {
			switch q := &g.parts[p]; q.kind {
			case literal:
				if !at.half && hasPrefix(s[at.i:], q.text, fold) {
					at.i += len(q.text)
					ok = true
				}
			case anyUnit, anyInside:
				if at.i < len(s) && (q.kind == anyUnit || s[at.i] != ':') {
					at = at.next(s)
					ok = true
				}
			case star:
				if p+1 == len(g.parts) {
					return true
				}
				wide, inside = retry{p, at, true}, retry{}
				ok = true
			case starInside:
				inside = retry{p, at, true}
				ok = true
			}
		}
		if ok {
			p++
			continue
		}
		switch {
		case inside.set && inside.at.i < len(s) && s[inside.at.i] != ':':
			inside.at = inside.at.next(s)
			p, at = inside.part+1, inside.at
		case wide.set && wide.at.i < len(s):
			inside = retry{}
			wide.at = wide.at.next(s)
			p, at = wide.part+1, wide.at
		default:
			return false
		}
	}
}

func hasPrefix(s, prefix string, fold bool) bool {
	if !fold {
		return strings.HasPrefix(s, prefix)
	}
	if len(s) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}
