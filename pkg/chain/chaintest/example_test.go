package chaintest_test

import (
	"context"
	"log"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/chain/chaintest"
)

// A pod that may list IAM groups.
func ExampleUp() {
	_ = func(t *testing.T) { // TestListGroups
		irsa := chaintest.Up(t, chaintest.Options{})
		irsa.Grant(t, "default", "app", "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
		out, err := irsa.Run(t, chaintest.Pod{ServiceAccount: "app", Image: "amazon/aws-cli", Args: []string{"iam", "list-groups"}})
		if err != nil || !strings.Contains(out, "Groups") {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// The same by EKS Pod Identity.
func ExampleChain_Associate() {
	_ = func(t *testing.T) { // TestListGroups
		pods := chaintest.Up(t, chaintest.Options{PodIdentity: true})
		pods.Associate(t, "default", "app", "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
		out, err := pods.Run(t, chaintest.Pod{ServiceAccount: "app", Image: "amazon/aws-cli", Args: []string{"iam", "list-groups"}})
		if err != nil || !strings.Contains(out, "Groups") {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// One chain for all tests of a package.
func ExampleStart() {
	var irsa *chaintest.Chain    // for the tests
	_ = func(m *testing.M) int { // of TestMain
		ctx := context.Background()
		var err error
		irsa, err = chaintest.Start(ctx, chaintest.Options{Log: func(line string) { log.Print(line) }})
		if err != nil {
			log.Print(err)
			return 1
		}
		defer func() {
			if err := irsa.Down(ctx); err != nil {
				log.Print(err)
			}
		}()
		return m.Run()
	}
}
