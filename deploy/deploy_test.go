package deploy_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/pkg/irsa"
)

var update = flag.Bool("update", false, "write the kustomize base anew from the chart")

func webhook(t *testing.T, p deploy.WebhookParams) []*unstructured.Unstructured {
	t.Helper()
	if p.Image == "" {
		p.Image = "openirsa.dev/openirsa:latest"
	}
	objects, err := deploy.Webhook(p)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func emulator(t *testing.T, p deploy.EmulatorParams) []*unstructured.Unstructured {
	t.Helper()
	if p.Image == "" {
		p.Image = "openirsa.dev/openirsa:latest"
	}
	objects, err := deploy.Emulator(p)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// find decodes the one object of a kind and name into its Go type, and fails
// on fields that the type does not have.
func find[T any](t *testing.T, objects []*unstructured.Unstructured, kind, name string) T {
	t.Helper()
	var v T
	for _, o := range objects {
		if o.GetKind() == kind && o.GetName() == name {
			if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, &v, true); err != nil {
				t.Fatalf("%s %s: %v", kind, name, err)
			}
			return v
		}
	}
	t.Fatalf("no %s %s", kind, name)
	return v
}

func TestEveryObjectIsValidAndLabelled(t *testing.T) {
	objects := slices.Concat(
		webhook(t, deploy.WebhookParams{Region: "eu-west-1", EndpointURL: "http://10.0.0.1:4566", RegionalSTS: true, WatchConfigMap: true, PodIdentity: deploy.PodIdentity{Cluster: "c1", RoleARN: "arn:aws:iam::123456789012:role/hook"}, IgnoreNamespaces: []string{"policies"}, ExcludeNamespaces: []string{"a"}, FailurePolicy: "Ignore", NoMatchConditions: true, APIServers: []string{"10.0.0.0/24"}, ExtraArgs: []string{"-v=4"}}),
		emulator(t, deploy.EmulatorParams{Path: "/var/lib/openirsa", Node: "kind-control-plane"}),
		emulator(t, deploy.EmulatorParams{}),
	)
	if len(objects) < 15 {
		t.Fatalf("only %d objects", len(objects))
	}
	for _, o := range objects {
		typed, err := scheme.Scheme.New(o.GroupVersionKind())
		if err != nil {
			t.Errorf("%s: %v", o.GetName(), err)
			continue
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, typed, true); err != nil {
			t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
		for label, want := range map[string]string{"app.kubernetes.io/part-of": "openirsa", "app.kubernetes.io/managed-by": "openirsa"} {
			if got := o.GetLabels()[label]; got != want {
				t.Errorf("%s %s: label %s is %q", o.GetKind(), o.GetName(), label, got)
			}
		}
	}
}

// The image is for Linux: a node of another system could only fail to run it.
func TestDeploymentsRunOnLinux(t *testing.T) {
	seen := 0
	for _, o := range slices.Concat(
		webhook(t, deploy.WebhookParams{}), emulator(t, deploy.EmulatorParams{}), emulator(t, deploy.EmulatorParams{Path: "/var/lib/openirsa", Node: "n1"}),
		issuerObjects(t, deploy.IssuerParams{}), publisherObjects(t, deploy.PublisherParams{Bucket: "b", Region: "eu-west-1"}),
		agentObjects(t, deploy.AgentParams{}),
	) {
		switch o.GetKind() {
		case "Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job", "CronJob", "Pod":
			seen++
			if system, _, _ := unstructured.NestedString(o.Object, "spec", "template", "spec", "nodeSelector", corev1.LabelOSStable); system != "linux" {
				t.Errorf("%s %s selects nodes of %q", o.GetKind(), o.GetName(), system)
			}
		}
	}
	// Each of the chart's, so that a new one does not go unseen.
	templates, _ := filepath.Glob("chart/templates/*.yaml")
	kinds := 0
	for _, file := range templates {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"Deployment", "DaemonSet"} {
			kinds += strings.Count("\n"+string(text), "\nkind: "+kind+"\n")
		}
		for _, other := range []string{"StatefulSet", "Job", "CronJob", "Pod"} {
			if strings.Contains("\n"+string(text), "\nkind: "+other+"\n") {
				t.Errorf("%s has a %s that this test does not look at", file, other)
			}
		}
	}
	if seen != kinds+1 { // the emulator was looked at twice
		t.Errorf("%d were looked at, the chart has %d", seen-1, kinds)
	}
}

// The restricted Pod Security profile, as its documentation lists it.
func TestPodsAreRestricted(t *testing.T) {
	for name, objects := range map[string][]*unstructured.Unstructured{
		"webhook":  webhook(t, deploy.WebhookParams{}),
		"emulator": emulator(t, deploy.EmulatorParams{Path: "/var/lib/openirsa", Node: "n"}),
	} {
		pod := find[appsv1.Deployment](t, objects, "Deployment", name).Spec.Template.Spec
		ns := find[corev1.Namespace](t, objects, "Namespace", "openirsa-system")
		if ns.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
			t.Errorf("%s: namespace labels %v", name, ns.Labels)
		}
		if pod.HostNetwork || pod.HostPID || pod.HostIPC {
			t.Errorf("%s: uses the node's namespaces", name)
		}
		if c := pod.SecurityContext; c == nil || !*c.RunAsNonRoot || *c.RunAsUser == 0 || c.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: pod security context %+v", name, c)
		}
		for _, v := range pod.Volumes {
			if v.PersistentVolumeClaim == nil {
				t.Errorf("%s: volume %s is of a kind that the profile forbids or nobody checked", name, v.Name)
			}
		}
		for _, c := range pod.Containers {
			s := c.SecurityContext
			if *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
				t.Errorf("%s: container security context %+v", name, s)
			}
		}
	}
}

func TestWebhookConfiguration(t *testing.T) {
	objects := webhook(t, deploy.WebhookParams{Namespace: "elsewhere", ExcludeNamespaces: []string{"flannel"}})
	last := objects[len(objects)-1]
	if last.GetKind() != "MutatingWebhookConfiguration" || last.GetName() != deploy.WebhookConfiguration {
		t.Errorf("the last object is %s %s: pods would be refused before anybody answers", last.GetKind(), last.GetName())
	}
	if objects[0].GetKind() != "Namespace" {
		t.Errorf("the first object is %s", objects[0].GetKind())
	}
	c := find[admissionregistrationv1.MutatingWebhookConfiguration](t, objects, "MutatingWebhookConfiguration", deploy.WebhookConfiguration)
	// By Microsoft's documentation of AKS ("Can admission controller webhooks impact kube-system and internal AKS namespaces?").
	if c.Annotations["admissions.enforcer/disabled"] != "true" {
		t.Errorf("AKS takes kube-system out of the selectors: annotations %v", c.Annotations)
	}
	names := map[string]bool{}
	for _, w := range c.Webhooks {
		names[w.Name] = true
		if w.ClientConfig.CABundle != nil {
			t.Errorf("%s: the manifest claims the caBundle, which is the program's", w.Name)
		}
		if s := w.ClientConfig.Service; s.Namespace != "elsewhere" || s.Name != deploy.WebhookName {
			t.Errorf("%s calls %s/%s", w.Name, s.Namespace, s.Name)
		}
		if key := w.ObjectSelector.MatchExpressions[0].Key; key != irsa.SkipLabel {
			t.Errorf("%s: opt-out label %q", w.Name, key)
		}
		if *w.ReinvocationPolicy != admissionregistrationv1.IfNeededReinvocationPolicy || *w.SideEffects != admissionregistrationv1.SideEffectClassNoneOnDryRun || *w.TimeoutSeconds > 5 {
			t.Errorf("policies %+v", w)
		}
		if *w.FailurePolicy == admissionregistrationv1.Ignore && *w.TimeoutSeconds > 2 {
			t.Errorf("%s: pods that never wait wait %d s", w.Name, *w.TimeoutSeconds)
		}
	}
	if len(names) != 3 || len(c.Webhooks) != 3 || !names[deploy.PodWebhook] {
		t.Errorf("webhooks %v", names)
	}
}

// policies are the failure policies of the entries that ask about the pods of a namespace, by their selectors alone.
func policies(t *testing.T, c admissionregistrationv1.MutatingWebhookConfiguration, namespace string) (all []string) {
	t.Helper()
	for _, w := range c.Webhooks {
		selector, err := metav1.LabelSelectorAsSelector(w.NamespaceSelector)
		if err != nil {
			t.Fatal(err)
		}
		if selector.Matches(labels.Set{corev1.LabelMetadataName: namespace}) {
			all = append(all, w.Name+" "+string(*w.FailurePolicy))
		}
	}
	return all
}

// Every namespace but the webhook's own is served, and those that a cluster needs to come up never wait.
func TestWhoWaitsForTheWebhook(t *testing.T) {
	const fail, ignore, host = "pod-identity.openirsa.dev Fail", "pod-identity-system.openirsa.dev Ignore", "pod-identity-host-network.openirsa.dev Ignore"
	configuration := func(p deploy.WebhookParams) admissionregistrationv1.MutatingWebhookConfiguration {
		t.Helper()
		return find[admissionregistrationv1.MutatingWebhookConfiguration](t, webhook(t, p), "MutatingWebhookConfiguration", deploy.WebhookConfiguration)
	}
	for _, test := range []struct {
		p         deploy.WebhookParams
		namespace string
		want      []string
	}{
		{deploy.WebhookParams{}, "default", []string{fail, host}},
		{deploy.WebhookParams{}, "kube-system", []string{ignore}},
		{deploy.WebhookParams{}, "openirsa-system", nil},
		{deploy.WebhookParams{}, "kube-flannel", []string{ignore}},
		{deploy.WebhookParams{}, "calico-system", []string{ignore}},
		{deploy.WebhookParams{}, "tigera-operator", []string{ignore}},
		{deploy.WebhookParams{}, "cilium", []string{ignore}},
		{deploy.WebhookParams{}, "kyverno", []string{ignore}},
		{deploy.WebhookParams{Namespace: "kube-system"}, "kube-system", []string{ignore}},
		{deploy.WebhookParams{Namespace: "elsewhere"}, "elsewhere", nil},
		{deploy.WebhookParams{Namespace: "elsewhere"}, "openirsa-system", []string{fail, host}},
		{deploy.WebhookParams{Namespace: "elsewhere", IgnoreNamespaces: []string{"elsewhere"}}, "elsewhere", []string{ignore}},
		{deploy.WebhookParams{FailurePolicy: "Ignore"}, "default", []string{"pod-identity.openirsa.dev Ignore", host}},
		{deploy.WebhookParams{IgnoreNamespaces: []string{"policies"}}, "policies", []string{ignore}},
		{deploy.WebhookParams{IgnoreNamespaces: []string{"policies"}}, "kube-system", []string{ignore}},
		{deploy.WebhookParams{ExcludeNamespaces: []string{"secret"}}, "secret", nil},
		{deploy.WebhookParams{ExcludeNamespaces: []string{"secret"}}, "default", []string{fail, host}},
		{deploy.WebhookParams{ExcludeNamespaces: []string{"kube-system"}}, "kube-system", nil},
		{deploy.WebhookParams{NoMatchConditions: true}, "default", []string{fail}},
		{deploy.WebhookParams{NoMatchConditions: true}, "kube-system", []string{ignore}},
	} {
		if diff := cmp.Diff(test.want, policies(t, configuration(test.p), test.namespace)); diff != "" {
			t.Errorf("%+v: pods of %s: %s", test.p, test.namespace, diff)
		}
	}
	for _, w := range configuration(deploy.WebhookParams{NoMatchConditions: true}).Webhooks {
		if w.MatchConditions != nil {
			t.Errorf("%s has conditions that an old API server does not know", w.Name)
		}
	}
}

// The webhook may list the pods of those namespaces alone in which it looks for missed ones.
func TestWebhookListsPodsOfTheSystemAlone(t *testing.T) {
	objects := webhook(t, deploy.WebhookParams{})
	var where []string
	for _, o := range objects {
		var rules []rbacv1.PolicyRule
		switch o.GetKind() {
		case "ClusterRole":
			rules = find[rbacv1.ClusterRole](t, objects, "ClusterRole", o.GetName()).Rules
		case "Role":
			var role rbacv1.Role
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
				t.Fatal(err)
			}
			rules = role.Rules
		}
		for _, r := range rules {
			if slices.Contains(r.Resources, "pods") || slices.Contains(r.Resources, "*") {
				where = append(where, fmt.Sprintf("%s %s/%s %v", o.GetKind(), o.GetNamespace(), o.GetName(), r.Verbs))
			}
		}
	}
	if diff := cmp.Diff([]string{"Role kube-system/openirsa-webhook [list]"}, where); diff != "" {
		t.Error(diff)
	}
	args := find[appsv1.Deployment](t, objects, "Deployment", deploy.WebhookName).Spec.Template.Spec.Containers[0].Args
	if !slices.Contains(args, "--report-missed-pods=kube-system") {
		t.Errorf("arguments %q", args)
	}
}

func TestWebhookArguments(t *testing.T) {
	args := func(p deploy.WebhookParams) []string {
		t.Helper()
		d := find[appsv1.Deployment](t, webhook(t, p), "Deployment", deploy.WebhookName)
		if p.Replicas != 0 && int(*d.Spec.Replicas) != p.Replicas {
			t.Errorf("%d replicas", *d.Spec.Replicas)
		}
		return d.Spec.Template.Spec.Containers[0].Args
	}
	plain := args(deploy.WebhookParams{})
	for _, a := range plain {
		if strings.HasPrefix(a, "--aws-") || strings.HasPrefix(a, "--watch") || strings.HasPrefix(a, "--sts") || strings.HasPrefix(a, "--pod-identity") {
			t.Errorf("argument %q unasked", a)
		}
	}
	all := args(deploy.WebhookParams{
		Replicas: 3, AnnotationPrefix: "aws.example", TokenAudience: "a: b", TokenExpiration: 3600,
		Region: "eu-west-1", EndpointURL: "http://10.0.0.1:4566", RegionalSTS: true, RoleSessionName: true, ForeignRoleARNs: true, WatchConfigMap: true, ExtraArgs: []string{"-v=4"},
	})
	for _, want := range []string{
		"--annotation-prefix=aws.example", "--token-audience=a: b", "--token-expiration=3600", "--aws-default-region=eu-west-1",
		"--aws-endpoint-url=http://10.0.0.1:4566", "--sts-regional-endpoint", "--role-session-name", "--foreign-role-arns", "--watch-config-map", "-v=4",
	} {
		if !slices.Contains(all, want) {
			t.Errorf("no argument %q in %q", want, all)
		}
	}
	if _, err := deploy.Webhook(deploy.WebhookParams{}); err == nil {
		t.Error("no image is accepted")
	}
}

// What the webhook calls the EKS API with: a role for its own token, or keys of a Secret.
func TestWebhookPodIdentity(t *testing.T) {
	rendered := func(p deploy.PodIdentity) (args []string, env map[string]string, volumes string) {
		t.Helper()
		pod := find[appsv1.Deployment](t, webhook(t, deploy.WebhookParams{Region: "eu-west-1", EndpointURL: "http://e:4566", PodIdentity: p}), "Deployment", deploy.WebhookName).Spec.Template.Spec
		env = map[string]string{}
		for _, e := range pod.Containers[0].Env {
			env[e.Name] = e.Value
			if e.ValueFrom != nil {
				env[e.Name] = e.ValueFrom.SecretKeyRef.Name + "/" + e.ValueFrom.SecretKeyRef.Key
			}
		}
		for _, v := range pod.Volumes {
			token := v.Projected.Sources[0].ServiceAccountToken
			volumes += v.Name + " " + token.Audience + " " + token.Path + " "
		}
		for _, m := range pod.Containers[0].VolumeMounts {
			volumes += m.Name + " " + m.MountPath
		}
		for _, a := range pod.Containers[0].Args {
			for _, prefix := range []string{"--pod-identity", "--container-credentials"} {
				if after, ok := strings.CutPrefix(a, prefix); ok {
					args = append(args, after)
				}
			}
		}
		delete(env, "GOMEMLIMIT")
		return args, env, volumes
	}
	expect := func(p deploy.PodIdentity, wantArgs []string, wantEnv map[string]string, wantVolumes string) {
		t.Helper()
		args, env, volumes := rendered(p)
		if diff := cmp.Diff(wantArgs, args) + cmp.Diff(wantEnv, env) + cmp.Diff(wantVolumes, volumes); diff != "" {
			t.Error(diff)
		}
	}
	const role = "arn:aws:iam::123456789012:role/hook"
	expect(deploy.PodIdentity{}, nil, map[string]string{}, "")
	expect(deploy.PodIdentity{RoleARN: role}, nil, map[string]string{}, "")
	expect(deploy.PodIdentity{Cluster: "c1", RoleARN: role},
		[]string{"-cluster=c1", "-refresh=10s", "-exclude-namespaces=kube-system"},
		map[string]string{"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://e:4566", "AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"},
		"aws-iam-token sts.amazonaws.com token aws-iam-token /var/run/secrets/eks.amazonaws.com/serviceaccount")
	expect(deploy.PodIdentity{Cluster: "c1", KeysSecret: "keys", Region: "us-east-1", EndpointURL: "http://f", Refresh: time.Minute, ExcludeNamespaces: []string{"a", "b"}},
		[]string{"-cluster=c1", "-refresh=60s", "-exclude-namespaces=a", "-exclude-namespaces=b"},
		map[string]string{"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": "http://f", "AWS_ACCESS_KEY_ID": "keys/AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY": "keys/AWS_SECRET_ACCESS_KEY"}, "")
	if args, _, _ := rendered(deploy.PodIdentity{Cluster: "c1", FullURI: irsa.CredentialsURIv6}); !slices.Contains(args, "-full-uri=http://[fd00:ec2::23]/v1/credentials") {
		t.Errorf("with IPv6: %q", args)
	}
	if args, _, _ := rendered(deploy.PodIdentity{Cluster: "c1", ExcludeNamespaces: []string{}}); !slices.Contains(args, "-exclude-namespaces=") {
		t.Errorf("no namespace excluded: %q", args)
	}
	withAgent, err := deploy.RenderWith("webhook.yaml", values(t, parseValues(t, `{webhook: {region: eu-west-1, podIdentity: {cluster: c1, excludeNamespaces: []}}, agent: {enabled: true, namespace: agents}}`)))
	if err != nil || !strings.Contains(withAgent, "- --pod-identity-exclude-namespaces=\n            - \"--pod-identity-exclude-namespaces=agents\"\n") {
		t.Error("the agent's namespace is not excluded", err)
	}
	if _, err := deploy.Webhook(deploy.WebhookParams{Image: "i", PodIdentity: deploy.PodIdentity{Cluster: "c1"}}); err == nil || !strings.Contains(err.Error(), "without a region") {
		t.Error(err)
	}
	s := schema(t)
	for over, ok := range map[string]bool{
		`{webhook: {podIdentity: {cluster: c1}}}`:                                                                     false,
		`{webhook: {podIdentity: {cluster: c1, region: eu-west-1}}}`:                                                  true,
		`{webhook: {region: eu-west-1, podIdentity: {cluster: c1, refresh: 1m30s}}}`:                                  true,
		`{webhook: {region: eu-west-1, podIdentity: {cluster: c/1}}}`:                                                 false,
		`{webhook: {region: eu-west-1, podIdentity: {cluster: c1, fullURI: "http://[fd00:ec2::23]/v1/credentials"}}}`: true,
		`{webhook: {region: eu-west-1, podIdentity: {cluster: c1, fullURI: "[fd00:ec2::23]"}}}`:                       false,
		`{webhook: {region: eu-west-1, podIdentity: {cluster: c1, refresh: "10"}}}`:                                   false,
	} {
		if err := s.Validate(values(t, parseValues(t, over))); (err == nil) != ok {
			t.Errorf("%s: %v", over, err)
		}
	}
}

// The garbage collector has to know the container's limit, and to leave room for
// what it does not count.
func TestMemory(t *testing.T) {
	for name, objects := range map[string][]*unstructured.Unstructured{
		deploy.WebhookName: webhook(t, deploy.WebhookParams{}), deploy.EmulatorName: emulator(t, deploy.EmulatorParams{}),
	} {
		c := find[appsv1.Deployment](t, objects, "Deployment", name).Spec.Template.Spec.Containers[0]
		i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
		if i < 0 {
			t.Errorf("%s: no GOMEMLIMIT in %+v", name, c.Env)
			continue
		}
		goLimit, err := resource.ParseQuantity(strings.TrimSuffix(c.Env[i].Value, "B")) // 160MiB is Go's word for 160Mi
		if err != nil {
			t.Fatal(err)
		}
		limit := c.Resources.Limits.Memory().Value()
		if part := float64(goLimit.Value()) / float64(limit); part < 0.75 || part > 0.9 {
			t.Errorf("%s: GOMEMLIMIT is %s of %d: %.2f", name, c.Env[i].Value, limit, part)
		}
	}
}

// The emulator answers at each name that its Service has in the cluster: below
// /_openirsa/ it answers at no other names.
func TestEmulatorKnowsItsNames(t *testing.T) {
	for _, namespace := range []string{"", "staging"} {
		objects := emulator(t, deploy.EmulatorParams{Namespace: namespace})
		service := find[corev1.Service](t, objects, "Service", deploy.EmulatorName)
		pod := find[appsv1.Deployment](t, objects, "Deployment", deploy.EmulatorName).Spec.Template.Spec
		name := service.Name + "." + service.Namespace
		var hosts []string
		for _, arg := range pod.Containers[0].Args {
			if host, ok := strings.CutPrefix(arg, "--host="); ok {
				hosts = append(hosts, host)
			}
		}
		if want := []string{service.Name, name, name + ".svc", name + ".svc.cluster.local"}; !slices.Equal(hosts, want) {
			t.Errorf("names %q, want %q", hosts, want)
		}
	}
}

// The emulator forwards what it is told to.
func TestEmulatorForwards(t *testing.T) {
	forward := []string{"dynamodb=http://dynamodb.test.svc:8000", "*=http://moto.test.svc:5000"}
	objects := emulator(t, deploy.EmulatorParams{Forward: forward})
	args := find[appsv1.Deployment](t, objects, "Deployment", deploy.EmulatorName).Spec.Template.Spec.Containers[0].Args
	for _, f := range forward {
		if !slices.Contains(args, "--forward="+f) {
			t.Errorf("arguments %q lack %s", args, f)
		}
	}
}

func TestWebhookNetworkPolicy(t *testing.T) {
	for _, o := range webhook(t, deploy.WebhookParams{}) {
		if o.GetKind() == "NetworkPolicy" {
			t.Error("a NetworkPolicy, and nobody has said where API servers are")
		}
	}
	objects := webhook(t, deploy.WebhookParams{APIServers: []string{"10.0.0.1/32", "fd00::/64"}})
	p := find[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy", deploy.WebhookName)
	d := find[appsv1.Deployment](t, objects, "Deployment", deploy.WebhookName)
	if diff := cmp.Diff(d.Spec.Selector, &p.Spec.PodSelector); diff != "" {
		t.Errorf("the policy is for other pods: %s", diff)
	}
	if len(p.Spec.Ingress) != 2 || p.Spec.Ingress[0].Ports[0].Port.String() != "https" || p.Spec.Ingress[1].Ports[0].Port.String() != "metrics" {
		t.Fatalf("ingress %+v", p.Spec.Ingress)
	}
	var cidrs []string
	for _, from := range p.Spec.Ingress[0].From {
		cidrs = append(cidrs, from.IPBlock.CIDR)
	}
	if diff := cmp.Diff([]string{"10.0.0.1/32", "fd00::/64"}, cidrs); diff != "" || p.Spec.Ingress[1].From != nil {
		t.Errorf("%s: %+v", diff, p.Spec.Ingress)
	}
}

// A webhook that cannot reach the API server yet has no certificate. It is not
// ready, but it would not help to restart it, later and later each time.
func TestWebhookProbes(t *testing.T) {
	c := find[appsv1.Deployment](t, webhook(t, deploy.WebhookParams{}), "Deployment", deploy.WebhookName).Spec.Template.Spec.Containers[0]
	if p := c.ReadinessProbe.HTTPGet; p.Path != "/readyz" || p.Port.String() != "https" || p.Scheme != corev1.URISchemeHTTPS {
		t.Errorf("readiness by %+v", p)
	}
	if p := c.LivenessProbe.HTTPGet; p.Path != "/healthz" || p.Port.String() != "metrics" || p.Scheme != "" {
		t.Errorf("liveness by %+v, want one that needs no certificate", p)
	}
}

// On the nodes' network a node has one replica, for its ports' sake, so that one must go before the next comes.
func TestWebhookOnTheNodesNetwork(t *testing.T) {
	deployment := func(v map[string]any) (d appsv1.Deployment) {
		text, err := deploy.RenderWith("webhook.yaml", v)
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(text, "\n---\n") {
			if strings.Contains(document, "kind: Deployment") {
				if err := yaml.Unmarshal([]byte(document), &d); err != nil {
					t.Fatal(err)
				}
			}
		}
		return d
	}
	on := deployment(values(t, parseValues(t, "{webhook: {hostNetwork: true}}")))
	pod, rolling := on.Spec.Template.Spec, on.Spec.Strategy.RollingUpdate
	if !pod.HostNetwork || pod.DNSPolicy != corev1.DNSClusterFirstWithHostNet || rolling.MaxSurge.IntValue() != 0 || rolling.MaxUnavailable.IntValue() != 1 {
		t.Errorf("host network %v, DNS %q, rolling update %v", pod.HostNetwork, pod.DNSPolicy, rolling)
	}
	for over, level := range map[string]string{
		"{createNamespace: true, webhook: {hostNetwork: true}}": "privileged", "{createNamespace: true}": "restricted",
	} {
		text, err := deploy.RenderWith("namespace.yaml", values(t, parseValues(t, over)))
		if err != nil || !strings.Contains(text, "pod-security.kubernetes.io/enforce: "+level) {
			t.Errorf("%s: %v: the level is not %s:\n%s", over, err, level, text)
		}
	}
	off := deployment(values(t))
	pod, rolling = off.Spec.Template.Spec, off.Spec.Strategy.RollingUpdate
	if pod.HostNetwork || pod.DNSPolicy != "" || rolling.MaxSurge.IntValue() != 1 || rolling.MaxUnavailable.IntValue() != 0 {
		t.Errorf("by default: host network %v, DNS %q, rolling update %v", pod.HostNetwork, pod.DNSPolicy, rolling)
	}
}

func TestEmulatorVolume(t *testing.T) {
	local := emulator(t, deploy.EmulatorParams{Path: "/var/lib/openirsa", Node: "n1"})
	pv := find[corev1.PersistentVolume](t, local, "PersistentVolume", "openirsa-emulator")
	pvc := find[corev1.PersistentVolumeClaim](t, local, "PersistentVolumeClaim", "emulator")
	if pv.Spec.Local.Path != "/var/lib/openirsa" || pvc.Spec.VolumeName != pv.Name || pv.Spec.ClaimRef.Name != pvc.Name || pv.Spec.ClaimRef.Namespace != pvc.Namespace {
		t.Errorf("volume %+v and claim %+v are not each other's", pv.Spec, pvc.Spec)
	}
	pod := find[appsv1.Deployment](t, local, "Deployment", "emulator").Spec.Template.Spec
	if pod.NodeSelector["kubernetes.io/hostname"] != "n1" {
		t.Errorf("node selector %v", pod.NodeSelector)
	}
	pvc = find[corev1.PersistentVolumeClaim](t, emulator(t, deploy.EmulatorParams{}), "PersistentVolumeClaim", "emulator")
	if pvc.Spec.StorageClassName != nil || pvc.Spec.VolumeName != "" {
		t.Errorf("claim without a path: %+v", pvc.Spec)
	}
	if _, err := deploy.Emulator(deploy.EmulatorParams{Image: "x", Path: "/x"}); err == nil {
		t.Error("a path without a node is accepted")
	}
}

// The kustomize base is the chart rendered with its own values.
func TestBaseIsTheChart(t *testing.T) {
	for _, file := range []string{"namespace.yaml", "webhook.yaml"} {
		want, err := deploy.Render(file, "kustomize")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("base", file)
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is not what the chart renders; run go test ./deploy -update\n%s", path, diff)
		}
	}
	var k struct{ Resources []string }
	raw, err := os.ReadFile("base/kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(raw, &k); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"namespace.yaml", "webhook.yaml"}, k.Resources); diff != "" {
		t.Errorf("kustomization: %s", diff)
	}
}
