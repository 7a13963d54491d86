package s3

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
)

// authenticate finds out who calls, and refuses a request that went to the
// wrong region. Errors are those of S3 for each kind of failure.
func (q *call) authenticate() *failure {
	sig, err := q.Signature()
	if e, ok := errors.AsType[*sigv4.Error](err); ok && e.Kind == sigv4.Missing {
		return q.checkRegion()
	}
	if err != nil {
		return q.unauthentic(api.SignatureFailure(err))
	}
	q.sig = &sig
	q.Region = sig.Region
	if sig.Service != "s3" {
		e := authHeaderError(sig.Presigned, "incorrect service %q. This endpoint belongs to \"s3\".", sig.Service)
		q.deny("signature", "the signature is for service "+sig.Service, e)
		return e
	}
	if e := q.checkRegion(); e != nil {
		return e
	}
	hash, err := sigv4.PayloadHash(q.Request, &sig)
	if err != nil {
		return payloadError(err)
	}
	key, failure := q.service.account.Gate.Identify(q.Call, &sig, hash)
	if failure != nil {
		return q.unauthentic(failure)
	}
	q.signKey = key
	return nil
}

// notHoisted are parameters of a presigned URL that begin like headers and do
// not stand for one: those of the signature, and the algorithm that a client
// meant to use for a checksum.
var notHoisted = []string{
	"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature",
	"x-amz-security-token", "x-amz-content-sha256", "x-amz-sdk-checksum-algorithm",
}

// hoisted reports whether a parameter of a presigned URL stands for a header.
func (q *call) hoisted(name string) bool {
	return q.query.Has("X-Amz-Signature") && q.query.Has(name)
}

// unhoist makes headers of the parameters that stand for some: who gets a
// presigned URL is to send no more than the URL, so SDKs presign an upload with
// its metadata there.
func (q *call) unhoist() {
	if q.sig == nil || !q.sig.Presigned {
		return
	}
	header := q.Request.Header.Clone()
	for name, values := range q.query {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") && !slices.Contains(notHoisted, lower) && header.Get(name) == "" {
			header.Set(name, values[0])
		}
	}
	r := *q.Request
	r.Header = header
	q.Request = &r
}

func (q *call) unauthentic(f *api.AuthFailure) *failure {
	keyID := ""
	if q.sig != nil {
		keyID = q.sig.AccessKeyID
	}
	e := authError(f, keyID)
	q.deny("signature", f.Why, e)
	return e
}

// authError is an AuthFailure in the words of S3 (S3 API Reference, "Error
// responses", and public captures).
func authError(f *api.AuthFailure, keyID string) *failure {
	switch f.Kind {
	case api.UnknownKey:
		return failf(http.StatusForbidden, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.").
			with("AWSAccessKeyId", keyID)
	case api.BadToken:
		return failf(http.StatusBadRequest, "InvalidToken", "The provided token is malformed or otherwise invalid.")
	case api.ExpiredSession:
		return failf(http.StatusBadRequest, "ExpiredToken", "The provided token has expired.")
	}
	e := f.Signature
	denied := func(message string) *failure { return failf(http.StatusForbidden, "AccessDenied", "%s", message) }
	query := func(message string) *failure {
		return failf(http.StatusBadRequest, "AuthorizationQueryParametersError", "%s", message)
	}
	switch e.Kind {
	case sigv4.TwoSignatures:
		return errInvalidArgument("Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "+
			"Signature query string parameter or the Authorization header should be specified", "Authorization", "")
	case sigv4.UnknownAlgorithm:
		switch {
		case e.Presigned:
			return query("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"")
		case strings.HasPrefix(e.Value, "AWS"):
			return errInvalidRequest("The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
		}
		return errInvalidArgument("Unsupported Authorization Type", "Authorization", e.Value)
	case sigv4.MissingFields:
		switch {
		case e.Presigned:
			return query("Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, " +
				"X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.")
		case len(e.Fields) == 1 && e.Fields[0] == "Date":
			return denied("AWS authentication requires a valid Date or x-amz-date header")
		}
		return authHeaderError(false, "the authorization header requires three components: Credential, SignedHeaders, and Signature.")
	case sigv4.BadCredential:
		return authHeaderError(e.Presigned, "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".")
	case sigv4.BadDate:
		if e.Presigned {
			return query("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
		}
		return denied("AWS authentication requires a valid Date or x-amz-date header")
	case sigv4.ScopeDate:
		return authHeaderError(e.Presigned, "Invalid credential date %q. This date is not the same as X-Amz-Date: %q.",
			e.Value, e.Time.Format("20060102"))
	case sigv4.BadExpires:
		n, err := strconv.ParseInt(e.Value, 10, 64)
		switch {
		case err != nil:
			return query("X-Amz-Expires should be a number")
		case n <= 0:
			return query("X-Amz-Expires must be non-negative")
		}
		return query("X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds")
	case sigv4.UnsignedHeaders:
		return denied("There were headers present in the request which were not signed").with("HeadersNotSigned", strings.Join(e.Fields, ", "))
	case sigv4.TooOld, sigv4.NotYetValid:
		if e.Presigned {
			return denied("Request is not yet valid").with("X-Amz-Date", e.Time.Format("20060102T150405Z")).with("ServerTime", timestamp(e.Now))
		}
		return failf(http.StatusForbidden, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.").
			with("RequestTime", e.Time.Format("20060102T150405Z")).
			with("ServerTime", timestamp(e.Now)).
			with("MaxAllowedSkewMilliseconds", strconv.FormatInt(e.Window.Milliseconds(), 10))
	case sigv4.Expired:
		return denied("Request has expired").
			with("X-Amz-Expires", strconv.Itoa(int(e.Window.Seconds()))).
			with("Expires", timestamp(e.Time.Add(e.Window))).
			with("ServerTime", timestamp(e.Now))
	}
	mismatch := failf(http.StatusForbidden, "SignatureDoesNotMatch",
		"The request signature we calculated does not match the signature you provided. Check your key and signing method.")
	if e.CanonicalRequest != "" {
		mismatch.with("AWSAccessKeyId", keyID).with("StringToSign", e.StringToSign).with("SignatureProvided", e.Value).
			with("CanonicalRequest", e.CanonicalRequest)
	}
	return mismatch
}

// checkRegion refuses a request for a bucket in another region than the one
// that the request went to, as S3 does: SDKs take the right one from the
// answer. An endpoint that is not Amazon's counts as one in the region that
// the client signs for, which is the one that it believes to talk to.
func (q *call) checkRegion() *failure {
	if q.config == nil || q.Operation == "GetBucketLocation" || q.Operation == "CreateBucket" {
		return nil
	}
	endpoint := q.host.region
	if q.host.amazon && endpoint == "" && q.host.Bucket == "" {
		endpoint = "us-east-1"
	}
	if !q.host.amazon {
		endpoint = q.Region
	}
	var e *failure
	switch {
	case endpoint != "" && endpoint != q.config.Region:
		e = failf(http.StatusMovedPermanently, "PermanentRedirect",
			"The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests "+
				"to this endpoint.").
			with("Endpoint", q.bucket+".s3."+q.config.Region+"."+q.service.account.DNSSuffix).with("Bucket", q.bucket)
	case q.sig != nil && q.Region != q.config.Region:
		e = authHeaderError(q.sig.Presigned, "the region '%s' is wrong; expecting '%s'", q.Region, q.config.Region).
			with("Region", q.config.Region)
	default:
		return nil
	}
	e.header = http.Header{"X-Amz-Bucket-Region": {q.config.Region}}
	q.deny("region", "bucket "+q.bucket+" is in "+q.config.Region+", and the request is for "+max(endpoint, q.Region), e)
	return e
}
