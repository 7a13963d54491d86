package app

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/openirsa/openirsa/internal/cli"
)

func TestMain(m *testing.M) {
	programs := map[string]func(){}
	for _, name := range []string{"openirsa", "setup", "kubectl-openirsa", "issuer", "webhook", "emulator", "agent"} {
		programs[name] = func() { cli.Main(Main) }
	}
	testscript.Main(m, programs)
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// status N PROGRAM ARGS... runs a program that must end with status N.
			"status": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 2 {
					ts.Fatalf("usage: status N PROGRAM ARGS...")
				}
				err := ts.Exec(args[1], args[2:]...)
				exit, ok := errors.AsType[*exec.ExitError](err)
				if !ok || strconv.Itoa(exit.ExitCode()) != args[0] {
					ts.Fatalf("%s ended with %v, expected status %s", args[1], err, args[0])
				}
			},
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("KUBECONFIG", os.DevNull)
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("AWS_EC2_METADATA_DISABLED", "true")
			return nil
		},
	})
}

// What runs in pods is named wherever it is said what the program carries.
func TestDaemonsAreNamed(t *testing.T) {
	in := &cli.Invocation{Name: "openirsa"}
	names := []string{"issuer"}
	for _, c := range daemons(in).Others {
		names = append(names, c.Name())
	}
	root := Command(in)
	_, carried, ok := strings.Cut(root.Long, "What runs in pods")
	if !ok {
		t.Fatalf("the help does not say what runs in pods:\n%s", root.Long)
	}
	image, _, err := root.Find([]string{"image"})
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(image.Long, ".")
	page, err := os.ReadFile("../../../docs/setup.md")
	if err != nil {
		t.Fatal(err)
	}
	for text, words := range map[string]string{
		"the help":                 carried,
		"the help of image, short": image.Short,
		"the help of image":        first,
		"the commands in setup.md": strings.Join(regexp.MustCompile("(?m)^openirsa [a-z]+").FindAllString(string(page), -1), "\n"),
		"the programs of setup.md": strings.Join(regexp.MustCompile("`cmd/[a-z]+`").FindAllString(string(page), -1), "\n"),
	} {
		for _, name := range names {
			if !regexp.MustCompile(`\b` + name + `\b`).MatchString(words) {
				t.Errorf("%s lacks %s:\n%s", text, name, words)
			}
		}
	}
}
