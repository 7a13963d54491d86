// Package api is what the services of the emulator share: a request under way,
// the account that it goes to, and the gate that says who calls and whether it
// may.
//
// A service is a [Service]: it recognises its requests and answers them. One of
// the protocols AWS JSON 1.0 and 1.1 is a [JSONService], whose operations are
// functions of their own input and output:
//
//	func New(account *api.Account) (api.Service, error) {
//		s := &secrets{account: account}
//		return &api.JSONService{
//			Account: account, Name: "secretsmanager", Target: "secretsmanager", Protocol: wire.JSON11,
//			Operations: map[string]api.Operation{"GetSecretValue": api.JSON(s.getSecretValue)},
//			State:      s.load,
//		}, nil
//	}
package api

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
)

// Account is the account of the emulator, as its services see it.
type Account struct {
	ID            string // twelve digits
	Partition     string // of ARNs, such as "aws"
	DNSSuffix     string // of the partition's host names, such as "amazonaws.com"
	CanonicalUser string // of the account, by which S3 knows it

	Gate  Gate
	Store *store.Store
	// Memory is what the bodies of all calls may take together.
	Memory *Memory
	// Now is the clock of clients, by which they sign. It differs from that of
	// calls if somebody moved the emulator's ahead.
	Now func() time.Time
}

// ARN is an ARN of the account. The region is "" for services without regions.
func (a *Account) ARN(service, region, resource string) string {
	return "arn:" + a.Partition + ":" + service + ":" + region + ":" + a.ID + ":" + resource
}

// CanonicalUser is the id by which S3 knows an account: 64 hexadecimal digits
// without a meaning. At AWS they are random; here they follow from the account.
func CanonicalUser(account string) string {
	sum := sha256.Sum256([]byte("canonical user of " + account))
	return hex.EncodeToString(sum[:])
}

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
