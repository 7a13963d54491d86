package chain

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

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// Chain is the cluster, the account, and what joins them: what all verbs work on.
type Chain struct {
	// c is the cluster; nil for a chain that is only written down.
	Cluster *cluster.Cluster
	// state is what is recorded in the cluster, or what is to be recorded.
	Record record.Record
	// there says that it is recorded: the chain was made, at least in part.
	Installed bool
	// acct is the AWS account; nil until it is connected to.
	Account *account.Account
	// iss is the issuer that is recorded, or is to be.
	Issuer issuer.URL
	// set are the keys that sign tokens; empty until they are read.
	Keys keys.Set
	// heir is the uid, if it takes over the roles of an earlier cluster of the name.
	heir string

	options Options
}

// Options say which cluster is meant, and which AWS account.
type Options struct {
	// Kubeconfig is a file; empty for $KUBECONFIG or ~/.kube/config.
	Kubeconfig string
	// Context is one in the kubeconfig; empty for the current one.
	Context string
	// KindName is the name of a kind cluster, which needs no kubeconfig. With all
	// three empty it is the cluster of the current context, or the only kind
	// cluster.
	KindName string
	// Nodes are the machines of a cluster that is not kind's, on which commands
	// can be run. Without them its API servers and nodes are not changed.
	Nodes []node.Node
	// Emulator says that AWS is to be an emulator in the cluster, if the chain has
	// to be made. One that is there stays where it is.
	Emulator bool
	// Account says which AWS account is meant, where it is not the emulator.
	Account account.Options
}

// Open finds the cluster and reads what is recorded in it. Nothing is
// changed. The error is one of package cluster ([cluster.ErrNoCluster],
// [cluster.ErrSeveralClusters], [cluster.ErrForbidden], [cluster.ErrUnreachable])
// or a [*ConnectError].
func Open(ctx context.Context, o Options) (*Chain, error) {
	c, err := cluster.Connect(ctx, cluster.Options{Kubeconfig: o.Kubeconfig, Context: o.Context, KindName: o.KindName, Nodes: o.Nodes})
	if err != nil {
		for _, known := range []error{cluster.ErrNoCluster, cluster.ErrSeveralClusters, cluster.ErrForbidden, cluster.ErrUnreachable} {
			if errors.Is(err, known) {
				return nil, err
			}
		}
		return nil, &ConnectError{Err: err}
	}
	ch := &Chain{Cluster: c, options: o}
	ch.Record, err = c.State(ctx)
	switch {
	case errors.Is(err, cluster.ErrNoState):
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("%w: %w", cluster.ErrForbidden, err)
	case err != nil:
		return nil, err
	default:
		ch.Installed = true
		if ch.Issuer, err = issuer.Parse(ch.Record.Issuer); err != nil {
			return nil, fmt.Errorf("reading the ConfigMap %s/openirsa: %w", cluster.Namespace, err)
		}
	}
	return ch, nil
}

// ConnectInstalled connects to the account of a chain that must be there;
// without one the error is a [*MissingError].
func (ch *Chain) ConnectInstalled(ctx context.Context) error {
	if !ch.Installed {
		return &MissingError{Cluster: ch.Cluster.Name}
	}
	return ch.Connect(ctx)
}

// Restart is [plan.Runner.Link] for steps that restart API servers: after them it
// waits until pods reach one again, so that nothing in the cluster fails that
// begins when the run has ended.
func (ch *Chain) Restart(ctx context.Context, run *plan.Runner, wait time.Duration, object string,
	decide func(context.Context) ([]plan.Step, error)) error {
	return run.Link(ctx, plan.APIServer, object, func(ctx context.Context) ([]plan.Step, error) {
		steps, err := decide(ctx)
		if err != nil || len(steps) == 0 {
			return nil, err
		}
		again := "wait until pods reach the API server again"
		return append(steps, plan.Step{Link: plan.Issuer, Action: plan.Update, Summary: again, Do: func(ctx context.Context) error {
			return ch.Cluster.WaitForService(ctx, wait)
		}}), nil
	})
}

// Connect connects to the account of the recorded chain: through the cluster
// where the emulator runs in it, directly otherwise.
func (ch *Chain) Connect(ctx context.Context) error {
	endpoint := ""
	if ch.Record.Emulator {
		// Open until the command ends, and its context with it.
		addr, _, err := ch.Cluster.Forward(ctx, deploy.Namespace, deploy.EmulatorName, deploy.EmulatorPort)
		if err != nil {
			return &EmulatorError{Err: err}
		}
		endpoint = "http://" + addr
	}
	return ch.Use(ctx, endpoint, nil)
}

func (ch *Chain) Use(ctx context.Context, endpoint string, client *http.Client) (err error) {
	o := ch.options.Account
	o.Region, o.Endpoint, o.HTTPClient = cmp.Or(o.Region, ch.Record.Region), endpoint, client
	ch.Account, err = account.Connect(ctx, o)
	if err != nil {
		return err
	}
	if ch.Record.Account != "" && ch.Record.Account != ch.Account.ID {
		return &AccountError{Cluster: ch.Cluster.Name, Account: ch.Record.Account, Credentials: ch.Account.ID}
	}
	return nil
}

// ReadKeys reads link 1 from the API server.
func (ch *Chain) ReadKeys(ctx context.Context) error {
	body, err := ch.Cluster.JWKS(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", plan.SigningKey, err)
	}
	if ch.Keys, err = keys.ParseJWKS(body); err != nil {
		return fmt.Errorf("%s: the API server's keys: %w", plan.SigningKey, err)
	}
	if ch.Keys.Len() == 0 {
		return fmt.Errorf("%s: the API server has no keys", plan.SigningKey)
	}
	return nil
}

func (ch *Chain) describeKeys() string {
	var s []string
	for _, k := range ch.Keys.All() {
		s = append(s, k.Algorithm+" "+k.KID)
	}
	for _, o := range ch.Keys.Omitted() {
		s = append(s, "without "+o.String())
	}
	return strings.Join(s, ", ") + ", read from the API server"
}

// Tags mark what is made for this cluster.
func (ch *Chain) Tags(ctx context.Context) (map[string]string, error) {
	if ch.Cluster == nil { // a chain that is only written down
		tags := owner.Tags(ch.Record.Cluster, "")
		delete(tags, owner.UIDTag)
		return tags, nil
	}
	ns, err := ch.Cluster.Client().CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the uid of cluster %s: %w", ch.Cluster.Name, err)
	}
	return owner.Tags(ch.Record.Cluster, string(ns.UID)), nil
}

// Keeps reports whether the API servers of the chain keep their issuer.
func (ch *Chain) Keeps() bool { return ch.Record.KeepIssuer }

// NoChange refuses while a change is under way, which the given command would
// disturb.
func (ch *Chain) NoChange() error {
	if ch.Record.Change == nil {
		return nil
	}
	return &UnderWayError{Change: ch.Record.Change}
}

// DefaultTokenLifetime is that of the tokens that the webhook asks for: the
// longest of those that pods get for AWS.
const DefaultTokenLifetime = 24 * time.Hour

// CacheWait is the documents' max-age for every cache that they may pass
// one after the other: two, and CloudFront before a private bucket.
func (ch *Chain) CacheWait() time.Duration {
	if ch.Record.PrivateBucket {
		return 3 * discovery.MaxAge
	}
	return 2 * discovery.MaxAge
}

// TokenLifetime is how long tokens live that nobody sees: as long as those
// for AWS, unless the API servers give none that live so long.
func (ch *Chain) TokenLifetime(ctx context.Context) (time.Duration, error) {
	nodes, err := controlplane.Of(ch.Cluster).NodeKeys(ctx)
	if errors.Is(err, cluster.ErrNoNodeAccess) {
		return DefaultTokenLifetime, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", plan.SigningKey, err)
	}
	var longest time.Duration
	for _, n := range nodes {
		if n.MaxTokenLifetime == 0 {
			return DefaultTokenLifetime, nil
		}
		longest = max(longest, n.MaxTokenLifetime)
	}
	return min(longest, DefaultTokenLifetime), nil
}
