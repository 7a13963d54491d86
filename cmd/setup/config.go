package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/pkg/config"
)

// readConfig reads a configuration file, "-" being standard input, and says what
// of it is ignored. An error names the line and the field.
func (a *app) readConfig(path string) (config.File, error) {
	var body []byte
	var err error
	if path == "-" {
		body, err = io.ReadAll(os.Stdin)
	} else {
		body, err = os.ReadFile(path)
	}
	if err != nil {
		return config.File{}, fmt.Errorf("reading the configuration: %w", err)
	}
	file, unread, err := config.Parse(body)
	if err != nil {
		return config.File{}, cli.Usage(fmt.Errorf("%s: %w", path, err))
	}
	if len(unread) > 0 {
		plain.Fprintf(a.err, "note: %s: ignored, since it has no meaning here: %s\n", path, strings.Join(unread, ", "))
	}
	return file, nil
}

// applyFile sets what flags have not set.
func applyFile(file config.File, a *app, o *upOptions) {
	for _, p := range []struct {
		flag *string
		file string
	}{
		{&o.name, file.Metadata.Name}, {&a.region, file.Metadata.Region}, {&o.bucket, file.Bucket}, {&o.issuerURL, file.IssuerURL},
		{&o.image, file.Image}, {&o.distribution, file.DistributionARN}, {&o.failurePolicy, file.FailurePolicy},
	} {
		*p.flag = cmp.Or(*p.flag, p.file)
	}
	if a.kindName == "" && a.context == "" && a.kubeconfig == "" {
		a.kindName, a.context, a.kubeconfig = file.KindName, file.Context, file.Kubeconfig
	}
	if !o.emulator && o.endpoint == "" {
		o.emulator, o.endpoint = file.Emulator, file.PodEndpointURL
	}
	o.private = o.private || file.PrivateBucket
	if o.ignore == nil {
		o.ignore = file.IgnoreNamespaces
	}
	if o.exclude == nil {
		o.exclude = file.ExcludeNamespaces
	}
	if file.KeepIssuer != nil && !o.keepSet && !o.keep {
		o.keep, o.keepSet = *file.KeepIssuer, true
	}
}

// flagOf is the flag that stands for a field of a configuration file.
func flagOf(field string) string {
	return "--" + map[string]string{
		"bucket": "bucket", "issuerURL": "issuer-url", "emulator": "emulator", "privateBucket": "private-bucket", "distributionARN": "distribution-arn",
		"failurePolicy": "failure-policy", "ignoreNamespaces": "ignore-namespaces", "excludeNamespaces": "exclude-namespaces",
	}[field]
}

// inFlags is an error about values in the words of the flags that they were given
// with.
func inFlags(err error) error {
	if e, ok := errors.AsType[*config.FieldError](err); ok {
		return cli.Usage(flagError{e})
	}
	return err
}

// flagError is a [config.FieldError] about flags.
type flagError struct{ *config.FieldError }

func (e flagError) Error() string { return e.Say(flagOf) }
func (e flagError) Unwrap() error { return e.FieldError }
