package emulator_test

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator"
)

// wireTime is when the exchanges of these tests happen.
var wireTime = time.Date(2026, 11, 22, 18, 45, 0, 0, time.UTC)

// wire is an emulator for exchanges of raw requests and complete answers.
type wire struct {
	*emulator.Server
	t testing.TB
}

func newWire(t testing.TB) *wire {
	t.Helper()
	s, err := emulator.New(emulator.Config{Now: func() time.Time { return wireTime }, MaxObject: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w := &wire{s, t}
	w.ok(signed("PUT", "/bucket", ""))
	w.ok(signed("PUT", "/bucket/k", "hello"))
	return w
}

// exchange is a request and what is changed in it after it was signed.
type exchange struct {
	method, uri, body string
	id, secret, token string
	at                time.Time
	header            http.Header // signed
	before            func(*http.Request)
	after             func(*http.Request)
	unsigned          bool
}

// signed is a request signed by the root user.
func signed(method, uri, body string, header ...string) exchange {
	e := exchange{method: method, uri: uri, body: body, id: "test", secret: "test", at: wireTime, header: make(http.Header)}
	for i := 0; i+1 < len(header); i += 2 {
		e.header.Set(header[i], header[i+1])
	}
	return e
}

// by changes who signs.
func (e exchange) by(id, secret, token string) exchange {
	e.id, e.secret, e.token = id, secret, token
	return e
}

// when changes the time of signing.
func (e exchange) when(at time.Time) exchange {
	e.at = at
	return e
}

// then changes the request after it was signed.
func (e exchange) then(f func(*http.Request)) exchange {
	e.after = f
	return e
}

// anonymous leaves the signature out.
func (e exchange) anonymous() exchange {
	e.unsigned = true
	return e
}

func (w *wire) do(e exchange) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), e.method, e.uri, strings.NewReader(e.body))
	r.Host = "127.0.0.1:4566"
	r.Header = e.header.Clone()
	if e.before != nil {
		e.before(r)
	}
	if !e.unsigned {
		hash := sigv4.HashPayload([]byte(e.body))
		if v := r.Header.Get("X-Amz-Content-Sha256"); v != "" {
			hash = v
		}
		r.Header.Set("X-Amz-Content-Sha256", hash)
		signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
		c := aws.Credentials{AccessKeyID: e.id, SecretAccessKey: e.secret, SessionToken: e.token}
		if err := signer.SignHTTP(w.t.Context(), c, r, hash, "s3", "us-east-1", e.at); err != nil {
			w.t.Fatal(err)
		}
	}
	if e.after != nil {
		e.after(r)
	}
	recorder := httptest.NewRecorder()
	w.ServeHTTP(recorder, r)
	return recorder
}

func (w *wire) ok(e exchange) *httptest.ResponseRecorder {
	w.t.Helper()
	got := w.do(e)
	if got.Code/100 != 2 {
		w.t.Fatalf("%s %s: %d %s", e.method, e.uri, got.Code, got.Body)
	}
	return got
}

var (
	requestID = regexp.MustCompile(`<RequestId>[0-9A-Z]{16}</RequestId><HostId>[A-Za-z0-9+/=]+</HostId>`)
	canonical = regexp.MustCompile(`(?s)<(StringToSign|SignatureProvided|CanonicalRequest)>.+?</(StringToSign|SignatureProvided|CanonicalRequest)>`)
)

// answer is a response as the tables have it: its status and its body, without
// what is random.
func answer(r *httptest.ResponseRecorder) string {
	body := r.Body.String()
	body = requestID.ReplaceAllString(body, "<IDs/>")
	body = canonical.ReplaceAllString(body, "<$1/>")
	body = strings.TrimPrefix(body, `<?xml version="1.0" encoding="UTF-8"?>`+"\n")
	return fmt.Sprintf("%d %s", r.Code, body)
}

// xmlError is the document of an error.
func xmlError(code, message, fields, resource string) string {
	return "<Error><Code>" + code + "</Code><Message>" + message + "</Message>" + fields + "<Resource>" + resource + "</Resource><IDs/></Error>"
}

func field(name, value string) string { return "<" + name + ">" + value + "</" + name + ">" }

// Complete answers, byte for byte but for the ids (S3 API Reference, "Error
// responses", and the pages of the operations).
func TestS3Wire(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	const ns = ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/"`
	md5of := func(s string) string {
		sum := md5.Sum([]byte(s))
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	owner := regexp.MustCompile(`<ID>([0-9a-f]{64})</ID>`).FindStringSubmatch(w.ok(signed("GET", "/bucket?acl", "")).Body.String())
	if owner == nil {
		t.Fatal("no owner")
	}
	const mismatch = "The request signature we calculated does not match the signature you provided. Check your key and signing method."
	malformed := func(resource string) string {
		return "400 " + xmlError("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema", "", resource)
	}
	argument := func(message, name, value, resource string) string {
		return "400 " + xmlError("InvalidArgument", message, field("ArgumentName", name)+field("ArgumentValue", value), resource)
	}
	for _, test := range []struct {
		name string
		do   exchange
		want string
	}{
		// Who calls.
		{"unsigned", signed("GET", "/bucket/k", "").anonymous(), "403 " + xmlError("AccessDenied", "Access Denied", "", "/bucket/k")},
		{"unsigned service", signed("GET", "/", "").anonymous(), "403 " + xmlError("AccessDenied", "Access Denied", "", "/")},
		{"unknown key", signed("GET", "/bucket/k", "").by("AKIANOBODY", "x", ""),
			"403 " + xmlError("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", field("AWSAccessKeyId", "AKIANOBODY"), "/bucket/k")},
		{"wrong secret", signed("GET", "/bucket/k", "").by("test", "wrong", ""),
			"403 " + xmlError("SignatureDoesNotMatch", mismatch, field("AWSAccessKeyId", "test")+"<StringToSign/><SignatureProvided/><CanonicalRequest/>", "/bucket/k")},
		{"unknown key with a token", signed("GET", "/bucket/k", "").by("AKIAIOSFODNN7EXAMPLE", "x", "token"),
			"403 " + xmlError("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", field("AWSAccessKeyId", "AKIAIOSFODNN7EXAMPLE"), "/bucket/k")},
		{"temporary key with a bad token", signed("GET", "/bucket/k", "").by("ASIAIOSFODNN7EXAMPLE", "x", "token"),
			"400 " + xmlError("InvalidToken", "The provided token is malformed or otherwise invalid.", "", "/bucket/k")},
		{"bad token", signed("GET", "/bucket/k", "").by("test", "test", "token"),
			"400 " + xmlError("InvalidToken", "The provided token is malformed or otherwise invalid.", "", "/bucket/k")},
		{"too late", signed("GET", "/bucket/k", "").when(wireTime.Add(-15*time.Minute - time.Second)),
			"403 " + xmlError("RequestTimeTooSkewed", "The difference between the request time and the current time is too large.",
				field("RequestTime", "20261122T182959Z")+field("ServerTime", "2026-11-22T18:45:00.000Z")+field("MaxAllowedSkewMilliseconds", "900000"), "/bucket/k")},
		{"header added", signed("GET", "/bucket/k", "").then(func(r *http.Request) { r.Header.Set("X-Amz-Acl", "public-read") }),
			"403 " + xmlError("AccessDenied", "There were headers present in the request which were not signed", field("HeadersNotSigned", "x-amz-acl"), "/bucket/k")},
		{"another path", signed("GET", "/bucket/k", "").then(func(r *http.Request) { r.RequestURI = "/bucket/j" }),
			"403 " + xmlError("SignatureDoesNotMatch", mismatch, field("AWSAccessKeyId", "test")+"<StringToSign/><SignatureProvided/><CanonicalRequest/>", "/bucket/k")},
		{"no payload hash", signed("GET", "/bucket/k", "").then(func(r *http.Request) { r.Header.Del("X-Amz-Content-Sha256") }),
			"400 " + xmlError("InvalidRequest", "Missing required header for this request: x-amz-content-sha256", "", "/bucket/k")},
		{"version 2", signed("GET", "/bucket/k", "").anonymous().then(func(r *http.Request) { r.Header.Set("Authorization", "AWS test:c2ln") }),
			"400 " + xmlError("InvalidRequest", "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.", "", "/bucket/k")},
		{"half a signature", signed("GET", "/bucket/k", "").anonymous().then(func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=x") }),
			"400 " + xmlError("AuthorizationHeaderMalformed", "The authorization header is malformed; the authorization header requires three components: Credential, SignedHeaders, and Signature.", "", "/bucket/k")},
		{"bad credential", signed("GET", "/bucket/k", "").then(func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "aws4_request", "aws5_request", 1))
		}), "400 " + xmlError("AuthorizationHeaderMalformed", `The authorization header is malformed; the Credential is mal-formed; expecting &quot;&lt;YOUR-AKID&gt;/YYYYMMDD/REGION/SERVICE/aws4_request&quot;.`, "", "/bucket/k")},
		{"presigned in part", signed("GET", "/bucket/k?X-Amz-Algorithm=AWS4-HMAC-SHA256", "").anonymous(),
			"400 " + xmlError("AuthorizationQueryParametersError", "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.", "", "/bucket/k")},

		// What is sent.
		{"body changed", signed("PUT", "/bucket/new", "abc").then(func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("abd")) }),
			"400 " + xmlError("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.",
				field("ClientComputedContentSHA256", sigv4.HashPayload([]byte("abc"))), "/bucket/new")},
		{"wrong MD5", signed("PUT", "/bucket/new", "abc", "Content-Md5", md5of("abd")), "400 " + xmlError("BadDigest", "The Content-MD5 you specified did not match what we received.", "", "/bucket/new")},
		{"no MD5", signed("PUT", "/bucket/new", "abc", "Content-Md5", "x"), "400 " + xmlError("InvalidDigest", "The Content-MD5 you specified is not valid.", field("Content-MD5", "x"), "/bucket/new")},
		{"wrong checksum", signed("PUT", "/bucket/new", "abc", "X-Amz-Checksum-Crc32", "AAAAAA=="), "400 " + xmlError("BadDigest", "The CRC32 you specified did not match the calculated checksum.", "", "/bucket/new")},
		{"no checksum", signed("PUT", "/bucket/new", "abc", "X-Amz-Checksum-Crc32", "AAAA"), "400 " + xmlError("InvalidRequest", "Value for x-amz-checksum-crc32 header is invalid.", "", "/bucket/new")},
		{"two checksums", signed("PUT", "/bucket/new", "abc", "X-Amz-Checksum-Crc32", "NSRBwg==", "X-Amz-Checksum-Crc32c", "Nks/tw=="),
			"400 " + xmlError("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.", "", "/bucket/new")},
		{"checksum promised", signed("PUT", "/bucket/new", "abc", "X-Amz-Sdk-Checksum-Algorithm", "CRC32"),
			"400 " + xmlError("InvalidRequest", "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.", "", "/bucket/new")},
		{"too large", signed("PUT", "/bucket/new", strings.Repeat("x", 1<<20+1)),
			"400 " + xmlError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size", field("ProposedSize", "1048577")+field("MaxSizeAllowed", "1048576"), "/bucket/new")},
		{"no length", signed("PUT", "/bucket/new", "abc").then(func(r *http.Request) { r.ContentLength = -1 }),
			// The length is signed, so that it is the signature that fails.
			"403 " + xmlError("SignatureDoesNotMatch", mismatch, field("AWSAccessKeyId", "test")+"<StringToSign/><SignatureProvided/><CanonicalRequest/>", "/bucket/new")},
		{"broken trailer", signed("PUT", "/bucket/new", "2\r\n{}\r\n0\r\n\r\n", "X-Amz-Content-Sha256", sigv4.StreamingUnsigned, "X-Amz-Trailer", "x-amz-checksum-crc32", "X-Amz-Decoded-Content-Length", "2"),
			"400 " + xmlError("MalformedTrailerError", "The request contained trailing data that was not well-formed or did not conform to our published schema.", "", "/bucket/new")},
		{"broken chunk", signed("PUT", "/bucket/new", "{}", "X-Amz-Content-Sha256", sigv4.StreamingUnsigned, "X-Amz-Decoded-Content-Length", "2"),
			"400 " + xmlError("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header", "", "/bucket/new")},
		{"trailer with wrong checksum", signed("PUT", "/bucket/new", "2\r\n{}\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", "X-Amz-Content-Sha256", sigv4.StreamingUnsigned, "X-Amz-Trailer", "x-amz-checksum-crc32", "X-Amz-Decoded-Content-Length", "2"),
			"400 " + xmlError("BadDigest", "The CRC32 you specified did not match the calculated checksum.", "", "/bucket/new")},
		{"nothing of that is left", signed("GET", "/bucket/new", ""), "404 " + xmlError("NoSuchKey", "The specified key does not exist.", field("Key", "new"), "/bucket/new")},
		{"public", signed("PUT", "/bucket/new", "x", "X-Amz-Acl", "public-read"), "400 " + xmlError("AccessControlListNotSupported", "The bucket does not allow ACLs", "", "/bucket/new")},
		{"metadata", signed("PUT", "/bucket/new", "x", "X-Amz-Meta-A", strings.Repeat("v", 2048)), "400 " + xmlError("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size", field("Size", "2049")+field("MaxSizeAllowed", "2048"), "/bucket/new")},
		{"storage class", signed("PUT", "/bucket/new", "x", "X-Amz-Storage-Class", "ICE"), "400 " + xmlError("InvalidStorageClass", "The storage class you specified is not valid", field("StorageClassRequested", "ICE"), "/bucket/new")},
		{"key encryption", signed("PUT", "/bucket/new", "x", "X-Amz-Server-Side-Encryption", "aws:kms"), "501 " + xmlError("NotImplemented", "A header you provided implies functionality that is not implemented: server-side encryption with aws:kms", "", "/bucket/new")},
		{"eleven tags", signed("PUT", "/bucket/new", "x", "X-Amz-Tagging", "a&b&c&d&e&f&g&h&i&j&k"), "400 " + xmlError("BadRequest", "Object tags cannot be greater than 10", "", "/bucket/new")},

		// Names.
		{"key too long", signed("PUT", "/bucket/"+strings.Repeat("k", 1025), "x"), "400 " + xmlError("KeyTooLongError", "Your key is too long", field("Size", "1025")+field("MaxSizeAllowed", "1024"), "/bucket/"+strings.Repeat("k", 1025))},
		{"bucket name", signed("PUT", "/Bad_Name", ""), "400 " + xmlError("InvalidBucketName", "The specified bucket is not valid.", field("BucketName", "Bad_Name"), "/Bad_Name")},
		{"bucket name is an address", signed("PUT", "/10.0.0.1", ""), "400 " + xmlError("InvalidBucketName", "The specified bucket is not valid.", field("BucketName", "10.0.0.1"), "/10.0.0.1")},
		{"no bucket", signed("GET", "/none/k", ""), "404 " + xmlError("NoSuchBucket", "The specified bucket does not exist", field("BucketName", "none"), "/none/k")},
		{"no bucket, unsigned", signed("GET", "/none/k", "").anonymous(), "404 " + xmlError("NoSuchBucket", "The specified bucket does not exist", field("BucketName", "none"), "/none/k")},
		{"no such method", signed("PATCH", "/bucket", ""), "405 " + xmlError("MethodNotAllowed", "The specified method is not allowed against this resource.", field("Method", "PATCH")+field("ResourceType", "BUCKET"), "/bucket")},
		{"no such subresource", signed("POST", "/bucket/k?policy", ""), "405 " + xmlError("MethodNotAllowed", "The specified method is not allowed against this resource.", field("Method", "POST")+field("ResourceType", "OBJECT"), "/bucket/k")},
		{"not implemented", signed("POST", "/bucket/k?select", ""), "501 " + xmlError("NotImplemented", "A header you provided implies functionality that is not implemented: POST object?select", "", "/bucket/k")},
		{"version", signed("GET", "/bucket/k?versionId=x", ""), argument("Invalid version id specified", "versionId", "x", "/bucket/k")},
		{"range", signed("GET", "/bucket/k", "", "Range", "bytes=9-"), "416 " + xmlError("InvalidRange", "The requested range is not satisfiable", field("RangeRequested", "bytes=9-")+field("ActualObjectSize", "5"), "/bucket/k")},
		{"precondition", signed("PUT", "/bucket/k", "x", "If-None-Match", "*"), "412 " + xmlError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", field("Condition", "If-None-Match"), "/bucket/k")},
		{"max-keys", signed("GET", "/bucket?max-keys=-1", ""), argument("Argument max-keys must be an integer between 0 and 2147483647", "max-keys", "-1", "/bucket")},
		{"continuation token", signed("GET", "/bucket?list-type=2&continuation-token=x", ""), argument("The continuation token provided is incorrect", "continuation-token", "x", "/bucket")},
		{"continuation token of nobody", signed("GET", "/bucket?list-type=2&continuation-token=1Zm9v", ""), argument("The continuation token provided is incorrect", "continuation-token", "1Zm9v", "/bucket")},
		{"encoding", signed("GET", "/bucket?encoding-type=xml", ""), argument("Invalid Encoding Method specified in Request", "encoding-type", "xml", "/bucket")},
		{"anonymous response headers", signed("GET", "/bucket/k?response-content-type=x", "").anonymous(), "403 " + xmlError("AccessDenied", "Access Denied", "", "/bucket/k")},

		// Documents that are sent.
		{"no XML", signed("PUT", "/bucket?tagging", "x"), malformed("/bucket")},
		{"empty XML", signed("PUT", "/bucket?tagging", ""), malformed("/bucket")},
		{"other XML", signed("PUT", "/bucket?tagging", "<Delete/>"), malformed("/bucket")},
		{"entities", signed("PUT", "/bucket?tagging", `<!DOCTYPE x [<!ENTITY a "b">]><Tagging><TagSet><Tag><Key>&a;</Key><Value/></Tag></TagSet></Tagging>`), malformed("/bucket")},
		{"two documents", signed("PUT", "/bucket?tagging", "<Tagging><TagSet/></Tagging><Tagging/>"), malformed("/bucket")},
		{"switch", signed("PUT", "/bucket?publicAccessBlock", "<PublicAccessBlockConfiguration><BlockPublicAcls>maybe</BlockPublicAcls></PublicAccessBlockConfiguration>"), malformed("/bucket")},
		{"ownership", signed("PUT", "/bucket?ownershipControls", "<OwnershipControls><Rule><ObjectOwnership>Mine</ObjectOwnership></Rule></OwnershipControls>"), malformed("/bucket")},
		{"delete nothing", signed("POST", "/bucket?delete", "<Delete/>", "Content-Md5", md5of("<Delete/>")), malformed("/bucket")},
		{"delete unchecked", signed("POST", "/bucket?delete", "<Delete/>"), "400 " + xmlError("InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*", "", "/bucket")},
		{"accelerate", signed("PUT", "/bucket?accelerate", "<AccelerateConfiguration><Status>Enabled</Status></AccelerateConfiguration>"), "501 " + xmlError("NotImplemented", "A header you provided implies functionality that is not implemented: PutBucketAccelerateConfiguration", "", "/bucket")},
		{"location", signed("PUT", "/bucket2", "<CreateBucketConfiguration><LocationConstraint>us-east-1</LocationConstraint></CreateBucketConfiguration>"), "400 " + xmlError("InvalidLocationConstraint", "The specified location-constraint is not valid", field("LocationConstraint", "us-east-1"), "/bucket2")},

		// What a new bucket has: Terraform reads all of these.
		{"cors", signed("GET", "/bucket?cors", ""), "404 " + xmlError("NoSuchCORSConfiguration", "The CORS configuration does not exist", field("BucketName", "bucket"), "/bucket")},
		{"lifecycle", signed("GET", "/bucket?lifecycle", ""), "404 " + xmlError("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist", field("BucketName", "bucket"), "/bucket")},
		{"tagging", signed("GET", "/bucket?tagging", ""), "404 " + xmlError("NoSuchTagSet", "The TagSet does not exist", field("BucketName", "bucket"), "/bucket")},
		{"website", signed("GET", "/bucket?website", ""), "404 " + xmlError("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration", field("BucketName", "bucket"), "/bucket")},
		{"replication", signed("GET", "/bucket?replication", ""), "404 " + xmlError("ReplicationConfigurationNotFoundError", "The replication configuration was not found", field("BucketName", "bucket"), "/bucket")},
		{"object lock", signed("GET", "/bucket?object-lock", ""), "404 " + xmlError("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket", field("BucketName", "bucket"), "/bucket")},
		{"policy", signed("GET", "/bucket?policy", ""), "404 " + xmlError("NoSuchBucketPolicy", "The bucket policy does not exist", field("BucketName", "bucket"), "/bucket")},
		{"encryption", signed("GET", "/bucket?encryption", ""), "200 <ServerSideEncryptionConfiguration" + ns + "><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>false</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>"},
		{"get versioning", signed("GET", "/bucket?versioning", ""), "200 <VersioningConfiguration" + ns + "></VersioningConfiguration>"},
		{"get accelerate", signed("GET", "/bucket?accelerate", ""), "200 <AccelerateConfiguration" + ns + "></AccelerateConfiguration>"},
		{"logging", signed("GET", "/bucket?logging", ""), "200 <BucketLoggingStatus" + ns + "></BucketLoggingStatus>"},
		{"request payment", signed("GET", "/bucket?requestPayment", ""), "200 <RequestPaymentConfiguration" + ns + "><Payer>BucketOwner</Payer></RequestPaymentConfiguration>"},
		{"notification", signed("GET", "/bucket?notification", ""), "200 <NotificationConfiguration" + ns + "></NotificationConfiguration>"},
		{"get ownership", signed("GET", "/bucket?ownershipControls", ""), "200 <OwnershipControls" + ns + "><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>"},
		{"block", signed("GET", "/bucket?publicAccessBlock", ""), "200 <PublicAccessBlockConfiguration" + ns + "><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>"},
		{"get location", signed("GET", "/bucket?location", ""), "200 <LocationConstraint" + ns + "></LocationConstraint>"},
		{"acl", signed("GET", "/bucket?acl", ""), "200 <AccessControlPolicy" + ns + "><Owner>" + owner[0] + "</Owner><AccessControlList><Grant>" +
			`<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">` + owner[0] + "</Grantee><Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>"},
		{"list", signed("GET", "/bucket?list-type=2", ""), "200 <ListBucketResult" + ns + "><Name>bucket</Name><Prefix></Prefix><KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>" +
			"<Contents><Key>k</Key><LastModified>2026-11-22T18:45:00.000Z</LastModified><ETag>&quot;5d41402abc4b2a76b9719d911017c592&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>" +
			"<ChecksumType>FULL_OBJECT</ChecksumType><Size>5</Size><StorageClass>STANDARD</StorageClass></Contents></ListBucketResult>"},
		{"buckets", signed("GET", "/", ""), "200 <ListAllMyBucketsResult" + ns + "><Owner>" + owner[0] + "</Owner><Buckets><Bucket><Name>bucket</Name><CreationDate>2026-11-22T18:45:00.000Z</CreationDate>" +
			"<BucketRegion>us-east-1</BucketRegion><BucketArn>arn:aws:s3:::bucket</BucketArn></Bucket></Buckets></ListAllMyBucketsResult>"},
		{"delete what is not", signed("DELETE", "/bucket/none", ""), "204 "},
		{"delete cors", signed("DELETE", "/bucket?cors", ""), "204 "},
		{"get", signed("GET", "/bucket/k", ""), "200 hello"},
		{"get a range", signed("GET", "/bucket/k", "", "Range", "bytes=1-2"), "206 el"},
		{"head", signed("HEAD", "/bucket/k", ""), "200 "},
		{"head of nothing", signed("HEAD", "/bucket/none", ""), "404 "},
		{"not modified", signed("GET", "/bucket/k", "", "If-None-Match", `"5d41402abc4b2a76b9719d911017c592"`), "304 "},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := w.do(test.do)
			if diff := cmp.Diff(test.want, answer(got)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			h := got.Header()
			if len(spelled(h, "x-amz-request-id")) != 1 || len(spelled(h, "x-amz-id-2")) != 1 || h.Get("Server") != "AmazonS3" {
				t.Errorf("header %v", h)
			}
			if got.Code >= 400 && got.Body.Len() > 0 && !strings.Contains(got.Body.String(), spelled(h, "x-amz-request-id")[0]) {
				t.Error("the request id of the header is not in the body")
			}
		})
	}
}

// Which bucket a host name stands for.
func TestS3Hosts(t *testing.T) {
	t.Parallel()
	s := must(emulator.New(emulator.Config{S3Hosts: []string{"emu.ns.svc", "deeper.emu.ns.svc.", "S3.Test"}}))
	defer s.Close()
	for host, want := range map[string]string{
		"127.0.0.1:4566":                              "path",
		"[::1]:4566":                                  "path",
		"elsewhere":                                   "path",
		"b.elsewhere:4566":                            "path",
		"localhost:4566":                              "path",
		"b.localhost:4566":                            "b",
		"a.b.localhost":                               "a.b",
		"emu.ns.svc:4566":                             "path",
		"b.emu.ns.svc":                                "b",
		"deeper.emu.ns.svc":                           "path",
		"b.deeper.emu.ns.svc":                         "b",
		"B.s3.TEST":                                   "b",
		"s3.test.":                                    "path",
		"s3.amazonaws.com":                            "path",
		"b.s3.amazonaws.com":                          "b",
		"s3.eu-west-1.amazonaws.com":                  "path",
		"b.s3.eu-west-1.amazonaws.com":                "b",
		"a.b.s3.eu-west-1.amazonaws.com:443":          "a.b",
		"b.s3-eu-west-1.amazonaws.com":                "b",
		"b.s3.dualstack.eu-west-1.amazonaws.com":      "b",
		"b.s3-fips.us-gov-west-1.amazonaws.com":       "b",
		"b.s3-fips.dualstack.us-east-1.amazonaws.com": "b",
		"b.s3.us-iso-east-1.c2s.ic.gov":               "path",
		"b.s3.amazonaws.com.evil.test":                "path",
		"b.ec2.eu-west-1.amazonaws.com":               "path",
		"s3.s3.eu-west-1.amazonaws.com":               "s3",
		"eu-west-1.s3.eu-west-1.amazonaws.com":        "eu-west-1",
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/path/k", nil)
		r.Host = host
		recorder := httptest.NewRecorder()
		s.ServeHTTP(recorder, r)
		if got := regexp.MustCompile("<BucketName>(.*)</BucketName>").FindStringSubmatch(recorder.Body.String()); got == nil || got[1] != want {
			t.Errorf("%s: bucket %q, want %q", host, got, want)
		}
	}
}

// TestS3VirtualHostKeys: no key of a virtual host is the emulator's own path,
// and what merely begins like it is a bucket's on any host.
func TestS3VirtualHostKeys(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	on := func(host string) func(*http.Request) { return func(r *http.Request) { r.Host = host } }
	for _, c := range []struct{ host, uri, want string }{
		{"bucket.localhost:4566", "/_openirsa", "NoSuchKey"},
		{"bucket.localhost:4566", "/_openirsa/health", "NoSuchKey"},
		{"bucket.localhost:4566", "/_openirsa-k", "NoSuchKey"},
		{"127.0.0.1:4566", "/_openirsa-k/x", "NoSuchBucket"},
		{"127.0.0.1:4566", "/_openirsa/health", `"status":"ok"`},
		{"localhost:4566", "/_openirsa", "/_openirsa/"},
	} {
		e := signed("GET", c.uri, "")
		e.before = on(c.host)
		if got := w.do(e).Body.String(); !strings.Contains(got, c.want) {
			t.Errorf("%s%s: %s, want %s", c.host, c.uri, got, c.want)
		}
	}
	put := signed("PUT", "/_openirsa/x", "hello")
	put.before = on("bucket.localhost:4566")
	w.ok(put)
	if got := w.ok(signed("GET", "/bucket/_openirsa/x", "")).Body.String(); got != "hello" {
		t.Errorf("the object is %q", got)
	}
}

// AWS's published example of a stream whose chunks and trailer are signed (S3
// API Reference, sigv4-streaming-trailers.html) is an object in the end.
func TestS3PublishedStream(t *testing.T) {
	t.Parallel()
	s := must(emulator.New(emulator.Config{
		RootAccessKeyID: "AKIAIOSFODNN7EXAMPLE",
		RootSecret:      "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		Now:             func() time.Time { return time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC) },
	}))
	defer s.Close()
	w := &wire{s, t}
	root := func(e exchange) exchange {
		e.at = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
		return e.by("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "")
	}
	w.ok(root(signed("PUT", "/examplebucket", "")))
	put := func(data string) *httptest.ResponseRecorder {
		body := "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n" + data[:65536] +
			"\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n" + data[65536:] +
			"\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n" +
			"x-amz-checksum-crc32c:sOO8/Q==\r\n" +
			"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
		r := httptest.NewRequestWithContext(t.Context(), "PUT", "/examplebucket/chunkObject.txt", strings.NewReader(body))
		r.Host = "s3.amazonaws.com"
		for name, value := range map[string]string{
			"X-Amz-Date": "20130524T000000Z", "X-Amz-Storage-Class": "REDUCED_REDUNDANCY", "Content-Encoding": "aws-chunked",
			"X-Amz-Decoded-Content-Length": "66560", "X-Amz-Trailer": "x-amz-checksum-crc32c",
			"X-Amz-Content-Sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
			"Authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request," +
				"SignedHeaders=content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer," +
				"Signature=106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
		} {
			r.Header.Set(name, value)
		}
		recorder := httptest.NewRecorder()
		s.ServeHTTP(recorder, r)
		return recorder
	}
	data := strings.Repeat("a", 66560)
	if got := put(data[1:] + "b"); got.Code != 403 || !strings.Contains(got.Body.String(), "<Code>SignatureDoesNotMatch</Code>") {
		t.Errorf("with a byte changed: %d %s", got.Code, got.Body)
	}
	if got := w.do(root(signed("GET", "/examplebucket/chunkObject.txt", ""))); got.Code != 404 {
		t.Errorf("what was refused is there: %d", got.Code)
	}
	if got := put(data); got.Code != 200 || spelled(got.Header(), "x-amz-checksum-crc32c")[0] != "sOO8/Q==" {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	got := w.ok(root(signed("GET", "/examplebucket/chunkObject.txt", "")))
	if got.Body.String() != data || got.Header().Get("Content-Encoding") != "" || spelled(got.Header(), "x-amz-storage-class")[0] != "REDUCED_REDUNDANCY" {
		t.Errorf("%d bytes, %v", got.Body.Len(), got.Header())
	}
}

// The signature of a refused request is shown to its sender as S3 computed it,
// and to nobody else: not in events.
func TestS3MismatchIsNotLogged(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	got := w.do(signed("GET", "/bucket/k", "").by("test", "wrong", ""))
	if !strings.Contains(got.Body.String(), "<CanonicalRequest>GET\n/bucket/k\n\nhost:127.0.0.1:4566\n") {
		t.Errorf("%s", got.Body)
	}
	for _, e := range w.Events(emulator.EventFilter{Decision: emulator.Deny}) {
		if s := fmt.Sprintf("%+v", e); strings.Contains(s, "AWS4-HMAC") || !strings.Contains(s, "signature") {
			t.Errorf("event %s", s)
		}
	}
}

// Documents from clients neither stop the server nor get by its checks.
func FuzzS3Documents(f *testing.F) {
	for i, doc := range []string{
		"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
		"<Delete><Object><Key>k</Key></Object></Delete>",
		"<PublicAccessBlockConfiguration><BlockPublicPolicy>true</BlockPublicPolicy></PublicAccessBlockConfiguration>",
		"<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>",
		"<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>",
		"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
		"<ServerSideEncryptionConfiguration><Rule/></ServerSideEncryptionConfiguration>",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}]}`,
	} {
		f.Add(byte(i), []byte(doc))
	}
	targets := []struct{ method, uri string }{
		{"PUT", "/bucket?tagging"}, {"POST", "/bucket?delete"}, {"PUT", "/bucket?publicAccessBlock"}, {"PUT", "/bucket?ownershipControls"},
		{"PUT", "/bucket-2"}, {"POST", "/bucket/k?uploadId=x"}, {"PUT", "/bucket?encryption"}, {"PUT", "/bucket?policy"},
	}
	server := newWire(f).Server
	f.Fuzz(func(t *testing.T, target byte, doc []byte) {
		w := &wire{server, t}
		e := targets[int(target)%len(targets)]
		sum := md5.Sum(doc)
		got := w.do(signed(e.method, e.uri, string(doc), "Content-Md5", base64.StdEncoding.EncodeToString(sum[:])))
		if got.Code >= 500 && got.Code != http.StatusNotImplemented {
			t.Errorf("%s %s %q: %d %s", e.method, e.uri, doc, got.Code, got.Body)
		}
		// Whatever was taken, strangers are still shut out.
		if e.uri != "/bucket?policy" && e.uri != "/bucket?publicAccessBlock" {
			if got := w.do(signed("GET", "/bucket/k", "").anonymous()); got.Code == http.StatusOK {
				t.Errorf("%s %s %q opened the bucket", e.method, e.uri, doc)
			}
		}
		if bytes.Contains(got.Body.Bytes(), []byte("\x00")) {
			t.Errorf("%q", got.Body)
		}
	})
}

// No path, query or header makes the server fail, and none reads anything
// without a signature.
func FuzzS3Requests(f *testing.F) {
	f.Add("GET", "/bucket/k?list-type=2&prefix=a", "127.0.0.1", "Range", "bytes=0-1")
	f.Add("PUT", "/bucket//../%2F%zz", "bucket.s3.us-east-1.amazonaws.com", "X-Amz-Copy-Source", "/bucket/k?versionId=null")
	f.Add("POST", "/?delete", "bucket.localhost:4566", "Content-Md5", "x")
	f.Add("GET", "/v20180820/configuration/publicAccessBlock", "x", "X-Amz-Account-Id", "000000000000")
	f.Add("HEAD", "/%00/%ff", "s3.amazonaws.com", "Authorization", "AWS4-HMAC-SHA256 Credential=test/20261122/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0")
	w := newWire(f)
	f.Fuzz(func(t *testing.T, method, uri, host, name, value string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://h/", nil)
		if err != nil || !strings.HasPrefix(uri, "/") || strings.HasPrefix(uri, "/_openirsa") {
			return
		}
		u, err := r.URL.Parse(uri)
		if err != nil {
			return
		}
		r.URL, r.RequestURI, r.Host, r.Body = u, uri, host, http.NoBody
		r.Header[http.CanonicalHeaderKey(name)] = []string{value}
		recorder := httptest.NewRecorder()
		w.ServeHTTP(recorder, r)
		if recorder.Code < 300 {
			t.Errorf("%s %s at %s with %s: %q is answered %d %s", method, uri, host, name, value, recorder.Code, recorder.Body)
		}
		if recorder.Code == http.StatusInternalServerError {
			t.Errorf("%s %s at %s with %s: %q fails: %s", method, uri, host, name, value, recorder.Body)
		}
	})
}

// spelled are the values of a header whose name is written as it is here, which is not always as Go writes it.
func spelled(h http.Header, name string) []string { return h[name] }
