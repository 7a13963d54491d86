package discovery

import (
	"slices"

	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
)

// Transition lists the documents to publish, one list after the other and each in
// its order, to get from the published keys to the wanted ones. At no moment does
// the discovery document name an algorithm without a key, and no key is removed
// before those that replace it are published: additions go into the key set first
// and then into the discovery document, removals the other way round.
//
// The last list is complete: it has both documents, with the wanted keys.
func Transition(iss issuer.URL, published, wanted keys.Set) ([][]Document, error) {
	final, err := Documents(iss, wanted)
	if err != nil {
		return nil, err
	}
	rest := slices.DeleteFunc(slices.Clone(published.All()), func(key keys.Public) bool {
		_, again := wanted.Lookup(key.KID) // as it is wanted, whatever it was
		return again
	})
	if len(rest) == 0 {
		return [][]Document{final}, nil
	}
	slices.Reverse(final)
	added := slices.ContainsFunc(wanted.All(), func(key keys.Public) bool {
		was, ok := published.Lookup(key.KID)
		return !ok || !was.Equal(key)
	})
	if !added {
		return [][]Document{final}, nil
	}
	both, err := keys.NewSet(slices.Concat(wanted.All(), rest)...)
	if err != nil {
		return nil, err
	}
	first, err := Documents(iss, both)
	if err != nil {
		return nil, err
	}
	return [][]Document{first, final}, nil
}
