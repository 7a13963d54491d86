// Package crash proves that setup may stop anywhere: with N the number of calls to AWS and to Kubernetes that a
// command makes, for every one of the N, that call is refused, or its answer is lost, or the connection is cut, or
// the program is killed there. Then the same command, run again, reaches the end that an undisturbed run reaches,
// its opposite undoes it, and `setup down` leaves nothing.
//
//	make build && cd e2e && go test -count=1 -v ./crash
//
// setup, kube-apiserver, etcd and the emulator are the real ones; for what kube-controller-manager does there is a
// stand-in, which says why. What is compared is everything that etcd and the emulator's state file hold. The cluster's
// nodes are out of reach: the commands that setup runs on nodes have a test of this kind in pkg/controlplane
// (TestKilledAnywhere), and TestChain stops it on a real kind cluster.
//
// A state that an accident leaves is fixed once: where another accident leaves the same, as they mostly do, there is
// nothing new to see.
//
// The environment:
//
//	OPENIRSA_BIN            folder of setup (default ../../bin)
//	OPENIRSA_CRASH_WORLDS   how many clusters share the work (default: one for each processor; more need -parallel)
//	OPENIRSA_CRASH_ALL      set: also what can only come to what another accident came to (see accidents)
package crash

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
)

// program is setup.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	if testing.Short() {
		fmt.Fprintln(os.Stderr, "SKIP: these tests are not short")
		return 0
	}
	folder := os.Getenv("OPENIRSA_BIN")
	if folder == "" {
		folder = filepath.Join("..", "..", "bin")
	}
	var err error
	if program, err = filepath.Abs(filepath.Join(folder, "setup")); err == nil {
		_, err = os.Stat(program)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "FAIL: %v: run make build first\n", err)
		return 1
	}
	bin, err := kindenv.Programs(context.Background(), kindenv.Options{Log: os.Stderr})
	if errors.Is(err, kindenv.ErrImpossible) && os.Getenv("CI") != "true" {
		fmt.Fprintf(os.Stderr, "SKIP: %v\n", err)
		return 0
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "FAIL: %v\n", err)
		return 1
	}
	os.Setenv("OPENIRSA_KUBERNETES_BIN", bin) // for kubetest
	return m.Run()
}

// newNamespace is one that `iamserviceaccount create` has to make.
const newNamespace = "shop"

var (
	up = []string{"up", "--context", "crash", "--name", clusterName, "--image", "registry.test/openirsa:1",
		"--pod-endpoint-url", "http://10.0.0.1:4566"}
	down = []string{"down", "--context", "crash", "--immediately"} // the API server's issuer is not setup's to take back
	web  = []string{"iamserviceaccount", "create", "--context", "crash", "--name", "web", "--attach-policy-arn",
		"arn:aws:iam::aws:policy/IAMReadOnlyAccess"}
	create = []string{"iamserviceaccount", "create", "--context", "crash", "--namespace", newNamespace, "--name", "app",
		"--attach-policy-arn", "arn:aws:iam::aws:policy/IAMReadOnlyAccess", "--attach-policy-arn", "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",
		"--inline-policy-file", "inline.json", "--permissions-boundary", "arn:aws:iam::aws:policy/ReadOnlyAccess", "--tags", "team=shop", "--labels", "app=shop"}
	remove = []string{"iamserviceaccount", "delete", "--context", "crash", "--namespace", newNamespace, "--name", "app"}
)

const inlinePolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::shop/*"}]}`

// Moments of a world's story.
const (
	empty     = iota // nothing has been done
	chained          // up
	annotated        // and the service account web, which was there, has a role
	full             // and the service account app, which was not there
	moments
)

// command is a command of setup that goes from one moment to another, and the one that goes back.
type command struct {
	name     string
	args     []string // without the flag that approves
	from, to int
	back     string
	makes    bool // its calls make something, and it has the flag --approve
}

var commands = []command{
	{name: "up", args: up, from: empty, to: chained, back: "down"},
	{name: "create", args: create, from: annotated, to: full, back: "delete", makes: true},
	{name: "delete", args: remove, from: full, to: annotated, back: "create", makes: true},
	{name: "down", args: down, from: full, to: empty, back: "up"},
}

func commandNamed(name string) command {
	return commands[slices.IndexFunc(commands, func(c command) bool { return c.name == name })]
}

// do is the command line that does it, plan the one that only says what it would do.
func (c command) do() []string {
	if c.makes {
		return append(slices.Clone(c.args), "--approve")
	}
	return c.args
}

func (c command) plan() []string {
	if c.makes {
		return append(slices.Clone(c.args), "--approve=false")
	}
	return append(slices.Clone(c.args), "--dry-run")
}

// teller is a world whose story has been told once, undisturbed.
type teller struct {
	*world
	at     [moments]moment
	states [moments]state
	calls  map[string][]call // of each command
}

func tell(t *testing.T, key string) *teller {
	t.Helper()
	w := &teller{world: newWorld(t, key), calls: map[string][]call{}}
	if err := os.WriteFile(filepath.Join(w.dir, "inline.json"), []byte(inlinePolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	w.at[empty] = w.save()
	step := func(name string, to int, args []string) {
		t.Helper()
		r, err := w.run(args...)
		if err != nil {
			t.Fatal(err)
		}
		w.calls[name] = r.calls
		w.at[to] = w.save()
	}
	step("up", chained, up)
	step("web", annotated, append(slices.Clone(web), "--approve"))
	step("create", full, commandNamed("create").do())
	for i, m := range w.at {
		w.states[i] = w.state(m)
	}
	for _, name := range []string{"delete", "down"} {
		c := commandNamed(name)
		w.restore(w.at[full])
		r, err := w.run(c.do()...)
		if err != nil {
			t.Fatal(err)
		}
		w.calls[name] = r.calls
		w.is(c.to, "after "+name)
	}
	return w
}

// use has what goes wrong from here on be said to t.
func (w *world) use(t testing.TB) { w.t, w.others.t = t, t }

// is checks that the world is what it was at a moment of its story.
func (w *teller) is(moment int, when string) bool {
	w.t.Helper()
	if diff := cmp.Diff(w.states[moment], w.state(w.save())); diff != "" {
		w.t.Errorf("%s: not as in the undisturbed run (-want +got):\n%s", when, diff)
		return false
	}
	return true
}

// testWorlds are worlds that share the work.
func testWorlds(t *testing.T) []*teller {
	n := runtime.GOMAXPROCS(0)
	if s := os.Getenv("OPENIRSA_CRASH_WORLDS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1 {
			t.Fatalf("OPENIRSA_CRASH_WORLDS=%q is not a number of worlds", s)
		}
	}
	key := writeKey(t)
	start := time.Now()
	worlds := make([]*teller, n)
	for i := range worlds {
		worlds[i] = tell(t, key)
		for m := range moments {
			if diff := cmp.Diff(worlds[0].states[m], worlds[i].states[m]); diff != "" {
				t.Fatalf("two worlds differ that should not:\n%s", diff)
			}
		}
	}
	t.Logf("%d worlds in %.0fs", n, time.Since(start).Seconds())
	return worlds
}

// accident is a fault at a call of a command.
type accident struct {
	call
	fault
}

// accidents are the faults at a command's calls, all of them or those that may come to something new. A program that
// is killed at a read leaves what it leaves at the read before, if nothing was written between them. And whether a lost
// connection is noticed is up to the client, which knows servers and methods: once for each of them is enough for reads.
func accidents(calls []call, all bool) []accident {
	var todo []accident
	cut := map[string]bool{}
	for i, at := range calls {
		for _, f := range at.faults() {
			if !at.writes && !all {
				words := strings.Fields(at.name)
				kind := words[0] + " " + words[1]
				if f == killed && i > 0 && !calls[i-1].writes || f == cutBefore && cut[kind] {
					continue
				}
				cut[kind] = cut[kind] || f == cutBefore
			}
			todo = append(todo, accident{at, f})
		}
	}
	return todo
}

func TestAccidents(t *testing.T) {
	read, write := call{name: "kubernetes GET /a"}, call{name: "kubernetes POST /a", writes: true}
	other, stranger := call{name: "kubernetes GET /b"}, call{name: "aws stranger GET /b"}
	got := map[bool][]accident{}
	for _, all := range []bool{false, true} {
		got[all] = accidents([]call{read, other, write, stranger, read}, all)
	}
	want := []accident{{read, refused}, {read, cutBefore}, {read, killed}, {other, refused}}
	for _, f := range write.faults() {
		want = append(want, accident{write, f})
	}
	want = append(want, accident{stranger, refused}, accident{stranger, cutBefore}, accident{stranger, killed}, accident{read, refused})
	if !slices.Equal(got[false], want) {
		t.Errorf("%v, want %v", got[false], want)
	}
	if len(got[true]) != 4*3+6 {
		t.Errorf("all: %v", got[true])
	}
}

func TestCrashAnywhere(t *testing.T) {
	worlds := testWorlds(t)
	for _, c := range commands {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			proof := &proof{command: c, fixed: map[[sha256.Size]byte]bool{worlds[0].states[c.from].sum(): true,
				worlds[0].states[c.to].sum(): true}}
			calls := worlds[0].calls[c.name]
			todo := accidents(calls, os.Getenv("OPENIRSA_CRASH_ALL") != "")
			writes := 0
			for _, at := range calls {
				if at.writes {
					writes++
				}
			}
			if writes < 5 {
				t.Fatalf("only %d calls that write: %v", writes, calls)
			}
			next := make(chan accident, len(todo))
			for _, a := range todo {
				next <- a
			}
			close(next)
			t.Run("worlds", func(t *testing.T) {
				for i, w := range worlds {
					t.Run(strconv.Itoa(i), func(t *testing.T) {
						t.Parallel()
						w.use(t)
						for a := range next {
							proof.one(w, a)
							if t.Failed() {
								return
							}
						}
					})
				}
			})
			if proof.missed > len(todo)/20 {
				t.Errorf("%d of %d accidents did not happen", proof.missed, len(todo))
			}
			t.Logf("%d calls, %d of them writes; %d accidents left %d different states, each of them fixed; %.0fs",
				len(calls), writes, len(todo)-proof.missed, proof.states, time.Since(start).Seconds())
		})
	}
}

// proof is what is known about the accidents of a command.
type proof struct {
	command
	mu     sync.Mutex
	fixed  map[[sha256.Size]byte]bool // states in which all is well, or from which all was fixed
	states int                        // that were fixed
	missed int                        // accidents that did not happen
}

// new reports whether a state has not been fixed before, and counts it as fixed.
func (p *proof) new(s state) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	sum := s.sum()
	if p.fixed[sum] {
		return false
	}
	p.fixed[sum] = true
	p.states++
	return true
}

func (s state) sum() [sha256.Size]byte {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%q %q\n", k, s[k])
	}
	return sha256.Sum256([]byte(b.String()))
}

// one has one accident happen, and all that follows from it.
func (p *proof) one(w *teller, a accident) {
	t := w.t
	t.Helper()
	w.restore(w.at[p.from])
	r := w.setup(a.call, a.fault, p.do()...)
	what := fmt.Sprintf("%s, %s at %s", p.name, a.fault, a.call)
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s: %s\n%s", what, fmt.Sprintf(format, args...), r.out)
	}
	if !r.fired {
		// Of questions that are asked again and again, and of those that are asked at the same time, there may be one
		// fewer this time.
		if a.writes || a.nth == 0 || r.code != 0 {
			fail("that call was not made")
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.missed++
		return
	}
	after := w.save()
	now := w.state(after)
	switch a.fault {
	case killed, killedAfter:
		if r.code != -1 {
			fail("exit %d, and should have been killed", r.code)
		}
	case cutBefore, cutAfter:
		if r.code != 0 {
			fail("exit %d: one lost connection is nothing", r.code)
		}
	default:
		if r.code != 0 && r.code != 1 {
			fail("exit %d", r.code)
		}
		if r.code == 1 && (strings.Count(r.out, "setup: ") != 1 || strings.Count(r.out, "\nnext: ") != 1) {
			fail("this is not one error, and what to do next")
		}
	}
	if strings.Contains(r.out, "goroutine ") {
		fail("it panics")
	}
	if r.code == 0 {
		if diff := cmp.Diff(w.states[p.to], now); diff != "" {
			fail("exit 0, and this is not as in the undisturbed run (-want +got):\n%s", diff)
		}
	}
	if t.Failed() || !p.new(now) {
		return
	}
	again := func(c command) bool {
		t.Helper()
		if _, err := w.run(c.do()...); err != nil {
			fail("then %v", err)
			return false
		}
		return true
	}
	back := commandNamed(p.back)
	if !again(p.command) || !w.is(p.to, what+", then "+p.name) {
		return
	}
	if !again(commandNamed("down")) || !w.is(empty, what+", then "+p.name+", then down") {
		return
	}
	w.restore(after)
	if !again(back) || p.name != "down" && !w.is(back.to, what+", then "+back.name) {
		return
	}
	if p.name == "down" && again(commandNamed("down")) { // what it came back to depends on how far it had gone
		w.is(empty, what+", then up, then down")
	}
}
