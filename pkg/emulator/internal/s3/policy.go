package s3

import (
	"errors"
	"net/http"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

func (q *call) getPolicy() (*answer, *failure) {
	if e := q.mayBucket("s3:GetBucketPolicy", nil); e != nil {
		return nil, e
	}
	if q.config.Policy == "" {
		return nil, errNoPolicy(q.bucket)
	}
	a := rawAnswer([]byte(q.config.Policy))
	a.set("Content-Type", "application/json")
	return a, nil
}

func errNoPolicy(bucket string) *failure {
	return notFound("NoSuchBucketPolicy", "The bucket policy does not exist").with("BucketName", bucket)
}

func errMalformedPolicy(message string) *failure {
	return failf(http.StatusBadRequest, "MalformedPolicy", "%s", message)
}

func (q *call) putPolicy() (*answer, *failure) {
	if e := q.mayBucket("s3:PutBucketPolicy", nil); e != nil {
		return nil, e
	}
	if q.Caller.Account != q.config.Account {
		// S3 lets nobody from outside the account set a policy, whatever the
		// old one says (API reference, PutBucketPolicy).
		return nil, failf(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	}
	document, e := q.readDocument()
	if e != nil {
		return nil, e
	}
	if len(document) > policy.MaxBucket {
		return nil, failf(http.StatusBadRequest, "PolicyTooLarge", "Policy exceeds the maximum allowed document size.")
	}
	p, err := policy.Parse(policy.Bucket, document)
	if err == nil {
		err = p.CheckBucket(q.bucket)
	}
	if err == nil {
		err = p.CheckNew(q.service.account.Partition)
	}
	if e, ok := errors.AsType[*policy.Error](err); ok {
		return nil, errMalformedPolicy(e.Message)
	}
	principals, e := q.bindPrincipals(p)
	if e != nil {
		return nil, e
	}
	blocked := q.state.blockOf(q.config).BlockPublicPolicy
	if blocked && p.Public() {
		return nil, q.refusePublicPolicy()
	}
	return noContent(), q.state.configure(q.bucket, func(c *bucketConfig) {
		c.Policy, c.Principals = string(document), principals
	})
}

// bindPrincipals are the unique ids of the users and roles that a policy
// names, which must exist as far as they are of this account.
func (q *call) bindPrincipals(p *policy.Policy) (map[string]string, *failure) {
	ids, unknown := q.service.config.Principals(p.AWSPrincipals())
	if unknown != "" {
		return nil, errMalformedPolicy("Invalid principal in policy").with("Detail", `"AWS" : "`+unknown+`"`)
	}
	return ids, nil
}

// refusePublicPolicy is what Block Public Access answers to a public policy.
func (q *call) refusePublicPolicy() *failure {
	e := failf(http.StatusForbidden, "AccessDenied", "User: %s is not authorized to perform: s3:PutBucketPolicy on resource: %q "+
		"because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.", q.Caller.ARN, q.bucketARN())
	q.deny("permission", "the policy is public, and BlockPublicPolicy in S3 Block Public Access ("+
		q.state.blockedBy(q.config, func(b publicAccessBlock) bool { return b.BlockPublicPolicy })+") refuses such policies", e)
	return e
}

func (q *call) deletePolicy() (*answer, *failure) {
	if e := q.mayBucket("s3:DeleteBucketPolicy", nil); e != nil {
		return nil, e
	}
	return noContent(), q.state.configure(q.bucket, func(c *bucketConfig) { c.Policy, c.Principals = "", nil })
}

func (q *call) getPolicyStatus() (*answer, *failure) {
	if e := q.mayBucket("s3:GetBucketPolicyStatus", nil); e != nil {
		return nil, e
	}
	if q.config.policy == nil {
		return nil, errNoPolicy(q.bucket)
	}
	return document("PolicyStatus", func(x *wire.XML) { x.Bool("IsPublic", q.config.policy.Public()) }), nil
}

// BucketPolicy is the policy of a bucket, "" if it has none, and whether the bucket
// is there and of one of the emulator's accounts.
func (s *Service) BucketPolicy(bucket string) (document string, own bool) {
	config := s.state.config(bucket)
	if s.backend != nil || config == nil || !s.config.Own(config.Account) {
		return "", false
	}
	return config.Policy, true
}
