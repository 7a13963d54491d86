package s3

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// maxMetadata bounds the user metadata of an object (S3 User Guide, "Working
// with object metadata").
const maxMetadata = 2 << 10

// storageClasses are those that an object can have and still be read at once.
var storageClasses = []string{"STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"}

func (o *object) storageClass() string { return storageClassOf(o.Headers) }

func storageClassOf(headers map[string]string) string {
	if class := headers["x-amz-storage-class"]; class != "" {
		return class
	}
	return "STANDARD"
}

// objectHeaders are the headers of a request that are given back with the
// object. It refuses what the emulator does not have.
func (q *call) objectHeaders() (map[string]string, *failure) {
	h := q.Request.Header
	sse := h.Get("X-Amz-Server-Side-Encryption")
	if h.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") != "" && !strings.HasPrefix(sse, "aws:") {
		return nil, errInvalidArgument("Server Side Encryption with AWS KMS managed key requires HTTP header "+
			"x-amz-server-side-encryption : aws:kms",
			"x-amz-server-side-encryption", sse)
	}
	if v := sse; v != "" && v != "AES256" {
		if !strings.HasPrefix(v, "aws:") {
			return nil, errInvalidArgument("The encryption method specified is not supported", "x-amz-server-side-encryption", v)
		}
		return nil, errNotImplemented("server-side encryption with " + v)
	}
	for name := range h {
		if strings.HasPrefix(name, "X-Amz-Server-Side-Encryption-Customer-") {
			return nil, errNotImplemented("server-side encryption with customer keys")
		}
		if strings.HasPrefix(name, "X-Amz-Object-Lock-") {
			return nil, errInvalidRequest("Bucket is missing Object Lock Configuration")
		}
	}
	headers := make(map[string]string)
	for _, name := range []string{
		"cache-control", "content-disposition", "content-language", "content-type", "expires", "x-amz-website-redirect-location",
	} {
		if v := h.Get(name); v != "" {
			headers[name] = v
		}
	}
	if headers["content-type"] == "" {
		headers["content-type"] = "binary/octet-stream"
	}
	// aws-chunked is how the body comes, not what it is.
	var encodings []string
	for v := range strings.SplitSeq(strings.Join(h.Values("Content-Encoding"), ","), ",") {
		if v = strings.TrimSpace(v); v != "" && !strings.EqualFold(v, "aws-chunked") {
			encodings = append(encodings, v)
		}
	}
	if len(encodings) > 0 {
		headers["content-encoding"] = strings.Join(encodings, ",")
	}
	switch class := h.Get("X-Amz-Storage-Class"); {
	case class == "" || class == "STANDARD":
	case slices.Contains(storageClasses, class):
		headers["x-amz-storage-class"] = class
	case class == "GLACIER" || class == "DEEP_ARCHIVE":
		return nil, errNotImplemented("storage class " + class)
	default:
		return nil, failf(http.StatusBadRequest, "InvalidStorageClass", "The storage class you specified is not valid").
			with("StorageClassRequested", class)
	}
	size := 0
	for name, values := range h {
		if rest, found := strings.CutPrefix(name, "X-Amz-Meta-"); found {
			v := strings.Join(values, ",")
			headers[strings.ToLower(name)] = v
			size += len(rest) + len(v)
		}
	}
	if size > maxMetadata {
		return nil, failf(http.StatusBadRequest, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size").
			with("Size", strconv.Itoa(size)).with("MaxSizeAllowed", strconv.Itoa(maxMetadata))
	}
	return headers, nil
}

// headerTags are the tags in x-amz-tagging.
func (q *call) headerTags() ([]wire.Tag, *failure) {
	v := q.Request.Header.Get("X-Amz-Tagging")
	if v == "" {
		return nil, nil
	}
	var tags []wire.Tag
	seen := make(map[string]bool)
	for pair := range strings.SplitSeq(v, "&") {
		if pair == "" {
			continue
		}
		name, text, _ := strings.Cut(pair, "=")
		key, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(text)
		if err1 != nil || err2 != nil || !validTagText(key) || !validTagText(value) || seen[key] {
			return nil, errInvalidArgument("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters "+
				"without tag name duplicates.",
				"x-amz-tagging", v)
		}
		seen[key] = true
		tags = append(tags, wire.Tag{Key: key, Value: value})
	}
	return checkTags(tags, maxObjectTags)
}
