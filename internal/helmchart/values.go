package helmchart

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"go.yaml.in/yaml/v3"
)

// withImage sets image.registry, repository, tag and digest. Everything else in the
// file stays as it is, comments and empty lines too.
func withImage(values []byte, image string) ([]byte, error) {
	if host, _, ok := strings.Cut(image, "/"); !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return nil, fmt.Errorf("image %q has no registry", image)
	}
	tagged, digest, _ := strings.Cut(image, "@")
	ref, err := name.ParseReference(image, name.StrictValidation)
	if err != nil {
		// A tag as well as a digest is more than the library parses.
		if ref, err = name.NewDigest(image); err != nil {
			return nil, fmt.Errorf("image %q: %w: it needs a tag or a digest", image, err)
		}
	}
	tag := ""
	if rest := strings.TrimPrefix(tagged, ref.Context().RegistryStr()+"/"); strings.Contains(rest, ":") {
		_, tag, _ = strings.Cut(rest, ":")
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(values, &doc); err != nil {
		return nil, err
	}
	if doc.Kind != yaml.DocumentNode {
		return nil, errors.New("it is empty")
	}
	at := find(doc.Content[0], "image")
	if at == nil || at.Kind != yaml.MappingNode {
		return nil, errors.New("there is no image with parts")
	}
	lines := bytes.Split(values, []byte("\n"))
	for _, part := range [][2]string{
		{"registry", ref.Context().RegistryStr()}, {"repository", ref.Context().RepositoryStr()}, {"tag", tag}, {"digest", digest},
	} {
		n := find(at, part[0])
		if n == nil || n.Kind != yaml.ScalarNode || n.LineComment != "" {
			return nil, fmt.Errorf("there is no image.%s on a line of its own", part[0])
		}
		line := lines[n.Line-1]
		lines[n.Line-1] = append(line[:n.Column-1:n.Column-1], strconv.Quote(part[1])...)
	}
	return bytes.Join(lines, []byte("\n")), nil
}
