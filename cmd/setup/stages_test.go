package main

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	lib "github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/trust"
)

// A change that is under way is named to whoever would disturb it.
func TestNoChange(t *testing.T) {
	ch := &chain{Chain: &lib.Chain{}}
	if err := ch.NoChange(); err != nil {
		t.Errorf("error = %v", err)
	}
	ch.Record.Change = &record.Change{Kind: record.KeyRotation, ID: "1", Stage: record.Sign, Rotation: &record.Rotation{}}
	if err := ch.NoChange(); err == nil || !strings.Contains(err.Error(), "key rotation 1: stage sign") {
		t.Errorf("error = %v", err)
	}
}

// CloudFront is one cache more.
func TestDefaultCacheWait(t *testing.T) {
	for private, want := range map[bool]time.Duration{false: 10 * time.Minute, true: 15 * time.Minute} {
		ch := &chain{Chain: &lib.Chain{Record: record.Record{Location: record.Location{PrivateBucket: private}}}}
		if got := ch.CacheWait(); got != want {
			t.Errorf("private bucket %v: %v, want %v", private, got, want)
		}
	}
}

// The new provider takes the audiences of the previous one, also those that this
// gets while both are there.
func TestMigrationKeepsAudiences(t *testing.T) {
	aws := emulatortest.Start(t)
	a := &app{out: io.Discard, err: io.Discard, getenv: func(string) string { return "" }, region: "eu-west-1"}
	acct, err := a.connectAWS(t.Context(), aws.URL, nil)
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
	ch := &chain{app: a, Chain: &lib.Chain{Account: acct}}
	m := &migration{ch.newChangeRun(&record.Change{Migration: &record.Migration{From: at("https://a.example"), To: at("https://b.example")}}, stagedOptions{})}
	from, err := m.at(m.c.Migration.From)
	if err != nil {
		t.Fatal(err)
	}
	to, err := m.at(m.c.Migration.To)
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

// Roles that are made during a migration let in tokens of both issuers, and when
// the previous one is being removed those of the other alone.
func TestTrustDuringAMigration(t *testing.T) {
	iss, err := issuer.Parse("https://b.example")
	if err != nil {
		t.Fatal(err)
	}
	const arn = "arn:aws:iam::000000000000:oidc-provider/"
	ch := &chain{Chain: &lib.Chain{Issuer: iss, Record: record.Record{Location: record.Location{Issuer: iss.String(), Provider: arn + "b.example"}}}}
	check := func(change *record.Change, want ...string) {
		t.Helper()
		ch.Record.Change = change
		document, err := ch.TrustPolicy([]string{"system:serviceaccount:default:app"}, "")
		if got := trust.Providers(document); !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%v: it trusts %q, %v", change, got, err)
		}
	}
	at := func(stage record.Stage) *record.Change {
		return &record.Change{Kind: record.IssuerMigration, ID: "1", Stage: stage, Migration: &record.Migration{
			From: record.Location{Issuer: "https://a.example", Provider: arn + "a.example"},
			To:   record.Location{Issuer: "https://b.example", Provider: arn + "b.example"},
		}}
	}
	check(nil, arn+"b.example")
	check(at(record.Sign), arn+"a.example", arn+"b.example")
	check(at(record.WaitTokens), arn+"a.example", arn+"b.example")
	check(at(record.Prune), arn+"b.example")
	unread := at(record.Sign)
	unread.Migration.From.Issuer = "no URL"
	check(unread) // which of them is not known
}
