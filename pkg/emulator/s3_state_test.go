package emulator_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"go.etcd.io/bbolt"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// bodies counts the records of objects' bodies in a state file.
func bodies(t testing.TB, path string) int {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	n := 0
	err = db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket([]byte("body")); b != nil {
			return b.ForEach(func(_, _ []byte) error { n++; return nil })
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Everything that S3 holds is there again after a restart, and nothing else.
func TestS3State(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	data := bytesOf(11<<20 + 5)
	var uploadID, etag *string
	run := func(name string, f func(*testing.T, *emulatortest.AWS, *s3.Client)) {
		if !t.Run(name, func(t *testing.T) {
			a, c := newS3Client(t, emulator.Config{State: path})
			f(t, a, c)
		}) {
			t.FailNow()
		}
	}
	run("write", func(t *testing.T, a *emulatortest.AWS, c *s3.Client) {
		ctx := t.Context()
		makeBucket(t, c, "kept", "a", "b/1", "b/2", "replaced", "deleted")
		makeBucket(t, c, "gone")
		must(c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: new("gone")}))
		must(c.PutObject(ctx, &s3.PutObjectInput{Bucket: new("kept"), Key: new("replaced"), Body: bytes.NewReader(data), ContentType: new("x/y"), Tagging: new("a=1")}))
		must(c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: new("kept"), Key: new("deleted")}))
		must(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: new("kept"), Key: new("copy"), CopySource: new("kept/replaced")}))
		upload(t, c, "kept", "parts", data, 5<<20, types.ChecksumAlgorithmSha256)
		setBlock(t, c, "kept", types.PublicAccessBlockConfiguration{BlockPublicAcls: new(true)})
		if err := setPolicy(t, c, "kept", publicPolicy("kept", "a")); err != nil {
			t.Fatal(err)
		}
		made := must(c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: new("kept"), Key: new("later")}))
		uploadID = made.UploadId
		etag = must(c.UploadPart(ctx, &s3.UploadPartInput{Bucket: new("kept"), Key: new("later"), UploadId: uploadID, PartNumber: new(int32(1)), Body: strings.NewReader("part")})).ETag
		aborted := must(c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: new("kept"), Key: new("never")}))
		must(c.UploadPart(ctx, &s3.UploadPartInput{Bucket: new("kept"), Key: new("never"), UploadId: aborted.UploadId, PartNumber: new(int32(1)), Body: strings.NewReader("part")}))
		must(c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: new("kept"), Key: new("never"), UploadId: aborted.UploadId}))
		if status, body := control(t, a, "PUT", "/v20180820/configuration/publicAccessBlock", "<PublicAccessBlockConfiguration><IgnorePublicAcls>true</IgnorePublicAcls></PublicAccessBlockConfiguration>"); status != 201 {
			t.Errorf("%d %s", status, body)
		}
	})
	// a, b/1, b/2, twelve of replaced and its copy, twelve of parts (5, 5, 2
	// with its own), one of the upload under way.
	if n := bodies(t, path); n != 3+12+12+1 {
		t.Errorf("%d records of bodies", n)
	}
	// What a crash leaves over is swept.
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("body")).Put([]byte("leftover/000000"), []byte("x")) }); err != nil {
		t.Fatal(err)
	}
	db.Close()

	run("read", func(t *testing.T, a *emulatortest.AWS, c *s3.Client) {
		ctx := t.Context()
		out := must(c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: new("kept")}))
		var keys []string
		for _, o := range out.Contents {
			keys = append(keys, *o.Key)
		}
		if got := strings.Join(keys, " "); got != "a b/1 b/2 copy parts replaced" {
			t.Errorf("keys %q", got)
		}
		for _, key := range []string{"copy", "parts", "replaced"} {
			if got, _ := fetch(t, c, &s3.GetObjectInput{Bucket: new("kept"), Key: &key, ChecksumMode: types.ChecksumModeEnabled}); !bytes.Equal(got, data) {
				t.Errorf("%s: %d bytes", key, len(got))
			}
		}
		if head := must(c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: new("kept"), Key: new("copy")})); *head.ContentType != "x/y" || *head.TagCount != 1 {
			t.Errorf("head %+v", head)
		}
		if _, err := c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: new("gone")}); err == nil {
			t.Error("a deleted bucket is back")
		}
		if err := getKey(t, stranger(a), "kept", "a"); err != nil {
			t.Error(err)
		}
		if err := getKey(t, stranger(a), "kept", "b/1"); err == nil {
			t.Error("a stranger reads what is private")
		}
		if status, body := control(t, a, "GET", "/v20180820/configuration/publicAccessBlock", ""); status != 200 || !strings.Contains(body, "<IgnorePublicAcls>true<") {
			t.Errorf("%d %s", status, body)
		}
		parts := must(c.ListParts(ctx, &s3.ListPartsInput{Bucket: new("kept"), Key: new("later"), UploadId: uploadID}))
		if len(parts.Parts) != 1 {
			t.Fatalf("%d parts", len(parts.Parts))
		}
		must(c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: new("kept"), Key: new("later"), UploadId: uploadID,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: new(int32(1)), ETag: etag, ChecksumCRC32: parts.Parts[0].ChecksumCRC32}}}}))
		// The original goes, the copy shares its body and stays.
		must(c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: new("kept"), Key: new("replaced")}))
		must(c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: new("kept"), Key: new("parts")}))
		if got, _ := fetch(t, c, &s3.GetObjectInput{Bucket: new("kept"), Key: new("copy")}); !bytes.Equal(got, data) {
			t.Errorf("the copy has %d bytes", len(got))
		}
	})
	if n := bodies(t, path); n != 3+12+1 {
		t.Errorf("%d records of bodies", n)
	}
	run("again", func(t *testing.T, a *emulatortest.AWS, c *s3.Client) {
		if got, _ := fetch(t, c, &s3.GetObjectInput{Bucket: new("kept"), Key: new("later")}); string(got) != "part" {
			t.Errorf("%q", got)
		}
	})
}

// A reader gets the object that it began to read, whole, while others replace
// and delete it.
func TestS3ReadersAndWriters(t *testing.T) {
	for name, config := range map[string]emulator.Config{"memory": {}, "file": {State: filepath.Join(t.TempDir(), "state")}} {
		t.Run(name, func(t *testing.T) {
			_, c := newS3Client(t, config)
			makeBucket(t, c, "busy")
			ctx := t.Context()
			write := func(b byte) error {
				_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: new("busy"), Key: new("k"), Body: bytes.NewReader(bytes.Repeat([]byte{b}, 3<<20))})
				return err
			}
			if err := write(0); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for i := range byte(4) {
				wg.Go(func() {
					for j := range byte(5) {
						var err error
						if j == 3 {
							_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: new("busy"), Key: new("k")})
						} else {
							err = write(i<<4 | j)
						}
						if err != nil {
							t.Error(err)
						}
					}
				})
				wg.Go(func() {
					for range 8 {
						out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: new("busy"), Key: new("k")})
						if _, ok := errors.AsType[*types.NoSuchKey](err); ok {
							continue
						}
						if err != nil {
							t.Error(err)
							return
						}
						data, err := io.ReadAll(out.Body)
						out.Body.Close()
						if err != nil || len(data) != 3<<20 || !bytes.Equal(data, bytes.Repeat(data[:1], 3<<20)) {
							t.Errorf("read %d bytes, %v", len(data), err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// Of many who make the same object with If-None-Match one succeeds, though the
// object was there for none of them when they began.
func TestS3OneWriterWins(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	const writers = 8
	var begun, done sync.WaitGroup
	begun.Add(writers)
	won := make(chan string, writers)
	for i := range writers {
		done.Go(func() {
			body := fmt.Sprint(i)
			got := w.do(signed("PUT", "/bucket/one", body, "If-None-Match", "*").then(func(r *http.Request) {
				r.Body = &barrier{Reader: strings.NewReader(body), begun: &begun}
			}))
			if got.Code == http.StatusOK {
				won <- body
			}
		})
	}
	done.Wait()
	close(won)
	if len(won) != 1 {
		t.Fatalf("%d writers succeeded", len(won))
	}
	if got := w.ok(signed("GET", "/bucket/one", "")).Body.String(); got != <-won {
		t.Errorf("the object is %q", got)
	}
}

// barrier is a body that is there once all have begun to read theirs.
type barrier struct {
	io.Reader
	begun *sync.WaitGroup
	once  sync.Once
}

func (b *barrier) Read(p []byte) (int, error) {
	b.once.Do(func() {
		b.begun.Done()
		b.begun.Wait()
	})
	return b.Reader.Read(p)
}

func (b *barrier) Close() error { return nil }

// A copy shares its body with the original and outlives it.
func TestS3CopyOutlivesOriginal(t *testing.T) {
	t.Parallel()
	_, c := newS3Client(t)
	makeBucket(t, c, "copies", "original")
	must(c.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: new("copies"), Key: new("copy"), CopySource: new("copies/original")}))
	must(c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: new("copies"), Key: new("original")}))
	if got, _ := fetch(t, c, &s3.GetObjectInput{Bucket: new("copies"), Key: new("copy")}); string(got) != "original" {
		t.Errorf("the copy is %q", got)
	}
}

// Faults befall S3 as they do the rest: a lost answer means that it was done.
func TestS3Faults(t *testing.T) {
	t.Parallel()
	a, c := newS3Client(t)
	makeBucket(t, c, "faulty", "k")
	a.Inject(emulator.Fault{Action: "s3:PutObject", Drop: true, Times: 1})
	if err := putKey(t, c, "faulty", "lost"); err == nil {
		t.Error("there was an answer")
	}
	if err := getKey(t, c, "faulty", "lost"); err != nil {
		t.Error(err)
	}
	a.Inject(emulator.Fault{Action: "GetObject", Code: "SlowDown", Message: "Please reduce your request rate.", Times: 1})
	refused(t, getKey(t, c, "faulty", "k"), http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
	if err := getKey(t, c, "faulty", "k"); err != nil {
		t.Error(err)
	}
}
