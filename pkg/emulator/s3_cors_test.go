package emulator_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// TestCORS: pages of the origins that a bucket lets in get answers that they may
// read, and others do not.
func TestCORS(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	ctx, client := t.Context(), a.S3(a.Config())
	bucket := new("bucket")
	must(client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket}))
	must(client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: new("k"), Body: strings.NewReader("text")}))
	ask := func(method, origin string, header ...string) (int, http.Header, string) {
		t.Helper()
		r := must(http.NewRequestWithContext(ctx, method, a.URL+"/bucket/k", nil))
		r.Header.Set("Origin", origin)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		response := must(http.DefaultClient.Do(r))
		defer response.Body.Close()
		var body strings.Builder
		if err := response.Write(&body); err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, response.Header, body.String()
	}
	const page, method, headers = "https://app.example", "Access-Control-Request-Method", "Access-Control-Request-Headers"
	if status, _, body := ask("OPTIONS", page, method, "PUT"); status != 403 || !strings.Contains(body, "CORSResponse: CORS is not enabled for this bucket.") {
		t.Errorf("without rules: %d %s", status, body)
	}
	_, err := client.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: bucket})
	refused(t, err, 404, "NoSuchCORSConfiguration", "The CORS configuration does not exist")
	rules := []types.CORSRule{
		{ID: new("app"), AllowedMethods: []string{"GET", "PUT"}, AllowedOrigins: []string{"https://*.example", "http://localhost:3000"},
			AllowedHeaders: []string{"content-type", "x-amz-*"}, ExposeHeaders: []string{"ETag"}, MaxAgeSeconds: new(int32(600))},
		{AllowedMethods: []string{"HEAD"}, AllowedOrigins: []string{"*"}},
	}
	put := func(rules ...types.CORSRule) error {
		_, err := client.PutBucketCors(ctx, &s3.PutBucketCorsInput{Bucket: bucket, CORSConfiguration: &types.CORSConfiguration{CORSRules: rules}})
		return err
	}
	refused(t, put(types.CORSRule{AllowedMethods: []string{"PATCH"}, AllowedOrigins: []string{"*"}}), 400, "InvalidRequest",
		"Found unsupported HTTP method in CORS config. Unsupported method is PATCH")
	refused(t, put(types.CORSRule{AllowedMethods: []string{"GET"}, AllowedOrigins: []string{"https://*.*"}}), 400, "InvalidRequest",
		`AllowedOrigin "https://*.*" can not have more than one wildcard.`)
	if err := put(rules...); err != nil {
		t.Fatal(err)
	}
	got := must(client.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: bucket})).CORSRules
	if len(got) != 2 || *got[0].ID != "app" || got[0].AllowedHeaders[1] != "x-amz-*" || *got[0].MaxAgeSeconds != 600 || got[1].AllowedOrigins[0] != "*" {
		t.Errorf("the rules: %+v", got)
	}

	status, h, _ := ask("OPTIONS", page, method, "PUT", headers, "Content-Type, X-Amz-Date")
	if status != 200 || h.Get("Access-Control-Allow-Origin") != page || h.Get("Access-Control-Allow-Methods") != "GET, PUT" ||
		h.Get("Access-Control-Allow-Headers") != "content-type, x-amz-date" || h.Get("Access-Control-Max-Age") != "600" ||
		h.Get("Access-Control-Allow-Credentials") != "true" || h.Get("Access-Control-Expose-Headers") != "ETag" || !strings.Contains(h.Get("Vary"), "Origin") {
		t.Errorf("the preflight: %d %v", status, h)
	}
	for _, refusal := range [][]string{
		{"https://app.test", method, "PUT"}, {page, method, "DELETE"}, {page, method, "PUT", headers, "authorization"}, {"https://example", method, "GET"},
	} {
		status, h, body := ask("OPTIONS", refusal[0], refusal[1:]...)
		if status != 403 || h.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(body, "CORSResponse: This CORS request is not allowed.") {
			t.Errorf("%v: %d %v %s", refusal, status, h, body)
		}
	}
	if status, _, body := ask("OPTIONS", page); status != 400 || !strings.Contains(body, "Invalid Access-Control-Request-Method: null") {
		t.Errorf("without a method: %d %s", status, body)
	}
	// The answer to the request itself, here of somebody who may not read, tells too.
	if status, h, _ := ask("GET", page); status != 403 || h.Get("Access-Control-Allow-Origin") != page {
		t.Errorf("a page's GET: %d %v", status, h)
	}
	if status, h, _ := ask("HEAD", "https://anything.test"); status != 403 || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("any page's HEAD: %d %v", status, h)
	}
	if _, h, _ := ask("GET", "https://anything.test"); h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("any page's GET: %v", h)
	}
	must(client.DeleteBucketCors(ctx, &s3.DeleteBucketCorsInput{Bucket: bucket}))
	if status, _, _ := ask("OPTIONS", page, method, "PUT"); status != 403 {
		t.Errorf("after the deletion: %d", status)
	}
}

// TestCORSUpload: a page may upload with a presigned URL where the bucket lets it,
// and nowhere else.
func TestCORSUpload(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	ctx, client := t.Context(), a.S3(a.Config())
	for _, bucket := range []string{"open", "shut"} {
		must(client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket}))
		url := must(s3.NewPresignClient(client).PresignPutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: new("k")})).URL
		if bucket == "open" {
			must(client.PutBucketCors(ctx, &s3.PutBucketCorsInput{Bucket: &bucket, CORSConfiguration: &types.CORSConfiguration{
				CORSRules: []types.CORSRule{{AllowedMethods: []string{"PUT"}, AllowedOrigins: []string{"https://app.example"}}},
			}}))
		}
		for origin, want := range map[string]int{"https://app.example": 200, "https://other.example": 403} {
			if bucket == "shut" {
				want = 403
			}
			r := must(http.NewRequestWithContext(ctx, http.MethodPut, url, strings.NewReader("text")))
			r.Header.Set("Origin", origin)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			response := must(http.DefaultClient.Do(r))
			response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("%s uploads to %s: %s, want %d", origin, bucket, response.Status, want)
			}
		}
	}
}

// atNoon moves the clock to noon of the next day, so that no midnight passes while a
// test runs.
func atNoon(a *emulatortest.AWS) {
	a.FastForward(time.Until(time.Now().UTC().Truncate(24 * time.Hour).Add(36 * time.Hour)))
}

// TestLifecycle: what expires is gone at the midnight after its days.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	atNoon(a)
	ctx, client := t.Context(), a.S3(a.Config())
	bucket := new("bucket")
	must(client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket}))
	_, err := client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: bucket})
	refused(t, err, 404, "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist")
	put := func(rules ...types.LifecycleRule) error {
		_, err := client.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{
			Bucket: bucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: rules}})
		return err
	}
	refused(t, put(types.LifecycleRule{Status: "Enabled", Filter: &types.LifecycleRuleFilter{Prefix: new("")}}), 400, "InvalidRequest",
		"At least one action needs to be specified in a rule")
	err = put(
		types.LifecycleRule{ID: new("logs"), Status: "Enabled", Filter: &types.LifecycleRuleFilter{Prefix: new("logs/")},
			Expiration:                     &types.LifecycleExpiration{Days: new(int32(3))},
			AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: new(int32(1))}},
		types.LifecycleRule{ID: new("off"), Status: "Disabled", Filter: &types.LifecycleRuleFilter{Prefix: new("kept/")},
			Expiration: &types.LifecycleExpiration{Days: new(int32(1))}},
		types.LifecycleRule{ID: new("tagged"), Status: "Enabled", Filter: &types.LifecycleRuleFilter{And: &types.LifecycleRuleAndOperator{
			Prefix: new("kept/"), Tags: []types.Tag{{Key: new("x"), Value: new("1")}, {Key: new("y"), Value: new("2")}}}},
			Expiration:  &types.LifecycleExpiration{Days: new(int32(1))},
			Transitions: []types.Transition{{Days: new(int32(0)), StorageClass: "GLACIER_IR"}}},
	)
	if err != nil {
		t.Fatal(err)
	}
	rules := must(client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: bucket})).Rules
	if len(rules) != 3 || *rules[0].Expiration.Days != 3 || *rules[0].Filter.Prefix != "logs/" || rules[1].Status != "Disabled" ||
		len(rules[2].Filter.And.Tags) != 2 || *rules[2].Transitions[0].Days != 0 || rules[2].Transitions[0].StorageClass != "GLACIER_IR" {
		t.Errorf("the rules: %+v", rules)
	}
	for key, tagging := range map[string]string{"logs/one": "", "kept/one": "", "kept/two": "x=1&y=2", "kept/three": "x=1"} {
		out := must(client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: &key, Tagging: &tagging, Body: strings.NewReader("text")}))
		if (key == "logs/one") != (out.Expiration != nil && strings.Contains(*out.Expiration, `rule-id="logs"`)) && key != "kept/two" {
			t.Errorf("%s expires %v", key, out.Expiration)
		}
	}
	head := must(client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: new("kept/two")}))
	if head.Expiration == nil || !strings.Contains(*head.Expiration, `rule-id="tagged"`) {
		t.Errorf("the tagged one expires %v", head.Expiration)
	}
	must(client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: new("logs/parts")}))
	keys := func() string {
		t.Helper()
		var found []string
		for _, o := range must(client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})).Contents {
			found = append(found, *o.Key)
		}
		for _, u := range must(client.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: bucket})).Uploads {
			found = append(found, "upload of "+*u.Key)
		}
		return strings.Join(found, ", ")
	}
	for _, step := range []struct {
		days int
		want string
	}{
		{0, "kept/one, kept/three, kept/two, logs/one, upload of logs/parts"},
		{1, "kept/one, kept/three, kept/two, logs/one, upload of logs/parts"},
		{1, "kept/one, kept/three, logs/one"},
		{1, "kept/one, kept/three, logs/one"},
		{1, "kept/one, kept/three"},
		{100, "kept/one, kept/three"},
	} {
		a.FastForward(time.Duration(step.days) * 24 * time.Hour)
		if got := keys(); got != step.want {
			t.Errorf("after %d more days there are %s, want %s", step.days, got, step.want)
		}
	}
	must(client.DeleteBucketLifecycle(ctx, &s3.DeleteBucketLifecycleInput{Bucket: bucket}))
	_, err = client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: bucket})
	refused(t, err, 404, "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist")
}

// TestLifecycleVersions: older versions and delete markers expire too.
func TestLifecycleVersions(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	atNoon(a)
	v := newVersions(t, a.Config())
	v.setVersioning(types.BucketVersioningStatusEnabled)
	one := v.put("k", "one")
	two := v.put("k", "two")
	three := v.put("k", "three")
	must(v.client.PutBucketLifecycleConfiguration(t.Context(), &s3.PutBucketLifecycleConfigurationInput{
		Bucket: new("bucket"), LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{{
			Status: "Enabled", Filter: &types.LifecycleRuleFilter{}, Expiration: &types.LifecycleExpiration{Days: new(int32(10))},
			NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: new(int32(2)), NewerNoncurrentVersions: new(int32(1))},
		}}},
	}))
	a.FastForward(4 * 24 * time.Hour)
	v.want("k", "", "three")
	v.want("k", two, "two")
	_, err := v.get("k", one)
	refused(t, err, 404, "NoSuchVersion", "The specified version does not exist.")
	a.FastForward(8 * 24 * time.Hour)
	_, err = v.get("k", "")
	refused(t, err, 404, "NoSuchKey", "The specified key does not exist.")
	v.want("k", three, "three") // it is behind a delete marker now
}

// TestBucketRulesStay: CORS and lifecycle configurations are in the state file, with all
// that they have.
func TestBucketRulesStay(t *testing.T) {
	t.Parallel()
	config, again := persistent(t)
	ctx := t.Context()
	client := func() *s3.Client { return s3.NewFromConfig(config(), func(o *s3.Options) { o.UsePathStyle = true }) }
	bucket := new("bucket")
	must(client().CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket}))
	must(client().PutBucketCors(ctx, &s3.PutBucketCorsInput{Bucket: bucket, CORSConfiguration: &types.CORSConfiguration{CORSRules: []types.CORSRule{{
		ID: new("r"), AllowedMethods: []string{"GET"}, AllowedOrigins: []string{"*"}, AllowedHeaders: []string{"*"},
		ExposeHeaders: []string{"ETag"}, MaxAgeSeconds: new(int32(0)),
	}}}}))
	must(client().PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{Bucket: bucket,
		TransitionDefaultMinimumObjectSize: "varies_by_storage_class",
		LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{
			{ID: new("all"), Status: "Enabled", Filter: &types.LifecycleRuleFilter{And: &types.LifecycleRuleAndOperator{
				Prefix: new("p/"), Tags: []types.Tag{{Key: new("x"), Value: new("1")}}, ObjectSizeGreaterThan: new(int64(1)), ObjectSizeLessThan: new(int64(9)),
			}}, Expiration: &types.LifecycleExpiration{Date: new(time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC))},
				NoncurrentVersionTransitions: []types.NoncurrentVersionTransition{{NoncurrentDays: new(int32(3)), StorageClass: "GLACIER"}}},
			{ID: new("tag"), Status: "Disabled", Filter: &types.LifecycleRuleFilter{Tag: &types.Tag{Key: new("y"), Value: new("2")}},
				NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: new(int32(4)), NewerNoncurrentVersions: new(int32(5))}},
		}}}))
	rules := func() string {
		t.Helper()
		cors := must(client().GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: bucket})).CORSRules
		lifecycle := must(client().GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: bucket}))
		return string(must(json.Marshal([]any{cors, lifecycle.Rules, lifecycle.TransitionDefaultMinimumObjectSize})))
	}
	before := rules()
	for _, part := range []string{`"MaxAgeSeconds":0`, `"2030-01-02T00:00:00Z"`, `"ObjectSizeLessThan":9`, `"NewerNoncurrentVersions":5`, "varies_by_storage_class"} {
		if !strings.Contains(before, part) {
			t.Errorf("%s is not in %s", part, before)
		}
	}
	again()
	if after := rules(); after != before {
		t.Errorf("after a restart the rules are\n%s, and were\n%s", after, before)
	}
}
