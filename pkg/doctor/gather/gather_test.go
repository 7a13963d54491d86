package gather

import (
	"bytes"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/kubetest"
	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/token"
)

// patient is a chain in an emulator, seen by the gatherers that see it in AWS.
type patient struct {
	*emulatortest.AWS
	t       *testing.T
	iss     *emulatortest.Issuer
	iam     *iam.Client
	roleARN string
	e       *Examination
	facts   doctor.Facts
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	p := &patient{AWS: emulatortest.Start(t, emulator.Config{Account: "123456789012"}), t: t}
	p.iss = p.Issuer("dev")
	p.iam = iam.NewFromConfig(p.Config())
	p.roleARN = p.Role("app", p.iss.Trust("default", "app"), "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
	acct := connect(t, p.AWS)
	p.e = &Examination{chain: &chain.Chain{Account: acct}}
	set, err := keys.NewSet(p.iss.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	p.facts = doctor.Facts{
		Now: time.Now(), Namespace: "default", Name: "app", Issuer: p.iss.URL, Account: acct.ID, Partition: acct.Partition,
		Advertised: p.iss.URL.String(), Keys: set,
		ServiceAccount: &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: "app", Annotations: map[string]string{irsa.DefaultPrefix.RoleARN(): p.roleARN},
		}},
		Raw: doctor.Secret(p.iss.Token("default", "app")),
	}
	return p
}

// connect is the account of an emulator.
func connect(t *testing.T, a *emulatortest.AWS) *account.Account {
	t.Helper()
	acct, err := account.Connect(t.Context(), account.Options{Region: emulatortest.Region, Endpoint: a.URL})
	if err != nil {
		t.Fatal(err)
	}
	return acct
}

// diagnose gathers what is in AWS. What is in the cluster is not looked at.
func (p *patient) diagnose() []doctor.Finding {
	p.t.Helper()
	ctx := p.t.Context()
	p.e.clock(ctx, &p.facts)
	p.e.documents(ctx, &p.facts)
	p.e.provider(ctx, &p.facts)
	p.e.role(ctx, &p.facts)
	p.e.call(ctx, &p.facts)
	var findings []doctor.Finding
	for _, f := range doctor.Diagnose(p.facts) {
		if f.Link != "webhook" && f.Link != doctor.Pod {
			findings = append(findings, f)
		}
	}
	return findings
}

func (p *patient) check(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *patient) trust(document string) {
	p.t.Helper()
	_, err := p.iam.UpdateAssumeRolePolicy(p.t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: new("app"), PolicyDocument: &document})
	p.check(err)
}

func TestHealthy(t *testing.T) {
	p := newPatient(t)
	for _, f := range p.diagnose() {
		if f.Result != doctor.OK {
			t.Errorf("%+v", f)
		}
	}
	if p.facts.Call == nil || !strings.HasPrefix(p.facts.Call.Identity, "arn:aws:sts::123456789012:assumed-role/app/") {
		t.Errorf("call: %+v", p.facts.Call)
	}
	if d := time.Since(p.facts.AWSTime); d < -time.Minute || d > time.Minute {
		t.Errorf("AWS's time: %v", p.facts.AWSTime)
	}
	// A chain that others have made is walked too: the issuer is that of the
	// token.
	p.facts.Issuer = p.facts.ChainIssuer()
	if p.facts.Issuer != p.iss.URL {
		t.Errorf("issuer %s", p.facts.Issuer)
	}
}

// TestAWS breaks the chain in AWS itself. Wherever a link before STS is
// found broken STS must refuse too, or the diagnosis would be made up.
func TestAWS(t *testing.T) {
	replace := func(p *patient, old, new string) {
		p.trust(strings.ReplaceAll(p.iss.Trust("default", "app"), old, new))
	}
	for _, test := range []struct {
		name                               string
		breakIt                            func(p *patient)
		link, check, expected, found, next string
		reason                             string // of the emulator, a part
	}{
		{"sub typo", func(p *patient) { replace(p, "default:app", "default:ap") }, "role", "trust policy", "default:app", "default:ap", "update-assume-role-policy", "default:ap"},
		{"namespace swapped", func(p *patient) { replace(p, "default:app", "app:default") }, "role", "trust policy", "default:app", "app:default", "update-assume-role-policy", "app:default"},
		{"StringEquals with a star", func(p *patient) { replace(p, "default:app", "default:*") }, "role", "trust policy", "StringLike", "StringEquals", "update-assume-role-policy", "StringLike"},
		{"provider with scheme", func(p *patient) { replace(p, "oidc-provider/", "oidc-provider/https://") }, "role", "trust policy", p0, "oidc-provider/https://", "update-assume-role-policy", "Principal"},
		{"slash in the key", func(p *patient) { replace(p, ".amazonaws.com:", ".amazonaws.com/:") }, "role", "trust policy", "amazonaws.com:", "amazonaws.com/:", "update-assume-role-policy", "no such key"},
		{"audience", func(p *patient) { replace(p, `"sts.amazonaws.com"`, `"kubernetes"`) }, "role", "trust policy", "sts.amazonaws.com", "kubernetes", "update-assume-role-policy", "kubernetes"},
		{"sts:AssumeRole", func(p *patient) { replace(p, "sts:AssumeRoleWithWebIdentity", "sts:AssumeRole") }, "role", "trust policy", "sts:AssumeRoleWithWebIdentity", "sts:AssumeRole", "update-assume-role-policy", "sts:AssumeRole"},
		{"role deleted", func(p *patient) {
			_, err := p.iam.DetachRolePolicy(p.t.Context(), &iam.DetachRolePolicyInput{RoleName: new("app"), PolicyArn: new("arn:aws:iam::aws:policy/IAMReadOnlyAccess")})
			p.check(err)
			_, err = p.iam.DeleteRole(p.t.Context(), &iam.DeleteRoleInput{RoleName: new("app")})
			p.check(err)
		}, "role", "role", ":role/app", "no role", "iamserviceaccount create", "no role"},
		{"path left out", func(p *patient) {
			_, err := p.iam.CreateRole(p.t.Context(), &iam.CreateRoleInput{RoleName: new("deep"), Path: new("/a/"), AssumeRolePolicyDocument: new(p.iss.Trust("default", "app"))})
			p.check(err)
			p.facts.ServiceAccount.Annotations[irsa.DefaultPrefix.RoleARN()] = "arn:aws:iam::123456789012:role/deep"
		}, "role", "role", ":role/a/deep", ":role/deep", "kubectl", "role/a/deep"},
		{"private bucket", func(p *patient) { p.iss.Close() }, "documents", "discovery document", "200 for anybody", "403 AccessDenied", "SETUP up", "403"},
		{"stale key set", func(p *patient) {
			key, err := keys.Generate(keys.ES256)
			p.check(err)
			p.iss.Key = key
			p.facts.Keys, err = keys.NewSet(key.Public())
			p.check(err)
			p.facts.Raw = doctor.Secret(p.iss.Token("default", "app"))
		}, "documents", "key set", "kid", "kid", "SETUP up", "publishes"},
		{"another key under the same id", func(p *patient) {
			key, err := keys.Generate(keys.ES256)
			p.check(err)
			other := key.Public()
			other.KID = p.iss.Key.Public().KID
			set, err := keys.NewSet(other)
			p.check(err)
			put(p, "openid/v1/jwks", set.JWKS())
		}, "documents", "key set", "sha256:", "sha256:", "SETUP up", ""},
		{"document of another issuer", func(p *patient) {
			put(p, ".well-known/openid-configuration", []byte(`{"issuer":"`+p.iss.URL.String()+`/","jwks_uri":"`+p.iss.URL.JWKS()+`"}`))
		}, "documents", "discovery document", "issuer https://", "amazonaws.com/", "SETUP up", "issuer"},
		{"provider deleted", func(p *patient) {
			_, err := p.iam.DeleteOpenIDConnectProvider(p.t.Context(), &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &p.iss.ARN})
			p.check(err)
		}, "provider", "provider", p0, "no provider at all", "SETUP up", "provider"},
		{"provider with a slash", func(p *patient) {
			_, err := p.iam.DeleteOpenIDConnectProvider(p.t.Context(), &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &p.iss.ARN})
			p.check(err)
			_, err = p.iam.CreateOpenIDConnectProvider(p.t.Context(), &iam.CreateOpenIDConnectProviderInput{Url: new(p.iss.URL.String() + "/"), ClientIDList: []string{irsa.Audience}})
			p.check(err)
		}, "provider", "provider", p0, "amazonaws.com/", "SETUP up", "provider"},
		{"missing client id", func(p *patient) {
			_, err := p.iam.RemoveClientIDFromOpenIDConnectProvider(p.t.Context(), &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: &p.iss.ARN, ClientID: new(irsa.Audience)})
			p.check(err)
		}, "provider", "provider", "client id sts.amazonaws.com", "none", "aws iam add-client-id", "client ids"},
		{"AWS's clock ahead", func(p *patient) { p.FastForward(2 * time.Hour) }, "token", "clock", "AWS's time", "Token expired", "timedatectl", "expired"},
		{"token of another cluster", func(p *patient) {
			p.facts.Raw = doctor.Secret(p.iss.Mint(token.Claims{Issuer: "https://other.example.com", Subject: token.Subject("default", "app"), Audience: token.Strings{irsa.Audience},
				IssuedAt: token.At(time.Now()), Expiry: token.At(time.Now().Add(time.Hour))}))
		}, "token", "token", "iss https://issuer-dev", "iss https://other.example.com", "SETUP up", "provider"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPatient(t)
			test.breakIt(p)
			findings := p.diagnose()
			got, ok := doctor.First(findings)
			if !ok {
				t.Fatalf("nothing is broken: %+v", findings)
			}
			if got.Link != test.link || got.Check != test.check || !strings.Contains(got.Expected, test.expected) ||
				!strings.Contains(got.Found, test.found) || !strings.Contains(got.Fix.Shell("SETUP"), test.next) || got.Expected == got.Found {
				t.Errorf("broken: %+v\nwant %+v", got, test)
			}
			call := p.facts.Call
			if call == nil || call.Code == "" {
				t.Fatalf("STS does not refuse: %+v", call)
			}
			if call.Reason == "" || !strings.Contains(call.Reason, test.reason) {
				t.Errorf("the emulator's reason is %q, want %q in it", call.Reason, test.reason)
			}
		})
	}
}

// The command that fixes a trust policy does so, and keeps whom the role trusted.
func TestFixOfTrust(t *testing.T) {
	const ec2 = `{"Sid":"EC2","Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}`
	p := newPatient(t)
	web := p.iss.Trust("default", "web")
	p.trust(strings.Replace(web, `"Statement":[`, `"Statement":[`+ec2+`,`, 1))
	broken, ok := doctor.First(p.diagnose())
	_, rest, written := strings.Cut(broken.Fix.Shell("SETUP"), "aws iam update-assume-role-policy --role-name app --policy-document '")
	if !ok || !written {
		t.Fatalf("broken: %+v", broken)
	}
	document := strings.TrimSuffix(rest, "'")
	if !strings.Contains(document, ec2) {
		t.Errorf("EC2 is lost: %s", document)
	}
	p.trust(document)
	for _, f := range p.diagnose() {
		if f.Result != doctor.OK {
			t.Errorf("%+v", f)
		}
	}
	if _, err := p.Assume(p.roleARN, p.iss.Token("default", "web")); err != nil {
		t.Errorf("another service account: %v", err)
	}
	if _, err := p.Assume(p.roleARN, p.iss.Token("default", "worker")); err == nil {
		t.Error("a third service account is let in")
	}
}

// A condition that the real call meets is no fault, whatever it is on.
func TestConditionsOfTheCall(t *testing.T) {
	p := newPatient(t)
	with := func(condition string) {
		p.trust(strings.Replace(p.iss.Trust("default", "app"), `"Condition":{`, `"Condition":{`+condition+`,`, 1))
	}
	with(`"IpAddress":{"aws:SourceIp":"127.0.0.0/8"},"StringLike":{"sts:RoleSessionName":"openirsa-*"}`)
	for _, f := range p.diagnose() {
		if f.Result != doctor.OK {
			t.Errorf("%+v", f)
		}
	}
	with(`"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}`)
	if f, ok := doctor.First(p.diagnose()); !ok || f.Link != doctor.STS || !strings.Contains(f.Summary, "aws:SourceIp") || !strings.Contains(f.Reason, "aws:SourceIp") {
		t.Errorf("broken: %+v", f)
	}
}

// p0 is the beginning of the ARN of the patients' provider.
const p0 = "arn:aws:iam::123456789012:oidc-provider/issuer-dev"

// put writes an object of the issuer's bucket.
func put(p *patient, key string, body []byte) {
	p.t.Helper()
	_, err := p.S3(p.Config()).PutObject(p.t.Context(), &s3.PutObjectInput{Bucket: &p.iss.Bucket, Key: &key, Body: bytes.NewReader(body)})
	p.check(err)
}

// A token is held against the time at which it was taken, however long the
// service accounts before it took.
func TestAPIServerClock(t *testing.T) {
	aws := emulatortest.Start(t)
	for k, v := range map[string]string{
		"AWS_ENDPOINT_URL": aws.URL, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": emulatortest.Region,
		"AWS_EC2_METADATA_DISABLED": "true", "HOME": t.TempDir(),
	} {
		t.Setenv(k, v)
	}
	server := kubetest.Start(t)
	ch, err := chain.Open(t.Context(), chain.Options{Kubeconfig: server.Kubeconfig()})
	if err != nil {
		t.Fatal(err)
	}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "app"}}
	for i := 0; ; i++ { // the namespace is made by the API server, a moment after it is ready
		_, err := server.Client.CoreV1().ServiceAccounts("default").Create(t.Context(), sa, metav1.CreateOptions{})
		if err == nil {
			break
		}
		if i == 100 {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	e, err := New(t.Context(), ch)
	if err != nil {
		t.Fatal(err)
	}
	if e.facts.AWSErr != nil {
		t.Fatal(e.facts.AWSErr)
	}
	const ahead, ago = -20 * time.Minute, -10 * time.Minute
	e.facts.Now = e.facts.Now.Add(ago)
	e.facts.AWSTime = e.facts.AWSTime.Add(ago + ahead)
	f := e.Of(t.Context(), "default/app")
	if f.TokenErr != nil {
		t.Fatal(f.TokenErr)
	}
	if d := f.AWSTime.Sub(time.Now().Add(ahead)); d < -time.Minute || d > time.Minute {
		t.Errorf("AWS's time is %s from what it is", d)
	}
}

// TestReadURL: what a stranger meets at a server.
func TestReadURL(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/there", http.StatusFound)
		case "/there":
			w.Write([]byte("{}"))
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	if doc := readURL(t.Context(), server.URL+"/moved"); doc.Status != 302 || doc.Location != "/there" {
		t.Errorf("redirect: %+v", doc)
	}
	doc := readURL(t.Context(), server.URL+"/there")
	if doc.Status != 200 || string(doc.Body) != "{}" || len(doc.Certificates) == 0 {
		t.Errorf("answer: %+v", doc)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](doc.Untrusted); !ok {
		t.Errorf("a test server's certificate: %v", doc.Untrusted)
	}
	if doc := readURL(t.Context(), server.URL+"/no"); doc.Status != 404 {
		t.Errorf("not found: %+v", doc)
	}
	server.Close()
	if doc := readURL(t.Context(), server.URL); doc.Err == nil || doc.Status != 0 {
		t.Errorf("gone: %+v", doc)
	}
}
