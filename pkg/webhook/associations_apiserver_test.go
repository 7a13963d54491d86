package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awseks "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/openirsa/openirsa/internal/kubetest"
	"github.com/openirsa/openirsa/pkg/association"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/webhook"
)

// associationsAPI is ListPodIdentityAssociations over HTTP, which can be slow, or away.
type associationsAPI struct {
	*httptest.Server
	singles, lists atomic.Int32
	delay          atomic.Int64 // of each answer

	mu  sync.Mutex
	all [][2]string
}

func newAssociationsAPI(t testing.TB) *associationsAPI {
	a := new(associationsAPI)
	a.Server = httptest.NewServer(a)
	t.Cleanup(func() { a.CloseClientConnections(); a.Close() })
	return a
}

func (a *associationsAPI) add(namespace, account string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, [2]string{namespace, account})
}

func (a *associationsAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("namespace") != "" {
		a.singles.Add(1)
	} else if q.Get("nextToken") == "" {
		a.lists.Add(1)
	}
	a.mu.Lock()
	found := a.all
	if q.Get("namespace") != "" || q.Get("serviceAccount") != "" {
		found = nil
		for _, p := range a.all {
			if (q.Get("namespace") == "" || q.Get("namespace") == p[0]) && (q.Get("serviceAccount") == "" || q.Get("serviceAccount") == p[1]) {
				found = append(found, p)
			}
		}
	}
	a.mu.Unlock()
	select {
	case <-time.After(time.Duration(a.delay.Load())):
	case <-r.Context().Done():
		return
	}
	from, _ := strconv.Atoi(q.Get("nextToken"))
	to := min(len(found), from+100)
	var page []map[string]string
	for _, p := range found[from:to] {
		page = append(page, map[string]string{"clusterName": "c1", "namespace": p[0], "serviceAccount": p[1], "associationId": "a-00000000000000001",
			"associationArn": "arn:aws:eks:eu-west-1:111122223333:podidentityassociation/c1/a-00000000000000001"})
	}
	answer := map[string]any{"associations": page}
	if to < len(found) {
		answer["nextToken"] = strconv.Itoa(to)
	}
	json.NewEncoder(w).Encode(answer)
}

// client is a client of it.
func (a *associationsAPI) client(t testing.TB) *association.Client {
	t.Helper()
	env := map[string]string{"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": a.URL, "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
	c, err := association.FromEnvironment("c1", "openirsa-test/v1", func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// hooked is a cluster whose pods get what associations say.
type hooked struct {
	t            *testing.T
	client       kubernetes.Interface
	associations *webhook.Associations
}

// hookAssociations runs a webhook with these associations at a real API server.
func hookAssociations(t *testing.T, a *webhook.Associations) *hooked {
	t.Helper()
	server := kubetest.Start(t)
	meta, err := metadata.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	a.Excluded = []string{"kube-system", "openirsa-system"}
	d := &webhook.Directory{Metadata: meta, Grace: 2 * time.Second, Associations: a}
	follow(t, d)
	register(t, server.Client, &webhook.Handler{Lookup: d.Lookup})
	h := &hooked{t: t, client: server.Client, associations: a}
	h.account("default", "first", map[string]string{"eks.amazonaws.com/role-arn": roleA})
	eventually(t, "the webhook is called", func() bool { return h.given("default", "first") == irsa.EnvRoleARN })
	return h
}

func (h *hooked) account(namespace, name string, annotations map[string]string) {
	h.t.Helper()
	_, err := h.client.CoreV1().ServiceAccounts(namespace).Create(h.t.Context(), &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		h.t.Error(err)
	}
}

// given is the variable that says where a pod's identity comes from; "" if it has none.
func (h *hooked) given(namespace, account string) (variable string) {
	h.t.Helper()
	made, err := h.client.CoreV1().Pods(namespace).Create(h.t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: account + "-"},
		Spec:       corev1.PodSpec{ServiceAccountName: account, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		h.t.Errorf("a pod of %s/%s: %v", namespace, account, err)
		return ""
	}
	for _, e := range made.Spec.Containers[0].Env {
		if e.Name == irsa.EnvRoleARN || e.Name == irsa.EnvCredentialsURI {
			if variable != "" {
				h.t.Errorf("%s/%s has both", namespace, account)
			}
			variable = e.Name
		}
	}
	return variable
}

// together calls f with each number below n, 32 at a time.
func together(n int, f func(i int)) {
	var all sync.WaitGroup
	next := make(chan int)
	for range 32 {
		all.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
}

// thousand makes the service accounts app-0 to app-999, each with its association and, a
// moment later, its pod. None is missed.
func (h *hooked) thousand(associate func(name string)) {
	h.t.Helper()
	start := time.Now()
	var missed atomic.Int32
	together(1000, func(i int) {
		name := fmt.Sprint("app-", i)
		h.account("default", name, nil)
		associate(name)
		if got := h.given("default", name); got != irsa.EnvCredentialsURI {
			missed.Add(1)
			h.t.Errorf("%s: %q", name, got)
		}
	})
	h.t.Logf("1000 associations and pods in %s: %d missed", time.Since(start), missed.Load())
}

// TestAssociationsAtAPIServer: pods at a real API server get the association that was
// made a moment before them, however many there are, and those without one are not
// held up much.
func TestAssociationsAtAPIServer(t *testing.T) {
	api := newAssociationsAPI(t)
	h := hookAssociations(t, &webhook.Associations{List: api.client(t).List})

	h.account("default", "app", map[string]string{"eks.amazonaws.com/role-arn": roleB})
	if got := h.given("default", "app"); got != irsa.EnvRoleARN {
		t.Errorf("without an association: %q", got)
	}
	api.add("default", "app")
	time.Sleep(10 * time.Millisecond)
	if got := h.given("default", "app"); got != irsa.EnvCredentialsURI {
		t.Errorf("10 ms after the association: %q", got)
	}
	asked := api.singles.Load()
	if got := h.given("default", "app"); got != irsa.EnvCredentialsURI || api.singles.Load() != asked {
		t.Errorf("the second pod: %q, %d questions", got, api.singles.Load()-asked)
	}

	// 1000 associations, each with its service account and its pod.
	before, lists := api.singles.Load(), api.lists.Load()
	h.thousand(func(name string) { api.add("default", name) })
	t.Logf("%d questions, %d lists", api.singles.Load()-before, api.lists.Load()-lists)

	// A storm of pods without an association, of one service account.
	h.account("default", "plain", nil)
	h.given("default", "plain") // its age is known
	start := time.Now()
	before, lists = api.singles.Load(), api.lists.Load()
	together(500, func(int) {
		if got := h.given("default", "plain"); got != "" {
			t.Errorf("a plain pod: %q", got)
		}
	})
	questions, took := api.singles.Load()-before, time.Since(start)
	t.Logf("500 pods without an association in %s: %d questions, %d lists", took, questions, api.lists.Load()-lists)
	if most := int32(took/(500*time.Millisecond)) + 10; questions > most {
		t.Errorf("%d questions in %s, want at most %d", questions, took, most)
	}

	// The API is slow, and still waited for.
	api.delay.Store(int64(time.Second / 2))
	h.account("default", "slow", nil)
	api.add("default", "slow")
	if got := h.given("default", "slow"); got != irsa.EnvCredentialsURI {
		t.Errorf("with a slow API: %q", got)
	}
}

// TestAssociationsDownAtAPIServer: pods are admitted while the EKS API is away, those of
// known associations with them, and only the first waits.
func TestAssociationsDownAtAPIServer(t *testing.T) {
	api := newAssociationsAPI(t)
	api.add("default", "known")
	registry := newRegistry()
	h := hookAssociations(t, &webhook.Associations{List: api.client(t).List, Metrics: webhook.NewMetrics(registry)})
	eventually(t, "the association is known", func() bool { return h.associations.Number() == 1 })
	for _, name := range []string{"known", "plain"} {
		h.account("default", name, nil)
	}
	time.Sleep(4 * time.Second) // else pods wait because their service account is new
	api.CloseClientConnections()
	api.Close()
	const unknown, questions = "pod_identity_webhook_association_unknown_count", "pod_identity_webhook_association_question_count"
	if got := h.given("default", "known"); got != irsa.EnvCredentialsURI || metric(t, registry, unknown) != 0 {
		t.Errorf("one that is known: %q, %g without word", got, metric(t, registry, unknown))
	}
	start := time.Now()
	if got, took := h.given("default", "plain"), time.Since(start); got != "" || took < webhook.AskTime || metric(t, registry, unknown) != 1 {
		t.Errorf("the first: %q after %s, %g without word", got, took, metric(t, registry, unknown))
	}
	failed := metric(t, registry, questions, "failed")
	start = time.Now()
	together(100, func(int) {
		if got := h.given("default", "plain"); got != "" {
			t.Errorf("a plain pod: %q", got)
		}
	})
	took := time.Since(start)
	t.Logf("100 more in %s", took)
	if more := metric(t, registry, questions, "failed") - failed; took < 4*time.Second && more > 0 {
		t.Errorf("they waited for %g questions", more)
	}
	if n := metric(t, registry, unknown); n != 101 {
		t.Errorf("%g pods were counted", n)
	}
}

// TestAssociationsOfEmulator: pods get the association that the emulator's EKS API has
// made a moment before them, however many there are, and what the webhook injects then is
// what the emulator's EKS Auth takes, with a token of a real API server.
func TestAssociationsOfEmulator(t *testing.T) {
	aws := emulatortest.Start(t)
	role := aws.Role("app", aws.PodTrust("default", "app-0"))
	aws.PodIdentity("default", "app", role)
	env := map[string]string{"AWS_REGION": emulatortest.Region, "AWS_ENDPOINT_URL": aws.URL, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
	c, err := association.FromEnvironment(emulatortest.PodCluster, "openirsa-test/v1", func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	h := hookAssociations(t, &webhook.Associations{List: c.List})
	api := awseks.NewFromConfig(aws.Config())
	h.thousand(func(name string) {
		_, err := api.CreatePodIdentityAssociation(t.Context(), &awseks.CreatePodIdentityAssociationInput{
			ClusterName: new(emulatortest.PodCluster), Namespace: new("default"), ServiceAccount: &name, RoleArn: &role,
		})
		if err != nil {
			t.Errorf("the association of %s: %v", name, err)
		}
	})

	jwks, err := h.client.CoreV1().RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cluster := emulator.EKSCluster{Name: emulatortest.PodCluster, Region: emulatortest.Region, Issuer: kubetest.Issuer, JWKS: jwks}
	if _, err := aws.RegisterCluster(cluster); err != nil {
		t.Fatal(err)
	}
	pod, err := h.client.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "app-0"},
		Spec:       corev1.PodSpec{ServiceAccountName: "app-0", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	asked := pod.Spec.Volumes[0].Projected.Sources[0].ServiceAccountToken
	token, err := h.client.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "app-0", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences: []string{asked.Audience}, ExpirationSeconds: asked.ExpirationSeconds,
		BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	session, err := aws.PodSession(token.Status.Token)
	if err != nil {
		t.Fatal(err)
	}
	who, err := sts.NewFromConfig(session).GetCallerIdentity(t.Context(), nil)
	if err != nil || !strings.Contains(*who.Arn, ":assumed-role/app/eks-") {
		t.Errorf("%+v, %v", who, err)
	}
}

// A List that never ends, for a webhook that is ready all the same.
func TestAssociationsNeverReachable(t *testing.T) {
	c := newCluster(t)
	c.serviceAccount(t, "ns", "app", annotated(roleA))
	d := &webhook.Directory{Metadata: c.meta, Associations: &webhook.Associations{
		List: func(ctx context.Context, _, _ string, _ func(string, string)) error { <-ctx.Done(); return ctx.Err() },
	}}
	follow(t, d)
	if g, err := d.Lookup(t.Context(), "ns", "app"); err != nil || g.RoleARN != roleA || len(g.Warnings) != 1 {
		t.Errorf("%+v, %v", g, err)
	}
}
