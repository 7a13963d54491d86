// Sizes fails if a program is larger than it may be, or if the linker could not drop
// the methods that nobody calls, which nearly doubles a program:
//
//	go run ./internal/sizes bin/setup bin/linux-amd64/*
//
// It reads Linux programs that `make build` has linked, and links nothing unless it has
// something to say: then it names who keeps the methods.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
)

// budgets are how many bytes each program may have. Whoever needs more says in
// docs/measurements.md what for.
var budgets = map[string]int64{
	"agent":    13_000_000,
	"emulator": 15_000_000,
	"issuer":   36_000_000,
	"openirsa": 52_000_000,
	"setup":    35_000_000,
	"webhook":  21_000_000,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: sizes PROGRAM...")
		os.Exit(2)
	}
	if err := check(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sizes:", err)
		os.Exit(1)
	}
}

// check reports on programs, which are those of this module's cmd.
func check(ctx context.Context, programs []string, out io.Writer) error {
	var errs []error
	for _, file := range programs {
		name := filepath.Base(file)
		budget, ok := budgets[name]
		if !ok {
			errs = append(errs, fmt.Errorf("%s has no budget", name))
			continue
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%-10s %5.2f MB of %5.2f\n", name, float64(info.Size())/1e6, float64(budget)/1e6)
		if info.Size() > budget {
			errs = append(errs, fmt.Errorf("%s has %d bytes, and may have %d", name, info.Size(), budget))
		}
		kept, err := keepsAllMethods(file)
		if err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		if kept {
			path, err := whyKept(ctx, "./cmd/"+name)
			if err != nil {
				return err
			}
			errs = append(errs, fmt.Errorf("%s has every method of every type, since one may be called by a name that is not known when "+
				"it is linked:%s", name, path))
		}
	}
	return errors.Join(errs...)
}
