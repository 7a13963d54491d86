package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
)

// Names of the two kind clusters. The chain is made on the first; the second has the same namespaces and service
// accounts and no chain.
const (
	mainCluster  = "openirsa-e2e"
	otherCluster = "openirsa-e2e-other"
)

// What TestMain made for all tests.
var (
	suite       context.Context // ends with an interrupt, and before the test binary's own timeout
	environment *kindenv.Env
	primary     *kube  // the cluster with the chain
	secondary   *kube  // the second cluster
	bin         string // folder of the programs
	home        string // an empty home folder for the programs, so that no configuration of the machine's user counts

	awscli kindenv.Image // AWS CLI 2, boto3 and a shell
	client kindenv.Image // ./client
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	if f := flag.Lookup("test.list"); testing.Short() || (f != nil && f.Value.String() != "") {
		if testing.Short() {
			fmt.Fprintln(os.Stderr, "SKIP: end-to-end tests are not short")
			return 0
		}
		return m.Run()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The test binary's own timeout panics, and then nothing takes the clusters down.
	if d, err := time.ParseDuration(flag.Lookup("test.timeout").Value.String()); err == nil && d > 4*time.Minute {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d-2*time.Minute, errors.New("the tests' -timeout is near"))
		defer cancel()
	}
	suite = ctx

	o := kindenv.Options{
		Clusters: []string{mainCluster, otherCluster}, Later: true, Shape: kindenv.Shape{Tuned: true}, Clients: true, Log: os.Stderr,
		Route: kindenv.Route(os.Getenv("OPENIRSA_E2E_ROUTE")), Reuse: os.Getenv("OPENIRSA_E2E_KEEP") != "",
	}
	if s := os.Getenv("OPENIRSA_E2E_INSTANCE"); s != "" {
		var err error
		if o.Instance, err = strconv.Atoi(s); err != nil {
			fmt.Fprintf(os.Stderr, "FAIL: OPENIRSA_E2E_INSTANCE: %v\n", err)
			return 1
		}
	}
	start := time.Now()
	env, err := kindenv.Up(ctx, o)
	if errors.Is(err, kindenv.ErrImpossible) && os.Getenv("CI") != "true" {
		fmt.Fprintf(os.Stderr, "SKIP: %v\n", err)
		return 0
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "FAIL: making what clusters need: %v\n", err)
		return 1
	}
	environment = env
	defer func() {
		if o.Reuse {
			env.Release()
			fmt.Fprintf(os.Stderr, "the clusters stay up: go run ./cmd/kindenv down --instance %d\n", max(o.Instance, 1))
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := env.Down(ctx); err != nil {
			fmt.Fprintf(os.Stderr, "taking the clusters down: %v\n", err)
		}
	}()
	if err := prepare(ctx, env); err != nil {
		fmt.Fprintf(os.Stderr, "FAIL: preparing the tests: %v\n", err)
		return 1
	}
	defer os.RemoveAll(home)
	fmt.Fprintf(os.Stderr, "images after %.0fs\n", time.Since(start).Seconds())
	return m.Run()
}

func prepare(ctx context.Context, env *kindenv.Env) (err error) {
	if bin = os.Getenv("OPENIRSA_BIN"); bin == "" {
		bin = filepath.Join("..", "bin")
	}
	if bin, err = filepath.Abs(bin); err != nil {
		return err
	}
	if home, err = os.MkdirTemp("", "openirsa-e2e-home"); err != nil {
		return err
	}
	if awscli, err = env.AWSCLI(ctx); err != nil {
		return err
	}
	client, err = kindenv.Program(ctx, home, "./client", "openirsa.dev/e2e/client")
	return err
}

// needClusters makes the two clusters, once. A test calls it before it runs beside others: TestControlPlanes comes before
// the first that does, and nodes that nobody uses yet would take their part of the machine.
func needClusters(t *testing.T) {
	t.Helper()
	if err := makeClusters(); err != nil {
		t.Fatalf("bringing the clusters up: %v", err)
	}
}

var makeClusters = sync.OnceValue(func() (err error) {
	if err := environment.MakeClusters(suite); err != nil {
		return err
	}
	primary, err = newKube(environment.Clusters[0], filepath.Join(home, "kubeconfig-main"))
	if err != nil {
		return err
	}
	secondary, err = newKube(environment.Clusters[1], filepath.Join(home, "kubeconfig-other"))
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.Go(func() error { return primary.Load(suite, client, awscli) })
	g.Go(func() error { return secondary.Load(suite, client) })
	return g.Wait()
})
