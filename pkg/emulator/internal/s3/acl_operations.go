package s3

import (
	"net/http"
	"slices"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

func errNoACLs() *failure {
	return failf(http.StatusBadRequest, "AccessControlListNotSupported", "The bucket does not allow ACLs")
}

// uploadACL is the list that an upload asks for. Where lists are disabled those
// pass that say what is so in any case.
func (q *call) uploadACL() (*acl, *failure) {
	if !asksACL(q.Request.Header) {
		return nil, nil
	}
	if e := q.may(q.config, "s3:PutObjectAcl", q.objectARN(), nil); e != nil {
		return nil, e
	}
	owner := api.CanonicalUser(q.config.Account)
	l, e := headerACL(q.Request.Header, owner, false)
	if e != nil {
		return nil, e
	}
	if q.config.Ownership == ownerEnforced {
		if l.beyond(owner) || l != nil && !slices.Contains(l.Grants, ownerOnly(owner).Grants[0]) {
			return nil, errNoACLs()
		}
		return nil, nil
	}
	return l, q.blockACL(l, "s3:PutObject", q.objectARN())
}

// blockACL refuses public lists if Block Public Access does.
func (q *call) blockACL(l *acl, action, arn string) *failure {
	if !l.public() || !q.state.blockOf(q.config).BlockPublicAcls {
		return nil
	}
	e := errAccessDenied()
	if q.Caller.Account == q.config.Account {
		e.Message = "User: " + q.Caller.ARN + " is not authorized to perform: " + action + ` on resource: "` + arn +
			`" because public access control lists (ACLs) are prevented by the BlockPublicAcls setting in S3 Block Public Access.`
	}
	q.deny("permission", "the access control list is public, and BlockPublicAcls in S3 Block Public Access ("+
		q.state.blockedBy(q.config, func(b publicAccessBlock) bool { return b.BlockPublicAcls })+") refuses those", e)
	return e
}

// newBucketACL is the list that CreateBucket asks for.
func (q *call) newBucketACL(ownership string) (*acl, *failure) {
	acl := q.Request.Header.Get("X-Amz-Acl")
	if !asksACL(q.Request.Header) || acl == "private" {
		return nil, nil
	}
	if ownership == ownerEnforced {
		return nil, errOwnedACL()
	}
	l, e := headerACL(q.Request.Header, api.CanonicalUser(q.Caller.Account), true)
	if e != nil {
		return nil, e
	}
	if l.public() { // a new bucket has all switches on
		return nil, failf(http.StatusBadRequest, "InvalidBucketAclWithBlockPublicAccessError",
			"Bucket cannot have public ACLs set with BlockPublicAccess enabled")
	}
	return l, q.may(nil, "s3:PutBucketAcl", q.bucketARN(), nil)
}

// aclAction is the action of reading ("Get") or setting ("Put") the list that a
// request is about, and its resource.
func (q *call) aclAction(verb string) (action, arn string, e *failure) {
	if q.key == "" {
		return "s3:" + verb + "BucketAcl", q.bucketARN(), nil
	}
	v, e := q.version()
	return v.versioned("s3:" + verb + "ObjectAcl"), q.objectARN(), e
}

// mayACL asks whether the caller may read or set the list of the bucket or the
// object of the request, and gives the object.
func (q *call) mayACL(action, arn string) (*object, *failure) {
	if q.key == "" {
		return nil, q.may(q.config, action, arn, nil)
	}
	v, e := q.version()
	if e != nil {
		return nil, e
	}
	o := q.state.pick(q.bucket, q.key, v)
	if e := q.may(q.config, action, arn, existingTags(o)); e != nil {
		return nil, e
	}
	if o == nil || o.DeleteMarker {
		return nil, q.absent(q.config, q.key, v, o)
	}
	return o, nil
}

// getACL is GetBucketAcl and GetObjectAcl. Where lists are disabled it gives
// the one that is true then.
func (q *call) getACL() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	action, arn, e := q.aclAction("Get")
	if e != nil {
		return nil, e
	}
	o, e := q.mayACL(action, arn)
	if e != nil {
		return nil, e
	}
	owner := api.CanonicalUser(q.config.Account)
	l := q.config.ACL
	if o != nil {
		l = o.ACL
	}
	if l == nil || q.config.Ownership == ownerEnforced {
		l = ownerOnly(owner)
	}
	return document("AccessControlPolicy", func(x *wire.XML) {
		x.Open("Owner")
		x.Text("ID", owner)
		x.Close("Owner")
		x.Open("AccessControlList")
		for _, g := range l.Grants {
			x.Open("Grant")
			kind, name, value := "CanonicalUser", "ID", g.ID
			if g.URI != "" {
				kind, name, value = "Group", "URI", g.URI
			}
			x.Open(`Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="` + kind + `"`)
			x.Text(name, value)
			x.Close("Grantee")
			x.Text("Permission", g.Permission)
			x.Close("Grant")
		}
		x.Close("AccessControlList")
	}), nil
}

// putACL is PutBucketAcl and PutObjectAcl.
func (q *call) putACL() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	action, arn, e := q.aclAction("Put")
	if e != nil {
		return nil, e
	}
	if _, e := q.mayACL(action, arn); e != nil {
		return nil, e
	}
	if q.config.Ownership == ownerEnforced {
		return nil, errNoACLs()
	}
	data, e := q.readDocument()
	if e != nil {
		return nil, e
	}
	owner, bucket := api.CanonicalUser(q.config.Account), q.key == ""
	var l *acl
	switch headers := asksACL(q.Request.Header); {
	case headers && len(data) > 0:
		return nil, failf(http.StatusBadRequest, "UnexpectedContent", "This request does not support content")
	case headers:
		l, e = headerACL(q.Request.Header, owner, bucket)
	case len(data) > 0:
		l, e = documentACL(data, owner, bucket)
	default:
		e = failf(http.StatusBadRequest, "MissingSecurityHeader", "Your request was missing a required header").
			with("MissingHeaderName", "x-amz-acl")
	}
	if e == nil {
		e = q.blockACL(l, action, arn)
	}
	if e != nil {
		return nil, e
	}
	if bucket {
		return &answer{}, q.state.configure(q.bucket, func(c *bucketConfig) { c.ACL = l })
	}
	return &answer{}, q.changeObject(func(o *object) { o.ACL = l })
}
