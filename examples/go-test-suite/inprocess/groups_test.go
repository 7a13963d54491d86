// Package inprocess tests code that calls AWS from a pod, with no cluster: the emulator is in the test's own process.
package inprocess

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// groups is the code under test. It knows nothing of tests: the SDK finds the role and the endpoint in the environment.
func groups(ctx context.Context) ([]string, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	out, err := iam.NewFromConfig(cfg).ListGroups(ctx, nil)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, g := range out.Groups {
		names = append(names, *g.GroupName)
	}
	return names, nil
}

func TestGroups(t *testing.T) {
	aws := emulatortest.Start(t)
	aws.Groups("admins")
	iss := aws.Issuer("dev")
	role := aws.Role("app", iss.Trust("default", "app"), "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
	for name, value := range aws.Env(role, iss.Token("default", "app")) {
		t.Setenv(name, value) // what a pod of default/app has
	}
	if got, err := groups(t.Context()); err != nil || len(got) != 1 || got[0] != "admins" {
		t.Errorf("groups: %v, %v", got, err)
	}
}

// The token of a service account that the role does not trust: the failure that a typing mistake in a trust policy causes.
func TestGroupsOfAStranger(t *testing.T) {
	aws := emulatortest.Start(t)
	iss := aws.Issuer("dev")
	role := aws.Role("app", iss.Trust("default", "app"), "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
	for name, value := range aws.Env(role, iss.Token("default", "other")) {
		t.Setenv(name, value)
	}
	if got, err := groups(t.Context()); err == nil {
		t.Fatalf("groups: %v, want an error", got)
	}
	if e := aws.LastDenial(); e.Action != "sts:AssumeRoleWithWebIdentity" || e.Step != "trust" {
		t.Errorf("denied: %s at step %s", e.Action, e.Step)
	}
}
