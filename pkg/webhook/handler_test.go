package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/webhook"
)

func newRegistry() *prometheus.Registry { return prometheus.NewRegistry() }

// aReview is an AdmissionReview of the creation of a pod.
func aReview(pod string, change ...string) string {
	text := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1","kind":{"group":"","version":"v1","kind":"Pod"},` +
		`"resource":{"group":"","version":"v1","resource":"pods"},"namespace":"ns","operation":"CREATE","object":` + pod + `,"oldObject":null,"dryRun":false}}`
	return strings.NewReplacer(change...).Replace(text)
}

const aPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"serviceAccountName":"sa","containers":[{"name":"c","image":"i"}]}}`

// aPatch is what aPod lacks for aRole.
const aPatch = `[{"op":"add","path":"/spec/volumes","value":[{"name":"aws-iam-token","projected":{"sources":[{"serviceAccountToken":{"audience":"sts.amazonaws.com","expirationSeconds":86400,"path":"token"}}]}}]},` +
	`{"op":"add","path":"/spec/containers/0/env","value":[{"name":"AWS_ROLE_ARN","value":"arn:aws:iam::123456789012:role/orders"},{"name":"AWS_WEB_IDENTITY_TOKEN_FILE","value":"/var/run/secrets/eks.amazonaws.com/serviceaccount/token"}]},` +
	`{"op":"add","path":"/spec/containers/0/volumeMounts","value":[{"name":"aws-iam-token","readOnly":true,"mountPath":"/var/run/secrets/eks.amazonaws.com/serviceaccount"}]}]`

func TestHandler(t *testing.T) {
	lookup := func(_ context.Context, namespace, name string) (webhook.Grant, error) {
		if namespace != "ns" {
			return webhook.Grant{}, fmt.Errorf("namespace %q", namespace)
		}
		switch name {
		case "sa":
			return webhook.Grant{Identity: aRole}, nil
		case "warned":
			return webhook.Grant{Identity: aRole, Warnings: []string{"line\nbreak " + strings.Repeat("é", 200)}}, nil
		case "malformed":
			return webhook.Grant{}, &irsa.AnnotationError{Key: "eks.amazonaws.com/role-arn", Value: "x", Reason: "not an ARN"}
		case "unknown":
			return webhook.Grant{}, errors.New("the API server is away")
		}
		return webhook.Grant{}, nil
	}
	body := func(uid, rest string) string {
		return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"` + uid + `",` + rest + `}}`
	}
	patched := func() string {
		b, _ := json.Marshal([]byte(aPatch))
		return body("u1", `"allowed":true,"patch":`+string(b)+`,"patchType":"JSONPatch"`)
	}()
	asIs := body("u1", `"allowed":true`)
	type exchange struct {
		method, contentType, body string
		refuse                    bool
		code                      int
		want                      string
	}
	post := func(body string, code int, want string) exchange {
		return exchange{"POST", "application/json", body, false, code, want}
	}
	sa := func(name string) string {
		return aReview(aPod, `"serviceAccountName":"sa"`, `"serviceAccountName":"`+name+`"`)
	}
	for name, x := range map[string]exchange{
		"pod":                    post(aReview(aPod), 200, patched),
		"pod, v1beta1":           post(aReview(aPod, "admission.k8s.io/v1", "admission.k8s.io/v1beta1"), 200, strings.Replace(patched, "admission.k8s.io/v1", "admission.k8s.io/v1beta1", 1)),
		"pod, charset":           {"POST", "application/json; charset=utf-8", aReview(aPod), false, 200, patched},
		"pod without a role":     post(sa("none"), 200, asIs),
		"pod without an account": post(aReview(`{"metadata":{"name":"mirror"},"spec":{"containers":[{}]}}`), 200, asIs),
		"pod with unknown parts": post(aReview(aPod, `"uid":"u1"`, `"uid":"u1","future":{"object":[{}]}`, `"image":"i"`, `"image":"i","future":"\ud83d\ude00"`), 200, patched),
		"pod without a spec":     post(aReview(`{"metadata":{"name":"p"}}`), 200, asIs),
		"pod that is null":       post(aReview(`null`), 200, asIs),
		"warning":                post(sa("warned"), 200, strings.Replace(patched, `"patchType":"JSONPatch"`, `"patchType":"JSONPatch","warnings":["line break `+strings.Repeat("é", 121)+`..."]`, 1)),
		"malformed, admitted": post(sa("malformed"), 200,
			body("u1", `"allowed":true,"warnings":["the pod gets no AWS identity: service account malformed is malformed: eks.amazonaws.com/role-arn \"x\": not an ARN"]`)),
		"malformed, refused": {"POST", "application/json", sa("malformed"), true, 200,
			body("u1", `"allowed":false,"status":{"code":403,"reason":"Forbidden","message":"service account malformed is malformed: eks.amazonaws.com/role-arn \"x\": not an ARN"}`)},
		"nobody knows":            post(sa("unknown"), 500, "looking up service account ns/unknown: the API server is away\n"),
		"update":                  post(aReview(aPod, "CREATE", "UPDATE"), 200, asIs),
		"ephemeral containers":    post(aReview(aPod, `"namespace"`, `"subResource":"ephemeralcontainers","namespace"`), 200, asIs),
		"another kind":            post(aReview(`{"spec":{"containers":1}}`, `"kind":"Pod"`, `"kind":"Deployment"`), 200, asIs),
		"a Pod of another group":  post(aReview(aPod, `"kind":{"group":""`, `"kind":{"group":"example.com"`), 200, asIs),
		"containers not a list":   post(aReview(`{"spec":{"containers":"x"}}`), 200, body("u1", `"allowed":false,"status":{"code":400,"reason":"BadRequest","message":"reading the pod: at byte 22: '\"' where an array should be"}`)),
		"name not a string":       post(aReview(`{"spec":{"containers":[{"name":1}]}}`), 200, body("u1", `"allowed":false,"status":{"code":400,"reason":"BadRequest","message":"reading the pod: at byte 31: '1' where a string should be"}`)),
		"truncated":               post(aReview(aPod)[:200], 400, "reading the AdmissionReview: at byte 200: ends where a string should be\n"),
		"empty":                   post("", 400, "reading the AdmissionReview: at byte 0: ends where an object should be\n"),
		"something behind":        post(aReview(aPod)+"{}", 400, "reading the AdmissionReview: at byte 400: '{' where the end should be\n"),
		"another document":        post(`{"apiVersion":"v1","kind":"Pod"}`, 400, `kind "Pod" of "v1" is not an AdmissionReview of admission.k8s.io/v1 or v1beta1`+"\n"),
		"a version to come":       post(aReview(aPod, "admission.k8s.io/v1", "admission.k8s.io/v2"), 400, `kind "AdmissionReview" of "admission.k8s.io/v2" is not an AdmissionReview of admission.k8s.io/v1 or v1beta1`+"\n"),
		"no request":              post(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, 400, "the AdmissionReview has no request with a uid\n"),
		"no uid":                  post(aReview(aPod, `"uid":"u1",`, ``), 400, "the AdmissionReview has no request with a uid\n"),
		"not JSON by its header":  {"POST", "text/plain", aReview(aPod), false, 415, "an AdmissionReview is application/json\n"},
		"no header":               {"POST", "", aReview(aPod), false, 415, "an AdmissionReview is application/json\n"},
		"not sent":                {"GET", "application/json", "", false, 405, "an AdmissionReview comes by POST\n"},
		"huge":                    post(aReview(`"`+strings.Repeat("x", webhook.MaxReview)+`"`), 413, "an AdmissionReview of more than 7340032 bytes\n"),
		"nested without an end":   post(aReview(strings.Repeat("[", 100000)), 400, "reading the AdmissionReview: at byte 10234: nested deeper than 10000\n"),
		"twice the same object":   post(aReview(aPod, `"object":`, `"object":{"spec":{"containers":[{},{},{}]}},"object":`), 200, patched),
		"twice the same spec":     post(aReview(aPod, `"spec":`, `"spec":{"containers":[{},{}],"volumes":[]},"spec":`), 200, patched),
		"two volumes of our name": post(aReview(aPod, `"containers":`, `"volumes":[{"name":"aws-iam-token"},{"name":"aws-iam-token"}],"containers":`), 200, body("u1", `"allowed":true,"warnings":["the pod gets no AWS identity: its volume \"aws-iam-token\" is not the token for audience \"sts.amazonaws.com\""]`)),
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(x.method, "/mutate", strings.NewReader(x.body))
			if x.contentType != "" {
				r.Header.Set("Content-Type", x.contentType)
			}
			w := httptest.NewRecorder()
			h := &webhook.Handler{Lookup: lookup, RefuseMalformed: x.refuse}
			h.ServeHTTP(w, r)
			if w.Code != x.code {
				t.Errorf("code %d, want %d", w.Code, x.code)
			}
			if diff := cmp.Diff(x.want, w.Body.String()); diff != "" {
				t.Error(diff)
			}
			if w.Code == 200 && w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("content type %q", w.Header().Get("Content-Type"))
			}
		})
	}
}

func TestHandlerManyContainers(t *testing.T) {
	pod := strings.Replace(aPod, `[{"name":"c","image":"i"}]`, "["+strings.Repeat(`{"name":"c","image":"i","env":[]},`, 99)+`{"name":"c"}]`, 1)
	resp := admit(t, &webhook.Handler{Lookup: granting(aRole)}, aReview(pod))
	mutated := apply(t, []byte(pod), resp.Patch)
	if n := strings.Count(string(mutated), `"AWS_ROLE_ARN"`); n != 100 {
		t.Errorf("%d of 100 containers have a role", n)
	}
}

// admit sends a review and returns the response, as the API server would read
// it.
func admit(t testing.TB, h http.Handler, review string) *admissionv1.AdmissionResponse {
	t.Helper()
	r := httptest.NewRequest("POST", "/mutate", strings.NewReader(review))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	var answer admissionv1.AdmissionReview
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer.Response
}

func TestMetrics(t *testing.T) {
	registry := newRegistry()
	m := webhook.NewMetrics(registry)
	grant := webhook.Grant{Identity: aRole}
	var err error
	h := m.Instrument("/mutate", &webhook.Handler{Metrics: m, Lookup: func(context.Context, string, string) (webhook.Grant, error) { return grant, err }})
	admit(t, h, aReview(aPod))
	admit(t, h, aReview(aPod))
	grant = webhook.Grant{Credentials: true}
	admit(t, h, aReview(aPod))
	grant, err = webhook.Grant{}, &irsa.AnnotationError{}
	admit(t, h, aReview(aPod))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("BREW", "/mutate", nil))
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`http_request_count{code="200",path="/mutate",verb="POST"} 4`,
		`http_request_count{code="405",path="/mutate",verb="other"} 1`,
		`http_request_latencies_count{path="/mutate",verb="POST"} 4`,
		`http_request_duration_microseconds_count{path="/mutate",verb="POST"} 4`,
		`pod_identity_webhook_malformed_sa_count 1`,
		`pod_identity_webhook_missing_sa_count 0`,
		`pod_identity_webhook_pod_count{method="container_credentials"} 1`,
		`pod_identity_webhook_pod_count{method="sts_web_identity"} 2`,
	} {
		if !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("no %s in\n%s", want, w.Body)
		}
	}
	families, gatherErr := registry.Gather()
	if gatherErr != nil {
		t.Fatal(gatherErr)
	}
	var names []string
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "go_") && !strings.HasPrefix(f.GetName(), "process_") {
			names = append(names, f.GetName())
		}
	}
	if diff := cmp.Diff([]string{
		"certificate_manager_server_rotation_seconds", "http_request_count", "http_request_duration_microseconds", "http_request_latencies",
		"pod_identity_webhook_malformed_sa_count", "pod_identity_webhook_missing_sa_count", "pod_identity_webhook_pod_count", "pod_identity_webhook_used",
	}, names); diff != "" {
		t.Error(diff)
	}
}

func TestHealthy(t *testing.T) {
	for _, x := range []struct {
		check func() error
		code  int
		body  string
	}{
		{nil, 200, "ok"},
		{func() error { return nil }, 200, "ok"},
		{func() error { return errors.New("not yet") }, 503, "not yet\n"},
	} {
		w := httptest.NewRecorder()
		webhook.Healthy(x.check).ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
		if w.Code != x.code || w.Body.String() != x.body {
			t.Errorf("%d %q, want %d %q", w.Code, w.Body, x.code, x.body)
		}
	}
}

func FuzzHandler(f *testing.F) {
	f.Add([]byte(aReview(aPod)))
	f.Add([]byte(aReview(aPod, "CREATE", "UPDATE")))
	f.Add([]byte(aReview(aPod, `"containers":`, `"volumes":[{"name":"aws-iam-token"}],"containers":`)))
	f.Add([]byte(aReview(`{"spec":{"containers":[{"name":1}]}}`)))
	f.Add([]byte(aReview(aPod)[:200]))
	f.Add(realReview(f))
	h := &webhook.Handler{Lookup: granting(aRole), Settings: webhook.Settings{Region: "eu-west-1"}}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", "/mutate", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == 400 {
			return
		}
		if w.Code != 200 {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
		var answer admissionv1.AdmissionReview
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Response == nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
		var review admissionv1.AdmissionReview
		if err := json.Unmarshal(body, &review); err != nil || review.Request == nil {
			return // Kubernetes would not have sent it
		}
		if answer.Response.Patch != nil && !answer.Response.Allowed {
			t.Fatalf("a refusal with a patch: %s", w.Body)
		}
	})
}

// What is larger than any pod's review is refused, however few bytes it takes.
func TestHandlerBounds(t *testing.T) {
	h := &webhook.Handler{Lookup: granting(aRole)}
	list := func(n int, element string) string { return "[" + strings.Repeat(element+",", n-1) + element + "]" }
	containers := func(text string) string { return strings.Replace(aPod, `[{"name":"c","image":"i"}]`, text, 1) }
	for name, pod := range map[string]string{
		"containers": containers(list(1001, "{}")),
		"variables":  containers(`[{"env":` + list(20_000, "{}") + `}]`),
		"mounts":     containers(`[{"volumeMounts":` + list(20_000, "{}") + `}]`),
		"volumes":    strings.Replace(aPod, `"containers"`, `"volumes":`+list(20_001, "{}")+`,"containers"`, 1),
		"names":      containers(`[{"name":"` + strings.Repeat("x", 3<<20) + `"}]`),
	} {
		if resp := admit(t, h, aReview(pod)); resp.Allowed || resp.Result.Code != 400 || !strings.Contains(resp.Result.Message, "more than") {
			t.Errorf("%s: %+v", name, resp)
		}
	}
	if resp := admit(t, h, aReview(containers(list(1000, "{}")))); !resp.Allowed || resp.Patch == nil {
		t.Errorf("1000 containers: %+v", resp)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/mutate", strings.NewReader(aReview(aPod, `"u1"`, `"`+strings.Repeat("u", 300)+`"`)))
	r.Header.Set("Content-Type", "application/json")
	if h.ServeHTTP(w, r); w.Code != 400 {
		t.Errorf("a long uid: %d", w.Code)
	}
}

// Where bodies that do not end take all the memory, the oldest gives way, and is
// told so in a way that an API server understands; others are answered.
func TestHandlerGivesWay(t *testing.T) {
	server := httptest.NewServer(&webhook.Handler{Lookup: granting(aRole)})
	defer server.Close()
	first := make(chan *http.Response, 1)
	var held []*io.PipeWriter
	defer func() {
		for _, w := range held {
			w.Close()
		}
	}()
	for i := range 10 {
		body, w := io.Pipe()
		held = append(held, w)
		go func() {
			resp, err := http.Post(server.URL, "application/json", body)
			if err == nil && i == 0 {
				first <- resp
			} else if err == nil {
				resp.Body.Close()
			}
		}()
		w.Write(bytes.Repeat([]byte(" "), 6<<20))
	}
	var resp *http.Response
	select {
	case resp = <-first:
	case <-time.After(time.Minute): // net/http tells of a connection that was cut only once the body has ended
		t.Fatal("the oldest is told nothing")
	}
	defer resp.Body.Close()
	var status metav1.Status
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "1" || !apierrors.IsTooManyRequests(apierrors.FromObject(&status)) {
		t.Errorf("%s %+v", resp.Status, status)
	}
	big := aReview(aPod, `"dryRun":false`, `"dryRun":false,"x":"`+strings.Repeat("x", 1<<20)+`"`)
	answer, err := http.Post(server.URL, "application/json", strings.NewReader(big))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Errorf("a review that is all there: %s", answer.Status)
	}
}

// What people write on pods in vain they are told, and an Event of the service
// account tells those who make pods by a controller.
func TestHandlerTellsOfMistakes(t *testing.T) {
	c := newCluster(t)
	events := webhook.NewEvents(report(c.core()), nil)
	run(t, events)
	grant := webhook.Grant{UID: "uid-1"}
	h := &webhook.Handler{Events: events, Lookup: func(context.Context, string, string) (webhook.Grant, error) { return grant, nil }}
	const note = `"metadata":{"annotations":{"eks.amazonaws.com/role-arn":"x","eks.amazonaws.com/include-containers":"c"},"name":"p"}`
	pod := strings.Replace(aPod, `"metadata":{"name":"p"}`, note, 1)
	list := func() []corev1.Event {
		l, err := c.core().Events("ns").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return l.Items
	}
	resp := admit(t, h, aReview(pod, `"dryRun":false`, `"dryRun":true`))
	if len(resp.Warnings) != 2 || !strings.Contains(resp.Warnings[1], "role-arn means nothing on a pod; it belongs on the pod's service account") {
		t.Errorf("%q", resp.Warnings)
	}
	time.Sleep(20 * time.Millisecond)
	if all := list(); len(all) > 0 {
		t.Errorf("a dry run has effects: %+v", all)
	}
	for range 100 {
		admit(t, h, aReview(pod))
	}
	eventually(t, "an event", func() bool { return len(list()) > 0 })
	e := list()[0]
	if e.InvolvedObject.Kind != "ServiceAccount" || e.InvolvedObject.Name != "sa" || e.InvolvedObject.UID != "uid-1" || e.Reason != "IgnoredAnnotation" ||
		!strings.Contains(e.Message, "role-arn means nothing on a pod") || len(list()) != 1 {
		t.Errorf("%+v", e)
	}
	grant = webhook.Grant{} // nobody knows of such a service account
	admit(t, h, aReview(pod, `"sa"`, `"nobody"`))
	time.Sleep(20 * time.Millisecond)
	if len(list()) != 1 {
		t.Errorf("an event about a service account that may not be there: %+v", list())
	}
}

// What a default stands in for is refused where malformed service accounts are.
func TestHandlerRefusesDefaults(t *testing.T) {
	grant := webhook.Grant{Identity: aRole, Malformed: &irsa.AnnotationError{Key: "k", Value: "v", Reason: "r"}, Warnings: []string{"w"}}
	h := &webhook.Handler{Lookup: func(context.Context, string, string) (webhook.Grant, error) { return grant, nil }}
	if resp := admit(t, h, aReview(aPod)); !resp.Allowed || resp.Patch == nil || len(resp.Warnings) != 1 {
		t.Errorf("%+v", resp)
	}
	h.RefuseMalformed = true
	if resp := admit(t, h, aReview(aPod)); resp.Allowed || resp.Result.Code != 403 {
		t.Errorf("%+v", resp)
	}
}
