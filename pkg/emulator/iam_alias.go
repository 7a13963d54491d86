package emulator

import (
	"encoding/json"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// accountSettings is what is set of an account as a whole.
type accountSettings struct {
	Alias    string    `json:",omitempty"`
	Outbound *outbound `json:",omitempty"`
}

// settingsKey is the key of the one record of bucketSettings.
const settingsKey = "settings"

// loadSettings reads the account's settings.
func (d *directory) loadSettings(value []byte) error {
	err := json.Unmarshal(value, &d.settings)
	if err == nil && d.settings.Outbound != nil {
		err = d.settings.Outbound.parse()
	}
	return err
}

// putSettings changes the account's settings.
func (e *edit) putSettings(f func(*accountSettings)) {
	f(&e.settings)
	e.Put(bucketSettings, settingsKey, e.settings)
}

// ruleAlias is that of the model, whose pattern allows no two hyphens in a row.
var ruleAlias = wire.Rule{Required: true, Min: 3, Max: 63,
	Pattern: wire.ByRegexp(`^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`, `[a-z0-9]+(-[a-z0-9]+)*`)}

// createAccountAlias gives the account an alias, instead of the one that it has:
// there is one at a time.
func (s *Server) createAccountAlias(c *call) (func(*wire.XML), *wire.Failure) {
	alias := c.Text("AccountAlias", ruleAlias)
	if e := s.permitAccount(c, "*"); e != nil {
		return nil, e
	}
	return nil, s.iam.edit(func(e *edit) *wire.Failure {
		if e.settings.Alias == alias {
			return alreadyExists("The account alias %s already exists.", alias)
		}
		e.putSettings(func(a *accountSettings) { a.Alias = alias })
		return nil
	})
}

func (s *Server) deleteAccountAlias(c *call) (func(*wire.XML), *wire.Failure) {
	alias := c.Text("AccountAlias", ruleAlias)
	if e := s.permitAccount(c, "*"); e != nil {
		return nil, e
	}
	return nil, s.iam.edit(func(e *edit) *wire.Failure {
		if e.settings.Alias != alias {
			return noSuchEntity("The account alias %s cannot be found.", alias)
		}
		e.putSettings(func(a *accountSettings) { a.Alias = "" })
		return nil
	})
}

func (s *Server) listAccountAliases(c *call) (func(*wire.XML), *wire.Failure) {
	page := c.readPage()
	if e := s.permitAccount(c, "*"); e != nil {
		return nil, e
	}
	var found []string
	s.iam.read(func() {
		if s.iam.settings.Alias != "" {
			found = []string{s.iam.settings.Alias}
		}
	})
	found, marker := cut(page, found, func(alias string) string { return alias })
	return func(x *wire.XML) {
		x.Texts("AccountAliases", found)
		writePage(x, marker)
	}, nil
}
