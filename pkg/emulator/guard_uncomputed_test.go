package emulator_test

import (
	"slices"
	"strings"
	"testing"
)

// TestGuardUncomputed: an event says which condition keys of the policies nobody can tell,
// and no others.
func TestGuardUncomputed(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	send := func(document string) []string {
		t.Helper()
		g.policy(document)
		_, _, events := g.send(g.json("sqs", json10, "AmazonSQS.SendMessage", `{"QueueUrl":"http://guard/123456789012/mail","MessageBody":"m"}`))
		if len(events) != 1 {
			t.Fatalf("events %+v", events)
		}
		return events[0].Warnings
	}
	denying := func(key string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
			{"Effect":"Deny","Action":"sqs:*","Resource":"*","Condition":{"StringEquals":{"` + key + `":"x"}}}]}`
	}
	const sentence = "The guard cannot compute aws:SourceVpce, which a policy names: it counts as not set."
	if got := send(denying("aws:SourceVpce")); !slices.Contains(got, sentence) {
		t.Errorf("allowed: %q", got)
	}
	if got := send(permitting("sqs:SendMessage", "*", `{"StringEquals":{"aws:SourceVpce":"vpce-1"}}`)); !slices.Contains(got, sentence) {
		t.Errorf("denied: %q", got)
	}
	for _, key := range []string{
		"aws:SourceIp", "aws:PrincipalOrgID", "aws:ResourceOrgID", "aws:PrincipalOrgPaths", "aws:ResourceOrgPaths", "aws:PrincipalTag/team",
		"aws:RequestTag/a", "s3:prefix",
	} {
		if got := send(denying(key)); slices.ContainsFunc(got, func(w string) bool { return strings.Contains(w, "cannot compute") }) {
			t.Errorf("%s: %q", key, got)
		}
	}
	another := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"sqs:DeleteQueue","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpce":"x"}}},
		{"Effect":"Deny","Action":"*","Resource":"` + arnSQS + `other","Condition":{"StringEquals":{"aws:SourceVpce":"x"}}}]}`
	if got := send(another); len(got) != 0 {
		t.Errorf("of other actions and resources: %q", got)
	}
}
