package examples_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// action is action.yml, as far as tests look at it.
type action struct {
	Inputs  map[string]struct{ Description, Default string }
	Outputs map[string]struct{ Description, Value string }
	Runs    struct {
		Steps []struct {
			ID, If, Run string
			Env         map[string]string
		}
	}
}

func readYAML(t *testing.T, file string, to any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = yaml.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// What a workflow gives the action reaches a script by the environment alone: a value in the script's text would be run.
// Every input has a step that takes it, by a name that the script knows.
func TestActionPassesInputsByEnvironment(t *testing.T) {
	var a action
	readYAML(t, "../action.yml", &a)
	script, err := os.ReadFile("../action.sh")
	if err != nil {
		t.Fatal(err)
	}
	taken := map[string]bool{}
	for i, step := range a.Runs.Steps {
		if strings.Contains(step.Run, "${{") {
			t.Errorf("step %d has an expression in its script: %s", i, step.Run)
		}
		for name, value := range step.Env {
			input, ok := strings.CutPrefix(value, "${{ inputs.")
			if input = strings.TrimSuffix(input, " }}"); !ok {
				t.Errorf("step %d: %s is %s", i, name, value)
			}
			if want := "INPUT_" + strings.ToUpper(strings.ReplaceAll(input, "-", "_")); name != want {
				t.Errorf("step %d: input %s is %s, want %s", i, input, name, want)
			}
			if !regexp.MustCompile(`\b` + name + `\b`).Match(script) {
				t.Errorf("action.sh does not use %s", name)
			}
			taken[input] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(a.Inputs)), slices.Sorted(maps.Keys(taken))); diff != "" {
		t.Errorf("inputs (-there +taken):\n%s", diff)
	}
}

// The manual names every input and output.
func TestActionIsDocumented(t *testing.T) {
	var a action
	readYAML(t, "../action.yml", &a)
	page, err := os.ReadFile("../docs/test-suites.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for name, input := range a.Inputs {
		value := "`" + input.Default + "`"
		if input.Default == "" {
			value = ""
		}
		want = append(want, name+" "+value)
	}
	for name := range a.Outputs {
		want = append(want, name)
	}
	// A row of inputs has a default in its second of three cells; a row of outputs has two.
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|(?: ?([^|]*) \\|)? [^|]+ \\|$").FindAllStringSubmatch(string(page), -1) {
		if row := m[0]; strings.Count(row, "|") == 4 {
			got = append(got, m[1]+" "+m[2])
		} else {
			got = append(got, m[1])
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/test-suites.md (-action.yml +page):\n%s", diff)
	}
}

// The example gives the action only what it takes, and uses what it gives.
func TestWorkflow(t *testing.T) {
	var a action
	readYAML(t, "../action.yml", &a)
	var w struct {
		Jobs map[string]struct {
			Steps []struct {
				ID, Uses string
				With     map[string]any
				Env      map[string]string
			}
		}
	}
	readYAML(t, "github-actions/workflow.yml", &w)
	used := false
	for _, step := range w.Jobs["test"].Steps {
		if step.Uses == "openirsa/openirsa@v0" {
			used = true
			for name := range step.With {
				if _, ok := a.Inputs[name]; !ok {
					t.Errorf("the action has no input %s", name)
				}
			}
		}
		for _, value := range step.Env {
			if m := regexp.MustCompile(`steps\.irsa\.outputs\.([a-z-]+)`).FindStringSubmatch(value); m != nil {
				if _, ok := a.Outputs[m[1]]; !ok {
					t.Errorf("the action has no output %s", m[1])
				}
			}
		}
	}
	if !used {
		t.Error("the workflow does not use the action")
	}
}
