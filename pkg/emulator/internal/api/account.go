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
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// Account is an account of the emulator, as its services see it. Services other than
// STS and IAM are there once for all accounts, and get the home account: what belongs
// to a call is of the account of its caller.
type Account struct {
	ID            string   // twelve digits
	Partition     string   // of ARNs, such as "aws"
	DNSSuffix     string   // of the partition's host names, such as "amazonaws.com"
	CanonicalUser string   // of the account, by which S3 knows it
	All           []string // ids of all accounts of the emulator, the home account first

	Gate  Gate
	Store *store.Store
	// Memory is what the bodies of all calls may take together.
	Memory *Memory
	// Principals are the unique ids of the users and roles among the principals of a
	// policy of a resource. Unknown is the first of the emulator's accounts that does
	// not exist, "" if all do.
	Principals func(names []string) (ids map[string]string, unknown string)
	// Role is the role of any of the emulator's accounts with an ARN, and whether there
	// is one.
	Role func(arn string) (Role, bool)
	// Now is the clock of clients, by which they sign. It differs from that of
	// calls if somebody moved the emulator's ahead.
	Now func() time.Time
}

// Role is a role of IAM as other services see it.
type Role struct {
	Trust *policy.Policy
	Tags  []wire.Tag
}

// ARN is an ARN of the account. The region is "" for services without regions.
func (a *Account) ARN(service, region, resource string) string {
	return a.ARNOf(a.ID, service, region, resource)
}

// ARNOf is an ARN of any account of the emulator.
func (a *Account) ARNOf(account, service, region, resource string) string {
	return "arn:" + a.Partition + ":" + service + ":" + region + ":" + account + ":" + resource
}
