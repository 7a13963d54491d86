package kindenv

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Clients runs the programs of [Env.AWSCLI] on this machine, with its network, and without a cluster.
type Clients struct {
	route Route
	ref   string
	root  string // route Built: the image's files
}

// NewClients unpacks the image in dir, or loads it. It needs what a cluster needs: a docker daemon with a registry, or
// root and apt; else the error wraps [ErrImpossible].
func NewClients(ctx context.Context, dir string, log io.Writer) (*Clients, error) {
	l := newLogger(log)
	chosen, err := choose(ctx, Auto, l)
	if err != nil {
		return nil, err
	}
	if chosen.route == Built {
		if err := install(ctx, l, "debootstrap", "tar"); err != nil {
			return nil, err
		}
	}
	im, err := (&Env{Route: chosen.route, log: l}).AWSCLI(ctx)
	if err != nil {
		return nil, err
	}
	c := &Clients{route: chosen.route, ref: im.Ref, root: filepath.Join(dir, "clients")}
	if c.route == Kind {
		_, err := run(ctx, "docker", "load", "--quiet", "--input", im.Archive)
		return c, err
	}
	if err := os.MkdirAll(c.root, 0o755); err != nil {
		return nil, err
	}
	img, err := tarball.ImageFromPath(im.Archive, nil)
	if err != nil {
		return nil, fmt.Errorf("reading the image %s: %w", im.Ref, err)
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the image %s: %w", im.Ref, err)
	}
	for _, layer := range layers {
		files, err := layer.Uncompressed()
		if err != nil {
			return nil, fmt.Errorf("reading the image %s: %w", im.Ref, err)
		}
		_, err = command{stdin: files}.run(ctx, "tar", "-C", c.root, "--numeric-owner", "-xf", "-")
		files.Close()
		if err != nil {
			return nil, fmt.Errorf("unpacking the image %s: %w", im.Ref, err)
		}
	}
	return c, nil
}

// Command runs a program of the image with nothing but env in its environment. It sees dir, and what is in it, as /work,
// which is also where it starts.
func (c *Clients) Command(ctx context.Context, dir string, env map[string]string, name string, args ...string) (*exec.Cmd, error) {
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		pairs = append(pairs, k+"="+env[k])
	}
	if c.route == Kind {
		dir, err := filepath.Abs(dir) // docker takes another for the name of a volume
		if err != nil {
			return nil, err
		}
		run := []string{"run", "--rm", "--network=host", "--volume=" + dir + ":/work", "--workdir=/work"}
		for _, p := range pairs {
			run = append(run, "--env="+p)
		}
		return exec.CommandContext(ctx, "docker", append(append(run, c.ref, name), args...)...), nil
	}
	work := filepath.Join(c.root, "work")
	if err := os.RemoveAll(work); err != nil {
		return nil, err
	}
	if err := os.CopyFS(work, os.DirFS(dir)); err != nil {
		return nil, fmt.Errorf("copying %s for a program: %w", dir, err)
	}
	inRoot := slices.Concat([]string{c.root, "env", "-i", "-C", "/work", "PATH=" + searchPath, "HOME=/work"}, keepMemory,
		pairs, []string{name}, args)
	return exec.CommandContext(ctx, "chroot", inRoot...), nil
}

// Install installs the packages of those programs that are missing, if it can: on Debian, as root.
func Install(ctx context.Context, log io.Writer, programs ...string) error {
	if len(missing(programs...)) == 0 {
		return nil
	}
	if os.Geteuid() != 0 || len(missing("apt-get")) > 0 {
		return fmt.Errorf("installing %v needs root and apt-get", programs)
	}
	return install(ctx, newLogger(log), programs...)
}

// NodeModules is the folder node_modules of the npm package in dir: what its package-lock.json names, from the cache or
// with npm. No script of a package runs.
func NodeModules(ctx context.Context, dir string, log io.Writer) (string, error) {
	c, err := newCache(newLogger(log))
	if err != nil {
		return "", err
	}
	files := map[string][]byte{"package.json": nil, "package-lock.json": nil}
	parts := []string{"npm"}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if files[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("reading the npm package: %w", err)
		}
		parts = append(parts, string(files[name]))
	}
	entry, err := c.entry(ctx, "npm", keyOf(parts...), func(ctx context.Context, dir string) error {
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
				return err
			}
		}
		_, err := command{dir: dir}.run(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
		return err
	})
	return filepath.Join(entry, "node_modules"), err
}
