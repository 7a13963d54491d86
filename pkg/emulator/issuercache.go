package emulator

import (
	"maps"
	"sync"
	"time"
)

// issuerCache keeps the keys of issuers, by provider.
type issuerCache struct {
	mu      sync.Mutex // guards entries
	entries map[cacheKey]*issuerEntry
}

// cacheKey is an issuer of a provider: a cluster can have several.
type cacheKey struct{ arn, url string }

// issuerEntry is what is known of one provider's issuer.
type issuerEntry struct {
	serial uint64 // of the provider

	mu      sync.Mutex // guards the fields below
	latest  *fetched   // nil before the first fetch
	flight  *flight    // the fetch under way; nil if none is
	refetch time.Time  // of the latest refetch that a token caused
	failing bool       // the latest fetch has failed, whatever is kept of earlier ones
}

// flight is a fetch that others wait for.
type flight struct {
	over    chan struct{} // closed at the end
	outcome *fetched      // set before that; nil if there is none
}

// fetched is the outcome of fetching an issuer's keys.
type fetched struct {
	keys    *keySet
	fault   *tokenFault // why there are none
	fetches []Fetch
	// document is what is shown of the discovery document; nil if there is none
	// of the issuer.
	document []byte
	at       time.Time
	expires  time.Time
	// s3Changes is the state of S3 that the documents were read from, if all
	// of them are in the emulator's own S3: while that has not changed, neither
	// have they.
	s3Changes uint64
	inside    bool
}

func (c *issuerCache) entry(p *provider) *issuerEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := cacheKey{p.ARN, p.URL}
	e := c.entries[key]
	if e == nil || e.serial != p.serial {
		if c.entries == nil {
			c.entries = make(map[cacheKey]*issuerEntry)
		}
		e = &issuerEntry{serial: p.serial}
		c.entries[key] = e
	}
	return e
}

// forget drops what is known of a provider that is no more.
func (c *issuerCache) forget(arn string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.entries, func(key cacheKey, _ *issuerEntry) bool { return key.arn == arn })
}

// clear forgets the keys of all issuers.
func (c *issuerCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = nil
}
