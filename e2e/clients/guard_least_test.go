package clients

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"github.com/openirsa/openirsa/e2e/internal/guarded"
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
					// The key of the next run has another id.
					single["Action"], single["Resource"] = action, keyID.ReplaceAllString(resource.(string), ":key/*")
					all = append(all, single)
				}
			}
		}
	}
	return all
}

var keyID = regexp.MustCompile(`:key/[0-9a-f-]{36}$`)

// oneOrMore is a member of a policy that is a string or a list.
func oneOrMore(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

// leaveOut are the denials for want of each permission and condition.
func leaveOut(t *testing.T, permissions []map[string]any) []guarded.Denial {
	t.Helper()
	if len(permissions) < 15 {
		t.Fatalf("only %d permissions were suggested: %v", len(permissions), permissions)
	}
	all, err := guarded.LeaveOut(guardRole, guarded.Steps(), permissions)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == len(permissions) {
		t.Errorf("no condition was suggested: %v", permissions)
	}
	return all
}
