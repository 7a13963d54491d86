package emulatortest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// Example_podIdentity gives a pod its role by EKS Pod Identity instead.
func Example_podIdentity() {
	test := func(t *testing.T) {
		aws := emulatortest.Start(t)
		role := aws.Role("app", aws.PodTrust("default", "app"), "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
		token := aws.PodIdentity("default", "app", role)

		aws.Groups("admins")
		cfg, err := aws.PodSession(token) // what the agent on the node does
		if err != nil {
			t.Fatal(err)
		}
		groups, err := iam.NewFromConfig(cfg).ListGroups(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(*groups.Groups[0].GroupName)
	}
	runExample(test)
	// Output: admins
}

func TestPodIdentity(t *testing.T) {
	t.Parallel()
	a := emulatortest.Start(t)
	token := a.PodIdentity("ns", "app", a.Role("one", a.PodTrust("ns", "app")))
	config, err := a.PodSession(token)
	if err != nil {
		t.Fatal(err)
	}
	who, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil)
	if err != nil || !strings.Contains(*who.Arn, ":assumed-role/one/eks-emulatorte-app-0-") {
		t.Errorf("%v %v", who, err)
	}
	// Another role for the same service account.
	a.PodIdentity("ns", "app", a.Role("other", a.PodTrust("ns", "else")))
	_, err = a.PodSession(token)
	if e, ok := errors.AsType[*emulatortest.PodIdentityError](err); !ok || e.Status != 400 || e.Code != "AccessDeniedException" {
		t.Errorf("a role of another service account: %v", err)
	}
	if e := a.LastDenial(); e.Step != "trust" || len(e.Expected) != 1 || e.Expected[0] != "else" {
		t.Errorf("event %+v", e)
	}
	if err := a.Reset(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.PodSession(a.PodIdentity("ns", "app", a.Role("one", a.PodTrust("ns", "app")))); err != nil {
		t.Errorf("after Reset: %v", err)
	}
}
