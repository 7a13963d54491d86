package role

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/trust"
)

// Delete decides what must be done for the cluster with the mark, see
// [owner.Tags], to be done with a role. One that was made for it alone is deleted.
// A shared one loses the statements of the cluster's providers, and is deleted if
// it was the last to have any. One that is neither is left alone.
func Delete(ctx context.Context, client IAM, name string, mark map[string]string, providers ...string) ([]plan.Step, error) {
	there, ok, err := Get(ctx, client, name)
	if err != nil || !ok {
		return nil, err
	}
	return there.Delete(client, mark, providers...)
}

// Delete is [Delete] of a role that [Get] or [Read] has returned.
func (r Role) Delete(client IAM, mark map[string]string, providers ...string) ([]plan.Step, error) {
	if !owner.Shared(r.Tags) {
		if !owner.Owns(r.Tags, mark) {
			return nil, nil
		}
		return r.remove(client), nil
	}
	left, err := leave(r.Trust, providers)
	if err != nil {
		return nil, fmt.Errorf("role %s: %w", r.Name, err)
	}
	step := plan.Step{Link: plan.Role, Action: plan.Delete, Summary: "role " + r.Name, Do: func(ctx context.Context) error {
		// As late as can be, see planUpdate: others may have joined or left
		// meanwhile.
		now, ok, err := Get(ctx, client, r.Name)
		if err != nil || !ok {
			return err
		}
		left, err := leave(now.Trust, providers)
		switch {
		case err != nil:
			return err
		case left == nil:
			return plan.Run(ctx, now.remove(client), nil)
		}
		return putTrust(ctx, client, r.Name, left)
	}}
	if left != nil {
		if trust.Equal(left, r.Trust) {
			return nil, nil
		}
		step.Action, step.Diff = plan.Update, plan.DiffJSON(r.Trust, left)
	}
	return []plan.Step{step}, nil
}

// leave is a trust policy without the statements of some providers; nil if then
// nobody is let in.
func leave(document []byte, providers []string) ([]byte, error) {
	for _, arn := range providers {
		var err error
		if document, err = trust.Without(document, arn); err != nil || document == nil {
			return nil, err
		}
	}
	return document, nil
}

// remove deletes the role with everything in it.
func (r Role) remove(client IAM) []plan.Step {
	var steps []plan.Step
	for _, arn := range r.PolicyARNs {
		steps = append(steps, detach(client, r.Name, arn))
	}
	for _, policy := range slices.Sorted(maps.Keys(r.Inline)) {
		steps = append(steps, deleteInline(client, r.Name, policy))
	}
	return append(steps, plan.Step{
		Link: plan.Role, Action: plan.Delete, Summary: "role " + r.Name,
		Do: patient(isConflict, func(ctx context.Context) error {
			_, err := client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &r.Name})
			return ignoreMissing(err)
		}),
	})
}
