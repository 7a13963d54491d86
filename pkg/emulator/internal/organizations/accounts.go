package organizations

import (
	"cmp"
	"slices"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// none is an output without members.
type none struct{}

// policyType is PolicyTypeSummary.
type policyType struct{ Type, Status string }

func summaries(enabled []string) []policyType {
	all := []policyType{}
	for _, kind := range enabled {
		all = append(all, policyType{kind, "ENABLED"})
	}
	return all
}

type organizationOutput struct {
	Organization struct {
		Arn, FeatureSet, Id                                   string
		MasterAccountArn, MasterAccountEmail, MasterAccountId string
		AvailablePolicyTypes                                  []policyType
	}
}

// email is the address of an account, which has none here.
func email(account string) string { return account + "@openirsa.invalid" }

func (o *organization) output() (out organizationOutput) {
	is := &out.Organization
	is.Arn, is.Id, is.FeatureSet = o.arn(o.Master, "organization", o.ID), o.ID, o.Features
	is.MasterAccountArn, is.MasterAccountId, is.MasterAccountEmail = o.arnOf(o.Master), o.Master, email(o.Master)
	// Not what is enabled in the root, in spite of the name: "Do not use", says the API
	// reference, and AWS's answers have this.
	if is.AvailablePolicyTypes = []policyType{}; o.Features == "ALL" {
		is.AvailablePolicyTypes = summaries([]string{serviceControl})
	}
	return out
}

type createOrganizationInput struct{ FeatureSet string }

func (s *Service) createOrganization(c *api.Call, in *createOrganizationInput) (out organizationOutput, e *wire.Failure) {
	features := cmp.Or(in.FeatureSet, "ALL")
	if features != "ALL" && features != "CONSOLIDATED_BILLING" {
		return out, invalid("You specified an invalid value for FeatureSet.")
	}
	if e := s.permit(c, ""); e != nil {
		return out, e
	}
	o, e := s.edit("", func(o *organization) *wire.Failure {
		if s.of[c.Caller.Account] != nil {
			return errAlready
		}
		*o = organization{
			ID: "o-" + randomWord(10), Master: c.Caller.Account, Features: features, Root: "r-" + randomWord(4), Attached: map[string][]string{},
		}
		o.Accounts = []member{{o.Master, o.Root, c.At.UTC()}}
		for _, account := range s.account.All {
			if account != o.Master && s.of[account] == nil {
				o.Accounts = append(o.Accounts, member{account, o.Root, c.At.UTC()})
			}
		}
		return nil
	})
	if e != nil {
		return out, e
	}
	return o.output(), nil
}

func (s *Service) describeOrganization(c *api.Call, _ *none) (out organizationOutput, e *wire.Failure) {
	if e := s.permit(c, ""); e != nil {
		return out, e
	}
	o := s.organizationOf(c.Caller.Account)
	if o == nil {
		return out, errNotInUse
	}
	return o.output(), nil
}

// deleteOrganization lets the members go, which CreateOrganization took in without
// being asked. At AWS they must be removed first.
func (s *Service) deleteOrganization(c *api.Call, _ *none) (out none, e *wire.Failure) {
	o, e := s.managed(c, "")
	if e != nil {
		return out, e
	}
	_, e = s.edit(o.ID, func(o *organization) *wire.Failure {
		*o = organization{ID: o.ID, Root: o.Root}
		return nil
	})
	return out, e
}

type root struct {
	Arn, Id, Name string
	PolicyTypes   []policyType
}

func (o *organization) rootOutput() root {
	return root{o.arnOf(o.Root), o.Root, "Root", summaries(o.Types)}
}

type rootsOutput struct {
	next
	Roots []root
}

func (s *Service) listRoots(c *api.Call, in *paging) (out rootsOutput, e *wire.Failure) {
	o, e := s.managed(c, "")
	if e != nil {
		return out, e
	}
	out.Roots, out.next, e = cut(c.List(), *in, []root{o.rootOutput()})
	return out, e
}

// account is Account.
type account struct {
	Arn, Id, Name, Email        string
	JoinedMethod, State, Status string
	JoinedTimestamp             float64 // seconds since 1970
}

func (o *organization) accountOutput(m *member) account {
	a := account{
		Arn: o.arnOf(m.ID), Id: m.ID, Name: m.ID, Email: email(m.ID), JoinedMethod: "INVITED", State: "ACTIVE", Status: "ACTIVE",
		JoinedTimestamp: float64(m.Joined.UnixNano()) / float64(time.Second),
	}
	if m.ID == o.Master {
		a.Name = "management"
	}
	return a
}

type accountsOutput struct {
	next
	Accounts []account
}

func (s *Service) listAccounts(c *api.Call, in *paging) (out accountsOutput, e *wire.Failure) {
	o, e := s.managed(c, "")
	if e != nil {
		return out, e
	}
	var all []account
	for i := range o.Accounts {
		all = append(all, o.accountOutput(&o.Accounts[i]))
	}
	out.Accounts, out.next, e = cut(c.List(), *in, all)
	return out, e
}

// parentInput is the input of lists of what is below a root or a unit.
type parentInput struct {
	paging
	ParentId, ChildType string
}

// parent is the organization, once the caller may list what is below a parent.
func (s *Service) parent(c *api.Call, id string) (*organization, *wire.Failure) {
	o, e := s.managed(c, "", id)
	if e == nil && !o.isParent(id) {
		e = errNoParent
	}
	return o, e
}

func (s *Service) listAccountsForParent(c *api.Call, in *parentInput) (out accountsOutput, e *wire.Failure) {
	o, e := s.parent(c, in.ParentId)
	if e != nil {
		return out, e
	}
	var all []account
	for i := range o.Accounts {
		if o.Accounts[i].Parent == in.ParentId {
			all = append(all, o.accountOutput(&o.Accounts[i]))
		}
	}
	out.Accounts, out.next, e = cut(c.List(in.ParentId), in.paging, all)
	return out, e
}

type accountInput struct{ AccountId string }

type accountOutput struct{ Account account }

func (s *Service) describeAccount(c *api.Call, in *accountInput) (out accountOutput, e *wire.Failure) {
	o, e := s.managed(c, "", in.AccountId)
	if e != nil {
		return out, e
	}
	m := o.member(in.AccountId)
	if m == nil {
		return out, errNoAccount
	}
	return accountOutput{o.accountOutput(m)}, nil
}

type moveInput struct{ AccountId, SourceParentId, DestinationParentId string }

func (s *Service) moveAccount(c *api.Call, in *moveInput) (out none, e *wire.Failure) {
	o, e := s.managed(c, "", in.AccountId, in.SourceParentId, in.DestinationParentId)
	if e != nil {
		return out, e
	}
	_, e = s.edit(o.ID, func(o *organization) *wire.Failure {
		m := o.member(in.AccountId)
		switch {
		case m == nil:
			return errNoAccount
		case m.Parent != in.SourceParentId:
			return errNoSource
		case !o.isParent(in.DestinationParentId):
			return errNoDestination
		case in.SourceParentId == in.DestinationParentId:
			return errSamePlace
		}
		m.Parent = in.DestinationParentId
		return nil
	})
	return out, e
}

// removeAccount lets an account be one outside of the organization.
func (s *Service) removeAccount(c *api.Call, in *accountInput) (out none, e *wire.Failure) {
	o, e := s.managed(c, "", in.AccountId)
	if e != nil {
		return out, e
	}
	_, e = s.edit(o.ID, func(o *organization) *wire.Failure {
		switch {
		case o.member(in.AccountId) == nil:
			return errNoAccount
		case in.AccountId == o.Master:
			return failure("MasterCannotLeaveOrganizationException", "You can't remove a management account from an organization.")
		}
		o.Accounts = slices.DeleteFunc(o.Accounts, func(m member) bool { return m.ID == in.AccountId })
		delete(o.Attached, in.AccountId)
		delete(o.Tags, in.AccountId)
		return nil
	})
	return out, e
}

// No service of AWS has access to the organization, and no account administers a part
// of it, so these lists are empty. Terraform reads the first.

type serviceAccessOutput struct{ EnabledServicePrincipals []none }

func (s *Service) listServiceAccess(c *api.Call, _ *paging) (out serviceAccessOutput, e *wire.Failure) {
	_, e = s.managed(c, "")
	return serviceAccessOutput{[]none{}}, e
}

type delegatedOutput struct{ DelegatedAdministrators []none }

func (s *Service) listDelegated(c *api.Call, _ *paging) (out delegatedOutput, e *wire.Failure) {
	_, e = s.managed(c, "")
	return delegatedOutput{[]none{}}, e
}
