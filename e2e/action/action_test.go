// Package action runs the project's GitHub Action as far as it needs no cluster. With one, TestExamples does.
package action

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/e2e/internal/act"
)

func runner(t *testing.T) *act.Runner {
	t.Helper()
	bin := os.Getenv("OPENIRSA_BIN")
	if bin == "" {
		bin = filepath.Join("..", "..", "bin")
	}
	program := filepath.Join(bin, "openirsa")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	r := act.NewRunner(t, filepath.Join("..", ".."), program, nil)
	r.Env = []string{"OUT=" + r.Dir} // act has steps in a copy of the repository
	return r
}

// workflow installs the program with these inputs, and then runs a script.
func workflow(inputs map[string]string, script string) string {
	var with strings.Builder
	for name, value := range inputs {
		fmt.Fprintf(&with, "          %s: %q\n", name, value)
	}
	return `on: push
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - id: irsa
        uses: openirsa/openirsa@v0
        with:
` + with.String() + `      - run: ` + script + `
        env:
          VERSION: ${{ steps.irsa.outputs.version }}
          FOLDER: ${{ steps.irsa.outputs.path }}
`
}

// The program of the release is installed, and later steps have it.
func TestInstall(t *testing.T) {
	r := runner(t)
	out, err := r.Run(t.Context(), t, workflow(
		map[string]string{"up": "false", "download-url": r.Releases},
		`test "$(command -v openirsa)" = "$FOLDER/openirsa" && test "$(openirsa --version)" = "$VERSION" && openirsa demo >"$OUT/demo.txt"`))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if demo, err := os.ReadFile(filepath.Join(r.Dir, "demo.txt")); err != nil || !strings.Contains(string(demo), "assumed-role") {
		t.Errorf("the demo says %q, %v\n%s", demo, err, out)
	}
}

// An archive that is not the release's, and inputs that are not what they should be, end the job, and nothing of them is
// run.
func TestRefused(t *testing.T) {
	r := runner(t)
	for name, c := range map[string]struct {
		inputs map[string]string
		says   string
	}{
		"checksum": {map[string]string{"up": "false", "version": act.Version, "download-url": r.Releases + "/spoilt"}, "nothing was installed"},
		"release":  {map[string]string{"up": "false", "version": "v9.9.9", "download-url": r.Releases}, "cannot download"},
		"script":   {map[string]string{"up": "false", "version": "1$(touch $OUT/ran)", "download-url": r.Releases}, "no version"},
		"boolean":  {map[string]string{"kind": "maybe", "version": act.Version, "download-url": r.Releases}, "kind is neither true nor false"},
		"name": {map[string]string{"cluster-name": "a\nAWS_PROFILE=b", "version": act.Version, "download-url": r.Releases},
			"cluster-name has other characters"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := r.Run(t.Context(), t, workflow(c.inputs, `touch "$OUT/ran"`))
			if err == nil || !strings.Contains(out, c.says) {
				t.Errorf("%v, and the log does not say %q:\n%s", err, c.says, out)
			}
			if _, err := os.Stat(filepath.Join(r.Dir, "ran")); err == nil {
				t.Errorf("something was run:\n%s", out)
			}
		})
	}
}
