package chain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/trust"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// UpOptions say how a chain is to be made. The zero UpOptions make it as it is
// recorded, or on AWS with everything named after the cluster. What only decides
// about the first run must be the same, or empty, in every later one.
type UpOptions struct {
	// Name is the cluster's in AWS: in names and tags. Empty: the recorded name,
	// or that of the kind cluster or the context.
	Name string
	// Documents say where the documents are. Their Emulator is ignored: see
	// [Options].
	config.Documents
	// Admission says which pods wait for the webhook. What is not said stays as it
	// is recorded.
	config.Admission
	// Endpoint is AWS_ENDPOINT_URL for pods, where AWS is an emulator outside of the
	// cluster. Empty: what is recorded.
	Endpoint string
	// KeepIssuer leaves the API servers as they are: the emulator, which it needs,
	// reads the documents of their own issuer from them. Nil: as recorded, and at
	// first on clusters whose nodes cannot be reached.
	KeepIssuer *bool
	// Image is the reference of a container image with the webhook and the emulator,
	// in a registry. Empty: Build makes it for the nodes of a kind cluster, into
	// which it is loaded; [Programs] is one.
	Image string
	Build func(arch string) (Image, error)
	// Grants are service accounts that get roles with the chain, see [Chain.Grant];
	// Override replaces the roles of those that have another one. With Prune
	// they are all: roles that were made for others are removed.
	Grants          []config.ServiceAccount
	Override, Prune bool
	// TakeOver uses the documents, the provider and the roles of an earlier cluster
	// of the same name.
	TakeOver bool
	// Expires is after how long, such as 6h, [sweep.Find] may take the cluster for
	// abandoned; [owner.Never] takes that back. Empty: it stays as it is.
	Expires string
	// DryRun decides about everything and changes nothing. See [Chain.Plan].
	DryRun bool
	// Wait is how long each API server and each Deployment may take to come up.
	// Zero is [controlplane.DefaultWait].
	Wait time.Duration
}

// Image is a container image to be loaded into nodes.
type Image struct {
	// Ref is its name, with a tag.
	Ref string
	// Archive writes it as `docker save` does.
	Archive func(io.Writer) error
}

// Outcome is what came of a run.
type Outcome struct {
	// Record is what is recorded now, of a dry run what would be; of [Chain.Down]
	// what was.
	Record record.Record
	// Changed says that something was changed, or in a dry run would be.
	Changed bool
	// Calls are the calls to AWS since the account was connected to, Writes those
	// among them that are not reads.
	Calls, Writes int
	// NotAsked says that the webhook is not asked about pods of some of the service
	// accounts, which therefore do not get their roles; see [NotAskedError].
	NotAsked bool
	// Pending is not nil where somebody else has to give the API servers the
	// issuer, since their nodes cannot be reached from here. All else is done.
	Pending *controlplane.PendingError
	// BucketStays is the bucket that was made for the chain and could not be
	// removed with it: it holds what the cluster has not put there.
	BucketStays string
}

func outcome(ch *Chain, run *plan.Runner) Outcome {
	out := Outcome{Record: ch.Record, Changed: run.Changed()}
	out.Calls, out.Writes = ch.Account.Calls()
	return out
}

// Up makes the whole chain, link by link; what is right stays as it is, so that
// it can be run again at any time. All that can make it refuse is read before
// the first write: the errors are those of this package, [*config.FieldError] and
// [*OptionError] for options that make no sense, and those of AWS and Kubernetes.
// When ctx ends, the next run continues.
//
// The observer learns of each link; nil is silence.
func (ch *Chain) Up(ctx context.Context, o UpOptions, observer plan.Observer) (Outcome, error) {
	o.Wait = cmp.Or(o.Wait, controlplane.DefaultWait)
	work := *ch
	work.Account = nil // of a run whose context has ended
	u := &upRun{Chain: &work, o: o, emulator: ch.options.Emulator, run: &plan.Runner{Observer: observer, DryRun: o.DryRun}}
	if err := u.prepare(ctx); err != nil {
		return Outcome{}, err
	}
	u.run.Say("cluster %s, issuer %s", u.Record.Cluster, u.Issuer)
	// The API server restarts last but one: until kube-controller-manager has its lease again, nothing is rolled out.
	for _, link := range []func(context.Context) error{
		u.signingKey, u.record, u.loadImage, u.installEmulator, u.documents, u.formerRoles, u.provider, u.webhook, u.apiServer, u.serviceAccounts,
	} {
		if err := link(ctx); err != nil {
			return Outcome{}, err
		}
	}
	notAsked := false
	if !o.DryRun {
		var err error
		if notAsked, err = u.noteNotAsked(ctx, u.run, o.Grants); err != nil {
			return Outcome{}, err
		}
		work.Installed = true
		*ch = work
		ch.heir = ""
	}
	out := outcome(&work, u.run)
	out.Pending, out.NotAsked = u.pending, notAsked
	return out, nil
}

// Plan is what [Chain.Up] would do: its dry run, as steps. Nothing is changed.
func (ch *Chain) Plan(ctx context.Context, o UpOptions) ([]plan.Step, error) {
	var steps collected
	o.DryRun = true
	_, err := ch.Up(ctx, o, &steps)
	if err != nil {
		return nil, err
	}
	return steps.all, nil
}

// collected are the steps of a dry run.
type collected struct{ all []plan.Step }

func (c *collected) Done(r plan.Result) { c.all = append(c.all, r.Steps...) }
func (*collected) Start(_, _ string)    {}
func (*collected) Say(string)           {}
func (*collected) Note(error)           {}

// upRun is one run of Up.
type upRun struct {
	*Chain
	o        UpOptions
	emulator bool // AWS is one in the cluster
	// id, partition and region are those of the account.
	id, partition, region string
	// keep says that the API servers keep their issuer, which is kept.
	keep    bool
	kept    issuer.URL
	run     *plan.Runner
	mark    map[string]string // tags
	docs    []discovery.Document
	wanted  map[string]role.Role // of the service accounts
	planned grants               // for the service accounts, once AWS has been read
	img     *Image               // nil: in a registry
	// pending are API servers that somebody else has to give the issuer.
	pending *controlplane.PendingError
}

// prepare finds out everything that can stop the run, before the first write.
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

// sameChain refuses to make another chain of one that is there.
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

// whichAccount finds the account: the emulator's is known before it runs.
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

// whatToRecord decides about the record.
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
	if err := Admit(&want, u.o.Admission); err != nil {
		return err
	}
	u.Record = want
	return nil
}

// willing refuses where the API servers would: planning is reading. Where somebody
// else has to change them, it is after the documents are there.
func (u *upRun) willing(ctx context.Context) error {
	if u.keep {
		return nil
	}
	if _, err := controlplane.Of(u.Cluster).SetIssuer(ctx, u.IssuerOptions()); err != nil && !errors.Is(err, cluster.ErrNoNodeAccess) {
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
	u.wanted, err = u.wantGrants(ctx, u.o.Grants)
	return err
}

// mayMake refuses what belongs to others, and an issuer that does not answer.
func (u *upRun) mayMake(ctx context.Context) (err error) {
	if u.Account != nil {
		err = u.checkAWS(ctx)
	} else {
		err = u.checkAccounts(ctx)
	}
	if err != nil || u.Installed {
		return err
	}
	return u.answered(ctx)
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

// checkAccounts refuses what is known of the service accounts without the
// emulator, which does not run yet.
func (u *upRun) checkAccounts(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(u.wanted)) {
		if err := trust.CheckSize(u.wanted[name].Trust, trust.MaxSize); err != nil {
			return fmt.Errorf("%s: role %s: %w", plan.Role, name, err)
		}
	}
	if u.Installed {
		return nil // with roles of which it must be asked
	}
	_, err := u.planAnnotations(ctx, u.o.Grants, u.wanted, u.o.Override)
	return err
}

// whereTo is the issuer, and its bucket unless it is served elsewhere.
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
		u.heir = u.mark[owner.UIDTag]
	}
	u.planned, err = u.planGrants(ctx, u.o.Grants, u.wanted, u.o.Override, u.o.Prune)
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

// inherits reports whether what an error says is another cluster's is that of an
// earlier one of the same name, which this one takes over.
func (u *upRun) inherits(err error) bool {
	e, ok := errors.AsType[*owner.ForeignError](err)
	return ok && u.o.TakeOver && owner.Named(e.Tags, u.o.Name)
}

// Expiry is the tag that tells `gc` when the cluster may be taken for abandoned:
// that long from now on. An existing one stays for half of that time, so
// that a second run writes nothing.
func Expiry(flag, there string, now time.Time) (string, error) {
	if flag == owner.Never {
		return owner.Never, nil
	}
	d, err := time.ParseDuration(flag)
	if err != nil || d <= 0 {
		return "", &OptionError{Option: "Expires", Err: fmt.Errorf("expires %q is neither a duration, such as 6h, nor %q", flag, owner.Never)}
	}
	if at, err := time.Parse(time.RFC3339, there); err == nil && at.After(now.Add(d/2)) && !at.After(now.Add(d)) {
		return there, nil
	}
	return now.Add(d).UTC().Format(time.RFC3339), nil
}

// signingKey is link 1.
func (u *upRun) signingKey(context.Context) error {
	u.run.Done(plan.Result{Link: plan.SigningKey, Outcome: plan.Unchanged, Object: u.describeKeys()})
	return nil
}

// record writes down what is about to be made, before it is made, so that
// `down` finds it whatever happens.
func (u *upRun) record(ctx context.Context) error {
	objects, err := u.WebhookObjects(ctx)
	if err != nil {
		return err
	}
	return u.run.Link(ctx, plan.Record, "ConfigMap "+cluster.Namespace+"/openirsa", func(ctx context.Context) ([]plan.Step, error) {
		steps, err := u.Cluster.Apply(ctx, objects[:1], plan.Issuer) // the namespace, for all that follows
		if err != nil {
			return nil, err
		}
		record, err := u.Cluster.SetState(ctx, u.Record)
		return append(steps, record...), err
	})
}

// loadImage puts the image into the nodes that lack it.
func (u *upRun) loadImage(ctx context.Context) error {
	if u.img == nil {
		return nil // pulled from a registry
	}
	return u.run.Link(ctx, plan.Image, u.Record.Image, func(ctx context.Context) ([]plan.Step, error) {
		return u.Cluster.LoadImage(ctx, u.Record.Image, u.img.Archive)
	})
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

// installEmulator installs the emulator and connects to it. In a dry run in
// which it is not there yet, an empty one in this process takes its place and
// answers as the new one would.
func (u *upRun) installEmulator(ctx context.Context) error {
	if !u.emulator {
		return nil
	}
	objects, err := deploy.Emulator(u.EmulatorParams())
	if err != nil {
		return err
	}
	address, err := u.emulatorAddress(ctx)
	if err != nil {
		return err
	}
	err = u.run.Link(ctx, plan.Emulator, deploy.Namespace+"/"+deploy.EmulatorName+": AWS STS, IAM and S3",
		func(ctx context.Context) ([]plan.Step, error) {
			steps, err := u.Cluster.MakeNodeState(ctx)
			if err != nil {
				return nil, err
			}
			more, err := u.rollout(ctx, plan.Emulator, deploy.EmulatorName, objects[1:]) // the namespace is there
			steps = append(steps, more...)
			if address == "" || address != u.Record.Endpoint {
				steps = append(steps, plan.Step{Link: plan.Emulator, Action: plan.Update, Summary: "its address in the record", Do: u.recordAddress})
			}
			return steps, err
		})
	if err != nil {
		return err
	}
	if u.o.DryRun && address == "" {
		server, err := emulator.New(emulator.Config{Account: u.Record.Account})
		if err != nil {
			return err
		}
		if err := u.Use(ctx, "http://127.0.0.1", &http.Client{Transport: inProcess{server}}); err != nil {
			return err
		}
		return u.checkAWS(ctx)
	}
	if err := u.Connect(ctx); err != nil {
		return err
	}
	return u.checkAWS(ctx)
}

// emulatorAddress is where pods reach the emulator, empty if it is not there. An
// address, not a name: SDKs then put the bucket into the path, where they would
// otherwise look up BUCKET.emulator.openirsa-system.svc.
func (u *upRun) emulatorAddress(ctx context.Context) (string, error) {
	service, err := u.Cluster.Client().CoreV1().Services(deploy.Namespace).Get(ctx, deploy.EmulatorName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && service.DeletionTimestamp != nil {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("%s: reading its Service: %w", plan.Emulator, err)
	}
	return fmt.Sprintf("http://%s:%d", service.Spec.ClusterIP, deploy.EmulatorPort), nil
}

// recordAddress writes down the address that the emulator was given.
func (u *upRun) recordAddress(ctx context.Context) error {
	var err error
	if u.Record.Endpoint, err = u.emulatorAddress(ctx); err != nil {
		return err
	}
	steps, err := u.Cluster.SetState(ctx, u.Record)
	if err != nil {
		return err
	}
	return plan.Run(ctx, steps, nil)
}

// inProcess answers requests with a handler.
type inProcess struct{ handler http.Handler }

func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	server := r.Clone(r.Context())
	server.RequestURI = r.URL.RequestURI()
	server.RemoteAddr = "127.0.0.1:0"
	if server.Host == "" {
		server.Host = r.URL.Host
	}
	if server.Body == nil {
		server.Body = http.NoBody
	}
	t.handler.ServeHTTP(w, server)
	return w.Result(), nil
}

// rollout applies objects with a Deployment and waits for it, also if an earlier
// run has not: nothing after it works without it.
func (u *upRun) rollout(ctx context.Context, link, name string, objects []*unstructured.Unstructured) ([]plan.Step, error) {
	steps, err := u.Cluster.Apply(ctx, objects, link)
	if err != nil {
		return nil, err
	}
	done, err := u.Cluster.RolledOut(ctx, objects)
	if err != nil || done && len(steps) == 0 {
		return steps, err
	}
	return append(steps, plan.Step{Link: link, Action: plan.Update, Summary: "rollout of " + name, Do: func(ctx context.Context) error {
		return u.Cluster.Rollout(ctx, objects, u.o.Wait)
	}}), nil
}

// documents are links 2 and 3.
func (u *upRun) documents(ctx context.Context) error {
	u.run.Calls = u.Account.Calls
	return u.Publish(ctx, u.run, u.mark, u.docs, 0)
}

// formerRoles are those of an earlier cluster of the same name. They come before
// the provider: its uid refuses every further run without --take-over until this
// is done.
func (u *upRun) formerRoles(ctx context.Context) error {
	if !u.o.TakeOver {
		return nil
	}
	return u.run.Link(ctx, plan.Role, "those of an earlier cluster "+u.o.Name, func(ctx context.Context) ([]plan.Step, error) {
		return role.TakeOver(ctx, u.Account.IAM, u.mark, u.Providers()...)
	})
}

// provider is link 4.
func (u *upRun) provider(ctx context.Context) error {
	want := u.Provider(u.mark)
	return u.run.Link(ctx, plan.Provider, want.ARN, func(ctx context.Context) ([]plan.Step, error) {
		return provider.Plan(ctx, u.Account.IAM, want)
	})
}

// apiServer makes the API servers issue tokens with the issuer.
func (u *upRun) apiServer(ctx context.Context) error {
	if u.Keeps() {
		u.run.Done(plan.Result{Link: plan.APIServer, Outcome: plan.Unchanged, Object: "keeps --service-account-issuer=" + u.Issuer.String()})
		return nil
	}
	options := u.IssuerOptions()
	options.Wait = u.o.Wait
	object := "--service-account-issuer=" + u.Issuer.String()
	err := u.Restart(ctx, u.run, u.o.Wait, object, func(ctx context.Context) ([]plan.Step, error) {
		return controlplane.Of(u.Cluster).SetIssuer(ctx, options)
	})
	if e, ok := errors.AsType[*controlplane.PendingError](err); ok {
		u.pending = e
		u.run.Done(plan.Result{Link: plan.APIServer, Outcome: plan.Pending, Object: object})
		return nil
	}
	return err
}

// webhook is link 7. The configuration that makes the API server ask it comes
// last, when it is there to answer.
func (u *upRun) webhook(ctx context.Context) error {
	objects, err := u.WebhookObjects(ctx)
	if err != nil {
		return err
	}
	last := len(objects) - 1
	return u.run.Link(ctx, plan.Webhook, deploy.Namespace+"/"+deploy.WebhookName, func(ctx context.Context) ([]plan.Step, error) {
		steps, err := u.rollout(ctx, plan.Webhook, deploy.WebhookName, objects[1:last]) // the namespace is there
		if err != nil {
			return nil, err
		}
		register, err := u.Cluster.Apply(ctx, objects[last:], plan.Webhook)
		if err != nil {
			return nil, err
		}
		if len(register) == 0 {
			missing, err := u.Cluster.FirstWithoutCABundle(ctx, deploy.WebhookConfiguration)
			if err != nil || missing == "" {
				return steps, err
			}
		}
		what := "wait for the webhook's certificate in its configuration"
		trusted := plan.Step{Link: plan.Webhook, Action: plan.Update, Summary: what, Do: func(ctx context.Context) error {
			return u.Cluster.WaitForCABundle(ctx, deploy.WebhookConfiguration, u.o.Wait)
		}}
		return slices.Concat(steps, register, []plan.Step{trusted}), nil
	})
}

// serviceAccounts are links 5 and 6, of those in the configuration file.
func (u *upRun) serviceAccounts(ctx context.Context) error {
	changes, err := u.planned.changes(ctx)
	switch {
	case err != nil:
	case changes && !u.o.DryRun: // decided once more: since then API servers have restarted, and others may have changed the roles
		err = u.grantAll(ctx, u.run, u.o.Grants, u.o.Override, u.o.Prune)
	default:
		err = u.planned.run(ctx, u.run)
	}
	if err != nil || !u.o.Prune {
		return err
	}
	return u.prune(ctx, u.run, u.o.Grants)
}

// Admit writes into a record which pods wait for the webhook.
func Admit(s *record.Record, o config.Admission) error {
	switch o.FailurePolicy {
	case "Fail":
		s.FailurePolicy = "" // the default
	case "Ignore":
		s.FailurePolicy = o.FailurePolicy
	}
	list := func(namespaces []string) []string { return slices.Compact(slices.Sorted(slices.Values(namespaces))) }
	if o.IgnoreNamespaces != nil {
		s.IgnoreNamespaces = list(o.IgnoreNamespaces)
	}
	if o.ExcludeNamespaces != nil {
		s.ExcludeNamespaces = list(o.ExcludeNamespaces)
	}
	for _, ns := range s.IgnoreNamespaces {
		if slices.Contains(s.ExcludeNamespaces, ns) {
			return &NamespaceError{Namespace: ns}
		}
	}
	return nil
}
