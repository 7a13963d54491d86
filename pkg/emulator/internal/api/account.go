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
