package trust_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/policy"
	"github.com/openirsa/openirsa/pkg/trust"
)

const (
	podsOfC1 = "arn:aws:eks:us-east-1:111122223333:cluster/c1"
	podsOfC2 = "arn:aws:eks:us-east-1:111122223333:cluster/c2"
)

func TestPods(t *testing.T) {
	app := trust.Pods{ClusterARN: podsOfC1, Namespace: "team-a", ServiceAccount: "app"}
	whole, everybody := trust.Pods{ClusterARN: podsOfC1}, trust.Pods{}
	one := must(t)(trust.WithPods(nil, app))
	if _, err := policy.Parse(policy.Trust, one); err != nil {
		t.Errorf("IAM would refuse %s: %v", one, err)
	}
	if again := must(t)(trust.WithPods(one, app)); string(again) != string(one) {
		t.Errorf("added twice: %s", again)
	}
	// Beside the statement of an OIDC provider, which stays, and with somebody's Sid.
	both := must(t)(trust.WithPods(ofA(t, "app"), app, whole, everybody))
	named := []byte(strings.Replace(string(both), `"Effect":"Allow","Principal":{"Service"`, `"Sid":"Pods","Effect":"Allow","Principal":{"Service"`, 1))
	if got := trust.PodsOf(named); !slices.Equal(got, []trust.Pods{app, whole, everybody}) {
		t.Errorf("pods of %s: %v", named, got)
	}
	if got := must(t)(trust.WithPods(named, app)); !trust.Equal(got, named) {
		t.Errorf("a Sid hides the statement: %s", got)
	}
	if got := must(t)(trust.WithoutPods(named, app, whole, everybody)); !trust.Equal(got, ofA(t, "app")) {
		t.Errorf("left is %s", got)
	}
	if got, err := trust.WithoutPods(one, app); got != nil || err != nil {
		t.Errorf("nobody is let in by %s, %v", got, err)
	}
	if got := must(t)(trust.WithoutPods(both, trust.Pods{ClusterARN: podsOfC2, Namespace: "team-a", ServiceAccount: "app"})); !trust.Equal(got, both) {
		t.Errorf("another cluster's removal leaves %s", got)
	}
	for _, bad := range []trust.Pods{{ClusterARN: podsOfC1, Namespace: "team-a"}, {Namespace: "a", ServiceAccount: "b"}} {
		if got, err := trust.WithPods(nil, bad); err == nil {
			t.Errorf("%v: %s", bad, got)
		}
	}
}

func TestNamesPodIdentity(t *testing.T) {
	const open = `{"Effect":"Allow","Principal":{"Service":["ec2.amazonaws.com","pods.eks.amazonaws.com"]},"Action":"sts:AssumeRole"}`
	for text, want := range map[string]bool{
		open: true, strings.Replace(open, "Allow", "Deny", 1): false, strings.Replace(open, "pods.", "", 1): false,
		strings.Replace(open, "Service", "AWS", 1):                     false,
		`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}`: false,
	} {
		if got := trust.NamesPodIdentity(document(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// A statement for pods that is there already is not added once more with those of a provider.
func TestPodsAreAddedOnce(t *testing.T) {
	pods, err := trust.WithPods(nil, trust.Pods{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := trust.With(pods, pods)
	if err != nil || !trust.Equal(again, pods) {
		t.Errorf("%s, %v, want %s", again, err, pods)
	}
}
