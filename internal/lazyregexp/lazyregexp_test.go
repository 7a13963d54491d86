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

// TestFault: a fault shows when a program starts, not when a client sends what the expression is for.
func TestFault(t *testing.T) {
	for _, expr := range []string{`(`, `[a-z]{1,1001}`, `a**`} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was taken", expr)
				}
			}()
			New(expr)
		}()
	}
}
