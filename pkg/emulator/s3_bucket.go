package emulator

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// Rules of object ownership (S3 User Guide, "Controlling ownership of
// objects").
const ownerEnforced = "BucketOwnerEnforced"

var ownershipRules = []string{ownerEnforced, "BucketOwnerPreferred", "ObjectWriter"}

// validBucketName follows "General purpose bucket naming rules" in the S3 User
// Guide.
func validBucketName(name string) bool {
	alphanumeric := func(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
	if len(name) < 3 || len(name) > 63 || !alphanumeric(name[0]) || !alphanumeric(name[len(name)-1]) {
		return false
	}
	for i := range len(name) {
		if c := name[i]; !alphanumeric(c) && c != '-' && c != '.' {
			return false
		}
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return false
	}
	for _, prefix := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	for _, suffix := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(name, suffix) {
			return false
		}
	}
	return !strings.Contains(name, "..")
}

func (q *s3Call) createBucket() (*s3Answer, *s3Error) {
	type configuration struct {
		XMLName            xml.Name `xml:"CreateBucketConfiguration"`
		LocationConstraint string
		Bucket             *struct{ Type string }
		Location           *struct{ Type string }
		Tags               *struct{ Tag []wire.Tag }
	}
	if !validBucketName(q.bucket) {
		return nil, s3Errorf(http.StatusBadRequest, "InvalidBucketName", "The specified bucket is not valid.").with("BucketName", q.bucket)
	}
	if q.Caller.Kind == policy.Anonymous { // before anything is read
		if e := q.may(nil, "s3:CreateBucket", q.bucketARN(), nil); e != nil {
			return nil, e
		}
		return nil, errAccessDenied()
	}
	data, e := q.readDocument()
	if e != nil {
		return nil, e
	}
	var body configuration
	if len(data) > 0 {
		if e := parseXML(data, &body); e != nil {
			return nil, e
		}
	}
	if body.Bucket != nil || body.Location != nil {
		return nil, errNotImplemented("directory buckets")
	}
	var tags []wire.Tag
	if body.Tags != nil {
		if tags, e = checkS3Tags(body.Tags.Tag, maxBucketTags); e != nil {
			return nil, e
		}
	}
	ownership := q.Request.Header.Get("X-Amz-Object-Ownership")
	switch {
	case ownership == "":
		ownership = ownerEnforced
	case !slices.Contains(ownershipRules, ownership):
		return nil, errInvalidArgument("Invalid x-amz-object-ownership header: "+ownership, "x-amz-object-ownership", ownership)
	}
	if q.Request.Header.Get("X-Amz-Bucket-Object-Lock-Enabled") == "true" {
		return nil, errNotImplemented("Object Lock")
	}
	list, e := q.newBucketACL(ownership)
	if e != nil {
		return nil, e
	}
	region, e := q.createIn(body.LocationConstraint)
	if e != nil {
		return nil, e
	}

	if e := q.may(nil, "s3:CreateBucket", q.bucketARN(), func(keys *policy.Context) {
		if body.LocationConstraint != "" {
			keys.Set("s3:LocationConstraint", body.LocationConstraint)
		}
	}); e != nil {
		return nil, e
	}
	if q.Request.Header.Get("X-Amz-Object-Ownership") != "" {
		if e := q.may(nil, "s3:PutBucketOwnershipControls", q.bucketARN(), nil); e != nil {
			return nil, e
		}
	}
	if len(tags) > 0 {
		if e := q.may(nil, "s3:TagResource", q.bucketARN(), tagKeys("aws:RequestTag/", "aws:TagKeys", tags)); e != nil {
			return nil, e
		}
	}

	e = q.s3.edit(func(c *store.Change) *s3Error {
		if b := q.s3.buckets[q.bucket]; b != nil {
			switch {
			case b.Account != q.Caller.Account:
				return s3Errorf(http.StatusConflict, "BucketAlreadyExists", "The requested bucket name is not available. "+
					"The bucket namespace is shared by all users of the system. Please select a different name and try again.").with("BucketName", q.bucket)
			case region == "us-east-1" && b.Region == region:
				return nil // "for legacy compatibility", says the API reference
			}
			return s3Errorf(http.StatusConflict, "BucketAlreadyOwnedByYou",
				"Your previous request to create the named bucket succeeded and you already own it.").with("BucketName", q.bucket)
		}
		config := &bucketConfig{
			Name:      q.bucket,
			Account:   q.Caller.Account,
			Region:    region,
			Created:   q.At.UTC(),
			Ownership: ownership,
			ACL:       list,
			Tags:      tags,
			// On by default for buckets made since April 2023.
			Block: &publicAccessBlock{true, true, true, true},
		}
		if body.LocationConstraint == "EU" {
			config.Constraint = "EU"
		}
		q.s3.buckets[q.bucket] = &s3Bucket{bucketConfig: config}
		c.Put(bucketS3Bucket, q.bucket, config)
		return nil
	})
	if e != nil {
		return nil, e
	}
	a := &s3Answer{}
	a.set("Location", "/"+q.bucket)
	if region != "us-east-1" {
		a.set("Location", "http://"+q.bucket+".s3."+q.s.account.DNSSuffix+"/")
	}
	a.set("X-Amz-Bucket-Arn", q.bucketARN())
	return a, nil
}

// createIn is the region in which a bucket is to be: that of the endpoint,
// which the constraint must repeat, save for us-east-1, which takes any.
func (q *s3Call) createIn(constraint string) (string, *s3Error) {
	endpoint := q.Region
	if q.host.amazon {
		endpoint = q.host.region
		if endpoint == "" {
			endpoint = "us-east-1"
		}
	}
	switch {
	case constraint == "EU":
		constraint = "eu-west-1"
	case constraint == "us-east-1", constraint != "" && !isRegion(constraint):
		return "", s3Errorf(http.StatusBadRequest, "InvalidLocationConstraint", "The specified location-constraint is not valid").
			with("LocationConstraint", constraint)
	}
	switch {
	case endpoint == "us-east-1" && constraint == "":
		return endpoint, nil
	case endpoint == "us-east-1", endpoint == constraint:
		return constraint, nil
	case constraint == "":
		constraint = "unspecified"
	}
	return "", s3Errorf(http.StatusBadRequest, "IllegalLocationConstraintException",
		"The %s location constraint is incompatible for the region specific endpoint this request was sent to.", constraint)
}

// AddForeignBucket makes a bucket that belongs to another account, so that a
// test can run into it: its name is taken, and nobody here may look into it.
// The account has twelve digits. An empty region is us-east-1.
func (s *Server) AddForeignBucket(name, account, region string) error {
	if region == "" {
		region = "us-east-1"
	}
	switch {
	case !validBucketName(name):
		return fmt.Errorf("adding bucket %q: the name is not valid", name)
	case len(account) != 12 || strings.Trim(account, "0123456789") != "":
		return fmt.Errorf("adding bucket %q: account %q is not twelve digits", name, account)
	case account == s.config.Account:
		return fmt.Errorf("adding bucket %q: account %s is the emulator's own", name, account)
	case !isRegion(region):
		return fmt.Errorf("adding bucket %q: %q is not a region", name, region)
	}
	e := s.s3.edit(func(c *store.Change) *s3Error {
		if s.s3.buckets[name] != nil {
			return s3Errorf(http.StatusConflict, "BucketAlreadyExists", "there is such a bucket")
		}
		config := &bucketConfig{
			Name: name, Account: account, Region: region, Created: s.config.Now().UTC(), Ownership: ownerEnforced,
			Block: &publicAccessBlock{true, true, true, true},
		}
		s.s3.buckets[name] = &s3Bucket{bucketConfig: config}
		c.Put(bucketS3Bucket, name, config)
		return nil
	})
	if e != nil {
		return fmt.Errorf("adding bucket %q: %w", name, e)
	}
	return nil
}

// serveForeignBucket is AddForeignBucket in the control API:
// {"name": "b", "account": "111122223333", "region": "eu-west-1"}.
func (s *Server) serveForeignBucket(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Name    string `json:"name"`
		Account string `json:"account"`
		Region  string `json:"region"`
	}
	if !readControl(w, r, &body) {
		return
	}
	if err := s.AddForeignBucket(body.Name, body.Account, body.Region); err != nil {
		writeProblem(w, http.StatusBadRequest, "%v", err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (q *s3Call) headBucket() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:ListBucket", q.bucketARN(), nil); e != nil {
		e.header = http.Header{"X-Amz-Bucket-Region": {q.config.Region}}
		return nil, e
	}
	a := &s3Answer{}
	a.set("Content-Type", "application/xml")
	a.set("X-Amz-Bucket-Region", q.config.Region)
	a.set("X-Amz-Bucket-Arn", q.bucketARN())
	a.set("X-Amz-Access-Point-Alias", "false")
	return a, nil
}

func (q *s3Call) deleteBucket() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:DeleteBucket", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	return noContent(), q.s3.edit(func(c *store.Change) *s3Error {
		b := q.s3.buckets[q.bucket]
		switch {
		case b == nil:
			return errNoSuchBucket(q.bucket)
		case len(b.objects) > 0:
			return s3Errorf(http.StatusConflict, "BucketNotEmpty", "The bucket you tried to delete is not empty").with("BucketName", q.bucket)
		}
		for _, u := range q.s3.uploads {
			if u.Bucket == q.bucket {
				q.s3.removeUpload(c, u)
			}
		}
		delete(q.s3.buckets, q.bucket)
		c.Delete(bucketS3Bucket, q.bucket)
		return nil
	})
}

func (q *s3Call) listBuckets() (*s3Answer, *s3Error) {
	if e := q.may(nil, "s3:ListAllMyBuckets", "*", nil); e != nil {
		return nil, e
	}
	limit, e := q.number("max-buckets", 10000)
	if e != nil {
		return nil, e
	}
	after, e := q.continuation()
	if e != nil {
		return nil, e
	}
	prefix, region := q.query.Get("prefix"), q.query.Get("bucket-region")
	var found []*bucketConfig
	q.s3.mu.RLock()
	for _, b := range q.s3.buckets {
		if b.Account == q.Caller.Account && strings.HasPrefix(b.Name, prefix) && (region == "" || b.Region == region) && b.Name > after {
			found = append(found, b.bucketConfig)
		}
	}
	q.s3.mu.RUnlock()
	slices.SortFunc(found, func(a, b *bucketConfig) int { return strings.Compare(a.Name, b.Name) })
	next := ""
	if len(found) > limit {
		found = found[:limit]
		if limit > 0 {
			next = found[limit-1].Name
		}
	}
	return document("ListAllMyBucketsResult", func(x *wire.XML) {
		x.Open("Owner")
		x.Text("ID", q.s.account.CanonicalUser)
		x.Close("Owner")
		x.Open("Buckets")
		for _, b := range found {
			x.Open("Bucket")
			x.Text("Name", b.Name)
			x.Text("CreationDate", s3Time(b.Created))
			x.Text("BucketRegion", b.Region)
			x.Text("BucketArn", q.s.bucketARN(b.Name))
			x.Close("Bucket")
		}
		x.Close("Buckets")
		x.Optional("Prefix", prefix)
		if next != "" {
			x.Text("ContinuationToken", continuationToken(next))
		}
	}), nil
}

// number is a limit in the query: from 0 to the most that S3 gives at once.
func (q *s3Call) number(name string, most int) (int, *s3Error) {
	v := q.query.Get(name)
	if v == "" {
		return most, nil
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n < 0 {
		return 0, errInvalidArgument("Argument "+name+" must be an integer between 0 and 2147483647", name, v)
	}
	return min(int(n), most), nil
}

// continuation is the last name of the page before, from its token.
func (q *s3Call) continuation() (string, *s3Error) {
	v, found := q.query["continuation-token"]
	if !found {
		return "", nil
	}
	name, ok := strings.CutPrefix(v[0], "1")
	b, err := base64.RawURLEncoding.DecodeString(name)
	if !ok || err != nil || len(b) == 0 || !utf8.Valid(b) {
		return "", errInvalidArgument("The continuation token provided is incorrect", "continuation-token", v[0])
	}
	return string(b), nil
}

func continuationToken(name string) string {
	return "1" + base64.RawURLEncoding.EncodeToString([]byte(name))
}

func (q *s3Call) getLocation() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:GetBucketLocation", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	return document("LocationConstraint", func(x *wire.XML) {
		switch {
		case q.config.Constraint != "":
			x.Escape(q.config.Constraint)
		case q.config.Region != "us-east-1":
			x.Escape(q.config.Region)
		}
	}), nil
}

// bucketConfiguration is a configuration of buckets that the emulator does not
// have: reading it gives what S3 says of a bucket without it, removing it does
// nothing, and setting it is refused.
type bucketConfiguration struct {
	operation string // without its verb
	action    string // without its verb
	deletable bool
	missing   *s3Error // what reading it says; nil if there is an empty document
	empty     func() *s3Answer
}

func emptyDocument(root string) func() *s3Answer {
	return func() *s3Answer { return document(root, nil) }
}

func notFound(code, message string) *s3Error {
	return s3Errorf(http.StatusNotFound, code, "%s", message)
}

// bucketConfigurations are those configurations by subresource (S3 API
// Reference, the page of each operation).
var bucketConfigurations = map[string]bucketConfiguration{
	"cors": {"BucketCors", "BucketCORS", true,
		notFound("NoSuchCORSConfiguration", "The CORS configuration does not exist"), nil},
	"lifecycle": {"BucketLifecycleConfiguration", "LifecycleConfiguration", true,
		notFound("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"), nil},
	"website": {"BucketWebsite", "BucketWebsite", true,
		notFound("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"), nil},
	"replication": {"BucketReplication", "ReplicationConfiguration", true,
		notFound("ReplicationConfigurationNotFoundError", "The replication configuration was not found"), nil},
	"object-lock": {"ObjectLockConfiguration", "BucketObjectLockConfiguration", false,
		notFound("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket"), nil},
	"versioning":   {"BucketVersioning", "BucketVersioning", false, nil, emptyDocument("VersioningConfiguration")},
	"accelerate":   {"BucketAccelerateConfiguration", "AccelerateConfiguration", false, nil, emptyDocument("AccelerateConfiguration")},
	"logging":      {"BucketLogging", "BucketLogging", false, nil, emptyDocument("BucketLoggingStatus")},
	"notification": {"BucketNotificationConfiguration", "BucketNotification", false, nil, emptyDocument("NotificationConfiguration")},
	"requestPayment": {"BucketRequestPayment", "BucketRequestPayment", false, nil, func() *s3Answer {
		return document("RequestPaymentConfiguration", func(x *wire.XML) { x.Text("Payer", "BucketOwner") })
	}},
	"abac": {"BucketAbac", "BucketAbac", false, nil, func() *s3Answer {
		return document("AbacStatus", func(x *wire.XML) { x.Text("Status", "Disabled") })
	}},
}

func (c bucketConfiguration) get(q *s3Call) (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:Get"+c.action, q.bucketARN(), nil); e != nil {
		return nil, e
	}
	if c.missing != nil {
		e := *c.missing
		return nil, e.with("BucketName", q.bucket)
	}
	return c.empty(), nil
}

func (c bucketConfiguration) put(q *s3Call) (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:Put"+c.action, q.bucketARN(), nil); e != nil {
		return nil, e
	}
	return nil, errNotImplemented("Put" + c.operation)
}

// delete removes what is not there. S3 has no permissions for deleting these.
func (c bucketConfiguration) delete(q *s3Call) (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	action := "s3:Put" + c.action
	if c.operation == "BucketWebsite" {
		action = "s3:DeleteBucketWebsite"
	}
	if e := q.may(q.config, action, q.bucketARN(), nil); e != nil {
		return nil, e
	}
	return noContent(), nil
}

// getEncryption says what every bucket has since 2023: encryption with keys of
// S3's own, of which clients see nothing.
func (q *s3Call) getEncryption() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:GetEncryptionConfiguration", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	return document("ServerSideEncryptionConfiguration", func(x *wire.XML) {
		x.Open("Rule")
		x.Open("ApplyServerSideEncryptionByDefault")
		x.Text("SSEAlgorithm", "AES256")
		x.Close("ApplyServerSideEncryptionByDefault")
		x.Bool("BucketKeyEnabled", q.config.BucketKey)
		x.Close("Rule")
	}), nil
}

// putEncryption takes the encryption that every bucket has anyway.
func (q *s3Call) putEncryption() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:PutEncryptionConfiguration", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	var body struct {
		XMLName xml.Name `xml:"ServerSideEncryptionConfiguration"`
		Rule    []struct {
			Default *struct {
				SSEAlgorithm   string
				KMSMasterKeyID *string
			} `xml:"ApplyServerSideEncryptionByDefault"`
			BucketKeyEnabled bool
		}
	}
	if e := q.readXML(&body); e != nil {
		return nil, e
	}
	if len(body.Rule) != 1 {
		return nil, errMalformedXML()
	}
	switch d := body.Rule[0].Default; {
	case d == nil:
	case strings.HasPrefix(d.SSEAlgorithm, "aws:kms"):
		return nil, errNotImplemented("server-side encryption with " + d.SSEAlgorithm)
	case d.SSEAlgorithm != "AES256":
		return nil, errMalformedXML()
	case d.KMSMasterKeyID != nil:
		e := s3Errorf(http.StatusBadRequest, "InvalidArgument",
			"a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse")
		return nil, e.with("ArgumentName", "ApplyServerSideEncryptionByDefault")
	}
	return &s3Answer{}, q.s3.configure(q.bucket, func(c *bucketConfig) { c.BucketKey = body.Rule[0].BucketKeyEnabled })
}

func (q *s3Call) deleteEncryption() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:PutEncryptionConfiguration", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	return noContent(), q.s3.configure(q.bucket, func(c *bucketConfig) { c.BucketKey = false })
}

// Limits of tags (S3 User Guide, "Categorizing your storage using tags").
const (
	maxBucketTags = 50
	maxObjectTags = 10
	maxTagKey     = 128
	maxTagValue   = 256
)

// checkS3Tags refuses tags that S3 refuses.
func checkS3Tags(tags []wire.Tag, most int) ([]wire.Tag, *s3Error) {
	if len(tags) > most {
		what := "Bucket"
		if most == maxObjectTags {
			what = "Object"
		}
		return nil, s3Errorf(http.StatusBadRequest, "BadRequest", "%s tags cannot be greater than %d", what, most)
	}
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		switch {
		case t.Key == "" || utf8.RuneCountInString(t.Key) > maxTagKey || !validTagText(t.Key):
			return nil, s3Errorf(http.StatusBadRequest, "InvalidTag", "The TagKey you have provided is invalid").with("TagKey", t.Key)
		case utf8.RuneCountInString(t.Value) > maxTagValue || !validTagText(t.Value):
			return nil, s3Errorf(http.StatusBadRequest, "InvalidTag", "The TagValue you have provided is invalid").with("TagKey", t.Key).with("TagValue", t.Value)
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return nil, s3Errorf(http.StatusBadRequest, "InvalidTag", "System tags cannot be added/updated by requester").with("TagKey", t.Key)
		case seen[t.Key]:
			return nil, s3Errorf(http.StatusBadRequest, "InvalidTag", "Cannot provide multiple Tags with the same key").with("TagKey", t.Key)
		}
		seen[t.Key] = true
	}
	return tags, nil
}

// validTagText says whether a tag may have this key or value: of letters,
// digits, blanks and + - = . _ : / @ (S3 control's model, "TagKeyString").
func validTagText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.N, unicode.Z) && !strings.ContainsRune("+-=._:/@", r)
	})
}

// tagging is the document of tags.
type tagging struct {
	XMLName xml.Name `xml:"Tagging"`
	TagSet  *struct{ Tag []wire.Tag }
}

func (q *s3Call) readTags(most int) ([]wire.Tag, *s3Error) {
	var body tagging
	if e := q.readXML(&body); e != nil {
		return nil, e
	}
	if body.TagSet == nil {
		return nil, errMalformedXML()
	}
	return checkS3Tags(body.TagSet.Tag, most)
}

func tagDocument(tags []wire.Tag) *s3Answer {
	return document("Tagging", func(x *wire.XML) {
		x.Open("TagSet")
		for _, t := range tags {
			x.Open("Tag")
			x.Text("Key", t.Key)
			x.Text("Value", t.Value)
			x.Close("Tag")
		}
		x.Close("TagSet")
	})
}

// tagKeys sets the condition keys for tags: one each below prefix, and the
// list of their keys.
func tagKeys(prefix, list string, tags []wire.Tag) func(*policy.Context) {
	return func(keys *policy.Context) {
		names := make([]string, len(tags))
		for i, t := range tags {
			keys.Set(prefix+t.Key, t.Value)
			names[i] = t.Key
		}
		if list != "" && len(tags) > 0 {
			keys.SetMulti(list, names...)
		}
	}
}

func (q *s3Call) getBucketTagging() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:GetBucketTagging", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	if len(q.config.Tags) == 0 {
		return nil, notFound("NoSuchTagSet", "The TagSet does not exist").with("BucketName", q.bucket)
	}
	return tagDocument(q.config.Tags), nil
}

func (q *s3Call) putBucketTagging() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:PutBucketTagging", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	tags, e := q.readTags(maxBucketTags)
	if e != nil {
		return nil, e
	}
	return noContent(), q.s3.configure(q.bucket, func(c *bucketConfig) { c.Tags = tags })
}

func (q *s3Call) deleteBucketTagging() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:PutBucketTagging", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	return noContent(), q.s3.configure(q.bucket, func(c *bucketConfig) { c.Tags = nil })
}
