package owner_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/owner"
)

// Every kind of thing is asked the same: made here, for this cluster's name, with
// its uid.
func TestCheck(t *testing.T) {
	mark := owner.Tags("dev", "uid-1")
	with := func(key, value string) map[string]string {
		tags := maps.Clone(mark)
		tags[key] = value
		if value == "" {
			delete(tags, key)
		}
		return tags
	}
	for name, c := range map[string]struct {
		tags    map[string]string
		foreign bool   // made here for another cluster
		says    string // "" for its own
	}{
		"its own":               {mark, false, ""},
		"one without a uid":     {with(owner.UIDTag, ""), false, ""},
		"another tag beside":    {with("team", "x"), false, ""},
		"a namesake's":          {with(owner.UIDTag, "uid-2"), true, `thing was made for another cluster called "dev" (uid uid-2, this one is uid-1)`},
		"another cluster's":     {with(owner.ClusterTag, "prod"), true, `thing was made for another cluster, "prod" (uid uid-1)`},
		"of no cluster":         {with(owner.ClusterTag, ""), true, `thing was made for another cluster, "" (uid uid-1)`},
		"not ours":              {with(owner.Tag, ""), false, `thing was not made for cluster "dev"`},
		"owned=false":           {with(owner.Tag, "false"), false, `thing was not made for cluster "dev"`},
		"no tags":               {nil, false, `thing was not made for cluster "dev"`},
		"an escape in its uid":  {with(owner.UIDTag, "\x1b[2J"), true, `(uid \x1b[2J, `},
		"an escape in its name": {with(owner.ClusterTag, "\x1b[2J"), true, `cluster, "\x1b[2J"`},
	} {
		err := owner.Check("thing", c.tags, mark)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, expected %q", name, err, c.says)
		}
		if got := owner.Foreign(c.tags, mark); got != c.foreign {
			t.Errorf("%s: foreign is %v", name, got)
		}
	}
	if err := owner.Check("thing", mark, nil); err == nil {
		t.Error("without a mark everything is its own")
	}
}

// The tags of what commit a44849b made, as AWS has them. What was made by that
// version is known by this one, and the other way round.
func TestEarlierTags(t *testing.T) {
	earlier := map[string]string{"openirsa.dev/owned": "true", "openirsa.dev/cluster": "dev", "openirsa.dev/cluster-uid": "uid-1"}
	mark := owner.Tags("dev", "uid-1")
	if !maps.Equal(mark, earlier) {
		t.Errorf("the tags are %v, were %v", mark, earlier)
	}
	if !owner.Owns(earlier, mark) {
		t.Error("they are not the cluster's own")
	}
	earlier["openirsa.dev/shared"] = "true"
	if !owner.Shared(earlier) {
		t.Error("a shared role is not shared")
	}
	for _, c := range [][2]string{
		{owner.ServiceAccountTag, "openirsa.dev/service-account"}, // NAMESPACE/NAME
		{owner.ExpiresTag, "openirsa.dev/expires"},                // RFC 3339, or "never"
		{owner.Never, "never"},
	} {
		if c[0] != c[1] {
			t.Errorf("%q was %q", c[0], c[1])
		}
	}
}
