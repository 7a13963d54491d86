package clients

import (
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// modelled checks that an error is of the type that the SDK's model has for it, with a status.
func modelled[T error](t *testing.T, what string, err error, status int) T {
	t.Helper()
	found, ok := errors.AsType[T](err)
	response, _ := errors.AsType[*http.ResponseError](err)
	if !ok || response == nil || response.HTTPStatusCode() != status || response.ServiceRequestID() == "" {
		t.Errorf("%s: %v, want %T with status %d", what, err, found, status)
	}
	return found
}

// TestGoPodIdentityAssociations is the life of an association with the AWS SDK for Go v2, whose model says what members and
// errors there are.
func TestGoPodIdentityAssociations(t *testing.T) {
	a := emulatortest.Start(t)
	role := a.Role("app", a.PodTrust("team-a", "app"))
	if _, err := a.RegisterCluster(emulator.EKSCluster{Name: emulatortest.PodCluster}); err != nil {
		t.Fatal(err)
	}
	client := eks.NewFromConfig(a.Config())
	ctx, cluster := t.Context(), new(emulatortest.PodCluster)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	create := &eks.CreatePodIdentityAssociationInput{
		ClusterName: cluster, Namespace: new("team-a"), ServiceAccount: new("app"), RoleArn: &role, Tags: map[string]string{"team": "a"},
		TargetRoleArn: &role,
	}
	made, err := client.CreatePodIdentityAssociation(ctx, create)
	must(err)
	one := made.Association
	if !regexp.MustCompile(`^a-[a-z0-9]{17}$`).MatchString(*one.AssociationId) || *one.RoleArn != role || one.Tags["team"] != "a" || one.DisableSessionTags == nil ||
		time.Since(*one.CreatedAt).Abs() > time.Minute || !one.CreatedAt.Equal(*one.ModifiedAt) ||
		aws.ToString(one.ExternalId) != "us-east-1/"+a.Account()+"/"+emulatortest.PodCluster+"/team-a/app" {
		t.Errorf("made %+v", one)
	}
	again := *create
	again.ClientRequestToken = new("another") // the SDK has put its own into what it was given
	_, err = client.CreatePodIdentityAssociation(ctx, &again)
	if e := modelled[*ekstypes.ResourceInUseException](t, "again", err, 409); e != nil && e.ErrorMessage() != "Association already exists: "+*one.AssociationId {
		t.Errorf("again: %s", e.ErrorMessage())
	}
	_, err = client.CreatePodIdentityAssociation(ctx, &eks.CreatePodIdentityAssociationInput{
		ClusterName: cluster, Namespace: new("team-a"), ServiceAccount: new("other"), RoleArn: new(role + "x"),
	})
	modelled[*ekstypes.InvalidParameterException](t, "no role", err, 400)
	_, err = client.DescribePodIdentityAssociation(ctx, &eks.DescribePodIdentityAssociationInput{ClusterName: new("none"), AssociationId: one.AssociationId})
	if e := modelled[*ekstypes.ResourceNotFoundException](t, "no cluster", err, 404); e != nil && aws.ToString(e.ClusterName) != "none" {
		t.Errorf("no cluster: %+v", e)
	}

	updated, err := client.UpdatePodIdentityAssociation(ctx, &eks.UpdatePodIdentityAssociationInput{
		ClusterName: cluster, AssociationId: one.AssociationId, TargetRoleArn: new(""), DisableSessionTags: new(true),
	})
	must(err)
	if updated.Association.TargetRoleArn != nil || updated.Association.ExternalId != nil || !*updated.Association.DisableSessionTags {
		t.Errorf("updated %+v", updated.Association)
	}
	for _, name := range []string{"b", "c"} {
		_, err = client.CreatePodIdentityAssociation(ctx, &eks.CreatePodIdentityAssociationInput{
			ClusterName: cluster, Namespace: new("team-b"), ServiceAccount: &name, RoleArn: &role,
		})
		must(err)
	}
	count := 0
	for pages := eks.NewListPodIdentityAssociationsPaginator(client, &eks.ListPodIdentityAssociationsInput{ClusterName: cluster, MaxResults: new(int32(2))}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		must(err)
		count += len(page.Associations)
	}
	if count != 3 {
		t.Errorf("%d associations are listed", count)
	}
	_, err = client.TagResource(ctx, &eks.TagResourceInput{ResourceArn: one.AssociationArn, Tags: map[string]string{"more": "b"}})
	must(err)
	_, err = client.UntagResource(ctx, &eks.UntagResourceInput{ResourceArn: one.AssociationArn, TagKeys: []string{"team"}})
	must(err)
	tags, err := client.ListTagsForResource(ctx, &eks.ListTagsForResourceInput{ResourceArn: one.AssociationArn})
	must(err)
	if len(tags.Tags) != 1 || tags.Tags["more"] != "b" {
		t.Errorf("tags %v", tags.Tags)
	}
	_, err = client.TagResource(ctx, &eks.TagResourceInput{ResourceArn: new(*one.AssociationArn + "x"), Tags: map[string]string{"a": "b"}})
	modelled[*ekstypes.NotFoundException](t, "tags of nothing", err, 404)

	described, err := client.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: cluster})
	must(err)
	if described.Cluster.Status != ekstypes.ClusterStatusActive || described.Cluster.CreatedAt == nil {
		t.Errorf("cluster %+v", described.Cluster)
	}
	must(eks.NewClusterActiveWaiter(client).Wait(ctx, &eks.DescribeClusterInput{Name: cluster}, time.Minute))
	_, err = client.DescribeAddon(ctx, &eks.DescribeAddonInput{ClusterName: cluster, AddonName: new("eks-pod-identity-agent")})
	modelled[*ekstypes.ResourceNotFoundException](t, "no agent", err, 404)
	deleted, err := client.DeletePodIdentityAssociation(ctx, &eks.DeletePodIdentityAssociationInput{ClusterName: cluster, AssociationId: one.AssociationId})
	must(err)
	if *deleted.Association.AssociationId != *one.AssociationId || *deleted.Association.RoleArn != role {
		t.Errorf("deleted %+v", deleted.Association)
	}
}
