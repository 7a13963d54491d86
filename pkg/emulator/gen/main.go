// Gen makes a table from AWS's service models, as botocore has them, of what the
// answers of STS and IAM may hold:
//
//	go run ./pkg/emulator/gen -from .../botocore/data -out pkg/emulator/internal/wire/shapes.txt
//
// It was last run with botocore 1.43.11.
package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// models are the services and the versions of their interfaces.
var models = []struct{ service, version string }{{"iam", "2010-05-08"}, {"sts", "2011-06-15"}}

const head = `# Made by pkg/emulator/gen from the service models in botocore. Do not edit.
#
# A line tells of an operation's result, or of a structure, which has an asterisk, what it may hold: names of members and
# what they are. Without a mark that is a text; # is a number, ? is true or false, @ is a time, [ is a list and { a map of
# what follows. An exclamation mark is after the names that are always there.
`

func main() {
	from := flag.String("from", "", "directory data of botocore")
	out := flag.String("out", "", "file to write the table of answers to")
	flag.Parse()
	if err := run(*from, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(from, out string) error {
	if from == "" || out == "" {
		return errors.New("-from and -out are needed")
	}
	var b strings.Builder
	b.WriteString(head)
	for _, m := range models {
		model := new(model)
		if err := read(filepath.Join(from, m.service, m.version, "service-2.json.gz"), model); err != nil {
			return err
		}
		fmt.Fprintf(&b, "\n[%s]\n", m.service)
		model.write(&b)
	}
	return os.WriteFile(out, []byte(b.String()), 0o644)
}

type model struct {
	Operations map[string]struct {
		Output struct{ Shape string }
	}
	Shapes map[string]shape
}

type shape struct {
	Type     string
	Required []string
	Members  map[string]reference // of a structure
	Member   reference            // of a list
	Value    reference            // of a map
}

type reference struct{ Shape string }

// write writes the operations, and then the structures that they use.
func (m *model) write(b *strings.Builder) {
	used := map[string]bool{}
	for _, operation := range slices.Sorted(maps.Keys(m.Operations)) {
		if output := m.Operations[operation].Output.Shape; output != "" {
			b.WriteString(operation + ":" + m.members(output, used) + "\n")
		}
	}
	written := map[string]bool{}
	for len(written) < len(used) {
		for _, name := range slices.Sorted(maps.Keys(used)) {
			if !written[name] {
				written[name] = true
				b.WriteString("*" + name + ":" + m.members(name, used) + "\n")
			}
		}
	}
}

// members tells what a structure holds, and adds the structures in it to used.
func (m *model) members(structure string, used map[string]bool) string {
	s := m.Shapes[structure]
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.Members)) {
		text.WriteString(" " + name)
		if slices.Contains(s.Required, name) {
			text.WriteString("!")
		}
		if kind := m.kind(s.Members[name].Shape, used); kind != "" {
			text.WriteString("=" + kind)
		}
	}
	return text.String()
}

func (m *model) kind(name string, used map[string]bool) string {
	switch s := m.Shapes[name]; s.Type {
	case "structure":
		used[name] = true
		return "*" + name
	case "list":
		return "[" + m.kind(s.Member.Shape, used)
	case "map":
		return "{" + m.kind(s.Value.Shape, used)
	case "integer", "long":
		return "#"
	case "boolean":
		return "?"
	case "timestamp":
		return "@"
	}
	return ""
}
