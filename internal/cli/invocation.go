package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/plain"
)

// Invocation is what a program gets from its surroundings.
type Invocation struct {
	// Name is what the user types to run the program, such as "openirsa",
	// "kubectl openirsa" or "openirsa webhook". Its texts and errors speak of it so.
	Name string
	// Args are the words after it.
	Args []string
	// Lookup finds a variable of the environment; nil finds none.
	Lookup func(name string) (value string, set bool)

	Stdin          *os.File // nil: nobody to ask, and nothing to read
	Stdout, Stderr io.Writer

	process bool // it is that of this process, and not of a part or a test
}

// Main runs a program and ends the process with its exit status. ctx ends with the
// first SIGINT or SIGTERM; nothing acts on the terminal of what is written.
func Main(run func(ctx context.Context, in *Invocation) int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, &Invocation{
		Name: Name(os.Args[0]), Args: os.Args[1:], Lookup: os.LookupEnv,
		Stdin: os.Stdin, Stdout: plain.NewWriter(os.Stdout), Stderr: plain.NewWriter(os.Stderr), process: true,
	})
	stop()
	os.Exit(status)
}

// Name is what the user has typed to run the program at path: kubectl runs a program
// called kubectl-irsa as `kubectl irsa`, and Windows needs no .exe.
func Name(path string) string {
	name := path[strings.LastIndexAny(path, `/\`)+1:]
	if runtime.GOOS == "windows" && len(name) > 4 && strings.EqualFold(name[len(name)-4:], ".exe") {
		name = name[:len(name)-4]
	}
	if verb, ok := strings.CutPrefix(name, "kubectl-"); ok {
		return "kubectl " + verb
	}
	return name
}

// Getenv is the value of a variable of the environment; empty if it is not set.
func (i *Invocation) Getenv(name string) string {
	if i.Lookup == nil {
		return ""
	}
	value, _ := i.Lookup(name)
	return value
}

// Below is the invocation of a program that is the command name of this one.
func (i *Invocation) Below(name string) *Invocation {
	sub := *i
	sub.Name, sub.Args = i.Name+" "+name, nil
	return &sub
}

// AtOnce has a second signal end the process without waiting for anything.
func (i *Invocation) AtOnce(ctx context.Context) {
	if i.process {
		context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt, syscall.SIGTERM) })
	}
}

// Run runs root, the whole of a program, as [Execute] does.
func (i *Invocation) Run(ctx context.Context, root *cobra.Command) (*cobra.Command, error) {
	root.SetArgs(i.Args)
	root.SetOut(i.Stdout)
	root.SetErr(i.Stderr)
	return Execute(ctx, root)
}

// Call has the help of c call the program by the name that the user typed.
func (i *Invocation) Call(c *cobra.Command) {
	c.Use = strings.ReplaceAll(i.Name, " ", "-")
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[cobra.CommandDisplayNameAnnotation] = i.Name
}
