// Minor prints the tag of an image for the newest release of a minor version, such as v0.1
// for v0.1.2, if a registry has no newer one. It prints nothing if it has, and for a
// pre-release.
//
//	go run ./internal/release/minor registry.example.com/openirsa v0.1.2
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/openirsa/openirsa/internal/registry"
	"github.com/openirsa/openirsa/internal/release"
)

func main() {
	out, err := run(context.Background(), os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "minor:", err)
		os.Exit(1)
	}
	fmt.Print(out)
}

func run(ctx context.Context, args []string) (string, error) {
	if len(args) != 2 {
		return "", fmt.Errorf("an image and a tag are needed, not %d arguments", len(args))
	}
	tags, err := registry.Tags(ctx, args[0])
	if err != nil {
		return "", err
	}
	minor, err := release.Minor(args[1], tags)
	if err != nil || minor == "" {
		return "", err
	}
	return minor + "\n", nil
}
