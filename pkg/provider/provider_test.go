package provider_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
)

func start(t *testing.T) (*emulatortest.AWS, *iam.Client, provider.Provider) {
	t.Helper()
	a := emulatortest.Start(t)
	iss, err := issuer.Parse("https://openirsa-dev.s3.us-east-1.amazonaws.com/c1")
	if err != nil {
		t.Fatal(err)
	}
	return a, iam.NewFromConfig(a.Config()), provider.Provider{
		ARN: iss.ProviderARN("aws", a.Account()), Issuer: iss, ClientIDs: []string{irsa.Audience}, Tags: owner.Tags("dev", "1"),
	}
}

// converge plans and runs, and checks that nothing is left to do.
func converge(t *testing.T, client provider.IAM, want provider.Provider, summaries ...string) {
	t.Helper()
	steps, err := provider.Plan(t.Context(), client, want)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range steps {
		got = append(got, s.Action+" "+s.Diff)
	}
	if !slices.Equal(got, summaries) {
		t.Errorf("plan %q, want %q", got, summaries)
	}
	if err := plan.Run(t.Context(), steps, nil); err != nil {
		t.Fatal(err)
	}
	if steps, err := provider.Plan(t.Context(), client, want); err != nil || len(steps) != 0 {
		t.Errorf("a second plan has steps: %v, %v", steps, err)
	}
}

func TestProvider(t *testing.T) {
	_, client, want := start(t)
	converge(t, client, want, "create + client ids sts.amazonaws.com")
	there, ok, err := provider.Get(t.Context(), client, want.ARN)
	if err != nil || !ok || there.Issuer != want.Issuer || !owner.Owns(there.Tags, want.Tags) {
		t.Errorf("provider %+v, %v, %v", there, ok, err)
	}

	want.ClientIDs = append(want.ClientIDs, "other")
	want.Tags["team"] = "x"
	want.Thumbprints = []string{"0123456789012345678901234567890123456789"}
	converge(t, client, want, "update + client id other", "update + thumbprints 0123456789012345678901234567890123456789", "update + tags team")

	for range 2 {
		steps, err := provider.Delete(t.Context(), client, want.ARN, want.Tags)
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.Run(t.Context(), steps, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok, err := provider.Get(t.Context(), client, want.ARN); ok || err != nil {
		t.Errorf("it is still there: %v", err)
	}
}

func TestAProviderOfSomebodyElse(t *testing.T) {
	_, client, want := start(t)
	if _, err := client.CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{Url: new(want.Issuer.String()), ClientIDList: []string{"theirs"}}); err != nil {
		t.Fatal(err)
	}
	converge(t, client, want, "update + client id sts.amazonaws.com") // and no tags
	steps, err := provider.Delete(t.Context(), client, want.ARN, want.Tags)
	if _, foreign := errors.AsType[*owner.ForeignError](err); !foreign || len(steps) != 0 {
		t.Errorf("it would be deleted: %v, %v", steps, err)
	}
}

func TestALostAnswer(t *testing.T) {
	a, client, want := start(t)
	steps, err := provider.Plan(t.Context(), client, want)
	if err != nil {
		t.Fatal(err)
	}
	a.Inject(emulator.Fault{Action: "CreateOpenIDConnectProvider", Times: 1, Drop: true})
	if err := plan.Run(t.Context(), steps, nil); err == nil {
		t.Error("the lost answer was not noticed")
	}
	if err := plan.Run(t.Context(), steps, nil); err != nil {
		t.Errorf("running the step again: %v", err)
	}
	converge(t, client, want)
}
