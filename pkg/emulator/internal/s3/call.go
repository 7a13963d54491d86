package s3

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
)

// call is one request to S3 while it is answered.
type call struct {
	*api.Call
	service *Service
	state   *state

	host   Host
	bucket string     // "" for the service itself
	key    string     // "" for the bucket itself
	query  url.Values // decoded
	config *bucketConfig
	cors   http.Header // of the answer, for pages whose requests the bucket allows

	sig     *sigv4.Signature // nil of an anonymous request
	signKey sigv4.Key
}

// controlPrefix begins the paths of S3's control API, whose version it is.
const controlPrefix = "/v20180820/"

// control reports whether a request is to S3's control API, which is told from
// the rest by its version and a header that it alone has.
func (q *call) control() bool {
	return strings.HasPrefix(q.Request.URL.Path, controlPrefix) && q.Request.Header.Get("X-Amz-Account-Id") != ""
}

// bucketARN and objectARN are the ARNs of the bucket and the object that a
// request addresses.
func (q *call) bucketARN() string { return q.service.bucketARN(q.bucket) }

func (q *call) objectARN() string { return q.service.bucketARN(q.bucket) + "/" + q.key }

// operation is one operation of S3.
type operation struct {
	name string
	run  func(*call) (*answer, *failure)
}
