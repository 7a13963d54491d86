// Package checksum knows the checksums that S3 clients send and expect back:
//
//	h := checksum.CRC64NVME.New()
//	io.Copy(h, body)
//	w.Header().Set(checksum.CRC64NVME.Header(), checksum.Encode(h))
//
// Source: "Checking object integrity in Amazon S3" in the S3 User Guide
// (checking-object-integrity.html).
package checksum

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"slices"
	"strings"
)

// Algorithm is a checksum by its name in the S3 API.
type Algorithm string

// The algorithms. S3 has a few newer ones, which no SDK chooses by itself.
const (
	CRC32     Algorithm = "CRC32"
	CRC32C    Algorithm = "CRC32C"
	CRC64NVME Algorithm = "CRC64NVME"
	SHA1      Algorithm = "SHA1"
	SHA256    Algorithm = "SHA256"
)

// All lists the algorithms.
var All = []Algorithm{CRC32, CRC32C, CRC64NVME, SHA1, SHA256}

const headerPrefix = "x-amz-checksum-"

// Parse finds the algorithm by its name in the API, in any case.
func Parse(name string) (Algorithm, bool) {
	a := Algorithm(strings.ToUpper(name))
	return a, slices.Contains(All, a)
}

// ParseHeader finds the algorithm by the name of its header or trailer, in
// any case.
func ParseHeader(name string) (Algorithm, bool) {
	rest, found := strings.CutPrefix(strings.ToLower(name), headerPrefix)
	if !found {
		return "", false
	}
	return Parse(rest)
}

// Header is the name of the header, in lower case.
func (a Algorithm) Header() string { return headerPrefix + strings.ToLower(string(a)) }

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	// The polynomial of the NVM Express specification, reflected.
	nvme = crc64.MakeTable(0x9a6c9329ac4bc9b5)
)

// New begins a checksum. It returns nil for an algorithm not in [All].
func (a Algorithm) New() hash.Hash {
	switch a {
	case CRC32:
		return crc32.NewIEEE()
	case CRC32C:
		return crc32.New(castagnoli)
	case CRC64NVME:
		return crc64.New(nvme)
	case SHA1:
		return sha1.New()
	case SHA256:
		return sha256.New()
	}
	return nil
}

// Size is the length of the checksum in bytes, before [Encode].
func (a Algorithm) Size() int {
	if h := a.New(); h != nil {
		return h.Size()
	}
	return 0
}

// IsCRC reports whether the checksum of a whole can be computed from its parts:
// only for these S3 gives multipart objects a checksum of the full object.
func (a Algorithm) IsCRC() bool { return strings.HasPrefix(string(a), "CRC") }

// Encode is the checksum as S3 writes it, in base64.
func Encode(h hash.Hash) string { return base64.StdEncoding.EncodeToString(h.Sum(nil)) }

// Valid reports whether a value has the form that [Encode] gives.
func (a Algorithm) Valid(value string) bool {
	sum, err := base64.StdEncoding.DecodeString(value)
	return err == nil && len(sum) == a.Size()
}
