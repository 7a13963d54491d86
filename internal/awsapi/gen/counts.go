package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// counts are what the tables have, to see what they lose: actions, types and
// condition keys of a prefix, and operations of a model and those of them that
// have no action.
type counts []counted

type counted struct {
	kind, name string
	numbers    []int
}

const countsHead = `# Made by internal/awsapi/gen. Do not edit.
#
# Of a prefix: its actions, types of resources and condition keys. Of a model: its operations, and those of them that have no
# action of their name.
`

func count(services map[string]*service, models map[string]*model) counts {
	var all counts
	for _, s := range sorted(services) {
		all = append(all, counted{"prefix", s.prefix, []int{len(s.actions), len(s.types), len(s.keys)}})
	}
	for _, m := range sorted(models) {
		actions := map[string]bool{}
		if s := services[m.prefix]; s != nil {
			for _, a := range s.actions {
				actions[strings.ToLower(a.name)] = true
			}
		}
		without := 0
		for name := range m.Operations {
			if !actions[strings.ToLower(name)] {
				without++
			}
		}
		all = append(all, counted{"model", m.name, []int{len(m.Operations), without}})
	}
	return all
}

func (c counted) String() string {
	return strings.TrimSuffix(fmt.Sprintln(c.kind, c.name, strings.Trim(fmt.Sprint(c.numbers), "[]")), "\n")
}

func (c counts) String() string {
	var b strings.Builder
	b.WriteString(countsHead)
	for _, one := range c {
		fmt.Fprintln(&b, one)
	}
	return b.String()
}

func (c counts) summary() string {
	sums := map[string][4]int{}
	for _, one := range c {
		s := sums[one.kind]
		s[0]++
		for i, n := range one.numbers {
			s[i+1] += n
		}
		sums[one.kind] = s
	}
	p, m := sums["prefix"], sums["model"]
	return fmt.Sprintf("%d prefixes, %d actions, %d types, %d condition keys; %d models, %d operations, %d without an action",
		p[0], p[1], p[2], p[3], m[0], m[1], m[2])
}

// lost is what the file of the last time had more of: prefixes and models, and
// actions, types and operations of one. A file that is not there had nothing.
func (c counts) lost(file string) []string {
	last, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return []string{err.Error()}
	}
	now := map[string][]int{}
	for _, one := range c {
		now[one.kind+" "+one.name] = one.numbers
	}
	var lost []string
	for line := range strings.Lines(string(last)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var was counted
		var first, second int
		if _, err := fmt.Sscan(line, &was.kind, &was.name, &first, &second); err != nil {
			return []string{fmt.Sprintf("%s: %q: %v", file, line, err)}
		}
		n, ok := now[was.kind+" "+was.name]
		switch {
		case !ok:
			lost = append(lost, was.kind+" "+was.name+" is gone")
		case n[0] < first:
			lost = append(lost, fmt.Sprintf("%s %s has %d, not %d", was.kind, was.name, n[0], first))
		case was.kind == "prefix" && n[1] < second:
			lost = append(lost, fmt.Sprintf("prefix %s has %d types, not %d", was.name, n[1], second))
		case was.kind == "model" && n[0]-n[1] < first-second:
			lost = append(lost, fmt.Sprintf("model %s has %d operations without an action, not %d", was.name, n[1], second))
		}
	}
	return lost
}
