// Pack compresses a Linux build of openirsa and puts it where builds with the tag
// selfcontained find it.
//
//	go run ./internal/linuxbuild/pack bin/linux-arm64/openirsa arm64
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/openirsa/openirsa/internal/durable"
	"github.com/openirsa/openirsa/internal/image"
	"github.com/openirsa/openirsa/internal/linuxbuild"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: go run ./internal/linuxbuild/pack FILE ARCH")
		os.Exit(2)
	}
	if err := pack(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "pack: %v\n", err)
		os.Exit(1)
	}
}

func pack(file, arch string) error {
	if _, err := image.Build(image.File(file), arch); err != nil {
		return err
	}
	program, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	packed, err := linuxbuild.Pack(program)
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join("internal", "linuxbuild", linuxbuild.File(arch)), packed, 0o644)
}
