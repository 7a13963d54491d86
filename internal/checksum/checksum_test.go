package checksum_test

import (
	"encoding/hex"
	"io"
	"testing"

	"github.com/openirsa/openirsa/internal/checksum"
)

// The check values of the CRC catalogue (CRC-32/ISO-HDLC, CRC-32/ISCSI,
// CRC-64/NVME), which are of the string "123456789", and the examples of FIPS
// 180 for "abc".
func TestVectors(t *testing.T) {
	for _, c := range []struct {
		algorithm   checksum.Algorithm
		input, want string
	}{
		{checksum.CRC32, "123456789", "cbf43926"},
		{checksum.CRC32C, "123456789", "e3069283"},
		{checksum.CRC64NVME, "123456789", "ae8b14860a799888"},
		{checksum.SHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
		{checksum.SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	} {
		h := c.algorithm.New()
		io.WriteString(h, c.input)
		if got := hex.EncodeToString(h.Sum(nil)); got != c.want {
			t.Errorf("%s of %q = %s, want %s", c.algorithm, c.input, got, c.want)
		}
		if got := c.algorithm.Size(); got != len(c.want)/2 {
			t.Errorf("%s has size %d, want %d", c.algorithm, got, len(c.want)/2)
		}
		if !c.algorithm.Valid(checksum.Encode(h)) {
			t.Errorf("%s: %q is not valid", c.algorithm, checksum.Encode(h))
		}
	}
}

func TestNames(t *testing.T) {
	for _, a := range checksum.All {
		if got, ok := checksum.ParseHeader(a.Header()); !ok || got != a {
			t.Errorf("ParseHeader(%q) = %q, %v", a.Header(), got, ok)
		}
	}
	for _, name := range []string{"", "x-amz-checksum-", "x-amz-checksum-md4", "x-amz-checksum-type", "crc32"} {
		if got, ok := checksum.ParseHeader(name); ok {
			t.Errorf("ParseHeader(%q) = %q, want none", name, got)
		}
	}
	if checksum.Algorithm("MD4").New() != nil {
		t.Error("an unknown algorithm has a hash")
	}
	for _, value := range []string{"", "AAAA", "AAAAAA", "!!!!!!==", "AAAAAAAA"} {
		if checksum.CRC32.Valid(value) {
			t.Errorf("%q is valid for CRC32", value)
		}
	}
}
