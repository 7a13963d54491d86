package chain_test

import (
	"slices"
	"testing"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/record"
)

// What the emulator of a cluster forwards is what the record says, in every later run.
func TestForwardIsRecorded(t *testing.T) {
	forward := []string{"*=http://moto.test.svc:5000"}
	ch := &chain.Chain{Record: record.Record{Account: "000000000000", Emulator: true, Forward: forward}}
	if got := ch.EmulatorParams().Forward; !slices.Equal(got, forward) {
		t.Errorf("the emulator forwards %q", got)
	}
}
