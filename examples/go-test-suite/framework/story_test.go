// Package framework is the README's story, told with sigs.k8s.io/e2e-framework.
package framework

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/chain/chaintest"
	"sigs.k8s.io/e2e-framework/pkg/env"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/features"
)

var testenv = env.New().Setup(chaintest.Setup).Finish(chaintest.Finish)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

func TestListGroups(t *testing.T) {
	pod := chaintest.Pod{ServiceAccount: "app", Image: os.Getenv("AWS_CLI_IMAGE"), Command: []string{"aws", "iam", "list-groups"}}
	list := func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
		chaintest.From(ctx).Grant(t, "default", "app", "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
		if out, err := chaintest.From(ctx).Run(t, pod); err != nil || !strings.Contains(out, `"Groups"`) {
			t.Fatalf("%v\n%s", err, out)
		}
		return ctx
	}
	testenv.Test(t, features.New("list groups").Assess("a pod with the role", list).Feature())
}
