package s3

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

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

// bucketRequest is what CreateBucket is asked for.
type bucketRequest struct {
	constraint string // LocationConstraint, as it was sent
	region     string
	ownership  string
	list       *acl
	tags       []wire.Tag
}

func (q *call) createBucket() (*answer, *failure) {
	if !validBucketName(q.bucket) {
		return nil, failf(http.StatusBadRequest, "InvalidBucketName", "The specified bucket is not valid.").with("BucketName", q.bucket)
	}
	if q.Caller.Kind == policy.Anonymous { // before anything is read
		if e := q.may(nil, "s3:CreateBucket", q.bucketARN(), nil); e != nil {
			return nil, e
		}
		return nil, errAccessDenied()
	}
	r, e := q.readBucketRequest()
	if e != nil {
		return nil, e
	}
	if e := q.mayCreate(r); e != nil {
		return nil, e
	}
	if e := q.state.edit(func(c *store.Change) *failure { return q.storeBucket(c, r) }); e != nil {
		return nil, e
	}
	a := &answer{}
	a.set("Location", "/"+q.bucket)
	if r.region != "us-east-1" {
		a.set("Location", "http://"+q.bucket+".s3."+q.service.account.DNSSuffix+"/")
	}
	a.set("X-Amz-Bucket-Arn", q.bucketARN())
	return a, nil
}

// readBucketRequest reads document and headers, in the order in which S3 refuses
// them.
func (q *call) readBucketRequest() (*bucketRequest, *failure) {
	var body struct {
		XMLName            xml.Name `xml:"CreateBucketConfiguration"`
		LocationConstraint string
		Bucket             *struct{ Type string }
		Location           *struct{ Type string }
		Tags               *struct{ Tag []wire.Tag }
	}
	data, e := q.readDocument()
	if e != nil {
		return nil, e
	}
	if len(data) > 0 {
		if e := parseXML(data, &body); e != nil {
			return nil, e
		}
	}
	if body.Bucket != nil || body.Location != nil {
		return nil, errNotImplemented("directory buckets")
	}
	r := &bucketRequest{constraint: body.LocationConstraint}
	if body.Tags != nil {
		if r.tags, e = checkTags(body.Tags.Tag, maxBucketTags); e != nil {
			return nil, e
		}
	}
	r.ownership = cmp.Or(q.Request.Header.Get("X-Amz-Object-Ownership"), ownerEnforced)
	if !slices.Contains(ownershipRules, r.ownership) {
		return nil, errInvalidArgument("Invalid x-amz-object-ownership header: "+r.ownership, "x-amz-object-ownership", r.ownership)
	}
	if q.Request.Header.Get("X-Amz-Bucket-Object-Lock-Enabled") == "true" {
		return nil, errNotImplemented("Object Lock")
	}
	if r.list, e = q.newBucketACL(r.ownership); e != nil {
		return nil, e
	}
	if r.region, e = q.createIn(r.constraint); e != nil {
		return nil, e
	}
	return r, nil
}

// mayCreate asks for the permissions to create a bucket so.
func (q *call) mayCreate(r *bucketRequest) *failure {
	e := q.may(nil, "s3:CreateBucket", q.bucketARN(), func(keys *policy.Context) {
		if r.constraint != "" {
			keys.Set("s3:LocationConstraint", r.constraint)
		}
	})
	if e == nil && q.Request.Header.Get("X-Amz-Object-Ownership") != "" {
		e = q.may(nil, "s3:PutBucketOwnershipControls", q.bucketARN(), nil)
	}
	if e == nil && len(r.tags) > 0 {
		e = q.may(nil, "s3:TagResource", q.bucketARN(), tagKeys("aws:RequestTag/", "aws:TagKeys", r.tags))
	}
	return e
}

// storeBucket makes the bucket, unless there is one of that name.
func (q *call) storeBucket(c *store.Change, r *bucketRequest) *failure {
	if b := q.state.buckets[q.bucket]; b != nil {
		switch {
		case b.Account != q.Caller.Account:
			return failf(http.StatusConflict, "BucketAlreadyExists", "The requested bucket name is not available. "+
				"The bucket namespace is shared by all users of the system. Please select a different name and try again.").
				with("BucketName", q.bucket)
		case r.region == "us-east-1" && b.Region == r.region:
			return nil // "for legacy compatibility", says the API reference
		}
		return failf(http.StatusConflict, "BucketAlreadyOwnedByYou",
			"Your previous request to create the named bucket succeeded and you already own it.").with("BucketName", q.bucket)
	}
	config := &bucketConfig{
		Name:      q.bucket,
		Account:   q.Caller.Account,
		Region:    r.region,
		Created:   q.At.UTC(),
		Ownership: r.ownership,
		ACL:       r.list,
		Tags:      r.tags,
		// On by default for buckets made since April 2023.
		Block: &publicAccessBlock{true, true, true, true},
	}
	if r.constraint == "EU" {
		config.Constraint = "EU"
	}
	q.state.buckets[q.bucket] = &bucket{bucketConfig: config}
	c.Put(storedBuckets, q.bucket, config)
	return nil
}

// createIn is the region in which a bucket is to be: that of the endpoint,
// which the constraint must repeat, save for us-east-1, which takes any.
func (q *call) createIn(constraint string) (string, *failure) {
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
		return "", failf(http.StatusBadRequest, "InvalidLocationConstraint", "The specified location-constraint is not valid").
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
	return "", failf(http.StatusBadRequest, "IllegalLocationConstraintException",
		"The %s location constraint is incompatible for the region specific endpoint this request was sent to.", constraint)
}

// AddForeignBucket makes a bucket that belongs to another account, so that a
// test can run into it: its name is taken, and nobody here may look into it.
// The account has twelve digits. An empty region is us-east-1.
func (s *Service) AddForeignBucket(name, account, region string) error {
	if s.backend != nil {
		return fmt.Errorf("adding a bucket of another account: S3 is forwarded, so buckets are the backend's")
	}
	if region == "" {
		region = "us-east-1"
	}
	switch {
	case !validBucketName(name):
		return fmt.Errorf("adding bucket %q: the name is not valid", name)
	case len(account) != 12 || strings.Trim(account, "0123456789") != "":
		return fmt.Errorf("adding bucket %q: account %q is not twelve digits", name, account)
	case s.config.Own(account):
		return fmt.Errorf("adding bucket %q: account %s is the emulator's own", name, account)
	case !isRegion(region):
		return fmt.Errorf("adding bucket %q: %q is not a region", name, region)
	}
	e := s.state.edit(func(c *store.Change) *failure {
		if s.state.buckets[name] != nil {
			return failf(http.StatusConflict, "BucketAlreadyExists", "there is such a bucket")
		}
		config := &bucketConfig{
			Name: name, Account: account, Region: region, Created: s.account.Now().UTC(), Ownership: ownerEnforced,
			Block: &publicAccessBlock{true, true, true, true},
		}
		s.state.buckets[name] = &bucket{bucketConfig: config}
		c.Put(storedBuckets, name, config)
		return nil
	})
	if e != nil {
		return fmt.Errorf("adding bucket %q: %w", name, e)
	}
	return nil
}

func (q *call) headBucket() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:ListBucket", q.bucketARN(), nil); e != nil {
		e.header = http.Header{"X-Amz-Bucket-Region": {q.config.Region}}
		return nil, e
	}
	a := &answer{}
	a.set("Content-Type", "application/xml")
	a.set("X-Amz-Bucket-Region", q.config.Region)
	a.set("X-Amz-Bucket-Arn", q.bucketARN())
	a.set("X-Amz-Access-Point-Alias", "false")
	return a, nil
}

func (q *call) deleteBucket() (*answer, *failure) {
	if e := q.mayBucket("s3:DeleteBucket", nil); e != nil {
		return nil, e
	}
	return noContent(), q.state.edit(func(c *store.Change) *failure {
		b := q.state.buckets[q.bucket]
		switch {
		case b == nil:
			return errNoSuchBucket(q.bucket)
		case len(b.objects) > 0:
			return failf(http.StatusConflict, "BucketNotEmpty", "The bucket you tried to delete is not empty").with("BucketName", q.bucket)
		case len(b.older) > 0:
			return failf(http.StatusConflict, "BucketNotEmpty",
				"The bucket you tried to delete is not empty. You must delete all versions in the bucket.").with("BucketName", q.bucket)
		}
		for _, u := range q.state.uploads {
			if u.Bucket == q.bucket {
				q.state.removeUpload(c, u)
			}
		}
		delete(q.state.buckets, q.bucket)
		c.Delete(storedBuckets, q.bucket)
		return nil
	})
}

func (q *call) listBuckets() (*answer, *failure) {
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
	q.state.mu.RLock()
	for _, b := range q.state.buckets {
		if b.Account == q.Caller.Account && strings.HasPrefix(b.Name, prefix) && (region == "" || b.Region == region) && b.Name > after {
			found = append(found, b.bucketConfig)
		}
	}
	q.state.mu.RUnlock()
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
		x.Text("ID", api.CanonicalUser(q.Caller.Account))
		x.Close("Owner")
		x.Open("Buckets")
		for _, b := range found {
			x.Open("Bucket")
			x.Text("Name", b.Name)
			x.Text("CreationDate", timestamp(b.Created))
			x.Text("BucketRegion", b.Region)
			x.Text("BucketArn", q.service.bucketARN(b.Name))
			x.Close("Bucket")
		}
		x.Close("Buckets")
		x.Optional("Prefix", prefix)
		if next != "" {
			x.Text("ContinuationToken", q.continuationToken(next))
		}
	}), nil
}
