package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/internal/redact"
	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/trust"
)

// gcOptions are the flags of `gc`.
type gcOptions struct {
	olderThan time.Duration
	prefixes  []string
	keep      []string
	approve   bool
	dryRun    bool
	now       func() time.Time
}

func (a *app) gcCommand() *cobra.Command {
	o := gcOptions{now: time.Now}
	c := &cobra.Command{
		Use:   "gc",
		Short: "Remove what abandoned short-lived clusters left in the AWS account",
		Long: `Remove the roles, providers and documents of clusters that are gone without a
down, such as those of CI jobs that were stopped. An account has 100 OIDC
providers. No cluster is reached: everything is found in the account by its tags.

Age alone makes no cluster abandoned, since production is old too. Removed is only
what was made by a cluster

  that was brought up with --expires and has expired, or
  whose name begins with a --name-prefix, if all that it made and its documents
  were last written before --older-than.

--keep spares a cluster whatever else is said. What is shared with a cluster that
lives, such as a role or a bucket, loses only the part of the one that goes.

Without --approve the plan is printed and nothing is changed. The exit status is 1
if something that was to go stays.`,
		Example: `  setup up --expires 6h                                    # in the CI job
  setup gc --approve                                       # every night
  setup gc --older-than 24h --name-prefix ci- --keep ci-base --approve`,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case o.olderThan < 0:
				return cli.Usagef("--older-than %s is negative", o.olderThan)
			case slices.Contains(o.prefixes, ""):
				return cli.Usagef("--name-prefix is empty: every cluster of the account would be removed")
			}
			return a.gc(c.Context(), o)
		},
	}
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	f.DurationVar(&o.olderThan, "older-than", 24*time.Hour, "how long a cluster of a --name-prefix must have written nothing, and how old all of it must be")
	f.StringSliceVar(&o.prefixes, "name-prefix", nil, "also clusters with such a name, though they were not brought up with --expires (repeatable)")
	f.StringSliceVar(&o.keep, "keep", nil, `names of clusters to be spared, with "*" and "?" (repeatable)`)
	f.BoolVar(&o.approve, "approve", false, "make the changes; without it they are only printed")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be done and change nothing, which is the default")
	f.StringVar(&a.region, "region", "", "AWS region to ask (default: $AWS_REGION, ~/.aws/config); buckets are found in all regions")
	c.MarkFlagsMutuallyExclusive("approve", "dry-run")
	return c
}

// remains are what a cluster has made in the account.
type remains struct {
	Cluster string `json:"cluster"`
	UID     string `json:"uid,omitempty"`
	// Oldest and Newest are when the first and the last of it was made, or a
	// document written.
	Oldest time.Time `json:"oldest"`
	Newest time.Time `json:"newest"`
	// Expires is what `up --expires` has set.
	Expires string `json:"expires,omitempty"`
	// Remove says that it is to go, and Why why or why not.
	Remove bool     `json:"remove"`
	Why    string   `json:"why"`
	Things []string `json:"things"`
	Result string   `json:"result,omitempty"`
	Error  string   `json:"error,omitempty"`

	providers []provider.Provider
	buckets   []publish.S3
	roles     []role.Role
	steps     []plan.Step
}

// gcReport is what `gc -o json` prints.
type gcReport struct {
	Account  string     `json:"account"`
	DryRun   bool       `json:"dryRun"`
	Clusters []*remains `json:"clusters"`
}

func (a *app) gc(ctx context.Context, o gcOptions) error {
	connected, err := a.connectAWS(ctx, "", nil)
	if err != nil {
		return err
	}
	acct := sweeper{connected}
	all, err := acct.remains(ctx)
	if err != nil {
		return fmt.Errorf("looking for what clusters have left: %w", account.Cause(err))
	}
	report := gcReport{Account: acct.ID, DryRun: !o.approve, Clusters: all}
	due := 0
	for _, c := range all {
		if c.Remove, c.Why, err = o.due(c); err != nil {
			return err
		}
		if !c.Remove {
			continue
		}
		due++
		if c.steps, err = acct.removal(ctx, c); err != nil {
			return fmt.Errorf("planning to remove cluster %s: %w", c.Cluster, account.Cause(err))
		}
		if !o.approve {
			c.Result = plan.Planned
		}
	}
	if o.approve {
		a.removeAll(ctx, acct, all)
	}
	if err := a.printGC(report); err != nil {
		return err
	}
	var stays []string
	for _, c := range all {
		if c.Error != "" {
			stays = append(stays, c.Cluster+": "+c.Error)
		}
	}
	if len(stays) > 0 {
		return advise(fmt.Errorf("of %s that were to go, something stays: %s", plural(due, "cluster"), strings.Join(stays, "; ")), "the same command again")
	}
	return nil
}

// due decides whether a cluster is abandoned.
func (o gcOptions) due(c *remains) (remove bool, why string, err error) {
	for _, pattern := range o.keep {
		match, err := path.Match(pattern, c.Cluster)
		if err != nil {
			return false, "", cli.Usagef("--keep %q: %w", pattern, err)
		}
		if match {
			return false, "kept by --keep " + pattern, nil
		}
	}
	now := o.now()
	named := slices.ContainsFunc(o.prefixes, func(p string) bool { return strings.HasPrefix(c.Cluster, p) })
	expires, parseErr := time.Parse(time.RFC3339, c.Expires)
	switch age := now.Sub(c.Newest).Truncate(time.Second); {
	case c.Cluster == "":
		return false, "its tags name no cluster", nil
	case c.Expires != "" && c.Expires != owner.Never && parseErr != nil:
		return false, fmt.Sprintf("its tag %s is no time: %q", owner.ExpiresTag, c.Expires), nil
	case parseErr == nil && now.Before(expires):
		return false, "expires in " + expires.Sub(now).Truncate(time.Second).String(), nil
	case parseErr == nil:
		return true, "expired " + now.Sub(expires).Truncate(time.Second).String() + " ago", nil
	case !named:
		return false, "was not brought up with --expires, and no --name-prefix names it", nil
	case age < o.olderThan:
		return false, "wrote something " + age.String() + " ago", nil
	default:
		return true, "wrote nothing for " + age.String(), nil
	}
}

// sweeper removes what clusters left in an account.
type sweeper struct{ *account.Account }

// place is where an issuer's documents are.
func (acct sweeper) place(region, bucket, prefix string) publish.S3 {
	return publish.S3{Client: acct.Regional(region), Account: acct.ID, Partition: acct.Partition, Region: region, Bucket: bucket, Prefix: prefix}
}

// remains finds what clusters have made in the account, the oldest first.
func (acct sweeper) remains(ctx context.Context) ([]*remains, error) {
	providers, err := provider.List(ctx, acct.IAM)
	if err != nil {
		return nil, err
	}
	clusters := map[[2]string]*remains{} // by name and uid
	of := func(tags map[string]string) *remains {
		key := [2]string{tags[owner.ClusterTag], tags[owner.UIDTag]}
		if clusters[key] == nil {
			clusters[key] = &remains{Cluster: key[0], UID: key[1]}
		}
		// Of several, the one that is latest counts.
		clusters[key].Expires = max(clusters[key].Expires, tags[owner.ExpiresTag])
		return clusters[key]
	}
	names := map[string]bool{}
	var arns []string
	for _, p := range providers {
		arns = append(arns, p.ARN)
		c := of(p.Tags)
		c.providers = append(c.providers, p)
		c.add("provider "+p.ARN, p.Created)
		if bucket, region, prefix, ok := publish.BucketOf(ctx, p.Issuer); ok {
			names[bucket] = true
			c.buckets = append(c.buckets, acct.place(region, bucket, prefix))
		}
	}

	var buckets []publish.Bucket
	var roles []role.Role
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		buckets, err = publish.Buckets(gctx, acct.S3, acct.ID, func(name string) bool { return names[name] || strings.HasPrefix(name, "openirsa-") }, acct.Regional)
		return err
	})
	group.Go(func() (err error) { roles, err = acct.ownedRoles(gctx, arns); return err })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, r := range roles {
		if owner.Shared(r.Tags) && len(trust.Providers(r.Trust)) > 0 {
			// It is everybody's whose provider it trusts.
			for _, c := range clusters {
				if r.TrustsSome(c.providerARNs()) {
					c.roles = append(c.roles, r)
					c.Things = append(c.Things, "shared role "+r.Name)
				}
			}
			continue
		}
		c := of(r.Tags)
		c.roles = append(c.roles, r)
		c.add("role "+r.Name, r.Created)
	}
	for _, b := range buckets {
		if !owner.Claimed(b.Tags) {
			continue
		}
		c := of(b.Tags)
		c.add("bucket "+b.Name, b.Created)
		if i := slices.IndexFunc(c.buckets, func(place publish.S3) bool { return place.Bucket == b.Name }); i >= 0 {
			c.buckets[i].Owned = true
		} else {
			owned := acct.place(b.Region, b.Name, c.privatePrefix(ctx))
			owned.Owned = true
			c.buckets = append(c.buckets, owned)
		}
	}
	all := slices.Collect(maps.Values(clusters))
	group, gctx = errgroup.WithContext(ctx)
	group.SetLimit(readAtOnce)
	for _, c := range all {
		group.Go(func() error {
			for _, b := range c.buckets {
				modified, err := b.Modified(gctx, discovery.Paths)
				if err != nil {
					return err
				}
				if !modified.IsZero() {
					c.add("documents s3://"+strings.TrimSuffix(b.Bucket+"/"+b.Prefix, "/"), modified)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b *remains) int {
		return cmp.Or(a.Oldest.Compare(b.Oldest), strings.Compare(a.Cluster, b.Cluster), strings.Compare(a.UID, b.UID))
	})
	return all, nil
}

func (c *remains) add(thing string, at time.Time) {
	c.Things = append(c.Things, thing)
	if c.Oldest.IsZero() || at.Before(c.Oldest) {
		c.Oldest = at
	}
	if at.After(c.Newest) {
		c.Newest = at
	}
}

func (c *remains) providerARNs() []string {
	var arns []string
	for _, p := range c.providers {
		arns = append(arns, p.ARN)
	}
	return arns
}

// privatePrefix is where the documents are in a bucket that is private: below the
// path of the issuer that is not at S3.
func (c *remains) privatePrefix(ctx context.Context) string {
	for _, p := range c.providers {
		if _, _, _, ok := publish.BucketOf(ctx, p.Issuer); !ok {
			return p.Issuer.Prefix()
		}
	}
	return ""
}

// ownedRoles reads the roles that were made here, with their tags: those whose
// path or description says so, and those that trust one of the providers.
func (acct sweeper) ownedRoles(ctx context.Context, providers []string) ([]role.Role, error) {
	all, err := role.List(ctx, acct.IAM, "/")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range all {
		if r.Claims("") || r.TrustsSome(providers) {
			names = append(names, r.Name)
		}
	}
	there, err := role.ReadListed(ctx, acct.IAM, names)
	if err != nil {
		return nil, err
	}
	var owned []role.Role
	for _, name := range slices.Sorted(maps.Keys(there)) {
		if owner.Claimed(there[name].Tags) {
			owned = append(owned, there[name])
		}
	}
	return owned, nil
}

// removal decides what must be done for what a cluster made to be gone: in the
// reverse order of making it.
func (acct sweeper) removal(ctx context.Context, c *remains) ([]plan.Step, error) {
	arns := c.providerARNs()
	mark := owner.Tags(c.Cluster, c.UID)
	var steps []plan.Step
	for _, r := range c.roles {
		more, err := r.Delete(acct.IAM, mark, arns...)
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	for _, b := range c.buckets {
		b.Tags = mark
		more, err := b.Delete(ctx, discovery.Paths)
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	for _, arn := range arns { // last: they tell whose the documents are
		// Another cluster may have taken it over since it was listed.
		more, err := ours(func(*owner.ForeignError) {}, func(ctx context.Context) ([]plan.Step, error) {
			return provider.Delete(ctx, acct.IAM, arn, mark)
		})(ctx)
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	return steps, nil
}

// readAtOnce is how many clusters are looked at at the same time.
const readAtOnce = 16

// clustersAtOnce is how many clusters are removed at the same time, each one step
// after the other.
const clustersAtOnce = 8

// removeAll removes what is to go. What fails is noted, and the rest goes on.
func (a *app) removeAll(ctx context.Context, acct sweeper, all []*remains) {
	progress := a.newReport("", false)
	defer progress.clear()
	var mu sync.Mutex // guards finished
	finished := 0
	var group errgroup.Group
	group.SetLimit(clustersAtOnce)
	for _, c := range all {
		if !c.Remove {
			continue
		}
		group.Go(func() error {
			err := plan.Run(ctx, c.steps, nil)
			if err == nil {
				// Steps may have been planned on less than there was.
				err = acct.nothingLeft(ctx, c)
			}
			c.Result = plan.Deleted
			if err != nil {
				c.Result, c.Error = "failed", redact.Text(account.Cause(err).Error())
			}
			mu.Lock()
			defer mu.Unlock()
			finished++
			progress.Start("gc", fmt.Sprintf("%s removed", plural(finished, "cluster")))
			return nil
		})
	}
	group.Wait()
}

// nothingLeft looks whether what was to go is gone.
func (acct sweeper) nothingLeft(ctx context.Context, c *remains) error {
	names := make([]string, len(c.roles))
	for i, r := range c.roles {
		names[i] = r.Name
	}
	err := untilGone(ctx, func(ctx context.Context) ([]plan.Step, error) {
		there, err := role.Read(ctx, acct.IAM, names)
		if err != nil {
			return nil, err
		}
		left := *c
		left.roles = slices.Collect(maps.Values(there))
		return acct.removal(ctx, &left)
	})
	if err != nil {
		return err
	}
	for _, b := range c.buckets {
		if !b.Owned {
			continue
		}
		exists, err := b.Exists(ctx)
		if err != nil {
			return err
		}
		if exists {
			return fmt.Errorf("bucket %s holds what setup has not made, and stays", b.Bucket)
		}
	}
	return nil
}

func (a *app) printGC(r gcReport) error {
	if a.output == "json" {
		if r.Clusters == nil {
			r.Clusters = []*remains{}
		}
		return printJSON(a.out, r)
	}
	if len(r.Clusters) == 0 {
		plain.Fprintf(a.out, "AWS account %s has nothing that setup made.\n", r.Account)
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CLUSTER\tUID\tSINCE\tTHINGS\tRESULT\tWHY")
	due := 0
	for _, c := range r.Clusters {
		result := cmp.Or(c.Result, "kept")
		if c.Remove {
			due++
		}
		uid, _, _ := strings.Cut(c.UID, "-")
		plain.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", c.Cluster, uid, c.Oldest.UTC().Format("2006-01-02 15:04"), len(c.Things), result, cmp.Or(c.Error, c.Why))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if !r.DryRun {
		return nil
	}
	for _, c := range r.Clusters {
		if c.Remove {
			plain.Fprintf(a.out, "\ncluster %s\n", c.Cluster)
			plan.Print(a.out, c.steps)
		}
	}
	if due > 0 {
		fmt.Fprintln(a.out, "\nNothing was changed. To make these changes, run the same command with --approve.")
	} else {
		fmt.Fprintln(a.out, "\nNothing is abandoned.")
	}
	return nil
}
