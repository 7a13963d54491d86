package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/openirsa/openirsa/pkg/webhook"
)

// eks is the EKS API, as far as it is asked: it lists associations, page by page, each
// of which takes some time. It is for use in a bubble of synctest.
type eks struct {
	latency time.Duration // of a page

	mu             sync.Mutex
	all            map[[2]string]bool
	down           bool // no answer comes
	refused        error
	lists, singles int // so far, or begun
	pages          int
	most, now      int // calls at a time
}

func newEKS(pairs ...[2]string) *eks {
	e := &eks{latency: 10 * time.Millisecond, all: map[[2]string]bool{}}
	for _, p := range pairs {
		e.all[p] = true
	}
	return e
}

func (e *eks) set(do func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	do()
}

func (e *eks) add(namespace, account string) {
	e.set(func() { e.all[[2]string{namespace, account}] = true })
}

func (e *eks) remove(namespace, account string) {
	e.set(func() { delete(e.all, [2]string{namespace, account}) })
}

// calls are the questions about one service account since it was last asked, and the
// lists.
func (e *eks) calls() (singles, lists int) {
	e.set(func() {
		singles, lists = e.singles, e.lists
		e.singles, e.lists = 0, 0
	})
	return singles, lists
}

// list is a List of [webhook.Associations]. A page has what there is when it is asked
// for.
func (e *eks) list(ctx context.Context, namespace, account string, each func(namespace, account string)) error {
	e.mu.Lock()
	if namespace == "" {
		e.lists++
	} else {
		e.singles++
	}
	e.now++
	e.most = max(e.most, e.now)
	down, refused := e.down, e.refused
	var found [][2]string
	for p := range e.all {
		if namespace == "" || p == [2]string{namespace, account} {
			found = append(found, p)
		}
	}
	e.mu.Unlock()
	defer e.set(func() { e.now-- })
	for from := 0; ; from += 100 {
		if down {
			<-ctx.Done()
			return fmt.Errorf("no answer: %w", context.Cause(ctx))
		}
		select {
		case <-time.After(e.latency):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		e.set(func() { e.pages++ })
		if refused != nil {
			return refused
		}
		for _, p := range found[min(from, len(found)):min(from+100, len(found))] {
			each(p[0], p[1])
		}
		if from+100 >= len(found) {
			return nil
		}
	}
}

// runAssociations runs associations until the test ends.
func runAssociations(t *testing.T, a *webhook.Associations) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		a.Run(ctx)
		close(done)
	}()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
}

// metric is the value of a metric, of all those that have these values of labels.
func metric(t *testing.T, registry *prometheus.Registry, name string, labels ...string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if f.GetName() == name && slices.Equal(values, labels) {
				found = true
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	if !found {
		t.Errorf("no metric %s %q", name, labels)
	}
	return sum
}

func find(t *testing.T, a *webhook.Associations, namespace, account string, want bool) {
	t.Helper()
	if got, err := a.Find(t.Context(), namespace, account); err != nil || got != want {
		t.Errorf("%s/%s: %t, %v, want %t", namespace, account, got, err, want)
	}
}

// What is listed is not asked about; what is not, is, and then known; what is deleted
// is gone with the next list.
func TestAssociations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newEKS([2]string{"team-a", "app"}, [2]string{"kube-system", "cni"})
		a := &webhook.Associations{List: api.list, Excluded: []string{"kube-system", "openirsa-system"}}
		runAssociations(t, a)
		time.Sleep(time.Second)
		asked := func(want int) {
			t.Helper()
			if singles, _ := api.calls(); singles != want {
				t.Errorf("asked %d times, want %d", singles, want)
			}
		}
		find(t, a, "team-a", "app", true)
		asked(0)
		find(t, a, "team-a", "other", false)
		find(t, a, "team-b", "app", false)
		asked(2)
		find(t, a, "kube-system", "cni", false) // nor is it asked about
		find(t, a, "openirsa-system", "webhook", false)
		asked(0)

		api.add("team-b", "new")
		find(t, a, "team-b", "new", true)
		asked(1)
		find(t, a, "team-b", "new", true)
		asked(0)
		api.remove("team-a", "app")
		api.remove("team-b", "new")
		time.Sleep(webhook.AssociationsRefresh + 2*time.Second)
		api.calls()
		find(t, a, "team-a", "app", false)
		find(t, a, "team-b", "new", false)
		asked(2)
		if n := a.Number(); n != 0 {
			t.Errorf("%d are known", n)
		}
	})
}

// A pod that comes at the same moment as another, before its association, does not
// hide the association from the next one: no answer is older than its question.
func TestAssociationAfterADenial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newEKS()
		a := &webhook.Associations{List: api.list}
		runAssociations(t, a)
		time.Sleep(time.Second)
		for i := range 20 { // each comes later in the pauses between two questions
			name := fmt.Sprint("app-", i)
			for range 5 {
				find(t, a, "team-a", name, false)
			}
			time.Sleep(time.Duration(i) * 17 * time.Millisecond)
			api.add("team-a", name)
			find(t, a, "team-a", name, true)
		}
		// Nor does a question that is under way.
		api.latency = 300 * time.Millisecond
		var early sync.WaitGroup
		early.Go(func() { find(t, a, "team-a", "last", false) })
		time.Sleep(100 * time.Millisecond)
		api.add("team-a", "last")
		find(t, a, "team-a", "last", true)
		early.Wait()
	})
}

// A storm of pods without an association costs few calls: those of one service account
// share them, and those of many are answered by lists.
func TestAssociationsStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newEKS()
		for i := range 1000 {
			api.add("listed", fmt.Sprint("app-", i))
		}
		a := &webhook.Associations{List: api.list}
		runAssociations(t, a)
		time.Sleep(time.Second)
		storm := func(pods int, over time.Duration, name func(i int) string) (singles, lists int, longest time.Duration) {
			t.Helper()
			api.calls()
			var all sync.WaitGroup
			var mu sync.Mutex
			for i := range pods {
				all.Go(func() {
					time.Sleep(over * time.Duration(i) / time.Duration(pods))
					start := time.Now()
					find(t, a, "storm", name(i), false)
					mu.Lock()
					defer mu.Unlock()
					longest = max(longest, time.Since(start))
				})
			}
			all.Wait()
			singles, lists = api.calls()
			return singles, lists, longest
		}
		singles, lists, longest := storm(2000, 10*time.Second, func(int) string { return "one" })
		t.Logf("2000 pods of a service account in 10 s: %d questions, %d lists, the longest wait was %s", singles, lists, longest)
		if singles > 30 || lists > 2 || longest > 600*time.Millisecond {
			t.Error("that is too much")
		}
		singles, lists, longest = storm(250, 0, strconv.Itoa)
		t.Logf("a pod of each of 250 service accounts at once: %d questions, %d lists, the longest wait was %s", singles, lists, longest)
		if singles > 20 || lists > 3 || longest > 600*time.Millisecond {
			t.Error("that is too much")
		}
		singles, lists, longest = storm(5000, 10*time.Second, strconv.Itoa)
		t.Logf("a pod of each of 5000 service accounts in 10 s: %d questions, %d lists, the longest wait was %s", singles, lists, longest)
		if singles > 1300 || lists > 42 || longest > time.Second {
			t.Error("that is too much")
		}
		if api.most > 10 {
			t.Errorf("%d calls at a time", api.most)
		}
	})
}

// An API that does not answer holds pods up once in a while, for less than the shortest
// timeout of the webhook configuration. What was known is known, and a metric and a
// log line tell of the others.
func TestAssociationsAPIDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newEKS([2]string{"team-a", "app"})
		var log bytes.Buffer
		registry := newRegistry()
		a := &webhook.Associations{List: api.list, Metrics: webhook.NewMetrics(registry), Log: slog.New(slog.NewTextHandler(&log, nil))}
		runAssociations(t, a)
		time.Sleep(time.Second)
		api.set(func() { api.down = true })
		unknown := func(wait time.Duration) {
			t.Helper()
			start := time.Now()
			found, err := a.Find(t.Context(), "team-a", "other")
			if took := time.Since(start); found || err == nil || took != wait {
				t.Errorf("after %s: %t, %v; want %s", took, found, err, wait)
			}
		}
		unknown(webhook.AskTime)
		for range 49 {
			unknown(0)
			find(t, a, "team-a", "app", true)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Second)
		unknown(webhook.AskTime)
		if n := strings.Count(log.String(), "pods are admitted without EKS Pod Identity"); n != 1 {
			t.Errorf("told %d times:\n%s", n, &log)
		}
		time.Sleep(time.Minute)
		unknown(webhook.AskTime)
		if n := strings.Count(log.String(), "pods are admitted without EKS Pod Identity"); n != 2 || !strings.Contains(log.String(), "pods=51") {
			t.Errorf("told %d times:\n%s", n, &log)
		}
		api.set(func() { api.down = false })
		time.Sleep(6 * time.Minute) // the list that waits gives up by itself, here after five
		find(t, a, "team-a", "other", false)
		if text := log.String(); !strings.Contains(text, "pod identity associations cannot be listed") || !strings.Contains(text, "can be listed again") {
			t.Error(text)
		}
		if unknown, known := metric(t, registry, "pod_identity_webhook_association_unknown_count"), metric(t, registry, "pod_identity_webhook_associations"); unknown != 52 || known != 1 {
			t.Errorf("%g pods without word, %g associations", unknown, known)
		}
	})
}

// An API that answers again counts at once: a list tries it as soon as one pod was in
// vain.
func TestAssociationsAPIBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newEKS()
		a := &webhook.Associations{List: api.list}
		runAssociations(t, a)
		time.Sleep(time.Second)
		api.set(func() { api.refused = errors.New("denied") })
		if _, err := a.Find(t.Context(), "team-a", "app"); err == nil {
			t.Error("no error")
		}
		api.set(func() { api.refused = nil; api.all[[2]string{"team-a", "app"}] = true })
		time.Sleep(time.Second + 2*api.latency)
		find(t, a, "team-a", "app", true)
	})
}

// A slow API is waited for.
func TestAssociationsSlowAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newEKS([2]string{"team-a", "app"})
		api.latency = time.Second
		a := &webhook.Associations{List: api.list}
		runAssociations(t, a)
		find(t, a, "team-a", "app", true) // before the first list is there
		find(t, a, "team-a", "other", false)
		var all sync.WaitGroup // one after the other, of one service account
		for i := range 10 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 90 * time.Millisecond)
				find(t, a, "team-a", "several", false)
			})
		}
		all.Wait()
		if api.most > 8 {
			t.Errorf("%d calls at a time", api.most)
		}
		api.latency = 2 * time.Second
		if found, err := a.Find(t.Context(), "team-a", "another"); found || err == nil {
			t.Errorf("%t, %v", found, err)
		}
	})
}

// A pod whose API server has hung up is no sign of the API.
func TestAssociationsHungUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newEKS()
		api.latency = time.Second
		a := &webhook.Associations{List: api.list}
		runAssociations(t, a)
		time.Sleep(5 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := a.Find(ctx, "team-a", "app"); err == nil {
			t.Error("no error")
		}
		find(t, a, "team-a", "app", false)
	})
}

// An API that was never there: its metrics and a line each minute say so.
func TestAssociationsNeverListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newEKS()
		api.refused = errors.New("AccessDeniedException: no")
		var log bytes.Buffer
		registry := newRegistry()
		a := &webhook.Associations{List: api.list, Metrics: webhook.NewMetrics(registry), Log: slog.New(slog.NewTextHandler(&log, nil))}
		runAssociations(t, a)
		time.Sleep(10 * time.Minute)
		if n := strings.Count(log.String(), "pod identity associations cannot be listed"); n < 9 || n > 11 || !strings.Contains(log.String(), "AccessDeniedException: no") {
			t.Errorf("told %d times in 10 minutes:\n%s", n, &log)
		}
		if v := metric(t, registry, "pod_identity_webhook_association_list_age_seconds"); v != 600 {
			t.Errorf("the list has been wanted for %g s", v)
		}
		if _, lists := api.calls(); lists < 60 || lists > 80 {
			t.Errorf("%d lists in 10 minutes", lists)
		}
	})
}

// What finds no room is asked about, and no list answers for it.
func TestAssociationsWithoutRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newEKS()
		api.latency = time.Microsecond
		long := strings.Repeat("x", 240)
		for i := range 60_000 {
			api.add("team-a", long+strconv.Itoa(i))
		}
		a := &webhook.Associations{List: api.list}
		runAssociations(t, a)
		time.Sleep(time.Second)
		if n := a.Number(); n < 45_000 || n >= 60_000 {
			t.Errorf("%d are known", n)
		}
		var all sync.WaitGroup
		for i := 0; i < 60_000; i += 300 {
			all.Go(func() { find(t, a, "team-a", long+strconv.Itoa(i), true) })
		}
		all.Wait()
		if _, lists := api.calls(); lists > 1 {
			t.Errorf("%d lists", lists)
		}
	})
}

// Names that no service account can have are not kept.
func TestAssociationsNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &webhook.Associations{List: newEKS([2]string{"", ""}, [2]string{"a/b", "c"}, [2]string{"a", strings.Repeat("x", 300)}, [2]string{"a", "b"}).list}
		runAssociations(t, a)
		time.Sleep(time.Second)
		if n := a.Number(); n != 1 {
			t.Errorf("%d are known", n)
		}
	})
}
