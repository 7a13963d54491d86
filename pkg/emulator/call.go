package emulator

import (
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// call is a call of STS or IAM under way.
type call struct {
	*api.Call
	wire.Input
	namespace string // XML namespace of the answers of the service
}

// An operation is one action of STS or IAM.
type operation struct {
	// run does it. The result writes the content of the result element; an
	// operation without output returns none.
	run func(*Server, *call) (func(*wire.XML), *wire.Failure)
	// unsigned operations do not look at a signature.
	unsigned bool
}
