package plan

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Diff shows how a text changes: lines that go with "- ", lines that come with
// "+ ", lines that stay with two spaces, in their order (the longest common
// subsequence). Equal texts give "".
func Diff(before, after string) string {
	if before == after {
		return ""
	}
	return DiffLines(lines(before), lines(after))
}

// DiffLines is [Diff] of two lists, a line for each item.
func DiffLines(before, after []string) string {
	if slices.Equal(before, after) {
		return ""
	}
	var out strings.Builder
	for _, e := range Edits(before, after) {
		out.WriteString(string(e.Mark) + " " + e.Item + "\n")
	}
	return out.String()
}

// Edit is what becomes of one item of two lists: it is in both (the Mark is a
// space), goes ('-') or comes ('+').
type Edit struct {
	Mark rune
	Item string
}

// Edits make the second list of the first one, by their longest common
// subsequence. What goes comes before what replaces it.
func Edits(a, b []string) []Edit {
	// common[i][j] is the length of what a[i:] and b[j:] have in common.
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var edits []Edit
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			edits = append(edits, Edit{' ', a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			edits = append(edits, Edit{'-', a[i]})
			i++
		default:
			edits = append(edits, Edit{'+', b[j]})
			j++
		}
	}
	return edits
}

// DiffJSON is [Diff] of two documents, each indented if it is JSON.
func DiffJSON(before, after []byte) string { return Diff(indent(before), indent(after)) }

func indent(document []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, document, "", "  ") != nil {
		return string(document)
	}
	return out.String()
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}
