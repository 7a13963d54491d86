package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Warnings are sentences about what is legal in a trust policy for web identities but
// hardly intended: trust in every service account of a cluster, conditions that never
// hold. They are empty for other kinds.
func (p *Policy) Warnings() []string {
	if p.kind != Trust {
		return nil
	}
	var all []string
	for i := range p.statements {
		s := &p.statements[i]
		if s.deny {
			continue
		}
		warn := func(format string, args ...any) {
			all = append(all, fmt.Sprintf("Statement %d ", i)+fmt.Sprintf(format, args...))
		}
		if s.actions.match("sts", "AssumeRole") != s.notAction && len(s.conditions) == 0 &&
			slices.ContainsFunc(s.principals, func(q principal) bool { return q.kind == everyone }) {
			warn("lets everybody in any account assume the role: its principal is * and it has no condition.")
		}
		s.warnWebIdentity(warn)
	}
	return all
}

func (s *statement) warnWebIdentity(warn func(format string, args ...any)) {
	var providers []string // without scheme, as in condition keys
	for _, q := range s.principals {
		if _, p, ok := strings.Cut(q.value, ":oidc-provider/"); ok && q.kind == federatedEntry {
			providers = append(providers, p)
		}
	}
	if len(providers) == 0 {
		return
	}
	if s.actions.match("sts", "AssumeRoleWithWebIdentity") == s.notAction {
		warn("trusts an OIDC provider but does not allow sts:AssumeRoleWithWebIdentity.")
		return
	}
	for _, p := range providers {
		if !s.demands(p + ":sub") {
			warn("lets in every service account of %s: it has no condition that demands %[1]s:sub.", p)
		}
		if !s.demands(p + ":aud") {
			warn("lets in tokens of %s for any of the provider's audiences: it has no condition that demands %[1]s:aud.", p)
		}
	}
	for i := range s.conditions {
		c := &s.conditions[i]
		key := strings.LastIndexByte(c.key, ':')
		if key < 0 {
			continue
		}
		switch name := strings.ToLower(c.key[key+1:]); name {
		case "sub", "aud":
			if !slices.ContainsFunc(providers, func(p string) bool { return sameKey(p, c.key[:key]) }) {
				warn("has a condition on %s, which tokens of %s never have.", c.key, strings.Join(providers, " and "))
			}
			if name == "sub" && c.op.class == stringLike && !c.op.negate && slices.ContainsFunc(c.raw, isAnySubject) {
				warn("lets in service accounts of every namespace: %s may be %q.", c.key, c.raw)
			}
			if c.op.class == stringEquals && !c.op.negate {
				if j := slices.IndexFunc(c.raw, func(v string) bool { return strings.ContainsAny(v, "*?") }); j >= 0 {
					warn("compares %s with %q by %s, which takes * and ? literally; StringLike takes them as wildcards.", c.key, c.raw[j], c.name)
				}
			}
		}
	}
}

// isAnySubject reports whether a pattern for subjects fixes no namespace.
func isAnySubject(v string) bool {
	rest := strings.TrimPrefix(v, "system:serviceaccount:")
	return strings.HasPrefix(rest, "*")
}

// demands reports whether some condition fails without the right value of the key.
func (s *statement) demands(key string) bool {
	return slices.ContainsFunc(s.conditions, func(c condition) bool {
		return sameKey(c.key, key) && !c.ifExists && !c.op.negate && c.quantifier != forAllValues && c.op.class != null
	})
}
