package emulator_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"
)

var uploadID = regexp.MustCompile(`<UploadId>(.+)</UploadId>`)

var aclOwner = regexp.MustCompile(`<Owner><ID>(.+?)</ID>`)

// presigned is a URL for a request without a body.
func presigned(t *testing.T, server *httptest.Server, method, uri string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+uri, nil)
	if err != nil {
		t.Fatal(err)
	}
	query := r.URL.Query()
	query.Set("X-Amz-Expires", "60")
	r.URL.RawQuery = query.Encode()
	signed, _, err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).
		PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, r, "UNSIGNED-PAYLOAD", "s3", "us-east-1", wireTime)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// rawHeaders are the header lines of the answer to a presigned request whose names begin with prefix, as they stand on
// the wire.
func rawHeaders(t *testing.T, server *httptest.Server, method, uri, prefix string) []string {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", method, strings.TrimPrefix(presigned(t, server, method, uri), server.URL), server.Listener.Addr())
	var found []string
	lines := bufio.NewScanner(conn)
	for lines.Scan() && lines.Text() != "" {
		if strings.HasPrefix(strings.ToLower(lines.Text()), prefix) {
			found = append(found, lines.Text())
		}
	}
	slices.Sort(found)
	return found
}

// TestS3MetadataNames holds the names of user metadata, which are data, against what S3 makes of them, lower case,
// whichever way the object came there and is read.
func TestS3MetadataNames(t *testing.T) {
	w := newWire(t)
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	meta := []string{"X-Amz-Meta-Foo-Bar", "1", "x-amz-meta-camelCase_ID", "2"}
	w.ok(signed("PUT", "/bucket/put", "x", meta...))
	w.ok(signed("PUT", "/bucket/copy", "", "X-Amz-Copy-Source", "bucket/put"))
	w.ok(signed("PUT", "/bucket/replaced", "", append(meta, "X-Amz-Copy-Source", "bucket/k", "X-Amz-Metadata-Directive", "REPLACE")...))
	id := uploadID.FindStringSubmatch(w.ok(signed("POST", "/bucket/parts?uploads", "", meta...)).Body.String())[1]
	part := w.ok(signed("PUT", "/bucket/parts?partNumber=1&uploadId="+id, "x"))
	w.ok(signed("POST", "/bucket/parts?uploadId="+id, "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"+
		spelled(part.Result().Header, "ETag")[0]+"</ETag></Part></CompleteMultipartUpload>"))

	want := []string{"x-amz-meta-camelcase_id: 2", "x-amz-meta-foo-bar: 1"}
	for _, key := range []string{"put", "copy", "replaced", "parts"} {
		for _, method := range []string{"GET", "HEAD"} {
			if diff := cmp.Diff(want, rawHeaders(t, server, method, "/bucket/"+key, "x-amz-meta-")); diff != "" {
				t.Errorf("%s of %s -want +got\n%s", method, key, diff)
			}
		}
	}
	if got := rawHeaders(t, server, "GET", "/bucket/put", "etag"); len(got) != 1 || !strings.HasPrefix(got[0], "ETag: ") {
		t.Errorf("%q", got)
	}
}

// TestS3PresignedHeaders uploads by URLs in which the SDKs for JavaScript, Ruby and Go put headers as parameters.
func TestS3PresignedHeaders(t *testing.T) {
	w := newWire(t)
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	do := func(method, uri, body string) int {
		t.Helper()
		send, err := http.NewRequestWithContext(t.Context(), method, presigned(t, server, method, uri), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(send)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	query := url.Values{"x-amz-meta-Foo-Bar": {"1"}, "x-amz-tagging": {"a=b"}, "X-Amz-Storage-Class": {"STANDARD_IA"}, "X-Amz-Sdk-Checksum-Algorithm": {"CRC32"}}
	if status := do("PUT", "/bucket/put?"+query.Encode(), "hello"); status != 200 {
		t.Fatal(status)
	}
	got := rawHeaders(t, server, "HEAD", "/bucket/put", "x-amz-")
	for _, want := range []string{"x-amz-meta-foo-bar: 1", "x-amz-storage-class: STANDARD_IA", "x-amz-tagging-count: 1"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not among %q", want, got)
		}
	}
	if status := do("PUT", "/bucket/copy?x-amz-copy-source=bucket%2Fput", ""); status != 200 {
		t.Fatal(status)
	}
	if got := rawHeaders(t, server, "HEAD", "/bucket/copy", "x-amz-meta-"); len(got) != 1 {
		t.Errorf("of the copy: %q", got)
	}
	if status := do("PUT", "/bucket/put?x-amz-checksum-crc32=AAAAAA%3D%3D", "hello"); status != 400 {
		t.Errorf("with the checksum of something else: %d", status)
	}
	// Only a signature makes headers of parameters.
	w.ok(signed("PUT", "/bucket/plain?x-amz-meta-a=b", "x"))
	if got := rawHeaders(t, server, "HEAD", "/bucket/plain", "x-amz-meta-"); len(got) != 0 {
		t.Errorf("%q", got)
	}
}
