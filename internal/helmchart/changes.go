package helmchart

import "strings"

// Change is an entry of a changelog as Artifact Hub has it.
type Change struct {
	Kind        string `json:"kind"` // added, changed, deprecated, removed, fixed or security
	Description string `json:"description"`
}

// Changes are the entries of a changelog's section in the form of Keep a Changelog.
// Marks of Markdown are left out, since Artifact Hub shows plain text.
func Changes(section string) (all []Change) {
	kind := ""
	for line := range strings.Lines(section) {
		line = strings.TrimRight(line, "\n")
		if heading, ok := strings.CutPrefix(line, "### "); ok {
			kind = strings.ToLower(strings.TrimSpace(heading))
			continue
		}
		if entry, ok := strings.CutPrefix(line, "- "); ok && kind != "" {
			all = append(all, Change{kind, plain(entry)})
		} else if text := strings.TrimSpace(line); text != "" && strings.HasPrefix(line, " ") && len(all) > 0 {
			all[len(all)-1].Description += " " + plain(text)
		}
	}
	for i, c := range all {
		all[i].Description = unlinked(c.Description)
	}
	return all
}

func plain(s string) string { return strings.NewReplacer("`", "", "**", "").Replace(s) }

// unlinked has links' texts alone.
func unlinked(s string) string {
	for {
		before, rest, ok := strings.Cut(s, "[")
		text, rest, linked := strings.Cut(rest, "](")
		_, after, closed := strings.Cut(rest, ")")
		if !ok || !linked || !closed {
			return s
		}
		s = before + text + after
	}
}
