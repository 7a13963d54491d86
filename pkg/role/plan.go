package role

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/trust"
)

// ForeignError is a role that has the wanted name but was not made for the
// cluster. It is never changed.
type ForeignError struct {
	Role    Role
	Cluster string
	UID     string // of the cluster
}

// Sharable reports whether the role was made for another cluster, which this one
// may join.
func (e *ForeignError) Sharable() bool { return owner.Claimed(e.Role.Tags) }

// Namesake reports whether the role was made for another cluster of the same
// name.
func (e *ForeignError) Namesake() bool { return owner.Named(e.Role.Tags, e.Cluster) }

func (e *ForeignError) Error() string {
	if e.Namesake() {
		return (&owner.ForeignError{Thing: "role " + e.Role.Name, Tags: e.Role.Tags, Mark: owner.Tags(e.Cluster, e.UID)}).Error()
	}
	if e.Sharable() {
		return fmt.Sprintf("role %s was made for cluster %q, and cluster %q does not share it",
			e.Role.Name, e.Role.Tags[owner.ClusterTag], e.Cluster)
	}
	return fmt.Sprintf("role %s exists and was not made for cluster %q", e.Role.Name, e.Cluster)
}

// ErrNoPolicy is a managed policy that does not exist.
var ErrNoPolicy = errors.New("the managed policy does not exist")

// Plan decides what must be done for the role to be as wanted. One that was not
// made for the same cluster, nor is shared with it, is a [*ForeignError]; a
// managed policy that does not exist is [ErrNoPolicy]; a trust policy over IAM's
// limit is a [*trust.SizeError].
func Plan(ctx context.Context, client IAM, want Role) ([]plan.Step, error) {
	if err := want.Check(); err != nil {
		return nil, err
	}
	there, err := Read(ctx, client, []string{want.Name})
	if err != nil {
		return nil, err
	}
	steps, err := PlanAll(ctx, client, there, []Role{want})
	return steps[want.Name], err
}

// PlanAll is [Plan] for many roles, of which [Read] has read those that are
// there: by name, what must be done. What the roles have in common, such as
// their managed policies, is asked for once.
func PlanAll(ctx context.Context, client IAM, there map[string]Role, wants []Role) (map[string][]plan.Step, error) {
	wants = slices.Clone(wants)
	quota := trustQuota{client: client, limit: trust.MaxSize}
	policies := map[string]bool{}
	for i, want := range wants {
		if err := want.Check(); err != nil {
			return nil, err
		}
		merged, err := join(there[want.Name], want)
		if err != nil {
			return nil, err
		}
		wants[i] = merged
		if err := quota.check(ctx, want.Name, merged.Trust); err != nil {
			return nil, err
		}
		for _, arn := range want.PolicyARNs {
			if !slices.Contains(there[want.Name].PolicyARNs, arn) {
				policies[arn] = true
			}
		}
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for arn := range policies {
		group.Go(func() error { return exists(gctx, client, arn) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	steps := map[string][]plan.Step{}
	for _, want := range wants {
		steps[want.Name] = planOne(client, there[want.Name], want)
	}
	return steps, nil
}

func exists(ctx context.Context, client IAM, arn string) error {
	_, err := client.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn})
	if isMissing(err) {
		return fmt.Errorf("%s: %w", arn, ErrNoPolicy)
	}
	if err != nil {
		return fmt.Errorf("reading policy %s: %w", arn, err)
	}
	return nil
}

// join is the role as it is wanted, given the existing one: what must stay
// for the sake of others is wanted too.
func join(there, want Role) (Role, error) {
	if want.Shared {
		tags := map[string]string{}
		maps.Copy(tags, want.Tags)
		tags[owner.SharedTag] = "true"
		want.Tags = tags
	}
	if !there.installed() {
		return want, nil
	}
	owns := owner.Owns(there.Tags, want.Tags)
	joins := owner.Claimed(there.Tags) && want.Shared || owner.Shared(there.Tags) && trustsSome(there.Trust, trust.Providers(want.Trust))
	if !owns && !joins {
		return Role{}, &ForeignError{Role: there, Cluster: want.Tags[owner.ClusterTag], UID: want.Tags[owner.UIDTag]}
	}
	want.Shared = want.Shared || owner.Shared(there.Tags)
	if !want.Shared && !want.KeepAttached {
		return want, nil
	}
	want.KeepAttached = true
	want.PolicyARNs = slices.Clone(want.PolicyARNs)
	for _, arn := range there.PolicyARNs {
		if !slices.Contains(want.PolicyARNs, arn) {
			want.PolicyARNs = append(want.PolicyARNs, arn)
		}
	}
	inline := maps.Clone(there.Inline)
	if inline == nil {
		inline = map[string][]byte{}
	}
	maps.Copy(inline, want.Inline)
	want.Inline = inline
	want.Boundary = cmp.Or(want.Boundary, there.Boundary)
	if !owns { // its maker's marks stay
		want.Tags = maps.Clone(want.Tags)
		for _, key := range []string{owner.ClusterTag, owner.UIDTag, owner.ServiceAccountTag} {
			delete(want.Tags, key)
		}
	}
	if want.Shared {
		var err error
		want.ownStatements = want.Trust
		if want.Trust, err = trust.With(there.Trust, want.ownStatements); err != nil {
			return Role{}, fmt.Errorf("role %s: %w", want.Name, err)
		}
	}
	return want, want.Check()
}

// planOne decides what must be done for one role.
func planOne(client IAM, there, want Role) []plan.Step {
	var steps []plan.Step
	add := func(action, summary, diff string, do func(context.Context) error) {
		steps = append(steps, plan.Step{Link: plan.Role, Action: action, Summary: summary, Diff: diff, Do: do})
	}
	name := "role " + want.Name
	if !there.installed() {
		do := func(ctx context.Context) error { return create(ctx, client, want) }
		add(plan.Create, name, plan.DiffJSON(nil, want.Trust), patient(isUnheardOf, do))
	} else {
		steps = append(steps, planUpdate(client, there, want)...)
	}
	for _, arn := range want.PolicyARNs {
		if slices.Contains(there.PolicyARNs, arn) {
			continue
		}
		add(plan.Update, name, "+ policy "+arn, func(ctx context.Context) error {
			_, err := client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &want.Name, PolicyArn: &arn})
			return err
		})
	}
	for _, policy := range slices.Sorted(maps.Keys(want.Inline)) {
		if !trust.Equal(there.Inline[policy], want.Inline[policy]) {
			document := want.Inline[policy]
			add(plan.Update, "inline policy "+policy+" of "+name, plan.DiffJSON(there.Inline[policy], document), func(ctx context.Context) error {
				_, err := client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
					RoleName: &want.Name, PolicyName: &policy, PolicyDocument: new(string(document)),
				})
				return err
			})
		}
	}
	for _, arn := range there.PolicyARNs {
		if !slices.Contains(want.PolicyARNs, arn) {
			steps = append(steps, detach(client, want.Name, arn))
		}
	}
	for _, policy := range slices.Sorted(maps.Keys(there.Inline)) {
		if _, keep := want.Inline[policy]; !keep {
			steps = append(steps, deleteInline(client, want.Name, policy))
		}
	}
	if !there.installed() {
		// IAM may not have heard yet, where it is asked next, of the role that
		// it has just made.
		for i := range steps[1:] {
			steps[i+1].Do = patient(isMissing, steps[i+1].Do)
		}
	}
	return steps
}

func create(ctx context.Context, client IAM, want Role) error {
	in := &iam.CreateRoleInput{
		RoleName: &want.Name, AssumeRolePolicyDocument: new(string(want.Trust)), Tags: tags(want.Tags),
	}
	if want.Path != "" {
		in.Path = &want.Path
	}
	if want.Description != "" {
		in.Description = &want.Description
	}
	if want.Boundary != "" {
		in.PermissionsBoundary = &want.Boundary
	}
	_, err := client.CreateRole(ctx, in)
	if !isTaken(err) {
		return err
	}
	// Made by a call whose answer was lost, or by somebody who was faster.
	there, ok, getErr := Get(ctx, client, want.Name)
	if getErr != nil {
		return getErr
	}
	if !ok {
		return err
	}
	if want, err = join(there, want); err != nil {
		return err
	}
	return plan.Run(ctx, planUpdate(client, there, want), nil)
}

// planUpdate is what changes in the role itself.
func planUpdate(client IAM, there, want Role) []plan.Step {
	var steps []plan.Step
	add := func(diff string, do func(context.Context) error) {
		steps = append(steps, plan.Step{Link: plan.Role, Action: plan.Update, Summary: "role " + want.Name, Diff: diff, Do: do})
	}
	// The mark of a shared role comes before the statement that it protects.
	missing := maps.Clone(want.Tags)
	maps.DeleteFunc(missing, func(k, v string) bool { have, ok := there.Tags[k]; return ok && have == v })
	if len(missing) > 0 {
		add("+ tags "+strings.Join(slices.Sorted(maps.Keys(missing)), ", "), func(ctx context.Context) error {
			_, err := client.TagRole(ctx, &iam.TagRoleInput{RoleName: &want.Name, Tags: tags(missing)})
			return err
		})
	}
	if !trust.Equal(there.Trust, want.Trust) {
		add(plan.DiffJSON(there.Trust, want.Trust), patient(isUnheardOf, func(ctx context.Context) error {
			if !want.Shared {
				return putTrust(ctx, client, want.Name, want.Trust)
			}
			// IAM has no compare-and-swap. Merging into what is there at this
			// moment leaves another cluster the shortest time to be overwritten;
			// its own next run would put its statement back.
			now, ok, err := Get(ctx, client, want.Name)
			if err != nil {
				return err
			}
			document := want.Trust
			if ok && !trust.Equal(now.Trust, there.Trust) {
				if document, err = trust.With(now.Trust, want.ownStatements); err != nil {
					return err
				}
			}
			return putTrust(ctx, client, want.Name, document)
		}))
	}
	if want.Boundary != there.Boundary {
		add("- permissions boundary "+there.Boundary+"\n+ permissions boundary "+want.Boundary, func(ctx context.Context) error {
			if want.Boundary == "" {
				_, err := client.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: &want.Name})
				return err
			}
			_, err := client.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{
				RoleName: &want.Name, PermissionsBoundary: &want.Boundary,
			})
			return err
		})
	}
	return steps
}

func putTrust(ctx context.Context, client IAM, name string, document []byte) error {
	_, err := client.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &name, PolicyDocument: new(string(document))})
	return err
}

func detach(client IAM, name, arn string) plan.Step {
	return plan.Step{
		Link: plan.Role, Action: plan.Update, Summary: "role " + name, Diff: "- policy " + arn,
		Do: func(ctx context.Context) error {
			_, err := client.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: &name, PolicyArn: &arn})
			return ignoreMissing(err)
		},
	}
}

func deleteInline(client IAM, name, policy string) plan.Step {
	return plan.Step{
		Link: plan.Role, Action: plan.Update, Summary: "role " + name, Diff: "- inline policy " + policy,
		Do: func(ctx context.Context) error {
			_, err := client.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: &policy})
			return ignoreMissing(err)
		},
	}
}

func tags(m map[string]string) []types.Tag {
	var list []types.Tag
	for _, key := range slices.Sorted(maps.Keys(m)) {
		list = append(list, types.Tag{Key: new(key), Value: new(m[key])})
	}
	return list
}
