package role

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
)

// TakeOver decides what must be done for the roles that another cluster of the
// same name has left to be those of the cluster with the mark, see [owner.Tags].
// They are found as [NamesOf] finds them.
func TakeOver(ctx context.Context, client IAM, mark map[string]string, providers ...string) ([]plan.Step, error) {
	names, err := NamesOf(ctx, client, mark[owner.ClusterTag], providers...)
	if err != nil {
		return nil, err
	}
	there, err := ReadListed(ctx, client, names)
	if err != nil {
		return nil, err
	}
	var steps []plan.Step
	for _, name := range names {
		r, ok := there[name]
		if !ok || !owner.Named(r.Tags, mark[owner.ClusterTag]) || owner.Owns(r.Tags, mark) {
			continue
		}
		steps = append(steps, plan.Step{
			Link: plan.Role, Action: plan.Update, Summary: "role " + name, Diff: "+ tag " + owner.UIDTag,
			Do: func(ctx context.Context) error {
				uid := map[string]string{owner.UIDTag: mark[owner.UIDTag]}
				_, err := client.TagRole(ctx, &iam.TagRoleInput{RoleName: &name, Tags: tags(uid)})
				return err
			},
		})
	}
	return steps, nil
}
