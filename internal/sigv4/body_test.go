package sigv4_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/openirsa/openirsa/internal/checksum"
	"github.com/openirsa/openirsa/internal/sigv4"
)

// The published examples of a streamed upload: 66,560 bytes "a" in two chunks.
const (
	exampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

	exampleHead = "PUT /examplebucket/chunkObject.txt HTTP/1.1\nHost: s3.amazonaws.com\n" +
		"X-Amz-Date: 20130524T000000Z\nX-Amz-Storage-Class: REDUCED_REDUNDANCY\nContent-Encoding: aws-chunked\n" +
		"X-Amz-Decoded-Content-Length: 66560\n" +
		"Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"

	// S3 API Reference, sigv4-streaming.html.
	streamingHead = exampleHead + "SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class," +
		"Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9\n" +
		"Content-Length: 66824\nX-Amz-Content-Sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\n\n"

	// S3 API Reference, sigv4-streaming-trailers.html.
	trailerHead = exampleHead + "SignedHeaders=content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer," +
		"Signature=106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e\n" +
		"X-Amz-Content-Sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER\nX-Amz-Trailer: x-amz-checksum-crc32c\n"
)

func streamingExample() string {
	return "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" + strings.Repeat("a", 65536) +
		"\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" + strings.Repeat("a", 1024) +
		"\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
}

func trailerExample() string {
	return "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n" + strings.Repeat("a", 65536) +
		"\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n" + strings.Repeat("a", 1024) +
		"\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n" +
		"x-amz-checksum-crc32c:sOO8/Q==\r\n" +
		"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
}

// readExample verifies the head of a published example and reads the payload.
func readExample(t testing.TB, head, payload string) ([]byte, *sigv4.Body, error) {
	t.Helper()
	r := received(t, head)
	r.Body = io.NopCloser(strings.NewReader(payload))
	s, err := sigv4.Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := sigv4.PayloadHash(r, &s)
	if err != nil {
		t.Fatal(err)
	}
	var v sigv4.Verifier
	key, err := v.Verify(r, &s, exampleSecret, hash, s.Time)
	if err != nil {
		t.Fatal(err)
	}
	body, err := sigv4.NewBody(r, &s, key)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(body)
	return data, body, err
}

func TestPublishedStreams(t *testing.T) {
	want := strings.Repeat("a", 66560)
	trailers := trailerHead + fmt.Sprintf("Content-Length: %d\n\n", len(trailerExample()))
	for _, c := range []struct {
		head, payload string
		algorithm     checksum.Algorithm
		value         string
	}{
		{streamingHead, streamingExample(), "", ""},
		{trailers, trailerExample(), checksum.CRC32C, "sOO8/Q=="},
	} {
		data, body, err := readExample(t, c.head, c.payload)
		if err != nil || string(data) != want {
			t.Errorf("%d bytes, %v", len(data), err)
		}
		if body.Len() != 66560 {
			t.Errorf("length %d", body.Len())
		}
		if algorithm, value := body.Checksum(); algorithm != c.algorithm || value != c.value {
			t.Errorf("checksum %q %q", algorithm, value)
		}
		// Any byte changed is refused. All bytes of the framing are tried, and
		// some of the data.
		for i := range len(c.payload) {
			if c.payload[i] == 'a' && i%997 != 0 {
				continue
			}
			changed := []byte(c.payload)
			changed[i] ^= 1
			if _, _, err := readExample(t, c.head, string(changed)); err == nil {
				t.Errorf("accepted with byte %d changed: %q", i, changed[max(0, i-20):min(len(changed), i+20)])
			}
		}
		// And so is any part of it only.
		for _, n := range []int{0, 1, 100, 65536, 65700, len(c.payload) - 100, len(c.payload) - 2, len(c.payload) - 1} {
			if _, _, err := readExample(t, c.head, c.payload[:n]); !is(err, sigv4.WrongLength) {
				t.Errorf("with %d bytes only: %v", n, err)
			}
		}
	}
}

// TestLineFeedBeforeTrailerSignature: minio-go ends the checksum in a trailer
// with LF CR LF, which S3 takes.
func TestLineFeedBeforeTrailerSignature(t *testing.T) {
	const checksum, signature = "x-amz-checksum-crc32c:sOO8/Q==", "x-amz-trailer-signature:"
	read := func(lineEnd, last string) error {
		payload := strings.Replace(trailerExample(), checksum+"\r\n"+signature, checksum+lineEnd+signature, 1)
		payload = strings.TrimSuffix(payload, "\r\n\r\n") + last
		_, _, err := readExample(t, trailerHead+fmt.Sprintf("Content-Length: %d\n\n", len(payload)), payload)
		return err
	}
	if err := read("\n\r\n", "\r\n\r\n"); err != nil {
		t.Error(err)
	}
	for _, ends := range [][2]string{
		{"\n", "\r\n\r\n"}, {"\n\n", "\r\n\r\n"}, {"\r\n\r\n", "\r\n\r\n"}, {"\n\r\n\r\n", "\r\n\r\n"},
		{"\n\r\n", "\n\r\n\r\n"}, {"\n\r\n", "\r\n\n\r\n"}, {"\r\n", "\n\r\n"},
	} {
		if err := read(ends[0], ends[1]); err == nil {
			t.Errorf("accepted with %q before the signature and %q after it", ends[0], ends[1])
		}
	}
}

// chunked encodes data as clients do, in chunks of the given size.
func chunked(data []byte, size int, trailer string) []byte {
	var b bytes.Buffer
	for chunk := range slices.Chunk(data, size) {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(chunk), chunk)
	}
	b.WriteString("0\r\n" + trailer + "\r\n")
	return b.Bytes()
}

// unsignedStream is a request with a payload that only a trailer protects.
func unsignedStream(payload []byte, length, trailer string) *http.Request {
	r := httptest.NewRequest("PUT", "/b/k", bytes.NewReader(payload))
	r.Header.Set("X-Amz-Content-Sha256", sigv4.StreamingUnsigned)
	r.Header.Set("X-Amz-Decoded-Content-Length", length)
	if trailer != "" {
		r.Header.Set("X-Amz-Trailer", trailer)
	}
	return r
}

func TestTrailerChecksums(t *testing.T) {
	data := bytes.Repeat([]byte("openirsa"), 5000)
	for _, algorithm := range checksum.All {
		h := algorithm.New()
		h.Write(data)
		value := checksum.Encode(h)
		r := unsignedStream(chunked(data, 16<<10, algorithm.Header()+":"+value+"\r\n"), "40000", algorithm.Header())
		body, err := sigv4.NewBody(r, nil, sigv4.Key{})
		if err != nil {
			t.Fatal(err)
		}
		if a, _ := body.Checksum(); a != "" {
			t.Errorf("%s: a checksum before the end", algorithm)
		}
		got, err := io.ReadAll(body)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", algorithm, len(got), err)
		}
		if a, v := body.Checksum(); a != algorithm || v != value {
			t.Errorf("%s: checksum %s %s", algorithm, a, v)
		}

		h.Write([]byte("x"))
		wrong := chunked(data, 16<<10, algorithm.Header()+":"+checksum.Encode(h)+"\r\n")
		body, err = sigv4.NewBody(unsignedStream(wrong, "40000", algorithm.Header()), nil, sigv4.Key{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(body)
		if e, ok := errors.AsType[*sigv4.Error](err); !ok || e.Kind != sigv4.ChecksumMismatch || e.Value != string(algorithm) {
			t.Errorf("%s: with a wrong checksum: %v", algorithm, err)
		}
		if _, again := io.ReadAll(body); again != err {
			t.Errorf("%s: the error went away: %v", algorithm, again)
		}
	}
}

func TestMalformedStreams(t *testing.T) {
	const crc = "x-amz-checksum-crc32"
	const value = crc + ":o6a/Qw==\r\n" // of "{}", as boto3 sends it
	for _, c := range []struct {
		name, payload, length, trailer string
		want                           sigv4.Kind // 0: accepted
	}{
		{"boto3", "2\r\n{}\r\n0\r\n" + value + "\r\n", "2", crc, 0},
		{"minio-go", "2\r\n{}\r\n0\r\n" + crc + ":o6a/Qw==\n\r\n\r\n", "2", crc, 0},
		{"bare line feed after a trailer", "2\r\n{}\r\n0\r\n" + crc + ":o6a/Qw==\n\r\n", "2", crc, sigv4.WrongLength},
		{"bare line feed as the end", "2\r\n{}\r\n0\r\n" + value + "\n\r\n", "2", crc, sigv4.BadTrailer},
		{"no trailer announced, none sent", "2\r\n{}\r\n0\r\n\r\n", "2", "", 0},
		{"empty", "0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", "0", crc, 0},
		{"upper case digits", "A\r\n0123456789\r\n0\r\n\r\n", "10", "", 0},
		{"no length", "2\r\n{}\r\n0\r\n\r\n", "", "", sigv4.NoDecodedLength},
		{"negative length", "2\r\n{}\r\n0\r\n\r\n", "-2", "", sigv4.NoDecodedLength},
		{"too long", "3\r\n{}}\r\n0\r\n\r\n", "2", "", sigv4.WrongLength},
		{"too short", "1\r\n{\r\n0\r\n\r\n", "2", "", sigv4.WrongLength},
		{"huge chunk", "7fffffffffffffff\r\n{}", "2", "", sigv4.WrongLength},
		{"size overflows", "ffffffffffffffffff\r\n{}", "2", "", sigv4.BadChunk},
		{"signed size", "+2\r\n{}\r\n0\r\n\r\n", "2", "", sigv4.BadChunk},
		{"negative size", "-2\r\n{}\r\n0\r\n\r\n", "2", "", sigv4.BadChunk},
		{"no size", "\r\n{}\r\n0\r\n\r\n", "2", "", sigv4.BadChunk},
		{"size not hexadecimal", "2x\r\n{}\r\n0\r\n\r\n", "2", "", sigv4.BadChunk},
		{"extension", "2;a=b\r\n{}\r\n0\r\n\r\n", "2", "", sigv4.BadChunk},
		{"bare line feed", "2\n{}\r\n0\r\n\r\n", "2", "", sigv4.BadChunk},
		{"no line end after data", "2\r\n{}0\r\n\r\n", "2", "", sigv4.BadChunk},
		{"endless line", strings.Repeat("0", 1<<20), "2", "", sigv4.BadChunk},
		{"more after the end", "2\r\n{}\r\n0\r\n\r\nX", "2", "", sigv4.BadChunk},
		{"small chunk", "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", "2", "", sigv4.SmallChunk},
		{"plain body", "{}", "2", "", sigv4.WrongLength},
		{"nothing", "", "0", "", sigv4.WrongLength},
		{"trailer announced, none sent", "2\r\n{}\r\n0\r\n\r\n", "2", crc, sigv4.BadTrailer},
		{"another trailer sent", "2\r\n{}\r\n0\r\nx-amz-checksum-crc32c:o6a/Qw==\r\n\r\n", "2", crc, sigv4.BadTrailer},
		{"trailer not announced", "2\r\n{}\r\n0\r\n" + value + "\r\n", "2", "", sigv4.BadTrailer},
		{"trailer twice", "2\r\n{}\r\n0\r\n" + value + value + "\r\n", "2", crc, sigv4.BadTrailer},
		{"trailer no checksum", "2\r\n{}\r\n0\r\nx-amz-checksum-crc32:e30=\r\n\r\n", "2", crc, sigv4.BadTrailer},
		{"trailer without colon", "2\r\n{}\r\n0\r\nx\r\n\r\n", "2", crc, sigv4.BadTrailer},
		{"endless trailers", "2\r\n{}\r\n0\r\n" + strings.Repeat("x", 8192), "2", crc, sigv4.BadChunk},
		{"trailer signature on unsigned chunks", "2\r\n{}\r\n0\r\n" + value + "x-amz-trailer-signature:00\r\n\r\n", "2", crc, sigv4.BadTrailer},
		{"unknown trailer announced", "2\r\n{}\r\n0\r\n\r\n", "2", "x-amz-checksum-md4", sigv4.BadTrailer},
		{"two trailers announced", "2\r\n{}\r\n0\r\n\r\n", "2", crc + ", " + crc, sigv4.BadTrailer},
	} {
		t.Run(c.name, func(t *testing.T) {
			body, err := sigv4.NewBody(unsignedStream([]byte(c.payload), c.length, c.trailer), nil, sigv4.Key{})
			if err == nil {
				_, err = io.ReadAll(body)
			}
			if c.want == 0 && err != nil || c.want != 0 && !is(err, c.want) {
				t.Errorf("got %v, want kind %d", err, c.want)
			}
			if err != nil && (err.Error() == "" || err.Error() == "invalid signature") {
				t.Errorf("error has no words: %q", err)
			}
		})
	}
}

func TestWholePayloads(t *testing.T) {
	request := func(hash string, body string) *http.Request {
		r := httptest.NewRequest("PUT", "/b/k", strings.NewReader(body))
		r.Header.Set("X-Amz-Content-Sha256", hash)
		return r
	}
	for _, c := range []struct {
		name, hash, body string
		want             sigv4.Kind
	}{
		{"hash", sigv4.HashPayload([]byte("abc")), "abc", 0},
		{"upper case hash", strings.ToUpper(sigv4.HashPayload([]byte("abc"))), "abc", 0},
		{"empty", sigv4.EmptyPayload, "", 0},
		{"wrong hash", sigv4.HashPayload([]byte("abc")), "abd", sigv4.PayloadMismatch},
		{"unsigned", sigv4.UnsignedPayload, "abc", 0},
		{"nonsense", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "abc", sigv4.BadPayloadHash},
		{"short hash", "e3b0", "", sigv4.BadPayloadHash},
		{"anonymous with signed chunks", sigv4.StreamingSigned, "0\r\n\r\n", sigv4.BadPayloadHash},
	} {
		t.Run(c.name, func(t *testing.T) {
			body, err := sigv4.NewBody(request(c.hash, c.body), nil, sigv4.Key{})
			var got []byte
			if err == nil {
				got, err = io.ReadAll(body)
			}
			if c.want == 0 && (err != nil || string(got) != c.body) || c.want != 0 && !is(err, c.want) {
				t.Errorf("%q, %v; want kind %d", got, err, c.want)
			}
		})
	}

	r := request("", "abc")
	if hash, err := sigv4.PayloadHash(r, nil); err != nil || hash != sigv4.UnsignedPayload {
		t.Errorf("anonymous without a hash: %q, %v", hash, err)
	}
	if _, err := sigv4.PayloadHash(r, &sigv4.Signature{}); !is(err, sigv4.BadPayloadHash) {
		t.Errorf("signed without a hash: %v", err)
	}
	if hash, err := sigv4.PayloadHash(r, &sigv4.Signature{Presigned: true}); err != nil || hash != sigv4.UnsignedPayload {
		t.Errorf("presigned without a hash: %q, %v", hash, err)
	}
}

// A signed stream made by the SDK's own stream signer, which is the same
// chain of signatures.
func TestSignedStreamAgainstSDK(t *testing.T) {
	data := bytes.Repeat([]byte{0, 1, 2, 3, 4, 5, 6, 7}, 3000)
	r := httptest.NewRequestWithContext(t.Context(), "PUT", "http://h.example/b/k", nil)
	r.Header.Set("X-Amz-Content-Sha256", sigv4.StreamingSigned)
	r.Header.Set("X-Amz-Decoded-Content-Length", strconv.Itoa(len(data)))
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(t.Context(), credentials, r, sigv4.StreamingSigned, "s3", "eu-west-1", signedAt); err != nil {
		t.Fatal(err)
	}
	seed, err := v4.GetSignedRequestSignature(r)
	if err != nil {
		t.Fatal(err)
	}
	stream := v4.NewStreamSigner(aws.Credentials(credentials), "s3", "eu-west-1", seed)
	var wire bytes.Buffer
	for _, chunk := range [][]byte{data[:8192], data[8192:20000], data[20000:], nil} {
		signature, err := stream.GetSignature(t.Context(), nil, chunk, signedAt)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&wire, "%x;chunk-signature=%x\r\n%s\r\n", len(chunk), signature, chunk)
	}
	r.Body = io.NopCloser(&wire)

	s, err := sigv4.Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	var v sigv4.Verifier
	key, err := v.Verify(r, &s, credentials.SecretAccessKey, sigv4.StreamingSigned, signedAt)
	if err != nil {
		t.Fatal(err)
	}
	body, err := sigv4.NewBody(r, &s, key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// No payload makes the reader panic or hang, and none is accepted but the one
// that was signed.
func FuzzSignedStream(f *testing.F) {
	f.Add([]byte(streamingExample()))
	f.Add([]byte("0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		data, _, err := readExample(t, streamingHead, string(payload))
		if err == nil && !bytes.Equal(data, bytes.Repeat([]byte("a"), 66560)) {
			t.Errorf("accepted %q", payload)
		}
	})
}

// Whatever is accepted has the announced length and the announced checksum.
func FuzzUnsignedStream(f *testing.F) {
	f.Add([]byte("2\r\n{}\r\n0\r\nx-amz-checksum-crc32:o6a/Qw==\r\n\r\n"), "2")
	f.Add([]byte("0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"), "0")
	f.Add(chunked(bytes.Repeat([]byte("a"), 20000), 8192, ""), "20000")
	f.Fuzz(func(t *testing.T, payload []byte, length string) {
		body, err := sigv4.NewBody(unsignedStream(payload, length, "x-amz-checksum-crc32"), nil, sigv4.Key{})
		if err != nil {
			return
		}
		data, err := io.ReadAll(body)
		if err != nil {
			return
		}
		h := checksum.CRC32.New()
		h.Write(data)
		if a, value := body.Checksum(); a != checksum.CRC32 || value != checksum.Encode(h) || int64(len(data)) != body.Len() {
			t.Errorf("accepted %q with checksum %s", payload, value)
		}
	})
}
