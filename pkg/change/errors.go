package change

import (
	"fmt"
	"github.com/openirsa/openirsa/pkg/cluster"
	"strings"
)

import "github.com/openirsa/openirsa/pkg/record"

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
