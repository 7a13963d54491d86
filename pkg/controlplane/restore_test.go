package controlplane

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A manifest that a killed run has left, and that does not come up, goes.
func TestRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, 1)
		node, ctx := f.nodes[0], t.Context()
		if was, err := Restore(ctx, c.nodes[0]); err != nil || was {
			t.Errorf("an API server that was not changed: %t, %v", was, err)
		}
		node.refuses = func(f Flags) bool { return slices.Contains(f.Issuers, testIssuer) }
		steps, err := c.SetIssuer(ctx, options(t))
		if err != nil {
			t.Fatal(err)
		}
		killed, cancel := context.WithTimeoutCause(ctx, time.Minute, errKilled)
		defer cancel()
		if err := steps[0].Do(killed); !errors.Is(err, errKilled) {
			t.Fatalf("error = %v", err)
		}
		if node.serving || node.files[provenFile] != formerManifest {
			t.Fatalf("serving %t, files %q", node.serving, slices.Sorted(maps.Keys(node.files)))
		}
		if was, err := Restore(ctx, c.nodes[0]); err != nil || !was {
			t.Errorf("%t, %v", was, err)
		}
		if _, there := node.files[provenFile]; there || !node.serving || node.files[manifestFile] != formerManifest {
			t.Errorf("serving %t, files %q", node.serving, slices.Sorted(maps.Keys(node.files)))
		}
	})
}
