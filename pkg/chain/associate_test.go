package chain_test

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/config"
)

// The inline policy of a role that is made has the name that the association gives it, and one name only; associations that
// share a role agree on it.
func TestAssociateNamesThePolicy(t *testing.T) {
	w := newWorld(t)
	named := func(account, name string) config.PodIdentityAssociation {
		return config.PodIdentityAssociation{
			Namespace: "default", ServiceAccountName: account, RoleName: "logs", PermissionPolicyName: name,
			PermissionPolicy: []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"logs:PutLogEvents","Resource":"*"}}`),
		}
	}
	for _, name := range []string{"", "pod-logs"} {
		options := chain.AssociateOptions{Associations: []config.PodIdentityAssociation{named("app", name)}}
		_, err := w.ch.Associate(t.Context(), options, nil)
		w.must(err)
		list, err := iam.NewFromConfig(w.aws.Config()).ListRolePolicies(t.Context(), &iam.ListRolePoliciesInput{RoleName: new("logs")})
		w.must(err)
		if !slices.Equal(list.PolicyNames, []string{cmp.Or(name, "inline")}) {
			t.Errorf("with the name %q the role has %q", name, list.PolicyNames)
		}
	}
	both := []config.PodIdentityAssociation{named("app", "pod-logs"), named("other", "logs")}
	_, err := w.ch.Associate(t.Context(), chain.AssociateOptions{Associations: both}, nil)
	if e, ok := errors.AsType[*chain.OptionError](err); !ok || e.Option != "Associations" ||
		!strings.Contains(err.Error(), "default/other and default/app share role logs and ask for different permissionPolicyName") {
		t.Errorf("with two names: %v", err)
	}
}
