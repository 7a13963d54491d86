package cluster

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/openirsa/openirsa/internal/kubefake"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// objects reads YAML documents. Objects without labels of their own get ours.
func objects(t *testing.T, documents ...string) []*unstructured.Unstructured {
	t.Helper()
	var objs []*unstructured.Unstructured
	for _, d := range documents {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(d), &o.Object); err != nil {
			t.Fatal(err)
		}
		if o.GetLabels() == nil {
			o.SetLabels(map[string]string{"app.kubernetes.io/part-of": "openirsa", "app.kubernetes.io/managed-by": "openirsa"})
		}
		objs = append(objs, o)
	}
	return objs
}

func installation(t *testing.T) []*unstructured.Unstructured {
	return objects(t,
		"{apiVersion: v1, kind: Namespace, metadata: {name: openirsa-system}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {namespace: openirsa-system, name: settings}, data: {a: b}}",
		"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: openirsa}, rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}",
		"{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: openirsa-system, name: webhook}, spec: {replicas: 1, selector: {matchLabels: {app: webhook}}, template: {metadata: {labels: {app: webhook}}, spec: {containers: [{name: webhook, image: a}]}}}}",
		"{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: openirsa}, webhooks: []}",
	)
}

// apply plans and runs, and returns what was planned.
func apply(t *testing.T, c *Cluster, objs []*unstructured.Unstructured) []plan.Step {
	t.Helper()
	steps, err := c.Apply(t.Context(), objs, plan.Webhook)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Run(t.Context(), steps, nil); err != nil {
		t.Fatal(err)
	}
	return steps
}

func TestApply(t *testing.T) {
	f, c := newAPI(t)
	objs := installation(t)
	want := []string{
		"create Namespace openirsa-system", "create ConfigMap openirsa-system/settings", "create ClusterRole openirsa",
		"create Deployment openirsa-system/webhook", "create MutatingWebhookConfiguration openirsa",
	}
	if diff := cmp.Diff(want, summaries(apply(t, c, objs))); diff != "" {
		t.Fatal(diff)
	}
	if n := len(f.Took()); n != 5 {
		t.Errorf("%d writes", n)
	}
	if steps := apply(t, c, installation(t)); len(steps) > 0 || len(f.Took()) > 0 {
		t.Errorf("second run: %q", summaries(steps))
	}

	// What others add stays theirs; what they change of ours is put right.
	f.Mu.Lock()
	m := f.Objects["/api/v1/namespaces/openirsa-system/configmaps/settings"].(*corev1.ConfigMap)
	m.Data["theirs"] = "x"
	f.Mu.Unlock()
	if steps := apply(t, c, objs); len(steps) > 0 {
		t.Errorf("after an addition: %q", summaries(steps))
	}
	f.Mu.Lock()
	m = f.Objects["/api/v1/namespaces/openirsa-system/configmaps/settings"].(*corev1.ConfigMap)
	m.Data["a"] = "changed"
	f.Mu.Unlock()
	steps := apply(t, c, objs)
	if len(steps) != 1 || steps[0].Action != plan.Update || steps[0].Diff != "-data.a: \"changed\"\n+data.a: \"b\"\n" {
		t.Errorf("after a change: %+v", steps)
	}
	f.Mu.Lock()
	m = f.Objects["/api/v1/namespaces/openirsa-system/configmaps/settings"].(*corev1.ConfigMap)
	if diff := cmp.Diff(map[string]string{"a": "b", "theirs": "x"}, m.Data); diff != "" {
		t.Error(diff)
	}
	f.Mu.Unlock()
	f.Took()

	if err := c.Rollout(t.Context(), objs, time.Second); err != nil {
		t.Error(err)
	}
	owned, err := c.Owned(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	steps, err = c.Delete(t.Context(), owned, plan.Webhook)
	if err != nil {
		t.Fatal(err)
	}
	want = []string{"delete MutatingWebhookConfiguration openirsa", "delete ClusterRole openirsa", "delete Namespace openirsa-system"}
	if diff := cmp.Diff(want, summaries(steps)); diff != "" {
		t.Fatal(diff)
	}
	if err := plan.Run(t.Context(), steps, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/api/v1/namespaces/default"}, f.Paths()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if steps, err := c.Delete(t.Context(), installation(t), plan.Webhook); err != nil || len(steps) > 0 {
		t.Errorf("second time: %q, %v", summaries(steps), err)
	}
}

// A volume claim in a namespace would have the namespace controller look twice, 5 seconds
// apart: it goes before the namespace.
func TestDeleteOfNamespaceWithClaim(t *testing.T) {
	f, c := newAPI(t)
	objs := installation(t)
	apply(t, c, objs)
	const claim = "/api/v1/namespaces/openirsa-system/persistentvolumeclaims/state"
	f.Put(claim, &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "openirsa-system", Name: "state"}})
	f.Took()
	steps, err := c.Delete(t.Context(), objs[:1], plan.Emulator)
	if err == nil {
		err = plan.Run(t.Context(), steps, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"delete /apis/apps/v1/namespaces/openirsa-system/deployments/webhook", "delete " + claim, "delete /api/v1/namespaces/openirsa-system"}
	if diff := cmp.Diff(want, f.Took()); diff != "" {
		t.Error(diff)
	}
}

// A namespace that is still being deleted, from a `down` that was killed, is
// waited for.
func TestApplyIntoTerminatingNamespace(t *testing.T) {
	f, c := newAPI(t)
	apply(t, c, installation(t))
	f.Lingers = 5
	if _, err := f.Delete("/api/v1/namespaces/openirsa-system", corev1.SchemeGroupVersion.WithKind("Namespace")); err != nil {
		t.Fatal(err)
	}
	want := []string{"create Namespace openirsa-system", "create ConfigMap openirsa-system/settings", "create Deployment openirsa-system/webhook"}
	steps := apply(t, c, installation(t))
	if diff := cmp.Diff(want, summaries(steps)); diff != "" {
		t.Error(diff)
	}
	if steps := apply(t, c, installation(t)); len(steps) > 0 {
		t.Errorf("second run: %q", summaries(steps))
	}
	if n := len(f.Paths()); n != 6 {
		t.Errorf("%d objects", n)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	_, c := newAPI(t)
	secret := func(v string) []*unstructured.Unstructured {
		return objects(t, "{apiVersion: v1, kind: Secret, metadata: {namespace: default, name: s}, stringData: {password: "+v+"}}")
	}
	apply(t, c, secret("hunter2"))
	steps := apply(t, c, secret("hunter3"))
	if len(steps) != 1 || strings.Contains(steps[0].Diff, "hunter") || !strings.Contains(steps[0].Diff, "password") {
		t.Errorf("%+v", steps)
	}
}

func TestUnknownKind(t *testing.T) {
	_, c := newAPI(t)
	objs := objects(t, "{apiVersion: example.com/v1, kind: Wish, metadata: {name: w}}")
	if _, err := c.Apply(t.Context(), objs, plan.Webhook); err == nil || !strings.Contains(err.Error(), `comparing Wish w with cluster c-remote: looking up Wish`) {
		t.Errorf("error = %v", err)
	}
	if _, err := c.Delete(t.Context(), objs, plan.Webhook); err == nil || !strings.Contains(err.Error(), "looking up Wish") {
		t.Errorf("error = %v", err)
	}
}

// TestFailAnywhere fails each request once, before and after it is done, and
// expects the next run to reach the same end.
func TestFailAnywhere(t *testing.T) {
	sa := ServiceAccount{Namespace: "app", Name: "reader", Annotations: map[string]string{irsa.DefaultPrefix.RoleARN(): "arn:aws:iam::123456789012:role/r"}}
	up := func(c *Cluster) error {
		for _, step := range []func() ([]plan.Step, error){
			func() ([]plan.Step, error) { return c.Apply(t.Context(), installation(t)[:1], plan.Issuer) },
			func() ([]plan.Step, error) {
				return c.SetState(t.Context(), record.Record{Cluster: "dev", Location: record.Location{Issuer: testIssuer}})
			},
			func() ([]plan.Step, error) { return c.Apply(t.Context(), installation(t)[1:], plan.Webhook) },
			func() ([]plan.Step, error) { return c.Annotate(t.Context(), sa) },
		} {
			steps, err := step()
			if err != nil {
				return err
			}
			if err := plan.Run(t.Context(), steps, nil); err != nil {
				return err
			}
		}
		return nil
	}
	down := func(c *Cluster) error {
		steps, err := c.Unannotate(t.Context(), sa.Namespace, sa.Name)
		if err != nil {
			return err
		}
		if err := plan.Run(t.Context(), steps, nil); err != nil {
			return err
		}
		owned, err := c.Owned(t.Context())
		if err != nil {
			return err
		}
		if steps, err = c.Delete(t.Context(), owned, plan.Webhook); err != nil {
			return err
		}
		return plan.Run(t.Context(), steps, nil)
	}
	complete := []string{
		"/api/v1/namespaces/app", "/api/v1/namespaces/app/serviceaccounts/reader", "/api/v1/namespaces/default", "/api/v1/namespaces/openirsa-system",
		"/api/v1/namespaces/openirsa-system/configmaps/openirsa", "/api/v1/namespaces/openirsa-system/configmaps/settings",
		"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/openirsa",
		"/apis/apps/v1/namespaces/openirsa-system/deployments/webhook", "/apis/rbac.authorization.k8s.io/v1/clusterroles/openirsa",
	}
	empty := []string{"/api/v1/namespaces/app", "/api/v1/namespaces/default"} // a namespace may hold things of others
	for _, after := range []bool{false, true} {
		for _, way := range []string{"up", "down"} {
			t.Run(fmt.Sprintf("%s after=%t", way, after), func(t *testing.T) {
				for k := 0; ; k++ {
					f, c := newAPI(t)
					end, want := up, complete
					if way == "down" {
						if err := up(c); err != nil {
							t.Fatal(err)
						}
						end, want = down, empty
					}
					f.Mu.Lock()
					f.FailAt, f.After = k, after
					f.Mu.Unlock()
					err := end(c)
					f.Mu.Lock()
					failed := f.Failed
					f.FailAt = -1
					f.Mu.Unlock()
					if !failed {
						if k < 15 {
							t.Errorf("only %d requests", k)
						}
						return
					}
					if err == nil { // it was asked again, or of no matter
						if diff := cmp.Diff(want, f.Paths()); diff != "" {
							t.Fatalf("request %d failed, unseen: (-want +got)\n%s", k, diff)
						}
					}
					if err := end(c); err != nil {
						t.Fatalf("run after request %d had failed: %v", k, err)
					}
					if diff := cmp.Diff(want, f.Paths()); diff != "" {
						t.Fatalf("request %d failed: (-want +got)\n%s", k, diff)
					}
					f.Took()
					if err := end(c); err != nil || len(f.Took()) > 0 {
						t.Fatalf("request %d failed: a further run writes: %v", k, err)
					}
				}
			})
		}
	}
}

func TestState(t *testing.T) {
	f, c := newAPI(t)
	if _, err := c.State(t.Context()); !errors.Is(err, ErrNoState) || !strings.Contains(err.Error(), "has no ConfigMap openirsa-system/openirsa") {
		t.Errorf("error = %v", err)
	}
	want := record.Record{Cluster: "dev", Location: record.Location{Issuer: testIssuer, Bucket: "openirsa-dev"}, Region: "eu-west-1", Emulator: true}
	set := func(r record.Record) []string {
		t.Helper()
		steps, err := c.SetState(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.Run(t.Context(), steps, nil); err != nil {
			t.Fatal(err)
		}
		return f.Took()
	}
	apply(t, c, installation(t)[:1])
	f.Took()
	if got := set(want); len(got) != 1 {
		t.Errorf("writes %q", got)
	}
	if got, err := c.State(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got := set(want); len(got) > 0 {
		t.Errorf("second time: writes %q", got)
	}
	want.Emulator = false // a field that is not set any more goes
	if got := set(want); len(got) != 1 {
		t.Errorf("change: writes %q", got)
	}
	if got, err := c.State(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}

	// Another run continues a change; this one must not take it back.
	mine, theirs := want, want
	mine.Region, theirs.Change = "eu-west-2", &record.Change{Stage: record.Sign, Rotation: &record.Rotation{}}
	steps, err := c.SetState(t.Context(), mine)
	if err != nil {
		t.Fatal(err)
	}
	other := &Cluster{Name: c.Name, config: c.config, client: c.client}
	more, err := other.SetState(t.Context(), theirs)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Run(t.Context(), more, nil); err != nil {
		t.Fatal(err)
	}
	f.Took()
	if err := plan.Run(t.Context(), steps, nil); !errors.Is(err, ErrStateChanged) || len(f.Took()) > 0 {
		t.Errorf("error = %v, want ErrStateChanged and no write", err)
	}
	if got, err := c.State(t.Context()); err != nil || !reflect.DeepEqual(got, theirs) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A write that comes between looking at the record and writing it.
func TestStateMeanwhile(t *testing.T) {
	was := record.Record{Cluster: "dev", Location: record.Location{Issuer: testIssuer}}
	mine, theirs := was, was
	mine.Region, theirs.Change = "eu-west-2", &record.Change{Stage: record.Sign, Rotation: &record.Rotation{}}
	for _, test := range []struct {
		name            string
		meanwhile, want record.Record
		err             error
	}{
		{"of another run", theirs, theirs, ErrStateChanged},
		{"this very one, whose answer was lost", mine, mine, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, c := newAPI(t)
			apply(t, c, installation(t)[:1])
			set := func(r record.Record) error {
				steps, err := c.SetState(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				return plan.Run(t.Context(), steps, nil)
			}
			if err := set(was); err != nil {
				t.Fatal(err)
			}
			var m corev1.ConfigMap
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(RecordObject(test.meanwhile).Object, &m); err != nil {
				t.Fatal(err)
			}
			f.Meanwhile = func() {
				f.Stamp(&m)
				f.Objects["/api/v1/namespaces/"+Namespace+"/configmaps/"+stateName] = &m
			}
			if err := set(mine); !errors.Is(err, test.err) {
				t.Errorf("error = %v, want %v", err, test.err)
			}
			if f.Meanwhile != nil {
				t.Error("nothing was written meanwhile")
			}
			if got, err := c.State(t.Context()); err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestServiceAccount(t *testing.T) {
	role := irsa.DefaultPrefix.RoleARN()
	f, c := newAPI(t)
	run := func(steps []plan.Step, err error) []string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.Run(t.Context(), steps, nil); err != nil {
			t.Fatal(err)
		}
		return summaries(steps)
	}
	get := func(path string) *corev1.ServiceAccount {
		t.Helper()
		f.Mu.Lock()
		defer f.Mu.Unlock()
		sa, ok := f.Objects[path].(*corev1.ServiceAccount)
		if !ok {
			return nil
		}
		return sa.DeepCopy()
	}
	equal := func(got, want any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}

	t.Run("made by us", func(t *testing.T) {
		const path = "/api/v1/namespaces/app/serviceaccounts/reader"
		sa := ServiceAccount{Namespace: "app", Name: "reader", Annotations: map[string]string{role: "r1", "eks.amazonaws.com/audience": "x"}, Labels: map[string]string{"team": "a"}}
		equal(run(c.Annotate(t.Context(), sa)), []string{"create namespace app", "create service account app/reader"})
		equal(get(path).Annotations, sa.Annotations)
		equal(get(path).Labels, map[string]string{"team": "a", ServiceAccountLabel: Created})
		equal(run(c.Annotate(t.Context(), sa)), []string(nil))

		sa.Annotations, sa.Labels = map[string]string{role: "r2"}, nil // ours to change
		steps, err := c.Annotate(t.Context(), sa)
		equal(run(steps, err), []string{"update service account app/reader"})
		equal(steps[0].Diff, "-metadata.annotations.eks.amazonaws.com/role-arn: \"r1\"\n+metadata.annotations.eks.amazonaws.com/role-arn: \"r2\"\n-metadata.annotations.eks.amazonaws.com/audience\n-metadata.labels.team\n")
		equal(get(path).Annotations, sa.Annotations)

		list, err := c.ServiceAccounts(t.Context())
		if err != nil || len(list) != 1 || list[0].Namespace != "app" || list[0].Role(irsa.DefaultPrefix) != "r2" {
			t.Errorf("%+v, %v", list, err)
		}
		equal(run(c.Unannotate(t.Context(), "app", "reader")), []string{"delete service account app/reader"})
		if get(path) != nil {
			t.Error("it is still there")
		}
		equal(run(c.Unannotate(t.Context(), "app", "reader")), []string(nil))
	})

	t.Run("there before", func(t *testing.T) {
		const path = "/api/v1/namespaces/default/serviceaccounts/theirs"
		before := map[string]string{"note": "mine", role: "theirs"}
		f.Put(path, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "theirs", Annotations: map[string]string{"note": "mine", role: "theirs"}}})
		sa := ServiceAccount{Namespace: "default", Name: "theirs", Annotations: map[string]string{role: "ours"}}
		_, err := c.Annotate(t.Context(), sa)
		conflict, ok := errors.AsType[*ConflictError](err)
		if !ok || conflict.Key != role || conflict.Have != "theirs" || !strings.Contains(err.Error(), `not "ours"`) {
			t.Fatalf("error = %v", err)
		}
		equal(run(c.Unannotate(t.Context(), "default", "theirs")), []string(nil))
		equal(get(path).Annotations, before)

		sa.Override = true
		equal(run(c.Annotate(t.Context(), sa)), []string{"update service account default/theirs"})
		equal(get(path).Annotations, map[string]string{"note": "mine", role: "ours"})
		equal(get(path).Labels, map[string]string{ServiceAccountLabel: Annotated})
		sa.Override = false
		equal(run(c.Annotate(t.Context(), sa)), []string(nil))
		equal(run(c.Unannotate(t.Context(), "default", "theirs")), []string{"update service account default/theirs"})
		equal(get(path).Annotations, map[string]string{"note": "mine"})
		equal(len(get(path).Labels), 0)
	})

	t.Run("somebody was faster", func(t *testing.T) {
		sa := ServiceAccount{Namespace: "default", Name: "late", Annotations: map[string]string{role: "ours"}}
		steps, err := c.Annotate(t.Context(), sa)
		if err != nil {
			t.Fatal(err)
		}
		const path = "/api/v1/namespaces/default/serviceaccounts/late"
		f.Put(path, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "late", Annotations: map[string]string{role: "theirs"}}})
		if _, ok := errors.AsType[*ConflictError](plan.Run(t.Context(), steps, nil)); !ok {
			t.Error("no conflict")
		}
		equal(get(path).Annotations[role], "theirs")
	})
}

func TestRolloutSaysWhatIsWrong(t *testing.T) {
	f, c := newAPI(t)
	objs := installation(t)
	apply(t, c, objs)
	f.Put("/api/v1/namespaces/openirsa-system/pods/webhook-1", &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "openirsa-system", Name: "webhook-1", Labels: map[string]string{"app": "webhook"}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "webhook", State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "no such image"},
		}}}},
	})
	f.Applied = func(_ string, o runtime.Object) {
		o.(*appsv1.Deployment).Status = appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}
	}
	replicas := objects(t, "{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: openirsa-system, name: webhook}, spec: {replicas: 3, selector: {matchLabels: {app: webhook}}, template: {metadata: {labels: {app: webhook}}, spec: {containers: [{name: webhook, image: a}]}}}}")
	apply(t, c, replicas)
	err := c.Rollout(t.Context(), objs, 100*time.Millisecond)
	for _, want := range []string{"Deployment openirsa-system/webhook has 1 of 3 replicas", "pod webhook-1, container webhook: ErrImagePull no such image"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %q", err, want)
		}
	}
}

// A pod of before that is draining still answers, so a rollout is not over.
func TestRolloutWaitsForFormerPods(t *testing.T) {
	f, c := newAPI(t)
	f.Applied = func(_ string, o runtime.Object) {
		if d, ok := o.(*appsv1.Deployment); ok {
			d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}
		}
	}
	objs := installation(t)
	apply(t, c, objs)
	const former = "/api/v1/namespaces/openirsa-system/pods/webhook-1"
	f.Put(former, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "openirsa-system", Name: "webhook-1", Labels: map[string]string{"app": "webhook"},
		DeletionTimestamp: new(metav1.Now()), DeletionGracePeriodSeconds: new(int64(300)),
	}})
	done := make(chan error, 1)
	go func() { done <- c.Rollout(t.Context(), objs, time.Minute) }()
	select {
	case err := <-done:
		t.Fatalf("the rollout is over while a pod of before is there: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	f.Mu.Lock()
	delete(f.Objects, former)
	f.Mu.Unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTruth(t *testing.T) {
	f, c := newAPI(t)
	if iss, err := c.Issuer(t.Context()); err != nil || iss != kubefake.DefaultIssuer {
		t.Errorf("%q, %v", iss, err)
	}
	if jwks, err := c.JWKS(t.Context()); err != nil || !strings.Contains(string(jwks), "keys") {
		t.Errorf("%q, %v", jwks, err)
	}
	f.Mu.Lock()
	f.Issuer = ""
	f.Mu.Unlock()
	if iss, err := c.Issuer(t.Context()); err != nil || iss != "" {
		t.Errorf("%q, %v", iss, err)
	}
	node := func(name, arch string) {
		f.Put("/api/v1/nodes/"+name, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{Architecture: arch}}})
	}
	node("a", "arm64")
	if arch, err := c.Architecture(t.Context()); err != nil || arch != "arm64" {
		t.Errorf("%q, %v", arch, err)
	}
	node("b", "amd64")
	if _, err := c.Architecture(t.Context()); err == nil {
		t.Error("two architectures")
	}
}

func TestCheck(t *testing.T) {
	f, c := newAPI(t)
	if err := c.Check(t.Context(), InstallRights()...); err != nil {
		t.Error(err)
	}
	f.Mu.Lock()
	f.Denied = map[string]bool{"get /openid/v1/jwks": true, "patch serviceaccounts": true, "get namespaces": true, "create mutatingwebhookconfigurations": true}
	f.Mu.Unlock()
	err := c.Check(t.Context(), InstallRights()...)
	if !errors.Is(err, ErrForbidden) {
		t.Fatalf("error = %v", err)
	}
	for _, want := range []string{"get /openid/v1/jwks", "patch serviceaccounts", "create mutatingwebhookconfigurations.admissionregistration.k8s.io", "cluster administrator"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	err = c.Check(t.Context(), ServiceAccountRights("app")...)
	for _, want := range []string{"patch serviceaccounts in namespace app", "get namespaces in namespace kube-system"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
	if i := slices.IndexFunc(InstallRights(), func(r Right) bool { return r.Resource == "pods/portforward" }); i < 0 {
		t.Error("no right to forward ports")
	}
}
