package kindenv

import (
	"strings"
	"testing"
)

func TestBalancerImage(t *testing.T) {
	ref, err := balancerImage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(ref, "docker.io/envoyproxy/envoy:v") {
		t.Errorf("kind's load balancer is %q", ref)
	}
}
