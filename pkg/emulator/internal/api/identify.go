package api

import (
	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// IdentifyBody is Gate.Identify for services whose whole request is in the body,
// which must have been read. The failure is in the dialect of the call, and has
// its event.
func IdentifyBody(gate Gate, c *Call) *wire.Failure {
	dialect := c.Speaks()
	sig, err := c.Signature()
	if err == nil && sig.Service != c.Service {
		c.Region = sig.Region
		e := dialect.Mismatch.failure("Credential should be scoped to correct service: '%s'.", c.Service)
		gate.Record(c, Decision{Step: "signature", Reason: "the signature is for service " + sig.Service, Code: e.Code})
		return e
	}
	var failure *AuthFailure
	if err != nil {
		failure = SignatureFailure(err)
	} else {
		_, failure = gate.Identify(c, &sig, sigv4.HashPayload(c.Body))
	}
	if failure == nil {
		return nil
	}
	e := dialect.Refusal(failure)
	gate.Record(c, Decision{Step: "signature", Reason: failure.Why, Code: e.Code})
	return e
}
