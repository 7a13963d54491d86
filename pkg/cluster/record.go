package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// stateName is the name of the ConfigMap in Namespace.
const stateName = "openirsa"

// ErrNoState says that nothing is installed in the cluster.
var ErrNoState = errors.New("nothing is installed in this cluster")

// ErrStateChanged says that the record is another one than this process has
// read: somebody else is changing the installation too.
var ErrStateChanged = errors.New("another run has changed the record of the installation meanwhile")

// State reads what is installed. [ErrNoState] if nothing is. What it finds is
// what [Cluster.SetState] expects to replace.
func (c *Cluster) State(ctx context.Context) (record.Record, error) {
	r, _, err := c.readState(ctx)
	if err == nil {
		c.recorded, c.hasRead = r.Encode(), true
	} else if errors.Is(err, ErrNoState) {
		c.recorded, c.hasRead = nil, true
	}
	return r, err
}

// readState is the record and its resourceVersion.
func (c *Cluster) readState(ctx context.Context) (record.Record, string, error) {
	m, err := Retry(ctx, func() (*corev1.ConfigMap, error) {
		return c.client.ConfigMaps(Namespace).Get(ctx, stateName, metav1.GetOptions{})
	})
	if apierrors.IsNotFound(err) {
		return record.Record{}, "", fmt.Errorf("%w: cluster %s has no ConfigMap %s/%s", ErrNoState, c.Name, Namespace, stateName)
	}
	if err != nil {
		return record.Record{}, "", fmt.Errorf("reading ConfigMap %s/%s of cluster %s: %w", Namespace, stateName, c.Name, err)
	}
	r, err := record.Parse(m.Data)
	if err != nil {
		return record.Record{}, "", fmt.Errorf("reading ConfigMap %s/%s of cluster %s: %w", Namespace, stateName, c.Name, err)
	}
	return r, m.ResourceVersion, nil
}

// SetState records what is installed, in [Namespace], which must be there when
// the step is run. It comes before anything else is made, so that whatever
// happens then, whoever removes the chain knows where to look. The step is
// [ErrStateChanged], and writes nothing, if the record is not the one that
// [Cluster.State] has read: it must not undo the stage of a change that has
// gone on since.
func (c *Cluster) SetState(ctx context.Context, r record.Record) ([]plan.Step, error) {
	object, data := RecordObject(r), r.Encode()
	steps, err := c.Apply(ctx, []*unstructured.Unstructured{object}, plan.Issuer)
	for i, step := range steps {
		steps[i].Do = func(ctx context.Context) error {
			version, err := c.stateAsRead(ctx)
			if err != nil {
				return err
			}
			// A write that comes in between makes ours a conflict. So does ours,
			// done and made once more because its answer was lost. A record that
			// has gone meanwhile is made again, whatever the version.
			object.SetResourceVersion(version)
			err = step.Do(ctx)
			if apierrors.IsConflict(err) {
				now, _, readErr := c.readState(ctx)
				switch {
				case readErr != nil:
					return readErr
				case !maps.Equal(now.Encode(), data):
					return ErrStateChanged
				}
			} else if err != nil {
				return err
			}
			c.recorded, c.hasRead = data, true
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
	case c.recorded == nil || !maps.Equal(now.Encode(), c.recorded):
		return "", ErrStateChanged
	}
	return version, nil
}

// RecordObject is the ConfigMap "openirsa" in [Namespace] that holds a record.
func RecordObject(r record.Record) *unstructured.Unstructured {
	data := map[string]any{}
	for key, value := range r.Encode() {
		data[key] = value
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "ConfigMap",
		"metadata": map[string]any{
			"namespace": Namespace, "name": stateName,
			"labels": map[string]any{"app.kubernetes.io/part-of": "openirsa", "app.kubernetes.io/managed-by": "openirsa"},
		},
		"data": data,
	}}
}
