package cluster

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openirsa/openirsa/pkg/record"
)

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
