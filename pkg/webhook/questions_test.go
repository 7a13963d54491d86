package webhook_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"github.com/openirsa/openirsa/pkg/webhook"
)

// A name that is none would be another path of the API server.
func TestLookupNames(t *testing.T) {
	var paths []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.Path)
		http.NotFound(w, r)
	}))
	defer api.Close()
	client, err := metadata.NewForConfig(&rest.Config{Host: api.URL})
	if err != nil {
		t.Fatal(err)
	}
	d := &webhook.Directory{Metadata: client, Grace: time.Second}
	h := &webhook.Handler{Lookup: d.Lookup}
	for _, x := range [][2]string{
		{"../other-team", "app"}, {"ns", "../../other-team/serviceaccounts/app"}, {"", "app"}, {"ns", "a/b"}, {"ns", ".."}, {"ns", "App"}, {"a.b", "app"},
		{"ns", "a?watch=true"}, {"ns", "%2e%2e"}, {strings.Repeat("a", 64), "app"}, {"ns", strings.Repeat("a", 254)}, {"ns", "a\x00"},
	} {
		if g, err := d.Lookup(t.Context(), x[0], x[1]); err == nil || !g.Nothing() {
			t.Errorf("%q: %+v, %v", x, g, err)
		}
		name := strings.ReplaceAll(x[1], "\x00", `\u0000`)
		resp := admit(t, h, aReview(strings.Replace(aPod, `"sa"`, `"`+name+`"`, 1), `"namespace":"ns"`, `"namespace":"`+x[0]+`"`))
		if resp.Allowed || resp.Result.Code != 400 || len(resp.Result.Message) > 500 {
			t.Errorf("%q: %+v", x, resp)
		}
	}
	if paths != nil {
		t.Errorf("the API server was asked for %q", paths)
	}
}

// What comes within the grace period counts: a service account, or its annotation.
func TestLookupWaits(t *testing.T) {
	c := newCluster(t)
	c.serviceAccount(t, "ns", "new", nil)
	d := &webhook.Directory{Metadata: c.meta, Grace: 2 * time.Second}
	follow(t, d)
	for _, name := range []string{"absent", "new"} {
		start := time.Now()
		time.AfterFunc(150*time.Millisecond, func() { c.serviceAccount(t, "ns", name, annotated(roleA)) })
		if g, err := d.Lookup(t.Context(), "ns", name); err != nil || g.Identity != identity(roleA) {
			t.Errorf("%s: %+v, %v", name, g, err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s: noticed after %s", name, took)
		}
	}
	// One that comes without a role is known not to have any only in the end.
	time.AfterFunc(100*time.Millisecond, func() { c.serviceAccount(t, "ns", "later", nil) })
	time.AfterFunc(200*time.Millisecond, func() { c.serviceAccount(t, "ns", "later", annotated(roleB)) })
	if g, err := d.Lookup(t.Context(), "ns", "later"); err != nil || g.Identity != identity(roleB) {
		t.Errorf("one that is annotated after it has come: %+v, %v", g, err)
	}
	// Nobody waits for the annotation of one that is not new.
	old := metav1.NewTime(time.Now().Add(-time.Minute))
	c.meta.PrependReactor("get", "serviceaccounts", func(a clienttesting.Action) (bool, runtime.Object, error) {
		return true, &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "old", CreationTimestamp: old}}, nil
	})
	start := time.Now()
	if g, err := d.Lookup(t.Context(), "ns", "old"); err != nil || !g.Nothing() {
		t.Errorf("%+v, %v", g, err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("a pod of an old service account waits %s", took)
	}
}

// oneByOne is an API server that answers questions about service accounts after a
// while, and counts them. Those called "plain..." are there, and old.
type oneByOne struct {
	*httptest.Server
	takes            time.Duration
	asked, now, most atomic.Int32
}

func askOneByOne(t *testing.T, takes time.Duration) (*oneByOne, *webhook.Directory) {
	t.Helper()
	a := &oneByOne{takes: takes}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.asked.Add(1)
		a.most.Store(max(a.most.Load(), a.now.Add(1)))
		defer a.now.Add(-1)
		time.Sleep(a.takes)
		name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		if !strings.HasPrefix(name, "plain") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{"name":%q,"namespace":"ns","creationTimestamp":"2026-01-01T00:00:00Z"}}`, name)
	}))
	t.Cleanup(a.Close)
	client, err := metadata.NewForConfig(&rest.Config{Host: a.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return a, &webhook.Directory{Metadata: client, Grace: time.Second}
}

// lookups looks many up at a time and returns the errors there were.
func lookups(t *testing.T, d *webhook.Directory, number int, name func(i int) string) (failed int32) {
	t.Helper()
	var all sync.WaitGroup
	var n atomic.Int32
	for i := range number {
		all.Go(func() {
			if _, err := d.Lookup(t.Context(), "ns", name(i)); err != nil {
				n.Add(1)
			}
		})
	}
	all.Wait()
	return n.Load()
}

// Whoever asks for made-up names has the API server asked no more than it bears.
func TestQuestionsAboutMadeUpNames(t *testing.T) {
	api, d := askOneByOne(t, time.Millisecond)
	start := time.Now()
	for time.Since(start) < 2*time.Second {
		lookups(t, d, 1000, func(i int) string { return fmt.Sprintf("made-up-%d-%d", time.Since(start), i) })
	}
	took := time.Since(start).Seconds()
	if n, most := float64(api.asked.Load()), 200+100*took+10; n > most {
		t.Errorf("%v questions in %.1f s, want at most %.0f", n, took, most)
	}
	if n := api.most.Load(); n > 4 {
		t.Errorf("%d questions at a time", n)
	}
}

// The word that there is none counts for a moment, and those who ask at the same
// time share an answer.
func TestQuestionsAboutOneName(t *testing.T) {
	api, d := askOneByOne(t, 5*time.Millisecond)
	for range 2 {
		if failed := lookups(t, d, 200, func(int) string { return "nobody" }); failed > 0 {
			t.Errorf("%d of 200 are not decided", failed)
		}
	}
	if n := api.asked.Load(); n > 8 {
		t.Errorf("400 pods of a service account that is not there took %d questions in two seconds", n)
	}
	api.asked.Store(0)
	if failed := lookups(t, d, 200, func(int) string { return "plain" }); failed > 0 {
		t.Errorf("%d of 200 are not decided", failed)
	}
	if n := api.asked.Load(); n > 3 {
		t.Errorf("200 pods of one service account took %d questions at a time", n)
	}
}

// An answer is never older than the question.
func TestQuestionsAreFresh(t *testing.T) {
	api, d := askOneByOne(t, 30*time.Millisecond)
	for range 5 {
		before := api.asked.Load()
		if _, err := d.Lookup(t.Context(), "ns", "plain"); err != nil || api.asked.Load() == before {
			t.Errorf("an old answer was good enough: %v", err)
		}
	}
}

// What finds no room is asked for.
func TestDirectoryIsBounded(t *testing.T) {
	const many = 45 // twice as many events are what the fake watch can hold (watch.DefaultChanSize)
	c := newCluster(t)
	for i := range many {
		c.serviceAccount(t, "ns", fmt.Sprint("sa-", i), annotated(roleA, "audience", strings.Repeat("x", 100_000)))
	}
	const most = 10_000
	d := &webhook.Directory{Metadata: c.meta, Grace: time.Second}
	d.KeepAtMost(most)
	follow(t, d)
	check := func() {
		t.Helper()
		if kept := d.Kept(); kept > most || kept < most/2 {
			t.Errorf("%d bytes are kept, want at most %d", kept, most)
		}
	}
	check()
	for i := range many {
		if g, err := d.Lookup(t.Context(), "ns", fmt.Sprint("sa-", i)); err != nil || g.Identity != identity(roleA) || len(g.Warnings) != 1 {
			t.Fatalf("%d: %+v, %v", i, g, err)
		}
	}
	for i := range many { // changes and removals are counted well
		c.serviceAccount(t, "ns", fmt.Sprint("sa-", i), annotated(roleB))
	}
	eventually(t, "all have changed", func() bool {
		for _, m := range d.Known() {
			if m["eks.amazonaws.com/role-arn"] != roleB {
				return false
			}
		}
		return d.Kept() >= most/2
	})
	check()
	for i := range many {
		if err := c.meta.Tracker().Delete(serviceAccounts, "ns", fmt.Sprint("sa-", i)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "nothing is left", func() bool { return d.Kept() == 0 })
}

// No part of a value that was cut passes for one that was not.
func TestCutValuesAreMalformed(t *testing.T) {
	c := newCluster(t)
	role := "arn:aws:iam::123456789012:role/" + strings.Repeat("a", 40) + "/"
	c.serviceAccount(t, "ns", "cut", annotated(role+strings.Repeat("b", 992-len(role))+"/"+strings.Repeat("c", 5000)))
	d := &webhook.Directory{Metadata: c.meta}
	follow(t, d)
	if _, err := d.Lookup(t.Context(), "ns", "cut"); !isAnnotationError(err) || len(err.Error()) > 1000 {
		t.Errorf("%v", err)
	}
}

var serviceAccounts = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
