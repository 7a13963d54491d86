// Package podidentity plans the associations of EKS Pod Identity: which role the pods
// of a service account get from the agent on their node.
// [Plan] compares an [Association] as it is wanted with the existing one.
package podidentity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/internal/order"
)

// EKS is what this package calls; *eks.Client is one.
type EKS interface {
	CreatePodIdentityAssociation(context.Context, *eks.CreatePodIdentityAssociationInput, ...func(*eks.Options)) (
		*eks.CreatePodIdentityAssociationOutput, error)
	DescribePodIdentityAssociation(context.Context, *eks.DescribePodIdentityAssociationInput, ...func(*eks.Options)) (
		*eks.DescribePodIdentityAssociationOutput, error)
	ListPodIdentityAssociations(context.Context, *eks.ListPodIdentityAssociationsInput, ...func(*eks.Options)) (
		*eks.ListPodIdentityAssociationsOutput, error)
	UpdatePodIdentityAssociation(context.Context, *eks.UpdatePodIdentityAssociationInput, ...func(*eks.Options)) (
		*eks.UpdatePodIdentityAssociationOutput, error)
	DeletePodIdentityAssociation(context.Context, *eks.DeletePodIdentityAssociationInput, ...func(*eks.Options)) (
		*eks.DeletePodIdentityAssociationOutput, error)
	TagResource(context.Context, *eks.TagResourceInput, ...func(*eks.Options)) (*eks.TagResourceOutput, error)
}

// atOnce is how many associations are asked for side by side.
const atOnce = 8

// Association is one of a service account with a role: as it is wanted, or as it is.
type Association struct {
	Cluster        string
	Namespace      string
	ServiceAccount string
	// RoleARN is of a role in the cluster's account that trusts pods.eks.amazonaws.com.
	RoleARN string
	// TargetRoleARN is of a role, of any account, that the first one assumes for the
	// pods. Empty for none.
	TargetRoleARN string
	// Policy narrows what the session may do, as JSON. It needs DisableSessionTags.
	Policy             string
	DisableSessionTags bool
	// Tags are added, never removed.
	Tags map[string]string

	// These are set for an existing association.
	ID, ARN string
	// ExternalID is what the target role's trust policy may ask for.
	ExternalID string
	// OwnerARN is of the add-on that made it. Empty for those of users.
	OwnerARN          string
	Created, Modified time.Time
}

// String is NAMESPACE/NAME of the service account.
func (a Association) String() string { return a.Namespace + "/" + a.ServiceAccount }

// Filter says which associations of a cluster are meant. What is empty is any.
type Filter struct{ Namespace, ServiceAccount string }

// List are the associations of a cluster, sorted by namespace and name, with what EKS
// lists of them: no roles, times and tags. See [Read].
func List(ctx context.Context, client EKS, cluster string, f Filter) ([]Association, error) {
	in := &eks.ListPodIdentityAssociationsInput{ClusterName: &cluster}
	if f.Namespace != "" {
		in.Namespace = &f.Namespace
	}
	if f.ServiceAccount != "" {
		in.ServiceAccount = &f.ServiceAccount
	}
	var all []Association
	for {
		out, err := client.ListPodIdentityAssociations(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("listing the associations of cluster %s: %w", cluster, err)
		}
		for _, s := range out.Associations {
			all = append(all, Association{
				Cluster: cluster, Namespace: aws.ToString(s.Namespace), ServiceAccount: aws.ToString(s.ServiceAccount),
				ID: aws.ToString(s.AssociationId), ARN: aws.ToString(s.AssociationArn), OwnerARN: aws.ToString(s.OwnerArn),
			})
		}
		if aws.ToString(out.NextToken) == "" {
			break
		}
		in.NextToken = out.NextToken
	}
	order.By(all, func(a, b Association) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.ServiceAccount, b.ServiceAccount))
	})
	return all, nil
}

// Read is [List] with all that EKS knows of each. One that is gone in the meantime is
// left out.
func Read(ctx context.Context, client EKS, cluster string, f Filter) ([]Association, error) {
	listed, err := List(ctx, client, cluster, f)
	if err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range listed {
		group.Go(func() error {
			out, err := client.DescribePodIdentityAssociation(ctx, &eks.DescribePodIdentityAssociationInput{
				ClusterName: &cluster, AssociationId: &listed[i].ID,
			})
			switch {
			case isMissing(err):
				listed[i].ID = ""
			case err != nil:
				return fmt.Errorf("reading the association of %s: %w", listed[i], err)
			default:
				listed[i] = described(out.Association)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(listed, func(a Association) bool { return a.ID == "" }), nil
}

func described(a *types.PodIdentityAssociation) Association {
	tags := map[string]string{}
	maps.Copy(tags, a.Tags)
	return Association{
		Cluster: aws.ToString(a.ClusterName), Namespace: aws.ToString(a.Namespace), ServiceAccount: aws.ToString(a.ServiceAccount),
		RoleARN: aws.ToString(a.RoleArn), TargetRoleARN: aws.ToString(a.TargetRoleArn), Policy: aws.ToString(a.Policy),
		DisableSessionTags: aws.ToBool(a.DisableSessionTags), Tags: tags,
		ID: aws.ToString(a.AssociationId), ARN: aws.ToString(a.AssociationArn), ExternalID: aws.ToString(a.ExternalId),
		OwnerARN: aws.ToString(a.OwnerArn), Created: aws.ToTime(a.CreatedAt), Modified: aws.ToTime(a.ModifiedAt),
	}
}

func isMissing(err error) bool {
	_, ok := errors.AsType[*types.ResourceNotFoundException](err)
	return ok
}
