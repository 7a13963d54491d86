// Package kubefake gives tests an API server as far as the packages about a
// cluster can tell: objects, with Kubernetes' own field manager for server-side
// apply, and whatever goes wrong with them on request.
//
//	f := kubefake.New(t)
//	c, err := cluster.Connect(ctx, cluster.Options{Kubeconfig: f.Kubeconfig(t, "remote")})
//
// A whole kube-apiserver is that of kubetest.
package kubefake

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// API is the fake. It knows dry runs, and namespaces that need a while to be gone.
type API struct {
	t      *testing.T
	server *httptest.Server

	Mu      sync.Mutex                // guards everything below
	Objects map[string]runtime.Object // by path
	Lingers int                       // how many more times a deleted namespace is seen
	FailAt  int                       // the number of requests until one fails; negative: none
	After   bool                      // it fails after it was done
	Failed  bool                      // one has
	Away    int                       // how many requests find it away
	Denied  map[string]bool           // "verb resource" that SelfSubjectAccessReview refuses
	Issuer  string                    // empty: no discovery document
	JWKS    json.RawMessage           // nil: no keys

	GitVersion string

	Meanwhile func() // done once, before the next apply

	// Applied is called with what was applied and is there, under the lock: what
	// controllers make of it. Nil: there are none.
	Applied func(path string, o runtime.Object)
	// Admit is called with what is created: what webhooks make of it. Nil: there are none.
	Admit func(o runtime.Object)
	// Token signs a token of a service account, for the pod that it is bound to. Nil:
	// nobody gets one. It is called under the lock.
	Token func(sa *corev1.ServiceAccount, pod *corev1.Pod, spec *authenticationv1.TokenRequestSpec) string

	gone    map[string]int // how many more times a deleted object is seen, by path
	version int
	writes  []string // what changed something
}

var served = map[schema.GroupVersion][]metav1.APIResource{
	{Version: "v1"}: {
		{Name: "namespaces", Kind: "Namespace"},
		{Name: "configmaps", Kind: "ConfigMap", Namespaced: true},
		{Name: "serviceaccounts", Kind: "ServiceAccount", Namespaced: true},
		{Name: "secrets", Kind: "Secret", Namespaced: true},
		{Name: "services", Kind: "Service", Namespaced: true},
		{Name: "pods", Kind: "Pod", Namespaced: true},
		{Name: "nodes", Kind: "Node"},
		{Name: "persistentvolumes", Kind: "PersistentVolume"},
		{Name: "persistentvolumeclaims", Kind: "PersistentVolumeClaim", Namespaced: true},
	},
	{Group: "apps", Version: "v1"}: {
		{Name: "deployments", Kind: "Deployment", Namespaced: true},
		{Name: "replicasets", Kind: "ReplicaSet", Namespaced: true},
		{Name: "statefulsets", Kind: "StatefulSet", Namespaced: true},
		{Name: "daemonsets", Kind: "DaemonSet", Namespaced: true},
	},
	{Group: "discovery.k8s.io", Version: "v1"}: {{Name: "endpointslices", Kind: "EndpointSlice", Namespaced: true}},
	{Group: "rbac.authorization.k8s.io", Version: "v1"}: {
		{Name: "clusterroles", Kind: "ClusterRole"},
		{Name: "clusterrolebindings", Kind: "ClusterRoleBinding"},
		{Name: "roles", Kind: "Role", Namespaced: true},
		{Name: "rolebindings", Kind: "RoleBinding", Namespaced: true},
	},
	{Group: "policy", Version: "v1"}:                       {{Name: "poddisruptionbudgets", Kind: "PodDisruptionBudget", Namespaced: true}},
	{Group: "admissionregistration.k8s.io", Version: "v1"}: {{Name: "mutatingwebhookconfigurations", Kind: "MutatingWebhookConfiguration"}},
}

// DefaultIssuer is the issuer of the API server unless a test sets another.
const DefaultIssuer = "https://kubernetes.default.svc.cluster.local"

// New starts a fake, until the test ends.
func New(t *testing.T) *API {
	t.Helper()
	f := &API{
		t: t, Objects: map[string]runtime.Object{}, gone: map[string]int{},
		Denied: map[string]bool{}, FailAt: -1, Issuer: DefaultIssuer,
	}
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	f.Put("/api/v1/namespaces/default", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	return f
}

// Config is how clients reach the fake.
func (f *API) Config() *rest.Config { return &rest.Config{Host: f.server.URL, QPS: -1} }

// Kubeconfig is a file whose current context, of that name, is the fake.
func (f *API) Kubeconfig(t *testing.T, context string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":%q,
"contexts":[{"name":%[1]q,"context":{"cluster":"c-%[1]s","user":"u"}}],
"clusters":[{"name":"c-%[1]s","cluster":{"server":%q}}],"users":[{"name":"u","user":{}}]}`, context, f.server.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Put makes an object, as somebody else would.
func (f *API) Put(path string, o runtime.Object) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	f.Stamp(o)
	f.Objects[path] = o
}

// Stamp gives an object a new version, and says that a Deployment is ready.
func (f *API) Stamp(o runtime.Object) {
	f.version++
	m, err := meta.Accessor(o)
	if err != nil {
		f.t.Fatal(err)
	}
	m.SetResourceVersion(strconv.Itoa(f.version))
	if d, ok := o.(*appsv1.Deployment); ok { // kube-controller-manager is quick
		all := int32(1)
		if d.Spec.Replicas != nil {
			all = *d.Spec.Replicas
		}
		d.Status = appsv1.DeploymentStatus{Replicas: all, UpdatedReplicas: all, AvailableReplicas: all}
	}
}

// Node makes a node with an address, whose machine-id is "machine of NAME" and
// whose boot_id "boot".
func (f *API) Node(name, address string) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}
	n.Status.NodeInfo = corev1.NodeSystemInfo{MachineID: "machine of " + name, BootID: "boot"}
	f.Put("/api/v1/nodes/"+name, n)
}

// Took returns what has been written since the last time.
func (f *API) Took() []string {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	w := f.writes
	f.writes = nil
	return w
}

// Paths are those of all objects, sorted.
func (f *API) Paths() []string {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	return slices.Sorted(maps.Keys(f.Objects))
}

func (f *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if f.Away > 0 {
		f.Away--
		if f.Away == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack() // hang up
		if err != nil {
			f.t.Error(err)
			return
		}
		conn.Close()
		return
	}
	fail := f.FailAt == 0
	f.FailAt--
	if fail {
		f.Failed = true
	}
	if fail && !f.After {
		f.send(w, nil, apierrors.NewInternalError(fmt.Errorf("this request fails")))
		return
	}
	o, err := f.serve(r)
	if fail {
		err = apierrors.NewInternalError(fmt.Errorf("the answer to this request is lost"))
	}
	f.send(w, o, err)
}

func (f *API) send(w http.ResponseWriter, o any, err error) {
	code := http.StatusOK
	if err != nil {
		status, ok := err.(apierrors.APIStatus)
		if !ok {
			status = apierrors.NewInternalError(err)
		}
		s := status.Status()
		s.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		o, code = &s, int(s.Code)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(o); err != nil {
		f.t.Error(err)
	}
}

func notFound(path string) error {
	return apierrors.NewNotFound(schema.GroupResource{}, path)
}

func (f *API) serve(r *http.Request) (any, error) {
	path := r.URL.Path
	switch path {
	case "/readyz":
		return map[string]string{"major": "1", "minor": "37", "gitVersion": "v1.37.2"}, nil
	case "/version":
		return map[string]string{"gitVersion": f.GitVersion}, nil
	case "/openid/v1/jwks":
		if f.JWKS != nil {
			return f.JWKS, nil
		}
		return map[string]any{"keys": []any{}}, nil
	case "/.well-known/openid-configuration":
		if f.Issuer == "" {
			return nil, notFound(path)
		}
		return map[string]string{"issuer": f.Issuer}, nil
	case "/api":
		return &metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}, nil
	case "/apis":
		list := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		for gv := range served {
			if gv.Group != "" {
				v := metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: gv.Version}
				list.Groups = append(list.Groups, metav1.APIGroup{Name: gv.Group, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v})
			}
		}
		return list, nil
	case "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
		o, err := decode(r)
		if err != nil {
			return nil, err
		}
		review := o.(*authorizationv1.SelfSubjectAccessReview)
		key := ""
		if a := review.Spec.ResourceAttributes; a != nil {
			key = a.Verb + " " + a.Resource
		} else {
			key = review.Spec.NonResourceAttributes.Verb + " " + review.Spec.NonResourceAttributes.Path
		}
		review.Status.Allowed = !f.Denied[key]
		return typed(review, authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectAccessReview")), nil
	}
	return f.serveObjects(r)
}

// serveObjects answers about objects of the kinds that are [served].
func (f *API) serveObjects(r *http.Request) (any, error) {
	path := r.URL.Path
	parts := strings.Split(strings.Trim(path, "/"), "/")
	var gv schema.GroupVersion
	var base string
	switch {
	case len(parts) >= 2 && parts[0] == "api":
		gv, base, parts = schema.GroupVersion{Version: parts[1]}, "/api/"+parts[1], parts[2:]
	case len(parts) >= 3 && parts[0] == "apis":
		gv, base, parts = schema.GroupVersion{Group: parts[1], Version: parts[2]}, "/apis/"+parts[1]+"/"+parts[2], parts[3:]
	}
	resources, ok := served[gv]
	if !ok {
		return nil, notFound(path)
	}
	if len(parts) == 0 {
		list := &metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String()}
		for _, res := range resources {
			res.Verbs = metav1.Verbs{"create", "delete", "get", "list", "patch"}
			list.APIResources = append(list.APIResources, res)
		}
		return list, nil
	}
	namespace := ""
	if parts[0] == "namespaces" && len(parts) > 2 {
		namespace, parts = parts[1], parts[2:]
	}
	i := slices.IndexFunc(resources, func(res metav1.APIResource) bool { return res.Name == parts[0] })
	if i < 0 {
		return nil, notFound(path)
	}
	gvk := gv.WithKind(resources[i].Kind)
	if len(parts) == 3 && parts[0] == "serviceaccounts" && parts[2] == "token" && r.Method == http.MethodPost && f.Token != nil {
		return f.token(r, namespace, parts[1])
	}
	if len(parts) == 1 {
		if r.Method == http.MethodPost {
			return f.create(r, gvk, path, namespace)
		}
		return f.list(r, gvk, base, namespace, parts[0])
	}
	switch r.Method {
	case http.MethodGet:
		return f.get(path, gvk)
	case http.MethodPatch:
		return f.apply(r, gvk, path, namespace, parts[1])
	case http.MethodDelete:
		return f.Delete(path, gvk)
	}
	return nil, apierrors.NewMethodNotSupported(schema.GroupResource{Resource: parts[0]}, r.Method)
}

// token answers a TokenRequest that is bound to a pod, which must be there and of the
// service account.
func (f *API) token(r *http.Request, namespace, account string) (any, error) {
	o, err := decode(r)
	if err != nil {
		return nil, err
	}
	request := o.(*authenticationv1.TokenRequest)
	bound := request.Spec.BoundObjectRef
	if bound == nil || bound.Kind != "Pod" {
		return nil, apierrors.NewBadRequest("this API server gives tokens to pods alone")
	}
	sa, ok := f.Objects["/api/v1/namespaces/"+namespace+"/serviceaccounts/"+account].(*corev1.ServiceAccount)
	if !ok {
		return nil, notFound(account)
	}
	pod, ok := f.Objects["/api/v1/namespaces/"+namespace+"/pods/"+bound.Name].(*corev1.Pod)
	if !ok || pod.UID != bound.UID {
		return nil, notFound(bound.Name)
	}
	if pod.Spec.ServiceAccountName != account {
		return nil, apierrors.NewBadRequest("cannot bind token to pod running with different service account name")
	}
	request.Status.Token = f.Token(sa, pod, &request.Spec)
	return typed(request, authenticationv1.SchemeGroupVersion.WithKind("TokenRequest")), nil
}

// decode reads a body, as JSON or as protobuf, which typed clients prefer.
func decode(r *http.Request) (runtime.Object, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	o, _, err := scheme.Codecs.UniversalDeserializer().Decode(b, nil, nil)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return o, nil
}

// typed puts the kind into an object, which typed objects lack.
func typed(o runtime.Object, gvk schema.GroupVersionKind) runtime.Object {
	o = o.DeepCopyObject()
	o.GetObjectKind().SetGroupVersionKind(gvk)
	return o
}

// see counts down the life of a deleted object.
func (f *API) see(path string) {
	left, ok := f.gone[path]
	if !ok {
		return
	}
	if left > 0 {
		f.gone[path]--
		return
	}
	delete(f.gone, path)
	maps.DeleteFunc(f.Objects, func(p string, _ runtime.Object) bool {
		return p == path || strings.Contains(p, path+"/") || inNamespace(p, path)
	})
}

func inNamespace(object, namespacePath string) bool {
	name, ok := strings.CutPrefix(namespacePath, "/api/v1/namespaces/")
	return ok && strings.Contains(object, "/namespaces/"+name+"/")
}

func (f *API) get(path string, gvk schema.GroupVersionKind) (any, error) {
	f.see(path)
	o, ok := f.Objects[path]
	if !ok {
		return nil, notFound(path)
	}
	return typed(o, gvk), nil
}

func (f *API) list(r *http.Request, gvk schema.GroupVersionKind, base, namespace, resource string) (any, error) {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	items := []any{}
	for _, path := range slices.Sorted(maps.Keys(f.Objects)) {
		f.see(path)
		o, ok := f.Objects[path]
		parts := strings.Split(path, "/")
		if !ok || !strings.HasPrefix(path, base+"/") || parts[len(parts)-2] != resource {
			continue
		}
		m, err := meta.Accessor(o)
		if err != nil {
			return nil, err
		}
		if (namespace == "" || m.GetNamespace() == namespace) && selector.Matches(labels.Set(m.GetLabels())) {
			items = append(items, typed(o, gvk))
		}
	}
	return map[string]any{
		"apiVersion": gvk.GroupVersion().String(), "kind": gvk.Kind + "List", "metadata": map[string]any{}, "items": items,
	}, nil
}

// canWrite refuses writes to a namespace that is not there or about to go.
func (f *API) canWrite(namespace string) error {
	if namespace == "" {
		return nil
	}
	o, ok := f.Objects["/api/v1/namespaces/"+namespace]
	if !ok {
		return notFound(namespace)
	}
	if o.(*corev1.Namespace).DeletionTimestamp != nil {
		f.see("/api/v1/namespaces/" + namespace)
		err := apierrors.NewForbidden(schema.GroupResource{}, namespace, fmt.Errorf("the namespace is being terminated"))
		err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
		return err
	}
	return nil
}

func (f *API) create(r *http.Request, gvk schema.GroupVersionKind, path, namespace string) (any, error) {
	if err := f.canWrite(namespace); err != nil {
		return nil, err
	}
	o, err := decode(r)
	if err != nil {
		return nil, err
	}
	m, err := meta.Accessor(o)
	if err != nil {
		return nil, err
	}
	m.SetNamespace(namespace)
	if f.Admit != nil {
		f.Admit(o)
	}
	if r.URL.Query().Get("dryRun") == "All" {
		return typed(o, gvk), nil
	}
	path += "/" + m.GetName()
	if _, ok := f.Objects[path]; ok {
		return nil, apierrors.NewAlreadyExists(schema.GroupResource{Resource: gvk.Kind}, m.GetName())
	}
	f.Stamp(o)
	f.Objects[path] = o
	f.writes = append(f.writes, "create "+path)
	return typed(o, gvk), nil
}

func (f *API) apply(r *http.Request, gvk schema.GroupVersionKind, path, namespace, name string) (any, error) {
	if got := r.Header.Get("Content-Type"); got != "application/apply-patch+yaml" {
		return nil, apierrors.NewBadRequest("content type " + got)
	}
	if _, ok := f.Objects[path]; !ok { // as NamespaceLifecycle has it: updates go through
		if err := f.canWrite(namespace); err != nil {
			return nil, err
		}
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var patch unstructured.Unstructured
	if err := json.Unmarshal(b, &patch.Object); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	dry := r.URL.Query().Get("dryRun") == "All"
	if f.Meanwhile != nil && !dry {
		f.Meanwhile()
		f.Meanwhile = nil
	}
	live, ok := f.Objects[path]
	if !ok {
		if live, err = scheme.Scheme.New(gvk); err != nil {
			return nil, err
		}
	}
	live = typed(live, gvk)
	m, err := meta.Accessor(live)
	if err != nil {
		return nil, err
	}
	if m.GetDeletionTimestamp() != nil {
		f.t.Errorf("%s is applied while it is being deleted", path)
	}
	if v := patch.GetResourceVersion(); ok && v != "" && v != m.GetResourceVersion() { // of an object that is not there any version will do
		return nil, apierrors.NewConflict(schema.GroupResource{Resource: gvk.Kind}, name, fmt.Errorf("the object has been modified"))
	}
	m.SetNamespace(namespace)
	m.SetName(name)
	manager, err := managedfields.NewDefaultFieldManager(applyconfigurations.NewTypeConverter(scheme.Scheme),
		scheme.Scheme, scheme.Scheme, scheme.Scheme, gvk, gvk.GroupVersion(), "", nil)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	after, err := manager.Apply(live, &patch, q.Get("fieldManager"), q.Get("force") == "true")
	if err != nil {
		return nil, err
	}
	if d, isDeployment := after.(*appsv1.Deployment); isDeployment && ok {
		if was := live.(*appsv1.Deployment); !labels.Equals(was.Spec.Selector.MatchLabels, d.Spec.Selector.MatchLabels) {
			return nil, apierrors.NewInvalid(gvk.GroupKind(), name, nil)
		}
	}
	if dry {
		return typed(after, gvk), nil
	}
	f.Stamp(after)
	f.Objects[path] = after
	f.writes = append(f.writes, "apply "+path)
	if f.Applied != nil {
		f.Applied(path, after)
	}
	return typed(after, gvk), nil
}

// Delete answers a DELETE of a path. The lock must be held.
func (f *API) Delete(path string, gvk schema.GroupVersionKind) (any, error) {
	f.see(path)
	o, ok := f.Objects[path]
	if !ok {
		return nil, notFound(path)
	}
	f.writes = append(f.writes, "delete "+path)
	m, err := meta.Accessor(o)
	if err != nil {
		return nil, err
	}
	if gvk.Kind == "Namespace" {
		if m.GetDeletionTimestamp() != nil {
			return nil, apierrors.NewConflict(schema.GroupResource{Resource: "namespaces"}, m.GetName(), fmt.Errorf("it is being deleted"))
		}
		m.SetDeletionTimestamp(new(metav1.NewTime(time.Now())))
		f.gone[path] = f.Lingers
		return typed(o, gvk), nil
	}
	delete(f.Objects, path)
	return typed(o, gvk), nil
}
