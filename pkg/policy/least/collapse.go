package least

import (
	"slices"
	"strconv"
	"strings"
)

// Widen says how resources that were seen become patterns.
type Widen string

const (
	// Exact has no pattern but for ids that were not known.
	Exact Widen = "exact"
	// Prefix has a pattern for more than [Few] resources that begin alike.
	Prefix Widen = "prefix"
	// WholeType has a pattern for all resources of a type if there are more than [Few].
	WholeType Widen = "type"
)

// Few is how many resources of a type stay apart.
const Few = 5

// pattern is a resource as a policy has it while patterns are made.
type pattern struct {
	values []value
	seen   []string // the resources that it rests on
}

// collapse makes patterns of the resources of one type: one part of the ARN after the
// other, from the last. few is how many stay apart.
func collapse(sample *arn, patterns []pattern, widen Widen, few int) []pattern {
	if widen == Exact {
		return patterns
	}
	for at := len(sample.parts) - 1; at >= 0; at-- {
		var order []string
		alike := map[string][]pattern{} // those that differ in this part only
		for _, p := range patterns {
			id := p.without(at)
			if alike[id] == nil {
				order = append(order, id)
			}
			alike[id] = append(alike[id], p)
		}
		patterns = nil
		for _, id := range order {
			patterns = append(patterns, collapsePart(sample, alike[id], at, widen, few)...)
		}
	}
	return patterns
}

// without is what tells patterns apart but for one part.
func (p *pattern) without(at int) string {
	var b strings.Builder
	for i, v := range p.values {
		if i != at {
			b.WriteString(strconv.Quote(v.text) + strconv.FormatBool(v.star))
		}
	}
	return b.String()
}

// collapsePart makes patterns of resources that differ in one part only.
func collapsePart(sample *arn, patterns []pattern, at int, widen Widen, few int) []pattern {
	if len(patterns) <= few {
		return patterns
	}
	if widen == WholeType {
		return []pattern{united(patterns, at, "")}
	}
	texts := make([]string, len(patterns))
	for i := range patterns {
		texts[i] = patterns[i].values[at].text
	}
	if prefix := commonPrefix(texts, sample.marks); prefix != "" {
		return []pattern{united(patterns, at, prefix)}
	}
	var order []string
	begin := map[string][]pattern{}
	for _, p := range patterns {
		text := p.values[at].text
		if i := strings.IndexAny(text, sample.marks); i >= 0 {
			text = text[:i+1]
		}
		if begin[text] == nil {
			order = append(order, text)
		}
		begin[text] = append(begin[text], p)
	}
	var apart []pattern
	for _, text := range order {
		group := begin[text]
		if len(group) > few {
			group = collapsePart(sample, group, at, widen, few)
		}
		apart = append(apart, group...)
	}
	// The objects of a bucket are below its name, and that is where they begin alike.
	if object := sample.marks == "/" && at == len(sample.parts)-1; object && len(apart) > few {
		return []pattern{united(patterns, at, "")}
	}
	return apart
}

// united is one pattern for several: everything that begins with the prefix in one
// part.
func united(patterns []pattern, at int, prefix string) pattern {
	p := pattern{values: slices.Clone(patterns[0].values)}
	p.values[at] = value{text: prefix, star: true}
	for _, q := range patterns {
		p.seen = append(p.seen, q.seen...)
	}
	slices.Sort(p.seen)
	return p
}

// commonPrefix is what all texts begin with, up to a separator and with it.
func commonPrefix(texts []string, marks string) string {
	prefix := texts[0]
	for _, text := range texts[1:] {
		n := 0
		for n < len(prefix) && n < len(text) && prefix[n] == text[n] {
			n++
		}
		prefix = prefix[:n]
	}
	return prefix[:strings.LastIndexAny(prefix, marks)+1]
}
