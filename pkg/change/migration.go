package change

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/chain"
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

// MigrateOptions say to which issuer the cluster is to move.
type MigrateOptions struct {
	Options
	// To is the new issuer: BUCKET or BUCKET/PREFIX in S3, or the https URL at which
	// somebody else serves the documents. It is required at the start, and must be
	// the same, or empty, in every later run.
	To string
}

// Migrate moves the cluster to another issuer, or continues a migration. Before the
// first write it checks that the trust policy of every role has room for both.
//
// The chain must be installed ([*chain.MissingError]), nothing else under way in it
// ([*chain.UnderWayError]), and its issuer not one that it keeps
// ([*chain.KeptError]). Refused are a location that is another cluster's
// ([*TargetError]) and the issuer that it has ([*SameIssuerError]). Roles that were
// not made for this cluster are not changed; as long as one trusts only the old
// provider, the last stage is refused ([*RolesError]). The observer learns of each
// stage and link; nil is silence.
func Migrate(ctx context.Context, ch *chain.Chain, o MigrateOptions, observer plan.Observer) (Outcome, error) {
	c, err := begin(ctx, ch, record.IssuerMigration, o.Options)
	if err != nil {
		return Outcome{}, err
	}
	if ch.Keeps() {
		return Outcome{}, &chain.KeptError{Cluster: ch.Record.Cluster, Issuer: ch.Record.Issuer}
	}
	switch {
	case c.Migration == nil && o.To == "":
		err := errors.New("the bucket or the URL of the new issuer is required")
		return Outcome{}, &chain.OptionError{Option: "To", Err: err}
	case c.Migration == nil:
		c.Migration = &record.Migration{From: ch.Record.Location}
		if c.Migration.To, err = target(ctx, ch, o.To); err != nil {
			return Outcome{}, err
		}
	case o.To != "" && o.To != c.Migration.Target():
		return Outcome{}, &OtherTargetError{Change: c}
	}
	m := &migration{share(ch, c, o.Options, observer)}
	m.run.Say("from %s", c.Migration.From.Issuer)
	m.run.Say("to   %s", c.Migration.To.Issuer)
	return m.through(ctx, m)
}

// target is the location that [MigrateOptions] name.
func target(ctx context.Context, ch *chain.Chain, to string) (record.Location, error) {
	at, err := publish.ParseLocation(ctx, to, ch.Record.Region)
	if err != nil {
		return record.Location{}, &chain.OptionError{Option: "To", Err: err}
	}
	if at.Issuer == ch.Issuer {
		return record.Location{}, &SameIssuerError{Issuer: at.Issuer}
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
		target := *ch
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

// migration is a run of [Migrate].
type migration struct{ shared }

// at is the chain with the issuer of one of the two locations.
func (m *migration) at(l record.Location) (*chain.Chain, error) {
	iss, err := issuer.Parse(l.Issuer)
	if err != nil {
		return nil, fmt.Errorf("reading the change in ConfigMap %s/openirsa: %w", cluster.Namespace, err)
	}
	ch := *m.ch
	ch.Issuer, ch.Record.Location = iss, l
	return &ch, nil
}

// ways are the location that stays when the change is done, and the one that goes.
func (m *migration) ways(back bool) (stays, goes record.Location) {
	if back {
		return m.change.Migration.From, m.change.Migration.To
	}
	return m.change.Migration.To, m.change.Migration.From
}

// options are those with which the API servers get another issuer: both are
// ours.
func (m *migration) options(iss issuer.URL) controlplane.IssuerOptions {
	own := append(slices.Clone(m.ch.Record.FormerIssuers), m.change.Migration.From.Issuer, m.change.Migration.To.Issuer)
	return controlplane.IssuerOptions{URL: iss, Own: own, Wait: m.o.Wait}
}

// Check refuses what cannot work. The record comes before the first write.
func (m *migration) Check(ctx context.Context) error {
	if m.ch.Record.PodIdentity { // of whose issuers only the root user of an emulator tells EKS
		if _, err := m.then(record.Prepare).PlanRegistration(ctx); err != nil {
			return fmt.Errorf("%s: %w", plan.PodIdentity, err)
		}
	}
	if err := controlplane.Of(m.ch.Cluster).AllReached(ctx); err != nil {
		return fmt.Errorf("%s: %w", plan.Issuer, err)
	}
	to := m.change.Migration.To
	mark, err := m.ch.Tags(ctx)
	if err != nil {
		return err
	}
	if err := m.checkTarget(ctx, mark); err != nil {
		return err
	}
	_, others, err := role.AlsoTrust(ctx, m.ch.Account.IAM, mark, m.change.Migration.From.Provider, to.Provider)
	if err != nil {
		return fmt.Errorf("%s: %w", plan.Role, account.Cause(err))
	}
	for _, name := range others {
		m.run.Note(fmt.Errorf("%s %s was not made for this cluster and trusts %s: let it trust %s too, on the same conditions; until then "+
			"the old issuer stays", plan.Role, name, m.change.Migration.From.Provider, to.Provider))
	}
	if err := m.ch.ReadKeys(ctx); err != nil {
		return err
	}
	if m.ch.Record.Change != nil {
		return nil
	}
	// Nothing is recorded before the new issuer has answered.
	if target, err := m.at(to); err != nil {
		return err
	} else if to.Bucket == "" {
		docs, err := discovery.Documents(target.Issuer, m.ch.Keys)
		if err != nil {
			return fmt.Errorf("%s: %w", plan.Documents, err)
		}
		if err := target.CheckServed(ctx, docs, 0); err != nil {
			return err
		}
	}
	return m.Save(ctx, m.change)
}

// checkTarget refuses a new location that is another cluster's.
func (m *migration) checkTarget(ctx context.Context, mark map[string]string) error {
	to, err := m.at(m.change.Migration.To)
	if err != nil {
		return err
	}
	link := plan.Provider
	err = m.ch.ProviderOwner(ctx, to.Record.Provider, mark)
	if err == nil && to.Record.Bucket != "" {
		link, err = plan.Documents, to.DocumentsOwner(ctx, mark)
	}
	if e, ok := errors.AsType[*owner.ForeignError](err); ok {
		return &TargetError{Link: link, Err: e}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", link, account.Cause(err))
	}
	return nil
}

func (m *migration) Prepare(ctx context.Context) error {
	to, err := m.at(m.change.Migration.To)
	if err != nil {
		return err
	}
	mark, err := m.ch.Tags(ctx)
	if err != nil {
		return err
	}
	docs, err := discovery.Documents(to.Issuer, m.ch.Keys)
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
		steps, _, err := role.AlsoTrust(ctx, m.ch.Account.IAM, mark, m.change.Migration.From.Provider, to.Record.Provider)
		return steps, err
	})
	if err != nil {
		return err
	}
	if err := m.register(ctx, record.Prepare); err != nil {
		return err
	}
	options := m.options(to.Issuer)
	options.AcceptOnly = true
	return m.ch.Restart(ctx, m.run, m.o.Wait, "accepts both issuers", func(ctx context.Context) ([]plan.Step, error) {
		return controlplane.Of(m.ch.Cluster).SetIssuer(ctx, options)
	})
}

// makeProvider makes the provider of the new issuer, for the audiences of the
// previous one.
func (m *migration) makeProvider(ctx context.Context, to *chain.Chain, mark map[string]string) error {
	former, _, err := provider.Get(ctx, m.ch.Account.IAM, m.change.Migration.From.Provider)
	if err != nil {
		return fmt.Errorf("%s: %w", plan.Provider, account.Cause(err))
	}
	want := to.Provider(mark)
	want.ClientIDs = union(want.ClientIDs, former.ClientIDs)
	return m.run.Link(ctx, plan.Provider, want.ARN, func(ctx context.Context) ([]plan.Step, error) {
		return provider.Plan(ctx, m.ch.Account.IAM, want)
	})
}

// then is the chain in a stage of the migration, which in a dry run has not come.
func (m *migration) then(stage record.Stage) *chain.Chain {
	then, change := *m.ch, *m.change
	change.Stage = stage
	then.Record.Change = &change
	return &then
}

// register has EKS, if it knows the cluster, take the tokens of the issuers that the
// cluster has in a stage: of both, and in the last one of the chain's alone.
func (m *migration) register(ctx context.Context, stage record.Stage) error {
	if !m.ch.Record.PodIdentity {
		return nil
	}
	then := m.then(stage)
	takes := "both issuers"
	if stage == record.Prune {
		takes = "only " + then.Record.Issuer
	}
	return m.run.Link(ctx, plan.PodIdentity, "EKS takes tokens of "+takes, then.PlanRegistration)
}

// Sign records the issuer first: another command that runs meanwhile works
// towards the same.
func (m *migration) Sign(ctx context.Context, back bool) error {
	stays, goes := m.ways(back)
	now, err := m.at(stays)
	if err != nil {
		return err
	}
	m.ch.Record, m.ch.Issuer = now.Record, now.Issuer
	m.ch.Record.FormerIssuers = union(m.ch.Record.FormerIssuers, []string{goes.Issuer})
	if err := m.Save(ctx, m.change); err != nil {
		return err
	}
	if err := m.register(ctx, record.Sign); err != nil {
		return err
	}
	return m.ch.Restart(ctx, m.run, m.o.Wait, "--service-account-issuer="+stays.Issuer, func(ctx context.Context) ([]plan.Step, error) {
		return controlplane.Of(m.ch.Cluster).SetIssuer(ctx, m.options(now.Issuer))
	})
}

func (m *migration) Stale(ctx context.Context, back bool) (secrets, pods []cluster.Token, err error) {
	_, goes := m.ways(back)
	return m.tokens(ctx, func(t cluster.Token) bool { return t.Issuer == goes.Issuer })
}

// Ready refuses while roles of others trust the old provider alone.
func (m *migration) Ready(ctx context.Context) error {
	stays, goes := m.ways(false)
	mark, err := m.ch.Tags(ctx)
	if err != nil {
		return err
	}
	_, others, err := role.AlsoTrust(ctx, m.ch.Account.IAM, mark, goes.Provider, stays.Provider)
	if err != nil {
		return fmt.Errorf("%s: %w", plan.Role, account.Cause(err))
	}
	if len(others) == 0 {
		return nil
	}
	return &RolesError{Roles: others, Provider: goes.Provider, Other: stays.Provider}
}

func (m *migration) Prune(ctx context.Context, back bool) error {
	stays, goes := m.ways(back)
	gone, err := m.at(goes)
	if err != nil {
		return err
	}
	mark, err := m.ch.Tags(ctx)
	if err != nil {
		return err
	}
	if err := m.register(ctx, record.Prune); err != nil {
		return err
	}
	err = m.ch.Restart(ctx, m.run, m.o.Wait, "refuses "+goes.Issuer, func(ctx context.Context) ([]plan.Step, error) {
		return controlplane.Of(m.ch.Cluster).DropIssuer(ctx, m.options(gone.Issuer))
	})
	if err != nil {
		return err
	}
	err = m.run.Link(ctx, plan.Role, "trust policies let in only tokens of "+stays.Issuer, func(ctx context.Context) ([]plan.Step, error) {
		return role.StopTrusting(ctx, m.ch.Account.IAM, mark, goes.Provider)
	})
	if err != nil {
		return err
	}
	// The provider goes last: it tells whose the documents are.
	if goes.Bucket != "" {
		object := "s3://" + strings.TrimSuffix(goes.Bucket+"/"+goes.Prefix, "/")
		err = m.run.Link(ctx, plan.Documents, object, chain.Ours(chain.Leaves(m.run), func(ctx context.Context) ([]plan.Step, error) {
			if err := gone.DocumentsOwner(ctx, mark); err != nil {
				return nil, err
			}
			return gone.Bucket(mark).Delete(ctx, discovery.Paths)
		}))
		if err != nil {
			return err
		}
	}
	err = m.run.Link(ctx, plan.Provider, goes.Provider, chain.Ours(chain.Leaves(m.run), func(ctx context.Context) ([]plan.Step, error) {
		return provider.Delete(ctx, m.ch.Account.IAM, goes.Provider, mark)
	}))
	if err != nil {
		return err
	}
	m.ch.Record.FormerIssuers = slices.DeleteFunc(slices.Clone(m.ch.Record.FormerIssuers), func(iss string) bool {
		return iss == goes.Issuer || iss == stays.Issuer
	})
	return nil
}
