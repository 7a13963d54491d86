package controlplane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/node"
)

// fakeNode stands in for a control-plane node at the one place where commands
// leave this process. It keeps files, runs an API server a while after its
// manifest has changed, as kubelet does, and renews the tokens of its pods. It
// knows its commands by their scripts; an unknown one fails the test.
//
// With every command it checks, for all nodes, what must never happen: a token
// in a pod, or one that an API server would issue, which another API server
// that serves does not accept.
type fakeNode struct {
	t       *testing.T
	cluster *fakeCluster
	name    string
	files   map[string]string
	written map[string]time.Time // the files, by a command

	process   []string  // the API server's command line; nil: none
	starts    int       // of it and of the controller manager
	parsed    Flags     // those of process
	serving   bool      // it answers
	changed   time.Time // when the manifest was last written; zero: nothing is under way
	hastened  bool
	refuses   func(Flags) bool // flags with which the API server never gets ready
	renewAt   time.Time        // when kubelet renews the tokens
	tokens    []fakeToken
	restarted int             // how often kubelet was
	noKubelet bool            // it does not come back
	swaps     map[string]bool // the manifests that come back when the previous pod has ended

	fakeKeys // what there is beside, where keys are rotated
}

// fakeToken is what a pod's token says.
type fakeToken struct {
	Issuer   string
	Audience []string
	IssuedAt int64
	Account  string // the uid of its service account
}

type fakeCluster struct {
	nodes []*fakeNode
	mu    sync.Mutex // guards everything, of the nodes too
	kill  int        // the number of commands until we are killed; negative: never
	after bool       // the command is run before
	once  bool       // we are not killed, only that command fails
	hasty bool       // tokens of pods may be refused until they are renewed
	ran   []string   // the commands so far

	published      []string // the ids of the published keys; nil where they are not of interest
	killAtManifest int      // the number of manifests to be written until we are killed; negative: never
}

// Uids of the service account of the fake nodes' pods, and of one that is gone.
const (
	liveAccount    = "live"
	deletedAccount = "deleted"
)

// serviceAccounts is how to reach an API that has one service account.
func serviceAccounts(t *testing.T) *rest.Config {
	t.Helper()
	answer := roundTrip(func(r *http.Request) (*http.Response, error) {
		var list any
		switch r.Method + " " + r.URL.Path {
		case "GET /api/v1/serviceaccounts":
			list = corev1.ServiceAccountList{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccountList"},
				Items:    []corev1.ServiceAccount{{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default", UID: liveAccount}}},
			}
		case "GET /api/v1/pods":
			list = corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: []corev1.Pod{fakePod}}
		default:
			t.Errorf("%s %s", r.Method, r.URL)
		}
		body, err := json.Marshal(list)
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, err
	})
	return &rest.Config{Host: "http://fake", Transport: answer}
}

// fakePod is the pod whose tokens the nodes have.
var fakePod = corev1.Pod{
	ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "pod", UID: "uid"},
	Spec: corev1.PodSpec{Volumes: []corev1.Volume{{Name: "api", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}},
	}}}}},
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var errKilled = errors.New("killed")

// formerManifest is short, because it is read very often.
const formerManifest = `kind: Pod
spec:
  containers:
  - command:
    - kube-apiserver
    - --secure-port=6443
    - --service-account-issuer=` + oldIssuer + `
    - --service-account-key-file=/etc/kubernetes/pki/sa.pub
    image: registry.k8s.io/kube-apiserver:v1.37.2
`

// newFake is a cluster of control planes, each with a pod that has been there
// before.
func newFake(t *testing.T, n int) (*fakeCluster, *ControlPlane) {
	t.Helper()
	f := &fakeCluster{kill: -1, killAtManifest: -1}
	var nodes []node.Node
	for i := range n {
		fake := &fakeNode{
			t: t, cluster: f, name: fmt.Sprintf("control-plane%d", i), files: map[string]string{manifestFile: formerManifest}, written: map[string]time.Time{}, swaps: map[string]bool{},
			refuses: func(Flags) bool { return false },
		}
		fake.start()
		fake.serving = true
		f.nodes = append(f.nodes, fake)
		nodes = append(nodes, fake.node())
	}
	for _, n := range f.nodes {
		n.issue()
	}
	return f, of(t, serviceAccounts(t), nodes, true)
}

// of is the control plane of a cluster with these nodes.
func of(t *testing.T, config *rest.Config, nodes []node.Node, kind bool) *ControlPlane {
	t.Helper()
	c, err := cluster.New("fake", config, nodes...)
	if err != nil {
		t.Fatal(err)
	}
	c.Kind = kind
	return Of(c)
}

// node is how the code under test reaches it.
func (n *fakeNode) node() node.Node { return node.Node{Name: n.name, ControlPlane: true, Exec: n.exec} }

// start runs the API server of the manifest.
func (n *fakeNode) start() {
	m, err := parseManifest([]byte(n.files[manifestFile]))
	if err != nil {
		n.t.Errorf("%s: kubelet got a broken manifest: %v", n.name, err)
		return
	}
	n.process, n.parsed = nil, m.Flags
	n.starts++
	n.load(m.Flags)
	for _, arg := range m.args {
		n.process = append(n.process, arg.Value)
	}
}

// kubeletSees is what kubelet does about a manifest that is replaced.
func (n *fakeNode) kubeletSees(file, text string) {
	if file == manifestFile && n.files[file] != text {
		n.changed, n.hastened = time.Now(), false
	}
	if file == controllerManifestFile && n.files[file] != text {
		n.controllerChanged = time.Now()
	}
	if strings.HasPrefix(file, "/etc/kubernetes/manifests/") {
		if n.cluster.killAtManifest--; n.cluster.killAtManifest == -1 {
			n.cluster.kill = 1 // after this command
		}
	}
}

// manifest is that of the API server, also while it waits for its turn.
func (n *fakeNode) manifest() string {
	if text, there := n.files[manifestFile]; there {
		return text
	}
	return n.files[tempFile]
}

// swapFile is where a manifest waits for its turn.
func swapFile(manifest string) string {
	if manifest == controllerManifestFile {
		return controllerPod.waitingFile()
	}
	return apiServerPod.waitingFile()
}

// settle puts a manifest that waits in its place, and reports whether there was one.
func (n *fakeNode) settle(manifest string) bool {
	n.swaps[manifest] = false
	text, waits := n.files[swapFile(manifest)]
	_, there := n.files[manifest]
	if !there && waits {
		n.files[manifest] = text
		delete(n.files, swapFile(manifest))
	}
	return !there && waits
}

func (n *fakeNode) flags() Flags { return n.parsed }

// issue gives the node's pod a token, as its API server issues it.
func (n *fakeNode) issue() {
	f := n.flags()
	token := fakeToken{Issuer: f.Issuers[0], Audience: f.audiences(), IssuedAt: time.Now().Unix()}
	token.Account = liveAccount
	n.tokens = slices.DeleteFunc(n.tokens, func(c fakeToken) bool { return c.Account != deletedAccount })
	n.tokens = append(n.tokens, token)
}

// pass makes what should have happened by now.
func (n *fakeNode) pass() {
	if !n.changed.IsZero() {
		since := time.Since(n.changed)
		n.serving = false
		switch {
		case since < 30*time.Second && !n.hastened: // the previous one drains
		case since < 35*time.Second && !n.hastened, since < 8*time.Second:
			n.process = nil
		default:
			if n.swaps[manifestFile] {
				n.settle(manifestFile)
			}
			n.start()
			n.serving = !n.refuses(n.flags())
			n.changed, n.hastened = time.Time{}, false
		}
	}
	n.passController()
	if n.serving && !n.renewAt.IsZero() && time.Now().After(n.renewAt) {
		n.issue()
		n.renewAt = time.Time{}
	}
}

// invariants are checked before and after every command.
func (f *fakeCluster) invariants() {
	for _, n := range f.nodes {
		n.pass()
	}
	f.keyInvariants()
	for _, server := range f.nodes {
		if !server.serving {
			continue
		}
		accepts := server.flags()
		for _, n := range f.nodes {
			var tokens []fakeToken
			if !f.hasty {
				tokens = slices.DeleteFunc(slices.Clone(n.tokens), func(c fakeToken) bool { return c.Account == deletedAccount })
			}
			if n.serving {
				tokens = append(tokens, fakeToken{Issuer: n.flags().Issuers[0], Audience: n.flags().audiences()})
			}
			for _, token := range tokens {
				audience := slices.ContainsFunc(token.Audience, func(a string) bool { return slices.Contains(accepts.audiences(), a) })
				if !slices.Contains(accepts.Issuers, token.Issuer) || !audience {
					server.t.Errorf("%s does not accept a token of %s for %v; it accepts %v for %v", server.name, token.Issuer, token.Audience, accepts.Issuers, accepts.audiences())
				}
			}
		}
	}
}

func (n *fakeNode) exec(ctx context.Context, in io.Reader, out io.Writer, command string, args ...string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	f := n.cluster
	before := func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.invariants()
		f.ran = append(f.ran, n.name+command+strings.Join(args[:min(2, len(args))], ""))
		if f.kill == 0 && !f.after {
			return f.killed()
		}
		return nil
	}
	if err := before(); err != nil {
		return err
	}
	time.Sleep(100 * time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	n.pass()
	if err := n.await(ctx, args); err != nil {
		return err
	}
	err := n.run(in, out, command, args)
	f.invariants()
	if f.kill == 0 {
		return f.killed()
	}
	f.kill--
	return err
}

// await is the waiting of processesScript.
func (n *fakeNode) await(ctx context.Context, args []string) error {
	if len(args) < 2 || args[1] != processesScript {
		return nil
	}
	seconds, err := strconv.Atoi(args[5])
	for range seconds {
		if n.pids(args[3]) != args[4] {
			break
		}
		n.cluster.mu.Unlock()
		err := wait.Sleep(ctx, time.Second)
		n.cluster.mu.Lock()
		if err != nil {
			return err
		}
		n.cluster.invariants()
	}
	return err
}

// pids are the ids of a program's processes, of which there is one at most.
func (n *fakeNode) pids(program string) string {
	if program == string(controllerPod) && n.controller != nil || program == string(apiServerPod) && n.process != nil {
		return fmt.Sprint(n.starts)
	}
	return ""
}

// killed is the end of this command, and of all that follow unless once.
func (f *fakeCluster) killed() error {
	if f.once {
		f.kill = -1
	}
	return errKilled
}

func (n *fakeNode) run(in io.Reader, out io.Writer, command string, args []string) error {
	script, rest := "", []string(nil)
	if command == "sh" {
		script, rest = args[1], args[min(3, len(args)):]
	}
	switch {
	case script == readScript:
		for _, file := range rest[1:] {
			if text, ok := n.files[file]; ok {
				fmt.Fprint(out, "x"+text)
			}
			fmt.Fprint(out, rest[0])
		}
	case script == writeScript:
		b, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != rest[1] {
			n.t.Error("wrong digest")
		}
		n.kubeletSees(rest[0], string(b))
		n.files[rest[0]], n.written[rest[0]] = string(b), time.Now()
	case script == swapScript:
		b, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != rest[1] {
			n.t.Error("wrong digest")
		}
		n.kubeletSees(rest[0], string(b))
		delete(n.files, rest[0])
		n.files[swapFile(rest[0])], n.swaps[rest[0]] = string(b), true
	case script == settleScript:
		if n.settle(rest[0]) && rest[0] == manifestFile && n.process == nil {
			n.changed, n.hastened = time.Now(), true
		}
	case script == modifiedScript:
		if _, there := n.files[rest[0]]; !there {
			return errors.New("no such file")
		}
		fmt.Fprintln(out, n.written[rest[0]].Unix())
	case script == existsScript:
		for _, file := range rest {
			for name := range n.files {
				if name == file || strings.HasPrefix(name, file+"/") {
					fmt.Fprintln(out, file)
					break
				}
			}
		}
	case command == "rm":
		for _, file := range args[2:] {
			maps.DeleteFunc(n.files, func(name, _ string) bool { return name == file || strings.HasPrefix(name, file+"/") })
		}
	case script == processesScript && rest[0] == string(controllerPod):
		fmt.Fprintln(out, n.pids(rest[0]))
		if n.controller != nil {
			fmt.Fprint(out, strings.Join(n.controller, "\x00")+"\x00\x00")
		}
	case script == processesScript:
		fmt.Fprintln(out, n.pids(rest[0]))
		if n.process != nil {
			fmt.Fprint(out, strings.Join(n.process, "\x00")+"\x00\x00")
		}
	case script == hastenScript:
		sum := sha256.Sum256([]byte(strings.Join(n.process, "\x00") + "\x00"))
		if rest[0] == hex.EncodeToString(sum[:]) {
			if n.changed.IsZero() || n.serving {
				n.t.Error("an API server that serves was told to hurry")
			}
			n.hastened = true
		}
	case command == "kubectl" || script == untilScript:
		if !n.serving {
			return errors.New("connection refused")
		}
		f := n.flags()
		switch path := args[len(args)-1]; path {
		case "/readyz":
			fmt.Fprint(out, "ok")
		case issuer.JWKSPath:
			fmt.Fprint(out, n.jwks())
		case issuer.DiscoveryPath:
			jwks := f.JWKSURI
			if jwks == "" {
				jwks = "https://172.18.0.2:6443/openid/v1/jwks"
			}
			fmt.Fprintf(out, `{"issuer":%q,"jwks_uri":%q}`, f.Issuers[0], jwks)
		default:
			n.t.Errorf("asked for %s", path)
		}
	case script == logScript:
		fmt.Fprint(out, "Error: something is wrong\n")
	case command == "systemctl":
		n.restarted++
		if !n.noKubelet {
			n.renewAt = time.Now().Add(3 * time.Second)
		}
	case script == tokensScript:
		if b, err := io.ReadAll(in); err != nil || string(b) != "uid/volumes/kubernetes.io~projected/api/..data/token\n" {
			n.t.Errorf("asked for %q, %v", b, err)
		}
		for _, token := range n.tokens {
			b, err := json.Marshal(map[string]any{"iss": token.Issuer, "aud": token.Audience, "iat": token.IssuedAt,
				"kubernetes.io": map[string]any{"serviceaccount": map[string]any{"uid": token.Account}}})
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "1 e30 %s\n", base64.RawURLEncoding.EncodeToString(b))
		}
		aws := base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"` + testIssuer + `","aud":["sts.amazonaws.com"],"iat":1}`))
		fmt.Fprintf(out, "1 e30 %s\n1 bm90IGpzb24 e30\n1 e30 bm90IGpzb24\n1 !! e30\n1 e30\n2 e30 e30\n0 e30 e30\nuid e30 e30\n", aws)
	case n.runKeys(out, script, rest):
	default:
		n.t.Errorf("unknown command %s %q", command, args)
	}
	return nil
}
