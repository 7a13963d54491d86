package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/openirsa/openirsa/internal/kubetest"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/keys"
)

const (
	clusterName = "crash"
	account     = "000000000000"
	region      = "us-east-1"
	issuerURL   = "https://openirsa-" + clusterName + "-" + account + ".s3." + region + ".amazonaws.com"
)

// world is a cluster and an account: a kube-apiserver with an etcd of its own, whose nodes are out of reach and
// which has the issuer already, and an emulator. All of it can be put back to a moment that was saved.
type world struct {
	t   testing.TB
	dir string

	etcd   kubetest.Etcd
	kube   *kubernetes.Clientset
	server http.Handler // passes requests on to the API server
	others *standIn
	uid    string // of the cluster, and
	port   string // of its API server, which differ from world to world
	aws    *emulator.Server
	file   string            // the emulator's file
	texts  map[string]string // of objects as state has them, by how etcd has them: most of them never change
}

// newWorld starts a world that lasts as long as the test. The key signs tokens.
func newWorld(t testing.TB, key string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), texts: map[string]string{}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	api := kubetest.Start(t, "--service-account-issuer", issuerURL, "--service-account-signing-key-file", key,
		"--service-account-key-file", key,
		"--storage-media-type", "application/json", // so that its objects can be read in etcd
		"--endpoint-reconciler-type", "none")
	w.etcd, w.kube = api.Etcd, api.Client
	server, err := url.Parse(api.Config.Host)
	must(err)
	w.port = server.Port()
	transport, err := rest.TransportFor(api.Config)
	must(err)

	w.file = filepath.Join(w.dir, "emulator.db")
	w.server = &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(server) }}

	var system *corev1.Namespace
	w.eventually("there is a namespace kube-system", func() (err error) {
		system, err = w.kube.CoreV1().Namespaces().Get(t.Context(), metav1.NamespaceSystem, metav1.GetOptions{})
		return err
	})
	w.uid = string(system.UID)
	w.others = startStandIn(t, w.kube)
	// Somebody's service account, for which a role is made later.
	_, err = w.kube.CoreV1().ServiceAccounts("default").Create(t.Context(),
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "web"}}, metav1.CreateOptions{})
	must(err)
	w.startAWS()
	t.Cleanup(func() {
		if err := w.aws.Close(); err != nil {
			t.Error(err)
		}
	})
	var before map[string][]byte
	w.eventually("the API server has made its own objects", func() error {
		now, err := w.etcd.Dump(t.Context())
		if err != nil {
			return err
		}
		same := maps.EqualFunc(before, now, bytes.Equal)
		before = now
		if !same {
			time.Sleep(time.Second)
			return errors.New("they still change")
		}
		return nil
	})
	return w
}

func (w *world) eventually(what string, try func() error) {
	w.t.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (w *world) startAWS() {
	var err error
	if w.aws, err = emulator.New(emulator.Config{Account: account, State: w.file}); err != nil {
		w.t.Fatal(err)
	}
}

// moment is all that a world is at one time.
type moment struct {
	kubernetes map[string][]byte // etcd's keys
	aws        []byte            // the emulator's file
}

// save is the world as it is when nothing is under way.
func (w *world) save() moment {
	w.t.Helper()
	w.others.settle()
	kubernetes, err := w.etcd.Dump(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	aws, err := os.ReadFile(w.file)
	if err != nil {
		w.t.Fatal(err)
	}
	return moment{kubernetes, aws}
}

// restore makes the world what it was at the moment.
func (w *world) restore(m moment) {
	w.t.Helper()
	w.others.mu.Lock()
	defer w.others.mu.Unlock()
	if err := w.etcd.Restore(w.t.Context(), m.kubernetes); err != nil {
		w.t.Fatal(err)
	}
	if err := w.aws.Close(); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.file, m.aws, 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.startAWS()
}

// state is a moment as two of them are compared: all objects of Kubernetes and all that AWS has, as JSON by name,
// without what differs each time that the same is done.
type state map[string]string

// Keys of etcd that are no objects of anybody's: how addresses are given to Services. And what `iamserviceaccount
// create` leaves behind on purpose, since others may use it: the namespace that it made.
var notCompared = []string{"ranges/", "ipaddresses/", "namespaces/" + newNamespace, "serviceaccounts/" + newNamespace + "/default"}

func (w *world) state(m moment) state {
	w.t.Helper()
	s := state{}
keys:
	for key, value := range m.kubernetes {
		name := strings.TrimPrefix(key, kubetest.Registry)
		for _, prefix := range notCompared {
			if strings.HasPrefix(name, prefix) {
				continue keys
			}
		}
		text, ok := w.texts[string(value)]
		if !ok {
			var o map[string]any
			if err := json.Unmarshal(value, &o); err != nil {
				w.t.Fatalf("%s: %v", key, err)
			}
			text = w.text(plainObject(o))
			w.texts[string(value)] = text
		}
		s["kubernetes "+name] = text
	}
	w.addAWS(s, m.aws)
	return s
}

// plainObject is an object without what is about this very object, or was chosen at random.
func plainObject(o map[string]any) map[string]any {
	meta, _ := o["metadata"].(map[string]any)
	for _, k := range []string{"uid", "resourceVersion", "creationTimestamp", "generation"} {
		delete(meta, k)
	}
	if _, ok := meta["deletionTimestamp"]; ok {
		meta["deletionTimestamp"] = "set"
	}
	if fields, ok := meta["managedFields"].([]any); ok {
		for _, entry := range fields {
			delete(entry.(map[string]any), "time")
		}
		slices.SortFunc(fields, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }) // they come by time
	}
	delete(o, "status")
	if spec, ok := o["spec"].(map[string]any); ok && o["kind"] == "Service" {
		delete(spec, "clusterIP")
		delete(spec, "clusterIPs")
	}
	return o
}

func (w *world) text(v any) string {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.NewReplacer(w.uid, "UID", w.port, "PORT").Replace(string(b))
}

// addAWS adds what is in the emulator's file.
func (w *world) addAWS(s state, file []byte) {
	w.t.Helper()
	name := filepath.Join(w.dir, "compared.db")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		w.t.Fatal(err)
	}
	db, err := bbolt.Open(name, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(bucket []byte, b *bbolt.Bucket) error {
			kind := string(bucket)
			if kind == "meta" { // the account and the key that seals sessions
				return nil
			}
			return b.ForEach(func(key, value []byte) error {
				if kind == "body" { // of an object, whose ETag is its digest; nothing but bodies must stay behind
					s["aws bodies"] += "."
					return nil
				}
				var o map[string]any
				if err := json.Unmarshal(value, &o); err != nil {
					return fmt.Errorf("%s %s: %w", kind, key, err)
				}
				name := string(key)
				if arn, ok := o["ARN"].(string); ok { // and not a unique id
					name = arn
				}
				for _, k := range []string{"ID", "Created", "Modified", "Blobs"} {
					delete(o, k)
				}
				if attached, ok := o["Attached"].([]any); ok {
					slices.SortFunc(attached, func(a, b any) int { return strings.Compare(a.(string), b.(string)) }) // they come as they were attached
				}
				s["aws "+kind+" "+name] = w.text(o)
				return nil
			})
		})
	})
	if err != nil {
		w.t.Fatalf("reading the emulator's file: %v", err)
	}
}

// result is what came of a run of setup.
type result struct {
	code   int // -1: killed
	out    string
	stdout string
	calls  []call
	fired  bool // the fault
}

// setup runs setup, with a fault at a call.
func (w *world) setup(at call, f fault, args ...string) result {
	w.t.Helper()
	ended := make(chan struct{})
	g := &gate{t: w.t, uid: w.uid, at: at, fault: f, counts: map[string]int{}}
	aws := httptest.NewServer(g.through(w.aws, g.describeAWS, refuseAWS))
	kube := httptest.NewServer(g.through(w.server, g.describeKubernetes, refuseKubernetes))
	kubeconfig := filepath.Join(w.dir, "kubeconfig")
	err := os.WriteFile(kubeconfig, fmt.Appendf(nil,
		`{"apiVersion":"v1","kind":"Config","current-context":"crash","contexts":[{"name":"crash","context":{"cluster":"crash","user":"admin"}}],
"clusters":[{"name":"crash","cluster":{"server":%q}}],"users":[{"name":"admin","user":{}}]}`, kube.URL), 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir = &stdout, &stderr, w.dir
	cmd.Env = []string{"HOME=" + w.dir, "KUBECONFIG=" + kubeconfig, "AWS_ENDPOINT_URL=" + aws.URL, "AWS_REGION=" + region,
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_EC2_METADATA_DISABLED=true"}
	g.kill = func() {
		cmd.Process.Kill()
		<-ended
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	err = cmd.Wait()
	close(ended)
	aws.Close() // which return when the last call has been made
	kube.Close()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		w.t.Fatal(err)
	}
	r := result{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), out: stdout.String() + stderr.String(),
		calls: g.calls, fired: g.fired}
	if ctx.Err() != nil {
		w.t.Fatalf("setup %s has not ended:\n%s", strings.Join(args, " "), r.out)
	}
	return r
}

// run runs setup with nothing in its way.
func (w *world) run(args ...string) (result, error) {
	w.t.Helper()
	r := w.setup(call{}, none, args...)
	if r.code != 0 {
		return r, fmt.Errorf("setup %s: exit %d:\n%s", strings.Join(args, " "), r.code, r.out)
	}
	return r, nil
}

// standIn does what kube-controller-manager and the webhook's pods would: it has Deployments be available, gives
// namespaces a service account, empties those that are deleted, and gives the webhook's configuration a caBundle.
//
// It is not the real kube-controller-manager because that waits for five seconds before it empties a namespace
// (namespaceDeletionGracePeriod in pkg/controller/namespace), and a namespace is emptied here a thousand times.
type standIn struct {
	t       testing.TB
	kube    kubernetes.Interface
	watched watched
	awake   chan struct{}        // has something in it if there may be something to do
	mu      sync.Mutex           // held while it is at work; guards the fields below
	idle    string               // what it leaves undone: "rollout" or "caBundle"
	seen    map[string]time.Time // when a namespace was first seen to be deleted
}

// terminating is how long a deleted namespace is there at least, so that programs come upon one.
const terminating = 150 * time.Millisecond

func startStandIn(t testing.TB, kube *kubernetes.Clientset) *standIn {
	s := &standIn{t: t, kube: kube, awake: make(chan struct{}, 1), seen: map[string]time.Time{}}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	s.watched = watch(ctx, &running, kube, s.wake)
	running.Go(func() {
		for ctx.Err() == nil {
			s.mu.Lock()
			settled, ending := s.work(ctx, s.watched.objects())
			s.mu.Unlock()
			var soon <-chan time.Time
			if !settled || ending {
				soon = time.After(50 * time.Millisecond)
			}
			select {
			case <-ctx.Done():
			case <-s.awake:
			case <-soon:
			}
		}
	})
	t.Cleanup(func() { stop(); running.Wait() })
	return s
}

func (s *standIn) wake() {
	select {
	case s.awake <- struct{}{}:
	default:
	}
}

// leave has it leave something undone, or nothing.
func (s *standIn) leave(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = what
	s.wake()
}

// objects are all that a standIn looks at.
type objects struct {
	namespaces     []corev1.Namespace
	deployments    []appsv1.Deployment
	configurations []admissionv1.MutatingWebhookConfiguration
	accounts       []corev1.ServiceAccount
}

// watched are the objects as watches tell them.
type watched struct{ namespaces, deployments, configurations, accounts cache.Store }

// watch watches them until the context ends; changed is called for each change.
func watch(ctx context.Context, running *sync.WaitGroup, kube *kubernetes.Clientset, changed func()) watched {
	store := func(client rest.Interface, resource string, object runtime.Object) cache.Store {
		store, controller := cache.NewInformerWithOptions(cache.InformerOptions{
			ListerWatcher: cache.NewListWatchFromClient(client, resource, metav1.NamespaceAll, fields.Everything()),
			ObjectType:    object,
			Handler: cache.ResourceEventHandlerFuncs{
				AddFunc: func(any) { changed() }, UpdateFunc: func(any, any) { changed() }, DeleteFunc: func(any) { changed() },
			},
		})
		running.Go(func() { controller.RunWithContext(ctx) })
		return store
	}
	return watched{
		store(kube.CoreV1().RESTClient(), "namespaces", &corev1.Namespace{}),
		store(kube.AppsV1().RESTClient(), "deployments", &appsv1.Deployment{}),
		store(kube.AdmissionregistrationV1().RESTClient(), "mutatingwebhookconfigurations", &admissionv1.MutatingWebhookConfiguration{}),
		store(kube.CoreV1().RESTClient(), "serviceaccounts", &corev1.ServiceAccount{}),
	}
}

func (w watched) objects() objects {
	return objects{
		copies[corev1.Namespace](w.namespaces), copies[appsv1.Deployment](w.deployments),
		copies[admissionv1.MutatingWebhookConfiguration](w.configurations), copies[corev1.ServiceAccount](w.accounts),
	}
}

func copies[T any, P interface {
	*T
	DeepCopyInto(*T)
}](store cache.Store) []T {
	list := store.List()
	all := make([]T, len(list))
	for i, o := range list {
		o.(P).DeepCopyInto(&all[i])
	}
	return all
}

// listed are the objects as etcd has them now.
func (s *standIn) listed(ctx context.Context) (objects, error) {
	options := metav1.ListOptions{}
	namespaces, err := s.kube.CoreV1().Namespaces().List(ctx, options)
	if err != nil {
		return objects{}, err
	}
	deployments, err := s.kube.AppsV1().Deployments(metav1.NamespaceAll).List(ctx, options)
	if err != nil {
		return objects{}, err
	}
	configurations, err := s.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, options)
	if err != nil {
		return objects{}, err
	}
	accounts, err := s.kube.CoreV1().ServiceAccounts(metav1.NamespaceAll).List(ctx, options)
	if err != nil {
		return objects{}, err
	}
	return objects{namespaces.Items, deployments.Items, configurations.Items, accounts.Items}, nil
}

// settle returns when there is nothing to do, except for namespaces that are ending.
func (s *standIn) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range 100 {
		all, err := s.listed(s.t.Context())
		if err != nil {
			continue
		}
		if settled, _ := s.work(s.t.Context(), all); settled {
			return
		}
	}
	s.t.Error("the controllers' stand-in does not come to an end")
}

// work does all that there is to do, and reports whether there was nothing, and whether namespaces are ending. What
// cannot be done is done next time. The watches are of different ages, above all when the world has just been restored:
// what one of them says that there is has to be there still.
func (s *standIn) work(ctx context.Context, all objects) (settled, ending bool) {
	settled = true
	did := func(err error) {
		settled = false
		if err != nil && ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond) // somebody else has changed the object
		}
	}
	for _, d := range all.deployments {
		if st := &d.Status; s.idle != "rollout" && (st.ObservedGeneration != d.Generation || st.AvailableReplicas != *d.Spec.Replicas) {
			st.ObservedGeneration = d.Generation
			st.Replicas, st.UpdatedReplicas, st.ReadyReplicas, st.AvailableReplicas = *d.Spec.Replicas, *d.Spec.Replicas, *d.Spec.Replicas, *d.Spec.Replicas
			_, err := s.kube.AppsV1().Deployments(d.Namespace).UpdateStatus(ctx, &d, metav1.UpdateOptions{FieldManager: "kube-controller-manager"})
			did(err)
		}
	}
	for _, c := range all.configurations {
		if len(all.deployments) == 0 { // no webhook runs
			break
		}
		lacks := func(w admissionv1.MutatingWebhook) bool { return len(w.ClientConfig.CABundle) == 0 }
		if s.idle != "caBundle" && slices.ContainsFunc(c.Webhooks, lacks) {
			d := all.deployments[0]
			_, err := s.kube.AppsV1().Deployments(d.Namespace).Get(ctx, d.Name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				break
			}
			if err == nil {
				for i := range c.Webhooks {
					c.Webhooks[i].ClientConfig.CABundle = caBundle
				}
				_, err = s.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Update(ctx, &c,
					metav1.UpdateOptions{FieldManager: "openirsa-webhook"})
			}
			did(err)
		}
	}
	hasAccount := map[string]bool{}
	for _, a := range all.accounts {
		if a.Name == "default" {
			hasAccount[a.Namespace] = true
		}
	}
	for _, ns := range all.namespaces {
		if ns.DeletionTimestamp == nil && hasAccount[ns.Name] {
			continue
		}
		switch now, err := s.kube.CoreV1().Namespaces().Get(ctx, ns.Name, metav1.GetOptions{}); {
		case apierrors.IsNotFound(err):
		case err != nil:
			did(err)
		case now.DeletionTimestamp != nil:
			ending = true
			if err := s.finalize(ctx, now); err != nil {
				time.Sleep(20 * time.Millisecond)
			}
		case !hasAccount[ns.Name]:
			_, err := s.kube.CoreV1().ServiceAccounts(ns.Name).Create(ctx,
				&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
			did(err)
		}
	}
	return settled, ending
}

// finalize empties a namespace and lets it go. What is forgotten here stays in etcd, and is found there.
func (s *standIn) finalize(ctx context.Context, ns *corev1.Namespace) error {
	id := string(ns.UID) + ns.DeletionTimestamp.String()
	if s.seen[id].IsZero() {
		s.seen[id] = time.Now()
	}
	if time.Since(s.seen[id]) < terminating {
		return nil
	}
	name, all, opts := ns.Name, metav1.ListOptions{}, metav1.DeleteOptions{}
	services, err := s.kube.CoreV1().Services(name).List(ctx, all)
	if err != nil {
		return err
	}
	for _, service := range services.Items { // of which there is no collection
		if err := s.kube.CoreV1().Services(name).Delete(ctx, service.Name, opts); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	for _, err := range []error{
		s.kube.AppsV1().Deployments(name).DeleteCollection(ctx, opts, all),
		s.kube.PolicyV1().PodDisruptionBudgets(name).DeleteCollection(ctx, opts, all),
		s.kube.CoreV1().ServiceAccounts(name).DeleteCollection(ctx, opts, all),
		s.kube.CoreV1().ConfigMaps(name).DeleteCollection(ctx, opts, all),
		s.kube.CoreV1().Secrets(name).DeleteCollection(ctx, opts, all),
		s.kube.RbacV1().RoleBindings(name).DeleteCollection(ctx, opts, all),
		s.kube.RbacV1().Roles(name).DeleteCollection(ctx, opts, all),
	} {
		if err != nil {
			return err
		}
	}
	ns.Spec.Finalizers = nil
	_, err = s.kube.CoreV1().Namespaces().Finalize(ctx, ns, metav1.UpdateOptions{})
	return err
}

// writeKey makes a key for a world's tokens.
func writeKey(t testing.TB) string {
	t.Helper()
	private, err := keys.Generate(keys.RS256)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sa.key")
	if err := keys.WritePrivate(file, private); err != nil {
		t.Fatal(err)
	}
	return file
}

// caBundle stands for a certificate: nobody asks the webhook anything here.
var caBundle = []byte("a certificate")
