package controlplane

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/token"
)

// Files on a control-plane node. The directory is outside of kubelet's
// manifest directory, where a copy would run as a second API server.
const (
	manifestFile = node.APIServerManifest
	nodeDir      = "/etc/kubernetes/openirsa"
	// formerFile is the manifest as it was before the first change of ours.
	formerFile = nodeDir + "/kube-apiserver.yaml"
	// provenFile is the last manifest with which the API server was healthy.
	// It is there while a newer one still has to prove itself.
	provenFile = nodeDir + "/kube-apiserver.proven.yaml"
	// tempFile is what writeFile leaves behind in the manifest directory if
	// the node dies in the middle.
	tempFile = "/etc/kubernetes/manifests/.kube-apiserver.yaml.openirsa"
	// controllerManifestFile and the others are those of the controller
	// manager, of which only a key rotation changes a flag, and back.
	controllerManifestFile = "/etc/kubernetes/manifests/kube-controller-manager.yaml"
	controllerProvenFile   = nodeDir + "/kube-controller-manager.proven.yaml"
	controllerTempFile     = "/etc/kubernetes/manifests/.kube-controller-manager.yaml.openirsa"
)

// staticPod is a part of the control plane that kubelet runs from a manifest:
// the name of its container, and of its program.
type staticPod string

const (
	apiServerPod  staticPod = "kube-apiserver"
	controllerPod staticPod = "kube-controller-manager"
)

func (p staticPod) manifestFile() string {
	if p == controllerPod {
		return controllerManifestFile
	}
	return manifestFile
}

func (p staticPod) provenFile() string {
	if p == controllerPod {
		return controllerProvenFile
	}
	return provenFile
}

// String is what messages call it.
func (p staticPod) String() string {
	if p == controllerPod {
		return "controller manager"
	}
	return "API server"
}

// IssuerOptions say how to change the API servers' issuer.
type IssuerOptions struct {
	// URL is the issuer that tokens shall have, or no longer have.
	URL issuer.URL
	// Own are further issuers that this project set earlier and may replace
	// or remove, such as those in the record of the installation.
	Own []string
	// AcceptOnly has the API servers accept tokens of URL, and still issue
	// them as before.
	AcceptOnly bool
	// Wait is how long one API server may take to come up with new flags, and
	// how long pods' tokens may take to be renewed; 0 is [DefaultWait].
	Wait time.Duration
	// Immediately removes an issuer before the tokens that pods still carry
	// from it are renewed: their calls to the API server fail until kubelet has
	// given them new ones, and they have read these. That takes a minute or two,
	// and up to an hour on nodes that cannot be reached.
	Immediately bool
}

func (o IssuerOptions) wait() time.Duration { return cmp.Or(o.Wait, DefaultWait) }

func (o IssuerOptions) owns(iss string) bool {
	return iss == o.URL.String() || slices.Contains(o.Own, iss)
}

// OtherIssuerError is an API server whose tokens are already issued under a
// public URL that is not ours. Whoever uses it relies on it.
type OtherIssuerError struct {
	Node   string // "" if it is not known
	Issuer string
}

func (e *OtherIssuerError) Error() string {
	where := ""
	if e.Node != "" {
		where = " on node " + e.Node
	}
	return fmt.Sprintf("the API server%s already has the public issuer %s", where, e.Issuer)
}

// APIServerError is an API server, or a controller manager, that did not become
// healthy with new flags.
type APIServerError struct {
	Program  string // "API server" or "controller manager"
	Node     string
	Err      error  // what it lacked when the time was up
	Restore  error  // nil: the manifest is as before and the API server healthy with it
	Log      string // the end of its log while it had the new flags
	Duration time.Duration
}

func (e *APIServerError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the %s on node %s was not healthy within %s: %v", e.Program, e.Node, e.Duration, e.Err)
	if e.Restore == nil {
		b.WriteString("; its former manifest is back and it is healthy again")
	} else {
		fmt.Fprintf(&b, "; its former manifest was put back, but it is not healthy with that either: %v", e.Restore)
	}
	if e.Log != "" {
		fmt.Fprintf(&b, "\nits last log lines:\n%s", e.Log)
	}
	return b.String()
}

func (e *APIServerError) Unwrap() []error { return []error{e.Err, e.Restore} }

// podOnNode is a static pod as it is on one control-plane node.
type podOnNode struct {
	node.Node
	*manifest
	former   *manifest // that of an API server whose issuer was changed by us, else nil
	unproven bool      // there is a provenFile
	running  bool      // one process runs, with the flags of the manifest
}

// readAPIServer reads the state of the API server on a node.
func readAPIServer(ctx context.Context, n node.Node) (*podOnNode, error) {
	return readPod(ctx, n, apiServerPod)
}

func readPod(ctx context.Context, n node.Node, pod staticPod) (*podOnNode, error) {
	text, ok, err := n.ReadFile(ctx, pod.manifestFile())
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("node %s has no %s: its %s is not a static pod of kubeadm's", n.Name, pod.manifestFile(), pod)
	}
	s := &podOnNode{Node: n}
	if s.manifest, err = pod.parse(text); err != nil {
		return nil, fmt.Errorf("reading %s on node %s: %w", pod.manifestFile(), n.Name, err)
	}
	if pod == apiServerPod {
		former, ok, err := n.ReadFile(ctx, formerFile)
		if err != nil {
			return nil, err
		}
		if ok {
			if s.former, err = parseManifest(former); err != nil {
				return nil, fmt.Errorf("reading %s on node %s: %w", formerFile, n.Name, err)
			}
		}
	}
	there, err := n.Existing(ctx, pod.provenFile())
	if err != nil {
		return nil, err
	}
	s.unproven = len(there) > 0
	commandLines, err := processes(ctx, n, pod)
	if err != nil {
		return nil, err
	}
	if len(commandLines) == 1 {
		flags, err := parseFlags(commandLines[0])
		s.running = err == nil && flags.equal(s.Flags)
	}
	return s, nil
}

// readAPIServers reads the state of all control-plane nodes.
func (c *ControlPlane) readAPIServers(ctx context.Context) ([]*podOnNode, error) {
	nodes := node.ControlPlanes(c.nodes)
	if len(nodes) == 0 {
		return nil, fmt.Errorf("%w: cluster %s", cluster.ErrNoNodeAccess, c.name)
	}
	servers := make([]*podOnNode, len(nodes))
	g, ctx := errgroup.WithContext(ctx)
	for i, n := range nodes {
		g.Go(func() (err error) {
			servers[i], err = readAPIServer(ctx, n)
			return err
		})
	}
	return servers, g.Wait()
}

// has reports whether nothing is left to do for these flags.
func (s *podOnNode) has(want Flags) bool {
	return s.running && !s.unproven && s.Flags.equal(want)
}

// AlsoAccepting are the flags with which tokens of iss are accepted as well.
//
// An API server without --api-audiences has the audiences of its issuers. One
// more issuer would change the audience of every token that asks for none, so
// the flag then pins the audiences as they were: tokens look as before, those
// issued before are accepted as before, and an API server that does not know
// the new issuer yet accepts the audience of those that do.
func (have Flags) AlsoAccepting(iss issuer.URL) Flags {
	if slices.Contains(have.Issuers, iss.String()) {
		return have
	}
	want := have
	if have.APIAudiences == nil && len(have.Issuers) > 0 {
		want.APIAudiences = slices.Clone(have.Issuers)
	}
	want.Issuers = append(slices.Clone(have.Issuers), iss.String())
	return want
}

// SignedBy are the flags with which tokens are issued by iss, and those of
// every former issuer are still accepted.
func (have Flags) SignedBy(iss issuer.URL) Flags {
	want := have.AlsoAccepting(iss)
	others := slices.DeleteFunc(slices.Clone(want.Issuers), func(s string) bool { return s == iss.String() })
	want.Issuers = append([]string{iss.String()}, others...)
	want.JWKSURI = iss.JWKS()
	return want
}

// SetIssuer has the API servers issue tokens as opts.URL and goes on accepting
// tokens of every former issuer. With several control-plane nodes all learn to
// accept the new issuer before the first one uses it. One node is changed at a
// time; one that does not come up with the new flags gets its former manifest
// back (an [*APIServerError]). As long as an API server on a node that cannot be
// reached does not accept the issuer, none is told to use it (an
// [*OthersError], from a step).
//
// An API server that issues under another public URL is an
// [*OtherIssuerError]; no node changes. Where no node can be reached, somebody
// else must have set the issuer, or else the error is a [*PendingError].
func (c *ControlPlane) SetIssuer(ctx context.Context, opts IssuerOptions) ([]plan.Step, error) {
	if len(node.ControlPlanes(c.nodes)) == 0 {
		return nil, c.issuerSetElsewhere(ctx, opts)
	}
	servers, err := c.readAPIServers(ctx)
	if err != nil {
		return nil, err
	}
	others, err := c.unreached(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]NodeFlags, 0, len(servers)+len(others))
	for _, s := range servers {
		all = append(all, NodeFlags{s.Name, s.Flags})
	}
	for _, o := range others {
		all = append(all, o.NodeFlags)
	}
	if err := otherIssuer(all, opts); err != nil {
		return nil, err
	}
	accept := func(have Flags) Flags { return have.AlsoAccepting(opts.URL) }
	sign := func(have Flags) Flags { return have.SignedBy(opts.URL) }
	var steps []plan.Step
	later := make(map[*podOnNode]Flags) // what a node will have after the steps so far
	for _, s := range servers {
		later[s] = s.Flags
		if (len(all) > 1 || opts.AcceptOnly) && !s.has(sign(s.Flags)) && !s.has(accept(s.Flags)) {
			steps = append(steps, s.step("API server on node "+s.Name+": accept the issuer", s.Flags, accept, opts.wait()))
			later[s] = accept(s.Flags)
		}
	}
	if opts.AcceptOnly {
		return steps, nil
	}
	for _, s := range servers {
		if !s.has(sign(s.Flags)) {
			steps = append(steps, after(func(ctx context.Context) error { return c.OthersAccept(ctx, opts.URL) },
				s.step("API server on node "+s.Name, later[s], sign, opts.wait())))
		}
	}
	return steps, nil
}

// after is the step, done only if the condition is met by then.
func after(condition func(context.Context) error, s plan.Step) plan.Step {
	do := s.Do
	s.Do = func(ctx context.Context) error {
		if err := condition(ctx); err != nil {
			return err
		}
		return do(ctx)
	}
	return s
}

// otherIssuer is an [*OtherIssuerError] if an API server issues under a public
// URL that is not ours.
func otherIssuer(servers []NodeFlags, opts IssuerOptions) error {
	for _, s := range servers {
		if len(s.Issuers) > 0 && public(s.Issuers[0]) && !opts.owns(s.Issuers[0]) {
			return &OtherIssuerError{Node: s.Node, Issuer: s.Issuers[0]}
		}
	}
	return nil
}

// DropIssuer has the API servers refuse tokens of opts.URL, which must sign
// none any more. Whatever audience a token has is accepted as before.
func (c *ControlPlane) DropIssuer(ctx context.Context, opts IssuerOptions) ([]plan.Step, error) {
	servers, err := c.readAPIServers(ctx)
	if err != nil {
		return nil, err
	}
	drop := func(have Flags) Flags {
		if !slices.Contains(have.Issuers, opts.URL.String()) {
			return have
		}
		want := have
		want.APIAudiences = have.audiences()
		want.Issuers = slices.DeleteFunc(slices.Clone(have.Issuers), func(iss string) bool { return iss == opts.URL.String() })
		return want
	}
	var steps []plan.Step
	for _, s := range servers {
		if len(s.Flags.Issuers) > 0 && s.Flags.Issuers[0] == opts.URL.String() {
			return nil, fmt.Errorf("the API server on node %s still issues tokens as %s", s.Name, opts.URL)
		}
		if !slices.Contains(s.Flags.Issuers, opts.URL.String()) && s.has(s.Flags) {
			continue
		}
		steps = append(steps, s.step("API server on node "+s.Name+": refuse the issuer", s.Flags, drop, opts.wait()))
	}
	return steps, nil
}

// AllReached fails unless every API server of the cluster is on a node on
// which commands can be run: the error is an [*OthersError], or wraps
// [cluster.ErrNoNodeAccess] where there is no such node at all.
func (c *ControlPlane) AllReached(ctx context.Context) error {
	if len(node.ControlPlanes(c.nodes)) == 0 {
		return fmt.Errorf("%w: cluster %s", cluster.ErrNoNodeAccess, c.name)
	}
	others, err := c.unreached(ctx)
	if err != nil || len(others) == 0 {
		return err
	}
	e := &OthersError{Lack: "cannot be reached"}
	for _, o := range others {
		e.Nodes = append(e.Nodes, o.Node)
	}
	return e
}

// step changes one API server. Before is what it will have when the step runs.
func (s *podOnNode) step(summary string, before Flags, want func(Flags) Flags, patience time.Duration) plan.Step {
	return plan.Step{
		Link:    plan.Issuer,
		Action:  plan.Update,
		Summary: summary,
		Diff:    diffLines(before.lines(), want(before).lines()),
		Do: func(ctx context.Context) error {
			return replaceManifest(ctx, s.Node, s.pod, patience, func(now *podOnNode) ([]byte, error) {
				return now.With(want(now.Flags))
			})
		},
	}
}

// lines are the flags as they stand on a command line.
func (f Flags) lines() []string {
	var lines []string
	if f.APIAudiences != nil {
		lines = append(lines, "--"+audiencesFlag+"="+strings.Join(f.APIAudiences, ","))
	}
	for _, iss := range f.Issuers {
		lines = append(lines, "--"+issuerFlag+"="+iss)
	}
	if f.JWKSURI != "" {
		lines = append(lines, "--"+jwksFlag+"="+f.JWKSURI)
	}
	for _, file := range f.KeyFiles {
		lines = append(lines, "--"+keyFilesFlag+"="+file)
	}
	if f.SigningKeyFile != "" {
		lines = append(lines, "--"+signingKeyFlag+"="+f.SigningKeyFile)
	}
	if f.PrivateKeyFile != "" {
		lines = append(lines, "--"+privateKeyFlag+"="+f.PrivateKeyFile)
	}
	return lines
}

// replaceManifest gives a node the manifest that change makes of the present one, and
// waits until its API server, or controller manager, is healthy with it. It mends what
// an earlier run left when it was killed at any point:
//
//   - before the new manifest was written, nothing has happened;
//   - after it, the provenFile holds the manifest to go back to, and change
//     finds nothing to do but the waiting;
//   - when the new manifest is proven, the provenFile goes.
func replaceManifest(ctx context.Context, n node.Node, pod staticPod, patience time.Duration, change func(*podOnNode) ([]byte, error)) error {
	now, err := readPod(ctx, n, pod)
	if err != nil {
		return err
	}
	text, err := change(now)
	if err != nil {
		return fmt.Errorf("editing %s on node %s: %w", pod.manifestFile(), n.Name, err)
	}
	next, err := pod.parse(text)
	if err != nil {
		return err
	}
	if !bytes.Equal(text, now.text) {
		if newIssuer(next.Flags, now.Flags) && (now.former == nil || !newIssuer(now.Flags, now.former.Flags)) {
			if err := n.WriteFile(ctx, formerFile, now.text, "0600"); err != nil {
				return err
			}
		}
		proven := !now.unproven
		if !proven { // it may have become healthy after an earlier run was killed
			_, err := check(ctx, n, pod, now.Flags)
			proven = err == nil
		}
		if proven {
			if err := n.WriteFile(ctx, pod.provenFile(), now.text, "0600"); err != nil {
				return err
			}
		}
		if err := n.WriteFile(ctx, pod.manifestFile(), text, "0600"); err != nil {
			return err
		}
	}
	unhealthy := healthy(ctx, n, pod, next.Flags, patience)
	if unhealthy == nil {
		return n.Remove(ctx, pod.provenFile())
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause // interrupted: the next run goes on waiting
	}
	failure := &APIServerError{Program: pod.String(), Node: n.Name, Err: unhealthy, Duration: patience, Log: podLog(ctx, n, pod)}
	failure.Restore = restore(ctx, n, pod, max(patience, DefaultWait))
	return failure
}

// restore goes back to the manifest with which the pod was last healthy.
func restore(ctx context.Context, n node.Node, pod staticPod, patience time.Duration) error {
	text, ok, err := n.ReadFile(ctx, pod.provenFile())
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("there is no former manifest: it was not changed by this program")
	}
	m, err := pod.parse(text)
	if err != nil {
		return err
	}
	if err := n.WriteFile(ctx, pod.manifestFile(), text, "0600"); err != nil {
		return err
	}
	if err := healthy(ctx, n, pod, m.Flags, patience); err != nil {
		return err
	}
	return n.Remove(ctx, pod.provenFile())
}

// newIssuer reports whether flags have an issuer that the former ones lack. If
// not, and yet there is a former manifest, something else, such as a kubeadm
// upgrade, has written the manifest anew, and it is itself the one to go back to.
func newIssuer(now, former Flags) bool {
	return slices.ContainsFunc(now.Issuers, func(iss string) bool { return !slices.Contains(former.Issuers, iss) })
}

// pollInterval is how often a node is asked about its API server.
const pollInterval = time.Second

// healthy waits until the only API server on the node runs with the flags, is
// ready, and serves the discovery document that belongs to them. The flags are
// read from the running process: a manifest says what should run.
//
// A controller manager must run for a while: one that cannot read its key ends
// at once.
func healthy(ctx context.Context, n node.Node, pod staticPod, want Flags, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	var leaving time.Time // since when the former API server does not serve any more
	steady := 0
	for {
		former, err := check(ctx, n, pod, want)
		if pod == controllerPod && err == nil {
			if steady++; steady < controllerSteady {
				err = errors.New("it has only just started")
			}
		} else {
			steady = 0
		}
		if err == nil || context.Cause(ctx) != nil || time.Now().After(deadline) {
			return err
		}
		if former == nil {
			leaving = time.Time{}
		} else if _, err := get(ctx, n, former, "/readyz"); err != nil {
			switch now := time.Now(); {
			case leaving.IsZero():
				leaving = now
			case now.Sub(leaving) > drainTime:
				leaving = now
				if err := hasten(ctx, n, former); err != nil {
					return err
				}
			}
		}
		if err := wait.Sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
}

// controllerSteady is how many times in a row, a pollInterval apart, a
// controller manager must be seen running.
const controllerSteady = 5

// drainTime is what an API server that has stopped serving gets for requests
// that are still under way.
const drainTime = 3 * time.Second

// check is nil if the pod is healthy. Otherwise former is the command line of
// the API server with other flags that still runs, if one does.
func check(ctx context.Context, n node.Node, pod staticPod, want Flags) (former []string, err error) {
	commandLines, err := processes(ctx, n, pod)
	switch {
	case err != nil:
		return nil, err
	case len(commandLines) == 0:
		return nil, fmt.Errorf("no %s runs", pod)
	case len(commandLines) > 1:
		return nil, fmt.Errorf("the former %s still runs beside the new one", pod)
	}
	flags, err := parseFlags(commandLines[0])
	if err != nil {
		return nil, err
	}
	if !flags.equal(want) {
		err = fmt.Errorf("the running %s has other flags than its manifest: %s", pod, strings.Join(flags.lines(), " "))
		if pod != apiServerPod {
			return nil, err
		}
		return commandLines[0], err
	}
	if pod != apiServerPod {
		return nil, nil
	}
	return nil, serves(ctx, n, commandLines[0], want)
}

// serves asks an API server whether it is ready and whether its discovery
// document is the one of its flags.
func serves(ctx context.Context, n node.Node, commandLine []string, want Flags) error {
	if _, err := get(ctx, n, commandLine, "/readyz"); err != nil {
		return fmt.Errorf("asking whether it is ready: %w", err)
	}
	if len(want.Issuers) == 0 || !strings.HasPrefix(want.Issuers[0], "https://") {
		return nil // no discovery document for such an issuer (NewOpenIDMetadataProvider)
	}
	b, err := get(ctx, n, commandLine, issuer.DiscoveryPath)
	if err != nil {
		return fmt.Errorf("reading its discovery document: %w", err)
	}
	var doc struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return fmt.Errorf("reading its discovery document: %w", err)
	}
	if doc.Issuer != want.Issuers[0] || want.JWKSURI != "" && doc.JWKSURI != want.JWKSURI {
		return fmt.Errorf("its discovery document has issuer %q and jwks_uri %q", doc.Issuer, doc.JWKSURI)
	}
	return nil
}

// public reports whether relying parties outside of the cluster may read an
// issuer's documents. The default of a cluster is not: its host is the API
// server's Service, whatever the cluster's domain.
func public(iss string) bool {
	u, err := url.Parse(iss)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	switch host {
	case "kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost":
		return false
	}
	return !strings.HasPrefix(host, "kubernetes.default.svc.") && !strings.HasSuffix(host, ".cluster.local")
}

// RemoveIssuer gives the API servers their former flags, and removes every
// file that this package left on the nodes. Nothing is done to an API server
// that SetIssuer has not changed, such as that of a kind cluster which was
// created with the issuer.
//
// Running pods notice nothing: first the former issuer signs again while
// tokens of opts.URL are still accepted; then kubelet is restarted on the
// nodes whose pods carry such tokens, which renews them; only when none is
// left, and clients had the minute that client-go takes to read its token
// file again, is the issuer refused. With one node this takes two restarts of
// the API server and that minute, about two minutes in all; opts.Immediately
// takes one restart and no minute: kubelet is restarted when the issuer is
// refused already, and pods that carry its tokens, kube-proxy among them, are
// refused until they read the new ones.
//
// Kubelet on nodes that cannot be reached renews the tokens in its own time: a
// step then waits for it, or is a [*TokensError] if that takes longer than
// opts.Wait. If an API server that cannot be reached still signs with opts.URL,
// it is an [*OthersError]. In both cases the API servers that can be reached sign
// with the former issuer by then, and RemoveIssuer goes on later.
//
// A zero opts.URL means every issuer that an API server has more than before it
// was first changed.
func (c *ControlPlane) RemoveIssuer(ctx context.Context, opts IssuerOptions) ([]plan.Step, error) {
	servers, err := c.readAPIServers(ctx)
	if err != nil {
		return nil, err
	}
	others, err := c.unreached(ctx)
	if err != nil {
		return nil, err
	}
	if opts.URL.IsZero() { // nobody knows any more: what was not there before
		for _, s := range servers {
			if s.former != nil {
				opts.Own = append(opts.Own, slices.DeleteFunc(slices.Clone(s.Flags.Issuers), func(iss string) bool { return slices.Contains(s.former.Flags.Issuers, iss) })...)
			}
		}
	}
	var steps, remove, files []plan.Step
	for _, s := range servers {
		if s.former == nil {
			continue // not ours
		}
		before := s.Flags
		// Several API servers must agree on who issues, whatever the hurry.
		if !opts.Immediately || len(servers)+len(others) > 1 {
			if step := s.demotion(opts); step.Do != nil {
				steps = append(steps, step)
				before = demoted(s, opts)
			}
		}
		if want := s.formerFlags(opts); !want.equal(before) || s.unproven || !s.running {
			remove = append(remove, after(func(ctx context.Context) error { return c.othersDemoted(ctx, opts) }, plan.Step{
				Link: plan.Issuer, Action: plan.Update,
				Summary: "API server on node " + s.Name,
				Diff:    diffLines(before.lines(), want.lines()),
				Do: func(ctx context.Context) error {
					return replaceManifest(ctx, s.Node, apiServerPod, opts.wait(), func(now *podOnNode) ([]byte, error) {
						return now.formerText(opts)
					})
				},
			}))
		}
		files = append(files, plan.Step{
			Link: plan.Issuer, Action: plan.Delete,
			Summary: "manifest backup on node " + s.Name,
			Do:      func(ctx context.Context) error { return s.Remove(ctx, nodeDir, tempFile) },
		})
	}
	switch {
	case opts.Immediately && len(files) > 0: // and not remove, which is empty in a run after a crash
		remove = append(remove, c.lateRenewal(opts, servers[0].Flags.audiences()))
	case len(remove) > 0:
		steps = append(steps, c.renewal(opts, servers[0].Flags.audiences()))
	}
	return slices.Concat(steps, remove, files), nil
}

// demotion has the former issuer sign again. The step has no Do if it does.
func (s *podOnNode) demotion(opts IssuerOptions) plan.Step {
	want := demoted(s, opts)
	if want.equal(s.Flags) {
		return plan.Step{}
	}
	return plan.Step{
		Link: plan.Issuer, Action: plan.Update,
		Summary: "API server on node " + s.Name + ": sign with the former issuer",
		Diff:    diffLines(s.Flags.lines(), want.lines()),
		Do: func(ctx context.Context) error {
			return replaceManifest(ctx, s.Node, apiServerPod, opts.wait(), func(now *podOnNode) ([]byte, error) {
				return now.With(demoted(now, opts))
			})
		},
	}
}

// renewal waits until pods have tokens of the former issuer, and their clients
// have had time to notice.
func (c *ControlPlane) renewal(opts IssuerOptions, audiences []string) plan.Step {
	return plan.Step{
		Link: plan.Issuer, Action: plan.Update,
		Summary: "tokens of running pods",
		Do: func(ctx context.Context) error {
			if err := c.othersDemoted(ctx, opts); err != nil {
				return err
			}
			if err := c.renewedElsewhere(ctx, opts, audiences); err != nil {
				return err
			}
			return c.renewTokens(ctx, opts, audiences)
		},
	}
}

// lateRenewal has kubelet renew the tokens that are refused by now, and waits
// for nothing.
func (c *ControlPlane) lateRenewal(opts IssuerOptions, audiences []string) plan.Step {
	return plan.Step{
		Link: plan.Issuer, Action: plan.Update,
		Summary: "tokens of running pods",
		Do: func(ctx context.Context) error {
			refused, _, err := c.carrying(ctx, opts, audiences)
			if err != nil {
				return err
			}
			return c.pods.RenewTokens(ctx, refused, make(map[string]bool))
		},
	}
}

// demoted are the flags with which the former issuer signs and ours is still
// accepted.
func demoted(s *podOnNode, opts IssuerOptions) Flags {
	want := s.Flags
	former := s.formerFlags(opts)
	if len(want.Issuers) == 0 || slices.Contains(former.Issuers, want.Issuers[0]) || s.former == nil {
		return want
	}
	ours := slices.DeleteFunc(slices.Clone(want.Issuers), func(iss string) bool { return slices.Contains(former.Issuers, iss) })
	want.Issuers = append(slices.Clone(former.Issuers), ours...)
	want.JWKSURI = former.JWKSURI
	return want
}

// formerFlags are the flags without what we added. What others have changed
// meanwhile stays.
func (s *podOnNode) formerFlags(opts IssuerOptions) Flags {
	want := s.Flags
	if s.former == nil {
		return want
	}
	former := s.former.Flags
	want.Issuers = slices.DeleteFunc(slices.Clone(want.Issuers), func(iss string) bool {
		return opts.owns(iss) && !slices.Contains(former.Issuers, iss)
	})
	if len(want.Issuers) == 0 {
		want.Issuers = former.Issuers
	}
	isOurs := func(jwks string) bool {
		return jwks == opts.URL.JWKS() || slices.ContainsFunc(opts.Own, func(iss string) bool {
			u, err := issuer.Parse(iss)
			return err == nil && jwks == u.JWKS()
		})
	}
	if isOurs(want.JWKSURI) {
		want.JWKSURI = former.JWKSURI
	}
	if former.APIAudiences == nil && slices.Equal(want.APIAudiences, former.Issuers) {
		want.APIAudiences = nil
	}
	return want
}

// formerText is the manifest with the former flags: byte for byte the one
// before our first change, unless something else in it has changed since.
func (s *podOnNode) formerText(opts IssuerOptions) ([]byte, error) {
	want := s.formerFlags(opts)
	if s.former == nil || want.equal(s.Flags) {
		return s.text, nil
	}
	same, err := s.sameBut(s.former)
	if err != nil {
		return nil, err
	}
	if same && want.equal(s.former.Flags) {
		return s.former.text, nil
	}
	return s.With(want)
}

// renewTokens returns when no pod has a token for the API server from one of
// our issuers any more, and the newest token is as old as token.ClientReload.
func (c *ControlPlane) renewTokens(ctx context.Context, opts IssuerOptions, audiences []string) error {
	deadline := time.Now().Add(opts.wait())
	restarted := make(map[string]bool)
	for {
		ours, newest, err := c.carrying(ctx, opts, audiences)
		if err != nil {
			return err
		}
		if len(ours) == 0 {
			return wait.Sleep(ctx, min(time.Until(newest.Add(token.ClientReload)), token.ClientReload))
		}
		if err := c.pods.RenewTokens(ctx, ours, restarted); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			slices.SortFunc(ours, func(a, b cluster.Token) int { return cmp.Compare(a.String(), b.String()) })
			return fmt.Errorf("after %s, %d pods still have tokens of the issuer to be removed, such as %s; the former issuer signs again and both are accepted: run the same command again later, or delete these pods", opts.wait(), len(ours), ours[0])
		}
		if err := wait.Sleep(ctx, 2*time.Second); err != nil {
			return err
		}
	}
}

// carrying are the tokens for the API server from one of our issuers that pods
// have, and when the newest of the others was issued.
func (c *ControlPlane) carrying(ctx context.Context, opts IssuerOptions, audiences []string) (ours []cluster.Token, newest time.Time, err error) {
	tokens, err := c.pods.ProjectedTokens(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	for _, t := range tokens {
		switch {
		case !slices.ContainsFunc(t.Audiences, func(aud string) bool { return slices.Contains(audiences, aud) }):
		case opts.owns(t.Issuer):
			ours = append(ours, t)
		case t.IssuedAt.After(newest):
			newest = t.IssuedAt
		}
	}
	return ours, newest, nil
}

// diffLines shows two short lists as what goes and what comes.
func diffLines(before, after []string) string {
	var b strings.Builder
	if slices.Equal(before, after) {
		return ""
	}
	for _, s := range before {
		if !slices.Contains(after, s) {
			fmt.Fprintf(&b, "- %s\n", s)
		}
	}
	for _, s := range after {
		mark := "+"
		if slices.Contains(before, s) {
			mark = " "
		}
		fmt.Fprintf(&b, "%s %s\n", mark, s)
	}
	return b.String()
}
