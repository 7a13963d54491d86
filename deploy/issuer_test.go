package deploy_test

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/pkg/source"
)

const image = "openirsa.dev/openirsa:latest"

func issuerObjects(t *testing.T, p deploy.IssuerParams) []*unstructured.Unstructured {
	t.Helper()
	p.Image = image
	objects, err := deploy.Issuer(p)
	if err != nil {
		t.Fatal(err)
	}
	return valid(t, objects)
}

func publisherObjects(t *testing.T, p deploy.PublisherParams) []*unstructured.Unstructured {
	t.Helper()
	p.Image = image
	objects, err := deploy.Publisher(p)
	if err != nil {
		t.Fatal(err)
	}
	return valid(t, objects)
}

// valid fails on fields that Kubernetes does not know, and on missing labels.
func valid(t *testing.T, objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	t.Helper()
	for _, o := range objects {
		typed, err := scheme.Scheme.New(o.GroupVersionKind())
		if err == nil {
			err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, typed, true)
		}
		if err != nil {
			t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
		if l := o.GetLabels(); l["app.kubernetes.io/part-of"] != "openirsa" || l["app.kubernetes.io/managed-by"] != "openirsa" {
			t.Errorf("%s %s: labels %v", o.GetKind(), o.GetName(), l)
		}
	}
	return objects
}

// restricted checks what the Pod Security profile of the namespace asks for.
func restricted(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	if c := pod.SecurityContext; !*c.RunAsNonRoot || *c.RunAsUser == 0 || c.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("pod security context %+v", c)
	}
	for _, v := range pod.Volumes {
		if v.ConfigMap == nil && v.Secret == nil && v.Projected == nil {
			t.Errorf("volume %s is of a kind that the profile forbids or nobody checked", v.Name)
		}
	}
	for _, c := range pod.Containers {
		if s := c.SecurityContext; *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
			t.Errorf("container security context %+v", s)
		}
	}
}

func TestIssuer(t *testing.T) {
	config := "apiVersion: openirsa.dev/v1alpha1\nkind: Issuer\nclusters:\n- issuer: https://oidc.example.com/dev # \"it\"\n  keyFiles: [keys/*.pub]\n"
	objects := issuerObjects(t, deploy.IssuerParams{Config: config, KeysConfigMap: "keys", TLSSecret: "cert", ServiceType: "LoadBalancer", ExtraArgs: []string{"--log-format=json"}})
	if got := find[corev1.ConfigMap](t, objects, "ConfigMap", "issuer").Data["issuer.yaml"]; got != config {
		t.Errorf("configuration %q, want %q", got, config)
	}
	d := find[appsv1.Deployment](t, objects, "Deployment", deploy.IssuerName)
	restricted(t, d.Spec.Template.Spec)
	if *d.Spec.Replicas != 2 || d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue() != 0 {
		t.Errorf("%d replicas, strategy %+v", *d.Spec.Replicas, d.Spec.Strategy)
	}
	c := d.Spec.Template.Spec.Containers[0]
	for _, arg := range []string{"serve", "--config=/etc/openirsa/issuer.yaml", "--tls-cert=/etc/openirsa/tls/tls.crt", "--log-format=json"} {
		if !slices.Contains(c.Args, arg) {
			t.Errorf("no argument %s in %q", arg, c.Args)
		}
	}
	var mounts []string
	for _, m := range c.VolumeMounts {
		mounts = append(mounts, m.MountPath)
	}
	if !slices.Equal(mounts, []string{"/etc/openirsa", "/etc/openirsa/keys", "/etc/openirsa/tls"}) {
		t.Errorf("mounts %q", mounts)
	}
	s := find[corev1.Service](t, objects, "Service", deploy.IssuerName)
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer || s.Spec.Ports[0].Port != 443 {
		t.Errorf("service %+v", s.Spec)
	}
	if b := find[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget", "issuer"); b.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("budget %+v", b.Spec)
	}

	plain := issuerObjects(t, deploy.IssuerParams{})
	if p := find[corev1.Service](t, plain, "Service", deploy.IssuerName).Spec.Ports[0]; p.Port != 80 {
		t.Errorf("without a certificate: port %+v", p)
	}
	// The chart's own configuration is one that the program takes.
	if _, err := source.ParseConfig([]byte(find[corev1.ConfigMap](t, plain, "ConfigMap", "issuer").Data["issuer.yaml"]), "/"); err != nil {
		t.Error(err)
	}
}

func TestPublisher(t *testing.T) {
	const role = "arn:aws:iam::000000000000:role/publish"
	objects := publisherObjects(t, deploy.PublisherParams{Bucket: "b", Prefix: "dev", Region: "eu-west-1", RoleARN: role, EndpointURL: "http://emulator:4566"})
	d := find[appsv1.Deployment](t, objects, "Deployment", deploy.PublisherName)
	restricted(t, d.Spec.Template.Spec)
	c := d.Spec.Template.Spec.Containers[0]
	if want := []string{"publish", "--bucket=b", "--prefix=dev", "--region=eu-west-1", "--documents-only=true", "--admin-listen=:9090"}; !slices.Equal(c.Args, want) {
		t.Errorf("arguments %q, want %q", c.Args, want)
	}
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	if env["AWS_ROLE_ARN"] != role || env["AWS_ENDPOINT_URL"] != "http://emulator:4566" || env["AWS_ENDPOINT_URL_STS"] != "http://emulator:4566" {
		t.Errorf("environment %v", env)
	}
	v := d.Spec.Template.Spec.Volumes[0].Projected.Sources[0].ServiceAccountToken
	if m := c.VolumeMounts[0]; m.MountPath+"/"+v.Path != env["AWS_WEB_IDENTITY_TOKEN_FILE"] || v.Audience != "sts.amazonaws.com" {
		t.Errorf("token %+v at %s", v, m.MountPath)
	}
	r := find[rbacv1.Role](t, objects, "Role", deploy.PublisherName)
	for _, rule := range r.Rules {
		if !slices.Equal(rule.Resources, []string{"leases"}) {
			t.Errorf("more rights than for the election: %+v", rule)
		}
	}
	plain := publisherObjects(t, deploy.PublisherParams{Bucket: "b", Region: "eu-west-1"})
	if s := find[appsv1.Deployment](t, plain, "Deployment", deploy.PublisherName).Spec.Template.Spec; len(s.Volumes) != 0 {
		t.Errorf("without a role: volumes %+v", s.Volumes)
	}
	for _, p := range []deploy.PublisherParams{{}, {Image: image, Bucket: "b"}, {Image: image, Region: "r"}} {
		if _, err := deploy.Publisher(p); err == nil {
			t.Errorf("%+v is rendered", p)
		}
	}
	if _, err := deploy.Issuer(deploy.IssuerParams{}); err == nil || !strings.Contains(err.Error(), "image") {
		t.Errorf("without an image: %v", err)
	}
}
