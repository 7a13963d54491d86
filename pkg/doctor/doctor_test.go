package doctor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/token"
)

const (
	account  = "123456789012"
	host     = "oidc.example.com/dev"
	provider = "arn:aws:iam::" + account + ":oidc-provider/" + host
	roleARN  = "arn:aws:iam::" + account + ":role/app"
	subject  = "system:serviceaccount:default:app"
	policy   = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"
	roleKey  = "eks.amazonaws.com/role-arn"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// authority is a CA and what it signs.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB, name string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{key: key}
	a.cert = a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0)})
	return a
}

func (a authority) sign(t testing.TB, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	c.SerialNumber = big.NewInt(1)
	parent := a.cert
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// server is a certificate for hosts, good until a time.
func (a authority) server(t testing.TB, until time.Time, hosts ...string) []*x509.Certificate {
	t.Helper()
	return []*x509.Certificate{a.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "server"}, DNSNames: hosts, NotBefore: now.AddDate(0, -6, 0), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}), a.cert}
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// chain is a healthy chain, and what is needed to break it.
type chain struct {
	t       *testing.T
	f       doctor.Facts
	key     keys.Private
	webhook authority
	public  authority
}

func newKey(t testing.TB) keys.Private {
	t.Helper()
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newSet(t testing.TB, public ...keys.Public) keys.Set {
	t.Helper()
	set, err := keys.NewSet(public...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// healthy is a chain in which nothing is broken.
func healthy(t *testing.T) *chain {
	t.Helper()
	iss, err := issuer.Parse("https://" + host)
	if err != nil {
		t.Fatal(err)
	}
	c := &chain{t: t, key: newKey(t), webhook: newAuthority(t, "webhook CA"), public: newAuthority(t, "some CA")}
	set := newSet(t, c.key.Public())
	docs, err := discovery.Documents(iss, set)
	if err != nil {
		t.Fatal(err)
	}
	served := c.public.server(t, now.AddDate(0, 1, 0), "oidc.example.com")
	c.f = doctor.Facts{
		Now: now, AWSTime: now, Namespace: "default", Name: "app",
		Issuer: iss, Account: account, Partition: "aws",
		Servers:    []doctor.Server{{Node: "cp1", Issuers: []string{iss.String(), "https://kubernetes.default.svc.cluster.local"}, JWKSURI: iss.JWKS()}},
		Advertised: iss.String(), Keys: set,
		ServiceAccount: &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "app", Annotations: map[string]string{roleKey: roleARN}}},
		Discovery:      &doctor.Document{URL: iss.Discovery(), Status: 200, ContentType: "application/json", Body: docs[1].Body, Certificates: served},
		JWKS:           &doctor.Document{URL: iss.JWKS(), Status: 200, ContentType: "application/jwk-set+json", Body: docs[0].Body, Certificates: served},
		Provider:       &doctor.Provider{ARN: provider, ClientIDs: []string{irsa.Audience}},
		Role: &doctor.Role{Name: "app", ARN: roleARN, PolicyARNs: []string{policy}, Tags: map[string]string{owner.ServiceAccountTag: "default/app"},
			Trust: trustPolicy(provider, host, subject)},
		Minor: 37,
		Call:  &doctor.Call{Identity: "arn:aws:sts::" + account + ":assumed-role/app/openirsa-doctor"},
	}
	c.f.Webhook = doctor.Webhook{
		Configuration: &admissionv1.MutatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "openirsa", CreationTimestamp: metav1.NewTime(now.Add(-48 * time.Hour))},
			Webhooks: []admissionv1.MutatingWebhook{
				c.entry("pod-identity.openirsa.dev", admissionv1.Fail, metav1.LabelSelectorOpNotIn),
				c.entry("pod-identity-system.openirsa.dev", admissionv1.Ignore, metav1.LabelSelectorOpIn),
			},
		},
		Ours:      true,
		Endpoints: 2, Certificates: c.webhook.server(t, now.AddDate(0, 1, 0), "webhook.openirsa-system.svc"),
		NamespaceLabels: map[string]string{"kubernetes.io/metadata.name": "default"},
		Trial:           &doctor.Trial{RoleARN: roleARN},
	}
	c.f.Pods = []corev1.Pod{{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: "app-5d9c7b7f6-x2x9z", CreationTimestamp: metav1.NewTime(now.Add(-time.Hour)),
			Labels:          map[string]string{"pod-template-hash": "5d9c7b7f6"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "app-5d9c7b7f6"}},
		},
		Spec: corev1.PodSpec{
			ServiceAccountName: "app",
			Containers: []corev1.Container{{
				Name:         "main",
				Env:          []corev1.EnvVar{{Name: irsa.EnvRoleARN, Value: roleARN}, {Name: irsa.EnvTokenFile, Value: irsa.MountPath + "/token"}},
				VolumeMounts: []corev1.VolumeMount{{Name: irsa.Volume, MountPath: irsa.MountPath}},
			}},
			Volumes: []corev1.Volume{{Name: irsa.Volume, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
				DefaultMode: new(int32(0o644)),
				Sources:     []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: irsa.Audience, Path: "token"}}},
			}}}},
		},
	}}
	c.mint(nil)
	return c
}

// entry is a webhook that is asked about pods of the system's namespaces, or of
// all others.
func (c *chain) entry(name string, policy admissionv1.FailurePolicyType, system metav1.LabelSelectorOperator) admissionv1.MutatingWebhook {
	return admissionv1.MutatingWebhook{
		Name: name, FailurePolicy: &policy,
		ClientConfig: admissionv1.WebhookClientConfig{
			Service: &admissionv1.ServiceReference{Namespace: "openirsa-system", Name: "webhook"}, CABundle: c.webhook.pem(),
		},
		Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{admissionv1.Create}, Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}}}},
		NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
			Key: corev1.LabelMetadataName, Operator: system, Values: []string{"kube-system", "openirsa-system"},
		}}},
	}
}

// in moves the service account and its pods into another namespace.
func (c *chain) in(namespace string) {
	c.f.Namespace, c.f.ServiceAccount.Namespace, c.pod().Namespace = namespace, namespace, namespace
	c.f.Webhook.NamespaceLabels = map[string]string{corev1.LabelMetadataName: namespace}
	c.f.Role.Tags[owner.ServiceAccountTag] = namespace + "/app"
	c.f.Role.Trust = trustPolicy(provider, host, token.Subject(namespace, "app"))
	c.mint(func(claims *token.Claims) { claims.Subject = token.Subject(namespace, "app") })
}

// former leaves what the webhook's configuration had before it served the system.
func (c *chain) former() { c.f.Webhook.Configuration.Webhooks = c.f.Webhook.Configuration.Webhooks[:1] }

// mint gives the service account another token.
func (c *chain) mint(change func(*token.Claims)) {
	c.t.Helper()
	claims := token.Claims{
		Issuer: "https://" + host, Subject: subject, Audience: token.Strings{irsa.Audience},
		IssuedAt: token.At(now), NotBefore: token.At(now), Expiry: token.At(now.Add(10 * time.Minute)),
	}
	if change != nil {
		change(&claims)
	}
	raw, err := token.Mint(c.key, claims)
	if err != nil {
		c.t.Fatal(err)
	}
	c.f.Raw = doctor.Secret(raw)
}

// jwk is a key as it is published, and with a key set of such.
func (c *chain) jwk(key keys.Private) string {
	c.t.Helper()
	return strings.TrimSuffix(strings.TrimPrefix(string(newSet(c.t, key.Public()).JWKS()), `{"keys":[`), `]}`)
}

func (c *chain) with(jwks ...string) []byte {
	return []byte(`{"keys":[` + strings.Join(jwks, ",") + `]}`)
}

func (c *chain) publish(set keys.Set) {
	c.f.JWKS.Body = set.JWKS()
}

func (c *chain) hook() *admissionv1.MutatingWebhook { return &c.f.Webhook.Configuration.Webhooks[0] }
func (c *chain) pod() *corev1.Pod                   { return &c.f.Pods[0] }
func (c *chain) container() *corev1.Container       { return &c.f.Pods[0].Spec.Containers[0] }

// initContainer gives the pod one like its container.
func (c *chain) initContainer() *corev1.Container {
	if c.pod().Spec.InitContainers == nil {
		c.pod().Spec.InitContainers = []corev1.Container{*c.container().DeepCopy()}
		c.pod().Spec.InitContainers[0].Name = "init"
	}
	return &c.pod().Spec.InitContainers[0]
}

func (c *chain) trust(document string) { c.f.Role.Trust = []byte(document) }
func (c *chain) annotations(kv ...string) {
	c.f.ServiceAccount.Annotations = map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		c.f.ServiceAccount.Annotations[kv[i]] = kv[i+1]
	}
}

// deny is what AWS answers to whatever its trust policy does not allow.
func (c *chain) deny() {
	c.f.Call = &doctor.Call{Code: "AccessDenied", Message: "Not authorized to perform sts:AssumeRoleWithWebIdentity"}
}

func (c *chain) invalid() {
	c.f.Call = &doctor.Call{Code: "InvalidIdentityToken", Message: "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements"}
}

func trustPolicy(provider, host, sub string) []byte {
	return fmt.Appendf(nil, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":%q},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"%s:aud":"sts.amazonaws.com","%[2]s:sub":%q}}}]}`, provider, host, sub)
}

// STS takes the token of a key that is published beside odd ones, as AWS's guide to
// self-hosted clusters has them; so it is no broken link.
func TestOddKeysBesideTheRightOne(t *testing.T) {
	c := healthy(t)
	good := c.jwk(c.key)
	c.f.JWKS.Body = c.with(strings.Replace(good, c.key.Public().KID, "", 1), strings.Replace(good, `"alg":"ES256"`, `"alg":"PS256"`, 1),
		strings.Replace(c.jwk(newKey(t)), `"kid"`, `"KID"`, 1), `{"kty":"OKP","kid":"ed"}`, `{}`)
	for _, f := range doctor.Diagnose(c.f) {
		if f.Result != doctor.OK {
			t.Errorf("%+v", f)
		}
		if f.Check == "key set" && (!strings.Contains(f.Summary, c.key.Public().KID) || !strings.Contains(f.Summary, `without key 1: it has no "kid"`)) {
			t.Errorf("%+v", f)
		}
	}
}

func TestHealthy(t *testing.T) {
	c := healthy(t)
	findings := doctor.Diagnose(c.f)
	for _, f := range findings {
		if f.Result != doctor.OK {
			t.Errorf("%+v", f)
		}
	}
	if len(findings) < 12 {
		t.Errorf("%d findings: %+v", len(findings), findings)
	}
	if f, ok := doctor.First(findings); ok {
		t.Errorf("broken: %+v", f)
	}
}

// Pods of the system get their role as all others do, and what holds for them
// while the webhook is down is said of them.
func TestSystem(t *testing.T) {
	c := healthy(t)
	c.in("kube-system")
	findings := doctor.Diagnose(c.f)
	for _, f := range findings {
		if f.Result != doctor.OK {
			t.Errorf("%+v", f)
		}
	}
	for namespace, want := range map[string]string{"kube-system": "without their role", "default": "refused"} {
		c := healthy(t)
		c.in(namespace)
		c.f.Webhook.Endpoints = 0
		if f, ok := doctor.First(doctor.Diagnose(c.f)); !ok || f.Link != "webhook" || !strings.Contains(f.Summary, want) {
			t.Errorf("a webhook that is down, in %s: %+v, want %q", namespace, f, want)
		}
	}
}

// TestBroken breaks each link in each way that users have reported, and looks
// at the first broken link: where it is, the two values that differ, and the
// command that fixes it.
func TestBroken(t *testing.T) {
	for _, test := range []struct {
		name                               string
		breakIt                            func(c *chain)
		link, check, expected, found, next string // of the last three a part
	}{
		// API server
		{"no issuer flag", func(c *chain) { c.f.Servers[0].Issuers = nil }, "API server", "issuer flag", "https://" + host, "none", "SETUP up"},
		{"issuer of kubeadm", func(c *chain) { c.f.Servers[0].Issuers = []string{"https://kubernetes.default.svc.cluster.local"} }, "API server", "issuer flag", "--service-account-issuer=https://" + host, "kubernetes.default.svc", "SETUP up"},
		{"issuer of kubeadm, nodes out of reach", func(c *chain) {
			c.f.Servers[0].Issuers, c.f.Remote = []string{"https://kubernetes.default.svc.cluster.local"}, true
		}, "API server", "issuer flag", "--service-account-issuer=https://" + host, "kubernetes.default.svc", "sudo SETUP apiserver"},
		{"http issuer", func(c *chain) { c.f.Servers[0].Issuers[0] = "http://" + host }, "API server", "issuer flag", "https://" + host, "http://" + host, "SETUP up"},
		{"issuer with a slash at the end", func(c *chain) { c.f.Servers[0].Issuers[0] = "https://" + host + "/" }, "API server", "issuer flag", "https://" + host, host + "/", "SETUP up"},
		{"control planes disagree", func(c *chain) {
			c.f.Servers = append(c.f.Servers, doctor.Server{Node: "cp2", Issuers: []string{"https://old.example.com"}})
		}, "API server", "issuer flag", "https://" + host, "https://old.example.com", "SETUP up"},
		{"nobody's issuer, no flags to be seen", func(c *chain) {
			c.f.Servers, c.f.Issuer, c.f.Raw, c.f.Advertised = nil, issuer.URL{}, "", "https://kubernetes.default.svc.cluster.local"
		}, "API server", "issuer flag", "AWS can read", "kubernetes.default.svc", "SETUP up"},
		{"no discovery document", func(c *chain) { c.f.Servers, c.f.Advertised = nil, "" }, "API server", "issuer flag", "https://" + host, "does not begin with https://", "SETUP up"},

		// signing key
		{"Ed25519", func(c *chain) { c.f.KeysErr = fmt.Errorf("key 1: %w", keys.ErrUnsupported) }, "signing key", "signing key", "RSA of 2048", "key 1", "openssl genrsa"},
		{"no keys", func(c *chain) { c.f.Keys = keys.Set{} }, "signing key", "signing key", "at least one", "none", "SETUP status"},
		{"control planes with different keys", func(c *chain) { c.f.Keys = newSet(c.t, newKey(c.t).Public()) }, "signing key", "signing key", "kid ", "kid ", "kube-apiserver"},

		// token
		{"no service account", func(c *chain) {
			c.f.ServiceAccount, c.f.Raw, c.f.Call = nil, "", nil
		}, "service account", "service account", "default/app", "no such", "iamserviceaccount create --namespace default --name app"},
		{"namespace swapped", func(c *chain) {
			c.f.ServiceAccount, c.f.Raw, c.f.Elsewhere = nil, "", []string{"prod/app"}
		}, "service account", "service account", "default/app", "prod/app", "SETUP doctor --service-account prod/app"},
		{"token refused", func(c *chain) { c.f.Raw, c.f.TokenErr = "", errors.New("forbidden") }, "token", "token", "default/app", "forbidden", "create token app --audience sts.amazonaws.com"},
		{"old issuer in the token", func(c *chain) { c.mint(func(k *token.Claims) { k.Issuer = "https://old.example.com" }) }, "token", "token", "iss https://" + host, "iss https://old.example.com", "SETUP up"},
		{"two audiences", func(c *chain) {
			c.mint(func(k *token.Claims) { k.Audience = append(k.Audience, "vault") })
		}, "token", "token", "aud sts.amazonaws.com", "sts.amazonaws.com, vault", "SETUP status"},
		{"clock ahead", func(c *chain) { c.f.AWSTime = now.Add(-6 * time.Minute) }, "token", "clock", "11:54:00", "issued at 2026-11-22T12:00:00Z", "timedatectl"},
		{"clock behind", func(c *chain) { c.f.AWSTime = now.Add(time.Hour) }, "token", "clock", "13:00:00", "12:10:00", "timedatectl"},
		{"clock skew that only AWS sees", func(c *chain) {
			c.f.AWSTime = time.Time{}
			c.f.Call = &doctor.Call{Code: "InvalidIdentityToken", Message: "Token issued in the future: 1"}
		}, "token", "clock", "AWS's time", "issued in the future", "timedatectl"},

		// documents and issuer
		{"private bucket", func(c *chain) {
			c.f.Discovery = &doctor.Document{URL: c.f.Issuer.Discovery(), Status: 403, Code: "AccessDenied"}
			c.invalid()
		}, "documents", "discovery document", "200 for anybody", "403 AccessDenied", "SETUP up"},
		{"no document", func(c *chain) {
			c.f.Discovery = &doctor.Document{URL: c.f.Issuer.Discovery(), Status: 404, Code: "NoSuchKey"}
		}, "documents", "discovery document", "200", "404 NoSuchKey", "SETUP up"},
		{"redirect", func(c *chain) {
			c.f.Discovery = &doctor.Document{URL: c.f.Issuer.Discovery(), Status: 301, Location: "https://www.example.com/"}
		}, "issuer", "discovery document", "200 at", "301 to https://www.example.com/", "curl --include"},
		{"no answer", func(c *chain) {
			c.f.Discovery = &doctor.Document{URL: c.f.Issuer.Discovery(), Err: errors.New("dial tcp: no such host")}
		}, "issuer", "discovery document", "200 at", "no such host", "curl --verbose"},
		{"server error", func(c *chain) {
			c.f.Discovery = &doctor.Document{URL: c.f.Issuer.Discovery(), Status: 503}
		}, "issuer", "discovery document", "200 at", "503", "curl --include"},
		{"issuer's certificate expired", func(c *chain) {
			cert := c.public.server(c.t, now.AddDate(0, 0, -1), "oidc.example.com")
			c.f.Discovery.Certificates, c.f.Discovery.Untrusted = cert, x509.CertificateInvalidError{Cert: cert[0], Reason: x509.Expired}
		}, "issuer", "discovery document", "valid at 2026-11-22", "to 2026-11-21", "openssl s_client -connect oidc.example.com:443"},
		{"issuer's certificate of another host", func(c *chain) {
			cert := c.public.server(c.t, now.AddDate(0, 1, 0), "www.example.com")
			c.f.Discovery.Certificates, c.f.Discovery.Untrusted = cert, x509.HostnameError{Certificate: cert[0], Host: "oidc.example.com"}
		}, "issuer", "discovery document", "oidc.example.com", "www.example.com", "openssl s_client"},
		{"a login page in place of the document", func(c *chain) {
			c.f.Discovery.Body, c.f.Discovery.ContentType = []byte("<html>sign in</html>"), "text/html"
		}, "documents", "discovery document", "a JSON object", "text/html", "SETUP up"},
		{"issuer with a slash in the document", func(c *chain) {
			c.f.Discovery.Body = []byte(strings.Replace(string(c.f.Discovery.Body), `"issuer":"https://`+host+`"`, `"issuer":"https://`+host+`/"`, 1))
		}, "documents", "discovery document", "issuer https://" + host, "issuer https://" + host + "/", "SETUP up"},
		{"http key set", func(c *chain) {
			c.f.Discovery.Body = []byte(strings.Replace(string(c.f.Discovery.Body), `"jwks_uri":"https:`, `"jwks_uri":"http:`, 1))
		}, "documents", "discovery document", "jwks_uri https://", "jwks_uri http://", "SETUP up"},
		{"signing key for encryption beside another", func(c *chain) {
			c.f.JWKS.Body = c.with(strings.Replace(c.jwk(c.key), `"sig"`, `"enc"`, 1), c.jwk(newKey(c.t)))
		}, "documents", "key set", "that STS uses", `its use is "enc"`, "SETUP up"},
		{"signing key without an id", func(c *chain) {
			c.f.JWKS.Body = c.with(strings.Replace(c.jwk(c.key), c.key.Public().KID, "", 1))
		}, "documents", "key set", "a public key set", `it has no "kid"`, "SETUP up"},
		{"Ed25519 beside an older key", func(c *chain) {
			var err error
			if c.f.Keys, err = keys.ParseJWKS(c.with(c.jwk(newKey(c.t)), `{"kty":"OKP","crv":"Ed25519","kid":"`+c.key.Public().KID+`","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`)); err != nil {
				c.t.Fatal(err)
			}
		}, "signing key", "signing key", "RSA of 2048", "not a key that AWS STS can verify", "openssl genrsa"},
		{"no key set", func(c *chain) { c.f.JWKS = &doctor.Document{URL: c.f.Issuer.JWKS(), Status: 404} }, "documents", "key set", "200", "404", "SETUP up"},
		{"stale key set", func(c *chain) { c.publish(newSet(c.t, newKey(c.t).Public())) }, "documents", "key set", "kid ", "kid ", "SETUP up"},
		{"another key under the same id", func(c *chain) {
			other := newKey(c.t).Public()
			other.KID = c.key.Public().KID
			c.publish(newSet(c.t, other))
		}, "documents", "key set", "public key sha256:", "public key sha256:", "SETUP up"},
		{"private key published", func(c *chain) {
			c.f.JWKS.Body = []byte(strings.Replace(string(c.f.JWKS.Body), `"kty"`, `"d":"AAAA","kty"`, 1))
		}, "documents", "key set", "a public key set", `private member "d"`, "SETUP up"},
		{"key_ops", func(c *chain) {
			c.f.JWKS.Body = []byte(strings.Replace(string(c.f.JWKS.Body), `"kty"`, `"key_ops":["verify"],"kty"`, 1))
		}, "documents", "key set", "no key_ops", "key_ops", "SETUP up"},

		// provider
		{"no provider", func(c *chain) { c.f.Provider = nil }, "provider", "provider", provider, "no provider at all", "SETUP up"},
		{"no provider, of a chain that others made", func(c *chain) { c.f.Provider, c.f.Issuer = nil, issuer.URL{} }, "provider", "provider", provider, "no provider at all",
			"aws iam create-open-id-connect-provider --url https://" + host + " --client-id-list sts.amazonaws.com"},
		{"provider with a slash", func(c *chain) { c.f.Provider, c.f.Providers = nil, []string{provider + "/"} }, "provider", "provider", provider, provider + "/", "SETUP up"},
		{"provider with a port", func(c *chain) {
			c.f.Provider, c.f.Providers = nil, []string{strings.Replace(provider, ".com/", ".com:443/", 1)}
		}, "provider", "provider", provider, ":443/", "SETUP up"},
		{"missing client id", func(c *chain) { c.f.Provider.ClientIDs = []string{"kubernetes"} }, "provider", "provider", "client id sts.amazonaws.com", "client ids kubernetes",
			"aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn " + provider + " --client-id sts.amazonaws.com"},
		{"private CA without a thumbprint", func(c *chain) {
			c.f.JWKS.Untrusted = x509.UnknownAuthorityError{Cert: c.public.cert}
			c.f.Provider.Thumbprints = []string{strings.Repeat("0", 40)}
		}, "provider", "thumbprint", "thumbprint ", strings.Repeat("0", 40), "update-open-id-connect-provider-thumbprint"},
		{"no AWS credentials", func(c *chain) {
			c.f.AWSErr, c.f.Provider, c.f.Role, c.f.Call = errors.New("no credentials"), nil, nil, nil
		}, "provider", "provider", "GetCallerIdentity", "no credentials", "aws sts get-caller-identity"},

		// role
		{"role deleted", func(c *chain) { c.f.Role = nil; c.deny() }, "role", "role", roleARN, "no role", "iamserviceaccount create --namespace default --name app"},
		{"path of the role left out", func(c *chain) { c.f.Role.ARN = "arn:aws:iam::" + account + ":role/openirsa/dev/app" }, "role", "role", "role/openirsa/dev/app", roleARN,
			"kubectl --namespace default annotate --overwrite serviceaccount app " + roleKey + "=arn:aws:iam::" + account + ":role/openirsa/dev/app"},
		{"sub typo", func(c *chain) { c.f.Role.Trust = trustPolicy(provider, host, subject+"s"); c.deny() }, "role", "trust policy", host + ":sub " + subject, subject + "s",
			"SETUP iamserviceaccount create --namespace default --name app --role-name app --role-path / --attach-policy-arn " + policy + " --override-existing-serviceaccounts --approve"},
		{"namespace swapped in sub", func(c *chain) {
			c.f.Role.Trust, c.f.Role.Tags = trustPolicy(provider, host, "system:serviceaccount:app:default"), nil
			c.deny()
		}, "role", "trust policy", subject, "system:serviceaccount:app:default", "aws iam update-assume-role-policy --role-name app --policy-document '{"},
		{"sub typo, boundary that making the role again would take away", func(c *chain) {
			c.f.Role.Trust, c.f.Role.Boundary = trustPolicy(provider, host, subject+"s"), policy
		}, "role", "trust policy", host + ":sub " + subject, subject + "s", "aws iam update-assume-role-policy --role-name app --policy-document '{"},
		{"case of sub", func(c *chain) { c.f.Role.Trust = trustPolicy(provider, host, strings.ToUpper(subject)) }, "role", "trust policy", subject, strings.ToUpper(subject), "iamserviceaccount create"},
		{"StringEquals with a star", func(c *chain) { c.f.Role.Trust = trustPolicy(provider, host, "system:serviceaccount:default:*") }, "role", "trust policy", "StringLike", "StringEquals", "iamserviceaccount create"},
		{"provider with scheme in the principal", func(c *chain) {
			c.f.Role.Trust = trustPolicy(strings.Replace(provider, host, "https://"+host, 1), host, subject)
		}, "role", "trust policy", "Principal", "oidc-provider/https://", "iamserviceaccount create"},
		{"provider of another account in the principal", func(c *chain) {
			c.f.Role.Trust = trustPolicy(strings.Replace(provider, account, "999999999999", 1), host, subject)
		}, "role", "trust policy", provider, "999999999999", "iamserviceaccount create"},
		{"slash in the condition key", func(c *chain) { c.f.Role.Trust = trustPolicy(provider, host+"/", subject) }, "role", "trust policy", "a condition on " + host + ":", "a condition on " + host + "/:", "iamserviceaccount create"},
		{"scheme in the condition key", func(c *chain) { c.f.Role.Trust = trustPolicy(provider, "https://"+host, subject) }, "role", "trust policy", "a condition on " + host + ":", "a condition on https://", "iamserviceaccount create"},
		{"another audience in the condition", func(c *chain) {
			c.trust(strings.Replace(string(c.f.Role.Trust), "sts.amazonaws.com", "https://kubernetes.default.svc", 1))
		}, "role", "trust policy", "sts.amazonaws.com", "https://kubernetes.default.svc", "iamserviceaccount create"},
		{"sts:AssumeRole", func(c *chain) {
			c.trust(strings.Replace(string(c.f.Role.Trust), "sts:AssumeRoleWithWebIdentity", "sts:AssumeRole", 1))
		}, "role", "trust policy", "sts:AssumeRoleWithWebIdentity", "Action sts:AssumeRole", "iamserviceaccount create"},
		{"trust in EC2 only", func(c *chain) {
			c.trust(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)
		}, "role", "trust policy", "Federated " + provider, "1 statements about others", "iamserviceaccount create"},
		{"explicit deny", func(c *chain) {
			c.trust(strings.Replace(string(c.f.Role.Trust), `"Statement":[`, `"Statement":[{"Sid":"No","Effect":"Deny","Principal":"*","Action":"sts:*","Condition":{"StringLike":{"`+host+`:sub":"system:*"}}},`, 1))
		}, "role", "trust policy", "no Deny", `Sid "No"`, "iamserviceaccount create"},

		// service account
		{"annotation typo", func(c *chain) { c.annotations("eks.amazonaws.com/role-arm", roleARN); c.f.Role, c.f.Call = nil, nil }, "service account", "annotation", roleKey, "eks.amazonaws.com/role-arm",
			roleKey + "=" + roleARN + " eks.amazonaws.com/role-arm-"},
		{"annotation of kube2iam", func(c *chain) { c.annotations("iam.amazonaws.com/role", roleARN); c.f.Role, c.f.Call = nil, nil }, "service account", "annotation", roleKey, "iam.amazonaws.com/role", "annotate"},
		{"no annotation", func(c *chain) { c.annotations(); c.f.Role, c.f.Call = nil, nil }, "service account", "annotation", roleKey, "no such annotation", "iamserviceaccount create"},
		{"annotation on the namesake", func(c *chain) { c.annotations(); c.f.Role, c.f.Call, c.f.Elsewhere = nil, nil, []string{"prod/app"} }, "service account", "annotation", roleKey, "prod/app", "iamserviceaccount create"},
		{"blank at the end of the ARN", func(c *chain) { c.annotations(roleKey, roleARN+" "); c.f.Role, c.f.Call = nil, nil }, "service account", "annotation", roleARN, `app "`, roleKey + "=" + roleARN},
		{"instance profile in place of a role", func(c *chain) {
			c.annotations(roleKey, "arn:aws:iam::"+account+":instance-profile/app")
			c.f.Role, c.f.Call = nil, nil
		}, "service account", "annotation", ":role/NAME", "instance-profile", "annotate"},
		{"role of another account", func(c *chain) {
			c.annotations(roleKey, "arn:aws:iam::999999999999:role/app")
			c.f.Role = nil
			c.deny()
		}, "service account", "annotation", roleARN, "999999999999", "annotate"},
		{"role of another partition", func(c *chain) {
			c.f.Partition, c.f.Role, c.f.RoleErr = "aws-us-gov", nil, errors.New("no such role")
		}, "service account", "annotation", "arn:aws-us-gov:iam", roleARN, "annotate"},

		// webhook
		{"no webhook", func(c *chain) { c.f.Webhook.Configuration = nil }, "webhook", "webhook", "MutatingWebhookConfiguration", "none", "SETUP up"},
		{"webhook down", func(c *chain) { c.f.Webhook.Endpoints = 0 }, "webhook", "webhook", "openirsa-system/webhook", "0 ready pods", "SETUP up"},
		{"webhook does not answer", func(c *chain) { c.f.Webhook.Certificates, c.f.Webhook.DialErr = nil, errors.New("connection refused") }, "webhook", "webhook", "TLS server", "refused", "kubectl --namespace openirsa-system logs"},
		{"webhook's certificate expired", func(c *chain) {
			c.f.Webhook.Certificates = c.webhook.server(c.t, now.AddDate(0, 0, -1), "webhook.openirsa-system.svc")
		}, "webhook", "certificate", "valid at 2026-11-22", "to 2026-11-21", "delete secret webhook-tls"},
		{"caBundle of a previous CA", func(c *chain) { c.hook().ClientConfig.CABundle = newAuthority(c.t, "previous CA").pem() }, "webhook", "certificate", "caBundle has signed", "webhook CA", "rollout restart deployment webhook"},
		{"empty caBundle", func(c *chain) { c.hook().ClientConfig.CABundle = nil }, "webhook", "certificate", "caBundle", "no certificate", "delete secret"},
		{"webhook's certificate of another name", func(c *chain) {
			c.f.Webhook.Certificates = c.webhook.server(c.t, now.AddDate(0, 1, 0), "pod-identity-webhook.default.svc")
		}, "webhook", "certificate", "webhook.openirsa-system.svc", "pod-identity-webhook.default.svc", "delete secret"},
		{"kube-system left out by a previous version", func(c *chain) { c.in("kube-system"); c.former() },
			"webhook", "selector", "kubernetes.io/metadata.name notin", "kubernetes.io/metadata.name=kube-system", "SETUP up"},
		{"the webhook's own namespace", func(c *chain) {
			c.in("openirsa-system")
			system := c.f.Webhook.Configuration.Webhooks[1].NamespaceSelector
			system.MatchExpressions[0].Values = system.MatchExpressions[0].Values[:1]
		}, "webhook", "selector", "kubernetes.io/metadata.name notin", "kubernetes.io/metadata.name=openirsa-system", "move the service account out of namespace openirsa-system"},
		{"kube-system left out by another's webhook", func(c *chain) { c.in("kube-system"); c.former(); c.f.Webhook.Ours = false },
			"webhook", "selector", "kubernetes.io/metadata.name notin", "kubernetes.io/metadata.name=kube-system", "kubectl edit mutatingwebhookconfiguration openirsa"},
		{"namespace excluded", func(c *chain) {
			c.in("team")
			for i := range c.f.Webhook.Configuration.Webhooks {
				s := c.f.Webhook.Configuration.Webhooks[i].NamespaceSelector
				s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: []string{"team", "other"}})
			}
			c.f.Webhook.Excluded = []string{"team", "other"}
		}, "webhook", "selector", "kubernetes.io/metadata.name notin", "kubernetes.io/metadata.name=team", "SETUP up --exclude-namespaces other "},
		{"empty caBundle of the system's entry", func(c *chain) { c.f.Webhook.Configuration.Webhooks[1].ClientConfig.CABundle = nil },
			"webhook", "certificate", "caBundle", "no certificate", "delete secret"},
		{"webhook gives no role in kube-system", func(c *chain) { c.in("kube-system"); c.f.Webhook.Trial.RoleARN = "" },
			"webhook", "trial", irsa.EnvRoleARN + "=" + roleARN, irsa.EnvRoleARN + "=", "SETUP up"},
		{"pod of kube-system made while the webhook was down", func(c *chain) { c.in("kube-system"); c.container().Env = nil },
			"pod", "missed", irsa.EnvRoleARN + "=" + roleARN, "did not answer", "kubectl --namespace kube-system rollout restart deployment app"},
		{"namespace left out", func(c *chain) {
			c.former()
			c.hook().NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"irsa": "enabled"}}
		}, "webhook", "selector", "irsa=enabled", "kubernetes.io/metadata.name=default", "kubectl label --overwrite namespace default irsa=enabled"},
		{"API server cannot reach the webhook", func(c *chain) {
			c.f.Webhook.Trial = &doctor.Trial{Err: errors.New(`Internal error occurred: failed calling webhook "pod-identity.openirsa.dev": context deadline exceeded`)}
		}, "webhook", "trial", "an answer of webhook", "deadline exceeded", "SETUP up"},
		{"API server cannot reach another webhook", func(c *chain) {
			c.f.Webhook.Trial = &doctor.Trial{Err: errors.New(`Internal error occurred: failed calling webhook "validate.kyverno.svc-fail": failed to call webhook: Post "https://kyverno-svc.kyverno.svc:443/validate/fail?timeout=10s": no endpoints available for service "kyverno-svc"`)}
		}, "webhook", "trial", `an answer of webhook "validate.kyverno.svc-fail"`, "no endpoints available", "kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations"},
		{"webhook gives another role", func(c *chain) { c.f.Webhook.Trial.RoleARN = "" }, "webhook", "trial", irsa.EnvRoleARN + "=" + roleARN, irsa.EnvRoleARN + "=", "SETUP up"},

		// pods
		{"pod older than the webhook", func(c *chain) {
			c.container().Env = nil
			c.pod().CreationTimestamp = metav1.NewTime(now.Add(-72 * time.Hour))
		}, "pod", "missed", "made after 2026-11-20T12:00:00Z", "made at 2026-11-19T12:00:00Z", "kubectl --namespace default rollout restart deployment app"},
		{"pod older than the annotation", func(c *chain) {
			c.container().Env = nil
			c.f.ServiceAccount.ManagedFields = []metav1.ManagedFieldsEntry{{Time: new(metav1.NewTime(now)), FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:annotations":{"f:` + roleKey + `":{}}}}`)}}
		}, "pod", "missed", "made after 2026-11-22T12:00:00Z", "made at 2026-11-22T11:00:00Z", "rollout restart deployment app"},
		{"pod made while the webhook was down", func(c *chain) { c.container().Env = nil }, "pod", "missed", irsa.EnvRoleARN + "=" + roleARN, "did not answer", "rollout restart deployment app"},
		{"former role in the pod", func(c *chain) { c.container().Env[0].Value = roleARN + "-old" }, "pod", "role of pod", irsa.EnvRoleARN + "=" + roleARN, roleARN + "-old", "rollout restart"},
		{"static keys", func(c *chain) {
			c.container().Env = append(c.container().Env, corev1.EnvVar{Name: "AWS_ACCESS_KEY_ID", Value: "AKIAEXAMPLE"})
		}, "pod", "static keys", "no AWS_ACCESS_KEY_ID", "in env", "rollout restart"},
		{"static keys by envFrom", func(c *chain) {
			c.container().EnvFrom = []corev1.EnvFromSource{{Prefix: "AWS_", SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "old"}}}}
			c.f.Bulk = map[string][]string{"Secret/old": {"ACCESS_KEY_ID"}}
		}, "pod", "static keys", "no AWS_ACCESS_KEY_ID", "Secret/old", "rollout restart"},
		{"static keys of an init container", func(c *chain) {
			c.initContainer().Env = append(c.initContainer().Env, corev1.EnvVar{Name: "AWS_ACCESS_KEY_ID", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "id"}}})
		}, "pod", "static keys", "no AWS_ACCESS_KEY_ID", "in env", "rollout restart"},
		{"former role in a native sidecar", func(c *chain) {
			c.initContainer().RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
			c.initContainer().Env[0].Value = roleARN + "-old"
		}, "pod", "role of pod", irsa.EnvRoleARN + "=" + roleARN, roleARN + "-old", "rollout restart"},
		{"mount replaced", func(c *chain) { c.container().VolumeMounts[0].MountPath = "/var/secrets" }, "pod", "token file", "a mount at " + irsa.MountPath, "/var/secrets", "rollout restart"},
		{"former audience in the pod", func(c *chain) {
			c.pod().Spec.Volumes[0].Projected.Sources[0].ServiceAccountToken.Audience = "vault"
		}, "pod", "audience of pod", "audience sts.amazonaws.com", "audience vault", "rollout restart"},
		{"token of root before Kubernetes 1.19", func(c *chain) {
			c.f.Minor = 18
			c.pod().Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: new(int64(1000))}
		}, "pod", "token readable", "fsGroup", "mode 0600, owned by root, read as user 1000", "fsGroup"},
		{"token with a narrow mode", func(c *chain) {
			c.pod().Spec.Volumes[0].Projected.DefaultMode = new(int32(0o400))
			c.pod().Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: new(true)}
		}, "pod", "token readable", "fsGroup", "mode 0400", "fsGroup"},
		{"another endpoint", func(c *chain) { c.f.Endpoint = "http://10.96.0.9:4566" }, "pod", "endpoint", irsa.EnvEndpointURL + "=http://10.96.0.9:4566", irsa.EnvEndpointURL + "=", "rollout restart"},
		{"skip label", func(c *chain) { c.pod().Labels[irsa.SkipLabel] = "true"; c.f.PodName = c.pod().Name }, "pod", "skipped", "no label", "label " + irsa.SkipLabel, "rollout restart"},
		{"no such pod", func(c *chain) { c.f.Pods, c.f.PodName = nil, "gone" }, "pod", "pods", "default/gone", "none", "get pods"},

		// credentials
		{"role on the pod template", func(c *chain) {
			c.annotations()
			c.pod().Annotations = map[string]string{roleKey: roleARN}
			c.pod().Labels["pod-template-hash"] = "5d4f"
			c.pod().OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-5d4f"}}
		}, "service account", "annotation", "on service account default/app", "from the pod template of deployment web",
			"annotate --overwrite serviceaccount app eks.amazonaws.com/role-arn=" + roleARN},
		{"volume of its own at the token's path", func(c *chain) {
			c.pod().Spec.Volumes = append(c.pod().Spec.Volumes, corev1.Volume{Name: "own"})
			c.container().VolumeMounts = []corev1.VolumeMount{{Name: "own", MountPath: irsa.MountPath}}
		}, "pod", "token file", "a projected volume", "volume own", "after the mount at " + irsa.MountPath + " is removed from"},
		{"volume of its own over the token", func(c *chain) {
			c.container().VolumeMounts = append(c.container().VolumeMounts, corev1.VolumeMount{Name: "own", MountPath: irsa.MountPath + "/token"})
		}, "pod", "token file", "no mount at", "volume own", "is removed from"},
		{"only AWS cannot read the issuer", func(c *chain) { c.invalid() }, "credentials", "AssumeRoleWithWebIdentity", "to any host on the internet", "retrieve verification key", "curl --verbose https://" + host},
		{"service control policy", func(c *chain) { c.deny() }, "credentials", "AssumeRoleWithWebIdentity", roleARN, "AccessDenied", "SETUP status"},
		{"STS switched off in the region", func(c *chain) { c.f.Call = &doctor.Call{Code: "RegionDisabledException", Message: "not activated"} }, "credentials", "AssumeRoleWithWebIdentity", roleARN, "RegionDisabledException", "SETUP status"},
		{"credentials of another role", func(c *chain) {
			c.f.Call.Identity = "arn:aws:sts::" + account + ":assumed-role/node/i-0123456789abcdef0"
		}, "credentials", "GetCallerIdentity", "assumed-role/app/", "assumed-role/node/", "SETUP doctor"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := healthy(t)
			test.breakIt(c)
			findings := doctor.Diagnose(c.f)
			got, ok := doctor.First(findings)
			if !ok {
				t.Fatalf("nothing is broken: %+v", findings)
			}
			if got.Link != test.link || got.Check != test.check {
				t.Errorf("broken: %q, %q; want %q, %q: %+v", got.Link, got.Check, test.link, test.check, got)
			}
			for what, pair := range map[string][2]string{"expected": {got.Expected, test.expected}, "found": {got.Found, test.found}, "next": {got.Fix.Shell("SETUP"), test.next}} {
				if pair[1] == "" || !strings.Contains(pair[0], pair[1]) {
					t.Errorf("%s %q, want %q in it", what, pair[0], pair[1])
				}
			}
			if got.Expected == got.Found || got.Summary == "" {
				t.Errorf("nothing differs: %+v", got)
			}
			// Neither the token nor its signature may ever be told.
			if raw := string(c.f.Raw); raw != "" {
				signature := raw[strings.LastIndexByte(raw, '.')+1:]
				if s := fmt.Sprintf("%+v %#v", findings, c.f); strings.Contains(s, signature) {
					t.Error("the token is told")
				}
			}
		})
	}
}

// TestAllowed: what looks odd and works is not called broken.
func TestAllowed(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(c *chain)
		check  string // that warns; "" for none
	}{
		{"pattern", func(c *chain) {
			c.trust(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"` + provider + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"` + host + `:aud":"sts.amazonaws.com"},"StringLike":{"` + host + `:sub":"system:serviceaccount:default:*"}}}]}`)
		}, ""},
		{"aud left out", func(c *chain) {
			c.trust(strings.Replace(string(c.f.Role.Trust), `"`+host+`:aud":"sts.amazonaws.com",`, "", 1))
		}, "trust policy"},
		{"sub left out", func(c *chain) {
			c.trust(strings.Replace(string(c.f.Role.Trust), `,"`+host+`:sub":"`+subject+`"`, "", 1))
		}, "trust policy"},
		{"role without permissions", func(c *chain) { c.f.Role.PolicyARNs = nil }, "permissions"},
		{"tokens for AWS let into the cluster", func(c *chain) { c.f.Servers[0].Audiences = []string{irsa.Audience} }, "audiences flag"},
		{"another jwks-uri", func(c *chain) { c.f.Servers[0].JWKSURI = "https://10.0.0.1:6443/openid/v1/jwks" }, "jwks-uri flag"},
		{"another audience, in both", func(c *chain) {
			c.annotations(roleKey, roleARN, "eks.amazonaws.com/audience", "aws")
			c.mint(func(k *token.Claims) { k.Audience = token.Strings{"aws"} })
			c.f.Provider.ClientIDs = []string{"aws"}
			c.trust(strings.Replace(string(c.f.Role.Trust), "sts.amazonaws.com", "aws", 1))
			c.pod().Spec.Volumes[0].Projected.Sources[0].ServiceAccountToken.Audience = "aws"
		}, ""},
		{"blank in the audience", func(c *chain) { c.annotations(roleKey, roleARN, "eks.amazonaws.com/audience", "sts.amazonaws.com ") }, "malformed annotation"},
		{"expiration that is no number", func(c *chain) { c.annotations(roleKey, roleARN, "eks.amazonaws.com/token-expiration", "1h") }, "malformed annotation"},
		{"skip-containers on the service account", func(c *chain) { c.annotations(roleKey, roleARN, "eks.amazonaws.com/skip-containers", "proxy") }, "ignored annotation"},
		{"include-containers on the pod", func(c *chain) {
			c.pod().Annotations = map[string]string{"eks.amazonaws.com/include-containers": "app"}
		}, "ignored annotation"},
		{"private CA with its thumbprint", func(c *chain) {
			c.f.JWKS.Untrusted = x509.UnknownAuthorityError{Cert: c.public.cert}
			c.f.Provider.Thumbprints = []string{strings.ToUpper(doctor.Thumbprint(c.f.JWKS.Certificates))}
		}, ""},
		{"role of another account that works", func(c *chain) {
			c.annotations(roleKey, "arn:aws:iam::999999999999:role/app")
			c.f.Role = nil
			c.f.Webhook.Trial.RoleARN = "arn:aws:iam::999999999999:role/app"
			c.container().Env[0].Value = "arn:aws:iam::999999999999:role/app"
			c.f.Call.Identity = "arn:aws:sts::999999999999:assumed-role/app/openirsa-doctor"
		}, ""},
		{"skipped container", func(c *chain) {
			c.pod().Annotations = map[string]string{irsa.DefaultPrefix.SkipContainers(): "proxy"}
			c.pod().Spec.Containers = append(c.pod().Spec.Containers, corev1.Container{Name: "proxy"})
		}, ""},
		{"skipped init container", func(c *chain) {
			c.pod().Annotations = map[string]string{irsa.DefaultPrefix.SkipContainers(): "init"}
			c.initContainer().Env = nil
		}, ""},
		{"container that another webhook added later", func(c *chain) { c.initContainer().Env = nil }, "missed"},
		{"no static keys, in so many words", func(c *chain) {
			c.container().Env = append(c.container().Env, corev1.EnvVar{Name: "AWS_ACCESS_KEY_ID"})
			c.container().EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "old"}}}}
			c.f.Bulk = map[string][]string{"Secret/old": {"AWS_ACCESS_KEY_ID"}}
		}, ""},
		{"container credentials, which come after the role", func(c *chain) {
			c.container().Env = append(c.container().Env, corev1.EnvVar{Name: "AWS_CONTAINER_CREDENTIALS_FULL_URI", Value: "http://169.254.170.23/v1/credentials"}, corev1.EnvVar{Name: "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", Value: "/v2"})
		}, ""},
		{"profile, which some SDKs prefer", func(c *chain) {
			c.container().Env = append(c.container().Env, corev1.EnvVar{Name: "AWS_PROFILE", Value: "prod"})
		}, "profile"},
		{"credentials file by envFrom", func(c *chain) {
			c.initContainer().EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "aws"}}}}
			c.f.Bulk = map[string][]string{"ConfigMap/aws": {"AWS_SHARED_CREDENTIALS_FILE"}}
		}, "profile"},
		{"one user for all containers, before 1.19 with fsGroup", func(c *chain) {
			c.f.Minor = 18
			c.pod().Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: new(int64(1000)), FSGroup: new(int64(2000))}
		}, ""},
		{"skip label on a pod nobody asks about", func(c *chain) { c.pod().Labels[irsa.SkipLabel] = "true" }, "skipped"},
		{"clock within the leeway", func(c *chain) { c.f.AWSTime = now.Add(-50 * time.Second) }, ""},
		{"path of the role", func(c *chain) {
			arn := "arn:aws:iam::" + account + ":role/a/b/app"
			c.annotations(roleKey, arn)
			c.f.Role.ARN, c.f.Webhook.Trial.RoleARN, c.container().Env[0].Value = arn, arn, arn
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := healthy(t)
			test.change(c)
			warned := false
			for _, f := range doctor.Diagnose(c.f) {
				if f.Result == doctor.Broken {
					t.Errorf("broken: %+v", f)
				}
				if f.Result == doctor.Warning {
					warned = true
					if f.Check != test.check {
						t.Errorf("warning: %+v", f)
					}
				}
			}
			if warned != (test.check != "") {
				t.Errorf("a warning: %t", warned)
			}
		})
	}
}

// TestIgnoredAnnotations: the object to edit is named, and the command is for it.
func TestIgnoredAnnotations(t *testing.T) {
	c := healthy(t)
	c.annotations(roleKey, roleARN, "eks.amazonaws.com/skip-containers", "proxy")
	c.pod().Annotations = map[string]string{roleKey: roleARN}
	c.pod().Labels["pod-template-hash"] = "5d4f"
	c.pod().OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-5d4f"}}
	c.f.Pods = append(c.f.Pods, c.f.Pods[0]) // of the same template
	var next []string
	for _, f := range doctor.Diagnose(c.f) {
		if f.Check == "ignored annotation" {
			next = append(next, f.Fix.Shell("SETUP"))
		}
	}
	want := []string{
		"kubectl --namespace default annotate serviceaccount app eks.amazonaws.com/skip-containers-",
		`kubectl --namespace default patch deployment web --type json --patch '[{"op":"remove","path":"/spec/template/metadata/annotations/eks.amazonaws.com~1role-arn"}]'`,
	}
	if diff := cmp.Diff(want, next); diff != "" {
		t.Error(diff)
	}
}

// TestOtherSTS: a role of another STS is no mistake, and one of AWS's with a mistake
// in it is.
func TestOtherSTS(t *testing.T) {
	for arn, broken := range map[string]bool{
		"arn:aws:iam:::role/application": false, "arn:minio:iam:::role/application": false, "arn:aws:sts::KEY:role/application": false,
		"arn:aws:iam::RGW11111111111111111:role/app": false, "arn:aws:iam::12345678901:role/app": true, "arn:aws:iam:::user/application": true,
	} {
		c := healthy(t)
		c.annotations(roleKey, arn)
		found := false
		for _, f := range doctor.Diagnose(c.f) {
			found = found || f.Check == "annotation" && f.Result == doctor.Broken
		}
		if found != broken {
			t.Errorf("%s: broken %t", arn, found)
		}
	}
}
