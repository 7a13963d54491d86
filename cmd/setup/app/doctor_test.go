package app

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/irsa"
)

// Of several service accounts each has all its findings for programs, and what
// they share is read, and said to people, once.
func TestAPIServerDoctor(t *testing.T) {
	aws := emulatortest.Start(t)
	useEmulator(t, aws)
	east := newMember(t, aws, "east")
	names := []string{"app", "web", "worker"}
	for _, name := range names {
		arn := aws.Role(name, east.iss.Trust("default", name), readOnly)
		sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{irsa.DefaultPrefix.RoleARN(): arn}}}
		if _, err := east.server.Client.CoreV1().ServiceAccounts("default").Create(t.Context(), sa, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	const noWebhook = "no webhook gives pods their role"

	reads := func() int { return len(aws.Events(emulator.EventFilter{Action: "iam:GetOpenIDConnectProvider"})) }
	before := reads()
	status, out, errs := east.setup("doctor", "-o", "json")
	var got doctorReport
	if err := json.Unmarshal([]byte(out), &got); err != nil || status != 1 {
		t.Fatalf("status %d, %v\n%s%s", status, err, out, errs)
	}
	if got.Cluster != "east" || got.Broken == nil || len(got.Accounts) != len(names) {
		t.Errorf("%+v", got)
	}
	for i, examined := range got.Accounts {
		if examined.ServiceAccount != "default/"+names[i] {
			t.Errorf("%d: %s", i, examined.ServiceAccount)
		}
		if len(examined.Findings) != len(got.Accounts[0].Findings) || !slices.Contains(examined.Findings, *got.Broken) ||
			!slices.ContainsFunc(examined.Findings, func(f finding) bool { return f.Summary == noWebhook }) {
			t.Errorf("%s: %+v", examined.ServiceAccount, examined.Findings)
		}
	}
	if n := reads() - before; n != 1 {
		t.Errorf("the provider was read %d times", n)
	}

	_, out, _ = east.setup("doctor")
	if !strings.HasPrefix(out, "cluster east, ") || strings.Count(out, noWebhook) != 1 {
		t.Errorf("%s", out)
	}

	// What an init container gets by envFrom is looked at too.
	core := east.server.Client.CoreV1()
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "old"}, Data: map[string]string{"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE"}}
	if _, err := core.ConfigMaps("default").Create(t.Context(), configMap, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "app", Annotations: map[string]string{irsa.DefaultPrefix.SkipContainers(): "main"}},
		Spec: corev1.PodSpec{
			ServiceAccountName: "app",
			Containers:         []corev1.Container{{Name: "main", Image: "example.com/app"}},
			InitContainers: []corev1.Container{{
				Name: "migrate", Image: "example.com/app", Env: []corev1.EnvVar{{Name: irsa.EnvRoleARN, Value: east.roleOf("app")}},
				EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "old"}}}},
			}},
		},
	}
	if _, err := core.Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, out, _ = east.setup("doctor", "--pod", "default/app"); !strings.Contains(out, "container migrate of pod default/app has static keys") || !strings.Contains(out, "ConfigMap/old") {
		t.Errorf("%s", out)
	}
}
