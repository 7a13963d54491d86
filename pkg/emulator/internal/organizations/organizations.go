// Package organizations is the emulator's AWS Organizations, as far as the
// evaluation of policies needs it: the tree of organizational units and accounts,
// and the service control and resource control policies that are attached to it. The
// rules are those of the AWS Organizations API Reference and User Guide.
//
// Accounts are not created and not invited: CreateOrganization takes in all accounts
// of the emulator that are in no organization.
package organizations

import (
	"encoding/json"
	"sync"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// bucketOrganization is the bucket of the state file with organizations, by id.
const bucketOrganization = "organization"

// Service is Organizations.
type Service struct {
	*api.JSONService
	account *api.Account

	mu   sync.RWMutex             // guards the maps; what is in them never changes
	orgs map[string]*organization // by id
	of   map[string]*organization // by account
}

// New is the Organizations of an emulator.
func New(account *api.Account) api.Service {
	s := &Service{account: account}
	s.JSONService = &api.JSONService{
		Account: account, Name: "organizations", Target: "AWSOrganizationsV20161128", Protocol: wire.JSON11,
		Operations: map[string]api.Operation{
			"CreateOrganization":            api.JSON(s.createOrganization),
			"DescribeOrganization":          api.JSON(s.describeOrganization),
			"DeleteOrganization":            api.JSON(s.deleteOrganization),
			"ListRoots":                     api.JSON(s.listRoots),
			"ListAccounts":                  api.JSON(s.listAccounts),
			"ListAccountsForParent":         api.JSON(s.listAccountsForParent),
			"DescribeAccount":               api.JSON(s.describeAccount),
			"MoveAccount":                   api.JSON(s.moveAccount),
			"RemoveAccountFromOrganization": api.JSON(s.removeAccount),

			"ListAWSServiceAccessForOrganization": api.JSON(s.listServiceAccess),
			"ListDelegatedAdministrators":         api.JSON(s.listDelegated),

			"CreateOrganizationalUnit":         api.JSON(s.createUnit),
			"DescribeOrganizationalUnit":       api.JSON(s.describeUnit),
			"UpdateOrganizationalUnit":         api.JSON(s.updateUnit),
			"DeleteOrganizationalUnit":         api.JSON(s.deleteUnit),
			"ListOrganizationalUnitsForParent": api.JSON(s.listUnits),
			"ListParents":                      api.JSON(s.listParents),
			"ListChildren":                     api.JSON(s.listChildren),

			"EnablePolicyType":      api.JSON(s.enableType),
			"DisablePolicyType":     api.JSON(s.disableType),
			"CreatePolicy":          api.JSON(s.createPolicy),
			"DescribePolicy":        api.JSON(s.describePolicy),
			"UpdatePolicy":          api.JSON(s.updatePolicy),
			"DeletePolicy":          api.JSON(s.deletePolicy),
			"ListPolicies":          api.JSON(s.listPolicies),
			"AttachPolicy":          api.JSON(s.attachPolicy),
			"DetachPolicy":          api.JSON(s.detachPolicy),
			"ListPoliciesForTarget": api.JSON(s.listPoliciesForTarget),
			"ListTargetsForPolicy":  api.JSON(s.listTargets),

			"TagResource":         api.JSON(s.tagResource),
			"UntagResource":       api.JSON(s.untagResource),
			"ListTagsForResource": api.JSON(s.listTags),
		},
		State: s.load,
	}
	return s
}

// MembershipOf implements [api.Organizations].
func (s *Service) MembershipOf(account string) *api.Membership {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if o := s.of[account]; o != nil {
		return o.memberships[account]
	}
	return nil
}

// organizationOf is the organization that an account is in, or nil.
func (s *Service) organizationOf(account string) *organization {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.of[account]
}

// load reads the organizations of the state file.
func (s *Service) load() error {
	orgs := map[string]*organization{}
	err := s.account.Store.Load(bucketOrganization, func(id string, value []byte) error {
		o := new(organization)
		if err := json.Unmarshal(value, o); err != nil {
			return err
		}
		orgs[id] = o
		return o.derive(s.account.Partition, nil)
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orgs = orgs
	s.index()
	return nil
}

// index says which organization each account is in. The caller holds mu.
func (s *Service) index() {
	s.of = map[string]*organization{}
	for _, o := range s.orgs {
		for _, m := range o.Accounts {
			s.of[m.ID] = o
		}
	}
}

// edit changes an organization: f gets a copy, and either refuses or changes it. When
// edit returns nil the change is on disk, if there is a file. The id "" makes one.
func (s *Service) edit(id string, f func(*organization) *wire.Failure) (*organization, *wire.Failure) {
	if s.account.Store.Failure() != nil {
		return nil, wire.ErrInternal
	}
	s.mu.Lock()
	o, e := s.changed(id, f)
	if e != nil {
		s.mu.Unlock()
		return nil, e
	}
	var change store.Change
	if len(o.Accounts) == 0 {
		delete(s.orgs, o.ID)
		change.Delete(bucketOrganization, o.ID)
	} else {
		s.orgs[o.ID] = o
		change.Put(bucketOrganization, o.ID, o)
	}
	s.index()
	batch := s.account.Store.Queue(change.Records...)
	s.mu.Unlock()
	if change.Err != nil || s.account.Store.Commit(batch) != nil {
		return nil, wire.ErrInternal
	}
	return o, nil
}

// changed is a changed copy of an organization. The caller holds mu.
func (s *Service) changed(id string, f func(*organization) *wire.Failure) (*organization, *wire.Failure) {
	o, old := new(organization), s.orgs[id]
	if id != "" {
		if old == nil {
			return nil, errNotInUse
		}
		text, err := json.Marshal(old)
		if err != nil || json.Unmarshal(text, o) != nil {
			return nil, wire.ErrInternal
		}
	}
	if e := f(o); e != nil {
		return nil, e
	}
	if o.derive(s.account.Partition, old) != nil {
		return nil, wire.ErrInternal
	}
	return o, nil
}
