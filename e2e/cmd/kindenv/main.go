// Kindenv keeps real kind clusters for work by hand: the same ones that the end-to-end tests use.
//
//	eval "$(go run ./cmd/kindenv up)"     # clusters up; DOCKER_HOST, PATH and KUBECONFIG set
//	go run ./cmd/kindenv programs         # kube-apiserver, etcd and the rest alone: prints their folder
//	go run ./cmd/kindenv image            # build what a cluster needs into the cache, start nothing
//	go run ./cmd/kindenv external-secrets # its controller and CRDs: prints their folder
//	go run ./cmd/kindenv install sshd     # the Debian packages of programs that are missing
//	go run ./cmd/kindenv debian DIR       # a new Debian in a folder
//	go run ./cmd/kindenv down             # also after a run that was killed
//
// Progress goes to standard error, what a shell is to evaluate to standard output.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "kindenv: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o := kindenv.Options{Log: stderr, Clusters: []string{"openirsa-e2e"}}
	root := &cobra.Command{
		Use: "kindenv", Short: "Real kind clusters on any machine that has the Go toolchain",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	flags := root.PersistentFlags()
	flags.IntVar(&o.Instance, "instance", 1, "keeps environments on one machine apart (1 to 99)")
	flags.StringVar((*string)(&o.Route), "route", "",
		`"kind" (kind's own node image) or "built" (everything built here); empty: the first that works`)
	flags.StringSliceVar(&o.Clusters, "cluster", o.Clusters, "names of the clusters")

	up := &cobra.Command{
		Use: "up", Short: "Bring the clusters up and print the environment for a shell", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			env, err := kindenv.Up(ctx, o)
			if err != nil {
				return err
			}
			env.Release()
			for _, kv := range env.Environ() {
				k, v, _ := strings.Cut(kv, "=")
				fmt.Fprintf(stdout, "export %s='%s'\n", k, strings.ReplaceAll(v, "'", `'\''`))
			}
			return nil
		},
	}
	up.Flags().IntVar(&o.Shape.ControlPlanes, "control-planes", 1, "how many nodes each cluster has")
	up.Flags().BoolVar(&o.Reuse, "reuse", false, "take clusters that are up already")
	down := &cobra.Command{
		Use: "down", Short: "Remove the clusters and everything that was started for them", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
			defer cancel()
			return kindenv.Down(ctx, o)
		},
	}
	image := &cobra.Command{
		Use: "image", Short: "Build the node image and the images for pods into the cache", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return kindenv.Build(ctx, o) },
	}
	programs := &cobra.Command{
		Use: "programs", Short: "Build Kubernetes' programs and etcd into the cache and print their folder", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			dir, err := kindenv.Programs(ctx, o)
			if err == nil {
				fmt.Fprintln(stdout, dir)
			}
			return err
		},
	}
	externalSecrets := &cobra.Command{
		Use: "external-secrets", Short: "Build external-secrets' controller into the cache and print its folder", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			dir, err := kindenv.ExternalSecrets(ctx, o)
			if err == nil {
				fmt.Fprintln(stdout, dir)
			}
			return err
		},
	}
	install := &cobra.Command{
		Use: "install PROGRAM...", Short: "Install the Debian packages of programs that are missing", Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return kindenv.Install(ctx, stderr, args...) },
	}
	debian := &cobra.Command{
		Use: "debian DIR [PACKAGE...]", Short: "Make a new Debian in a folder, with these packages", Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return kindenv.Debian(ctx, stderr, args[0], args[1:]...) },
	}
	root.AddCommand(up, down, image, programs, externalSecrets, install, debian)
	return root.ExecuteContext(ctx)
}
