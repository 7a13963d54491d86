// Package chaintest gives a suite of tests the whole chain on the cluster of its
// kubeconfig, with an emulator in the cluster for AWS: pods get IAM roles as they
// do in EKS, and no AWS account is needed.
//
// A test calls [Up], [Chain.Grant] and, if it has no pods of its own, [Chain.Run]. For
// EKS Pod Identity it calls Up with PodIdentity, and [Chain.Associate] instead of Grant.
//
// From TestMain, where there is no t, use [Start] and [Chain.Down]; with
// sigs.k8s.io/e2e-framework use [Setup], [Finish] and [From].
//
// When a test fails, what AWS refused to the service accounts that it was granted
// is in its log, with the emulator's reasons.
package chaintest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/openirsa/openirsa/pkg/chain"
)

// within is how long the chain may take to come up or to go: programs are built,
// images are loaded into nodes, and API servers restart.
const within = 10 * time.Minute

// Options say on which cluster the chain is made, and of which programs. The zero
// Options mean the kind cluster of the current context, or the only kind cluster,
// and an image that is built.
type Options struct {
	// Cluster says which cluster is meant. AWS is always the emulator.
	Cluster chain.Options
	// Up says how the chain is made. With neither Image nor Build, the image is
	// made of programs that are built with the Go toolchain, which then has to be
	// there, from the source of this module: in the version that the tests' own
	// module requires, with the versions of libraries that it was released with.
	Up chain.UpOptions
	// PodIdentity installs EKS Pod Identity too, as Up.PodIdentity does: the agent on each
	// node, and the associations of [Chain.Associate].
	PodIdentity bool
	// Log has what is done, a line at a time. Nil: silence, and in [Up] the log
	// of the test.
	Log func(line string)
}

// Chain is a chain on a cluster. Its methods may be called by several tests at
// the same time.
type Chain struct {
	Chain *chain.Chain

	options   Options
	explained sync.Map // of explanation
	left      sync.Map // by NAMESPACE/NAME, when its association was deleted
}

// Up makes the chain and removes it at the end of t. It fails t if either does not
// succeed. One with an emulator that is there already, such as that of a test which
// was killed, is used, and removed too; one on AWS is an error.
func Up(t testing.TB, o Options) *Chain {
	t.Helper()
	if o.Log == nil {
		o.Log = func(line string) { t.Log(line) }
	}
	c, err := Start(t.Context(), o)
	if err != nil {
		t.Fatalf("chaintest: %v", err)
	}
	t.Cleanup(func() {
		// t's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), within)
		defer cancel()
		if err := c.Down(ctx); err != nil {
			t.Errorf("chaintest: removing the chain: %v", err)
		}
	})
	return c
}

// Start is [Up] for where there is no t. Whoever calls it calls [Chain.Down] at the
// end. If there is an error, what was made has been removed again.
func Start(ctx context.Context, o Options) (*Chain, error) {
	o.Cluster.Emulator = true
	if o.PodIdentity {
		o.Up.PodIdentity = &o.PodIdentity
	}
	ch, err := chain.Open(ctx, o.Cluster)
	if err != nil {
		return nil, err
	}
	if o.Up.Image == "" && o.Up.Build == nil {
		dir, err := os.MkdirTemp("", "openirsa-programs-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir) // read again when the image is loaded into a node
		o.Up.Build = func(arch string) (chain.Image, error) {
			if err := build(ctx, dir, arch); err != nil {
				return chain.Image{}, err
			}
			return chain.Programs(dir)(arch)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("the chain was not up within %v", within))
	defer cancel()
	earlier := ch.Installed
	if _, err := ch.Up(ctx, o.Up, observer{o.Log}); err != nil {
		if !earlier { // one of which it is not known whether it is a test's stays
			err = errors.Join(err, remove(context.WithoutCancel(ctx), o))
		}
		return nil, err
	}
	return &Chain{Chain: ch, options: o}, nil
}

// remove removes what a run that failed has made.
func remove(ctx context.Context, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	ch, err := chain.Open(ctx, o.Cluster)
	if err != nil {
		return err
	}
	return (&Chain{Chain: ch, options: o}).Down(ctx)
}

// Down removes the chain, at once: nothing that runs on needs its tokens.
func (c *Chain) Down(ctx context.Context) error {
	_, err := c.Chain.Down(ctx, chain.DownOptions{Immediately: true}, observer{c.options.Log})
	return err
}
