package sweep_test

import (
	"testing"
	"time"

	"github.com/openirsa/openirsa/pkg/sweep"
)

func TestJudge(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	rules := sweep.Rules{OlderThan: day, Prefixes: []string{"ci-", "pr-"}, Keep: []string{"*-base", "ci-?"}}
	for _, c := range []struct {
		what          string
		rules         sweep.Rules
		name, expires string
		written       time.Duration // ago
		want          sweep.Verdict
	}{
		{"the zero rules take what has expired", sweep.Rules{}, "prod", "2026-11-23T11:00:00Z", 0, sweep.Verdict{Due: true, Reason: sweep.Expired, Time: time.Hour}},
		{"and nothing else", sweep.Rules{}, "prod", "", 1000 * day, sweep.Verdict{Reason: sweep.Unnamed}},
		{"not even what never expires", sweep.Rules{}, "prod", "never", 1000 * day, sweep.Verdict{Reason: sweep.Unnamed}},
		{"it expires later", rules, "ci-run", "2026-11-23T12:30:00Z", 2 * day, sweep.Verdict{Reason: sweep.Lives, Time: 30 * time.Minute}},
		{"it expires now", rules, "ci-run", "2026-11-23T12:00:00Z", 0, sweep.Verdict{Due: true, Reason: sweep.Expired}},
		{"a pattern spares it", rules, "ci-base", "2026-11-23T11:00:00Z", 2 * day, sweep.Verdict{Reason: sweep.Kept, Pattern: "*-base"}},
		{"so does another", rules, "ci-7", "", 2 * day, sweep.Verdict{Reason: sweep.Kept, Pattern: "ci-?"}},
		{"it is old", rules, "pr-12", "", 25 * time.Hour, sweep.Verdict{Due: true, Reason: sweep.Silent, Time: 25 * time.Hour}},
		{"it never expires and is old", rules, "pr-12", "never", day, sweep.Verdict{Due: true, Reason: sweep.Silent, Time: day}},
		{"it is not old enough", rules, "pr-12", "", day - time.Second, sweep.Verdict{Reason: sweep.Active, Time: day - time.Second}},
		{"it has another name", rules, "prod", "", 1000 * day, sweep.Verdict{Reason: sweep.Unnamed}},
		{"its tags name none", rules, "", "2026-11-23T11:00:00Z", 2 * day, sweep.Verdict{Reason: sweep.Nameless}},
		{"its tag is no time", rules, "ci-run", "tomorrow", 2 * day, sweep.Verdict{Reason: sweep.Unread}},
	} {
		got, err := c.rules.Judge(&sweep.Remains{Cluster: c.name, Expires: c.expires, Newest: now.Add(-c.written)}, now)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.what, got, err, c.want)
		}
	}
	if v, err := (sweep.Rules{Keep: []string{"["}}).Judge(&sweep.Remains{Cluster: "dev"}, now); err == nil || v.Due {
		t.Errorf("a pattern that is none: %+v, %v", v, err)
	}
}
