package app

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/record"
)

func TestAdmissionRecord(t *testing.T) {
	for _, test := range []struct {
		say       admission
		was, want record.Record
	}{
		{admission{}, record.Record{}, record.Record{}},
		{admission{}, record.Record{FailurePolicy: "Ignore", IgnoreNamespaces: []string{"a", "b"}, ExcludeNamespaces: []string{"c"}}, record.Record{FailurePolicy: "Ignore", IgnoreNamespaces: []string{"a", "b"}, ExcludeNamespaces: []string{"c"}}},
		{admission{"Ignore", []string{"b", "a", "b"}, []string{"c"}}, record.Record{}, record.Record{FailurePolicy: "Ignore", IgnoreNamespaces: []string{"a", "b"}, ExcludeNamespaces: []string{"c"}}},
		{admission{"Fail", []string{}, []string{}}, record.Record{FailurePolicy: "Ignore", IgnoreNamespaces: []string{"a", "b"}, ExcludeNamespaces: []string{"c"}}, record.Record{}},
		{admission{exclude: []string{"c"}}, record.Record{IgnoreNamespaces: []string{"a"}}, record.Record{IgnoreNamespaces: []string{"a"}, ExcludeNamespaces: []string{"c"}}},
	} {
		got := test.was
		if err := chain.Admit(&got, test.say.values()); err != nil {
			t.Errorf("%+v: %v", test.say, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%+v: %s", test.say, diff)
		}
	}
	if err := chain.Admit(&record.Record{ExcludeNamespaces: []string{"a"}}, config.Admission{IgnoreNamespaces: []string{"a"}}); err == nil || !strings.Contains(err.Error(), "namespace a is both") {
		t.Errorf("served and excluded: %v", err)
	}
}

// waits are the entries of the webhook's configuration without an answer of which the API server makes no pod; "" if it
// makes one.
func (n *newcomer) waits(namespace string, change func(*corev1.Pod)) string {
	n.Helper()
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "p"},
		Spec:       corev1.PodSpec{ServiceAccountName: "default", Containers: []corev1.Container{{Name: "main", Image: "none"}}},
	}
	if change != nil {
		change(p)
	}
	_, err := n.server.Client.CoreV1().Pods(namespace).Create(n.Context(), p, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err == nil {
		return ""
	}
	_, rest, ok := strings.Cut(err.Error(), "failed calling webhook \"")
	name, _, _ := strings.Cut(rest, "\"")
	if !ok {
		n.Errorf("a pod in %s: %v", namespace, err)
	}
	return name
}

// With a real API server and no webhook behind its configuration: pods of workloads wait for it, and nothing that a
// cluster needs to come up does. What `up` was told once holds for the next time, and a configuration of a former
// version is brought up to date.
func TestAPIServerAdmission(t *testing.T) {
	n := newNewcomer(t)
	n.controllers()
	client := n.server.Client
	for _, ns := range []string{"default", "kube-system", "kube-flannel", "tigera-operator", "team", "policies", "some-network"} {
		if _, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
		if _, err := client.CoreV1().ServiceAccounts(ns).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	n.former()
	const workloads = "pod-identity.openirsa.dev"
	hostNetwork := func(p *corev1.Pod) { p.Spec.HostNetwork = true }
	mirror := func(p *corev1.Pod) {
		p.Annotations, p.Spec.ServiceAccountName, p.Spec.NodeName = map[string]string{corev1.MirrorPodAnnotationKey: "x"}, "", "node"
	}
	declines := func(p *corev1.Pod) {
		p.Labels = map[string]string{"eks.amazonaws.com/skip-pod-identity-webhook": "true"}
	}
	pods := func(what string, want map[string]string) {
		t.Helper()
		got := map[string]string{}
		for name := range want {
			namespace, kind, _ := strings.Cut(name, " ")
			got[name] = n.waits(namespace, map[string]func(*corev1.Pod){"hostNetwork": hostNetwork, "mirror": mirror, "declines": declines}[kind])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}

	n.report("")
	pods("by default", map[string]string{
		"default": workloads, "team": workloads, "some-network": workloads, "policies": workloads,
		"default hostNetwork": "", "some-network hostNetwork": "", "default mirror": "", "some-network mirror": "", "default declines": "",
		"kube-system": "", "kube-system hostNetwork": "", "kube-system mirror": "", "kube-flannel": "", "tigera-operator": "",
	})
	if again := n.report(""); again.changed() {
		t.Errorf("a second run changes %+v", again.Links)
	}
	told := map[string]string{"default": workloads, "team": "", "policies": "", "kube-system": ""}
	n.report("", "--ignore-namespaces", "policies", "--exclude-namespaces", "team")
	pods("with namespaces", told)
	if again := n.report(""); again.changed() {
		t.Errorf("a run without the flags changes %+v", again.Links)
	}
	pods("with namespaces, again", told)
	n.accounts(t)
	n.limited(t)
	n.report("", "--failure-policy", "Ignore", "--exclude-namespaces", "")
	n.report("")
	pods("with Ignore", map[string]string{"default": "", "team": "", "policies": ""})
	n.report("", "--failure-policy", "Fail")
	pods("with Fail again", map[string]string{"default": workloads, "team": workloads, "policies": ""})
}

// former leaves the webhook's configuration as a previous version has made it.
func (n *newcomer) former() {
	n.Helper()
	objects, err := deploy.Webhook(deploy.WebhookParams{Image: "x", NoMatchConditions: true})
	if err != nil {
		n.Fatal(err)
	}
	c := objects[len(objects)-1]
	hook := c.Object["webhooks"].([]any)[0].(map[string]any)
	hook["timeoutSeconds"] = 1
	c.Object["webhooks"] = []any{hook}
	body, err := json.Marshal(c)
	if err != nil {
		n.Fatal(err)
	}
	_, err = n.server.Client.AdmissionregistrationV1().RESTClient().Patch("application/apply-patch+yaml").
		Resource("mutatingwebhookconfigurations").Name(c.GetName()).Param("fieldManager", cluster.Manager).Body(body).DoRaw(n.Context())
	if err != nil {
		n.Fatal(err)
	}
}

// limited: who may give service accounts of a namespace roles, and nothing else, still can.
func (n *newcomer) limited(t *testing.T) {
	t.Helper()
	rbac := n.server.Client.RbacV1()
	for namespace, rule := range map[string]rbacv1.PolicyRule{
		cluster.Namespace: {APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get"}},
		"kube-system":     {APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get"}},
		"team":            {APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, Verbs: []string{"get", "create", "patch", "delete"}},
	} {
		meta := metav1.ObjectMeta{Namespace: namespace, Name: "operator"}
		if _, err := rbac.Roles(namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		binding := &rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "operator"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "operator"}},
		}
		if _, err := rbac.RoleBindings(namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	config, err := clientcmd.LoadFromFile(n.server.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config.AuthInfos["admin"].Impersonate = "operator"
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	status := call(t.Context(), []string{"setup", "iamserviceaccount", "create", "--kubeconfig", file, "--namespace", "team", "--name", "limited", "--attach-policy-arn", readOnly, "--approve"}, os.Getenv, &out, &errs)
	if status != 0 {
		t.Errorf("status %d\n%s%s", status, out.String(), errs.String())
	}
}

// accounts: a service account in a namespace of whose pods the webhook is not asked is given its role with a warning,
// and status does not call it right; one in kube-system is right.
func (n *newcomer) accounts(t *testing.T) {
	t.Helper()
	run := func(args ...string) (status int, stdout, stderr string) {
		var out, errs bytes.Buffer
		status = call(t.Context(), append(append([]string{"setup"}, args...), "--kubeconfig", n.server.Kubeconfig()), os.Getenv, &out, &errs)
		return status, out.String(), errs.String()
	}
	for namespace, warns := range map[string]bool{"team": true, "kube-system": false} {
		status, out, errs := run("iamserviceaccount", "create", "--namespace", namespace, "--name", "controller", "--attach-policy-arn", readOnly, "--approve")
		if status != 0 {
			t.Fatalf("status %d\n%s%s", status, out, errs)
		}
		if strings.Contains(errs, "the webhook is not asked about pods of namespace team") != warns || strings.Contains(out, "New pods get the role") == warns {
			t.Errorf("create in %s says:\n%s%s", namespace, out, errs)
		}
	}
	_, out, _ := run("status", "-o", "json")
	var s chain.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, sa := range s.Accounts {
		if inTeam := sa.Namespace == "team"; sa.OK == inTeam || strings.Contains(sa.Error, "not asked about pods of namespace team") != inTeam {
			t.Errorf("status says of %s/%s: %v, %s", sa.Namespace, sa.Name, sa.OK, sa.Error)
		}
	}
	if len(s.Accounts) != 2 {
		t.Errorf("%d service accounts", len(s.Accounts))
	}
	c, err := n.server.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), deploy.WebhookConfiguration, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(c.Webhooks, func(w admissionv1.MutatingWebhook) bool { return len(w.ClientConfig.CABundle) == 0 }); i >= 0 {
		t.Errorf("up has not waited for the caBundle of %s", c.Webhooks[i].Name)
	}
}
