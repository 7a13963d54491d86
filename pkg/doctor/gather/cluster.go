package gather

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/irsa"
)

// webhook reads what asks for pods, and the certificate of what answers.
func (e *Examination) webhook(ctx context.Context, w *doctor.Webhook) {
	configurations, err := e.chain.Cluster.Client().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		w.Err = err
		return
	}
	for i, c := range configurations.Items {
		// Ours, or else the one that ours stands in for.
		if c.Name == deploy.WebhookConfiguration || w.Configuration == nil && strings.Contains(c.Name, "pod-identity") {
			w.Configuration = &configurations.Items[i]
		}
	}
	if w.Configuration == nil {
		return
	}
	w.Ours, w.Excluded = e.chain.Installed && w.Configuration.Name == deploy.WebhookConfiguration, e.chain.Record.ExcludeNamespaces
	i := slices.IndexFunc(w.Configuration.Webhooks, func(h admissionv1.MutatingWebhook) bool { return doctor.AsksForPods(&h) })
	if i < 0 || w.Configuration.Webhooks[i].ClientConfig.Service == nil {
		return
	}
	service := w.Configuration.Webhooks[i].ClientConfig.Service
	of := metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service.Name}
	slices, err := e.chain.Cluster.Client().EndpointSlices(service.Namespace).List(ctx, of)
	if err != nil {
		w.EndpointsErr = err
		return
	}
	w.Args = e.arguments(ctx, service.Namespace, service.Name)
	for _, s := range slices.Items {
		for _, endpoint := range s.Endpoints {
			if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
				w.Endpoints++
			}
		}
	}
	if w.Endpoints == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	port := 443
	if service.Port != nil {
		port = int(*service.Port)
	}
	addr, stop, err := e.chain.Cluster.Forward(ctx, service.Namespace, service.Name, port)
	if err != nil {
		w.DialErr = err
		return
	}
	defer stop()
	w.Certificates, w.DialErr = presented(ctx, addr, service.Name+"."+service.Namespace+".svc")
}

// arguments are those of the webhook's program, which runs in a Deployment that is called
// as its Service; nil if there is none.
func (e *Examination) arguments(ctx context.Context, namespace, name string) []string {
	d, err := e.chain.Cluster.Client().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil || len(d.Spec.Template.Spec.Containers) == 0 {
		return nil
	}
	c := d.Spec.Template.Spec.Containers[0]
	return append(append([]string{}, c.Command...), c.Args...)
}

// presented is the certificate chain that a TLS server sends; whether to trust
// it is decided elsewhere.
func presented(ctx context.Context, addr, host string) ([]*x509.Certificate, error) {
	dialer := tls.Dialer{Config: &tls.Config{ServerName: host, InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates, nil
}

// trial asks the API server what it would make of a pod of the service account.
// The pod is never made.
func (e *Examination) trial(ctx context.Context, f *doctor.Facts) *doctor.Trial {
	if f.ServiceAccount == nil || f.Webhook.Configuration == nil {
		return nil
	}
	made, err := e.chain.Cluster.TrialPod(ctx, f.Namespace, f.Name)
	if err != nil {
		return &doctor.Trial{Err: err}
	}
	t := &doctor.Trial{}
	for _, v := range made.Spec.Containers[0].Env {
		switch v.Name {
		case irsa.EnvRoleARN:
			t.RoleARN = v.Value
		case irsa.EnvCredentialsURI:
			t.CredentialsURI = v.Value
		}
	}
	return t
}

// pods reads the pods of the service account that have not ended, and the names
// of what they get by envFrom.
func (e *Examination) pods(ctx context.Context, f *doctor.Facts) {
	client := e.chain.Cluster.Client()
	list, err := client.Pods(f.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "spec.serviceAccountName=" + f.Name})
	if err != nil {
		f.PodsErr = err
		return
	}
	f.Bulk = map[string][]string{}
	for _, p := range list.Items {
		if ended(&p) || f.PodName != "" && p.Name != f.PodName {
			continue
		}
		f.Pods = append(f.Pods, p)
		for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
			for _, from := range c.EnvFrom {
				// Names only: values have no business here. Who may not read
				// them learns less.
				if ref := from.SecretRef; ref != nil {
					if s, err := client.Secrets(p.Namespace).Get(ctx, ref.Name, metav1.GetOptions{}); err == nil {
						f.Bulk["Secret/"+ref.Name] = names(s.Data)
					}
				}
				if ref := from.ConfigMapRef; ref != nil {
					if m, err := client.ConfigMaps(p.Namespace).Get(ctx, ref.Name, metav1.GetOptions{}); err == nil {
						f.Bulk["ConfigMap/"+ref.Name] = names(m.Data)
					}
				}
			}
		}
	}
}

func names[V any](m map[string]V) []string {
	var all []string
	for name := range m {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
