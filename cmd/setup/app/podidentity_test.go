package app

import (
	"errors"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/podidentity"
)

// What is wrong with flags is said in eksctl's words, before a cluster is looked for (A50).
func TestAssociationFlags(t *testing.T) {
	with := func(change func(*associationOptions)) associationOptions {
		o := associationOptions{PodIdentityAssociation: config.PodIdentityAssociation{
			Namespace: "team-a", ServiceAccountName: "app", RoleARN: "arn:aws:iam::111122223333:role/app",
		}}
		change(&o)
		return o
	}
	good := with(func(*associationOptions) {})
	if err := good.complete(); err != nil {
		t.Error(err)
	}
	for want, o := range map[string]associationOptions{
		"--namespace is required":            with(func(o *associationOptions) { o.Namespace = "" }),
		"--service-account-name is required": with(func(o *associationOptions) { o.ServiceAccountName = "" }),
		"at least one of the following flags must be specified: --role-arn, --permission-policy-arns, --well-known-policies, " +
			"--permission-policy-file": with(func(o *associationOptions) { o.RoleARN = "" }),
		`"no" is not the ARN of a role`: with(func(o *associationOptions) { o.RoleARN = "no" }),
		"--permission-policy-arns cannot be specified when --role-arn is set": with(func(o *associationOptions) {
			o.PermissionPolicyARNs = []string{readOnlyPolicy}
		}),
		"--disable-session-tags must be set to true when using --policy": with(func(o *associationOptions) { o.policy = "{}" }),
	} {
		if err := o.complete(); err == nil || !cli.IsUsage(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want a usage error with %q", err, want)
		}
	}
}

const readOnlyPolicy = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"

// An update changes what flags name, and nothing else.
func TestAssociationUpdate(t *testing.T) {
	there := podidentity.Association{
		Namespace: "team-a", ServiceAccount: "app", RoleARN: "arn:aws:iam::111122223333:role/app", TargetRoleARN: "arn:aws:iam::444455556666:role/b",
		DisableSessionTags: true, Policy: "{}",
	}
	given := func(flags ...string) func(string) bool {
		return func(flag string) bool { return strings.Contains(strings.Join(flags, " "), flag) }
	}
	var o associationOptions
	if got := o.over(there, given()); got.RoleARN != there.RoleARN || got.TargetRoleARN != there.TargetRoleARN || !got.DisableSessionTags ||
		string(got.Policy) != "{}" {
		t.Errorf("without a flag: %+v", got)
	}
	if got := o.over(there, given("target-role-arn")); got.TargetRoleARN != "" {
		t.Errorf("an empty target role leaves %+v", got)
	}
	o.noDisableTags = true
	if got := o.over(there, given("policy")); got.DisableSessionTags || got.Policy != nil {
		t.Errorf("with tags again: %+v", got)
	}
}

// Each failure of Pod Identity has the next command.
func TestAssociationAdvice(t *testing.T) {
	for want, err := range map[string]error{
		"SETUP up --emulator --pod-identity": &chain.NoEKSError{Cluster: "dev"},
		"update-assume-role-policy":          &chain.NoPodsError{Role: "app", Account: "team-a/app"},
		"aws eks update-addon":               &podidentity.OwnedError{},
		"SETUP podidentityassociation create --namespace team-a --service-account-name app": unready(chain.ErrNotAssociated),
		"SETUP doctor --service-account team-a/app":                                         unready(chain.ErrNotInjected),
		"describe resourcequota":                                                            unready(errors.New("exceeded quota")),
	} {
		if got := chainNext("podidentityassociation create", err); !strings.Contains(got, want) {
			t.Errorf("%v: next is %q, want %q", err, got, want)
		}
	}
}

// unready is a wait that ended without the association of team-a/app.
func unready(why error) error {
	return &chain.UnreadyError{Accounts: []string{"team-a/app"}, Why: map[string]error{"team-a/app": why}, Err: errors.New("not done")}
}
