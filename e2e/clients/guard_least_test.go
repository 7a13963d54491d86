package clients

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"
)

// suggested is the least policy for what a role did, as the emulator suggests it: each action on each resource singly, with
// the conditions.
func (a *account) suggested(t *testing.T, role string) []map[string]any {
	t.Helper()
	response, err := http.Get(a.url + "/_openirsa/policy?" + url.Values{"role": {role}, "inline": {"true"}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Policies []struct {
			Document struct{ Statement []map[string]any }
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for _, p := range answer.Policies {
		for _, s := range p.Document.Statement {
			for _, action := range oneOrMore(s["Action"]) {
				for _, resource := range oneOrMore(s["Resource"]) {
					single := maps.Clone(s)
					delete(single, "Sid") // must be unique
					single["Action"], single["Resource"] = action, resource
					all = append(all, single)
				}
			}
		}
	}
	return all
}

// oneOrMore is a member of a policy that is a string or a list.
func oneOrMore(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

// leaveOut takes each permission away in turn, for which the step that needs it must be denied.
func leaveOut(t *testing.T, permissions []map[string]any) []guardDenial {
	t.Helper()
	if len(permissions) < 15 {
		t.Fatalf("only %d permissions were suggested: %v", len(permissions), permissions)
	}
	var all []guardDenial
	for i, p := range permissions {
		step := slices.IndexFunc(guardSteps, func(s guardStep) bool { return s.action == p["Action"] })
		if step < 0 {
			t.Errorf("no step needs %v, which was suggested", p)
			continue
		}
		all = append(all, guardDenial{
			Role: fmt.Sprintf("%s-%d", guardRole, i), Step: step, why: fmt.Sprintf("no %v on %v", p["Action"], p["Resource"]),
			statements: slices.Delete(slices.Clone(permissions), i, i+1),
		})
	}
	return all
}
