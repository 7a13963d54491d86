package role_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/trust"
)

const (
	iamReadOnly = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"
	s3ReadOnly  = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
)

func start(t *testing.T) (*emulatortest.AWS, *iam.Client, role.Role) {
	t.Helper()
	a := emulatortest.Start(t)
	return a, iam.NewFromConfig(a.Config()), role.Role{
		Name: role.NameFor("dev", "default", "app"), Path: role.PathFor("dev"), Description: "d",
		Trust: []byte(a.Issuer("dev").Trust("default", "app")), PolicyARNs: []string{iamReadOnly}, Tags: owner.Tags("dev", "1"),
	}
}

func mustPlan(t *testing.T, client role.IAM, want role.Role) []plan.Step {
	t.Helper()
	steps, err := role.Plan(t.Context(), client, want)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func converge(t *testing.T, client role.IAM, want role.Role) []plan.Step {
	t.Helper()
	steps := mustPlan(t, client, want)
	if err := plan.Run(t.Context(), steps, nil); err != nil {
		t.Fatal(err)
	}
	if again := mustPlan(t, client, want); len(again) != 0 {
		t.Errorf("a second plan has steps: %v", again)
	}
	return steps
}

func TestRole(t *testing.T) {
	_, client, want := start(t)
	converge(t, client, want)
	there, ok, err := role.Get(t.Context(), client, want.Name)
	if err != nil || !ok || there.ARN != "arn:aws:iam::000000000000:role/openirsa/dev/openirsa-dev-default-app" ||
		!slices.Equal(there.PolicyARNs, want.PolicyARNs) || there.Description != "d" {
		t.Fatalf("role %+v, %v, %v", there, ok, err)
	}

	// Everything that can change, changes, and back again.
	other := want
	other.Trust = []byte(strings.Replace(string(want.Trust), "default:app", "default:other", 1))
	other.PolicyARNs = []string{s3ReadOnly}
	other.Inline = map[string][]byte{"inline": []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/a%20b+c"}]}`)}
	other.Boundary = iamReadOnly
	other.Tags = map[string]string{owner.Tag: "true", owner.ClusterTag: "dev", owner.UIDTag: "1", "team": "x"}
	steps := converge(t, client, other)
	var diffs []string // the first line of each that changes
	for _, s := range steps {
		changed := strings.TrimLeft(strings.Join(slices.DeleteFunc(strings.Split(s.Diff, "\n"), func(l string) bool { return strings.HasPrefix(l, "  ") }), " "), " ")
		diffs = append(diffs, strings.Join(strings.Fields(changed)[:2], " "))
	}
	if want := []string{"+ tags", `- "issuer-dev.s3.us-east-1.amazonaws.com:sub":`, "- permissions", "+ policy", "+ {", "- policy"}; !slices.Equal(diffs, want) {
		t.Errorf("steps %q, want %q", diffs, want)
	}
	there, _, err = role.Get(t.Context(), client, want.Name)
	if err != nil || string(there.Inline["inline"]) != string(other.Inline["inline"]) || there.Boundary != other.Boundary || there.Tags["team"] != "x" {
		t.Errorf("role %+v, %v", there, err)
	}
	converge(t, client, want)

	// White space and the order of members are no change.
	spaced := want
	spaced.Trust = []byte(strings.ReplaceAll(string(want.Trust), ",", " ,\n"))
	if steps := mustPlan(t, client, spaced); len(steps) != 0 {
		t.Errorf("white space makes work: %v", steps)
	}

	list, err := role.List(t.Context(), client, role.PathFor("dev"))
	if err != nil || len(list) != 1 || list[0].Name != want.Name || !trust.Equal(list[0].Trust, want.Trust) || list[0].Created.IsZero() {
		t.Errorf("list %+v, %v", list, err)
	}
	remove(t, client, want.Name)
	remove(t, client, want.Name)
	if _, ok, err := role.Get(t.Context(), client, want.Name); ok || err != nil {
		t.Errorf("it is still there: %v", err)
	}
}

func remove(t *testing.T, client role.IAM, name string) {
	t.Helper()
	steps, err := role.Delete(t.Context(), client, name, owner.Tags("dev", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Run(t.Context(), steps, nil); err != nil {
		t.Fatal(err)
	}
}

func TestARoleOfSomebodyElse(t *testing.T) {
	a, client, want := start(t)
	a.Role(want.Name, string(want.Trust), s3ReadOnly)
	if steps, err := role.Plan(t.Context(), client, want); steps != nil || !isForeign(err, "arn:aws:iam::000000000000:role/"+want.Name) {
		t.Errorf("steps %v, error %v", steps, err)
	}
	remove(t, client, want.Name)
	if there, ok, err := role.Get(t.Context(), client, want.Name); !ok || err != nil || !slices.Equal(there.PolicyARNs, []string{s3ReadOnly}) {
		t.Errorf("it was touched: %+v, %v, %v", there, ok, err)
	}
}

func isForeign(err error, arn string) bool {
	e, ok := errors.AsType[*role.ForeignError](err)
	return ok && e.Role.ARN == arn && e.Cluster == "dev"
}

func TestAPolicyThatDoesNotExist(t *testing.T) {
	_, client, want := start(t)
	want.PolicyARNs = append(want.PolicyARNs, "arn:aws:iam::aws:policy/NoSuchAccess")
	steps, err := role.Plan(t.Context(), client, want)
	if !errors.Is(err, role.ErrNoPolicy) || !strings.Contains(err.Error(), "NoSuchAccess") || steps != nil {
		t.Errorf("steps %v, error %v", steps, err)
	}
}

func TestCheck(t *testing.T) {
	reject := func(why string, r role.Role) {
		t.Helper()
		if err := r.Check(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("error %v, want one with %q", err, why)
		}
	}
	arns := make([]string, 11)
	tags := map[string]string{}
	for i := range 51 {
		tags[fmt.Sprint(i)] = ""
	}
	for i := range arns {
		arns[i] = fmt.Sprintf("arn:aws:iam::aws:policy/P%d", i)
	}
	reject("1 to 64", role.Role{})
	reject("1 to 64", role.Role{Name: strings.Repeat("a", 65)})
	reject("1 to 64", role.Role{Name: "a/b"})
	reject("slash", role.Role{Name: "a", Path: "x"})
	reject("slash", role.Role{Name: "a", Path: "/x"})
	reject("slash", role.Role{Name: "a", Path: "/" + strings.Repeat("a", 512) + "/"})
	reject("more than the 10", role.Role{Name: "a", PolicyARNs: arns})
	reject("more than 50", role.Role{Name: "a", Tags: tags})
	reject("not the ARN of a managed policy", role.Role{Name: "a", PolicyARNs: []string{"arn:aws:s3:::b"}})
	reject("permissions boundary", role.Role{Name: "a", Boundary: "x"})
	if err := (role.Role{Name: "a", Path: "/x/y/", PolicyARNs: arns[:10], Boundary: "arn:aws-us-gov:iam::123456789012:policy/p/q"}).Check(); err != nil {
		t.Error(err)
	}
}

func TestNameFor(t *testing.T) {
	if got := role.NameFor("dev", "default", "app"); got != "openirsa-dev-default-app" {
		t.Errorf("name %q", got)
	}
	// Names that could be read in two ways differ, and all of them are valid.
	seen := map[string]bool{}
	long := strings.Repeat("a", 60)
	for _, c := range [][3]string{{"a-b", "c", "d"}, {"a", "b-c", "d"}, {"a", "b", "c-d"}, {long, "n", "a"}, {long, "n", "b"}, {"kind", "n.x", strings.Repeat("b.", 100) + "c"}} {
		name := role.NameFor(c[0], c[1], c[2])
		if seen[name] {
			t.Errorf("name %q twice", name)
		}
		seen[name] = true
		if err := (role.Role{Name: name}).Check(); err != nil {
			t.Error(err)
		}
	}
}

// Whichever call fails, before or after it was done, the next run ends at the
// same; and so does removing.
func TestAnyCallMayFail(t *testing.T) {
	for _, drop := range []bool{false, true} {
		fault := func(k int) emulator.Fault {
			f := emulator.Fault{Action: "iam:*", Skip: k, Times: 1, Drop: drop}
			if !drop {
				f.Code = "ServiceFailure"
			}
			return f
		}
		for k := 0; ; k++ {
			a, client, want := start(t)
			want.Inline = map[string][]byte{"inline": []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`)}
			a.Inject(fault(k))
			steps, err := role.Plan(t.Context(), client, want)
			if err == nil {
				err = plan.Run(t.Context(), steps, nil)
			}
			a.ClearFaults()
			converge(t, client, want)

			a.Inject(fault(k))
			steps, deleteErr := role.Delete(t.Context(), client, want.Name, want.Tags)
			if deleteErr == nil {
				deleteErr = plan.Run(t.Context(), steps, nil)
			}
			a.ClearFaults()
			remove(t, client, want.Name)
			if _, ok, err := role.Get(t.Context(), client, want.Name); ok || err != nil {
				t.Errorf("call %d, drop %v: it is still there: %v", k, drop, err)
			}
			if err == nil && deleteErr == nil { // more calls than there are
				if k < 7 {
					t.Errorf("it took only %d calls", k)
				}
				break
			}
		}
	}
}
