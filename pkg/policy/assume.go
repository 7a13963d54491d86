package policy

import "slices"

// Assuming is the policy as it decides if all conditions on keys whose values
// are unknown turn out well for the caller, or else badly. What the one denies
// is denied, and what the other allows is allowed, whatever the values are.
func (p *Policy) Assuming(well bool, unknown func(key string) bool) *Policy {
	never := condition{op: operator{class: null}} // without operands nothing meets it
	assumed := *p
	assumed.statements = slices.Clone(p.statements)
	for i := range assumed.statements {
		s := &assumed.statements[i]
		known := slices.DeleteFunc(slices.Clone(s.conditions), func(c condition) bool { return unknown(c.key) })
		if len(known) < len(s.conditions) && s.deny == well {
			known = append(known, never)
		}
		s.conditions = known
	}
	return &assumed
}

// ConditionKeys are the keys that the policy has conditions on, sorted, as they
// are written in it.
func (p *Policy) ConditionKeys() []string {
	var all []string
	for _, s := range p.statements {
		for _, c := range s.conditions {
			all = append(all, c.key)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
