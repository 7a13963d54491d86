package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"

	"github.com/openirsa/openirsa/pkg/record"
)

// leaseFlags name the Lease by which replicas elect one of them.
type leaseFlags struct {
	elect           bool
	namespace, name string
}

func (l *leaseFlags) add(f *pflag.FlagSet) {
	f.BoolVar(&l.elect, "leader-elect", true, "elect one of several replicas by a Lease")
	f.StringVar(&l.namespace, "lease-namespace", "", "namespace of the Lease. Without: that of the pod, or else openirsa-system")
	f.StringVar(&l.name, "lease-name", "issuer-publish", "name of the Lease")
}

// Times of the election, those of kube-controller-manager.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// podNamespace is where a pod finds the name of its namespace.
const podNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// election elects one of several replicas.
type election struct {
	lease *resourcelock.LeaseLock
	log   *slog.Logger
	me    string // the name of this replica
}

// lead calls work whenever this replica is elected, with a context that ends when it
// no longer is or when ctx ends, and releases the lease after work has returned. It
// returns with ctx, or with work's error.
func (l *leaseFlags) lead(ctx context.Context, log *slog.Logger, connect func() (*rest.Config, error),
	work func(context.Context) error) error {
	if !l.elect {
		return work(ctx)
	}
	config, err := connect()
	if err != nil {
		return err
	}
	e, err := l.election(log, config)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := e.term(ctx, work); err != nil {
			return err
		}
	}
	return nil
}

func (l *leaseFlags) election(log *slog.Logger, config *rest.Config) (*election, error) {
	client, err := coordination.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	namespace := l.namespace
	if namespace == "" {
		namespace = record.Namespace
		if b, err := os.ReadFile(podNamespace); err == nil {
			namespace = strings.TrimSpace(string(b))
		}
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("naming this replica: %w", err)
	}
	e := &election{me: host + "_" + string(uuid.NewUUID()), log: log.With("lease", namespace+"/"+l.name)}
	e.lease = &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: l.name},
		Client:     client,
		LockConfig: resourcelock.ResourceLockConfig{Identity: e.me},
	}
	klog.SetSlogLogger(e.log) // of client-go
	return e, nil
}

// term waits until this replica is elected, works, and returns when it no longer leads
// or ctx ends.
func (e *election) term(ctx context.Context, work func(context.Context) error) error {
	// The election outlives ctx by as long as work takes to end.
	election, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:          e.lease,
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				e.log.Info("this replica is elected")
				working, cancel := context.WithCancel(ctx)
				defer cancel()
				context.AfterFunc(leading, cancel)
				ended <- work(working)
				stop()
			},
			OnStoppedLeading: func() {},
			OnNewLeader: func(identity string) {
				if identity != e.me {
					e.log.Info("another replica is elected", "replica", identity)
				}
			},
		},
	})
	if err != nil {
		return fmt.Errorf("electing a replica: %w", err)
	}
	undo := context.AfterFunc(ctx, func() {
		if !elector.IsLeader() {
			stop()
		}
	})
	elector.Run(election)
	lost := election.Err() == nil // and not given up
	undo()
	stop()
	if lost {
		e.log.Warn("the election is lost")
		return <-ended
	}
	select {
	case err := <-ended:
		return err
	default: // it was never won
		return nil
	}
}
