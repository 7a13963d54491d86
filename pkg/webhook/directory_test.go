package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/webhook"
)

const roleA, roleB = "arn:aws:iam::123456789012:role/a", "arn:aws:iam::123456789012:role/b"

func identity(role string) irsa.Identity {
	return irsa.Identity{RoleARN: role, Audience: "sts.amazonaws.com", ExpirationSeconds: 86400}
}

func annotated(role string, more ...string) map[string]string {
	m := map[string]string{"eks.amazonaws.com/role-arn": role, "somebody.else/key": "value"}
	for i := 0; i < len(more); i += 2 {
		m["eks.amazonaws.com/"+more[i]] = more[i+1]
	}
	return m
}

// follow runs a directory until the test ends, and waits until it is ready.
func follow(t *testing.T, d *webhook.Directory) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		d.Run(ctx)
		close(done)
	}()
	t.Cleanup(func() { cancel(); <-done })
	eventually(t, "the directory is ready", func() bool { return d.Ready() == nil })
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after 10 s: %s", what)
		}
	}
}

// asked counts how often the API server is asked for one service account, and
// answers with an error if there is one.
func asked(c *cluster, answer *atomic.Pointer[error]) *atomic.Int32 {
	var n atomic.Int32
	c.meta.PrependReactor("get", "serviceaccounts", func(clienttesting.Action) (bool, runtime.Object, error) {
		n.Add(1)
		if err := answer.Load(); err != nil {
			return true, nil, *err
		}
		return false, nil, nil
	})
	return &n
}

func TestLookup(t *testing.T) {
	c := newCluster(t)
	c.serviceAccount(t, "ns", "a", annotated(roleA, "audience", "aud", "token-expiration", "3600", "sts-regional-endpoints", "true"))
	c.serviceAccount(t, "ns", "plain", nil)
	c.serviceAccount(t, "ns", "malformed", annotated("role/a"))
	c.serviceAccount(t, "ns", "warned", annotated(roleA, "token-expiration", "1"))
	var failure atomic.Pointer[error]
	asks := asked(c, &failure)
	d := &webhook.Directory{Metadata: c.meta, Grace: time.Second}
	if d.Ready() == nil {
		t.Error("ready before anything is known")
	}
	if g, err := d.Lookup(t.Context(), "ns", "a"); err != nil || g.RoleARN != roleA {
		t.Errorf("before anything is known the API server is not asked: %+v, %v", g, err)
	}
	follow(t, d)
	asks.Store(0)
	expect := func(name string, want webhook.Grant, wantAsks int32) {
		t.Helper()
		g, err := d.Lookup(t.Context(), "ns", name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, g); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if n := asks.Swap(0); n != wantAsks {
			t.Errorf("%s: the API server was asked %d times, want %d", name, n, wantAsks)
		}
	}
	expect("a", webhook.Grant{Identity: irsa.Identity{RoleARN: roleA, Audience: "aud", ExpirationSeconds: 3600, RegionalSTS: true}}, 0)
	expect("warned", webhook.Grant{Identity: irsa.Identity{RoleARN: roleA, Audience: "sts.amazonaws.com", ExpirationSeconds: 600},
		Warnings: []string{`eks.amazonaws.com/token-expiration "1" is less than 600 seconds, the least that Kubernetes allows; using 600`}}, 0)
	expect("plain", webhook.Grant{}, 1)
	expect("missing", webhook.Grant{}, 1)
	if _, err := d.Lookup(t.Context(), "ns", "malformed"); !isAnnotationError(err) {
		t.Errorf("malformed: %v", err)
	}

	// The API server does not answer: what is known stands; what is not is not
	// decided.
	failure.Store(new(error(apierrors.NewTimeoutError("away", 1))))
	asks.Store(0)
	expect("plain", webhook.Grant{}, 1)
	if g, err := d.Lookup(t.Context(), "ns", "missing"); err == nil || isAnnotationError(err) || !g.Nothing() {
		t.Errorf("an unknown service account was decided: %+v, %v", g, err)
	}

	if diff := cmp.Diff(map[string]string{"eks.amazonaws.com/role-arn": roleA, "eks.amazonaws.com/token-expiration": "1"}, d.Known()["ns/warned"]); diff != "" {
		t.Errorf("known: %s", diff)
	}
	if _, ok := d.Known()["ns/plain"]; ok {
		t.Error("a service account without annotations takes up memory")
	}
}

func isAnnotationError(err error) bool {
	_, ok := errors.AsType[*irsa.AnnotationError](err)
	return ok
}

// A service account that is made or annotated after the directory has last
// heard of it: the watch is held up, and the pod is not missed.
func TestLookupBeforeTheWatch(t *testing.T) {
	c := newCluster(t)
	c.serviceAccount(t, "ns", "annotated-later", nil)
	d := &webhook.Directory{Metadata: c.meta, Grace: time.Second}
	follow(t, d)
	deaf := &webhook.Directory{Metadata: c.meta, Grace: 0}
	follow(t, deaf)
	for _, name := range []string{"made-later", "annotated-later"} {
		// The fake's watch delivers at once, so it is told of neither.
		c.meta.PrependReactor("get", "serviceaccounts", func(a clienttesting.Action) (bool, runtime.Object, error) {
			if get := a.(clienttesting.GetAction); get.GetName() == name {
				return true, &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Annotations: annotated(roleA)}}, nil
			}
			return false, nil, nil
		})
		if g, err := d.Lookup(t.Context(), "ns", name); err != nil || g.Identity != identity(roleA) {
			t.Errorf("%s: %+v, %v", name, g, err)
		}
		if g, err := deaf.Lookup(t.Context(), "ns", name); err != nil || !g.Nothing() {
			t.Errorf("%s, without grace: %+v, %v", name, g, err)
		}
	}
}

func TestLookupFollows(t *testing.T) {
	c := newCluster(t)
	c.serviceAccount(t, "ns", "a", annotated(roleA))
	d := &webhook.Directory{Metadata: c.meta}
	follow(t, d)
	role := func(name string) string {
		g, err := d.Lookup(t.Context(), "ns", name)
		if err != nil {
			t.Fatal(err)
		}
		return g.RoleARN
	}
	c.serviceAccount(t, "ns", "a", annotated(roleB))
	eventually(t, "a role is changed", func() bool { return role("a") == roleB })
	c.serviceAccount(t, "ns", "new", annotated(roleA))
	eventually(t, "a service account is new", func() bool { return role("new") == roleA })
	c.serviceAccount(t, "ns", "a", nil)
	eventually(t, "a role is taken away", func() bool { return role("a") == "" })
}

func TestLookupConfigMap(t *testing.T) {
	c := newCluster(t)
	c.serviceAccount(t, "ns", "own", annotated(roleA))
	for _, name := range []string{"mapped", "everywhere", "glob", "malformed", "none"} {
		c.serviceAccount(t, "ns", name, nil)
	}
	write := func(text string) {
		t.Helper()
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "hook", Name: webhook.ConfigMap}, Data: map[string]string{"config": text}}
		_, err := c.core().ConfigMaps("hook").Create(t.Context(), cm, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			if cm, err = c.core().ConfigMaps("hook").Get(t.Context(), webhook.ConfigMap, metav1.GetOptions{}); err == nil {
				cm.Data["config"] = text
				_, err = c.core().ConfigMaps("hook").Update(t.Context(), cm, metav1.UpdateOptions{})
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(`{"ns/own": {"RoleARN": "` + roleB + `"}, "ns/mapped": {"RoleARN": "` + roleB + `", "Audience": "aud", "UseRegionalSTS": true, "TokenExpiration": 1200},
		"*/everywhere": {"RoleARN": "` + roleB + `"}, "n*/glob": {"RoleARN": "` + roleA + `"}, "*/glob": {"RoleARN": "` + roleB + `"},
		"ns/malformed": {"RoleARN": "x"}, "ns/absent": {"RoleARN": "` + roleA + `"}}`)
	d := &webhook.Directory{Metadata: c.meta, Grace: time.Second, ConfigMaps: noWatchList{c.core().ConfigMaps("hook")}, Defaults: irsa.Defaults{Audience: "default-aud", ExpirationSeconds: 7200}}
	if _, err := d.Lookup(t.Context(), "ns", "mapped"); err == nil {
		t.Error("a pod is decided before the ConfigMap is known")
	}
	follow(t, d)
	lookup := func(name string) irsa.Identity {
		t.Helper()
		g, err := d.Lookup(t.Context(), "ns", name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return g.Identity
	}
	with := func(role string) irsa.Identity {
		return irsa.Identity{RoleARN: role, Audience: "default-aud", ExpirationSeconds: 7200}
	}
	for name, want := range map[string]irsa.Identity{
		"own":        with(roleA), // annotations win
		"mapped":     {RoleARN: roleB, Audience: "aud", ExpirationSeconds: 1200, RegionalSTS: true},
		"everywhere": with(roleB),
		"glob":       with(roleA), // the longer pattern wins
		"none":       {},
		"absent":     with(roleA),
	} {
		if diff := cmp.Diff(want, lookup(name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	_, err := d.Lookup(t.Context(), "ns", "malformed")
	if !isAnnotationError(err) || !strings.Contains(err.Error(), `entry "ns/malformed" of ConfigMap pod-identity-webhook, role-arn "x"`) {
		t.Errorf("malformed: %v", err)
	}

	write(`{"ns/mapped": {"RoleARN": "` + roleA + `"}, "nonsense": {}, "a/b/c": {}, "[/x": {}}`)
	eventually(t, "the ConfigMap has changed", func() bool { return lookup("mapped") == with(roleA) })
	if id := lookup("everywhere"); !id.IsZero() {
		t.Errorf("an entry that is gone: %+v", id)
	}
	write(`{"ns/mapped"`) // half-written: what it said before stays
	write(`{"ns/mapped": {"RoleARN": 1}}`)
	time.Sleep(50 * time.Millisecond)
	if id := lookup("mapped"); id != with(roleA) {
		t.Errorf("an unreadable ConfigMap: %+v", id)
	}
	if err := c.core().ConfigMaps("hook").Delete(t.Context(), webhook.ConfigMap, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the ConfigMap is gone", func() bool { return lookup("mapped").IsZero() })
}

// A service account on the list has container credentials, whatever role it is annotated
// with (A45), and its tokens live for a day, more or less (A47).
func TestLookupCredentials(t *testing.T) {
	c := newCluster(t)
	c.serviceAccount(t, "ns", "role", annotated(roleA, "token-expiration", "3600"))
	c.serviceAccount(t, "ns", "both", annotated("not even an ARN", "token-expiration", "3600", "sts-regional-endpoints", "true"))
	c.serviceAccount(t, "ns", "plain", nil)
	c.serviceAccount(t, "ns", "malformed", map[string]string{"eks.amazonaws.com/token-expiration": "x"})
	list, err := webhook.ParseCredentialsList([]byte(`{"identities":[{"namespace":"ns","serviceAccount":"both"},{"namespace":"ns","serviceAccount":"plain"},
		{"namespace":"ns","serviceAccount":"malformed"},{"namespace":"ns","serviceAccount":"role"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	d := &webhook.Directory{Metadata: c.meta, Grace: time.Second, Credentials: func() webhook.CredentialsList { return list }}
	follow(t, d)
	g, err := d.Lookup(t.Context(), "ns", "both")
	if g.Day < 79200 || g.Day > 86400 {
		t.Errorf("a day of %d seconds", g.Day)
	}
	g.Day = 0
	if diff := cmp.Diff(webhook.Grant{Credentials: true, Identity: irsa.Identity{ExpirationSeconds: 3600, RegionalSTS: true}}, g); err != nil || diff != "" {
		t.Error(err, diff)
	}
	g, err = d.Lookup(t.Context(), "ns", "role")
	g.Day = 0
	if diff := cmp.Diff(webhook.Grant{Credentials: true, Identity: irsa.Identity{ExpirationSeconds: 3600}}, g); err != nil || diff != "" {
		t.Error("A45", err, diff)
	}
	if g, err := d.Lookup(t.Context(), "ns", "malformed"); err != nil || !g.Credentials || !isAnnotationError(g.Malformed) || len(g.Warnings) != 1 {
		t.Errorf("malformed: %+v, %v", g, err)
	}
	seen := map[int64]bool{}
	for range 1000 {
		g, err := d.Lookup(t.Context(), "ns", "plain")
		if err != nil || !g.Credentials || g.ExpirationSeconds < 79200 || g.ExpirationSeconds > 86400 {
			t.Fatalf("%+v, %v", g, err)
		}
		seen[g.ExpirationSeconds] = true
	}
	if len(seen) < 500 {
		t.Errorf("1000 tokens have only %d different lives", len(seen))
	}
	if g, err := d.Lookup(t.Context(), "elsewhere", "plain"); err != nil || !g.Nothing() {
		t.Errorf("another namespace: %+v, %v", g, err)
	}
}

// Container credentials need nothing of the service account: where it is not known, and
// the API server does not answer, they have the defaults.
func TestLookupCredentialsOfUnknown(t *testing.T) {
	c := newCluster(t)
	var failure atomic.Pointer[error]
	failure.Store(new(error(apierrors.NewTimeoutError("away", 1))))
	asked(c, &failure)
	list, err := webhook.ParseCredentialsList([]byte(`{"identities":[{"namespace":"ns","serviceAccount":"app"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, grace := range []time.Duration{0, time.Second} {
		d := &webhook.Directory{Metadata: c.meta, Grace: grace, Credentials: func() webhook.CredentialsList { return list }}
		g, err := d.Lookup(t.Context(), "ns", "app")
		if err != nil || !g.Credentials || g.ExpirationSeconds < 79200 || g.ExpirationSeconds > 86400 {
			t.Errorf("%s: %+v, %v", grace, g, err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.Lookup(ended, "ns", "app"); err == nil && grace > 0 {
			t.Error("somebody who has gone is answered")
		}
	}
}

// The time of a review ends while the API server is silent: container credentials have the defaults.
func TestLookupCredentialsAtTheDeadline(t *testing.T) {
	list, err := webhook.ParseCredentialsList([]byte(`{"identities":[{"namespace":"ns","serviceAccount":"app"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.meta.PrependReactor("get", "serviceaccounts", func(clienttesting.Action) (bool, runtime.Object, error) {
			time.Sleep(10 * time.Second)
			return true, nil, errors.New("too late")
		})
		d := &webhook.Directory{Metadata: c.meta, Grace: time.Second, Credentials: func() webhook.CredentialsList { return list }}
		ctx, cancel := context.WithTimeout(t.Context(), 1750*time.Millisecond)
		defer cancel()
		start := time.Now()
		g, err := d.Lookup(ctx, "ns", "app")
		if took := time.Since(start); err != nil || !g.Credentials || took != 1750*time.Millisecond {
			t.Errorf("after %s: %+v, %v", took, g, err)
		}
		time.Sleep(10 * time.Second) // for the end of the question
	})
}

// The EKS API is silent. The first review waits for it, even with the least time of the webhook configuration; those
// after it do not. One with less time says nothing about the API, whoever sends it.
func TestSilenceOfAssociationsWithinAReview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.serviceAccount(t, "ns", "app", annotated(roleA))
		api := newEKS()
		d := &webhook.Directory{Metadata: c.meta, Grace: time.Second, Associations: &webhook.Associations{List: api.list}}
		follow(t, d)
		time.Sleep(time.Second)
		api.set(func() { api.down = true })
		h := &webhook.Handler{Lookup: d.Lookup}
		for _, tt := range []struct {
			timeout string
			took    time.Duration
		}{{"1s", 875 * time.Millisecond}, {"1ms", 875 * time.Microsecond}, {"2s", webhook.AskTime}, {"2s", 0}, {"5s", 0}} {
			start, w := time.Now(), httptest.NewRecorder()
			r := httptest.NewRequest("POST", "/mutate?timeout="+tt.timeout, strings.NewReader(aReview(aPod, `"serviceAccountName":"sa"`, `"serviceAccountName":"app"`)))
			r.Header.Set("Content-Type", "application/json")
			h.ServeHTTP(w, r)
			took := time.Since(start)
			if text := w.Body.String(); took != tt.took || !strings.Contains(text, `"patch"`) || !strings.Contains(text, "the EKS API does not say") {
				t.Errorf("timeout=%s: after %s, want %s: %s", tt.timeout, took, tt.took, text)
			}
		}
		time.Sleep(10 * time.Minute) // the list that waits gives up by itself
	})
}

// Of an association and a role the association counts, as soon as it is there. A
// service account whose association is not known gets its role, and its pod's author
// is told.
func TestLookupAssociations(t *testing.T) {
	c := newCluster(t)
	c.serviceAccount(t, "ns", "both", annotated(roleA, "token-expiration", "3600"))
	c.serviceAccount(t, "ns", "malformed", annotated("not an ARN"))
	c.serviceAccount(t, "ns", "role", annotated(roleB))
	c.serviceAccount(t, "ns", "plain", nil)
	c.serviceAccount(t, "hook", "both", annotated(roleA))
	var mu sync.Mutex
	all := map[[2]string]bool{{"ns", "malformed"}: true, {"ns", "unheard-of"}: true, {"hook", "both"}: true}
	var failure error
	d := &webhook.Directory{Metadata: c.meta, Grace: time.Second, Associations: &webhook.Associations{
		Excluded: []string{"hook"},
		List: func(_ context.Context, namespace, account string, each func(namespace, account string)) error {
			mu.Lock()
			defer mu.Unlock()
			for p := range all {
				if namespace == "" || p == [2]string{namespace, account} {
					each(p[0], p[1])
				}
			}
			return failure
		},
	}}
	follow(t, d)
	eventually(t, "the associations are known", func() bool { return d.Associations.Number() == 2 })
	lookup := func(namespace, name string) webhook.Grant {
		t.Helper()
		g, err := d.Lookup(t.Context(), namespace, name)
		if err != nil {
			t.Errorf("%s/%s: %v", namespace, name, err)
		}
		return g
	}
	if g := lookup("ns", "both"); g.RoleARN != roleA || g.Credentials {
		t.Errorf("%+v", g)
	}
	mu.Lock()
	all[[2]string{"ns", "both"}] = true
	mu.Unlock()
	if g := lookup("ns", "both"); g.RoleARN != "" || !g.Credentials || g.ExpirationSeconds != 3600 {
		t.Errorf("with an association: %+v", g)
	}
	for _, name := range []string{"malformed", "unheard-of"} {
		if g := lookup("ns", name); g.RoleARN != "" || !g.Credentials || g.Malformed != nil {
			t.Errorf("%s: %+v", name, g)
		}
	}
	if g := lookup("hook", "both"); g.RoleARN != roleA || g.Credentials {
		t.Errorf("in an excluded namespace: %+v", g)
	}
	if g := lookup("ns", "plain"); !g.Nothing() || g.Warnings != nil {
		t.Errorf("plain: %+v", g)
	}

	mu.Lock()
	failure = errors.New("AccessDeniedException")
	mu.Unlock()
	const want = "the pod gets no EKS Pod Identity: the EKS API does not say whether service account %s has an association; recreate the pod when it does"
	for name, role := range map[string]string{"role": roleB, "plain": ""} {
		if g := lookup("ns", name); g.RoleARN != role || g.Credentials || len(g.Warnings) != 1 || g.Warnings[0] != fmt.Sprintf(want, name) {
			t.Errorf("%s: %+v", name, g)
		}
	}
	if g := lookup("ns", "both"); !g.Credentials || g.Warnings != nil {
		t.Errorf("one that is known: %+v", g)
	}
}

// run reports events until the test ends.
func run(t *testing.T, events *webhook.Events) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		events.Run(ctx)
		close(done)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func TestEvents(t *testing.T) {
	c := newCluster(t)
	c.serviceAccount(t, "ns", "fine", annotated(roleA))
	c.serviceAccount(t, "ns", "malformed", annotated("role/a"))
	events := webhook.NewEvents(report(c.core()), nil)
	run(t, events)
	list := func() []corev1.Event {
		l, err := c.core().Events("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return l.Items
	}
	follow(t, &webhook.Directory{Metadata: c.meta, Events: events})
	eventually(t, "an event", func() bool { return len(list()) > 0 })
	// A second replica reports the same, and so does the next look.
	follow(t, &webhook.Directory{Metadata: c.meta, Events: events, Resync: 20 * time.Millisecond})
	time.Sleep(200 * time.Millisecond)
	all := list()
	if len(all) != 1 {
		t.Fatalf("%d events: %+v", len(all), all)
	}
	e := all[0]
	if e.Namespace != "ns" || e.InvolvedObject.Kind != "ServiceAccount" || e.InvolvedObject.Name != "malformed" || e.Type != "Warning" || e.Reason != "MalformedIdentity" ||
		e.Message != `pods of this service account get no AWS identity: eks.amazonaws.com/role-arn "role/a": not an ARN: want arn:aws:iam::<account>:role/<name>` {
		t.Errorf("%+v", e)
	}
	// Another mistake is another event.
	c.serviceAccount(t, "ns", "malformed", annotated(roleA, "token-expiration", "soon"))
	eventually(t, "a second event", func() bool { return len(list()) == 2 })
}

// Pods of a service account on the list meet what is malformed without a role,
// and nothing of a malformed role.
func TestEventsCredentials(t *testing.T) {
	c := newCluster(t)
	soon := map[string]string{"eks.amazonaws.com/token-expiration": "soon"}
	c.serviceAccount(t, "ns", "listed", soon)
	c.serviceAccount(t, "ns", "role", annotated("role/a"))
	c.serviceAccount(t, "ns", "unlisted", soon)
	list, err := webhook.ParseCredentialsList([]byte(`{"identities":[{"namespace":"ns","serviceAccount":"listed"},{"namespace":"ns","serviceAccount":"role"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	events := webhook.NewEvents(report(c.core()), nil)
	follow(t, &webhook.Directory{Metadata: c.meta, Events: events, Credentials: func() webhook.CredentialsList { return list }})
	c.serviceAccount(t, "ns", "last", annotated("role/a"))
	run(t, events)
	said := map[string]string{}
	eventually(t, "an event about the last", func() bool {
		l, err := c.core().Events("ns").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range l.Items {
			said[e.InvolvedObject.Name] = e.Message
		}
		return said["last"] != ""
	})
	delete(said, "last")
	want := map[string]string{"listed": `eks.amazonaws.com/token-expiration "soon": not a whole number of seconds; using 86400`}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
}

func TestParseCredentialsList(t *testing.T) {
	for text, ok := range map[string]bool{"": true, " \n": true, "{}": true, `{"identities":[]}`: true, `{"identities":{}}`: false, "x": false} {
		l, err := webhook.ParseCredentialsList([]byte(text))
		if (err == nil) != ok || l.Has("", "") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// The API server's word is slow, slower than what a pod waits for an annotation to come: it counts for as long as the
// review may take, and no longer.
func TestLookupWaitsForTheAPIServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.serviceAccount(t, "ns", "a", nil)
		d := &webhook.Directory{Metadata: c.meta, Grace: 500 * time.Millisecond}
		follow(t, d)
		c.meta.PrependReactor("get", "serviceaccounts", func(clienttesting.Action) (bool, runtime.Object, error) {
			time.Sleep(2 * time.Second)
			return true, &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "a", Annotations: annotated(roleA)}}, nil
		})
		h := &webhook.Handler{Lookup: d.Lookup}
		for _, tt := range []struct {
			query string
			role  bool
			took  time.Duration
		}{
			{"", true, 2 * time.Second},
			{"?timeout=5s", true, 2 * time.Second},
			{"?timeout=2s", false, 1750 * time.Millisecond},
			{"?timeout=never", true, 2 * time.Second},
			{"?timeout=-1s", true, 2 * time.Second},
		} {
			start, w := time.Now(), httptest.NewRecorder()
			r := httptest.NewRequest("POST", "/mutate"+tt.query, strings.NewReader(aReview(aPod, `"serviceAccountName":"sa"`, `"serviceAccountName":"a"`)))
			r.Header.Set("Content-Type", "application/json")
			h.ServeHTTP(w, r)
			if took := time.Since(start); took != tt.took || strings.Contains(w.Body.String(), `"patch"`) != tt.role {
				t.Errorf("%q: %s after %s, want the role: %v, after %s", tt.query, w.Body, took, tt.role, tt.took)
			}
			time.Sleep(10 * time.Second) // for the end of the question
		}
	})
}
