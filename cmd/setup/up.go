package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/image"
	"github.com/openirsa/openirsa/pkg/account"
	lib "github.com/openirsa/openirsa/pkg/chain"
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
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/trust"
)

// upOptions are the flags of `up`.
type upOptions struct {
	documentFlags
	admission
	config   string
	prune    bool
	override bool
	accounts []config.ServiceAccount // of the configuration file
	dryRun   bool
	image    string
	endpoint string
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

With --emulator all of AWS is an emulator in the cluster: no AWS account is
needed, and pods find it by themselves.

The nodes of clusters other than kind's cannot be reached from here. With
--emulator the API servers there keep their issuer (--keep-issuer): no node is
changed and nothing restarts. Without it, everything else is made first, and then
somebody gives the API servers the issuer (see 'setup apiserver'). The exit status
is 1 until that is done.

Run it again at any time: what is right stays unchanged, what is missing is made.`,
		Example: `  setup up --emulator
  setup up --emulator --keep-issuer --context k3d-dev --image registry.example.com/openirsa:v1
  setup up --kind-name dev --region eu-west-1
  setup up --context prod --bucket my-bucket/clusters/prod
  setup up --config cluster.yaml --prune
  setup up --dry-run`,
		RunE: func(c *cobra.Command, _ []string) error {
			o.keepSet = c.Flags().Changed("keep-issuer")
			if o.config != "" {
				file, err := a.readConfig(o.config)
				if err != nil {
					return err
				}
				applyFile(file, a, &o)
				o.accounts = file.IAMServiceAccounts
			} else if o.prune {
				return cli.Usagef("--prune needs a --config, which lists what stays")
			}
			if o.expires != "" {
				if _, err := expiry(o.expires, "", time.Now()); err != nil {
					return err
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
	f.StringVar(&o.config, "config", "", "configuration file with the settings of these flags, and service accounts with their roles")
	f.BoolVar(&o.prune, "prune", false, "remove the roles of service accounts that the configuration file does not list")
	f.BoolVar(&o.override, "override-existing-serviceaccounts", false, "replace the role of service accounts that have another one")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be done and change nothing")
	f.StringVar(&o.image, "image", "", "container image with the webhook and the emulator, in a registry (default: built from the programs beside this one and loaded into the kind nodes)")
	f.StringVar(&o.endpoint, "pod-endpoint-url", "", "AWS_ENDPOINT_URL for pods, where AWS is an emulator outside of the cluster")
	o.keepFlag(c)
	f.BoolVar(&o.takeOver, "take-over", false, "use the documents, the provider and the roles of an earlier cluster of the same name")
	f.StringVar(&o.expires, "expires", "", `how long until "gc" may treat this cluster as abandoned, for example 6h; "never" removes the limit (default: never)`)
	f.DurationVar(&o.wait, "wait", controlplane.DefaultWait, "how long an API server or a Deployment may take to come up")
	c.MarkFlagsMutuallyExclusive("emulator", "pod-endpoint-url")
	return c
}

func (o *upOptions) keepFlag(c *cobra.Command) {
	c.Flags().BoolVar(&o.keep, "keep-issuer", false, "with --emulator: leave the API servers as they are; the emulator reads the documents of the cluster's own issuer from them (default: on clusters whose nodes cannot be reached from here)")
}

func (a *app) up(ctx context.Context, o upOptions) error {
	if err := o.documentFlags.check(); err != nil {
		return err
	}
	if err := o.admission.check(); err != nil {
		return err
	}
	o.allowPrivate = o.allowPrivate || o.endpoint != ""
	if err := a.checkPort(o.documentFlags); err != nil {
		return err
	}
	ch, err := a.connect(ctx)
	if err != nil {
		return err
	}
	u := &upRun{upOptions: o, chain: ch}
	if err := u.prepare(ctx); err != nil {
		return err
	}
	r := a.newReport(u.Record.Cluster, o.dryRun)
	defer r.clear()
	u.run = r.run
	u.run.Say("cluster %s, issuer %s", u.Record.Cluster, u.Issuer)
	// The API server restarts last but one: until kube-controller-manager has its lease again, nothing is rolled out.
	for _, link := range []func(context.Context) error{u.signingKey, u.record, u.loadImage, u.installEmulator, u.documents, u.formerRoles, u.provider, u.webhook, u.apiServer, u.serviceAccounts} {
		if err := link(ctx); err != nil {
			return err
		}
	}
	r.Issuer, r.Target = u.Issuer.String(), u.target()
	if err := r.finish(); err != nil {
		return err
	}
	if !u.dryRun {
		if _, err := u.NoteNotAsked(ctx, u.run, u.accounts); err != nil {
			return err
		}
	}
	if u.pending != nil && !u.dryRun {
		return fmt.Errorf("API server: everything else is there, but %w", u.pending)
	}
	u.epilogue(r)
	return nil
}

// upRun is one run of `up`.
type upRun struct {
	upOptions
	*chain
	run     *plan.Runner
	mark    map[string]string // tags
	docs    []discovery.Document
	wanted  map[string]role.Role // of the service accounts
	planned lib.Grants           // for the service accounts, once AWS has been read
	img     *image.Image         // nil: in a registry
	// pending are API servers that somebody else has to give the issuer.
	pending *controlplane.PendingError
}

// prepare finds out everything that can stop the run, before the first write.
func (u *upRun) prepare(ctx context.Context) error {
	if err := u.Cluster.Check(ctx, cluster.InstallRights()...); err != nil {
		return err
	}
	if u.Installed && u.Record.Emulator {
		u.emulator = true // it stays where it is
	} else if u.Installed && u.emulator {
		return &lib.ExistingError{Option: "Emulator"}
	}
	u.name = cmp.Or(u.name, cmp.Or(u.Record.Cluster, u.Cluster.Name))
	if u.Installed && u.Record.Cluster != u.name {
		return &lib.ExistingError{Option: "Name", Is: u.Record.Cluster, Want: u.name}
	}
	// Where the issuer cannot be kept, the keys mostly cannot be read either.
	keep, kept, err := u.keepsIssuer(ctx)
	if err != nil {
		return err
	}
	if err := u.ReadKeys(ctx); err != nil {
		return err
	}

	// Who the account is: the emulator's is known before it runs.
	id, partition := emulatorAccount, "aws"
	region := cmp.Or(u.app.region, u.Record.Region, account.EmulatorRegion)
	if !u.emulator {
		if err := u.Use(ctx, "", nil); err != nil {
			return err
		}
		id, region, partition = u.Account.ID, u.Account.Region, u.Account.Partition
	}

	want := u.Record
	if keep {
		want.KeepIssuer = true
	}
	want.Cluster, want.Account, want.Region, want.Partition = u.name, id, region, partition
	if keep {
		want.Issuer = kept.String()
	} else if want.Issuer, want.Bucket, want.Prefix, err = u.whereTo(ctx, id, region); err != nil {
		return err
	}
	if u.Installed && u.Record.Issuer != want.Issuer {
		return &lib.ExistingError{Option: "IssuerURL", Is: u.Record.Issuer, Want: want.Issuer}
	}
	if u.Issuer, err = issuer.Parse(want.Issuer); err != nil {
		return err
	}
	want.Provider = u.Issuer.ProviderARN(partition, id)
	if u.emulator {
		want.Emulator = true
	}
	if u.emulator && want.Bucket != "" {
		want.BucketOwned = true // whatever is in the emulator is ours
	}
	if u.private {
		want.PrivateBucket = true
	}
	want.Distribution = cmp.Or(u.distribution, want.Distribution)
	want.Endpoint = cmp.Or(u.endpoint, want.Endpoint)
	if err := u.admission.record(&want); err != nil {
		return err
	}
	u.Record = want
	if err := u.findImage(ctx); err != nil {
		return err
	}

	// The API servers must be willing; planning is reading. Where somebody else
	// has to change them, it is after the documents are there.
	if !keep {
		if _, err := controlplane.Of(u.Cluster).SetIssuer(ctx, u.IssuerOptions()); err != nil && !errors.Is(err, cluster.ErrNoNodeAccess) {
			return fmt.Errorf("%s: %w", plan.Issuer, err)
		}
	}
	if u.mark, err = u.Tags(ctx); err != nil {
		return err
	}
	if u.docs, err = discovery.Documents(u.Issuer, u.Keys); err != nil {
		return err
	}
	if u.wanted, err = u.WantGrants(ctx, u.accounts); err != nil {
		return err
	}
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
	case u.Keeps() || u.Record.Bucket != "" && !u.private:
		return nil
	case u.private: // its documents come with this run
		if err := discovery.Answers(ctx, lib.Outsider, u.Issuer); err != nil {
			return &lib.IssuerError{Issuer: u.Issuer, Bucket: u.Record.Bucket, Silent: true, Err: err}
		}
		return nil
	}
	if _, inS3 := publish.ObjectAt(ctx, u.Issuer.Discovery()); inS3 && u.Account == nil {
		address, err := u.emulatorAddress(ctx)
		if err != nil {
			return err
		}
		if address == "" {
			return &lib.NotInEmulatorError{Issuer: u.Issuer}
		}
		if err := u.Connect(ctx); err != nil {
			return err
		}
	}
	return u.CheckServed(ctx, u.docs, 0)
}

// checkAccounts refuses what can be told of the service accounts without the
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
	_, err := u.PlanAnnotations(ctx, u.accounts, u.wanted, u.override)
	return err
}

// whereTo is the issuer, and its bucket unless it is served elsewhere.
func (u *upRun) whereTo(ctx context.Context, account, region string) (iss, bucket, prefix string, err error) {
	if u.Installed && u.bucket == "" && (u.issuerURL == "" || u.issuerURL == u.Record.Issuer) {
		return u.Record.Issuer, u.Record.Bucket, u.Record.Prefix, nil
	}
	if u.issuerURL != "" {
		parsed, err := u.parseIssuer()
		if err == nil && u.private {
			bucket, prefix, err = u.bucketAndPrefix(account)
		}
		return parsed.String(), bucket, prefix, err
	}
	parsed, err := u.documentFlags.issuer(ctx, account, region)
	if err != nil {
		return "", "", "", fmt.Errorf("%s: %w", plan.Issuer, err)
	}
	bucket, prefix, err = u.bucketAndPrefix(account)
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
		return &lib.ForeignError{Link: plan.Provider, SameName: owner.Named(there.Tags, u.name), Err: foreign}
	}
	if u.expires != "" {
		if u.mark[owner.ExpiresTag], err = expiry(u.expires, there.Tags[owner.ExpiresTag], time.Now()); err != nil {
			return err
		}
	}
	if u.Record.Bucket != "" {
		exists, err := u.Bucket(u.mark).Exists(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", plan.Documents, u.BucketError(err))
		}
		if !exists || ok && owner.Named(there.Tags, u.name) && u.documentFlags.bucket == "" {
			u.Record.BucketOwned = true // made by us, now or by a cluster that we take over from
		}
		if err := u.checkBucket(ctx, exists); err != nil {
			return err
		}
	}
	if u.takeOver {
		u.Heir = u.mark[owner.UIDTag]
	}
	u.planned, err = u.PlanGrants(ctx, u.accounts, u.wanted, u.override, u.prune)
	return err
}

// checkBucket refuses a bucket that was made for another cluster: to be owned, and
// to be shared, if that cluster's documents are in the same place.
func (u *upRun) checkBucket(ctx context.Context, exists bool) error {
	if !exists {
		return nil
	}
	known, err := u.PlaceOwner(ctx, u.mark)
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
		return &lib.ForeignError{Link: plan.Documents, SameName: owner.Named(e.Tags, u.name), Err: e}
	}
	return fmt.Errorf("%s: %w", plan.Documents, err)
}

// inherits reports whether what an error says is another cluster's is that of an
// earlier one of the same name, which this one takes over.
func (u *upRun) inherits(err error) bool {
	e, ok := errors.AsType[*owner.ForeignError](err)
	return ok && u.takeOver && owner.Named(e.Tags, u.name)
}

// expiry is the tag that tells `gc` when the cluster may be taken for abandoned:
// that long from now on. The one that is there stays for half of that time, so
// that a second run writes nothing.
func expiry(flag, there string, now time.Time) (string, error) {
	if flag == owner.Never {
		return owner.Never, nil
	}
	d, err := time.ParseDuration(flag)
	if err != nil || d <= 0 {
		return "", cli.Usagef("--expires %q is neither a duration, such as 6h, nor %q", flag, owner.Never)
	}
	if at, err := time.Parse(time.RFC3339, there); err == nil && at.After(now.Add(d/2)) && !at.After(now.Add(d)) {
		return there, nil
	}
	return now.Add(d).UTC().Format(time.RFC3339), nil
}

// signingKey is link 1.
func (u *upRun) signingKey(context.Context) error {
	u.run.Done(plan.Result{Link: plan.SigningKey, Outcome: plan.Unchanged, Object: u.DescribeKeys()})
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

// findImage names the image, and builds it from the programs beside this one
// unless it is in a registry.
func (u *upRun) findImage(ctx context.Context) error {
	if u.image != "" {
		u.Record.Image = u.image
		return nil
	}
	if !u.Cluster.Kind {
		return &lib.ImageError{Cluster: u.Cluster.Name}
	}
	arch, err := u.Cluster.Architecture(ctx)
	if err != nil {
		return err
	}
	if u.img, err = findImage(arch); err != nil {
		return advise(fmt.Errorf("image: %w", err), "make build, then run the setup that it puts into bin/")
	}
	u.Record.Image = u.img.Tag
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
	if u.dryRun && address == "" {
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
		return u.Cluster.Rollout(ctx, objects, u.wait)
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
	if !u.takeOver {
		return nil
	}
	return u.run.Link(ctx, plan.Role, "those of an earlier cluster "+u.name, func(ctx context.Context) ([]plan.Step, error) {
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
	options.Wait = u.wait
	object := "--service-account-issuer=" + u.Issuer.String()
	err := u.Restart(ctx, u.run, u.wait, object, func(ctx context.Context) ([]plan.Step, error) {
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
		trusted := plan.Step{Link: plan.Webhook, Action: plan.Update, Summary: "wait for the webhook's certificate in its configuration", Do: func(ctx context.Context) error {
			return u.Cluster.WaitForCABundle(ctx, deploy.WebhookConfiguration, u.wait)
		}}
		return slices.Concat(steps, register, []plan.Step{trusted}), nil
	})
}

// serviceAccounts are links 5 and 6, of those in the configuration file.
func (u *upRun) serviceAccounts(ctx context.Context) error {
	changes, err := u.planned.Changes(ctx)
	switch {
	case err != nil:
	case changes && !u.dryRun: // decided once more: since then API servers have restarted, and others may have changed the roles
		err = u.GrantAll(ctx, u.run, u.accounts, u.override, u.prune)
	default:
		err = u.planned.Run(ctx, u.run)
	}
	if err != nil || !u.prune {
		return err
	}
	return u.Prune(ctx, u.run, u.accounts)
}

func (u *upRun) target() string {
	if u.emulator {
		return "emulator in the cluster, account " + u.Record.Account
	}
	return "AWS account " + u.Record.Account
}

// epilogue says what was done in sum, and what to do next.
func (u *upRun) epilogue(r *report) {
	r.say("")
	switch {
	case u.dryRun && r.run.Changed():
		r.say("Nothing was changed: this was a dry run.")
		return
	case !r.run.Changed():
		r.say("Everything is unchanged (%s to AWS, none of them a write, %.1fs).", plural(r.Calls, "call"), r.Seconds)
		return
	}
	r.say("Done in %.1fs, with %s to AWS (%s). Give a service account a role:", r.Seconds, plural(r.Calls, "call"), plural(r.Writes, "write"))
	r.say("  %s iamserviceaccount create --namespace default --name app --attach-policy-arn arn:%s:iam::aws:policy/IAMReadOnlyAccess --approve", u.app.name, u.Record.Partition)
}
