// Package cli is what the command lines of the programs have in common: how they
// end, and where flags come from that are not given.
//
// The exit status is 0 when all is done, 1 when something failed, 2 when the command
// line is wrong. Everything but what was asked for goes to standard error.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openirsa/openirsa/internal/plain"
)

// Main runs a program and ends the process with its exit status. ctx ends with the
// first SIGINT or SIGTERM; nothing acts on the terminal of what is written.
func Main(run func(ctx context.Context, stdout, stderr io.Writer) int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, plain.NewWriter(os.Stdout), plain.NewWriter(os.Stderr))
	stop()
	os.Exit(status)
}

// AtOnce has a second signal end the process without waiting for anything.
func AtOnce(ctx context.Context) {
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt, syscall.SIGTERM) })
}

// Status is the exit status for err, and says on stderr what it is, and of usage where
// to read more.
func Status(stderr io.Writer, name string, err error) int {
	if err == nil {
		return 0
	}
	plain.Error(stderr, name, err)
	if !IsUsage(err) {
		return 1
	}
	plain.Fprintf(stderr, "See '%s --help'.\n", name)
	return 2
}

// UsageError is a command line, or an environment, that makes no sense.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// Usage says that err is one of usage.
func Usage(err error) error { return &UsageError{err} }

// Usagef is an error of usage.
func Usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// IsUsage reports whether err is one of usage.
func IsUsage(err error) bool {
	_, ok := errors.AsType[*UsageError](err)
	return ok
}

// OnlyFlags has a command refuse arguments and flags that it does not know with an
// error of usage.
func OnlyFlags(c *cobra.Command) {
	c.Args = func(c *cobra.Command, args []string) error {
		if err := cobra.NoArgs(c, args); err != nil {
			return Usage(err)
		}
		return nil
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return Usage(err) })
}

// Variable is the environment variable that stands for a flag: PREFIX_FLAG_NAME.
func Variable(prefix, flag string) string {
	return prefix + "_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Environment sets the flags that were not given from the variables that stand for
// them. The error is one of usage, and names the variable.
func Environment(flags *pflag.FlagSet, prefix string, lookup func(string) (string, bool)) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := Variable(prefix, f.Name)
		if value, ok := lookup(name); ok && !f.Changed {
			if err := flags.Set(f.Name, value); err != nil {
				errs = append(errs, Usagef("reading %s: %w", name, err))
			}
		}
	})
	return errors.Join(errs...)
}
