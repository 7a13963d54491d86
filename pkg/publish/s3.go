// Package publish puts an issuer's documents where the world can read them:
// into an S3 bucket.
//
// It reads what is there, answers with the steps that are missing ([S3.Plan]), and
// reads the result back as an anonymous stranger ([S3.Check]).
package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/trust"
)

// Client is what [S3] calls; *s3.Client is one.
type Client interface {
	HeadBucket(context.Context, *s3.HeadBucketInput, ...func(*s3.Options)) (*s3.HeadBucketOutput, error)
	CreateBucket(context.Context, *s3.CreateBucketInput, ...func(*s3.Options)) (*s3.CreateBucketOutput, error)
	DeleteBucket(context.Context, *s3.DeleteBucketInput, ...func(*s3.Options)) (*s3.DeleteBucketOutput, error)
	GetBucketTagging(context.Context, *s3.GetBucketTaggingInput, ...func(*s3.Options)) (*s3.GetBucketTaggingOutput, error)
	PutBucketTagging(context.Context, *s3.PutBucketTaggingInput, ...func(*s3.Options)) (*s3.PutBucketTaggingOutput, error)
	GetPublicAccessBlock(context.Context, *s3.GetPublicAccessBlockInput, ...func(*s3.Options)) (*s3.GetPublicAccessBlockOutput, error)
	PutPublicAccessBlock(context.Context, *s3.PutPublicAccessBlockInput, ...func(*s3.Options)) (*s3.PutPublicAccessBlockOutput, error)
	GetBucketPolicy(context.Context, *s3.GetBucketPolicyInput, ...func(*s3.Options)) (*s3.GetBucketPolicyOutput, error)
	PutBucketPolicy(context.Context, *s3.PutBucketPolicyInput, ...func(*s3.Options)) (*s3.PutBucketPolicyOutput, error)
	DeleteBucketPolicy(context.Context, *s3.DeleteBucketPolicyInput, ...func(*s3.Options)) (*s3.DeleteBucketPolicyOutput, error)
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	DeleteObject(context.Context, *s3.DeleteObjectInput, ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
}

// S3 is the part of a bucket that holds one issuer's documents. A bucket may
// hold several issuers, each below a prefix of its own.
type S3 struct {
	Client Client
	// Account owns the bucket. Each call says so (ExpectedBucketOwner), so
	// that nothing is ever written to a stranger's bucket of the same name.
	Account   string
	Partition string
	Region    string
	Bucket    string
	// Prefix is the issuer's path without slashes around it, or empty.
	Prefix string
	// Owned says that the bucket was made for this purpose: it is tagged, and
	// deleted with its last document. Otherwise only documents and one
	// statement of its policy are ours.
	Owned bool
	// Tags mark an owned bucket, see [owner.Tags]: it is deleted only with the
	// same mark.
	Tags map[string]string
	// DocumentsOnly leaves the bucket, its policy and its public access block
	// to others: only the documents are read and written, for which
	// s3:GetObject and s3:PutObject on them are enough.
	DocumentsOnly bool
	// Private keeps the bucket closed to the public; the documents are served
	// by a CloudFront distribution with origin access control, at an issuer
	// URL of its own.
	Private bool
	// Distribution is the ARN of the distribution that may read the documents
	// of a Private bucket. Empty leaves the bucket's policy to whoever made
	// the distribution.
	Distribution string
}

// The errors that a caller can turn into advice, wrapped with what AWS said.
var (
	// ErrForeignBucket is a bucket that belongs to another account.
	ErrForeignBucket = errors.New("the bucket belongs to another AWS account")
	// ErrWrongRegion is a bucket in another region than the issuer's; a
	// [*RegionError] tells which, if S3 did.
	ErrWrongRegion = errors.New("the bucket is in another region")
	// ErrAccountBlock is S3 Block Public Access, switched on for the whole
	// account, so that opening it on the bucket is not enough.
	ErrAccountBlock = errors.New("S3 Block Public Access is on for the whole account")
	// ErrOwnerUnknown is a bucket whose tags may not be read, so that nobody
	// knows for whom it was made.
	ErrOwnerUnknown = errors.New("it is not known for whom the bucket was made")
)

// RegionError is a bucket that is not in the issuer's region. It is an
// [ErrWrongRegion].
type RegionError struct {
	Bucket, Want string
	Is           string // "" where S3 does not tell
}

func (e *RegionError) Error() string {
	if e.Is == "" {
		return fmt.Sprintf("bucket %s: %v than %s", e.Bucket, ErrWrongRegion, e.Want)
	}
	return fmt.Sprintf("bucket %s: %v: %s, not %s", e.Bucket, ErrWrongRegion, e.Is, e.Want)
}

func (e *RegionError) Unwrap() error { return ErrWrongRegion }

// Issuer is the issuer of documents in a bucket. Where S3 is in a region is the
// SDK's knowledge (its partitions); an endpoint that was configured has no part
// in it.
func Issuer(ctx context.Context, bucket, prefix, region string) (issuer.URL, error) {
	suffix, err := dnsSuffix(ctx, region)
	if err != nil {
		return issuer.URL{}, err
	}
	return issuer.S3(bucket, region, suffix, prefix)
}

// dnsSuffix is what S3's host names end with in a region, such as "amazonaws.com".
func dnsSuffix(ctx context.Context, region string) (string, error) {
	endpoint, err := s3.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, s3.EndpointParameters{Region: &region})
	if err != nil {
		return "", fmt.Errorf("finding the S3 endpoint of region %q: %w", region, err)
	}
	suffix, ok := strings.CutPrefix(endpoint.URI.Host, "s3."+region+".")
	if !ok {
		return "", fmt.Errorf("region %q: S3 is at %s there, which has no address for each bucket", region, endpoint.URI.Host)
	}
	return suffix, nil
}

// At is the issuer at a place: BUCKET or BUCKET/PREFIX in S3, whose parts are
// told too, or the https URL of documents that others serve, without a bucket.
func At(ctx context.Context, place, region string) (iss issuer.URL, bucket, prefix string, err error) {
	if strings.Contains(place, "://") {
		iss, err = issuer.Parse(place)
		return iss, "", "", err
	}
	bucket, prefix, _ = strings.Cut(place, "/")
	prefix = strings.Trim(prefix, "/")
	if iss, err = Issuer(ctx, bucket, prefix, region); err != nil {
		return issuer.URL{}, "", "", err
	}
	return iss, bucket, prefix, nil
}

// Partition is the id of the partition that a region is in, such as "aws-cn".
// An ARN of the account tells the same where there are credentials.
func Partition(region string) (string, error) {
	endpoint, err := s3.NewDefaultEndpointResolver().ResolveEndpoint(region, s3.EndpointResolverOptions{})
	if err != nil {
		return "", fmt.Errorf("finding the partition of region %q: %w", region, err)
	}
	return endpoint.PartitionID, nil
}

// PathStyle is an option of clients that addresses buckets by path where an
// endpoint is configured, which need not have a host name for each bucket.
func PathStyle(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil }

// Exists reports whether the bucket is there and belongs to the account. The
// error wraps [ErrForeignBucket] or [ErrWrongRegion].
func (b S3) Exists(ctx context.Context) (bool, error) {
	head, err := b.Client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account})
	switch status(err) {
	case 0:
		if err != nil {
			return false, fmt.Errorf("looking for bucket %s: %w", b.Bucket, err)
		}
	case http.StatusNotFound:
		return false, nil
	case http.StatusForbidden:
		return false, fmt.Errorf("bucket %s: %w, or you may not list it (s3:ListBucket)", b.Bucket, ErrForeignBucket)
	case http.StatusMovedPermanently, http.StatusBadRequest:
		region := ""
		if e, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
			region = e.Response.Header.Get("X-Amz-Bucket-Region")
		}
		return false, &RegionError{Bucket: b.Bucket, Want: b.Region, Is: region}
	default:
		return false, fmt.Errorf("looking for bucket %s: %w", b.Bucket, err)
	}
	if r := head.BucketRegion; r != nil && *r != "" && *r != b.Region {
		return false, &RegionError{Bucket: b.Bucket, Want: b.Region, Is: *r}
	}
	return true, nil
}

func (b S3) arn() string { return "arn:" + b.Partition + ":s3:::" + b.Bucket }

// Plan decides what must be done for the bucket to serve docs to anybody: the
// bucket itself, its public access block (only the two switches about policies
// are opened), its policy (anonymous s3:GetObject on exactly the documents), and
// the documents in their order. Documents that have the right content already
// are left alone.
func (b S3) Plan(ctx context.Context, docs []discovery.Document) ([]plan.Step, error) {
	if b.DocumentsOnly {
		return b.planDocuments(ctx, docs)
	}
	exists, err := b.Exists(ctx)
	if err != nil {
		return nil, err
	}
	var (
		tags   map[string]string
		block  types.PublicAccessBlockConfiguration
		policy bucketPolicy
		there  = make([]bool, len(docs))
	)
	if exists {
		group, ctx := errgroup.WithContext(ctx)
		if b.Owned {
			group.Go(func() (err error) { tags, err = b.tags(ctx); return err })
		}
		group.Go(func() (err error) { block, err = b.publicAccessBlock(ctx); return err })
		group.Go(func() (err error) { policy, err = b.policy(ctx); return err })
		for i, doc := range docs {
			group.Go(func() (err error) { there[i], err = b.has(ctx, doc); return err })
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
	}

	var steps []plan.Step
	add := func(action, summary, diff string, do func(context.Context) error) {
		steps = append(steps, plan.Step{Link: plan.Documents, Action: action, Summary: summary, Diff: diff, Do: do})
	}
	if !exists {
		add(plan.Create, "bucket "+b.Bucket+" in "+b.Region, "", b.create)
	}
	if b.Owned && !containsAll(tags, b.Tags) {
		add(plan.Update, "tags of bucket "+b.Bucket, "", func(ctx context.Context) error { return b.putTags(ctx, tags) })
	}
	switch {
	case b.Private && b.Owned:
		if !exists || !isShut(block) {
			add(plan.Update, "public access block of bucket "+b.Bucket, "+ all public access blocked", b.shut)
		}
	case b.Private: // whether others' bucket is open is theirs to say
	case !exists || isOn(block.BlockPublicPolicy) || isOn(block.RestrictPublicBuckets):
		add(plan.Update, "public access block of bucket "+b.Bucket,
			"- BlockPublicPolicy, RestrictPublicBuckets\n+ BlockPublicPolicy=false, RestrictPublicBuckets=false", func(ctx context.Context) error {
				return b.openPolicies(ctx, block)
			})
	}
	var paths []string
	for _, doc := range docs {
		paths = append(paths, doc.Path)
	}
	want, changed := policy, false
	reader := "anyone"
	switch {
	case !b.Private || b.Distribution != "":
		want, changed = policy.with(b.statement(paths))
		if b.Private {
			reader = b.Distribution
		}
	case policy.public(b.sid()): // from before it was to be private
		want, changed = policy.without(b.sid())
		reader = "no stranger"
	}
	if changed {
		add(plan.Update, "policy of bucket "+b.Bucket, "+ "+reader+" may s3:GetObject "+strings.Join(b.resources(paths), ", "), func(ctx context.Context) error {
			return b.putPolicy(ctx, want)
		})
	}
	for i, doc := range docs {
		if !there[i] {
			steps = append(steps, b.putStep(doc))
		}
	}
	return patient(steps, !exists), nil
}

// openWithin is how long S3 may go on refusing public policies after a bucket was
// opened. It gives no figure; it is seconds.
const openWithin = 10 * time.Second

// patient has the steps wait for S3: it makes one change of a bucket at a time,
// which can be the end of an earlier one of the same name; it opens a bucket a
// while after it was told to; and it may not have heard yet, where it is asked
// next, of a bucket that is new.
func patient(steps []plan.Step, isNew bool) []plan.Step {
	for i, step := range steps {
		steps[i].Do = func(ctx context.Context) error {
			start := time.Now()
			return wait.Retry(ctx, wait.ForIAM, func(err error) bool {
				switch code(err) {
				case "OperationAborted":
					return true
				case "NoSuchBucket":
					return isNew
				}
				return errors.Is(err, ErrAccountBlock) && time.Since(start) < openWithin
			}, step.Do)
		}
	}
	return steps
}

// planDocuments is Plan for the documents alone.
func (b S3) planDocuments(ctx context.Context, docs []discovery.Document) ([]plan.Step, error) {
	var steps []plan.Step
	for _, doc := range docs {
		there, err := b.has(ctx, doc)
		// Who may not list the bucket is told 403 of an object that is not
		// there (GetObject, Permissions).
		if err != nil && status(err) != http.StatusForbidden {
			return nil, err
		}
		if !there {
			steps = append(steps, b.putStep(doc))
		}
	}
	return steps, nil
}

func (b S3) putStep(doc discovery.Document) plan.Step {
	return plan.Step{Link: plan.Documents, Action: plan.Update, Summary: "s3://" + b.Bucket + "/" + b.Key(doc.Path),
		Do: func(ctx context.Context) error { return b.put(ctx, doc) }}
}

// Delete decides what must be done for nothing of the issuer to be left: the
// documents at paths ([discovery.Paths]) in reverse order, the statement of the
// bucket's policy, and an owned bucket with nothing else in it whose tags say that
// it was made for the same cluster, or that is [unfinished]. Whether the documents are the cluster's is for
// the caller to know.
func (b S3) Delete(ctx context.Context, paths []string) ([]plan.Step, error) {
	exists, err := b.Exists(ctx)
	if err != nil || !exists {
		return nil, err
	}
	objects, err := b.Client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account})
	if err != nil {
		return nil, fmt.Errorf("listing bucket %s: %w", b.Bucket, err)
	}
	policy, err := b.policy(ctx)
	if err != nil {
		return nil, err
	}
	var steps []plan.Step
	add := func(action, summary string, do func(context.Context) error) {
		steps = append(steps, plan.Step{Link: plan.Documents, Action: action, Summary: summary, Do: do})
	}
	var ours []string
	for _, path := range slices.Backward(paths) {
		key := b.Key(path)
		ours = append(ours, key)
		// Of a bucket with more than a list holds, it is not known; deleting
		// what is not there is no error.
		if isOn(objects.IsTruncated) || slices.ContainsFunc(objects.Contents, func(o types.Object) bool { return *o.Key == key }) {
			add(plan.Delete, "s3://"+b.Bucket+"/"+key, func(ctx context.Context) error {
				_, err := b.Client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.Bucket, Key: &key, ExpectedBucketOwner: &b.Account})
				return err
			})
		}
	}
	if rest, changed := policy.without(b.sid()); changed {
		add(plan.Update, "policy of bucket "+b.Bucket, func(ctx context.Context) error { return b.putPolicy(ctx, rest) })
	}
	others := slices.ContainsFunc(objects.Contents, func(o types.Object) bool { return !slices.Contains(ours, *o.Key) })
	if !b.Owned || others || isOn(objects.IsTruncated) {
		return patient(steps, false), nil
	}
	switch tags, err := b.tags(ctx); {
	case code(err) == "NoSuchBucket":
		return nil, nil
	case err != nil:
		return nil, err
	case owner.Owns(tags, b.Tags) || unfinished(tags, objects, policy):
		add(plan.Delete, "bucket "+b.Bucket, func(ctx context.Context) error {
			_, err := b.Client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account})
			if code(err) == "NoSuchBucket" {
				return nil
			}
			return err
		})
	}
	return patient(steps, false), nil
}

// Whose reads for whom the bucket was made: one that was not made for the cluster
// of b.Tags is an [*owner.ForeignError], one that is not there is nobody's. If its
// tags may not be read, the error wraps [ErrOwnerUnknown].
func (b S3) Whose(ctx context.Context) error {
	tags, err := b.tags(ctx)
	switch {
	case code(err) == "NoSuchBucket":
		return nil
	case status(err) == http.StatusForbidden:
		return fmt.Errorf("bucket %s: %w: %w", b.Bucket, ErrOwnerUnknown, err)
	case err != nil:
		return err
	case b.Owned && len(tags) == 0:
		objects, err := b.Client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &b.Bucket, MaxKeys: new(int32(1)), ExpectedBucketOwner: &b.Account})
		if err != nil {
			return fmt.Errorf("listing bucket %s: %w", b.Bucket, err)
		}
		if policy, err := b.policy(ctx); err != nil || unfinished(tags, objects, policy) {
			return err
		}
	}
	return owner.Check("bucket "+b.Bucket, tags, b.Tags)
}

// unfinished reports whether a bucket is as a run of [S3.Plan] leaves it that
// stops between making and marking it: with no tag, policy or object. Then nothing
// but the caller's record says whose it is, and nothing of anybody's is in it.
func unfinished(tags map[string]string, objects *s3.ListObjectsV2Output, policy bucketPolicy) bool {
	return len(tags) == 0 && len(objects.Contents) == 0 && len(policy.Statement) == 0
}

// Published is the document at a path as it is in the bucket, nil if it is not
// there.
func (b S3) Published(ctx context.Context, path string) ([]byte, error) {
	key := b.Key(path)
	got, err := b.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.Bucket, Key: &key, ExpectedBucketOwner: &b.Account})
	if c := code(err); c == "NoSuchKey" || c == "NoSuchBucket" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading s3://%s/%s: %w", b.Bucket, key, err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(io.LimitReader(got.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("reading s3://%s/%s: %w", b.Bucket, key, err)
	}
	return body, nil
}

// Stranger reads the documents of the bucket as anybody can. The client must
// have anonymous credentials ([aws.AnonymousCredentials]).
func (b S3) Stranger(anonymous Client) discovery.Get {
	return func(ctx context.Context, iss issuer.URL, path string) (string, []byte, error) {
		return read(ctx, anonymous, Object{Bucket: b.Bucket, Key: b.Key(path)})
	}
}

// Check reads the documents back as a stranger until they are there, which on
// S3 takes a moment after a change of the policy, at most for the given time. If
// they are refused although the bucket is open, the error wraps
// [ErrAccountBlock].
func (b S3) Check(ctx context.Context, get discovery.Get, iss issuer.URL, docs []discovery.Document, patience time.Duration) error {
	err := wait.Retry(ctx, patience, wait.Any, func(ctx context.Context) error { return discovery.Check(ctx, get, iss, docs) })
	if status(err) == http.StatusForbidden {
		return fmt.Errorf("%w (%w)", ErrAccountBlock, err)
	}
	return err
}

func (b S3) create(ctx context.Context) error {
	in := &s3.CreateBucketInput{Bucket: &b.Bucket}
	if b.Region != "us-east-1" { // the one region that must not be named (CreateBucket, LocationConstraint)
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(b.Region)}
	}
	_, err := b.Client.CreateBucket(ctx, in)
	switch code(err) {
	case "BucketAlreadyOwnedByYou":
		return nil // made by a call whose answer was lost
	case "BucketAlreadyExists":
		return fmt.Errorf("bucket %s: %w", b.Bucket, ErrForeignBucket)
	}
	return err
}

func (b S3) tags(ctx context.Context) (map[string]string, error) {
	out, err := b.Client.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account})
	if code(err) == "NoSuchTagSet" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the tags of bucket %s: %w", b.Bucket, err)
	}
	tags := map[string]string{}
	for _, t := range out.TagSet {
		tags[*t.Key] = *t.Value
	}
	return tags, nil
}

// putTags adds ours to the tags that are there: S3 replaces the whole set.
func (b S3) putTags(ctx context.Context, there map[string]string) error {
	tags := maps.Clone(there)
	if tags == nil {
		tags = map[string]string{}
	}
	maps.Copy(tags, b.Tags)
	var set []types.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		set = append(set, types.Tag{Key: new(key), Value: new(tags[key])})
	}
	_, err := b.Client.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account, Tagging: &types.Tagging{TagSet: set}})
	return err
}

func (b S3) publicAccessBlock(ctx context.Context) (types.PublicAccessBlockConfiguration, error) {
	out, err := b.Client.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account})
	if code(err) == "NoSuchPublicAccessBlockConfiguration" {
		return types.PublicAccessBlockConfiguration{}, nil
	}
	if err != nil {
		return types.PublicAccessBlockConfiguration{}, fmt.Errorf("reading the public access block of bucket %s: %w", b.Bucket, err)
	}
	return *out.PublicAccessBlockConfiguration, nil
}

// openPolicies opens the two switches about policies. Those about ACLs stay as
// they are on a bucket that was there, and shut on a new one.
func (b S3) openPolicies(ctx context.Context, there types.PublicAccessBlockConfiguration) error {
	if there.BlockPublicAcls == nil && there.IgnorePublicAcls == nil {
		there.BlockPublicAcls, there.IgnorePublicAcls = new(true), new(true)
	}
	there.BlockPublicPolicy, there.RestrictPublicBuckets = new(false), new(false)
	_, err := b.Client.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
		Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account, PublicAccessBlockConfiguration: &there,
	})
	return err
}

// shut blocks all public access, as a new bucket has it.
func (b S3) shut(ctx context.Context) error {
	_, err := b.Client.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
		Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account,
		PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
			BlockPublicAcls: new(true), IgnorePublicAcls: new(true), BlockPublicPolicy: new(true), RestrictPublicBuckets: new(true),
		},
	})
	return err
}

func isShut(block types.PublicAccessBlockConfiguration) bool {
	return isOn(block.BlockPublicAcls) && isOn(block.IgnorePublicAcls) && isOn(block.BlockPublicPolicy) && isOn(block.RestrictPublicBuckets)
}

// bucketPolicy is a bucket's policy, of which only one statement is ours. The
// others are kept as they are.
type bucketPolicy struct {
	Version   string `json:"Version"`
	ID        string `json:"Id,omitempty"`
	Statement []json.RawMessage
}

type statement struct {
	Sid       string
	Effect    string
	Principal any // "*", or a service
	Action    string
	Resource  []string
	Condition map[string]map[string]string `json:",omitempty"`
}

// sid names our statement. A Sid of a bucket policy may hold letters and digits
// only, so the prefix is hex.
func (b S3) sid() string { return fmt.Sprintf("OpenIRSA%x", b.Prefix) }

func (b S3) resources(paths []string) []string {
	var resources []string
	for _, path := range paths {
		resources = append(resources, b.arn()+"/"+b.Key(path))
	}
	slices.Sort(resources)
	return resources
}

// statement lets anyone read the documents, or one distribution ("Restrict
// access to an Amazon S3 origin" of the CloudFront Developer Guide; the service
// has the same name in China).
func (b S3) statement(paths []string) statement {
	s := statement{Sid: b.sid(), Effect: "Allow", Principal: "*", Action: "s3:GetObject", Resource: b.resources(paths)}
	if b.Private {
		s.Principal = map[string]string{"Service": "cloudfront.amazonaws.com"}
		s.Condition = map[string]map[string]string{"StringEquals": {"AWS:SourceArn": b.Distribution}}
	}
	return s
}

// PolicyDocument is the bucket's policy if nobody else has a part in it: what
// [S3.Plan] makes of a new bucket.
func (b S3) PolicyDocument(paths []string) ([]byte, error) {
	p, _ := bucketPolicy{}.with(b.statement(paths))
	return json.Marshal(p)
}

// Key is the key of the object that holds the document at a path of
// [discovery.Paths].
func (b S3) Key(path string) string { return strings.TrimPrefix(b.Prefix+path, "/") }

func (b S3) policy(ctx context.Context) (bucketPolicy, error) {
	out, err := b.Client.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account})
	if code(err) == "NoSuchBucketPolicy" {
		return bucketPolicy{}, nil
	}
	if err != nil {
		return bucketPolicy{}, fmt.Errorf("reading the policy of bucket %s: %w", b.Bucket, err)
	}
	var p bucketPolicy
	if err := json.Unmarshal([]byte(*out.Policy), &p); err != nil {
		// Statement may be a single object.
		var single struct {
			Version   string          `json:"Version"`
			ID        string          `json:"Id"`
			Statement json.RawMessage `json:"Statement"`
		}
		if err := json.Unmarshal([]byte(*out.Policy), &single); err != nil {
			return bucketPolicy{}, fmt.Errorf("reading the policy of bucket %s: %w", b.Bucket, err)
		}
		p = bucketPolicy{Version: single.Version, ID: single.ID, Statement: []json.RawMessage{single.Statement}}
	}
	return p, nil
}

// with is the policy with our statement as wanted, and whether that is a
// change.
func (p bucketPolicy) with(want statement) (bucketPolicy, bool) {
	raw, err := json.Marshal(want)
	if err != nil {
		panic("publish: marshalling strings: " + err.Error())
	}
	rest, _ := p.without(want.Sid)
	if len(rest.Statement)+1 == len(p.Statement) {
		i := slices.IndexFunc(p.Statement, func(raw json.RawMessage) bool { return sidOf(raw) == want.Sid })
		if trust.Equal(p.Statement[i], raw) {
			return p, false
		}
	}
	if rest.Version == "" {
		rest.Version = "2012-10-17"
	}
	rest.Statement = append(rest.Statement, raw)
	return rest, true
}

// without is the policy without the statement of that name, and whether that is
// a change.
func (p bucketPolicy) without(sid string) (bucketPolicy, bool) {
	rest := p
	rest.Statement = slices.DeleteFunc(slices.Clone(p.Statement), func(raw json.RawMessage) bool { return sidOf(raw) == sid })
	return rest, len(rest.Statement) != len(p.Statement)
}

// public reports whether the statement of that name is for everybody.
func (p bucketPolicy) public(sid string) bool {
	return slices.ContainsFunc(p.Statement, func(raw json.RawMessage) bool {
		var s statement
		return sidOf(raw) == sid && json.Unmarshal(raw, &s) == nil && s.Principal == "*"
	})
}

func sidOf(raw json.RawMessage) string {
	var s struct{ Sid string }
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s.Sid
}

func (b S3) putPolicy(ctx context.Context, p bucketPolicy) error {
	if len(p.Statement) == 0 {
		_, err := b.Client.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account})
		return err
	}
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("marshalling the policy of bucket %s: %w", b.Bucket, err)
	}
	_, err = b.Client.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account, Policy: new(string(body))})
	if e, ok := errors.AsType[smithy.APIError](err); ok && e.ErrorCode() == "AccessDenied" && strings.Contains(e.ErrorMessage(), "BlockPublicPolicy") {
		// The bucket's own switch was opened by the step before, or is about to be.
		return fmt.Errorf("%w: %w", ErrAccountBlock, err)
	}
	return err
}

// has reports whether a document is in the bucket as it should be.
func (b S3) has(ctx context.Context, doc discovery.Document) (bool, error) {
	got, err := b.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.Bucket, Key: new(b.Key(doc.Path)), ExpectedBucketOwner: &b.Account})
	if code(err) == "NoSuchKey" {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading s3://%s/%s: %w", b.Bucket, b.Key(doc.Path), err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(io.LimitReader(got.Body, int64(len(doc.Body))+1))
	if err != nil {
		return false, fmt.Errorf("reading s3://%s/%s: %w", b.Bucket, b.Key(doc.Path), err)
	}
	return bytes.Equal(body, doc.Body) && equal(got.ContentType, doc.ContentType) && equal(got.CacheControl, discovery.CacheControl), nil
}

func (b S3) put(ctx context.Context, doc discovery.Document) error {
	_, err := b.Client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &b.Bucket, Key: new(b.Key(doc.Path)), ExpectedBucketOwner: &b.Account,
		Body: bytes.NewReader(doc.Body), ContentType: &doc.ContentType, CacheControl: new(discovery.CacheControl),
	})
	return err
}

func containsAll(have, want map[string]string) bool {
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}

func isOn(b *bool) bool { return b != nil && *b }

func equal(p *string, s string) bool { return p != nil && *p == s }

// code is the error code that AWS answered, "" for none.
func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

// status is the HTTP status that AWS answered with an error, 0 for none.
func status(err error) int {
	if e, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return e.HTTPStatusCode()
	}
	return 0
}
