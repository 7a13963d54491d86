package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/account"
	lib "github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/federation"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/record"
)

// chain is the cluster, the account, and what joins them: what all commands
// work on.
type chain struct {
	app   *app
	c     *cluster.Cluster
	state record.Record    // as it is recorded in the cluster, or as it shall be
	there bool             // it is recorded
	acct  *account.Account // nil until connected
	heir  string           // the uid, if it takes over the roles of an earlier cluster of the name

	iss issuer.URL
	set keys.Set
}

// connect finds the cluster and what is recorded in it.
func (a *app) connect(ctx context.Context) (*chain, error) {
	nodes := a.nodes()
	if a.cluster != "" && a.kindName == "" && a.context == "" {
		a.context = contextOf(a.cluster, a.kubeconfig)
	}
	c, err := cluster.Connect(ctx, cluster.Options{Kubeconfig: a.kubeconfig, Context: a.context, KindName: a.kindName, Nodes: nodes})
	if err != nil {
		for _, known := range []error{cluster.ErrNoCluster, cluster.ErrSeveralClusters, cluster.ErrForbidden, cluster.ErrUnreachable} {
			if errors.Is(err, known) {
				return nil, err
			}
		}
		return nil, &lib.ConnectError{Err: err}
	}
	ch := &chain{app: a, c: c}
	ch.state, err = c.State(ctx)
	switch {
	case errors.Is(err, cluster.ErrNoState):
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("%w: %w", cluster.ErrForbidden, err)
	case err != nil:
		return nil, err
	default:
		ch.there = true
		if ch.iss, err = issuer.Parse(ch.state.Issuer); err != nil {
			return nil, fmt.Errorf("reading the ConfigMap %s/openirsa: %w", cluster.Namespace, err)
		}
	}
	if a.cluster != "" && a.cluster != c.Name && a.cluster != ch.state.Cluster && a.cluster != a.context {
		return nil, advise(fmt.Errorf("--cluster %s is not the name of the cluster that was found, which is %s", a.cluster, cmp.Or(ch.state.Cluster, c.Name)),
			"name the cluster with --context NAME or --kind-name NAME")
	}
	return ch, nil
}

// contextOf is the context in the kubeconfig for a cluster that goes by a name, as
// kind, eksctl and the AWS CLI name theirs; "" if there is none, or more than one.
func contextOf(name, kubeconfig string) string {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	rules.WarnIfAllMissing = false
	config, err := rules.Load()
	if err != nil {
		return "" // whoever connects says why
	}
	for _, exact := range []string{name, "kind-" + name} {
		if config.Contexts[exact] != nil {
			return exact
		}
	}
	found := ""
	for at, c := range config.Contexts {
		if c.Cluster == name || strings.HasSuffix(c.Cluster, ":cluster/"+name) || strings.HasPrefix(c.Cluster, name+".") && strings.HasSuffix(c.Cluster, ".eksctl.io") {
			if found != "" {
				return ""
			}
			found = at
		}
	}
	return found
}

// connectInstalled is [app.connect] for commands that need the chain to be
// there, and the account in which it is.
func (a *app) connectInstalled(ctx context.Context) (*chain, error) {
	ch, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	if !ch.there {
		return nil, &lib.MissingError{Cluster: ch.c.Name}
	}
	if err := ch.connectAWS(ctx); err != nil {
		return nil, err
	}
	return ch, nil
}

// restart is [plan.Runner.Link] for steps that restart API servers: after them it
// waits until pods reach one again, so that nothing in the cluster fails that
// begins when the run has ended.
func (ch *chain) restart(ctx context.Context, run *plan.Runner, wait time.Duration, object string, decide func(context.Context) ([]plan.Step, error)) error {
	return run.Link(ctx, plan.APIServer, object, func(ctx context.Context) ([]plan.Step, error) {
		steps, err := decide(ctx)
		if err != nil || len(steps) == 0 {
			return nil, err
		}
		return append(steps, plan.Step{Link: plan.Issuer, Action: plan.Update, Summary: "wait until pods reach the API server again", Do: func(ctx context.Context) error {
			return ch.c.WaitForService(ctx, wait)
		}}), nil
	})
}

// connectAWS connects to the account of the recorded chain: through the cluster
// where the emulator runs in it, directly otherwise.
func (ch *chain) connectAWS(ctx context.Context) error {
	endpoint := ""
	if ch.state.Emulator {
		// Open until the command ends, and its context with it.
		addr, _, err := ch.c.Forward(ctx, deploy.Namespace, deploy.EmulatorName, deploy.EmulatorPort)
		if err != nil {
			return &lib.EmulatorError{Err: err}
		}
		endpoint = "http://" + addr
	}
	if ch.app.region == "" {
		ch.app.region = ch.state.Region
	}
	return ch.useAWS(ctx, endpoint, nil)
}

func (ch *chain) useAWS(ctx context.Context, endpoint string, client *http.Client) (err error) {
	ch.acct, err = ch.app.connectAWS(ctx, endpoint, client)
	if err != nil {
		return err
	}
	if ch.state.Account != "" && ch.state.Account != ch.acct.ID {
		return &lib.AccountError{Cluster: ch.c.Name, Account: ch.state.Account, Credentials: ch.acct.ID}
	}
	return nil
}

// readKeys reads link 1 from the API server.
func (ch *chain) readKeys(ctx context.Context) error {
	body, err := ch.c.JWKS(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", plan.SigningKey, err)
	}
	if ch.set, err = keys.ParseJWKS(body); err != nil {
		return fmt.Errorf("%s: the API server's keys: %w", plan.SigningKey, err)
	}
	if ch.set.Len() == 0 {
		return fmt.Errorf("%s: the API server has no keys", plan.SigningKey)
	}
	return nil
}

func (ch *chain) describeKeys() string {
	var s []string
	for _, k := range ch.set.All() {
		s = append(s, k.Algorithm+" "+k.KID)
	}
	for _, o := range ch.set.Omitted() {
		s = append(s, "without "+o.String())
	}
	return strings.Join(s, ", ") + ", read from the API server"
}

// tags mark what is made for this cluster.
func (ch *chain) tags(ctx context.Context) (map[string]string, error) {
	if ch.c == nil { // a chain that is only written down
		tags := owner.Tags(ch.state.Cluster, "")
		delete(tags, owner.UIDTag)
		return tags, nil
	}
	ns, err := ch.c.Client().CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the uid of cluster %s: %w", ch.c.Name, err)
	}
	return owner.Tags(ch.state.Cluster, string(ns.UID)), nil
}

// bucket is where the documents are.
func (ch *chain) s3Bucket(tags map[string]string) publish.S3 {
	return publish.S3{
		Client: ch.acct.S3, Account: ch.acct.ID, Partition: ch.acct.Partition, Region: ch.state.Region,
		Bucket: ch.state.Bucket, Prefix: ch.state.Prefix, Owned: ch.state.BucketOwned, Tags: tags,
		Private: ch.state.PrivateBucket, Distribution: ch.state.Distribution,
	}
}

// stranger reads the documents as anybody does: from S3 without credentials, at
// whatever endpoint S3 has, or at the issuer's URL; those of an issuer that the
// cluster keeps, which no stranger reaches, as the emulator does.
func (ch *chain) stranger() discovery.Get {
	if ch.keeps() {
		return ch.kept
	}
	outside := discovery.HTTP(outsider)
	switch {
	case ch.state.PrivateBucket || ch.state.Bucket == "" && ch.acct == nil:
		return outside
	case ch.state.Bucket == "":
		return publish.Anybody(ch.acct.Anonymous, outside)
	}
	return ch.s3Bucket(nil).Stranger(ch.acct.Anonymous)
}

// outsider is a stranger on the internet.
var outsider = &http.Client{Timeout: 10 * time.Second}

// checkServed waits, as long as patience says, for documents that somebody else
// serves to be right.
func (ch *chain) checkServed(ctx context.Context, docs []discovery.Document, patience time.Duration) error {
	get := ch.stranger()
	err := wait.Retry(ctx, patience, wait.Any, func(ctx context.Context) error { return discovery.CheckServed(ctx, get, ch.iss, docs) })
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	if err != nil {
		return &lib.IssuerError{Issuer: ch.iss, Err: err}
	}
	return nil
}

// publishDocuments makes links 2 and 3: it puts the documents into the bucket
// and reads them back as a stranger. Where somebody else serves them it waits for
// them to be right, as long as patience says.
func (ch *chain) publishDocuments(ctx context.Context, run *plan.Runner, mark map[string]string, docs []discovery.Document, patience time.Duration) error {
	if ch.state.Bucket == "" {
		// Served by somebody else: they must be right already, or soon.
		run.Start(plan.Issuer, "reading the documents as a stranger")
		if err := ch.checkServed(ctx, docs, patience); err != nil {
			return err
		}
		run.Done(plan.Result{Link: plan.Issuer, Outcome: plan.Unchanged, Object: ch.iss.String() + " serves the cluster's keys"})
		return nil
	}
	err := ch.federation(mark).Publish(ctx, run, docs, max(patience, federation.Patience))
	if unread, ok := errors.AsType[*federation.StrangerError](err); ok && ch.state.PrivateBucket {
		return &lib.IssuerError{Issuer: ch.iss, Bucket: ch.state.Bucket, Err: unread.Err}
	}
	return ch.bucketError(err)
}

// federation is the AWS side of the chain, marked as the cluster's.
func (ch *chain) federation(mark map[string]string) *federation.Federation {
	f := &federation.Federation{Issuer: ch.iss, Account: ch.acct, Documents: ch.s3Bucket(mark), Stranger: ch.stranger()}
	f.Mark(mark)
	return f
}

// bucketError is what S3 has against the bucket, if it is that.
func (ch *chain) bucketError(err error) error {
	for _, known := range []error{publish.ErrForeignBucket, publish.ErrWrongRegion, publish.ErrAccountBlock} {
		if errors.Is(err, known) {
			return &lib.BucketError{Bucket: ch.state.Bucket, Account: ch.acct.ID, Err: err}
		}
	}
	return err
}

func (ch *chain) wantProvider(tags map[string]string) provider.Provider {
	f := federation.Federation{Issuer: ch.iss, Account: ch.acct, Tags: tags}
	return f.Provider()
}

func (ch *chain) issuerOptions() controlplane.IssuerOptions {
	return controlplane.IssuerOptions{URL: ch.iss, Own: ch.state.FormerIssuers}
}

// webhookObjects are the objects of link 7, for API servers as the cluster's, or
// present ones where none is reached.
func (ch *chain) webhookObjects(ctx context.Context) ([]*unstructured.Unstructured, error) {
	conditions := true
	if ch.c != nil {
		var err error
		if conditions, err = ch.c.SupportsMatchConditions(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", plan.Webhook, err)
		}
	}
	return deploy.Webhook(deploy.WebhookParams{
		Image: ch.state.Image, Region: ch.state.Region, EndpointURL: ch.state.Endpoint,
		FailurePolicy: ch.state.FailurePolicy, NoMatchConditions: !conditions,
		IgnoreNamespaces: ch.state.IgnoreNamespaces, ExcludeNamespaces: ch.state.ExcludeNamespaces,
	})
}
