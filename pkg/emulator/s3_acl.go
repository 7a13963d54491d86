package emulator

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// Groups of grantees ("Access control list (ACL) overview" in the S3 User
// Guide, which this file follows).
const (
	groupEveryone      = "http://acs.amazonaws.com/groups/global/AllUsers"
	groupAuthenticated = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
	groupLogs          = "http://acs.amazonaws.com/groups/s3/LogDelivery"
)

// ec2User is the canonical user for which aws-exec-read is.
const ec2User = "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c"

// Permissions of a grant.
const (
	aclRead        = "READ"
	aclWrite       = "WRITE"
	aclReadACP     = "READ_ACP"
	aclWriteACP    = "WRITE_ACP"
	aclFullControl = "FULL_CONTROL"
)

// maxGrants is how many grants a list may have.
const maxGrants = 100

// acl is an access control list. A nil one is that of whatever got none: full
// control for its owner.
type acl struct {
	Grants []grant
}

// grant is one entry of a list.
type grant struct {
	ID         string `json:",omitempty"` // of a canonical user
	URI        string `json:",omitempty"` // of a group
	Permission string
}

// ownerOnly is the list that a nil one stands for.
func ownerOnly(owner string) *acl { return &acl{[]grant{{ID: owner, Permission: aclFullControl}}} }

// public says whether a list grants anything to everyone, or to everyone with
// an account somewhere.
func (l *acl) public() bool {
	return l != nil && slices.ContainsFunc(l.Grants, func(g grant) bool { return g.URI == groupEveryone || g.URI == groupAuthenticated })
}

// beyond says whether a list grants anything to anybody but the owner.
func (l *acl) beyond(owner string) bool {
	return l != nil && slices.ContainsFunc(l.Grants, func(g grant) bool { return g.ID != owner })
}

// bucketGrants and objectGrants are the permissions of the lists of buckets
// and of objects that allow an action.
var (
	bucketGrants = map[string]string{
		"s3:ListBucket": aclRead, "s3:ListBucketVersions": aclRead, "s3:ListBucketMultipartUploads": aclRead,
		"s3:PutObject": aclWrite, "s3:GetBucketAcl": aclReadACP, "s3:PutBucketAcl": aclWriteACP,
	}
	objectGrants = map[string]string{
		"s3:GetObject": aclRead, "s3:GetObjectVersion": aclRead,
		"s3:GetObjectAcl": aclReadACP, "s3:GetObjectVersionAcl": aclReadACP,
		"s3:PutObjectAcl": aclWriteACP, "s3:PutObjectVersionAcl": aclWriteACP,
	}
)

// granted says what access control lists grant of an action to the caller.
// Those of a bucket whose owner owns all objects do not count, and grants to
// the public do not while Block Public Access ignores them; the note says so of
// a grant that does not count.
func (q *s3Call) granted(config *bucketConfig, action, arn string) (grant policy.Grant, note string) {
	if config == nil {
		return policy.NoGrant, ""
	}
	list, permission := config.ACL, bucketGrants[action]
	if permission == "" {
		permission = objectGrants[action]
		key, _ := strings.CutPrefix(arn, q.s.bucketARN(config.Name)+"/")
		o := q.s3.object(config.Name, key)
		if permission == "" || o == nil {
			return policy.NoGrant, ""
		}
		list = o.ACL
	}
	if grant = list.grants(permission, &q.Caller.Principal); grant != policy.GrantEveryone {
		if config.Ownership == ownerEnforced {
			grant = policy.NoGrant
		}
		return grant, ""
	}
	const but = "an access control list grants it to everyone, but "
	switch {
	case config.Ownership == ownerEnforced:
		return policy.NoGrant, but + "the object ownership of the bucket, " + ownerEnforced + ", disables those"
	case q.s3.blockOf(config).IgnorePublicAcls:
		return policy.NoGrant, but + "IgnorePublicAcls in S3 Block Public Access (" +
			q.s3.blockedBy(config, func(b publicAccessBlock) bool { return b.IgnorePublicAcls }) + ") ignores that"
	}
	return grant, ""
}

// grants says what a list grants of a permission to a caller.
func (l *acl) grants(permission string, who *policy.Principal) policy.Grant {
	found := policy.NoGrant
	if l == nil {
		return found
	}
	for _, g := range l.Grants {
		switch {
		case g.Permission != permission && g.Permission != aclFullControl:
		case g.URI == groupEveryone, g.URI == groupAuthenticated && who.Kind != policy.Anonymous:
			return policy.GrantEveryone
		case g.ID != "" && g.ID == who.CanonicalUser:
			found = policy.GrantAccount
		}
	}
	return found
}

// grantHeaders are the headers that grant a permission.
var grantHeaders = map[string]string{
	"x-amz-grant-read": aclRead, "x-amz-grant-write": aclWrite, "x-amz-grant-read-acp": aclReadACP,
	"x-amz-grant-write-acp": aclWriteACP, "x-amz-grant-full-control": aclFullControl,
}

// asksACL says whether a request has an access control list in its headers.
func asksACL(h http.Header) bool {
	if h.Get("X-Amz-Acl") != "" {
		return true
	}
	for name := range grantHeaders {
		if h.Get(name) != "" {
			return true
		}
	}
	return false
}

// cannedACL is the list that a name stands for, which is nil for the owner
// alone.
func cannedACL(name, owner string, bucket bool) (*acl, *s3Error) {
	with := func(grants ...grant) (*acl, *s3Error) {
		l := ownerOnly(owner)
		l.Grants = append(l.Grants, grants...)
		return l, nil
	}
	switch {
	// The owner of a bucket owns whatever is in it, as no other account gets
	// to write here.
	case name == "private", name == "bucket-owner-read", name == "bucket-owner-full-control":
		return nil, nil
	case name == "public-read":
		return with(grant{URI: groupEveryone, Permission: aclRead})
	case name == "public-read-write":
		return with(grant{URI: groupEveryone, Permission: aclRead}, grant{URI: groupEveryone, Permission: aclWrite})
	case name == "authenticated-read":
		return with(grant{URI: groupAuthenticated, Permission: aclRead})
	case name == "aws-exec-read":
		return with(grant{ID: ec2User, Permission: aclRead})
	case name == "log-delivery-write" && bucket:
		return with(grant{URI: groupLogs, Permission: aclWrite}, grant{URI: groupLogs, Permission: aclReadACP})
	}
	return nil, errInvalidArgument("", "x-amz-acl", name)
}

// headerACL is the list in the headers of a request.
func headerACL(h http.Header, owner string, bucket bool) (*acl, *s3Error) {
	canned := h.Get("X-Amz-Acl")
	l := new(acl)
	for _, name := range []string{"x-amz-grant-full-control", "x-amz-grant-read", "x-amz-grant-write", "x-amz-grant-read-acp", "x-amz-grant-write-acp"} {
		for part := range strings.SplitSeq(strings.Join(h.Values(name), ","), ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			if canned != "" {
				return nil, errInvalidRequest("Specifying both Canned ACLs and Header Grants is not allowed")
			}
			kind, value, _ := strings.Cut(part, "=")
			g, e := newGrant(strings.TrimSpace(kind), strings.Trim(strings.TrimSpace(value), `"`), "id", "uri")
			if e == nil && g == (grant{}) {
				e = errInvalidArgument("Argument format not recognized", name, part)
			}
			if e != nil {
				return nil, e
			}
			g.Permission = grantHeaders[name]
			l.Grants = append(l.Grants, g)
		}
	}
	if canned != "" {
		var e *s3Error
		if l, e = cannedACL(canned, owner, bucket); l == nil {
			return nil, e
		}
	}
	return l.check(bucket)
}

// newGrant is a grant to an id, a group's uri or an emailAddress, without its
// permission; of any other kind it is none. Errors call the argument by the
// names given.
func newGrant(kind, value, idName, uriName string) (grant, *s3Error) {
	switch kind {
	case "id":
		if len(value) != 64 || strings.Trim(value, "0123456789abcdef") != "" {
			return grant{}, errInvalidArgument("Invalid id", idName, value)
		}
		return grant{ID: value}, nil
	case "uri":
		if value != groupEveryone && value != groupAuthenticated && value != groupLogs {
			return grant{}, errInvalidArgument("Invalid group uri", uriName, value)
		}
		return grant{URI: value}, nil
	case "emailAddress":
		return grant{}, s3Errorf(http.StatusBadRequest, "UnresolvableGrantByEmailAddress",
			"The e-mail address you provided does not match any account on record.")
	}
	return grant{}, nil
}

func errMalformedACL() *s3Error {
	return s3Errorf(http.StatusBadRequest, "MalformedACLError", "The XML you provided was not well-formed or did not validate against our published schema")
}

// check refuses a list that is too long, and buckets that everyone may write
// to: what strangers write would be theirs, and objects of others are not to be
// had here.
func (l *acl) check(bucket bool) (*acl, *s3Error) {
	if len(l.Grants) > maxGrants {
		return nil, errMalformedACL()
	}
	if bucket && slices.ContainsFunc(l.Grants, func(g grant) bool {
		return g.URI == groupEveryone && (g.Permission == aclWrite || g.Permission == aclFullControl)
	}) {
		return nil, errNotImplemented("a bucket that everyone may write to")
	}
	return l, nil
}

// documentACL is the list in the body of a request about something of owner.
func documentACL(data []byte, owner string, bucket bool) (*acl, *s3Error) {
	var body struct {
		XMLName           xml.Name `xml:"AccessControlPolicy"`
		Owner             *struct{ ID string }
		AccessControlList *struct {
			Grant []struct {
				Grantee struct {
					Type                  string `xml:"http://www.w3.org/2001/XMLSchema-instance type,attr"`
					ID, URI, EmailAddress string
				}
				Permission string
			}
		}
	}
	if parseXML(data, &body) != nil || body.Owner == nil || body.Owner.ID == "" || body.AccessControlList == nil {
		return nil, errMalformedACL()
	}
	if body.Owner.ID != owner {
		return nil, errAccessDenied()
	}
	l := new(acl)
	for _, entry := range body.AccessControlList.Grant {
		g, e := grant{}, (*s3Error)(nil)
		switch entry.Grantee.Type {
		case "CanonicalUser":
			g, e = newGrant("id", entry.Grantee.ID, "CanonicalUser/ID", "")
		case "Group":
			g, e = newGrant("uri", entry.Grantee.URI, "", "Group/URI")
		case "AmazonCustomerByEmail":
			g, e = newGrant("emailAddress", entry.Grantee.EmailAddress, "", "")
		default:
			return nil, errMalformedACL()
		}
		if e != nil {
			return nil, e
		}
		if !slices.Contains([]string{aclRead, aclWrite, aclReadACP, aclWriteACP, aclFullControl}, entry.Permission) {
			return nil, errMalformedACL()
		}
		g.Permission = entry.Permission
		l.Grants = append(l.Grants, g)
	}
	return l.check(bucket)
}

func errNoACLs() *s3Error {
	return s3Errorf(http.StatusBadRequest, "AccessControlListNotSupported", "The bucket does not allow ACLs")
}

// uploadACL is the list that an upload asks for. Where lists are disabled those
// pass that say what is so in any case.
func (q *s3Call) uploadACL() (*acl, *s3Error) {
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
func (q *s3Call) blockACL(l *acl, action, arn string) *s3Error {
	if !l.public() || !q.s3.blockOf(q.config).BlockPublicAcls {
		return nil
	}
	e := errAccessDenied()
	if q.Caller.Account == q.config.Account {
		e.Message = "User: " + q.Caller.ARN + " is not authorized to perform: " + action + ` on resource: "` + arn +
			`" because public access control lists (ACLs) are prevented by the BlockPublicAcls setting in S3 Block Public Access.`
	}
	q.deny("permission", "the access control list is public, and BlockPublicAcls in S3 Block Public Access ("+
		q.s3.blockedBy(q.config, func(b publicAccessBlock) bool { return b.BlockPublicAcls })+") refuses those", e)
	return e
}

// newBucketACL is the list that CreateBucket asks for.
func (q *s3Call) newBucketACL(ownership string) (*acl, *s3Error) {
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
		return nil, s3Errorf(http.StatusBadRequest, "InvalidBucketAclWithBlockPublicAccessError",
			"Bucket cannot have public ACLs set with BlockPublicAccess enabled")
	}
	return l, q.may(nil, "s3:PutBucketAcl", q.bucketARN(), nil)
}

func errOwnedACL() *s3Error {
	return s3Errorf(http.StatusBadRequest, "InvalidBucketAclWithObjectOwnership",
		"Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")
}

// aclAction is the action of reading ("Get") or setting ("Put") the list that a
// request is about, and its resource.
func (q *s3Call) aclAction(verb string) (action, arn string, e *s3Error) {
	if q.key == "" {
		return "s3:" + verb + "BucketAcl", q.bucketARN(), nil
	}
	versioned, e := q.version()
	if versioned {
		return "s3:" + verb + "ObjectVersionAcl", q.objectARN(), e
	}
	return "s3:" + verb + "ObjectAcl", q.objectARN(), e
}

// mayACL asks whether the caller may read or set the list of the bucket or the
// object of the request, and gives the object.
func (q *s3Call) mayACL(action, arn string) (*s3Object, *s3Error) {
	if q.key == "" {
		return nil, q.may(q.config, action, arn, nil)
	}
	o := q.s3.object(q.bucket, q.key)
	if e := q.may(q.config, action, arn, existingTags(o)); e != nil {
		return nil, e
	}
	if o == nil {
		return nil, q.missing(q.config, q.key)
	}
	return o, nil
}

// getACL is GetBucketAcl and GetObjectAcl. Where lists are disabled it gives
// the one that is true then.
func (q *s3Call) getACL() (*s3Answer, *s3Error) {
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
func (q *s3Call) putACL() (*s3Answer, *s3Error) {
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
		return nil, s3Errorf(http.StatusBadRequest, "UnexpectedContent", "This request does not support content")
	case headers:
		l, e = headerACL(q.Request.Header, owner, bucket)
	case len(data) > 0:
		l, e = documentACL(data, owner, bucket)
	default:
		e = s3Errorf(http.StatusBadRequest, "MissingSecurityHeader", "Your request was missing a required header").with("MissingHeaderName", "x-amz-acl")
	}
	if e == nil {
		e = q.blockACL(l, action, arn)
	}
	if e != nil {
		return nil, e
	}
	if bucket {
		return &s3Answer{}, q.s3.configure(q.bucket, func(c *bucketConfig) { c.ACL = l })
	}
	return &s3Answer{}, q.changeObject(func(o *s3Object) { o.ACL = l })
}
