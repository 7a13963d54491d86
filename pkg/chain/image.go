package chain

import (
	"io"
	"path/filepath"

	"github.com/openirsa/openirsa/internal/image"
)

// Image is a container image that is loaded into the nodes of a kind cluster.
type Image struct {
	// Ref is its name, with a tag, such as openirsa.dev/openirsa:0123456789abcdef.
	Ref string
	// Archive writes it as `docker save` does.
	Archive func(io.Writer) error
}

// Programs is a Build of [UpOptions] that makes the image from the Linux program
// openirsa in dir/linux-ARCH, where `make build` puts it. ARCH is that of the nodes,
// such as amd64.
func Programs(dir string) func(arch string) (Image, error) {
	return func(arch string) (Image, error) {
		img, err := image.Build(image.File(filepath.Join(dir, "linux-"+arch, image.Whole)), arch)
		if err != nil {
			return Image{}, err
		}
		return Image{Ref: img.Tag, Archive: img.Archive}, nil
	}
}
