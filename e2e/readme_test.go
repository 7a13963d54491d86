package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
	"github.com/openirsa/openirsa/e2e/internal/readme"
	"github.com/openirsa/openirsa/pkg/token"
)

// testReadme follows the README to the letter: it runs the commands of its terminal sessions in a shell, with openirsa
// alone in a folder on the PATH, and compares what they print. Only three things are not the reader's own: the cluster is
// there already and has another name, kubectl is that of its node, and the image of the AWS CLI is one of ours, by the
// README's name.
func testReadme(t *testing.T) {
	k := secondary
	t.Cleanup(func() {
		k.explain(t)
		pod{k, "default", "aws"}.remove(t) // which the README leaves to its reader
		if t.Failed() && k.installed(t) {  // the next story begins without a chain
			k.setup(t, "down")
		}
	})
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := readme.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	k.loadAWSCLI(t, string(text))
	was := k.snapshot(t)
	r := newReader(t, k)
	for _, b := range blocks {
		if b.NotRun != "" {
			t.Logf("README.md:%d is not run: %s", b.Line, b.NotRun)
			continue
		}
		if b.Before != "" {
			k.spoilTrust(t, b.Before)
		}
		for _, c := range b.Commands {
			r.follow(t, c)
		}
	}
	if diff := cmp.Diff(was, k.snapshot(t)); diff != "" {
		t.Errorf("what the README does leaves (-before +after):\n%s", diff)
	}
}

// loadAWSCLI loads the image by the name that a page gives it into the nodes.
func (k *kube) loadAWSCLI(t *testing.T, page string) {
	t.Helper()
	if err := k.Load(suite, awscliAs(t, page), awscli); err != nil {
		t.Fatal(err)
	}
}

// awscliAs is the image of the AWS CLI by the name that a text gives it.
func awscliAs(t *testing.T, text string) kindenv.Image {
	t.Helper()
	m := regexp.MustCompile(`--image=(amazon/aws-cli:[0-9.]+)\s`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("the text names no image of the AWS CLI with a version: nodes would ask a registry for another one")
	}
	im, err := awscli.As("docker.io/"+m[1], filepath.Join(t.TempDir(), "awscli.tar"), "/usr/bin/aws")
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// spoilTrust does what a comment of the README says of the trust policy of the role of default/app.
func (k *kube) spoilTrust(t *testing.T, what string) {
	t.Helper()
	right := token.Subject("default", "app")
	m := regexp.MustCompile(`^(\S+) in the role's trust policy becomes (\S+)$`).FindStringSubmatch(what)
	if m == nil || m[1] != right {
		t.Fatalf("the README wants something that nobody does here: %q", what)
	}
	arn := k.annotations(t, "default", "app")[roleAnnotation]
	name := arn[strings.LastIndexByte(arn, '/')+1:]
	service, err := k.client.CoreV1().Services(system).Get(suite, emulatorName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	iam := func(args ...string) string {
		t.Helper()
		r := k.run(t, podSpec{namespace: "default", name: "readme-root", image: awscli, args: append([]string{"aws", "iam"}, args...),
			env: map[string]string{"AWS_ENDPOINT_URL": fmt.Sprintf("http://%s:%d", service.Spec.ClusterIP, emulatorPort),
				"AWS_REGION": region, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}})
		if r.code != 0 {
			t.Fatalf("aws iam %s: exit %d: %s", strings.Join(args, " "), r.code, r.stdout)
		}
		return r.stdout
	}
	var got struct {
		Role struct{ AssumeRolePolicyDocument json.RawMessage }
	}
	if err := json.Unmarshal([]byte(iam("get-role", "--role-name", name)), &got); err != nil {
		t.Fatal(err)
	}
	trust := string(got.Role.AssumeRolePolicyDocument)
	spoilt := strings.Replace(trust, right+`"`, m[2]+`"`, 1)
	if spoilt == trust {
		t.Fatalf("the trust policy does not hold %s: %s", right, trust)
	}
	iam("update-assume-role-policy", "--role-name", name, "--policy-document", spoilt)
	pod{k, "default", "readme-root"}.remove(t)
}

// reader is somebody at a terminal.
type reader struct {
	cluster string
	dir     string // where he is
	env     []string
}

func newReader(t *testing.T, k *kube) *reader {
	t.Helper()
	dir := t.TempDir()
	alone, others, work := filepath.Join(dir, "openirsa"), filepath.Join(dir, "others"), filepath.Join(dir, "work")
	for _, d := range []string{alone, others, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copyProgram(t, filepath.Join(bin, "openirsa"), filepath.Join(alone, "openirsa"))
	node, err := k.Node()
	if err != nil {
		t.Fatal(err)
	}
	kubectl := fmt.Sprintf("#!/bin/sh\nexec docker exec -i %s kubectl --kubeconfig=/etc/kubernetes/admin.conf \"$@\"\n", node)
	if err := os.WriteFile(filepath.Join(others, "kubectl"), []byte(kubectl), 0o755); err != nil {
		t.Fatal(err)
	}
	env := append(invocation{}.base(), "KUBECONFIG="+k.kubeconfig,
		"PATH="+strings.Join([]string{alone, others, os.Getenv("PATH")}, string(os.PathListSeparator)))
	return &reader{cluster: k.Name, dir: work, env: env}
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// given is what the README has its reader do first, and what is there already.
const given = "kind create cluster && "

// A role's name ends in a hash if there is a hyphen in the cluster's.
var hash = regexp.MustCompile(`\b(openirsa-kind-default-app)-[0-9a-f]{8}\b`)

// follow runs a command and compares what it prints. A command whose output has an error must fail, and any other must
// not; what an error says to do next must repair it.
func (r *reader) follow(t *testing.T, c readme.Command) {
	t.Helper()
	out, code := r.shell(t, strings.TrimPrefix(c.Text, given))
	shown := strings.ReplaceAll(out, r.cluster, "kind")
	shown = hash.ReplaceAllString(shown, "$1")
	if diff := readme.Diff(c.Output, shown); diff != "" {
		t.Errorf("README.md:%d: $ %s\nprints something else (-README +now):\n%s", c.Line, c.Text, diff)
	}
	failed := regexp.MustCompile(`(?m)^openirsa: `).MatchString(c.Output)
	if failed != (code != 0) {
		t.Fatalf("README.md:%d: $ %s\nexit %d", c.Line, c.Text, code)
	}
	if !failed {
		return
	}
	next := regexp.MustCompile(`(?m)^next: (openirsa .*)$`).FindStringSubmatch(out)
	if next == nil {
		t.Fatalf("README.md:%d: it does not say what is next", c.Line)
	}
	if out, code := r.shell(t, next[1]); code != 0 {
		t.Fatalf("$ %s\nexit %d: %s", next[1], code, out)
	}
	if out, code := r.shell(t, c.Text); code != 0 {
		t.Errorf("after $ %s\n$ %s\nexit %d: %s", next[1], c.Text, code, out)
	}
}

// shell runs a command as a terminal shows it: what goes to standard output and to standard error, in one.
func (r *reader) shell(t *testing.T, command string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(suite, 6*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Dir, cmd.Env = r.dir, r.env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	start := time.Now()
	err := cmd.Run()
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && ctx.Err() == nil {
		code, err = exit.ExitCode(), nil
	}
	if err != nil {
		t.Fatalf("$ %s\n%v\n%s", command, err, out.String())
	}
	t.Logf("$ %s    # exit %d, %.1fs\n%s", command, code, time.Since(start).Seconds(), out.String())
	return out.String(), code
}
