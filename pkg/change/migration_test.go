package change

import (
	"slices"
	"testing"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/record"
)

// The new provider takes the audiences of the previous one, also those that this
// gets while both are there.
func TestMigrationKeepsAudiences(t *testing.T) {
	aws := emulatortest.Start(t)
	acct, err := account.Connect(t.Context(), account.Options{Region: "eu-west-1", Endpoint: aws.URL})
	if err != nil {
		t.Fatal(err)
	}
	at := func(url string) record.Location {
		iss, err := issuer.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		return record.Location{Issuer: url, Provider: iss.ProviderARN(acct.Partition, acct.ID)}
	}
	c := &record.Change{Migration: &record.Migration{From: at("https://a.example"), To: at("https://b.example")}}
	m := &migration{share(&chain.Chain{Account: acct}, c, Options{}, nil)}
	from, err := m.at(m.change.Migration.From)
	if err != nil {
		t.Fatal(err)
	}
	to, err := m.at(m.change.Migration.To)
	if err != nil {
		t.Fatal(err)
	}
	former := from.Provider(nil)
	for _, audience := range []string{"my-aud", "another"} {
		former.ClientIDs = append(former.ClientIDs, audience)
		steps, err := provider.Plan(t.Context(), acct.IAM, former)
		if err == nil {
			err = plan.Run(t.Context(), steps, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := m.makeProvider(t.Context(), to, nil); err != nil {
			t.Fatal(err)
		}
		got, _, err := provider.Get(t.Context(), acct.IAM, to.Record.Provider)
		if slices.Sort(got.ClientIDs); err != nil || !slices.Equal(got.ClientIDs, union(former.ClientIDs, nil)) {
			t.Errorf("client ids %q, %v, expected those of the previous one, %q", got.ClientIDs, err, former.ClientIDs)
		}
	}
}
