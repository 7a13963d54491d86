package api

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
)

// NewID makes a random UUID (RFC 9562, version 4), the form of request ids and
// of many other ids.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var s [36]byte
	hex.Encode(s[:8], b[:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:], b[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// CanonicalUser is the id by which S3 knows an account: 64 hexadecimal digits
// without a meaning. At AWS they are random; here they follow from the account.
func CanonicalUser(account string) string {
	sum := sha256.Sum256([]byte("canonical user of " + account))
	return hex.EncodeToString(sum[:])
}
