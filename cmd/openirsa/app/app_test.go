package app

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
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
