package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/podidentity"
	"github.com/openirsa/openirsa/pkg/trust"
)

// association is one of EKS Pod Identity, in a region.
type association struct {
	podidentity.Association
	region string
}

// eksIn is the client of EKS in a region.
func eksIn(acct *account.Account, region string) *eks.Client {
	return eks.NewFromConfig(acct.Config, func(o *eks.Options) { o.Region = region })
}

// addAssociations reads the associations of EKS Pod Identity. Where no role speaks of a
// cluster of EKS there are none, and EKS is not asked.
func (c *census) addAssociations(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readAtOnce)
	for _, r := range c.clusters {
		group.Go(func() (err error) {
			if r.associations, err = r.readAssociations(ctx, c.acct); err != nil {
				return err
			}
			for _, a := range r.associations {
				r.add("association "+a.String(), a.Created)
			}
			return nil
		})
	}
	return group.Wait()
}

// readAssociations are those that were made for the cluster, by their tags.
func (r *Remains) readAssociations(ctx context.Context, acct *account.Account) ([]association, error) {
	var all []association
	for _, region := range r.eksRegions(acct.ID) {
		there, err := podidentity.Read(ctx, eksIn(acct, region), r.Cluster, podidentity.Filter{})
		if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
			continue // the associations of a cluster go with it
		}
		if err != nil {
			return nil, err
		}
		for _, a := range there {
			if owner.Claimed(a.Tags) && a.Tags[owner.ClusterTag] == r.Cluster && a.Tags[owner.UIDTag] == r.UID && a.OwnerARN == "" {
				all = append(all, association{a, region})
			}
		}
	}
	return all, nil
}

// eksRegions are where EKS knows the cluster, by its roles: the trust policies of those for
// associations name it, and the permissions of the agent's and the webhook's own. Sorted.
func (r *Remains) eksRegions(account string) []string {
	var regions []string
	note := func(arn string) {
		part := strings.SplitN(arn, ":", 6) // arn:aws:eks:REGION:ACCOUNT:cluster/NAME
		if r.Cluster != "" && len(part) == 6 && part[2] == "eks" && part[4] == account && part[5] == "cluster/"+r.Cluster {
			regions = append(regions, part[3])
		}
	}
	for _, of := range r.roles {
		for _, pods := range trust.PodsOf(of.Trust) {
			note(pods.ClusterARN)
		}
		for _, document := range of.Inline {
			for _, arn := range resources(document) {
				note(arn)
			}
		}
	}
	slices.Sort(regions)
	return slices.Compact(regions)
}

// resources are the ARNs that the statements of a policy name alone, as those do that
// setup writes.
func resources(document []byte) (arns []string) {
	var policy struct{ Statement []struct{ Resource any } }
	if json.Unmarshal(document, &policy) != nil {
		return nil
	}
	for _, s := range policy.Statement {
		if arn, ok := s.Resource.(string); ok {
			arns = append(arns, arn)
		}
	}
	return arns
}
