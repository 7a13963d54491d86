package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/pkg/chain"
)

// imageError is that the image could not be built.
type imageError struct{ error }

func (e imageError) Unwrap() error { return e.error }

// programs builds the image from the Linux programs that `make build` puts beside
// this one, in linux-ARCH/.
func programs(arch string) (chain.Image, error) {
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return chain.Image{}, imageError{fmt.Errorf("finding this program: %w", err)}
	}
	img, err := chain.Programs(filepath.Dir(self))(arch)
	if err != nil {
		return chain.Image{}, imageError{err}
	}
	return img, nil
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
			img, err := programs(arch)
			if err != nil {
				return fmt.Errorf("image: %w", err)
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
			fmt.Fprintln(a.out, img.Ref)
			return nil
		},
	}
	c.Flags().StringVar(&file, "file", "", "file to write (required)")
	c.Flags().StringVar(&arch, "arch", runtime.GOARCH, "architecture, as Go names it")
	c.MarkFlagRequired("file")
	return c
}
