package helmchart

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/openirsa/openirsa/internal/registry"
)

// Media types of charts (https://helm.sh/docs/topics/registries/#helm-chart-manifest),
// and of what Artifact Hub wants to know of a repository
// (https://artifacthub.io/docs/topics/repositories/helm-charts/#oci-support).
const (
	configType  types.MediaType = "application/vnd.cncf.helm.config.v1+json"
	contentType types.MediaType = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

	hubConfigType types.MediaType = "application/vnd.cncf.artifacthub.config.v1+yaml"
	hubLayerType  types.MediaType = "application/vnd.cncf.artifacthub.repository-metadata.layer.v1.yaml"
	hubTag                        = "artifacthub.io"
)

// File is the name of the archive, as helm package has it.
func (p *Package) File() string { return p.Name + "-" + p.Version + ".tgz" }

// Reference is where the chart is pushed to below a repository such as
// registry.example/charts: as helm push does, with the chart's name, and the version
// as the tag, in which a plus cannot be.
func (p *Package) Reference(repository string) string {
	return strings.TrimSuffix(strings.TrimPrefix(repository, "oci://"), "/") + "/" + p.Name + ":" + strings.ReplaceAll(p.Version, "+", "_")
}

// Push pushes the chart below a repository, and returns its digest. Credentials are
// those of docker login. Plain is for registries without TLS.
func (p *Package) Push(ctx context.Context, repository string, plain bool) (v1.Hash, error) {
	var about struct {
		Description, Home string
		Sources           []string
		Maintainers       []struct{ Name string }
	}
	if err := json.Unmarshal(p.about, &about); err != nil {
		return v1.Hash{}, err
	}
	annotations := map[string]string{
		"org.opencontainers.image.title": p.Name, "org.opencontainers.image.version": p.Version,
		"org.opencontainers.image.created": p.created.Format(time.RFC3339),
	}
	var authors []string
	for _, m := range about.Maintainers {
		authors = append(authors, m.Name)
	}
	for key, text := range map[string]string{
		"description": about.Description, "url": about.Home, "source": strings.Join(about.Sources[:min(1, len(about.Sources))], ""),
		"authors": strings.Join(authors, ", "),
	} {
		if text != "" {
			annotations["org.opencontainers.image."+key] = text
		}
	}
	return push(ctx, p.Reference(repository), plain, artifact{
		config: p.about, configType: configType, layer: p.Archive, layerType: contentType, annotations: annotations,
	})
}

// PushMetadata pushes a file artifacthub-repo.yml for the chart below a repository,
// which proves to Artifact Hub whose it is.
func (p *Package) PushMetadata(ctx context.Context, repository string, file []byte, plain bool) (v1.Hash, error) {
	chart, _, _ := strings.Cut(p.Reference(repository), p.Name+":")
	return push(ctx, chart+p.Name+":"+hubTag, plain, artifact{
		config: []byte("{}"), configType: hubConfigType, layer: file, layerType: hubLayerType,
		annotations: map[string]string{"org.opencontainers.image.title": "artifacthub-repo.yml"},
	})
}

func push(ctx context.Context, ref string, plain bool, a artifact) (v1.Hash, error) {
	options := []name.Option{name.StrictValidation}
	if plain {
		options = append(options, name.Insecure)
	}
	tag, err := name.NewTag(ref, options...)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("pushing to %s: %w", ref, err)
	}
	img, err := partial.CompressedToImage(a)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("pushing to %s: %w", ref, err)
	}
	if _, err := registry.Push(ctx, tag, img); err != nil {
		return v1.Hash{}, err
	}
	return img.Digest()
}

// artifact is an OCI artifact of one layer.
type artifact struct {
	config, layer         []byte
	configType, layerType types.MediaType
	annotations           map[string]string
}

func (a artifact) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
func (a artifact) RawConfigFile() ([]byte, error)      { return a.config, nil }

func (a artifact) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, l := range []v1.Layer{static.NewLayer(a.layer, a.layerType), static.NewLayer(a.config, a.configType)} {
		if digest, err := l.Digest(); err != nil || digest == h {
			return l, err
		}
	}
	return nil, fmt.Errorf("no blob %s", h)
}

func (a artifact) RawManifest() ([]byte, error) {
	describe := func(body []byte, t types.MediaType) (v1.Descriptor, error) {
		digest, size, err := v1.SHA256(bytes.NewReader(body))
		return v1.Descriptor{MediaType: t, Size: size, Digest: digest}, err
	}
	config, err := describe(a.config, a.configType)
	if err != nil {
		return nil, err
	}
	layer, err := describe(a.layer, a.layerType)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: []v1.Descriptor{layer}, Annotations: a.annotations,
	})
}
