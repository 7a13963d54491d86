package gather

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/podidentity"
)

// Examination is of one chain. What all service accounts share is read once.
type Examination struct {
	chain    *chain.Chain
	facts    doctor.Facts // those that all service accounts share
	accounts []corev1.ServiceAccount

	associations map[string]podidentity.Association // by service account, NAMESPACE/NAME
	byAgent      map[string]bool                    // service accounts whose pods have EKS Pod Identity
}

// ListError is a cluster whose service accounts cannot be listed, mostly because the
// kubeconfig is not an administrator's.
type ListError struct{ Err error }

func (e *ListError) Error() string { return fmt.Sprintf("listing the service accounts: %v", e.Err) }
func (e *ListError) Unwrap() error { return e.Err }

// PodError is a pod that was asked about and cannot be read.
type PodError struct {
	Namespace string
	Err       error
}

func (e *PodError) Error() string { return fmt.Sprintf("%s: %v", doctor.Pod, e.Err) }
func (e *PodError) Unwrap() error { return e.Err }
