package s3

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// route finds the operation that a request asks for and names it.
func (q *call) route() (func(*call) (*answer, *failure), *failure) {
	r := q.Request
	rawPath, rawQuery, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(rawPath, "/") {
		rawPath, rawQuery = r.URL.EscapedPath(), r.URL.RawQuery
	}
	invalidURI := failf(http.StatusBadRequest, "InvalidURI", "Couldn't parse the specified URI.").with("URI", rawPath)
	q.query, _ = url.ParseQuery(rawQuery) // what is malformed is left out

	if q.control() {
		return q.routeControl()
	}
	q.host = q.service.config.Hosts.Parse(r.Host)
	rest := strings.TrimPrefix(rawPath, "/")
	q.bucket = q.host.Bucket
	if q.bucket == "" {
		q.bucket, rest, _ = strings.Cut(rest, "/")
		var err error
		if q.bucket, err = url.PathUnescape(q.bucket); err != nil {
			return nil, invalidURI
		}
	}
	key, err := url.PathUnescape(rest)
	if err != nil || !utf8.ValidString(key) || !utf8.ValidString(q.bucket) {
		return nil, invalidURI
	}
	if len(key) > maxKey {
		return nil, failf(http.StatusBadRequest, "KeyTooLongError", "Your key is too long").
			with("Size", strconv.Itoa(len(key))).with("MaxSizeAllowed", strconv.Itoa(maxKey))
	}
	q.key = key
	if q.bucket == "" && q.key != "" {
		return nil, failf(http.StatusBadRequest, "InvalidBucketName", "The specified bucket is not valid.").with("BucketName", "")
	}

	level := "service"
	switch {
	case q.key != "":
		level = "object"
	case q.bucket != "":
		level = "bucket"
	}
	name := r.Method + " " + level
	if sub := q.subresource(level); sub != "" && r.Method != http.MethodOptions {
		name += "?" + sub
	}
	if level == "object" && r.Method == http.MethodPut && (r.Header.Get("X-Amz-Copy-Source") != "" || q.hoisted("x-amz-copy-source")) {
		name += " copy"
	}
	op, known := Operations[name]
	if !known {
		return nil, failf(http.StatusMethodNotAllowed, "MethodNotAllowed",
			"The specified method is not allowed against this resource.").with("Method", r.Method).with("ResourceType", strings.ToUpper(level))
	}
	q.Operation = op.name
	return op.run, nil
}

// subresource is the parameter of the query that selects an operation.
func (q *call) subresource(level string) string {
	if q.query.Has("list-type") && level == "bucket" && q.query.Get("list-type") == "2" {
		return "list-type"
	}
	for _, name := range subresources {
		if q.query.Has(name) {
			return name
		}
	}
	return ""
}

// subresources are the parameters that select an operation. Where there are
// two the first counts; UploadPart has both partNumber and uploadId.
var subresources = []string{
	"uploads", "uploadId", "delete", "policyStatus", "policy", "publicAccessBlock", "ownershipControls",
	"location", "versioning", "versions", "tagging", "acl", "cors", "lifecycle", "website", "replication",
	"encryption", "object-lock", "accelerate", "logging", "requestPayment", "notification", "abac",
	"attributes", "legal-hold", "retention", "restore", "select", "torrent", "session", "renameObject",
	"analytics", "inventory", "metrics", "intelligent-tiering", "metadataTable", "metadataConfiguration",
	"annotation", "annotations",
}

// Operations are the operations by method, level and subresource.
var Operations map[string]operation

func init() {
	Operations = map[string]operation{
		"GET service": {"ListBuckets", (*call).listBuckets},

		"PUT bucket":           {"CreateBucket", (*call).createBucket},
		"HEAD bucket":          {"HeadBucket", (*call).headBucket},
		"DELETE bucket":        {"DeleteBucket", (*call).deleteBucket},
		"GET bucket":           {"ListObjects", (*call).listObjects},
		"GET bucket?list-type": {"ListObjectsV2", (*call).listObjects},
		"GET bucket?versions":  {"ListObjectVersions", (*call).listVersions},
		"GET bucket?location":  {"GetBucketLocation", (*call).getLocation},
		"POST bucket?delete":   {"DeleteObjects", (*call).deleteObjects},
		"GET bucket?uploads":   {"ListMultipartUploads", (*call).listUploads},

		"GET bucket?policy":               {"GetBucketPolicy", (*call).getPolicy},
		"PUT bucket?policy":               {"PutBucketPolicy", (*call).putPolicy},
		"DELETE bucket?policy":            {"DeleteBucketPolicy", (*call).deletePolicy},
		"GET bucket?policyStatus":         {"GetBucketPolicyStatus", (*call).getPolicyStatus},
		"GET bucket?publicAccessBlock":    {"GetPublicAccessBlock", (*call).getBlock},
		"PUT bucket?publicAccessBlock":    {"PutPublicAccessBlock", (*call).putBlock},
		"DELETE bucket?publicAccessBlock": {"DeletePublicAccessBlock", (*call).deleteBlock},
		"GET bucket?ownershipControls":    {"GetBucketOwnershipControls", (*call).getOwnership},
		"PUT bucket?ownershipControls":    {"PutBucketOwnershipControls", (*call).putOwnership},
		"DELETE bucket?ownershipControls": {"DeleteBucketOwnershipControls", (*call).deleteOwnership},
		"GET bucket?tagging":              {"GetBucketTagging", (*call).getBucketTagging},
		"PUT bucket?tagging":              {"PutBucketTagging", (*call).putBucketTagging},
		"DELETE bucket?tagging":           {"DeleteBucketTagging", (*call).deleteBucketTagging},
		"GET bucket?versioning":           {"GetBucketVersioning", (*call).getVersioning},
		"PUT bucket?versioning":           {"PutBucketVersioning", (*call).putVersioning},
		"GET bucket?cors":                 {"GetBucketCors", (*call).getCORS},
		"PUT bucket?cors":                 {"PutBucketCors", (*call).putCORS},
		"DELETE bucket?cors":              {"DeleteBucketCors", (*call).deleteCORS},
		"GET bucket?lifecycle":            {"GetBucketLifecycleConfiguration", (*call).getLifecycle},
		"PUT bucket?lifecycle":            {"PutBucketLifecycleConfiguration", (*call).putLifecycle},
		"DELETE bucket?lifecycle":         {"DeleteBucketLifecycle", (*call).deleteLifecycle},
		"GET bucket?acl":                  {"GetBucketAcl", (*call).getACL},
		"PUT bucket?acl":                  {"PutBucketAcl", (*call).putACL},
		"GET bucket?encryption":           {"GetBucketEncryption", (*call).getEncryption},
		"PUT bucket?encryption":           {"PutBucketEncryption", (*call).putEncryption},
		"DELETE bucket?encryption":        {"DeleteBucketEncryption", (*call).deleteEncryption},

		"OPTIONS bucket": {"OPTIONS", (*call).preflight},
		"OPTIONS object": {"OPTIONS", (*call).preflight},

		"PUT object":               {"PutObject", (*call).putObject},
		"PUT object copy":          {"CopyObject", (*call).copyObject},
		"GET object":               {"GetObject", (*call).getObject},
		"HEAD object":              {"HeadObject", (*call).getObject},
		"DELETE object":            {"DeleteObject", (*call).deleteObject},
		"GET object?attributes":    {"GetObjectAttributes", (*call).getAttributes},
		"GET object?acl":           {"GetObjectAcl", (*call).getACL},
		"PUT object?acl":           {"PutObjectAcl", (*call).putACL},
		"GET object?tagging":       {"GetObjectTagging", (*call).getObjectTagging},
		"PUT object?tagging":       {"PutObjectTagging", (*call).putObjectTagging},
		"DELETE object?tagging":    {"DeleteObjectTagging", (*call).deleteObjectTagging},
		"POST object?uploads":      {"CreateMultipartUpload", (*call).createUpload},
		"PUT object?uploadId":      {"UploadPart", (*call).uploadPart},
		"PUT object?uploadId copy": {"UploadPartCopy", (*call).uploadPartCopy},
		"POST object?uploadId":     {"CompleteMultipartUpload", (*call).completeUpload},
		"DELETE object?uploadId":   {"AbortMultipartUpload", (*call).abortUpload},
		"GET object?uploadId":      {"ListParts", (*call).listParts},
	}
	for sub, c := range bucketConfigurations {
		Operations["GET bucket?"+sub] = operation{"Get" + c.operation, c.get}
		Operations["PUT bucket?"+sub] = operation{"Put" + c.operation, c.put}
		if c.deletable {
			Operations["DELETE bucket?"+sub] = operation{"Delete" + strings.TrimSuffix(c.operation, "Configuration"), c.delete}
		}
	}
	for _, name := range notImplemented {
		method, what, _ := strings.Cut(name, " ")
		Operations[name] = operation{method + " " + what, func(*call) (*answer, *failure) {
			return nil, errNotImplemented(name)
		}}
	}
}

// notImplemented are real operations that the emulator does not have, which say so.
var notImplemented = []string{
	"POST bucket", "POST object?restore", "POST object?select",
	"GET object?torrent", "GET object?legal-hold", "PUT object?legal-hold", "GET object?retention",
	"PUT object?retention", "GET bucket?session", "PUT object?renameObject", "POST bucket?metadataTable",
	"GET bucket?metadataTable", "DELETE bucket?metadataTable", "GET bucket?analytics", "PUT bucket?analytics",
	"GET bucket?inventory", "PUT bucket?inventory", "GET bucket?metrics", "PUT bucket?metrics",
	"GET bucket?intelligent-tiering", "PUT bucket?intelligent-tiering", "GET object?annotation",
	"PUT object?annotation", "DELETE object?annotation", "GET object?annotations",
}

// maxKey is the length of a key in bytes.
const maxKey = 1024
