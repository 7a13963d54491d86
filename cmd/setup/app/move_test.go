package app

import (
	"bytes"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/chain"
)

// Each run ends with what is next, and with an error only if what was to be removed stays.
func TestMoveEpilogue(t *testing.T) {
	at := func(stage chain.MoveStage, old ...string) chain.Moved {
		return chain.Moved{Outcome: chain.Outcome{Changed: true}, Moves: []chain.Move{{
			ServiceAccount: chain.ServiceAccount{Namespace: "team-a", Name: "app"}, Stage: stage, Pods: 2, Old: old,
		}}}
	}
	unchanged := at(chain.MoveAssociate)
	unchanged.Changed = false
	for _, c := range []struct {
		o     moveOptions
		out   chain.Moved
		words string
		fails bool
	}{
		{moveOptions{}, chain.Moved{}, "there is nothing to move", false},
		{moveOptions{}, at(chain.MoveAssociate), "run the same command with --approve", false},
		{moveOptions{}, unchanged, "Nothing is to be changed", false},
		{moveOptions{approve: true}, at(chain.MoveRestart, "web-1", "web-2"), "2 pods still use IRSA: team-a/web-1, team-a/web-2. Next:\n  setup migrate-to-pod-identity --approve --restart\n", false},
		{moveOptions{approve: true, namespace: "team-a", account: "app"}, at(chain.MoveRemove), "setup migrate-to-pod-identity --namespace team-a --service-account-name app --approve --remove-irsa", false},
		{moveOptions{approve: true, remove: true}, at(chain.MoveRestart, "web-1"), "1 pod still use", true},
		{moveOptions{approve: true, remove: true}, chain.Moved{Outcome: chain.Outcome{Changed: true}}, "", false},
	} {
		var out bytes.Buffer
		a := &app{Invocation: cli.Invocation{Name: "setup"}, out: &out, err: &out}
		err := c.o.epilogue(&report{out: &out, progress: &out, says: a.says}, c.out)
		text := out.String()
		if err != nil {
			text += err.Error()
		}
		if (err != nil) != c.fails || !strings.Contains(text, c.words) {
			t.Errorf("%+v, %+v: %q, want %q", c.o, c.out.Moves, text, c.words)
		}
	}
}

// How far a service account is, status says with the command that goes on.
func TestMoveState(t *testing.T) {
	for want, m := range map[string]chain.Move{
		"1 of 3 pods with IRSA still (SETUP migrate-to-pod-identity --approve --restart)":   {Stage: chain.MoveRestart, Pods: 3, Old: []string{"web-1"}},
		"no pod uses IRSA any more (SETUP migrate-to-pod-identity --approve --remove-irsa)": {Stage: chain.MoveRemove},
		"its role is not there": {Stage: chain.MoveHeld, Held: "its role is not there"},
	} {
		if got := moveState(m); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
