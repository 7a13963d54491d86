package app

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/token"
)

// The chain in each partition, from the caller's ARN to the role that a token is
// exchanged for: every ARN and every host is the partition's.
func TestPartitions(t *testing.T) {
	for _, c := range []struct{ region, partition, suffix string }{
		{"eu-west-1", "aws", "amazonaws.com"},
		{"cn-northwest-1", "aws-cn", "amazonaws.com.cn"},
		{"us-gov-east-1", "aws-us-gov", "amazonaws.com"},
		{"eusc-de-east-1", "aws-eusc", "amazonaws.eu"},
	} {
		t.Run(c.partition, func(t *testing.T) {
			aws := emulatortest.Start(t, emulator.Config{Account: "123456789012", Partition: c.partition})
			a := &app{Invocation: cli.Invocation{}, region: c.region}
			acct, err := a.connectAWS(t.Context(), aws.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			if acct.ID != "123456789012" || acct.Partition != c.partition {
				t.Fatalf("account %s, partition %s", acct.ID, acct.Partition)
			}
			where := documentFlags{name: "dev"}
			iss, err := where.issuer(t.Context(), acct.ID, acct.Region)
			host := "openirsa-dev-123456789012.s3." + c.region + "." + c.suffix
			if err != nil || iss.String() != "https://"+host {
				t.Fatalf("issuer %s, %v", iss, err)
			}
			ch := &chain.Chain{Account: acct, Issuer: iss, Record: record.Record{
				Cluster: "dev", Account: acct.ID, Partition: acct.Partition, Region: acct.Region,
				Location: record.Location{Bucket: "openirsa-dev-123456789012", BucketOwned: true, Provider: iss.ProviderARN(acct.Partition, acct.ID)},
			}}
			if want := "arn:" + c.partition + ":iam::123456789012:oidc-provider/" + host; ch.Record.Provider != want {
				t.Errorf("provider %s, want %s", ch.Record.Provider, want)
			}
			key, err := keys.Generate(keys.ES256)
			if err != nil {
				t.Fatal(err)
			}
			set, err := keys.NewSet(key.Public())
			if err != nil {
				t.Fatal(err)
			}
			docs, err := discovery.Documents(iss, set)
			if err != nil {
				t.Fatal(err)
			}
			run := func(steps []plan.Step, err error) {
				t.Helper()
				if err == nil {
					err = plan.Run(t.Context(), steps, nil)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			tags, err := ch.Tags(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b := ch.Bucket(tags)
			run(b.Plan(t.Context(), docs))
			if err := b.Check(t.Context(), ch.Stranger(), iss, docs, 0); err != nil {
				t.Fatal(err)
			}
			run(provider.Plan(t.Context(), acct.IAM, ch.Provider(tags)))
			sa := config.ServiceAccount{WellKnownPolicies: map[string]bool{"ebsCSIController": true}, AttachPolicyARNs: []string{"arn:" + c.partition + ":iam::aws:policy/IAMReadOnlyAccess"}}
			sa.Metadata.Namespace, sa.Metadata.Name = "default", "app"
			roles, err := ch.WantRoles(t.Context(), []config.ServiceAccount{sa})
			if err != nil {
				t.Fatal(err)
			}
			want := roles["openirsa-dev-default-app"]
			if want.ARN != "arn:"+c.partition+":iam::123456789012:role/openirsa/dev/openirsa-dev-default-app" || len(want.PolicyARNs) != 2 {
				t.Errorf("role %s with %q", want.ARN, want.PolicyARNs)
			}
			run(role.Plan(t.Context(), acct.IAM, want))
			raw, err := token.Mint(key, token.Claims{
				Issuer: iss.String(), Subject: token.Subject("default", "app"), Audience: token.Strings{irsa.Audience},
				IssuedAt: token.At(aws.Now()), NotBefore: token.At(aws.Now()), Expiry: token.At(aws.Now().Add(time.Hour)),
			})
			if err != nil {
				t.Fatal(err)
			}
			out, err := aws.Assume(want.ARN, raw)
			if err != nil || !strings.HasPrefix(*out.AssumedRoleUser.Arn, "arn:"+c.partition+":sts::123456789012:assumed-role/openirsa-dev-default-app/") {
				t.Errorf("assumed %v, %v", out, err)
			}

			// An ARN that was copied from elsewhere.
			sa.AttachPolicyARNs = []string{"arn:aws-iso:iam::aws:policy/ReadOnlyAccess"}
			_, err = ch.WantRoles(t.Context(), []config.ServiceAccount{sa})
			if e, ok := errors.AsType[*adviceError](advice("iamserviceaccount create", err)); !ok || e.next != "name arn:"+c.partition+":iam::aws:policy/ReadOnlyAccess" {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A bucket that cannot be used is refused with the flag that helps.
func TestBucketsOfOthers(t *testing.T) {
	aws := emulatortest.Start(t, emulator.Config{Account: "123456789012"})
	a := &app{Invocation: cli.Invocation{}, region: "eu-west-1"}
	acct, err := a.connectAWS(t.Context(), aws.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := aws.AddForeignBucket("foreign", "999999999999", "eu-west-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := acct.S3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: new("far"),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "ap-southeast-2"}}, func(o *s3.Options) { o.Region = "ap-southeast-2" }); err != nil {
		t.Fatal(err)
	}
	for bucket, words := range map[string][2]string{
		"foreign": {"belongs to another AWS account", "SETUP up --bucket"},
		"far":     {"ap-southeast-2, not eu-west-1", "SETUP up --region ap-southeast-2"},
	} {
		ch := &chain.Chain{Account: acct, Record: record.Record{Account: acct.ID, Region: "eu-west-1", Location: record.Location{Bucket: bucket}}}
		_, err := ch.Bucket(nil).Plan(t.Context(), nil)
		e, ok := errors.AsType[*adviceError](advice("up", ch.BucketError(err)))
		if !ok || !strings.Contains(e.Error(), words[0]) || !strings.Contains(e.next, words[1]) {
			t.Errorf("%s: %v", bucket, err)
		}
	}
}
