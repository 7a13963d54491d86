package s3

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"strconv"
	"strings"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/policy"
)

// exists refuses a request for a bucket that is not there.
func (q *call) exists() *failure {
	if q.config == nil {
		return errNoSuchBucket(q.bucket)
	}
	return nil
}

// checkOwner refuses a request that expects the bucket to be somebody else's.
func (q *call) checkOwner(config *bucketConfig, header string) *failure {
	want := q.Request.Header.Get(header)
	if want == config.Account || q.Request.Header.Values(header) == nil {
		return nil
	}
	if e := errNoAccountID(want); e != nil {
		return e
	}
	e := errAccessDenied()
	why := fmt.Sprintf("bucket %s is account %s's, but %s says %s", config.Name, config.Account, strings.ToLower(header), want)
	q.deny("permission", why, e)
	return e
}

// may asks whether the caller may do something to a bucket or an object in
// it. keys, if not nil, sets condition keys that only this action has.
func (q *call) may(config *bucketConfig, action, arn string, keys func(*policy.Context)) *failure {
	ask := &api.Question{Action: action, Resource: arn, Spelled: `"` + arn + `"`}
	if config != nil {
		ask.Account = config.Account
		ask.Grant, ask.Note = q.granted(config, action, arn)
	}
	q.setKeys(config, &ask.Keys)
	if keys != nil {
		keys(&ask.Keys)
	}
	stranger := config != nil && q.Caller.Account != config.Account
	if config != nil && config.policy != nil {
		restricted := stranger && config.policy.Public() && q.state.blockOf(config).RestrictPublicBuckets
		switch {
		case restricted:
			e := errAccessDenied()
			q.deny("permission", "the bucket policy is public, and RestrictPublicBuckets in S3 Block Public Access ("+
				q.state.blockedBy(config, func(b publicAccessBlock) bool { return b.RestrictPublicBuckets })+
				") then admits nobody from outside account "+config.Account, e)
			return e
		case q.Caller.Kind == policy.Root && !stranger && isPolicyAction(action):
			// The root user can always repair a policy that locks everybody out.
		default:
			ask.Attached = &policy.Named{Name: "policy of bucket " + config.Name, Policy: config.policy}
		}
	}
	e := asFailure(q.service.account.Gate.Authorize(q.Call, ask))
	switch {
	case e == nil:
	case stranger && !q.service.config.Together(q.Caller.Account, config.Account):
		e.Message = "Access Denied" // S3 says no more to those of another organization
	case arn == "*":
		e.Message = strings.Replace(e.Message, ` on resource: "*"`, "", 1)
	}
	return e
}

// mayBucket asks whether the caller may do something to the bucket of the request,
// which must exist. keys is as for may.
func (q *call) mayBucket(action string, keys func(*policy.Context)) *failure {
	if e := q.exists(); e != nil {
		return e
	}
	return q.may(q.config, action, q.bucketARN(), keys)
}

// deny records that the request was denied at a step other than the policies,
// why in words, and what the caller is told.
func (q *call) deny(step, why string, e *failure) {
	d := api.Decision{Step: step, Reason: why, Code: e.Code}
	switch {
	case q.key != "":
		d.Resource = q.objectARN()
	case q.bucket != "":
		d.Resource = q.bucketARN()
	}
	if q.sig != nil {
		d.AccessKeyID = q.sig.AccessKeyID // as claimed
	}
	q.service.account.Gate.Record(q.Call, d)
}

func isPolicyAction(action string) bool {
	return action == "s3:GetBucketPolicy" || action == "s3:PutBucketPolicy" || action == "s3:DeleteBucketPolicy"
}

// setKeys sets the condition keys that S3's actions have ("Actions, resources,
// and condition keys for Amazon S3" in the Service Authorization Reference).
func (q *call) setKeys(config *bucketConfig, keys *policy.Context) {
	owner := cmp.Or(q.Caller.Account, q.service.account.ID)
	if config != nil {
		owner = config.Account
	}
	keys.Set("s3:ResourceAccount", owner)
	if q.Request.TLS != nil {
		keys.Set("s3:TlsVersion", strings.TrimPrefix(tls.VersionName(q.Request.TLS.Version), "TLS "))
	}
	if q.sig != nil {
		keys.Set("s3:signatureversion", sigv4.Algorithm)
		keys.Set("s3:signatureAge", strconv.FormatInt(max(0, q.service.account.Now().Sub(q.sig.Time).Milliseconds()), 10))
		if q.sig.Presigned {
			keys.Set("s3:authType", "REST-QUERY-STRING")
		} else {
			keys.Set("s3:authType", "REST-HEADER")
		}
	}
	for _, name := range []string{
		"x-amz-acl", "x-amz-content-sha256", "x-amz-copy-source", "x-amz-metadata-directive",
		"x-amz-server-side-encryption", "x-amz-storage-class", "x-amz-website-redirect-location",
		"x-amz-object-ownership", "if-match", "if-none-match", "x-amz-grant-read", "x-amz-grant-write", "x-amz-grant-read-acp",
		"x-amz-grant-write-acp", "x-amz-grant-full-control",
	} {
		if v := q.Request.Header.Get(name); v != "" {
			keys.Set("s3:"+name, v)
		}
	}
	if v := q.query.Get("versionId"); v != "" {
		keys.Set("s3:VersionId", v)
	}
	switch q.Operation {
	case "PutObject", "CopyObject", "CompleteMultipartUpload":
		keys.Set("s3:ObjectCreationOperation", "true")
	case "CreateMultipartUpload", "UploadPart", "UploadPartCopy":
		keys.Set("s3:ObjectCreationOperation", "false")
	}
}
