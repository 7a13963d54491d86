package cluster

import "testing"

// matchConditions are supported since Kubernetes 1.28, whatever a distribution appends to its
// version.
func TestSupportsMatchConditions(t *testing.T) {
	f, c := newAPI(t)
	for version, want := range map[string]bool{
		"v1.37.2": true, "v1.28.0": true, "v1.28.15-eks-7f9249a": true, "v1.30.4+k3s1": true, "v2.0.0": true, "v1.31.0-alpha.1": true,
		"v1.27.16": false, "v1.27.9-gke.1092000": false, "v1.21.0": false,
	} {
		f.GitVersion = version
		if got, err := c.SupportsMatchConditions(t.Context()); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", version, got, err, want)
		}
	}
	f.GitVersion = "unknown"
	if _, err := c.SupportsMatchConditions(t.Context()); err == nil {
		t.Error("a version that is none")
	}
}
