package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// picture is what a file describes.
type picture struct {
	title  string
	lanes  []lane
	boxes  []box
	arrows []arrow
}

// lane is a row of boxes with a frame.
type lane struct {
	row         int
	title, text string
}

// box is at a place of a grid. Columns and rows are counted from 1.
type box struct {
	name        string
	column, row int
	title       string
	lines       []string
}

// arrow joins two boxes of the same row or of the same column.
type arrow struct {
	from, to box
	both     bool
	lines    []string
}

func parse(text string) (picture, error) {
	var p picture
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		verb, rest, _ := strings.Cut(line, " ")
		if err := p.add(verb, strings.TrimSpace(rest)); err != nil {
			return picture{}, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if p.title == "" || len(p.boxes) == 0 {
		return picture{}, errors.New("there is no title, or no box")
	}
	return p, nil
}

func (p *picture) add(verb, rest string) error {
	switch verb {
	case "title":
		p.title = rest
	case "lane":
		var l lane
		texts, err := scan(rest, 1, &l.row)
		if err != nil {
			return err
		}
		l.title = texts[0]
		if len(texts) > 1 {
			l.text = texts[1]
		}
		p.lanes = append(p.lanes, l)
	case "box":
		var b box
		texts, err := scan(rest, 3, &b.name, &b.column, &b.row)
		if err != nil {
			return err
		}
		if p.find(b.name) >= 0 {
			return fmt.Errorf("there are two boxes %q", b.name)
		}
		b.title, b.lines = texts[0], texts[1:]
		p.boxes = append(p.boxes, b)
	case "arrow":
		var from, to string
		texts, err := scan(rest, 2, &from, &to)
		if err != nil {
			return err
		}
		f, t := p.find(from), p.find(to)
		if f < 0 || t < 0 {
			return fmt.Errorf("there is no box %q, or none %q", from, to)
		}
		a := arrow{from: p.boxes[f], to: p.boxes[t], lines: texts}
		if (a.from.row == a.to.row) == (a.from.column == a.to.column) {
			return fmt.Errorf("%s and %s are neither in one row nor in one column", from, to)
		}
		if first, ok := strings.CutPrefix(texts[0], "<>"); ok {
			a.both, a.lines[0] = true, strings.TrimSpace(first)
		}
		p.arrows = append(p.arrows, a)
	default:
		return fmt.Errorf("%q is none of title, lane, box, arrow", verb)
	}
	return nil
}

func (p *picture) find(name string) int {
	return slices.IndexFunc(p.boxes, func(b box) bool { return b.name == name })
}

// scan reads n words into values, and the texts after them, which "|" parts.
func scan(rest string, n int, values ...any) ([]string, error) {
	words := strings.Fields(rest)
	if len(words) <= n {
		return nil, errors.New("something is missing")
	}
	for i, v := range values {
		if _, err := fmt.Sscan(words[i], v); err != nil {
			return nil, fmt.Errorf("%q: %w", words[i], err)
		}
	}
	var texts []string
	for text := range strings.SplitSeq(strings.Join(words[n:], " "), "|") {
		texts = append(texts, strings.TrimSpace(text))
	}
	return texts, nil
}
