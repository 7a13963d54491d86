package app

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/publish"
)

// A cluster with an issuer that others made, at a path of S3 and with a slash at
// its end: nothing is recorded before it answers, and then everything has its name
// as it is.
func TestAPIServerUpOfAnIssuerThatExists(t *testing.T) {
	aws := emulatortest.Start(t)
	useEmulator(t, aws)
	iss, err := issuer.Parse("https://s3." + emulatortest.Region + ".amazonaws.com/self-hosted/prod/")
	if err != nil {
		t.Fatal(err)
	}
	n := newcomerWith(t, aws, iss.String())
	n.controllers()
	unrecorded := func() {
		t.Helper()
		_, err := n.server.Client.CoreV1().ConfigMaps(cluster.Namespace).Get(t.Context(), "openirsa", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			t.Errorf("there is a record, or %v", err)
		}
		n.untouched(t)
	}
	const accounts = "- {metadata: {name: app}, attachPolicyARNs: [\"arn:aws:iam::aws:policy/ReadOnlyAccess\"]}\n"
	for range 2 { // a second try is no other than the first
		status, out, errs := n.up(accounts, "--issuer-url", iss.String())
		if status != 1 || !strings.Contains(errs, "issuer: ") || !strings.Contains(errs, "NoSuchBucket") {
			t.Errorf("status %d\n%s%s", status, out, errs)
		}
		unrecorded()
	}

	// Its documents as AWS's guide makes them: each key twice, once without an id.
	body, err := n.server.Client.Discovery().RESTClient().Get().AbsPath(issuer.JWKSPath).DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	set, err := keys.ParseJWKS(body)
	if err != nil {
		t.Fatal(err)
	}
	docs, err := discovery.Documents(iss, set)
	if err != nil {
		t.Fatal(err)
	}
	client := aws.S3(aws.Config())
	bucket := "self-hosted"
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	open := *aws.Issuer("unused") // whose bucket anybody may read
	open.Bucket = bucket
	open.Open()
	for _, d := range docs {
		o, _ := publish.ObjectAt(t.Context(), iss.At(d.Path))
		text := string(d.Body)
		if d.Path == issuer.JWKSPath {
			first := set.All()[0].KID
			text = strings.Replace(text, `{"keys":[`, `{"keys":[`+strings.Replace(strings.TrimSuffix(strings.TrimPrefix(text, `{"keys":[`), `]}`), first, "", 1)+`,`, 1)
		}
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &o.Bucket, Key: &o.Key, Body: strings.NewReader(text)}); err != nil {
			t.Fatal(err)
		}
	}
	r := n.report(accounts, "--issuer-url", iss.String())
	if r.Issuer != iss.String() {
		t.Errorf("issuer %q", r.Issuer)
	}
	arn := "arn:aws:iam::" + aws.Account() + ":oidc-provider/s3." + emulatortest.Region + ".amazonaws.com/self-hosted/prod/"
	if !slices.ContainsFunc(r.Links, func(l linkReport) bool { return l.Object == arn && l.Result == plan.Created }) {
		t.Errorf("no provider %s: %+v", arn, r.Links)
	}
	for _, l := range n.report(accounts, "--issuer-url", iss.String()).Links {
		if l.Result != plan.Unchanged {
			t.Errorf("a second run: %+v", l)
		}
	}
	n.diagnosed(iss, arn)
}

// diagnosed checks that doctor finds the documents, the provider and the role of
// the service account default/app good.
func (n *newcomer) diagnosed(iss issuer.URL, arn string) {
	n.Helper()
	var out, errs strings.Builder
	call(n.Context(), []string{"setup", "doctor", "--kubeconfig", n.server.Kubeconfig(), "--service-account", "default/app", "-o", "json"}, os.Getenv, &out, &errs)
	var r doctorReport
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil || r.Issuer != iss.String() || len(r.Accounts) != 1 {
		n.Fatalf("%v\n%s%s", err, out.String(), errs.String())
	}
	for check, says := range map[string]string{"discovery document": iss.Discovery(), "key set": "without key 1", "provider": arn, "trust policy": "", "AssumeRoleWithWebIdentity": ""} {
		i := slices.IndexFunc(r.Accounts[0].Findings, func(f finding) bool { return f.Check == check })
		if i < 0 {
			n.Errorf("%s: no finding in %s", check, out.String())
		} else if f := r.Accounts[0].Findings[i]; f.Result != doctor.OK || !strings.Contains(f.Summary, says) {
			n.Errorf("%s: %+v, want ok and %q", check, f, says)
		}
	}
}
