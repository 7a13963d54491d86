package least

import (
	"encoding/json"
	"strings"

	"github.com/openirsa/openirsa/pkg/policy"
)

// Matcher tells which actions on which resources a statement means, conditions left
// aside. It is [policy.Evaluate]'s own comparison.
type Matcher struct {
	named  policy.Named
	begins string // what a resource must begin with
}

// NewMatcher is the matcher of an action and a resource, which may be patterns. It is
// nil if no policy could have them.
func NewMatcher(action, resource string) *Matcher {
	m := wholeMatcher(map[string]any{"Action": action, "Resource": resource})
	if i := strings.IndexAny(resource, "*?$"); m != nil && i < 0 {
		m.begins = resource
	} else if m != nil {
		m.begins = resource[:i]
	}
	return m
}

// wholeMatcher is the matcher of the elements of a statement, nil if it could not be
// in a policy.
func wholeMatcher(elements map[string]any) *Matcher {
	elements["Effect"] = "Allow"
	document, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": elements})
	if err != nil {
		return nil
	}
	p, err := policy.Parse(policy.Session, document)
	if err != nil {
		return nil
	}
	return &Matcher{named: policy.Named{Policy: p}}
}

// Match reports whether the statement means an action on a resource.
func (m *Matcher) Match(action, resource string) bool {
	if !strings.HasPrefix(resource, m.begins) {
		return false
	}
	allows, _ := policy.Applying(&policy.Request{Action: action, Resource: resource}, &m.named, policy.IdentityType)
	return len(allows) > 0
}
