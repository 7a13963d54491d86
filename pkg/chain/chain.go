package chain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// Chain is a cluster, an AWS account, and what joins them. [Open] makes one. It is
// not safe for concurrent use; a copy of it is a chain of its own.
type Chain struct {
	// Cluster is the connection to the cluster. Nil for a chain that is only
	// written down as files: then nothing can be read from a cluster.
	Cluster *cluster.Cluster
	// Record is what the cluster remembers of its chain, or, while the chain is
	// being made or changed, what is about to be recorded.
	Record record.Record
	// Installed says that there is a record: the chain was made, at least in part.
	Installed bool
	// Account is the connection to the AWS account, or to the emulator. Nil until it
	// is connected to; see [Chain.Connect].
	Account *account.Account
	// Issuer is Record.Issuer, parsed. Zero where nothing is recorded yet.
	Issuer issuer.URL
	// Keys are the public keys with which API servers accept tokens. Empty until
	// [Chain.ReadKeys] has read them.
	Keys keys.Set

	// adoptedUID is the cluster's uid while it takes over the roles of an earlier
	// cluster of the same name; empty otherwise.
	adoptedUID string
	options    Options
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

// Connect connects to the account of the recorded chain: through the cluster
// where the emulator runs in it, directly otherwise. The way through the cluster
// stays open until ctx ends.
//
// The error is an [*EmulatorError] if the emulator in the cluster is not reached,
// an [*AccountError] for credentials of another account, or one of package account.
func (ch *Chain) Connect(ctx context.Context) error {
	endpoint := ""
	if ch.Record.Emulator {
		addr, _, err := ch.Cluster.Forward(ctx, deploy.Namespace, deploy.EmulatorName, deploy.EmulatorPort)
		if err != nil {
			return &EmulatorError{Err: err}
		}
		endpoint = "http://" + addr
	}
	return ch.Use(ctx, endpoint, nil)
}

// Use connects to the account at an endpoint, with an HTTP client: an empty
// endpoint is AWS itself, and a nil client the SDK's own. The region is that of the
// [Options], or else the recorded one. The error is an [*AccountError] if these
// credentials are not of the account in which the chain is recorded, or one of
// package account.
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

// ReadKeys reads link 1, the keys that sign tokens, from the API server
// (/openid/v1/jwks) into Keys. It is an error if there are none.
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

// describeKeys is link 1 as it is shown: every key, and every one that is left out
// of the published documents and why.
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

// Tags are those of everything that is made in AWS for this cluster: its name and
// its uid, which is that of namespace kube-system. A chain that is only written
// down has no uid yet. See [owner.Tags].
func (ch *Chain) Tags(ctx context.Context) (map[string]string, error) {
	if ch.Cluster == nil { // a chain that is only written down
		tags := owner.Tags(ch.Record.Cluster, "")
		delete(tags, owner.UIDTag)
		return tags, nil
	}
	ns, err := ch.Cluster.Client().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the uid of cluster %s: %w", ch.Cluster.Name, err)
	}
	return owner.Tags(ch.Record.Cluster, string(ns.UID)), nil
}

// NoChange is nil unless a change in stages is under way, which other work would
// disturb: then it is an [*UnderWayError].
func (ch *Chain) NoChange() error {
	if ch.Record.Change == nil {
		return nil
	}
	return &UnderWayError{Change: ch.Record.Change}
}
