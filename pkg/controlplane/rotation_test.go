package controlplane

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/internal/needs"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/plan"
)

// fakeKeys are the keys of a fakeNode. A program reads its files when it starts.
type fakeKeys struct {
	accepts []keys.Public // those of the running API server
	signs   string        // the id of the key with which it signs

	controller        []string // its command line
	controllerSigns   string
	controllerChanged time.Time

	live     []string // the ids of the keys that have signed its pods' tokens
	original string   // the manifest of the API server before the rotation
}

// load has the API server read its keys.
func (n *fakeNode) load(f Flags) {
	if f.SigningKeyFile != "" {
		n.accepts, n.signs = n.acceptedBy(f), n.kid(f.SigningKeyFile)
	}
}

// acceptedBy are the keys that an API server with these flags would accept if
// it started now.
func (n *fakeNode) acceptedBy(f Flags) []keys.Public {
	var all []keys.Public
	for _, file := range f.KeyFiles {
		public, err := parsed(n.files[file])
		if err != nil {
			n.t.Errorf("%s: %s: %v", n.name, file, err)
		}
		all = append(all, public...)
	}
	return all
}

func (n *fakeNode) kid(file string) string {
	public, err := parsed(n.files[file])
	if err != nil || !strings.Contains(n.files[file], "PRIVATE KEY") {
		n.t.Errorf("%s: %s is no private key, %v", n.name, file, err)
		return ""
	}
	return public[0].KID
}

// parsed are the public keys in a file. The same files are read again and again.
func parsed(text string) ([]keys.Public, error) {
	if public, ok := parsedFiles.Load(text); ok {
		return public.([]keys.Public), nil
	}
	public, err := keys.ParsePEM([]byte(text))
	if err == nil {
		parsedFiles.Store(text, public)
	}
	return public, err
}

var parsedFiles sync.Map

func (n *fakeNode) passController() {
	if n.controllerChanged.IsZero() || time.Since(n.controllerChanged) < 3*time.Second {
		return
	}
	n.controllerChanged = time.Time{}
	if n.swaps[controllerManifestFile] {
		n.settle(controllerManifestFile)
	}
	m, err := controllerPod.parse([]byte(n.files[controllerManifestFile]))
	if err != nil {
		n.t.Errorf("%s: kubelet got a broken manifest: %v", n.name, err)
		return
	}
	n.controller, n.controllerSigns = m.commandLine, n.kid(m.Flags.PrivateKeyFile)
	n.starts++
}

func (n *fakeNode) jwks() string {
	set, err := keys.NewSet(n.accepts...)
	if err != nil {
		n.t.Error(err)
	}
	return string(set.JWKS())
}

// runKeys runs the commands about keys.
func (n *fakeNode) runKeys(out io.Writer, script string, rest []string) bool {
	switch script {
	case publicScript:
		for _, file := range rest {
			text := n.files[file]
			if strings.Contains(text, "PRIVATE KEY") {
				private, err := keys.ParsePrivatePEM([]byte(text))
				if err != nil {
					n.t.Error(err)
				}
				b, err := private.Public().PEM()
				if err != nil {
					n.t.Error(err)
				}
				text = string(b)
			}
			fmt.Fprintln(out, text)
		}
	case makeKeyScript:
		if n.files[rest[1]] == "" {
			n.t.Errorf("%s: no file %s to take the mode from", n.name, rest[1])
		}
		if _, there := n.files[rest[0]]; !there {
			n.files[rest[0]] = newKey(n.t)
		}
	case copyScript:
		text, ok := n.files[rest[0]]
		if !ok || n.files[rest[1]] == "" {
			n.t.Errorf("%s: copying %s to %s: one of them is not there", n.name, rest[0], rest[1])
		}
		n.files[rest[1]] = text
	default:
		return false
	}
	return true
}

func newKey(t *testing.T) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// keyInvariants must hold at any moment: whatever signs now, or would sign if
// it were restarted now, with the present manifest or with one that kubeadm
// writes again, signs with a key that is published, and that every API server
// accepts, or would accept if that one were restarted now.
func (f *fakeCluster) keyInvariants() {
	if f.published == nil {
		return
	}
	signing := make(map[string]string) // kid: who
	accepting := make(map[string][]keys.Public)
	for _, n := range f.nodes {
		now, original := manifestFlags(n.t, n.manifest()), manifestFlags(n.t, n.original)
		signing[n.signs] = n.name
		signing[n.kid(now.SigningKeyFile)] = n.name + " after a restart"
		signing[n.kid(original.SigningKeyFile)] = n.name + " after kubeadm has written its manifest"
		signing[n.controllerSigns] = "the controller manager of " + n.name
		accepting[n.name] = n.accepts
		accepting[n.name+" after a restart"] = n.acceptedBy(now)
		accepting[n.name+" after kubeadm has written its manifest"] = n.acceptedBy(original)
		for _, kid := range n.live {
			signing[kid] = "a pod on " + n.name
		}
	}
	for kid, who := range signing {
		if !slices.Contains(f.published, kid) && !strings.HasPrefix(who, "the controller") {
			f.nodes[0].t.Errorf("%s signs with %s, which is not published", who, kid)
		}
		for by, list := range accepting {
			if !slices.ContainsFunc(list, func(k keys.Public) bool { return k.KID == kid }) {
				f.nodes[0].t.Errorf("%s signs with %s, which %s does not accept", who, kid, by)
			}
		}
	}
}

func manifestFlags(t *testing.T, text string) Flags {
	if f, ok := parsedFiles.Load(text); ok {
		return f.(Flags)
	}
	m, err := parseManifest([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	parsedFiles.Store(text, m.Flags)
	return m.Flags
}

const keyedManifest = `kind: Pod
spec:
  containers:
  - command:
    - kube-apiserver
    - --secure-port=6443
    - --service-account-issuer=` + oldIssuer + `
    - --service-account-key-file=/etc/kubernetes/pki/sa.pub
    - --service-account-signing-key-file=/etc/kubernetes/pki/sa.key
    image: registry.k8s.io/kube-apiserver:v1.37.2
    volumeMounts: [{mountPath: /etc/kubernetes/pki, name: certs}]
  volumes: [{name: certs, hostPath: {path: /etc/kubernetes/pki}}]
`

const keyedControllerManifest = `kind: Pod
spec:
  containers:
  - command:
    - kube-controller-manager
    - --service-account-private-key-file=/etc/kubernetes/pki/sa.key
    volumeMounts: [{mountPath: /etc/kubernetes/pki, name: certs}]
  volumes: [{name: certs, hostPath: {path: /etc/kubernetes/pki}}]
`

const (
	saKey = "/etc/kubernetes/pki/sa.key"
	saPub = "/etc/kubernetes/pki/sa.pub"
)

// newKeyedFake is a cluster whose nodes share kubeadm's key.
func newKeyedFake(t *testing.T, n int) (*fakeCluster, *ControlPlane) {
	t.Helper()
	f, c := newFake(t, n)
	c.whole = true
	private := newKey(t)
	parsed, err := keys.ParsePrivatePEM([]byte(private))
	if err != nil {
		t.Fatal(err)
	}
	public, err := parsed.Public().PEM()
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range f.nodes {
		node.files = map[string]string{manifestFile: keyedManifest, controllerManifestFile: keyedControllerManifest, saKey: private, saPub: string(public)}
		node.original = keyedManifest
		node.start()
		node.serving = true
		node.controllerChanged = time.Now().Add(-time.Minute)
		node.passController()
		node.tokens = nil
		node.live = []string{node.signs}
	}
	f.published = []string{parsed.Public().KID}
	return f, c
}

// rotationRun is the part of a command that goes through the stages: what it
// records, and what it does in them.
type rotationRun struct {
	f        *fakeCluster
	c        *ControlPlane
	r        Rotation
	old      []string // the ids of the keys that go
	until    int      // how many steps are done before the last; 0: all
	begun    bool
	pruning  bool
	finished bool
	atSign   func() // done when it is decided what signs with the new keys
}

func (r *rotationRun) do(t *testing.T, step func(Rotation) ([]plan.Step, error)) error {
	steps, err := step(r.r)
	if err != nil {
		return err
	}
	return plan.Run(t.Context(), steps, nil)
}

// publish reads the accepted keys as a stranger reads the documents.
func (r *rotationRun) publish() {
	var all []string
	for _, n := range r.f.nodes {
		for _, k := range n.accepts {
			all = append(all, k.KID)
		}
	}
	slices.Sort(all)
	r.f.published = slices.Compact(all)
}

// renew gives all pods new tokens, as kubelet does while the command waits.
func (r *rotationRun) renew() {
	for _, n := range r.f.nodes {
		n.live = []string{n.signs}
	}
}

// begin takes in the nodes that are new.
func (r *rotationRun) begin(t *testing.T) error {
	planned, old, err := r.c.PlanRotation(t.Context(), r.r)
	if err != nil {
		return err
	}
	r.r, r.old = planned, append(r.old, kidsOf(old)...)
	return nil
}

// record keeps the ids of the new keys.
func (r *rotationRun) record(t *testing.T) error {
	made, err := r.c.NewKeys(t.Context(), r.r)
	r.r.New = kidsOf(made)
	return err
}

func (r *rotationRun) forward(t *testing.T) error {
	ctx := t.Context()
	if err := r.begin(t); err != nil {
		return err
	}
	r.begun = true
	if !r.pruning {
		for i, step := range []func(Rotation) ([]plan.Step, error){
			func(x Rotation) ([]plan.Step, error) { return r.c.MakeKeys(ctx, x) },
			func(Rotation) ([]plan.Step, error) { return nil, r.record(t) },
			func(x Rotation) ([]plan.Step, error) { return r.c.AcceptKeys(ctx, x) },
			func(x Rotation) ([]plan.Step, error) { r.publish(); return nil, nil },
			func(x Rotation) ([]plan.Step, error) {
				if r.atSign != nil {
					defer r.atSign()
				}
				return r.c.SignWithNewKeys(ctx, x)
			},
		} {
			if err := r.do(t, step); err != nil || i+1 == r.until {
				return err
			}
		}
		r.renew()
		r.pruning = true
	}
	if err := r.do(t, func(x Rotation) ([]plan.Step, error) { return r.c.SettleKeys(ctx, x) }); err != nil {
		return err
	}
	r.publish()
	r.finished = true
	return nil
}

func (r *rotationRun) back(t *testing.T) error {
	ctx := t.Context()
	if err := r.begin(t); err != nil {
		return err
	}
	if err := r.do(t, func(x Rotation) ([]plan.Step, error) { return r.c.SignWithFormerKeys(ctx, x) }); err != nil {
		return err
	}
	r.renew()
	if err := r.do(t, func(x Rotation) ([]plan.Step, error) { return r.c.DropNewKeys(ctx, x) }); err != nil {
		return err
	}
	r.publish()
	return nil
}

// join adds a node with the files that kubeadm join copies from the first one.
func (r *rotationRun) join(n *fakeNode) {
	n.files[saKey], n.files[saPub] = r.f.nodes[0].files[saKey], r.f.nodes[0].files[saPub]
	n.start()
	n.controllerChanged = time.Now().Add(-time.Minute)
	n.passController()
	n.live = []string{n.signs}
	r.f.nodes = append(r.f.nodes, n)
	r.c.nodes = append(r.c.nodes, n.node())
}

// newJoin is a cluster of one node, and another one that is about to join.
func newJoin(t *testing.T) (r *rotationRun, joins *fakeNode, was map[string]string) {
	f, c := newKeyedFake(t, 2)
	joins = f.nodes[1]
	f.nodes, c.nodes = f.nodes[:1:1], c.nodes[:1:1]
	return &rotationRun{f: f, c: c, r: Rotation{ID: "1"}}, joins, maps.Clone(f.nodes[0].files)
}

// settled checks the end of a rotation: new keys under the former names.
func (r *rotationRun) settled(t *testing.T, was map[string]string) {
	t.Helper()
	var all []string
	for _, n := range r.f.nodes {
		if got := slices.Sorted(maps.Keys(n.files)); !slices.Equal(got, slices.Sorted(maps.Keys(was))) {
			t.Errorf("%s has %q", n.name, got)
		}
		for _, file := range []string{manifestFile, controllerManifestFile} {
			if diff := cmp.Diff(was[file], n.files[file]); diff != "" {
				t.Errorf("%s: %s is not as before:\n%s", n.name, file, diff)
			}
		}
		if n.files[saKey] == was[saKey] || n.kid(saKey) != n.signs || n.signs != n.controllerSigns {
			t.Errorf("%s has not got the new key: file %s, API server %s, controller manager %s", n.name, n.kid(saKey), n.signs, n.controllerSigns)
		}
		all = append(all, n.signs)
	}
	slices.Sort(all)
	if len(slices.Compact(all)) != len(r.f.nodes) {
		t.Error("nodes share a private key, which must have left one of them")
	}
	for _, n := range r.f.nodes {
		if got := kidsOf(n.accepts); !slices.Equal(got, all) {
			t.Errorf("%s accepts %q, expected %q", n.name, got, all)
		}
		if n.files[saPub] != r.f.nodes[0].files[saPub] {
			t.Errorf("%s has another %s than the others", n.name, saPub)
		}
	}
}

func kidsOf(list []keys.Public) []string {
	var ids []string
	for _, k := range list {
		ids = append(ids, k.KID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func TestRotation(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			f, c := newKeyedFake(t, nodes)
			was := maps.Clone(f.nodes[0].files)
			r := &rotationRun{f: f, c: c, r: Rotation{ID: "1"}}
			planned, old, err := c.PlanRotation(t.Context(), r.r)
			if err != nil || len(old) != 1 || old[0].KID != f.published[0] {
				t.Fatalf("old keys %v, %v", old, err)
			}
			if len(f.nodes[0].files) != len(was) {
				t.Error("beginning has changed something")
			}
			r.r = planned
			if err := r.forward(t); err != nil {
				t.Fatal(err)
			}
			r.settled(t, was)
			// The next one replaces the keys of all nodes.
			was = maps.Clone(f.nodes[0].files)
			again := &rotationRun{f: f, c: c, r: Rotation{ID: "2"}}
			if again.r, old, err = c.PlanRotation(t.Context(), again.r); err != nil || len(old) != nodes {
				t.Fatalf("old keys %v, %v", old, err)
			}
			if err := again.forward(t); err != nil {
				t.Fatal(err)
			}
			again.settled(t, was)
		})
	}
}

// TestRotationWaits has an API server die when the others are about to sign:
// it is waited for.
func TestRotationWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newKeyedFake(t, 2)
		was := maps.Clone(f.nodes[0].files)
		r := &rotationRun{f: f, c: c, r: Rotation{ID: "1"}}
		r.atSign = func() {
			other := f.nodes[1]
			other.changed, other.serving, other.process = time.Now(), false, nil
			other.hastened = true
		}
		if err := r.forward(t); err != nil {
			t.Fatal(err)
		}
		r.settled(t, was)
	})
}

// TestRotationKilledAnywhere ends the program before and after each of its
// commands, and has the next run go on, or go back.
func TestRotationKilledAnywhere(t *testing.T) {
	for _, nodes := range []int{1, 2} {
		for _, after := range []bool{false, true} {
			for _, back := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d nodes after=%t back=%t", nodes, after, back), func(t *testing.T) {
					t.Parallel()
					one := func(t *testing.T, k int) (ran []string) {
						f, c := newKeyedFake(t, nodes)
						was := maps.Clone(f.nodes[0].files)
						r := &rotationRun{f: f, c: c, r: Rotation{ID: "1"}}
						f.kill, f.after, f.ran = k, after, nil
						err := r.forward(t)
						f.kill = -1
						ran = f.ran
						if k >= 0 && !errors.Is(err, errKilled) {
							t.Fatalf("killed at %d: %v", k, err)
						}
						if k%3 == 0 { // sometimes the second run comes late
							time.Sleep(time.Minute)
						}
						if back && r.begun && !r.pruning {
							// That run is killed too, in the middle.
							f.kill = 40 + k%100
							if err := r.back(t); err != nil && !errors.Is(err, errKilled) {
								t.Fatalf("way back after the run killed at %d: %v", k, err)
							}
							f.kill = -1
							if err := r.back(t); err != nil {
								t.Fatalf("way back after the run killed at %d: %v", k, err)
							}
							for _, n := range f.nodes {
								if diff := cmp.Diff(was, n.files); diff != "" {
									t.Errorf("killed at %d: %s is not as before:\n%s", k, n.name, diff)
								}
								if !slices.Equal(kidsOf(n.accepts), f.published) || n.signs != f.published[0] || n.controllerSigns != n.signs {
									t.Errorf("killed at %d: the programs of %s are not as before", k, n.name)
								}
							}
							return ran
						}
						if err := r.forward(t); err != nil {
							t.Fatalf("run after the one killed at %d: %v", k, err)
						}
						r.settled(t, was)
						return ran
					}
					var ran []string
					synctest.Test(t, func(t *testing.T) { ran = one(t, -1) })
					ks := distinct(ran, true) // before and after each change
					if len(ks) < 10 {
						t.Errorf("only %d commands to be killed at", len(ks))
					}
					for _, k := range ks {
						synctest.Test(t, func(t *testing.T) { one(t, k) })
						if t.Failed() {
							t.Fatalf("killed at %d of %d, %.80s", k, len(ran), ran[k])
						}
					}
				})
			}
		}
	}
}

// A node joins in the middle of a rotation, with keys of both generations in its
// files: the next run takes it in, or goes back on it too.
func TestRotationAndJoin(t *testing.T) {
	for until := 1; until <= 5; until++ {
		for _, back := range []bool{false, true} {
			one := func(t *testing.T, k int) (ran []string) {
				r, joins, was := newJoin(t)
				old := r.f.published
				r.until = until
				if err := r.forward(t); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				r.join(joins)
				r.until, r.f.ran, r.f.kill = 0, nil, k
				if k >= 0 {
					if err := map[bool]func(*testing.T) error{false: r.forward, true: r.back}[back](t); !errors.Is(err, errKilled) {
						t.Fatalf("killed at %d: %v", k, err)
					}
					r.f.kill = -1
				}
				if !back {
					if err := r.forward(t); err != nil {
						t.Fatal(err)
					}
					r.settled(t, was)
				} else if err := r.back(t); err != nil {
					t.Fatal(err)
				}
				if got := slices.Compact(r.old); !slices.Equal(got, old) {
					t.Errorf("the keys that go are %q, expected %q", got, old)
				}
				if !back {
					return r.f.ran
				}
				for _, n := range r.f.nodes {
					if diff := cmp.Diff(was, n.files); diff != "" {
						t.Errorf("%s is not as before:\n%s", n.name, diff)
					}
					if !slices.Equal(kidsOf(n.accepts), old) || !slices.Equal(r.f.published, old) {
						t.Errorf("%s accepts %q, published are %q, expected %q", n.name, kidsOf(n.accepts), r.f.published, old)
					}
				}
				return r.f.ran
			}
			t.Run(fmt.Sprintf("after %d steps back=%t", until, back), func(t *testing.T) {
				t.Parallel()
				var ran []string
				synctest.Test(t, func(t *testing.T) { ran = one(t, -1) })
				for _, k := range distinct(ran, true) {
					synctest.Test(t, func(t *testing.T) { one(t, k) })
				}
			})
		}
	}
}

// A node joins while the old keys are being removed: with a new key it is
// settled too; one with an old key is refused until it has joined again.
func TestRotationPruneAndJoin(t *testing.T) {
	joined := make(map[string]bool)
	one := func(t *testing.T, k, again int) (ran []string) {
		r, joins, was := newJoin(t)
		old := r.f.published[0]
		r.until = 5
		if err := r.forward(t); err != nil {
			t.Fatal(err)
		}
		r.renew()
		r.pruning, r.f.ran, r.f.kill = true, nil, k
		err := r.forward(t)
		if r.f.kill = -1; k < 0 {
			return r.f.ran
		}
		if !errors.Is(err, errKilled) {
			t.Fatalf("killed at %d: %v", k, err)
		}
		time.Sleep(time.Minute)
		r.join(joins)
		joined[fmt.Sprintf("old key=%t, %d public keys", joins.signs == old, len(joins.accepts))] = true
		if joins.signs == old {
			if err := r.forward(t); !errors.Is(err, ErrJoinedWithOldKey) {
				t.Errorf("killed at %d: error = %v", k, err)
			}
			r.f.nodes, r.c.nodes = r.f.nodes[:1:1], r.c.nodes[:1:1]
			if err := r.forward(t); err != nil {
				t.Fatal(err)
			}
			r.join(joins)
		}
		r.f.ran, r.f.kill = nil, again
		err = r.forward(t)
		ran, r.f.kill = r.f.ran, -1
		if again >= 0 {
			if !errors.Is(err, errKilled) {
				t.Fatalf("killed at %d: %v", again, err)
			}
			err = r.forward(t)
		}
		if err != nil {
			t.Fatalf("killed at %d and %d: %v", k, again, err)
		}
		for _, n := range r.f.nodes {
			if got := kidsOf(n.accepts); !slices.Equal(got, r.r.New) || !slices.Equal(got, r.f.published) {
				t.Errorf("killed at %d and %d: %s accepts %q, published are %q, expected %q", k, again, n.name, got, r.f.published, r.r.New)
			}
			want := maps.Clone(was)
			want[saKey], want[saPub] = r.f.nodes[0].files[saKey], r.f.nodes[0].files[saPub]
			if diff := cmp.Diff(want, n.files); diff != "" {
				t.Errorf("killed at %d and %d: %s:\n%s", k, again, n.name, diff)
			}
		}
		return ran
	}
	var settling []string
	synctest.Test(t, func(t *testing.T) { settling = one(t, -1, -1) })
	for _, k := range distinct(settling, true) {
		var ran []string
		synctest.Test(t, func(t *testing.T) { ran = one(t, k, -1) })
		for _, again := range distinct(ran, true) {
			synctest.Test(t, func(t *testing.T) { one(t, k, again) })
		}
	}
	for _, how := range []string{"old key=true, 2 public keys", "old key=false, 2 public keys", "old key=false, 1 public keys"} {
		if !joined[how] {
			t.Errorf("no node has joined with %s", how)
		}
	}
}

// A new key with which an API server does not come up: it goes back by
// itself, no other node is touched, and so does everything on demand.
func TestRotationRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newKeyedFake(t, 2)
		was := maps.Clone(f.nodes[1].files)
		f.nodes[1].refuses = func(flags Flags) bool { return flags.SigningKeyFile != saKey }
		r := &rotationRun{f: f, c: c, r: Rotation{ID: "1", Wait: time.Minute}}
		err := r.forward(t)
		if e, ok := errors.AsType[*APIServerError](err); !ok || e.Node != "control-plane1" || e.Restore != nil {
			t.Fatalf("error = %v", err)
		}
		if f.nodes[1].signs != f.nodes[1].kid(saKey) || !f.nodes[1].serving {
			t.Error("the previous key does not sign again")
		}
		if err := r.back(t); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(was, f.nodes[1].files); diff != "" {
			t.Error(diff)
		}
	})
}

// Kubeadm writes the manifests again in the middle of a rotation, after every
// stage: the next run does what has come undone, or goes all the way back.
func TestRotationAndUpgrade(t *testing.T) {
	for _, back := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) { rotationAndUpgrade(t, back) })
	}
}

func rotationAndUpgrade(t *testing.T, back bool) {
	for writes := range 12 {
		f, c := newKeyedFake(t, 2)
		was := maps.Clone(f.nodes[0].files)
		r := &rotationRun{f: f, c: c, r: Rotation{ID: "1"}}
		f.kill, f.killAtManifest = -1, writes
		err := r.forward(t)
		f.kill, f.killAtManifest = -1, -1
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		if r.finished {
			if writes < 8 {
				t.Errorf("only %d manifests were written", writes)
			}
			return
		}
		time.Sleep(time.Minute)
		for _, n := range f.nodes {
			for _, file := range []string{manifestFile, controllerManifestFile} {
				if n.files[file] != was[file] {
					n.files[file] = was[file]
					if file == manifestFile {
						n.changed = time.Now()
					} else {
						n.controllerChanged = time.Now()
					}
				}
			}
		}
		f.mu.Lock()
		f.invariants()
		f.mu.Unlock()
		time.Sleep(time.Minute)
		if back && !r.pruning {
			if err := r.back(t); err != nil {
				t.Fatalf("manifest %d: %v", writes, err)
			}
			for _, n := range f.nodes {
				if diff := cmp.Diff(was, n.files); diff != "" || len(n.accepts) != 1 || n.signs != n.accepts[0].KID {
					t.Errorf("manifest %d: %s is not as before, it accepts %q:\n%s", writes, n.name, kidsOf(n.accepts), diff)
				}
			}
			continue
		}
		for range 2 { // what had come undone late needs the waits again
			if r.finished {
				break
			}
			if err := r.forward(t); err != nil {
				t.Fatalf("manifest %d: %v", writes, err)
			}
		}
		r.settled(t, was)
	}
}

func TestNotRotatable(t *testing.T) {
	for why, change := range map[string]func(n *fakeNode){
		"an external signer holds the keys": func(n *fakeNode) {
			n.files[manifestFile] = strings.Replace(keyedManifest, "--service-account-signing-key-file="+saKey, "--service-account-signing-endpoint=/run/signer.sock", 1)
		},
		"reads the keys that it accepts from its private key": func(n *fakeNode) {
			n.files[manifestFile] = strings.Replace(keyedManifest, "key-file="+saPub, "key-file="+saKey, 1)
		},
		"does not accept its own tokens": func(n *fakeNode) { n.files[saKey] = newKey(n.t) },
		"does not see directory /etc/kubernetes/pki": func(n *fakeNode) {
			n.files[manifestFile] = strings.Replace(keyedManifest, "mountPath: /etc/kubernetes/pki", "mountPath: /etc/kubernetes/pki/sa.pub", 1)
		},
		"the controller manager on node control-plane0 does not see": func(n *fakeNode) {
			n.files[controllerManifestFile] = strings.Replace(keyedControllerManifest, "hostPath: {path: /etc/kubernetes/pki}", "emptyDir: {}", 1)
		},
		"a rotation that is not recorded": func(n *fakeNode) {
			n.files["/etc/kubernetes/pki/openirsa/1.key"] = n.files[saKey]
			n.files[manifestFile] = strings.Replace(keyedManifest, "signing-key-file="+saKey, "signing-key-file=/etc/kubernetes/pki/openirsa/1.key", 1)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			f, c := newKeyedFake(t, 1)
			f.published = nil
			change(f.nodes[0])
			files := maps.Clone(f.nodes[0].files)
			_, _, err := c.PlanRotation(t.Context(), Rotation{ID: "1"})
			if err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("error = %v, want %q", err, why)
			}
			if !maps.Equal(files, f.nodes[0].files) {
				t.Errorf("%s: something was changed", why)
			}
		})
	}
}

// The scripts about keys, run for real.
func TestKeyScripts(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		needs.Lacking(t, "openssl")
	}
	n, ctx := node.Local(), t.Context()
	dir := t.TempDir()
	former := filepath.Join(dir, "sa.key")
	if err := os.WriteFile(former, []byte(newKey(t)), 0o640); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "openirsa", "1.key")
	for _, alg := range []string{"", keys.RS256, keys.ES384, keys.ES512} {
		present, err := onePublicKey(ctx, n, former)
		if err != nil {
			t.Fatal(err)
		}
		args, err := keyArguments(alg, present)
		if err != nil {
			t.Fatal(err)
		}
		makeKey := func() error {
			return n.Exec(ctx, nil, io.Discard, "sh", append([]string{"-c", makeKeyScript, "sh", file, former}, args...)...)
		}
		if err := makeKey(); err != nil {
			t.Fatal(err)
		}
		first, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		private, err := keys.ParsePrivatePEM(first)
		if want := map[string]string{"": keys.ES256}[alg] + alg; err != nil || private.Public().Algorithm != want {
			t.Fatalf("algorithm %q made %v, %v", alg, private.Public().Algorithm, err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		// A second time it stays.
		if err := makeKey(); err != nil {
			t.Fatal(err)
		}
		if second, err := os.ReadFile(file); err != nil || string(second) != string(first) {
			t.Errorf("the key was made again, %v", err)
		}
		public, err := publicKeys(ctx, n, file, filepath.Join(dir, "none"))
		if err != nil || len(public) != 1 || public[0].KID != private.Public().KID {
			t.Errorf("public half %v, %v", public, err)
		}
		if b, err := n.Output(ctx, "sh", "-c", publicScript, "sh", file); err != nil || strings.Contains(string(b), "PRIVATE") {
			t.Errorf("the private key left the node, or %v", err)
		}
		if err := n.CopyFile(ctx, file, former); err != nil {
			t.Fatal(err)
		}
		if now, err := os.ReadFile(former); err != nil || string(now) != string(first) {
			t.Errorf("not copied, %v", err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
		if err := n.Remove(ctx, filepath.Dir(file)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := keyArguments("HS256", keys.Public{}); err == nil {
		t.Error("HS256 is taken")
	}
}

// TestControllerThatEnds: a controller manager that ends again and again is not healthy, although it runs whenever
// somebody looks; one that stays is after some seconds.
func TestControllerThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newKeyedFake(t, 1)
		m, err := controllerPod.parse([]byte(keyedControllerManifest))
		if err != nil {
			t.Fatal(err)
		}
		again, stop := context.WithCancel(t.Context())
		go func() {
			for again.Err() == nil {
				time.Sleep((controllerSeconds - 1) * time.Second)
				f.mu.Lock()
				f.nodes[0].starts++
				f.mu.Unlock()
			}
		}()
		err = healthy(t.Context(), c.nodes[0], controllerPod, m.Flags, time.Minute)
		if err == nil || !strings.Contains(err.Error(), "only just started") {
			t.Errorf("error = %v", err)
		}
		stop()
		time.Sleep(controllerSeconds * time.Second)
		start := time.Now()
		if err := healthy(t.Context(), c.nodes[0], controllerPod, m.Flags, time.Minute); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < controllerSeconds*time.Second || took > 2*controllerSeconds*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}
