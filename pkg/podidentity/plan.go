package podidentity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/plan"
)

// OwnedError is an association that an add-on of EKS made. It is never changed: the
// add-on would change it back.
type OwnedError struct{ Association Association }

func (e *OwnedError) Error() string {
	return fmt.Sprintf("the association of %s is of the add-on %s", e.Association, e.Association.OwnerARN)
}

// Plan decides what must be done for the association to be as wanted. A role that is
// being made by an earlier step need not be there yet. The error is an [*OwnedError]
// for an association of an add-on.
func Plan(ctx context.Context, client EKS, want Association) ([]plan.Step, error) {
	steps, err := PlanAll(ctx, client, want.Cluster, []Association{want})
	if err != nil {
		return nil, err
	}
	return steps[0], nil
}

// PlanAll is [Plan] for associations of a cluster, which are read once: what must be
// done for each, in their order.
func PlanAll(ctx context.Context, client EKS, cluster string, wants []Association) ([][]plan.Step, error) {
	var only Filter
	if len(wants) == 1 {
		only = Filter{wants[0].Namespace, wants[0].ServiceAccount}
	}
	for _, want := range wants {
		if err := want.Check(); err != nil {
			return nil, err
		}
	}
	all, err := Read(ctx, client, cluster, only)
	if err != nil {
		return nil, err
	}
	there := map[string]Association{}
	for _, a := range all {
		there[a.String()] = a
	}
	steps := make([][]plan.Step, len(wants))
	for i, want := range wants {
		if a, ok := there[want.String()]; ok {
			if steps[i], err = planUpdate(client, a, want); err != nil {
				return nil, err
			}
			continue
		}
		steps[i] = []plan.Step{{
			Link: plan.Association, Action: plan.Create, Summary: "association of " + want.String(), Diff: plan.Diff("", want.describe()),
			Do: func(ctx context.Context) error { return create(ctx, client, want) },
		}}
	}
	return steps, nil
}

// Check refuses what EKS would refuse, before the first call.
func (a Association) Check() error {
	switch {
	case a.Namespace == "" || a.ServiceAccount == "" || a.RoleARN == "":
		return errors.New("an association needs a namespace, a service account and a role")
	case a.Policy != "" && !a.DisableSessionTags:
		return errors.New("a session policy needs session tags to be disabled")
	case len(a.Policy) > maxPolicy:
		return fmt.Errorf("the session policy has %d characters, more than %d", len(a.Policy), maxPolicy)
	case a.Policy != "" && !json.Valid([]byte(a.Policy)):
		return errors.New("the session policy is not JSON")
	}
	return nil
}

// maxPolicy is the limit of AssumeRole (AWS STS API Reference), in characters.
const maxPolicy = 2048

// describe is what can be changed of an association, a line each.
func (a Association) describe() string {
	lines := []string{"role " + a.RoleARN}
	if a.TargetRoleARN != "" {
		lines = append(lines, "target role "+a.TargetRoleARN)
	}
	if a.DisableSessionTags {
		lines = append(lines, "without session tags")
	}
	if a.Policy != "" {
		lines = append(lines, "session policy "+a.Policy)
	}
	return strings.Join(lines, "\n") + "\n"
}

func create(ctx context.Context, client EKS, want Association) error {
	in := &eks.CreatePodIdentityAssociationInput{
		ClusterName: &want.Cluster, Namespace: &want.Namespace, ServiceAccount: &want.ServiceAccount, RoleArn: &want.RoleARN,
		Tags: want.Tags,
	}
	if want.TargetRoleARN != "" {
		in.TargetRoleArn = &want.TargetRoleARN
	}
	if want.DisableSessionTags {
		in.DisableSessionTags = new(true)
	}
	if want.Policy != "" {
		in.Policy = &want.Policy
	}
	err := wait.Retry(ctx, wait.ForIAM, isUnheardOf, func(ctx context.Context) error {
		_, err := client.CreatePodIdentityAssociation(ctx, in)
		return err
	})
	if _, taken := errors.AsType[*types.ResourceInUseException](err); !taken {
		return err
	}
	// Made by a call whose answer was lost, or by somebody who was faster.
	there, readErr := Read(ctx, client, want.Cluster, Filter{want.Namespace, want.ServiceAccount})
	if readErr != nil {
		return readErr
	}
	if len(there) == 0 {
		return err // one that is being deleted
	}
	steps, err := planUpdate(client, there[0], want)
	if err != nil {
		return err
	}
	return plan.Run(ctx, steps, nil)
}

// isUnheardOf is how EKS refuses a role that was made a moment ago, or whose trust
// policy was changed then.
func isUnheardOf(err error) bool {
	e, ok := errors.AsType[*types.InvalidParameterException](err)
	return ok && (strings.HasPrefix(e.ErrorMessage(), "Role provided in the request does not exist") ||
		strings.HasPrefix(e.ErrorMessage(), "Trust policy of the role provided is invalid"))
}

// planUpdate is what changes in an association that is there.
func planUpdate(client EKS, there, want Association) ([]plan.Step, error) {
	var steps []plan.Step
	diff := plan.Diff(there.describe(), want.describe())
	if diff != "" && there.OwnerARN != "" {
		return nil, &OwnedError{there}
	}
	if diff != "" {
		in := &eks.UpdatePodIdentityAssociationInput{
			ClusterName: &there.Cluster, AssociationId: &there.ID, RoleArn: &want.RoleARN,
			DisableSessionTags: &want.DisableSessionTags,
		}
		if want.TargetRoleARN != there.TargetRoleARN {
			in.TargetRoleArn = &want.TargetRoleARN // an empty one removes it
		}
		if want.Policy != there.Policy {
			in.Policy = &want.Policy
		}
		steps = append(steps, plan.Step{
			Link: plan.Association, Action: plan.Update, Summary: "association of " + want.String(), Diff: diff,
			Do: func(ctx context.Context) error {
				return wait.Retry(ctx, wait.ForIAM, isUnheardOf, func(ctx context.Context) error {
					_, err := client.UpdatePodIdentityAssociation(ctx, in)
					return err
				})
			},
		})
	}
	missing := maps.Clone(want.Tags)
	maps.DeleteFunc(missing, func(key, value string) bool { have, ok := there.Tags[key]; return ok && have == value })
	if len(missing) > 0 {
		steps = append(steps, plan.Step{
			Link: plan.Association, Action: plan.Update, Summary: "association of " + want.String(),
			Diff: "+ tags " + strings.Join(slices.Sorted(maps.Keys(missing)), ", "),
			Do: func(ctx context.Context) error {
				_, err := client.TagResource(ctx, &eks.TagResourceInput{ResourceArn: &there.ARN, Tags: missing})
				return err
			},
		})
	}
	return steps, nil
}

// Delete decides what must be done for an existing association to be gone. Sessions
// that pods have stay valid until they expire. The error is an [*OwnedError].
func (a Association) Delete(client EKS) ([]plan.Step, error) {
	if a.OwnerARN != "" {
		return nil, &OwnedError{a}
	}
	return []plan.Step{{
		Link: plan.Association, Action: plan.Delete, Summary: "association of " + a.String(),
		Do: func(ctx context.Context) error {
			_, err := client.DeletePodIdentityAssociation(ctx, &eks.DeletePodIdentityAssociationInput{
				ClusterName: &a.Cluster, AssociationId: &a.ID,
			})
			if isMissing(err) {
				return nil
			}
			return err
		},
	}}, nil
}
