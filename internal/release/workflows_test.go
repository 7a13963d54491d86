package release_test

import (
	"testing"

	"go.yaml.in/yaml/v3"
)

// workflowFile is what the tests read of a workflow of GitHub Actions.
type workflowFile struct {
	Env  map[string]string
	Jobs map[string]workflowJob
}

type workflowJob struct {
	If          string
	Needs       string
	Permissions map[string]string
	Strategy    struct{ Matrix map[string][]string }
	Env         map[string]string
	Steps       []workflowStep
}

type workflowStep struct {
	Name, Uses, Run string
	With, Env       map[string]string
}

func workflow(t *testing.T, name string) workflowFile {
	t.Helper()
	var w workflowFile
	if err := yaml.Unmarshal([]byte(read(t, "../../.github/workflows/"+name)), &w); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return w
}
