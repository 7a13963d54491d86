package webhook

import (
	"crypto/sha256"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/openirsa/openirsa/pkg/irsa"
)

// A RoleSessionName has 2 to 64 characters of [\w+=,.@-] (AssumeRoleWithWebIdentity).
// Names of pods are made of fewer kinds of characters, but may have 1 or 253.
const minSession, maxSession = 2, 64

// sessionName is the variable that has SDKs call their sessions after a pod. A pod
// whose name is still to be made knows it when it runs: the API server makes names
// of at most 63 characters. One whose name does not fit gets one that tells it as
// well as it can, and a warning with it.
func sessionName(pod string) (v corev1.EnvVar, warning string) {
	v.Name = irsa.EnvRoleSessionName
	switch {
	case pod != "" && len(pod) < minSession:
		v.Value = "pod-" + pod
	case len(pod) > maxSession:
		sum := fmt.Sprintf("-%x", sha256.Sum256([]byte(pod)))[:9]
		v.Value = pod[:maxSession-len(sum)] + sum
	default:
		v.ValueFrom = &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}
		return v, ""
	}
	return v, fmt.Sprintf("the pod's name is not %d to %d characters long: its AWS sessions are called %q", minSession, maxSession, v.Value)
}
