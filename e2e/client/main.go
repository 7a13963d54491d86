// Client is what runs in pods of the end-to-end tests beside AWS's own command line: the unmodified AWS SDK for
// Go v2 with its default configuration, so that everything it knows it got from the pod.
//
//	client identity               GetCallerIdentity: the ARN
//	client groups                 ListGroups: one name a line
//	client get s3://BUCKET/KEY    GetObject: the body
//	client assume ROLE_ARN        AssumeRoleWithWebIdentity with the token on standard input: the assumed ARN
//	client claims [FILE]          header and claims of a token, never its signature (default: the pod's token)
//	client whoami                 asks the API server whose token Kubernetes gave the pod: the user's name
//	client environ                the AWS_ variables, without secrets
//	client guarded                what the variables STEPS and DENIALS say, of services behind the guard: "passed"
//	client load ROLE_ARN          tokens of all kinds to STS and the API servers without pause (load.go), until it is ended
//	client fetch HOST URL         GETs of URL as of HOST without pause (load.go), until it is ended
//	client watch                  GetCallerIdentity every half second until it is ended: "ok ARN" or "error ..."
//	client sleep                  nothing, until it is ended
//
// Results go to standard output, errors to standard error; exit 1 on an error.
package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/openirsa/openirsa/e2e/internal/guarded"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "client: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) > 0 && args[0] == "load" {
		return runLoad(ctx, args[1:], stdout)
	}
	if len(args) == 3 && args[0] == "fetch" {
		return runFetch(ctx, args[1], args[2], stdout)
	}
	verb, arg := "", ""
	switch len(args) {
	case 1:
		verb = args[0]
	case 2:
		verb, arg = args[0], args[1]
	}
	switch verb {
	case "claims":
		return claims(arg, stdout)
	case "whoami":
		return whoami(ctx, stdout)
	case "environ":
		for _, kv := range os.Environ() {
			if strings.HasPrefix(kv, "AWS_") && !strings.HasPrefix(kv, "AWS_SECRET") && !strings.HasPrefix(kv, "AWS_SESSION") {
				fmt.Fprintln(stdout, kv)
			}
		}
		return nil
	case "sleep":
		<-ctx.Done()
		return nil
	case "guarded":
		if err := guarded.Run(ctx); err != nil {
			return err
		}
		fmt.Fprintln(stdout, "passed")
		return nil
	}
	if verb == "watch" {
		return watch(ctx, stdout)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	switch verb {
	case "identity":
		out, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
		if err != nil {
			return err
		}
		fmt.Fprintln(stdout, *out.Arn)
		return nil
	case "groups":
		return groups(ctx, cfg, stdout)
	case "get":
		return get(ctx, cfg, arg, stdout)
	case "assume":
		return assume(ctx, cfg, arg, stdin, stdout)
	}
	return errors.New("usage: client identity|groups|get s3://BUCKET/KEY|assume ROLE_ARN|claims [FILE]|whoami|environ|" +
		"guarded|load ROLE_ARN|fetch HOST URL|watch|sleep")
}

func groups(ctx context.Context, cfg aws.Config, stdout io.Writer) error {
	pages := iam.NewListGroupsPaginator(iam.NewFromConfig(cfg), nil)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, g := range page.Groups {
			fmt.Fprintln(stdout, *g.GroupName)
		}
	}
	return nil
}

func get(ctx context.Context, cfg aws.Config, object string, stdout io.Writer) error {
	bucket, key, ok := strings.Cut(strings.TrimPrefix(object, "s3://"), "/")
	if !ok {
		return fmt.Errorf("get %q: not s3://BUCKET/KEY", object)
	}
	out, err := s3.NewFromConfig(cfg).GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	_, err = io.Copy(stdout, out.Body)
	return err
}

func assume(ctx context.Context, cfg aws.Config, role string, stdin io.Reader, stdout io.Writer) error {
	b, err := io.ReadAll(io.LimitReader(stdin, 64<<10))
	if err != nil {
		return fmt.Errorf("reading the token: %w", err)
	}
	out, err := sts.NewFromConfig(cfg).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: &role, RoleSessionName: new("client"), WebIdentityToken: new(strings.TrimSpace(string(b))),
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, *out.AssumedRoleUser.Arn)
	return nil
}

// claims prints the first two parts of a token. The third one makes it a credential and stays where it is.
func claims(file string, stdout io.Writer) error {
	if file == "" {
		file = os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the token: %w", err)
	}
	parts := strings.Split(strings.TrimSpace(string(b)), ".")
	if len(parts) != 3 {
		return fmt.Errorf("reading the token: %d parts, want 3", len(parts))
	}
	for _, p := range parts[:2] {
		text, err := base64.RawURLEncoding.DecodeString(p)
		if err != nil {
			return fmt.Errorf("reading the token: %w", err)
		}
		fmt.Fprintf(stdout, "%s\n", text)
	}
	return nil
}

// whoami uses the token that every pod has for the API server, as a client in the cluster does.
func whoami(ctx context.Context, stdout io.Writer) error {
	own, err := readToken(podDir + "token")
	if err != nil {
		return err
	}
	c, err := apiClient()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	user, err := review(ctx, c, inCluster(), own.raw)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, user)
	return nil
}

func watch(ctx context.Context, stdout io.Writer) error {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	client := sts.NewFromConfig(cfg)
	for {
		// The client is kept, and with it its credentials, as a program does. And as a careful program it does not
		// wait for ever: the other end of its connection may have died without a word.
		call, cancel := context.WithTimeout(ctx, 3*time.Second)
		out, err := client.GetCallerIdentity(call, nil)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			fmt.Fprintf(stdout, "error %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		default:
			fmt.Fprintf(stdout, "ok %s\n", *out.Arn)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(500 * time.Millisecond):
		}
	}
}
