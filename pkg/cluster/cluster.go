// Package cluster is everything that the project reads from a Kubernetes
// cluster and changes in it: the keys and the issuer of its API servers,
// objects, service accounts, and the image in its nodes.
//
//	c, err := cluster.Connect(ctx, cluster.Options{})        // the kind cluster of the current context
//	jwks, err := c.JWKS(ctx)                                 // link 1, as the API server publishes it
//	steps, err := c.SetIssuer(ctx, cluster.IssuerOptions{URL: iss})
//	err = plan.Run(ctx, steps, nil)
//
// The nodes of a kind cluster are reached through kind's own library, so that
// Docker, Podman and nerdctl work alike; of other clusters only what the API
// gives. What the cluster says of itself (its discovery document, the command
// line of the running process) counts as true, not what was written earlier.
package cluster

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	kind "sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cluster/constants"
	kindexec "sigs.k8s.io/kind/pkg/exec"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/node"
)

// Why a cluster cannot be worked with. The errors that wrap them name the next
// command.
var (
	ErrNoCluster       = errors.New("no cluster")
	ErrSeveralClusters = errors.New("several kind clusters")
	ErrUnreachable     = errors.New("the API server does not answer")
	ErrForbidden       = errors.New("not allowed")
	ErrNoNodeAccess    = errors.New("the nodes of this cluster cannot be reached from here")
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

// Cluster is a Kubernetes cluster whose API server answers.
type Cluster struct {
	// Name is kind's name of the cluster, otherwise kubeconfig's.
	Name string
	// Kind says that it is a kind cluster, whose nodes can be reached.
	Kind bool

	config  *rest.Config
	client  *kubernetes.Clientset
	dynamic dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
	nodes   []node.Node

	recorded map[string]string // as this process has read or written it last; see SetState
	hasRead  bool
}

// Client is a typed client of the cluster.
func (c *Cluster) Client() kubernetes.Interface { return c.client }

// Config is how to reach the cluster. The caller may change the copy.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Nodes are the nodes that can be reached: all those of a kind cluster, sorted
// by name, and of another one those of [Options].
func (c *Cluster) Nodes() []node.Node { return slices.Clone(c.nodes) }

// Connect finds the cluster and asks its API server whether it is there. The
// error wraps [ErrNoCluster], [ErrSeveralClusters] or [ErrUnreachable] where
// one of them is the reason.
func Connect(ctx context.Context, opts Options) (*Cluster, error) {
	c, err := find(opts)
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
		next := "check the cluster and the address in its kubeconfig"
		switch {
		case apierrors.IsUnauthorized(err):
			return nil, fmt.Errorf("cluster %s at %s does not know the credentials in its kubeconfig: %w", c.Name, c.config.Host, err)
		case c.Kind:
			next = fmt.Sprintf("start its containers, or make it anew: `kind delete cluster --name %s` and `kind create cluster --name %s`", c.Name, c.Name)
		}
		return nil, fmt.Errorf("%w: cluster %s at %s: %w; %s", ErrUnreachable, c.Name, c.config.Host, err, next)
	}
	if len(opts.Nodes) > 0 {
		if c.nodes, err = c.identify(ctx, opts.Nodes); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// New is a cluster that somebody else has found, such as the environment of a
// test suite, with the nodes on which commands can be run. It asks nothing. Config
// is not changed.
func New(name string, config *rest.Config, nodes ...node.Node) (*Cluster, error) {
	c := &Cluster{Name: name, config: rest.CopyConfig(config), nodes: slices.Clone(nodes)}
	return c, c.connect()
}

// connect makes the clients.
func (c *Cluster) connect() (err error) {
	// Nearly every request is one step of ours, and many run at a time: the
	// API server's own priority and fairness limits them.
	c.config.QPS = -1
	c.config.UserAgent = "openirsa"
	c.config.WarningHandler = rest.NoWarnings{}
	if c.client, err = kubernetes.NewForConfig(c.config); err != nil {
		return fmt.Errorf("reading the kubeconfig of %s: %w", c.Name, err)
	}
	if c.dynamic, err = dynamic.NewForConfig(c.config); err != nil {
		return fmt.Errorf("reading the kubeconfig of %s: %w", c.Name, err)
	}
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.client.Discovery()))
	return nil
}

// answers waits for the API server to be ready: not for long, unless it runs on
// a node that does, where a former run may have been killed while the API
// server restarted. One that has just started knows no roles yet and forbids
// everything; one that says that it is not ready but answers must do.
func (c *Cluster) answers(ctx context.Context) error {
	patience := 5 * time.Second
	nodes := c.nodes
	if c.Kind {
		nodes = node.ControlPlanes(nodes) // of others it is not known yet which they are
	}
	if len(nodes) > 0 && nodes[0].Exec(ctx, nil, io.Discard, "true") == nil {
		patience = time.Minute
	}
	deadline := time.Now().Add(patience)
	for {
		ask, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := c.raw(ask, "/readyz")
		cancel()
		if err == nil {
			return nil
		}
		if apierrors.IsUnauthorized(err) || time.Now().After(deadline) || wait.Sleep(ctx, 500*time.Millisecond) != nil {
			if _, answered := errors.AsType[*apierrors.StatusError](err); answered && !apierrors.IsUnauthorized(err) && context.Cause(ctx) == nil {
				return nil
			}
			return err
		}
	}
}

// find chooses the cluster, without asking it anything.
func find(opts Options) (*Cluster, error) {
	if opts.KindName != "" {
		if opts.Kubeconfig != "" || opts.Context != "" {
			return nil, errors.New("a kind cluster by name comes with its own kubeconfig: give either the name or a kubeconfig and context")
		}
		return findKind(opts.KindName)
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
		c, kindErr := findKind(name)
		if kindErr == nil && sameServer(c.config, loader) {
			return c, nil
		}
		if !named && errors.Is(kindErr, ErrNoCluster) {
			if names, err := kindNames(); err == nil && len(names) == 1 {
				return findKind(names[0])
			}
			return nil, kindErr
		}
	}
	if !named {
		names, err := kindNames()
		switch {
		case err != nil && !known:
			return nil, err
		case len(names) == 1:
			return findKind(names[0])
		case len(names) > 1:
			return nil, fmt.Errorf("%w: %s: name one with --kind-name", ErrSeveralClusters, strings.Join(names, ", "))
		case known:
			return nil, fmt.Errorf("%w: there is no kind cluster, and the current context %q is not used unless you say so: add --context %s", ErrNoCluster, current, current)
		default:
			return nil, fmt.Errorf("%w: there is no kind cluster and the kubeconfig has no current context: make one with `kind create cluster`, or name one with --kubeconfig and --context", ErrNoCluster)
		}
	}
	if !known {
		return nil, fmt.Errorf("%w: the kubeconfig has no current context: name one with --context (see `kubectl config get-contexts`)", ErrNoCluster)
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

// kindProvider is the container runtime that kind would use, and the
// environment variable with which kind's users choose another.
func kindProvider() (*kind.Provider, error) {
	switch p := os.Getenv("KIND_EXPERIMENTAL_PROVIDER"); p {
	case "podman":
		return kind.NewProvider(kind.ProviderWithPodman()), nil
	case "docker":
		return kind.NewProvider(kind.ProviderWithDocker()), nil
	case "nerdctl", "finch", "nerdctl.lima":
		return kind.NewProvider(kind.ProviderWithNerdctl(p)), nil
	}
	detected, err := kind.DetectNodeProvider()
	if err != nil {
		return nil, fmt.Errorf("%w: kind needs docker, podman or nerdctl, and none of them answers here", ErrNoCluster)
	}
	return kind.NewProvider(detected), nil
}

// kindNames are the names of the kind clusters of this machine.
func kindNames() ([]string, error) {
	provider, err := kindProvider()
	if err != nil {
		return nil, err
	}
	names, err := provider.List()
	if err != nil {
		return nil, fmt.Errorf("listing the kind clusters: %w", kindError(err))
	}
	slices.Sort(names)
	return names, nil
}

// kindError is what the command said, instead of kind's error, which has the
// command line.
func kindError(err error) error {
	if run := kindexec.RunErrorForError(err); run != nil {
		if said := bytes.TrimSpace(run.Output); len(said) > 0 {
			return errors.New(string(said))
		}
	}
	return err
}

// findKind is the kind cluster of that name.
func findKind(name string) (*Cluster, error) {
	names, err := kindNames()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, name) {
		have := "there is none at all"
		if len(names) > 0 {
			have = "there are: " + strings.Join(names, ", ")
		}
		return nil, fmt.Errorf("%w: no kind cluster %q (%s): make it with `kind create cluster --name %s`", ErrNoCluster, name, have, name)
	}
	provider, err := kindProvider()
	if err != nil {
		return nil, err
	}
	kubeconfig, err := provider.KubeConfig(name, false)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of kind cluster %q (do its containers run?): %w", name, kindError(err))
	}
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(kubeconfig))
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of kind cluster %q: %w", name, err)
	}
	all, err := provider.ListNodes(name)
	if err != nil {
		return nil, fmt.Errorf("listing the nodes of kind cluster %q: %w", name, kindError(err))
	}
	c := &Cluster{Name: name, Kind: true, config: config}
	var mu sync.Mutex
	var g errgroup.Group
	for _, n := range all {
		g.Go(func() error {
			role, err := n.Role()
			if err != nil {
				return fmt.Errorf("asking for the role of node %s: %w", n, kindError(err))
			}
			if role == constants.ControlPlaneNodeRoleValue || role == constants.WorkerNodeRoleValue {
				mu.Lock()
				defer mu.Unlock()
				c.nodes = append(c.nodes, node.OfKind(n, role == constants.ControlPlaneNodeRoleValue))
			}
			return nil // the load balancer in front of several control planes is no node
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(c.nodes, func(a, b node.Node) int { return strings.Compare(a.Name, b.Name) })
	return c, nil
}

// raw gets a path of the API server.
func (c *Cluster) raw(ctx context.Context, path string) ([]byte, error) {
	return c.client.Discovery().RESTClient().Get().AbsPath(path).DoRaw(ctx)
}

// JWKS is the cluster's set of public keys with which its tokens are signed,
// as the API server serves it.
func (c *Cluster) JWKS(ctx context.Context) ([]byte, error) {
	b, err := Retry(ctx, func() ([]byte, error) { return c.raw(ctx, issuer.JWKSPath) })
	if err != nil {
		return nil, fmt.Errorf("reading %s of cluster %s: %w", issuer.JWKSPath, c.Name, err)
	}
	return b, nil
}

// Discovery is the discovery document that the API server has for its issuer.
func (c *Cluster) Discovery(ctx context.Context) ([]byte, error) {
	b, err := Retry(ctx, func() ([]byte, error) { return c.raw(ctx, issuer.DiscoveryPath) })
	if err != nil {
		return nil, fmt.Errorf("reading %s of cluster %s: %w", issuer.DiscoveryPath, c.Name, err)
	}
	return b, nil
}

// Issuer is the issuer of the cluster's new tokens, as the API server's
// discovery document has it. Empty where the API server has none, which is the
// case when its issuer is not an https URL.
func (c *Cluster) Issuer(ctx context.Context) (string, error) {
	b, err := c.Discovery(ctx)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var doc struct {
		Issuer string `json:"issuer"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return "", fmt.Errorf("reading %s of cluster %s: %w", issuer.DiscoveryPath, c.Name, err)
	}
	return doc.Issuer, nil
}

// Architecture is that of all nodes, such as "amd64".
func (c *Cluster) Architecture(ctx context.Context) (string, error) {
	list, err := Retry(ctx, func() (*corev1.NodeList, error) { return c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{}) })
	if err != nil {
		return "", fmt.Errorf("listing the nodes of cluster %s: %w", c.Name, err)
	}
	var arch string
	for _, n := range list.Items {
		switch a := n.Status.NodeInfo.Architecture; arch {
		case "", a:
			arch = a
		default:
			return "", fmt.Errorf("the nodes of cluster %s differ in architecture: %s and %s", c.Name, arch, a)
		}
	}
	if arch == "" {
		return "", fmt.Errorf("cluster %s has no nodes", c.Name)
	}
	return arch, nil
}

// Right is one thing that may be done in a cluster, as `kubectl auth can-i`
// has it.
type Right struct {
	Verb, Group, Resource, Namespace string
	Path                             string // instead of a resource
}

func (r Right) String() string {
	if r.Path != "" {
		return r.Verb + " " + r.Path
	}
	s := r.Verb + " " + r.Resource
	if r.Group != "" {
		s += "." + r.Group
	}
	if r.Namespace != "" {
		s += " in namespace " + r.Namespace
	}
	return s
}

// InstallRights are the rights that installing and removing needs. Rights can
// only be granted by those who have them, which `escalate` and `bind` stand
// for; a cluster administrator has all.
func InstallRights() []Right {
	rights := []Right{{Verb: "get", Path: issuer.JWKSPath}, {Verb: "get", Path: issuer.DiscoveryPath}, {Verb: "list", Resource: "nodes"}}
	for _, r := range []Right{
		{Resource: "namespaces"},
		{Resource: "serviceaccounts"},
		{Resource: "configmaps", Namespace: Namespace},
		{Resource: "services", Namespace: Namespace},
		{Resource: "deployments", Group: "apps", Namespace: Namespace},
		{Resource: "roles", Group: "rbac.authorization.k8s.io", Namespace: metav1.NamespaceSystem},
		{Resource: "rolebindings", Group: "rbac.authorization.k8s.io", Namespace: metav1.NamespaceSystem},
		{Resource: "clusterroles", Group: "rbac.authorization.k8s.io"},
		{Resource: "clusterrolebindings", Group: "rbac.authorization.k8s.io"},
		{Resource: "mutatingwebhookconfigurations", Group: "admissionregistration.k8s.io"},
	} {
		for _, verb := range []string{"get", "create", "patch", "delete"} {
			r.Verb = verb
			rights = append(rights, r)
		}
	}
	return append(rights, Right{Verb: "create", Resource: "pods/portforward", Namespace: Namespace})
}

// ServiceAccountRights are the rights that giving service accounts of a namespace
// roles needs. The uid of kube-system tells whose roles are whose.
func ServiceAccountRights(namespace string) []Right {
	rights := []Right{{Verb: "get", Resource: "configmaps", Namespace: Namespace}, {Verb: "get", Resource: "namespaces", Namespace: metav1.NamespaceSystem}}
	for _, verb := range []string{"get", "create", "patch", "delete"} {
		rights = append(rights, Right{Verb: verb, Resource: "serviceaccounts", Namespace: namespace})
	}
	return rights
}

// Check asks the API server whether the user of the kubeconfig has the rights
// (a SelfSubjectAccessReview each). If not, the error wraps [ErrForbidden] and
// names those that are missing.
func (c *Cluster) Check(ctx context.Context, rights ...Right) error {
	missing := make([]string, len(rights))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, r := range rights {
		g.Go(func() error {
			review := &authorizationv1.SelfSubjectAccessReview{}
			if r.Path != "" {
				review.Spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Verb: r.Verb, Path: r.Path}
			} else {
				resource, sub, _ := strings.Cut(r.Resource, "/")
				review.Spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
					Verb: r.Verb, Group: r.Group, Resource: resource, Subresource: sub, Namespace: r.Namespace,
				}
			}
			answer, err := Retry(gctx, func() (*authorizationv1.SelfSubjectAccessReview, error) {
				return c.client.AuthorizationV1().SelfSubjectAccessReviews().Create(gctx, review, metav1.CreateOptions{})
			})
			if err != nil {
				return fmt.Errorf("asking cluster %s for our rights: %w", c.Name, err)
			}
			if !answer.Status.Allowed {
				missing[i] = r.String()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	missing = slices.DeleteFunc(missing, func(s string) bool { return s == "" })
	if len(missing) == 0 {
		return nil
	}
	more := ""
	if len(missing) > 5 {
		more = fmt.Sprintf(" and %d more", len(missing)-5)
		missing = missing[:5]
	}
	return fmt.Errorf("%w: the user of the kubeconfig may not %s%s in cluster %s: use a kubeconfig of a cluster administrator", ErrForbidden, strings.Join(missing, ", "), more, c.Name)
}

// retryFor is how long a request is tried again while the API server restarts.
const retryFor = 30 * time.Second

// Retry repeats a request for as long as the API server is away, which it is
// for some seconds after its flags have changed. Every request of this package
// can be made twice.
func Retry[T any](ctx context.Context, request func() (T, error)) (T, error) {
	deadline := time.Now().Add(retryFor)
	wasAway := false
	for {
		v, err := request()
		// An API server that has just come back knows no roles yet.
		again := away(err) || wasAway && apierrors.IsForbidden(err)
		if err == nil || !again || context.Cause(ctx) != nil || time.Now().After(deadline) {
			return v, err
		}
		wasAway = true
		if err := wait.Sleep(ctx, 500*time.Millisecond); err != nil {
			var none T
			return none, err
		}
	}
}

// away reports whether an error comes from an API server that is about to
// stop, not there, or not ready.
func away(err error) bool {
	if status, ok := errors.AsType[*apierrors.StatusError](err); ok {
		switch status.ErrStatus.Code {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		case http.StatusInternalServerError:
			return apierrors.IsInternalError(err) && strings.Contains(err.Error(), "etcdserver")
		}
		return false
	}
	return utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) || utilnet.IsHTTP2ConnectionLost(err)
}
