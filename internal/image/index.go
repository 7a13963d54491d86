package image

import (
	"compress/gzip"
	"fmt"
	"maps"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Index is one image for several architectures, in the form of the Open Containers
// Initiative, its layers compressed: for registries and other tools.
func Index(images ...*Image) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	about := map[string]string{}
	for _, i := range images {
		img, err := i.oci()
		if err != nil {
			return nil, err
		}
		maps.Copy(about, i.config.Config.Labels)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			MediaType: types.OCIManifestSchema1,
			Platform:  &v1.Platform{OS: i.config.OS, Architecture: i.config.Architecture},
		}})
	}
	return mutate.Annotations(index, about).(v1.ImageIndex), nil
}

// oci is the image as the Open Containers Initiative has it.
func (i *Image) oci() (v1.Image, error) {
	l, err := tarball.LayerFromOpener(i.layer.Uncompressed, tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("compressing the image: %w", err)
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := assemble(base, l, i.config)
	if err != nil {
		return nil, err
	}
	return mutate.Annotations(img, i.config.Config.Labels).(v1.Image), nil
}

// Layout writes an index as a folder, the image layout of the Open Containers
// Initiative, which must be new or empty.
func Layout(dir string, index v1.ImageIndex) error {
	if there, err := os.ReadDir(dir); err == nil && len(there) > 0 {
		return fmt.Errorf("writing %s: it is not empty", dir)
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("writing %s: %w", dir, err)
	}
	if err := path.AppendIndex(index); err != nil {
		return fmt.Errorf("writing %s: %w", dir, err)
	}
	return nil
}
