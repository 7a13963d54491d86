package change

import (
	"fmt"
	"strings"

	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// NoneError is a rollback without a change of that kind to undo.
type NoneError struct {
	Kind    record.Kind
	Cluster string
}

func (e *NoneError) Error() string {
	return fmt.Sprintf("no %s is under way in cluster %s", e.Kind, e.Cluster)
}

// OtherTargetError is a migration to another issuer than the one that is under way.
type OtherTargetError struct{ Change *record.Change }

func (e *OtherTargetError) Error() string {
	return fmt.Sprintf("%s: a migration to %s is under way", plan.Issuer, e.Change.Migration.Target())
}

// SameIssuerError is a migration to the issuer that the cluster has.
type SameIssuerError struct{ Issuer issuer.URL }

func (e *SameIssuerError) Error() string {
	return fmt.Sprintf("%s: %s is the cluster's issuer already", plan.Issuer, e.Issuer)
}

// TargetError is a migration to where something of another cluster is, by its tags.
type TargetError struct {
	Link string // [plan.Provider] or [plan.Documents]
	Err  *owner.ForeignError
}

func (e *TargetError) Error() string { return fmt.Sprintf("%s: %v", e.Link, e.Err) }
func (e *TargetError) Unwrap() error { return e.Err }

// RolesError is roles that were not made for the cluster and trust only the
// provider that would go: no pod could assume them any more.
type RolesError struct {
	Roles []string // names
	// Provider is the ARN of the provider that they trust, Other of the one that
	// they must trust too, on the same conditions, or instead.
	Provider, Other string
}

func (e *RolesError) Error() string {
	return fmt.Sprintf("%s: %s could no longer be assumed: not made for this cluster, and trusting only %s",
		plan.Role, strings.Join(e.Roles, ", "), e.Provider)
}

// SilentError is an API server that does not say which keys it accepts, so that
// they cannot be published.
type SilentError struct{ Node string }

func (e *SilentError) Error() string {
	return fmt.Sprintf("%s: the API server on node %s does not answer", plan.SigningKey, e.Node)
}

// TurnError is a change that goes the other way than it was asked to, and cannot
// turn: one that is being rolled back, or one that is past its last stage but one.
type TurnError struct{ Change *record.Change }

func (e *TurnError) Error() string {
	if e.Change.Rollback {
		return fmt.Sprintf("the %s is being rolled back", e.Change.Kind)
	}
	return fmt.Sprintf("the %s can no longer be rolled back: stage %s has begun to remove the old %s",
		e.Change.Kind, record.Prune, replaced(e.Change.Kind))
}

// TokensError is tokens that would fail if the change went on: those in Secrets,
// which never expire, or those of pods, which kubelet has not renewed in time.
type TokensError struct{ Secrets, Pods []cluster.Token }

func (e *TokensError) Error() string {
	if len(e.Secrets) == 0 {
		return fmt.Sprintf("%s: kubelet has not renewed %s of pods, such as that of %s", record.WaitTokens, count(len(e.Pods)), e.Pods[0])
	}
	var names []string
	for _, t := range e.Secrets {
		names = append(names, t.Secret)
	}
	return fmt.Sprintf("%s: tokens in Secrets, which never expire, would fail: %s", record.WaitTokens, strings.Join(names, ", "))
}

// HeldError is noted of a token in a Secret that must be replaced before the change
// can be finished.
type HeldError struct{ Token cluster.Token }

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s holds a token of the old key or issuer", e.Token)
}

func count(tokens int) string {
	if tokens == 1 {
		return "1 token"
	}
	return fmt.Sprintf("%d tokens", tokens)
}

// replaced is what a kind of change replaces.
func replaced(kind record.Kind) string {
	if kind == record.IssuerMigration {
		return "issuer"
	}
	return "key"
}
