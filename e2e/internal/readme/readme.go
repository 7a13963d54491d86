// Package readme reads the terminal sessions of a Markdown page, and compares what
// they show with what really happens.
//
//	blocks, err := readme.Parse(text)
//	for _, c := range blocks[0].Commands {
//		out := run(c.Text)
//		if diff := readme.Diff(c.Output, out); diff != "" { ... }
//	}
package readme

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/go-cmp/cmp"
)

// Block is a code block of the language "console".
type Block struct {
	Line int // of its first line, counted from 1
	// Before is what happens before it, without a command of the page: the text of
	// a comment "<!-- before: TEXT -->" on the line above.
	Before string
	// NotRun is why it is not run: "<!-- not run: WHY -->".
	NotRun   string
	Commands []Command
}

// Command is what follows a prompt "$ ", and what it prints.
type Command struct {
	Line   int
	Text   string // for a shell; several lines, if they end in a backslash
	Output string // "" or lines; a line "..." stands for any lines
}

var note = regexp.MustCompile(`^<!-- (before|not run): (.+) -->$`)

// Parse finds the blocks of a page.
func Parse(page string) ([]Block, error) {
	var blocks []Block
	var b *Block
	var kind, text string // of the note on the line above
	fence := false        // within a block of another language
	n := 0
	for line := range strings.Lines(page) {
		n++
		line = strings.TrimRight(line, "\r\n")
		switch {
		case b != nil && line == "```":
			if len(b.Commands) == 0 {
				return nil, fmt.Errorf("line %d: a console without a command", b.Line)
			}
			blocks, b = append(blocks, *b), nil
		case b != nil:
			if err := b.add(n, line); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
		case fence:
			fence = line != "```"
		case line == "```console":
			b = &Block{Line: n}
			switch kind {
			case "before":
				b.Before = text
			case "not run":
				b.NotRun = text
			}
		case strings.HasPrefix(line, "```"):
			fence = true
		}
		kind, text = "", ""
		if m := note.FindStringSubmatch(line); m != nil {
			kind, text = m[1], m[2]
		}
	}
	if b != nil || fence {
		return nil, errors.New("a block does not end")
	}
	return blocks, nil
}

func (b *Block) add(n int, line string) error {
	if command, ok := strings.CutPrefix(line, "$ "); ok {
		b.Commands = append(b.Commands, Command{Line: n, Text: command})
		return nil
	}
	if len(b.Commands) == 0 {
		return errors.New("output before a command")
	}
	c := &b.Commands[len(b.Commands)-1]
	if strings.HasSuffix(c.Text, `\`) && c.Output == "" {
		c.Text += "\n" + line
		return nil
	}
	c.Output += line + "\n"
	return nil
}

// What differs from run to run, and what stands for it.
var masks = []struct {
	form *regexp.Regexp
	mask string
}{
	{regexp.MustCompile(` {2}\([0-9.]+m?s\)$`), ""}, // said of what took a tenth of a second or longer
	{regexp.MustCompile(`\bDone in [0-9hm.]+s\b`), "Done in TIME"},
	{regexp.MustCompile(`\bwith [0-9]+ calls to AWS \([0-9]+ writes\)`), "with N calls to AWS (N writes)"},
	{regexp.MustCompile(`\b(RS256|kid) [A-Za-z0-9_-]{43}(\W|$)`), "$1 KID$2"},
	{regexp.MustCompile(`\bopenirsa\.dev/openirsa:[0-9a-f]{16}\b`), "openirsa.dev/openirsa:DIGEST"},
	{regexp.MustCompile(`\bA(ROA|SIA|KIA|IDA)[A-Z0-9]{16,}\b`), "A${1}ID"},
	{regexp.MustCompile(`\bbotocore-session-[0-9]+\b`), "botocore-session-TIME"},
	{regexp.MustCompile(`\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+)`), "TIME"},
}

// Mask replaces times, ids and random values in each line of a text.
func Mask(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		line = strings.TrimRight(line, " \r")
		for _, m := range masks {
			line = m.form.ReplaceAllString(line, m.mask)
		}
		lines[i] = line
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// Diff compares an output of a page with a real one, and is empty if they say the
// same.
func Diff(page, real string) string {
	page, real = Mask(page), Mask(real)
	if matches(strings.Split(page, "\n"), strings.Split(real, "\n")) {
		return ""
	}
	return cmp.Diff(strings.Split(page, "\n"), strings.Split(real, "\n"))
}

func matches(page, real []string) bool {
	if len(page) == 0 {
		return len(real) == 0
	}
	if page[0] != "..." {
		return len(real) > 0 && page[0] == real[0] && matches(page[1:], real[1:])
	}
	for i := range len(real) + 1 {
		if matches(page[1:], real[i:]) {
			return true
		}
	}
	return false
}
