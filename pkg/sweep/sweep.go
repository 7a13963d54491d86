// Package sweep finds and removes what clusters left in an AWS account when they went
// without taking it along, such as those of CI jobs that were stopped. No cluster is
// reached: everything is found by its tags (see package owner).
//
//	all, err := sweep.Find(ctx, acct)
//	for _, r := range all {
//		if v, err := rules.Judge(r, time.Now()); err == nil && v.Due {
//			steps, err := r.Plan(ctx, acct)
//			...
//		}
//	}
package sweep

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/trust"
)

// Remains are what one cluster has made in the account.
type Remains struct {
	// Cluster and UID are those of its tags; Cluster is empty if they name none.
	Cluster, UID string
	// Oldest and Newest are when the first and the last of it was made, or a
	// document written.
	Oldest, Newest time.Time
	// Expires is the tag that says when the cluster may be taken for abandoned: a
	// time in RFC 3339, [owner.Never], or empty. Of several the latest counts.
	Expires string
	// Things are all of it, such as "provider ARN", "role NAME" and "association
	// NAMESPACE/NAME".
	Things []string

	providers []provider.Provider
	buckets   []publish.S3
	roles     []role.Role

	associations []association
}

// readAtOnce is how many clusters are read at the same time.
const readAtOnce = 16

// Find is what clusters have made in the account, the oldest first.
func Find(ctx context.Context, acct *account.Account) ([]*Remains, error) {
	c := &census{acct: acct, clusters: map[[2]string]*Remains{}, named: map[string]bool{}}
	if err := c.addProviders(ctx); err != nil {
		return nil, err
	}
	var buckets []publish.Bucket
	var roles []role.Role
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		ours := func(name string) bool { return c.named[name] || strings.HasPrefix(name, "openirsa-") }
		buckets, err = publish.Buckets(gctx, acct.S3, acct.ID, ours, acct.Regional)
		return err
	})
	group.Go(func() (err error) { roles, err = c.ownedRoles(gctx); return err })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	c.addRoles(roles)
	c.addBuckets(ctx, buckets)
	if err := c.addDocuments(ctx); err != nil {
		return nil, err
	}
	if err := c.addAssociations(ctx); err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(c.clusters), func(a, b *Remains) int {
		return cmp.Or(a.Oldest.Compare(b.Oldest), strings.Compare(a.Cluster, b.Cluster), strings.Compare(a.UID, b.UID))
	}), nil
}

// census counts what there is, cluster by cluster.
type census struct {
	acct     *account.Account
	clusters map[[2]string]*Remains // by name and uid
	arns     []string               // of all providers
	named    map[string]bool        // buckets that the issuers of providers name
}

// of are the remains of the cluster that the tags name.
func (c *census) of(tags map[string]string) *Remains {
	key := [2]string{tags[owner.ClusterTag], tags[owner.UIDTag]}
	if c.clusters[key] == nil {
		c.clusters[key] = &Remains{Cluster: key[0], UID: key[1]}
	}
	c.clusters[key].Expires = max(c.clusters[key].Expires, tags[owner.ExpiresTag])
	return c.clusters[key]
}

// documents are those of an issuer in a bucket.
func (c *census) documents(region, bucket, prefix string) publish.S3 {
	return publish.S3{
		Client: c.acct.Regional(region), Account: c.acct.ID, Partition: c.acct.Partition,
		Region: region, Bucket: bucket, Prefix: prefix,
	}
}

func (c *census) addProviders(ctx context.Context) error {
	providers, err := provider.List(ctx, c.acct.IAM)
	if err != nil {
		return err
	}
	for _, p := range providers {
		c.arns = append(c.arns, p.ARN)
		r := c.of(p.Tags)
		r.providers = append(r.providers, p)
		r.add("provider "+p.ARN, p.Created)
		if at, ok := publish.LocationOf(ctx, p.Issuer); ok {
			c.named[at.Bucket] = true
			r.buckets = append(r.buckets, c.documents(at.Region, at.Bucket, at.Prefix))
		}
	}
	return nil
}

// ownedRoles reads the roles that were made here, with their tags: those whose
// path or description says so, and those that trust one of the providers.
func (c *census) ownedRoles(ctx context.Context) ([]role.Role, error) {
	all, err := role.List(ctx, c.acct.IAM, "/")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range all {
		if r.Claims("") || r.TrustsSome(c.arns) {
			names = append(names, r.Name)
		}
	}
	there, err := role.ReadListed(ctx, c.acct.IAM, names)
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

// addRoles counts a role that is shared for every cluster whose provider it trusts.
func (c *census) addRoles(roles []role.Role) {
	for _, r := range roles {
		if owner.Shared(r.Tags) && len(trust.Providers(r.Trust)) > 0 {
			for _, of := range c.clusters {
				if r.TrustsSome(of.providerARNs()) {
					of.roles = append(of.roles, r)
					of.Things = append(of.Things, "shared role "+r.Name)
				}
			}
			continue
		}
		of := c.of(r.Tags)
		of.roles = append(of.roles, r)
		of.add("role "+r.Name, r.Created)
	}
}

func (c *census) addBuckets(ctx context.Context, buckets []publish.Bucket) {
	for _, b := range buckets {
		if !owner.Claimed(b.Tags) {
			continue
		}
		r := c.of(b.Tags)
		r.add("bucket "+b.Name, b.Created)
		if i := slices.IndexFunc(r.buckets, func(d publish.S3) bool { return d.Bucket == b.Name }); i >= 0 {
			r.buckets[i].Owned = true
		} else {
			owned := c.documents(b.Region, b.Name, r.privatePrefix(ctx))
			owned.Owned = true
			r.buckets = append(r.buckets, owned)
		}
	}
}

// addDocuments looks when the documents in the buckets were written.
func (c *census) addDocuments(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readAtOnce)
	for _, r := range c.clusters {
		group.Go(func() error {
			for _, b := range r.buckets {
				modified, err := b.Modified(ctx, discovery.Paths)
				if err != nil {
					return err
				}
				if !modified.IsZero() {
					r.add("documents s3://"+strings.TrimSuffix(b.Bucket+"/"+b.Prefix, "/"), modified)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func (r *Remains) add(thing string, at time.Time) {
	r.Things = append(r.Things, thing)
	if r.Oldest.IsZero() || at.Before(r.Oldest) {
		r.Oldest = at
	}
	if at.After(r.Newest) {
		r.Newest = at
	}
}

func (r *Remains) providerARNs() []string {
	var arns []string
	for _, p := range r.providers {
		arns = append(arns, p.ARN)
	}
	return arns
}

// privatePrefix is where the documents are in a bucket that is private: below the
// path of the issuer that is not at S3.
func (r *Remains) privatePrefix(ctx context.Context) string {
	for _, p := range r.providers {
		if _, ok := publish.LocationOf(ctx, p.Issuer); !ok {
			return p.Issuer.Prefix()
		}
	}
	return ""
}
