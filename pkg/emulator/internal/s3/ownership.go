package s3

import (
	"encoding/xml"
	"slices"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

func (q *call) getOwnership() (*answer, *failure) {
	if e := q.mayBucket("s3:GetBucketOwnershipControls", nil); e != nil {
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

func (q *call) putOwnership() (*answer, *failure) {
	if e := q.mayBucket("s3:PutBucketOwnershipControls", nil); e != nil {
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
	return &answer{}, q.state.configure(q.bucket, func(c *bucketConfig) { c.Ownership = ownership })
}

func (q *call) deleteOwnership() (*answer, *failure) {
	if e := q.mayBucket("s3:PutBucketOwnershipControls", nil); e != nil {
		return nil, e
	}
	return noContent(), q.state.configure(q.bucket, func(c *bucketConfig) { c.Ownership = "" })
}
