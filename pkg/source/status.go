package source

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/pkg/issuer"
)

// Fault is what is wrong with a cluster.
type Fault struct {
	Issuer issuer.URL `json:"issuer"`
	Error  string     `json:"error"`
	// Since is when it began, and Good when the keys were last read; if zero, they
	// never were, and the issuer is not served.
	Since time.Time `json:"since"`
	Good  time.Time `json:"good,omitzero"`
}

// Status is the state of a Keeper.
type Status struct {
	// Clusters is how many clusters the configuration has. Served of them have
	// documents; Untried have not yet been read for the first time.
	Clusters int `json:"clusters"`
	Served   int `json:"served"`
	Untried  int `json:"untried"`
	// ConfigError is why the current configuration file cannot be used.
	ConfigError string    `json:"configError,omitempty"`
	ConfigRead  time.Time `json:"configRead"`
	// Faults are the clusters that have one, by issuer.
	Faults []Fault `json:"faults,omitempty"`
}

// Ready reports whether the server should get requests: all clusters have been
// tried, and some are served unless there are none. A cluster with a fault does not
// make the others unavailable.
func (s Status) Ready() bool {
	return !s.ConfigRead.IsZero() && s.Untried == 0 && (s.Served > 0 || s.Clusters == 0)
}

// Status reports on all clusters.
func (k *Keeper) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := Status{Clusters: len(k.clusters), Served: k.serving, Untried: k.untried, ConfigError: k.configFault, ConfigRead: k.configAt}
	for iss, c := range k.clusters {
		if c.fault != "" {
			s.Faults = append(s.Faults, Fault{Issuer: iss, Error: c.fault, Since: c.broken, Good: c.good})
		}
	}
	order.By(s.Faults, func(a, b Fault) int { return strings.Compare(a.Issuer.String(), b.Issuer.String()) })
	return s
}

// ErrNotServed is returned for a cluster that is not in the configuration.
var ErrNotServed = errors.New("the issuer is not served here")

// Cluster returns how long ago a cluster's keys were last read, and its fault if it
// has one. The error is [ErrNotServed] for an issuer that is not configured.
func (k *Keeper) Cluster(iss issuer.URL) (age time.Duration, fault error, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.clusters[iss]
	if c == nil {
		return 0, nil, ErrNotServed
	}
	if c.fault != "" {
		fault = errors.New(c.fault)
	}
	if c.good.IsZero() {
		if fault == nil {
			fault = errors.New("the keys have not been read yet")
		}
		return 0, fault, nil
	}
	return k.now().Sub(c.good), fault, nil
}

// Age is how long ago a cluster's keys were last read.
type Age struct {
	Issuer issuer.URL
	Age    time.Duration
}

// Oldest are the n clusters whose last reading is longest ago, of those that were
// read.
func (k *Keeper) Oldest(n int) []Age {
	k.mu.Lock()
	now := k.now()
	all := make([]Age, 0, len(k.clusters))
	for iss, c := range k.clusters {
		if !c.good.IsZero() {
			all = append(all, Age{iss, now.Sub(c.good)})
		}
	}
	k.mu.Unlock()
	order.By(all, func(a, b Age) int {
		return cmp.Or(cmp.Compare(b.Age, a.Age), strings.Compare(a.Issuer.String(), b.Issuer.String()))
	})
	return all[:min(n, len(all))]
}
