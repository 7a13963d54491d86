package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/podidentity"
)

func (a *app) podIdentityCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "podidentityassociation",
		Aliases: []string{"podidentityassociations", "pia"},
		Short:   "Give service accounts roles by EKS Pod Identity, show them, remove them",
		Long: `Associations of EKS Pod Identity: the pods of a service account get a role from the
agent on their node, without an annotation. The flags are those of eksctl. They need a
cluster that EKS knows: with setup up --emulator --pod-identity that is the emulator's.`,
	}
	c.AddCommand(a.createAssociationCommand(), a.getAssociationCommand(), a.updateAssociationCommand(), a.deleteAssociationCommand(),
		a.waitAssociationCommand())
	for _, verb := range c.Commands() {
		f := verb.Flags()
		f.StringVarP(&a.cluster, "cluster", "c", "", "name of the cluster as setup recorded it: it is checked, and chooses the context or "+
			"kind cluster of this name")
		f.StringVarP(&a.profile, "profile", "p", "", "AWS profile (default: $AWS_PROFILE)")
		f.StringVarP(&a.region, "region", "r", "", "AWS region (default: the chain's)")
	}
	return c
}

// associationOptions are the flags of `podidentityassociation create` and `update`,
// which are eksctl's.
type associationOptions struct {
	config.PodIdentityAssociation
	wellKnown     []string
	policy        string
	permission    string // a file
	noDisableTags bool
	noPin         bool
	config        string
	approve       bool
	timeout       time.Duration
}

// identify adds the flags that say which association is meant.
func (o *associationOptions) identify(f *pflag.FlagSet) {
	f.StringVar(&o.Namespace, "namespace", "", "namespace of the service account")
	f.StringVar(&o.ServiceAccountName, "service-account-name", "", "name of the service account")
}

// describe adds the flags of what can be changed of an association.
func (o *associationOptions) describe(f *pflag.FlagSet) {
	f.StringVar(&o.RoleARN, "role-arn", "", "ARN of the role, which is used as it is and must trust pods.eks.amazonaws.com")
	f.StringVar(&o.TargetRoleARN, "target-role-arn", "", "ARN of a role, of any account, that the first one assumes for the pods")
	f.BoolVar(&o.DisableSessionTags, "disable-session-tags", false, "make sessions without the tags that name cluster, namespace, service "+
		"account and pod")
	f.StringVar(&o.policy, "policy", "", "session policy, as JSON, that narrows what the role may do; needs --disable-session-tags")
}

func (a *app) createAssociationCommand() *cobra.Command {
	var o associationOptions
	c := &cobra.Command{
		Use:   "create",
		Short: "Associate a service account with a role, or bring that up to date",
		Long: `Associate a service account with a role, or with one that is made for it with the
permissions that are named. New pods of it get the role; running pods must be
recreated. The service account need not exist yet.

The trust policy of a role that is made lets in the pods of this one service account
of this cluster. --no-pin makes it as eksctl does: it lets in every pod that has an
association with it.

Without --approve the plan is printed and nothing is changed.`,
		Example: `  setup podidentityassociation create --namespace default --service-account-name app \
      --permission-policy-arns arn:aws:iam::aws:policy/IAMReadOnlyAccess --approve
  setup podidentityassociation create --namespace default --service-account-name app --role-arn arn:aws:iam::123456789012:role/app --approve
  setup podidentityassociation create --config-file cluster.yaml --approve`,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeoutCause(c.Context(), o.timeout, fmt.Errorf("not done within --timeout %s", o.timeout))
			defer cancel()
			return a.createAssociations(ctx, o)
		},
	}
	a.clusterFlags(c)
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	o.identify(f)
	o.describe(f)
	f.StringSliceVar(&o.PermissionPolicyARNs, "permission-policy-arns", nil, "ARNs of managed policies of a role that is made")
	f.StringVar(&o.permission, "permission-policy-file", "", "JSON file with an inline policy of a role that is made")
	f.StringSliceVar(&o.wellKnown, "well-known-policies", nil, "policies that are known by name: "+strings.Join(config.WellKnownNames(), ", "))
	f.StringVar(&o.RoleName, "role-name", "", "name of the role that is made (default: openirsa-pods-CLUSTER-NAMESPACE-NAME)")
	f.StringVar(&o.PermissionsBoundaryARN, "permissions-boundary-arn", "", "ARN of the permissions boundary of the role that is made")
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "permission-boundary-arn" { // as eksctl's program has it; its manual has the other
			name = "permissions-boundary-arn"
		}
		return pflag.NormalizedName(name)
	})
	f.BoolVar(&o.CreateServiceAccount, "create-service-account", false, "make the service account if it is not there")
	f.StringToStringVar(&o.Tags, "tags", nil, "tags of the association and of the role that is made: KEY=VALUE,...")
	f.BoolVar(&o.noPin, "no-pin", false, "let the role in for all pods that are associated with it, of all clusters")
	f.BoolVar(&o.approve, "approve", false, "make the changes; without it they are only printed")
	f.DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long it may take")
	f.StringVarP(&o.config, "config-file", "f", "", "configuration file with podIdentityAssociations, eksctl's too, instead of flags; - is "+
		"standard input (see docs/configuration.md)")
	c.RegisterFlagCompletionFunc("well-known-policies", cobra.FixedCompletions(config.WellKnownNames(), cobra.ShellCompDirectiveNoFileComp))
	f.VisitAll(func(flag *pflag.Flag) {
		switch flag.Name {
		case "namespace", "service-account-name", "role-arn", "target-role-arn", "disable-session-tags", "policy", "permission-policy-arns",
			"permission-policy-file", "well-known-policies", "role-name", "permissions-boundary-arn", "create-service-account", "tags":
			c.MarkFlagsMutuallyExclusive("config-file", flag.Name)
		}
	})
	return c
}

// complete takes what the flags spell in another way than a file, and checks all.
func (o *associationOptions) complete() error {
	for _, name := range o.wellKnown {
		if o.WellKnownPolicies == nil {
			o.WellKnownPolicies = map[string]bool{}
		}
		o.WellKnownPolicies[name] = true
	}
	if o.policy != "" {
		o.Policy = []byte(o.policy)
	}
	if o.permission != "" {
		document, err := os.ReadFile(o.permission)
		if err != nil {
			return fmt.Errorf("reading the policy: %w", err)
		}
		o.PermissionPolicy = document
	}
	err := o.Check()
	if e, ok := errors.AsType[*config.FieldError](err); ok && e.Field == "roleARN" && o.RoleARN == "" { // in eksctl's words, with our flag
		return cli.Usagef("at least one of the following flags must be specified: --role-arn, --permission-policy-arns, " +
			"--well-known-policies, --permission-policy-file")
	}
	return inFlags(err)
}

// associations are those of the flags, or of the file.
func (a *app) associations(o *associationOptions, check func() error) ([]config.PodIdentityAssociation, error) {
	if o.config == "" {
		if err := check(); err != nil {
			return nil, err
		}
		return []config.PodIdentityAssociation{o.PodIdentityAssociation}, nil
	}
	file, err := a.readConfig(o.config)
	if err != nil {
		return nil, err
	}
	applyFile(file, a, &upOptions{})
	return file.PodIdentityAssociations, nil
}

func (a *app) createAssociations(ctx context.Context, o associationOptions) error {
	all, err := a.associations(&o, o.complete)
	if err != nil {
		return err
	}
	return a.change(ctx, !o.approve, func(ch *chain.Chain, r *report) (chain.Outcome, error) {
		return ch.Associate(ctx, chain.AssociateOptions{Associations: all, Unpinned: o.noPin, DryRun: !o.approve}, r)
	}, func(r *report, out chain.Outcome) { o.epilogue(r, out, all) })
}

// epilogue says what is to be known of a run, or done after it.
func (o *associationOptions) epilogue(r *report, out chain.Outcome, all []config.PodIdentityAssociation) {
	switch {
	case !o.approve && out.Changed:
		r.say("\nNothing was changed. To make these changes, run the same command with --approve.")
	case len(all) == 0:
		r.say("\nThere is no association in %s.", o.config)
	case !out.Changed:
		r.say("\nEverything is unchanged.")
	default:
		r.say("\nNew pods get the role. Restart the ones already running, for example: kubectl --namespace %s rollout "+
			"restart deployment", all[0].Namespace)
	}
}

func (a *app) getAssociationCommand() *cobra.Command {
	var f podidentity.Filter
	c := &cobra.Command{
		Use:   "get",
		Short: "List the associations of the cluster",
		RunE: func(c *cobra.Command, _ []string) error {
			if f.ServiceAccount != "" && f.Namespace == "" {
				return cli.Usagef("--namespace must be set in order to specify --service-account-name")
			}
			return a.getAssociations(c.Context(), f)
		},
	}
	a.clusterFlags(c)
	a.outputFlag(c, "text", "table", "json", "yaml")
	c.Flags().StringVar(&f.Namespace, "namespace", "", "only of this namespace")
	c.Flags().StringVar(&f.ServiceAccount, "service-account-name", "", "only of this service account; needs --namespace")
	return c
}

// listedAssociation has the names that eksctl has in its JSON.
type listedAssociation struct {
	AssociationARN     string
	Namespace          string
	ServiceAccountName string
	RoleARN            string
	OwnerARN           string
	TargetRoleARN      string            `json:",omitempty"`
	ExternalID         string            `json:",omitempty"`
	DisableSessionTags bool              `json:",omitempty"`
	Policy             string            `json:",omitempty"`
	Tags               map[string]string `json:",omitempty"`
}

func (a *app) getAssociations(ctx context.Context, f podidentity.Filter) error {
	ch, err := a.connect(ctx)
	if err != nil {
		return err
	}
	all, err := ch.Associations(ctx, f)
	if err != nil {
		return err
	}
	list := make([]listedAssociation, len(all))
	for i, one := range all {
		list[i] = listedAssociation{one.ARN, one.Namespace, one.ServiceAccount, one.RoleARN, one.OwnerARN, one.TargetRoleARN, one.ExternalID,
			one.DisableSessionTags, one.Policy, one.Tags}
	}
	switch a.output {
	case "json":
		return printJSON(a.out, list)
	case "yaml":
		return printYAML(a.out, list)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ASSOCIATION ARN\tNAMESPACE\tSERVICE ACCOUNT NAME\tIAM ROLE ARN\tOWNER ARN")
	for _, one := range list {
		plain.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", one.AssociationARN, one.Namespace, one.ServiceAccountName, one.RoleARN, one.OwnerARN)
	}
	return w.Flush()
}

func (a *app) updateAssociationCommand() *cobra.Command {
	var o associationOptions
	c := &cobra.Command{
		Use:   "update",
		Short: "Change the role of an association, its target role, session tags or session policy",
		Long: `Change an existing association. What is not named stays. Running pods get the change
when the agent on their node next asks for credentials, within three hours; recreate
them to hasten it.`,
		RunE: func(c *cobra.Command, _ []string) error { return a.updateAssociation(c.Context(), c.Flags(), o) },
	}
	a.clusterFlags(c)
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	o.identify(f)
	o.describe(f)
	f.BoolVar(&o.noDisableTags, "no-disable-session-tags", false, "make sessions with the tags again")
	f.BoolVar(&o.approve, "approve", true, "make the changes; with --approve=false they are only printed")
	c.MarkFlagsMutuallyExclusive("disable-session-tags", "no-disable-session-tags")
	return c
}

func (a *app) updateAssociation(ctx context.Context, f *pflag.FlagSet, o associationOptions) error {
	switch {
	case o.Namespace == "":
		return cli.Usagef("--namespace is required")
	case o.ServiceAccountName == "":
		return cli.Usagef("--service-account-name is required")
	}
	var all []config.PodIdentityAssociation
	return a.change(ctx, !o.approve, func(ch *chain.Chain, r *report) (chain.Outcome, error) {
		there, err := ch.Associations(ctx, podidentity.Filter{Namespace: o.Namespace, ServiceAccount: o.ServiceAccountName})
		if err != nil {
			return chain.Outcome{}, err
		}
		if len(there) == 0 {
			return chain.Outcome{}, advise(fmt.Errorf("association: %s has none", &o.PodIdentityAssociation),
				"SETUP podidentityassociation create --namespace "+o.Namespace+" --service-account-name "+o.ServiceAccountName)
		}
		want := o.over(there[0], f.Changed)
		if err := inFlags(want.Check()); err != nil {
			return chain.Outcome{}, err
		}
		all = append(all, want)
		return ch.Associate(ctx, chain.AssociateOptions{Associations: all, DryRun: !o.approve}, r)
	}, func(r *report, out chain.Outcome) { o.epilogue(r, out, all) })
}

// over is an association as it is, with what the flags say instead.
func (o *associationOptions) over(there podidentity.Association, given func(flag string) bool) config.PodIdentityAssociation {
	want := config.PodIdentityAssociation{
		Namespace: there.Namespace, ServiceAccountName: there.ServiceAccount, RoleARN: there.RoleARN,
		TargetRoleARN: there.TargetRoleARN, DisableSessionTags: there.DisableSessionTags, Policy: []byte(there.Policy),
	}
	if given("role-arn") {
		want.RoleARN = o.RoleARN
	}
	if given("target-role-arn") {
		want.TargetRoleARN = o.TargetRoleARN
	}
	if given("disable-session-tags") || o.noDisableTags {
		want.DisableSessionTags = o.DisableSessionTags
	}
	if given("policy") {
		want.Policy = []byte(o.policy)
	}
	if len(want.Policy) == 0 {
		want.Policy = nil
	}
	return want
}

func (a *app) deleteAssociationCommand() *cobra.Command {
	var o associationOptions
	c := &cobra.Command{
		Use:   "delete",
		Short: "Delete the association of a service account, and the role that was made for it",
		Long: `Delete an association, the role that was made for it, and the service account if it
was made with it. Credentials that pods already have stay valid until they expire.`,
		RunE: func(c *cobra.Command, _ []string) error { return a.deleteAssociations(c.Context(), o) },
	}
	a.clusterFlags(c)
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	o.identify(f)
	f.StringVarP(&o.config, "config-file", "f", "", "configuration file that lists the associations, instead of flags; - is standard input")
	f.BoolVar(&o.approve, "approve", true, "make the changes; with --approve=false they are only printed")
	c.MarkFlagsMutuallyExclusive("service-account-name", "config-file")
	c.MarkFlagsMutuallyExclusive("namespace", "config-file")
	return c
}

func (a *app) deleteAssociations(ctx context.Context, o associationOptions) error {
	all, err := a.associations(&o, func() error {
		switch {
		case o.Namespace == "":
			return cli.Usagef("--namespace is required")
		case o.ServiceAccountName == "":
			return cli.Usagef("--service-account-name is required")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.change(ctx, !o.approve, func(ch *chain.Chain, r *report) (chain.Outcome, error) {
		return ch.Dissociate(ctx, chain.DissociateOptions{Associations: all, DryRun: !o.approve}, r)
	}, func(r *report, out chain.Outcome) {
		if !out.Changed {
			r.say("\nThere is nothing to delete.")
		}
	})
}
