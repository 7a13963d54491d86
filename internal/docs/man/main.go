// Man writes the man pages of openirsa, one a command, from what `--help` says.
//
//	go run . --version v0.1.0 ../../../bin/man
//
// Their date is SOURCE_DATE_EPOCH, so that the same commit has the same pages. It is a
// module of its own, for the sake of what it needs.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"github.com/openirsa/openirsa/cmd/openirsa/app"
	"github.com/openirsa/openirsa/internal/cli"
)

func main() {
	if err := run(os.Args[1:], os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

func run(args []string, getenv func(string) string) error {
	flags := pflag.NewFlagSet("man", pflag.ContinueOnError)
	version := flags.String("version", "", "version of the program")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 || *version == "" {
		return errors.New("usage: man --version VERSION FOLDER")
	}
	seconds, err := strconv.ParseInt(getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("reading SOURCE_DATE_EPOCH, the time of the commit in seconds: %w", err)
	}
	dir := flags.Arg(0)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, page := range pages(command(), *version, time.Unix(seconds, 0).UTC()) {
		if err := os.WriteFile(filepath.Join(dir, name), page, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// command is the command line of the program, by the name that people type.
func command() *cobra.Command {
	return app.Command(&cli.Invocation{
		Name: "openirsa", Lookup: func(string) (string, bool) { return "", false }, Stdin: os.Stdin, Stdout: io.Discard, Stderr: io.Discard,
	})
}

// pages are the pages of a command and of all below it, by the names of their files.
func pages(c *cobra.Command, version string, date time.Time) map[string][]byte {
	all := map[string][]byte{}
	for _, c := range commands(c) {
		name := strings.ReplaceAll(c.CommandPath(), " ", "-")
		all[name+".1"] = page(c, &doc.GenManHeader{
			Title: strings.ToUpper(name), Section: "1", Date: &date, Source: "OpenIRSA " + version, Manual: "OpenIRSA",
		})
	}
	return all
}

// commands are those that have help of their own.
func commands(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" {
			all = append(all, commands(sub)...)
		}
	}
	return all
}

func page(c *cobra.Command, header *doc.GenManHeader) []byte {
	was := *c
	defer func() { c.Long, c.Short, c.Example = was.Long, was.Short, was.Example }()
	c.DisableAutoGenTag = true
	c.Short = markdown(c.Short)
	if c.Long == "" {
		c.Long = was.Short
	}
	c.Long = markdown(c.Long)
	usages := map[*pflag.Flag]string{}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		usages[f] = f.Usage
		f.Usage = markdown(f.Usage)
	})
	defer func() {
		for f, usage := range usages {
			f.Usage = usage
		}
	}()
	var b bytes.Buffer
	_ = doc.GenMan(c, header, &b) // a buffer takes everything
	// No flag is broken at its hyphen, and long words make no gaps in the lines above.
	return bytes.Replace(b.Bytes(), []byte("\n.SH"), []byte("\n.nr HY 0\n.nh\n.ad l\n.SH"), 1)
}

var special = regexp.MustCompile("[\\\\`*_<>\\[\\]|]")

// markdown writes a text of `--help` so that it looks the same in a man page: lines that
// are indented are kept as they are, and nothing in the others is taken for a form.
func markdown(text string) string {
	var b strings.Builder
	code := false
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		indented := isIndented(line)
		if code && !indented && (line != "" || i+1 == len(lines) || !isIndented(lines[i+1])) {
			b.WriteString("```\n")
			code = false
		}
		if indented && !code {
			b.WriteString("```\n")
			code = true
		}
		if !code {
			line = strings.TrimPrefix(line, "#### ") // in cobra's own texts
			line = special.ReplaceAllString(line, `\$0`)
		}
		b.WriteString(line + "\n")
	}
	if code {
		b.WriteString("```\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func isIndented(line string) bool {
	return strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "\t")
}
