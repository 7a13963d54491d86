package association_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
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

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/association"
)

// aws is EKS and STS, as far as they are asked: it verifies every signature.
type aws struct {
	t       *testing.T
	secrets map[string]string // of access keys
	role    func(token string) (id string, expires time.Time)

	mu       sync.Mutex
	all      [][2]string
	requests []string // of EKS
	tokens   []string // of STS
	answers  []http.HandlerFunc
}

func (a *aws) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		a.assume(w, r)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, r.URL.RequestURI())
	sig, err := sigv4.Parse(r)
	if err != nil {
		a.t.Error(err)
	}
	secret, known := a.secrets[sig.AccessKeyID]
	if !known {
		refuse(w, http.StatusForbidden, "UnrecognizedClientException", "The security token included in the request is invalid.")
		return
	}
	var v sigv4.Verifier
	if _, err := v.Verify(r, &sig, secret, sigv4.EmptyPayload, time.Now()); err != nil || sig.Service != "eks" || sig.Region != "eu-west-1" {
		a.t.Errorf("the signature for %s in %s: %v", sig.Service, sig.Region, err)
	}
	if len(a.answers) > 0 {
		answer := a.answers[0]
		a.answers = a.answers[1:]
		answer(w, r)
		return
	}
	if r.URL.Path != "/base/clusters/c1/pod-identity-associations" {
		refuse(w, http.StatusNotFound, "ResourceNotFoundException", "No cluster found for name: c9.")
		return
	}
	a.list(w, r)
}

func (a *aws) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var found []map[string]any
	for _, p := range a.all {
		if (q.Get("namespace") == "" || q.Get("namespace") == p[0]) && (q.Get("serviceAccount") == "" || q.Get("serviceAccount") == p[1]) {
			found = append(found, map[string]any{"clusterName": "c1", "namespace": p[0], "serviceAccount": p[1], "associationId": "a-00000000000000001"})
		}
	}
	from, _ := strconv.Atoi(strings.TrimPrefix(q.Get("nextToken"), "+/="))
	to := min(len(found), from+100)
	answer := map[string]any{"associations": found[from:to], "nextToken": nil}
	if to < len(found) {
		answer["nextToken"] = "+/=" + strconv.Itoa(to)
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer)
}

func (a *aws) assume(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.Header.Get("Authorization") != "" {
		a.t.Errorf("%v, %v", err, r.Header)
	}
	token := r.PostForm.Get("WebIdentityToken")
	a.mu.Lock()
	a.tokens = append(a.tokens, token)
	a.mu.Unlock()
	if r.PostForm.Get("Action") != "AssumeRoleWithWebIdentity" || r.PostForm.Get("RoleArn") != "arn:aws:iam::123456789012:role/hook" ||
		r.PostForm.Get("RoleSessionName") != "openirsa-test" || r.URL.Path != "/base/" {
		a.t.Errorf("%s %v", r.URL.Path, r.PostForm)
	}
	if token == "bad" {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code><Message>No OpenIDConnect provider found</Message></Error></ErrorResponse>`)
		return
	}
	id, expires := a.role(token)
	fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>`+
		`<AccessKeyId>%s</AccessKeyId><SecretAccessKey>a/b+c</SecretAccessKey><SessionToken>st/+=</SessionToken><Expiration>%s</Expiration>`+
		`</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, id, expires.UTC().Format(time.RFC3339))
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Amzn-Errortype", code+":http://internal.amazon.com/")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"message": message})
}

// serve starts it, and returns a client with the environment given.
func (a *aws) serve(t *testing.T, environment map[string]string) *association.Client {
	t.Helper()
	a.t = t
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	env := map[string]string{"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": server.URL + "/base/"}
	maps.Copy(env, environment)
	c, err := association.FromEnvironment("c1", "openirsa-test/v1", func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var keys = map[string]string{"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s/e+c"}

func list(c *association.Client, namespace, account string) (all [][2]string, err error) {
	err = c.List(context.Background(), namespace, account, func(namespace, account string) { all = append(all, [2]string{namespace, account}) })
	return all, err
}

func TestList(t *testing.T) {
	a := &aws{secrets: map[string]string{"AKIAEXAMPLE": "s/e+c"}}
	for i := range 250 {
		a.all = append(a.all, [2]string{"ns-" + strconv.Itoa(i%7), "sa-" + strconv.Itoa(i)})
	}
	c := a.serve(t, keys)
	all, err := list(c, "", "")
	if diff := cmp.Diff(a.all, all); err != nil || diff != "" {
		t.Error(err, diff)
	}
	one, err := list(c, "ns-3", "sa-10")
	if diff := cmp.Diff([][2]string{{"ns-3", "sa-10"}}, one); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if none, err := list(c, "ns-3", "sa-11"); err != nil || none != nil {
		t.Error(none, err)
	}
	const path = "/base/clusters/c1/pod-identity-associations?maxResults=100"
	want := []string{path, path + "&nextToken=%2B%2F%3D100", path + "&nextToken=%2B%2F%3D200",
		path + "&namespace=ns-3&serviceAccount=sa-10", path + "&namespace=ns-3&serviceAccount=sa-11"}
	if diff := cmp.Diff(want, a.requests); diff != "" {
		t.Error(diff)
	}
}

// What may pass is tried again, and what is refused is not.
func TestListAgain(t *testing.T) {
	fail := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { refuse(w, status, code, "so it is") }
	}
	hang := func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }
	page := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>a proxy's page") }
	for name, c := range map[string]struct {
		answers []http.HandlerFunc
		calls   int
		want    string
	}{
		"its own fault":          {[]http.HandlerFunc{fail(500, "ServerException"), fail(503, "")}, 3, ""},
		"too many":               {[]http.HandlerFunc{fail(429, "TooManyRequestsException"), fail(400, "ThrottlingException")}, 3, ""},
		"a connection that ends": {[]http.HandlerFunc{hang, hang}, 3, ""},
		"another's answer":       {[]http.HandlerFunc{page}, 2, ""},
		"denied":                 {[]http.HandlerFunc{fail(403, "AccessDeniedException")}, 1, "listing the pod identity associations of cluster c1: AccessDeniedException: so it is"},
		"no code":                {[]http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) }}, 1, "it answers 418 I'm a teapot"},
		"redirect":               {[]http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }}, 1, "it answers 302 Found"},
		"code in the body": {[]http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			io.WriteString(w, `{"__type":"com.amazonaws.eks#ResourceNotFoundException","message":"No cluster found for name: c1."}`)
		}}, 1, "ResourceNotFoundException: No cluster found for name: c1."},
		"a page that is its own next one": {[]http.HandlerFunc{
			func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"nextToken":"x"}`) },
			func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"nextToken":"x"}`) },
		}, 2, "a page is its own next one"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &aws{secrets: map[string]string{"AKIAEXAMPLE": "s/e+c"}, all: [][2]string{{"a", "b"}}, answers: c.answers}
			all, err := list(a.serve(t, keys), "", "")
			if c.want == "" && (err != nil || len(all) != 1) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, %v", all, err)
			}
			if len(a.requests) != c.calls {
				t.Errorf("%d calls, want %d", len(a.requests), c.calls)
			}
		})
	}
}

// A server that does not answer is left at the end of the time, with what it said last.
func TestListInTime(t *testing.T) {
	a := &aws{secrets: map[string]string{"AKIAEXAMPLE": "s/e+c"}}
	for range 100 {
		a.answers = append(a.answers, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 503, "ServiceUnavailableException", "busy") })
	}
	c := a.serve(t, keys)
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := c.List(ctx, "", "", func(string, string) {})
	if took := time.Since(start); err == nil || !strings.Contains(err.Error(), "busy") || took > 3*time.Second || took < 300*time.Millisecond {
		t.Errorf("after %s: %v", took, err)
	}
	if n := len(a.requests); n < 3 || n > 8 {
		t.Errorf("%d tries", n)
	}
	if said, ok := errors.AsType[*association.Error](err); !ok || said.Status != 503 {
		t.Errorf("%#v", said)
	}
}

// Answers that are too large take no memory.
func TestListHuge(t *testing.T) {
	huge := func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"associations":[`)
		for range 64 {
			if _, err := io.WriteString(w, strings.Repeat(" ", 32<<10)); err != nil {
				return
			}
		}
	}
	a := &aws{secrets: map[string]string{"AKIAEXAMPLE": "s/e+c"}, answers: slices.Repeat([]http.HandlerFunc{huge}, 50)}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := a.serve(t, keys).List(ctx, "", "", func(string, string) {}); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Error(err)
	}
}

// The role's credentials are asked for once, with the token as it is then, again
// before they end, and when AWS refuses them.
func TestWebIdentity(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := &aws{secrets: map[string]string{"ASIA1": "a/b+c", "ASIA2": "a/b+c", "ASIA3": "a/b+c"}, all: [][2]string{{"a", "b"}}}
	life := time.Hour
	a.role = func(token string) (string, time.Time) { return "ASIA" + token, time.Now().Add(life) }
	c := a.serve(t, map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/hook", "AWS_WEB_IDENTITY_TOKEN_FILE": file})
	asked := func(want ...string) {
		t.Helper()
		all, err := list(c, "", "")
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		if diff := cmp.Diff(want, a.tokens); diff != "" {
			t.Error(diff)
		}
		a.tokens = nil
	}
	write("1")
	asked("1")
	write("2")
	asked()
	delete(a.secrets, "ASIA1") // as if it had started anew
	life = time.Minute         // which is too short to wait
	asked("2")
	write("3")
	asked() // that was a moment ago
	delete(a.secrets, "ASIA2")
	asked("3")

	write("bad")
	delete(a.secrets, "ASIA3")
	if _, err := list(c, "", ""); err == nil || !strings.Contains(err.Error(), "assuming role arn:aws:iam::123456789012:role/hook: InvalidIdentityToken: No OpenIDConnect provider found") {
		t.Error(err)
	}
}

// Many at once ask for the role's credentials once.
func TestWebIdentityTogether(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &aws{secrets: map[string]string{"ASIA1": "a/b+c"}, role: func(string) (string, time.Time) { return "ASIA1", time.Now().Add(time.Hour) }}
	c := a.serve(t, map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/hook", "AWS_WEB_IDENTITY_TOKEN_FILE": file})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := list(c, "", ""); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(a.tokens) != 1 {
		t.Errorf("%d calls of STS", len(a.tokens))
	}
}

func TestFromEnvironment(t *testing.T) {
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"associations":[]}`) }))
	defer server.Close()
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	made := func(cluster string, env ...string) (*association.Client, error) {
		return association.FromEnvironment(cluster, "p/v", func(name string) string {
			for _, e := range append(slices.Clip(env), "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "AWS_REGION=us-east-1") {
				if v, ok := strings.CutPrefix(e, name+"="); ok {
					return v
				}
			}
			return ""
		})
	}
	endpoint := func(want, region string, env ...string) {
		t.Helper()
		if c, err := made("c", env...); err != nil || c.Endpoint != want || c.Region != region {
			t.Errorf("%q: %+v, %v", env, c, err)
		}
	}
	endpoint("https://eks.us-east-1.amazonaws.com", "us-east-1")
	endpoint("https://eks.cn-north-1.amazonaws.com.cn", "cn-north-1", "AWS_REGION=", "AWS_DEFAULT_REGION=cn-north-1")
	endpoint("https://eks.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1", "AWS_REGION=us-isob-east-1")
	endpoint("http://e:1", "us-east-1", "AWS_ENDPOINT_URL=http://e:1")
	endpoint("http://e:2", "us-east-1", "AWS_ENDPOINT_URL=http://e:1", "AWS_ENDPOINT_URL_EKS=http://e:2", "AWS_ENDPOINT_URL_STS=http://e:3")
	endpoint("https://eks.us-east-1.amazonaws.com", "us-east-1", "AWS_ENDPOINT_URL=http://e:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true")
	reject := func(want, cluster string, env ...string) {
		t.Helper()
		if _, err := made(cluster, env...); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "password") {
			t.Errorf("%q: %v", env, err)
		}
	}
	reject("AWS_REGION is not set", "c", "AWS_REGION=")
	reject("is not a region", "c", "AWS_REGION=a.example/")
	reject("AWS_ENDPOINT_URL is not", "c", "AWS_ENDPOINT_URL=e:1")
	reject("AWS_ENDPOINT_URL_EKS is not", "c", "AWS_ENDPOINT_URL_EKS=http://u:password@e")
	reject("only one is set", "c", "AWS_ACCESS_KEY_ID=")
	reject("no credentials: set AWS_ROLE_ARN", "c", "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_ROLE_ARN=r")
	reject("reading AWS_CA_BUNDLE", "c", "AWS_CA_BUNDLE="+bundle+"x")
	for _, name := range []string{"", "-c", "c/d", "c.d", strings.Repeat("c", 101)} {
		reject("is not a name of a cluster", name)
	}
	c, err := made("c", "AWS_ENDPOINT_URL="+server.URL, "AWS_CA_BUNDLE="+bundle)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := list(c, "", ""); err != nil {
		t.Error(err)
	}
}
