package chain

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/podidentity"
)

// MoveOptions say which service accounts go from IRSA to EKS Pod Identity, and how far.
type MoveOptions struct {
	// Accounts are the service accounts, of which only namespaces and names count; one
	// without a name is all of its namespace. None: all that are annotated with a role.
	Accounts []ServiceAccount
	// Restart restarts the workloads whose pods still use IRSA, one after the other.
	Restart bool
	// Remove takes the annotations away, and from the trust policies of the roles what
	// lets in tokens, of service accounts of whose pods none uses IRSA any more.
	Remove bool
	// DryRun decides about everything and changes nothing.
	DryRun bool
	// Wait is how long the webhook may take to know the associations, each workload to have
	// its new pods available, and EKS Auth to give one of them a session. Zero is
	// [controlplane.DefaultWait].
	Wait time.Duration
}

// Moved is what came of a run of [Chain.Move].
type Moved struct {
	Outcome
	// Moves are the service accounts as they are after the run.
	Moves []Move
}

// PatternError is a role whose trust policy lets in service accounts by a pattern, so
// that nobody knows who else needs it. It is left as it is.
type PatternError struct{ Role string }

func (e *PatternError) Error() string {
	return fmt.Sprintf("%s: role %s lets in tokens by a pattern, which stays", plan.Role, e.Role)
}

// AnnotationError is a service account whose annotation somebody else has set: it stays,
// and has no effect any more.
type AnnotationError struct {
	// Account is NAMESPACE/NAME.
	Account string
}

func (e *AnnotationError) Error() string {
	return fmt.Sprintf("%s: the annotation %s of %s is somebody else's and stays",
		plan.ServiceAccount, irsa.DefaultPrefix.RoleARN(), e.Account)
}

// PolicyError is a policy of a role with a condition that sessions of EKS Pod Identity do
// not meet, since their request has no such key.
type PolicyError struct{ Role, Policy, Key string }

func (e *PolicyError) Error() string {
	return fmt.Sprintf("%s: policy %s of role %s speaks of %s, which sessions of EKS Pod Identity do not have",
		plan.Role, e.Policy, e.Role, e.Key)
}

// Move moves service accounts from IRSA to EKS Pod Identity, so that their pods have their
// role all the time: the roles let in the pods by EKS Pod Identity as well, then the
// associations are made, and then new pods get them, once the webhook knows. With Restart
// the running pods are replaced, and with Remove what IRSA needs is taken away in the end.
// Before either, and after each restart, it is tried whether pods get their role: an agent
// is ready where they run, and EKS Auth gives a session of the role for a token of one of
// them, by the credentials in use, which need eks-auth:AssumeRoleForPodIdentity on the
// cluster's ARN. Without a pod there is nothing to be tried, which is noted. What is done
// is seen from what is there, so that each run continues where another was stopped. All is
// decided before the first write. Undo it with [Chain.Dissociate] and another restart, as
// long as nothing is removed.
//
// The error is that of [Chain.Associations], an [*UnderWayError] while a change of the
// keys or of the issuer is under way, a [*trust.SizeError] for a role without room, an
// [*UnreadyError] if the webhook does not know an association, an [*UnverifiedError] if a
// pod does not get its role, and that of a workload that does not come up again; after
// these nothing else is restarted or removed. The observer learns of each role, association
// and workload, and with a [*HeldError], a [*PatternError], an [*AnnotationError], a
// [*PolicyError], an [*UntriedError] or a [*cluster.StuckError] of what stays or is not
// known; nil is silence.
func (ch *Chain) Move(ctx context.Context, o MoveOptions, observer plan.Observer) (Moved, error) {
	o.Wait = cmp.Or(o.Wait, controlplane.DefaultWait)
	if err := ch.ConnectInstalled(ctx); err != nil {
		return Moved{}, err
	}
	if err := ch.CheckRecord(ctx); err != nil {
		return Moved{}, err
	}
	if err := ch.NoChange(); err != nil {
		return Moved{}, err
	}
	run := &plan.Runner{Observer: observer, DryRun: o.DryRun, Calls: ch.Account.Calls}
	m := &moveRun{Chain: ch, o: o, run: run, noted: map[string]bool{}}
	if err := m.all(ctx); err != nil {
		return Moved{Outcome: outcome(ch, run), Moves: m.moves}, err
	}
	return Moved{Outcome: outcome(ch, run), Moves: m.moves}, nil
}

// moveRun is one run of [Chain.Move].
type moveRun struct {
	*Chain
	o     MoveOptions
	run   *plan.Runner
	mark  map[string]string // the tags of what is made
	moves []Move
	noted map[string]bool // the service accounts of which it is said that they are held
}

func (m *moveRun) all(ctx context.Context) (err error) {
	m.run.Start(plan.ServiceAccount, "looking")
	if m.mark, err = m.Tags(ctx); err != nil {
		return err
	}
	if err := m.look(ctx); err != nil {
		return err
	}
	if err := m.may(ctx); err != nil {
		return err
	}
	m.notePolicies()
	for _, stage := range []func(context.Context) error{m.associate, m.restart, m.remove} {
		if err := stage(ctx); err != nil {
			return err
		}
	}
	if m.o.DryRun {
		return nil
	}
	return m.look(ctx)
}

// look reads how far each has come. Those whose pods no agent would answer are held.
func (m *moveRun) look(ctx context.Context) (err error) {
	if m.moves, err = m.Chain.moves(ctx, m.o.Accounts); err != nil {
		return err
	}
	if len(m.at(MoveAssociate, MoveRestart, MoveRemove)) > 0 {
		agent, err := m.agent(ctx)
		if err != nil {
			return err
		}
		for i := range m.moves {
			one := &m.moves[i]
			if one.held != nil || one.Stage == MoveDone {
				continue
			}
			if err := unanswered(agent, one.running); err != nil {
				one.hold(err)
			}
		}
	}
	for _, one := range m.moves {
		if one.held != nil && !m.noted[one.String()] {
			m.noted[one.String()] = true
			m.run.Note(&HeldError{Account: one.String(), Err: one.held})
		}
	}
	return nil
}

// at are the moves of some stages.
func (m *moveRun) at(stages ...MoveStage) (some []Move) {
	for _, one := range m.moves {
		if slices.Contains(stages, one.Stage) {
			some = append(some, one)
		}
	}
	return some
}

// may refuses what the user of the kubeconfig may not do, before the first write.
func (m *moveRun) may(ctx context.Context) error {
	var rights []cluster.Right
	for _, one := range m.at(MoveAssociate, MoveRestart, MoveRemove) {
		rights = append(rights, cluster.Right{Verb: "create", Resource: "serviceaccounts/token", Namespace: one.Namespace})
		if m.o.Restart {
			rights = append(rights, cluster.RestartRights(one.Namespace)...)
		}
		if m.o.Remove {
			rights = append(rights, cluster.Right{Verb: "patch", Resource: "serviceaccounts", Namespace: one.Namespace})
		}
	}
	order.By(rights, func(a, b cluster.Right) int { return cmp.Compare(a.String(), b.String()) })
	return m.Cluster.Check(ctx, slices.Compact(rights)...)
}

// notePolicies names the policies that will no longer mean the same.
func (m *moveRun) notePolicies() {
	known := map[PolicyError]bool{}
	for _, one := range m.at(MoveAssociate, MoveRestart) {
		for _, name := range slices.Sorted(maps.Keys(one.role.Inline)) {
			for _, key := range []string{m.Issuer.HostPath() + ":", "aws:FederatedProvider"} {
				e := PolicyError{Role: one.role.Name, Policy: name, Key: key}
				if bytes.Contains(bytes.ToLower(one.role.Inline[name]), bytes.ToLower([]byte(key))) && !known[e] {
					known[e] = true
					m.run.Note(&e)
				}
			}
		}
	}
}

// associate has the roles let in the pods, makes the associations that are missing, and
// waits until the webhook knows them.
func (m *moveRun) associate(ctx context.Context) error {
	roles, err := m.letIn(ctx, m.at(MoveAssociate, MoveRestart, MoveRemove), m.mark)
	if err != nil {
		return err
	}
	var wants []podidentity.Association
	for _, one := range m.at(MoveAssociate) {
		wants = append(wants, podidentity.Association{
			Cluster: m.Record.Cluster, Namespace: one.Namespace, ServiceAccount: one.Name, RoleARN: one.RoleARN, Tags: m.mark,
		})
	}
	var items []plan.Item
	if len(wants) > 0 {
		steps, err := podidentity.PlanAll(ctx, m.eks(), m.Record.Cluster, wants)
		if err != nil {
			return m.withoutEKS(err)
		}
		for i, want := range wants {
			items = append(items, plan.Ready(want.String(), steps[i]))
		}
	}
	if err := m.run.All(ctx, plan.Role, roles); err != nil {
		return err
	}
	if err := m.run.All(ctx, plan.Association, items); err != nil {
		return err
	}
	if m.o.DryRun {
		return nil
	}
	var accounts []ServiceAccount
	for _, one := range m.at(MoveAssociate, MoveRestart) {
		accounts = append(accounts, one.ServiceAccount)
	}
	if len(accounts) == 0 {
		return nil
	}
	waits, cancel := context.WithTimeoutCause(ctx, m.o.Wait, fmt.Errorf("not after %s", m.o.Wait))
	defer cancel()
	return m.await(waits, m.run, accounts)
}

// restart restarts the workloads whose pods use IRSA, one after the other, as long as their
// pods get their role by EKS Pod Identity.
func (m *moveRun) restart(ctx context.Context) error {
	if !m.o.DryRun {
		if err := m.look(ctx); err != nil {
			return err
		}
		if err := m.verify(ctx, m.at(MoveRestart)); err != nil {
			return err
		}
	}
	if !m.o.Restart {
		return nil
	}
	type restart struct {
		cluster.Workload
		of Move
	}
	var all []restart
	var stuck []*cluster.StuckError
	for _, one := range m.at(MoveAssociate, MoveRestart) {
		workloads, more, err := m.Cluster.WorkloadsOf(ctx, one.pods)
		if err != nil {
			return err
		}
		for _, w := range workloads {
			all = append(all, restart{w, one})
		}
		stuck = append(stuck, more...)
	}
	for _, r := range all {
		step := m.Cluster.Restart(r.Workload, m.o.Wait, func(ctx context.Context) (bool, error) { return m.runsOld(ctx, r.Workload) })
		err := m.run.Link(ctx, plan.Workload, r.String(), func(context.Context) ([]plan.Step, error) { return []plan.Step{step}, nil })
		if err == nil && !m.o.DryRun {
			err = m.verify(ctx, []Move{r.of})
		}
		if err != nil {
			return err
		}
	}
	for _, e := range stuck {
		m.run.Note(e)
	}
	return nil
}

// runsOld reports whether a workload has pods that use IRSA.
func (m *moveRun) runsOld(ctx context.Context, w cluster.Workload) (bool, error) {
	pods, err := m.Cluster.PodsOf(ctx, w.Namespace, "")
	if err != nil {
		return false, err
	}
	pods = slices.DeleteFunc(pods, func(p cluster.Pod) bool { return !p.WebIdentity })
	workloads, _, err := m.Cluster.WorkloadsOf(ctx, pods)
	return slices.Contains(workloads, w), err
}

// remove takes away what IRSA needs, of service accounts of whose pods none uses it, once
// these get their role without. The roles come first: as long as there is an annotation,
// the next run finds what is left.
func (m *moveRun) remove(ctx context.Context) error {
	if !m.o.Remove {
		return nil
	}
	if !m.o.DryRun {
		if err := m.gone(ctx); err != nil {
			return err
		}
	}
	clear := m.at(MoveRemove)
	if !m.o.DryRun {
		if err := m.verify(ctx, clear); err != nil {
			return err
		}
	}
	roles, err := m.shutOutTokens(ctx, clear, m.mark, m.run.Note)
	if err != nil {
		return err
	}
	var items []plan.Item
	for _, one := range clear {
		steps, kept, err := m.Cluster.Unbind(ctx, one.Namespace, one.Name, irsa.DefaultPrefix)
		if err != nil {
			return err
		}
		if kept {
			m.run.Note(&AnnotationError{Account: one.String()})
		}
		items = append(items, plan.Ready(one.String(), steps))
	}
	if err := m.run.All(ctx, plan.Role, roles); err != nil {
		return err
	}
	return m.run.All(ctx, plan.ServiceAccount, items)
}

// gone waits until those pods with IRSA have ended that are being deleted. Then it looks
// once more: others may have changed the roles meanwhile.
func (m *moveRun) gone(ctx context.Context) error {
	if err := m.look(ctx); err != nil || !m.leaving() {
		return err
	}
	deadline := time.Now().Add(m.o.Wait)
	var between wait.Looks
	for m.leaving() && time.Now().Before(deadline) {
		m.run.Start(plan.Workload, "waiting for the end of pods that are being deleted")
		if err := between.Wait(ctx); err != nil {
			return err
		}
		if err := m.seePods(ctx, m.moves); err != nil {
			return err
		}
	}
	return m.look(ctx)
}

// leaving reports whether there is a service account of whose pods with IRSA all are being
// deleted.
func (m *moveRun) leaving() bool {
	return slices.ContainsFunc(m.at(MoveRestart), func(one Move) bool {
		return !slices.ContainsFunc(one.pods, func(p cluster.Pod) bool { return !p.Leaving })
	})
}
