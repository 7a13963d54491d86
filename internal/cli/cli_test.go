package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/version"
)

func TestStatus(t *testing.T) {
	broken := errors.New("it is broken")
	for _, c := range []struct {
		err    error
		status int
		text   string
	}{
		{nil, 0, ""},
		{broken, 1, "prog: it is broken\n"},
		{cli.Usage(broken), 2, "prog: it is broken\nSee 'prog --help'.\n"},
		{fmt.Errorf("file: %w", cli.Usagef("--x: %w", broken)), 2, "prog: file: --x: it is broken\nSee 'prog --help'.\n"},
	} {
		var out bytes.Buffer
		if got := cli.Status(&out, "prog", c.err); got != c.status || out.String() != c.text {
			t.Errorf("%v: %d, %q", c.err, got, &out)
		}
		if c.err != nil && !errors.Is(c.err, broken) {
			t.Errorf("%v does not say why", c.err)
		}
	}
}

func TestOnlyFlags(t *testing.T) {
	for _, args := range [][]string{{"extra"}, {"--nope"}} {
		c := &cobra.Command{Use: "prog", SilenceErrors: true, SilenceUsage: true, RunE: func(*cobra.Command, []string) error { return nil }}
		cli.OnlyFlags(c)
		c.SetArgs(args)
		c.SetOut(io.Discard)
		if err := c.Execute(); !cli.IsUsage(err) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestVersion(t *testing.T) {
	answer := func(shorthand string, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		c := &cobra.Command{Use: "prog", Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "my prog"}}
		c.AddCommand(&cobra.Command{Use: "verb", RunE: func(*cobra.Command, []string) error { return nil }})
		c.Flags().StringP("other", shorthand, "", "")
		c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.Usage(err) })
		c.SetArgs(args)
		c.SetOut(&out)
		if _, err := cli.Execute(t.Context(), c); err != nil {
			t.Errorf("%q: %v", args, err)
		}
		return out.String()
	}
	line := version.String() + "\n"
	for _, args := range [][]string{{"--version"}, {"-v"}, {"--version", "--nope"}, {"--version=true"}} {
		if got := answer("o", args...); got != line {
			t.Errorf("%q: %q", args, got)
		}
	}
	if got := answer("o", "--version=false"); got == line {
		t.Errorf("--version=false: %q", got)
	}
	if got := answer("o", "verb"); got != "" {
		t.Errorf("verb: %q", got)
	}
	if got := answer("o", "--help"); !strings.Contains(got, "\n  -v, --version        version for my prog\n") {
		t.Errorf("--help: %s", got)
	}
	if got := answer("v", "--help"); !strings.Contains(got, "\n      --version        version for my prog\n") {
		t.Errorf("--help: %s", got)
	}
}

func TestEnvironment(t *testing.T) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	name := flags.String("the-name", "default", "")
	given := flags.String("given", "", "")
	count := flags.Int("count", 1, "")
	other := flags.String("other", "default", "")
	help := flags.Bool("help", false, "")
	if err := flags.SetAnnotation("help", cobra.FlagSetByCobraAnnotation, []string{"true"}); err != nil {
		t.Fatal(err)
	}
	if err := flags.Parse([]string{"--given=flag"}); err != nil {
		t.Fatal(err)
	}
	environment := map[string]string{"X_THE_NAME": "", "X_GIVEN": "variable", "X_COUNT": "many", "X_HELP": "true"}
	lookup := func(name string) (string, bool) { v, ok := environment[name]; return v, ok }
	err := cli.Environment(flags, "X", lookup)
	if !cli.IsUsage(err) || !strings.Contains(err.Error(), "reading X_COUNT: ") {
		t.Errorf("%v", err)
	}
	if *name != "" || *given != "flag" || *other != "default" || *help {
		t.Errorf("%q, %q, %q, %v", *name, *given, *other, *help)
	}
	environment["X_COUNT"] = "2"
	if err := cli.Environment(flags, "X", lookup); err != nil || *count != 2 {
		t.Errorf("%v, %d", err, *count)
	}
}
