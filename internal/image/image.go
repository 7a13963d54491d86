// Package image makes the project's container image from its programs, without
// a container runtime and without a base image.
//
//	img, err := image.Build("bin/linux-amd64", "amd64")
//	img.Tag         // openirsa.dev/openirsa:0123456789abcdef, from the content
//	err = img.Archive(w)
//
// The same programs give the same image, byte for byte: files are in a fixed
// order with a fixed time, and the tag comes from the content, so a node that has
// the tag has the image.
package image

import (
	"archive/tar"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Repository is the name of the image, without tag. No registry has it: it is
// loaded into nodes, or pushed elsewhere under another name.
const Repository = "openirsa.dev/openirsa"

// User is the user and group that the programs run as, unless a pod says otherwise:
// the usual one for images without a base.
const User = 65532

// Programs are the programs in the image, at /<name>.
func Programs() []string { return []string{"emulator", "issuer", "webhook"} }

// Image is a container image for one architecture.
type Image struct {
	v1.Image
	// Tag is the image's full name, with 16 hex digits of its content digest.
	Tag string
}

// Build makes the image from the static Linux programs in dir. Arch is as Go
// has it, such as "amd64". The programs are read again when the image is
// written, and must not change until then.
func Build(dir, arch string) (*Image, error) {
	l := &layer{dir: dir}
	for _, program := range Programs() {
		info, err := check(filepath.Join(dir, program), arch)
		if err != nil {
			return nil, err
		}
		l.entries = append(l.entries, entry{name: program, size: info.Size(), mode: 0o755})
	}
	l.entries = append(l.entries, entry{name: "tmp/", mode: 0o1777})

	digest := sha256.New()
	size, err := l.write(digest)
	if err != nil {
		return nil, err
	}
	l.size, l.hash = size, v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(digest.Sum(nil))}

	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return nil, fmt.Errorf("making the image: %w", err)
	}
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		Architecture: arch,
		OS:           "linux",
		Created:      v1.Time{Time: epoch},
		Config: v1.Config{
			User:       fmt.Sprintf("%d:%d", User, User),
			WorkingDir: "/",
			Env:        []string{"PATH=/"},
			Labels:     map[string]string{"org.opencontainers.image.title": "openirsa"},
		},
		RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{l.hash}},
	})
	if err != nil {
		return nil, fmt.Errorf("making the image: %w", err)
	}
	id, err := img.ConfigName() // covers the layer's digest as well
	if err != nil {
		return nil, fmt.Errorf("making the image: %w", err)
	}
	return &Image{Image: img, Tag: Repository + ":" + id.Hex[:16]}, nil
}

// Archive writes the image as `docker save` does.
func (i *Image) Archive(w io.Writer) error {
	tag, err := name.NewTag(i.Tag, name.StrictValidation)
	if err != nil {
		return err
	}
	if err := tarball.Write(tag, i.Image, w); err != nil {
		return fmt.Errorf("writing image %s: %w", i.Tag, err)
	}
	return nil
}

// machines are the ELF machines of the architectures that nodes have.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "ppc64le": elf.EM_PPC64,
	"s390x": elf.EM_S390, "riscv64": elf.EM_RISCV}

// check refuses programs that would not run in the image: for another machine or
// system, or with a dynamic linker.
func check(file, arch string) (os.FileInfo, error) {
	f, err := elf.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: build the programs for linux/%s first", err, arch)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not a Linux program: %w", file, err)
	}
	defer f.Close()
	machine, known := machines[arch]
	if !known {
		return nil, fmt.Errorf("architecture %q: not one of those that can be checked", arch)
	}
	if f.Machine != machine {
		return nil, fmt.Errorf("%s is for %s, not for %s", file, f.Machine, arch)
	}
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return nil, fmt.Errorf("%s is not static: build it with CGO_ENABLED=0", file)
	}
	return os.Stat(file)
}

// epoch is the time of everything in the image.
var epoch = time.Unix(0, 0).UTC()

type entry struct {
	name string // directories end with a slash
	size int64
	mode int64
}

// layer is the only layer of the image, a tar archive. It is not compressed:
// nodes read it from this machine, and would only unpack it again.
type layer struct {
	dir     string
	entries []entry
	size    int64
	hash    v1.Hash
}

// write writes the archive and returns its length.
func (l *layer) write(w io.Writer) (int64, error) {
	n := &counter{w: w}
	archive := tar.NewWriter(n)
	for _, e := range l.entries {
		header := &tar.Header{Name: e.name, Size: e.size, Mode: e.mode, ModTime: epoch, Format: tar.FormatUSTAR, Typeflag: tar.TypeReg}
		if e.name[len(e.name)-1] == '/' {
			header.Typeflag = tar.TypeDir
		}
		if err := archive.WriteHeader(header); err != nil {
			return 0, err
		}
		if header.Typeflag == tar.TypeReg {
			if err := l.copy(archive, e); err != nil {
				return 0, err
			}
		}
	}
	if err := archive.Close(); err != nil {
		return 0, err
	}
	return n.n, nil
}

func (l *layer) copy(w io.Writer, e entry) error {
	f, err := os.Open(filepath.Join(l.dir, e.name))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.CopyN(w, f, e.size); err != nil {
		return fmt.Errorf("reading %s: %w", f.Name(), err)
	}
	return nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Uncompressed streams the archive and fails at its end if a program is not
// what it was when the image was built.
func (l *layer) Uncompressed() (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() {
		digest := sha256.New()
		_, err := l.write(io.MultiWriter(w, digest))
		if err == nil && hex.EncodeToString(digest.Sum(nil)) != l.hash.Hex {
			err = fmt.Errorf("the programs in %s have changed meanwhile", l.dir)
		}
		w.CloseWithError(err)
	}()
	return r, nil
}

func (l *layer) Compressed() (io.ReadCloser, error)  { return l.Uncompressed() }
func (l *layer) Digest() (v1.Hash, error)            { return l.hash, nil }
func (l *layer) DiffID() (v1.Hash, error)            { return l.hash, nil }
func (l *layer) Size() (int64, error)                { return l.size, nil }
func (l *layer) MediaType() (types.MediaType, error) { return types.DockerUncompressedLayer, nil }
