package app

import (
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/change"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/podidentity"
	"github.com/openirsa/openirsa/pkg/record"
)

// What a change of the keys or of the issuer stops at has a next command.
func TestAdviceAboutChanges(t *testing.T) {
	iss, err := issuer.Parse("https://oidc.example")
	if err != nil {
		t.Fatal(err)
	}
	migration := &record.Change{Kind: record.IssuerMigration, ID: "1", Stage: record.Sign, Migration: &record.Migration{
		From: record.Location{Issuer: "https://a.example"}, To: record.Location{Issuer: "https://b.example"},
	}}
	back := *migration
	back.Rollback = true
	held := cluster.Token{Secret: "ns/robot"}
	for _, c := range []struct {
		command string
		err     error
		next    string
	}{
		{"issuer migrate", &change.NoneError{Kind: record.IssuerMigration, Cluster: "dev"}, "SETUP status"},
		{"issuer migrate", &change.SameIssuerError{Issuer: iss}, "SETUP status"},
		{"issuer migrate", &change.OtherTargetError{Change: migration}, "SETUP issuer migrate --to https://b.example, or with --rollback first"},
		{"issuer migrate", &change.TargetError{Link: plan.Provider, Err: &owner.ForeignError{}}, "choose another --to"},
		{"issuer migrate", &change.RolesError{Roles: []string{"R"}, Provider: "old", Other: "new"}, "let each trust new too"},
		{"issuer migrate", &change.TurnError{Change: &back}, "SETUP issuer migrate --to https://b.example --rollback, and then start again"},
		{"keys rotate", &change.SilentError{Node: "n"}, "run the same command again"},
		{"keys rotate", &chain.IssuerError{Issuer: iss}, "serve at https://oidc.example/openid/v1/jwks what `kubectl get --raw /openid/v1/jwks` prints"},
		{"up", &chain.IssuerError{Issuer: iss}, "serve the cluster's documents there"},
		{"keys rotate", &change.TokensError{Secrets: []cluster.Token{held}}, "kubectl --namespace ns patch secret robot"},
		{"keys rotate", &change.TokensError{Pods: []cluster.Token{{Node: "n1"}}}, "kubelet on node n1"},
		{"down", &chain.UnderWayError{Change: migration}, "to finish it, or with --rollback to undo it"},
	} {
		got, ok := advice(c.command, c.err).(*adviceError)
		if !ok || !strings.Contains(got.next, c.next) {
			t.Errorf("%s: %v: next %+v, expected %q", c.command, c.err, got, c.next)
		}
	}
	if said := noted(&change.HeldError{Token: held}); !strings.Contains(said, "kubectl --namespace ns patch secret robot") {
		t.Errorf("noted: %s", said)
	}
}

// Where pods do not get their role in the middle of a move, the pods are looked at, unless it is whoever asks.
func TestAdviceAboutMoves(t *testing.T) {
	for want, cause := range map[string]error{
		"SETUP export iam-policy --command migrate-to-pod-identity":                     &podidentity.RefusedError{Status: 403, Code: "AccessDeniedException"},
		"SETUP doctor --service-account ns/app":                                         &podidentity.RefusedError{Status: 400, Code: "AccessDeniedException"},
		"SETUP podidentityassociation delete --namespace ns --service-account-name app": chain.ErrNoAgent,
	} {
		err := &chain.UnverifiedError{Account: "ns/app", Err: cause}
		got, ok := advice("migrate-to-pod-identity", err).(*adviceError)
		if !ok || !strings.Contains(got.next, want) {
			t.Errorf("%v: next %+v, expected %q", err, got, want)
		}
	}
	for _, err := range []error{&chain.UntriedError{Account: "ns/app"}, &chain.HeldError{Account: "ns/app", Err: chain.ErrNoAgent}} {
		if said := noted(err); !strings.Contains(said, "SETUP doctor --service-account ns/app") {
			t.Errorf("noted: %s", said)
		}
	}
}
