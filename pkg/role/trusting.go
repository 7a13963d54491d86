package role

import (
	"context"
	"fmt"

	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/trust"
)

// AlsoTrust decides what must be done for the roles of the cluster with the mark, see
// [owner.Tags], that let in tokens of one provider to let in those of another one
// too, on the same conditions. The others are roles that let in tokens of the one
// provider and not of the other, and were not made for the cluster: they are left
// alone.
//
// A trust policy that would be longer than IAM allows is a [*trust.SizeError];
// all are checked before the first is changed.
func AlsoTrust(ctx context.Context, client IAM, mark map[string]string, one, another string) (
	steps []plan.Step, others []string, err error) {
	roles, err := trusting(ctx, client, one)
	if err != nil {
		return nil, nil, err
	}
	quota := trustQuota{client: client, limit: trust.MaxSize}
	for _, r := range roles {
		if !owner.Owns(r.Tags, mark) && !owner.Shared(r.Tags) {
			if !trustsSome(r.Trust, []string{another}) {
				others = append(others, r.Name)
			}
			continue
		}
		both, err := trust.Alike(r.Trust, one, another)
		if err != nil {
			return nil, nil, fmt.Errorf("role %s: %w", r.Name, err)
		}
		if trust.Equal(both, r.Trust) {
			continue
		}
		if err := quota.check(ctx, r.Name, both); err != nil {
			return nil, nil, err
		}
		steps = append(steps, edit(client, r, both, func(now []byte) ([]byte, error) { return trust.Alike(now, one, another) }))
	}
	return steps, others, nil
}

// StopTrusting decides what must be done for the roles of a cluster not to let in
// tokens of a provider. One that lets in nobody else is left alone.
func StopTrusting(ctx context.Context, client IAM, mark map[string]string, provider string) ([]plan.Step, error) {
	roles, err := trusting(ctx, client, provider)
	if err != nil {
		return nil, err
	}
	var steps []plan.Step
	for _, r := range roles {
		if !owner.Owns(r.Tags, mark) && !owner.Shared(r.Tags) {
			continue
		}
		left, err := trust.Without(r.Trust, provider)
		if err != nil {
			return nil, fmt.Errorf("role %s: %w", r.Name, err)
		}
		if left != nil {
			steps = append(steps, edit(client, r, left, func(now []byte) ([]byte, error) { return trust.Without(now, provider) }))
		}
	}
	return steps, nil
}

// trusting are the roles that let in tokens of a provider.
func trusting(ctx context.Context, client IAM, provider string) ([]Role, error) {
	all, err := List(ctx, client, "/") // without tags, as IAM lists roles
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range all {
		if trustsSome(r.Trust, []string{provider}) {
			names = append(names, r.Name)
		}
	}
	there, err := ReadListed(ctx, client, names)
	if err != nil {
		return nil, err
	}
	var roles []Role
	for _, name := range names {
		if r, ok := there[name]; ok {
			roles = append(roles, r)
		}
	}
	return roles, nil
}

// edit changes the trust policy of a role: what is there when the step runs,
// as late as can be; see planUpdate.
func edit(client IAM, r Role, want []byte, change func(now []byte) ([]byte, error)) plan.Step {
	return plan.Step{
		Link: plan.Role, Action: plan.Update, Summary: "role " + r.Name, Diff: plan.DiffJSON(r.Trust, want),
		Do: patient(isUnheardOf, func(ctx context.Context) error {
			now, ok, err := Get(ctx, client, r.Name)
			if err != nil || !ok {
				return err
			}
			document, err := change(now.Trust)
			if err != nil || document == nil || trust.Equal(document, now.Trust) {
				return err
			}
			return putTrust(ctx, client, r.Name, document)
		}),
	}
}
