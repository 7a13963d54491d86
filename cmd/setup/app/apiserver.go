package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// apiServerOptions are the flags of `apiserver`.
type apiServerOptions struct {
	issuerURL   string
	accept      bool
	undo        bool
	immediately bool
	dryRun      bool
	wait        time.Duration

	allowPrivate bool
}

func (a *app) apiServerCommand() *cobra.Command {
	var o apiServerOptions
	c := &cobra.Command{
		Use:   "apiserver",
		Short: "Give the API servers of a kubeadm cluster the issuer, or print the change for others",
		Long: `Give the API servers of a kubeadm control plane the issuer, by editing their
static-pod manifests: on this machine, as root, or on the nodes that --ssh names.

What needs no change is not touched; everything else in a manifest stays byte for
byte. The original manifest is kept on the node. If the API server is not healthy
with its new flags within --wait, it gets the previous ones back. Tokens of the
previous issuer are still accepted, so running pods notice nothing.

Several control-plane nodes never disagree about tokens: all accept the issuer
before the first one signs with it. With --ssh for each of them one command does
both. Without it, run the command on each node, and then on each again: the first
time an API server only accepts the issuer, as long as another one does not yet
(--accept says that this is enough). --undo takes the same two rounds.

Clusters of other kinds are configured elsewhere: see 'setup apiserver print'.
On kind, 'setup up' does it all.`,
		Example: `  sudo setup apiserver                                    on a control-plane node, after 'setup up'
  sudo setup apiserver --issuer-url https://oidc.example.com/prod --dry-run
  setup apiserver --ssh admin@10.0.0.1 --ssh admin@10.0.0.2 --ssh admin@10.0.0.3
  sudo setup apiserver --undo                             restore the previous flags
  setup apiserver print k3s                               what to change on k3s`,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.immediately && !o.undo {
				return cli.Usagef("--immediately is for --undo")
			}
			return a.apiServer(c.Context(), o)
		},
	}
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	f.StringVar(&o.issuerURL, "issuer-url", "", "the issuer (default: the one that 'setup up' has recorded in the cluster)")
	allowPrivateFlag(c, &o.allowPrivate)
	f.StringArrayVar(&a.ssh, "ssh", nil, "node to work on, as the ssh client takes it; repeat for several, and with --undo for workers "+
		"too (default: this machine)")
	f.BoolVar(&o.accept, "accept", false, "only accept tokens of the issuer, and sign as before")
	f.BoolVar(&o.undo, "undo", false, "restore the previous flags")
	f.BoolVar(&o.immediately, "immediately", false, "with --undo: do not wait for pods' tokens to be renewed")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be done and change nothing")
	f.DurationVar(&o.wait, "wait", controlplane.DefaultWait, "how long an API server may take to come up, and tokens to be renewed")
	f.StringVar(&a.kubeconfig, "kubeconfig", "", "kubeconfig file of a cluster administrator (default: "+
		"$KUBECONFIG, on a node "+adminKubeconfig+", ~/.kube/config)")
	f.StringVar(&a.context, "context", "", "context in the kubeconfig (default: the current one)")
	c.MarkFlagsMutuallyExclusive("accept", "undo")
	c.AddCommand(a.printCommand())
	return c
}

// machines are the nodes that the command works on: those of --ssh, or this one,
// which must be a control-plane node then.
func (a *app) machines(o apiServerOptions) ([]node.Node, error) {
	if a.ssh == nil {
		_, err := os.Stat(apiServerManifest)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil, advise(fmt.Errorf("API server: this machine is not a control-plane node of kubeadm: there is no %s", apiServerManifest),
				"run it on a control-plane node, or name the nodes: SETUP apiserver --ssh USER@NODE; or SETUP apiserver print for clusters "+
					"of other kinds")
		case os.Geteuid() != 0: // who may not even look
			return nil, a.apiServerAdvice(fmt.Errorf("API server: %w: this runs as uid %d", node.ErrNotRoot, os.Geteuid()), o)
		case err != nil:
			return nil, fmt.Errorf("API server: %w", err)
		}
	}
	a.onNodes = true
	return a.nodes(), nil
}

func (a *app) apiServer(ctx context.Context, o apiServerOptions) error {
	if err := a.checkPort(documentFlags{issuerURL: o.issuerURL, allowPrivate: o.allowPrivate || o.undo}); err != nil {
		return err
	}
	machines, err := a.machines(o)
	if err != nil {
		return err
	}
	c, err := cluster.Connect(ctx, cluster.Options{Kubeconfig: a.kubeconfig, Context: a.context, Nodes: machines})
	if errors.Is(err, cluster.ErrUnreachable) && !o.dryRun {
		return restoreAPIServers(ctx, machines, err)
	}
	if err != nil {
		return a.apiServerAdvice(fmt.Errorf("API server: %w", err), o)
	}
	nodes := c.Nodes()
	if !slices.ContainsFunc(nodes, func(n node.Node) bool { return n.ControlPlane }) {
		return advise(fmt.Errorf("API server: none of the nodes has %s", apiServerManifest), "name the control-plane nodes: SETUP apiserver "+
			"--ssh USER@NODE")
	}
	state, err := c.State(ctx)
	if errors.Is(err, cluster.ErrNoState) {
		err = nil
	}
	if err != nil {
		return err
	}
	options := controlplane.IssuerOptions{Own: state.FormerIssuers, AcceptOnly: o.accept, Wait: o.wait, Immediately: o.immediately}
	if options.URL, err = o.issuer(state, c.Name); err != nil {
		return err
	}

	r := a.newReport(cmp.Or(state.Cluster, c.Name), o.dryRun)
	defer r.clear()
	r.Issuer = options.URL.String()
	if !o.undo && !o.accept && state.Endpoint == "" { // an emulator's documents are not on the internet
		a.warnUnlessPublished(ctx, options.URL)
	}
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.Name
	}
	what := "issuer " + r.Issuer
	if o.undo {
		what = "previous issuer"
	}
	err = r.run.Link(ctx, plan.APIServer, what+", node "+strings.Join(names, ", "), func(ctx context.Context) ([]plan.Step, error) {
		if o.undo {
			return controlplane.Of(c).RemoveIssuer(ctx, options)
		}
		return controlplane.Of(c).SetIssuer(ctx, options)
	})
	if err != nil {
		return a.apiServerAdvice(err, o)
	}
	if err := r.finish(); err != nil {
		return err
	}
	a.sayAPIServer(r, o, func() error { return controlplane.Of(c).OthersAccept(ctx, options.URL) })
	return nil
}

// issuer is the one that API servers are given, or lose: the one that is named,
// or that is recorded.
func (o apiServerOptions) issuer(state record.Record, cluster string) (issuer.URL, error) {
	switch {
	case state.KeepIssuer && o.issuerURL == "": // which is not ours to set, and less so to remove
		return issuer.URL{}, &chain.KeptError{Cluster: state.Cluster, Issuer: state.Issuer}
	case o.issuerURL != "":
		return documentFlags{issuerURL: o.issuerURL}.parseIssuer()
	case state.Issuer != "":
		return issuer.Parse(state.Issuer)
	case !o.undo:
		return issuer.URL{}, advise(errors.New("API server: which issuer? None is recorded in cluster "+cluster),
			"SETUP up first, which publishes the documents of the issuer; or SETUP apiserver --issuer-url URL")
	}
	return issuer.URL{}, nil
}

// sayAPIServer says what is next after the API servers of some nodes have changed.
func (a *app) sayAPIServer(r *report, o apiServerOptions, othersAccept func() error) {
	switch {
	case o.dryRun:
		r.say("\nNothing was changed: this was a dry run.")
		if !o.undo && !o.accept {
			if err := othersAccept(); err != nil {
				r.say("It would stop before signing: %v.", err)
			}
		}
	case o.undo:
		r.say("\nThe API server has its previous flags. A configuration that kubeadm has stored is not changed: see %s apiserver "+
			"print kubeadm.", a.Name)
	case o.accept:
		r.say("\nWhen the API servers on all control-plane nodes accept the issuer: %s apiserver", a.Name)
	case r.run.Changed():
		r.say("\nWhen this was the last control-plane node: %s up verifies the chain, and %s apiserver print kubeadm has what kubeadm must "+
			"know before an upgrade.", a.Name, a.Name)
	}
}

// restoreAPIServers is for API servers that do not answer: where a run that was
// killed has left a manifest that does not come up, the one before comes back.
func restoreAPIServers(ctx context.Context, machines []node.Node, unreachable error) error {
	for _, n := range machines {
		was, err := controlplane.Restore(ctx, n)
		if err != nil {
			return fmt.Errorf("API server: %w; restoring the manifest before the last change: %w", unreachable, err)
		}
		if was {
			return advise(fmt.Errorf("API server: it did not come up with the flags of a run that was stopped; it has the previous "+
				"ones again (%s)", n.Name), "the same command again")
		}
	}
	return fmt.Errorf("API server: %w", unreachable)
}

// warnUnlessPublished tells that pods would get tokens which AWS cannot verify
// yet. In the cluster nothing breaks by it, and a node need not reach the
// internet, so it is no error.
func (a *app) warnUnlessPublished(ctx context.Context, iss issuer.URL) {
	if _, _, err := discovery.Read(ctx, discovery.HTTP(&http.Client{Timeout: 5 * time.Second}), iss); err != nil {
		plain.Fprintf(a.err, "warning: the documents of the issuer cannot be read from here: %v\n", err)
	}
}

// apiServerAdvice adds the next command to what went wrong on a node.
func (a *app) apiServerAdvice(err error, o apiServerOptions) error {
	command := "SETUP apiserver"
	if o.undo {
		command += " --undo"
	}
	if errors.Is(err, node.ErrNotRoot) {
		if a.ssh != nil {
			return advise(err, "log in as root, or let the user run sudo without a password")
		}
		return advise(err, "sudo "+command)
	}
	if e, ok := errors.AsType[*controlplane.OthersError](err); ok {
		return advise(err, fmt.Sprintf("%s on %s, then here again", command, strings.Join(e.Nodes, ", ")))
	}
	if e, ok := errors.AsType[*controlplane.TokensError](err); ok {
		return advise(err, fmt.Sprintf("%s again after %s, or with --ssh for the nodes of these pods too, whose kubelet then renews "+
			"them at once", command, e.Until.UTC().Format(time.RFC3339)))
	}
	if _, ok := errors.AsType[*controlplane.APIServerError](err); ok {
		return advise(err, "look at the log lines above; the same command tries again")
	}
	return err
}
