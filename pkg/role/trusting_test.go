package role_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/trust"
)

// TestAlsoTrust moves the roles of a cluster to another provider, and back.
func TestAlsoTrust(t *testing.T) {
	a, client, one, two := clusters(t)
	ctx := t.Context()
	mine := one.want(false, iamReadOnly)
	mine.Name = "mine"
	shared := one.want(true, iamReadOnly)
	a.Role("theirs", one.iss.Trust("default", "app")) // made by somebody else
	elsewhere := two.want(false)
	elsewhere.Name = "elsewhere"
	for _, r := range []role.Role{mine, shared, elsewhere} {
		converge(t, client, r)
	}
	trusted := func(name string) []string {
		t.Helper()
		r, ok, err := role.Get(ctx, client, name)
		if err != nil || !ok {
			t.Fatalf("role %s: %v", name, err)
		}
		return trust.Providers(r.Trust)
	}
	to := two.iss.ARN // any provider that is there
	was := map[string][]string{"mine": trusted("mine"), "shared": trusted("shared"), "theirs": trusted("theirs"), "elsewhere": trusted("elsewhere")}

	steps, others, err := role.AlsoTrust(ctx, client, one.mark(), one.iss.ARN, to)
	if err != nil || len(steps) != 2 || !slices.Equal(others, []string{"theirs"}) {
		t.Fatalf("%v, others %q, %v", steps, others, err)
	}
	if err := plan.Run(ctx, steps, nil); err != nil {
		t.Fatal(err)
	}
	both := []string{one.iss.ARN, to}
	slices.Sort(both)
	for name, want := range map[string][]string{"mine": both, "shared": both, "theirs": was["theirs"], "elsewhere": was["elsewhere"]} {
		if got := trusted(name); !slices.Equal(got, want) {
			t.Errorf("%s trusts %q, want %q", name, got, want)
		}
	}
	if steps, _, err := role.AlsoTrust(ctx, client, one.mark(), one.iss.ARN, to); err != nil || len(steps) > 0 {
		t.Errorf("again: %v, %v", steps, err)
	}

	steps, err = role.StopTrusting(ctx, client, one.mark(), one.iss.ARN)
	if err != nil || len(steps) != 2 {
		t.Fatalf("%v, %v", steps, err)
	}
	if err := plan.Run(ctx, steps, nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mine", "shared"} {
		if got := trusted(name); !slices.Equal(got, []string{to}) {
			t.Errorf("%s trusts %q in the end", name, got)
		}
	}
	// Nobody would be let in: that is for `delete`, not for this.
	if steps, err := role.StopTrusting(ctx, client, one.mark(), to); err != nil || len(steps) > 0 {
		t.Errorf("the last provider: %v, %v", steps, err)
	}
	if got := trusted("theirs"); !slices.Equal(got, was["theirs"]) {
		t.Errorf("a role of somebody else now trusts %q", got)
	}
}

// TestAlsoTrustTooLong: one role without room keeps all of them as they are.
func TestAlsoTrustTooLong(t *testing.T) {
	_, client, one, two := clusters(t)
	ctx := t.Context()
	small := one.want(false)
	small.Name = "small"
	large := one.want(false)
	large.Name = "large"
	var subjects []string
	for i := range 22 {
		subjects = append(subjects, fmt.Sprintf("system:serviceaccount:namespace-%d:a-service-account-%d", i, i))
	}
	document, err := trust.Policy{Providers: []trust.Provider{{ARN: one.iss.ARN, Issuer: one.iss.URL, Audience: "sts.amazonaws.com", Subjects: subjects}}}.Document()
	if err != nil {
		t.Fatal(err)
	}
	large.Trust = document
	converge(t, client, small)
	converge(t, client, large)
	steps, _, err := role.AlsoTrust(ctx, client, one.mark(), one.iss.ARN, two.iss.ARN)
	if e, ok := errors.AsType[*trust.SizeError](err); !ok || e.Limit != trust.MaxSize || !strings.Contains(err.Error(), "role large") || steps != nil {
		t.Errorf("%v, %v", steps, err)
	}
}
