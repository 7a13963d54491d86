package emulator

import (
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// TestAccessKeyIDs holds the form of access key ids against vectors, of which
// the last is a published key of AWS.
func TestAccessKeyIDs(t *testing.T) {
	for _, c := range []struct {
		account string
		r       uint64
		id      string
	}{
		{"123456789012", 0, "ASIARZPUZDIKAAAAAAAA"},
		{"123456789012", 0x1234567890, "ASIARZPUZDIKCI2FM6EQ"},
		{"111122223333", 0, "ASIARTX3GSDSQAAAAAAA"},
		{"999999999999", 1, "ASIA6RVFFB77QAAAAAAB"},
		{"000000000000", 0, "ASIAQAAAAAAAAAAAAAAA"},
	} {
		if id := accessKeyID(prefixSession, c.account, c.r); id != c.id {
			t.Errorf("account %s: %s, want %s", c.account, id, c.id)
		}
		if account, ok := keyAccount(c.id); !ok || account != c.account {
			t.Errorf("key %s: account %s, want %s", c.id, account, c.account)
		}
	}
	for id, want := range map[string]string{ // as published
		"ASIAQNZGKIQY56JQ7WML": "029608264753",
		"AKIASP2TPHJSQH3FJRUX": "171436882533",
		"AKIAIOSFODNN7EXAMPLE": "581039954779",
	} {
		if account, ok := keyAccount(id); !ok || account != want {
			t.Errorf("published key %s: account %s", id, account)
		}
	}
	for _, bad := range []string{"", "test", "AKIAIOSFODNN7", "AKIA1111111111111111", "ASIA!!!!!!!!!!!!!!!!"} {
		if account, ok := keyAccount(bad); ok {
			t.Errorf("key %q: account %s", bad, account)
		}
	}
	seen := map[string]bool{}
	for range 1000 {
		id := uniqueID(prefixRole, "123456789012")
		if len(id) != 21 || !strings.HasPrefix(id, "AROARZPUZDIK") || seen[id] {
			t.Fatalf("unique id %q", id)
		}
		seen[id] = true
		if secret := newSecret(); len(secret) != 40 {
			t.Fatalf("secret of %d characters", len(secret))
		}
	}
}

// TestSessionTokens: what is sealed comes back, and nothing else does.
func TestSessionTokens(t *testing.T) {
	k, err := newSealer(newSealKey())
	if err != nil {
		t.Fatal(err)
	}
	want := &session{kind: roleSession, entity: "AROA", name: "app", tags: []wire.Tag{{Key: "k", Value: "v"}, {}}, transitive: []string{"k"}, sourceIdentity: "ann",
		policy: "{}", policyARNs: []string{"a", "b"}, limited: true, provider: "p", issuer: "i", subject: "s", audience: "a", amr: []string{"x"}}
	want.issued, want.expires = want.issued.AddDate(2026, 1, 2), want.expires.AddDate(2026, 1, 3)
	creds := k.issue("123456789012", want)
	got, err := k.open(creds.keyID, creds.token)
	if err != nil {
		t.Fatal(err)
	}
	if g, w := got.marshal(nil), want.marshal(nil); string(g) != string(w) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	pod := &session{kind: roleSession, entity: "AROA", issuer: "i", subject: "s", audience: "a", cluster: "arn:aws:eks:us-east-1:1:cluster/c"}
	if got := new(session); !got.unmarshal(pod.marshal(nil)) || got.cluster != pod.cluster || got.subject != "s" {
		t.Errorf("got %+v, want %+v", got, pod)
	}
	if len(creds.secret) != 40 || creds.secret != k.secretOf(creds.keyID) {
		t.Errorf("secret of %d characters", len(creds.secret))
	}
	if _, err := k.open("ASIAQAAAAAAAAAAAAAAA", creds.token); err == nil {
		t.Error("the token was accepted with another access key id")
	}
	for i, was := range []byte(creds.token) {
		b := []byte(creds.token)
		for _, b[i] = range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\n") {
			if _, err := k.open(creds.keyID, string(b)); err == nil && b[i] != was {
				t.Fatalf("the token was accepted with byte %d of %d changed", i, len(b))
			}
		}
		if _, err := k.open(creds.keyID, creds.token[:i]+"\n"+creds.token[i:]); err == nil {
			t.Fatalf("the token was accepted with a line break at %d", i)
		}
	}
	other, err := newSealer(newSealKey())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.open(creds.keyID, creds.token); err == nil {
		t.Error("the token was accepted with another key")
	}
	for _, plain := range [][]byte{nil, {}, {'r'}, {'r', 255}, append(want.marshal(nil), 0)} {
		if new(session).unmarshal(plain) {
			t.Errorf("%q was read as a session", plain)
		}
	}
}
