package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/durable"
	"github.com/openirsa/openirsa/internal/image"
	"github.com/openirsa/openirsa/internal/linuxbuild"
	"github.com/openirsa/openirsa/internal/registry"
	"github.com/openirsa/openirsa/internal/version"
	"github.com/openirsa/openirsa/pkg/chain"
)

// imageError is that the image could not be built.
type imageError struct{ error }

func (e imageError) Unwrap() error { return e.error }

// noProgramError is that there is no Linux program for an architecture.
type noProgramError struct {
	arch   string
	beside string // where it is not either
}

func (e *noProgramError) Error() string {
	return fmt.Sprintf("the image is made of the Linux program for %s, which is neither in this program nor at %s", e.arch, e.beside)
}

// published is the image of this program in the project's registry, if it is a release.
func published() string {
	if v := version.String(); releases.MatchString(v) {
		return image.Repository + ":" + v
	}
	return "REF"
}

var releases = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+$`)

// program is the Linux program for nodes of an architecture: this one, the one that is
// in this one, or the one that `make build` puts beside this one.
func (a *app) program(arch string) (image.Program, error) {
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return image.Program{}, fmt.Errorf("finding this program: %w", err)
	}
	if a.daemons != nil && runtime.GOOS == "linux" && arch == runtime.GOARCH {
		return image.File(self), nil
	}
	switch inside, err := linuxbuild.Program(arch); {
	case err == nil:
		return image.Bytes("the Linux program in this one", inside), nil
	case !errors.Is(err, fs.ErrNotExist):
		return image.Program{}, err
	}
	beside := filepath.Join(filepath.Dir(self), "linux-"+arch, image.Whole)
	if _, err := os.Stat(beside); err != nil {
		return image.Program{}, &noProgramError{arch, beside}
	}
	return image.File(beside), nil
}

// build makes the image for nodes of an architecture, of the program in a folder if one
// is given.
func (a *app) build(dir, arch string) (*image.Image, error) {
	program := image.File(filepath.Join(dir, "linux-"+arch, image.Whole))
	if dir == "" {
		var err error
		if program, err = a.program(arch); err != nil {
			return nil, imageError{err}
		}
	}
	program.Version = version.String()
	img, err := image.Build(program, arch)
	if err != nil {
		return nil, imageError{err}
	}
	return img, nil
}

// forNodes is the image that is loaded into the nodes of a kind cluster.
func (a *app) forNodes(arch string) (chain.Image, error) {
	img, err := a.build("", arch)
	if err != nil {
		return chain.Image{}, err
	}
	return chain.Image{Ref: img.Tag, Archive: img.Archive}, nil
}

// imageOptions say of what the image is made, and where it goes.
type imageOptions struct {
	file, layout, push string
	arch, programs     string
	platforms          []string
}

func (a *app) imageCommand() *cobra.Command {
	var o imageOptions
	c := &cobra.Command{
		Use:   "image",
		Short: "Make the container image of webhook, agent, emulator and issuer: as a file, a folder, or in a registry",
		Long: `Make the container image of this program, which is webhook, agent, emulator and
issuer as well, without a container runtime. 'setup up' loads it into kind nodes by
itself; for other clusters, push it to a registry and pass its name to --image.

On Linux the running program itself is packed. Programs for macOS and Windows from a
release contain the Linux program for the same architecture. For other architectures
it is looked for beside this program, at linux-ARCH/openirsa, or in the folder
--programs.

The same program gives the same image, with the same digest. --push uses the
credentials that 'docker login' has left.`,
		Example: `  setup image --file openirsa.tar && docker load --input openirsa.tar
  setup image --push registry.example.com/openirsa:v1
  setup image --push registry.example.com/openirsa:v1 --platform linux/amd64,linux/arm64 --programs dist`,
		RunE: func(c *cobra.Command, _ []string) error { return a.image(c.Context(), &o) },
	}
	f := c.Flags()
	f.StringVar(&o.file, "file", "", "archive to write, as 'docker save' does")
	f.StringVar(&o.layout, "layout", "", "folder to write, new or empty, as an OCI image layout")
	f.StringVar(&o.push, "push", "", "name to push it as: REGISTRY/REPOSITORY:TAG")
	f.StringVar(&o.arch, "arch", runtime.GOARCH, "architecture, as Go names it")
	f.StringSliceVar(&o.platforms, "platform", nil, "platforms of the image, such as linux/amd64,linux/arm64 (default: linux and --arch)")
	f.StringVar(&o.programs, "programs", "", "folder with the Linux programs, as linux-ARCH/openirsa (default: see above)")
	c.MarkFlagsMutuallyExclusive("file", "layout", "push")
	c.MarkFlagsOneRequired("file", "layout", "push")
	c.MarkFlagsMutuallyExclusive("arch", "platform")
	return c
}

func (a *app) image(ctx context.Context, o *imageOptions) error {
	arches, err := o.arches()
	if err != nil {
		return err
	}
	tag, err := registry.Parse(o.push)
	if o.push != "" && err != nil {
		return cli.Usagef("--push: %w", err)
	}
	var images []*image.Image
	for _, arch := range arches {
		img, err := a.build(o.programs, arch)
		if err != nil {
			return fmt.Errorf("image: %w", err)
		}
		images = append(images, img)
	}
	if o.file != "" {
		if err := durable.Write(o.file, 0o644, images[0].Archive); err != nil {
			return fmt.Errorf("image: %w", err)
		}
		fmt.Fprintln(a.out, images[0].Tag)
		return nil
	}
	index, err := image.Index(images...)
	if err != nil {
		return err
	}
	var said string
	if o.push != "" {
		said, err = registry.Push(ctx, tag, index)
	} else if err = image.Layout(o.layout, index); err == nil {
		var digest v1.Hash
		digest, err = index.Digest()
		said = digest.String()
	}
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	fmt.Fprintln(a.out, said)
	return nil
}

// arches are the architectures that are asked for.
func (o *imageOptions) arches() ([]string, error) {
	if o.platforms == nil {
		return []string{o.arch}, nil
	}
	var arches []string
	for _, platform := range o.platforms {
		arch, ok := strings.CutPrefix(platform, "linux/")
		if !ok || arch == "" || slices.Contains(arches, arch) {
			return nil, cli.Usagef("--platform %q is not linux/ARCH, each once, such as linux/amd64,linux/arm64", platform)
		}
		arches = append(arches, arch)
	}
	if o.file != "" && len(arches) > 1 {
		return nil, cli.Usagef("--file holds one platform, and --platform names %d: write a --layout", len(arches))
	}
	return arches, nil
}
