package deploy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/internal/kubetest"
	"github.com/openirsa/openirsa/pkg/irsa"
)

func agentObjects(t *testing.T, p deploy.AgentParams) []*unstructured.Unstructured {
	t.Helper()
	p.Image, p.ClusterName, p.Region = image, "c1", "us-east-1"
	objects, err := deploy.Agent(p)
	if err != nil {
		t.Fatal(err)
	}
	return valid(t, objects)
}

func daemonSet(t *testing.T, p deploy.AgentParams) appsv1.DaemonSet {
	t.Helper()
	return find[appsv1.DaemonSet](t, agentObjects(t, p), "DaemonSet", deploy.AgentName)
}

// environment are the variables of a container; those of a Secret as SECRET:KEY.
func environment(c corev1.Container) map[string]string {
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
		if e.ValueFrom != nil {
			env[e.Name] = e.ValueFrom.SecretKeyRef.Name + ":" + e.ValueFrom.SecretKeyRef.Key
		}
	}
	return env
}

// The agent is on every node, before what needs it and until the last, with no right
// but that for its port.
func TestAgent(t *testing.T) {
	d := daemonSet(t, deploy.AgentParams{})
	pod := d.Spec.Template.Spec
	if d.Namespace != "kube-system" || d.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable.String() != "10%" {
		t.Errorf("in %s, %+v", d.Namespace, d.Spec.UpdateStrategy)
	}
	if !pod.HostNetwork || pod.HostPID || pod.HostIPC || pod.PriorityClassName != "system-node-critical" || pod.DNSPolicy != corev1.DNSDefault {
		t.Errorf("pod %+v", pod)
	}
	if diff := cmp.Diff([]corev1.Toleration{{Operator: corev1.TolerationOpExists}}, pod.Tolerations); diff != "" {
		t.Errorf("tolerations: %s", diff)
	}
	// As the original: Fargate has no DaemonSets, Auto Mode an agent of its own, and hybrid nodes another DaemonSet.
	want := corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
		Key: "eks.amazonaws.com/compute-type", Operator: corev1.NodeSelectorOpNotIn, Values: []string{"fargate", "hybrid", "auto"},
	}}}}}
	if pod.Affinity == nil || pod.Affinity.NodeAffinity == nil {
		t.Fatalf("affinity %+v", pod.Affinity)
	}
	if diff := cmp.Diff(&want, pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution); diff != "" {
		t.Errorf("affinity: %s", diff)
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken || len(pod.Volumes) != 0 {
		t.Errorf("it has a token: %+v", pod.Volumes)
	}
	if *pod.TerminationGracePeriodSeconds <= 35 {
		t.Errorf("it is killed after %d s, and may take 35", *pod.TerminationGracePeriodSeconds)
	}
	if d.Spec.Template.Labels[irsa.SkipLabel] == "" {
		t.Errorf("the webhook may make it its own client: labels %v", d.Spec.Template.Labels)
	}
	if len(pod.Containers) != 1 || len(pod.InitContainers) != 1 {
		t.Fatalf("%d containers, %d before them", len(pod.Containers), len(pod.InitContainers))
	}
	for _, c := range []struct {
		corev1.Container
		args []string
		may  corev1.Capability
	}{
		{pod.InitContainers[0], []string{"initialize"}, "NET_ADMIN"},
		{pod.Containers[0], []string{"--cluster-name=c1"}, "NET_BIND_SERVICE"},
	} {
		s := c.SecurityContext
		if *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || s.Privileged != nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) ||
			!slices.Equal(s.Capabilities.Add, []corev1.Capability{c.may}) {
			t.Errorf("%s: security context %+v", c.Name, s)
		}
		if !slices.Equal(c.Command, []string{"/agent"}) || !slices.Equal(c.Args, c.args) {
			t.Errorf("%s: %q %q", c.Name, c.Command, c.Args)
		}
	}
	main := pod.Containers[0]
	if diff := cmp.Diff(map[string]string{"AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "false", "GOMEMLIMIT": "106MiB"}, environment(main)); diff != "" {
		t.Errorf("environment: %s", diff)
	}
	for _, p := range main.Ports {
		if p.ContainerPort == 80 {
			t.Error("it takes port 80 of all addresses of the node from the scheduler")
		}
	}
	for path, p := range map[string]*corev1.Probe{"/readyz": main.ReadinessProbe, "/healthz": main.LivenessProbe} {
		if g := p.HTTPGet; g.Host != "localhost" || g.Path != path || g.Port.IntValue() != 2703 || p.TimeoutSeconds < 10 {
			t.Errorf("%s: %+v, %+v", path, p, g)
		}
	}
	goLimit := resource.MustParse(strings.TrimSuffix(environment(main)["GOMEMLIMIT"], "B"))
	if part := float64(goLimit.Value()) / float64(main.Resources.Limits.Memory().Value()); part < 0.75 || part > 0.9 {
		t.Errorf("GOMEMLIMIT is %.2f of the limit", part)
	}
	if a := find[corev1.ServiceAccount](t, agentObjects(t, deploy.AgentParams{}), "ServiceAccount", deploy.AgentName); *a.AutomountServiceAccountToken || a.Namespace != d.Namespace {
		t.Errorf("service account %+v", a)
	}
}

// Where the agent's own credentials come from.
func TestAgentCredentials(t *testing.T) {
	const role = "arn:aws:iam::111122223333:role/agent"
	keys := daemonSet(t, deploy.AgentParams{Secret: "agent-keys", EndpointURL: "http://emulator.openirsa-system.svc:4566", Namespace: "elsewhere", NoInitialize: true, ExtraArgs: []string{"--log-level=debug"}})
	pod := keys.Spec.Template.Spec
	want := map[string]string{
		"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": "http://emulator.openirsa-system.svc:4566", "AWS_ENDPOINT_URL_STS": "http://emulator.openirsa-system.svc:4566",
		"AWS_ACCESS_KEY_ID": "agent-keys:AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY": "agent-keys:AWS_SECRET_ACCESS_KEY",
		"AWS_EC2_METADATA_DISABLED": "true", "GOMEMLIMIT": "106MiB",
	}
	if diff := cmp.Diff(want, environment(pod.Containers[0])); diff != "" {
		t.Errorf("with a Secret: %s", diff)
	}
	if keys.Namespace != "elsewhere" || pod.DNSPolicy != corev1.DNSClusterFirstWithHostNet || len(pod.InitContainers) != 0 || len(pod.Volumes) != 0 ||
		!slices.Contains(pod.Containers[0].Args, "--log-level=debug") {
		t.Errorf("in %s, %+v", keys.Namespace, pod)
	}

	pod = daemonSet(t, deploy.AgentParams{RoleARN: role}).Spec.Template.Spec
	env := environment(pod.Containers[0])
	source := pod.Volumes[0].Projected.Sources[0].ServiceAccountToken
	if m := pod.Containers[0].VolumeMounts[0]; env["AWS_ROLE_ARN"] != role || m.MountPath+"/"+source.Path != env["AWS_WEB_IDENTITY_TOKEN_FILE"] ||
		source.Audience != "sts.amazonaws.com" || env["AWS_EC2_METADATA_DISABLED"] != "true" || *pod.AutomountServiceAccountToken {
		t.Errorf("with a role: %v, token %+v at %+v", env, source, m)
	}
	for _, p := range []deploy.AgentParams{
		{}, {Image: image, ClusterName: "c1"}, {Image: image, Region: "r"}, {Image: image, ClusterName: "c1", Region: "r", Secret: "s", RoleARN: role},
	} {
		if _, err := deploy.Agent(p); err == nil {
			t.Errorf("%+v is rendered", p)
		}
	}
}

// A real API server takes the agent where it is to be, and its pod. In the namespace of
// the others Pod Security refuses the pod: why it has another one.
func TestAgentOnAnAPIServer(t *testing.T) {
	server := kubetest.Start(t)
	ctx := t.Context()
	objects := agentObjects(t, deploy.AgentParams{RoleARN: "arn:aws:iam::111122223333:role/agent"})
	account := find[corev1.ServiceAccount](t, objects, "ServiceAccount", deploy.AgentName)
	if _, err := server.Client.CoreV1().ServiceAccounts(account.Namespace).Create(ctx, &account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	d := find[appsv1.DaemonSet](t, objects, "DaemonSet", deploy.AgentName)
	made, err := server.Client.AppsV1().DaemonSets(d.Namespace).Create(ctx, &d, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "agent", Labels: made.Spec.Template.Labels}, Spec: made.Spec.Template.Spec}
	if _, err := server.Client.CoreV1().Pods(d.Namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		t.Errorf("a pod of it: %v", err)
	}

	others := find[corev1.Namespace](t, webhook(t, deploy.WebhookParams{}), "Namespace", deploy.Namespace)
	if _, err := server.Client.CoreV1().Namespaces().Create(ctx, &others, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	account.Namespace, account.ResourceVersion, account.UID = others.Name, "", ""
	if _, err := server.Client.CoreV1().ServiceAccounts(others.Name).Create(ctx, &account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = server.Client.CoreV1().Pods(others.Name).Create(ctx, pod, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `violates PodSecurity "restricted:latest"`) || !strings.Contains(err.Error(), "host namespaces") {
		t.Errorf("a pod of it in %s: %v", others.Name, err)
	}
}
