package chain

import (
	"path/filepath"

	"github.com/openirsa/openirsa/internal/image"
)

// Programs builds the image from the Linux programs webhook, emulator and issuer
// in dir/linux-ARCH, where `make build` puts them: see [UpOptions].Build.
func Programs(dir string) func(arch string) (Image, error) {
	return func(arch string) (Image, error) {
		img, err := image.Build(filepath.Join(dir, "linux-"+arch), arch)
		if err != nil {
			return Image{}, err
		}
		return Image{Ref: img.Tag, Archive: img.Archive}, nil
	}
}
