// Gen draws a picture of boxes and arrows, described in a text file, as two SVG
// files beside it: one for light pages and one for dark ones.
//
//	go run ./docs/images/gen docs/images/chain.txt
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("which file?")
	}
	for _, file := range args {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		p, err := parse(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, t := range themes {
			name := strings.TrimSuffix(file, filepath.Ext(file)) + "-" + t.name + ".svg"
			if err := os.WriteFile(name, []byte(p.svg(t)), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
