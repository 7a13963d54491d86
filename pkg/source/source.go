// Package source reads the public keys of clusters from where they are: key
// files, live API servers, directories and S3; and keeps a server of their
// documents in step with them.
//
//	read := source.Files("/etc/openirsa/dev/*.pub")
//	set, err := read(ctx)
//
// Whatever the source, a key set is refused whole if it holds a private key or
// one that STS cannot verify: a public server is no place for either.
package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"k8s.io/client-go/rest"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
)

// Read reads a cluster's keys as they are now. A set without keys is an error.
// It may be called again after an error.
type Read func(ctx context.Context) (keys.Set, error)

// Files reads PEM files of public keys or certificates, as kube-apiserver reads
// --service-account-key-file, and JSON files of key sets. Each name may be a
// pattern of [filepath.Match]; one that matches nothing is an error. A file that
// holds a private key is refused.
func Files(patterns ...string) Read {
	return func(ctx context.Context) (keys.Set, error) {
		var all []keys.Public
		for _, pattern := range patterns {
			names, err := match(pattern)
			if err != nil {
				return keys.Set{}, err
			}
			for _, name := range names {
				if err := context.Cause(ctx); err != nil {
					return keys.Set{}, err
				}
				public, err := readFile(name)
				if err != nil {
					return keys.Set{}, fmt.Errorf("reading key file %s: %w", name, err)
				}
				all = append(all, public...)
			}
		}
		return nonEmpty(keys.NewSet(all...))
	}
}

// isPattern reports whether a name stands for several.
func isPattern(name string) bool { return strings.ContainsAny(name, `*?[`) }

func match(pattern string) ([]string, error) {
	if !isPattern(pattern) {
		return []string{pattern}, nil
	}
	names, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("key files %q: %w", pattern, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("key files %q: there is none", pattern)
	}
	return names, nil
}

// privateKey begins or ends a PEM block of a private key, however broken the rest
// of it is.
var privateKey = regexp.MustCompile(`(?:BEGIN|END) [A-Z0-9 ]*PRIVATE KEY`)

func readFile(name string) ([]keys.Public, error) {
	data, err := readLimited(name)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		set, err := keys.ParseJWKS(data)
		return set.All(), err
	}
	if privateKey.Match(data) {
		return nil, errors.New("it holds a private key, which has no place on a public server: give the public half, and make this key a new one if the file was readable to others")
	}
	return keys.ParsePEM(data)
}

// readLimited reads a file of no more than [keys.MaxJWKSBytes].
func readLimited(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close()
	return limited(f)
}

func limited(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, keys.MaxJWKSBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > keys.MaxJWKSBytes {
		return nil, fmt.Errorf("it is larger than %d bytes", keys.MaxJWKSBytes)
	}
	return data, nil
}

// plain is an error about a file whose name the caller says.
func plain(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

func nonEmpty(set keys.Set, err error) (keys.Set, error) {
	if err == nil && set.Len() == 0 {
		err = errors.New("there is no key")
	}
	if err != nil {
		return keys.Set{}, err
	}
	return set, nil
}

// Dir reads the documents of an issuer below a directory, which must be those of
// that issuer.
func Dir(dir string, iss issuer.URL) Read {
	return documents(iss, func(_ context.Context, _ issuer.URL, path string) (string, []byte, error) {
		name := filepath.Join(dir, filepath.FromSlash(path))
		body, err := readLimited(name)
		if err != nil {
			return "", nil, fmt.Errorf("reading %s: %w", name, err)
		}
		return "", body, nil
	})
}

// GetObject is the one call that [S3] makes; *s3.Client has it.
type GetObject interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// S3 reads the documents of an issuer below a prefix of a bucket, which must be
// those of that issuer. The bucket need not be public. The prefix has no slashes
// around it, and may be empty.
func S3(client GetObject, bucket, prefix string, iss issuer.URL) Read {
	return documents(iss, func(ctx context.Context, _ issuer.URL, path string) (string, []byte, error) {
		key := strings.TrimPrefix(prefix+path, "/")
		got, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
		if err != nil {
			return "", nil, fmt.Errorf("reading s3://%s/%s: %w", bucket, key, err)
		}
		defer got.Body.Close()
		body, err := limited(got.Body)
		if err != nil {
			return "", nil, fmt.Errorf("reading s3://%s/%s: %w", bucket, key, err)
		}
		return "", body, nil
	})
}

func documents(iss issuer.URL, get discovery.Get) Read {
	return func(ctx context.Context) (keys.Set, error) {
		_, set, err := discovery.Read(ctx, get, iss)
		return nonEmpty(set, err)
	}
}

// API reads the keys that an API server publishes (/openid/v1/jwks), which its
// ClusterRole system:service-account-issuer-discovery lets every service account
// read. It connects again after an error, since credentials may be new. It is
// for one caller at a time.
func API(connect func() (*rest.Config, error)) Read {
	var client *http.Client
	var url string
	return func(ctx context.Context) (_ keys.Set, err error) {
		defer func() {
			if err != nil {
				client = nil
				err = fmt.Errorf("reading the API server's keys: %w", err)
			}
		}()
		if client == nil {
			config, err := connect()
			if err != nil {
				return keys.Set{}, err
			}
			config = rest.CopyConfig(config)
			config.UserAgent = "openirsa-issuer"
			base, _, err := rest.DefaultServerUrlFor(config)
			if err != nil {
				return keys.Set{}, err
			}
			url = base.JoinPath(issuer.JWKSPath).String()
			if client, err = rest.HTTPClientFor(config); err != nil {
				return keys.Set{}, err
			}
		}
		_, body, err := discovery.HTTP(client)(ctx, issuer.URL{}, url)
		if err != nil {
			return keys.Set{}, err
		}
		return nonEmpty(keys.ParseJWKS(body))
	}
}

// Union is all the keys of several sources, and their faults together if one of
// them has one.
func Union(reads ...Read) Read {
	if len(reads) == 1 {
		return reads[0]
	}
	return func(ctx context.Context) (keys.Set, error) {
		var all []keys.Public
		var faults []error
		for _, read := range reads {
			set, err := read(ctx)
			faults = append(faults, err)
			all = append(all, set.All()...)
		}
		if err := errors.Join(faults...); err != nil {
			return keys.Set{}, err
		}
		return nonEmpty(keys.NewSet(all...))
	}
}

// Keep goes on giving keys that were read within the given time, so that a
// source which answers now with a key and now without it, as several API servers
// behind one address do while they are restarted one by one, does not take
// published keys away. It is for one caller at a time.
func Keep(read Read, within time.Duration, now func() time.Time) Read {
	type seen struct {
		key keys.Public
		at  time.Time
	}
	if now == nil {
		now = time.Now
	}
	var known []seen
	return func(ctx context.Context) (keys.Set, error) {
		set, err := read(ctx)
		if err != nil {
			return keys.Set{}, err
		}
		at := now()
		known = slices.DeleteFunc(known, func(s seen) bool {
			_, again := set.Lookup(s.key.KID) // with its new content, whatever it is
			return again || at.Sub(s.at) > within
		})
		all := slices.Clone(set.All())
		for _, s := range known {
			all = append(all, s.key)
		}
		for _, key := range set.All() {
			known = append(known, seen{key, at})
		}
		return keys.NewSet(all...)
	}
}
