package s3

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// failure is an error with what S3's documents of errors have beside code and
// message.
type failure struct {
	wire.Failure
	fields []string // names and values of further elements
	header http.Header
}

func failf(status int, code, format string, args ...any) *failure {
	return &failure{Failure: *wire.Errorf(status, code, format, args...)}
}

// with adds an element to the document of an error.
func (e *failure) with(name, value string) *failure {
	e.fields = append(e.fields, name, value)
	return e
}

// asFailure is an error of the services' common code as one of S3's.
func asFailure(e *wire.Failure) *failure {
	if e == nil {
		return nil
	}
	return &failure{Failure: *e}
}

// Errors that several operations have (S3 API Reference, "Error responses").
func errNoSuchBucket(bucket string) *failure {
	return failf(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist").with("BucketName", bucket)
}

func errNoSuchKey(key string) *failure {
	return failf(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.").with("Key", key)
}

func errPrecondition(condition string) *failure {
	return failf(http.StatusPreconditionFailed, "PreconditionFailed",
		"At least one of the pre-conditions you specified did not hold").with("Condition", condition)
}

func errInvalidArgument(message, name, value string) *failure {
	return failf(http.StatusBadRequest, "InvalidArgument", "%s", message).with("ArgumentName", name).with("ArgumentValue", value)
}

func errInvalidRequest(format string, args ...any) *failure {
	return failf(http.StatusBadRequest, "InvalidRequest", format, args...)
}

func errMalformedXML() *failure {
	return failf(http.StatusBadRequest, "MalformedXML",
		"The XML you provided was not well-formed or did not validate against our published schema")
}

// errNotImplemented is the answer where a request asks for what the emulator
// does not have. It says so, where S3 would do something.
func errNotImplemented(what string) *failure {
	return failf(http.StatusNotImplemented, "NotImplemented",
		"A header you provided implies functionality that is not implemented: %s", what)
}

func errInternal() *failure {
	return failf(http.StatusInternalServerError, "InternalError", "We encountered an internal error. Please try again.")
}

func errAccessDenied() *failure {
	return failf(http.StatusForbidden, "AccessDenied", "Access Denied")
}

func errNoLength() *failure {
	return failf(http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header.")
}

func errTooLarge(size, limit int64) *failure {
	return failf(http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size").
		with("ProposedSize", strconv.FormatInt(size, 10)).with("MaxSizeAllowed", strconv.FormatInt(limit, 10))
}

// errBadDigest is the answer to a payload that does not have its checksum,
// which is "Content-MD5" or an algorithm such as "CRC32".
func errBadDigest(checksum string) *failure {
	if checksum == "Content-MD5" {
		return failf(http.StatusBadRequest, "BadDigest", "The Content-MD5 you specified did not match what we received.")
	}
	return failf(http.StatusBadRequest, "BadDigest", "The %s you specified did not match the calculated checksum.", checksum)
}

// errNoAccountID refuses a bucket owner that is not the number of an account.
func errNoAccountID(owner string) *failure {
	if len(owner) == 12 && strings.Trim(owner, "0123456789") == "" {
		return nil
	}
	return failf(http.StatusBadRequest, "InvalidBucketOwnerAWSAccountID",
		"The value of the expected bucket owner parameter must be an AWS Account ID... [%s]", owner)
}

func authHeaderError(presigned bool, format string, args ...any) *failure {
	if presigned {
		return failf(http.StatusBadRequest, "AuthorizationQueryParametersError",
			"Error parsing the X-Amz-Credential parameter; "+format, args...)
	}
	return failf(http.StatusBadRequest, "AuthorizationHeaderMalformed", "The authorization header is malformed; "+format, args...)
}

func notFound(code, message string) *failure {
	return failf(http.StatusNotFound, code, "%s", message)
}

func errNoSuchUpload(id string) *failure {
	return notFound("NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may have "+
		"been aborted or completed.").
		with("UploadId", id)
}

func errPartNumber(value string) *failure {
	return errInvalidArgument("Part number must be an integer between 1 and 10000, inclusive", "partNumber", value)
}

func errOwnedACL() *failure {
	return failf(http.StatusBadRequest, "InvalidBucketAclWithObjectOwnership",
		"Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")
}
