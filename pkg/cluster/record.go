package cluster

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Object is the ConfigMap that holds the State.
func (s State) Object() (*unstructured.Unstructured, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	var data map[string]any
	if err := json.Unmarshal(b, &data); err != nil {
		return nil, err
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "ConfigMap",
		"metadata": map[string]any{
			"namespace": Namespace, "name": stateName,
			"labels": map[string]any{"app.kubernetes.io/part-of": "openirsa", "app.kubernetes.io/managed-by": "openirsa"},
		},
		"data": data,
	}}, nil
}
