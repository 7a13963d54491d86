package chain

import (
	"github.com/openirsa/openirsa/pkg/federation"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/record"
)

// Provider is link 4 as it is to be: the IAM OIDC provider for the issuer, with the
// tags and the audience sts.amazonaws.com. It needs Account and asks nothing.
func (ch *Chain) Provider(tags map[string]string) provider.Provider {
	f := federation.Federation{Issuer: ch.Issuer, Account: ch.Account, Tags: tags}
	return f.Provider()
}

// providers are the ARNs of the providers by which roles may trust this cluster:
// two during a migration, one otherwise.
func (ch *Chain) providers() []string {
	if other, _ := ch.migrating(); other != nil {
		return []string{ch.Record.Provider, other.Provider}
	}
	return []string{ch.Record.Provider}
}

// migrating is the other location of a migration that is under way, and its
// stage; nil for none.
func (ch *Chain) migrating() (other *record.Location, stage record.Stage) {
	c := ch.Record.Change
	if c == nil || c.Migration == nil {
		return nil, ""
	}
	if c.Migration.From.Issuer == ch.Record.Issuer {
		return &c.Migration.To, c.Stage
	}
	return &c.Migration.From, c.Stage
}
