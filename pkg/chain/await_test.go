package chain_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/config"
)

// An association is ready when EKS has it and a new pod gets it, and not before.
func TestAwait(t *testing.T) {
	w := newWorld(t)
	app := []config.PodIdentityAssociation{{Namespace: "default", ServiceAccountName: "app", PermissionPolicyARNs: []string{readOnly}, CreateServiceAccount: true}}
	unready := func(what string, want error) {
		t.Helper()
		_, err := w.ch.Await(w.within(300*time.Millisecond), chain.AwaitOptions{Associations: app}, nil)
		e, ok := errors.AsType[*chain.UnreadyError](err)
		if !ok || !errors.Is(e.Why["default/app"], want) || !errors.Is(err, errSoon) || !strings.Contains(err.Error(), want.Error()) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	unready("without an association", chain.ErrNotAssociated)
	if _, err := w.ch.Associate(t.Context(), chain.AssociateOptions{Associations: app}, nil); err != nil {
		t.Fatal(err)
	}
	w.deaf = true
	unready("before the webhook knows it", chain.ErrNotInjected)
	time.AfterFunc(200*time.Millisecond, func() { w.api.Mu.Lock(); defer w.api.Mu.Unlock(); w.deaf = false })
	var seen notes
	if _, err := w.ch.Await(w.within(20*time.Second), chain.AwaitOptions{}, &seen); err != nil || !strings.Contains(seen.all(), "default/app") {
		t.Errorf("%v, and it said %q", err, seen.all())
	}
	if _, err := w.ch.Await(w.within(20*time.Second), chain.AwaitOptions{Namespace: "other"}, nil); err != nil {
		t.Errorf("where there is nothing to wait for: %v", err)
	}
}
