package kindenv

import (
	"cmp"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// As writes the image to another archive twice: as it is, and by another name and with a program that runs it, which is
// the one that is returned. Who loads that has loaded both, and the files that they share once.
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
	run, err := mutate.Config(img, config)
	images := map[name.Reference]v1.Image{}
	for r, img := range map[string]v1.Image{im.Ref: img, ref: run} {
		tag, e := name.NewTag(r)
		err = cmp.Or(err, e)
		images[tag] = img
	}
	if err == nil {
		err = tarball.MultiRefWriteToFile(archive, images)
	}
	if err != nil {
		return Image{}, fmt.Errorf("making the image %s: %w", ref, err)
	}
	return as, nil
}
