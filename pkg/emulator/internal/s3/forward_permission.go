package s3

import (
	"bytes"
	"encoding/xml"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// forwardedActions are the actions of operations that need one, where it is not the one
// of the operation's name (S3 User Guide, "Required permissions for Amazon S3 API
// operations"). Those on versions of objects follow from the request.
var forwardedActions = map[string]string{
	"ListBuckets": "ListAllMyBuckets", "HeadBucket": "ListBucket", "ListObjects": "ListBucket", "ListObjectsV2": "ListBucket",
	"ListObjectVersions": "ListBucketVersions", "ListMultipartUploads": "ListBucketMultipartUploads",
	"GetPublicAccessBlock": "GetBucketPublicAccessBlock", "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
	"DeletePublicAccessBlock": "PutBucketPublicAccessBlock", "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
	"DeleteBucketTagging": "PutBucketTagging",
	"GetBucketCors":       "GetBucketCORS", "PutBucketCors": "PutBucketCORS", "DeleteBucketCors": "PutBucketCORS",
	"GetBucketLifecycleConfiguration": "GetLifecycleConfiguration", "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
	"DeleteBucketLifecycle": "PutLifecycleConfiguration",
	"GetBucketEncryption":   "GetEncryptionConfiguration", "PutBucketEncryption": "PutEncryptionConfiguration",
	"DeleteBucketEncryption": "PutEncryptionConfiguration",
	"GetBucketReplication":   "GetReplicationConfiguration", "PutBucketReplication": "PutReplicationConfiguration",
	"DeleteBucketReplication":    "PutReplicationConfiguration",
	"GetObjectLockConfiguration": "GetBucketObjectLockConfiguration", "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
	"GetBucketAccelerateConfiguration": "GetAccelerateConfiguration", "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration",
	"GetBucketNotificationConfiguration": "GetBucketNotification", "PutBucketNotificationConfiguration": "PutBucketNotification",
	"GetBucketAnalyticsConfiguration": "GetAnalyticsConfiguration", "ListBucketAnalyticsConfigurations": "GetAnalyticsConfiguration",
	"PutBucketAnalyticsConfiguration": "PutAnalyticsConfiguration", "DeleteBucketAnalyticsConfiguration": "PutAnalyticsConfiguration",
	"GetBucketInventoryConfiguration": "GetInventoryConfiguration", "ListBucketInventoryConfigurations": "GetInventoryConfiguration",
	"PutBucketInventoryConfiguration": "PutInventoryConfiguration", "DeleteBucketInventoryConfiguration": "PutInventoryConfiguration",
	"GetBucketMetricsConfiguration": "GetMetricsConfiguration", "ListBucketMetricsConfigurations": "GetMetricsConfiguration",
	"PutBucketMetricsConfiguration": "PutMetricsConfiguration", "DeleteBucketMetricsConfiguration": "PutMetricsConfiguration",
	"GetBucketIntelligentTieringConfiguration":    "GetIntelligentTieringConfiguration",
	"ListBucketIntelligentTieringConfigurations":  "GetIntelligentTieringConfiguration",
	"PutBucketIntelligentTieringConfiguration":    "PutIntelligentTieringConfiguration",
	"DeleteBucketIntelligentTieringConfiguration": "PutIntelligentTieringConfiguration",

	"HeadObject": "GetObject", "SelectObjectContent": "GetObject",
	"UploadPart": "PutObject", "UploadPartCopy": "PutObject", "CompleteMultipartUpload": "PutObject", "CreateMultipartUpload": "PutObject",
	"CopyObject": "PutObject", "ListParts": "ListMultipartUploadParts",
}

// versionedActions are those that are others for a version of an object.
var versionedActions = []string{
	"GetObject", "GetObjectAcl", "PutObjectAcl", "GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging", "DeleteObject",
	"GetObjectAttributes", "GetObjectTorrent",
}

// notForwarded are operations of directory buckets and of others, which the emulator
// cannot decide about.
var notForwarded = []string{"CreateSession", "RenameObject", "ListDirectoryBuckets", "WriteGetObjectResponse"}

// permit asks for all that a call needs, the request's own action first.
func (p *passing) permit() *failure {
	action, known := forwardedActions[p.Operation]
	if !known {
		action = p.Operation
	}
	reference := awsapi.Reference("s3")
	if reference == nil || reference.Actions[action] == nil && p.Operation != "DeleteObjects" || slices.Contains(notForwarded, p.Operation) {
		return p.refuseForwarding("the operation " + p.Operation)
	}
	version := ""
	if v, given := p.query["versionId"]; given {
		version = v[0]
	}
	switch p.Operation {
	case "ListBuckets":
		return p.need("ListAllMyBuckets", "*", "", nil)
	case "CreateBucket":
		return p.permitCreate()
	case "DeleteObjects":
		return p.permitDeletions()
	case "ListObjects", "ListObjectsV2", "ListObjectVersions", "ListMultipartUploads":
		return p.need(action, p.bucketARN(), "", p.listKeys)
	case "PutObject", "CreateMultipartUpload", "CopyObject":
		return p.permitPut()
	case "PutObjectTagging":
		return p.permitTagging(version)
	}
	if p.key == "" {
		return p.need(action, p.bucketARN(), "", nil)
	}
	if e := p.need(action, p.objectARN(), version, nil); e != nil {
		return e
	}
	bypass := strings.EqualFold(p.Request.Header.Get("X-Amz-Bypass-Governance-Retention"), "true")
	switch {
	case p.Operation == "UploadPartCopy":
		_, _, e := p.permitSource()
		return e
	case p.Operation == "GetObjectAttributes":
		if e := p.need("GetObject", p.objectARN(), version, nil); e != nil {
			return e
		}
	case bypass && (p.Operation == "DeleteObject" || p.Operation == "PutObjectRetention"):
		return p.need("BypassGovernanceRetention", p.objectARN(), "", nil)
	}
	if p.Operation == "GetObject" || p.Operation == "HeadObject" || p.Operation == "GetObjectAttributes" {
		q, e := p.asks("ListBucket", p.bucketARN(), "", nil)
		if e != nil {
			return e
		}
		if v := p.service.account.Gate.Ask(p.Call, q); v.Failure != nil {
			p.hides = q
		}
	}
	return nil
}

// need asks whether the caller may do something to a bucket or an object. keys, if not
// nil, sets condition keys that only this action has.
func (p *passing) need(action, arn, version string, keys func(*policy.Context)) *failure {
	q, e := p.asks(action, arn, version, keys)
	if e != nil {
		return e
	}
	denied := asFailure(p.service.account.Gate.Authorize(p.Call, q))
	if denied != nil && arn == "*" {
		denied.Message = strings.Replace(denied.Message, ` on resource: "*"`, "", 1)
	}
	return denied
}

// asks is the question of need.
func (p *passing) asks(action, arn, version string, keys func(*policy.Context)) (*api.Question, *failure) {
	if version != "" && slices.Contains(versionedActions, action) {
		action = versionRef{given: true}.versioned(action)
	}
	q := &api.Question{Action: "s3:" + action, Resource: arn, Spelled: `"` + arn + `"`, Account: p.owner}
	path, inBucket := strings.CutPrefix(arn, p.service.bucketARN(""))
	bucket, key, _ := strings.Cut(path, "/")
	p.setKeys(&bucketConfig{Account: p.owner}, &q.Keys)
	if inBucket && action != "CreateBucket" {
		attached, warning, err := p.service.backend.BucketPolicy(p.Call, bucket)
		if err != nil {
			return nil, p.undecided("the policy of bucket "+bucket, err)
		}
		if p.Caller.Kind != policy.Root || !isPolicyAction(q.Action) {
			q.Attached = attached // else the root user can always repair it
		}
		if warning != "" {
			q.Warnings = append(q.Warnings, warning)
		}
		if key != "" {
			tags, warning, e := p.tagsOf(arn, version, attached)
			if e != nil {
				return nil, e
			}
			for name, value := range tags {
				q.Keys.Set("s3:ExistingObjectTag/"+name, value)
			}
			if warning != "" {
				q.Warnings = append(q.Warnings, warning)
			}
		}
	}
	if keys != nil {
		keys(&q.Keys)
	}
	return q, nil
}

// permitCreate is permit for CreateBucket.
func (p *passing) permitCreate() *failure {
	data, e := p.readHeld()
	if e != nil {
		return e
	}
	var body struct {
		XMLName            xml.Name `xml:"CreateBucketConfiguration"`
		LocationConstraint string
		Tags               *struct{ Tag []wire.Tag }
	}
	if len(data) > 0 {
		if e := parseXML(data, &body); e != nil {
			return e
		}
	}
	e = p.need("CreateBucket", p.bucketARN(), "", func(keys *policy.Context) {
		if body.LocationConstraint != "" {
			keys.Set("s3:LocationConstraint", body.LocationConstraint)
		}
	})
	h := p.Request.Header
	also := func(is bool, action string, keys func(*policy.Context)) {
		if e == nil && is {
			e = p.need(action, p.bucketARN(), "", keys)
		}
	}
	also(h.Get("X-Amz-Object-Ownership") != "", "PutBucketOwnershipControls", nil)
	also(asksACL(h), "PutBucketAcl", nil)
	locked := strings.EqualFold(h.Get("X-Amz-Bucket-Object-Lock-Enabled"), "true")
	also(locked, "PutBucketObjectLockConfiguration", nil)
	also(locked, "PutBucketVersioning", nil)
	if body.Tags != nil && len(body.Tags.Tag) > 0 {
		also(true, "TagResource", tagKeys("aws:RequestTag/", "aws:TagKeys", body.Tags.Tag))
	}
	return e
}

// permitPut is permit for what makes an object.
func (p *passing) permitPut() *failure {
	h := p.Request.Header
	tags, e := p.headerTags()
	if e != nil {
		return e
	}
	if p.Operation == "CopyObject" {
		source, version, e := p.permitSource()
		if e != nil {
			return e
		}
		if !strings.EqualFold(h.Get("X-Amz-Tagging-Directive"), "REPLACE") {
			known, _, e := p.objectTags(source, version) // a backend without tags has none to copy
			if e != nil {
				return e
			}
			tags = nil
			for _, name := range slices.Sorted(maps.Keys(known)) {
				tags = append(tags, wire.Tag{Key: name, Value: known[name]})
			}
			if len(tags) > 0 {
				if e := p.need("GetObjectTagging", source, version, nil); e != nil {
					return e
				}
			}
		}
	}
	requested := tagKeys("s3:RequestObjectTag/", "s3:RequestObjectTagKeys", tags)
	e = p.need("PutObject", p.objectARN(), "", requested)
	also := func(is bool, action string, keys func(*policy.Context)) {
		if e == nil && is {
			e = p.need(action, p.objectARN(), "", keys)
		}
	}
	also(len(tags) > 0, "PutObjectTagging", requested)
	also(asksACL(h), "PutObjectAcl", nil)
	also(h.Get("X-Amz-Object-Lock-Mode") != "" || h.Get("X-Amz-Object-Lock-Retain-Until-Date") != "", "PutObjectRetention", nil)
	also(h.Get("X-Amz-Object-Lock-Legal-Hold") != "", "PutObjectLegalHold", nil)
	also(h.Get("If-Match") != "", "GetObject", nil) // it tells what is there ("Add preconditions to S3 operations")
	if e == nil {
		e = p.encrypts()
	}
	return e
}

// permitSource asks for the object that x-amz-copy-source names.
func (p *passing) permitSource() (arn, version string, e *failure) {
	source := p.Request.Header.Get("X-Amz-Copy-Source")
	path, query, versioned := strings.Cut(source, "?")
	name, err := url.PathUnescape(strings.TrimPrefix(path, "/"))
	bucket, key, found := strings.Cut(name, "/")
	version, isVersion := strings.CutPrefix(query, "versionId=")
	if err != nil || !found || key == "" || versioned && !isVersion || strings.ContainsAny(version, "&?") || !validBucketName(bucket) {
		return "", "", errInvalidArgument("Invalid copy source object key", "x-amz-copy-source", source)
	}
	arn = p.service.bucketARN(bucket) + "/" + key
	if e = p.need("GetObject", arn, version, nil); e != nil {
		return arn, version, e
	}
	id, e := p.keyOf(arn, version)
	if e == nil {
		e = p.useKey(id, arn, "Decrypt")
	}
	return arn, version, e
}

// keyOf is the key that a bucket or an object is encrypted with, see [Backend].
func (p *passing) keyOf(arn, version string) (string, *failure) {
	id, err := p.service.backend.Key(p.Call, arn, version)
	if err != nil {
		return "", p.undecided("the key of "+arn, err)
	}
	return id, nil
}

const headerKey = "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"

// encrypts asks for the key that an object is to be encrypted with: the one that the
// request names, or that of the bucket (Amazon S3 User Guide, "Using server-side
// encryption with AWS KMS keys").
func (p *passing) encrypts() *failure {
	h := p.Request.Header
	key := h.Get(headerKey)
	if key == "" && h.Get("X-Amz-Server-Side-Encryption") != "AES256" && h.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm") == "" {
		var e *failure
		if key, e = p.keyOf(p.bucketARN(), ""); e != nil {
			return e
		}
	}
	arn, actions := p.objectARN(), "GenerateDataKey"
	if strings.EqualFold(h.Get("X-Amz-Server-Side-Encryption-Bucket-Key-Enabled"), "true") {
		arn = p.bucketARN()
	}
	if p.Operation == "CreateMultipartUpload" { // whose parts are read again when it is completed
		actions = "GenerateDataKey Decrypt"
	}
	return p.useKey(key, arn, actions)
}

// reads reports whether the answer to the call has what is encrypted.
func (p *passing) reads() bool {
	return p.Operation == "GetObject" || p.Operation == "SelectObjectContent" || p.Operation == "GetObjectTorrent"
}

// decrypts asks for the key of an object that is read, which the answer names.
func (p *passing) decrypts(answer *http.Response) *failure {
	if !p.reads() || answer.StatusCode >= http.StatusMultipleChoices {
		return nil
	}
	arn := p.objectARN()
	if strings.EqualFold(answer.Header.Get("X-Amz-Server-Side-Encryption-Bucket-Key-Enabled"), "true") {
		arn = p.bucketARN()
	}
	return p.useKey(answer.Header.Get(headerKey), arn, "Decrypt")
}

func (p *passing) useKey(key, arn, actions string) *failure {
	if key == "" {
		return nil
	}
	return asFailure(p.service.backend.UseKey(p.Call, key, arn, actions))
}

// permitTagging is permit for PutObjectTagging.
func (p *passing) permitTagging(version string) *failure {
	data, e := p.readHeld()
	if e != nil {
		return e
	}
	var body tagging
	if e := parseXML(data, &body); e != nil {
		return e
	}
	if body.TagSet == nil {
		return errMalformedXML()
	}
	return p.need("PutObjectTagging", p.objectARN(), version, tagKeys("s3:RequestObjectTag/", "s3:RequestObjectTagKeys", body.TagSet.Tag))
}

// readHeld reads a body that is decided about, and keeps it.
func (p *passing) readHeld() ([]byte, *failure) {
	var e *failure
	p.document, e = p.readDocument()
	p.read = e == nil
	return p.document, e
}

// deletedPart is an object of DeleteObjects that may not be deleted.
type deletedPart struct {
	object deletedObject
	why    *failure
}

// deletions is the document of DeleteObjects.
type deletions struct {
	XMLName xml.Name       `xml:"Delete"`
	Quiet   bool           `xml:"Quiet,omitempty"`
	Object  []sentDeletion `xml:"Object"`
}

// sentDeletion is an object in it, with all that S3 knows of one.
type sentDeletion struct {
	Key              string `xml:"Key"`
	VersionID        string `xml:"VersionId,omitempty"`
	ETag             string `xml:"ETag,omitempty"`
	LastModifiedTime string `xml:"LastModifiedTime,omitempty"`
	Size             string `xml:"Size,omitempty"`
}

// permitDeletions is permit for DeleteObjects: each object is a question of its own. What
// may not be deleted is an error in the answer, and the backend is not asked for it.
func (p *passing) permitDeletions() *failure {
	data, e := p.readHeld()
	if e != nil {
		return e
	}
	var body deletions
	if e := parseXML(data, &body); e != nil {
		return e
	}
	if len(body.Object) == 0 || len(body.Object) > maxList {
		return errMalformedXML()
	}
	bypass := strings.EqualFold(p.Request.Header.Get("X-Amz-Bypass-Governance-Retention"), "true")
	var may []sentDeletion
	for _, o := range body.Object {
		if o.Key == "" {
			return errMalformedXML()
		}
		arn := p.bucketARN() + "/" + o.Key
		e := p.need("DeleteObject", arn, o.VersionID, nil)
		if e == nil && bypass {
			e = p.need("BypassGovernanceRetention", arn, "", nil)
		}
		if e == nil {
			may = append(may, o)
			continue
		}
		d := deletedObject{Key: &o.Key}
		if o.VersionID != "" {
			d.VersionID = &o.VersionID
		}
		p.denied = append(p.denied, deletedPart{d, e})
	}
	if p.denied == nil {
		return nil
	}
	body.Object = may
	whole, err := xml.Marshal(&body)
	if err != nil {
		return errInternal()
	}
	p.document = whole
	// What the client said of its document is not true of this one.
	h := p.Request.Header.Clone()
	h.Del("Content-Md5")
	for name := range h {
		if strings.HasPrefix(name, "X-Amz-Checksum-") {
			delete(h, name)
		}
	}
	r := *p.Request
	r.Header = h
	p.Request = &r
	return nil
}

// withoutDenied is the answer of DeleteObjects if nothing is left to be deleted.
func (p *passing) withoutDenied() *answer {
	var body deletions
	if parseXML(p.document, &body) != nil || len(body.Object) > 0 {
		return nil
	}
	return document("DeleteResult", p.writeDenied)
}

func (p *passing) writeDenied(x *wire.XML) {
	for _, d := range p.denied {
		x.Open("Error")
		x.Text("Key", *d.object.Key)
		if d.object.VersionID != nil {
			x.Text("VersionId", *d.object.VersionID)
		}
		x.Text("Code", d.why.Code)
		x.Text("Message", d.why.Message)
		x.Close("Error")
	}
}

// addDenied adds the errors of what may not be deleted to the answer of DeleteObjects.
func (p *passing) addDenied(answer *http.Response) *failure {
	if answer.StatusCode >= http.StatusMultipleChoices {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxXML+1))
	answer.Body.Close()
	end := bytes.LastIndex(text, []byte("</"))
	if end < 0 && bytes.HasSuffix(bytes.TrimSpace(text), []byte("/>")) { // nothing is in it
		end = bytes.LastIndex(text, []byte("/>"))
		text = append(append([]byte{}, text[:end]...), "></DeleteResult>"...)
		end++
	}
	if err != nil || len(text) > maxXML || end < 0 {
		return failf(http.StatusServiceUnavailable, "ServiceUnavailable", "The backend's answer to DeleteObjects cannot be read.")
	}
	x := &wire.XML{Buf: bytes.Clone(text[:end])}
	p.writeDenied(x)
	x.Buf = append(x.Buf, text[end:]...)
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(x.Buf)), int64(len(x.Buf))
	answer.Header.Set("Content-Length", strconv.Itoa(len(x.Buf)))
	return nil
}
