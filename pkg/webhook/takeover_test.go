package webhook_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/webhook"
)

// original mutates a pod in the manner of amazon-eks-pod-identity-webhook: it
// decodes the pod into the types that it was built with, and writes back the
// volume and both whole lists of containers.
func original(t *testing.T, pod []byte, role, region string) []byte {
	t.Helper()
	var p corev1.Pod
	if err := json.Unmarshal(pod, &p); err != nil {
		t.Fatal(err)
	}
	touch := func(all []corev1.Container) []corev1.Container {
		for i := range all {
			c := &all[i]
			has := func(names ...string) bool {
				for _, e := range c.Env {
					if slices.Contains(names, e.Name) {
						return true
					}
				}
				return false
			}
			if !has("AWS_REGION", "AWS_DEFAULT_REGION") {
				c.Env = append(c.Env, corev1.EnvVar{Name: "AWS_DEFAULT_REGION", Value: region}, corev1.EnvVar{Name: "AWS_REGION", Value: region})
			}
			if !has("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE") {
				c.Env = append(c.Env, corev1.EnvVar{Name: "AWS_ROLE_ARN", Value: role}, corev1.EnvVar{Name: "AWS_WEB_IDENTITY_TOKEN_FILE", Value: irsa.MountPath + "/token"})
			}
			mounted := false
			for _, m := range c.VolumeMounts {
				mounted = mounted || m.Name == "aws-iam-token"
			}
			if !mounted {
				c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "aws-iam-token", ReadOnly: true, MountPath: irsa.MountPath})
			}
		}
		return all
	}
	var patch []webhook.Operation
	there := false
	for _, v := range p.Spec.Volumes {
		there = there || v.Name == "aws-iam-token"
	}
	if !there {
		v := corev1.Volume{Name: "aws-iam-token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "sts.amazonaws.com", ExpirationSeconds: new(int64(86400)), Path: "token"}},
		}}}}
		if p.Spec.Volumes == nil {
			patch = append(patch, webhook.Operation{Op: "add", Path: "/spec/volumes", Value: []corev1.Volume{v}})
		} else {
			patch = append(patch, webhook.Operation{Op: "add", Path: "/spec/volumes/0", Value: v})
		}
	}
	patch = append(patch, webhook.Operation{Op: "add", Path: "/spec/containers", Value: touch(p.Spec.Containers)})
	if len(p.Spec.InitContainers) > 0 {
		patch = append(patch, webhook.Operation{Op: "add", Path: "/spec/initContainers", Value: touch(p.Spec.InitContainers)})
	}
	text, err := json.Marshal(patch)
	if err != nil {
		t.Fatal(err)
	}
	return apply(t, pod, text)
}

// TestTakeover registers both webhooks at once. Whoever comes first, and
// however often either is invoked again, each container has each thing once.
func TestTakeover(t *testing.T) {
	ours := func(pod []byte) []byte {
		patch, warnings := mutate(t, pod, webhook.Grant{Identity: aRole}, webhook.Settings{Region: "eu-west-1"})
		if warnings != nil {
			t.Errorf("warnings %q", warnings)
		}
		if string(patch) == "null" {
			return pod
		}
		return apply(t, pod, patch)
	}
	theirs := func(pod []byte) []byte { return original(t, pod, aRole.RoleARN, "eu-west-1") }
	real, err := webhook.ReviewObject(realReview(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, pod := range map[string][]byte{"real": real, "small": []byte(aPod)} {
		for _, order := range []string{"ot", "to", "oto", "tot", "otot", "oott", "ttoo"} {
			t.Run(name+" "+order, func(t *testing.T) {
				p := pod
				for _, who := range order {
					if who == 'o' {
						p = ours(p)
					} else {
						p = theirs(p)
					}
				}
				var done corev1.Pod
				if err := json.Unmarshal(p, &done); err != nil {
					t.Fatal(err)
				}
				containers := append(done.Spec.InitContainers, done.Spec.Containers...)
				for _, c := range containers {
					names := map[string]int{}
					for _, e := range c.Env {
						names[e.Name]++
					}
					for _, n := range []string{"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_REGION", "AWS_DEFAULT_REGION"} {
						if names[n] != 1 {
							t.Errorf("container %s has %s %d times", c.Name, n, names[n])
						}
					}
					if n := strings.Count(fmt.Sprint(c.VolumeMounts), irsa.MountPath); n != 1 {
						t.Errorf("container %s has the token mounted %d times", c.Name, n)
					}
				}
				volumes := 0
				for _, v := range done.Spec.Volumes {
					if v.Name == "aws-iam-token" {
						volumes++
					}
				}
				if volumes != 1 {
					t.Errorf("%d volumes", volumes)
				}
			})
		}
	}
}
