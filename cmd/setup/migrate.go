package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/account"
	lib "github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/role"
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
               let in tokens of both, and every API server accepts both
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
	ch, c, err := a.beginChange(ctx, record.IssuerMigration, o)
	if err != nil {
		return err
	}
	if ch.Keeps() {
		return &lib.KeptError{Cluster: ch.Record.Cluster, Issuer: ch.Record.Issuer}
	}
	if c.Migration == nil {
		if to == "" {
			return cli.Usagef(`required flag "to" not set: the bucket or the URL of the new issuer`)
		}
		c.Migration = &record.Migration{From: ch.Record.Location}
		if c.Migration.To, err = ch.migrationTarget(ctx, to); err != nil {
			return err
		}
	} else if to != "" && to != c.Migration.Target() {
		return advise(fmt.Errorf("%s: a migration to %s is under way", plan.Issuer, c.Migration.Target()),
			continueCommand(c)+", or with --rollback first")
	}
	m := &migration{changeRun: ch.newChangeRun(c, o)}
	m.run.Say("from %s", c.Migration.From.Issuer)
	m.run.Say("to   %s", c.Migration.To.Issuer)
	return m.finish(ctx, m)
}

// migrationTarget is the place that --to names.
func (ch *chain) migrationTarget(ctx context.Context, to string) (record.Location, error) {
	at, err := publish.ParseLocation(ctx, to, ch.Record.Region)
	if err != nil {
		return record.Location{}, cli.Usagef("--to: %w", err)
	}
	if at.Issuer == ch.Issuer {
		return record.Location{}, advise(fmt.Errorf("%s: %s is the cluster's issuer already", plan.Issuer, at.Issuer), "SETUP status")
	}
	p := record.Location{
		Issuer: at.Issuer.String(), Provider: at.Issuer.ProviderARN(ch.Account.Partition, ch.Account.ID),
		Bucket: at.Bucket, Prefix: at.Prefix,
	}
	switch {
	case p.Bucket == "":
	case p.Bucket == ch.Record.Bucket:
		p.BucketOwned = ch.Record.BucketOwned
	case ch.Record.Emulator:
		p.BucketOwned = true // whatever is in the emulator is ours
	default:
		target := *ch.Chain
		target.Record = ch.Record
		target.Record.Location = p
		exists, err := target.Bucket(nil).Exists(ctx)
		if err != nil {
			return record.Location{}, target.BucketError(fmt.Errorf("%s: %w", plan.Documents, err))
		}
		if !exists {
			p.BucketOwned = true
		}
	}
	return p, nil
}

// migration is one run of `issuer migrate`.
type migration struct{ changeRun }

// at is the chain with the issuer of one of the two places.
func (m *migration) at(p record.Location) (*chain, error) {
	iss, err := issuer.Parse(p.Issuer)
	if err != nil {
		return nil, fmt.Errorf("reading the change in ConfigMap %s/openirsa: %w", cluster.Namespace, err)
	}
	ch := *m.Chain
	ch.Record, ch.Issuer = m.Record, iss
	ch.Record.Location = p
	return &chain{&ch, m.app}, nil
}

// ways are the place that tokens are of when the change is done, and the one
// that goes.
func (m *migration) ways(back bool) (stays, goes record.Location) {
	if back {
		return m.c.Migration.From, m.c.Migration.To
	}
	return m.c.Migration.To, m.c.Migration.From
}

// options are those with which the API servers get another issuer: both are
// ours.
func (m *migration) options(iss issuer.URL) controlplane.IssuerOptions {
	own := append(slices.Clone(m.Record.FormerIssuers), m.c.Migration.From.Issuer, m.c.Migration.To.Issuer)
	return controlplane.IssuerOptions{URL: iss, Own: own, Wait: m.o.Wait}
}

// Check refuses what cannot work. The record comes before the first write.
func (m *migration) Check(ctx context.Context) error {
	if err := controlplane.Of(m.chain.Cluster).AllReached(ctx); err != nil {
		return fmt.Errorf("%s: %w", plan.Issuer, err)
	}
	to := m.c.Migration.To
	mark, err := m.Tags(ctx)
	if err != nil {
		return err
	}
	if err := m.checkTarget(ctx, mark); err != nil {
		return err
	}
	_, others, err := role.AlsoTrust(ctx, m.Account.IAM, mark, m.c.Migration.From.Provider, to.Provider)
	if err != nil {
		return fmt.Errorf("%s: %w", plan.Role, account.Cause(err))
	}
	for _, name := range others {
		m.run.Note(fmt.Errorf("%s %s was not made for this cluster and trusts %s: let it trust %s too, on the same conditions; until then "+
			"the old issuer stays", plan.Role, name, m.c.Migration.From.Provider, to.Provider))
	}
	if err := m.ReadKeys(ctx); err != nil {
		return err
	}
	if m.Record.Change != nil {
		return nil
	}
	// Nothing is recorded before the new issuer has answered.
	if target, err := m.at(to); err != nil {
		return err
	} else if to.Bucket == "" {
		docs, err := discovery.Documents(target.Issuer, m.Keys)
		if err != nil {
			return fmt.Errorf("%s: %w", plan.Documents, err)
		}
		if err := target.CheckServed(ctx, docs, 0); err != nil {
			return err
		}
	}
	return m.Save(ctx, m.c)
}

// checkTarget refuses a new place that is another cluster's.
func (m *migration) checkTarget(ctx context.Context, mark map[string]string) error {
	to, err := m.at(m.c.Migration.To)
	if err != nil {
		return err
	}
	link := plan.Provider
	err = m.ProviderOwner(ctx, to.Record.Provider, mark)
	if err == nil && to.Record.Bucket != "" {
		link, err = plan.Documents, to.DocumentsOwner(ctx, mark)
	}
	if _, ok := errors.AsType[*owner.ForeignError](err); ok {
		return advise(fmt.Errorf("%s: %w", link, err), "choose another --to")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", link, account.Cause(err))
	}
	return nil
}

func (m *migration) Prepare(ctx context.Context) error {
	to, err := m.at(m.c.Migration.To)
	if err != nil {
		return err
	}
	mark, err := m.Tags(ctx)
	if err != nil {
		return err
	}
	docs, err := discovery.Documents(to.Issuer, m.Keys)
	if err != nil {
		return fmt.Errorf("%s: %w", plan.Documents, err)
	}
	if err := to.Publish(ctx, m.run, mark, docs, 0); err != nil {
		return err
	}
	if err := m.makeProvider(ctx, to, mark); err != nil {
		return err
	}
	err = m.run.Link(ctx, plan.Role, "trust policies let in tokens of both issuers", func(ctx context.Context) ([]plan.Step, error) {
		steps, _, err := role.AlsoTrust(ctx, m.Account.IAM, mark, m.c.Migration.From.Provider, to.Record.Provider)
		return steps, err
	})
	if err != nil {
		return err
	}
	options := m.options(to.Issuer)
	options.AcceptOnly = true
	err = m.Restart(ctx, m.run, m.o.Wait, "accepts both issuers", func(ctx context.Context) ([]plan.Step, error) {
		return controlplane.Of(m.chain.Cluster).SetIssuer(ctx, options)
	})
	return err
}

// makeProvider makes the provider of the new place, for the audiences of the
// previous one.
func (m *migration) makeProvider(ctx context.Context, to *chain, mark map[string]string) error {
	former, _, err := provider.Get(ctx, m.Account.IAM, m.c.Migration.From.Provider)
	if err != nil {
		return fmt.Errorf("%s: %w", plan.Provider, account.Cause(err))
	}
	want := to.Provider(mark)
	want.ClientIDs = union(want.ClientIDs, former.ClientIDs)
	return m.run.Link(ctx, plan.Provider, want.ARN, func(ctx context.Context) ([]plan.Step, error) {
		return provider.Plan(ctx, m.Account.IAM, want)
	})
}

// Sign records the issuer first: another command that runs meanwhile works
// towards the same.
func (m *migration) Sign(ctx context.Context, back bool) error {
	stays, goes := m.ways(back)
	now, err := m.at(stays)
	if err != nil {
		return err
	}
	m.chain.Record, m.chain.Issuer = now.Record, now.Issuer
	m.Record.FormerIssuers = union(m.Record.FormerIssuers, []string{goes.Issuer})
	if err := m.Save(ctx, m.c); err != nil {
		return err
	}
	err = m.Restart(ctx, m.run, m.o.Wait, "--service-account-issuer="+stays.Issuer, func(ctx context.Context) ([]plan.Step, error) {
		return controlplane.Of(m.chain.Cluster).SetIssuer(ctx, m.options(now.Issuer))
	})
	return err
}

func (m *migration) Stale(ctx context.Context, back bool) (secrets, pods []cluster.Token, err error) {
	_, goes := m.ways(back)
	return m.tokens(ctx, func(t cluster.Token) bool { return t.Issuer == goes.Issuer })
}

// Ready refuses while roles of others trust the old provider alone.
func (m *migration) Ready(ctx context.Context) error {
	stays, goes := m.ways(false)
	mark, err := m.Tags(ctx)
	if err != nil {
		return err
	}
	_, others, err := role.AlsoTrust(ctx, m.Account.IAM, mark, goes.Provider, stays.Provider)
	if err != nil {
		return fmt.Errorf("%s: %w", plan.Role, account.Cause(err))
	}
	if len(others) == 0 {
		return nil
	}
	return advise(fmt.Errorf("%s: %s could no longer be assumed: not made for this cluster, and "+
		"trusting only %s", plan.Role, strings.Join(others, ", "), goes.Provider),
		"let each trust "+stays.Provider+" too, on the same conditions, or no longer the old one; then run the same command again")
}

func (m *migration) Prune(ctx context.Context, back bool) error {
	stays, goes := m.ways(back)
	gone, err := m.at(goes)
	if err != nil {
		return err
	}
	mark, err := m.Tags(ctx)
	if err != nil {
		return err
	}
	err = m.Restart(ctx, m.run, m.o.Wait, "refuses "+goes.Issuer, func(ctx context.Context) ([]plan.Step, error) {
		return controlplane.Of(m.chain.Cluster).DropIssuer(ctx, m.options(gone.Issuer))
	})
	if err != nil {
		return err
	}
	err = m.run.Link(ctx, plan.Role, "trust policies let in only tokens of "+stays.Issuer, func(ctx context.Context) ([]plan.Step, error) {
		return role.StopTrusting(ctx, m.Account.IAM, mark, goes.Provider)
	})
	if err != nil {
		return err
	}
	// The provider goes last: it tells whose the documents are.
	if goes.Bucket != "" {
		object := "s3://" + strings.TrimSuffix(goes.Bucket+"/"+goes.Prefix, "/")
		err = m.run.Link(ctx, plan.Documents, object, lib.Ours(lib.Leaves(m.run), func(ctx context.Context) ([]plan.Step, error) {
			if err := gone.DocumentsOwner(ctx, mark); err != nil {
				return nil, err
			}
			return gone.Bucket(mark).Delete(ctx, discovery.Paths)
		}))
		if err != nil {
			return err
		}
	}
	err = m.run.Link(ctx, plan.Provider, goes.Provider, lib.Ours(lib.Leaves(m.run), func(ctx context.Context) ([]plan.Step, error) {
		return provider.Delete(ctx, m.Account.IAM, goes.Provider, mark)
	}))
	if err != nil {
		return err
	}
	m.Record.FormerIssuers = slices.DeleteFunc(slices.Clone(m.Record.FormerIssuers), func(iss string) bool {
		return iss == goes.Issuer || iss == stays.Issuer
	})
	return nil
}
