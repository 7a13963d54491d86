package kindenv

import (
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// As writes the image once more to an archive, by another name and with a program that runs it.
func (im Image) As(ref, archive, entrypoint string) (Image, error) {
	as := Image{ref, archive}
	img, err := tarball.ImageFromPath(im.Archive, nil)
	if err != nil {
		return Image{}, fmt.Errorf("reading the image %s: %w", im.Ref, err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return Image{}, fmt.Errorf("reading the image %s: %w", im.Ref, err)
	}
	config := file.Config
	config.Entrypoint, config.Cmd = []string{entrypoint}, nil
	tag, err := name.NewTag(ref)
	if err == nil {
		img, err = mutate.Config(img, config)
	}
	if err == nil {
		err = tarball.WriteToFile(archive, tag, img)
	}
	if err != nil {
		return Image{}, fmt.Errorf("making the image %s: %w", ref, err)
	}
	return as, nil
}
