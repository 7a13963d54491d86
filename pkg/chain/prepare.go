package chain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/trust"
)

// prepare is the list of checks: everything that can stop the run is found out before
// the first write.
func (u *upRun) prepare(ctx context.Context) error {
	for _, check := range []func(context.Context) error{
		u.sameChain, u.issuerToKeep, u.ReadKeys, u.whichAccount, u.whatToRecord, u.findImage, u.willing, u.whatToMake, u.mayMake,
	} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sameChain refuses to turn the chain that is there into another one.
func (u *upRun) sameChain(ctx context.Context) error {
	if err := u.Cluster.Check(ctx, cluster.InstallRights()...); err != nil {
		return err
	}
	if u.Installed && u.Record.Emulator {
		u.emulator = true // it stays where it is
	} else if u.Installed && u.emulator {
		return &ExistingError{Option: "Emulator"}
	}
	u.o.Name = cmp.Or(u.o.Name, u.Record.Cluster, u.Cluster.Name)
	if u.Installed && u.Record.Cluster != u.o.Name {
		return &ExistingError{Option: "Name", Is: u.Record.Cluster, Want: u.o.Name}
	}
	return nil
}

// issuerToKeep comes before the keys: where the issuer cannot be kept, they mostly
// cannot be read either.
func (u *upRun) issuerToKeep(ctx context.Context) (err error) {
	u.keep, u.kept, err = u.keepsIssuer(ctx)
	return err
}

// whichAccount finds the account. That of the emulator is known before it runs.
func (u *upRun) whichAccount(ctx context.Context) error {
	u.id, u.partition = emulator.DefaultAccount, "aws"
	u.region = cmp.Or(u.options.Account.Region, u.Record.Region, account.EmulatorRegion)
	if u.emulator {
		return nil
	}
	if err := u.Use(ctx, "", nil); err != nil {
		return err
	}
	u.id, u.region, u.partition = u.Account.ID, u.Account.Region, u.Account.Partition
	return nil
}

// whatToRecord decides what will be recorded.
func (u *upRun) whatToRecord(ctx context.Context) (err error) {
	want := u.Record
	want.KeepIssuer = want.KeepIssuer || u.keep
	want.Cluster, want.Account, want.Region, want.Partition = u.o.Name, u.id, u.region, u.partition
	if u.keep {
		want.Issuer = u.kept.String()
	} else if want.Issuer, want.Bucket, want.Prefix, err = u.whereTo(ctx, u.id, u.region); err != nil {
		return err
	}
	if u.Installed && u.Record.Issuer != want.Issuer {
		return &ExistingError{Option: "IssuerURL", Is: u.Record.Issuer, Want: want.Issuer}
	}
	if u.Issuer, err = issuer.Parse(want.Issuer); err != nil {
		return err
	}
	want.Provider = u.Issuer.ProviderARN(u.partition, u.id)
	want.Emulator = want.Emulator || u.emulator
	if u.emulator && want.Bucket != "" {
		want.BucketOwned = true // whatever is in the emulator is ours
	}
	want.PrivateBucket = want.PrivateBucket || u.o.PrivateBucket
	want.Distribution = cmp.Or(u.o.DistributionARN, want.Distribution)
	want.Endpoint = cmp.Or(u.o.Endpoint, want.Endpoint)
	if u.o.Forward != nil {
		if _, err := emulator.ParseForward(u.o.Forward); err != nil {
			return err
		}
		want.Forward = slices.Compact(slices.Sorted(slices.Values(u.o.Forward)))
	}
	if err := u.wantPodIdentity(&want); err != nil {
		return err
	}
	if err := Admit(&want, u.o.Admission); err != nil {
		return err
	}
	u.Record = want
	return nil
}

// whereTo is the issuer, and the bucket with its documents unless somebody else
// serves them.
func (u *upRun) whereTo(ctx context.Context, account, region string) (iss, bucket, prefix string, err error) {
	if u.Installed && u.o.Bucket == "" && (u.o.IssuerURL == "" || u.o.IssuerURL == u.Record.Issuer) {
		return u.Record.Issuer, u.Record.Bucket, u.Record.Prefix, nil
	}
	if u.o.IssuerURL != "" {
		parsed, err := issuer.Parse(u.o.IssuerURL)
		if err == nil && u.o.PrivateBucket {
			bucket, prefix, err = u.o.InS3(u.o.Name, account)
		}
		return parsed.String(), bucket, prefix, err
	}
	if bucket, prefix, err = u.o.InS3(u.o.Name, account); err != nil {
		return "", "", "", fmt.Errorf("%s: %w", plan.Issuer, err)
	}
	parsed, err := publish.Issuer(ctx, bucket, prefix, region)
	if err != nil {
		return "", "", "", fmt.Errorf("%s: %w", plan.Issuer, err)
	}
	return parsed.String(), bucket, prefix, err
}

// findImage names the image, and has it built unless it is in a registry.
func (u *upRun) findImage(ctx context.Context) error {
	if u.o.Image != "" {
		u.Record.Image = u.o.Image
		return nil
	}
	if !u.Cluster.Kind {
		return &ImageError{Cluster: u.Cluster.Name}
	}
	if u.o.Build == nil {
		return &OptionError{Option: "Image", Err: errors.New(plan.Image + ": neither the name of one nor a way to build it is given")}
	}
	arch, err := u.Cluster.Architecture(ctx)
	if err != nil {
		return err
	}
	img, err := u.o.Build(arch)
	if err != nil {
		return fmt.Errorf("%s: %w", plan.Image, err)
	}
	u.img, u.Record.Image = &img, img.Ref
	return nil
}

// willing refuses what the API servers would refuse, by planning their change. Where
// their nodes cannot be reached somebody else changes them, when the rest is there.
func (u *upRun) willing(ctx context.Context) error {
	if u.keep {
		return nil
	}
	if _, err := controlplane.Of(u.Cluster).SetIssuer(ctx, u.issuerOptions()); err != nil && !errors.Is(err, cluster.ErrNoNodeAccess) {
		return fmt.Errorf("%s: %w", plan.Issuer, err)
	}
	return nil
}

// whatToMake decides about the tags, the documents and the roles.
func (u *upRun) whatToMake(ctx context.Context) (err error) {
	if u.mark, err = u.Tags(ctx); err != nil {
		return err
	}
	if u.docs, err = discovery.Documents(u.Issuer, u.Keys); err != nil {
		return err
	}
	if u.Record.PodIdentity {
		u.o.Accounts = append(u.o.Accounts, u.podIdentityAccounts()...)
	}
	u.wanted, err = u.wantGrants(ctx, u.o.Accounts)
	return err
}

// mayMake refuses what belongs to others, and an issuer that does not answer.
func (u *upRun) mayMake(ctx context.Context) (err error) {
	if u.Account != nil {
		err = u.checkAWS(ctx)
	} else {
		err = u.checkAccounts(ctx)
	}
	switch {
	case err != nil:
		return err
	case u.leaves:
		return u.mayLeave(ctx)
	case u.Installed:
		return nil
	}
	return u.answered(ctx)
}

// checkAccounts refuses what is known of the service accounts without the
// emulator, which does not run yet.
func (u *upRun) checkAccounts(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(u.wanted)) {
		if err := trust.CheckSize(u.wanted[name].Trust, trust.MaxSize); err != nil {
			return fmt.Errorf("%s: role %s: %w", plan.Role, name, err)
		}
	}
	if u.Installed {
		return nil // with roles about which the emulator has to be asked
	}
	_, err := u.planAnnotations(ctx, u.o.Accounts, u.wanted, u.o.Override)
	return err
}

// answered refuses an issuer at which nobody answers, before it is recorded: a
// mistyped one would have to be taken down first. That of a bucket is S3's, and
// that of the cluster itself the API server's.
func (u *upRun) answered(ctx context.Context) error {
	switch {
	case u.Keeps() || u.Record.Bucket != "" && !u.o.PrivateBucket:
		return nil
	case u.o.PrivateBucket: // its documents come with this run
		if err := discovery.Answers(ctx, outsider, u.Issuer); err != nil {
			return &IssuerError{Issuer: u.Issuer, Bucket: u.Record.Bucket, Silent: true, Err: err}
		}
		return nil
	}
	if _, inS3 := publish.ObjectAt(ctx, u.Issuer.Discovery()); inS3 && u.Account == nil {
		address, err := u.emulatorAddress(ctx)
		if err != nil {
			return err
		}
		if address == "" {
			return &NotInEmulatorError{Issuer: u.Issuer}
		}
		if err := u.Connect(ctx); err != nil {
			return err
		}
	}
	return u.CheckServed(ctx, u.docs, 0)
}

// checkAWS refuses to touch what belongs to others, and decides about the service
// accounts.
func (u *upRun) checkAWS(ctx context.Context) error {
	there, ok, err := provider.Get(ctx, u.Account.IAM, u.Issuer.ProviderARN(u.Account.Partition, u.Account.ID))
	if err != nil {
		return fmt.Errorf("%s: %w", plan.Provider, account.Cause(err))
	}
	foreign, _ := errors.AsType[*owner.ForeignError](owner.Check("provider "+there.ARN, there.Tags, u.mark))
	if ok && foreign != nil && !u.inherits(foreign) {
		return &ForeignError{Link: plan.Provider, SameName: owner.Named(there.Tags, u.o.Name), Err: foreign}
	}
	if u.o.Expires != "" {
		if u.mark[owner.ExpiresTag], err = Expiry(u.o.Expires, there.Tags[owner.ExpiresTag], time.Now()); err != nil {
			return err
		}
	}
	if u.Record.Bucket != "" {
		exists, err := u.Bucket(u.mark).Exists(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", plan.Documents, u.BucketError(err))
		}
		if !exists || ok && owner.Named(there.Tags, u.o.Name) && u.o.Bucket == "" {
			u.Record.BucketOwned = true // made by us, now or by a cluster that we take over from
		}
		if err := u.checkBucket(ctx, exists); err != nil {
			return err
		}
	}
	if u.o.TakeOver {
		u.adoptedUID = u.mark[owner.UIDTag]
	}
	if u.planned, err = u.planGrants(ctx, u.o.Accounts, u.wanted, u.o.Override, u.o.Prune); err != nil {
		return err
	}
	_, err = u.planUpAssociations(ctx)
	return err
}

// checkBucket refuses a bucket that was made for another cluster: to be owned, and
// to be shared, if that cluster's documents are in the same place.
func (u *upRun) checkBucket(ctx context.Context, exists bool) error {
	if !exists {
		return nil
	}
	known, err := u.placeOwner(ctx, u.mark)
	if err == nil {
		bucket := u.Bucket(u.mark)
		err = bucket.Whose(ctx)
		if e, foreign := errors.AsType[*owner.ForeignError](err); foreign && !bucket.Owned && !known && owner.Claimed(e.Tags) {
			err = u.DocumentsOwner(ctx, u.mark)
		} else if foreign && !(bucket.Owned && owner.Claimed(e.Tags)) || errors.Is(err, publish.ErrOwnerUnknown) {
			err = nil // a bucket of others may hold our documents, and one of ours may have lost its tags
		}
	}
	if err == nil || u.inherits(err) {
		return nil
	}
	if e, ok := errors.AsType[*owner.ForeignError](err); ok {
		return &ForeignError{Link: plan.Documents, SameName: owner.Named(e.Tags, u.o.Name), Err: e}
	}
	return fmt.Errorf("%s: %w", plan.Documents, err)
}

// inherits reports whether the other cluster of which an error speaks is an earlier
// one of the same name, from which this one takes over.
func (u *upRun) inherits(err error) bool {
	e, ok := errors.AsType[*owner.ForeignError](err)
	return ok && u.o.TakeOver && owner.Named(e.Tags, u.o.Name)
}

// Expiry is the value of [owner.ExpiresTag], a time as of RFC 3339, from which on the
// cluster counts as abandoned: after is how long from now, such as 6h, or
// [owner.Never]. The existing value stays while more than half of that time is left,
// so that a second run writes nothing. The error is an [*OptionError] if after is neither
// a positive duration nor [owner.Never].
func Expiry(after, there string, now time.Time) (string, error) {
	if after == owner.Never {
		return owner.Never, nil
	}
	d, err := time.ParseDuration(after)
	if err != nil || d <= 0 {
		return "", &OptionError{Option: "Expires", Err: fmt.Errorf("expires %q is neither a duration, such as 6h, nor %q", after, owner.Never)}
	}
	if at, err := time.Parse(time.RFC3339, there); err == nil && at.After(now.Add(d/2)) && !at.After(now.Add(d)) {
		return there, nil
	}
	return now.Add(d).UTC().Format(time.RFC3339), nil
}
