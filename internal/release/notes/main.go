// Notes prints what CHANGELOG.md says of a release, if the tag, the changelog and the
// chart have the same version. Without a tag it prints the newest version's tag.
//
//	go run ./internal/release/notes v0.1.0
package main

import (
	"fmt"
	"os"

	"github.com/openirsa/openirsa/internal/release"
)

func main() {
	out, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "notes:", err)
		os.Exit(1)
	}
	fmt.Print(out)
}

func run(args []string) (string, error) {
	checkout := os.DirFS(".")
	switch len(args) {
	case 0:
		newest, err := release.Newest(checkout)
		return "v" + newest.Version + "\n", err
	case 1:
		return release.Notes(checkout, args[0])
	}
	return "", fmt.Errorf("one tag is needed, not %d", len(args))
}
