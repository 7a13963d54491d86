package s3

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/openirsa/openirsa/pkg/policy"
)

// number is a limit in the query: from 0 to the most that S3 gives at once.
func (q *call) number(name string, most int) (int, *failure) {
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
func (q *call) continuation() (string, *failure) {
	v, found := q.query["continuation-token"]
	if !found {
		return "", nil
	}
	token, ok := strings.CutPrefix(v[0], "1")
	name, given := q.List(q.bucket).Place(token)
	if !ok || !given {
		return "", errInvalidArgument("The continuation token provided is incorrect", "continuation-token", v[0])
	}
	return name, nil
}

func (q *call) continuationToken(name string) string { return "1" + q.List(q.bucket).Token(name) }

// encoding gives the function that encodes names in a listing.
func (q *call) encoding() (func(string) string, *failure) {
	switch v := q.query.Get("encoding-type"); v {
	case "":
		return func(s string) string { return s }, nil
	case "url":
		return func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "%2F", "/") }, nil
	default:
		return nil, errInvalidArgument("Invalid Encoding Method specified in Request", "encoding-type", v)
	}
}

// maxList is how many keys S3 lists at once.
const maxList = 1000

// listRequest is what the operations that list the contents of a bucket have in
// common.
type listRequest struct {
	prefix, delimiter string
	limit             int
	encode            func(string) string
}

// readList begins those operations. Limit is the parameter of the limit.
func (q *call) readList(action, limit string) (r listRequest, e *failure) {
	if e := q.mayBucket(action, q.listKeys); e != nil {
		return r, e
	}
	if r.limit, e = q.number(limit, maxList); e != nil {
		return r, e
	}
	r.prefix, r.delimiter = q.query.Get("prefix"), q.query.Get("delimiter")
	r.encode, e = q.encoding()
	return r, e
}

// common is the prefix that a key has in common with others, "" for none.
func (r *listRequest) common(key string) string {
	if r.delimiter != "" {
		if at := strings.Index(key[len(r.prefix):], r.delimiter); at >= 0 {
			return key[:len(r.prefix)+at+len(r.delimiter)]
		}
	}
	return ""
}

// listKeys sets the condition keys of listings.
func (q *call) listKeys(keys *policy.Context) {
	for _, name := range []string{"prefix", "delimiter", "max-keys"} {
		if q.query.Has(name) {
			keys.Set("s3:"+name, q.query.Get(name))
		}
	}
}
