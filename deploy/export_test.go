package deploy

import (
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Tests render the whole chart.
func init() {
	chart = os.DirFS(".")
	templated = append(templated, "chart/templates/tests/*.yaml")
}

// Embedded has the files of the chart that are in programs.
var Embedded = embedded

// Render is a template of the chart with the chart's own values.
func Render(file, managedBy string) (string, error) {
	values, err := defaults()
	if err != nil {
		return "", err
	}
	return render(file, values, Namespace, managedBy)
}

// RenderWith is a template of the chart with these values, for Helm.
func RenderWith(file string, values map[string]any) (string, error) {
	return render(file, values, Namespace, "Helm")
}

// Decode reads what was rendered.
func Decode(text string) ([]*unstructured.Unstructured, error) { return decode("text", text) }
