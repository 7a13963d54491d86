package doctor

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/plan"
)

// webhook is link 7: that the API server can ask it, and would.
func (d *diagnosis) webhook() {
	const check = "webhook"
	w := d.Webhook
	if w.Err != nil {
		d.unknown(plan.Webhook, check, "%v", w.Err)
		return
	}
	hook := d.podHook()
	if hook == nil {
		d.broken(Finding{
			Link: plan.Webhook, Check: check,
			Summary:  "no webhook gives pods their role",
			Expected: "a MutatingWebhookConfiguration for pods", Found: "none", Fix: setup("up"),
		})
		return
	}
	name := w.Configuration.Name
	if service := hook.ClientConfig.Service; service != nil {
		where := service.Namespace + "/" + service.Name
		switch {
		case w.EndpointsErr != nil:
			d.unknown(plan.Webhook, check, "%v", w.EndpointsErr)
		case w.Endpoints == 0:
			d.broken(Finding{
				Link: plan.Webhook, Check: check,
				Summary:  "the webhook does not run: " + whenDown(hook),
				Expected: "a ready pod behind Service " + where, Found: "0 ready pods", Fix: setup("up"),
			})
			return
		case w.DialErr != nil:
			d.broken(Finding{
				Link: plan.Webhook, Check: check,
				Summary:  "the webhook does not answer: " + whenDown(hook),
				Expected: "a TLS server at Service " + where, Found: w.DialErr.Error(),
				Fix: kubectl(service.Namespace, "logs", "--selector", "app.kubernetes.io/name="+service.Name),
			})
			return
		case len(w.Certificates) > 0 && !d.certificates(hook):
			return
		}
	}
	if !d.admits(hook, name) || !d.follows() || !d.trial(hook) {
		return
	}
	if d.Namespace == "" {
		d.ok(plan.Webhook, check, "MutatingWebhookConfiguration %s asks for pods", name)
		return
	}
	d.ok(plan.Webhook, check, "MutatingWebhookConfiguration %s asks for pods of namespace %s", name, d.Namespace)
}

// webhookColumns shows whose services the webhooks of a cluster are.
const webhookColumns = "custom-columns=CONFIGURATION:.metadata.name,WEBHOOKS:.webhooks[*].name," +
	"SERVICES:.webhooks[*].clientConfig.service.name"

// trial checks what the API server itself makes of a pod.
func (d *diagnosis) trial(hook *admissionv1.MutatingWebhook) bool {
	t := d.Webhook.Trial
	switch {
	case t == nil || !d.associated() && irsa.CheckRoleARN(d.roleARN()) != nil:
		return true
	case t.Err != nil && failedWebhook(t.Err) == hook.Name:
		d.broken(Finding{
			Link: plan.Webhook, Check: "trial",
			Summary:  "the API server cannot call the webhook: " + whenDown(hook),
			Expected: "an answer of webhook " + hook.Name, Found: t.Err.Error(), Fix: setup("up"),
		})
		return false
	case t.Err != nil && failedWebhook(t.Err) != "":
		name := fmt.Sprintf("%q", failedWebhook(t.Err))
		d.broken(Finding{
			Link: plan.Webhook, Check: "trial",
			Summary:  "the API server cannot call webhook " + name + ", which has no part in this chain: no pod can be made until it answers",
			Expected: "an answer of webhook " + name, Found: t.Err.Error(),
			Fix: run("kubectl", "get", "mutatingwebhookconfigurations,validatingwebhookconfigurations", "--output", webhookColumns).
				noting("and see why the service of " + name + " does not answer"),
		})
		return false
	case t.Err != nil:
		d.unknown(plan.Webhook, "trial", "the API server would not make a pod to try it with: %v", t.Err)
		return true
	case d.associated():
		return d.associatedTrial()
	case t.RoleARN != d.roleARN():
		d.broken(Finding{
			Link: plan.Webhook, Check: "trial",
			Summary:  "the API server makes a pod of " + d.account() + " without the role",
			Expected: irsa.EnvRoleARN + "=" + d.roleARN(), Found: irsa.EnvRoleARN + "=" + t.RoleARN, Fix: setup("up"),
		})
		return false
	}
	return true
}

// failedWebhook is the name of the webhook that the API server could not call;
// "" if that is not why it refuses.
func failedWebhook(err error) string {
	_, rest, _ := strings.Cut(err.Error(), `failed calling webhook "`)
	name, _, _ := strings.Cut(rest, `"`)
	return name
}

// podHook is the webhook of the configuration that is asked about new pods of
// the namespace, or, where none is or no namespace is known, the first that is
// asked about pods; nil if there is none.
func (d *diagnosis) podHook() *admissionv1.MutatingWebhook {
	if d.Webhook.Configuration == nil {
		return nil
	}
	var first *admissionv1.MutatingWebhook
	for i := range d.Webhook.Configuration.Webhooks {
		hook := &d.Webhook.Configuration.Webhooks[i]
		switch {
		case !AsksForPods(hook):
		case d.Webhook.NamespaceLabels != nil && selects(hook, d.Webhook.NamespaceLabels):
			return hook
		case first == nil:
			first = hook
		}
	}
	return first
}

// AsksForNamespace reports whether some webhook of a configuration is asked about
// new pods of a namespace with these labels.
func AsksForNamespace(c *admissionv1.MutatingWebhookConfiguration, namespaceLabels map[string]string) bool {
	for i := range c.Webhooks {
		if AsksForPods(&c.Webhooks[i]) && selects(&c.Webhooks[i], namespaceLabels) {
			return true
		}
	}
	return false
}

// selects reports whether a webhook is asked about objects of a namespace with
// these labels. A selector that cannot be read selects everything.
func selects(hook *admissionv1.MutatingWebhook, namespaceLabels map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(orEverything(hook.NamespaceSelector))
	return err != nil || selector.Matches(labels.Set(namespaceLabels))
}

// AsksForPods reports whether the API server asks a webhook about new pods.
func AsksForPods(w *admissionv1.MutatingWebhook) bool {
	return slices.ContainsFunc(w.Rules, func(r admissionv1.RuleWithOperations) bool {
		return (slices.Contains(r.Operations, admissionv1.Create) || slices.Contains(r.Operations, admissionv1.OperationAll)) &&
			(slices.Contains(r.Resources, "pods") || slices.Contains(r.Resources, "*"))
	})
}

// whenDown says what happens to new pods while the webhook does not answer.
func whenDown(hook *admissionv1.MutatingWebhook) string {
	if hook.FailurePolicy != nil && *hook.FailurePolicy == admissionv1.Ignore {
		return "new pods come up without their role"
	}
	return "new pods are refused"
}

// certificates checks that the API server can verify the webhook by each entry of
// the configuration that is asked about pods by the same service as the hook,
// which is the first to be looked at.
func (d *diagnosis) certificates(hook *admissionv1.MutatingWebhook) bool {
	if !d.certificate(hook, hook.ClientConfig.Service) {
		return false
	}
	for i := range d.Webhook.Configuration.Webhooks {
		other := &d.Webhook.Configuration.Webhooks[i]
		s := other.ClientConfig.Service
		if !AsksForPods(other) || s == nil || s.Namespace != hook.ClientConfig.Service.Namespace || s.Name != hook.ClientConfig.Service.Name {
			continue
		}
		if !bytes.Equal(other.ClientConfig.CABundle, hook.ClientConfig.CABundle) && !d.certificate(other, other.ClientConfig.Service) {
			return false
		}
	}
	return true
}

// certificate checks what the API server checks of the webhook's certificate.
func (d *diagnosis) certificate(hook *admissionv1.MutatingWebhook, service *admissionv1.ServiceReference) bool {
	host := service.Name + "." + service.Namespace + ".svc"
	renew := Fix{Commands: slices.Concat(
		kubectl(service.Namespace, "delete", "secret", "webhook-tls").Commands,
		kubectl(service.Namespace, "rollout", "restart", "deployment", service.Name).Commands)}
	leaf := d.Webhook.Certificates[0]
	roots, rest := x509.NewCertPool(), x509.NewCertPool()
	if !roots.AppendCertsFromPEM(hook.ClientConfig.CABundle) {
		d.broken(Finding{
			Link: plan.Webhook, Check: "certificate",
			Summary:  "the configuration has no CA by which the API server could know the webhook for " + hook.Name,
			Expected: "a caBundle that has signed " + signer(leaf), Found: "no certificate in caBundle", Fix: renew,
		})
		return false
	}
	for _, c := range d.Webhook.Certificates[1:] {
		rest.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		DNSName: host, Roots: roots, Intermediates: rest, CurrentTime: d.Now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err == nil {
		return true
	}
	expected, found := "a certificate that the caBundle has signed", err.Error()
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		expected, found = "valid at "+stamp(d.Now), "valid from "+stamp(leaf.NotBefore)+" to "+stamp(leaf.NotAfter)
	} else if _, ok := errors.AsType[x509.HostnameError](err); ok {
		expected, found = "a certificate for "+host, "a certificate for "+join(leaf.DNSNames)
	} else if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		expected, found = "a certificate that the caBundle has signed", "a certificate of another CA, "+signer(leaf)
	}
	d.broken(Finding{
		Link: plan.Webhook, Check: "certificate",
		Summary:  "the API server does not trust the webhook's certificate for " + hook.Name + ": " + whenDown(hook),
		Expected: expected, Found: found, Fix: renew,
	})
	return false
}

// signer is who signed a certificate, as findings show it.
func signer(c *x509.Certificate) string { return fmt.Sprintf("%q", c.Issuer.String()) }

// admits checks that the webhook's selectors let pods of the namespace through
// to it.
func (d *diagnosis) admits(hook *admissionv1.MutatingWebhook, configuration string) bool {
	if d.Webhook.NamespaceLabels == nil || selects(hook, d.Webhook.NamespaceLabels) {
		return true
	}
	fix := run("kubectl", "edit", "mutatingwebhookconfiguration", configuration).
		noting("or move the service account out of namespace " + d.Namespace)
	if key, value, ok := neededLabel(hook.NamespaceSelector, d.Webhook.NamespaceLabels); ok {
		fix = run("kubectl", "label", "--overwrite", "namespace", d.Namespace, key+"="+value)
	} else if d.Webhook.Ours && slices.Contains(d.Webhook.Excluded, d.Namespace) {
		rest := slices.DeleteFunc(slices.Clone(d.Webhook.Excluded), func(ns string) bool { return ns == d.Namespace })
		fix = setup("up", "--exclude-namespaces", strings.Join(rest, ",")).
			noting("without " + d.Namespace + ", which an earlier one was told to exclude")
	} else if s := hook.ClientConfig.Service; d.Webhook.Ours && (s == nil || s.Namespace != d.Namespace) {
		fix = setup("up").noting("brings the configuration up to date")
	}
	selector := metav1.FormatLabelSelector(orEverything(hook.NamespaceSelector))
	d.broken(Finding{
		Link: plan.Webhook, Check: "selector",
		Summary:  "the webhook is not asked about pods of namespace " + d.Namespace,
		Expected: "labels that match " + selector, Found: "labels " + labels.Set(d.Webhook.NamespaceLabels).String(), Fix: fix,
	})
	return false
}

// orEverything is a selector, which selects everything if there is none.
func orEverything(s *metav1.LabelSelector) *metav1.LabelSelector {
	if s == nil {
		return &metav1.LabelSelector{}
	}
	return s
}

// neededLabel is a label that the selector wants and the namespace lacks.
func neededLabel(s *metav1.LabelSelector, have map[string]string) (key, value string, ok bool) {
	for _, k := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		if have[k] != s.MatchLabels[k] {
			return k, s.MatchLabels[k], true
		}
	}
	for _, e := range s.MatchExpressions {
		if e.Key == corev1.LabelMetadataName {
			continue // it is the namespace's name, and nobody can change it
		}
		if e.Operator == metav1.LabelSelectorOpIn && !slices.Contains(e.Values, have[e.Key]) && len(e.Values) > 0 {
			return e.Key, e.Values[0], true
		}
	}
	return "", "", false
}
