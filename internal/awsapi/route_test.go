package awsapi_test

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/internal/awsapi"
)

func TestRoute(t *testing.T) {
	for _, c := range []struct {
		signing, request string
		want             string
	}{
		{"lambda", "GET /2015-03-31/functions/web", "lambda GetFunction FunctionName=web"},
		{"lambda", "GET /2015-03-31/functions", "lambda ListFunctions"},
		{"lambda", "GET /2015-03-31/functions/", "lambda ListFunctions"},
		{"lambda", "GET //2015-03-31//functions/web/", "lambda GetFunction FunctionName=web"},
		{"lambda", "POST /2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Aweb/invocations",
			"lambda Invoke FunctionName=arn:aws:lambda:eu-west-1:123456789012:function:web"},
		{"lambda", "GET /2017-03-31/tags/arn:aws:lambda:eu-west-1:123456789012:function:web",
			"lambda ListTags Resource=arn:aws:lambda:eu-west-1:123456789012:function:web"},
		{"lambda", "GET /2018-10-31/layers?find=LayerVersion&Arn=x", "lambda GetLayerVersionByArn"},
		{"lambda", "GET /2018-10-31/layers", "lambda ListLayers"},
		{"lambda", "PATCH /2015-03-31/functions/web", ""},
		{"lambda", "GET /", ""},
		{"s3", "GET /", "s3 ListBuckets"},
		{"s3", "GET /b?list-type=2", "s3 ListObjectsV2 Bucket=b"},
		{"s3", "GET /b/", "s3 ListObjects Bucket=b"},
		{"s3", "GET /b/a%2Fb/c%20d/", "s3 GetObject Bucket=b Key=a/b/c d/"},
		{"s3", "GET /b//k", "s3 GetObject Bucket=b Key=/k"},
		{"s3", "PUT /b/k", "s3 PutObject Bucket=b Key=k"},
		{"s3", "PUT /b/k?partNumber=1&uploadId=u", "s3 UploadPart Bucket=b Key=k"},
		{"s3", "DELETE /b/k?uploadId=u", "s3 AbortMultipartUpload Bucket=b Key=k"},
		{"s3", "GET /b?inventory", "s3 ListBucketInventoryConfigurations Bucket=b"},
		{"s3", "GET /b?inventory&id=7", "s3 GetBucketInventoryConfiguration Bucket=b"},
		{"s3", "GET /b?lifecycle", "s3 GetBucketLifecycleConfiguration Bucket=b"},
		{"execute-api", "POST /%40connections/abc%3D", "apigatewaymanagementapi PostToConnection ConnectionId=abc="},
		{"workspaces-web", "PUT /portals/arn:aws:workspaces-web:eu-west-1:1:portal/p/userSettings?userSettingsArn=x",
			"workspaces-web AssociateUserSettings portalArn=arn:aws:workspaces-web:eu-west-1:1:portal/p"},
		{"eks", "GET /clusters/c/node-groups/n", "eks DescribeNodegroup clusterName=c nodegroupName=n"},
		{"route53", "POST /2013-04-01/hostedzone/Z1/rrset", "route53 ChangeResourceRecordSets HostedZoneId=Z1"},
		{"bedrock", "POST /model/anthropic.claude-v2%3A1/converse", "bedrock-runtime Converse modelId=anthropic.claude-v2:1"},
		{"bedrock", "GET /tags/arn%3Aaws%3Abedrock", "bedrock-agent ListTagsForResource resourceArn=arn:aws:bedrock, " +
			"bedrock-agent-runtime ListTagsForResource resourceArn=arn:aws:bedrock"},
		{"dynamodb", "POST /", ""},
		{"nosuch", "GET /", ""},
		{"eks", "GET /clusters/%zz", ""},
		{"eks", "GET clusters/c", ""},
		{"eks", "GET /clusters/" + strings.Repeat("c", 8<<10), ""},
	} {
		method, uri, _ := strings.Cut(c.request, " ")
		path, query, _ := strings.Cut(uri, "?")
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, m := range awsapi.Route(c.signing, method, path, values) {
			var got strings.Builder
			got.WriteString(m.Model.Name + " " + m.Operation.Name)
			for _, label := range slices.Sorted(maps.Keys(m.Labels)) {
				got.WriteString(" " + label + "=" + m.Labels[label])
			}
			all = append(all, got.String())
		}
		if got := strings.Join(all, ", "); got != c.want {
			t.Errorf("%s %s:\n got %s\nwant %s", c.signing, c.request, got, c.want)
		}
	}
}

// rendered is a request for an operation, as clients make it: labels are escaped,
// and in greedy ones slashes are not.
func rendered(op *awsapi.Operation) (path string, query url.Values, labels map[string]string) {
	template, fixed, _ := strings.Cut(op.Template, "?")
	query, _ = url.ParseQuery(fixed)
	labels = map[string]string{}
	for _, m := range op.Members {
		switch {
		case m.In == awsapi.InPath && strings.Contains(template, "{"+m.WireName+"+}"):
			labels[m.Name] = "arn:aws:s/ß 1/" + m.Name
			escaped := strings.ReplaceAll(url.PathEscape(labels[m.Name]), "%2F", "/")
			template = strings.Replace(template, "{"+m.WireName+"+}", escaped, 1)
		case m.In == awsapi.InPath:
			labels[m.Name] = "arn:aws:s:r:1:t/" + m.Name + "?%2F+"
			template = strings.Replace(template, "{"+m.WireName+"}", url.QueryEscape(labels[m.Name]), 1)
		case m.In == awsapi.InQuery && m.Required:
			query.Set(m.WireName, "x")
		}
	}
	return template, query, labels
}

// inHeaders are the operations of which only a header tells.
var inHeaders = map[string]string{
	"s3 CopyObject":           "PutObject",
	"s3 UploadPartCopy":       "UploadPart",
	"s3 ListDirectoryBuckets": "ListBuckets", // the host tells
	// Deprecated, and the same requests.
	"s3 GetBucketLifecycle":    "GetBucketLifecycleConfiguration",
	"s3 PutBucketLifecycle":    "PutBucketLifecycleConfiguration",
	"s3 GetBucketNotification": "GetBucketNotificationConfiguration",
	"s3 PutBucketNotification": "PutBucketNotificationConfiguration",
}

// TestEveryRoute finds the operation of every REST request again, and its labels.
func TestEveryRoute(t *testing.T) {
	routes, shared := 0, 0
	for _, m := range awsapi.Models() {
		if !strings.HasPrefix(m.Protocol, "rest-") {
			continue
		}
		for _, name := range m.Operations() {
			routes++
			op := m.Operation(name)
			path, query, labels := rendered(op)
			got, found := m.Route(op.Method, path, query)
			want := name
			if other := inHeaders[m.Name+" "+name]; other != "" {
				want = other
			}
			if got == nil || got.Name != want {
				t.Errorf("%s %s: %s %s?%s is %+v", m.Name, name, op.Method, path, query.Encode(), got)
				continue
			}
			if d := cmp.Diff(labels, found); d != "" {
				t.Errorf("%s %s: %s", m.Name, name, d)
			}
			matches := awsapi.Route(m.SigningName, op.Method, path, query)
			if len(matches) > 1 {
				shared++
			}
			if !slices.ContainsFunc(matches, func(f awsapi.Match) bool { return f.Model == m && f.Operation.Name == want }) {
				t.Errorf("%s %s is taken for another service's: %s of %s", m.Name, name, matches[0].Operation.Name, matches[0].Model.Name)
			}
		}
	}
	if routes < 9_763 || shared > 189 {
		t.Errorf("%d routes, %d of which several services have", routes, shared)
	}
}

func FuzzRoute(f *testing.F) {
	for _, seed := range []string{"GET /2015-03-31/functions/web", "GET /b/a%2Fb/c?uploads", "PUT /b//%zz", "DELETE /portals/a/b/c/userSettings",
		"POST /%40connections/x", "GET //", "GET /tags/%00?a=b;c"} {
		method, uri, _ := strings.Cut(seed, " ")
		path, query, _ := strings.Cut(uri, "?")
		f.Add(method, path, query)
	}
	var models []*awsapi.Model
	for _, name := range []string{"s3", "lambda", "workspaces-web", "apigatewaymanagementapi", "bedrock-agent", "iot"} {
		models = append(models, awsapi.ByName(name))
	}
	f.Fuzz(func(t *testing.T, method, path, query string) {
		values, _ := url.ParseQuery(query)
		for _, m := range models {
			op, labels := m.Route(method, path, values)
			if op == nil {
				if labels != nil {
					t.Errorf("%s: labels %v of nothing", m.Name, labels)
				}
				continue
			}
			inPath := 0
			for _, member := range op.Members {
				if member.In == awsapi.InPath {
					inPath++
					if labels[member.Name] == "" {
						t.Errorf("%s %s: no label %s in %v", m.Name, op.Name, member.Name, labels)
					}
				}
			}
			if inPath != len(labels) || op.Method != method {
				t.Errorf("%s %s: %s %s has the labels %v", m.Name, op.Name, method, path, labels)
			}
		}
	})
}

func BenchmarkRoute(b *testing.B) {
	for b.Loop() {
		if awsapi.Route("lambda", "POST", "/2015-03-31/functions/web/invocations", nil) == nil {
			b.Fatal("no route")
		}
	}
}

// BenchmarkFirst is what the first request of all costs, which is one for the
// service that has most.
func BenchmarkFirst(b *testing.B) {
	for b.Loop() {
		awsapi.Forget()
		if awsapi.ByName("ec2").Operation("RunInstances") == nil || awsapi.Reference("ec2") == nil {
			b.Fatal("no RunInstances")
		}
	}
}
