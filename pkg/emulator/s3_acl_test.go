package emulator_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// makeListed makes a bucket in which lists are enabled, and opens it.
func makeListed(t testing.TB, c *s3.Client, bucket string, keys ...string) {
	t.Helper()
	makeBucket(t, c, bucket, keys...)
	setOwnership(t, c, bucket, types.ObjectOwnershipBucketOwnerPreferred)
	setBlock(t, c, bucket, types.PublicAccessBlockConfiguration{})
}

func setOwnership(t testing.TB, c *s3.Client, bucket string, rule types.ObjectOwnership) {
	t.Helper()
	_, err := c.PutBucketOwnershipControls(t.Context(), &s3.PutBucketOwnershipControlsInput{Bucket: &bucket,
		OwnershipControls: &types.OwnershipControls{Rules: []types.OwnershipControlsRule{{ObjectOwnership: rule}}}})
	if err != nil {
		t.Fatal(err)
	}
}

func putListed(t testing.TB, c *s3.Client, bucket, key string, acl types.ObjectCannedACL) error {
	t.Helper()
	_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader("x"), ACL: acl})
	return err
}

func setListed(t testing.TB, c *s3.Client, bucket, key string, acl types.ObjectCannedACL) error {
	t.Helper()
	_, err := c.PutObjectAcl(t.Context(), &s3.PutObjectAclInput{Bucket: &bucket, Key: &key, ACL: acl})
	return err
}

// grants are the grants of a list in one line each, without the domain of groups.
func grants(list []types.Grant, owner *types.Owner) string {
	var all []string
	for _, g := range list {
		who := aws.ToString(g.Grantee.URI)
		who = who[strings.LastIndexByte(who, '/')+1:]
		if id := aws.ToString(g.Grantee.ID); id == *owner.ID {
			who = "owner"
		} else if id != "" {
			who = id[:4]
		}
		all = append(all, who+" "+string(g.Permission))
	}
	return strings.Join(all, ", ")
}

func objectGrants(t testing.TB, c *s3.Client, bucket, key string) string {
	t.Helper()
	out := must(c.GetObjectAcl(t.Context(), &s3.GetObjectAclInput{Bucket: &bucket, Key: &key}))
	return grants(out.Grants, out.Owner)
}

func bucketGrants(t testing.TB, c *s3.Client, bucket string) string {
	t.Helper()
	out := must(c.GetBucketAcl(t.Context(), &s3.GetBucketAclInput{Bucket: &bucket}))
	return grants(out.Grants, out.Owner)
}

const (
	noACLs     = "The bucket does not allow ACLs"
	blockedACL = " because public access control lists (ACLs) are prevented by the BlockPublicAcls setting in S3 Block Public Access."
)

// TestS3ACLs publishes objects by access control lists: as every bucket is made they are disabled, then blocked, then
// ignored, and only then they open what they name. Whatever a policy denies stays denied.
func TestS3ACLs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	a, c := newS3Client(t, emulator.Config{State: path})
	s := stranger(a)
	makeBucket(t, c, "lists", "private")

	refused(t, putListed(t, c, "lists", "k", types.ObjectCannedACLPublicRead), 400, "AccessControlListNotSupported", noACLs)
	refused(t, setListed(t, c, "lists", "private", types.ObjectCannedACLPrivate), 400, "AccessControlListNotSupported", noACLs)
	_, err := c.PutBucketAcl(t.Context(), &s3.PutBucketAclInput{Bucket: new("lists"), ACL: types.BucketCannedACLPrivate})
	refused(t, err, 400, "AccessControlListNotSupported", noACLs)
	for _, acl := range []types.ObjectCannedACL{types.ObjectCannedACLPrivate, types.ObjectCannedACLBucketOwnerFullControl} {
		if err := putListed(t, c, "lists", "private", acl); err != nil {
			t.Errorf("%s changes nothing, and got %v", acl, err)
		}
	}

	setOwnership(t, c, "lists", types.ObjectOwnershipBucketOwnerPreferred)
	root := "User: arn:aws:iam::" + a.Account() + `:root is not authorized to perform: `
	refused(t, putListed(t, c, "lists", "k", types.ObjectCannedACLPublicRead), 403, "AccessDenied", root+`s3:PutObject on resource: "arn:aws:s3:::lists/k"`+blockedACL)
	refused(t, putListed(t, c, "lists", "k", types.ObjectCannedACLAuthenticatedRead), 403, "AccessDenied", root+`s3:PutObject on resource: "arn:aws:s3:::lists/k"`+blockedACL)
	refused(t, setListed(t, c, "lists", "private", types.ObjectCannedACLPublicRead), 403, "AccessDenied", root+`s3:PutObjectAcl on resource: "arn:aws:s3:::lists/private"`+blockedACL)

	setBlock(t, c, "lists", types.PublicAccessBlockConfiguration{IgnorePublicAcls: new(true)})
	if err := putListed(t, c, "lists", "k", types.ObjectCannedACLPublicRead); err != nil {
		t.Fatal(err)
	}
	refused(t, getKey(t, s, "lists", "k"), 403, "AccessDenied", "Access Denied")
	if e := a.LastDenial(); len(e.Warnings) != 1 || !strings.Contains(e.Warnings[0], "IgnorePublicAcls in S3 Block Public Access (of the bucket)") {
		t.Errorf("the event does not say that the list is ignored: %+v", e)
	}
	setBlock(t, c, "lists", types.PublicAccessBlockConfiguration{RestrictPublicBuckets: new(true), BlockPublicPolicy: new(true)})
	if err := getKey(t, s, "lists", "k"); err != nil {
		t.Errorf("a stranger: %v", err)
	}
	if e := a.Events(emulator.EventFilter{Action: "s3:GetObject", Decision: emulator.Allow}); len(e) != 1 || !strings.Contains(e[0].Reason, "access control list") {
		t.Errorf("events %+v", e)
	}
	refused(t, getKey(t, s, "lists", "private"), 403, "AccessDenied", "Access Denied")
	refused(t, putKey(t, s, "lists", "k"), 403, "AccessDenied", "Access Denied")
	refused(t, getKey(t, s, "lists", "none"), 403, "AccessDenied", "Access Denied")
	if _, err := s.GetObjectAcl(t.Context(), &s3.GetObjectAclInput{Bucket: new("lists"), Key: new("k")}); err == nil {
		t.Error("a stranger read the list")
	}
	if got := objectGrants(t, c, "lists", "k"); got != "owner FULL_CONTROL, AllUsers READ" {
		t.Errorf("grants %q", got)
	}

	// Policies deny what lists grant.
	deny := document(map[string]any{"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::lists/k",
		"Condition": map[string]any{"StringEquals": map[string]any{"s3:authType": "REST-HEADER"}}})
	nobody := roleClient(t, a, "nobody")
	if err := getKey(t, nobody, "lists", "k"); err != nil {
		t.Errorf("a role without policies: %v", err)
	}
	if err := setPolicy(t, c, "lists", deny); err != nil {
		t.Fatal(err)
	}
	if err := getKey(t, nobody, "lists", "k"); err == nil || !strings.Contains(err.Error(), "with an explicit deny in a resource-based policy") {
		t.Errorf("a role that is denied: %v", err)
	}
	if err := getKey(t, s, "lists", "k"); err != nil {
		t.Errorf("a stranger, who does not sign: %v", err)
	}
	must(c.DeleteBucketPolicy(t.Context(), &s3.DeleteBucketPolicyInput{Bucket: new("lists")}))

	// Disabled again they do not count, and neither do they get lost.
	setOwnership(t, c, "lists", types.ObjectOwnershipBucketOwnerEnforced)
	refused(t, getKey(t, s, "lists", "k"), 403, "AccessDenied", "Access Denied")
	if e := a.LastDenial(); len(e.Warnings) != 1 || !strings.Contains(e.Warnings[0], "BucketOwnerEnforced") {
		t.Errorf("the event does not say that lists are disabled: %+v", e)
	}
	if got := objectGrants(t, c, "lists", "k"); got != "owner FULL_CONTROL" {
		t.Errorf("grants %q", got)
	}
	must(c.DeleteBucketOwnershipControls(t.Context(), &s3.DeleteBucketOwnershipControlsInput{Bucket: new("lists")}))
	if err := getKey(t, s, "lists", "k"); err != nil {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := c.PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{Bucket: new("lists"), Key: new("k"), Tagging: &types.Tagging{TagSet: []types.Tag{}}}); err != nil {
		t.Fatal(err)
	}
	if err := getKey(t, s, "lists", "k"); err != nil {
		t.Errorf("a stranger, once the object has other tags: %v", err)
	}
	// A new object in its place has a list of its own.
	if err := putKey(t, c, "lists", "k"); err != nil {
		t.Fatal(err)
	}
	refused(t, getKey(t, s, "lists", "k"), 403, "AccessDenied", "Access Denied")
	if err := setListed(t, c, "lists", "k", types.ObjectCannedACLPublicRead); err != nil {
		t.Fatal(err)
	}
	if err := getKey(t, s, "lists", "k"); err != nil {
		t.Errorf("a stranger: %v", err)
	}
}

// TestS3ACLsStay reads lists back from the state file.
func TestS3ACLsStay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	t.Run("write", func(t *testing.T) {
		_, c := newS3Client(t, emulator.Config{State: path})
		makeListed(t, c, "lists")
		if err := putListed(t, c, "lists", "k", types.ObjectCannedACLPublicRead); err != nil {
			t.Fatal(err)
		}
		if _, err := c.PutBucketAcl(t.Context(), &s3.PutBucketAclInput{Bucket: new("lists"), ACL: types.BucketCannedACLAuthenticatedRead}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("read", func(t *testing.T) {
		a, c := newS3Client(t, emulator.Config{State: path})
		if err := getKey(t, stranger(a), "lists", "k"); err != nil {
			t.Error(err)
		}
		if got := bucketGrants(t, c, "lists"); got != "owner FULL_CONTROL, AuthenticatedUsers READ" {
			t.Errorf("grants %q", got)
		}
	})
}

// TestS3ACLUploads gives lists in every way in which an object comes into being, canned and in headers of grants.
func TestS3ACLUploads(t *testing.T) {
	t.Parallel()
	a, c := newS3Client(t)
	s := stranger(a)
	ctx := t.Context()
	makeListed(t, c, "lists", "source")
	if err := putListed(t, c, "lists", "source", types.ObjectCannedACLPublicRead); err != nil {
		t.Fatal(err)
	}
	must(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: new("lists"), Key: new("copy"), CopySource: new("lists/source")}))
	refused(t, getKey(t, s, "lists", "copy"), 403, "AccessDenied", "Access Denied") // a copy has no list of its source's
	must(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: new("lists"), Key: new("public copy"), CopySource: new("lists/source"), ACL: types.ObjectCannedACLPublicRead}))
	made := must(c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: new("lists"), Key: new("parts"), GrantRead: new(`uri="http://acs.amazonaws.com/groups/global/AllUsers"`)}))
	part := must(c.UploadPart(ctx, &s3.UploadPartInput{Bucket: new("lists"), Key: new("parts"), UploadId: made.UploadId, PartNumber: new(int32(1)), Body: strings.NewReader("x")}))
	must(c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: new("lists"), Key: new("parts"), UploadId: made.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: new(int32(1)), ETag: part.ETag}}}}))
	for _, key := range []string{"public copy", "parts"} {
		if err := getKey(t, s, "lists", key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if got := objectGrants(t, c, "lists", "parts"); got != "AllUsers READ" {
		t.Errorf("grants %q", got)
	}

	for acl, want := range map[types.ObjectCannedACL]string{
		types.ObjectCannedACLPrivate:                "owner FULL_CONTROL",
		types.ObjectCannedACLPublicRead:             "owner FULL_CONTROL, AllUsers READ",
		types.ObjectCannedACLPublicReadWrite:        "owner FULL_CONTROL, AllUsers READ, AllUsers WRITE",
		types.ObjectCannedACLAuthenticatedRead:      "owner FULL_CONTROL, AuthenticatedUsers READ",
		types.ObjectCannedACLAwsExecRead:            "owner FULL_CONTROL, 6aa5 READ",
		types.ObjectCannedACLBucketOwnerRead:        "owner FULL_CONTROL",
		types.ObjectCannedACLBucketOwnerFullControl: "owner FULL_CONTROL",
	} {
		if err := setListed(t, c, "lists", "source", acl); err != nil || objectGrants(t, c, "lists", "source") != want {
			t.Errorf("%s: %q, %v", acl, objectGrants(t, c, "lists", "source"), err)
		}
	}
	// Who signs may read what is for everybody who does, a stranger may not.
	if err := setListed(t, c, "lists", "source", types.ObjectCannedACLAuthenticatedRead); err != nil {
		t.Fatal(err)
	}
	refused(t, getKey(t, s, "lists", "source"), 403, "AccessDenied", "Access Denied")
	nobody := roleClient(t, a, "nobody")
	if err := getKey(t, nobody, "lists", "source"); err != nil {
		t.Error(err)
	}
	if err := getKey(t, nobody, "lists", "copy"); err == nil {
		t.Error("the grant of full control for the account is none for a role without policies")
	}

	// Lists need a permission of their own.
	writer := roleClient(t, a, "writer")
	a.Policy("writer", "put", map[string]any{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"})
	if err := putListed(t, writer, "lists", "w", ""); err != nil {
		t.Error(err)
	}
	if err := putListed(t, writer, "lists", "w", types.ObjectCannedACLPublicRead); err == nil || !strings.Contains(err.Error(), `s3:PutObjectAcl on resource: "arn:aws:s3:::lists/w"`) {
		t.Errorf("without s3:PutObjectAcl: %v", err)
	}
	// A role may be kept to certain lists.
	a.Policy("writer", "put", map[string]any{"Effect": "Allow", "Action": []string{"s3:PutObject", "s3:PutObjectAcl"}, "Resource": "*",
		"Condition": map[string]any{"StringEquals": map[string]any{"s3:x-amz-acl": "public-read"}}})
	if err := putListed(t, writer, "lists", "w", types.ObjectCannedACLPublicRead); err != nil {
		t.Error(err)
	}
	if err := putListed(t, writer, "lists", "w", types.ObjectCannedACLAuthenticatedRead); err == nil {
		t.Error("another list than the policy allows")
	}
}

// TestS3BucketACLs opens the list of keys, and what goes with it.
func TestS3BucketACLs(t *testing.T) {
	t.Parallel()
	a, c := newS3Client(t)
	s := stranger(a)
	ctx := t.Context()
	makeListed(t, c, "lists", "k")
	list := func() error {
		_, err := s.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: new("lists")})
		return err
	}
	refused(t, list(), 403, "AccessDenied", "Access Denied")
	for acl, want := range map[types.BucketCannedACL]string{
		"log-delivery-write":                   "owner FULL_CONTROL, LogDelivery WRITE, LogDelivery READ_ACP",
		types.BucketCannedACLPrivate:           "owner FULL_CONTROL",
		types.BucketCannedACLAuthenticatedRead: "owner FULL_CONTROL, AuthenticatedUsers READ",
	} {
		if _, err := c.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: new("lists"), ACL: acl}); err != nil || bucketGrants(t, c, "lists") != want {
			t.Errorf("%s: %q, %v", acl, bucketGrants(t, c, "lists"), err)
		}
	}
	if _, err := c.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: new("lists"), ACL: types.BucketCannedACLPublicRead}); err != nil {
		t.Fatal(err)
	}
	if err := list(); err != nil {
		t.Error(err)
	}
	refused(t, getKey(t, s, "lists", "k"), 403, "AccessDenied", "Access Denied")
	_, err := s.GetObject(ctx, &s3.GetObjectInput{Bucket: new("lists"), Key: new("none")})
	refused(t, err, 403, "AccessDenied", "Access Denied") // to read what is not there one has to be allowed to read it
	_, err = c.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{Bucket: new("lists"),
		OwnershipControls: &types.OwnershipControls{Rules: []types.OwnershipControlsRule{{ObjectOwnership: types.ObjectOwnershipBucketOwnerEnforced}}}})
	refused(t, err, 400, "InvalidBucketAclWithObjectOwnership", "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")
	_, err = c.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: new("lists"), ACL: types.BucketCannedACLPublicReadWrite})
	refused(t, err, 501, "NotImplemented", "A header you provided implies functionality that is not implemented: a bucket that everyone may write to")

	// Grants of the whole list, as PutBucketAcl's body has them.
	owner := must(c.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: new("lists")})).Owner
	_, err = c.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: new("lists"), AccessControlPolicy: &types.AccessControlPolicy{Owner: owner, Grants: []types.Grant{
		{Grantee: &types.Grantee{Type: types.TypeCanonicalUser, ID: owner.ID}, Permission: types.PermissionRead},
		{Grantee: &types.Grantee{Type: types.TypeGroup, URI: new("http://acs.amazonaws.com/groups/global/AllUsers")}, Permission: types.PermissionReadAcp},
	}}})
	if got := bucketGrants(t, c, "lists"); err != nil || got != "owner READ, AllUsers READ_ACP" {
		t.Errorf("grants %q, %v", got, err)
	}
	if got := bucketGrants(t, s, "lists"); got != "owner READ, AllUsers READ_ACP" {
		t.Errorf("a stranger reads grants %q", got)
	}
	refused(t, list(), 403, "AccessDenied", "Access Denied")

	create := func(ownership types.ObjectOwnership, acl types.BucketCannedACL) error {
		_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: new("made"), ObjectOwnership: ownership, ACL: acl})
		return err
	}
	refused(t, create("", types.BucketCannedACLPublicRead), 400, "InvalidBucketAclWithObjectOwnership", "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")
	refused(t, create("ObjectWriter", types.BucketCannedACLPublicRead), 400, "InvalidBucketAclWithBlockPublicAccessError", "Bucket cannot have public ACLs set with BlockPublicAccess enabled")
	if err := create("ObjectWriter", "log-delivery-write"); err != nil || bucketGrants(t, c, "made") != "owner FULL_CONTROL, LogDelivery WRITE, LogDelivery READ_ACP" {
		t.Errorf("created: %v", err)
	}
}

// TestS3ACLErrors holds lists that are wrong against S3's answers.
func TestS3ACLErrors(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	w.ok(signed("PUT", "/bucket?ownershipControls", "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>"))
	w.ok(signed("DELETE", "/bucket?publicAccessBlock", ""))
	owner := aclOwner.FindStringSubmatch(w.ok(signed("GET", "/bucket?acl", "")).Body.String())[1]
	body := func(owner, grants string) string {
		return `<AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>` + owner + `</ID></Owner><AccessControlList>` + grants + `</AccessControlList></AccessControlPolicy>`
	}
	grant := func(kind, grantee, permission string) string {
		return `<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="` + kind + `">` + grantee + `</Grantee><Permission>` + permission + `</Permission></Grant>`
	}
	user := "<ID>" + owner + "</ID>"
	malformed := "400 MalformedACLError"
	for _, test := range []struct {
		name, body string
		header     []string
		want       string
	}{
		{"nothing", "", nil, "400 MissingSecurityHeader Your request was missing a required header"},
		{"both", body(owner, grant("CanonicalUser", user, "READ")), []string{"X-Amz-Acl", "private"}, "400 UnexpectedContent This request does not support content"},
		{"canned and grants", "", []string{"X-Amz-Acl", "private", "X-Amz-Grant-Read", "id=" + owner}, "400 InvalidRequest Specifying both Canned ACLs and Header Grants is not allowed"},
		{"unknown name", "", []string{"X-Amz-Acl", "public"}, "400 InvalidArgument"},
		{"no grantee", "", []string{"X-Amz-Grant-Read", owner}, "400 InvalidArgument Argument format not recognized"},
		{"unknown group", "", []string{"X-Amz-Grant-Read", `uri="http://example.com/"`}, "400 InvalidArgument Invalid group uri"},
		{"unknown user", "", []string{"X-Amz-Grant-Read", "id=me"}, "400 InvalidArgument Invalid id"},
		{"mail", "", []string{"X-Amz-Grant-Read", "emailAddress=a@example.com"}, "400 UnresolvableGrantByEmailAddress"},
		{"several", "", []string{"X-Amz-Grant-Read", `id="` + owner + `", uri="http://acs.amazonaws.com/groups/global/AuthenticatedUsers"`}, "200"},
		{"no XML", "x", nil, malformed},
		{"no owner", "<AccessControlPolicy><AccessControlList/></AccessControlPolicy>", nil, malformed},
		{"another owner", body(strings.Repeat("0", 64), ""), nil, "403 AccessDenied"},
		{"no such permission", body(owner, grant("CanonicalUser", user, "DELETE")), nil, malformed},
		{"no such kind", body(owner, grant("Dog", user, "READ")), nil, malformed},
		{"unknown group in the body", body(owner, grant("Group", "<URI>x</URI>", "READ")), nil, "400 InvalidArgument Invalid group uri"},
		{"too many", body(owner, strings.Repeat(grant("CanonicalUser", user, "READ"), 101)), nil, malformed},
		{"nobody", body(owner, ""), nil, "200"},
	} {
		for _, uri := range []string{"/bucket?acl", "/bucket/k?acl"} {
			if diff := cmp.Diff(test.want, brief(w.do(signed("PUT", uri, test.body, test.header...)), test.want)); diff != "" {
				t.Errorf("%s of %s -want +got\n%s", test.name, uri, diff)
			}
		}
	}
	if got := w.ok(signed("GET", "/bucket/k?acl", "")).Body.String(); strings.Contains(got, "<Grant>") {
		t.Errorf("a list without grants is %s", got)
	}
	for uri, want := range map[string]string{"/bucket/none?acl": "404 NoSuchKey", "/none?acl": "404 NoSuchBucket", "/bucket/k?acl&versionId=x": "400 InvalidArgument"} {
		for _, method := range []string{"GET", "PUT"} {
			if got := brief(w.do(signed(method, uri, "", "X-Amz-Acl", "private")), want); got != want {
				t.Errorf("%s %s: %s", method, uri, got)
			}
		}
	}
}

// TestS3IssuerByACL has STS read documents that access control lists publish, and no longer.
func TestS3IssuerByACL(t *testing.T) {
	t.Parallel()
	a := startAWS(t, emulator.Config{MaxKeyAge: -1})
	iss := a.Issuer("acl")
	role := a.Role("app", iss.Trust("ns", "app"))
	iss.Close()
	if _, err := assume(t, a, role, iss.Token("ns", "app")); err == nil {
		t.Fatal("the bucket is closed")
	}
	c := a.S3(a.Config())
	bucket := *must(c.ListBuckets(t.Context(), &s3.ListBucketsInput{})).Buckets[0].Name
	setOwnership(t, c, bucket, types.ObjectOwnershipObjectWriter)
	must(c.DeleteBucketPolicy(t.Context(), &s3.DeleteBucketPolicyInput{Bucket: &bucket}))
	setBlock(t, c, bucket, types.PublicAccessBlockConfiguration{})
	keys := must(c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket})).Contents
	for i, o := range keys {
		if _, err := assume(t, a, role, iss.Token("ns", "app")); err == nil {
			t.Errorf("with %d of %d documents public", i, len(keys))
		}
		if err := setListed(t, c, bucket, *o.Key, types.ObjectCannedACLPublicRead); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := assume(t, a, role, iss.Token("ns", "app")); err != nil || len(keys) < 2 {
		t.Errorf("%d documents: %v", len(keys), err)
	}
	setBlock(t, c, bucket, types.PublicAccessBlockConfiguration{IgnorePublicAcls: new(true)})
	if _, err := assume(t, a, role, iss.Token("ns", "app")); err == nil {
		t.Error("public lists are ignored, and STS reads on")
	}
}
