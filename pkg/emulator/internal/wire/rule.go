package wire

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Pattern is what the service model wants a text to look like: the regular
// expression as AWS spells it in its error texts, and a function that decides.
type Pattern struct {
	text  string
	match func(string) bool
}

// EveryRune is the pattern of texts of which every rune satisfies ok.
//
//go:noinline // so that what it makes is there once, not again at each call
func EveryRune(text string, ok func(rune) bool) *Pattern {
	return &Pattern{text, func(s string) bool {
		for _, r := range s {
			if !ok(r) {
				return false
			}
		}
		return true
	}}
}

// ByRegexp is the pattern of a regular expression.
func ByRegexp(text, expr string) *Pattern {
	re := regexp.MustCompile(`^(?:` + expr + `)$`)
	return &Pattern{text, re.MatchString}
}

// Patterns of tags, in the service models of STS and IAM.
var (
	patternTag      = ByRegexp(`[\p{L}\p{Z}\p{N}_.:/=+\-@]+`, `[\p{L}\p{Z}\p{N}_.:/=+\-@]+`)
	patternTagValue = ByRegexp(`[\p{L}\p{Z}\p{N}_.:/=+\-@]*`, `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`)
)

// Rule is what the service model demands of one text parameter. Lengths are in
// characters; max 0 means no limit.
type Rule struct {
	Required bool
	Min, Max int
	Pattern  *Pattern
	Secret   bool // its value is not repeated in errors
}

// Faults are the constraints that s violates, in AWS's words.
func (r Rule) Faults(s string) []string {
	var f []string
	n := utf8.RuneCountInString(s)
	if n < r.Min {
		f = append(f, "Member must have length greater than or equal to "+strconv.Itoa(r.Min))
	}
	if r.Max > 0 && n > r.Max {
		f = append(f, "Member must have length less than or equal to "+strconv.Itoa(r.Max))
	}
	if r.Pattern != nil && (s == "" && strings.HasSuffix(r.Pattern.text, "+") || !r.Pattern.match(s)) {
		f = append(f, "Member must satisfy regular expression pattern: "+r.Pattern.text)
	}
	return f
}

// constraints are all that a member of a list must be, in AWS's words and order.
func (r Rule) constraints() []string {
	var all []string
	if r.Max > 0 {
		all = append(all, "Member must have length less than or equal to "+strconv.Itoa(r.Max))
	}
	if r.Min > 0 || r.Max > 0 {
		all = append(all, "Member must have length greater than or equal to "+strconv.Itoa(r.Min))
	}
	if r.Pattern != nil {
		all = append(all, "Member must satisfy regular expression pattern: "+r.Pattern.text)
	}
	return append(all, "Member must not be null")
}

// Rules of tags, in the same models.
var (
	RuleTagKey   = Rule{Required: true, Min: 1, Max: 128, Pattern: patternTag}
	RuleTagValue = Rule{Required: true, Max: 256, Pattern: patternTagValue}
)

// Optional is the rule for a parameter that may be left out.
func (r Rule) Optional() Rule { r.Required = false; return r }
