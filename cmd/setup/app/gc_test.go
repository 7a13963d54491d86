package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/podidentity"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/sweep"
	"github.com/openirsa/openirsa/pkg/token"
	"github.com/openirsa/openirsa/pkg/trust"
)

// yard is an account in which clusters have left things.
type yard struct {
	t    *testing.T
	aws  *emulatortest.AWS
	acct *account.Account
	keys keys.Set
}

func newYard(t *testing.T) *yard {
	t.Helper()
	y := &yard{t: t, aws: emulatortest.Start(t)}
	useEmulator(t, y.aws)
	var err error
	if y.acct, err = (&app{Invocation: called("setup")}).connectAWS(t.Context(), "", nil); err != nil {
		t.Fatal(err)
	}
	key, err := keys.Generate(keys.ES256)
	if err == nil {
		y.keys, err = keys.NewSet(key.Public())
	}
	if err != nil {
		t.Fatal(err)
	}
	return y
}

// documents are those of an issuer in a bucket.
func (y *yard) documents(bucket, prefix string) publish.S3 {
	return publish.S3{
		Client: y.acct.S3, Account: y.acct.ID, Partition: y.acct.Partition, Region: emulatortest.Region, Bucket: bucket, Prefix: prefix,
	}
}

func (y *yard) run(steps []plan.Step, err error) {
	y.t.Helper()
	if err == nil {
		err = plan.Run(y.t.Context(), steps, nil)
	}
	if err != nil {
		y.t.Fatal(err)
	}
}

// cluster makes links 2 to 5 of one, as `up` does. With a prefix its documents
// are in a bucket that is not its own.
func (y *yard) cluster(name, expires, bucket, prefix string) issuer.URL {
	y.t.Helper()
	iss, err := publish.Issuer(y.t.Context(), bucket, prefix, emulatortest.Region)
	if err != nil {
		y.t.Fatal(err)
	}
	place := y.documents(bucket, prefix)
	place.Owned = prefix == ""
	y.clusterAt(name, expires, place, iss)
	return iss
}

func (y *yard) clusterAt(name, expires string, place publish.S3, iss issuer.URL) {
	y.t.Helper()
	ctx := y.t.Context()
	tags := owner.Tags(name, "uid-"+name)
	if expires != "" {
		tags[owner.ExpiresTag] = expires
	}
	docs, err := discovery.Documents(iss, y.keys)
	if err != nil {
		y.t.Fatal(err)
	}
	place.Tags = tags
	y.run(place.Plan(ctx, docs))
	y.run(provider.Plan(ctx, y.acct.IAM, provider.Provider{ARN: iss.ProviderARN("aws", y.acct.ID), Issuer: iss, ClientIDs: []string{irsa.Audience}, Tags: tags}))
	y.role(iss, name, role.NameFor(name, "default", "app"), false)
}

func (y *yard) role(iss issuer.URL, cluster, name string, share bool) {
	y.t.Helper()
	document, err := trust.Policy{Providers: []trust.Provider{{ARN: iss.ProviderARN("aws", y.acct.ID), Issuer: iss, Audience: irsa.Audience, Subjects: []string{token.Subject("default", "app")}}}}.Document()
	if err != nil {
		y.t.Fatal(err)
	}
	y.run(role.Plan(y.t.Context(), y.acct.IAM, role.Role{Name: name, Path: role.PathFor(cluster), Trust: document, PolicyARNs: []string{readOnly}, Tags: owner.Tags(cluster, "uid-"+cluster), Shared: share}))
}

// gc runs the command and returns what it says of each cluster.
func (y *yard) gc(o gcOptions, after time.Duration) (map[string]*gcCluster, error) {
	y.t.Helper()
	var out bytes.Buffer
	o.now = func() time.Time { return time.Now().Add(after) }
	err := (&app{Invocation: called("setup"), out: &out, err: &out, output: "json"}).gc(y.t.Context(), o)
	var r gcReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		y.t.Fatalf("%v: %s", err, out.String())
	}
	clusters := map[string]*gcCluster{}
	for _, c := range r.Clusters {
		clusters[c.Cluster] = c
	}
	return clusters, err
}

// there lists everything in the account.
func (y *yard) there() []string {
	y.t.Helper()
	ctx := y.t.Context()
	var all []string
	providers, err := y.acct.IAM.ListOpenIDConnectProviders(ctx, &iam.ListOpenIDConnectProvidersInput{})
	if err != nil {
		y.t.Fatal(err)
	}
	for _, p := range providers.OpenIDConnectProviderList {
		all = append(all, "provider "+(*p.Arn)[strings.LastIndex(*p.Arn, "oidc-provider/")+len("oidc-provider/"):])
	}
	roles, err := role.List(ctx, y.acct.IAM, "/")
	if err != nil {
		y.t.Fatal(err)
	}
	for _, r := range roles {
		all = append(all, "role "+r.Name)
	}
	buckets, err := y.acct.S3.ListBuckets(ctx, &s3.ListBucketsInput{})
	if err != nil {
		y.t.Fatal(err)
	}
	for _, b := range buckets.Buckets {
		objects, err := y.acct.S3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: b.Name})
		if err != nil {
			y.t.Fatal(err)
		}
		all = append(all, "bucket "+*b.Name)
		for _, o := range objects.Contents {
			all = append(all, "object "+*b.Name+"/"+*o.Key)
		}
	}
	clusters, err := eks.NewFromConfig(y.acct.Config).ListClusters(ctx, &eks.ListClustersInput{})
	if err != nil {
		y.t.Fatal(err)
	}
	for _, name := range clusters.Clusters {
		associations, err := podidentity.List(ctx, eks.NewFromConfig(y.acct.Config), name, podidentity.Filter{})
		if err != nil {
			y.t.Fatal(err)
		}
		for _, a := range associations {
			all = append(all, "association of "+name+": "+a.String())
		}
	}
	slices.Sort(all)
	return all
}

// associate makes what EKS Pod Identity has of a cluster: EKS knows it, and a service
// account has an association and a role for it.
func (y *yard) associate(cluster, name string) {
	y.t.Helper()
	ctx := y.t.Context()
	arn, err := y.aws.RegisterCluster(emulator.EKSCluster{Name: cluster, Region: emulatortest.Region, Account: y.acct.ID})
	if err != nil {
		y.t.Fatal(err)
	}
	document, err := trust.WithPods(nil, trust.Pods{ClusterARN: arn, Namespace: "default", ServiceAccount: name})
	if err != nil {
		y.t.Fatal(err)
	}
	tags := owner.Tags(cluster, "uid-"+cluster)
	r := role.Role{Name: role.NameForPods(cluster, "default", name), Path: role.PathFor(cluster), Trust: document, PolicyARNs: []string{readOnly}, Tags: tags}
	y.run(role.Plan(ctx, y.acct.IAM, r))
	y.run(podidentity.Plan(ctx, eks.NewFromConfig(y.acct.Config), podidentity.Association{
		Cluster: cluster, Namespace: "default", ServiceAccount: name, RoleARN: r.ARNIn("aws", y.acct.ID), Tags: tags,
	}))
}

// The associations of a cluster that is gone go, and those of others stay: of a cluster
// that lives, and what somebody else has associated in the one that is gone.
func TestGCAssociations(t *testing.T) {
	y := newYard(t)
	y.cluster("ci-own", in(time.Hour), "openirsa-ci-own", "")
	y.cluster("live", "", "openirsa-live", "")
	y.associate("live", "app")
	before := y.there()
	y.associate("ci-own", "app")
	client := eks.NewFromConfig(y.acct.Config)
	y.run(podidentity.Plan(t.Context(), client, podidentity.Association{
		Cluster: "ci-own", Namespace: "default", ServiceAccount: "somebodys",
		RoleARN: role.Role{Name: role.NameForPods("live", "default", "app"), Path: role.PathFor("live")}.ARNIn("aws", y.acct.ID),
	}))
	clusters, err := y.gc(gcOptions{approve: true}, 2*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if c := clusters["ci-own"]; c == nil || c.Result != plan.Deleted || !slices.Contains(c.Things, "association default/app") || len(c.Things) != 6 {
		t.Errorf("%+v", c)
	}
	if c := clusters["live"]; c == nil || c.Remove || !slices.Contains(c.Things, "association default/app") {
		t.Errorf("%+v", c)
	}
	after := y.there()
	for _, thing := range []string{"association of live: default/app", "association of ci-own: default/somebodys"} {
		if !slices.Contains(after, thing) {
			t.Errorf("%s is gone: %q", thing, after)
		}
	}
	if slices.Contains(after, "association of ci-own: default/app") || len(after) >= len(before) {
		t.Errorf("left are %q", after)
	}
}

func in(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }

const day = 24 * time.Hour

func TestGC(t *testing.T) {
	y := newYard(t)
	y.cluster("prod", "", "openirsa-prod", "")
	y.aws.Role("somebodys", y.aws.Issuer("somebodys").Trust("default", "app"))
	if _, err := y.acct.S3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: new("fleet")}); err != nil {
		t.Fatal(err)
	}
	kept := y.cluster("ci-kept", "", "fleet", "kept")
	y.role(kept, "ci-kept", "shared", true)
	before := y.there()

	y.cluster("ci-own", in(6*time.Hour), "openirsa-ci-own", "")
	tenant := y.cluster("job", in(6*time.Hour), "fleet", "job")
	y.role(tenant, "job", "shared", true)
	y.cluster("ci-plain", "", "openirsa-ci-plain", "")
	all := y.there()

	// Before the time nothing is due; without --approve nothing is done.
	due := func(clusters map[string]*gcCluster) []string {
		return slices.Sorted(maps.Keys(maps.Collect(func(yield func(string, bool) bool) {
			for name, c := range clusters {
				if c.Remove && !yield(name, true) {
					return
				}
			}
		})))
	}
	check := func(what string, clusters map[string]*gcCluster, want ...string) {
		t.Helper()
		if got := due(clusters); !slices.Equal(got, want) {
			t.Errorf("%s: due are %q, want %q", what, got, want)
		}
	}
	got, err := y.gc(gcOptions{olderThan: day, approve: true}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	check("after an hour", got)
	if !slices.Equal(y.there(), all) || !strings.Contains(got["ci-own"].Why, "expires in ") || !strings.Contains(got["prod"].Why, "--expires") {
		t.Errorf("%q, %+v", y.there(), got["ci-own"])
	}
	if _, ok := got["somebodys"]; ok || len(got) != 5 {
		t.Errorf("%d clusters", len(got))
	}
	// Production is old, and not touched.
	got, err = y.gc(gcOptions{olderThan: day}, 1000*day)
	if err != nil {
		t.Fatal(err)
	}
	check("after years", got, "ci-own", "job")
	if !slices.Equal(y.there(), all) || got["job"].Result != plan.Planned {
		t.Errorf("a dry run changed something: %+v", got["job"])
	}
	got, err = y.gc(gcOptions{olderThan: day, prefixes: []string{"ci-"}, keep: []string{"*-kept"}}, 12*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	check("within --older-than", got, "ci-own", "job")
	if !strings.Contains(got["ci-kept"].Why, "--keep") || !strings.Contains(got["ci-plain"].Why, "wrote something") {
		t.Errorf("%q, %q", got["ci-kept"].Why, got["ci-plain"].Why)
	}

	got, err = y.gc(gcOptions{olderThan: day, prefixes: []string{"ci-"}, keep: []string{"*-kept"}, approve: true}, 2*day)
	if err != nil {
		t.Fatal(err)
	}
	check("after two days", got, "ci-own", "ci-plain", "job")
	if now := y.there(); !slices.Equal(now, before) {
		t.Errorf("there is\n%s\nwant\n%s", strings.Join(now, "\n"), strings.Join(before, "\n"))
	}
	shared, _, err := role.Get(t.Context(), y.acct.IAM, "shared")
	if err != nil || !slices.Equal(trust.Providers(shared.Trust), []string{kept.ProviderARN("aws", y.acct.ID)}) {
		t.Errorf("the shared role trusts %q, %v", trust.Providers(shared.Trust), err)
	}
	got, err = y.gc(gcOptions{olderThan: day, prefixes: []string{"ci-"}, keep: []string{"*-kept"}, approve: true}, 2*day)
	if err != nil {
		t.Fatal(err)
	}
	check("again", got)
}

// What cannot be removed is told, makes the command fail, and does not stop the
// rest; the next run removes it.
func TestGCFails(t *testing.T) {
	y := newYard(t)
	y.cluster("one", in(-time.Hour), "openirsa-one", "")
	y.cluster("two", in(-time.Hour), "openirsa-two", "")
	y.aws.Inject(emulator.Fault{Action: "iam:DeleteOpenIDConnectProvider", Code: "AccessDenied", Times: 1})
	got, err := y.gc(gcOptions{approve: true}, 0)
	if err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("error %v", err)
	}
	failed := 0
	for _, c := range got {
		if c.Error != "" {
			failed++
		}
	}
	if failed != 1 || len(y.there()) == 0 {
		t.Errorf("%d failed; there is %q", failed, y.there())
	}
	if _, err := y.gc(gcOptions{approve: true}, 0); err != nil {
		t.Fatal(err)
	}
	if left := y.there(); len(left) != 0 {
		t.Errorf("left is %q", left)
	}

	// A bucket into which somebody has put something stays, and is told of.
	y.cluster("three", in(-time.Hour), "openirsa-three", "")
	if _, err := y.acct.S3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("openirsa-three"), Key: new("precious"), Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	if _, err := y.gc(gcOptions{approve: true}, 0); err == nil || !strings.Contains(err.Error(), "openirsa-three") {
		t.Errorf("error %v", err)
	}
	if left := y.there(); !slices.Equal(left, []string{"bucket openirsa-three", "object openirsa-three/precious"}) {
		t.Errorf("left is %q", left)
	}
}

// A role whose path and trust policy tell of no cluster is found all the same.
func TestGCMisspeltTrust(t *testing.T) {
	y := newYard(t)
	want := role.Role{Name: "reader", Path: "/team/", Description: role.Describe("ci-1", "default/app"), Trust: []byte(y.aws.Issuer("other").Trust("default", "app")), Tags: owner.Tags("ci-1", "1")}
	y.run(role.Plan(t.Context(), y.acct.IAM, want))
	if _, err := y.gc(gcOptions{prefixes: []string{"ci-"}, approve: true}, day); err != nil {
		t.Error(err)
	}
	if _, ok, err := role.Get(t.Context(), y.acct.IAM, "reader"); ok || err != nil {
		t.Errorf("it is still there: %v", err)
	}
}

// The documents of a private bucket are below the path of an issuer that is not
// at S3.
func TestGCPrivateBucket(t *testing.T) {
	y := newYard(t)
	iss, err := issuer.Parse("https://oidc.example.com/teams/ci")
	if err != nil {
		t.Fatal(err)
	}
	place := y.documents("openirsa-private", "teams/ci")
	place.Owned, place.Private = true, true
	y.clusterAt("private", in(-time.Hour), place, iss)
	got, err := y.gc(gcOptions{}, 0)
	if err != nil || !slices.Contains(got["private"].Things, "documents s3://openirsa-private/teams/ci") {
		t.Fatalf("%+v, %v", got["private"], err)
	}
	if _, err := y.gc(gcOptions{approve: true}, 0); err != nil {
		t.Error(err)
	}
	if left := y.there(); len(left) != 0 {
		t.Errorf("left is %q", left)
	}
}

// IAM and S3 may go on telling for a moment of what was removed. What others have
// put into a bucket is told of at once.
func TestLateAnswers(t *testing.T) {
	y := newYard(t)
	ctx := t.Context()
	y.cluster("one", "", "openirsa-one", "")
	all, err := sweep.Find(ctx, y.acct)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d clusters, %v", len(all), err)
	}
	soon := func(steps []plan.Step, err error) <-chan error {
		done := make(chan error, 1)
		time.AfterFunc(100*time.Millisecond, func() { done <- errors.Join(err, plan.Run(ctx, steps, nil)) })
		return done
	}
	done := soon(all[0].Plan(ctx, y.acct))
	if err := all[0].Gone(ctx, y.acct); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	y.cluster("two", "", "openirsa-two", "")
	b := y.documents("openirsa-two", "")
	b.Owned, b.Tags = true, owner.Tags("two", "uid-two")
	done = soon(b.Delete(ctx, discovery.Paths))
	y.aws.Inject(emulator.Fault{Action: "s3:ListObjectsV2", Code: "NoSuchBucket", Status: 404, Times: 1})
	if stays, err := b.Stays(ctx, discovery.Paths); stays || err != nil {
		t.Errorf("it stays: %v, %v", stays, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	y.cluster("three", "", "openirsa-three", "")
	b.Bucket, b.Tags = "openirsa-three", owner.Tags("three", "uid-three")
	if _, err := y.acct.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.Bucket, Key: new("precious"), Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	y.run(b.Delete(ctx, discovery.Paths))
	asked := func() int { return len(y.aws.Events(emulator.EventFilter{Action: "s3:*"})) }
	before := asked()
	if stays, err := b.Stays(ctx, discovery.Paths); !stays || err != nil {
		t.Errorf("it does not stay: %v", err)
	}
	if n := asked() - before; n == 0 || n > 4 { // for the bucket, twice, what is in it, and its policy
		t.Errorf("asked %d times", n)
	}
}

// Sixty clusters, of the 100 providers that an account may have.
func TestGCMany(t *testing.T) {
	if testing.Short() {
		t.Skip("sixty clusters are not short")
	}
	y := newYard(t)
	for _, name := range numbered(60) {
		y.cluster(name, in(-time.Hour), "openirsa-"+name, "")
	}
	got, err := y.gc(gcOptions{approve: true}, 0)
	if err != nil || len(got) != 60 {
		t.Errorf("%d clusters, %v", len(got), err)
	}
	if left := y.there(); len(left) != 0 {
		t.Errorf("left is %q", left)
	}
}

func TestExpiry(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	check := func(flag, there, want string) {
		t.Helper()
		got, err := chain.Expiry(flag, there, now)
		if err != nil || got != want {
			t.Errorf("chain.Expiry(%q, %q) = %q, %v, want %q", flag, there, got, err, want)
		}
	}
	check("6h", "", "2026-11-23T18:00:00Z")
	check("6h", "2026-11-23T17:00:00Z", "2026-11-23T17:00:00Z") // more than half is left
	check("6h", "2026-11-23T14:00:00Z", "2026-11-23T18:00:00Z")
	check("1h", "2026-11-23T17:00:00Z", "2026-11-23T13:00:00Z") // sooner than before
	check("6h", "never", "2026-11-23T18:00:00Z")
	check("never", "2026-11-23T17:00:00Z", "never")
	for _, bad := range []string{"soon", "-1h", "0", "0s"} {
		if got, err := chain.Expiry(bad, "", now); err == nil {
			t.Errorf("chain.Expiry(%q) = %q", bad, got)
		}
	}
}
