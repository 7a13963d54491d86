package emulator

import (
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

func (q *s3Call) getPolicy() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:GetBucketPolicy", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	if q.config.Policy == "" {
		return nil, errNoPolicy(q.bucket)
	}
	a := rawAnswer([]byte(q.config.Policy))
	a.set("Content-Type", "application/json")
	return a, nil
}

func errNoPolicy(bucket string) *s3Error {
	return notFound("NoSuchBucketPolicy", "The bucket policy does not exist").with("BucketName", bucket)
}

func errMalformedPolicy(message string) *s3Error {
	return s3Errorf(http.StatusBadRequest, "MalformedPolicy", "%s", message)
}

func (q *s3Call) putPolicy() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:PutBucketPolicy", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	if q.Caller.Account != q.config.Account {
		// S3 lets nobody from outside the account set a policy, whatever the
		// old one says (API reference, PutBucketPolicy).
		return nil, s3Errorf(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	}
	document, e := q.readDocument()
	if e != nil {
		return nil, e
	}
	if len(document) > policy.MaxBucket {
		return nil, s3Errorf(http.StatusBadRequest, "PolicyTooLarge", "Policy exceeds the maximum allowed document size.")
	}
	p, err := policy.Parse(policy.Bucket, document)
	if err == nil {
		err = p.CheckBucket(q.bucket)
	}
	if err == nil {
		err = p.CheckNew(q.s.config.Partition)
	}
	if e, ok := errors.AsType[*policy.Error](err); ok {
		return nil, errMalformedPolicy(e.Message)
	}
	principals, e := q.bindPrincipals(p)
	if e != nil {
		return nil, e
	}
	blocked := q.s3.blockOf(q.config).BlockPublicPolicy
	if blocked && p.Public() {
		return nil, q.refusePublicPolicy()
	}
	return noContent(), q.s3.configure(q.bucket, func(c *bucketConfig) {
		c.Policy, c.Principals = string(document), principals
	})
}

// bindPrincipals are the unique ids of the users and roles that a policy
// names, which must exist as far as they are of this account.
func (q *s3Call) bindPrincipals(p *policy.Policy) (map[string]string, *s3Error) {
	var e *s3Error
	ids := make(map[string]string)
	q.s.iam.read(func() {
		iam := &edit{directory: q.s.iam}
		for _, name := range p.AWSPrincipals() {
			id, known := iam.principalID(name)
			if !known {
				e = errMalformedPolicy("Invalid principal in policy").with("Detail", `"AWS" : "`+name+`"`)
				return
			}
			if id != "" {
				ids[name] = id
			}
		}
	})
	return ids, e
}

// refusePublicPolicy is what Block Public Access answers to a public policy.
func (q *s3Call) refusePublicPolicy() *s3Error {
	e := asS3(accessDenied("User: %s is not authorized to perform: s3:PutBucketPolicy on resource: %q because public policies are prevented by the "+
		"BlockPublicPolicy setting in S3 Block Public Access.", q.Caller.ARN, q.bucketARN()))
	q.deny("permission", "the policy is public, and BlockPublicPolicy in S3 Block Public Access ("+
		q.s3.blockedBy(q.config, func(b publicAccessBlock) bool { return b.BlockPublicPolicy })+") refuses such policies", e)
	return e
}

func (q *s3Call) deletePolicy() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:DeleteBucketPolicy", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	return noContent(), q.s3.configure(q.bucket, func(c *bucketConfig) { c.Policy, c.Principals = "", nil })
}

func (q *s3Call) getPolicyStatus() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:GetBucketPolicyStatus", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	if q.config.policy == nil {
		return nil, errNoPolicy(q.bucket)
	}
	return document("PolicyStatus", func(x *wire.XML) { x.Bool("IsPublic", q.config.policy.Public()) }), nil
}

// blockDocument is the document of Block Public Access, whose switches are off
// where it leaves them out.
type blockDocument struct {
	XMLName xml.Name `xml:"PublicAccessBlockConfiguration"`
	publicAccessBlock
}

func (q *s3Call) readBlock() (*publicAccessBlock, *s3Error) {
	var body blockDocument
	if e := q.readXML(&body); e != nil {
		return nil, e
	}
	return &body.publicAccessBlock, nil
}

func (b publicAccessBlock) write(x *wire.XML) {
	x.Bool("BlockPublicAcls", b.BlockPublicAcls)
	x.Bool("IgnorePublicAcls", b.IgnorePublicAcls)
	x.Bool("BlockPublicPolicy", b.BlockPublicPolicy)
	x.Bool("RestrictPublicBuckets", b.RestrictPublicBuckets)
}

func errNoBlock() *s3Error {
	return notFound("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found")
}

func (q *s3Call) getBlock() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:GetBucketPublicAccessBlock", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	if q.config.Block == nil {
		return nil, errNoBlock().with("BucketName", q.bucket)
	}
	return document("PublicAccessBlockConfiguration", q.config.Block.write), nil
}

func (q *s3Call) putBlock() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:PutBucketPublicAccessBlock", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	block, e := q.readBlock()
	if e != nil {
		return nil, e
	}
	return &s3Answer{}, q.s3.configure(q.bucket, func(c *bucketConfig) { c.Block = block })
}

func (q *s3Call) deleteBlock() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:PutBucketPublicAccessBlock", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	return noContent(), q.s3.configure(q.bucket, func(c *bucketConfig) { c.Block = nil })
}

func (q *s3Call) getOwnership() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:GetBucketOwnershipControls", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	if q.config.Ownership == "" {
		return nil, notFound("OwnershipControlsNotFoundError", "The bucket ownership controls were not found").with("BucketName", q.bucket)
	}
	return document("OwnershipControls", func(x *wire.XML) {
		x.Open("Rule")
		x.Text("ObjectOwnership", q.config.Ownership)
		x.Close("Rule")
	}), nil
}

func (q *s3Call) putOwnership() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:PutBucketOwnershipControls", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	var body struct {
		XMLName xml.Name `xml:"OwnershipControls"`
		Rule    []struct{ ObjectOwnership string }
	}
	if e := q.readXML(&body); e != nil {
		return nil, e
	}
	if len(body.Rule) != 1 || !slices.Contains(ownershipRules, body.Rule[0].ObjectOwnership) {
		return nil, errMalformedXML()
	}
	ownership := body.Rule[0].ObjectOwnership
	if ownership == ownerEnforced && q.config.ACL.beyond(api.CanonicalUser(q.config.Account)) {
		return nil, errOwnedACL()
	}
	return &s3Answer{}, q.s3.configure(q.bucket, func(c *bucketConfig) { c.Ownership = ownership })
}

func (q *s3Call) deleteOwnership() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:PutBucketOwnershipControls", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	return noContent(), q.s3.configure(q.bucket, func(c *bucketConfig) { c.Ownership = "" })
}

// controlPrefix begins the paths of S3's control API, whose version it is.
const controlPrefix = "/v20180820/"

const namespaceControl = "http://awss3control.amazonaws.com/doc/2018-08-20/"

// routeControl finds an operation of the control API: Block Public Access of
// the account, and the tags of buckets.
func (q *s3Call) routeControl() (func(*s3Call) (*s3Answer, *s3Error), *s3Error) {
	path := strings.TrimPrefix(q.Request.URL.Path, controlPrefix)
	what, _, _ := strings.Cut(path, "/")
	if path == "configuration/publicAccessBlock" {
		what = path
	}
	operations := map[string]s3Operation{
		"GET configuration/publicAccessBlock":    {"GetPublicAccessBlock", (*s3Call).getAccountBlock},
		"PUT configuration/publicAccessBlock":    {"PutPublicAccessBlock", (*s3Call).putAccountBlock},
		"DELETE configuration/publicAccessBlock": {"DeletePublicAccessBlock", (*s3Call).deleteAccountBlock},
		"GET tags":                               {"ListTagsForResource", (*s3Call).listResourceTags},
		"POST tags":                              {"TagResource", (*s3Call).tagResource},
		"DELETE tags":                            {"UntagResource", (*s3Call).untagResource},
	}
	op, known := operations[q.Request.Method+" "+what]
	if !known {
		return nil, errNotImplemented(q.Request.Method + " " + q.Request.URL.Path)
	}
	q.Operation = op.name
	return op.run, nil
}

// mayControl asks whether the caller may do something to the account that the
// request names, which is to be its own.
func (q *s3Call) mayControl(action string) *s3Error {
	if e := q.may(nil, action, "*", nil); e != nil {
		return e
	}
	if account := q.Request.Header.Get("X-Amz-Account-Id"); account != q.Caller.Account {
		e := errAccessDenied()
		q.deny("permission", "the request is about account "+account+", the caller is of "+q.Caller.Account, e)
		return e
	}
	return nil
}

func (q *s3Call) getAccountBlock() (*s3Answer, *s3Error) {
	if e := q.mayControl("s3:GetAccountPublicAccessBlock"); e != nil {
		return nil, e
	}
	block := q.s3.accountBlock(q.Caller.Account)
	if block == nil {
		return nil, errNoBlock().with("AccountId", q.Caller.Account)
	}
	x := newS3XML()
	x.Open(`PublicAccessBlockConfiguration xmlns="` + namespaceControl + `"`)
	block.write(x)
	x.Close("PublicAccessBlockConfiguration")
	return &s3Answer{xml: x.Buf}, nil
}

func (q *s3Call) putAccountBlock() (*s3Answer, *s3Error) {
	if e := q.mayControl("s3:PutAccountPublicAccessBlock"); e != nil {
		return nil, e
	}
	block, e := q.readBlock()
	if e != nil {
		return nil, e
	}
	return &s3Answer{status: http.StatusCreated}, q.s3.edit(func(c *store.Change) *s3Error {
		q.s3.block = block
		c.Put(bucketS3Account, accountBlock, block)
		return nil
	})
}

func (q *s3Call) deleteAccountBlock() (*s3Answer, *s3Error) {
	if e := q.mayControl("s3:PutAccountPublicAccessBlock"); e != nil {
		return nil, e
	}
	return noContent(), q.s3.edit(func(c *store.Change) *s3Error {
		q.s3.block = nil
		c.Delete(bucketS3Account, accountBlock)
		return nil
	})
}

// taggedBucket is the bucket whose ARN ends the path of a request of the
// control API.
func (q *s3Call) taggedBucket() *s3Error {
	rawPath, _, _ := strings.Cut(q.Request.RequestURI, "?")
	_, escaped, _ := strings.Cut(rawPath, controlPrefix+"tags/")
	arn, err := url.PathUnescape(escaped)
	name, found := strings.CutPrefix(arn, q.s.bucketARN(""))
	if err != nil || !found || strings.Contains(name, "/") {
		return errNotImplemented("tags of " + arn)
	}
	q.bucket = name
	q.config = q.s3.config(name)
	return q.exists()
}

func (q *s3Call) listResourceTags() (*s3Answer, *s3Error) {
	if e := q.taggedBucket(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:ListTagsForResource", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	x := newS3XML()
	x.Open(`ListTagsForResourceResult xmlns="` + namespaceControl + `"`)
	x.Open("Tags")
	for _, t := range q.config.Tags {
		x.Open("Tag")
		x.Text("Key", t.Key)
		x.Text("Value", t.Value)
		x.Close("Tag")
	}
	x.Close("Tags")
	x.Close("ListTagsForResourceResult")
	return &s3Answer{xml: x.Buf}, nil
}

func (q *s3Call) tagResource() (*s3Answer, *s3Error) {
	if e := q.taggedBucket(); e != nil {
		return nil, e
	}
	var body struct {
		XMLName xml.Name `xml:"TagResourceRequest"`
		Tags    struct{ Tag []wire.Tag }
	}
	if e := q.readXML(&body); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:TagResource", q.bucketARN(), tagKeys("aws:RequestTag/", "aws:TagKeys", body.Tags.Tag)); e != nil {
		return nil, e
	}
	tags := slices.Clone(q.config.Tags)
	for _, t := range body.Tags.Tag {
		tags = append(slices.DeleteFunc(tags, func(old wire.Tag) bool { return old.Key == t.Key }), t)
	}
	tags, e := checkS3Tags(tags, maxBucketTags)
	if e != nil {
		return nil, e
	}
	return noContent(), q.s3.configure(q.bucket, func(c *bucketConfig) { c.Tags = tags })
}

func (q *s3Call) untagResource() (*s3Answer, *s3Error) {
	if e := q.taggedBucket(); e != nil {
		return nil, e
	}
	names := q.query["tagKeys"]
	if e := q.may(q.config, "s3:UntagResource", q.bucketARN(), func(keys *policy.Context) { keys.SetMulti("aws:TagKeys", names...) }); e != nil {
		return nil, e
	}
	return noContent(), q.s3.configure(q.bucket, func(c *bucketConfig) {
		c.Tags = slices.DeleteFunc(slices.Clone(c.Tags), func(t wire.Tag) bool { return slices.Contains(names, t.Key) })
	})
}
