package s3

import (
	"encoding/xml"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// blockDocument is the document of Block Public Access, whose switches are off
// where it leaves them out.
type blockDocument struct {
	XMLName xml.Name `xml:"PublicAccessBlockConfiguration"`
	publicAccessBlock
}

func (q *call) readBlock() (*publicAccessBlock, *failure) {
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

func errNoBlock() *failure {
	return notFound("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found")
}

func (q *call) getBlock() (*answer, *failure) {
	if e := q.mayBucket("s3:GetBucketPublicAccessBlock", nil); e != nil {
		return nil, e
	}
	if q.config.Block == nil {
		return nil, errNoBlock().with("BucketName", q.bucket)
	}
	return document("PublicAccessBlockConfiguration", q.config.Block.write), nil
}

func (q *call) putBlock() (*answer, *failure) {
	if e := q.mayBucket("s3:PutBucketPublicAccessBlock", nil); e != nil {
		return nil, e
	}
	block, e := q.readBlock()
	if e != nil {
		return nil, e
	}
	return &answer{}, q.state.configure(q.bucket, func(c *bucketConfig) { c.Block = block })
}

func (q *call) deleteBlock() (*answer, *failure) {
	if e := q.mayBucket("s3:PutBucketPublicAccessBlock", nil); e != nil {
		return nil, e
	}
	return noContent(), q.state.configure(q.bucket, func(c *bucketConfig) { c.Block = nil })
}
