package kube_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/openirsa/openirsa/internal/kube"
)

// api answers requests, METHOD and URL, with JSON, and others as the API server does
// for what it does not have.
func api(t *testing.T, answers map[string]string) *kube.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		body, ok := answers[r.Method+" "+r.URL.String()]
		switch {
		case !ok:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","message":"nothing there","code":404}`)
		case body == "":
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			fmt.Fprint(w, body)
		}
	}))
	t.Cleanup(server.Close)
	c, err := kube.New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestResource(t *testing.T) {
	const pod = `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"app","namespace":"shop","creationTimestamp":"2026-01-02T03:04:05Z"},` +
		`"spec":{"containers":[{"name":"main","resources":{"limits":{"memory":"64Mi"}}}]}}`
	c := api(t, map[string]string{
		"GET /api/v1/namespaces/shop/pods/app": pod,
		// In a list objects do not say what they are.
		"GET /api/v1/pods?continue=more&limit=1": `{"kind":"PodList","apiVersion":"v1","metadata":{"continue":"again"},"items":[{"metadata":{"name":"app"}}]}`,
		"GET /version":                           `{"minor":"37","gitVersion":"v1.37.2"}`,
	})
	got, err := c.Pods("shop").Get(t.Context(), "app", metav1.GetOptions{})
	if err != nil || got.Spec.Containers[0].Resources.Limits.Memory().Value() != 64<<20 || got.CreationTimestamp.Year() != 2026 {
		t.Errorf("%+v, %v", got, err)
	}
	list, err := c.Pods("").List(t.Context(), metav1.ListOptions{Limit: 1, Continue: "more"})
	if err != nil || list.Continue != "again" || len(list.Items) != 1 || list.Items[0].Name != "app" {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := c.Pods("shop").Get(t.Context(), "other", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("no such pod: %v", err)
	}
	if _, err := c.REST().Get().AbsPath("/none").DoRaw(t.Context()); !apierrors.IsNotFound(err) {
		t.Errorf("no such path: %v", err)
	}
	if v, err := c.Version(t.Context()); err != nil || v.Minor != "37" {
		t.Errorf("%+v, %v", v, err)
	}
}

// What is sent has its kind, and goes where the API server expects it.
func TestCreate(t *testing.T) {
	type request struct {
		method, url string
		body        map[string]any
	}
	var sent []request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := request{method: r.Method, url: r.URL.String()}
		if err := json.NewDecoder(r.Body).Decode(&got.body); err != nil {
			t.Error(err)
		}
		sent = append(sent, got)
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(got.body); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	c, err := kube.New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
	token, err := c.Tokens("shop").Create(t.Context(), &authenticationv1.TokenRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "app"}, Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"sts"}},
	}, metav1.CreateOptions{})
	if err != nil || token.Spec.Audiences[0] != "sts" {
		t.Errorf("%+v, %v", token, err)
	}
	account := &unstructured.Unstructured{Object: map[string]any{}}
	account.SetName("app")
	if _, err := c.ServiceAccounts("shop").Apply(t.Context(), account, metav1.ApplyOptions{FieldManager: "me"}); err != nil {
		t.Error(err)
	}
	for i, want := range []request{
		{"POST", "/api/v1/namespaces", map[string]any{"apiVersion": "v1", "kind": "Namespace"}},
		{"POST", "/api/v1/namespaces/shop/serviceaccounts/app/token", map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}},
		{"PATCH", "/api/v1/namespaces/shop/serviceaccounts/app?fieldManager=me&force=false", map[string]any{"apiVersion": "v1", "kind": "ServiceAccount"}},
	} {
		got := sent[i]
		if got.method != want.method || got.url != want.url || got.body["apiVersion"] != want.body["apiVersion"] || got.body["kind"] != want.body["kind"] {
			t.Errorf("sent %v, want %v", got, want)
		}
	}
	if account.GetKind() != "" {
		t.Error("Apply has changed its argument")
	}
}

func TestKinds(t *testing.T) {
	const listed = `"verbs":["list"]`
	answers := map[string]string{
		"GET /api/v1": `{"resources":[{"name":"pods/log","kind":"Pod"},{"name":"pods","kind":"Pod","namespaced":true,` + listed + `}]}`,
		"GET /apis": `{"groups":[
{"name":"apps","versions":[{"version":"v1beta1"},{"version":"v1"}],"preferredVersion":{"version":"v1"}},
{"name":"metrics.k8s.io","versions":[{"version":"v1"}],"preferredVersion":{"version":"v1"}}]}`,
		"GET /apis/apps/v1":           `{"resources":[{"name":"deployments","kind":"Deployment","namespaced":true}]}`,
		"GET /apis/apps/v1beta1":      `{"resources":[{"name":"deployments","kind":"Deployment"},{"name":"old","kind":"Old"}]}`,
		"GET /apis/metrics.k8s.io/v1": "",
	}
	c := api(t, answers)
	needed := ""
	all, err := c.Resources(t.Context(), func(group string) bool { return group == needed })
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range all {
		names = append(names, r.Group+"/"+r.Version+"/"+r.Name)
	}
	slices.Sort(names)
	if want := []string{"/v1/pods", "apps/v1/deployments", "apps/v1beta1/old"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	needed = "metrics.k8s.io"
	if _, err := c.Resources(t.Context(), func(group string) bool { return group == needed }); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("a group that is needed does not answer: %v", err)
	}

	o := &unstructured.Unstructured{}
	o.SetAPIVersion("apps/v1")
	o.SetKind("New")
	o.SetName("x")
	if _, err := c.For(t.Context(), o); !meta.IsNoMatchError(err) {
		t.Errorf("a kind that is not there: %v", err)
	}
	answers["GET /apis/apps/v1"] = `{"resources":[{"name":"news","kind":"New","namespaced":true}]}` // as a new CRD
	if _, err := c.For(t.Context(), o); err == nil || err.Error() != "New x has no namespace" {
		t.Errorf("a kind that is there now: %v", err)
	}
	o.SetNamespace("shop")
	delete(answers, "GET /apis/apps/v1") // it is not asked again
	if _, err := c.For(t.Context(), o); err != nil {
		t.Error(err)
	}
}
