package chain_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	gocmp "github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/plan"
)

// up is a run that must succeed, and what it said.
func (w *world) up(o chain.UpOptions) (chain.Outcome, string) {
	w.Helper()
	o.Image, o.Wait = cmp.Or(o.Image, "registry.example/openirsa"), 10*time.Second
	var seen notes
	out, err := w.ch.Up(w.Context(), o, &seen)
	if err != nil {
		w.Fatalf("%v, after\n%s", err, seen.all())
	}
	return out, seen.all()
}

// names are the service accounts that have associations.
func (w *world) names() (all []string) {
	w.Helper()
	for _, a := range w.associations("", "") {
		all = append(all, a.ServiceAccount)
	}
	return all
}

func associationsOf(names ...string) (all []config.PodIdentityAssociation) {
	for _, name := range names {
		all = append(all, config.PodIdentityAssociation{
			Namespace: "default", ServiceAccountName: name, PermissionPolicyARNs: []string{readOnly}, CreateServiceAccount: true,
		})
	}
	return all
}

// Associations are made with the chain, in a cluster that EKS does not know before, stay, and go when they are not listed.
func TestUpWithAssociations(t *testing.T) {
	w := newWorld(t)
	if _, err := w.aws.UnregisterCluster("", "", "dev"); err != nil {
		t.Fatal(err)
	}
	w.ch.Record.PodIdentity = false
	both := chain.UpOptions{Associations: associationsOf("app", "other")}
	dry := both
	dry.DryRun = true
	if out, said := w.up(dry); !out.Changed || !strings.Contains(said, plan.Association+" "+plan.Planned) || len(w.roles()) > 0 {
		t.Errorf("the dry run says\n%s", said)
	}
	w.up(both)
	if got := w.names(); !slices.Equal(got, []string{"app", "other"}) {
		t.Errorf("associations of %q", got)
	}
	if out, said := w.up(both); out.Changed {
		t.Errorf("a second run changes something:\n%s", said)
	}
	w.up(chain.UpOptions{Associations: associationsOf("app")})
	if got := w.names(); len(got) != 2 {
		t.Errorf("without Prune associations of %q are left", got)
	}
	w.up(chain.UpOptions{Associations: associationsOf("app"), Prune: true})
	if got := w.names(); !slices.Equal(got, []string{"app"}) || slices.Contains(w.roles(), "openirsa-pods-dev-default-other") {
		t.Errorf("with Prune associations of %q, roles %q", got, w.roles())
	}
	if out, said := w.up(chain.UpOptions{Associations: associationsOf("app"), Prune: true}); out.Changed {
		t.Errorf("a second run with Prune changes something:\n%s", said)
	}
}

// EKS learns where the API server is, and of the agent; what somebody has registered and is not known here stays.
func TestUpRegisters(t *testing.T) {
	w := newWorld(t)
	_, err := w.aws.RegisterCluster(emulator.EKSCluster{
		Name: "dev", Region: emulatortest.Region, Issuer: w.iss.URL.String(), JWKS: w.api.JWKS, Endpoint: "https://former.example",
		CA: base64.StdEncoding.EncodeToString([]byte("a former one")), AgentVersion: "v0", Tags: map[string]string{"team": "a"},
	})
	w.must(err)
	var jwks map[string]any
	w.must(json.Unmarshal(w.api.JWKS, &jwks))
	want := map[string]any{
		"name": "dev", "account": w.aws.Account(), "region": emulatortest.Region, "issuer": w.iss.URL.String(), "jwks": jwks, "version": "1.37",
		"endpoint": w.api.Config().Host, "ipFamily": "ipv4", "certificateAuthority": base64.StdEncoding.EncodeToString([]byte("a former one")),
		"agentVersion": "v1.2.3", "tags": map[string]any{"team": "a"},
	}
	on := chain.UpOptions{PodIdentity: new(true), Image: "registry.example:5000/openirsa:v1.2.3"}
	w.up(on)
	if diff := gocmp.Diff(want, w.registered()); diff != "" {
		t.Error(diff)
	}
	if out, said := w.up(on); out.Changed {
		t.Errorf("a second run changes something:\n%s", said)
	}

	behind, err := url.Parse(w.api.Config().Host)
	w.must(err)
	server := httptest.NewTLSServer(httputil.NewSingleHostReverseProxy(behind))
	t.Cleanup(server.Close)
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	file := w.api.Kubeconfig(t, "dev")
	text, err := os.ReadFile(file)
	w.must(err)
	w.must(os.WriteFile(file, bytes.Replace(text, []byte(`"server":"`+behind.String()), []byte(`"certificate-authority-data":"`+ca+`","server":"`+server.URL), 1), 0o600))
	w.ch, err = chain.Open(t.Context(), chain.Options{Kubeconfig: file})
	w.must(err)
	on.Image = "registry.example:5000/openirsa@sha256:" + strings.Repeat("0", 64)
	w.up(on)
	want["endpoint"], want["certificateAuthority"], want["agentVersion"] = server.URL, ca, "sha256:"+strings.Repeat("0", 64)
	if diff := gocmp.Diff(want, w.registered()); diff != "" {
		t.Error(diff)
	}
}

// In a cluster with IPv6 alone pods reach the agent by IPv6, and EKS knows that.
func TestUpOnIPv6(t *testing.T) {
	for families, want := range map[corev1.IPFamily]string{
		corev1.IPv4Protocol: "ipv4", corev1.IPv6Protocol: "ipv6 --container-credentials-full-uri=http://[fd00:ec2::23]/v1/credentials",
	} {
		w := newWorld(t)
		w.api.Put("/api/v1/namespaces/default/services/kubernetes", &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"}, Spec: corev1.ServiceSpec{IPFamilies: []corev1.IPFamily{families}},
		})
		w.up(chain.UpOptions{PodIdentity: new(true)})
		w.api.Mu.Lock()
		webhook := w.api.Objects["/apis/apps/v1/namespaces/"+cluster.Namespace+"/deployments/webhook"].(*appsv1.Deployment)
		w.api.Mu.Unlock()
		got := []string{w.registered()["ipFamily"].(string)}
		for _, arg := range webhook.Spec.Template.Spec.Containers[0].Args {
			if strings.HasPrefix(arg, "--container-credentials-full-uri") {
				got = append(got, arg)
			}
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("with %s: %s, want %s", families, got, want)
		}
	}
}

// registered is all that the emulator knows of the cluster, which it tells the root user.
func (w *world) registered() (all map[string]any) {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), http.MethodGet, w.aws.URL+"/_openirsa/control/clusters/dev", nil)
	w.must(err)
	credentials, err := w.aws.Config().Credentials.Retrieve(w.Context())
	w.must(err)
	w.must(v4.NewSigner().SignHTTP(w.Context(), credentials, r, fmt.Sprintf("%x", sha256.Sum256(nil)), "eks", emulatortest.Region, time.Now()))
	response, err := http.DefaultClient.Do(r)
	w.must(err)
	defer response.Body.Close()
	w.must(json.NewDecoder(response.Body).Decode(&all))
	return all
}

// EKS Pod Identity goes without the rest of the chain, and only when no pod needs it; a run that was stopped is continued.
func TestUpWithoutPodIdentity(t *testing.T) {
	w := newWorld(t)
	w.up(chain.UpOptions{Associations: associationsOf("app")})
	off := chain.UpOptions{PodIdentity: new(false), Image: "registry.example/openirsa", Wait: 10 * time.Second}
	w.api.Took()
	_, err := w.ch.Up(t.Context(), off, nil)
	if e, ok := errors.AsType[*chain.AssociationsError](err); !ok || !slices.Equal(e.Accounts, []string{"default/app"}) || len(w.api.Took()) > 0 {
		t.Errorf("with an association: %v", err)
	}
	with := off
	with.Associations = associationsOf("app")
	if _, err := w.ch.Up(t.Context(), with, nil); err == nil || !strings.Contains(err.Error(), "needed for the associations") {
		t.Errorf("with associations that are asked for: %v", err)
	}
	off.Dissociate = true
	for links := 1; ; links++ { // each run gets one link further
		ch, err := chain.Open(t.Context(), chain.Options{Kubeconfig: w.api.Kubeconfig(t, "dev")})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err = ch.Up(ctx, off, &stopper{links: links, stop: cancel})
		cancel()
		if w.ch = ch; err == nil {
			break
		}
	}
	client := eks.NewFromConfig(w.aws.Config())
	if _, err := client.DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: new("dev")}); err == nil {
		t.Error("EKS still knows the cluster")
	}
	if roles := w.roles(); len(roles) > 0 || w.ch.Record.PodIdentity {
		t.Errorf("roles %q are left, record %v", roles, w.ch.Record.PodIdentity)
	}
	for _, path := range w.api.Paths() {
		if strings.Contains(path, "openirsa-agent") {
			t.Errorf("%s is left", path)
		}
	}
	if out, said := w.up(chain.UpOptions{}); out.Changed {
		t.Errorf("the next run changes something:\n%s", said)
	}
}
