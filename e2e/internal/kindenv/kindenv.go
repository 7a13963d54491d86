// Package kindenv brings up real kind clusters for end-to-end tests, on any machine that has the Go toolchain.
//
// There are two ways to a cluster, and Up chooses by itself and says which it took and why:
//
//   - Kind: a container daemon works and a registry answers. The clusters are what every user of kind has:
//     kind's own node image, all defaults.
//   - Built: everything else. Kubernetes, etcd and crictl are compiled from their Go modules, the node image is
//     made from Debian packages and kind's own image files, and a Docker daemon of its own runs in a network
//     namespace of its own. This needs root, apt and the Go module proxy, and nothing more.
//
// What was built is kept in the user's cache folder, never in a checkout; see cache.go. What runs is recorded in
// Dir, so that a later process can clean up after one that was killed.
//
//	env, err := kindenv.Up(ctx, kindenv.Options{Clusters: []string{"a", "b"}})
//	if err != nil { ... }
//	defer env.Down(context.WithoutCancel(ctx))
//	env.Clusters[0].Load(ctx, archive)
//
// Clusters with several control planes have kind's load balancer in front, which is Envoy. No Debian package has that: in
// built ones a program of our own stands in for it (scripts/balancer).
//
// CoreDNS is left out of built clusters: it would add two minutes of compiling, and what is tested there is
// addressed by ClusterIP.
package kindenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/kind/pkg/apis/config/defaults"
)

// Versions of what is built. Kubernetes is the version of client-go in go.mod, so that what the tests compile is
// shared with what the cluster runs.
const (
	Kubernetes = "v1.37.2"
	criTools   = "v1.36.0"
)

// shared are modules that Kubernetes has in common with our own programs, at the versions of go.mod, which are not below
// its own. So the API's types and client-go are compiled once for both.
var shared = []string{
	"github.com/go-logr/logr v1.4.4",
	"golang.org/x/crypto v0.58.0",
	"golang.org/x/net v0.62.0",
	"golang.org/x/oauth2 v0.37.0",
	"golang.org/x/sys v0.49.0",
	"golang.org/x/term v0.47.0",
	"golang.org/x/text v0.43.0",
	"google.golang.org/protobuf v1.36.12",
}

// Route is the way to a cluster.
type Route string

const (
	Auto  Route = ""      // choose
	Kind  Route = "kind"  // kind's own node image from a registry, the machine's own container daemon
	Built Route = "built" // everything built here
)

// Shape is what a cluster is made of.
type Shape struct {
	// ControlPlanes is how many nodes it has, each of them a control plane.
	ControlPlanes int
	// Tuned has it wait less and take less of the machine. kubelet starts a container that ended again within seconds,
	// however often it ends, and looks after each pod every ten seconds: by itself it waits for up to five minutes, and
	// looks once a minute. Controllers elect no leader where there is one node. Memory is collected later, and
	// etcd does not wait for its disk.
	Tuned bool
}

// Options of Up. The zero value is one cluster named "openirsa-e2e", by the route that works.
type Options struct {
	// Clusters are the names of the kind clusters. Default: openirsa-e2e.
	Clusters []string
	// Later leaves it to MakeClusters to make them.
	Later bool
	// Shape of each of them.
	Shape Shape
	// Route forces one; Auto tries Kind first.
	Route Route
	// Instance, from 1 to 99, keeps environments on one machine apart: it is part of the names of files, of the
	// network namespace and of the addresses 10.123.<Instance>.0/24. Default: 1.
	Instance int
	// Reuse takes clusters that are up already, if they are the same, instead of making them anew.
	Reuse bool
	// Clients makes the image of AWSCLI at the same time as everything else, not when it is asked for.
	Clients bool
	// Log receives progress, a line at a time. Default: nothing.
	Log io.Writer
}

func (o *Options) defaults() error {
	if len(o.Clusters) == 0 {
		o.Clusters = []string{"openirsa-e2e"}
	}
	if o.Instance == 0 {
		o.Instance = 1
	}
	if o.Instance < 1 || o.Instance > 99 {
		return fmt.Errorf("instance %d: not from 1 to 99", o.Instance)
	}
	if o.Shape.ControlPlanes == 0 {
		o.Shape.ControlPlanes = 1
	}
	if n := o.Shape.ControlPlanes; n < 1 || n > 9 {
		return fmt.Errorf("%d control planes: not from 1 to 9", n)
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	switch o.Route {
	case Auto, Kind, Built:
		return nil
	}
	return fmt.Errorf("route %q: neither %q nor %q", o.Route, Kind, Built)
}

// Env is a running environment.
type Env struct {
	Route Route
	Why   string // the reason for the route, in words
	Dir   string // of this instance: kubeconfig, logs, sockets
	// Kubeconfig holds a context "kind-<name>" for each cluster; the current one is the first cluster's.
	Kubeconfig string
	Clusters   []*Cluster

	opts   Options
	first  []string // the clusters of Options, to which Add adds others
	log    *logger
	lock   *os.File
	daemon *daemon // nil on route Kind
	node   string  // the node image

	registering sync.Mutex // guards opts.Clusters and the record, once Up is done
}

// ErrImpossible is wrapped by errors of Up that say that this machine cannot have a cluster at all: no container
// daemon with a registry, and not Linux, not root or no apt.
var ErrImpossible = errors.New("no cluster is possible on this machine")

// Up makes the clusters and waits until their nodes are ready. It first removes what a killed process left behind
// under the same Instance. On an error nothing is left running.
//
// It sets DOCKER_HOST, PATH and KUBECONFIG of this process (kind's library runs the docker program); Environ has
// them for other processes.
func Up(ctx context.Context, o Options) (*Env, error) {
	return start(ctx, o, (*Env).up)
}

// start makes an environment with up, or leaves nothing.
func start(ctx context.Context, o Options, up func(*Env, context.Context) error) (*Env, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	e := &Env{opts: o, first: slices.Clone(o.Clusters), Dir: instanceDir(o.Instance), log: newLogger(o.Log)}
	e.Kubeconfig = filepath.Join(e.Dir, "kubeconfig")
	if err := os.MkdirAll(e.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of instance %d: %w", o.Instance, err)
	}
	var err error
	if e.lock, err = lockInstance(e.Dir); err != nil {
		return nil, err
	}
	if err := up(e, ctx); err != nil {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		defer cancel()
		return nil, errors.Join(err, e.Down(cleanup))
	}
	return e, nil
}

func (e *Env) up(ctx context.Context) error {
	if e.opts.Reuse && e.reuse(ctx) {
		return nil
	}
	if err := e.clean(ctx); err != nil {
		return err
	}
	r, err := choose(ctx, e.opts.Route, e.log)
	if err != nil {
		return err
	}
	e.Route, e.Why = r.route, r.why
	e.log.printf("route %q: %s", e.Route, e.Why)

	if e.Route == Built {
		if err := installBuilt(ctx, e.log); err != nil {
			return err
		}
	}
	archive, key, err := e.images(ctx)
	if err != nil {
		return err
	}
	e.node = r.image
	if e.Route == Built {
		if e.daemon, e.node, err = e.startDaemon(ctx, archive, key); err != nil {
			return err
		}
		if e.opts.Shape.ControlPlanes > 1 {
			if err := e.daemon.makeBalancer(ctx, e.node); err != nil {
				return err
			}
		}
	}
	if err := e.setenv(); err != nil {
		return err
	}
	if err := e.writeRecord(); err != nil {
		return err
	}
	if e.opts.Later {
		return nil
	}
	return e.MakeClusters(ctx)
}

// MakeClusters makes the clusters of Options that are not there yet, side by side.
func (e *Env) MakeClusters(ctx context.Context) error {
	if len(e.Clusters) > 0 {
		return nil
	}
	var clusters []*Cluster
	var g errgroup.Group
	for i, name := range e.first {
		c := e.newCluster(name)
		clusters = append(clusters, c)
		g.Go(func() error { return c.create(ctx, e, i, e.opts.Shape) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	e.Clusters = clusters
	return nil
}

// Add makes one more cluster, beside those of Up. One of that name that is there is recreated, or with Options.Reuse
// taken. The caller removes it with Remove, or else it goes with the others. Several may be added at the same time.
func (e *Env) Add(ctx context.Context, name string, shape Shape) (*Cluster, error) {
	index, err := e.register(name)
	if err != nil {
		return nil, err
	}
	c := e.newCluster(name)
	if list, err := c.Nodes(); e.opts.Reuse && err == nil && len(list) == shape.ControlPlanes && c.healthy() {
		return c, c.settle(ctx, e.Route)
	}
	if e.Route == Built && shape.ControlPlanes > 1 {
		if err := e.daemon.makeBalancer(ctx, e.node); err != nil {
			return nil, err
		}
	}
	if err := c.create(ctx, e, index, shape); err != nil {
		return nil, errors.Join(err, e.Remove(c))
	}
	return c, nil
}

// register records a cluster, so that it is cleaned up, and returns its index, which is no other one's: its port is
// made of it.
func (e *Env) register(name string) (int, error) {
	e.registering.Lock()
	defer e.registering.Unlock()
	index := slices.Index(e.opts.Clusters, name)
	if index >= 0 {
		return index, nil // made anew
	}
	e.opts.Clusters = append(e.opts.Clusters, name)
	return len(e.opts.Clusters) - 1, e.writeRecord()
}

// Remove deletes a cluster of Add, unless it may be reused.
func (e *Env) Remove(c *Cluster) error {
	if e.opts.Reuse {
		return nil
	}
	defer e.log.step("removed cluster " + c.Name)()
	return c.delete()
}

// record is what Dir remembers of an environment, from before its clusters are made until after they are gone.
type record struct {
	Route    Route
	Clusters []string
}

func (e *Env) recordFile() string { return filepath.Join(e.Dir, "env.json") }

func (e *Env) readRecord() (record, error) {
	var r record
	b, err := os.ReadFile(e.recordFile())
	if os.IsNotExist(err) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return r, fmt.Errorf("reading what is up: %w", err)
	}
	return r, nil
}

func (e *Env) writeRecord() error {
	b, err := json.Marshal(record{e.Route, e.opts.Clusters})
	if err != nil {
		return err
	}
	tmp := e.recordFile() + ".tmp"
	err = os.WriteFile(tmp, b, 0o600)
	if err == nil {
		err = os.Rename(tmp, e.recordFile())
	}
	if err != nil {
		return fmt.Errorf("recording what is up: %w", err)
	}
	return nil
}

// Down removes the clusters and everything else that Up started. It can be called more than once.
func (e *Env) Down(ctx context.Context) error {
	defer e.log.step("down")()
	err := e.clean(ctx)
	e.Release()
	return err
}

// Release leaves the clusters running for a later Up with Reuse, or for Down by another process.
func (e *Env) Release() {
	if e.lock != nil {
		e.lock.Close()
		e.lock = nil
	}
}

// Down removes what runs under an instance, whichever process started it.
func Down(ctx context.Context, o Options) error {
	if err := o.defaults(); err != nil {
		return err
	}
	e := &Env{opts: o, Dir: instanceDir(o.Instance), log: newLogger(o.Log)}
	e.Kubeconfig = filepath.Join(e.Dir, "kubeconfig")
	if _, err := os.Stat(e.Dir); os.IsNotExist(err) {
		return nil
	}
	var err error
	if e.lock, err = lockInstance(e.Dir); err != nil {
		return err
	}
	return e.Down(ctx)
}

// Environ is the environment, as "KEY=value", that programs need to see this environment's clusters.
func (e *Env) Environ() []string {
	env := []string{"KUBECONFIG=" + e.Kubeconfig}
	if e.daemon != nil {
		env = append(env, "DOCKER_HOST="+e.daemon.host(), "PATH="+e.daemon.path())
	}
	return env
}

func (e *Env) setenv() error {
	for _, kv := range e.Environ() {
		for i := range kv {
			if kv[i] == '=' {
				if err := os.Setenv(kv[:i], kv[i+1:]); err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}

// reuse reports whether the clusters of this instance are up and could be taken over.
func (e *Env) reuse(ctx context.Context) bool {
	there, err := e.readRecord()
	if err != nil || there.Route == Auto || (e.opts.Route != Auto && e.opts.Route != there.Route) {
		return false
	}
	e.Route, e.Why = there.Route, "it is up already"
	if e.Route == Built {
		e.daemon = newDaemon(e.opts.Instance, e.Dir, e.log)
		if !e.daemon.answers(ctx) {
			e.daemon = nil
			return false
		}
	}
	if err := e.setenv(); err != nil {
		return false
	}
	if e.node = defaults.Image; e.Route == Built {
		if e.node, err = e.daemon.docker(ctx, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", nodeRepository); err != nil {
			return false
		}
		e.node, _, _ = strings.Cut(e.node, "\n")
	}
	for _, name := range e.opts.Clusters {
		c := e.newCluster(name)
		if !c.healthy() {
			e.Clusters = nil
			return false
		}
		e.Clusters = append(e.Clusters, c)
	}
	e.log.printf("route %q: %s", e.Route, e.Why)
	return true
}

// clean removes the clusters, the daemon and the files of this instance, however much of them there is.
func (e *Env) clean(ctx context.Context) error {
	there, err := e.readRecord()
	errs := []error{err}
	if there.Route == Kind {
		for _, name := range there.Clusters {
			errs = append(errs, e.newCluster(name).delete())
		}
	}
	if os.Geteuid() == 0 {
		errs = append(errs, newDaemon(e.opts.Instance, e.Dir, e.log).remove(ctx))
	}
	e.Clusters, e.daemon = nil, nil
	// The lock file stays: removing it would let two processes hold "the" lock.
	if err := errors.Join(errs...); err != nil {
		return err // and the record stays for another try
	}
	for _, f := range []string{e.recordFile(), e.Kubeconfig, e.Kubeconfig + ".lock"} {
		if err := os.Remove(f); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

// instanceDir is where an instance keeps what must be found again by the next process: short, because the paths
// of sockets in it may have 107 bytes.
func instanceDir(instance int) string {
	base := "/run/openirsa-e2e"
	if os.Geteuid() != 0 {
		base = filepath.Join(os.TempDir(), "openirsa-e2e-"+strconv.Itoa(os.Getuid()))
	}
	return filepath.Join(base, strconv.Itoa(instance))
}

// Build makes everything that Up and AWSCLI take from the cache, by the route that Up would take, and starts nothing.
func Build(ctx context.Context, o Options) error {
	if err := o.defaults(); err != nil {
		return err
	}
	e := &Env{opts: o, log: newLogger(o.Log)}
	r, err := choose(ctx, o.Route, e.log)
	if err != nil {
		return err
	}
	e.Route = r.route
	e.log.printf("route %q: %s", r.route, r.why)
	if e.Route == Built {
		if err := installBuilt(ctx, e.log); err != nil {
			return err
		}
	}
	o.Clients = true
	e.opts = o
	_, _, err = e.images(ctx)
	return err
}

// images makes what the route needs: on the route Built the node image, whose archive and key it returns, and
// with Options.Clients the image of AWSCLI. They are made side by side: one waits for compilers, the other for
// package scripts.
func (e *Env) images(ctx context.Context) (archive, key string, err error) {
	g, ctx := errgroup.WithContext(ctx)
	if e.Route == Built {
		g.Go(func() error {
			var err error
			archive, key, err = nodeImage(ctx, e.log)
			return err
		})
	}
	if e.opts.Clients {
		g.Go(func() error { _, err := e.AWSCLI(ctx); return err })
	}
	err = g.Wait()
	return archive, key, err
}
