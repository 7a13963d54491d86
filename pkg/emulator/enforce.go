package emulator

import (
	"fmt"
	"slices"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/policy"
)

// Enforcement says what becomes of a call that policies deny.
type Enforcement string

const (
	// EnforceDeny denies it, as AWS does.
	EnforceDeny Enforcement = "deny"
	// EnforceLog records what would have been denied, see [WouldDeny], and lets it through.
	EnforceLog Enforcement = "log"
)

// check is an error unless the value is one of those above.
func (e Enforcement) check() error {
	if e != EnforceDeny && e != EnforceLog {
		return fmt.Errorf("enforcement %q is neither %q nor %q", string(e), EnforceDeny, EnforceLog)
	}
	return nil
}

// enforces reports whether a denial stands. The tag [owner.EnforceTag] of the caller's
// role goes before [Config.Enforce]. Who somebody is, is never left open: a caller that
// has not signed is denied, and so is a role that the trust policy does not give.
func (s *Server) enforces(caller *api.Caller, d *policy.Decision) bool {
	if caller.Kind == policy.Anonymous || caller.Kind == policy.WebIdentity || d.Type == policy.TrustType {
		return true
	}
	mode := s.config.Enforce
	if r := identityOf(caller).role; r != nil {
		i := slices.IndexFunc(r.Tags, func(t wire.Tag) bool { return t.Key == owner.EnforceTag })
		if i >= 0 && Enforcement(r.Tags[i].Value).check() == nil {
			mode = Enforcement(r.Tags[i].Value)
		}
	}
	return mode != EnforceLog
}
