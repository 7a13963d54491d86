// Package registry puts images and charts into registries, with the credentials that `docker login`
// and its helpers have left.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/openirsa/openirsa/internal/version"
)

// Parse is the name under which an image is pushed: with its registry and a tag. A
// registry on this machine is spoken to without TLS.
func Parse(ref string) (name.Tag, error) { return name.NewTag(ref, name.StrictValidation) }

// Manifest is an image, an index of images, or another artifact in an image's form.
type Manifest interface {
	remote.Taggable
	Digest() (v1.Hash, error)
}

// DeniedError is that a registry does not let us push, with the credentials that there
// are or with none.
type DeniedError struct {
	Registry string // host, with its port if it has one
	Err      error
}

func (e *DeniedError) Error() string { return e.Err.Error() }
func (e *DeniedError) Unwrap() error { return e.Err }

// Push puts what a manifest describes there, and returns the name with its digest. The
// error may be a [DeniedError].
func Push(ctx context.Context, tag name.Tag, m Manifest) (string, error) {
	digest, err := m.Digest()
	if err != nil {
		return "", err
	}
	if err := remote.Push(tag, m, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithUserAgent("openirsa/"+version.String())); err != nil {
		err = fmt.Errorf("pushing %s: %w", tag, err)
		if answer, ok := errors.AsType[*transport.Error](err); ok &&
			(answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden) {
			err = &DeniedError{Registry: tag.RegistryStr(), Err: err}
		}
		return "", err
	}
	return tag.Context().Digest(digest.String()).String(), nil
}

// Tags are those that a registry has of an image, which is named with its registry and
// without a tag.
func Tags(ctx context.Context, image string) ([]string, error) {
	repository, err := name.NewRepository(image, name.StrictValidation)
	if err != nil {
		return nil, err
	}
	tags, err := remote.List(repository, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithUserAgent("openirsa/"+version.String()))
	if err != nil {
		return nil, fmt.Errorf("listing the tags of %s: %w", repository, err)
	}
	return tags, nil
}
