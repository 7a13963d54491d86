package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/image"
)

// findImage builds the image from the Linux programs that `make build` puts
// beside this one, in linux-ARCH/.
func findImage(arch string) (*image.Image, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	return image.Build(filepath.Join(filepath.Dir(self), "linux-"+arch), arch)
}

func (a *app) imageCommand() *cobra.Command {
	var file, arch string
	c := &cobra.Command{
		Use:   "image",
		Short: "Write the container image of webhook, emulator and issuer as an archive",
		Long: `Build the container image from the programs beside this one, without a container
runtime, and write it as 'docker save' does. 'setup up' loads it into kind nodes by
itself; for other clusters, push it to a registry and pass its name to --image.`,
		Example: "  setup image --file openirsa.tar && docker load --input openirsa.tar",
		RunE: func(c *cobra.Command, _ []string) error {
			img, err := findImage(arch)
			if err != nil {
				return advise(fmt.Errorf("image: %w", err), "make build, then run the setup that it puts into bin/")
			}
			f, err := os.Create(file)
			if err != nil {
				return fmt.Errorf("writing the image: %w", err)
			}
			defer f.Close()
			if err := img.Archive(f); err != nil {
				return err
			}
			if err := f.Close(); err != nil {
				return fmt.Errorf("writing the image: %w", err)
			}
			fmt.Fprintln(a.out, img.Tag)
			return nil
		},
	}
	c.Flags().StringVar(&file, "file", "", "file to write (required)")
	c.Flags().StringVar(&arch, "arch", runtime.GOARCH, "architecture, as Go names it")
	c.MarkFlagRequired("file")
	return c
}
