package sigv4_test

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/internal/sigv4"
)

// received is a request as a server sees it, from the lines a client sent.
func received(t testing.TB, wire string) *http.Request {
	t.Helper()
	r, err := parse([]byte(strings.ReplaceAll(wire, "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// parse reads a request from the wire.
func parse(wire []byte) (*http.Request, error) {
	return http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
}

// AWS's own examples, of the pages named; S3's are all of 24 May 2013.
func TestPublishedVectors(t *testing.T) {
	const (
		s3Secret  = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
		iamSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	)
	s3 := func(signedHeaders, signature string) string {
		return "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request," +
			"SignedHeaders=" + signedHeaders + ",Signature=" + signature + "\n" +
			"X-Amz-Date: 20130524T000000Z\n"
	}
	suite := func(signedHeaders, signature string) string {
		return "Host:example.amazonaws.com\n" +
			"Authorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, " +
			"SignedHeaders=" + signedHeaders + ", Signature=" + signature + "\n" +
			"X-Amz-Date:20150830T123600Z\n\n"
	}
	const noBody = "X-Amz-Content-Sha256: " + sigv4.EmptyPayload + "\n\n"
	for _, c := range []struct {
		page, name, secret, wire string
	}{
		{"S3 sig-v4-header-based-auth.html", "GET Object", s3Secret,
			"GET /test.txt HTTP/1.1\nHost: examplebucket.s3.amazonaws.com\nRange: bytes=0-9\n" +
				s3("host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41") + noBody},
		{"S3 sig-v4-header-based-auth.html", "PUT Object", s3Secret,
			"PUT /test$file.text HTTP/1.1\nHost: examplebucket.s3.amazonaws.com\nDate: Fri, 24 May 2013 00:00:00 GMT\n" +
				s3("date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd") +
				"X-Amz-Storage-Class: REDUCED_REDUNDANCY\nX-Amz-Content-Sha256: " + sigv4.HashPayload([]byte("Welcome to Amazon S3.")) + "\n\n"},
		{"S3 sig-v4-header-based-auth.html", "GET Bucket Lifecycle", s3Secret,
			"GET /?lifecycle HTTP/1.1\nHost: examplebucket.s3.amazonaws.com\n" +
				s3("host;x-amz-content-sha256;x-amz-date", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543") + noBody},
		{"S3 sig-v4-header-based-auth.html", "List Objects", s3Secret,
			"GET /?max-keys=2&prefix=J HTTP/1.1\nHost: examplebucket.s3.amazonaws.com\n" +
				s3("host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7") + noBody},
		{"S3 sigv4-query-string-auth.html", "presigned GET", s3Secret,
			"GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
				"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host" +
				"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP/1.1\nHost: examplebucket.s3.amazonaws.com\n\n"},
		{"IAM sigv4-create-canonical-request.html (2015 edition)", "ListUsers", iamSecret,
			"GET /?Action=ListUsers&Version=2010-05-08 HTTP/1.1\nHost: iam.amazonaws.com\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\nX-Amz-Date: 20150830T123600Z\n" +
				"Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, " +
				"Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7\n\n"},
		{"AWS Signature Version 4 test suite", "get-vanilla-query-order-encoded", iamSecret,
			"GET /?Param-3=Value3&Param=Value2&%E1%88%B4=Value1 HTTP/1.1\n" +
				suite("host;x-amz-date", "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac")},
		{"AWS Signature Version 4 test suite", "get-header-value-trim", iamSecret,
			"GET / HTTP/1.1\nMy-Header1: value1\nMy-Header2: \"a   b   c\"\n" +
				suite("host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736")},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := received(t, c.wire)
			s, err := sigv4.Parse(r)
			if err != nil {
				t.Fatalf("%s: %v", c.page, err)
			}
			hash := sigv4.EmptyPayload
			if s.Service == "s3" {
				if hash, err = sigv4.PayloadHash(r, &s); err != nil {
					t.Fatalf("%s: %v", c.page, err)
				}
			}
			var v sigv4.Verifier
			if _, err := v.Verify(r, &s, c.secret, hash, s.Time); err != nil {
				t.Errorf("%s: %v\n%s", c.page, err, err.(*sigv4.Error).CanonicalRequest)
			}
			if _, err := v.Verify(r, &s, c.secret+"x", hash, s.Time); !is(err, sigv4.Mismatch) {
				t.Errorf("%s: with a wrong secret: %v", c.page, err)
			}
		})
	}
}

func is(err error, kind sigv4.Kind) bool {
	e, ok := errors.AsType[*sigv4.Error](err)
	return ok && e.Kind == kind
}

var (
	credentials = aws.Credentials{AccessKeyID: "ASIAQAAAAAAAAAAAAAAA", SecretAccessKey: "secret", SessionToken: "to/k+en=="}
	signedAt    = time.Date(2026, 11, 22, 18, 45, 0, 0, time.UTC)
)

// signed is a request signed by AWS's SDK, as it goes over the wire, and the
// payload hash that it was signed with.
func signed(t testing.TB, r *http.Request, service string, body []byte, presign bool) (wire []byte, hash string) {
	t.Helper()
	hash = sigv4.HashPayload(body)
	s3 := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" }
	signer := v4.NewSigner(s3)
	if presign {
		if service == "s3" {
			hash = sigv4.UnsignedPayload
			q := r.URL.Query()
			q.Set("X-Amz-Expires", "900")
			r.URL.RawQuery = q.Encode()
		}
		uri, header, err := signer.PresignHTTP(t.Context(), credentials, r, hash, service, "eu-west-1", signedAt)
		if err != nil {
			t.Fatal(err)
		}
		if r.URL, err = url.Parse(uri); err != nil {
			t.Fatal(err)
		}
		maps.Copy(r.Header, header)
	} else {
		if service == "s3" {
			r.Header.Set("X-Amz-Content-Sha256", hash)
		}
		if err := signer.SignHTTP(t.Context(), credentials, r, hash, service, "eu-west-1", signedAt); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), hash
}

// verify judges a request from the wire.
func verify(v *sigv4.Verifier, wire []byte, hash string) (*http.Request, error) {
	r, err := parse(wire)
	if err != nil {
		return nil, err
	}
	s, err := sigv4.Parse(r)
	if err != nil {
		return r, err
	}
	if s.SessionToken != credentials.SessionToken || s.AccessKeyID != credentials.AccessKeyID {
		return r, errors.New("wrong key or token")
	}
	_, err = v.Verify(r, &s, credentials.SecretAccessKey, hash, signedAt)
	return r, err
}

// What AWS's SDK signs is accepted, whatever is in its path, query and
// headers.
func TestAgainstSDK(t *testing.T) {
	paths := []string{"/", "/b/k", "/b/a b", "/b/a+b", "/b/%2F", "/b//x/../y", "/b/ä/日本", "/b/!'()*~,;:@&=$", "/b/100%25", "/b/."}
	queries := []url.Values{nil, {"list-type": {"2"}, "prefix": {"a/b c+d"}}, {"policy": {""}}, {"x": {"b", "a", ""}, "X": {"~-._"}, "z": {"ö"}}}
	var v sigv4.Verifier
	for _, service := range []string{"s3", "sts", "iam"} {
		for _, path := range paths {
			if service != "s3" {
				path = "/"
			}
			for _, query := range queries {
				for _, presign := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s %s?%s presigned=%v", service, path, query.Encode(), presign), func(t *testing.T) {
						body := []byte("Action=GetCallerIdentity&Version=2011-06-15")
						r, err := http.NewRequestWithContext(t.Context(), "POST", "http://h.example:4566", bytes.NewReader(body))
						if err != nil {
							t.Fatal(err)
						}
						r.URL.Path = path
						r.URL.RawPath = escaped(path)
						r.URL.RawQuery = query.Encode()
						r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
						r.Header.Set("X-Amz-Meta-Spaces", "  a   b  ")
						wire, hash := signed(t, r, service, body, presign)
						if _, err := verify(&v, wire, hash); err != nil {
							t.Errorf("%v\n%s", err, wire)
						}
					})
				}
			}
		}
	}
}

// escaped encodes a path as the SDK's S3 client does.
func escaped(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i] = strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	}
	return strings.Join(segments, "/")
}

// Any single byte changed in what is signed makes the request refused.
func TestEveryByteCounts(t *testing.T) {
	for _, presign := range []bool{false, true} {
		r, err := http.NewRequestWithContext(t.Context(), "PUT", "http://h.example/bucket/a%20key?b=2&a=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Meta-A", "some value")
		r.Header.Set("User-Agent", "") // not signed, so not sent
		wire, hash := signed(t, r, "s3", nil, presign)
		var v sigv4.Verifier
		original, err := verify(&v, wire, hash)
		if err != nil {
			t.Fatal(err)
		}
		var accepted []string
		for i := range wire {
			for _, flip := range []byte{1, 2, 4, 8, 16, 32, 64, 128} {
				changed := slices.Clone(wire)
				changed[i] ^= flip
				r, err := verify(&v, changed, hash)
				if err == nil && !same(original, r) {
					accepted = append(accepted, string(changed))
				}
			}
		}
		for _, a := range accepted {
			t.Errorf("accepted though changed:\n%s\noriginal:\n%s", a, wire)
		}
	}
}

// same reports whether two requests are the same in all that is signed.
func same(a, b *http.Request) bool {
	header := func(r *http.Request) http.Header {
		h := r.Header.Clone()
		maps.DeleteFunc(h, func(name string, _ []string) bool { return !strings.HasPrefix(name, "X-Amz-") })
		return h
	}
	return a.Method == b.Method && a.Host == b.Host && a.URL.Path == b.URL.Path &&
		cmp.Equal(a.URL.Query(), b.URL.Query()) && cmp.Equal(header(a), header(b))
}

func TestParseErrors(t *testing.T) {
	const (
		date   = "X-Amz-Date: 20261122T184500Z\n"
		scope  = "AKIA/20261122/us-east-1/sts/aws4_request"
		query  = "X-Amz-Credential=AKIA%2F20261122%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20261122T184500Z&X-Amz-SignedHeaders=host&X-Amz-Signature=00"
		hmac   = "X-Amz-Algorithm=AWS4-HMAC-SHA256&"
		fields = ", SignedHeaders=host, Signature=00\n"
	)
	get := func(header string) string { return "GET / HTTP/1.1\nHost: h\n" + header + "\n" }
	presigned := func(query string) string { return "GET /b/k?" + query + " HTTP/1.1\nHost: h\n\n" }
	for _, c := range []struct {
		name, wire string
		want       sigv4.Error
	}{
		{"unsigned", get(""), sigv4.Error{Kind: sigv4.Missing}},
		{"unsigned with query", presigned("list-type=2"), sigv4.Error{Kind: sigv4.Missing}},
		{"signed twice", presigned(hmac + query + " HTTP/1.1\nAuthorization: AWS4-HMAC-SHA256 x\nX:"), sigv4.Error{Kind: sigv4.TwoSignatures}},
		{"version 2", get("Authorization: AWS AKIA:c2lnbmF0dXJl\n"), sigv4.Error{Kind: sigv4.UnknownAlgorithm, Value: "AWS"}},
		{"version 2 presigned", presigned("AWSAccessKeyId=AKIA&Signature=x&Expires=1"), sigv4.Error{Kind: sigv4.UnknownAlgorithm, Value: "AWS"}},
		{"version 4a", get("Authorization: AWS4-ECDSA-P256-SHA256 Credential=" + scope + fields + date), sigv4.Error{Kind: sigv4.UnknownAlgorithm, Value: "AWS4-ECDSA-P256-SHA256"}},
		{"version 4a presigned", presigned("X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&" + query), sigv4.Error{Kind: sigv4.UnknownAlgorithm, Value: "AWS4-ECDSA-P256-SHA256", Presigned: true}},
		{"bearer", get("Authorization: Bearer abc\n"), sigv4.Error{Kind: sigv4.UnknownAlgorithm, Value: "Bearer"}},
		{"nothing after the algorithm", get("Authorization: AWS4-HMAC-SHA256\n"), sigv4.Error{Kind: sigv4.MissingFields, Fields: []string{"Credential", "Signature", "SignedHeaders", "Date"}}},
		{"no date", get("Authorization: AWS4-HMAC-SHA256 Credential=" + scope + fields), sigv4.Error{Kind: sigv4.MissingFields, Fields: []string{"Date"}}},
		{"query without algorithm", presigned(query + "&X-Amz-Expires=1"), sigv4.Error{Kind: sigv4.MissingFields, Fields: []string{"X-Amz-Algorithm"}, Presigned: true}},
		{"query with nothing else", presigned(hmac), sigv4.Error{Kind: sigv4.MissingFields, Fields: []string{"X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"}, Presigned: true}},
		{"query without expiry", presigned(hmac + query), sigv4.Error{Kind: sigv4.MissingFields, Fields: []string{"X-Amz-Expires"}, Presigned: true}},
		{"expiry no number", presigned(hmac + query + "&X-Amz-Expires=1h"), sigv4.Error{Kind: sigv4.BadExpires, Value: "1h", Presigned: true}},
		{"expiry over a week", presigned(hmac + query + "&X-Amz-Expires=604801"), sigv4.Error{Kind: sigv4.BadExpires, Value: "604801", Presigned: true}},
		{"expiry negative", presigned(hmac + query + "&X-Amz-Expires=-1"), sigv4.Error{Kind: sigv4.BadExpires, Value: "-1", Presigned: true}},
		{"short credential", get("Authorization: AWS4-HMAC-SHA256 Credential=AKIA/20261122/us-east-1/sts" + fields + date), sigv4.Error{Kind: sigv4.BadCredential, Value: "AKIA/20261122/us-east-1/sts"}},
		{"long credential", get("Authorization: AWS4-HMAC-SHA256 Credential=x/" + scope + fields + date), sigv4.Error{Kind: sigv4.BadCredential, Value: "x/" + scope}},
		{"wrong terminator", get("Authorization: AWS4-HMAC-SHA256 Credential=AKIA/20261122/us-east-1/sts/aws5_request" + fields + date), sigv4.Error{Kind: sigv4.BadCredential, Value: "AKIA/20261122/us-east-1/sts/aws5_request"}},
		{"date malformed", get("Authorization: AWS4-HMAC-SHA256 Credential=" + scope + fields + "X-Amz-Date: today\n"), sigv4.Error{Kind: sigv4.BadDate, Value: "today"}},
		{"day differs", get("Authorization: AWS4-HMAC-SHA256 Credential=" + scope + fields + "X-Amz-Date: 20261123T000000Z\n"), sigv4.Error{Kind: sigv4.ScopeDate, Value: "20261122", Time: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}},
		{"host in upper case", get("Authorization: AWS4-HMAC-SHA256 Credential=" + scope + ", SignedHeaders=HOST, Signature=00\n" + date), sigv4.Error{Kind: sigv4.UnsignedHeaders, Fields: []string{"host"}}},
		{"host not signed", get("Authorization: AWS4-HMAC-SHA256 Credential=" + scope + ", SignedHeaders=x-amz-date, Signature=00\n" + date), sigv4.Error{Kind: sigv4.UnsignedHeaders, Fields: []string{"host"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := sigv4.Parse(received(t, c.wire))
			got, ok := errors.AsType[*sigv4.Error](err)
			if !ok {
				t.Fatalf("got %+v, %v", s, err)
			}
			if diff := cmp.Diff(c.want, *got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if s != (sigv4.Signature{}) {
				t.Errorf("not zero on error: %+v", s)
			}
			if got.Error() == "" || got.Error() == "invalid signature" {
				t.Errorf("error has no words: %q", got.Error())
			}
		})
	}
}

func TestClock(t *testing.T) {
	for _, c := range []struct {
		service    string
		presign    bool
		after      time.Duration // now, from the time of signing
		want       sigv4.Kind    // 0: accepted
		wantWindow time.Duration
	}{
		{"sts", false, 5 * time.Minute, 0, 0},
		{"sts", false, 5*time.Minute + time.Second, sigv4.TooOld, 5 * time.Minute},
		{"sts", false, -5 * time.Minute, 0, 0},
		{"iam", false, -5*time.Minute - time.Second, sigv4.NotYetValid, 5 * time.Minute},
		{"s3", false, 15 * time.Minute, 0, 0},
		{"s3", false, 15*time.Minute + time.Second, sigv4.TooOld, 15 * time.Minute},
		{"s3", false, -15*time.Minute - time.Second, sigv4.NotYetValid, 15 * time.Minute},
		{"s3", true, 15 * time.Minute, 0, 0}, // signed() asks for 900 s
		{"s3", true, 15*time.Minute + time.Second, sigv4.Expired, 15 * time.Minute},
		{"sts", true, 15 * time.Minute, 0, 0},
		{"sts", true, 15*time.Minute + time.Second, sigv4.Expired, 15 * time.Minute},
		{"sts", true, -5*time.Minute - time.Second, sigv4.NotYetValid, 5 * time.Minute},
	} {
		t.Run(fmt.Sprintf("%s presigned=%v %v", c.service, c.presign, c.after), func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), "GET", "http://h.example/", nil)
			if err != nil {
				t.Fatal(err)
			}
			wire, hash := signed(t, r, c.service, nil, c.presign)
			if r, err = parse(wire); err != nil {
				t.Fatal(err)
			}
			s, err := sigv4.Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			var v sigv4.Verifier
			_, err = v.Verify(r, &s, credentials.SecretAccessKey, hash, signedAt.Add(c.after))
			if c.want == 0 && err != nil || c.want != 0 && !is(err, c.want) {
				t.Fatalf("got %v, want kind %d", err, c.want)
			}
			if e, ok := errors.AsType[*sigv4.Error](err); ok && (e.Window != c.wantWindow || !e.Time.Equal(signedAt)) {
				t.Errorf("got window %v and time %v", e.Window, e.Time)
			}
		})
	}
}

func TestUnsignedHeaders(t *testing.T) {
	for _, presign := range []bool{false, true} {
		r, err := http.NewRequestWithContext(t.Context(), "PUT", "http://h.example/b/k", nil)
		if err != nil {
			t.Fatal(err)
		}
		wire, hash := signed(t, r, "s3", nil, presign)
		wire = bytes.Replace(wire, []byte("\r\n"), []byte("\r\nX-Amz-Acl: public-read\r\nX-Amzn-Trace-Id: of-a-proxy\r\n"), 1)
		var v sigv4.Verifier
		_, err = verify(&v, wire, hash)
		if e, ok := errors.AsType[*sigv4.Error](err); !ok || e.Kind != sigv4.UnsignedHeaders || !slices.Equal(e.Fields, []string{"x-amz-acl"}) {
			t.Errorf("presigned=%v: %v", presign, err)
		}
	}
}

// TestAuthority takes the signature of a client that speaks HTTP/2, which signs the
// pseudo-header :authority, as another host's it does not.
func TestAuthority(t *testing.T) {
	const secret, day, scope = "secret", "20260102", "20260102/us-east-1/kinesis/aws4_request"
	canonical := "POST\n/\n\n:authority:h.example\nx-amz-date:20260102T030405Z\n\n:authority;x-amz-date\n" + sigv4.EmptyPayload
	digest := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + secret)
	for _, part := range []string{day, "us-east-1", "kinesis", "aws4_request",
		"AWS4-HMAC-SHA256\n20260102T030405Z\n" + scope + "\n" + hex.EncodeToString(digest[:])} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	for host, want := range map[string]bool{"h.example": true, "other.example": false} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "http://"+host+"/", nil)
		r.Header.Set("X-Amz-Date", "20260102T030405Z")
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/"+scope+", SignedHeaders=:authority;x-amz-date, Signature="+
			hex.EncodeToString(key))
		s, err := sigv4.Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		var v sigv4.Verifier
		if _, err := v.Verify(r, &s, secret, sigv4.EmptyPayload, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)); (err == nil) != want {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// A token added to a presigned URL after signing does not break it.
func TestTokenAppendedAfterPresigning(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://h.example/?Action=GetCallerIdentity", nil)
	if err != nil {
		t.Fatal(err)
	}
	long := credentials
	long.SessionToken = ""
	uri, _, err := v4.NewSigner().PresignHTTP(t.Context(), long, r, sigv4.EmptyPayload, "sts", "us-east-1", signedAt)
	if err != nil {
		t.Fatal(err)
	}
	got := httptest.NewRequestWithContext(t.Context(), "GET", uri+"&X-Amz-Security-Token=to%2Fk%2Ben%3D%3D", nil)
	s, err := sigv4.Parse(got)
	if err != nil {
		t.Fatal(err)
	}
	if s.SessionToken != credentials.SessionToken {
		t.Errorf("token %q", s.SessionToken)
	}
	var v sigv4.Verifier
	if _, err := v.Verify(got, &s, credentials.SecretAccessKey, sigv4.EmptyPayload, signedAt); err != nil {
		t.Error(err)
	}
}

// The canonical request and string to sign of a mismatch are for the answer;
// the error's own text may be logged, so it has no token.
func TestMismatchTellsTheClient(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://h.example/b/k", nil)
	if err != nil {
		t.Fatal(err)
	}
	wire, _ := signed(t, r, "s3", nil, false)
	r, err = parse(wire)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sigv4.Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	var v sigv4.Verifier
	_, err = v.Verify(r, &s, "another", sigv4.EmptyPayload, signedAt)
	e, ok := errors.AsType[*sigv4.Error](err)
	if !ok || e.Kind != sigv4.Mismatch {
		t.Fatal(err)
	}
	const want = "AWS4-HMAC-SHA256\n20261122T184500Z\n20261122/eu-west-1/s3/aws4_request\n"
	if !strings.HasPrefix(e.StringToSign, want) || !strings.HasPrefix(e.CanonicalRequest, "GET\n/b/k\n\naccept-encoding") && !strings.HasPrefix(e.CanonicalRequest, "GET\n/b/k\n\nhost:h.example\n") {
		t.Errorf("string to sign %q, canonical request %q", e.StringToSign, e.CanonicalRequest)
	}
	if strings.Contains(e.Error(), credentials.SessionToken) {
		t.Errorf("error shows the token: %v", e)
	}
}

func TestManyKeysDoNotFillMemory(t *testing.T) {
	var v sigv4.Verifier
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://h.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	wire, hash := signed(t, r, "sts", nil, false)
	for range 3 {
		if _, err := verify(&v, wire, hash); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 * sigv4.MaxKeys {
		c := credentials
		c.SecretAccessKey = fmt.Sprint(i)
		r := httptest.NewRequestWithContext(t.Context(), "GET", "http://h.example/", nil)
		if err := v4.NewSigner().SignHTTP(t.Context(), c, r, hash, "sts", "eu-west-1", signedAt); err != nil {
			t.Fatal(err)
		}
		s, err := sigv4.Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(r, &s, c.SecretAccessKey, hash, signedAt); err != nil {
			t.Fatal(err)
		}
		if n := sigv4.Keys(&v); n > sigv4.MaxKeys {
			t.Fatalf("%d keys are remembered", n)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("/b/k?x=1&y", "host;x-amz-date", "AKIA/20261122/us-east-1/s3/aws4_request", "20261122T184500Z", "  a  b ")
	f.Add("/%zz/%2f/../?&=&%&+", ";;host;", "/////", "Sun, 22 Nov 2026 18:45:00 GMT", "")
	f.Add("/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=2", "host", "", "", "")
	f.Fuzz(func(t *testing.T, uri, signedHeaders, credential, date, value string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RequestURI = uri
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+credential+", SignedHeaders="+signedHeaders+", Signature=00")
		r.Header.Set("X-Amz-Date", date)
		r.Header.Set("X-Amz-Meta-A", value)
		s, err := sigv4.Parse(r)
		if err != nil {
			if s != (sigv4.Signature{}) {
				t.Errorf("not zero on error: %+v", s)
			}
			return
		}
		var v sigv4.Verifier
		key, err := v.Verify(r, &s, "secret", sigv4.EmptyPayload, s.Time)
		if err == nil || key != (sigv4.Key{}) {
			t.Errorf("accepted %q", uri)
		}
	})
}

// What the SDK signs verifies, and does not with one byte changed.
func FuzzAgainstSDK(f *testing.F) {
	f.Add("b/k ä", "x", "1 +2", "value", uint16(30), byte(1), false)
	f.Add("b//../%2F", "policy", "", "", uint16(200), byte(32), true)
	f.Fuzz(func(t *testing.T, path, name, value, meta string, at uint16, flip byte, presign bool) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://h.example", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path = "/" + path
		r.URL.RawPath = escaped(r.URL.Path)
		r.URL.RawQuery = url.Values{name: {value}}.Encode()
		// The SDK sorts names before it encodes them, AWS's test suite says after.
		if strings.HasPrefix(name, "X-Amz") || url.QueryEscape(name) != name || strings.ContainsFunc(meta, func(c rune) bool { return c < ' ' || c > '~' }) {
			return
		}
		r.Header.Set("X-Amz-Meta-A", meta)
		r.Header.Set("User-Agent", "")
		wire, hash := signed(t, r, "s3", nil, presign)
		var v sigv4.Verifier
		original, err := verify(&v, wire, hash)
		if err != nil {
			t.Fatalf("%v\n%s", err, wire)
		}
		if flip == 0 {
			return
		}
		wire[int(at)%len(wire)] ^= flip
		if r, err := verify(&v, wire, hash); err == nil && !same(original, r) {
			t.Errorf("accepted though changed:\n%s", wire)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	body := []byte("Action=GetCallerIdentity&Version=2011-06-15")
	r, err := http.NewRequestWithContext(b.Context(), "POST", "http://127.0.0.1:4566/", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	r.Header.Set("Amz-Sdk-Invocation-Id", "6d9a7d6e-7a3d-4b47-8a55-111111111111")
	r.Header.Set("Amz-Sdk-Request", "attempt=1; max=3")
	wire, hash := signed(b, r, "sts", body, false)
	if r, err = parse(wire); err != nil {
		b.Fatal(err)
	}
	var v sigv4.Verifier
	b.ReportAllocs()
	for b.Loop() {
		s, err := sigv4.Parse(r)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := v.Verify(r, &s, credentials.SecretAccessKey, hash, signedAt); err != nil {
			b.Fatal(err)
		}
	}
}
