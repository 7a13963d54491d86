package guard

import (
	"testing"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
)

// TestLifetime: what can be asked again is believed for minutes, whoever told it.
func TestLifetime(t *testing.T) {
	for kind, want := range map[question.Kind]time.Duration{
		question.SecretARN: believed, question.MappingFunction: believed, question.Workgroup: believed, question.KeyOfAlias: believed,
		question.Tags: believedTags, question.ResourcePolicy: believedPolicy,
		question.Iterator: remembered, question.GrantKey: remembered, question.LogGroups: remembered,
	} {
		if got := lifetime(kind, true); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
}

// TestMemoryMoments: what was found out before a change is not remembered after it, unless it
// never changes; and nothing is from before everything was forgotten.
func TestMemoryMoments(t *testing.T) {
	secret := fact{name: question.Fact{Kind: question.SecretARN, Name: "app"}, found: true, until: time.Now().Add(time.Hour)}
	iterator := fact{name: question.Fact{Kind: question.Iterator, Name: "it"}, found: true, until: time.Now().Add(time.Hour)}
	for name, c := range map[string]struct {
		meanwhile                func(*memory)
		secretKept, iteratorKept bool
	}{
		"nothing":    {func(*memory) {}, true, true},
		"a change":   {func(m *memory) { m.forget(func(question.Fact) bool { return false }) }, false, true},
		"everything": {(*memory).empty, false, false},
	} {
		var m memory
		m.init()
		since := m.now()
		c.meanwhile(&m)
		m.put(secret, since)
		m.put(iterator, since)
		_, secretKept, _ := m.get(secret.name, time.Now())
		_, iteratorKept, _ := m.get(iterator.name, time.Now())
		if secretKept != c.secretKept || iteratorKept != c.iteratorKept {
			t.Errorf("%s was forgotten: secret %t, iterator %t", name, secretKept, iteratorKept)
		}
	}
}
