// Package source reads the public keys of clusters from key files, live API
// servers, directories and S3, and keeps a server of their documents in step.
//
//	read := source.Files("/etc/openirsa/dev/*.pub")
//	set, err := read(ctx)
//
// Any source that holds a private key is refused as a whole: it does not belong on
// a public server. A key of a key set that STS would not use is left out
// ([keys.Set.Omitted]) and does not hide the others.
package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"k8s.io/client-go/rest"

	"github.com/openirsa/openirsa/internal/durable"
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
// holds a private key is refused, and so is anything but a regular file.
func Files(patterns ...string) Read {
	return func(ctx context.Context) (keys.Set, error) {
		var sets []keys.Set
		for _, pattern := range patterns {
			names, err := match(pattern)
			if err != nil {
				return keys.Set{}, err
			}
			for _, name := range names {
				if err := context.Cause(ctx); err != nil {
					return keys.Set{}, err
				}
				set, err := readFile(name)
				if err != nil {
					return keys.Set{}, fmt.Errorf("reading key file %s: %w", name, err)
				}
				sets = append(sets, set)
			}
		}
		return nonEmpty(keys.Union(sets...))
	}
}

// isPattern reports whether a name is a pattern.
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

// privateKey matches the begin or end line of a private key's PEM block, however
// broken the rest is.
var privateKey = regexp.MustCompile(`(?:BEGIN|END) [A-Z0-9 ]*PRIVATE KEY`)

func readFile(name string) (keys.Set, error) {
	data, err := readLimited(name)
	if err != nil {
		return keys.Set{}, err
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return keys.ParseJWKS(data)
	}
	if privateKey.Match(data) {
		return keys.Set{}, errors.New("it holds a private key, which has no place on a public server: give the public half, and " +
			"make this key a new one if the file was readable to others")
	}
	public, err := keys.ParsePEM(data)
	if err != nil {
		return keys.Set{}, err
	}
	return keys.NewSet(public...)
}

// readLimited reads a regular file of no more than [keys.MaxJWKSBytes].
func readLimited(name string) ([]byte, error) {
	data, _, err := durable.ReadFile(name, keys.MaxJWKSBytes)
	return data, plain(err)
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

// plain is an error about a file without its name, which the caller adds.
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
// that issuer. The key set is the file that the discovery document names with its
// jwks_uri, which must be below the issuer.
func Dir(dir string, iss issuer.URL) Read {
	return documents(iss, func(_ context.Context, at issuer.URL, path string) (string, []byte, error) {
		path, err := relative(iss, at, path)
		if err != nil {
			return "", nil, fmt.Errorf("reading the documents below %s: %w", dir, err)
		}
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
// those of that issuer, as [Dir] reads them. The bucket need not be public. The
// prefix has no slashes around it, and may be empty.
func S3(client GetObject, bucket, prefix string, iss issuer.URL) Read {
	return documents(iss, func(ctx context.Context, at issuer.URL, path string) (string, []byte, error) {
		path, err := relative(iss, at, path)
		if err != nil {
			return "", nil, fmt.Errorf("reading the documents at s3://%s/%s: %w", bucket, prefix, err)
		}
		key := strings.TrimPrefix(prefix+"/"+path, "/")
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

// relative is the name of the file that [discovery.Read] asks for, below the place
// of the issuer's documents: unescaped, and never outside it.
func relative(iss, at issuer.URL, path string) (string, error) {
	if at != iss {
		return "", fmt.Errorf("the key set is at %s, which is not below the issuer %s, so it cannot be here", at.At(path), iss)
	}
	u, err := url.Parse(path)
	if err != nil || u.RawQuery != "" || u.Fragment != "" || !filepath.IsLocal(strings.TrimPrefix(u.Path, "/")) {
		return "", fmt.Errorf("the key set is at %s, which is no name of a file below the issuer", at.At(path))
	}
	return strings.TrimPrefix(u.Path, "/"), nil
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
	var address string
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
			address = base.JoinPath(issuer.JWKSPath).String()
			if client, err = rest.HTTPClientFor(config); err != nil {
				return keys.Set{}, err
			}
		}
		_, body, err := discovery.HTTP(client)(ctx, issuer.URL{}, address)
		if err != nil {
			return keys.Set{}, err
		}
		return nonEmpty(keys.ParseJWKS(body))
	}
}

// Union returns the keys of several sources, or all of their errors if any has one.
func Union(reads ...Read) Read {
	if len(reads) == 1 {
		return reads[0]
	}
	return func(ctx context.Context) (keys.Set, error) {
		sets, faults := make([]keys.Set, len(reads)), make([]error, len(reads))
		var group sync.WaitGroup
		for i, read := range reads {
			group.Go(func() { sets[i], faults[i] = read(ctx) })
		}
		group.Wait()
		if err := errors.Join(faults...); err != nil {
			return keys.Set{}, err
		}
		return nonEmpty(keys.Union(sets...))
	}
}

// Keep keeps returning keys that were read within the given time. So a source that
// answers sometimes with a key and sometimes without it, as several API servers
// behind one address do while they restart one by one, does not remove published
// keys. It is for one caller at a time.
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
		var before []keys.Public
		for _, s := range known {
			before = append(before, s.key)
		}
		for _, key := range set.All() {
			known = append(known, seen{key, at})
		}
		kept, err := keys.NewSet(before...)
		if err != nil {
			return keys.Set{}, err
		}
		return keys.Union(set, kept)
	}
}

// Within limits how long a source may take: after the given time, or when ctx ends,
// it returns, even if the source hangs, for example on a file system that does not
// answer. While a reading hangs, the source is not read again, and the error says
// so. It is for one caller at a time.
func Within(read Read, limit time.Duration) Read {
	type answer struct {
		set keys.Set
		err error
	}
	var pending chan answer // of an abandoned reading
	return func(ctx context.Context) (keys.Set, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the source did not answer within %s", limit))
		defer cancel()
		if pending == nil {
			answers := make(chan answer, 1)
			go func() {
				set, err := read(ctx)
				answers <- answer{set, err}
			}()
			pending = answers
		}
		select {
		case a := <-pending:
			pending = nil
			if a.err != nil && ctx.Err() != nil { // it was cut off
				a.err = fmt.Errorf("%w: %w", context.Cause(ctx), a.err)
			}
			return a.set, a.err
		case <-ctx.Done():
			return keys.Set{}, context.Cause(ctx)
		}
	}
}
