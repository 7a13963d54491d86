package emulator

import (
	"sync"

	"github.com/openirsa/openirsa/pkg/policy"
)

// parsedPolicies remembers identity and session policies by their text, so
// that a role that many sessions use is parsed once.
type parsedPolicies struct {
	mu       sync.Mutex
	identity generations[*policy.Policy]
}

func (c *parsedPolicies) get(document string) (*policy.Policy, error) {
	c.mu.Lock()
	p, ok := c.identity.get(document)
	c.mu.Unlock()
	if ok {
		return p, nil
	}
	p, err := policy.Parse(policy.Session, []byte(document))
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.identity.put(document, p)
	c.mu.Unlock()
	return p, nil
}

const maxGeneration = 1024

// generations is a cache of bounded size: what was not asked for while
// maxGeneration others came is forgotten.
type generations[V any] struct{ young, old map[string]V }

func (g *generations[V]) get(key string) (V, bool) {
	if v, ok := g.young[key]; ok {
		return v, true
	}
	v, ok := g.old[key]
	if ok {
		g.put(key, v)
	}
	return v, ok
}

func (g *generations[V]) put(key string, v V) {
	if g.young == nil || len(g.young) >= maxGeneration {
		g.old, g.young = g.young, make(map[string]V)
	}
	g.young[key] = v
}
