package question

import (
	"context"
	"strings"
)

// Memory is a [World] that knows what it was told. It is for one goroutine at a
// time. The region and account of a fact may be left out: then it holds for all.
type Memory struct {
	Facts map[Fact]Known
	// Keys are the condition keys that policies mention; nil is all.
	Keys []string
}

// Find implements [World].
func (m *Memory) Find(_ context.Context, f Fact) (Known, bool, error) {
	for _, f := range []Fact{f, {Kind: f.Kind, Name: f.Name}} {
		if known, found := m.Facts[f]; found {
			return known, true, nil
		}
	}
	return Known{}, false, nil
}

// Mentions implements [World].
func (m *Memory) Mentions(key string) bool {
	if m.Keys == nil {
		return true
	}
	for _, name := range m.Keys {
		if strings.EqualFold(name, key) || hasPrefix(name, key) && strings.ContainsAny(key[len(key)-1:], "/:") {
			return true
		}
	}
	return false
}
