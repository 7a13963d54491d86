package emulator

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"strconv"
)

// Prefixes of unique ids (IAM User Guide, "Understanding unique ID prefixes").
const (
	prefixAccessKey = "AKIA" // long-term access key
	prefixSession   = "ASIA" // temporary access key
	prefixRole      = "AROA"
	prefixUser      = "AIDA"
	prefixGroup     = "AGPA"
	prefixPolicy    = "ANPA"
	prefixProfile   = "AIPA"
)

// accessKeyID makes an access key id of 20 characters. Since 2019 these carry
// the account: after the prefix come 80 bits in base32, which are, from the
// top, a one, 40 bits of account and 39 bits of r.
func accessKeyID(prefix, account string, r uint64) string {
	n, _ := strconv.ParseUint(account, 10, 40) // Config.check has seen to it
	high := 1<<40 | n                          // the upper 41 bits of 80
	b := [10]byte{
		byte(high >> 33), byte(high >> 25), byte(high >> 17), byte(high >> 9), byte(high >> 1),
		byte(high<<7) | byte(r>>32&0x7f), byte(r >> 24), byte(r >> 16), byte(r >> 8), byte(r),
	}
	return prefix + base32.StdEncoding.EncodeToString(b[:])
}

// newAccessKeyID is an accessKeyID that was not given out before, to a
// likelihood of one in 2^39.
func newAccessKeyID(prefix, account string) string {
	var b [8]byte
	rand.Read(b[:])
	r := uint64(b[0])<<32 | uint64(b[1])<<24 | uint64(b[2])<<16 | uint64(b[3])<<8 | uint64(b[4])
	return accessKeyID(prefix, account, r&(1<<39-1))
}

// keyAccount is the account that an access key id carries, whoever's it is, or
// false for one that carries none: not base32, or more than an account's twelve
// digits. Of ids from before 2019 it is what AWS's decoding gives.
func keyAccount(id string) (string, bool) {
	const digits = 16 // of base32, after the prefix: the account is in the first ten
	if len(id) < 4+digits {
		return "", false
	}
	b, err := base32.StdEncoding.DecodeString(id[4 : 4+digits])
	if err != nil {
		return "", false
	}
	z := uint64(b[0])<<40 | uint64(b[1])<<32 | uint64(b[2])<<24 | uint64(b[3])<<16 | uint64(b[4])<<8 | uint64(b[5])
	account := fmt.Sprintf("%012d", z&0x7fffffffff80>>7)
	return account, len(account) == 12
}

// uniqueID makes the unique id of a role, user, group or policy: 21
// characters, of which the eight after the prefix are the account's, as in an
// access key id.
func uniqueID(prefix, account string) string {
	var b [10]byte
	rand.Read(b[:])
	return accessKeyID(prefix, account, 0)[:12] + base32.StdEncoding.EncodeToString(b[:])[:9]
}

// newSecret makes a secret access key: 40 characters of base64.
func newSecret() string {
	var b [30]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}
