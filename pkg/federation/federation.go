// Package federation makes what an AWS account holds of one issuer: the documents
// in a bucket, read back as a stranger, the OIDC provider and the roles. These are
// links 2 to 5 of the chain; no cluster has a part in them, only its public keys.
//
// [Federation.Up] and [Federation.Grant] make what is missing and leave what is
// right as it is, so that both can be called again.
package federation

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/token"
	"github.com/openirsa/openirsa/pkg/trust"
)

// Patience is how long [Federation.Publish] waits for a stranger to read what was
// written: S3 gives no figure for when a bucket that was opened is open; it is
// seconds.
const Patience = 30 * time.Second

// StrangerError is that a stranger, as AWS is one, does not read the documents as
// they were written.
type StrangerError struct{ Err error }

func (e *StrangerError) Error() string { return plan.Issuer + ": " + e.Err.Error() }
func (e *StrangerError) Unwrap() error { return e.Err }

// Federation is one issuer in one AWS account.
type Federation struct {
	Issuer  issuer.URL
	Account *account.Account
	// Documents is where the documents go, and who reads and owns the bucket.
	Documents publish.S3
	// Stranger reads the documents as AWS does: without credentials.
	Stranger discovery.Get
	// Tags mark the provider and the roles; see Mark.
	Tags map[string]string
}

// InS3 is the federation of an issuer whose documents are in a bucket of its own,
// in the region of the account's clients. Nothing is called.
func InS3(ctx context.Context, acct *account.Account, bucket string) (*Federation, error) {
	iss, err := publish.Issuer(ctx, bucket, "", acct.Region)
	if err != nil {
		return nil, err
	}
	documents := publish.S3{
		Client: acct.S3, Account: acct.ID, Partition: acct.Partition,
		Region: acct.Region, Bucket: bucket, Owned: true,
	}
	return &Federation{Issuer: iss, Account: acct, Documents: documents, Stranger: documents.Stranger(acct.Anonymous)}, nil
}

// Mark has everything that is made from now on tagged as made for a cluster, see
// owner.Tags. What has no such tags is never deleted by setup.
func (f *Federation) Mark(tags map[string]string) { f.Tags, f.Documents.Tags = tags, tags }

// Up publishes the keys and makes AWS trust the issuer. A nil run works in silence.
func (f *Federation) Up(ctx context.Context, run *plan.Runner, set keys.Set) error {
	docs, err := discovery.Documents(f.Issuer, set)
	if err != nil {
		return err
	}
	if err := f.Publish(ctx, run, docs, Patience); err != nil {
		return err
	}
	return f.Trust(ctx, run)
}

// Publish puts the documents into the bucket and reads them back as a stranger,
// for as long as patience says; longer where CloudFront may keep earlier ones. In
// a dry run that would change them, nothing is read back.
//
// An error of the bucket wraps one of package publish that says why. Documents
// that a stranger does not read as they are written are a [*StrangerError].
func (f *Federation) Publish(ctx context.Context, run *plan.Runner, docs []discovery.Document, patience time.Duration) error {
	run, b := orSilent(run), f.Documents
	var outcome string // of the documents: the issuer is as new
	place := "s3://" + strings.TrimSuffix(b.Bucket+"/"+b.Prefix, "/")
	err := run.Link(ctx, plan.Documents, place, func(ctx context.Context) ([]plan.Step, error) {
		steps, err := b.Plan(ctx, docs)
		outcome = plan.Outcome(steps)
		return steps, err
	})
	if err != nil {
		return err
	}
	changed := outcome != plan.Unchanged
	if run.DryRun && changed {
		return nil
	}
	start := time.Now()
	run.Start(plan.Issuer, "reading the documents back as a stranger")
	if b.Private && changed {
		patience += discovery.MaxAge // for which CloudFront may keep the earlier ones
	}
	if err := b.Check(ctx, f.Stranger, f.Issuer, docs, patience); err != nil {
		return &StrangerError{Err: err}
	}
	run.Done(plan.Result{
		Link: plan.Issuer, Outcome: outcome, Object: f.Issuer.String() + ", read back as a stranger: equal", Took: time.Since(start),
	})
	return nil
}

// Provider is the OIDC provider as it is wanted.
func (f *Federation) Provider() provider.Provider {
	return provider.Provider{
		ARN: f.Issuer.ProviderARN(f.Account.Partition, f.Account.ID), Issuer: f.Issuer,
		ClientIDs: []string{irsa.Audience}, Tags: f.Tags,
	}
}

// Trust makes the OIDC provider, by which AWS trusts the issuer.
func (f *Federation) Trust(ctx context.Context, run *plan.Runner) error {
	want := f.Provider()
	return orSilent(run).Link(ctx, plan.Provider, want.ARN, func(ctx context.Context) ([]plan.Step, error) {
		return provider.Plan(ctx, f.Account.IAM, want)
	})
}

// Role is a role for a service account of a cluster, as it is wanted: named and
// placed after them, and with policies, each the ARN of a managed policy or an
// inline document, which begins with "{".
func (f *Federation) Role(cluster, namespace, name string, policies ...string) (role.Role, error) {
	document, err := trust.Policy{Providers: []trust.Provider{{
		ARN: f.Provider().ARN, Issuer: f.Issuer, Audience: irsa.Audience, Subjects: []string{token.Subject(namespace, name)},
	}}}.Document()
	if err != nil {
		return role.Role{}, err
	}
	want := role.Role{
		Name: role.NameFor(cluster, namespace, name), Path: role.PathFor(cluster), Trust: document, Tags: f.Tags,
		Inline: map[string][]byte{},
	}
	for i, policy := range policies {
		if strings.HasPrefix(strings.TrimSpace(policy), "{") {
			want.Inline[fmt.Sprintf("openirsa-%d", i+1)] = []byte(policy)
		} else {
			want.PolicyARNs = append(want.PolicyARNs, policy)
		}
	}
	return want, nil
}

// RoleARN is the ARN of a role of the account.
func (f *Federation) RoleARN(r role.Role) string {
	return r.ARNIn(f.Account.Partition, f.Account.ID)
}

// Grant makes roles.
func (f *Federation) Grant(ctx context.Context, run *plan.Runner, roles ...role.Role) error {
	var items []plan.Item
	for _, r := range roles {
		items = append(items, plan.Item{Object: f.RoleARN(r), Decide: func(ctx context.Context) ([]plan.Step, error) {
			return role.Plan(ctx, f.Account.IAM, r)
		}})
	}
	return orSilent(run).All(ctx, plan.Role, items)
}

func orSilent(run *plan.Runner) *plan.Runner {
	if run == nil {
		return &plan.Runner{}
	}
	return run
}
