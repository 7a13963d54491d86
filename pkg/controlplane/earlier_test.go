package controlplane

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// earlier are the files of a node as commit a44849b has left them, and the
// rotation that the record of the cluster had with them.
func earlier(t *testing.T, name string) (files map[string]string, r Rotation) {
	t.Helper()
	a, err := txtar.ParseFile("testdata/a44849b/" + name + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	files = make(map[string]string)
	for _, f := range a.Files {
		if f.Name == "rotation.json" {
			if err := json.Unmarshal(f.Data, &r); err != nil {
				t.Fatal(err)
			}
			continue
		}
		files[f.Name] = string(f.Data)
	}
	return files, r
}

// An issuer that an earlier version has set is removed, and nothing stays.
func TestEarlierIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, 1)
		n := f.nodes[0]
		n.files, _ = earlier(t, "issuer")
		n.start()
		n.issue()
		if steps, err := c.SetIssuer(t.Context(), options(t)); err != nil || len(steps) > 0 {
			t.Errorf("it is set: %q, %v", summaries(steps), err)
		}
		if err := unset(t.Context(), c, options(t)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{manifestFile: formerManifest}, n.files); diff != "" {
			t.Errorf("the files in the end (-want +got):\n%s", diff)
		}
	})
}

// So is a manifest with which the API server has not come up.
func TestEarlierKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := newFake(t, 1)
		n := f.nodes[0]
		n.files, _ = earlier(t, "killed")
		n.refuses = func(f Flags) bool { return slices.Contains(f.Issuers, testIssuer) }
		n.start()
		n.serving = false
		if was, err := Restore(t.Context(), n.node()); err != nil || !was {
			t.Errorf("%t, %v", was, err)
		}
		if n.files[manifestFile] != formerManifest || !n.serving {
			t.Errorf("serving %t with\n%s", n.serving, n.files[manifestFile])
		}
	})
}

// A rotation that an earlier version has begun continues, and can be undone.
func TestEarlierRotation(t *testing.T) {
	for _, name := range []string{"accepted", "signed"} {
		for _, back := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				f, c := newKeyedFake(t, 1)
				n := f.nodes[0]
				r := &rotationRun{f: f, c: c}
				n.files, r.r = earlier(t, name)
				if len(r.r.Nodes) != 1 || len(r.r.New) != 1 {
					t.Fatalf("rotation = %+v", r.r)
				}
				was := maps.Clone(n.files)
				was[manifestFile], was[controllerManifestFile] = keyedManifest, keyedControllerManifest
				maps.DeleteFunc(was, func(name, _ string) bool { return strings.Contains(name, "/openirsa/") })
				n.start()
				n.controllerChanged = time.Now().Add(-time.Minute)
				n.passController()
				n.live = []string{n.signs}
				r.publish()
				if !back {
					if err := r.forward(t); err != nil {
						t.Fatal(err)
					}
					r.settled(t, was)
					return
				}
				if err := r.back(t); err != nil {
					t.Fatal(err)
				}
				was[saPub] = n.files[saPub] // which had the keys of both generations
				if diff := cmp.Diff(was, n.files); diff != "" {
					t.Errorf("undone (-want +got):\n%s", diff)
				}
				if public, err := parsed(n.files[saPub]); err != nil || len(public) != 1 || public[0].KID != n.kid(saKey) {
					t.Errorf("%s has %q, %v", saPub, kidsOf(public), err)
				}
			})
		}
	}
}
