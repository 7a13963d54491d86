package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/node"
)

// Options name a cluster. The zero value is the kind cluster of the current
// context, or else the only kind cluster there is.
type Options struct {
	// Kubeconfig is a file, instead of $KUBECONFIG and ~/.kube/config.
	Kubeconfig string
	// Context is a context in it, instead of the current one.
	Context string
	// KindName is the name of a kind cluster. Its kubeconfig comes from kind,
	// whatever the files say.
	KindName string
	// Nodes are machines of the cluster on which commands can be run: see
	// [node.Local] and [node.SSH]. With them the cluster is that of the kubeconfig, and
	// none of kind's.
	Nodes []node.Node
}

// UnnamedContextError is a current context that is not a kind cluster's. It is used
// only when [Options] name it: nobody's production cluster is changed by mistake.
// It is an [ErrNoCluster].
type UnnamedContextError struct{ Context string }

func (e *UnnamedContextError) Error() string {
	return fmt.Sprintf("%v: there is no kind cluster, and the current context %q is not used unless it is named", ErrNoCluster, e.Context)
}

func (e *UnnamedContextError) Unwrap() error { return ErrNoCluster }

// UnreachableError is a cluster whose API server does not answer. It is an
// [ErrUnreachable].
type UnreachableError struct {
	Cluster string
	Kind    bool   // it is one of kind's
	Host    string // the URL in its kubeconfig
	Err     error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("%v: cluster %s at %s: %v", ErrUnreachable, e.Cluster, e.Host, e.Err)
}

func (e *UnreachableError) Unwrap() []error { return []error{ErrUnreachable, e.Err} }

// Connect finds the cluster and asks its API server whether it is there. The
// error wraps [ErrNoCluster], [ErrSeveralClusters] or [ErrUnreachable] where
// one of them is the reason.
func Connect(ctx context.Context, opts Options) (*Cluster, error) {
	c, err := find(ctx, opts)
	if err != nil {
		return nil, err
	}
	if err := c.connect(); err != nil {
		return nil, err
	}
	if err := c.answers(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		if apierrors.IsUnauthorized(err) {
			return nil, fmt.Errorf("cluster %s at %s does not know the credentials in its kubeconfig: %w", c.Name, c.config.Host, err)
		}
		return nil, &UnreachableError{Cluster: c.Name, Kind: c.Kind, Host: c.config.Host, Err: err}
	}
	if len(opts.Nodes) > 0 {
		if c.nodes, err = c.identify(ctx, opts.Nodes); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// answers waits for the API server to be ready: not for long, unless it runs on
// a node that does, where a previous run may have been killed while the API
// server restarted. One that has just started knows no roles yet and forbids
// everything; one that says that it is not ready but answers must do.
func (c *Cluster) answers(ctx context.Context) error {
	var deadline time.Time
	for {
		ask, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := c.raw(ask, "/readyz")
		cancel()
		if err == nil {
			return nil
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(c.patience(ctx))
		}
		if apierrors.IsUnauthorized(err) || time.Now().After(deadline) || wait.Sleep(ctx, 500*time.Millisecond) != nil {
			if _, answered := errors.AsType[*apierrors.StatusError](err); answered && !apierrors.IsUnauthorized(err) && context.Cause(ctx) == nil {
				return nil
			}
			return err
		}
	}
}

// patience is how long answers waits.
func (c *Cluster) patience(ctx context.Context) time.Duration {
	nodes := c.nodes
	if c.Kind {
		nodes = node.ControlPlanes(nodes) // of others it is not known yet which they are
	}
	if len(nodes) > 0 && nodes[0].Exec(ctx, nil, io.Discard, "true") == nil {
		return time.Minute
	}
	return 5 * time.Second
}

// find chooses the cluster, without asking it anything.
func find(ctx context.Context, opts Options) (*Cluster, error) {
	if opts.KindName != "" {
		if opts.Kubeconfig != "" || opts.Context != "" {
			return nil, errors.New("a kind cluster by name comes with its own kubeconfig: give either the name or a kubeconfig and context")
		}
		return findKind(ctx, opts.KindName)
	}

	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = opts.Kubeconfig
	rules.WarnIfAllMissing = false
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: opts.Context})
	files, err := loader.RawConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	current := cmp.Or(opts.Context, files.CurrentContext)
	context, known := files.Contexts[current]
	if opts.Context != "" && !known {
		return nil, fmt.Errorf("%w: the kubeconfig has no context %q (see `kubectl config get-contexts`)", ErrNoCluster, opts.Context)
	}
	named := opts.Kubeconfig != "" || opts.Context != "" || len(opts.Nodes) > 0
	if name, ok := strings.CutPrefix(current, "kind-"); ok && known && len(opts.Nodes) == 0 {
		// It may also be a kind cluster of another machine, or of a deleted
		// one; the server address tells.
		c, kindErr := findKind(ctx, name)
		if kindErr == nil && sameServer(c.config, loader) {
			return c, nil
		}
		if !named && errors.Is(kindErr, ErrNoCluster) {
			if names, err := KindNames(ctx); err == nil && len(names) == 1 {
				return findKind(ctx, names[0])
			}
			return nil, kindErr
		}
	}
	if !named {
		names, err := KindNames(ctx)
		switch {
		case err != nil && !known:
			return nil, err
		case len(names) == 1:
			return findKind(ctx, names[0])
		case len(names) > 1:
			return nil, fmt.Errorf("%w: %s", ErrSeveralClusters, strings.Join(names, ", "))
		case known:
			return nil, &UnnamedContextError{Context: current}
		default:
			return nil, fmt.Errorf("%w: there is no kind cluster and the kubeconfig has no current context", ErrNoCluster)
		}
	}
	if !known {
		return nil, fmt.Errorf("%w: the kubeconfig has no current context (see `kubectl config get-contexts`)", ErrNoCluster)
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return &Cluster{Name: context.Cluster, config: config, nodes: slices.Clone(opts.Nodes)}, nil
}

func sameServer(config *rest.Config, loader clientcmd.ClientConfig) bool {
	other, err := loader.ClientConfig()
	return err == nil && other.Host == config.Host
}
