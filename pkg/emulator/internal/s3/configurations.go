package s3

import (
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// bucketConfiguration is a configuration of buckets that the emulator does not
// have: reading it gives what S3 says of a bucket without it, removing it does
// nothing, and setting it is refused.
type bucketConfiguration struct {
	operation string // without its verb
	action    string // without its verb
	deletable bool
	missing   *failure // what reading it says; nil if there is an empty document
	empty     func() *answer
}

func emptyDocument(root string) func() *answer {
	return func() *answer { return document(root, nil) }
}

// bucketConfigurations are those configurations by subresource (S3 API
// Reference, the page of each operation).
var bucketConfigurations = map[string]bucketConfiguration{
	"website": {"BucketWebsite", "BucketWebsite", true,
		notFound("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"), nil},
	"replication": {"BucketReplication", "ReplicationConfiguration", true,
		notFound("ReplicationConfigurationNotFoundError", "The replication configuration was not found"), nil},
	"object-lock": {"ObjectLockConfiguration", "BucketObjectLockConfiguration", false,
		notFound("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket"), nil},
	"accelerate":   {"BucketAccelerateConfiguration", "AccelerateConfiguration", false, nil, emptyDocument("AccelerateConfiguration")},
	"logging":      {"BucketLogging", "BucketLogging", false, nil, emptyDocument("BucketLoggingStatus")},
	"notification": {"BucketNotificationConfiguration", "BucketNotification", false, nil, emptyDocument("NotificationConfiguration")},
	"requestPayment": {"BucketRequestPayment", "BucketRequestPayment", false, nil, func() *answer {
		return document("RequestPaymentConfiguration", func(x *wire.XML) { x.Text("Payer", "BucketOwner") })
	}},
	"abac": {"BucketAbac", "BucketAbac", false, nil, func() *answer {
		return document("AbacStatus", func(x *wire.XML) { x.Text("Status", "Disabled") })
	}},
}

func (c bucketConfiguration) get(q *call) (*answer, *failure) {
	if e := q.mayBucket("s3:Get"+c.action, nil); e != nil {
		return nil, e
	}
	if c.missing != nil {
		e := *c.missing
		return nil, e.with("BucketName", q.bucket)
	}
	return c.empty(), nil
}

func (c bucketConfiguration) put(q *call) (*answer, *failure) {
	if e := q.mayBucket("s3:Put"+c.action, nil); e != nil {
		return nil, e
	}
	return nil, errNotImplemented("Put" + c.operation)
}

// delete removes what is not there. S3 has no permissions for deleting these.
func (c bucketConfiguration) delete(q *call) (*answer, *failure) {
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
func (q *call) getEncryption() (*answer, *failure) {
	if e := q.mayBucket("s3:GetEncryptionConfiguration", nil); e != nil {
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
func (q *call) putEncryption() (*answer, *failure) {
	if e := q.mayBucket("s3:PutEncryptionConfiguration", nil); e != nil {
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
		e := failf(http.StatusBadRequest, "InvalidArgument",
			"a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse")
		return nil, e.with("ArgumentName", "ApplyServerSideEncryptionByDefault")
	}
	return &answer{}, q.state.configure(q.bucket, func(c *bucketConfig) { c.BucketKey = body.Rule[0].BucketKeyEnabled })
}

func (q *call) deleteEncryption() (*answer, *failure) {
	if e := q.mayBucket("s3:PutEncryptionConfiguration", nil); e != nil {
		return nil, e
	}
	return noContent(), q.state.configure(q.bucket, func(c *bucketConfig) { c.BucketKey = false })
}

func (q *call) getLocation() (*answer, *failure) {
	if e := q.mayBucket("s3:GetBucketLocation", nil); e != nil {
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
