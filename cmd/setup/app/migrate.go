package app

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/change"
	"github.com/openirsa/openirsa/pkg/issuer"
)

func (a *app) issuerCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "issuer",
		Short: "Move the cluster to another issuer",
		Long:  "Link 3 of the chain: the public URL in every token.",
	}
	c.AddCommand(a.migrateCommand())
	return c
}

func (a *app) migrateCommand() *cobra.Command {
	var o stagedOptions
	var to string
	var allowPrivate bool
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Give the cluster another issuer, without one failed token",
		Long: `Move the documents to another bucket or URL, which is then the issuer of the
cluster's tokens. No valid token fails at any moment, at the API servers or at AWS:

  prepare      the documents are published at the new issuer and read back, the
               new provider is made, the trust policies of the cluster's roles
               let in tokens of both, the emulator's EKS takes those of both if it
               knows the cluster, and every API server accepts both
  wait-caches  until AWS knows it everywhere (--cache-wait)
  sign         every API server issues tokens as the new issuer
  wait-tokens  until no live token is of the old issuer: kubelet renews those of
               pods; for tokens that cannot be seen, --token-lifetime
  prune        the API servers refuse the old issuer, the trust policies let in
               only the new one, the old provider and documents are removed

The command continues by itself and waits where it must; if it is stopped, run it
again. The stage is recorded in the cluster: 'status' shows it. Until the stage
prune --rollback undoes the migration, as carefully.

Before the first write it is checked that the trust policy of every role has room
for both. Roles that were not made for this cluster are not changed; as long as one
trusts only the old provider, the old one stays. See docs/rotation.md.`,
		Example: `  setup issuer migrate --to my-bucket/clusters/prod --dry-run
  setup issuer migrate --to my-bucket/clusters/prod
  setup issuer migrate --to https://oidc.example.com/prod
  setup issuer migrate --to my-bucket/clusters/prod --rollback`,
		RunE: func(c *cobra.Command, _ []string) error { return a.migrate(c.Context(), o, to, allowPrivate) },
	}
	o.flags(a, c)
	f := c.Flags()
	f.StringVar(&to, "to", "", "the new issuer: BUCKET or BUCKET/PREFIX in S3, or the https URL at which you serve the documents yourself "+
		"(required at the start)")
	allowPrivateFlag(c, &allowPrivate)
	return c
}

func (a *app) migrate(ctx context.Context, o stagedOptions, to string, allowPrivate bool) error {
	if strings.Contains(to, "://") {
		if _, err := issuer.Parse(to); err != nil {
			return cli.Usagef("--to: %w", err)
		}
		if err := a.checkPort(documentFlags{issuerURL: to, allowPrivate: allowPrivate || o.Rollback}); err != nil {
			return err
		}
	}
	return a.changeChain(ctx, o, func(ch *chain.Chain, r *report) (change.Outcome, error) {
		return change.Migrate(ctx, ch, change.MigrateOptions{Options: o.options(), To: to}, r)
	})
}
