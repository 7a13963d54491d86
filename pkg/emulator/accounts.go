package emulator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/policy"
)

// maxAccounts bounds the accounts of an emulator. Organizations takes no more
// without being asked (AWS Organizations User Guide, "Quotas").
const maxAccounts = 100

// isAccountID reports whether a text is the id of an account.
func isAccountID(id string) bool { return len(id) == 12 && strings.Trim(id, "0123456789") == "" }

// accountOf is the account in an ARN, "" if there is none.
func accountOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return ""
}

// completeAccounts says which account is the home account, and puts it first.
func (c *Config) completeAccounts() error {
	several := len(c.Accounts) > 0
	if several {
		c.Account = cmp.Or(c.Account, c.Accounts[0])
	}
	c.Account = cmp.Or(c.Account, DefaultAccount)
	all := []string{c.Account}
	for _, id := range c.Accounts {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	for _, id := range all {
		if !isAccountID(id) {
			return fmt.Errorf("account %q is not twelve digits", id)
		}
	}
	if len(all) > maxAccounts {
		return fmt.Errorf("there are %d accounts, and there can be %d", len(all), maxAccounts)
	}
	if several {
		c.Accounts = all
	}
	return nil
}

// newAccounts makes the accounts of an emulator, and returns the home account.
func newAccounts(config Config) *Server {
	f := &front{config: config, accounts: make(map[string]*Server)}
	for _, id := range append([]string{config.Account}, config.Accounts...) {
		if f.accounts[id] != nil {
			continue
		}
		s := &Server{front: f, account: &api.Account{
			ID:            id,
			Partition:     config.Partition,
			DNSSuffix:     dnsSuffixes[config.Partition],
			CanonicalUser: api.CanonicalUser(id),
			Now:           config.Now,
			Memory:        &f.bodies,
			Principals:    f.principalIDs,
			Role:          f.roleNamed,
		}}
		s.account.Gate, s.account.All = gate{s}, s.Accounts()
		f.accounts[id] = s
	}
	f.home = f.accounts[config.Account]
	return f.home
}

// Accounts are the accounts of the emulator, the home account first.
func (s *Server) Accounts() []string {
	if len(s.config.Accounts) == 0 {
		return []string{s.config.Account}
	}
	return slices.Clone(s.config.Accounts)
}

// several reports whether there is more than one account, or was asked for.
func (f *front) several() bool { return len(f.config.Accounts) > 0 }

// of is the account of a caller; that of a stranger, who has none, is the home
// account.
func (f *front) of(caller *api.Caller) *Server {
	if s := f.accounts[caller.Account]; s != nil {
		return s
	}
	return f.home
}

// ofRole is the account of the role that an ARN names, or the home account if it
// names none of the emulator's.
func (f *front) ofRole(arn string) *Server {
	if _, account, ok := parseRoleARN(arn); ok && f.accounts[account] != nil {
		return f.accounts[account]
	}
	return f.home
}

// roleNamed is the role of any of the accounts with an ARN.
func (f *front) roleNamed(arn string) (api.Role, bool) {
	_, account, ok := parseRoleARN(arn)
	if s := f.accounts[account]; ok && s != nil {
		if r := s.iam.roleByName(nameOf(arn)); r != nil && r.ARN == arn {
			return api.Role{Trust: r.trust, Tags: r.Tags}, true
		}
	}
	return api.Role{}, false
}

// notOurs says of the ARN of a role that its account is none of the emulator's, or is
// empty.
func (f *front) notOurs(arn string) string {
	_, account, ok := parseRoleARN(arn)
	if !ok || f.accounts[account] != nil {
		return ""
	}
	return ": account " + account + " is none of the emulator's, which has " + strings.Join(f.home.Accounts(), ", ")
}

// ofKey is the account that issued an access key, which is written in the id; root
// says that the key is its root user's. If there is no such account the reason is
// why.
func (f *front) ofKey(id string) (s *Server, root bool, why string) {
	if id == f.config.RootAccessKeyID {
		return f.home, true, ""
	}
	if !f.several() {
		return f.home, false, ""
	}
	account := id
	if root = isAccountID(id); !root {
		var ok bool
		if account, ok = keyAccount(id); !ok {
			return f.home, false, ""
		}
	}
	if s = f.accounts[account]; s == nil {
		why = fmt.Sprintf("access key %s is of account %s, which this emulator does not have: it has %s", shownKeyID(id), account,
			strings.Join(f.config.Accounts, ", "))
	}
	return s, root, why
}

// principalIDs are the unique ids of the users and roles among principals of a
// policy. Unknown is the first that does not exist in one of the emulator's
// accounts, "" if all do; of others nothing is known.
func (f *front) principalIDs(names []string) (ids map[string]string, unknown string) {
	ids = make(map[string]string)
	for _, name := range names {
		found := f.principalID(name)
		if !found.known {
			return nil, name
		}
		if found.id != "" {
			ids[name] = found.id
		}
	}
	return ids, ""
}

// principalID finds a user or role of any of the accounts. The caller holds no
// directory's mu.
func (f *front) principalID(name string) principalID {
	if parts := strings.SplitN(name, ":", 6); len(parts) == 6 && parts[0] == "arn" {
		return f.principalIn(f.accounts[parts[4]], name)
	}
	for _, s := range f.accounts {
		if found := f.principalIn(s, name); found.known {
			return found
		}
	}
	return principalID{}
}

// principalIn finds a user or role of an account, which is nil for one that is not
// the emulator's.
func (f *front) principalIn(s *Server, name string) (found principalID) {
	if s == nil {
		return principalID{known: true}
	}
	s.iam.read(func() { found = s.iam.principalID(name) })
	return found
}

// strangers are the users and roles that a trust policy names and that are not of
// this account. They are looked up before the directory of this account is locked,
// so that no two accounts wait for each other.
func (s *Server) strangers(trust string) map[string]principalID {
	if !s.several() {
		return nil
	}
	p, err := policy.Parse(policy.Trust, []byte(trust))
	if err != nil {
		return nil // it is refused later
	}
	found := make(map[string]principalID)
	for _, name := range p.AWSPrincipals() {
		parts := strings.SplitN(name, ":", 6)
		if len(parts) != 6 || parts[4] != s.account.ID { // an id may be of any account
			found[name] = s.principalID(name)
		}
	}
	return found
}
