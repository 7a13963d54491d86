package chain

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/trust"
)

// A change that is under way is named to whoever would disturb it.
func TestNoChange(t *testing.T) {
	ch := &Chain{}
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
		ch := &Chain{Record: record.Record{Location: record.Location{PrivateBucket: private}}}
		if got := ch.CacheWait(); got != want {
			t.Errorf("private bucket %v: %v, want %v", private, got, want)
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
	ch := &Chain{Issuer: iss, Record: record.Record{Location: record.Location{Issuer: iss.String(), Provider: arn + "b.example"}}}
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
