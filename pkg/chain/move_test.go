package chain_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/trust"
)

// move is a run that must succeed, and what it said.
func (w *world) move(o chain.MoveOptions) (chain.Moved, string) {
	w.Helper()
	o.Wait = 10 * time.Second
	var seen notes
	out, err := w.ch.Move(w.Context(), o, &seen)
	if err != nil {
		w.Fatalf("%v, after\n%s", err, seen.all())
	}
	return out, seen.all()
}

// stages are those of the service accounts, "NAME STAGE" each.
func (w *world) stages() string {
	w.Helper()
	moves, err := w.ch.Moves(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	var all []string
	for _, m := range moves {
		all = append(all, m.Name+" "+string(m.Stage))
	}
	return strings.Join(all, ", ")
}

// check compares whom the role of a service account lets in, and its annotation.
func (w *world) check(what, name string, tokens, pods, annotated bool) {
	w.Helper()
	gotTokens, gotPods := w.trusts(name)
	if has := w.annotation(name) != ""; gotTokens != tokens || gotPods != pods || has != annotated {
		w.Errorf("%s: the role of %s lets in tokens %v, pods %v, annotation %v; want %v, %v, %v", what, name, gotTokens, gotPods, has, tokens, pods, annotated)
	}
}

// A service account goes from IRSA to EKS Pod Identity, a stage at a time: nothing is taken away before all of its pods
// are new. A second run writes nothing, and the role lets pods in once (A52).
func TestMove(t *testing.T) {
	w := newWorld(t)
	w.grant("app", "idle")
	w.deploy("web", "app")
	w.deploy("db", "app")
	if got := w.stages(); got != "app associate, idle associate" {
		t.Errorf("at first: %s", got)
	}
	w.api.Took()
	planned, said := w.move(chain.MoveOptions{Restart: true, Remove: true, DryRun: true})
	if wrote := w.api.Took(); !planned.Changed || len(wrote) > 0 || len(w.associations("", "")) > 0 {
		t.Errorf("the plan has changed %v", wrote)
	}
	for _, want := range []string{"role planned", "association planned", "workload planned Deployment default/web"} {
		if !strings.Contains(said, want) {
			t.Errorf("the plan does not say %q:\n%s", want, said)
		}
	}
	w.check("after the plan", "app", true, false, true)

	// Without a restart pods go on with IRSA, and keep all that it needs.
	w.move(chain.MoveOptions{Remove: true})
	if got := w.stages(); got != "app restart" {
		t.Errorf("with old pods: %s", got)
	}
	w.check("with old pods", "app", true, true, true)
	w.check("without pods", "idle", false, true, false)

	out, said := w.move(chain.MoveOptions{Restart: true})
	if got := w.stages(); got != "app remove" || !slices.Equal(w.log, []string{"restart db", "restart web"}) {
		t.Errorf("after the restart: %s, %q\n%s", got, w.log, said)
	}
	if m := out.Moves[0]; m.Pods != 2 || len(m.Old) != 0 {
		t.Errorf("after the restart: %+v", m)
	}
	w.check("after the restart", "app", true, true, true)
	if again, said := w.move(chain.MoveOptions{Restart: true}); again.Changed || len(w.log) != 2 {
		t.Errorf("a second run changes something: %s", said)
	}

	w.move(chain.MoveOptions{Remove: true})
	w.check("in the end", "app", false, true, false)
	w.api.Took()
	again, said := w.move(chain.MoveOptions{Restart: true, Remove: true})
	if wrote := w.api.Took(); again.Changed || w.stages() != "" || len(wrote) > 0 {
		t.Errorf("after the end something changes: %v, %s", wrote, said)
	}
	if document := w.trust("app"); bytes.Count(document, []byte(trust.PodIdentityPrincipal)) != 1 {
		t.Errorf("the trust policy lets pods in more than once, or not at all: %s", document)
	}
	if m, _ := w.move(chain.MoveOptions{Accounts: []chain.ServiceAccount{{Namespace: "default", Name: "app"}}}); m.Moves[0].Stage != chain.MoveDone {
		t.Errorf("one that is done: %+v", m.Moves)
	}

	// The role is that of the association now: it goes with it.
	app := []config.PodIdentityAssociation{{Namespace: "default", ServiceAccountName: "app"}}
	if _, err := w.ch.Dissociate(t.Context(), chain.DissociateOptions{Associations: app}, nil); err != nil {
		t.Fatal(err)
	}
	if roles := w.roles(); slices.Contains(roles, "openirsa-dev-default-app") || w.annotation("app") != "no service account" {
		t.Errorf("after the association is deleted: roles %q, service account %q", roles, w.annotation("app"))
	}
}

// As long as nothing was removed, the association can be deleted, and IRSA is as before.
func TestMoveBack(t *testing.T) {
	w := newWorld(t)
	w.grant("app")
	w.move(chain.MoveOptions{})
	app := []config.PodIdentityAssociation{{Namespace: "default", ServiceAccountName: "app"}}
	if _, err := w.ch.Dissociate(t.Context(), chain.DissociateOptions{Associations: app}, nil); err != nil {
		t.Fatal(err)
	}
	w.check("undone", "app", true, false, true)
	// The other way round, what IRSA has goes and the association keeps its role.
	w.move(chain.MoveOptions{})
	if _, err := w.ch.Revoke(t.Context(), chain.RevokeOptions{Accounts: []config.ServiceAccount{config.NewServiceAccount("default", "app")}}, nil); err != nil {
		t.Fatal(err)
	}
	if tokens, pods := w.trusts("app"); tokens || !pods {
		t.Errorf("after IRSA is revoked the role lets in tokens %v, pods %v", tokens, pods)
	}
}

// What cannot be moved stays, is named, and stops nothing else.
func TestMoveHeld(t *testing.T) {
	w := newWorld(t)
	w.grant("app")
	theirs := w.aws.Role("theirs", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)
	for name, arn := range map[string]string{"foreign": theirs, "lost": "arn:aws:iam::" + w.aws.Account() + ":role/none"} {
		w.api.Put("/api/v1/namespaces/default/serviceaccounts/"+name, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name, Annotations: map[string]string{irsa.DefaultPrefix.RoleARN(): arn},
		}})
	}
	_, said := w.move(chain.MoveOptions{Accounts: []chain.ServiceAccount{{Namespace: "default"}, {Namespace: "default", Name: "nobody"}}})
	for _, want := range []error{
		&chain.HeldError{Account: "default/foreign", Err: chain.ErrRoleOfOthers}, &chain.HeldError{Account: "default/lost", Err: chain.ErrNoRole},
		&chain.HeldError{Account: "default/nobody", Err: chain.ErrNotAnnotated},
	} {
		if !strings.Contains(said, "note: "+want.Error()) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	if got := w.stages(); got != "app remove, foreign held, lost held" {
		t.Errorf("stages: %s", got)
	}
}

// A pod that nothing replaces is named, and what it needs stays.
func TestMoveStuckPod(t *testing.T) {
	w := newWorld(t)
	w.grant("app")
	w.deploy("web", "app")
	w.api.Put("/api/v1/namespaces/default/pods/hand", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "hand"}, Spec: corev1.PodSpec{
		ServiceAccountName: "app", Containers: []corev1.Container{{Name: "main", Env: []corev1.EnvVar{{Name: irsa.EnvTokenFile}}}},
	}})
	out, said := w.move(chain.MoveOptions{Restart: true, Remove: true})
	if m := out.Moves[0]; m.Stage != chain.MoveRestart || !slices.Equal(m.Old, []string{"hand"}) || !strings.Contains(said, "pod default/hand is not replaced: it was made by hand") {
		t.Errorf("%+v\n%s", m, said)
	}
	w.check("with a pod that stays", "app", true, true, true)
}

// waiter ends a pod once it was waited for a few times, and remembers what was asked of AWS by each time.
type waiter struct {
	notes
	w     *world
	calls []int
	last  func() // done the last time
}

func (o *waiter) Start(_, what string) {
	if !strings.Contains(what, "being deleted") {
		return
	}
	o.calls = append(o.calls, len(o.w.aws.Events(emulator.EventFilter{})))
	if len(o.calls) == 4 {
		o.w.api.Mu.Lock()
		defer o.w.api.Mu.Unlock()
		delete(o.w.api.Objects, "/api/v1/namespaces/default/pods/leaving")
		o.last()
	}
}

// While pods that use IRSA end, nothing is asked of AWS; after that, roles are read once more before they are changed.
func TestMoveWaitsForPods(t *testing.T) {
	w := newWorld(t)
	w.grant("app")
	w.move(chain.MoveOptions{})
	w.api.Put("/api/v1/namespaces/default/pods/leaving", &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "leaving", DeletionTimestamp: new(metav1.Now())},
		Spec:       corev1.PodSpec{ServiceAccountName: "app", Containers: []corev1.Container{{Name: "main", Env: []corev1.EnvVar{{Name: irsa.EnvTokenFile}}}}},
	})
	client, name := iam.NewFromConfig(w.aws.Config()), new("openirsa-dev-default-app")
	trusted := func() string {
		r, err := client.GetRole(t.Context(), &iam.GetRoleInput{RoleName: name})
		if err != nil {
			t.Fatal(err)
		}
		return unescape(*r.Role.AssumeRolePolicyDocument)
	}
	o := &waiter{w: w, last: func() {
		more := strings.Replace(trusted(), `"Statement":[`, `"Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"},`, 1)
		if _, err := client.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: &more}); err != nil {
			t.Error(err)
		}
	}}
	if _, err := w.ch.Move(t.Context(), chain.MoveOptions{Remove: true, Wait: time.Minute}, o); err != nil {
		t.Fatal(err)
	}
	if n := len(o.calls); n != 4 || o.calls[0] != o.calls[n-1] {
		t.Errorf("waited %d times, calls of AWS by then %d", n, o.calls)
	}
	w.check("in the end", "app", false, true, false)
	if !strings.Contains(trusted(), "ec2.amazonaws.com") {
		t.Errorf("what somebody has added meanwhile is gone: %s", trusted())
	}
}

// A run that was stopped anywhere is continued by the next one, and old pods can use their role all the time.
func TestMoveContinues(t *testing.T) {
	w := newWorld(t)
	w.grant("app")
	w.deploy("web", "app")
	all := chain.MoveOptions{Restart: true, Remove: true, Wait: 5 * time.Second}
	for n := 0; ; n++ {
		w.api.Mu.Lock()
		w.api.FailAt, w.api.Failed = n, false
		w.api.Mu.Unlock()
		_, err := w.ch.Move(t.Context(), all, nil)
		w.api.Mu.Lock()
		failed := w.api.Failed
		w.api.FailAt = -1
		w.api.Mu.Unlock()
		moves, bad := w.ch.Moves(t.Context())
		if bad != nil {
			t.Fatal(bad)
		}
		for _, m := range moves {
			if tokens, _ := w.trusts("app"); len(m.Old) > 0 && !tokens {
				t.Fatalf("failure %d: pods use IRSA, and the role does not let them in", n)
			}
		}
		if err == nil && !failed {
			break
		}
		if n > 200 {
			t.Fatal(err)
		}
	}
	w.check("in the end", "app", false, true, false)
}

// stopper ends a run when so many links are done.
type stopper struct {
	notes
	links int
	stop  context.CancelFunc
}

func (s *stopper) Done(plan.Result) {
	if s.links--; s.links == 0 {
		s.stop()
	}
}

// A run that was stopped between any two links is continued by the next one, also between the role and the annotation.
func TestMoveContinuesAfterEachLink(t *testing.T) {
	all := chain.MoveOptions{Restart: true, Remove: true, Wait: 5 * time.Second}
	for links := 1; ; links++ {
		w := newWorld(t)
		w.grant("app")
		w.deploy("web", "app")
		ctx, cancel := context.WithCancel(t.Context())
		_, err := w.ch.Move(ctx, all, &stopper{links: links, stop: cancel})
		cancel()
		if err == nil {
			if links < 5 {
				t.Errorf("only %d links can be stopped", links-1)
			}
			return
		}
		w.move(all)
		w.check("after a run that was stopped", "app", false, true, false)
	}
}

// What is under way, or not there, is refused before anything is changed.
func TestMoveRefuses(t *testing.T) {
	w := newWorld(t)
	w.grant("app")
	w.api.Mu.Lock()
	w.api.Denied["patch deployments"] = true
	w.api.Mu.Unlock()
	if _, err := w.ch.Move(t.Context(), chain.MoveOptions{Restart: true}, nil); !errors.Is(err, cluster.ErrForbidden) {
		t.Errorf("without the right to restart: %v", err)
	}
	w.ch.Record.Change = &record.Change{Kind: record.KeyRotation, ID: "1", Stage: record.Sign, Rotation: &record.Rotation{}}
	if _, err := w.ch.Move(t.Context(), chain.MoveOptions{}, nil); err == nil || !strings.Contains(err.Error(), "key rotation") {
		t.Errorf("during a rotation: %v", err)
	}
	w.ch.Record.Change = nil
	if _, err := w.aws.UnregisterCluster("", "", "dev"); err != nil {
		t.Fatal(err)
	}
	_, err := w.ch.Move(t.Context(), chain.MoveOptions{}, nil)
	if _, ok := errors.AsType[*chain.NoEKSError](err); !ok {
		t.Errorf("in a cluster that EKS does not know: %v", err)
	}
	w.check("refused", "app", true, false, true)
}
