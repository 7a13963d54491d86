package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/openirsa/openirsa/internal/cli"
)

// admission answers each request for a pod by the next of these.
func admission(t *testing.T, answers ...func(*corev1.Pod) error) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/api/v1/namespaces/default/pods" || r.URL.Query().Get("dryRun") != "All" {
			t.Errorf("%s %s: not a dry run of a pod in default", r.Method, r.URL)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		o, err := runtime.Decode(scheme.Codecs.UniversalDeserializer(), body)
		if err != nil {
			t.Error(err)
			return
		}
		p := o.(*corev1.Pod)
		if p.Spec.ServiceAccountName != "app" {
			t.Errorf("a pod of service account %q", p.Spec.ServiceAccountName)
		}
		answer := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		w.Header().Set("Content-Type", "application/json")
		if err := answer(p); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
				Status: metav1.StatusFailure, Message: err.Error(), Code: 500})
			return
		}
		p.TypeMeta = metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}
		json.NewEncoder(w).Encode(p)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestCheck(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/app"
	down := func(*corev1.Pod) error {
		return fmt.Errorf(`Internal error occurred: failed calling webhook "pod-identity.openirsa.dev"`)
	}
	nothing := func(*corev1.Pod) error { return nil }
	withRole := func(p *corev1.Pod) error {
		c := &p.Spec.Containers[0]
		c.Env = append(c.Env, corev1.EnvVar{Name: "AWS_ROLE_ARN", Value: role})
		return nil
	}
	whole := func(p *corev1.Pod) error {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "aws-iam-token", VolumeSource: corev1.VolumeSource{
			Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
				ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "sts.amazonaws.com", Path: "token"}}}}}})
		return withRole(p)
	}
	credentials := func(p *corev1.Pod) error {
		c := &p.Spec.Containers[0]
		c.Env = append(c.Env, corev1.EnvVar{Name: "AWS_CONTAINER_CREDENTIALS_FULL_URI", Value: "u"}, corev1.EnvVar{Name: "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Value: "f"})
		return nil
	}
	podIdentity := func(p *corev1.Pod) error {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "eks-pod-identity-token", VolumeSource: corev1.VolumeSource{
			Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
				ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "pods.eks.amazonaws.com", Path: "t"}}}}}})
		return credentials(p)
	}
	for _, test := range []struct {
		name    string
		answers []func(*corev1.Pod) error
		within  string
		says    string // on stdout, or as the error
		fails   bool
	}{
		{"answers", []func(*corev1.Pod) error{whole}, "0", "a pod of default/app gets the role " + role + " and a token\n", false},
		{"answers in the end", []func(*corev1.Pod) error{down, nothing, whole}, "10s", "gets the role " + role, false},
		{"pod identity", []func(*corev1.Pod) error{podIdentity}, "0", "a pod of default/app gets container credentials (EKS Pod Identity) and a token\n", false},
		{"half of pod identity", []func(*corev1.Pod) error{credentials}, "0", "admitted with container credentials (EKS Pod Identity) and without a token", true},
		{"down", []func(*corev1.Pod) error{down}, "0", `asking for a pod of default/app: Internal error occurred: failed calling webhook`, true},
		{"not asked", []func(*corev1.Pod) error{nothing}, "0", "a pod of default/app: admitted without a role", true},
		{"half", []func(*corev1.Pod) error{withRole}, "0", "admitted with the role " + role + " and without a token", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := Run(t.Context(), called(&out, "check", "--service-account=default/app", "--within="+test.within,
				"--kube-api="+admission(t, test.answers...)))
			said := out.String()
			if err != nil {
				said += err.Error()
			}
			if (err != nil) != test.fails || !strings.Contains(said, test.says) {
				t.Errorf("%v: %q, want %q", err, out.String(), test.says)
			}
			if cli.IsUsage(err) {
				t.Errorf("a mistake of usage: %v", err)
			}
		})
	}
	for _, account := range []string{"", "app", "default/", "/app", "a/b/c"} {
		if err := Run(t.Context(), called(io.Discard, "check", "--service-account="+account)); !cli.IsUsage(err) {
			t.Errorf("--service-account %q: %v", account, err)
		}
	}
}
