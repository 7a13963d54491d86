package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/plain"
	lib "github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
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

// createOptions are the flags of `iamserviceaccount create`, which are eksctl's.
type createOptions struct {
	iamServiceAccount
	wellKnown  []string
	inlineFile string
	config     string
	override   bool
	approve    bool
	timeout    time.Duration
}

func (a *app) serviceAccountCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "iamserviceaccount",
		Aliases: []string{"iamserviceaccounts", "sa"},
		Short:   "Give service accounts roles, show them, take them away",
		Long:    "Links 5 and 6 of the chain: the IAM role of a service account, and its annotation. The flags are those of eksctl.",
	}
	c.AddCommand(a.createServiceAccountCommand(), a.getServiceAccountCommand(), a.deleteServiceAccountCommand())
	for _, verb := range c.Commands() {
		f := verb.Flags()
		f.StringVarP(&a.cluster, "cluster", "c", "", "name of the cluster, as setup recorded it: it must be that one, and a context or kind cluster of this name is chosen")
		f.StringVarP(&a.profile, "profile", "p", "", "AWS profile (default: $AWS_PROFILE)")
	}
	return c
}

func (a *app) createServiceAccountCommand() *cobra.Command {
	var o createOptions
	c := &cobra.Command{
		Use:   "create",
		Short: "Make a role for a service account, or bring it up to date",
		Long: `Make an IAM role that only the service account can assume, attach policies, and
annotate the service account, which is made if it is not there. New pods of it get
the role, in kube-system too; pods that run already must be recreated.

Without --approve the plan is printed and nothing is changed. Run it again to
change the policies: the role gets exactly those that are named.

Service accounts that are given the same --role-name share the role. Service
accounts of several clusters may share one too: --share-role joins the role that
another cluster of the account made. Each cluster has a statement of its own in
the trust policy and touches no other. What is attached to a role that others use
as well is added to, never taken away.`,
		Example: `  setup iamserviceaccount create --namespace default --name app \
      --attach-policy-arn arn:aws:iam::aws:policy/IAMReadOnlyAccess --approve
  setup iamserviceaccount create --namespace jobs --name reports --inline-policy-file s3.json --approve
  setup iamserviceaccount create --context west --name app --role-name reader --share-role --approve
  setup iamserviceaccount create --namespace default --name app --attach-role-arn arn:aws:iam::123456789012:role/app --approve`,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeoutCause(c.Context(), o.timeout, fmt.Errorf("not done within --timeout %s", o.timeout))
			defer cancel()
			return a.createServiceAccount(ctx, o)
		},
	}
	a.clusterFlags(c)
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	f.StringVar(&o.Metadata.Namespace, "namespace", "default", "namespace of the service account")
	f.StringVar(&o.Metadata.Name, "name", "", "name of the service account (required)")
	f.StringSliceVar(&o.AttachPolicyARNs, "attach-policy-arn", nil, "ARN of a managed policy to attach to the role (repeatable, or with commas)")
	f.StringSliceVar(&o.wellKnown, "well-known-policy", nil, "a policy that is known by name: "+strings.Join(config.WellKnownNames(), ", "))
	f.StringVar(&o.inlineFile, "inline-policy-file", "", "JSON file with an inline policy for the role")
	f.StringVar(&o.AttachRoleARN, "attach-role-arn", "", "use this role, as it is, instead of making one")
	f.StringVar(&o.RoleName, "role-name", "", "name of the role (default: openirsa-CLUSTER-NAMESPACE-NAME)")
	f.BoolVar(&o.ShareRole, "share-role", false, "let service accounts of several clusters assume the role of this --role-name: join the one that another cluster made")
	f.StringVar(&o.RolePath, "role-path", "", "path of the role (default: / with --role-name, otherwise /openirsa/CLUSTER/)")
	f.BoolVar(&o.RoleOnly, "role-only", false, "make the role and leave the service account alone")
	f.StringToStringVar(&o.Tags, "tags", nil, "tags of the role, which are added and never removed: KEY=VALUE,...")
	f.StringToStringVar(&o.Metadata.Labels, "labels", nil, "labels of the service account: KEY=VALUE,...")
	f.StringVar(&o.SubjectPattern, "subject-pattern", "", `let in every service account whose subject matches, such as "system:serviceaccount:team-*:app"`)
	f.BoolVar(&o.override, "override-existing-serviceaccounts", false, "replace the role of a service account that has another one")
	f.StringVar(&o.PermissionsBoundary, "permissions-boundary", "", "ARN of the role's permissions boundary")
	f.StringVarP(&a.region, "region", "r", "", "AWS region (default: that of the chain)")
	f.BoolVar(&o.approve, "approve", false, "make the changes; without it they are only printed")
	f.DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long it may take")
	f.StringVarP(&o.config, "config-file", "f", "", "configuration file with the service accounts, eksctl's too, instead of flags; - is standard input (see docs/configuration.md)")
	c.RegisterFlagCompletionFunc("well-known-policy", cobra.FixedCompletions(config.WellKnownNames(), cobra.ShellCompDirectiveNoFileComp))
	c.MarkFlagsOneRequired("name", "config-file")
	c.MarkFlagsMutuallyExclusive("name", "config-file")
	ofRole := []string{"attach-policy-arn", "well-known-policy", "inline-policy-file", "permissions-boundary", "role-name", "role-path", "share-role", "role-only", "subject-pattern", "tags"}
	for _, other := range ofRole {
		c.MarkFlagsMutuallyExclusive("attach-role-arn", other)
	}
	for _, other := range append(ofRole, "attach-role-arn", "namespace", "labels") {
		c.MarkFlagsMutuallyExclusive("config-file", other)
	}
	return c
}

// complete takes the flags that a configuration file spells in another way.
func (o *createOptions) complete() error {
	for _, name := range o.wellKnown {
		if o.WellKnownPolicies == nil {
			o.WellKnownPolicies = map[string]bool{}
		}
		o.WellKnownPolicies[name] = true
	}
	if o.inlineFile != "" {
		document, err := os.ReadFile(o.inlineFile)
		if err != nil {
			return fmt.Errorf("%s: reading the inline policy: %w", plan.Role, err)
		}
		o.AttachPolicy = document
	}
	if err := o.Check(); err != nil {
		if e, ok := errors.AsType[*config.FieldError](err); ok && e.Field == "shareRole" {
			return cli.Usagef("%w: --role-name", err)
		}
		return cli.Usage(err)
	}
	return nil
}

func (a *app) createServiceAccount(ctx context.Context, o createOptions) error {
	accounts := []iamServiceAccount{o.iamServiceAccount}
	if o.config != "" {
		file, err := a.readConfig(o.config)
		if err != nil {
			return err
		}
		var up upOptions
		applyFile(file, a, &up)
		accounts = file.IAMServiceAccounts
	} else if err := o.complete(); err != nil {
		return err
	} else {
		accounts[0] = o.iamServiceAccount
	}
	ch, err := a.connectInstalled(ctx)
	if err != nil {
		return err
	}
	if err := ch.checkRecord(ctx); err != nil {
		return err
	}
	r := a.newReport(ch.state.Cluster, !o.approve)
	defer r.clear()
	r.run.Calls = ch.acct.Calls
	r.Issuer = ch.iss.String()
	if err := ch.makeServiceAccounts(ctx, r.run, accounts, o.override, false); err != nil {
		return err
	}
	if err := r.finish(); err != nil {
		return err
	}
	unasked, err := ch.noteUnasked(ctx, r.run, accounts)
	if err != nil {
		return err
	}
	switch {
	case !o.approve && r.run.Changed():
		r.say("\nNothing was changed. To make these changes, run the same command with --approve.")
	case len(accounts) == 0:
		r.say("\nThere is no service account in %s.", o.config)
	case !r.run.Changed():
		r.say("\nEverything is unchanged.")
	case !o.RoleOnly && !unasked:
		r.say("\nNew pods get the role. Make those that run anew, for example: kubectl --namespace %s rollout restart deployment", accounts[0].Metadata.Namespace)
	}
	return nil
}

// makeServiceAccounts makes links 5 and 6 of all the accounts. Unless they are
// the only ones, other service accounts of the cluster go on sharing the roles
// that they share.
func (ch *chain) makeServiceAccounts(ctx context.Context, run *plan.Runner, accounts []iamServiceAccount, override, only bool) error {
	roles, err := ch.wantServiceAccounts(ctx, accounts)
	if err != nil {
		return err
	}
	run.Start(plan.Role, "looking")
	p, err := ch.planServiceAccounts(ctx, accounts, roles, override, only)
	if err != nil {
		return err
	}
	return p.run(ctx, run)
}

// wantServiceAccounts are the roles of the accounts, by name, if we have the
// rights to make what they ask for.
func (ch *chain) wantServiceAccounts(ctx context.Context, accounts []iamServiceAccount) (map[string]role.Role, error) {
	namespaces := map[string]bool{}
	for _, sa := range accounts {
		namespaces[sa.Metadata.Namespace] = true
	}
	for _, ns := range slices.Sorted(maps.Keys(namespaces)) {
		if err := ch.c.Check(ctx, cluster.ServiceAccountRights(ns)...); err != nil {
			return nil, err
		}
	}
	return ch.wantRoles(ctx, accounts)
}

// accountPlan is what must be done for links 5 and 6 of some service accounts.
type accountPlan struct{ roles, accounts []plan.Item }

// changes reports whether anything must be done.
func (p accountPlan) changes(ctx context.Context) (bool, error) {
	for _, i := range slices.Concat(p.roles, p.accounts) {
		if steps, err := i.Decide(ctx); err != nil || len(steps) > 0 {
			return true, err
		}
	}
	return false, nil
}

// run makes first every role, then every service account, so that no pod finds
// an annotation without a role.
func (p accountPlan) run(ctx context.Context, run *plan.Runner) error {
	if err := run.Many(ctx, plan.Role, func(context.Context) ([]plan.Item, error) { return p.roles, nil }); err != nil {
		return err
	}
	return run.Many(ctx, plan.ServiceAccount, func(context.Context) ([]plan.Item, error) { return p.accounts, nil })
}

// planServiceAccounts reads all that links 5 and 6 of the accounts depend on, and
// decides about them.
func (ch *chain) planServiceAccounts(ctx context.Context, accounts []iamServiceAccount, roles map[string]role.Role, override, only bool) (p accountPlan, err error) {
	if p.roles, err = ch.planRoles(ctx, roles, accounts, only); err != nil {
		return accountPlan{}, fmt.Errorf("%s: %w", plan.Role, err)
	}
	if p.accounts, err = ch.planAnnotations(ctx, accounts, roles, override); err != nil {
		return accountPlan{}, err
	}
	return p, nil
}

// planAnnotations decides about the service accounts that are not of their roles
// only.
func (ch *chain) planAnnotations(ctx context.Context, accounts []iamServiceAccount, roles map[string]role.Role, override bool) ([]plan.Item, error) {
	var wants []cluster.ServiceAccount
	for _, sa := range accounts {
		if sa.RoleOnly {
			continue
		}
		wants = append(wants, cluster.ServiceAccount{Namespace: sa.Metadata.Namespace, Name: sa.Metadata.Name, Labels: sa.Metadata.Labels, Annotations: ch.annotations(&sa, roles), Override: override})
	}
	steps, err := ch.c.AnnotateAll(ctx, wants)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plan.ServiceAccount, err)
	}
	var items []plan.Item
	for i, want := range wants {
		items = append(items, plan.Item{Object: want.Namespace + "/" + want.Name, Decide: func(context.Context) ([]plan.Step, error) { return steps[i], nil }})
	}
	return items, nil
}

// annotations are those that a service account is to have. Its role is one of
// roles, by name, unless it is attached as it is.
func (ch *chain) annotations(sa *iamServiceAccount, roles map[string]role.Role) map[string]string {
	annotations := map[string]string{}
	maps.Copy(annotations, sa.Metadata.Annotations)
	annotations[irsa.DefaultPrefix.RoleARN()] = cmp.Or(sa.AttachRoleARN, roles[ch.roleName(sa)].ARN)
	return annotations
}

// planRoles decides about the wanted roles. It writes into roles what is known
// only of those that are there: the ARN of one that is shared has the path that
// another cluster gave it.
func (ch *chain) planRoles(ctx context.Context, roles map[string]role.Role, accounts []iamServiceAccount, only bool) ([]plan.Item, error) {
	if len(roles) == 0 {
		return nil, nil
	}
	there, err := role.Read(ctx, ch.acct.IAM, slices.Sorted(maps.Keys(roles)))
	if err != nil {
		return nil, err
	}
	ch.inherit(there)
	others := map[string]string{} // the roles of service accounts that are not spoken of, by subject
	if len(there) > 0 && !only {
		annotated, err := ch.c.ServiceAccounts(ctx)
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
		}
		roles[name] = want
		wants = append(wants, want)
	}
	steps, err := role.PlanAll(ctx, ch.acct.IAM, there, wants)
	if err != nil {
		return nil, err
	}
	var items []plan.Item
	for _, want := range wants {
		items = append(items, plan.Item{Object: want.ARN, Decide: func(context.Context) ([]plan.Step, error) { return steps[want.Name], nil }})
	}
	return items, nil
}

// keepSubjects has a role go on letting in the service accounts that are not
// spoken of: those that its trust policy lets in and that are annotated with it.
// A subject that nobody bears is a mistake, and goes, unless nobody could be
// asked who bears it (others is nil).
func (ch *chain) keepSubjects(want *role.Role, there role.Role, others map[string]string) error {
	subjects := trust.Subjects(want.Trust, ch.state.Provider)
	if len(subjects) == 0 {
		return nil // a pattern
	}
	n := len(subjects)
	for _, subject := range trust.Subjects(there.Trust, ch.state.Provider) {
		if (others == nil || others[subject] == there.ARN) && !slices.Contains(subjects, subject) {
			subjects = append(subjects, subject)
		}
	}
	if len(subjects) == n {
		return nil
	}
	want.KeepAttached = true
	delete(want.Tags, owner.ServiceAccountTag) // it is not one's alone
	var err error
	want.Trust, err = ch.trustPolicy(subjects, "")
	return err
}

// trustPolicy is this cluster's part of a role's trust policy. Whether it is too
// long for IAM is seen when it is joined with the other clusters' parts. During a
// migration it lets in tokens of both issuers, until the one that goes is being
// removed.
func (ch *chain) trustPolicy(subjects []string, pattern string) ([]byte, error) {
	policy := trust.Policy{
		Providers: []trust.Provider{{ARN: ch.state.Provider, Issuer: ch.iss, Audience: irsa.Audience, Subjects: subjects, Pattern: pattern}},
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

// providers are the ARNs of the providers by which roles may trust this cluster.
func (ch *chain) providers() []string {
	if other, _ := ch.migrating(); other != nil {
		return []string{ch.state.Provider, other.Provider}
	}
	return []string{ch.state.Provider}
}

// pruneServiceAccounts removes the roles and the annotations that were made for service
// accounts which are no longer listed.
func (ch *chain) pruneServiceAccounts(ctx context.Context, run *plan.Runner, accounts []iamServiceAccount) error {
	keepRoles, keep := map[string]bool{}, map[string]bool{}
	for _, sa := range accounts {
		keepRoles[strings.ToLower(ch.roleName(&sa))] = true // IAM tells no names apart by case
		keep[sa.String()] = !sa.RoleOnly
	}
	annotated, err := ch.c.ServiceAccounts(ctx)
	if err != nil {
		return err
	}
	var items []plan.Item
	for _, sa := range annotated {
		if name := sa.Namespace + "/" + sa.Name; !keep[name] {
			items = append(items, plan.Item{Object: name, Decide: func(ctx context.Context) ([]plan.Step, error) { return ch.c.Unannotate(ctx, sa.Namespace, sa.Name) }})
		}
	}
	if err := run.All(ctx, plan.ServiceAccount, items); err != nil {
		return err
	}
	return ch.deleteRoles(ctx, run, func(name string) bool { return !keepRoles[strings.ToLower(name)] })
}

// deleteRoles removes the roles that were made for the cluster, or its part of
// those that it shares with others: all that gone says are to go.
func (ch *chain) deleteRoles(ctx context.Context, run *plan.Runner, gone func(name string) bool) error {
	return run.Many(ctx, plan.Role, func(ctx context.Context) ([]plan.Item, error) {
		mark, err := ch.tags(ctx)
		if err != nil {
			return nil, err
		}
		list, err := ch.roles(ctx, mark)
		if err != nil {
			return nil, err
		}
		providers, err := ch.ownProviders(ctx, mark)
		if err != nil {
			return nil, err
		}
		var items []plan.Item
		for _, there := range list {
			if gone(there.Name) {
				items = append(items, plan.Item{Object: there.Name, Decide: func(context.Context) ([]plan.Step, error) {
					return there.Delete(ch.acct.IAM, mark, providers...)
				}})
			}
		}
		return items, nil
	})
}

// roles are those that were made for the cluster of the mark, or that it shares
// with others, as they are, sorted by name.
func (ch *chain) roles(ctx context.Context, mark map[string]string) ([]role.Role, error) {
	names, err := role.NamesOf(ctx, ch.acct.IAM, ch.state.Cluster, ch.providers()...)
	if err != nil {
		return nil, err
	}
	there, err := role.ReadListed(ctx, ch.acct.IAM, names)
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

// inherit shows roles of an earlier cluster of the name as they are when they are
// taken over, which a dry run only plans.
func (ch *chain) inherit(there map[string]role.Role) {
	for _, r := range there {
		if ch.heir != "" && owner.Named(r.Tags, ch.state.Cluster) {
			r.Tags[owner.UIDTag] = ch.heir
		}
	}
}

// roleName is the name of a service account's role.
func (ch *chain) roleName(sa *iamServiceAccount) string {
	if sa.AttachRoleARN != "" {
		return sa.AttachRoleARN[strings.LastIndexByte(sa.AttachRoleARN, '/')+1:]
	}
	return cmp.Or(sa.RoleName, role.NameFor(ch.state.Cluster, sa.Metadata.Namespace, sa.Metadata.Name))
}

// rolePath is the path of a service account's role. A role that somebody names is
// at the root, as with eksctl, so that it has the ARN which others wrote down.
func (ch *chain) rolePath(sa *iamServiceAccount) string {
	switch {
	case sa.RolePath != "":
		return sa.RolePath
	case sa.RoleName != "":
		return "/"
	}
	return role.PathFor(ch.state.Cluster)
}

// wantRoles are the roles of the accounts, by name. Service accounts that name
// the same role share it: it trusts them all, in one statement.
func (ch *chain) wantRoles(ctx context.Context, accounts []iamServiceAccount) (map[string]role.Role, error) {
	mark, err := ch.tags(ctx)
	if err != nil {
		return nil, err
	}
	sharers := map[string][]*iamServiceAccount{}
	for i := range accounts {
		if sa := &accounts[i]; sa.AttachRoleARN == "" {
			sharers[ch.roleName(sa)] = append(sharers[ch.roleName(sa)], sa)
		}
	}
	roles := map[string]role.Role{}
	for name, sas := range sharers {
		want, err := ch.wantRole(name, sas, mark)
		if err != nil {
			return nil, err
		}
		roles[name] = want
	}
	return roles, nil
}

// wantRole is the role that some service accounts share, mostly one.
func (ch *chain) wantRole(name string, sharers []*iamServiceAccount, mark map[string]string) (role.Role, error) {
	first := sharers[0]
	var subjects []string
	want := role.Role{
		Name:        name,
		Path:        ch.rolePath(first),
		Description: role.Describe(ch.state.Cluster, ""),
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
		want.Description = role.Describe(ch.state.Cluster, first.String())
		want.Tags[owner.ServiceAccountTag] = first.String()
	}
	inline := map[string][]byte{}
	for i, sa := range sharers {
		for _, other := range sharers[:i] {
			if field := sa.Differs(other); field != "" {
				return role.Role{}, cli.Usagef("%s: %s and %s share role %s and ask for different %s", plan.Role, sa, other, name, field)
			}
		}
		maps.Copy(want.Tags, sa.Tags)
		want.PolicyARNs = append(want.PolicyARNs, sa.AttachPolicyARNs...)
		for known, on := range sa.WellKnownPolicies {
			if !on {
				continue
			}
			arn, document, err := config.WellKnown(known, ch.surroundings())
			switch {
			case err != nil:
				return role.Role{}, cli.Usagef("%s: %w", plan.Role, err)
			case arn != "":
				want.PolicyARNs = append(want.PolicyARNs, arn)
			default:
				inline[known] = document
			}
		}
	}
	if first.AttachPolicy != nil {
		inline["inline"] = first.AttachPolicy
	}
	if len(inline) > 0 {
		want.Inline = inline
	}
	if err := config.CheckInline(want.Inline); err != nil {
		return role.Role{}, cli.Usagef("%s: %s: %w", plan.Role, name, err)
	}
	slices.Sort(want.PolicyARNs)
	want.PolicyARNs = slices.Compact(want.PolicyARNs)
	for _, arn := range append(slices.Clone(want.PolicyARNs), want.Boundary) {
		// Copied from a page about another partition, mostly.
		if arn != "" && !strings.HasPrefix(arn, "arn:"+ch.state.Partition+":") {
			return role.Role{}, &lib.PartitionError{ARN: arn, Partition: ch.state.Partition, Account: ch.state.Account}
		}
	}
	var err error
	if want.Trust, err = ch.trustPolicy(subjects, first.SubjectPattern); err != nil {
		return role.Role{}, err
	}
	want.ARN = "arn:" + ch.state.Partition + ":iam::" + ch.state.Account + ":role" + want.Path + want.Name
	return want, nil
}

// surroundings are what well-known policies may speak of.
func (ch *chain) surroundings() config.Surroundings {
	region := ch.state.Region
	if region == "" && ch.acct != nil {
		region = ch.acct.Region
	}
	return config.Surroundings{Partition: ch.state.Partition, Account: ch.state.Account, Region: region, Cluster: ch.state.Cluster}
}

func (a *app) getServiceAccountCommand() *cobra.Command {
	var namespace, name, config string
	c := &cobra.Command{
		Use:   "get",
		Short: "List the service accounts that have roles",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.getServiceAccounts(c.Context(), namespace, name, config)
		},
	}
	a.clusterFlags(c)
	a.outputFlag(c, "text", "table", "json", "yaml")
	f := c.Flags()
	f.StringVar(&namespace, "namespace", "", "only of this namespace")
	f.StringVar(&name, "name", "", "only of this name")
	f.StringVarP(&config, "config-file", "f", "", "only those of this configuration file; - is standard input")
	f.StringVarP(&a.region, "region", "r", "", "not needed: AWS is not asked")
	c.MarkFlagsMutuallyExclusive("config-file", "name")
	c.MarkFlagsMutuallyExclusive("config-file", "namespace")
	return c
}

// serviceAccountReport is a service account and its role.
type serviceAccountReport struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	RoleARN   string `json:"roleARN"`
}

// listedServiceAccount is what `iamserviceaccount get` tells of one. Metadata and
// Status say the same once more, where scripts for eksctl look for it.
type listedServiceAccount struct {
	serviceAccountReport
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Status struct {
		RoleARN string `json:"roleARN"`
	} `json:"status"`
}

func listed(namespace, name, roleARN string) listedServiceAccount {
	r := listedServiceAccount{serviceAccountReport: serviceAccountReport{namespace, name, roleARN}}
	r.Metadata.Name, r.Metadata.Namespace, r.Status.RoleARN = name, namespace, roleARN
	return r
}

func (a *app) getServiceAccounts(ctx context.Context, namespace, name, config string) error {
	var only map[string]bool // nil: all
	if config != "" {
		file, err := a.readConfig(config)
		if err != nil {
			return err
		}
		applyFile(file, a, &upOptions{})
		only = map[string]bool{}
		for _, sa := range file.IAMServiceAccounts {
			only[sa.String()] = true
		}
	}
	ch, err := a.connect(ctx)
	if err != nil {
		return err
	}
	accounts, err := ch.c.ServiceAccounts(ctx)
	if err != nil {
		return err
	}
	list := []listedServiceAccount{}
	for _, sa := range accounts {
		if (namespace == "" || sa.Namespace == namespace) && (name == "" || sa.Name == name) && (only == nil || only[sa.Namespace+"/"+sa.Name]) {
			list = append(list, listed(sa.Namespace, sa.Name, sa.Role(irsa.DefaultPrefix)))
		}
	}
	switch a.output {
	case "json":
		return printJSON(a.out, list)
	case "yaml":
		return printYAML(a.out, list)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAMESPACE\tNAME\tROLE ARN")
	for _, sa := range list {
		plain.Fprintf(w, "%s\t%s\t%s\n", sa.Namespace, sa.Name, sa.RoleARN)
	}
	return w.Flush()
}

func (a *app) deleteServiceAccountCommand() *cobra.Command {
	var namespace, name, config string
	var approve bool
	c := &cobra.Command{
		Use:   "delete",
		Short: "Take a service account's role away and delete what was made for it",
		Long: `Delete the role that was made for a service account, with its policies, and the
service account itself if it was made here; one that was there before loses only
its annotation.`,
		RunE: func(c *cobra.Command, _ []string) error {
			accounts := make([]iamServiceAccount, 1)
			accounts[0].Metadata.Namespace, accounts[0].Metadata.Name = namespace, name
			if config != "" {
				file, err := a.readConfig(config)
				if err != nil {
					return err
				}
				applyFile(file, a, &upOptions{})
				accounts = file.IAMServiceAccounts
			}
			return a.deleteServiceAccounts(c.Context(), accounts, approve)
		},
	}
	a.clusterFlags(c)
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	f.StringVar(&namespace, "namespace", "default", "namespace of the service account")
	f.StringVar(&name, "name", "", "name of the service account (required, unless there is a --config-file)")
	f.StringVarP(&a.region, "region", "r", "", "AWS region (default: that of the chain)")
	f.StringVarP(&config, "config-file", "f", "", "configuration file whose service accounts are meant, instead of --name; - is standard input")
	f.BoolVar(&approve, "approve", true, "make the changes; with --approve=false they are only printed")
	c.MarkFlagsOneRequired("name", "config-file")
	c.MarkFlagsMutuallyExclusive("name", "config-file")
	c.MarkFlagsMutuallyExclusive("namespace", "config-file")
	return c
}

func (a *app) deleteServiceAccounts(ctx context.Context, accounts []iamServiceAccount, approve bool) error {
	ch, err := a.connectInstalled(ctx)
	if err != nil {
		return err
	}
	for _, sa := range accounts {
		if err := ch.c.Check(ctx, cluster.ServiceAccountRights(sa.Metadata.Namespace)...); err != nil {
			return err
		}
	}
	if err := ch.checkRecord(ctx); err != nil {
		return err
	}
	r := a.newReport(ch.state.Cluster, !approve)
	defer r.clear()
	r.run.Calls = ch.acct.Calls
	r.Issuer = ch.iss.String()
	for _, sa := range accounts {
		if err := ch.deleteServiceAccount(ctx, r.run, sa.Metadata.Namespace, sa.Metadata.Name); err != nil {
			return err
		}
	}
	if err := r.finish(); err != nil {
		return err
	}
	if len(accounts) == 0 {
		r.say("\nThe file has no service account.")
	} else if !r.run.Changed() {
		names := make([]string, len(accounts))
		for i := range accounts {
			names[i] = accounts[i].String()
		}
		r.say("\nThere is nothing of %s to delete.", strings.Join(names, ", "))
	}
	return nil
}

func (ch *chain) deleteServiceAccount(ctx context.Context, run *plan.Runner, namespace, name string) error {
	err := run.Link(ctx, plan.ServiceAccount, namespace+"/"+name, func(ctx context.Context) ([]plan.Step, error) {
		return ch.c.Unannotate(ctx, namespace, name)
	})
	if err != nil {
		return err
	}
	return run.Many(ctx, plan.Role, func(ctx context.Context) ([]plan.Item, error) { return ch.rolesOf(ctx, namespace, name) })
}

// rolesOf decides what becomes of the roles that let in a service account, and
// of the one of its default name. They are found by their trust policies, so
// that a run which was stopped leaves none behind. A role that was made for the
// service account is deleted; one that others use too lets it in no more.
func (ch *chain) rolesOf(ctx context.Context, namespace, name string) ([]plan.Item, error) {
	mark, err := ch.tags(ctx)
	if err != nil {
		return nil, err
	}
	all, err := role.List(ctx, ch.acct.IAM, "/")
	if err != nil {
		return nil, err
	}
	subject := token.Subject(namespace, name)
	var items []plan.Item
	for _, r := range all {
		subjects := trust.Subjects(r.Trust, ch.state.Provider)
		broken := len(subjects) == 0 && r.Claims(ch.state.Cluster)
		if slices.Contains(subjects, subject) || broken || r.Name == role.NameFor(ch.state.Cluster, namespace, name) {
			items = append(items, plan.Item{Object: r.Name, Decide: func(ctx context.Context) ([]plan.Step, error) { return ch.shutOut(ctx, mark, r.Name, namespace, name) }})
		}
	}
	return items, nil
}

// shutOut decides what must be done for a role not to let a service account in.
func (ch *chain) shutOut(ctx context.Context, mark map[string]string, roleName, namespace, name string) ([]plan.Step, error) {
	there, ok, err := role.Get(ctx, ch.acct.IAM, roleName)
	if err != nil || !ok {
		return nil, err
	}
	if !owner.Owns(there.Tags, mark) && !owner.Shared(there.Tags) {
		return nil, nil
	}
	subject := token.Subject(namespace, name)
	subjects := trust.Subjects(there.Trust, ch.state.Provider)
	others := slices.DeleteFunc(slices.Clone(subjects), func(s string) bool { return s == subject })
	switch {
	case len(subjects) == 0 && there.Tags[owner.ServiceAccountTag] != namespace+"/"+name:
		return nil, nil // one of a pattern, or of another service account
	case len(others) == len(subjects) && len(others) > 0:
		return nil, nil
	case len(others) == 0:
		return there.Delete(ch.acct.IAM, mark, ch.providers()...)
	}
	want := there
	want.KeepAttached, want.Shared = true, owner.Shared(there.Tags)
	want.Tags = maps.Clone(there.Tags)
	want.Tags[owner.ClusterTag] = ch.state.Cluster
	if want.Trust, err = ch.trustPolicy(others, ""); err != nil {
		return nil, err
	}
	steps, err := role.PlanAll(ctx, ch.acct.IAM, map[string]role.Role{roleName: there}, []role.Role{want})
	return steps[roleName], err
}
