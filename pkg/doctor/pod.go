package doctor

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

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
		d.broken(plan.Webhook, check, "no webhook gives pods their role", "a MutatingWebhookConfiguration for pods", "none", "SETUP up")
		return
	}
	name := w.Configuration.Name
	if service := hook.ClientConfig.Service; service != nil {
		where := service.Namespace + "/" + service.Name
		switch {
		case w.EndpointsErr != nil:
			d.unknown(plan.Webhook, check, "%v", w.EndpointsErr)
		case w.Endpoints == 0:
			d.broken(plan.Webhook, check, "the webhook does not run: "+whenDown(hook), "a ready pod behind Service "+where, "0 ready pods", "SETUP up")
			return
		case w.DialErr != nil:
			d.broken(plan.Webhook, check, "the webhook does not answer: "+whenDown(hook), "a TLS server at Service "+where, w.DialErr.Error(), fmt.Sprintf("kubectl --namespace %s logs --selector app.kubernetes.io/name=%s", service.Namespace, service.Name))
			return
		case len(w.Chain) > 0 && !d.certificates(hook):
			return
		}
	}
	if !d.admits(hook, name) || !d.trial(hook) {
		return
	}
	if d.Namespace == "" {
		d.ok(plan.Webhook, check, "MutatingWebhookConfiguration %s asks for pods", name)
		return
	}
	d.ok(plan.Webhook, check, "MutatingWebhookConfiguration %s asks for pods of namespace %s", name, d.Namespace)
}

// trial looks at what the API server itself made of a pod.
func (d *diagnosis) trial(hook *admissionv1.MutatingWebhook) bool {
	t := d.Webhook.Trial
	switch {
	case t == nil || irsa.CheckRoleARN(d.roleARN()) != nil:
		return true
	case t.Err != nil && failedWebhook(t.Err) == hook.Name:
		d.broken(plan.Webhook, "trial", "the API server cannot call the webhook: "+whenDown(hook), "an answer of webhook "+hook.Name, t.Err.Error(), "SETUP up")
		return false
	case t.Err != nil && failedWebhook(t.Err) != "":
		name := fmt.Sprintf("%q", failedWebhook(t.Err))
		d.broken(plan.Webhook, "trial", "the API server cannot call webhook "+name+", which has no part in this chain: no pod can be made until it answers", "an answer of webhook "+name, t.Err.Error(),
			"kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations --output 'custom-columns=CONFIGURATION:.metadata.name,WEBHOOKS:.webhooks[*].name,SERVICES:.webhooks[*].clientConfig.service.name'   # and see why the service of "+name+" does not answer")
		return false
	case t.Err != nil:
		d.unknown(plan.Webhook, "trial", "the API server would not make a pod to try it with: %v", t.Err)
		return true
	case t.RoleARN != d.roleARN():
		d.broken(plan.Webhook, "trial", "the API server makes a pod of "+d.account()+" without the role", irsa.EnvRoleARN+"="+d.roleARN(), irsa.EnvRoleARN+"="+t.RoleARN, "SETUP up")
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
// these labels. A selector that nobody can read is no reason to say no.
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
		if s := other.ClientConfig.Service; !AsksForPods(other) || s == nil || s.Namespace != hook.ClientConfig.Service.Namespace || s.Name != hook.ClientConfig.Service.Name {
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
	renew := fmt.Sprintf("kubectl --namespace %s delete secret webhook-tls && kubectl --namespace %[1]s rollout restart deployment %s", service.Namespace, service.Name)
	leaf := d.Webhook.Chain[0]
	roots, rest := x509.NewCertPool(), x509.NewCertPool()
	if !roots.AppendCertsFromPEM(hook.ClientConfig.CABundle) {
		d.broken(plan.Webhook, "certificate", "the configuration has no CA by which the API server could know the webhook for "+hook.Name, "a caBundle that has signed "+signer(leaf), "no certificate in caBundle", renew)
		return false
	}
	for _, c := range d.Webhook.Chain[1:] {
		rest.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: rest, CurrentTime: d.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
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
	d.broken(plan.Webhook, "certificate", "the API server does not trust the webhook's certificate for "+hook.Name+": "+whenDown(hook), expected, found, renew)
	return false
}

func signer(c *x509.Certificate) string { return fmt.Sprintf("%q", c.Issuer.String()) }

// admits checks that the webhook's selectors let pods of the namespace through
// to it.
func (d *diagnosis) admits(hook *admissionv1.MutatingWebhook, configuration string) bool {
	if d.Webhook.NamespaceLabels == nil || selects(hook, d.Webhook.NamespaceLabels) {
		return true
	}
	next := fmt.Sprintf("kubectl edit mutatingwebhookconfiguration %s   # or move the service account out of namespace %s", configuration, d.Namespace)
	if key, value, ok := neededLabel(hook.NamespaceSelector, d.Webhook.NamespaceLabels); ok {
		next = fmt.Sprintf("kubectl label --overwrite namespace %s %s=%s", d.Namespace, key, value)
	} else if d.Webhook.Ours && slices.Contains(d.Webhook.Excluded, d.Namespace) {
		rest := slices.DeleteFunc(slices.Clone(d.Webhook.Excluded), func(ns string) bool { return ns == d.Namespace })
		next = fmt.Sprintf("SETUP up --exclude-namespaces %s   # without %s, which an earlier one was told to exclude", quote(strings.Join(rest, ",")), d.Namespace)
	} else if s := hook.ClientConfig.Service; d.Webhook.Ours && (s == nil || s.Namespace != d.Namespace) {
		next = "SETUP up   # brings the configuration up to date"
	}
	selector := metav1.FormatLabelSelector(orEverything(hook.NamespaceSelector))
	d.broken(plan.Webhook, "selector", "the webhook is not asked about pods of namespace "+d.Namespace, "labels that match "+selector, "labels "+labels.Set(d.Webhook.NamespaceLabels).String(), next)
	return false
}

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

// pods checks the running pods of the service account.
func (d *diagnosis) pods() {
	const check = "pods"
	switch {
	case d.PodsErr != nil:
		d.unknown(Pod, check, "%v", d.PodsErr)
		return
	case d.PodName != "" && len(d.Pods) == 0:
		d.broken(Pod, check, "there is no such running pod of service account "+d.account(), d.Namespace+"/"+d.PodName, "none", fmt.Sprintf("kubectl --namespace %s get pods", d.Namespace))
		return
	case d.roleARN() == "":
		d.ignoredOnPods()
		d.unknown(Pod, check, "the service account has no role")
		return
	case len(d.Pods) == 0:
		d.unknown(Pod, check, "no pod of the service account runs")
		return
	}
	d.ignoredOnPods()
	good := 0
	for i := range d.Pods {
		if d.pod(&d.Pods[i]) {
			good++
		}
	}
	if good > 0 {
		d.ok(Pod, check, "%d of %d have the role and its token", good, len(d.Pods))
	}
}

// ignoredOnPods tells of annotations of pods that mean nothing, once for what made
// the pods.
func (d *diagnosis) ignoredOnPods() {
	told := map[[2]string]bool{}
	for i := range d.Pods {
		p := &d.Pods[i]
		for _, key := range slices.Sorted(maps.Keys(p.Annotations)) {
			mistakes, others := irsa.DefaultPrefix.IgnoredOnPod(map[string]string{key: ""})
			for _, why := range slices.Concat(mistakes, others) {
				if at := [2]string{template(p), key}; !told[at] {
					told[at] = true
					d.warn(Pod, "ignored annotation", "of pod "+p.Namespace+"/"+p.Name+", from "+template(p)+": "+why, "no annotation "+key, key, removeAnnotation(p, key))
				}
			}
		}
	}
}

// pod reports whether nothing is wrong with a pod.
func (d *diagnosis) pod(p *corev1.Pod) bool {
	name := p.Namespace + "/" + p.Name
	if _, skipped := p.Labels[irsa.SkipLabel]; skipped {
		add := d.warn
		if d.PodName == p.Name {
			add = d.broken
		}
		add(Pod, "skipped", "pod "+name+" asked to be left alone by the webhook", "no label "+irsa.SkipLabel, "label "+irsa.SkipLabel, restart(p)+"   # after the label is removed from the pod template")
		return false
	}
	skip, err := irsa.ParseSkip(p.Annotations[irsa.DefaultPrefix.SkipContainers()])
	if err != nil {
		skip = nil // as the webhook does
	}
	for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
		if slices.Contains(skip, c.Name) {
			continue
		}
		if !d.container(p, &c) {
			return false
		}
	}
	return true
}

// staticKey is the variable that SDKs prefer to the role. Container credentials,
// AWS_CONTAINER_CREDENTIALS_FULL_URI and its like, come after it in all of them.
const staticKey = irsa.EnvAccessKey

// profileVariables lead to profiles. Some SDKs, such as those for C++, JavaScript
// and Rust, look at these before the role, that for Python does at one which
// assumes a role itself, and those for Go and Java look after it.
var profileVariables = []string{"AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"}

func (d *diagnosis) container(p *corev1.Pod, c *corev1.Container) bool {
	what := fmt.Sprintf("container %s of pod %s/%s", c.Name, p.Namespace, p.Name)
	fail := func(check, summary, expected, found, next string) bool {
		d.broken(Pod, check, summary, expected, found, next)
		return false
	}
	arn, hasRole := env(c, irsa.EnvRoleARN)
	file, hasFile := env(c, irsa.EnvTokenFile)
	if !hasRole && !hasFile && reached(p) {
		d.warn(Pod, "missed", what+" has no role, and others in the pod have: it was added after the webhook was asked", irsa.EnvRoleARN+"="+d.roleARN(), "none",
			fmt.Sprintf("kubectl --namespace %s logs %s --container %s   # nothing is wrong if it does not call AWS", p.Namespace, p.Name, c.Name))
		return true
	}
	if !hasRole && !hasFile {
		return d.missed(p, what)
	}
	if arn != d.roleARN() {
		return fail("role of pod", what+" has another role than its service account: it is older than the annotation, or sets the variable itself", irsa.EnvRoleARN+"="+d.roleARN(), irsa.EnvRoleARN+"="+arn, restart(p))
	}
	if from := d.source(c, staticKey); from != "" {
		return fail("static keys", what+" has static keys, which AWS SDKs prefer to the role", "no "+staticKey, staticKey+" "+from, restart(p)+"   # after the variable is removed from the pod template")
	}
	for _, name := range profileVariables {
		if from := d.source(c, name); from != "" {
			d.warn(Pod, "profile", what+" is pointed to a profile, which some AWS SDKs prefer to the role, such as those for C++, JavaScript and Rust, and that for Python if the profile assumes a role", "no "+name, name+" "+from,
				restart(p)+"   # after the variable is removed from the pod template, unless the profile is meant")
			break
		}
	}
	if d.Endpoint != "" {
		if have, _ := env(c, irsa.EnvEndpointURL); have != d.Endpoint {
			return fail("endpoint", what+" calls another AWS than the one that the chain is in", irsa.EnvEndpointURL+"="+d.Endpoint, irsa.EnvEndpointURL+"="+have, restart(p))
		}
	}
	if strings.Contains(file, `\`) {
		return true // Windows, where mounts and users are others
	}
	mount := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return path.Clean(m.MountPath) == path.Dir(file) })
	if mount < 0 {
		return fail("token file", what+" has no token where the variable says", "a mount at "+path.Dir(file), mounts(c), restart(p))
	}
	if over := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return path.Clean(m.MountPath) == file }); over >= 0 {
		return fail("token file", what+" mounts a volume of its own over the token", "no mount at "+file, "volume "+c.VolumeMounts[over].Name,
			restart(p)+"   # after the mount at "+file+" is removed from "+template(p))
	}
	at := slices.IndexFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == c.VolumeMounts[mount].Name })
	if at < 0 || p.Spec.Volumes[at].Projected == nil {
		return fail("token file", what+" has something else than a token where the variable says: it mounts a volume of its own there", "a projected volume",
			"volume "+c.VolumeMounts[mount].Name, restart(p)+"   # after the mount at "+path.Dir(file)+" is removed from "+template(p))
	}
	for _, s := range p.Spec.Volumes[at].Projected.Sources {
		t := s.ServiceAccountToken
		if t == nil || t.Path != path.Base(file) {
			continue
		}
		if t.Audience != d.audience() {
			return fail("audience of pod", what+" has a token for another audience", "audience "+d.audience(), "audience "+t.Audience, restart(p))
		}
		return d.readable(p, c, p.Spec.Volumes[at].Projected, what)
	}
	return fail("token file", what+" has no token of that name in the volume", path.Base(file), "volume "+p.Spec.Volumes[at].Name, restart(p))
}

func env(c *corev1.Container, name string) (value string, ok bool) {
	i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name })
	if i < 0 {
		return "", false
	}
	return c.Env[i].Value, true
}

func mounts(c *corev1.Container) string {
	var all []string
	for _, m := range c.VolumeMounts {
		all = append(all, m.MountPath)
	}
	return "mounts at " + join(all)
}

// source says where a container gets a variable from; "" if it gets none. One
// that is empty is none, and hides that of envFrom.
func (d *diagnosis) source(c *corev1.Container, name string) string {
	if i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name }); i >= 0 {
		if c.Env[i].Value == "" && c.Env[i].ValueFrom == nil {
			return ""
		}
		return "in env"
	}
	for _, from := range c.EnvFrom {
		var source string
		switch {
		case from.SecretRef != nil:
			source = "Secret/" + from.SecretRef.Name
		case from.ConfigMapRef != nil:
			source = "ConfigMap/" + from.ConfigMapRef.Name
		}
		if slices.ContainsFunc(d.Bulk[source], func(key string) bool { return from.Prefix+key == name }) {
			return "by envFrom of " + source
		}
	}
	return ""
}

// reached reports whether some container of a pod has a role.
func reached(p *corev1.Pod) bool {
	return slices.ContainsFunc(slices.Concat(p.Spec.Containers, p.Spec.InitContainers), func(c corev1.Container) bool {
		_, ok := env(&c, irsa.EnvRoleARN)
		return ok
	})
}

// missed tells why a pod has nothing of the webhook's.
func (d *diagnosis) missed(p *corev1.Pod, what string) bool {
	made := p.CreationTimestamp.Time
	summary, expected := what+" has no role, although its service account has one", irsa.EnvRoleARN+"="+d.roleARN()
	found := "made at " + stamp(made) + ", while the webhook was not asked or did not answer"
	if c := d.Webhook.Configuration; c != nil && made.Before(c.CreationTimestamp.Time) {
		summary, expected, found = what+" is older than the webhook", "made after "+stamp(c.CreationTimestamp.Time), "made at "+stamp(made)
	} else if at := annotated(d.ServiceAccount); made.Before(at) {
		summary, expected, found = what+" is older than the service account's annotation", "made after "+stamp(at), "made at "+stamp(made)
	}
	d.broken(Pod, "missed", summary+": AWS SDKs in it take the node's credentials, or none", expected, found, restart(p))
	return false
}

// annotated is when a service account got its role, as far as its managed
// fields tell.
func annotated(sa *corev1.ServiceAccount) (at time.Time) {
	for _, f := range sa.ManagedFields {
		if f.Time != nil && f.FieldsV1 != nil && strings.Contains(string(f.FieldsV1.GetRawBytes()), `"f:`+irsa.DefaultPrefix.RoleARN()+`"`) && f.Time.After(at) {
			at = f.Time.Time
		}
	}
	return at
}

// readable checks that the user of a container may read its token. The rules
// are kubelet's (pkg/volume/projected and pkg/volume/util.FsUserFrom in
// Kubernetes): with an fsGroup the group may read it; if all containers run as
// one user that user owns it; otherwise it is root's, with the volume's mode.
// Before Kubernetes 1.19 it was root's with mode 0600, unless there was an
// fsGroup.
func (d *diagnosis) readable(p *corev1.Pod, c *corev1.Container, v *corev1.ProjectedVolumeSource, what string) bool {
	const others = 0o004
	if s := p.Spec.SecurityContext; s != nil && s.FSGroup != nil {
		return true
	}
	old := d.Minor > 0 && d.Minor < 19
	mode := int32(corev1.ProjectedVolumeSourceDefaultMode)
	if v.DefaultMode != nil {
		mode = *v.DefaultMode
	}
	if old {
		mode = 0o600
	} else if _, same := commonUser(p); same {
		return true
	}
	user, known := runsAs(p, c)
	if mode&others != 0 || known && user == 0 || !known && !mustNotBeRoot(p, c) {
		return true
	}
	who := "a user other than root"
	if known {
		who = fmt.Sprintf("user %d", user)
	}
	next := restart(p) + "   # after securityContext.fsGroup is set in the pod template"
	d.broken(Pod, "token readable", what+" may not read its token", "an fsGroup, or a token that "+who+" may read", fmt.Sprintf("mode %04o, owned by root, read as %s", mode, who), next)
	return false
}

// commonUser is the user of all containers, if they have one and the same.
func commonUser(p *corev1.Pod) (user int64, same bool) {
	for i, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		u, known := runsAs(p, &c)
		if !known || i > 0 && u != user {
			return 0, false
		}
		user = u
	}
	return user, true
}

// runsAs is the user that the pod asks for; not known if the image decides.
func runsAs(p *corev1.Pod, c *corev1.Container) (user int64, known bool) {
	if s := c.SecurityContext; s != nil && s.RunAsUser != nil {
		return *s.RunAsUser, true
	}
	if s := p.Spec.SecurityContext; s != nil && s.RunAsUser != nil {
		return *s.RunAsUser, true
	}
	return 0, false
}

func mustNotBeRoot(p *corev1.Pod, c *corev1.Container) bool {
	if s := c.SecurityContext; s != nil && s.RunAsNonRoot != nil {
		return *s.RunAsNonRoot
	}
	s := p.Spec.SecurityContext
	return s != nil && s.RunAsNonRoot != nil && *s.RunAsNonRoot
}

// maker is what made a pod, and made it so: the kind in lower case and the name.
// It is the pod itself if nothing did.
func maker(p *corev1.Pod) (kind, name string) {
	if len(p.OwnerReferences) == 0 {
		return "pod", p.Name
	}
	o := p.OwnerReferences[0]
	// A Deployment's ReplicaSet is called after it and the hash.
	if name, ok := strings.CutSuffix(o.Name, "-"+p.Labels["pod-template-hash"]); ok && o.Kind == "ReplicaSet" && p.Labels["pod-template-hash"] != "" {
		return "deployment", name
	}
	return strings.ToLower(o.Kind), o.Name
}

// template is where to change what a pod is like.
func template(p *corev1.Pod) string {
	kind, name := maker(p)
	if kind == "pod" {
		return "the pod itself"
	}
	return "the pod template of " + kind + " " + name
}

// removeAnnotation is the command that removes an annotation of a pod where it
// comes from.
func removeAnnotation(p *corev1.Pod, key string) string {
	namespace := "kubectl --namespace " + p.Namespace
	switch kind, name := maker(p); kind {
	case "pod":
		return namespace + " annotate pod " + name + " " + quote(key+"-")
	case "deployment", "statefulset", "daemonset", "replicaset":
		return fmt.Sprintf("%s patch %s %s --type json --patch %s", namespace, kind, name,
			quote(fmt.Sprintf(`[{"op":"remove","path":"/spec/template/metadata/annotations/%s"}]`, strings.NewReplacer("~", "~0", "/", "~1").Replace(key))))
	default:
		return namespace + " get " + kind + " " + name + " --output yaml   # and remove the annotation where it is made"
	}
}

// restart is the command that makes a pod anew, by what made it.
func restart(p *corev1.Pod) string {
	namespace := "kubectl --namespace " + p.Namespace
	remove := namespace + " delete pod " + p.Name
	switch kind, name := maker(p); kind {
	case "pod":
		return namespace + " get pod " + p.Name + " --output yaml >" + p.Name + ".yaml && " + remove + "   # and make it again"
	case "deployment", "statefulset", "daemonset":
		return namespace + " rollout restart " + kind + " " + name
	default:
		return remove
	}
}
