package chain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/podidentity"
)

// UnverifiedError is a service account of which a pod does not get its role by EKS Pod
// Identity, as was tried: nothing of IRSA is removed, and nothing more is restarted.
type UnverifiedError struct {
	// Account is NAMESPACE/NAME.
	Account string
	// Err is what is wrong: [ErrNoAgent], [ErrOtherSession], that of [podidentity.Exchange],
	// or the API server's, which has made no token for the pod.
	Err error
}

func (e *UnverifiedError) Error() string {
	return fmt.Sprintf("%s: pods of %s do not get their role by EKS Pod Identity, so that IRSA stays: %v", plan.PodIdentity, e.Account, e.Err)
}
func (e *UnverifiedError) Unwrap() error { return e.Err }

// ErrOtherSession is a session that EKS Auth gave and that is not what is expected.
var ErrOtherSession = errors.New("EKS Auth gave another session")

// UntriedError is a service account without a pod on a node: there is nothing by which EKS
// Auth could be asked.
type UntriedError struct {
	// Account is NAMESPACE/NAME.
	Account string
}

func (e *UntriedError) Error() string {
	return fmt.Sprintf("%s: no pod of %s runs, so that EKS Auth was not asked for its role", plan.PodIdentity, e.Account)
}

// trial is what came of trying EKS Pod Identity for a service account.
type trial struct {
	pod, session string // whose token it was, and the ARN; empty without a pod
	err          error
}

// verify tries EKS Pod Identity for service accounts that have an association, as far as
// that goes from outside of a pod: an agent is ready on each node where their pods run, and
// EKS Auth gives a session of the role for the token of one of them. What may be different
// a moment later is tried again for as long as the run may wait: IAM and EKS take some
// seconds to know everywhere what was changed. The error is an [*UnverifiedError].
func (m *moveRun) verify(ctx context.Context, moves []Move) error {
	waits, cancel := context.WithTimeoutCause(ctx, m.o.Wait, fmt.Errorf("not after %s", m.o.Wait))
	defer cancel()
	start := time.Now()
	var failed *UnverifiedError
	for pause := 250 * time.Millisecond; len(moves) > 0; pause = min(2*pause, 4*time.Second) {
		m.run.Start(plan.PodIdentity, fmt.Sprintf("asking EKS Auth for pods of %s", some(moves)))
		trials, err := m.try(waits, moves)
		left, failure := m.settle(moves, trials, start)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case waits.Err() != nil && failed != nil && (err != nil || failure != nil):
			return failed // what was cut off says less
		case err != nil:
			return err
		case failure == nil:
			return nil
		case !passes(failure.Err):
			return failure
		}
		moves, failed = left, failure
		if wait.Sleep(waits, pause) != nil {
			return cmp.Or(context.Cause(ctx), error(failed))
		}
	}
	return nil
}

// settle tells what came of trials. It returns those that failed, and of these why the
// first one did, or better one that will not pass.
func (m *moveRun) settle(moves []Move, trials []trial, start time.Time) (left []Move, failure *UnverifiedError) {
	for i, t := range trials {
		account := moves[i].String()
		switch {
		case t.err != nil:
			left = append(left, moves[i])
			if failure == nil || passes(failure.Err) && !passes(t.err) {
				failure = &UnverifiedError{Account: account, Err: t.err}
			}
		case t.pod == "":
			m.run.Note(&UntriedError{Account: account})
		default:
			m.run.Done(plan.Result{Link: plan.PodIdentity, Outcome: plan.Unchanged, Object: account + ", pod " + t.pod + " gets " + t.session,
				Took: time.Since(start)})
		}
	}
	return left, failure
}

// some is the only one, or how many there are.
func some(moves []Move) string {
	if len(moves) == 1 {
		return moves[0].String()
	}
	return fmt.Sprintf("%d service accounts", len(moves))
}

// try is one attempt, for many at a time.
func (m *moveRun) try(ctx context.Context, moves []Move) ([]trial, error) {
	agent, err := m.agent(ctx)
	if err != nil {
		return nil, err
	}
	trials := make([]trial, len(moves))
	var group errgroup.Group
	group.SetLimit(8)
	for i := range moves {
		group.Go(func() error {
			trials[i] = m.tryOne(ctx, agent, moves[i])
			return nil
		})
	}
	return trials, group.Wait()
}

// tryOne looks for a pod of a service account, and has its token exchanged.
func (m *moveRun) tryOne(ctx context.Context, agent *doctor.Agent, one Move) trial {
	pods, err := m.Cluster.PodsOf(ctx, one.Namespace, one.Name)
	if err != nil {
		return trial{err: err}
	}
	one.see(pods)
	if err := unanswered(agent, one.running); err != nil || len(one.running) == 0 {
		return trial{err: err}
	}
	// A new pod rather than one of before: kubelet has such a token for it.
	pod := one.running[max(0, slices.IndexFunc(one.running, func(p cluster.Pod) bool { return p.PodIdentity }))]
	token, err := m.Cluster.CredentialsToken(ctx, pod)
	if err != nil {
		return trial{err: err}
	}
	config := m.Account.Config.Copy()
	config.Region = cmp.Or(m.Record.Region, config.Region)
	session, err := podidentity.Exchange(ctx, config, m.Record.Cluster, token)
	want := fmt.Sprintf("arn:%s:sts::%s:assumed-role/%s/eks-", m.Record.Partition, m.Record.Account, one.role.Name)
	switch {
	case err != nil:
		err = fmt.Errorf("the token of pod %s: %w", pod, err)
	case !strings.HasPrefix(session, want):
		err = fmt.Errorf("%w for the token of pod %s: it is %s, and should begin with %s", ErrOtherSession, pod, session, want)
	}
	return trial{pod: pod.String(), session: session, err: err}
}

// agent is that of the nodes.
func (m *moveRun) agent(ctx context.Context) (*doctor.Agent, error) {
	a := m.Agent(ctx)
	if err := errors.Join(a.Err, a.PodsErr); err != nil {
		return nil, fmt.Errorf("%s: looking for the agent: %w", plan.PodIdentity, err)
	}
	return &a, nil
}

// passes reports whether what EKS Pod Identity failed for may be different a moment later.
func passes(err error) bool {
	refused, ok := errors.AsType[*podidentity.RefusedError](err)
	if !ok {
		return !errors.Is(err, ErrOtherSession) && !apierrors.IsForbidden(err)
	}
	switch refused.Status {
	case http.StatusNotFound, http.StatusTooManyRequests:
		return true
	case http.StatusBadRequest:
		return refused.Code == "AccessDeniedException" // the role cannot be assumed
	}
	return refused.Status >= http.StatusInternalServerError
}
