package change

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/kubefake"
	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/token"
)

// The new provider takes the audiences of the previous one, also those that this
// gets while both are there.
func TestMigrationKeepsAudiences(t *testing.T) {
	aws := emulatortest.Start(t)
	acct, err := account.Connect(t.Context(), account.Options{Region: "eu-west-1", Endpoint: aws.URL})
	if err != nil {
		t.Fatal(err)
	}
	at := func(url string) record.Location {
		iss, err := issuer.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		return record.Location{Issuer: url, Provider: iss.ProviderARN(acct.Partition, acct.ID)}
	}
	c := &record.Change{Migration: &record.Migration{From: at("https://a.example"), To: at("https://b.example")}}
	m := &migration{share(&chain.Chain{Account: acct}, c, Options{}, nil)}
	from, err := m.at(m.change.Migration.From)
	if err != nil {
		t.Fatal(err)
	}
	to, err := m.at(m.change.Migration.To)
	if err != nil {
		t.Fatal(err)
	}
	former := from.Provider(nil)
	for _, audience := range []string{"my-aud", "another"} {
		former.ClientIDs = append(former.ClientIDs, audience)
		steps, err := provider.Plan(t.Context(), acct.IAM, former)
		if err == nil {
			err = plan.Run(t.Context(), steps, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := m.makeProvider(t.Context(), to, nil); err != nil {
			t.Fatal(err)
		}
		got, _, err := provider.Get(t.Context(), acct.IAM, to.Record.Provider)
		if slices.Sort(got.ClientIDs); err != nil || !slices.Equal(got.ClientIDs, union(former.ClientIDs, nil)) {
			t.Errorf("client ids %q, %v, expected those of the previous one, %q", got.ClientIDs, err, former.ClientIDs)
		}
	}
}

// The EKS of an emulator takes the tokens of both issuers before any API server does, by
// the one that signs, and those of the old one until it goes; on the way back alike.
func TestMigrationWithPodIdentity(t *testing.T) {
	aws := emulatortest.Start(t)
	api := kubefake.New(t)
	api.GitVersion = "v1.37.2"
	for k, v := range map[string]string{
		"AWS_ENDPOINT_URL": aws.URL, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": emulatortest.Region,
		"AWS_EC2_METADATA_DISABLED": "true", "HOME": t.TempDir(),
	} {
		t.Setenv(k, v)
	}
	from, to := aws.Issuer("from"), aws.Issuer("to")
	tags := owner.Tags(emulatortest.PodCluster, "uid")
	set, err := keys.NewSet(from.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	api.Mu.Lock()
	api.Issuer, api.JWKS = from.URL.String(), set.JWKS()
	api.Mu.Unlock()
	for _, name := range []string{metav1.NamespaceSystem, cluster.Namespace} {
		api.Put("/api/v1/namespaces/"+name, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "uid"}})
	}
	client := iam.NewFromConfig(aws.Config())
	for _, i := range []*emulatortest.Issuer{from, to} {
		for k, v := range tags {
			_, err := client.TagOpenIDConnectProvider(t.Context(), &iam.TagOpenIDConnectProviderInput{
				OpenIDConnectProviderArn: &i.ARN, Tags: []iamtypes.Tag{{Key: &k, Value: &v}},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	at := func(i *emulatortest.Issuer) record.Location {
		return record.Location{Issuer: i.URL.String(), Provider: i.ARN, Bucket: i.Bucket}
	}
	rec := record.Record{
		Cluster: emulatortest.PodCluster, Account: aws.Account(), Partition: "aws", Region: emulatortest.Region, Image: "registry.example/openirsa",
		PodIdentity: true, Endpoint: aws.URL, Location: at(from),
	}
	api.Put("/api/v1/namespaces/"+cluster.Namespace+"/configmaps/openirsa", &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace, Name: "openirsa"}, Data: rec.Encode(),
	})
	ch, err := chain.Open(t.Context(), chain.Options{Kubeconfig: api.Kubeconfig(t, "dev")})
	if err == nil {
		err = ch.ConnectInstalled(t.Context())
	}
	if err == nil {
		err = ch.ReadKeys(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	c := &record.Change{
		Kind: record.IssuerMigration, ID: "1", Stage: record.Prepare, Migration: &record.Migration{From: at(from), To: at(to)},
	}
	m := &migration{share(ch, c, Options{}, nil)}
	if _, err := aws.RegisterCluster(emulator.EKSCluster{Name: emulatortest.PodCluster, Region: emulatortest.Region, Issuer: from.URL.String(), Version: "1.37"}); err != nil {
		t.Fatal(err)
	}
	// taken are the issuers whose tokens EKS takes, the one that it shows first.
	taken := func() (list []string) {
		t.Helper()
		out, err := eks.NewFromConfig(aws.Config()).DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: new(emulatortest.PodCluster)})
		if err != nil {
			t.Fatal(err)
		}
		shown := *out.Cluster.Identity.Oidc.Issuer
		for name, i := range map[string]*emulatortest.Issuer{"from": from, "to": to} {
			raw := from.Mint(token.Claims{ // the key is the cluster's, and stays
				Issuer: i.URL.String(), Subject: token.Subject("default", "app"), Audience: token.Strings{emulatortest.PodAudience},
				IssuedAt: token.At(time.Now()), Expiry: token.At(time.Now().Add(time.Hour)),
				Kubernetes: token.Kubernetes{Namespace: "default", ServiceAccount: &token.Ref{Name: "app", UID: "1"}, Pod: &token.Ref{Name: "app-0", UID: "2"}},
			})
			_, err := aws.PodSession(raw)
			refused, _ := errors.AsType[*emulatortest.PodIdentityError](err)
			switch {
			case refused != nil && refused.Code == "ResourceNotFoundException": // of an association, once the token is good
				list = append(list, name)
			case refused == nil || refused.Code != "InvalidTokenException":
				t.Fatal(err)
			}
		}
		slices.Sort(list)
		if shown == to.URL.String() {
			slices.Reverse(list)
		}
		return list
	}
	is := func(when string, want ...string) {
		t.Helper()
		if got := taken(); !slices.Equal(got, want) {
			t.Errorf("%s: EKS takes tokens of %q, want %q", when, got, want)
		}
	}
	// No node can be reached: all is done up to the API servers.
	stopped := func(err error) {
		t.Helper()
		if !errors.Is(err, cluster.ErrNoNodeAccess) {
			t.Fatal(err)
		}
	}
	// Whoever may not tell EKS is refused before anything is written.
	if err := m.Check(t.Context()); !errors.Is(err, cluster.ErrNoNodeAccess) {
		t.Errorf("the root user is refused with %v", err)
	}
	admin := aws.Role("admin", from.Trust("default", "admin"), "arn:aws:iam::aws:policy/AdministratorAccess")
	for name, value := range aws.Env(admin, from.Token("default", "admin")) {
		t.Setenv(name, value)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	other, err := chain.Open(t.Context(), chain.Options{Kubeconfig: api.Kubeconfig(t, "dev")})
	if err == nil {
		err = other.ConnectInstalled(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	by := &migration{share(other, c, Options{}, nil)}
	if err := by.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "only the root user") {
		t.Errorf("an administrator is refused with %v", err)
	}
	is("before", "from")
	m.run.DryRun = true
	stopped(m.Prepare(t.Context()))
	is("after a dry run", "from")
	m.run.DryRun = false
	stopped(m.Prepare(t.Context()))
	is("prepared", "from", "to")
	stopped(m.Sign(t.Context(), false))
	is("signing", "to", "from")
	stopped(m.Prepare(t.Context())) // as every run does
	is("prepared again", "to", "from")
	if err := m.Sign(t.Context(), true); err != nil { // it signs with the old one still
		t.Fatal(err)
	}
	is("on the way back", "from", "to")
	stopped(m.Prune(t.Context(), true))
	is("rolled back", "from")
	stopped(m.Prepare(t.Context()))
	stopped(m.Sign(t.Context(), false))
	stopped(m.Prune(t.Context(), false))
	is("done", "to")
	stopped(m.Prune(t.Context(), false))
	is("done again", "to")
}
