package s3

import (
	"net/http"
	"strings"
)

// checkWrite holds the conditions of a request that writes against what is
// there, which may be nil.
func (q *call) checkWrite(o *object) *failure {
	h := q.Request.Header
	if v := h.Get("If-None-Match"); v != "" {
		if v != "*" {
			return errNotImplemented("If-None-Match with an ETag on a write")
		}
		if o != nil {
			return errPrecondition("If-None-Match")
		}
	}
	if v := h.Get("If-Match"); v != "" {
		switch {
		case o == nil:
			return errNoSuchKey(q.key)
		case !matchesETag(v, o.ETag):
			return errPrecondition("If-Match")
		}
	}
	return nil
}

// checkRead holds the conditions of a request that reads against the object.
// The names of the headers begin with prefix: "If-", or that of CopyObject.
func (q *call) checkRead(h http.Header, prefix string, o *object) *failure {
	notModified := func(condition string) *failure {
		if prefix != "If-" {
			return errPrecondition(copyCondition(condition))
		}
		e := failf(http.StatusNotModified, "NotModified", "Not Modified")
		e.header = http.Header{"Etag": {`"` + o.ETag + `"`}, "Last-Modified": {o.Modified.Format(http.TimeFormat)}}
		return e
	}
	match, noneMatch := h.Get(prefix+"Match"), h.Get(prefix+"None-Match")
	if match != "" && !matchesETag(match, o.ETag) {
		return errPrecondition(copyCondition(prefix + "Match"))
	}
	if t, err := http.ParseTime(h.Get(prefix + "Unmodified-Since")); err == nil && match == "" && o.Modified.After(t) {
		return errPrecondition(copyCondition(prefix + "Unmodified-Since"))
	}
	if noneMatch != "" && matchesETag(noneMatch, o.ETag) {
		return notModified(prefix + "None-Match")
	}
	// A time in the future is ignored (RFC 9110, section 13.1.3).
	since, err := http.ParseTime(h.Get(prefix + "Modified-Since"))
	if err == nil && noneMatch == "" && !o.Modified.After(since) && !since.After(q.At) {
		return notModified(prefix + "Modified-Since")
	}
	return nil
}

// matchesETag reports whether a header that lists ETags has this one, or "*".
func matchesETag(list, etag string) bool {
	for v := range strings.SplitSeq(list, ",") {
		v = strings.TrimPrefix(strings.TrimSpace(v), "W/")
		if v == "*" || strings.Trim(v, `"`) == etag {
			return true
		}
	}
	return false
}

// copyCondition is the name of a condition as S3 spells it: that of a copy's
// source begins in lower case.
func copyCondition(header string) string {
	if rest, found := strings.CutPrefix(header, "X-Amz-Copy-Source-"); found {
		return "x-amz-copy-source-" + rest
	}
	return header
}
