package role_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
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

// sharer is a cluster with its issuer.
type sharer struct {
	name string
	iss  *emulatortest.Issuer
}

func (s sharer) mark() map[string]string { return owner.Tags(s.name, "uid-"+s.name) }

func (s sharer) want(share bool, policies ...string) role.Role {
	return role.Role{
		Name: "shared", Path: role.PathFor(s.name), Trust: []byte(s.iss.Trust("default", "app")),
		PolicyARNs: policies, Tags: s.mark(), Shared: share,
	}
}

func clusters(t *testing.T, config ...emulator.Config) (*emulatortest.AWS, *iam.Client, sharer, sharer) {
	t.Helper()
	a := emulatortest.Start(t, config...)
	return a, iam.NewFromConfig(a.Config()), sharer{"one", a.Issuer("one")}, sharer{"two", a.Issuer("two")}
}

func mustGet(t *testing.T, client role.IAM) role.Role {
	t.Helper()
	there, ok, err := role.Get(t.Context(), client, "shared")
	if err != nil || !ok {
		t.Fatalf("there is no role: %v", err)
	}
	return there
}

func leave(t *testing.T, client role.IAM, s sharer) []plan.Step {
	t.Helper()
	steps, err := role.Delete(t.Context(), client, "shared", s.mark(), s.iss.ARN)
	if err == nil {
		err = plan.Run(t.Context(), steps, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func TestShared(t *testing.T) {
	a, client, one, two := clusters(t)
	converge(t, client, one.want(false, iamReadOnly))
	roleARN := mustGet(t, client).ARN

	// Nobody joins without saying so: the second cluster may have meant a role
	// of its own.
	_, err := role.Plan(t.Context(), client, two.want(false))
	if e, ok := errors.AsType[*role.ForeignError](err); !ok || !e.Sharable() || !strings.Contains(err.Error(), `made for cluster "one"`) {
		t.Fatalf("error %v", err)
	}

	steps := converge(t, client, two.want(true, s3ReadOnly))
	if len(steps) != 3 || !strings.Contains(steps[0].Diff, owner.SharedTag) || strings.Contains(steps[0].Diff, owner.ClusterTag) {
		t.Errorf("steps %v; the mark comes first and the maker's marks stay", steps)
	}
	there := mustGet(t, client)
	if there.Tags[owner.ClusterTag] != "one" || there.Tags[owner.UIDTag] != "uid-one" || !owner.Shared(there.Tags) || there.ARN != roleARN {
		t.Errorf("role %+v", there)
	}
	if !slices.Equal(there.PolicyARNs, []string{s3ReadOnly, iamReadOnly}) && !slices.Equal(there.PolicyARNs, []string{iamReadOnly, s3ReadOnly}) {
		t.Errorf("policies %q", there.PolicyARNs)
	}
	for _, s := range []sharer{one, two} {
		if _, err := a.Assume(roleARN, s.iss.Token("default", "app")); err != nil {
			t.Errorf("a pod of cluster %s is refused: %v", s.name, err)
		}
	}

	// Each continues with its own part, now without having to say it, and leaves
	// that of the other as it is.
	before := there.Trust
	changed := one.want(false, iamReadOnly)
	changed.Trust = []byte(one.iss.Trust("default", "other"))
	converge(t, client, changed)
	there = mustGet(t, client)
	if got := trust.Subjects(there.Trust, one.iss.ARN); !slices.Equal(got, []string{"system:serviceaccount:default:other"}) {
		t.Errorf("subjects of one: %q", got)
	}
	justTwo, err := trust.Without(before, one.iss.ARN)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := trust.Without(there.Trust, one.iss.ARN); err != nil || string(got) != string(justTwo) {
		t.Errorf("the statement of two became %s, %v", got, err)
	}
	converge(t, client, two.want(false))

	// The maker goes first; the role goes with the last.
	if steps := leave(t, client, one); len(steps) != 1 || steps[0].Action != plan.Update {
		t.Errorf("steps %v", steps)
	}
	there = mustGet(t, client)
	if !slices.Equal(trust.Providers(there.Trust), []string{two.iss.ARN}) {
		t.Errorf("trust %s", there.Trust)
	}
	if steps := leave(t, client, one); len(steps) != 0 {
		t.Errorf("a second time: %v", steps)
	}
	if _, err := a.Assume(roleARN, two.iss.Token("default", "app")); err != nil {
		t.Errorf("two is refused: %v", err)
	}
	if _, err := a.Assume(roleARN, one.iss.Token("default", "app")); err == nil {
		t.Error("one is still let in")
	}
	leave(t, client, two)
	if _, ok, err := role.Get(t.Context(), client, "shared"); ok || err != nil {
		t.Errorf("it is still there: %v", err)
	}
}

// A role of somebody else is not joined, whatever is said.
func TestSharingNeedsOurMark(t *testing.T) {
	a, client, one, two := clusters(t)
	a.Role("shared", one.iss.Trust("default", "app"))
	_, err := role.Plan(t.Context(), client, two.want(true))
	if e, ok := errors.AsType[*role.ForeignError](err); !ok || e.Sharable() {
		t.Errorf("error %v", err)
	}
	if steps := leave(t, client, one); len(steps) != 0 {
		t.Errorf("steps %v", steps)
	}
}

// Tags are the caller's choice, for a shared role too.
func TestSharedWithoutTags(t *testing.T) {
	_, client, one, _ := clusters(t)
	want := one.want(true)
	want.Tags = nil
	steps, err := role.PlanAll(t.Context(), client, nil, []role.Role{want})
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Run(t.Context(), steps[want.Name], nil); err != nil {
		t.Fatal(err)
	}
	if got := mustGet(t, client); got.Tags[owner.SharedTag] != "true" || want.Tags != nil {
		t.Errorf("tags %v, wanted %v", got.Tags, want.Tags)
	}
}

// Where the maker removes a role that nobody else has joined, it goes, even if
// it was marked for sharing; a statement that was put in by hand does not keep a
// role that is not shared.
func TestLastOfOne(t *testing.T) {
	_, client, one, two := clusters(t)
	converge(t, client, one.want(true))
	leave(t, client, one)
	converge(t, client, one.want(false))
	both, err := trust.With([]byte(one.iss.Trust("default", "app")), []byte(two.iss.Trust("default", "app")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: new("shared"), PolicyDocument: new(string(both))}); err != nil {
		t.Fatal(err)
	}
	if steps := leave(t, client, two); len(steps) != 0 {
		t.Errorf("two takes what it never shared: %v", steps)
	}
	leave(t, client, one)
	if _, ok, err := role.Get(t.Context(), client, "shared"); ok || err != nil {
		t.Errorf("it is still there: %v", err)
	}
}

// Two clusters that join between each other's reading and writing both stay.
func TestSharingAtTheSameTime(t *testing.T) {
	a, client, one, two := clusters(t)
	three := sharer{"three", a.Issuer("three")}
	converge(t, client, one.want(true))
	second, third := mustPlan(t, client, two.want(true)), mustPlan(t, client, three.want(true))
	for _, steps := range [][]plan.Step{second, third} {
		if err := plan.Run(t.Context(), steps, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := trust.Providers(mustGet(t, client).Trust); len(got) != 3 {
		t.Fatalf("providers %q", got)
	}
	// And that leave: the last deletes, though it meant to change.
	plans := [][]plan.Step{}
	for _, s := range []sharer{one, two, three} {
		steps, err := role.Delete(t.Context(), client, "shared", s.mark(), s.iss.ARN)
		if err != nil || len(steps) != 1 {
			t.Fatal(steps, err)
		}
		plans = append(plans, steps)
	}
	for _, steps := range plans {
		if err := plan.Run(t.Context(), steps, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok, err := role.Get(t.Context(), client, "shared"); ok || err != nil {
		t.Errorf("it is still there: %v", err)
	}

	// Both make it, not knowing of each other.
	first, second := mustPlan(t, client, one.want(true)), mustPlan(t, client, two.want(true))
	for _, steps := range [][]plan.Step{first, second} {
		if err := plan.Run(t.Context(), steps, nil); err != nil {
			t.Fatal(err)
		}
	}
	if there := mustGet(t, client); len(trust.Providers(there.Trust)) != 2 || there.Tags[owner.ClusterTag] != "one" {
		t.Errorf("role %+v", there)
	}

	// The last leaves, and meant to delete, when another one joins.
	leave(t, client, two)
	last, err := role.Delete(t.Context(), client, "shared", one.mark(), one.iss.ARN)
	if err != nil {
		t.Fatal(err)
	}
	converge(t, client, three.want(true))
	if err := plan.Run(t.Context(), last, nil); err != nil {
		t.Fatal(err)
	}
	if got := trust.Providers(mustGet(t, client).Trust); !slices.Equal(got, []string{three.iss.ARN}) {
		t.Errorf("providers %q", got)
	}
}

// A role of somebody else that appears after the plan is not taken over.
func TestARoleThatAppears(t *testing.T) {
	a, client, one, _ := clusters(t)
	steps := mustPlan(t, client, one.want(false, iamReadOnly))
	a.Role("shared", one.iss.Trust("default", "app"))
	if _, ok := errors.AsType[*role.ForeignError](plan.Run(t.Context(), steps, nil)); !ok {
		t.Error("it was taken over")
	}
	if there := mustGet(t, client); there.PolicyARNs != nil {
		t.Errorf("role %+v", there)
	}
}

// Service accounts of one cluster that come one after the other add to what is
// attached.
func TestJoint(t *testing.T) {
	_, client, one, _ := clusters(t)
	first := one.want(false, iamReadOnly)
	first.Inline = map[string][]byte{"inline": []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`)}
	first.Boundary = iamReadOnly
	converge(t, client, first)
	second := one.want(false, s3ReadOnly)
	second.KeepAttached = true
	converge(t, client, second)
	if there := mustGet(t, client); len(there.PolicyARNs) != 2 || len(there.Inline) != 1 || there.Boundary != iamReadOnly {
		t.Errorf("role %+v", there)
	}
	second.KeepAttached = false
	converge(t, client, second)
	if there := mustGet(t, client); len(there.PolicyARNs) != 1 || len(there.Inline) != 0 || there.Boundary != "" {
		t.Errorf("role %+v", there)
	}
}

func TestTrustPolicyOverTheLimit(t *testing.T) {
	a, client, one, _ := clusters(t)
	converge(t, client, one.want(true))
	for i := 0; ; i++ {
		s := sharer{fmt.Sprint("cluster-", i), a.Issuer(fmt.Sprint("cluster-", i))}
		steps, err := role.Plan(t.Context(), client, s.want(true))
		if e, ok := errors.AsType[*trust.SizeError](err); ok {
			if e.Limit != trust.MaxSize || steps != nil || !strings.Contains(err.Error(), "role shared: the trust policy has ") {
				t.Errorf("%v, steps %v", err, steps)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.Run(t.Context(), steps, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := trust.Size(mustGet(t, client).Trust); n > trust.MaxSize || n < trust.MaxSize/2 {
		t.Errorf("the trust policy has %d characters", n)
	}
}

// quota is an account whose quota for trust policies was raised.
type quota struct {
	role.IAM
	characters int32
}

func (q quota) GetAccountSummary(ctx context.Context, in *iam.GetAccountSummaryInput, options ...func(*iam.Options)) (*iam.GetAccountSummaryOutput, error) {
	out, err := q.IAM.GetAccountSummary(ctx, in, options...)
	if err == nil {
		out.SummaryMap["AssumeRolePolicySizeQuota"] = q.characters
	}
	return out, err
}

func TestARaisedQuotaIsHeeded(t *testing.T) {
	a, client, one, _ := clusters(t)
	var ours []byte
	for i := range 8 {
		var err error
		if ours, err = trust.With(ours, []byte(a.Issuer(fmt.Sprint("cluster-", i)).Trust("default", "app"))); err != nil {
			t.Fatal(err)
		}
	}
	want := one.want(true)
	want.Trust = ours
	if _, err := role.Plan(t.Context(), quota{client, trust.MaxSizeQuota}, want); err != nil {
		t.Errorf("%d characters: %v", trust.Size(ours), err)
	}
	if _, err := role.Plan(t.Context(), client, want); err == nil {
		t.Errorf("%d characters in a new account", trust.Size(ours))
	}
}

// A cluster leaves alone what another one of its name has made, unless it takes
// that over. What has no uid is the cluster's.
func TestNamesakes(t *testing.T) {
	_, client, one, two := clusters(t)
	ctx, former := t.Context(), two
	former.name = one.name
	want, theirs := one.want(false, s3ReadOnly), former.want(false, iamReadOnly)
	theirs.Tags = owner.Tags(one.name, "former")
	converge(t, client, theirs)
	before := mustGet(t, client)
	_, err := role.Plan(ctx, client, want)
	e, ok := errors.AsType[*role.ForeignError](err)
	if !ok || !e.Namesake() || e.UID != "uid-one" || !strings.Contains(err.Error(), `another cluster called "one" (uid former, this one is uid-one)`) {
		t.Fatalf("error %v", err)
	}
	if steps := leave(t, client, one); len(steps) != 0 {
		t.Errorf("steps %v", steps)
	}
	if steps, others, err := role.AlsoTrust(ctx, client, one.mark(), two.iss.ARN, one.iss.ARN); err != nil || len(steps) != 0 || !slices.Equal(others, []string{"shared"}) {
		t.Errorf("%v, others %q, %v", steps, others, err)
	}
	if now := mustGet(t, client); !reflect.DeepEqual(now, before) {
		t.Errorf("it became %+v", now)
	}

	// They may share it, as any two clusters may.
	share := want
	share.Shared = true
	converge(t, client, share)
	if there := mustGet(t, client); there.Tags[owner.UIDTag] != "former" || len(trust.Providers(there.Trust)) != 2 {
		t.Errorf("role %+v", there)
	}
	leave(t, client, one)
	leave(t, client, two)

	converge(t, client, theirs)
	take := func() []plan.Step {
		t.Helper()
		steps, err := role.TakeOver(ctx, client, one.mark())
		if err == nil {
			err = plan.Run(ctx, steps, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		return steps
	}
	if steps := take(); len(steps) != 1 {
		t.Errorf("steps %v", steps)
	}
	if steps := take(); len(steps) != 0 {
		t.Errorf("a second time: %v", steps)
	}
	converge(t, client, want)
	leave(t, client, one)
	if _, ok, err := role.Get(ctx, client, "shared"); ok || err != nil {
		t.Errorf("it is still there: %v", err)
	}

	theirs.Tags = map[string]string{owner.Tag: "true", owner.ClusterTag: one.name}
	converge(t, client, theirs)
	converge(t, client, want)
	if there := mustGet(t, client); there.Tags[owner.UIDTag] != "uid-one" {
		t.Errorf("tags %v", there.Tags)
	}
}

// What a cluster has to do with is found wherever it is.
func TestOf(t *testing.T) {
	a, client, one, two := clusters(t)
	converge(t, client, one.want(true))
	converge(t, client, two.want(true))
	elsewhere := two.want(false)
	elsewhere.Name, elsewhere.Path = "elsewhere", "/teams/"
	converge(t, client, elsewhere)
	typo := two.want(false)
	typo.Name, typo.Trust = "typo", []byte(one.iss.Trust("default", "app"))
	converge(t, client, typo)
	wrong := one.want(false)
	wrong.Name, wrong.Path, wrong.Description, wrong.Trust = "wrong", "/teams/", role.Describe("one", "default/app"), []byte(a.Issuer("wrong").Trust("default", "app"))
	converge(t, client, wrong)
	longer := wrong
	longer.Name, longer.Description = "longer", role.Describe("one-1", "default/app")
	converge(t, client, longer)
	a.Role("attached", two.iss.Trust("default", "app"))
	three := sharer{"three", a.Issuer("three")}
	a.Role("unrelated", three.iss.Trust("default", "app"))
	check := func(s sharer, want ...string) {
		t.Helper()
		names, err := role.NamesOf(t.Context(), client, s.name, s.iss.ARN)
		slices.Sort(names)
		if err != nil || !slices.Equal(names, want) {
			t.Errorf("%s: %q, %v, want %q", s.name, names, err, want)
		}
	}
	check(one, "shared", "typo", "wrong")
	check(two, "attached", "elsewhere", "shared", "typo")
	check(three, "unrelated")
}

// Many are read without a call for each that is not there.
func TestReadMany(t *testing.T) {
	a, client, one, two := clusters(t)
	wants := []role.Role{}
	names := []string{}
	for i := range 30 {
		want := one.want(false, iamReadOnly)
		want.Name = fmt.Sprint("app-", i)
		wants, names = append(wants, want), append(names, want.Name)
	}
	calls := func() map[string]int {
		count := map[string]int{}
		for _, e := range a.Events(emulator.EventFilter{}) {
			count[e.Action]++
		}
		return count
	}
	before := calls()
	there, err := role.Read(t.Context(), client, names)
	if err != nil || len(there) != 0 {
		t.Fatalf("%v, %v", there, err)
	}
	steps, err := role.PlanAll(t.Context(), client, there, wants)
	if err != nil || len(steps) != 30 {
		t.Fatalf("%d, %v", len(steps), err)
	}
	after := calls()
	maps.DeleteFunc(after, func(action string, n int) bool { return before[action] == n })
	if want := map[string]int{"iam:ListRoles": 1, "iam:GetPolicy": 1}; !maps.Equal(after, want) {
		t.Errorf("calls %v, want %v", after, want)
	}
	for name := range steps {
		if err := plan.Run(t.Context(), steps[name], nil); err != nil {
			t.Fatal(err)
		}
	}
	there, err = role.Read(t.Context(), client, names)
	if err != nil || len(there) != 30 {
		t.Fatalf("%d, %v", len(there), err)
	}
	steps, err = role.PlanAll(t.Context(), client, there, wants)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range steps {
		if len(s) != 0 {
			t.Errorf("%s: %v", name, s)
		}
	}

	// Who has listed them already, to find them, does not list them again.
	for name, find := range map[string]func() (int, error){
		"Of": func() (int, error) {
			names, err := role.NamesOf(t.Context(), client, one.name, one.iss.ARN)
			if err != nil {
				return 0, err
			}
			there, err := role.ReadListed(t.Context(), client, names)
			return len(there), err
		},
		"Follow": func() (int, error) {
			steps, _, err := role.AlsoTrust(t.Context(), client, one.mark(), one.iss.ARN, two.iss.ARN)
			return len(steps), err
		},
	} {
		before := calls()["iam:ListRoles"]
		n, err := find()
		if lists := calls()["iam:ListRoles"] - before; err != nil || n != 30 || lists != 1 {
			t.Errorf("%s: %d roles in %d lists, %v: %+v", name, n, lists, err, a.Events(emulator.EventFilter{Action: "iam:ListRoles"}))
		}
	}
}

// Whichever call of joining and leaving fails, before or after it was done, the
// next run ends at the same.
func TestAnyCallOfSharingMayFail(t *testing.T) {
	for _, drop := range []bool{false, true} {
		for k := 0; ; k++ {
			a, client, one, two := clusters(t)
			fault := emulator.Fault{Action: "iam:*", Skip: k, Times: 1, Drop: drop}
			if !drop {
				fault.Code = "ServiceFailure"
			}
			converge(t, client, one.want(true, iamReadOnly))
			a.Inject(fault)
			steps, err := role.Plan(t.Context(), client, two.want(true, s3ReadOnly))
			if err == nil {
				err = plan.Run(t.Context(), steps, nil)
			}
			a.ClearFaults()
			converge(t, client, two.want(true, s3ReadOnly))
			if got := trust.Providers(mustGet(t, client).Trust); len(got) != 2 {
				t.Fatalf("call %d, drop %v: providers %q", k, drop, got)
			}
			a.Inject(fault)
			steps, leaveErr := role.Delete(t.Context(), client, "shared", two.mark(), two.iss.ARN)
			if leaveErr == nil {
				leaveErr = plan.Run(t.Context(), steps, nil)
			}
			a.ClearFaults()
			leave(t, client, two)
			if got := trust.Providers(mustGet(t, client).Trust); !slices.Equal(got, []string{one.iss.ARN}) {
				t.Fatalf("call %d, drop %v: providers %q", k, drop, got)
			}
			if err == nil && leaveErr == nil {
				if k < 7 {
					t.Errorf("it took only %d calls", k)
				}
				break
			}
		}
	}
}
