package s3

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

const namespaceControl = "http://awss3control.amazonaws.com/doc/2018-08-20/"

// routeControl finds an operation of the control API: Block Public Access of
// the account, and the tags of buckets.
func (q *call) routeControl() (func(*call) (*answer, *failure), *failure) {
	path := strings.TrimPrefix(q.Request.URL.Path, controlPrefix)
	what, _, _ := strings.Cut(path, "/")
	if path == "configuration/publicAccessBlock" {
		what = path
	}
	op, known := controlOperations[q.Request.Method+" "+what]
	if !known {
		return nil, errNotImplemented(q.Request.Method + " " + q.Request.URL.Path)
	}
	q.Operation = op.name
	return op.run, nil
}

// controlOperations are those of the control API, by method and path.
var controlOperations map[string]operation

func init() {
	controlOperations = map[string]operation{
		"GET configuration/publicAccessBlock":    {"GetPublicAccessBlock", (*call).getAccountBlock},
		"PUT configuration/publicAccessBlock":    {"PutPublicAccessBlock", (*call).putAccountBlock},
		"DELETE configuration/publicAccessBlock": {"DeletePublicAccessBlock", (*call).deleteAccountBlock},
		"GET tags":                               {"ListTagsForResource", (*call).listResourceTags},
		"POST tags":                              {"TagResource", (*call).tagResource},
		"DELETE tags":                            {"UntagResource", (*call).untagResource},
	}
}

// mayControl asks whether the caller may do something to the account that the
// request names, which is to be its own.
func (q *call) mayControl(action string) *failure {
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

func (q *call) getAccountBlock() (*answer, *failure) {
	if e := q.mayControl("s3:GetAccountPublicAccessBlock"); e != nil {
		return nil, e
	}
	block := q.state.accountBlock(q.Caller.Account)
	if block == nil {
		return nil, errNoBlock().with("AccountId", q.Caller.Account)
	}
	x := newXML()
	x.Open(`PublicAccessBlockConfiguration xmlns="` + namespaceControl + `"`)
	block.write(x)
	x.Close("PublicAccessBlockConfiguration")
	return &answer{xml: x.Buf}, nil
}

func (q *call) putAccountBlock() (*answer, *failure) {
	if e := q.mayControl("s3:PutAccountPublicAccessBlock"); e != nil {
		return nil, e
	}
	block, e := q.readBlock()
	if e != nil {
		return nil, e
	}
	return &answer{status: http.StatusCreated}, q.state.edit(func(c *store.Change) *failure {
		q.state.blocks[q.Caller.Account] = block
		c.Put(storedAccount, q.state.blockKey(q.Caller.Account), block)
		return nil
	})
}

func (q *call) deleteAccountBlock() (*answer, *failure) {
	if e := q.mayControl("s3:PutAccountPublicAccessBlock"); e != nil {
		return nil, e
	}
	return noContent(), q.state.edit(func(c *store.Change) *failure {
		delete(q.state.blocks, q.Caller.Account)
		c.Delete(storedAccount, q.state.blockKey(q.Caller.Account))
		return nil
	})
}

// taggedBucket is the bucket whose ARN ends the path of a request of the
// control API.
func (q *call) taggedBucket() *failure {
	rawPath, _, _ := strings.Cut(q.Request.RequestURI, "?")
	_, escaped, _ := strings.Cut(rawPath, controlPrefix+"tags/")
	arn, err := url.PathUnescape(escaped)
	name, found := strings.CutPrefix(arn, q.service.bucketARN(""))
	if err != nil || !found || strings.Contains(name, "/") {
		return errNotImplemented("tags of " + arn)
	}
	q.bucket = name
	q.config = q.state.config(name)
	return q.exists()
}

func (q *call) listResourceTags() (*answer, *failure) {
	if e := q.taggedBucket(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:ListTagsForResource", q.bucketARN(), nil); e != nil {
		return nil, e
	}
	x := newXML()
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
	return &answer{xml: x.Buf}, nil
}

func (q *call) tagResource() (*answer, *failure) {
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
	tags, e := checkTags(tags, maxBucketTags)
	if e != nil {
		return nil, e
	}
	return noContent(), q.state.configure(q.bucket, func(c *bucketConfig) { c.Tags = tags })
}

func (q *call) untagResource() (*answer, *failure) {
	if e := q.taggedBucket(); e != nil {
		return nil, e
	}
	names := q.query["tagKeys"]
	named := func(keys *policy.Context) { keys.SetMulti("aws:TagKeys", names...) }
	if e := q.may(q.config, "s3:UntagResource", q.bucketARN(), named); e != nil {
		return nil, e
	}
	return noContent(), q.state.configure(q.bucket, func(c *bucketConfig) {
		c.Tags = slices.DeleteFunc(slices.Clone(c.Tags), func(t wire.Tag) bool { return slices.Contains(names, t.Key) })
	})
}
