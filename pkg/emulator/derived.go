package emulator

import (
	"github.com/openirsa/openirsa/pkg/policy"
)

// policies are the identity policies of an entity, with those of the groups it
// is in, and its permissions boundary.
func (d *directory) policies(e *entity, groups []string) ([]policy.Named, *policy.Named) {
	// Load the generation first: a change during what follows makes the
	// result stale, never the label newer than the result.
	generation := d.generation.Load()
	if p := e.derived.Load(); p != nil && p.generation == generation {
		return p.identity, p.boundary
	}
	p := &derivedPolicies{generation: generation}
	p.identity = d.appendPolicies(p.identity, e, "")
	for _, id := range groups {
		if g := d.groupByID(id); g != nil {
			p.identity = d.appendPolicies(p.identity, &g.entity, "group "+g.Name+": ")
		}
	}
	if e.Boundary != "" {
		// A boundary that cannot be read allows nothing.
		p.boundary = &policy.Named{Name: e.Boundary, Policy: d.managedDefault(e.Boundary)}
		if p.boundary.Policy == nil {
			p.boundary.Policy = &policy.Policy{}
		}
	}
	e.derived.Store(p)
	return p.identity, p.boundary
}

func (d *directory) appendPolicies(list []policy.Named, e *entity, prefix string) []policy.Named {
	for _, arn := range e.Attached {
		if p := d.managedDefault(arn); p != nil {
			list = append(list, policy.Named{Name: prefix + arn, Policy: p})
		}
	}
	for _, in := range e.Inline {
		if p, err := d.parsed.get(in.Document); err == nil {
			list = append(list, policy.Named{Name: prefix + in.Name, Policy: p})
		}
	}
	return list
}

// managedDefault is the default version of a managed policy, parsed; nil if
// there is no such policy.
func (d *directory) managedDefault(arn string) *policy.Policy {
	p := d.managedPolicy(arn)
	if p == nil {
		return nil
	}
	parsed, err := d.parsed.get(d.document(p, p.Default))
	if err != nil {
		return nil
	}
	return parsed
}
