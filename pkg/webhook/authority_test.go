package webhook_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/pkg/webhook"
)

func aConfiguration() *admissionregistrationv1.MutatingWebhookConfiguration {
	service := func(name string) admissionregistrationv1.WebhookClientConfig {
		return admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{Namespace: "ns", Name: name}}
	}
	return &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "openirsa"},
		Webhooks: []admissionregistrationv1.MutatingWebhook{
			{Name: "a.example.com", ClientConfig: service("somebody-else")},
			{Name: "b.example.com", ClientConfig: service("webhook")},
			{Name: "c.example.com", ClientConfig: service("webhook")},
		},
	}
}

func anAuthority(c *cluster) *webhook.Authority {
	return &webhook.Authority{
		Secrets: c.core().Secrets("ns"), Secret: "tls", Configurations: c.configurations(), Configuration: "openirsa",
		Service: "webhook", Namespace: "ns",
	}
}

// caBundle is the one that the API server would verify with.
func caBundle(t testing.TB, c *cluster) []byte {
	t.Helper()
	o, err := c.configurations().Get(t.Context(), "openirsa", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if o.Webhooks[0].ClientConfig.CABundle != nil {
		t.Error("somebody else's caBundle was written")
	}
	if !bytes.Equal(o.Webhooks[1].ClientConfig.CABundle, o.Webhooks[2].ClientConfig.CABundle) {
		t.Error("two entries of ours have different caBundles")
	}
	return o.Webhooks[1].ClientConfig.CABundle
}

// verify is what an API server does with a serving certificate.
func verify(a *webhook.Authority, bundle []byte) error {
	c, err := a.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	_, err = c.Leaf.Verify(x509.VerifyOptions{DNSName: "webhook.ns.svc", Roots: roots, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err
}

// lateSecrets are read up to five seconds late.
type lateSecrets struct{ webhook.Secrets }

func (s lateSecrets) Get(ctx context.Context, name string, o metav1.GetOptions) (*corev1.Secret, error) {
	time.Sleep(rand.N(5 * time.Second))
	return s.Secrets.Get(ctx, name, o)
}

// TestRotation runs three replicas through nine lives of a CA, in a bubble
// whose time flies. Replicas are killed and started at random, and read the
// Secret up to five seconds late; API servers learn a caBundle up to fifteen
// seconds late. At no second does an API server meet a certificate that it
// cannot verify.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		if _, err := c.configurations().Create(t.Context(), aConfiguration(), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 1))
		metrics := newRegistry()
		counted := webhook.NewMetrics(metrics)
		start := func() (*webhook.Authority, func()) {
			a := anAuthority(c)
			a.Secrets = lateSecrets{a.Secrets}
			a.CALife, a.ServingLife, a.Settle, a.Metrics = 1000*time.Second, 100*time.Second, 20*time.Second, counted
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				a.Run(ctx)
				close(done)
			}()
			return a, func() { cancel(); <-done }
		}
		const replicas, late, seconds = 3, 15, 6000
		var running [replicas]*webhook.Authority
		var stop [replicas]func()
		for i := range replicas {
			running[i], stop[i] = start()
		}
		defer func() { // the bubble ends when nobody runs in it
			for _, f := range stop {
				f()
			}
		}()
		var bundles [][]byte // by second
		serving, cas := map[string]bool{}, map[string]bool{}
		unready := 0
		for second := range seconds {
			time.Sleep(time.Second)
			synctest.Wait()
			bundles = append(bundles, caBundle(t, c))
			if second < late+10 {
				continue
			}
			if r.IntN(100) == 0 {
				i := r.IntN(replicas)
				stop[i]()
				running[i], stop[i] = start()
				synctest.Wait()
			}
			for i, a := range running {
				if a.Ready() != nil {
					unready++ // so nobody calls it
					continue
				}
				for _, lag := range []int{0, r.IntN(late), late - 1} {
					if err := verify(a, bundles[second-lag]); err != nil {
						t.Fatalf("second %d: replica %d, an API server %d s behind: %v", second, i, lag, err)
					}
				}
				leaf, _ := a.GetCertificate(nil)
				serving[leaf.Leaf.SerialNumber.String()], cas[string(leaf.Leaf.AuthorityKeyId)] = true, true
			}
			if n := bytes.Count(bundles[second], []byte("BEGIN")); n > 3 {
				t.Fatalf("second %d: %d CAs are trusted", second, n)
			}
		}
		if unready > seconds/10 {
			t.Errorf("replicas were unready in %d of %d seconds", unready, replicas*seconds)
		}
		// A CA is replaced every 667+20 s, and its certificates every 67 s.
		if len(cas) != 9 || len(serving) < 85 || len(serving) > 110 {
			t.Errorf("%d CAs and %d certificates in %d s", len(cas), len(serving), seconds)
		}
		families, err := metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var rotations uint64
		for _, f := range families {
			if f.GetName() == "certificate_manager_server_rotation_seconds" {
				rotations = f.GetMetric()[0].GetHistogram().GetSampleCount()
			}
		}
		if rotations < 3*60 {
			t.Errorf("%d rotations of serving certificates counted", rotations)
		}
	})
}

// run starts an authority for a while of the bubble's time.
func runFor(t *testing.T, a *webhook.Authority, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := a.Run(ctx); err == nil || ctx.Err() == nil {
		t.Fatalf("Run ended with %v", err)
	}
}

func TestAuthorityRepairs(t *testing.T) {
	setup := func(t *testing.T) (*cluster, *webhook.Authority) {
		c := newCluster(t)
		if _, err := c.configurations().Create(t.Context(), aConfiguration(), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		a := anAuthority(c)
		runFor(t, a, time.Second)
		if err := verify(a, caBundle(t, c)); err != nil {
			t.Fatal(err)
		}
		return c, a
	}
	damage := func(name string, wantSameBundle bool, do func(t *testing.T, c *cluster)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, former := setup(t)
				before := caBundle(t, c)
				do(t, c)
				a := anAuthority(c)
				runFor(t, a, time.Second)
				after := caBundle(t, c)
				if err := verify(a, after); err != nil {
					t.Error(err)
				}
				if err := a.Ready(); err != nil {
					t.Error(err)
				}
				if bytes.Equal(before, after) != wantSameBundle {
					t.Errorf("bundle before:\n%safter:\n%s", before, after)
				}
				if err := verify(former, after); name == "CA key is lost" && err != nil {
					t.Errorf("another replica's certificate is no longer trusted: %v", err)
				}
			})
		})
	}
	secret := func(change func(data map[string][]byte)) func(*testing.T, *cluster) {
		return func(t *testing.T, c *cluster) {
			s, err := c.core().Secrets("ns").Get(t.Context(), "tls", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			change(s.Data)
			if _, err := c.core().Secrets("ns").Update(t.Context(), s, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	damage("nothing", true, func(*testing.T, *cluster) {})
	damage("caBundle is taken away", true, func(t *testing.T, c *cluster) {
		o, err := c.configurations().Get(t.Context(), "openirsa", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		o.Webhooks[1].ClientConfig.CABundle = nil
		if _, err := c.configurations().Update(t.Context(), o, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	damage("Secret is deleted", false, func(t *testing.T, c *cluster) {
		if err := c.core().Secrets("ns").Delete(t.Context(), "tls", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	damage("Secret is emptied", false, secret(func(data map[string][]byte) { clear(data) }))
	damage("serving certificate is garbage", true, secret(func(data map[string][]byte) { data["tls.crt"] = []byte("garbage") }))
	damage("serving key is of another certificate", true, secret(func(data map[string][]byte) { data["tls.key"] = data["ca.key"] }))
	damage("CA key is lost", false, secret(func(data map[string][]byte) { delete(data, "ca.key") }))
	damage("CA is a serving certificate", false, secret(func(data map[string][]byte) { data["ca.crt"], data["ca.key"] = data["tls.crt"], data["tls.key"] }))
	damage("old CAs are garbage", true, secret(func(data map[string][]byte) { data["old-ca.crt"] = []byte("garbage") }))
}

// While the configuration is being watched, what others write is put right at
// once, and a configuration that comes later is found.
func TestAuthorityFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		a := anAuthority(c)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			a.Run(ctx)
			close(done)
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		if err := a.Ready(); err != nil {
			t.Fatalf("without a configuration: %v", err) // or a Deployment could never come before it
		}
		if _, err := c.configurations().Create(t.Context(), aConfiguration(), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if err := verify(a, caBundle(t, c)); err != nil {
			t.Error(err)
		}
		cancel()
		<-done
	})
}

func TestAuthorityAfterYears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		if _, err := c.configurations().Create(t.Context(), aConfiguration(), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		runFor(t, anAuthority(c), time.Second)
		time.Sleep(3 * webhook.CALife)
		a := anAuthority(c)
		runFor(t, a, time.Second)
		if err := verify(a, caBundle(t, c)); err != nil {
			t.Error(err)
		}
		if n := strings.Count(string(caBundle(t, c)), "BEGIN"); n != 1 {
			t.Errorf("%d CAs are trusted", n)
		}
	})
}

func TestAuthorityLifetimes(t *testing.T) {
	a := anAuthority(newCluster(t))
	a.CALife, a.ServingLife, a.Settle = 30*time.Second, 9*time.Second, time.Second
	if err := a.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be replaced in time") {
		t.Errorf("got %v", err)
	}
}
