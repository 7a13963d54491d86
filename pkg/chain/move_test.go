package chain_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/podidentity"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/trust"
)

// newMover is a world with an agent where pods run.
func newMover(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.agentOn("node-1", corev1.ConditionTrue)
	return w
}

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
	w := newMover(t)
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
	_, said = w.move(chain.MoveOptions{Remove: true})
	if got := w.stages(); got != "app restart" {
		t.Errorf("with old pods: %s", got)
	}
	w.check("with old pods", "app", true, true, true)
	w.check("without pods", "idle", false, true, false)
	if !strings.Contains(said, "note: "+(&chain.UntriedError{Account: "default/idle"}).Error()) || strings.Contains(said, "default/app runs") {
		t.Errorf("what was not tried:\n%s", said)
	}

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
	w := newMover(t)
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

// annotated makes a service account of the namespace default that somebody has annotated with a role.
func (w *world) annotated(name, arn string) {
	w.api.Put("/api/v1/namespaces/default/serviceaccounts/"+name, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: name, Annotations: map[string]string{irsa.DefaultPrefix.RoleARN(): arn},
	}})
}

// theirs makes a role that was not made for the cluster, with a statement about a service.
func (w *world) theirs(name, service string, condition map[string]any, actions ...string) string {
	w.Helper()
	s := map[string]any{"Effect": "Allow", "Principal": map[string]string{"Service": service}, "Action": actions}
	if condition != nil {
		s["Condition"] = condition
	}
	return w.aws.Role(name, emulatortest.Document(s))
}

// retrust changes the trust policy of the role of a service account.
func (w *world) retrust(name string, change func(document string) string) {
	w.Helper()
	client, name := iam.NewFromConfig(w.aws.Config()), "openirsa-dev-default-"+name
	r, err := client.GetRole(w.Context(), &iam.GetRoleInput{RoleName: &name})
	w.must(err)
	_, err = client.UpdateAssumeRolePolicy(w.Context(), &iam.UpdateAssumeRolePolicyInput{
		RoleName: &name, PolicyDocument: new(change(unescape(*r.Role.AssumeRolePolicyDocument))),
	})
	w.must(err)
}

// with adds a statement to a trust policy.
func with(statement string) func(string) string {
	return func(document string) string {
		return strings.Replace(document, `"Statement":[`, `"Statement":[`+statement+`,`, 1)
	}
}

// What cannot be moved stays, is named with what was compared, and stops nothing else.
func TestMoveHeld(t *testing.T) {
	w := newMover(t)
	w.grant("app", "denied")
	w.retrust("denied", with(`{"Effect":"Deny","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:TagSession"}`))
	const service = "pods.eks.amazonaws.com"
	both := []string{"sts:AssumeRole", "sts:TagSession"}
	equals := func(operator, key, value string) map[string]any {
		return map[string]any{operator: map[string]string{key: value}}
	}
	w.annotated("lost", "arn:aws:iam::"+w.aws.Account()+":role/none")
	w.annotated("foreign", w.theirs("foreign", "ec2.amazonaws.com", nil, "sts:AssumeRole"))
	w.annotated("pinned", w.theirs("pinned", service, equals("StringEquals", "aws:RequestTag/kubernetes-namespace", "other"), both...))
	w.annotated("elsewhere", w.theirs("elsewhere", service, equals("ArnEquals", "aws:SourceArn", "arn:aws:eks:us-east-1:123456789012:cluster/prod"), both...))
	w.annotated("untagged", w.theirs("untagged", service, nil, "sts:AssumeRole"))
	w.annotated("open", w.theirs("open", service, equals("StringEquals", "aws:RequestTag/kubernetes-service-account", "open"), both...))
	target := w.theirs("target", service, nil, both...)
	w.annotated("target", target)
	_, err := eks.NewFromConfig(w.aws.Config()).CreatePodIdentityAssociation(t.Context(), &eks.CreatePodIdentityAssociationInput{
		ClusterName: new("dev"), Namespace: new("default"), ServiceAccount: new("target"), RoleArn: &target, TargetRoleArn: new("arn:aws:iam::444455556666:role/far"),
	})
	w.must(err)
	_, said := w.move(chain.MoveOptions{Accounts: []chain.ServiceAccount{{Namespace: "default"}, {Namespace: "default", Name: "nobody"}}})
	for account, want := range map[string]struct {
		err   error
		words string
	}{
		"lost":    {chain.ErrNoRole, ""},
		"nobody":  {chain.ErrNotAnnotated, ""},
		"foreign": {chain.ErrRoleOfOthers, `its Principal is "ec2.amazonaws.com"`},
		"pinned":  {chain.ErrRoleOfOthers, `aws:RequestTag/kubernetes-namespace expects "other" and the request has "default"`},
		"elsewhere": {chain.ErrRoleOfOthers, `aws:SourceArn expects "arn:aws:eks:us-east-1:123456789012:cluster/prod" and the request has "` +
			w.ch.ClusterARN() + `"`},
		"untagged": {chain.ErrRoleOfOthers, `its Action is "sts:AssumeRole" and the request's is "sts:TagSession"`},
		"denied":   {chain.ErrShutOut, `sts:TagSession is explicitly denied by statement 0 of role trust policy "openirsa-dev-default-denied"`},
		"target":   {chain.ErrOtherRole, "arn:aws:iam::444455556666:role/far"},
	} {
		start := "note: " + (&chain.HeldError{Account: "default/" + account, Err: want.err}).Error()
		if !slices.ContainsFunc(strings.Split(said, "\n"), func(line string) bool { return strings.HasPrefix(line, start) && strings.Contains(line, want.words) }) {
			t.Errorf("it does not say %q with %q:\n%s", start, want.words, said)
		}
	}
	if got := w.stages(); got != "app remove, denied held, elsewhere held, foreign held, lost held, open remove, pinned held, target held, untagged held" {
		t.Errorf("stages: %s", got)
	}
	var associated []string
	for _, a := range w.associations("", "") {
		associated = append(associated, a.ServiceAccount)
	}
	if !slices.Equal(associated, []string{"app", "open", "target"}) {
		t.Errorf("associations of %q", associated)
	}
	w.check("one that is denied", "denied", true, false, true)
}

// An association without session tags: the role lets in the cluster's pods, which is all that their sessions say.
func TestMoveWithoutTags(t *testing.T) {
	w := newMover(t)
	w.grant("app")
	w.deploy("web", "app")
	w.retrust("app", with(`{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"x"}}}`))
	_, err := eks.NewFromConfig(w.aws.Config()).CreatePodIdentityAssociation(t.Context(), &eks.CreatePodIdentityAssociationInput{
		ClusterName: new("dev"), Namespace: new("default"), ServiceAccount: new("app"), DisableSessionTags: new(true),
		RoleArn: new(w.annotation("app")),
	})
	w.must(err)
	w.move(chain.MoveOptions{Restart: true, Remove: true})
	w.check("in the end", "app", false, true, false)
}

// Where no agent would answer the pods nothing is done, and the next run goes on once there is one.
func TestMoveWithoutAgent(t *testing.T) {
	w := newWorld(t)
	w.grant("app")
	w.deploy("web", "app")
	w.api.Took()
	all := chain.MoveOptions{Restart: true, Remove: true}
	held := func(when string, words ...string) {
		t.Helper()
		out, said := w.move(all)
		if out.Changed || len(out.Moves) != 1 || out.Moves[0].Stage != chain.MoveHeld || len(w.api.Took())+len(w.log)+len(w.associations("", "")) > 0 {
			t.Errorf("%s: %+v, restarts %q", when, out, w.log)
		}
		for _, word := range append(words, "note: service account: default/app stays with IRSA: "+chain.ErrNoAgent.Error()) {
			if !strings.Contains(said, word) {
				t.Errorf("%s: it does not say %q:\n%s", when, word, said)
			}
		}
		w.check(when, "app", true, false, true)
	}
	held("without one", "no DaemonSet openirsa-agent or eks-pod-identity-agent")
	w.agentOn("node-2", corev1.ConditionTrue)
	held("on another node", "on node node-1, where pod default/web-1 runs", "there is none")
	w.agentOn("node-1", corev1.ConditionFalse)
	held("that is not ready", "pod openirsa-agent-1, not ready")
	w.api.Put("/api/v1/nodes/node-1", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1", Labels: map[string]string{"eks.amazonaws.com/compute-type": "auto"}}})
	w.move(all) // which has one of its own
	w.check("in the end", "app", false, true, false)
}

// unverified is a run that must stop since pods do not get their role.
func (w *world) unverified(when string, o chain.MoveOptions) *chain.UnverifiedError {
	w.Helper()
	o.Wait = cmp.Or(o.Wait, 10*time.Second)
	_, err := w.ch.Move(w.Context(), o, nil)
	e, ok := errors.AsType[*chain.UnverifiedError](err)
	if !ok || e.Account != "default/app" {
		w.Fatalf("%s: %v", when, err)
	}
	return e
}

// Where EKS Auth gives a pod nothing, no workload is restarted and IRSA stays; the next run goes on.
func TestMoveVerifies(t *testing.T) {
	w := newMover(t)
	w.grant("app")
	w.deploy("web", "app")
	w.deploy("db", "app")
	all := chain.MoveOptions{Restart: true, Remove: true}
	refused := func(when string, o chain.MoveOptions, code string, restarts ...string) {
		t.Helper()
		e := w.unverified(when, o)
		if r, ok := errors.AsType[*podidentity.RefusedError](e); !ok || r.Code != code || !slices.Equal(w.log, restarts) {
			t.Errorf("%s: %v, restarts %q", when, e, w.log)
		}
		w.check(when, "app", true, true, true)
	}
	w.tokensFor("sts.amazonaws.com")
	refused("before a restart", all, "InvalidTokenException")
	w.tokensFor("")
	w.restarted = func() { w.audience = "sts.amazonaws.com" }
	refused("after the first restart", all, "InvalidTokenException", "restart db")
	w.restarted = nil
	w.tokensFor("")
	w.move(chain.MoveOptions{Restart: true})

	// What only AWS knows shows then: it is waited for, since IAM takes its time, but not for ever.
	deny := `{"Effect":"Deny","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringLike":{"sts:RoleSessionName":"eks-*"}}}`
	w.retrust("app", with(deny))
	refused("before IRSA goes", chain.MoveOptions{Remove: true, Wait: 2 * time.Second}, "AccessDeniedException", "restart db", "restart web")
	w.retrust("app", func(document string) string { return strings.Replace(document, deny+",", "", 1) })
	w.move(chain.MoveOptions{Remove: true})
	w.check("in the end", "app", false, true, false)
}

// A session that is not the pod's own counts as none. EKS Auth is where the AWS SDKs would look for it.
func TestMoveAnotherSession(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/clusters/dev/assume-role-for-pod-identity" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		io.WriteString(rw, `{"credentials":{"accessKeyId":"test","secretAccessKey":"test","expiration":1900000000}}`)
	}))
	t.Cleanup(other.Close)
	t.Setenv("AWS_ENDPOINT_URL_EKS_AUTH", other.URL)
	w := newMover(t)
	w.grant("app")
	w.deploy("web", "app")
	e := w.unverified("with another session", chain.MoveOptions{Restart: true})
	if !errors.Is(e, chain.ErrOtherSession) || !strings.Contains(e.Error(), "arn:aws:iam::"+w.aws.Account()+":root") || len(w.log) > 0 {
		t.Errorf("%v, restarts %q", e, w.log)
	}
}

// A pod that nothing replaces is named, and what it needs stays.
func TestMoveStuckPod(t *testing.T) {
	w := newMover(t)
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
	w := newMover(t)
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
	w := newMover(t)
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
		w := newMover(t)
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
	w := newMover(t)
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
