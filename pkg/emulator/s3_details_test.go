package emulator_test

import (
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// header is a header of a recorded answer, whatever its case.
func header(r *httptest.ResponseRecorder, name string) string {
	for k, v := range r.Header() {
		if strings.EqualFold(k, name) {
			return v[0]
		}
	}
	return ""
}

// newUpload begins a multipart upload in the wire's bucket and gives its id, escaped.
func (w *wire) newUpload(key string, header ...string) string {
	w.t.Helper()
	id := uploadID.FindStringSubmatch(w.ok(signed("POST", "/bucket/"+key+"?uploads", "", header...)).Body.String())
	return url.QueryEscape(id[1])
}

const (
	past   = "Sun, 22 Nov 2026 18:44:00 GMT"
	future = "Sun, 22 Nov 2026 18:46:00 GMT"
	now    = "Sun, 22 Nov 2026 18:45:00 GMT"
)

// TestS3Copies holds the conditions of copies and what counts as a change against S3.
func TestS3Copies(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	upload := w.newUpload("parts")
	same := "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, " +
		"storage class, website redirect location or encryption attributes."
	for _, test := range []struct {
		name, uri string
		header    []string
		want      string // status, code and condition
	}{
		{"onto itself", "/bucket/k", nil, "400 InvalidRequest " + same},
		{"with its own class", "/bucket/k", []string{"X-Amz-Storage-Class", "STANDARD"}, "200"},
		{"with another class", "/bucket/k", []string{"X-Amz-Storage-Class", "STANDARD_IA"}, "200"},
		{"with other tags only", "/bucket/k", []string{"X-Amz-Tagging-Directive", "REPLACE"}, "400 InvalidRequest " + same},
		{"a condition of the source first", "/bucket/k", []string{"X-Amz-Copy-Source-If-Match", `"x"`}, "412 PreconditionFailed x-amz-copy-source-If-Match"},
		{"a condition of the target first", "/bucket/k", []string{"If-None-Match", "*"}, "412 PreconditionFailed If-None-Match"},
		{"changed before", "/bucket/copy", []string{"X-Amz-Copy-Source-If-Modified-Since", past}, "200"},
		{"not changed since", "/bucket/copy", []string{"X-Amz-Copy-Source-If-Modified-Since", now}, "412 PreconditionFailed x-amz-copy-source-If-Modified-Since"},
		{"not changed since a time to come", "/bucket/copy", []string{"X-Amz-Copy-Source-If-Modified-Since", future}, "200"},
		{"a part not changed since", "/bucket/parts?partNumber=1&uploadId=" + upload, []string{"X-Amz-Copy-Source-If-Modified-Since", now},
			"412 PreconditionFailed x-amz-copy-source-If-Modified-Since"},
		{"a part not changed since a time to come", "/bucket/parts?partNumber=1&uploadId=" + upload, []string{"X-Amz-Copy-Source-If-Modified-Since", future}, "200"},
	} {
		got := w.do(signed("PUT", test.uri, "", append(test.header, "X-Amz-Copy-Source", "bucket/k")...))
		if diff := cmp.Diff(test.want, brief(got, test.want)); diff != "" {
			t.Errorf("%s -want +got\n%s", test.name, diff)
		}
	}
	for span, want := range map[string]string{
		"bytes=0-4": "200", "bytes=5-9": "400 InvalidRequest The specified copy range is invalid for the source object size",
		"bytes=0-5": "400 InvalidArgument Range specified is not valid for source object of size: 5",
	} {
		got := w.do(signed("PUT", "/bucket/parts?partNumber=1&uploadId="+upload, "", "X-Amz-Copy-Source", "bucket/k", "X-Amz-Copy-Source-Range", span))
		if brief(got, want) != want {
			t.Errorf("%s of five: %s", span, answer(got))
		}
	}
	for _, method := range []string{"GET", "HEAD"} {
		for since, want := range map[string]int{past: 200, now: 304, future: 200} {
			if got := w.do(signed(method, "/bucket/k", "", "If-Modified-Since", since)); got.Code != want {
				t.Errorf("%s if modified since %s: %d, want %d", method, since, got.Code, want)
			}
		}
	}
}

var (
	errorCode    = regexp.MustCompile(`<Code>(.*?)</Code>`)
	errorMessage = regexp.MustCompile(`<Message>(.*?)</Message>`)
	condition    = regexp.MustCompile(`<Condition>(.*?)</Condition>`)
)

// brief is an answer as short as what is wanted of it: status, code, and condition or message.
func brief(r *httptest.ResponseRecorder, want string) string {
	short, _, _ := strings.Cut(answer(r), " ")
	for i, part := range []*regexp.Regexp{errorCode, condition, errorMessage} {
		if m := part.FindStringSubmatch(r.Body.String()); m != nil && len(strings.SplitN(want, " ", 3)) > min(i+1, 2) {
			short += " " + strings.NewReplacer("&#39;", "'", "&quot;", `"`, "&amp;", "&").Replace(m[1])
			if i == 1 {
				break
			}
		}
	}
	return short
}

// TestS3TagCharacters gives tags to buckets, objects, and objects by header that S3 takes and that it does not.
func TestS3TagCharacters(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	const headerMessage = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates."
	for _, test := range []struct {
		key, value string
		code       string
	}{
		{"team", "a b+c-d=e._:/@ä5", ""},
		{"Größe", "", ""},
		{"a,b", "v", "InvalidTag"},
		{"a", "b;c", "InvalidTag"},
		{"a*", "", "InvalidTag"},
		{"a", "line\nbreak", "InvalidTag"},
		{"a", "{}", "InvalidTag"},
	} {
		body := "<Tagging><TagSet><Tag><Key>" + test.key + "</Key><Value>" + test.value + "</Value></Tag></TagSet></Tagging>"
		for _, uri := range []string{"/bucket?tagging", "/bucket/k?tagging"} {
			got := w.do(signed("PUT", uri, body))
			code := ""
			if m := errorCode.FindStringSubmatch(got.Body.String()); m != nil {
				code = m[1]
			}
			if code != test.code {
				t.Errorf("%s %q=%q: %d %s, want %q", uri, test.key, test.value, got.Code, got.Body, test.code)
			}
		}
		want := "200"
		if test.code != "" {
			want = "400 InvalidArgument " + headerMessage
		}
		pair := url.QueryEscape(test.key) + "=" + url.QueryEscape(test.value)
		if got := brief(w.do(signed("PUT", "/bucket/tagged", "x", "X-Amz-Tagging", pair)), want); got != want {
			t.Errorf("header %s: %s, want %s", pair, got, want)
		}
	}
	for text, want := range map[string]string{
		"a&&b": "200", "&a=1&": "200", "a=1&b=2": "200",
		"a=1,b=2": "400 InvalidArgument " + headerMessage, "a=1&a=2": "400 InvalidArgument " + headerMessage, "a=%zz": "400 InvalidArgument " + headerMessage,
	} {
		got := w.do(signed("PUT", "/bucket/tagged", "x", "X-Amz-Tagging", text))
		if brief(got, want) != want {
			t.Errorf("header %s: %s, want %s", text, answer(got), want)
		}
		if got.Code != 200 && !strings.Contains(got.Body.String(), "<ArgumentValue>"+strings.ReplaceAll(text, "&", "&amp;")+"</ArgumentValue>") {
			t.Errorf("header %s: the answer does not hold it: %s", text, got.Body)
		}
	}
	if got := w.ok(signed("PUT", "/bucket/tagged", "x", "X-Amz-Tagging", "a&&b")); got.Code != 200 {
		t.Fatal(got.Code)
	}
	if got := w.ok(signed("HEAD", "/bucket/tagged", "")); header(got, "x-amz-tagging-count") != "2" {
		t.Errorf("a&&b: %v", got.Header())
	}
}

// TestS3Ranges holds ranges and parts against S3: of nothing there is no range, and a range of everything has the checksum
// of everything.
func TestS3Ranges(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	w.ok(signed("PUT", "/bucket/empty", ""))
	crc := []string{"X-Amz-Checksum-Mode", "ENABLED"}
	for _, test := range []struct {
		uri      string
		header   []string
		status   int
		span     string
		checksum bool
	}{
		{"/bucket/empty?partNumber=1", crc, 200, "", true},
		{"/bucket/empty", crc, 200, "", true},
		{"/bucket/k?partNumber=1", crc, 206, "bytes 0-4/5", true},
		{"/bucket/k", append(crc, "Range", "bytes=0-"), 206, "bytes 0-4/5", true},
		{"/bucket/k", append(crc, "Range", "bytes=-9"), 206, "bytes 0-4/5", true},
		{"/bucket/k", append(crc, "Range", "bytes=0-3"), 206, "bytes 0-3/5", false},
		{"/bucket/k", []string{"Range", "bytes=0-"}, 206, "bytes 0-4/5", false},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			got := w.do(signed(method, test.uri, "", test.header...))
			if got.Code != test.status || header(got, "Content-Range") != test.span || (header(got, "x-amz-checksum-crc64nvme") != "") != test.checksum {
				t.Errorf("%s %s %q: %d, range %q, checksum %q", method, test.uri, test.header, got.Code, header(got, "Content-Range"), header(got, "x-amz-checksum-crc64nvme"))
			}
		}
	}
}

// TestS3UploadDetails holds what multipart uploads answer against S3.
func TestS3UploadDetails(t *testing.T) {
	t.Parallel()
	w := newWire(t)

	// A copied part has the checksum that the upload asked for, or none, and says how it is encrypted.
	for _, algorithm := range []string{"", "SHA256"} {
		var head []string
		if algorithm != "" {
			head = []string{"X-Amz-Checksum-Algorithm", algorithm}
		}
		id := w.newUpload("parts", head...)
		got := w.ok(signed("PUT", "/bucket/parts?partNumber=1&uploadId="+id, "", "X-Amz-Copy-Source", "bucket/k"))
		if header(got, "x-amz-server-side-encryption") != "AES256" {
			t.Errorf("of a part with checksum %q: %v", algorithm, got.Header())
		}
		if has := strings.Contains(got.Body.String(), "<Checksum"); has != (algorithm != "") {
			t.Errorf("of a part with checksum %q: %s", algorithm, got.Body)
		}
	}

	// The key in the location is encoded, the slashes too.
	id := w.newUpload("dir/a%20%C3%A4%2Bb")
	etag := header(w.ok(signed("PUT", "/bucket/dir/a%20%C3%A4%2Bb?partNumber=1&uploadId="+id, "part")), "ETag")
	document := "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + etag + "</ETag></Part></CompleteMultipartUpload>"
	for kind, want := range map[string]string{
		"COMPOSITE": "400 InvalidRequest The upload was created using the FULL_OBJECT checksum mode. The complete request must use the same checksum mode.",
		"NEITHER":   "400 InvalidRequest The upload was created using the FULL_OBJECT checksum mode. The complete request must use the same checksum mode.",
	} {
		if got := brief(w.do(signed("POST", "/bucket/dir/a%20%C3%A4%2Bb?uploadId="+id, document, "X-Amz-Checksum-Type", kind)), want); got != want {
			t.Errorf("completing with %s: %s", kind, got)
		}
	}
	mismatch := "400 InvalidRequest Checksum Type mismatch occurred, expected checksum Type: crc64nvme, actual checksum Type: crc32"
	if got := brief(w.do(signed("POST", "/bucket/dir/a%20%C3%A4%2Bb?uploadId="+id, document, "X-Amz-Checksum-Crc32", "AAAAAA==")), mismatch); got != mismatch {
		t.Errorf("completing with another checksum: %s", got)
	}
	done := w.ok(signed("POST", "/bucket/dir/a%20%C3%A4%2Bb?uploadId="+id, document, "X-Amz-Checksum-Type", "FULL_OBJECT")).Body.String()
	if !strings.Contains(done, "/bucket/dir%2Fa+%C3%A4%2Bb</Location>") || !strings.Contains(done, "<Key>dir/a ä+b</Key>") {
		t.Errorf("location: %s", done)
	}

	// Parts are told with their checksums, or only counted.
	attributes := w.ok(signed("GET", "/bucket/dir/a%20%C3%A4%2Bb?attributes", "", "X-Amz-Object-Attributes", "ObjectParts")).Body.String()
	if !strings.Contains(attributes, "<ObjectParts><PartsCount>1</PartsCount></ObjectParts>") {
		t.Errorf("attributes: %s", attributes)
	}
}

// TestS3ContinuationTokens: the token of a list is good for that list alone.
func TestS3ContinuationTokens(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	w.ok(signed("PUT", "/other", ""))
	for _, key := range []string{"/bucket/l", "/other/k", "/other/l"} {
		w.ok(signed("PUT", key, ""))
	}
	token := func(uri, element string) string {
		t.Helper()
		m := regexp.MustCompile("<" + element + ">(.+)</" + element + ">").FindStringSubmatch(w.ok(signed("GET", uri, "")).Body.String())
		if m == nil {
			t.Fatalf("%s has no %s", uri, element)
		}
		return url.QueryEscape(m[1])
	}
	const bucket, other, buckets = "/bucket?list-type=2&max-keys=1", "/other?list-type=2&max-keys=1", "/?max-buckets=1"
	tokens := map[string]string{bucket: token(bucket, "NextContinuationToken"), other: token(other, "NextContinuationToken"), buckets: token(buckets, "ContinuationToken")}
	for of, token := range tokens {
		for list := range tokens {
			want := 400
			if list == of {
				want = 200
			}
			if got := w.do(signed("GET", list+"&continuation-token="+token, "")); got.Code != want {
				t.Errorf("the token of %s at %s: %d %s", of, list, got.Code, got.Body)
			}
		}
	}
}

// TestS3UploadList lists uploads page by page. The marker names the last entry of a page, also of the last page, and a
// common prefix is an entry like an upload.
func TestS3UploadList(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	element := func(name, body string) string {
		if m := regexp.MustCompile("<" + name + ">(.*?)</" + name + ">").FindStringSubmatch(body); m != nil {
			return m[1]
		}
		return "no " + name
	}
	body := w.ok(signed("GET", "/bucket?uploads", "")).Body.String()
	if element("NextKeyMarker", body) != "" || element("NextUploadIdMarker", body) != "" || element("IsTruncated", body) != "false" {
		t.Errorf("without uploads: %s", body)
	}
	for _, key := range []string{"a/1", "a/2", "b", "c/1", "d"} {
		w.newUpload(key)
	}
	for _, test := range []struct {
		query string
		want  []string // the last entry of each page
	}{
		{"", []string{"a/1", "a/2", "b", "c/1", "d"}},
		{"&delimiter=/", []string{"a/", "b", "c/", "d"}},
		{"&prefix=a/&delimiter=/", []string{"a/1", "a/2"}},
	} {
		var got []string
		for keyMarker, idMarker := "", ""; ; {
			body := w.ok(signed("GET", "/bucket?uploads&max-uploads=1"+test.query+"&key-marker="+url.QueryEscape(keyMarker)+"&upload-id-marker="+idMarker, "")).Body.String()
			keyMarker, idMarker = element("NextKeyMarker", body), url.QueryEscape(element("NextUploadIdMarker", body))
			if prefix := strings.HasSuffix(keyMarker, "/"); prefix != (idMarker == "") {
				t.Errorf("%s: marker %q with id %q", test.query, keyMarker, idMarker)
			}
			if got = append(got, keyMarker); element("IsTruncated", body) == "false" || len(got) > 9 {
				break
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s -want +got\n%s", test.query, diff)
		}
	}
}

// TestS3BucketDetails holds what S3 says of buckets against S3.
func TestS3BucketDetails(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	for _, owner := range []string{"abc", "", "0000000000000", "00000000000x"} {
		want := "400 InvalidBucketOwnerAWSAccountID The value of the expected bucket owner parameter must be an AWS Account ID... [" + owner + "]"
		for _, e := range []exchange{signed("GET", "/bucket/k", ""), signed("PUT", "/bucket/k", "x"), signed("GET", "/bucket?policy", ""), signed("GET", "/none/k", "")} {
			e.header.Set("X-Amz-Expected-Bucket-Owner", owner)
			if got := brief(w.do(e), want); got != want {
				t.Errorf("%s %s, owner %q: %s", e.method, e.uri, owner, got)
			}
		}
		got := w.do(signed("PUT", "/bucket/copy", "", "X-Amz-Copy-Source", "bucket/k", "X-Amz-Source-Expected-Bucket-Owner", owner))
		if brief(got, want) != want {
			t.Errorf("owner of the source %q: %s", owner, answer(got))
		}
	}

	constraint := "<CreateBucketConfiguration><LocationConstraint>EU</LocationConstraint></CreateBucketConfiguration>"
	w.ok(signed("PUT", "/europe", constraint))
	if got := w.ok(signed("GET", "/europe?location", "")).Body.String(); !strings.Contains(got, ">EU</LocationConstraint>") {
		t.Errorf("location: %s", got)
	}
	if got := w.ok(signed("GET", "/", "")).Body.String(); !strings.Contains(got, "<Name>europe</Name><CreationDate>2026-11-22T18:45:00.000Z</CreationDate><BucketRegion>eu-west-1</BucketRegion>") {
		t.Errorf("buckets: %s", got)
	}
	for _, uri := range []string{"/bucket", "/bucket?list-type=2"} {
		if got := w.ok(signed("GET", uri, "")); header(got, "x-amz-bucket-region") != "us-east-1" {
			t.Errorf("%s: %v", uri, got.Header())
		}
	}

	rule := func(algorithm, more string) string {
		return "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>" + algorithm + "</SSEAlgorithm>" + more +
			"</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>"
	}
	key := "<KMSMasterKeyID>alias/x</KMSMasterKeyID>"
	for _, test := range []struct{ body, want string }{
		{rule("AES256", ""), "200"},
		{rule("AES256", key), "400 InvalidArgument a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse"},
		{rule("aws:kms", key), "501 NotImplemented"},
		{rule("rot13", ""), "400 MalformedXML"},
	} {
		if got := brief(w.do(signed("PUT", "/bucket?encryption", test.body)), test.want); got != test.want {
			t.Errorf("encryption: %s, want %s", got, test.want)
		}
	}
	if got := w.ok(signed("GET", "/bucket?encryption", "")).Body.String(); !strings.Contains(got, "<BucketKeyEnabled>true</BucketKeyEnabled>") {
		t.Errorf("encryption: %s", got)
	}
	want := "400 InvalidArgument Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms"
	for _, head := range [][]string{nil, {"X-Amz-Server-Side-Encryption", "AES256"}} {
		if got := brief(w.do(signed("PUT", "/bucket/kms", "x", append(head, "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "alias/x")...)), want); got != want {
			t.Errorf("an object with a key: %s", got)
		}
	}
}
