// Package image makes the project's container image from its program, without
// a container runtime and without a base image.
//
//	img, err := image.Build(image.File("bin/linux-amd64/openirsa"), "amd64")
//	img.Tag         // openirsa.dev/openirsa:0123456789abcdef, from the content
//	err = img.Archive(w)
//
// The same program gives the same image, byte for byte: files are in a fixed
// order with a fixed time, and the tag comes from the content, so a node that has
// the tag has the image.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Repository is the name of the image, without tag. A release is tagged with its
// version, such as v0.1.0; what is loaded into nodes as [Image.Tag] says.
const Repository = "openirsa.dev/openirsa"

var loaded = regexp.MustCompile("^" + regexp.QuoteMeta(Repository) + ":[0-9a-f]{16}$")

// Loaded reports whether an image of this name, with a tag, was loaded into a node: its
// tag is one of [Build]. That of a release was pulled, or loaded by others.
func Loaded(name string) bool { return loaded.MatchString(name) }

// User is the user and group that the programs run as, unless a pod says otherwise:
// the usual one for images without a base.
const User = 65532

// Whole is the program in the image, at /openirsa, which is all the others.
const Whole = "openirsa"

// Links are the names by which it is the programs that run in pods, at /<name>.
func Links() []string { return []string{"agent", "emulator", "issuer", "webhook"} }

// Program is the Linux program openirsa, of which an image is made.
type Program struct {
	// Name says in errors which one it is.
	Name string
	// Version is the image's. Empty: what the program tells of its own.
	Version string

	open func() (*io.SectionReader, io.Closer, error)
}

// File is the program in a file, which is read again when an image is written.
func File(path string) Program {
	return Program{Name: path, open: func() (*io.SectionReader, io.Closer, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, nil, err
		}
		info, err := f.Stat()
		if err != nil {
			return nil, nil, errors.Join(err, f.Close())
		}
		return io.NewSectionReader(f, 0, info.Size()), f, nil
	}}
}

// Bytes is the program in memory.
func Bytes(name string, content []byte) Program {
	return Program{Name: name, open: func() (*io.SectionReader, io.Closer, error) {
		return io.NewSectionReader(bytes.NewReader(content), 0, int64(len(content))), io.NopCloser(nil), nil
	}}
}

// Image is a container image for one architecture.
type Image struct {
	v1.Image
	// Tag is the image's full name, with 16 hex digits of its content digest.
	Tag string

	layer  *layer
	config *v1.ConfigFile
}

// Build makes the image of a program. Arch is as Go has it, such as "amd64". The
// program must not change until the image is written.
func Build(p Program, arch string) (*Image, error) {
	r, closer, err := p.open()
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	if err := check(p.Name, r, arch); err != nil {
		return nil, err
	}
	l := &layer{program: p, entries: []entry{{name: Whole, size: r.Size(), mode: 0o755}}}
	for _, name := range Links() {
		l.entries = append(l.entries, entry{name: name, link: Whole, mode: 0o777})
	}
	l.entries = append(l.entries, entry{name: "tmp/", mode: 0o1777})
	digest := sha256.New()
	if l.size, err = l.write(digest); err != nil {
		return nil, err
	}
	l.hash = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(digest.Sum(nil))}

	about := told(r)
	about["org.opencontainers.image.title"] = Whole
	if p.Version != "" {
		about["org.opencontainers.image.version"] = p.Version
	}
	img := &Image{layer: l, config: &v1.ConfigFile{
		Architecture: arch,
		OS:           "linux",
		Created:      v1.Time{Time: created(about)},
		Config: v1.Config{
			User:       fmt.Sprintf("%d:%d", User, User),
			WorkingDir: "/",
			Env:        []string{"PATH=/"},
			Cmd:        []string{"/" + Whole},
			Labels:     about,
		},
		RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{l.hash}},
	}}
	if img.Image, err = assemble(empty.Image, l, img.config); err != nil {
		return nil, err
	}
	id, err := img.ConfigName() // covers the layer's digest as well
	if err != nil {
		return nil, fmt.Errorf("making the image: %w", err)
	}
	img.Tag = Repository + ":" + id.Hex[:16]
	return img, nil
}

func assemble(base v1.Image, l v1.Layer, config *v1.ConfigFile) (v1.Image, error) {
	img, err := mutate.AppendLayers(base, l)
	if err == nil {
		img, err = mutate.ConfigFile(img, config)
	}
	if err != nil {
		return nil, fmt.Errorf("making the image: %w", err)
	}
	return img, nil
}

// told is what the program tells of where it comes from, under the names of the
// OpenContainers: what was built of no commit tells less.
func told(r io.ReaderAt) map[string]string {
	about := map[string]string{
		"org.opencontainers.image.source":   "https://github.com/openirsa/openirsa",
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
	info, err := buildinfo.Read(r)
	if err != nil {
		return about
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		about["org.opencontainers.image.version"] = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			about["org.opencontainers.image.revision"] = s.Value
		case "vcs.time":
			about["org.opencontainers.image.created"] = s.Value
		}
	}
	return about
}

// created is the time of the commit of which a program was built.
func created(about map[string]string) time.Time {
	if t, err := time.Parse(time.RFC3339, about["org.opencontainers.image.created"]); err == nil {
		return t.UTC()
	}
	return epoch
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
func check(name string, r io.ReaderAt, arch string) error {
	f, err := elf.NewFile(r)
	if err != nil {
		return fmt.Errorf("%s is not a Linux program: %w", name, err)
	}
	machine, known := machines[arch]
	switch {
	case !known:
		return fmt.Errorf("architecture %q: not one of those that can be checked", arch)
	case f.Machine != machine:
		return fmt.Errorf("%s is for %s, not for %s", name, f.Machine, arch)
	case slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }):
		return fmt.Errorf("%s is not static: build it with CGO_ENABLED=0", name)
	}
	return nil
}

// epoch is the time of every file in the image.
var epoch = time.Unix(0, 0).UTC()

type entry struct {
	name string // directories end with a slash
	link string // where a symbolic link leads
	size int64
	mode int64
}

// layer is the only layer of the image, a tar archive. It is not compressed:
// nodes read it from this machine, and would only unpack it again.
type layer struct {
	program Program
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
		switch {
		case e.link != "":
			header.Typeflag, header.Linkname = tar.TypeSymlink, e.link
		case e.name[len(e.name)-1] == '/':
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
	r, closer, err := l.program.open()
	if err != nil {
		return err
	}
	defer closer.Close()
	if _, err := io.CopyN(w, r, e.size); err != nil {
		return fmt.Errorf("reading %s: %w", l.program.Name, err)
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

// Uncompressed streams the archive and fails at its end if the program is
// not what it was when the image was built.
func (l *layer) Uncompressed() (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() {
		digest := sha256.New()
		_, err := l.write(io.MultiWriter(w, digest))
		if err == nil && hex.EncodeToString(digest.Sum(nil)) != l.hash.Hex {
			err = fmt.Errorf("%s has changed meanwhile", l.program.Name)
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
