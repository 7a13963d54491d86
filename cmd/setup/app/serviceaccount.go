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

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/plan"
)

// createOptions are the flags of `iamserviceaccount create`, which are eksctl's.
type createOptions struct {
	config.ServiceAccount
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
		Short:   "Give service accounts roles, show them, remove them",
		Long:    "Links 5 and 6 of the chain: the IAM role of a service account, and its annotation. The flags are those of eksctl.",
	}
	c.AddCommand(a.createServiceAccountCommand(), a.getServiceAccountCommand(), a.deleteServiceAccountCommand(),
		a.suggestServiceAccountCommand())
	for _, verb := range c.Commands() {
		f := verb.Flags()
		f.StringVarP(&a.cluster, "cluster", "c", "", "name of the cluster as setup recorded it: it is checked, and chooses the context or "+
			"kind cluster of this name")
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
annotate the service account, which is created if necessary. New pods of it get the
role, in kube-system too; running pods must be recreated.

Without --approve the plan is printed and nothing is changed. Run it again to
change the policies: the role gets exactly those that are named.

Service accounts with the same --role-name share the role. Service accounts of
several clusters may share one too: --share-role joins the role that another cluster
of the account made. Each cluster has its own statement in the trust policy and
touches no other. Policies are added to a role that others use, never removed.`,
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
	f.StringSliceVar(&o.AttachPolicyARNs, "attach-policy-arn", nil, "ARN of a managed policy to attach to the role (repeatable, or "+
		"with commas)")
	f.StringSliceVar(&o.wellKnown, "well-known-policy", nil, "a policy that is known by name: "+strings.Join(config.WellKnownNames(), ", "))
	f.StringVar(&o.inlineFile, "inline-policy-file", "", "JSON file with an inline policy for the role")
	f.StringVar(&o.AttachRoleARN, "attach-role-arn", "", "use this role, as it is, instead of making one")
	f.StringVar(&o.RoleName, "role-name", "", "name of the role (default: openirsa-CLUSTER-NAMESPACE-NAME)")
	f.BoolVar(&o.ShareRole, "share-role", false, "let service accounts of several clusters assume the role of this --role-name: join the "+
		"one that another cluster made")
	f.StringVar(&o.RolePath, "role-path", "", "path of the role (default: / with --role-name, otherwise /openirsa/CLUSTER/)")
	f.BoolVar(&o.RoleOnly, "role-only", false, "make the role and leave the service account alone")
	f.StringToStringVar(&o.Tags, "tags", nil, "tags of the role, which are added and never removed: KEY=VALUE,...")
	f.StringToStringVar(&o.Metadata.Labels, "labels", nil, "labels of the service account: KEY=VALUE,...")
	f.StringVar(&o.SubjectPattern, "subject-pattern", "",
		`let in every service account whose subject matches, such as "system:serviceaccount:team-*:app"`)
	f.BoolVar(&o.override, "override-existing-serviceaccounts", false, "replace the role of a service account that already has another one")
	f.StringVar(&o.PermissionsBoundary, "permissions-boundary", "", "ARN of the role's permissions boundary")
	f.StringVarP(&a.region, "region", "r", "", "AWS region (default: the chain's)")
	f.BoolVar(&o.approve, "approve", false, "make the changes; without it they are only printed")
	f.DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long it may take")
	f.StringVarP(&o.config, "config-file", "f", "", "configuration file with the service accounts, eksctl's too, instead of flags; - is "+
		"standard input (see docs/configuration.md)")
	c.RegisterFlagCompletionFunc("well-known-policy", cobra.FixedCompletions(config.WellKnownNames(), cobra.ShellCompDirectiveNoFileComp))
	c.MarkFlagsOneRequired("name", "config-file")
	c.MarkFlagsMutuallyExclusive("name", "config-file")
	ofRole := []string{
		"attach-policy-arn", "well-known-policy", "inline-policy-file", "permissions-boundary", "role-name", "role-path", "share-role",
		"role-only", "subject-pattern", "tags",
	}
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
	accounts := []config.ServiceAccount{o.ServiceAccount}
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
		accounts[0] = o.ServiceAccount
	}
	return a.change(ctx, !o.approve, func(ch *chain.Chain, r *report) (chain.Outcome, error) {
		return ch.Grant(ctx, chain.GrantOptions{Accounts: accounts, Override: o.override, DryRun: !o.approve}, r)
	}, func(r *report, out chain.Outcome) { o.epilogue(r, out, accounts) })
}

// change has the chain changed, and reports that. In the end after says what is to be
// known or done.
func (a *app) change(ctx context.Context, dryRun bool, do func(*chain.Chain, *report) (chain.Outcome, error),
	after func(*report, chain.Outcome)) error {
	ch, err := a.connect(ctx)
	if err != nil {
		return err
	}
	r := a.newReport(ch.Record.Cluster, dryRun)
	defer r.clear()
	r.Issuer = ch.Issuer.String()
	out, err := do(ch, r)
	if err != nil {
		return err
	}
	if err := r.finishRun(out); err != nil {
		return err
	}
	after(r, out)
	return nil
}

// epilogue says what is to be known of a run, or done after it.
func (o *createOptions) epilogue(r *report, out chain.Outcome, accounts []config.ServiceAccount) {
	switch {
	case !o.approve && out.Changed:
		r.say("\nNothing was changed. To make these changes, run the same command with --approve.")
	case len(accounts) == 0:
		r.say("\nThere is no service account in %s.", o.config)
	case !out.Changed:
		r.say("\nEverything is unchanged.")
	case !o.RoleOnly && !out.NotAsked:
		r.say("\nNew pods get the role. Restart the ones already running, for example: kubectl --namespace %s rollout "+
			"restart deployment", accounts[0].Metadata.Namespace)
	}
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
	f.StringVarP(&a.region, "region", "r", "", "not needed: AWS is not called")
	c.MarkFlagsMutuallyExclusive("config-file", "name")
	c.MarkFlagsMutuallyExclusive("config-file", "namespace")
	return c
}

// listedServiceAccount is what `iamserviceaccount get` says about one. Metadata and
// Status say the same once more, where scripts for eksctl look for it.
type listedServiceAccount struct {
	chain.ServiceAccount
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Status struct {
		RoleARN string `json:"roleARN"`
	} `json:"status"`
}

func listed(namespace, name, roleARN string) listedServiceAccount {
	r := listedServiceAccount{ServiceAccount: chain.ServiceAccount{Namespace: namespace, Name: name, RoleARN: roleARN}}
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
	accounts, err := ch.Cluster.ServiceAccounts(ctx)
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
	var namespace, name, configFile string
	var approve bool
	c := &cobra.Command{
		Use:   "delete",
		Short: "Remove a service account's role and delete what was made for it",
		Long: `Delete the role that was made for a service account, with its policies, and the
service account itself if setup made it; one that already existed loses only its
annotation.`,
		RunE: func(c *cobra.Command, _ []string) error {
			accounts := make([]config.ServiceAccount, 1)
			accounts[0].Metadata.Namespace, accounts[0].Metadata.Name = namespace, name
			if configFile != "" {
				file, err := a.readConfig(configFile)
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
	f.StringVarP(&a.region, "region", "r", "", "AWS region (default: the chain's)")
	f.StringVarP(&configFile, "config-file", "f", "", "configuration file that lists the service accounts, instead of --name; - is "+
		"standard input")
	f.BoolVar(&approve, "approve", true, "make the changes; with --approve=false they are only printed")
	c.MarkFlagsOneRequired("name", "config-file")
	c.MarkFlagsMutuallyExclusive("name", "config-file")
	c.MarkFlagsMutuallyExclusive("namespace", "config-file")
	return c
}

func (a *app) deleteServiceAccounts(ctx context.Context, accounts []config.ServiceAccount, approve bool) error {
	return a.change(ctx, !approve, func(ch *chain.Chain, r *report) (chain.Outcome, error) {
		return ch.Revoke(ctx, chain.RevokeOptions{Accounts: accounts, DryRun: !approve}, r)
	}, func(r *report, out chain.Outcome) {
		if len(accounts) == 0 {
			r.say("\nThe file has no service account.")
		} else if !out.Changed {
			names := make([]string, len(accounts))
			for i := range accounts {
				names[i] = accounts[i].String()
			}
			r.say("\nThere is nothing of %s to delete.", strings.Join(names, ", "))
		}
	})
}
