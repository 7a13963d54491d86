package sweep

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/owner"
)

// Rules say which clusters are abandoned. Age alone makes none abandoned, since
// production is old too. The zero Rules take those alone that have expired.
type Rules struct {
	// OlderThan is how long a cluster with one of the Prefixes must have written
	// nothing.
	OlderThan time.Duration
	// Prefixes are those of the names of clusters that may go although they never
	// expire.
	Prefixes []string
	// Keep are patterns for the names of clusters that stay whatever else is said
	// (see [path.Match]).
	Keep []string
}

// Reason is why a cluster goes or stays.
type Reason string

// The reasons for a cluster to stay, and, the last two, to go.
const (
	Kept     Reason = "kept"     // one of the patterns of Keep says so
	Nameless Reason = "nameless" // its tags name no cluster
	Unread   Reason = "unread"   // its tag is not a time
	Lives    Reason = "lives"    // it expires later
	Unnamed  Reason = "unnamed"  // it does not expire, and none of the Prefixes is its
	Active   Reason = "active"   // it wrote something not long ago
	Expired  Reason = "expired"
	Silent   Reason = "silent" // it wrote nothing for long
)

// Verdict is what [Rules] say of a cluster.
type Verdict struct {
	// Due says that it is abandoned.
	Due    bool
	Reason Reason
	// Pattern is the one of Keep that spares it, for [Kept].
	Pattern string
	// Time is until it expires, for [Lives], since it has, for [Expired], and since
	// it wrote something, for [Active] and [Silent], in whole seconds.
	Time time.Duration
}

// Judge reports whether a cluster is abandoned. The error is about a pattern of Keep.
func (r Rules) Judge(c *Remains, now time.Time) (Verdict, error) {
	for _, pattern := range r.Keep {
		match, err := path.Match(pattern, c.Cluster)
		if err != nil {
			return Verdict{}, fmt.Errorf("%q: %w", pattern, err)
		}
		if match {
			return Verdict{Reason: Kept, Pattern: pattern}, nil
		}
	}
	expires, err := time.Parse(time.RFC3339, c.Expires)
	age := now.Sub(c.Newest).Truncate(time.Second)
	switch {
	case c.Cluster == "":
		return Verdict{Reason: Nameless}, nil
	case c.Expires != "" && c.Expires != owner.Never && err != nil:
		return Verdict{Reason: Unread}, nil
	case err == nil && now.Before(expires):
		return Verdict{Reason: Lives, Time: expires.Sub(now).Truncate(time.Second)}, nil
	case err == nil:
		return Verdict{Due: true, Reason: Expired, Time: now.Sub(expires).Truncate(time.Second)}, nil
	case !slices.ContainsFunc(r.Prefixes, func(p string) bool { return strings.HasPrefix(c.Cluster, p) }):
		return Verdict{Reason: Unnamed}, nil
	case age < r.OlderThan:
		return Verdict{Reason: Active, Time: age}, nil
	}
	return Verdict{Due: true, Reason: Silent, Time: age}, nil
}
