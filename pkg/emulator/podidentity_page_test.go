package emulator_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// TestPodIdentityChains: the page draws the chains of EKS Pod Identity, and where they
// are broken.
func TestPodIdentityChains(t *testing.T) {
	t.Parallel()
	const (
		subject = "system:serviceaccount:team-a:app"
		good    = "key=good documents=good cluster=good role=good account=good pod=good decision=good"
	)
	w := newPodWorld(t)
	chain := func(name string) chainOf {
		t.Helper()
		chains, _ := chainsOf(t, w.AWS)
		i := slices.IndexFunc(chains, func(c chainOf) bool { return c.Name == name })
		if i < 0 {
			t.Fatalf("no chain of %s among %v", name, chains)
		}
		return chains[i]
	}
	is := func(what, want string) {
		t.Helper()
		if got := chain("team-a/app"); got.String() != "team-a/app "+want {
			t.Errorf("%s: %v\nwant %s", what, got, want)
		}
	}
	w.exchange(w.podToken(nil))
	is("no association", "broken: key=good documents=good cluster=good role=unknown account=broken pod=good decision=denied")
	id := w.associate(nil)
	is("an association", "broken: key=good documents=good cluster=good role=good account=broken pod=good decision=denied")
	w.exchange(w.podToken(nil)).good(t, "exchange")
	is("an exchange", "intact: "+good)
	w.exchange(w.podToken(claims{"aud": "sts.amazonaws.com"}))
	is("a token for another", "broken: key=good documents=good cluster=good role=good account=unknown pod=broken decision=denied")
	w.exchange(w.podToken(claims{"iss": w.idp.URL + "/c2"}))
	w.trust("app-role", serviceTrust(nil, "sts:AssumeRole"))
	w.exchange(w.podToken(nil))
	is("no sts:TagSession", "broken: key=good documents=good cluster=good role=broken account=good pod=good decision=denied")
	if l := chain("team-a/app").Links[3]; !slices.Equal(l.Found, []string{"sts:TagSession"}) {
		t.Errorf("the broken link %+v", l)
	}
	w.trust("app-role", serviceTrust(nil))
	config := w.session(w.exchange(w.podToken(nil)))
	if _, err := iam.NewFromConfig(config).ListGroups(t.Context(), nil); err == nil {
		t.Fatal("allowed")
	}
	// What the pod does later is told of it, by its service account.
	if e := w.LastDenial(); e.Subject != subject || e.Issuer != w.idp.URL+"/c1" || e.Cluster != clusterARN || e.Action != "iam:ListGroups" {
		t.Errorf("event %+v", e)
	}
	if c := chain("team-a/app"); c.State != "broken" || !strings.HasSuffix(c.String(), "pod=good decision=broken") {
		t.Errorf("a call that was denied: %v", c)
	}
	w.allow("app-role", allowing(nil, "iam:ListGroups", "*"))
	if _, err := iam.NewFromConfig(config).ListGroups(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	is("a call that is allowed", "intact: "+good)
	w.eks("DELETE", associations+"/"+id, nil).good(t, "delete")
	is("its association was deleted", "broken: key=good documents=good cluster=good role=unknown account=broken pod=good decision=good")

	// What a role did is known by the service account, for its least policy.
	least, err := w.LeastPolicy(emulator.PolicyQuery{Subject: "team-a/app"})
	if err != nil {
		t.Fatal(err)
	}
	if text := string(must(json.Marshal(least))); least.Role != appRole || !strings.Contains(text, "iam:ListGroups") {
		t.Errorf("the least policy: %s", text)
	}
}
