package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// upOptions are the flags of `up`.
type upOptions struct {
	documentFlags
	admission
	config   string
	prune    bool
	override bool
	accounts []config.ServiceAccount // of the configuration file

	associations []config.PodIdentityAssociation // of the configuration file too
	dryRun       bool
	image        string
	endpoint     string
	forward      []string

	podIdentity    bool
	podIdentitySet bool // the flag was given
	dissociate     bool

	takeOver bool
	keep     bool // the issuer that the API servers have
	keepSet  bool // the flag was given
	expires  string
	wait     time.Duration
}

func (a *app) upCommand() *cobra.Command {
	var o upOptions
	c := &cobra.Command{
		Use:   "up",
		Short: "Make the whole chain: documents, provider, issuer and webhook",
		Long: `Make everything that pods of a cluster need to assume IAM roles, link by link:

  signing key   read from the API server; no new key is made
  documents     the discovery document and the key set, in an S3 bucket
  issuer        read back as a stranger reads it
  provider      the IAM OIDC provider for it
  webhook       gives pods of annotated service accounts their token and role
  API server    issues tokens with this issuer; the previous one stays accepted

With --emulator an emulator in the cluster stands in for AWS: no AWS account is
needed, and pods find it by themselves.

The nodes of clusters other than kind's cannot be reached from here. With
--emulator the API servers there keep their issuer (--keep-issuer): no node is
changed and nothing restarts. Without it, everything else is made first, and you
then set the issuer on the API servers (see 'setup apiserver'). The exit status
is 1 until that is done.

Run it again at any time: what is right stays unchanged, what is missing is made.`,
		Example: `  setup up --emulator
  setup up --emulator --keep-issuer --context k3d-dev --image registry.example.com/openirsa:v1
  setup up --kind-name dev --region eu-west-1
  setup up --context prod --bucket my-bucket/clusters/prod
  setup up --config cluster.yaml --prune
  setup up --dry-run`,
		RunE: func(c *cobra.Command, _ []string) error {
			o.keepSet, o.podIdentitySet = c.Flags().Changed("keep-issuer"), c.Flags().Changed("pod-identity")
			if o.config != "" {
				file, err := a.readConfig(o.config)
				if err != nil {
					return err
				}
				applyFile(file, a, &o)
				o.accounts, o.associations = file.IAMServiceAccounts, file.PodIdentityAssociations
			} else if o.prune {
				return cli.Usagef("--prune needs a --config, which lists what stays")
			}
			if o.dissociate && (!o.podIdentitySet || o.podIdentity) {
				return cli.Usagef("--delete-associations needs --pod-identity=false")
			}
			if o.expires != "" {
				if _, err := chain.Expiry(o.expires, "", time.Now()); err != nil {
					return cli.Usagef("--%w", err)
				}
			}
			return a.up(c.Context(), o)
		},
	}
	a.clusterFlags(c)
	o.documentFlags.flags(c)
	o.admission.flags(c)
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	f.StringVar(&a.region, "region", "", "AWS region of the bucket, and the default region of pods (default: $AWS_REGION, ~/.aws/config)")
	f.StringVar(&o.config, "config", "", "configuration file with the settings of these flags, and service accounts with their roles, "+
		"by IRSA or by EKS Pod Identity")
	f.BoolVar(&o.prune, "prune", false, "remove the roles and associations of service accounts that the configuration file does not "+
		"list")
	f.BoolVar(&o.override, "override-existing-serviceaccounts", false, "replace the role of service accounts that have another one")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be done and change nothing")
	f.StringVar(&o.image, "image", "", "container image with the webhook and the emulator, in a registry (default: built from "+
		"this program and loaded into the kind nodes)")
	f.StringVar(&o.endpoint, "pod-endpoint-url", "", "AWS_ENDPOINT_URL for pods, where AWS is an emulator outside of the cluster")
	f.StringArrayVar(&o.forward, "forward", nil, "with --emulator: let it forward a service that it does not have, SERVICE=URL, "+
		"once a call is allowed (repeatable; *=URL is for all other services, and an empty value removes all)")
	o.podIdentityFlags(c)
	o.keepFlag(c)
	f.BoolVar(&o.takeOver, "take-over", false, "use the documents, the provider and the roles of an earlier cluster of the same name")
	f.StringVar(&o.expires, "expires", "",
		`how long until "gc" may treat this cluster as abandoned, for example 6h; "never" removes the limit (default: never)`)
	f.DurationVar(&o.wait, "wait", controlplane.DefaultWait, "how long an API server or a Deployment may take to come up")
	c.MarkFlagsMutuallyExclusive("emulator", "pod-endpoint-url")
	return c
}

func (o *upOptions) podIdentityFlags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&o.podIdentity, "pod-identity", false, "with --emulator: install EKS Pod Identity too, the agent on each node (see "+
		"'setup podidentityassociation'); once installed it stays until --pod-identity=false")
	f.BoolVar(&o.dissociate, "delete-associations", false, "with --pod-identity=false: delete the associations, and the roles that were "+
		"made for them, which is refused otherwise")
}

func (o *upOptions) keepFlag(c *cobra.Command) {
	c.Flags().BoolVar(&o.keep, "keep-issuer", false, "with --emulator: leave the API servers as they are; the emulator reads the "+
		"documents of the cluster's own issuer from them (default: on clusters whose nodes cannot be reached from here)")
}

func (a *app) up(ctx context.Context, o upOptions) error {
	if err := o.documentFlags.check(); err != nil {
		return err
	}
	if err := o.admission.check(); err != nil {
		return err
	}
	if _, err := emulator.ParseForward(o.options().Forward); err != nil {
		return cli.Usagef("--forward: %w", err)
	}
	o.allowPrivate = o.allowPrivate || o.endpoint != ""
	if err := a.checkPort(o.documentFlags); err != nil {
		return err
	}
	ch, err := a.open(ctx, o.emulator)
	if err != nil {
		return err
	}
	r := a.newReport("", o.dryRun)
	defer r.clear()
	options := o.options()
	options.Build = a.forNodes
	out, err := ch.Up(ctx, options, r)
	if err != nil {
		return err
	}
	r.Cluster, r.Issuer, r.Target = out.Record.Cluster, out.Record.Issuer, target(out.Record)
	if err := r.finishRun(out); err != nil {
		return err
	}
	if out.Pending != nil && !o.dryRun {
		return fmt.Errorf("%s: everything else is there, but %w", plan.APIServer, out.Pending)
	}
	a.epilogue(r, out)
	return nil
}

// options are what the flags say.
func (o *upOptions) options() chain.UpOptions {
	options := chain.UpOptions{
		Name: o.name, Documents: o.documents(), Admission: o.admission.values(), Endpoint: o.endpoint,
		Image: o.image, Accounts: o.accounts, Associations: o.associations, Override: o.override, Prune: o.prune,
		Dissociate: o.dissociate, TakeOver: o.takeOver, Expires: o.expires, DryRun: o.dryRun, Wait: o.wait,
	}
	if o.forward != nil {
		options.Forward = slices.DeleteFunc(o.forward, func(s string) bool { return s == "" })
	}
	if o.podIdentitySet {
		options.PodIdentity = &o.podIdentity
	}
	if o.keepSet {
		options.KeepIssuer = &o.keep
	}
	return options
}

func target(r record.Record) string {
	if r.Emulator {
		return "emulator in the cluster, account " + r.Account
	}
	return "AWS account " + r.Account
}

// epilogue says what was done in sum, and what to do next.
func (a *app) epilogue(r *report, out chain.Outcome) {
	r.say("")
	switch {
	case r.DryRun && out.Changed:
		r.say("Nothing was changed: this was a dry run.")
		return
	case !out.Changed:
		r.say("Everything is unchanged (%s to AWS, none of them a write, %.1fs).", plural(r.Calls, "call"), r.Seconds)
		return
	}
	r.say("Done in %.1fs, with %s to AWS (%s). Give a service account a role:", r.Seconds, plural(r.Calls, "call"), plural(r.Writes, "write"))
	r.say("  %s iamserviceaccount create --namespace default --name app --attach-policy-arn "+
		"arn:%s:iam::aws:policy/IAMReadOnlyAccess --approve", a.Name, out.Record.Partition)
}

// applyFile sets what flags have not set.
func applyFile(file config.File, a *app, o *upOptions) {
	for _, p := range []struct {
		flag *string
		file string
	}{
		{&o.name, file.Metadata.Name}, {&a.region, file.Metadata.Region}, {&o.bucket, file.Bucket}, {&o.issuerURL, file.IssuerURL},
		{&o.image, file.Image}, {&o.distribution, file.DistributionARN}, {&o.failurePolicy, file.FailurePolicy},
	} {
		*p.flag = cmp.Or(*p.flag, p.file)
	}
	if a.kindName == "" && a.context == "" && a.kubeconfig == "" {
		a.kindName, a.context, a.kubeconfig = file.KindName, file.Context, file.Kubeconfig
	}
	if !o.emulator && o.endpoint == "" {
		o.emulator, o.endpoint = file.Emulator, file.PodEndpointURL
	}
	o.private = o.private || file.PrivateBucket
	if o.ignore == nil {
		o.ignore = file.IgnoreNamespaces
	}
	if o.exclude == nil {
		o.exclude = file.ExcludeNamespaces
	}
	if file.KeepIssuer != nil && !o.keepSet && !o.keep {
		o.keep, o.keepSet = *file.KeepIssuer, true
	}
	if file.PodIdentity != nil && !o.podIdentitySet && !o.podIdentity {
		o.podIdentity, o.podIdentitySet = *file.PodIdentity, true
	}
}
