package chain

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/token"
	"github.com/openirsa/openirsa/pkg/trust"
)

// planRoles decides about the wanted roles. It writes into roles what only IAM knows
// of existing ones: the ARN of a shared role has the path that another cluster gave
// it.
func (ch *Chain) planRoles(ctx context.Context, roles map[string]role.Role,
	accounts []config.ServiceAccount, only bool) ([]plan.Item, error) {
	if len(roles) == 0 {
		return nil, nil
	}
	there, err := role.Read(ctx, ch.Account.IAM, slices.Sorted(maps.Keys(roles)))
	if err != nil {
		return nil, err
	}
	ch.inherit(there)
	others := map[string]string{} // the roles of all service accounts but accounts, by subject
	if len(there) > 0 && !only {
		annotated, err := ch.Cluster.ServiceAccounts(ctx)
		if apierrors.IsForbidden(err) {
			others = nil // unknown
		} else if err != nil {
			return nil, err
		}
		for _, sa := range annotated {
			others[token.Subject(sa.Namespace, sa.Name)] = sa.Role(irsa.DefaultPrefix)
		}
		for _, sa := range accounts {
			delete(others, token.Subject(sa.Metadata.Namespace, sa.Metadata.Name))
		}
	}
	var wants []role.Role
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		want := roles[name]
		if r, ok := there[name]; ok {
			want.ARN = r.ARN
			if err := ch.keepSubjects(&want, r, others); err != nil {
				return nil, err
			}
			if want.Trust, err = trust.WithPods(want.Trust, trust.PodsOf(r.Trust)...); err != nil {
				return nil, err
			}
		}
		roles[name] = want
		wants = append(wants, want)
	}
	steps, err := role.PlanAll(ctx, ch.Account.IAM, there, wants)
	if err != nil {
		return nil, err
	}
	var items []plan.Item
	for _, want := range wants {
		items = append(items, plan.Ready(want.ARN, steps[want.Name]))
	}
	return items, nil
}

// keepSubjects has a wanted role keep letting in the other service accounts that share
// it: those that its trust policy lets in now and that are annotated with it. A subject
// of which there is no service account is a mistake, and is removed; but not where the
// service accounts may not be listed (others is nil).
func (ch *Chain) keepSubjects(want *role.Role, there role.Role, others map[string]string) error {
	subjects := trust.Subjects(want.Trust, ch.Record.Provider)
	if len(subjects) == 0 {
		return nil // a pattern
	}
	n := len(subjects)
	for _, subject := range trust.Subjects(there.Trust, ch.Record.Provider) {
		if (others == nil || others[subject] == there.ARN) && !slices.Contains(subjects, subject) {
			subjects = append(subjects, subject)
		}
	}
	if len(subjects) == n {
		return nil
	}
	want.KeepAttached = true
	delete(want.Tags, owner.ServiceAccountTag) // it is not that of one alone
	var err error
	want.Trust, err = ch.TrustPolicy(subjects, "")
	return err
}

// TrustPolicy is this cluster's part of a role's trust policy, in JSON. It lets in the
// subjects, or those that match a pattern as of StringLike. During a migration it lets
// in tokens of both issuers, until the old one is being removed. It may be longer than
// IAM takes by default, but not longer than [trust.MaxSizeQuota]: whether a role has
// room is seen when the parts of all clusters are joined.
func (ch *Chain) TrustPolicy(subjects []string, pattern string) ([]byte, error) {
	policy := trust.Policy{
		Providers: []trust.Provider{{ARN: ch.Record.Provider, Issuer: ch.Issuer, Audience: irsa.Audience, Subjects: subjects, Pattern: pattern}},
		Limit:     trust.MaxSizeQuota,
	}
	other, stage := ch.migrating()
	if other != nil && stage != record.Prune {
		iss, err := issuer.Parse(other.Issuer)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", plan.Role, err)
		}
		also := policy.Providers[0]
		also.ARN, also.Issuer = other.Provider, iss
		policy.Providers = append(policy.Providers, also)
	}
	document, err := policy.Document()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plan.Role, err)
	}
	return document, nil
}

// deleteRoles removes those of the cluster's roles for which gone holds; of a role that
// it shares with other clusters it removes only its own part.
func (ch *Chain) deleteRoles(ctx context.Context, run *plan.Runner, gone func(role.Role) bool) error {
	return run.Many(ctx, plan.Role, func(ctx context.Context) ([]plan.Item, error) {
		mark, err := ch.Tags(ctx)
		if err != nil {
			return nil, err
		}
		list, err := ch.Roles(ctx, mark)
		if err != nil {
			return nil, err
		}
		providers, err := ch.ownProviders(ctx, mark)
		if err != nil {
			return nil, err
		}
		var items []plan.Item
		for _, there := range list {
			if gone(there) {
				items = append(items, plan.Item{Object: there.Name, Decide: func(context.Context) ([]plan.Step, error) {
					return there.Delete(ch.Account.IAM, mark, providers...)
				}})
			}
		}
		return items, nil
	})
}

// Roles are those that were made for the cluster with the mark (its [Chain.Tags]), or
// that it shares with others, as IAM has them, sorted by name. It needs Account.
func (ch *Chain) Roles(ctx context.Context, mark map[string]string) ([]role.Role, error) {
	names, err := role.NamesOf(ctx, ch.Account.IAM, ch.Record.Cluster, ch.providers()...)
	if err != nil {
		return nil, err
	}
	there, err := role.ReadListed(ctx, ch.Account.IAM, names)
	if err != nil {
		return nil, err
	}
	ch.inherit(there)
	var list []role.Role
	for _, name := range slices.Sorted(maps.Keys(there)) {
		if r := there[name]; owner.Owns(r.Tags, mark) || owner.Shared(r.Tags) {
			list = append(list, r)
		}
	}
	return list, nil
}

// inherit shows the roles of an earlier cluster of the same name as they will be when
// they are taken over, which in a dry run has not happened.
func (ch *Chain) inherit(there map[string]role.Role) {
	for _, r := range there {
		if ch.adoptedUID != "" && owner.Named(r.Tags, ch.Record.Cluster) {
			r.Tags[owner.UIDTag] = ch.adoptedUID
		}
	}
}

// roleName is the name of a service account's role: the one that its configuration
// names, or else [role.NameFor].
func (ch *Chain) roleName(sa *config.ServiceAccount) string {
	if sa.AttachRoleARN != "" {
		return sa.AttachRoleARN[strings.LastIndexByte(sa.AttachRoleARN, '/')+1:]
	}
	return cmp.Or(sa.RoleName, role.NameFor(ch.Record.Cluster, sa.Metadata.Namespace, sa.Metadata.Name))
}

// RolePath is the path of a service account's role: the one that its configuration
// names, or else [role.PathFor]. A role whose name is given and whose path is not is
// at the root, as with eksctl, so that it has the ARN that others have noted.
func (ch *Chain) RolePath(sa *config.ServiceAccount) string {
	switch {
	case sa.RolePath != "":
		return sa.RolePath
	case sa.RoleName != "":
		return "/"
	}
	return role.PathFor(ch.Record.Cluster)
}

// WantRoles are the roles of the accounts as they are to be, by name; those that
// AttachRoleARN names are left out. Service accounts that name the same role share it:
// it trusts them all, in one statement. The error is an [*OptionError] if these ask for
// different things, or for a policy that is not known or too long, and a
// [*PartitionError] for an ARN of another partition than the record's.
func (ch *Chain) WantRoles(ctx context.Context, accounts []config.ServiceAccount) (map[string]role.Role, error) {
	mark, err := ch.Tags(ctx)
	if err != nil {
		return nil, err
	}
	sharers := map[string][]*config.ServiceAccount{}
	for i := range accounts {
		if sa := &accounts[i]; sa.AttachRoleARN == "" {
			sharers[ch.roleName(sa)] = append(sharers[ch.roleName(sa)], sa)
		}
	}
	roles := map[string]role.Role{}
	for name, sas := range sharers {
		if err := agree("Accounts", name, sas); err != nil {
			return nil, err
		}
		want, err := ch.wantRole(name, sas, mark)
		if err != nil {
			return nil, err
		}
		roles[name] = want
	}
	return roles, nil
}

// agree refuses what shares a role and asks for different ones.
func agree[A interface {
	fmt.Stringer
	Differs(A) string
}](option, name string, sharers []A) error {
	for i, one := range sharers {
		for _, other := range sharers[:i] {
			if field := one.Differs(other); field != "" {
				err := fmt.Errorf("%s: %s and %s share role %s and ask for different %s", plan.Role, one, other, name, field)
				return &OptionError{Option: option, Err: err}
			}
		}
	}
	return nil
}

// wantRole is the role that some service accounts share, mostly one.
func (ch *Chain) wantRole(name string, sharers []*config.ServiceAccount, mark map[string]string) (role.Role, error) {
	first := sharers[0]
	var subjects []string
	want := role.Role{
		Name:        name,
		Path:        ch.RolePath(first),
		Description: role.Describe(ch.Record.Cluster, ""),
		Boundary:    first.PermissionsBoundary,
		Tags:        maps.Clone(mark),
		Shared:      first.ShareRole,
	}
	if first.SubjectPattern == "" {
		for _, sa := range sharers {
			subjects = append(subjects, token.Subject(sa.Metadata.Namespace, sa.Metadata.Name))
		}
	}
	if len(sharers) == 1 && first.SubjectPattern == "" && !first.ShareRole {
		want.Description = role.Describe(ch.Record.Cluster, first.String())
		want.Tags[owner.ServiceAccountTag] = first.String()
	}
	inline := map[string][]byte{}
	for _, sa := range sharers {
		maps.Copy(want.Tags, sa.Tags)
		want.PolicyARNs = append(want.PolicyARNs, sa.AttachPolicyARNs...)
		for known, on := range sa.WellKnownPolicies {
			if !on {
				continue
			}
			arn, document, err := config.WellKnown(known, ch.surroundings())
			switch {
			case err != nil:
				return role.Role{}, &OptionError{Option: "Accounts", Err: fmt.Errorf("%s: %w", plan.Role, err)}
			case arn != "":
				want.PolicyARNs = append(want.PolicyARNs, arn)
			default:
				inline[known] = document
			}
		}
	}
	if first.AttachPolicy != nil {
		inline[first.PolicyName()] = first.AttachPolicy
	}
	if len(inline) > 0 {
		want.Inline = inline
	}
	if err := config.CheckInline(want.Inline); err != nil {
		return role.Role{}, &OptionError{Option: "Accounts", Err: fmt.Errorf("%s: %s: %w", plan.Role, name, err)}
	}
	slices.Sort(want.PolicyARNs)
	want.PolicyARNs = slices.Compact(want.PolicyARNs)
	for _, arn := range append(slices.Clone(want.PolicyARNs), want.Boundary) {
		// Copied from a page about another partition, mostly.
		if arn != "" && !strings.HasPrefix(arn, "arn:"+ch.Record.Partition+":") {
			return role.Role{}, &PartitionError{ARN: arn, Partition: ch.Record.Partition, Account: ch.Record.Account}
		}
	}
	var err error
	if want.Trust, err = ch.TrustPolicy(subjects, first.SubjectPattern); err != nil {
		return role.Role{}, err
	}
	want.ARN = want.ARNIn(ch.Record.Partition, ch.Record.Account)
	return want, nil
}

// surroundings are what well-known policies may name.
func (ch *Chain) surroundings() config.Surroundings {
	region := ch.Record.Region
	if region == "" && ch.Account != nil {
		region = ch.Account.Region
	}
	return config.Surroundings{Partition: ch.Record.Partition, Account: ch.Record.Account, Region: region, Cluster: ch.Record.Cluster}
}
