package question

import "strings"

// target is a resource that an action is asked about.
type target struct {
	arn     string
	spelled string // how people should see it; "" is arn
	unknown bool   // parts of arn are samples, * in spelled
	created bool   // the call makes it
	// also is another spelling of the same resource, of which one must be allowed.
	also string
	// tagsOf is by what the tags of the resource are found; "" is arn, if all of it is
	// known.
	tagsOf string
	// keys are condition keys of this resource alone.
	keys []key
	warn string
}

// key is a condition key with its values; multi if it is multivalued by nature.
type key struct {
	name   string
	values []string
	multi  bool
}

// anything is the resource of actions that have none.
var anything = target{arn: "*"}

// a source finds the resources of a call.
type source func(a *asker) []target

// fixed samples stand for parts of ARNs that nobody knows before the call: they
// have the shape of the real ones, and nobody would write them into a policy.
const (
	sampleUUID   = "5ec7a3f0-9b1d-4c68-8e27-d40f6b9a1c35"
	sampleHex    = "0d3adb33f5a1c7e29" // seventeen digits, as ids of EC2 have
	sampleSix    = "Zq7LxV"            // as ARNs of secrets end
	sampleNumber = "2147483647"
	sampleName   = "unknown-d3adb33f5a1c"
)

var samples = map[string]string{
	"uuid": sampleUUID, "hex": sampleHex, "six": sampleSix, "number": sampleNumber, "name": sampleName, "id": sampleHex[:8],
}

// sampleOf is a sample for a part of an ARN by what the part is called.
func sampleOf(placeholder string) string {
	name := normal(placeholder)
	switch {
	case strings.HasSuffix(name, "version"), strings.HasSuffix(name, "revision"):
		return sampleNumber
	case strings.HasSuffix(name, "id"), strings.HasSuffix(name, "identifier"):
		return sampleUUID
	}
	return sampleName
}

// shown are the patterns that people see for samples, where * would say too little.
var shown = map[string]string{sampleSix: "??????"}

// piece is a part of a template: literal text, or alternatives for a value.
type piece struct {
	literal string
	choices []choice
}

// choice is one place where a value may be.
type choice struct {
	path    string // into the input
	filter  string // of filters
	literal string // a value by itself
	sample  string // for want of a value
}

// compile reads a template for ARNs. Text in angle brackets is a value from the input:
// alternatives with | between them, each a path (see at), perhaps with a colon and
// the name of a filter; 'text' in quotes as the default; or ? and the name of a
// sample. All alternatives that the call fills count.
func compile(template string) []piece {
	var pieces []piece
	for template != "" {
		open := strings.IndexByte(template, '<')
		if open < 0 {
			return append(pieces, piece{literal: template})
		}
		if open > 0 {
			pieces = append(pieces, piece{literal: template[:open]})
		}
		inside, rest, _ := strings.Cut(template[open+1:], ">")
		template = rest
		var p piece
		for c := range strings.SplitSeq(inside, "|") {
			switch c[0] {
			case '\'':
				p.choices = append(p.choices, choice{literal: strings.Trim(c, "'")})
			case '?':
				p.choices = append(p.choices, choice{sample: samples[c[1:]]})
			default:
				path, filter, _ := strings.Cut(c, ":")
				p.choices = append(p.choices, choice{path: path, filter: filter})
			}
		}
		pieces = append(pieces, p)
	}
	return pieces
}

// filters change a value on its way into an ARN.
var filters = map[string]func(string) string{
	"": func(s string) string { return s },
	// lower is for services that keep names in lower case.
	"lower": strings.ToLower,
	// last is what follows the last slash, such as the id in /hostedzone/Z1.
	"last": func(s string) string { return s[strings.LastIndexByte(s, '/')+1:] },
	// noslash drops a slash in front.
	"noslash": func(s string) string { return strings.TrimPrefix(s, "/") },
}

// value is what a piece of a template stands for in a call.
type value struct {
	text, shown string
	arn         bool // text is an ARN: what came before it in the template is void
}

// values are what a piece stands for, one or more: of members of which AWS wants only
// one, all that the call has, since readers differ in which of them counts.
func (p piece) values(input map[string]any) []value {
	if p.choices == nil {
		return []value{{text: p.literal, shown: p.literal}}
	}
	if all := p.filled(input); all != nil {
		return all
	}
	for _, c := range p.choices {
		if c.literal != "" {
			return []value{{text: c.literal, shown: c.literal}}
		}
	}
	last := p.choices[len(p.choices)-1]
	sample := last.sample
	if sample == "" {
		sample = sampleOf(last.path)
	}
	pattern := shown[sample]
	if pattern == "" {
		pattern = "*"
	}
	return []value{{text: sample, shown: pattern}}
}

// filled are the values that the call has for a piece, each once.
func (p piece) filled(input map[string]any) []value {
	var all []value
	seen := map[string]bool{}
	for _, c := range p.choices {
		if c.path == "" {
			continue
		}
		for _, s := range strs(input, c.path) {
			_, is := parseARN(s)
			if !is {
				s = filters[c.filter](s)
			}
			if !seen[s] {
				seen[s] = true
				all = append(all, value{text: s, shown: s, arn: is})
			}
		}
	}
	return all
}

// expand fills a template: one target for each combination of the values of its
// pieces, at most MaxQuestions+1.
func expand(pieces []piece, input map[string]any) []target {
	built := []value{{}}
	for _, p := range pieces {
		var next []value
		for _, before := range built {
			for _, v := range p.values(input) {
				switch {
				case v.arn:
					next = append(next, value{text: v.text, shown: v.text})
				case strings.HasSuffix(before.text, "/") && p.choices != nil:
					next = append(next, value{text: before.text + strings.TrimPrefix(v.text, "/"), shown: before.shown + strings.TrimPrefix(v.shown, "/")})
				default:
					next = append(next, value{text: before.text + v.text, shown: before.shown + v.shown})
				}
				if len(next) > MaxQuestions {
					break
				}
			}
		}
		built = next
	}
	targets := make([]target, len(built))
	for i, b := range built {
		targets[i] = target{arn: b.text}
		if b.shown != b.text {
			targets[i].spelled, targets[i].unknown = b.shown, true
		}
	}
	return targets
}

// to is the source of the resources that a template names, such as
// "table/<TableName>". Without "arn:" in front, they are of the service, region and
// account of the call.
func to(template string) source {
	pieces := compile(template)
	whole := strings.HasPrefix(template, "arn:")
	return func(a *asker) []target {
		if whole {
			return expand(compile(a.standard(template)), a.Input)
		}
		return expand(append([]piece{{literal: a.arn("")}}, pieces...), a.Input)
	}
}

// named is to, but finds nothing if the first path of the template has no value.
func named(path, template string) source {
	all := to(template)
	return func(a *asker) []target {
		if len(strs(a.Input, path)) == 0 {
			return nil
		}
		return all(a)
	}
}

// maker is to for what the call creates.
func maker(template string) source {
	all := to(template)
	return func(a *asker) []target {
		targets := all(a)
		for i := range targets {
			targets[i].created = true
		}
		return targets
	}
}

// one is the first source that finds anything; nothing if none does.
func one(sources ...source) source {
	return func(a *asker) []target {
		for _, s := range sources {
			if found := s(a); len(found) > 0 {
				return found
			}
		}
		return nil
	}
}

// each is all that some sources find.
func each(sources ...source) source {
	return func(a *asker) []target {
		var found []target
		for _, s := range sources {
			found = append(found, s(a)...)
		}
		return found
	}
}

// star is the source of the resource of actions that have none.
func star(*asker) []target { return []target{anything} }
