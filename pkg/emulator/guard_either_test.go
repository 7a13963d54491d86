package emulator_test

import (
	"net/http"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// TestGuardDeniedSpelling: CloudWatch Logs knows a log group by two ARNs (CloudWatch Logs
// User Guide, "Resources and operations"). A Deny statement that names either of them
// denies, whatever allows the other.
func TestGuardDeniedSpelling(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	const group = "arn:aws:logs:us-east-1:123456789012:log-group:/a"
	for _, spelling := range []string{group, group + ":*"} {
		g.policy(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"logs:*","Resource":"*"},` +
			`{"Effect":"Deny","Action":"logs:DeleteLogGroup","Resource":"` + spelling + `"}]}`)
		rec, got, events := g.send(g.json("logs", json11, "Logs_20140328.DeleteLogGroup", `{"logGroupName":"/a"}`))
		if rec.Code != http.StatusBadRequest || len(got) != 0 {
			t.Errorf("%s is denied: %d requests reached the backend: %s", spelling, len(got), raw(rec))
		}
		if len(events) != 1 || events[0].Decision != emulator.Deny || events[0].Code != "AccessDeniedException" {
			t.Errorf("%s: events %+v", spelling, events)
		}
	}
}
