package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/openirsa/openirsa/pkg/trust"
)

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
	_, err = b.Client.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{
		Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account, Policy: new(string(body)),
	})
	e, ok := errors.AsType[smithy.APIError](err)
	if ok && e.ErrorCode() == "AccessDenied" && strings.Contains(e.ErrorMessage(), "BlockPublicPolicy") {
		// The bucket's own switch was opened by the step before, or is about to be.
		return fmt.Errorf("%w: %w", ErrAccountBlock, err)
	}
	return err
}
