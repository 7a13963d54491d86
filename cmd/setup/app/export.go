package app

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/export"
)

func (a *app) exportCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "export",
		Short: "Write the chain as Terraform, CloudFormation, manifests or an IAM policy",
		Long: `Write the chain as input for other tools, to standard output or into --output-dir.
Nothing is changed.

Without --account the cluster's record and keys are read; the roles are those of
--config, or else those in AWS. With --account neither a cluster nor AWS is called:
everything comes from the flags and from --config, so it works in CI and before
there is a cluster. The same chain always gives the same bytes.`,
	}
	c.AddCommand(
		a.exportTo(exportTool{use: "terraform", file: "openirsa.tf", short: "The AWS half as a Terraform configuration",
			long: `Write the bucket with its policy and documents, the provider, the roles, and the
associations of EKS Pod Identity as a Terraform configuration. For an existing chain, import blocks adopt what setup has
made: 'terraform plan' then shows imports, and no change.

The tag openirsa.dev/owned is kept, so setup still manages the same resources;
with --disown it is removed, and setup leaves them alone from then on.`,
			example: `  setup export terraform --config cluster.yaml > openirsa.tf
  setup export terraform --name dev --account 123456789012 --region eu-west-1
  setup export terraform --name dev --account 123456789012 --region eu-west-1 --private-bucket`,
			write: (*export.Resources).Terraform}),
		a.exportTo(exportTool{use: "cloudformation", file: "openirsa.yaml", short: "The AWS half as a CloudFormation template",
			long: `Write the bucket with its policy, the provider, the roles, and the associations of
EKS Pod Identity as a CloudFormation template. CloudFormation makes no S3 objects: 'setup up' or 'issuer publish'
writes the documents. Roles have names, so the stack needs CAPABILITY_NAMED_IAM.
With --output-dir an existing chain gets a second file, resources-to-import.json,
with which a change set of type IMPORT adopts it.`,
			example: `  setup export cloudformation --config cluster.yaml > openirsa.yaml
  setup export cloudformation --output-dir stack`,
			write: (*export.Resources).CloudFormation}),
		a.exportManifestsCommand(), a.exportPolicyCommand(),
	)
	return c
}

// flags are those of all exports.
func (o *exportOptions) flags(a *app, c *cobra.Command) {
	a.clusterFlags(c)
	o.documentFlags.flags(c)
	f := c.Flags()
	f.BoolVar(&o.keep, "keep-issuer", false, "with --emulator: the API server keeps its issuer, which is --issuer-url, and the emulator "+
		"reads the documents from it")
	f.StringVar(&o.account, "account", "", "AWS account id: call neither a cluster nor AWS, and take everything from the flags and the "+
		"configuration file")
	f.StringVar(&a.region, "region", "", "AWS region (default: the chain's, $AWS_REGION)")
	f.StringVar(&o.config, "config", "", "configuration file with the service accounts")
	f.StringVar(&o.outputDir, "output-dir", "", "write files into this directory, which is created if necessary, instead of standard output")
}

// exportTool is what differs between `export terraform` and `export cloudformation`.
type exportTool struct {
	use, file, short, long, example string
	write                           func(*export.Resources) ([]byte, error)
}

func (a *app) exportTo(tool exportTool) *cobra.Command {
	var o exportOptions
	c := &cobra.Command{
		Use: tool.use, Short: tool.short, Long: tool.long, Example: tool.example,
		RunE: func(c *cobra.Command, _ []string) error {
			o.adoptSet = c.Flags().Changed("import")
			ch, err := a.exported(c.Context(), &o)
			if err != nil {
				return err
			}
			e, err := resources(c.Context(), ch, &o)
			if err != nil {
				return err
			}
			body, err := tool.write(e)
			if err != nil {
				return err
			}
			files := map[string][]byte{tool.file: body}
			if tool.use == "cloudformation" && e.Import && o.outputDir != "" {
				if files["resources-to-import.json"], err = e.ResourcesToImport(); err != nil {
					return err
				}
			}
			return a.writeExport(o.outputDir, files)
		},
	}
	o.flags(a, c)
	f := c.Flags()
	f.BoolVar(&o.adopt, "import", false, "adopt existing resources (default for an existing chain)")
	f.BoolVar(&o.disown, "disown", false, "remove the tag openirsa.dev/owned, so that setup no longer changes or deletes these resources")
	f.BoolVar(&o.existingBucket, "existing-bucket", false, "the bucket exists and stays as it is: neither it nor its policy is exported "+
		"(with --account)")
	f.StringVar(&o.jwksFile, "jwks-file", "", "the cluster's keys, from 'kubectl get --raw /openid/v1/jwks', for the documents "+
		"(with --account)")
	return c
}

func (a *app) exportManifestsCommand() *cobra.Command {
	var o exportOptions
	c := &cobra.Command{
		Use:   "manifests",
		Short: "The Kubernetes half as manifests, for GitOps",
		Long: `Write the namespace, the record of the chain, the webhook, with --emulator the
emulator, the agent of EKS Pod Identity if the chain has it, and the annotated service accounts of --config as one YAML stream, in
the order in which to apply them. The namespaces of service accounts are not in
it. The API server's flags are not a Kubernetes object: a comment lists them.

The webhook puts its own certificate into its MutatingWebhookConfiguration; tell
your GitOps tool to leave .webhooks[].clientConfig.caBundle alone.`,
		Example: `  setup export manifests --config cluster.yaml --account 123456789012 --image registry.example.com/openirsa:v1 > openirsa.yaml
  setup export manifests | kubectl diff -f -`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.admission.check(); err != nil {
				return err
			}
			ch, err := a.exported(c.Context(), &o)
			if err != nil {
				return err
			}
			if err := chain.Admit(&ch.Record, o.admission.values()); err != nil {
				return err
			}
			body, err := manifests(c.Context(), ch, &o)
			if err != nil {
				return err
			}
			return a.writeExport(o.outputDir, map[string][]byte{"openirsa-manifests.yaml": body})
		},
	}
	o.flags(a, c)
	o.admission.flags(c)
	f := c.Flags()
	f.BoolVar(&o.existingBucket, "existing-bucket", false, "the bucket belongs to others, and 'setup down' does not delete it "+
		"(with --account)")
	f.StringVar(&o.image, "image", "", "container image with the webhook and the emulator, in a registry (default: the chain's)")
	f.StringVar(&o.endpoint, "pod-endpoint-url", "", "AWS_ENDPOINT_URL for pods, where AWS is an emulator")
	c.MarkFlagsMutuallyExclusive("emulator", "pod-endpoint-url")
	return c
}

func (a *app) exportPolicyCommand() *cobra.Command {
	var o exportOptions
	c := &cobra.Command{
		Use:   "iam-policy",
		Short: "The least IAM policy that commands need",
		Long: `Write the IAM policy with which the given commands can be run on this cluster,
and nothing else: for an operator's role, or a CI job's. Resources are those of
this cluster; the roles that may be changed are those below /openirsa/CLUSTER/,
those that the configuration file puts elsewhere, and those of --role-arn.

Whoever may make roles for pods can give them any permission, and so get it. With
--permissions-boundary they can only make roles that have this boundary.

Use the policy as a managed policy ('aws iam create-policy'): it is too long for a
user's inline policies. 'iamserviceaccount get' needs no permission.`,
		Example: `  setup export iam-policy > policy.json
  setup export iam-policy --command up --command down --name ci --account 123456789012 --region eu-west-1
  setup export iam-policy --command iamserviceaccount --permissions-boundary arn:aws:iam::123456789012:policy/pods`,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(o.permissions.Commands) == 0 {
				return cli.Usagef("--command is empty: it is one of %s", strings.Join(export.Commands(), ", "))
			}
			for _, name := range o.permissions.Commands {
				if !slices.Contains(export.Commands(), name) {
					return cli.Usagef("--command %q is not one of %s", name, strings.Join(export.Commands(), ", "))
				}
			}
			ch, err := a.exported(c.Context(), &o)
			if err != nil {
				return err
			}
			e, err := bareResources(c.Context(), ch, &o)
			if err != nil {
				return err
			}
			if o.config != "" {
				if e.Roles, err = exportRoles(c.Context(), ch, &o); err != nil {
					return err
				}
				if err := exportAssociations(c.Context(), ch, &o, e); err != nil {
					return err
				}
			}
			if o.to != "" {
				if o.permissions.To, err = e.At(c.Context(), o.to); err != nil {
					return cli.Usagef("--to: %w", err)
				}
			}
			body, err := e.Policy(o.permissions)
			if err != nil {
				return cli.Usage(err)
			}
			return a.writeExport(o.outputDir, map[string][]byte{"openirsa-iam-policy.json": append(body, '\n')})
		},
	}
	o.flags(a, c)
	f := c.Flags()
	f.StringSliceVar(&o.permissions.Commands, "command", []string{"up", "down", "status", "doctor", "iamserviceaccount"}, "command that "+
		"the policy is for (repeatable): "+strings.Join(export.Commands(), ", "))
	f.StringVar(&o.permissions.Boundary, "permissions-boundary", "", "ARN of the permissions boundary that every role must have")
	f.StringVar(&o.to, "to", "", "for issuer-migrate: its --to, BUCKET[/PREFIX] or the https URL of the new issuer")
	f.StringArrayVar(&o.permissions.RoleARNs, "role-arn", nil, "ARN of a further role that may be changed, such as one that clusters "+
		"share (repeatable)")
	f.BoolVar(&o.existingBucket, "existing-bucket", false, "the bucket exists, and is neither created nor deleted (with --account)")
	f.BoolVar(&o.podIdentity, "pod-identity", false, "the chain has EKS Pod Identity, in an emulator (with --account)")
	c.RegisterFlagCompletionFunc("command", cobra.FixedCompletions(export.Commands(), cobra.ShellCompDirectiveNoFileComp))
	return c
}

// writeExport writes files into a directory, or the one file that matters to
// standard output.
func (a *app) writeExport(dir string, files map[string][]byte) error {
	if dir == "" {
		for _, body := range files {
			if _, err := a.out.Write(body); err != nil {
				return err
			}
		}
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, files[name], 0o644); err != nil {
			return err
		}
		plain.Fprintf(a.out, "%s\n", file)
	}
	return nil
}
