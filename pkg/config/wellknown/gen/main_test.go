package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/internal/needs"
)

// A checkout of each kind gives its policy and its version.
func TestGen(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		needs.Lacking(t, err)
	}
	from, to := t.TempDir(), t.TempDir()
	write := func(name, body string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const document = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "a:B", "Resource": "*"}]}`
	write(from+"/plain/policy.json", document)
	write(from+"/page/docs/page.md", "## Other\n```json\n{}\n```\n## Policy\ntext\n```json\n"+document+"\n```\n")
	write(from+"/template/t.yaml", `Resources:
  One: {Type: "AWS::IAM::ManagedPolicy", Properties: {PolicyDocument: !Sub '{"Version": "2012-10-17", "Statement": [{"Resource": "${KarpenterNodeRole.Arn}"}]}'}}
  Queue: {Type: "AWS::SQS::Queue"}
  Two: {Type: "AWS::IAM::ManagedPolicy", Properties: {PolicyDocument: !Sub '{"Version": "2012-10-17", "Statement": [{"Resource": "2"}, {"Resource": "3"}]}'}}
`)
	write(to+"/sources.json", `[{"policy": "plain", "repository": "r/plain", "path": "policy.json"},
{"policy": "page", "repository": "r/page", "path": "docs/page.md", "after": "## Policy"},
{"policy": "template", "repository": "r/template", "path": "t.yaml"}]`)
	for _, name := range []string{"plain", "page", "template"} {
		for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-qm", "x"}, {"tag", "v1"}} {
			c := exec.Command("git", append([]string{"-C", filepath.Join(from, name)}, args...)...)
			c.Env = append(os.Environ(), "GIT_COMMITTER_DATE=2026-01-02T12:00:00Z", "GIT_CONFIG_GLOBAL=/dev/null")
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	if err := run(from, to); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		t.Helper()
		body, err := os.ReadFile(filepath.Join(to, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	if read("plain.json") != read("page.json") || !strings.HasPrefix(read("plain.json"), "{\n  \"Version\"") {
		t.Errorf("%s and %s", read("plain.json"), read("page.json"))
	}
	var joined struct{ Statement []struct{ Resource string } }
	if err := json.Unmarshal([]byte(read("template.json")), &joined); err != nil || len(joined.Statement) != 3 ||
		joined.Statement[0].Resource != "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/KarpenterNodeRole-${ClusterName}" || joined.Statement[2].Resource != "3" {
		t.Errorf("%+v, %v", joined, err)
	}
	if s := read("sources.json"); strings.Count(s, `"version": "v1"`) != 3 || strings.Count(s, `"date": "2026-01-02"`) != 3 {
		t.Errorf("%s", s)
	}
	for _, bad := range []struct{ path, after, body, why string }{
		{"x.md", "## Nowhere", "## Policy\n", "no heading"}, {"x.md", "## Policy", "## Policy\nno JSON\n", "no JSON"},
		{"x.json", "", "{", "unexpected"}, {"x.yaml", "", "Resources: {}\n", "no managed policy"},
	} {
		if _, err := (&source{Path: bad.path, After: bad.after}).document([]byte(bad.body)); err == nil || !strings.Contains(err.Error(), bad.why) {
			t.Errorf("%s: %v, want %q", bad.body, err, bad.why)
		}
	}
	if err := run("", to); err == nil {
		t.Error("no checkouts are enough")
	}
}

// The program's own list is one that it reads, and names a heading for each page.
func TestSources(t *testing.T) {
	body, err := os.ReadFile("../sources.json")
	if err != nil {
		t.Fatal(err)
	}
	var sources []source
	if err := json.Unmarshal(body, &sources); err != nil || len(sources) == 0 {
		t.Fatal(err, len(sources))
	}
	for _, s := range sources {
		if s.Repository == "" || s.Version == "" || s.Date == "" || s.Licence == "" || strings.HasSuffix(s.Path, ".md") != (s.After != "") {
			t.Errorf("%+v", s)
		}
		if _, err := os.Stat("../" + s.Policy + ".json"); err != nil {
			t.Error(err)
		}
	}
}
