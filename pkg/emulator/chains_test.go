package emulator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/token"
)

// chainOf is a chain as /_openirsa/chain shows it.
type chainOf struct {
	Name, Subject, Issuer, Role, State string
	Links                              []struct {
		Kind, State, Value, Problem string
		Expected, Found             []string
	}
	Decision *struct{ Decision, Action string }
}

func (c chainOf) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s:", c.Name, c.State)
	for _, l := range c.Links {
		fmt.Fprintf(&b, " %s=%s", l.Kind, l.State)
	}
	return b.String()
}

func chainsOf(t testing.TB, a *emulatortest.AWS) (chains []chainOf, left int) {
	t.Helper()
	resp, err := http.Get(a.URL + "/_openirsa/chain")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body struct {
		Chains     []chainOf
		ChainsLeft int
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return body.Chains, body.ChainsLeft
}

// TestChains: where the chain of a service account is broken, and by which two values.
func TestChains(t *testing.T) {
	const (
		good    = "key=good documents=good provider=good role=good account=good pod=good decision=good"
		unknown = "key=unknown documents=unknown provider=good role=good account=unknown pod=unknown decision=unknown"
		trust   = "key=good documents=good provider=good role=broken account=good pod=good decision=denied"
	)
	for name, c := range map[string]struct {
		do              func(a *emulatortest.AWS, iss *emulatortest.Issuer)
		want            string
		expected, found []string
	}{
		"nobody came": {func(a *emulatortest.AWS, iss *emulatortest.Issuer) {}, "ns1/app unused: " + unknown, nil, nil},
		"intact": {func(a *emulatortest.AWS, iss *emulatortest.Issuer) { a.Assume(roleR, iss.Token("ns1", "app")) },
			"ns1/app intact: " + good, nil, nil},
		"another service account": {func(a *emulatortest.AWS, iss *emulatortest.Issuer) { a.Assume(roleR, iss.Token("ns1", "other")) },
			"ns1/other broken: " + trust, []string{"system:serviceaccount:ns1:app"}, []string{"system:serviceaccount:ns1:other"}},
		"no permission": {func(a *emulatortest.AWS, iss *emulatortest.Issuer) {
			iam.NewFromConfig(a.Session(roleR, iss.Token("ns1", "app"))).ListGroups(t.Context(), nil)
		}, "ns1/app broken: " + strings.Replace(good, "decision=good", "decision=broken", 1), nil, nil},
		"no role": {func(a *emulatortest.AWS, iss *emulatortest.Issuer) { a.Assume(roleR+"x", iss.Token("ns1", "app")) },
			"ns1/app broken: " + trust, []string{roleR + "x"}, nil},
		"another key": {func(a *emulatortest.AWS, iss *emulatortest.Issuer) {
			other := a.Issuer("other")
			other.URL = iss.URL
			a.Assume(roleR, other.Token("ns1", "app"))
		}, "ns1/app broken: key=broken documents=good provider=good role=good account=unknown pod=unknown decision=denied", nil, nil},
		"private documents": {func(a *emulatortest.AWS, iss *emulatortest.Issuer) {
			iss.Close()
			a.Assume(roleR, iss.Token("ns1", "app"))
		}, "ns1/app broken: key=unknown documents=broken provider=good role=good account=unknown pod=unknown decision=denied",
			[]string{"https://issuer-dev.s3.us-east-1.amazonaws.com/.well-known/openid-configuration: 200"},
			[]string{"https://issuer-dev.s3.us-east-1.amazonaws.com/.well-known/openid-configuration: 403"}},
		"no provider": {func(a *emulatortest.AWS, iss *emulatortest.Issuer) {
			iam.NewFromConfig(a.Config()).DeleteOpenIDConnectProvider(t.Context(), &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &iss.ARN})
			a.Assume(roleR, iss.Token("ns1", "app"))
		}, "ns1/app broken: key=unknown documents=unknown provider=broken role=good account=unknown pod=unknown decision=denied",
			[]string{"arn:aws:iam::000000000000:oidc-provider/issuer-dev.s3.us-east-1.amazonaws.com"}, nil},
		"another audience": {func(a *emulatortest.AWS, iss *emulatortest.Issuer) {
			now := a.Now()
			a.Assume(roleR, iss.Mint(token.Claims{Issuer: iss.URL.String(), Subject: token.Subject("ns1", "app"), Audience: []string{"vault"},
				IssuedAt: token.At(now), Expiry: token.At(now.Add(60e9))}))
		}, "ns1/app broken: key=unknown documents=unknown provider=broken role=good account=unknown pod=unknown decision=denied",
			[]string{"sts.amazonaws.com"}, []string{"vault"}},
		"an old token": {func(a *emulatortest.AWS, iss *emulatortest.Issuer) {
			old := iss.Token("ns1", "app")
			a.FastForward(2 * 3600e9)
			a.Assume(roleR, old)
		}, "ns1/app broken: key=unknown documents=unknown provider=good role=good account=unknown pod=broken decision=denied", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := startAWS(t)
			iss := a.Issuer("dev")
			a.Role("R", iss.Trust("ns1", "app"))
			c.do(a, iss)
			chains, _ := chainsOf(t, a)
			if len(chains) == 0 || chains[0].String() != c.want {
				t.Fatalf("chains\n%v, want\n%s", chains, c.want)
			}
			for _, l := range chains[0].Links {
				if l.State == "broken" && (c.expected != nil || c.found != nil) &&
					(fmt.Sprint(l.Expected) != fmt.Sprint(c.expected) || fmt.Sprint(l.Found) != fmt.Sprint(c.found)) {
					t.Errorf("expected %q, found %q; want %q and %q", l.Expected, l.Found, c.expected, c.found)
				}
				if l.State == "broken" && l.Problem == "" {
					t.Errorf("the link %s does not say what is wrong", l.Kind)
				}
			}
		})
	}
}

const roleR = "arn:aws:iam::000000000000:role/R"

// TestManyChains: strangers' tokens do not crowd out the chains that there are.
func TestManyChains(t *testing.T) {
	a := startAWS(t)
	iss := a.Issuer("dev")
	a.Role("R", iss.Trust("ns1", "app"))
	a.Role("all", document(map[string]any{"Effect": "Allow", "Principal": map[string]string{"Federated": iss.ARN},
		"Action": "sts:AssumeRoleWithWebIdentity", "Condition": map[string]any{"StringLike": map[string]string{iss.URL.ConditionKey("sub"): "system:serviceaccount:ns2:*"}}}))
	if chains, _ := chainsOf(t, a); len(chains) != 2 || chains[0].Name != "ns1/app" || chains[1].Name != "ns2/*" {
		t.Errorf("chains %v", chains)
	}
	if _, err := a.Assume("arn:aws:iam::000000000000:role/all", iss.Token("ns2", "b")); err != nil {
		t.Fatal(err)
	}
	if chains, _ := chainsOf(t, a); len(chains) != 2 || chains[0].Name != "ns2/b" || chains[1].Name != "ns1/app" {
		t.Errorf("chains %v", chains)
	}
	stranger := a.Issuer("stranger")
	if _, err := iam.NewFromConfig(a.Config()).DeleteOpenIDConnectProvider(t.Context(), &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &stranger.ARN}); err != nil {
		t.Fatal(err)
	}
	for i := range 220 {
		a.Assume(roleR, stranger.Token("ns3", fmt.Sprint("x", i)))
	}
	chains, left := chainsOf(t, a)
	if len(chains) != 200 || left != 22 {
		t.Errorf("%d chains, %d left", len(chains), left)
	}
	if n := len(chains); chains[n-2].Name != "ns2/b" || chains[n-1].Name != "ns1/app" {
		t.Errorf("the last chains are %v", chains[n-2:])
	}
}
