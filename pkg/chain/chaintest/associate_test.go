package chaintest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/openirsa/openirsa/internal/kubefake"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/record"
)

// front is an API server with a webhook that learns of associations late.
type front struct {
	*kubefake.API
	asked atomic.Int64 // dry runs of pods
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/pods") {
		f.API.ServeHTTP(w, r)
		return
	}
	if r.URL.Query().Get("dryRun") != metav1.DryRunAll {
		http.Error(w, "a pod is made", http.StatusInternalServerError)
		return
	}
	pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}}}
	if f.asked.Add(1) > 1 {
		pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: fullURI, Value: "http://169.254.170.23/v1/credentials"}}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(pod)
}

// onFake is a chain of the cluster "emulatortest" on a fake API server, with an emulator outside it.
func onFake(t *testing.T, a *emulatortest.AWS) (*Chain, *front) {
	t.Helper()
	f := &front{API: kubefake.New(t)}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	put := func(path string, o runtime.Object) { f.Put("/api/v1/namespaces/"+path, o) }
	put("kube-system", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "uid"}})
	put(cluster.Namespace, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: cluster.Namespace}})
	put(cluster.Namespace+"/configmaps/openirsa", &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "openirsa", Namespace: cluster.Namespace},
		Data: record.Record{
			Cluster: emulatortest.PodCluster, Account: a.Account(), Partition: "aws", Region: emulatortest.Region, Endpoint: a.URL, PodIdentity: true,
			Location: record.Location{
				Issuer:   emulatortest.PodIssuer,
				Provider: "arn:aws:iam::" + a.Account() + ":oidc-provider/" + strings.TrimPrefix(emulatortest.PodIssuer, "https://"),
			},
		}.Encode(),
	})
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": a.URL, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_REGION": emulatortest.Region,
	} {
		t.Setenv(name, value)
	}
	kubeconfig := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
"clusters":[{"name":"c","cluster":{"server":%q}}],"users":[{"name":"u","user":{}}]}`, server.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ch, err := chain.Open(t.Context(), chain.Options{Kubeconfig: kubeconfig})
	if err != nil {
		t.Fatal(err)
	}
	return &Chain{Chain: ch}, f
}

// A service account has an association from Associate on, until its test ends.
func TestAssociate(t *testing.T) {
	a := emulatortest.Start(t)
	c, f := onFake(t, a)
	_, missing := errors.AsType[*chain.NoEKSError](c.associate(t.Context(), config.PodIdentityAssociation{
		Namespace: "default", ServiceAccountName: "app", PermissionPolicyARNs: []string{"arn:aws:iam::aws:policy/IAMReadOnlyAccess"},
	}))
	if !missing {
		t.Error("no error of its own for a chain without EKS Pod Identity")
	}
	if _, err := a.RegisterCluster(emulator.EKSCluster{Name: emulatortest.PodCluster, Region: emulatortest.Region, Issuer: emulatortest.PodIssuer}); err != nil {
		t.Fatal(err)
	}
	associations := func() (ids []string) {
		t.Helper()
		out, err := eks.NewFromConfig(a.Config()).ListPodIdentityAssociations(t.Context(), &eks.ListPodIdentityAssociationsInput{
			ClusterName: aws.String(emulatortest.PodCluster), Namespace: aws.String("default"), ServiceAccount: aws.String("app"),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range out.Associations {
			ids = append(ids, *a.AssociationId)
		}
		return ids
	}
	account := func() bool {
		f.Mu.Lock()
		defer f.Mu.Unlock()
		return f.Objects["/api/v1/namespaces/default/serviceaccounts/app"] != nil
	}
	t.Run("a test", func(t *testing.T) {
		c.Associate(t, "default", "app", "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
		first := associations()
		if len(first) != 1 || !account() || f.asked.Load() != 2 {
			t.Fatalf("associations %q, a service account: %v, %d pods", first, account(), f.asked.Load())
		}
		c.Associate(t, "default", "app", "arn:aws:iam::aws:policy/IAMReadOnlyAccess", emulatortest.Document(map[string]any{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}))
		if again := associations(); len(again) != 1 || again[0] != first[0] {
			t.Errorf("the second time %q, was %q", again, first)
		}
		// The role is for its pods, with what was said last.
		there, err := eks.NewFromConfig(a.Config()).DescribePodIdentityAssociation(t.Context(), &eks.DescribePodIdentityAssociationInput{
			ClusterName: aws.String(emulatortest.PodCluster), AssociationId: &first[0],
		})
		if err != nil {
			t.Fatal(err)
		}
		pod, err := a.PodSession(a.PodIdentity("default", "app", *there.Association.RoleArn))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := iam.NewFromConfig(pod).ListGroups(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if _, err := a.S3(pod).ListBuckets(t.Context(), nil); err == nil {
			t.Error("the pod may still list buckets")
		}
	})
	if left := associations(); len(left) > 0 || account() {
		t.Errorf("afterwards associations %q, a service account: %v", left, account())
	}
	roles, err := iam.NewFromConfig(a.Config()).ListRoles(t.Context(), nil)
	if err != nil || len(roles.Roles) > 0 {
		t.Errorf("afterwards %d roles, %v", len(roles.Roles), err)
	}
}

// A service account gets a role by its annotation only once no webhook takes it for one
// with an association any more.
func TestForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Chain{}
		c.left.Store("default/app", time.Now())
		time.Sleep(5 * time.Second)
		for _, wait := range []struct {
			account string
			least   time.Duration
		}{{"default/other", 0}, {"default/app", 7 * time.Second}, {"default/app", 0}} {
			began := time.Now()
			if err := c.forgotten(t.Context(), wait.account); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took != wait.least {
				t.Errorf("%s: %s, want %s", wait.account, took, wait.least)
			}
		}
	})
}
