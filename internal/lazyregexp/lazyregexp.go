// Package lazyregexp has regular expressions that are compiled when they are first used. One with a count, as [a-z]{1,255},
// takes hundreds of kilobytes, and a command that never uses it would wait for it at each start.
package lazyregexp

import (
	"regexp"
	"regexp/syntax"
	"sync"
)

// Regexp is a regular expression. It may be used by several goroutines.
type Regexp struct {
	text     string
	compiled func() *regexp.Regexp
}

// New is an expression of Go's regexp. It panics for one with a fault, as [regexp.MustCompile] does: to parse it takes little.
func New(expr string) *Regexp {
	if _, err := syntax.Parse(expr, syntax.Perl); err != nil {
		panic(err)
	}
	return &Regexp{expr, sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })}
}

// MatchString is [regexp.Regexp.MatchString].
func (r *Regexp) MatchString(s string) bool { return r.compiled().MatchString(s) }

// FindStringSubmatch is [regexp.Regexp.FindStringSubmatch].
func (r *Regexp) FindStringSubmatch(s string) []string { return r.compiled().FindStringSubmatch(s) }

// String is the expression.
func (r *Regexp) String() string { return r.text }
