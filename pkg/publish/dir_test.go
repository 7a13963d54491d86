package publish_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/publish"
)

func TestDir(t *testing.T) {
	iss, err := issuer.Parse("https://oidc.example.com/c1")
	if err != nil {
		t.Fatal(err)
	}
	docs := documents(t, iss)
	dir := publish.Dir(t.TempDir())
	for _, want := range []int{2, 0} {
		steps, err := dir.Plan(docs)
		if err != nil || len(steps) != want {
			t.Fatalf("%d steps, %v, want %d", len(steps), err, want)
		}
		if err := plan.Run(t.Context(), steps, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, doc := range docs {
		path := filepath.Join(string(dir), doc.Path)
		got, err := os.ReadFile(path)
		if err != nil || string(got) != string(doc.Body) {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	if err := os.WriteFile(filepath.Join(string(dir), issuer.JWKSPath), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if steps, err := dir.Plan(docs); err != nil || len(steps) != 1 || steps[0].Action != plan.Update {
		t.Errorf("steps %v, %v", steps, err)
	}
}
