package lazyregexp

import (
	"slices"
	"sync"
	"testing"
)

func TestRegexp(t *testing.T) {
	r := New(`^([a-z]{1,200})/(\d+)$`)
	var g sync.WaitGroup
	for range 4 {
		g.Go(func() {
			if got, want := r.FindStringSubmatch("pod/7"), []string{"pod/7", "pod", "7"}; !slices.Equal(got, want) {
				t.Errorf("it finds %q, want %q", got, want)
			}
			if r.MatchString("pod/") {
				t.Error("it matches what it should not")
			}
		})
	}
	g.Wait()
	if got, want := r.String(), `^([a-z]{1,200})/(\d+)$`; got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
}

// TestBad: a fault shows when the expression is used, not before.
func TestBad(t *testing.T) {
	r := New(`(`)
	defer func() {
		if recover() == nil {
			t.Error("an expression with a fault was used")
		}
	}()
	r.MatchString("")
}
