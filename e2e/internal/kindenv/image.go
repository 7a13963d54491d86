package kindenv

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Image is a container image in an archive.
type Image struct {
	Ref     string // what a pod names; the nodes never pull it
	Archive string // file, as "docker save" writes it
}

// File is a file of an image.
type File struct {
	Path   string // in the image, absolute
	Source string // on this machine; a link is followed
}

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// WriteImage makes an image of these files alone and writes it to im.Archive. entrypoint is the program.
func WriteImage(im Image, entrypoint string, files ...File) error {
	var b bytes.Buffer
	if err := writeLayer(&b, files); err != nil {
		return fmt.Errorf("making the image %s: %w", im.Ref, err)
	}
	return writeArchive(im, v1.Config{Entrypoint: []string{entrypoint}}, func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b.Bytes())), nil
	})
}

// writeArchive writes an image of one layer.
func writeArchive(im Image, config v1.Config, layer tarball.Opener) error {
	ref, err := name.ParseReference(im.Ref)
	if err != nil {
		return fmt.Errorf("making the image: %w", err)
	}
	// Not compressed: it is read once, by a containerd on this machine.
	l, err := tarball.LayerFromOpener(layer, tarball.WithCompressionLevel(gzip.NoCompression))
	if err != nil {
		return fmt.Errorf("making the image %s: %w", im.Ref, err)
	}
	config.Env = append(slices.Clone(config.Env), "PATH="+searchPath)
	img, err := mutate.AppendLayers(empty.Image, l)
	if err == nil {
		img, err = mutate.ConfigFile(img, &v1.ConfigFile{
			OS: "linux", Architecture: runtime.GOARCH, Config: config,
			RootFS: v1.RootFS{Type: "layers", DiffIDs: diffIDs(img)},
		})
	}
	if err == nil {
		err = tarball.WriteToFile(im.Archive, ref, img)
	}
	if err != nil {
		return fmt.Errorf("making the image %s: %w", im.Ref, err)
	}
	return nil
}

func diffIDs(img v1.Image) []v1.Hash {
	c, err := img.ConfigFile()
	if err != nil {
		return nil
	}
	return c.RootFS.DiffIDs
}

// writeLayer writes files as a tar stream, with the folders they need and /tmp. Everything belongs to root and
// has no time, so that the same content has the same digest.
func writeLayer(w io.Writer, files []File) error {
	tw := tar.NewWriter(w)
	seen := map[string]bool{}
	mkdir := func(p string, mode int64) error {
		if seen[p] {
			return nil
		}
		seen[p] = true
		return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: p + "/", Mode: mode})
	}
	if err := mkdir("tmp", 0o1777); err != nil {
		return err
	}
	for _, f := range files {
		rel := strings.Trim(path.Clean(f.Path), "/")
		for i, c := range rel {
			if c == '/' {
				if err := mkdir(rel[:i], 0o755); err != nil {
					return err
				}
			}
		}
		b, err := os.ReadFile(f.Source)
		if err != nil {
			return err
		}
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: rel, Size: int64(len(b)), Mode: 0o755}); err != nil {
			return err
		}
		if _, err := tw.Write(b); err != nil {
			return err
		}
	}
	return tw.Close()
}

// dockerfile makes, where a registry answers, the same image that awscli.sh makes.
const dockerfile = `FROM debian:trixie-slim
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    awscli python3-boto3 python3-cffi-backend ca-certificates && rm -rf /var/lib/apt/lists/*
`

// keepMemory has Python, which reads a service's model at each start of the AWS CLI, keep the memory that it frees. To
// give it back and get it again was a fifth of what a call took of a processor. See mallopt(3).
var keepMemory = []string{"PYTHONMALLOC=malloc", "MALLOC_MMAP_THRESHOLD_=268435456", "MALLOC_TRIM_THRESHOLD_=268435456",
	"MALLOC_TOP_PAD_=16777216"}

// AWSCLI is an image with AWS CLI 2, boto3 and a shell, as Debian trixie has them: clients that nobody here wrote. Where
// it is built here they know the services that awscli.sh names.
func (e *Env) AWSCLI(ctx context.Context) (Image, error) {
	c, err := newCache(e.log)
	if err != nil {
		return Image{}, err
	}
	script := mustScript("awscli.sh")
	if e.Route == Kind {
		script = dockerfile + "ENV " + strings.Join(keepMemory, " ") + "\n"
	}
	key := keyOf("awscli", script, imageSource)
	im := Image{Ref: "openirsa.dev/e2e/awscli:" + key}
	dir, err := c.entry(ctx, "awscli", key, func(ctx context.Context, dir string) error {
		im := Image{im.Ref, filepath.Join(dir, "image.tar")}
		if e.Route == Kind {
			if _, err := (command{stdin: strings.NewReader(script)}).run(ctx, "docker", "build", "-t", im.Ref, "-"); err != nil {
				return err
			}
			_, err := run(ctx, "docker", "save", "-o", im.Archive, im.Ref)
			return err
		}
		m, err := mirror(ctx)
		if err != nil {
			return err
		}
		if err := runScript(ctx, "awscli.sh", "OUT="+dir, "MIRROR="+m); err != nil {
			return err
		}
		root := filepath.Join(dir, "rootfs.tar")
		if err := writeArchive(im, v1.Config{Env: keepMemory}, func() (io.ReadCloser, error) { return os.Open(root) }); err != nil {
			return err
		}
		return os.Remove(root)
	})
	im.Archive = filepath.Join(dir, "image.tar")
	return im, err
}

// Program builds a Go package as a static program and makes an image of it alone in dir. The package is named as
// for "go build", from the current folder. The tag is the content's digest.
func Program(ctx context.Context, dir, pkg, repository string) (Image, error) {
	bin := filepath.Join(dir, path.Base(pkg))
	build := command{env: []string{"CGO_ENABLED=0", "GOOS=linux"}}
	if _, err := build.run(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, pkg); err != nil {
		return Image{}, fmt.Errorf("building %s: %w", pkg, err)
	}
	b, err := os.ReadFile(bin)
	if err != nil {
		return Image{}, err
	}
	im := Image{Ref: repository + ":" + keyOf(string(b)), Archive: bin + ".tar"}
	return im, WriteImage(im, "/"+path.Base(pkg), File{Path: "/" + path.Base(pkg), Source: bin})
}

// JavaScript makes an image in dir of this machine's Node.js and of the npm packages in modules, a folder that
// NodeModules returned. Programs in its folder / find them.
func JavaScript(ctx context.Context, dir, modules string) (Image, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return Image{}, err
	}
	files := []File{{Path: "/usr/bin/node", Source: node}}
	needed, err := run(ctx, "ldd", node)
	if err != nil {
		return Image{}, err
	}
	for word := range strings.FieldsSeq(needed) {
		if strings.HasPrefix(word, "/") {
			files = append(files, File{Path: word, Source: word})
		}
	}
	err = filepath.WalkDir(modules, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(modules, file)
		files = append(files, File{Path: path.Join("/node_modules", filepath.ToSlash(rel)), Source: file})
		return err
	})
	if err != nil {
		return Image{}, err
	}
	im := Image{Ref: "openirsa.dev/e2e/javascript:" + keyOf(node, modules), Archive: filepath.Join(dir, "javascript.tar")}
	return im, WriteImage(im, "/usr/bin/node", files...)
}
