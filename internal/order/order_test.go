package order_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/openirsa/openirsa/internal/order"
)

type entry struct {
	key   int
	place int
}

func byKey(a, b entry) int { return cmp.Compare(a.key, b.key) }

func TestBy(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 20, 21, 500} {
		all := make([]entry, n)
		for i := range all {
			all[i] = entry{random.IntN(n/3 + 1), i}
		}
		want := slices.SortedStableFunc(slices.Values(all), byKey)
		if order.By(all, byKey); !slices.Equal(all, want) {
			t.Errorf("%d sorted: %v, want %v", n, all, want)
		}
	}
}
