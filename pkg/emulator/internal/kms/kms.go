// Package kms is the emulator's KMS: what signing takes of it, asymmetric keys
// for signatures, with their key policies. The rules are those of the AWS KMS API
// Reference and Developer Guide; anything else that KMS can do is refused with
// UnsupportedOperationException.
package kms

import (
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// Service is KMS.
type Service struct {
	*api.JSONService
	*keyRing
}

// New is the KMS of an emulator.
func New(account *api.Account) api.Service {
	r := &keyRing{account: account}
	return &Service{&api.JSONService{
		Account: account, Name: "kms", Target: "TrentService", Protocol: wire.JSON11,
		Operations: map[string]api.Operation{
			"CreateKey":    api.JSON(r.createKey),
			"DescribeKey":  api.JSON(r.describeKey),
			"GetPublicKey": api.JSON(r.getPublicKey),
			"Sign":         api.JSON(r.sign),

			"GetKeyPolicy":    api.JSON(r.getKeyPolicy),
			"PutKeyPolicy":    api.JSON(r.putKeyPolicy),
			"ListKeyPolicies": api.JSON(r.listKeyPolicies),
		},
		State: r.load,
	}, r}
}
