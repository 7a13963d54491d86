// Package kms is the emulator's KMS: what signing takes of it, asymmetric keys
// for signatures, with the default key policy, which leaves it to IAM who may use
// them. The rules are those of the AWS KMS API Reference; anything else that KMS
// can do is refused with UnsupportedOperationException.
package kms

import (
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// New is the KMS of an account.
func New(account *api.Account) api.Service {
	r := &keyRing{account: account}
	return &api.JSONService{
		Account: account, Name: "kms", Target: "TrentService", Protocol: wire.JSON11,
		Operations: map[string]api.Operation{
			"CreateKey":    api.JSON(r.createKey),
			"DescribeKey":  api.JSON(r.describeKey),
			"GetPublicKey": api.JSON(r.getPublicKey),
			"Sign":         api.JSON(r.sign),
		},
		State: r.load,
	}
}
