package association_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/openirsa/openirsa/pkg/association"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// TestEmulator asks an emulator of EKS, IAM and STS that knows nothing of this client,
// with a role that may do nothing else.
func TestEmulator(t *testing.T) {
	a := emulatortest.Start(t)
	i := a.Issuer("hook")
	role := a.Role("hook", i.Trust("openirsa-system", "webhook"))
	app := a.Role("app", a.PodTrust("team-a", "app"))
	a.PodIdentity("team-a", "app", app)
	env := a.Env(role, i.Token("openirsa-system", "webhook"))
	client := func(cluster string) *association.Client {
		t.Helper()
		c, err := association.FromEnvironment(cluster, "openirsa-test/v1", func(name string) string { return env[name] })
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	refused := func(c *association.Client, code string) {
		t.Helper()
		_, err := list(c, "", "")
		if said, ok := errors.AsType[*association.Error](err); !ok || said.Code != code {
			t.Errorf("%v, want %s", err, code)
		}
	}
	c := client(emulatortest.PodCluster)
	refused(c, "AccessDeniedException")
	a.Policy("hook", "list", map[string]any{
		"Effect": "Allow", "Action": "eks:ListPodIdentityAssociations",
		"Resource": []string{
			fmt.Sprintf("arn:aws:eks:%s:%s:cluster/%s", emulatortest.Region, a.Account(), emulatortest.PodCluster),
			fmt.Sprintf("arn:aws:eks:%s:%s:cluster/c9", emulatortest.Region, a.Account()),
		},
	})
	refused(client("c9"), "ResourceNotFoundException")
	for n := range 230 {
		a.PodIdentity("team-b", fmt.Sprint("app-", n), app)
	}
	if all, err := list(c, "", ""); err != nil || len(all) != 231 || all[0] != [2]string{"team-a", "app"} || all[230] != [2]string{"team-b", "app-229"} {
		t.Errorf("%d: %v", len(all), err)
	}
	if one, err := list(c, "team-b", "app-7"); err != nil || len(one) != 1 || one[0] != [2]string{"team-b", "app-7"} {
		t.Errorf("%v, %v", one, err)
	}
	if none, err := list(c, "team-a", "app-7"); err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
	env = map[string]string{"AWS_REGION": emulatortest.Region, "AWS_ENDPOINT_URL": a.URL, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "wrong"}
	refused(client(emulatortest.PodCluster), "InvalidSignatureException")
	env["AWS_SECRET_ACCESS_KEY"] = "test"
	if all, err := list(client(emulatortest.PodCluster), "", ""); err != nil || len(all) != 231 {
		t.Errorf("with keys: %d, %v", len(all), err)
	}
}
