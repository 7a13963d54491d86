// Chart packages the Helm chart of this checkout for a release, and pushes it to a
// registry in the form that Helm pulls. It needs no Helm.
//
//	go run ./deploy/cmd/chart --image REGISTRY/openirsa@sha256:... --file dist/
//	go run ./deploy/cmd/chart --image REGISTRY/openirsa:v0.1.0 --push REGISTRY/charts --artifacthub deploy/artifacthub-repo.yml
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/durable"
	"github.com/openirsa/openirsa/internal/helmchart"
	"github.com/openirsa/openirsa/internal/release"
)

func main() {
	cli.Main(func(ctx context.Context, in *cli.Invocation) int {
		return cli.Status(in.Stderr, "chart", run(ctx, in.Args, in.Stdout, in.Stderr))
	})
}

type options struct {
	checkout, version, image, file, push, artifacthub string
	plain                                             bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o options
	c := &cobra.Command{
		Use: "chart", Short: "Package the Helm chart for a release, and push it to a registry",
		Long: "Chart packages the Helm chart for a release: with its version, the image that it installs, and the changes of\n" +
			"CHANGELOG.md for Artifact Hub. The same checkout gives the same archive. Files have the time SOURCE_DATE_EPOCH.",
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), stdout) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.checkout, "checkout", ".", "the checkout")
	f.StringVar(&o.version, "version", "", "version of the chart; the program's is v and this. Default: the newest in CHANGELOG.md")
	f.StringVar(&o.image, "image", "", "the published image, with its registry and a tag, a digest or both. Default: none is named")
	f.StringVar(&o.file, "file", "", "write the archive to this file, or into this folder")
	f.StringVar(&o.push, "push", "", "push the chart below this repository, such as REGISTRY/charts, with the credentials of docker login")
	f.BoolVar(&o.plain, "plain-http", false, "the registry has no TLS")
	f.StringVar(&o.artifacthub, "artifacthub", "", "also push this artifacthub-repo.yml there, for Artifact Hub")
	cli.OnlyFlags(c)
	c.SetArgs(args)
	c.SetOut(stdout)
	c.SetErr(stderr)
	return c.ExecuteContext(ctx)
}

func (o *options) run(ctx context.Context, stdout io.Writer) error {
	if o.file == "" && o.push == "" {
		return cli.Usagef("give --file, --push or both")
	}
	if o.artifacthub != "" && o.push == "" {
		return cli.Usagef("--artifacthub without --push")
	}
	p, err := o.pack()
	if err != nil {
		return err
	}
	if o.file != "" {
		file := o.file
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			file = filepath.Join(file, p.File())
		}
		if err := durable.WriteFile(file, p.Archive, 0o644); err != nil {
			return err
		}
		fmt.Fprintln(stdout, file)
	}
	if o.push == "" {
		return nil
	}
	digest, err := p.Push(ctx, o.push, o.plain)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s@%s\n", p.Reference(o.push), digest)
	if o.artifacthub != "" {
		body, err := os.ReadFile(o.artifacthub)
		if err != nil {
			return err
		}
		if _, err := p.PushMetadata(ctx, o.push, body, o.plain); err != nil {
			return err
		}
	}
	return nil
}

// pack packages the chart as CHANGELOG.md, or the flags, say.
func (o *options) pack() (*helmchart.Package, error) {
	created, err := sourceDate(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return nil, err
	}
	body, err := os.ReadFile(filepath.Join(o.checkout, "CHANGELOG.md"))
	if err != nil {
		return nil, err
	}
	sections, err := release.Changelog(string(body))
	if err != nil {
		return nil, fmt.Errorf("CHANGELOG.md: %w", err)
	}
	r := helmchart.Release{Version: o.version, Image: o.image, Created: created}
	if r.Version == "" {
		if len(sections) < 2 {
			return nil, errors.New("CHANGELOG.md has no version yet: give --version")
		}
		r.Version = sections[1].Version
	}
	// A version of its own, such as that of a snapshot, has what is unreleased.
	notes := sections[0].Text
	for _, s := range sections {
		if s.Version == r.Version {
			notes = s.Text
		}
	}
	r.Changes = helmchart.Changes(notes)
	return helmchart.New(os.DirFS(filepath.Join(o.checkout, "deploy", "chart")), r)
}

func sourceDate(seconds string) (time.Time, error) {
	if seconds == "" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}, cli.Usagef("SOURCE_DATE_EPOCH %q is not a number of seconds", seconds)
	}
	return time.Unix(n, 0), nil
}
