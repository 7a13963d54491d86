package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/publish"
)

// documentFlags are the flags of the commands that need to know where the
// documents go.
type documentFlags struct {
	name      string
	bucket    string
	issuerURL string
	emulator  bool
	account   string

	private      bool
	distribution string
	allowPrivate bool
}

func (p *documentFlags) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&p.name, "name", "", "name of the cluster in AWS (default: that of the kind cluster or the context)")
	f.StringVar(&p.bucket, "bucket", "", "S3 bucket for the documents, or BUCKET/PREFIX (default: openirsa-NAME-ACCOUNT)")
	f.StringVar(&p.issuerURL, "issuer-url", "", "public https URL at which you serve the documents yourself, instead of S3")
	f.BoolVar(&p.emulator, "emulator", false, "use an AWS emulator in the cluster: no AWS account is needed")
	f.BoolVar(&p.private, "private-bucket", false, "keep the bucket closed to the public; CloudFront serves its documents at --issuer-url "+
		"(see docs/aws.md)")
	f.StringVar(&p.distribution, "distribution-arn", "", "ARN of the CloudFront distribution to let into the private bucket (default: "+
		"whoever made it has set the bucket's policy)")
	allowPrivateFlag(c, &p.allowPrivate)
}

func allowPrivateFlag(c *cobra.Command, to *bool) {
	c.Flags().BoolVar(to, "allow-private-issuers", false, "accept an issuer with a port, which AWS never does, because AWS is an emulator "+
		"with the same flag (default where AWS_ENDPOINT_URL is set)")
}

// check refuses flags that do not go together.
func (p *documentFlags) check() error {
	return inFlags(p.documents().Check())
}

// checkPort refuses an --issuer-url with a port, of which IAM makes no provider,
// unless an emulator is meant that does.
func (a *app) checkPort(p documentFlags) error {
	if p.issuerURL == "" || p.emulator || p.allowPrivate || a.Getenv("AWS_ENDPOINT_URL") != "" {
		return nil
	}
	iss, err := p.parseIssuer()
	if err != nil {
		return err
	}
	if err := iss.CheckPort(); err != nil {
		return cli.Usagef("--issuer-url: %w: serve it at port 443, or give --allow-private-issuers if AWS is an emulator that accepts it", err)
	}
	return nil
}

func (p documentFlags) parseIssuer() (issuer.URL, error) {
	iss, err := issuer.Parse(p.issuerURL)
	if err != nil {
		return issuer.URL{}, cli.Usage(fmt.Errorf("--issuer-url: %w", err))
	}
	return iss, nil
}

// documents are the values of the flags.
func (p documentFlags) documents() config.Documents {
	return config.Documents{
		Bucket: p.bucket, IssuerURL: p.issuerURL, Emulator: p.emulator, PrivateBucket: p.private, DistributionARN: p.distribution,
	}
}

// issuer is that of the place's bucket in an account.
func (p documentFlags) issuer(ctx context.Context, account, region string) (issuer.URL, error) {
	bucket, prefix, err := p.documents().InS3(p.name, account)
	if err != nil {
		return issuer.URL{}, err
	}
	return publish.Issuer(ctx, bucket, prefix, region)
}

// plannedIssuer is the issuer that `up` will make, before there is a cluster.
func (a *app) plannedIssuer(ctx context.Context, where documentFlags) (issuer.URL, error) {
	switch {
	case where.issuerURL != "":
		return where.parseIssuer()
	case where.emulator:
		return where.issuer(ctx, emulatorAccount, cmp.Or(a.region, account.EmulatorRegion))
	case where.account == "":
		return issuer.URL{}, cli.Usagef("--account is needed to name the bucket (or --emulator, or --issuer-url)")
	case a.region == "":
		return issuer.URL{}, cli.Usagef("--region is needed to name the bucket")
	}
	return where.issuer(ctx, where.account, a.region)
}

// emulatorAccount is the account of the emulator in the cluster.
const emulatorAccount = emulator.DefaultAccount

// flagOf is the flag that stands for a field of a configuration file.
func flagOf(field string) string {
	return "--" + cmp.Or(map[string]string{
		"issuerURL": "issuer-url", "privateBucket": "private-bucket", "distributionARN": "distribution-arn",
		"failurePolicy": "failure-policy", "ignoreNamespaces": "ignore-namespaces", "excludeNamespaces": "exclude-namespaces",

		"serviceAccountName": "service-account-name", "roleARN": "role-arn", "roleName": "role-name", "targetRoleARN": "target-role-arn",
		"permissionsBoundaryARN": "permissions-boundary-arn", "permissionPolicyARNs": "permission-policy-arns",
		"permissionPolicy": "permission-policy-file", "wellKnownPolicies": "well-known-policies", "disableSessionTags": "disable-session-tags",
	}[field], field)
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
