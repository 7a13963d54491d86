// Package plain is the README's story, told with package testing alone.
package plain

import (
	"os"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/chain/chaintest"
)

func TestListGroups(t *testing.T) {
	irsa := chaintest.Up(t, chaintest.Options{PodIdentity: true})
	pod := chaintest.Pod{ServiceAccount: "app", Image: os.Getenv("AWS_CLI_IMAGE"), Command: []string{"aws", "iam", "list-groups"}}
	irsa.Grant(t, "default", "app", "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
	if out, err := irsa.Run(t, pod); err == nil || !strings.Contains(out, "AccessDenied") {
		t.Fatalf("before the role may list groups: %v\n%s", err, out)
	}
	irsa.Grant(t, "default", "app", "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
	if out, err := irsa.Run(t, pod); err != nil || !strings.Contains(out, `"Groups"`) {
		t.Fatalf("once it may: %v\n%s", err, out)
	}

	// Another service account, by EKS Pod Identity.
	irsa.Associate(t, "default", "courier", "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
	pod.ServiceAccount = "courier"
	if out, err := irsa.Run(t, pod); err != nil || !strings.Contains(out, `"Groups"`) {
		t.Fatalf("by an association: %v\n%s", err, out)
	}
}
