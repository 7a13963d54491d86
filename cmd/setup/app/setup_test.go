package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/kubetest"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
)

func TestMain(m *testing.M) {
	testscript.Main(kubetest.Keep(m), map[string]func(){
		"setup": func() { os.Exit(call(context.Background(), os.Args, os.Getenv, os.Stdout, os.Stderr)) },
		// noisy has client-go tell of an error in its own way.
		"noisy": func() {
			quiet()
			utilruntime.HandleError(errors.New("portforward.go: an error occurred"))
			klog.Errorf("and %s", "another")
			klog.Flush()
		},
		"kubectl-irsa": func() { os.Exit(call(context.Background(), os.Args, os.Getenv, os.Stdout, os.Stderr)) },
	})
}

// called is how the program is called in this process, by name.
func called(name string, args ...string) cli.Invocation {
	return cli.Invocation{Name: name, Args: args, Lookup: os.LookupEnv}
}

// call runs the command line args, whose first is the program.
func call(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	in := called(cli.Name(args[0]), args[1:]...)
	in.Lookup = func(name string) (string, bool) { value := getenv(name); return value, value != "" }
	in.Stdin, in.Stdout, in.Stderr = os.Stdin, stdout, stderr
	return Main(ctx, &in)
}

// The scripts run the real program. What needs a cluster is tested in e2e.
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
			// No cluster, no Docker and no AWS settings of the machine.
			env.Setenv("KUBECONFIG", env.WorkDir+"/no-kubeconfig")
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("DOCKER_HOST", "unix://"+env.WorkDir+"/no-docker.sock")
			env.Setenv("AWS_EC2_METADATA_DISABLED", "true")
			return nil
		},
	})
}

// As a plugin of kubectl it is called so wherever its help speaks of it.
func TestHelpCallsTheProgramByItsName(t *testing.T) {
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			each(sub)
		}
		text := c.Short + c.Long + c.Example + c.Flags().FlagUsages()
		if at := regexp.MustCompile(`\bsetup\b.*`).FindString(text); at != "" && !strings.HasPrefix(c.CommandPath(), "kubectl irsa completion") {
			t.Errorf("%s: %s", c.CommandPath(), at)
		}
	}
	each((&app{Invocation: called("kubectl irsa")}).command())
}

// The program as a whole knows what is next after any failure of the cluster,
// but not better than who came across it.
func TestClusterAdvice(t *testing.T) {
	for next, err := range map[string]error{
		"kubectl cluster-info":                               cluster.ErrUnreachable,
		"--kind-name NAME":                                   cluster.ErrSeveralClusters,
		"kind create cluster --name dev":                     &cluster.NoKindClusterError{Name: "dev"},
		"kind delete cluster --name dev && kind create clus": &cluster.UnreachableError{Cluster: "dev", Kind: true, Err: io.EOF},
		"kubectl cluster":                                    &cluster.UnreachableError{Cluster: "dev", Err: io.EOF},
		"--context prod":                                     &cluster.UnnamedContextError{Context: "prod"},
		"name one with --kubeconfig":                         cluster.ErrNoCluster,
		"SETUP up":                                           cluster.ErrNoState,
		"--override-existing":                                &cluster.ConflictError{Namespace: "default", Name: "app"},
		"kubeconfig of a cluster":                            cluster.ErrForbidden,
		"wait until the other run":                           cluster.ErrStateChanged,
		"--issuer-url https://x.org":                         &controlplane.OtherIssuerError{Issuer: "https://x.org"},
		"turn it off and on again":                           advise(cluster.ErrUnreachable, "turn it off and on again"),
	} {
		got := advice("up", fmt.Errorf("webhook: %w", err))
		if e, ok := errors.AsType[*adviceError](got); !ok || !strings.Contains(e.next, next) || !errors.Is(got, err) {
			t.Errorf("%v: %#v, want next: %s", err, got, next)
		}
	}
	if err := errors.New("another"); advice("up", err) != err {
		t.Error("what is not the cluster's has got advice")
	}
}
