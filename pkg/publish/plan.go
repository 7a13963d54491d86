package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/plan"
)

// Plan decides what must be done for the bucket to serve docs to anybody: the
// bucket itself, its public access block (only the two switches about policies
// are opened), its policy (anonymous s3:GetObject on exactly the documents), and
// the documents in their order. Documents that have the right content already
// are left alone.
func (b S3) Plan(ctx context.Context, docs []discovery.Document) ([]plan.Step, error) {
	if b.DocumentsOnly {
		return b.planDocuments(ctx, docs)
	}
	is, err := b.state(ctx, docs)
	if err != nil {
		return nil, err
	}
	var steps []plan.Step
	add := func(action, summary, diff string, do func(context.Context) error) {
		steps = append(steps, plan.Step{Link: plan.Documents, Action: action, Summary: summary, Diff: diff, Do: do})
	}
	if !is.exists {
		add(plan.Create, "bucket "+b.Bucket+" in "+b.Region, "", b.create)
	}
	if b.Owned && !containsAll(is.tags, b.Tags) {
		add(plan.Update, "tags of bucket "+b.Bucket, "", func(ctx context.Context) error { return b.putTags(ctx, is.tags) })
	}
	reader := b.reader()
	if diff, do := reader.accessBlock(b, is.exists, is.block); do != nil {
		add(plan.Update, "public access block of bucket "+b.Bucket, diff, do)
	}
	var paths []string
	for _, doc := range docs {
		paths = append(paths, doc.Path)
	}
	if want, who, changed := reader.policy(b, is.policy, paths); changed {
		diff := "+ " + who + " may s3:GetObject " + strings.Join(b.resources(paths), ", ")
		add(plan.Update, "policy of bucket "+b.Bucket, diff, func(ctx context.Context) error { return b.putPolicy(ctx, want) })
	}
	for i, doc := range docs {
		if !is.there[i] {
			steps = append(steps, b.putStep(doc))
		}
	}
	return patient(steps, !is.exists), nil
}

// state is a bucket as it is.
type state struct {
	exists bool
	tags   map[string]string // of an owned one
	block  types.PublicAccessBlockConfiguration
	policy bucketPolicy
	there  []bool // which of the documents are there
}

// state reads the bucket.
func (b S3) state(ctx context.Context, docs []discovery.Document) (state, error) {
	is := state{there: make([]bool, len(docs))}
	var err error
	if is.exists, err = b.Exists(ctx); err != nil || !is.exists {
		return is, err
	}
	group, ctx := errgroup.WithContext(ctx)
	if b.Owned {
		group.Go(func() (err error) { is.tags, err = b.tags(ctx); return err })
	}
	group.Go(func() (err error) { is.block, err = b.publicAccessBlock(ctx); return err })
	group.Go(func() (err error) { is.policy, err = b.policy(ctx); return err })
	for i, doc := range docs {
		group.Go(func() (err error) { is.there[i], err = b.has(ctx, doc); return err })
	}
	return is, group.Wait()
}

// openWithin is how long S3 may keep refusing public policies after a bucket was
// opened. It gives no figure; it is seconds.
const openWithin = 10 * time.Second

// patient has the steps wait for S3: it makes one change of a bucket at a time,
// which can be the end of an earlier one of the same name; it opens a bucket a
// while after the change; and it may not have heard yet, where it is asked
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
		// Who may not list the bucket gets 403 for an object that is not there
		// (GetObject, Permissions).
		if err != nil && status(err) != http.StatusForbidden {
			return nil, err
		}
		if !there {
			steps = append(steps, b.putStep(doc))
		}
	}
	return steps, nil
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

// putTags adds ours to the existing tags: S3 replaces the whole set.
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
	_, err := b.Client.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{
		Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account, Tagging: &types.Tagging{TagSet: set},
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
