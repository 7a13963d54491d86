package deploy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kubeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/internal/kubetest"
)

// An API server takes an upgrade from the former chart, with each part of the chart and each value, and its pods stay
// as they are until something about them changes.
func TestHelmUpgrades(t *testing.T) {
	server := kubetest.Start(t)
	config, err := clientcmd.BuildConfigFromFlags("", server.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		t.Helper()
		return helm(t, append(args, "--namespace=openirsa-system", "--kubeconfig="+server.Kubeconfig())...)
	}
	must := func(args ...string) {
		t.Helper()
		if out, err := run(args...); err != nil {
			t.Fatal(out)
		}
	}
	get := func(version kubeschema.GroupVersion, resource, namespace, name string) *unstructured.Unstructured {
		t.Helper()
		o, err := client.Resource(version.WithResource(resource)).Namespace(namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	apps := kubeschema.GroupVersion{Group: "apps", Version: "v1"}
	hooks := kubeschema.GroupVersion{Group: "admissionregistration.k8s.io", Version: "v1"}
	webhook := func() *unstructured.Unstructured {
		return get(apps, "deployments", deploy.Namespace, deploy.WebhookName)
	}

	noneLeft := func() {
		t.Helper()
		list, err := client.Resource(apps.WithResource("deployments")).Namespace(deploy.Namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil || len(list.Items) > 0 {
			t.Errorf("%d Deployments are left: %v", len(list.Items), err)
		}
	}

	must("install", "openirsa", "testdata/openirsa-former.tgz", "--create-namespace", "--set=image=registry.example/openirsa:v1",
		"--set=webhook.failurePolicy=Ignore")
	// As the program does.
	const bundle = `[{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "TUlJ"}]`
	if _, err := client.Resource(hooks.WithResource("mutatingwebhookconfigurations")).Patch(t.Context(), deploy.WebhookConfiguration,
		types.JSONPatchType, []byte(bundle), metav1.PatchOptions{FieldManager: "openirsa-webhook"}); err != nil {
		t.Fatal(err)
	}
	entry := func() map[string]any {
		t.Helper()
		list, _, err := unstructured.NestedSlice(get(hooks, "mutatingwebhookconfigurations", "", deploy.WebhookConfiguration).Object, "webhooks")
		if err != nil {
			t.Fatal(err)
		}
		return list[0].(map[string]any)
	}

	if out, err := run("upgrade", "openirsa", "chart", "--reuse-values"); err == nil || !strings.Contains(out, "missing properties") {
		t.Errorf("--reuse-values: %v\n%s", err, out)
	}
	must("upgrade", "openirsa", "chart", "--reset-then-reuse-values")
	if e := entry(); e["failurePolicy"] != "Ignore" {
		t.Errorf("the failure policy that was set is %v", e["failurePolicy"])
	}
	must("upgrade", "openirsa", "chart", "--set=image.registry=registry.example", "--set=image.repository=openirsa", "--set=image.tag=v1")
	if g := webhook().GetGeneration(); g != 1 {
		t.Errorf("the webhook's Deployment is in generation %d: an upgrade alone replaces its pods", g)
	}
	if b, _, _ := unstructured.NestedString(entry(), "clientConfig", "caBundle"); b != "TUlJ" {
		t.Errorf("caBundle %q", b)
	}
	if e := entry(); e["failurePolicy"] != "Fail" {
		t.Errorf("without values the failure policy is %v", e["failurePolicy"])
	}

	// Everything but what needs the Prometheus operator, and the namespace, which is there.
	all := everything(t)
	merge(all, parseValues(t, "{createNamespace: false, metrics: {serviceMonitor: {enabled: false}, podMonitor: {enabled: false}, "+
		"prometheusRule: {enabled: false}, dashboard: {enabled: true}}, webhook: {affinity: null}}"))
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	must("upgrade", "openirsa", "chart", "--values="+file)
	d := webhook()
	if labels, _, _ := unstructured.NestedStringMap(d.Object, "spec", "template", "metadata", "labels"); d.GetGeneration() != 2 ||
		labels["team"] != "security" || labels["cost"] != "7" {
		t.Errorf("generation %d, labels %v", d.GetGeneration(), labels)
	}
	for _, name := range []string{deploy.EmulatorName, deploy.IssuerName, deploy.PublisherName} {
		get(apps, "deployments", deploy.Namespace, name)
	}
	get(apps, "daemonsets", deploy.AgentNamespace, deploy.AgentName)
	get(kubeschema.GroupVersion{Version: "v1"}, "configmaps", deploy.Namespace, "openirsa-dashboard")

	must("uninstall", "openirsa")
	noneLeft()

	// From a registry, as it was pushed for a release.
	p, repository := pushed(t)
	must("install", "openirsa", "oci://"+repository+"/openirsa", "--version="+p.Version, "--plain-http")
	containers, _, _ := unstructured.NestedSlice(webhook().Object, "spec", "template", "spec", "containers")
	if got := containers[0].(map[string]any)["image"]; got != pushedImage {
		t.Errorf("the chart from the registry runs %v", got)
	}
	must("uninstall", "openirsa")
	noneLeft()
}
