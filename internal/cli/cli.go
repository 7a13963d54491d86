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
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/internal/version"
)

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
	c.Args = NoSuchCommand
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return Usage(err) })
}

// Rename has the texts of c, and of every command below it, speak of programs by the
// names that the user types: what own matches is replaced by what name makes of it.
func Rename(c *cobra.Command, own *regexp.Regexp, name func(matched string) string) {
	for _, sub := range c.Commands() {
		Rename(sub, own, name)
	}
	for _, text := range []*string{&c.Short, &c.Long, &c.Example} {
		*text = own.ReplaceAllStringFunc(*text, name)
	}
	c.Flags().VisitAll(func(f *pflag.Flag) { f.Usage = own.ReplaceAllStringFunc(f.Usage, name) })
}

// NoSuchCommand is the Args of a command that takes none: it refuses a word that is
// none of the commands below c, as cobra does below the root.
func NoSuchCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.SuggestionsMinimumDistance = 2
	meant := ""
	if names := c.SuggestionsFor(args[0]); len(names) > 0 {
		meant = "\n\nDid you mean this?\n\t" + strings.Join(names, "\n\t") + "\n"
	}
	return Usagef("unknown command %q for %q%s", args[0], c.CommandPath(), meant)
}

// Group has a command that only holds others show its help, and refuse words that are
// none of them: cobra shows the help for whatever word follows, and succeeds.
func Group(c *cobra.Command) {
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.Args = NoSuchCommand
	c.DisableFlagsInUseLine = true
}

// Execute runs the command line of a program, with the flag --version, and returns the
// command that it was. Nothing is printed of errors. The flag is cobra's own but for
// what it prints, one line: cobra
// would want a template for that, and with text/template in reach the linker keeps every
// method of every type, since a template may call it.
func Execute(ctx context.Context, root *cobra.Command) (*cobra.Command, error) {
	shorthand := "v"
	if root.Flags().ShorthandLookup(shorthand) != nil {
		shorthand = ""
	}
	flag := root.Flags().VarPF(new(versionFlag), "version", shorthand, "version for "+root.DisplayName())
	flag.NoOptDefVal = "true"
	flag.Annotations = map[string][]string{cobra.FlagSetByCobraAnnotation: {"true"}}
	root.SilenceErrors, root.SilenceUsage = true, true
	c, err := root.ExecuteContextC(ctx)
	if errors.Is(err, errVersion) {
		_, err = fmt.Fprintln(root.OutOrStdout(), version.String())
	}
	return c, err
}

// VersionCommand prints the same.
func VersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), version.String())
			return err
		},
	}
}

// errVersion ends the reading of the command line, as pflag.ErrHelp does.
var errVersion = errors.New("the version is asked for")

type versionFlag struct{}

func (*versionFlag) String() string { return "false" }
func (*versionFlag) Type() string   { return "bool" }

func (*versionFlag) Set(s string) error {
	asked, err := strconv.ParseBool(s)
	if asked {
		return errVersion
	}
	return err
}

// Variable is the environment variable that stands for a flag: PREFIX_FLAG_NAME.
func Variable(prefix, flag string) string {
	return prefix + "_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Environment sets the flags that were not given from the variables that stand for
// them, but for --help and --version. The error is one of usage, and names the variable.
func Environment(flags *pflag.FlagSet, prefix string, lookup func(string) (string, bool)) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Annotations[cobra.FlagSetByCobraAnnotation] != nil {
			return
		}
		name := Variable(prefix, f.Name)
		if value, ok := lookup(name); ok && !f.Changed {
			if err := flags.Set(f.Name, value); err != nil {
				errs = append(errs, Usagef("reading %s: %w", name, err))
			}
		}
	})
	return errors.Join(errs...)
}
