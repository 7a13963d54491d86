package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openirsa/openirsa/pkg/plan"
)

// State is what later commands need to know of an installation: the data of
// the ConfigMap "openirsa" in [Namespace]. It holds no secrets.
type State struct {
	// Cluster is the name that the installation goes by in AWS tags.
	Cluster string `json:"cluster"`
	// Issuer is the issuer URL of the cluster's tokens.
	Issuer string `json:"issuer"`
	// FormerIssuers, separated by spaces, are those that this project had set
	// before and that may still be accepted.
	FormerIssuers string `json:"formerIssuers,omitempty"`
	// Provider is the ARN of the IAM OIDC provider.
	Provider string `json:"provider,omitempty"`
	// Bucket, Prefix and Region say where the documents are in S3. The Bucket
	// is empty where another server has the documents.
	Bucket string `json:"bucket,omitempty"`
	Prefix string `json:"prefix,omitempty"`
	Region string `json:"region,omitempty"`
	// BucketOwned is "true" where the Bucket was made by this project, which
	// then deletes it with its last document.
	BucketOwned string `json:"bucketOwned,omitempty"`
	// PrivateBucket is "true" where the Bucket is closed to the public and a
	// CloudFront distribution serves the documents at the Issuer; Distribution
	// is its ARN if the Bucket's policy is ours to write.
	PrivateBucket string `json:"privateBucket,omitempty"`
	Distribution  string `json:"distribution,omitempty"`
	// Account is the AWS account and Partition its partition.
	Account   string `json:"account,omitempty"`
	Partition string `json:"partition,omitempty"`
	// Endpoint is where pods reach AWS's services; empty for AWS itself.
	Endpoint string `json:"endpoint,omitempty"`
	// Emulator is "true" where the emulator runs in this cluster.
	Emulator string `json:"emulator,omitempty"`
	// KeepIssuer is "true" where the API servers keep the issuer that they had,
	// whose documents the emulator in the cluster reads from them.
	KeepIssuer string `json:"keepIssuer,omitempty"`
	// Image is the container image that was loaded into the nodes.
	Image string `json:"image,omitempty"`
	// FailurePolicy is the webhook's for workloads; empty for Fail.
	// IgnoreNamespaces and ExcludeNamespaces, separated by spaces, are those
	// whose pods never wait for it, besides the system's, and those of whose
	// pods it is not asked.
	FailurePolicy     string `json:"failurePolicy,omitempty"`
	IgnoreNamespaces  string `json:"ignoreNamespaces,omitempty"`
	ExcludeNamespaces string `json:"excludeNamespaces,omitempty"`
	// Change is the key rotation or issuer migration that is under way, as
	// JSON: its stage, its times and the ids of keys. Empty for none.
	Change string `json:"change,omitempty"`
}

// stateName is the name of the ConfigMap in Namespace.
const stateName = "openirsa"

// ErrNoState says that nothing is installed in the cluster.
var ErrNoState = errors.New("nothing is installed in this cluster")

// ErrStateChanged says that the record is another one than this process has
// read: somebody else is changing the installation too.
var ErrStateChanged = errors.New("another run has changed the record of the installation meanwhile")

// State reads what is installed. [ErrNoState] if nothing is. What it finds is
// what [Cluster.SetState] expects to replace.
func (c *Cluster) State(ctx context.Context) (State, error) {
	s, _, err := c.readState(ctx)
	if err == nil {
		c.recorded, c.hasRead = &s, true
	} else if errors.Is(err, ErrNoState) {
		c.recorded, c.hasRead = nil, true
	}
	return s, err
}

// readState is the record and its resourceVersion.
func (c *Cluster) readState(ctx context.Context) (State, string, error) {
	m, err := retry(ctx, func() (*corev1.ConfigMap, error) {
		return c.client.CoreV1().ConfigMaps(Namespace).Get(ctx, stateName, metav1.GetOptions{})
	})
	if apierrors.IsNotFound(err) {
		return State{}, "", fmt.Errorf("%w: cluster %s has no ConfigMap %s/%s: run `setup up` first", ErrNoState, c.Name, Namespace, stateName)
	}
	if err != nil {
		return State{}, "", fmt.Errorf("reading ConfigMap %s/%s of cluster %s: %w", Namespace, stateName, c.Name, err)
	}
	b, err := json.Marshal(m.Data)
	if err != nil {
		return State{}, "", err
	}
	var s State
	if err := json.Unmarshal(b, &s); err != nil {
		return State{}, "", fmt.Errorf("reading ConfigMap %s/%s of cluster %s: %w", Namespace, stateName, c.Name, err)
	}
	return s, m.ResourceVersion, nil
}

// SetState records what is installed, in [Namespace], which must be there when
// the step is run. It comes before anything else is made, so that whatever
// happens then, `setup down` knows where to look. The step is
// [ErrStateChanged], and writes nothing, if the record is not the one that
// [Cluster.State] has read: it must not undo the stage of a change that has
// gone on since.
func (c *Cluster) SetState(ctx context.Context, s State) ([]plan.Step, error) {
	record, err := s.Object()
	if err != nil {
		return nil, err
	}
	steps, err := c.Apply(ctx, []*unstructured.Unstructured{record}, plan.Issuer)
	for i, step := range steps {
		steps[i].Do = func(ctx context.Context) error {
			version, err := c.stateAsRead(ctx)
			if err != nil {
				return err
			}
			// A write that comes in between makes ours a conflict. So does ours,
			// done and made once more because its answer was lost. A record that
			// has gone meanwhile is made anew, whatever the version.
			record.SetResourceVersion(version)
			err = step.Do(ctx)
			if apierrors.IsConflict(err) {
				now, _, readErr := c.readState(ctx)
				switch {
				case readErr != nil:
					return readErr
				case now != s:
					return ErrStateChanged
				}
			} else if err != nil {
				return err
			}
			c.recorded, c.hasRead = &s, true
			return nil
		}
	}
	return steps, err
}

// stateAsRead is the resourceVersion of the record if it is as this process
// knows it; empty if this process has not read it, or if it is gone: a `down`
// that was stopped may have left a namespace that is on its way out.
func (c *Cluster) stateAsRead(ctx context.Context) (string, error) {
	if !c.hasRead {
		return "", nil
	}
	now, version, err := c.readState(ctx)
	switch {
	case errors.Is(err, ErrNoState):
		return "", nil
	case err != nil:
		return "", err
	case c.recorded == nil || now != *c.recorded:
		return "", ErrStateChanged
	}
	return version, nil
}
