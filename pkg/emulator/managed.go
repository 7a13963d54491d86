package emulator

import (
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/managed"
)

// managedPolicy is the managed policy with an ARN, the account's or AWS's.
func (d *directory) managedPolicy(arn string) *managedPolicy {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.lookupManaged(arn)
}

// lookupManaged is managedPolicy for those who hold mu.
func (d *directory) lookupManaged(arn string) *managedPolicy {
	if d.ofAWS(arn) {
		p, ok := managed.Get(arn)
		if !ok {
			return nil
		}
		return fromAWS(p)
	}
	return d.managed[arn]
}

// fromAWS is one of AWS's managed policies. Its documents stay where they are
// until they are asked for.
func fromAWS(p managed.Policy) *managedPolicy {
	m := &managedPolicy{
		ID:      p.ID,
		Name:    p.Name,
		Path:    p.Path,
		ARN:     p.ARN,
		Created: p.CreateDate,
		Updated: p.UpdateDate,
		Default: p.DefaultVersion,
	}
	for _, v := range p.Versions {
		m.Versions = append(m.Versions, policyVersion{ID: v.ID, Created: v.CreateDate})
	}
	return m
}

// document is the text of a version of a managed policy.
func (d *directory) document(p *managedPolicy, version string) string {
	if d.ofAWS(p.ARN) {
		document, _ := managed.Document(p.ARN, version)
		return string(document)
	}
	for _, v := range p.Versions {
		if v.ID == version {
			return v.Document
		}
	}
	return ""
}

// ofAWS reports whether an ARN is that of one of AWS's managed policies.
func (d *directory) ofAWS(arn string) bool {
	return strings.HasPrefix(arn, "arn:"+d.partition+":iam::aws:policy/")
}

// allManaged are all managed policies of a scope: "Local" for the account's,
// "AWS", or "All". The caller holds mu.
func (d *directory) allManaged(scope string) func(yield func(*managedPolicy) bool) {
	return func(yield func(*managedPolicy) bool) {
		if scope != "AWS" {
			for _, p := range d.managed {
				if !yield(p) {
					return
				}
			}
		}
		if scope != "Local" {
			for _, p := range managed.All(d.partition) {
				if !yield(fromAWS(p)) {
					return
				}
			}
		}
	}
}
