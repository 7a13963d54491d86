package emulator_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// versions is a bucket with versioning, as tests use it.
type versions struct {
	t      *testing.T
	client *s3.Client
}

// setVersioning enables or suspends versioning.
func (v *versions) setVersioning(status types.BucketVersioningStatus) {
	v.t.Helper()
	must(v.client.PutBucketVersioning(v.t.Context(), &s3.PutBucketVersioningInput{
		Bucket: new("bucket"), VersioningConfiguration: &types.VersioningConfiguration{Status: status},
	}))
}

// put stores an object and is its version.
func (v *versions) put(key, body string) string {
	v.t.Helper()
	return aws.ToString(must(v.client.PutObject(v.t.Context(), &s3.PutObjectInput{Bucket: new("bucket"), Key: &key, Body: strings.NewReader(body)})).VersionId)
}

// get is the body of an object, or of a version of it unless that is "".
func (v *versions) get(key, version string) (string, error) {
	v.t.Helper()
	in := &s3.GetObjectInput{Bucket: new("bucket"), Key: &key}
	if version != "" {
		in.VersionId = &version
	}
	out, err := v.client.GetObject(v.t.Context(), in)
	if err != nil {
		return "", err
	}
	defer out.Body.Close()
	if got := aws.ToString(out.VersionId); version != "" && got != version {
		v.t.Errorf("asked for version %s, got %s", version, got)
	}
	return string(must(io.ReadAll(out.Body))), nil
}

// want checks the body of an object.
func (v *versions) want(key, version, body string) {
	v.t.Helper()
	if got, err := v.get(key, version); err != nil || got != body {
		v.t.Errorf("version %q of %s is %q, want %q: %v", version, key, got, body, err)
	}
}

// remove deletes an object, or a version of it unless that is "".
func (v *versions) remove(key, version string) *s3.DeleteObjectOutput {
	v.t.Helper()
	in := &s3.DeleteObjectInput{Bucket: new("bucket"), Key: &key}
	if version != "" {
		in.VersionId = &version
	}
	return must(v.client.DeleteObject(v.t.Context(), in))
}

// list are all versions, page by page of two: key, version and what it is.
func (v *versions) list() string {
	v.t.Helper()
	var lines []string
	in := &s3.ListObjectVersionsInput{Bucket: new("bucket"), MaxKeys: new(int32(2))}
	for {
		out := must(v.client.ListObjectVersions(v.t.Context(), in))
		type entry struct{ key, id, what string }
		var page []entry
		for _, o := range out.Versions {
			page = append(page, entry{*o.Key, *o.VersionId, fmt.Sprintf("%t %d", *o.IsLatest, *o.Size)})
		}
		for _, o := range out.DeleteMarkers {
			page = append(page, entry{*o.Key, *o.VersionId, fmt.Sprintf("%t marker", *o.IsLatest)})
		}
		if len(page) > 2 {
			v.t.Errorf("a page of %d", len(page))
		}
		for _, e := range page {
			lines = append(lines, e.key+" "+e.id+" "+e.what)
		}
		if !*out.IsTruncated {
			return strings.Join(lines, "\n")
		}
		in.KeyMarker, in.VersionIdMarker = out.NextKeyMarker, out.NextVersionIdMarker
	}
}

func newVersions(t *testing.T, config aws.Config) *versions {
	v := &versions{t, s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })}
	must(v.client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: new("bucket")}))
	return v
}

// TestVersions follows an object through versions, delete markers, and suspended
// versioning, and a restart, as the S3 User Guide says ("Working with objects in a
// versioning-enabled bucket", and in a versioning-suspended one).
func TestVersions(t *testing.T) {
	t.Parallel()
	config, again := persistent(t)
	v := newVersions(t, config())
	ctx := t.Context()
	if status := must(v.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: new("bucket")})).Status; status != "" {
		t.Errorf("at first versioning is %s", status)
	}
	if id := v.put("k", "zero"); id != "" {
		t.Errorf("without versioning the version is %s", id)
	}
	v.setVersioning(types.BucketVersioningStatusEnabled)
	if status := must(v.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: new("bucket")})).Status; status != "Enabled" {
		t.Errorf("versioning is %s", status)
	}
	v.want("k", "null", "zero")
	one, two := v.put("k", "one"), v.put("k", "two")
	if len(one) != 32 || one == two {
		t.Errorf("versions %s and %s", one, two)
	}
	v.want("k", "", "two")
	v.want("k", one, "one")
	v.want("k", "null", "zero")

	marker := v.remove("k", "")
	if !*marker.DeleteMarker || len(*marker.VersionId) != 32 {
		t.Errorf("the delete marker: %+v", marker)
	}
	_, err := v.get("k", "")
	refused(t, err, 404, "NoSuchKey", "The specified key does not exist.")
	_, err = v.get("k", *marker.VersionId)
	refused(t, err, 405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	_, err = v.get("k", strings.Repeat("x", 32))
	refused(t, err, 404, "NoSuchVersion", "The specified version does not exist.")
	_, err = v.get("k", "no such")
	refused(t, err, 400, "InvalidArgument", "Invalid version id specified")
	want := strings.Join([]string{
		"k " + *marker.VersionId + " true marker", "k " + two + " false 3", "k " + one + " false 3", "k null false 4",
	}, "\n")
	if got := v.list(); sortLines(got) != sortLines(want) {
		t.Errorf("the versions are\n%s\nwant\n%s", got, want)
	}
	again()
	v.client = s3.NewFromConfig(config(), func(o *s3.Options) { o.UsePathStyle = true })
	if got := v.list(); sortLines(got) != sortLines(want) {
		t.Errorf("after a restart the versions are\n%s\nwant\n%s", got, want)
	}

	if out := v.remove("k", *marker.VersionId); !*out.DeleteMarker || *out.VersionId != *marker.VersionId {
		t.Errorf("the delete marker is removed: %+v", out)
	}
	v.want("k", "", "two")
	v.remove("k", two)
	v.want("k", "", "one")

	v.setVersioning(types.BucketVersioningStatusSuspended)
	v.put("k", "null again")
	v.want("k", "", "null again")
	v.want("k", "null", "null again")
	v.want("k", one, "one")
	if out := v.remove("k", ""); !*out.DeleteMarker || *out.VersionId != "null" {
		t.Errorf("the delete marker while it is suspended: %+v", out)
	}
	if got, want := v.list(), "k null true marker\nk "+one+" false 3"; sortLines(got) != sortLines(want) {
		t.Errorf("the versions are\n%s\nwant\n%s", got, want)
	}
	_, err = v.client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: new("bucket")})
	refused(t, err, 409, "BucketNotEmpty", "The bucket you tried to delete is not empty. You must delete all versions in the bucket.")
	v.remove("k", one)
	v.remove("k", "null")
	must(v.client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: new("bucket")}))
}

// sortLines sorts lines, since the SDK hands out versions and delete markers apart.
func sortLines(text string) string {
	return strings.Join(slices.Sorted(strings.SplitSeq(text, "\n")), "\n")
}

// TestVersionsBesideBody: copies, tags, access control lists, and deletions of many,
// of a version.
func TestVersionsBesideBody(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	v := newVersions(t, a.Config())
	ctx := t.Context()
	v.setVersioning(types.BucketVersioningStatusEnabled)
	one, two := v.put("k", "one"), v.put("k", "two")
	tags := func(version string) string {
		t.Helper()
		out := must(v.client.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: new("bucket"), Key: new("k"), VersionId: &version}))
		if len(out.TagSet) == 0 {
			return ""
		}
		return *out.TagSet[0].Value
	}
	tagged := must(v.client.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{
		Bucket: new("bucket"), Key: new("k"), VersionId: &one, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: new("of"), Value: new("one")}}},
	}))
	if aws.ToString(tagged.VersionId) != one {
		t.Errorf("tagged: %+v", tagged)
	}
	if tags(one) != "one" || tags(two) != "" {
		t.Errorf("tags %q and %q", tags(one), tags(two))
	}
	copied := must(v.client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: new("bucket"), Key: new("k"), CopySource: new("bucket/k?versionId=" + one)}))
	if *copied.CopySourceVersionId != one || len(*copied.VersionId) != 32 {
		t.Errorf("the copy: %+v", copied)
	}
	v.want("k", "", "one")
	v.want("k", two, "two")
	if list := must(v.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: new("bucket")})); len(list.Contents) != 1 {
		t.Errorf("the objects: %+v", list.Contents)
	}
	attributes := must(v.client.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{
		Bucket: new("bucket"), Key: new("k"), VersionId: &two, ObjectAttributes: []types.ObjectAttributes{"ObjectSize"},
	}))
	if *attributes.ObjectSize != 3 || aws.ToString(attributes.VersionId) != two {
		t.Errorf("attributes: %+v", attributes)
	}

	out := must(v.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: new("bucket"), Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: new("k"), VersionId: &one}, {Key: new("k")}, {Key: new("other")}, {Key: new("k"), VersionId: new("bad")},
	}}}))
	if len(out.Deleted) != 3 || len(out.Errors) != 1 || *out.Errors[0].Code != "NoSuchVersion" ||
		*out.Deleted[0].VersionId != one || out.Deleted[0].DeleteMarker != nil ||
		!*out.Deleted[1].DeleteMarker || len(*out.Deleted[2].DeleteMarkerVersionId) != 32 {
		t.Errorf("deleted: %+v, errors: %+v", out.Deleted, out.Errors)
	}
	_, err := v.get("k", one)
	refused(t, err, 404, "NoSuchVersion", "The specified version does not exist.")
	v.want("k", *copied.VersionId, "one") // its body is that of the version that is gone
	undone := must(v.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: new("bucket"), Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: new("k"), VersionId: out.Deleted[1].DeleteMarkerVersionId},
	}}}))
	if len(undone.Deleted) != 1 || !*undone.Deleted[0].DeleteMarker {
		t.Errorf("the delete marker is removed: %+v", undone.Deleted)
	}
	v.want("k", "", "one")
}

// TestVersionPermissions: a version takes other permissions than the object.
func TestVersionPermissions(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	idp.register()
	v := newVersions(t, a.Config())
	v.setVersioning(types.BucketVersioningStatusEnabled)
	one := v.put("k", "one")
	role := a.Role("reader", idp.usual())
	a.Policy("reader", "read", map[string]any{"Effect": "Allow", "Action": []string{"s3:GetObject", "s3:DeleteObject"}, "Resource": "arn:aws:s3:::bucket/*"})
	reader := &versions{t, s3.NewFromConfig(session(t, a, role, idp.token(idp.claims())), func(o *s3.Options) { o.UsePathStyle = true })}
	reader.want("k", "", "one")
	_, err := reader.get("k", one)
	refused(t, err, 403, "AccessDenied", `User: arn:aws:sts::000000000000:assumed-role/reader/app1 is not authorized to perform: s3:GetObjectVersion `+
		`on resource: "arn:aws:s3:::bucket/k" because no identity-based policy allows the s3:GetObjectVersion action`)
	_, err = reader.client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: new("bucket"), Key: new("k"), VersionId: &one})
	if err == nil || !strings.Contains(err.Error(), "s3:DeleteObjectVersion") {
		t.Errorf("deleting a version: %v", err)
	}
	reader.remove("k", "")
	_, err = reader.get("k", "")
	refused(t, err, 403, "AccessDenied", `User: arn:aws:sts::000000000000:assumed-role/reader/app1 is not authorized to perform: s3:ListBucket `+
		`on resource: "arn:aws:s3:::bucket" because no identity-based policy allows the s3:ListBucket action`)
}
