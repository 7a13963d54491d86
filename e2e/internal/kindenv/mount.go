package kindenv

import (
	"slices"
	"strings"
)

// mountsBelow returns the mount points at or below dir in a mount table (proc_mounts(5)), the deepest and latest
// first.
func mountsBelow(table, dir string) []string {
	// The table writes these four characters in octal.
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		p := unescape.Replace(f[1])
		if p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/") {
			points = append(points, p)
		}
	}
	slices.Reverse(points) // the table is in the order of mounting
	return points
}
