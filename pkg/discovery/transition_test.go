package discovery_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
)

func TestTransition(t *testing.T) {
	iss, err := issuer.Parse("https://a.example.com")
	if err != nil {
		t.Fatal(err)
	}
	all := map[byte]keys.Public{}
	for name, alg := range map[byte]string{'a': keys.ES256, 'b': keys.ES256, 'c': keys.ES384} {
		key, err := keys.Generate(alg)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = key.Public()
	}
	set := func(names string) keys.Set {
		var public []keys.Public
		for _, name := range []byte(names) {
			public = append(public, all[name])
		}
		set, err := keys.NewSet(public...)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	for _, test := range []struct {
		published, wanted string
		want              []string // document, keys
	}{
		{"", "a", []string{"jwks a", "discovery a"}},
		{"a", "a", []string{"jwks a", "discovery a"}},
		{"a", "ac", []string{"jwks ac", "discovery ac"}},
		{"ac", "a", []string{"discovery a", "jwks a"}},
		{"a", "b", []string{"jwks ab", "discovery ab", "discovery b", "jwks b"}},
		{"ab", "bc", []string{"jwks abc", "discovery abc", "discovery bc", "jwks bc"}},
	} {
		phases, err := discovery.Transition(iss, set(test.published), set(test.wanted))
		if err != nil {
			t.Fatal(err)
		}
		var got, want []discovery.Document
		got = slices.Concat(phases...)
		for _, s := range test.want {
			name, names, _ := strings.Cut(s, " ")
			docs, err := discovery.Documents(iss, set(names))
			if err != nil {
				t.Fatal(err)
			}
			if name == "jwks" {
				want = append(want, docs[0])
			} else {
				want = append(want, docs[1])
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q to %q (-want +got):\n%s", test.published, test.wanted, diff)
		}
	}
	if _, err := discovery.Transition(iss, set("a"), keys.Set{}); err == nil {
		t.Error("all keys can be taken away")
	}
}
