package api

import (
	"encoding/base64"
	"testing"
)

// The token of a list is good for that list alone, and only in the form in which it was given out.
func TestList(t *testing.T) {
	t.Parallel()
	c := &Call{Service: "eks", Operation: "ListClusters"}
	c.Caller.Account = "111122223333"
	l := c.List("us-east-1")
	token := l.Token("c1")
	if place, ok := l.Place(token); place != "c1" || !ok {
		t.Errorf("%q is %q, %v", token, place, ok)
	}
	other := &Call{Service: "eks", Operation: "ListClusters"}
	other.Caller.Account = "444455556666"
	for name, l := range map[string]List{"of another region": c.List("eu-west-1"), "of another account": other.List("us-east-1"), "of more": c.List("us-east-1", "")} {
		if place, ok := l.Place(token); ok {
			t.Errorf("%s: %q", name, place)
		}
	}
	for _, bad := range []string{"", "foo", "!", token + "\n", token[1:], l.Token(""), base64.RawURLEncoding.EncodeToString([]byte("c1"))} {
		if place, ok := l.Place(bad); ok {
			t.Errorf("%q is taken as %q", bad, place)
		}
	}
}
