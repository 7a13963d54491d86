package managed_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/managed"
	"github.com/openirsa/openirsa/pkg/policy"
)

// Policies that the guides for IAM roles for service accounts name, as the
// AWS Managed Policy Reference Guide shows them.
func TestKnownPolicies(t *testing.T) {
	for _, c := range []struct{ arn, path, id, version, statement string }{
		{
			"arn:aws:iam::aws:policy/IAMReadOnlyAccess", "/", "ANPAJKSO7NDY4T57MWDSQ", "v4",
			`{"Effect":"Allow","Action":["iam:GenerateCredentialReport","iam:GenerateServiceLastAccessedDetails","iam:Get*","iam:List*","iam:SimulateCustomPolicy","iam:SimulatePrincipalPolicy"],"Resource":"*"}`,
		},
		{
			"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess", "/", "ANPAIZTJ4DXE7G6AGAE6M", "v3",
			`{"Effect":"Allow","Action":["s3:Get*","s3:List*","s3:Describe*","s3-object-lambda:Get*","s3-object-lambda:List*"],"Resource":"*"}`,
		},
		{
			"arn:aws:iam::aws:policy/AmazonS3FullAccess", "/", "ANPAIFIR6V6BVTRAHWINE", "v2",
			`{"Effect":"Allow","Action":["s3:*","s3-object-lambda:*"],"Resource":"*"}`,
		},
		{
			"arn:aws:iam::aws:policy/AdministratorAccess", "/", "ANPAIWMBCKSKIEE64ZLYK", "v1",
			`{"Effect":"Allow","Action":"*","Resource":"*"}`,
		},
		{"arn:aws:iam::aws:policy/IAMFullAccess", "/", "", "v2", ""},
		{"arn:aws:iam::aws:policy/PowerUserAccess", "/", "", "v12", ""},
		{"arn:aws:iam::aws:policy/job-function/ViewOnlyAccess", "/job-function/", "", "v45", ""},
		{"arn:aws:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy", "/service-role/", "", "", ""},
		{"arn:aws:iam::aws:policy/aws-service-role/AWSSupportServiceRolePolicy", "/aws-service-role/", "", "", ""},
		{"arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy", "/", "", "", ""},
		{"arn:aws:iam::aws:policy/AmazonSQSFullAccess", "/", "", "", ""},
		{"arn:aws:iam::aws:policy/AmazonDynamoDBReadOnlyAccess", "/", "", "", ""},
		{"arn:aws:iam::aws:policy/CloudWatchAgentServerPolicy", "/", "", "", ""},
		{"arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly", "/", "", "", ""},
		{"arn:aws:iam::aws:policy/ReadOnlyAccess", "/", "", "", ""},
		{"arn:aws:iam::aws:policy/SecurityAudit", "/", "", "", ""},
	} {
		p, ok := managed.Get(c.arn)
		if !ok {
			t.Errorf("%s is missing", c.arn)
			continue
		}
		if p.ARN != c.arn || p.Path != c.path || !strings.HasSuffix(c.arn, p.Path+p.Name) {
			t.Errorf("%s: %+v", c.arn, p)
		}
		if c.id != "" && p.ID != c.id || c.version != "" && p.DefaultVersion != c.version {
			t.Errorf("%s: id %s, version %s", c.arn, p.ID, p.DefaultVersion)
		}
		doc, ok := managed.Document(c.arn, p.DefaultVersion)
		if !ok {
			t.Errorf("%s has no document", c.arn)
			continue
		}
		if c.statement == "" {
			continue
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, doc); err != nil {
			t.Error(err)
		}
		if want := `{"Version":"2012-10-17","Statement":[` + c.statement + `]}`; compact.String() != want {
			t.Errorf("%s:\n got %s\nwant %s", c.arn, compact.String(), want)
		}
	}
}

func TestDates(t *testing.T) {
	p, _ := managed.Get("arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
	want := managed.Policy{
		ARN: "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess", Name: "AmazonS3ReadOnlyAccess", Path: "/", ID: "ANPAIZTJ4DXE7G6AGAE6M",
		DefaultVersion: "v3",
		CreateDate:     time.Date(2015, 2, 6, 18, 40, 59, 0, time.UTC), UpdateDate: time.Date(2023, 8, 10, 21, 31, 39, 0, time.UTC),
	}
	if p.CreateDate != want.CreateDate || p.UpdateDate != want.UpdateDate || p.Versions[2].CreateDate != want.UpdateDate {
		t.Errorf("%+v", p)
	}
}

func TestDocumentIsIndentedAsAWSDoes(t *testing.T) {
	doc, _ := managed.Document("arn:aws:iam::aws:policy/AdministratorAccess", "v1")
	const want = `{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "*",
            "Resource": "*"
        }
    ]
}`
	if string(doc) != want {
		t.Errorf("%s", doc)
	}
}

func TestPartitions(t *testing.T) {
	const arn = "arn:aws-cn:iam::aws:policy/AmazonEKSWorkerNodePolicy"
	p, ok := managed.Get(arn)
	if !ok || p.ARN != arn {
		t.Fatalf("%t, %+v", ok, p)
	}
	const cni = "arn:aws-cn:iam::aws:policy/AmazonEKS_CNI_Policy"
	p, _ = managed.Get(cni)
	doc, _ := managed.Document(cni, p.DefaultVersion)
	if bytes.Contains(doc, []byte(`"arn:aws:`)) || !bytes.Contains(doc, []byte(`"arn:aws-cn:ec2:*:*:network-interface/*"`)) {
		t.Errorf("%s", doc)
	}
}

func TestMissing(t *testing.T) {
	for _, arn := range []string{
		"", "arn:", "IAMReadOnlyAccess", "arn:aws:iam::aws:policy/", "arn:aws:iam::aws:policy/Nope", "arn::iam::aws:policy/IAMReadOnlyAccess",
		"arn:aws:iam::123456789012:policy/IAMReadOnlyAccess", "arn:aws:iam::aws:policy/service-role/IAMReadOnlyAccess",
		"arn:aws:iam::aws:policy/iamreadonlyaccess", "arn:aws:x:iam::aws:policy/IAMReadOnlyAccess",
	} {
		if p, ok := managed.Get(arn); ok {
			t.Errorf("%q: %+v", arn, p)
		}
		if _, ok := managed.Document(arn, "v1"); ok {
			t.Errorf("%q has a document", arn)
		}
	}
	for _, version := range []string{"", "v0", "v5", "4", "v04"} {
		if _, ok := managed.Document("arn:aws:iam::aws:policy/IAMReadOnlyAccess", version); ok {
			t.Errorf("IAMReadOnlyAccess has a version %q", version)
		}
	}
}

// AWS's own documents are the best vectors there are for the grammar.
func TestAll(t *testing.T) {
	all := managed.All("aws")
	if len(all) < 1500 {
		t.Errorf("%d policies", len(all))
	}
	if !slices.IsSortedFunc(all, func(a, b managed.Policy) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not sorted by name")
	}
	form := regexp.MustCompile(`^ANPA[A-Z2-7]{17}$`)
	ids := map[string]string{}
	documents := 0
	for _, p := range all {
		if !form.MatchString(p.ID) || ids[p.ID] != "" {
			t.Errorf("%s has the id %s of %q", p.Name, p.ID, ids[p.ID])
		}
		ids[p.ID] = p.Name
		if p.UpdateDate.Before(p.CreateDate) || p.Versions[len(p.Versions)-1].ID != p.DefaultVersion {
			t.Errorf("%+v", p)
		}
		versions := p.Versions
		if testing.Short() {
			versions = versions[len(versions)-1:]
		}
		before := p.CreateDate
		for _, v := range versions {
			if v.CreateDate.Before(before) {
				t.Errorf("%s %s of %v is older than what was before", p.Name, v.ID, v.CreateDate)
			}
			before = v.CreateDate
			doc, ok := managed.Document(p.ARN, v.ID)
			if !ok {
				t.Errorf("%s has no document %s", p.Name, v.ID)
				continue
			}
			parsed, err := policy.Parse(policy.Identity, doc)
			if err == nil {
				err = parsed.CheckNew("aws")
			}
			if err != nil {
				t.Errorf("%s %s: %v\n%s", p.Name, v.ID, err, doc[:min(len(doc), 300)])
			}
			documents++
		}
	}
	t.Logf("%d policies, %d documents", len(all), documents)
}

func BenchmarkDocument(b *testing.B) {
	for b.Loop() {
		if _, ok := managed.Document("arn:aws:iam::aws:policy/IAMReadOnlyAccess", "v4"); !ok {
			b.Fatal("missing")
		}
	}
}
