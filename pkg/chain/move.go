package chain

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/podidentity"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/token"
	"github.com/openirsa/openirsa/pkg/trust"
)

// MoveStage says how far a service account has come on its way from IRSA to EKS Pod
// Identity. It is what is there, and recorded nowhere else.
type MoveStage string

// The stages of a move, in their order.
const (
	// MoveAssociate is a service account without an association with its role.
	MoveAssociate MoveStage = "associate"
	// MoveRestart is one with pods that were made before and still use IRSA.
	MoveRestart MoveStage = "restart"
	// MoveRemove is one of whose pods none uses IRSA any more. Its annotation is still
	// there, and its role still lets in its tokens.
	MoveRemove MoveStage = "remove"
	// MoveDone is one without anything of IRSA.
	MoveDone MoveStage = "done"
	// MoveHeld is one that cannot be moved.
	MoveHeld MoveStage = "held"
)

// Move is a service account on its way from IRSA to EKS Pod Identity.
type Move struct {
	ServiceAccount
	Stage MoveStage `json:"stage"`
	// Pods is how many pods it has, and Old are the names of those that still use IRSA.
	Pods int      `json:"pods"`
	Old  []string `json:"podsWithIRSA,omitempty"`
	// Held is why it cannot be moved; empty unless the Stage is [MoveHeld].
	Held string `json:"held,omitempty"`

	pods        []cluster.Pod // with IRSA
	running     []cluster.Pod // on a node, and not being deleted
	role        role.Role
	ours        bool                     // the role may be changed
	association *podidentity.Association // nil without one
	unasked     bool                     // the webhook is not asked about its pods
	shutOut     error                    // why the role does not let in its pods
	held        error
}

// Why a service account cannot be moved to EKS Pod Identity.
var (
	// ErrNoRole is an annotation with a role that is not there, or of another account.
	ErrNoRole = errors.New("its role is not there")
	// ErrRoleOfOthers is a role that was not made for the cluster, which is never changed,
	// and whose trust policy does not let in the pods by EKS Pod Identity.
	ErrRoleOfOthers = errors.New("its role was not made for this cluster and does not let in its pods by " + trust.PodIdentityPrincipal)
	// ErrShutOut is a role whose trust policy does not let in the pods by EKS Pod Identity,
	// whatever is added to it.
	ErrShutOut = errors.New("its role does not let in its pods by " + trust.PodIdentityPrincipal)
	// ErrOtherRole is an association with another role than that of the annotation, or with
	// a target role.
	ErrOtherRole = errors.New("its association has another role")
	// ErrNotAsked is a namespace about whose pods the webhook is not asked.
	ErrNotAsked = errors.New("the webhook is not asked about the pods of its namespace")
	// ErrNotAnnotated is a service account that has no role by IRSA.
	ErrNotAnnotated = errors.New("it is not annotated with a role, and has no association")
)

// HeldError is a service account that cannot be moved to EKS Pod Identity. It stays with
// IRSA, and does not stop the others.
type HeldError struct {
	// Account is NAMESPACE/NAME.
	Account string
	Err     error
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s: %s stays with IRSA: %v", plan.ServiceAccount, e.Account, e.Err)
}
func (e *HeldError) Unwrap() error { return e.Err }

// Moves are the service accounts that are annotated with a role, whoever has annotated
// them, and how far each has come; only some if these are named. Those of the project
// itself are left out. The error is that of [Chain.Associations].
func (ch *Chain) Moves(ctx context.Context, only ...ServiceAccount) ([]Move, error) {
	if err := ch.ConnectInstalled(ctx); err != nil {
		return nil, err
	}
	return ch.moves(ctx, only)
}

func (ch *Chain) moves(ctx context.Context, only []ServiceAccount) ([]Move, error) {
	mark, err := ch.Tags(ctx)
	if err != nil {
		return nil, err
	}
	all, err := podidentity.Read(ctx, ch.eks(), ch.Record.Cluster, podidentity.Filter{})
	if err != nil {
		return nil, ch.withoutEKS(err)
	}
	associated := map[string]*podidentity.Association{} // by service account
	for i, a := range all {
		associated[a.String()] = &all[i]
	}
	moves, err := ch.annotated(ctx, only, associated)
	if err != nil {
		return nil, err
	}
	var names, namespaces []string
	for _, m := range moves {
		names, namespaces = append(names, path.Base(m.RoleARN)), append(namespaces, m.Namespace)
	}
	slices.Sort(names)
	roles, err := role.Read(ctx, ch.Account.IAM, slices.Compact(names))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plan.Role, err)
	}
	unasked, err := ch.notAsked(ctx, namespaces...)
	if err != nil {
		return nil, err
	}
	for i := range moves {
		m := &moves[i]
		m.role = roles[path.Base(m.RoleARN)]
		m.ours = owner.Owns(m.role.Tags, mark) || owner.Shared(m.role.Tags)
		m.association, m.unasked = associated[m.String()], unasked[m.Namespace]
		m.shutOut = ch.shutsOut(m)
	}
	return moves, ch.seePods(ctx, moves)
}

// seePods reads the pods, and decides how far each has come; nothing else is read anew.
func (ch *Chain) seePods(ctx context.Context, moves []Move) (err error) {
	pods := map[string][]cluster.Pod{} // by namespace
	for i := range moves {
		m := &moves[i]
		if m.Stage != MoveDone && m.held == nil {
			if _, ok := pods[m.Namespace]; !ok {
				if pods[m.Namespace], err = ch.Cluster.PodsOf(ctx, m.Namespace, ""); err != nil {
					return err
				}
			}
			m.see(pods[m.Namespace])
			m.decide()
		}
		if m.held != nil {
			m.hold(m.held)
		}
	}
	return nil
}

// hold leaves it as it is.
func (m *Move) hold(err error) { m.Stage, m.Held, m.held = MoveHeld, err.Error(), err }

// underWay are the moves of service accounts that have both an annotation and an
// association. There are none for who may not see that.
func (ch *Chain) underWay(ctx context.Context, associations []ServiceAccount) ([]Move, error) {
	if len(associations) == 0 {
		return nil, nil
	}
	annotated, err := ch.Cluster.WithRole(ctx, irsa.DefaultPrefix)
	if apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var both []ServiceAccount
	for _, sa := range annotated {
		if slices.ContainsFunc(associations, func(a ServiceAccount) bool { return a.Namespace == sa.Namespace && a.Name == sa.Name }) {
			both = append(both, ServiceAccount{Namespace: sa.Namespace, Name: sa.Name})
		}
	}
	if len(both) == 0 {
		return nil, nil
	}
	moves, err := ch.moves(ctx, both)
	if apierrors.IsForbidden(err) {
		return nil, nil
	}
	return moves, err
}

// annotated are the service accounts that are annotated with roles, or those that are
// named, annotated or not.
func (ch *Chain) annotated(ctx context.Context, only []ServiceAccount, associated map[string]*podidentity.Association) ([]Move, error) {
	accounts, err := ch.Cluster.WithRole(ctx, irsa.DefaultPrefix)
	if err != nil {
		return nil, err
	}
	var moves []Move
	for _, sa := range accounts {
		own := sa.Namespace == deploy.Namespace || sa.Namespace == deploy.AgentNamespace && sa.Name == deploy.AgentName
		named := slices.ContainsFunc(only, func(o ServiceAccount) bool {
			return o.Namespace == sa.Namespace && (o.Name == "" || o.Name == sa.Name)
		})
		if !own && (named || len(only) == 0) {
			moves = append(moves, Move{ServiceAccount: ServiceAccount{sa.Namespace, sa.Name, sa.Role(irsa.DefaultPrefix)}})
		}
	}
	for _, o := range only {
		there := slices.ContainsFunc(moves, func(m Move) bool { return m.String() == o.String() })
		if o.Name == "" || there {
			continue
		}
		m := Move{ServiceAccount: ServiceAccount{Namespace: o.Namespace, Name: o.Name}, Stage: MoveDone}
		if a := associated[o.String()]; a != nil {
			m.RoleARN = a.RoleARN
		} else {
			m.held = ErrNotAnnotated
		}
		moves = append(moves, m)
	}
	return moves, nil
}

// see takes what the pods of the namespace say.
func (m *Move) see(pods []cluster.Pod) {
	m.Pods, m.Old, m.pods, m.running = 0, nil, nil, nil
	for _, p := range pods {
		if p.Account != m.Name {
			continue
		}
		m.Pods++
		if p.WebIdentity {
			m.Old, m.pods = append(m.Old, p.Name), append(m.pods, p)
		}
		if p.Node != "" && !p.Leaving {
			m.running = append(m.running, p)
		}
	}
}

// decide says how far it has come.
func (m *Move) decide() {
	a := m.association
	switch {
	case m.role.ARN == "" || m.role.ARN != m.RoleARN:
		m.held = ErrNoRole
	case a != nil && a.RoleARN != m.RoleARN:
		m.held = fmt.Errorf("%w, %s", ErrOtherRole, a.RoleARN)
	case a != nil && a.TargetRoleARN != "":
		m.held = fmt.Errorf("%w, %s, which it assumes in the end", ErrOtherRole, a.TargetRoleARN)
	case m.unasked:
		m.held = ErrNotAsked
	case m.shutOut != nil:
		m.held = m.shutOut
	case a == nil:
		m.Stage = MoveAssociate
	case len(m.Old) > 0:
		m.Stage = MoveRestart
	default:
		m.Stage = MoveRemove
	}
}

// shutsOut is why the role does not let in the pods of a move by EKS Pod Identity, evaluated
// with what [Chain.letIn] adds to a role that may be changed; nil if it does.
func (ch *Chain) shutsOut(m *Move) error {
	document, refusal := m.role.Trust, ErrRoleOfOthers
	if m.ours {
		refusal = ErrShutOut
		var err error
		if document, err = trust.WithPods(document, ch.podsOfMove(m)); err != nil {
			return fmt.Errorf("%w: %w", refusal, err)
		}
	}
	call := doctor.PodCall{
		ClusterARN: ch.ClusterARN(), Namespace: m.Namespace, ServiceAccount: m.Name, Untagged: m.untagged(),
	}
	err := call.LetIn(&doctor.Role{Name: m.role.Name, ARN: m.role.ARN, Trust: document, Tags: m.role.Tags})
	if err != nil {
		return fmt.Errorf("%w: %w", refusal, err)
	}
	return nil
}

// untagged reports whether its association has switched session tags off.
func (m *Move) untagged() bool { return m.association != nil && m.association.DisableSessionTags }

// letIn decides what must be done for the roles of the moves to let in their pods by
// EKS Pod Identity. Whom they let in now, they let in afterwards.
func (ch *Chain) letIn(ctx context.Context, moves []Move, mark map[string]string) ([]plan.Item, error) {
	there, wants := map[string]role.Role{}, map[string]role.Role{}
	for _, m := range moves {
		if !m.ours || m.held != nil || m.Stage == MoveDone {
			continue
		}
		want, ok := wants[m.role.Name]
		if !ok {
			there[m.role.Name] = m.role
			want = ch.kept(m.role, mark)
			if want.Shared {
				want.Trust = nil // only what is added
			}
		}
		if slices.Contains(trust.PodsOf(m.role.Trust), trust.Pods{}) {
			continue // it lets in all
		}
		var err error
		if want.Trust, err = trust.WithPods(want.Trust, ch.podsOfMove(&m)); err != nil {
			return nil, fmt.Errorf("%s: role %s: %w", plan.Role, m.role.Name, err)
		}
		wants[m.role.Name] = want
	}
	return ch.items(ctx, there, wants)
}

// kept is a role that is changed in its trust policy alone.
func (ch *Chain) kept(there role.Role, mark map[string]string) role.Role {
	want := there
	want.KeepAttached, want.Shared = true, owner.Shared(there.Tags)
	want.Tags = maps.Clone(there.Tags)
	if want.Shared {
		want.Tags[owner.ClusterTag], want.Tags[owner.UIDTag] = mark[owner.ClusterTag], mark[owner.UIDTag]
	}
	return want
}

// items decide about roles, by name.
func (ch *Chain) items(ctx context.Context, there, wants map[string]role.Role) ([]plan.Item, error) {
	steps, err := role.PlanAll(ctx, ch.Account.IAM, there, slices.Collect(maps.Values(wants)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plan.Role, err)
	}
	var items []plan.Item
	for _, name := range slices.Sorted(maps.Keys(wants)) {
		items = append(items, plan.Ready(there[name].ARN, steps[name]))
	}
	return items, nil
}

// shutOutTokens decides what must be done for the roles of the moves to let in no tokens
// of their service accounts by IRSA. Other service accounts of the roles keep what they
// have. A role that lets in by a pattern is left as it is, and named to note.
func (ch *Chain) shutOutTokens(ctx context.Context, moves []Move, mark map[string]string, note func(error)) ([]plan.Item, error) {
	gone, roles := map[string][]ServiceAccount{}, map[string]role.Role{} // by the name of the role
	for _, m := range moves {
		if m.ours {
			gone[m.role.Name], roles[m.role.Name] = append(gone[m.role.Name], m.ServiceAccount), m.role
		}
	}
	there, wants := map[string]role.Role{}, map[string]role.Role{}
	var items []plan.Item
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		r := roles[name]
		subjects := trust.Subjects(r.Trust, ch.Record.Provider)
		left := slices.DeleteFunc(slices.Clone(subjects), func(s string) bool {
			return slices.ContainsFunc(gone[name], func(sa ServiceAccount) bool { return s == token.Subject(sa.Namespace, sa.Name) })
		})
		switch {
		case !slices.Contains(trust.Providers(r.Trust), ch.Record.Provider):
			continue
		case len(subjects) == 0:
			note(&PatternError{Role: name})
			continue
		case len(left) == len(subjects) || !trust.NamesPodIdentity(r.Trust):
			continue
		case len(left) == 0 && owner.Shared(r.Tags):
			items = append(items, plan.Item{Object: r.ARN, Decide: func(context.Context) ([]plan.Step, error) {
				return r.Delete(ch.Account.IAM, mark, ch.Record.Provider)
			}})
			continue
		}
		want := ch.kept(r, mark)
		var err error
		if want.Trust, err = ch.onlySubjects(r, left); err != nil {
			return nil, fmt.Errorf("%s: role %s: %w", plan.Role, name, err)
		}
		if len(left) == 0 && len(gone[name]) == 1 { // it is the association's from now on
			want.Tags[owner.PodIdentityTag] = gone[name][0].String()
		}
		there[name], wants[name] = r, want
	}
	more, err := ch.items(ctx, there, wants)
	return append(items, more...), err
}

// onlySubjects is the trust policy of a role, or this cluster's part of one that is
// shared, which lets in tokens of these subjects alone; all else of it stays.
func (ch *Chain) onlySubjects(r role.Role, subjects []string) ([]byte, error) {
	if len(subjects) == 0 {
		return trust.Without(r.Trust, ch.Record.Provider)
	}
	ours, err := ch.TrustPolicy(subjects, "")
	if err != nil || owner.Shared(r.Tags) {
		return ours, err
	}
	return trust.With(r.Trust, ours)
}

// podsOfMove are the pods of a service account, as its association has them.
func (ch *Chain) podsOfMove(m *Move) trust.Pods {
	return ch.pods(&config.PodIdentityAssociation{Namespace: m.Namespace, ServiceAccountName: m.Name}, !m.untagged())
}
