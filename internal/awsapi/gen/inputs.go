package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// inputs are where the inputs are.
type inputs struct{ botocore, iamData, dependents string }

// The inputs that the tables were made of. A tarball of npm has the SHA-512 of
// its file. Of botocore it is the SHA-256 of the models, see modelFiles: they are
// the same bytes in a wheel, in a source archive and where they are installed.
const (
	iamDataSHA512 = "7e68cf0a12ffa7e159bca012422c3a5a375a0332a4bf0570378e6d7f20e25b72" +
		"c97b60e84bb7bf488450893d32d9fa84f09e225a808803fe2921cf40a3255dd9" // 0.21.202609261
	dependentsSHA512 = "4a07c2c430cd73e20c4ccdbef3cabc0d1c1ebfcb25032c88013b3f1c59946abf" +
		"e60a2b0a590195f5655d51f928b8cbba1ec24cf5e1b8f5bab507a4e7c8573222" // 0.15.202512061
	botocoreSHA256 = "9f6352fac038acd8d1075f603316ec0a55bb87715caf1e3410a146f34dd0e45c" // 1.43.11
)

// maxTarball bounds what a tarball holds, in bytes: it is 15 MB.
const maxTarball = 100 << 20

// tarball is what a package of npm holds: files by the name in it.
func tarball(path, sum string) (map[string][]byte, error) {
	packed, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if got := sha512.Sum512(packed); hex.EncodeToString(got[:]) != sum {
		return nil, fmt.Errorf("%s has the SHA-512 %x, not the one that is pinned", path, got)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(io.LimitReader(z, maxTarball)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		if files[strings.TrimPrefix(h.Name, "package/")], err = io.ReadAll(r); err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
	}
}

// modelFiles are the latest model of each service by the service's name. The sum
// is that of all models, as this says it in botocore's directory data:
//
//	LC_ALL=C sha256sum */*/service-2.json.gz | sha256sum
func modelFiles(data, sum string) (map[string][]byte, error) {
	paths, err := filepath.Glob(filepath.Join(data, "*", "*", "service-2.json.gz"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths) // and so the versions of each service
	files := map[string][]byte{}
	all := sha256.New()
	for _, path := range paths {
		packed, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		within, err := filepath.Rel(data, path)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(all, "%x  %s\n", sha256.Sum256(packed), filepath.ToSlash(within))
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		name := filepath.Base(filepath.Dir(filepath.Dir(path)))
		if files[name], err = io.ReadAll(z); err != nil { // a later version replaces an earlier one
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
	}
	if got := hex.EncodeToString(all.Sum(nil)); got != sum {
		return nil, fmt.Errorf("the models of %s have the SHA-256 %s, not the one that is pinned", data, got)
	}
	return files, nil
}
