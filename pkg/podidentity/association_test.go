package podidentity_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/podidentity"
	"github.com/openirsa/openirsa/pkg/trust"
)

// An association is made, is not made again, is changed to what is wanted, and deleted;
// EKS is the emulator's, which checks what AWS checks.
func TestPlan(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	a := emulatortest.Start(t, emulator.Config{})
	if _, err := a.RegisterCluster(emulator.EKSCluster{Name: "c1", Issuer: "https://issuer.example/c1"}); err != nil {
		t.Fatal(err)
	}
	client := eks.NewFromConfig(a.Config())
	document, err := trust.WithPods(nil, trust.Pods{})
	if err != nil {
		t.Fatal(err)
	}
	one, two := a.Role("one", string(document)), a.Role("two", string(document))
	want := podidentity.Association{
		Cluster: "c1", Namespace: "team-a", ServiceAccount: "app", RoleARN: one, Tags: map[string]string{"team": "a"},
	}
	// run plans and does what there is to do, and returns the actions.
	run := func(want podidentity.Association) (did []string) {
		t.Helper()
		steps, err := podidentity.Plan(ctx, client, want)
		if err == nil {
			err = plan.Run(ctx, steps, func(s plan.Step) { did = append(did, s.String()) })
		}
		if err != nil {
			t.Fatal(err)
		}
		return did
	}
	// twice is run, which has the second time nothing to do.
	twice := func(want podidentity.Association, expected string) podidentity.Association {
		t.Helper()
		if did := strings.Join(run(want), "; "); did != expected {
			t.Errorf("it did %q, want %q", did, expected)
		}
		if did := run(want); did != nil {
			t.Errorf("the second time it did %q", did)
		}
		all, err := podidentity.Read(ctx, client, "c1", podidentity.Filter{Namespace: "team-a"})
		if err != nil || len(all) != 1 {
			t.Fatalf("%v, %v", all, err)
		}
		return all[0]
	}
	there := twice(want, "create association of team-a/app")
	if there.RoleARN != one || there.Tags["team"] != "a" || there.ID == "" || there.ExternalID != "" {
		t.Errorf("%+v", there)
	}
	// A call whose answer was lost is made again.
	steps, err := podidentity.Plan(ctx, client, podidentity.Association{Cluster: "c1", Namespace: "b", ServiceAccount: "b", RoleARN: one})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := plan.Run(ctx, steps, nil); err != nil {
			t.Fatal(err)
		}
	}
	want.RoleARN, want.TargetRoleARN, want.Tags["tier"] = two, one, "web"
	if there = twice(want, "update association of team-a/app; update association of team-a/app"); there.RoleARN != two ||
		there.TargetRoleARN != one || there.ExternalID == "" || there.Tags["tier"] != "web" {
		t.Errorf("%+v", there)
	}
	want.TargetRoleARN, want.DisableSessionTags = "", true
	want.Policy = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}`
	if there = twice(want, "update association of team-a/app"); there.TargetRoleARN != "" || there.Policy != want.Policy {
		t.Errorf("%+v", there)
	}
	want.Policy, want.DisableSessionTags = "", false
	if there = twice(want, "update association of team-a/app"); there.Policy != "" || there.DisableSessionTags {
		t.Errorf("%+v", there)
	}
	steps, err = there.Delete(client)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // what is gone is no error
		if err := plan.Run(ctx, steps, nil); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := podidentity.List(ctx, client, "c1", podidentity.Filter{}); err != nil || len(left) != 1 || left[0].String() != "b/b" {
		t.Errorf("left are %v, %v", left, err)
	}
	// One like it can be made again, and is another.
	if again := twice(want, "create association of team-a/app"); again.ID == there.ID {
		t.Errorf("%s is there again", again.ID)
	}
	// What EKS refuses is refused, and said.
	want.Cluster = "c9"
	_, err = podidentity.Plan(ctx, client, want)
	if _, ok := errors.AsType[*types.ResourceNotFoundException](err); !ok {
		t.Errorf("another cluster: %v", err)
	}
	for _, bad := range []podidentity.Association{
		{Cluster: "c1", Namespace: "a", ServiceAccount: "a"}, {Cluster: "c1", Namespace: "a", ServiceAccount: "a", RoleARN: one, Policy: "{}"},
		{Cluster: "c1", Namespace: "a", ServiceAccount: "a", RoleARN: one, DisableSessionTags: true, Policy: "{"},
		{Cluster: "c1", Namespace: "a", ServiceAccount: "a", RoleARN: one, DisableSessionTags: true, Policy: `"` + strings.Repeat("x", 2050) + `"`},
	} {
		if _, err := podidentity.Plan(ctx, client, bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// An association of an add-on is left to the add-on.
func TestOwned(t *testing.T) {
	a := podidentity.Association{Namespace: "kube-system", ServiceAccount: "csi", OwnerARN: "arn:aws:eks:us-east-1:111122223333:addon/c1/csi/x"}
	_, err := a.Delete(nil)
	if e, ok := errors.AsType[*podidentity.OwnedError](err); !ok || !strings.Contains(e.Error(), "addon/c1/csi") {
		t.Errorf("%v", err)
	}
}
