package export_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/export"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/podidentity"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/token"
	"github.com/openirsa/openirsa/pkg/trust"
)

// world is an emulated account in which somebody has a policy.
type world struct {
	t     *testing.T
	ctx   context.Context
	aws   *emulatortest.AWS
	chain *export.Resources
	to    *export.Resources // where a migration goes
	root  caller
	user  caller // whose permissions are the policy

	config awssdk.Config // of the user
}

// caller calls AWS as somebody. Its methods make the calls of the commands.
type caller struct {
	ctx   context.Context
	iam   *iam.Client
	s3    *s3.Client
	eks   *eks.Client
	chain *export.Resources
}

func newWorld(t *testing.T, c *export.Resources) *world {
	t.Helper()
	to := place(t, c)
	set, err := keys.ParseJWKS([]byte(publicKey))
	check(t, err)
	to.Documents, err = discovery.Documents(to.Issuer, set)
	check(t, err)
	a := emulatortest.Start(t, emulator.Config{Account: c.Account, Partition: c.Partition})
	w := &world{t: t, ctx: t.Context(), aws: a, chain: c, to: to}
	w.root = caller{w.ctx, iam.NewFromConfig(a.Config()), a.S3(a.Config()), eks.NewFromConfig(a.Config()), c}
	_, err = w.root.iam.CreateUser(w.ctx, &iam.CreateUserInput{UserName: new("operator")})
	check(t, err)
	key, err := w.root.iam.CreateAccessKey(w.ctx, &iam.CreateAccessKeyInput{UserName: new("operator")})
	check(t, err)
	config := a.ConfigFor(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
	w.user = caller{w.ctx, iam.NewFromConfig(config), a.S3(config), eks.NewFromConfig(config), c}
	w.config = config
	_, err = w.root.iam.CreatePolicy(w.ctx, &iam.CreatePolicyInput{PolicyName: new("boundary"), PolicyDocument: new(emulatortest.Document(
		map[string]any{"Effect": "Allow", "Action": "*", "Resource": "*"}))})
	check(t, err)
	return w
}

func (w *world) permit(document []byte) {
	w.t.Helper()
	// Longer than what a user may have inline.
	made, err := w.root.iam.CreatePolicy(w.ctx, &iam.CreatePolicyInput{PolicyName: new("exported"), PolicyDocument: new(string(document))})
	check(w.t, err)
	_, err = w.root.iam.AttachUserPolicy(w.ctx, &iam.AttachUserPolicyInput{UserName: new("operator"), PolicyArn: made.Policy.Arn})
	check(w.t, err)
}

// converge runs steps, and reports if there are some left.
func (c caller) converge(decide func() ([]plan.Step, error)) error {
	steps, err := decide()
	if err == nil {
		err = plan.Run(c.ctx, steps, nil)
	}
	if err != nil {
		return err
	}
	if steps, err = decide(); err == nil && len(steps) > 0 {
		err = fmt.Errorf("there is more to do: %v", steps)
	}
	return err
}

func (c caller) documents() error {
	b := c.chain.Bucket
	b.Client = c.s3
	return c.converge(func() ([]plan.Step, error) { return b.Plan(c.ctx, c.chain.Documents) })
}

func (c caller) provider() error {
	return c.converge(func() ([]plan.Step, error) { return provider.Plan(c.ctx, c.iam, c.chain.Provider) })
}

func (c caller) roles(wants ...role.Role) error {
	return c.converge(func() ([]plan.Step, error) {
		var names []string
		for _, want := range wants {
			names = append(names, want.Name)
		}
		there, err := role.Read(c.ctx, c.iam, names)
		if err != nil {
			return nil, err
		}
		steps, err := role.PlanAll(c.ctx, c.iam, there, wants)
		return slices.Concat(slices.Collect(maps.Values(steps))...), err
	})
}

func (c caller) up() error {
	return errors.Join(c.documents(), c.provider(), c.roles(c.chain.Roles...))
}

func (c caller) removeRoles() error {
	return c.converge(func() ([]plan.Step, error) {
		names, err := role.NamesOf(c.ctx, c.iam, c.chain.Cluster, c.chain.Provider.ARN)
		if err != nil {
			return nil, err
		}
		var all []plan.Step
		for _, name := range names {
			steps, err := role.Delete(c.ctx, c.iam, name, c.chain.Provider.Tags, c.chain.Provider.ARN)
			if err != nil {
				return nil, err
			}
			all = append(all, steps...)
		}
		return all, nil
	})
}

func (c caller) down() error { return errors.Join(c.removeRoles(), c.leave()) }

// leave removes the provider and the documents.
func (c caller) leave() error {
	b := c.chain.Bucket
	b.Client = c.s3
	return errors.Join(
		c.converge(func() ([]plan.Step, error) {
			return provider.Delete(c.ctx, c.iam, c.chain.Provider.ARN, c.chain.Provider.Tags)
		}),
		second(b.Published(c.ctx, discovery.Paths[0])),
		c.converge(func() ([]plan.Step, error) { return b.Delete(c.ctx, discovery.Paths) }),
	)
}

func second[T any](_ T, err error) error { return err }

// checkRecord asks whose the provider is.
func (c caller) checkRecord() error {
	_, _, err := provider.Get(c.ctx, c.iam, c.chain.Provider.ARN)
	return err
}

func (c caller) status() error {
	_, err := role.NamesOf(c.ctx, c.iam, c.chain.Cluster, c.chain.Provider.ARN)
	return errors.Join(err, c.read())
}

// read reads the provider and the roles.
func (c caller) read() error {
	_, ok, err := provider.Get(c.ctx, c.iam, c.chain.Provider.ARN)
	if err == nil && !ok {
		err = errors.New("the provider is not there")
	}
	for _, r := range c.chain.Roles {
		_, ok, e := role.Get(c.ctx, c.iam, r.Name)
		if e == nil && !ok {
			e = errors.New("the role is not there")
		}
		err = errors.Join(err, e)
	}
	return err
}

// damage does to the bucket and the provider all that `up` repairs.
func (w *world) damage() {
	t, ctx, bucket := w.t, w.ctx, &w.chain.Bucket.Bucket
	t.Helper()
	_, err := w.root.s3.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: bucket})
	check(t, err)
	_, err = w.root.s3.DeleteBucketTagging(ctx, &s3.DeleteBucketTaggingInput{Bucket: bucket})
	check(t, err)
	_, err = w.root.s3.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: bucket, PublicAccessBlockConfiguration: &s3types.PublicAccessBlockConfiguration{BlockPublicPolicy: new(true)}})
	check(t, err)
	_, err = w.root.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: new(w.chain.Bucket.Key(discovery.Paths[0]))})
	check(t, err)
	if w.chain.Bucket.Owned {
		_, err = w.root.iam.RemoveClientIDFromOpenIDConnectProvider(ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: &w.chain.Provider.ARN, ClientID: new(irsa.Audience)})
		check(t, err)
		_, err = w.root.iam.UntagOpenIDConnectProvider(ctx, &iam.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: &w.chain.Provider.ARN, TagKeys: []string{owner.UIDTag}})
		check(t, err)
	}
}

// damageRoles does to the first role all that is repaired, in two goes.
func (w *world) damageRoles(again bool) {
	t, ctx, name := w.t, w.ctx, &w.chain.Roles[0].Name
	t.Helper()
	if again {
		_, err := w.root.iam.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: name})
		check(t, err)
		_, err = w.root.iam.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: &w.chain.Roles[1].Name, PermissionsBoundary: &w.chain.Roles[0].Boundary})
		check(t, err)
		return
	}
	_, err := w.root.iam.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: new(emulatortest.Document(
		map[string]any{"Effect": "Allow", "Principal": map[string]string{"AWS": w.chain.Account}, "Action": "sts:AssumeRole"}))})
	check(t, err)
	_, err = w.root.iam.UntagRole(ctx, &iam.UntagRoleInput{RoleName: name, TagKeys: []string{owner.UIDTag}})
	check(t, err)
	_, err = w.root.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: new("arn:aws:iam::aws:policy/AdministratorAccess")})
	check(t, err)
	_, err = w.root.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: new("more"), PolicyDocument: new(string(w.chain.Roles[0].Inline["inline"]))})
	check(t, err)
}

// manageRoles is what `iamserviceaccount create` does, over a role's life.
func (w *world) manageRoles() error {
	run := func(roles ...role.Role) error { return w.user.roles(roles...) }
	if err := run(w.chain.Roles...); err != nil {
		return err
	}
	w.damageRoles(false)
	if err := run(w.chain.Roles...); err != nil {
		return err
	}
	w.damageRoles(true)
	if err := run(w.chain.Roles...); err != nil {
		return err
	}
	many := slices.Clone(w.chain.Roles)
	for i := range 8 { // enough for a list to be asked for
		r := w.chain.Roles[0]
		r.Name += fmt.Sprint(i)
		many = append(many, r)
	}
	if err := run(many...); err != nil {
		return err
	}
	// The quota for trust policies can be raised, so it is asked for. Here it
	// has not been.
	long := w.chain.Roles[0]
	long.Trust = trustOf(w.t, w.chain, 60)
	err := run(long)
	if _, ok := errors.AsType[*trust.SizeError](err); ok {
		return nil
	}
	return fmt.Errorf("a trust policy that is too long: %w", err)
}

// trustOf is a trust policy for some service accounts.
func trustOf(t *testing.T, c *export.Resources, n int) []byte {
	t.Helper()
	var subjects []string
	for i := range n {
		subjects = append(subjects, token.Subject("a-namespace", fmt.Sprintf("service-account-%d", i)))
	}
	document := map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Allow", "Principal": map[string]string{"Federated": c.Provider.ARN}, "Action": "sts:AssumeRoleWithWebIdentity",
		"Condition": map[string]any{"StringEquals": map[string]any{c.Issuer.ConditionKey("aud"): irsa.Audience, c.Issuer.ConditionKey("sub"): subjects}},
	}}}
	body, err := json.Marshal(document)
	check(t, err)
	return body
}

// manage is what `up` does, over a chain's life.
func (w *world) manage() error {
	if err := w.user.up(); err != nil {
		return err
	}
	w.damage()
	if err := w.user.up(); err != nil {
		return err
	}
	return w.manageRoles()
}

// share makes a role of another cluster that this one shares.
func (w *world) share() {
	w.t.Helper()
	other, err := w.root.iam.CreateOpenIDConnectProvider(w.ctx, &iam.CreateOpenIDConnectProviderInput{Url: new("https://oidc.example.com"), ClientIDList: []string{irsa.Audience}, ThumbprintList: []string{strings.Repeat("a", 40)}})
	check(w.t, err)
	document, err := trust.With([]byte(strings.ReplaceAll(strings.ReplaceAll(string(w.chain.Roles[0].Trust), w.chain.Provider.ARN, *other.OpenIDConnectProviderArn), w.chain.Issuer.HostPath(), "oidc.example.com")), w.chain.Roles[0].Trust)
	check(w.t, err)
	tags := []iamtypes.Tag{{Key: new(owner.Tag), Value: new("true")}, {Key: new(owner.ClusterTag), Value: new("other")}, {Key: new(owner.SharedTag), Value: new("true")}}
	_, err = w.root.iam.CreateRole(w.ctx, &iam.CreateRoleInput{RoleName: new("shared"), AssumeRolePolicyDocument: new(string(document)), Tags: tags})
	check(w.t, err)
}

// scenarios are the commands, in the ways that need all that they may do.
var scenarios = map[string]func(*world) error{
	"up": (*world).manage,
	"up-prune": func(w *world) error {
		if err := w.user.up(); err != nil {
			return err
		}
		w.damage()
		if err := w.user.up(); err != nil {
			return err
		}
		if err := w.manageRoles(); err != nil {
			return err
		}
		w.share()
		return w.user.removeRoles()
	},
	"up-take-over": func(w *world) error {
		check(w.t, w.root.roles(w.chain.Roles...))
		_, err := w.root.iam.TagRole(w.ctx, &iam.TagRoleInput{RoleName: &w.chain.Roles[0].Name, Tags: []iamtypes.Tag{{Key: new(owner.UIDTag), Value: new("gone")}}})
		check(w.t, err)
		if err := w.user.up(); err == nil {
			return errors.New("roles of another cluster were changed")
		}
		err = w.user.converge(func() ([]plan.Step, error) {
			return role.TakeOver(w.ctx, w.user.iam, w.chain.Provider.Tags, w.chain.Provider.ARN)
		})
		if err != nil {
			return err
		}
		return w.manage()
	},
	"down": func(w *world) error {
		check(w.t, w.root.up())
		w.share()
		if err := w.user.down(); err != nil {
			return err
		}
		check(w.t, w.root.up())
		b := w.chain.Bucket
		b.Client, b.Prefix = w.root.s3, "another" // issuer, whose statement stays
		check(w.t, w.root.converge(func() ([]plan.Step, error) { return b.Plan(w.ctx, w.chain.Documents) }))
		return w.user.down()
	},
	"status": func(w *world) error {
		check(w.t, w.root.up())
		return w.user.status()
	},
	"doctor": func(w *world) error {
		check(w.t, w.root.up())
		_, err := w.user.iam.ListOpenIDConnectProviders(w.ctx, &iam.ListOpenIDConnectProvidersInput{})
		return errors.Join(err, w.user.read())
	},
	"podidentityassociation": func(w *world) error {
		check(w.t, w.root.provider())
		w.register()
		if err := errors.Join(w.user.checkRecord(), w.manageRoles(), w.manageAssociations(), w.removeAssociations()); err != nil {
			return err
		}
		w.share()
		return w.user.removeRoles()
	},
	"migrate-to-pod-identity": func(w *world) error {
		check(w.t, w.root.provider())
		w.register()
		check(w.t, w.root.roles(w.chain.Roles[0]))
		if err := errors.Join(w.user.checkRecord(), w.user.associations()); err != nil {
			return err
		}
		w.untag()
		if err := errors.Join(w.user.associations(), w.exchange()); err != nil {
			return err
		}
		moved, names := w.chain.Roles[0], []string{w.chain.Roles[0].Name}
		var err error
		moved.KeepAttached, moved.Tags = true, maps.Clone(moved.Tags)
		moved.Tags[owner.PodIdentityTag] = "team-a/app"
		moved.Trust, err = trust.WithPods(moved.Trust, trust.Pods{})
		check(w.t, err)
		for i := range 9 { // enough for a list to be asked for
			names = append(names, fmt.Sprint("none-", i))
		}
		if _, err := role.Read(w.ctx, w.user.iam, names); err != nil {
			return err
		}
		if err := w.user.roles(moved); err != nil {
			return err
		}
		moved.Trust = trustOf(w.t, w.chain, 60)
		err = w.user.roles(moved)
		if _, ok := errors.AsType[*trust.SizeError](err); ok {
			return nil
		}
		return fmt.Errorf("a trust policy that is too long: %w", err)
	},
	"iamserviceaccount": func(w *world) error {
		check(w.t, w.root.provider())
		if err := errors.Join(w.user.checkRecord(), w.manageRoles()); err != nil {
			return err
		}
		w.share()
		return w.user.removeRoles()
	},
	"iamserviceaccount-create": func(w *world) error {
		check(w.t, w.root.provider())
		return errors.Join(w.user.checkRecord(), w.manageRoles())
	},
	"iamserviceaccount-delete": func(w *world) error {
		check(w.t, w.root.up())
		w.share()
		return errors.Join(w.user.checkRecord(), w.user.removeRoles())
	},
	"keys-rotate": func(w *world) error {
		check(w.t, w.root.documents())
		check(w.t, w.root.provider())
		w.damage()
		return errors.Join(w.user.checkRecord(), w.user.documents())
	},
	"issuer-migrate": func(w *world) error {
		check(w.t, w.root.up())
		w.share()
		here, there := *w, *w
		there.chain, there.user.chain, there.root.chain = w.to, w.to, w.to
		prepare := func() error {
			return errors.Join(there.user.documents(), there.user.provider(), w.user.converge(func() ([]plan.Step, error) {
				steps, _, err := role.AlsoTrust(w.ctx, w.user.iam, w.chain.Provider.Tags, w.chain.Provider.ARN, w.to.Provider.ARN)
				return steps, err
			}))
		}
		leave := func(from caller) error {
			return errors.Join(w.user.converge(func() ([]plan.Step, error) {
				return role.StopTrusting(w.ctx, w.user.iam, w.chain.Provider.Tags, from.chain.Provider.ARN)
			}), from.leave())
		}
		if err := prepare(); err != nil {
			return err
		}
		there.damage()
		if err := errors.Join(prepare(), leave(there.user)); err != nil { // rolled back
			return err
		}
		another := w.to.Bucket // issuer in the bucket that is left
		another.Client, another.Prefix = w.root.s3, "another"
		check(w.t, there.root.converge(func() ([]plan.Step, error) { return another.Plan(w.ctx, w.to.Documents) }))
		if err := errors.Join(prepare(), leave(there.user), prepare(), leave(here.user)); err != nil {
			return err
		}
		_, err := w.root.iam.UpdateAssumeRolePolicy(w.ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &w.chain.Roles[0].Name, PolicyDocument: new(string(trustOf(w.t, w.to, 25)))})
		check(w.t, err)
		_, _, err = role.AlsoTrust(w.ctx, w.user.iam, w.chain.Provider.Tags, w.to.Provider.ARN, w.chain.Provider.ARN)
		if _, ok := errors.AsType[*trust.SizeError](err); ok {
			return nil
		}
		return fmt.Errorf("a trust policy that has no room for both: %w", err)
	},
	"issuer-publish": func(w *world) error {
		check(w.t, w.root.documents())
		w.damage()
		return w.user.documents()
	},
	"issuer-publish-documents-only": func(w *world) error {
		check(w.t, w.root.documents())
		b := w.chain.Bucket
		b.Client, b.DocumentsOnly = w.user.s3, true
		w.damage()
		return w.user.converge(func() ([]plan.Step, error) { return b.Plan(w.ctx, w.chain.Documents) })
	},
}

// findCluster asks EKS whether it knows the cluster.
func (c caller) findCluster() error {
	_, err := c.eks.DescribeCluster(c.ctx, &eks.DescribeClusterInput{Name: &c.chain.Cluster})
	return err
}

// readAssociations reads those of the cluster, of which there are some.
func (c caller) readAssociations() error {
	all, err := podidentity.Read(c.ctx, c.eks, c.chain.Cluster, podidentity.Filter{})
	if err == nil && len(all) == 0 {
		err = errors.New("there are no associations")
	}
	return err
}

func (c caller) associations() error {
	return c.converge(func() ([]plan.Step, error) {
		steps, err := podidentity.PlanAll(c.ctx, c.eks, c.chain.Cluster, c.chain.Associations)
		return slices.Concat(steps...), err
	})
}

// register has EKS know the cluster, and makes the roles that its associations name.
func (w *world) register() {
	w.t.Helper()
	_, err := w.aws.RegisterCluster(emulator.EKSCluster{Name: w.chain.Cluster, Region: w.chain.Region, Issuer: w.chain.Issuer.String()})
	check(w.t, err)
	theirs := w.chain.Roles[1]
	theirs.Name, theirs.Path = "theirs", ""
	check(w.t, w.root.roles(w.chain.Roles[1], theirs))
}

// manageAssociations is what is done to associations over their life, except that they go.
func (w *world) manageAssociations() error {
	if err := w.user.associations(); err != nil {
		return err
	}
	list, err := podidentity.Read(w.ctx, w.root.eks, w.chain.Cluster, podidentity.Filter{Namespace: "team-a", ServiceAccount: "app"})
	check(w.t, err)
	_, err = w.root.eks.UpdatePodIdentityAssociation(w.ctx, &eks.UpdatePodIdentityAssociationInput{
		ClusterName: &w.chain.Cluster, AssociationId: &list[0].ID, RoleArn: &w.chain.Associations[1].RoleARN,
	})
	check(w.t, err)
	w.untag()
	return w.user.associations()
}

// untag takes a tag from the association of team-a/app.
func (w *world) untag() {
	w.t.Helper()
	list, err := podidentity.Read(w.ctx, w.root.eks, w.chain.Cluster, podidentity.Filter{Namespace: "team-a", ServiceAccount: "app"})
	check(w.t, err)
	_, err = w.root.eks.UntagResource(w.ctx, &eks.UntagResourceInput{ResourceArn: &list[0].ARN, TagKeys: []string{owner.UIDTag}})
	check(w.t, err)
}

func (w *world) removeAssociations() error {
	return w.user.converge(func() ([]plan.Step, error) {
		all, err := podidentity.Read(w.ctx, w.user.eks, w.chain.Cluster, podidentity.Filter{})
		var steps []plan.Step
		for _, a := range all {
			more, e := a.Delete(w.user.eks)
			steps, err = append(steps, more...), errors.Join(err, e)
		}
		return steps, err
	})
}

// exchange asks EKS Auth about a token, which need not be one.
func (w *world) exchange() error {
	const body = `{"token":"a.b.c"}`
	r, err := http.NewRequestWithContext(w.ctx, http.MethodPost, w.aws.URL+"/clusters/"+w.chain.Cluster+"/assume-role-for-pod-identity", strings.NewReader(body))
	check(w.t, err)
	r.Header.Set("Content-Type", "application/json")
	key, err := w.config.Credentials.Retrieve(w.ctx)
	check(w.t, err)
	check(w.t, v4.NewSigner().SignHTTP(w.ctx, key, r, fmt.Sprintf("%x", sha256.Sum256([]byte(body))), "eks-auth", w.chain.Region, time.Now()))
	answer, err := http.DefaultClient.Do(r)
	check(w.t, err)
	defer answer.Body.Close()
	if code := answer.Header.Get("x-amzn-ErrorType"); code != "InvalidTokenException" {
		return errors.New(code)
	}
	return nil
}

// podScenarios are the commands on a chain with EKS Pod Identity, before what they do otherwise.
var podScenarios = map[string]func(*world) error{
	"up":           func(w *world) error { return errors.Join(w.user.findCluster(), w.manageAssociations()) },
	"up-take-over": func(w *world) error { return errors.Join(w.user.findCluster(), w.manageAssociations()) },
	"up-prune": func(w *world) error {
		return errors.Join(w.user.findCluster(), w.manageAssociations(), w.removeAssociations())
	},
	"down":           func(w *world) error { return w.user.findCluster() },
	"issuer-migrate": func(w *world) error { return w.user.findCluster() },
	"status": func(w *world) error {
		check(w.t, w.root.associations())
		return w.user.readAssociations()
	},
	"doctor": func(w *world) error {
		check(w.t, w.root.associations())
		_, err := w.user.eks.ListClusters(w.ctx, &eks.ListClustersInput{})
		role := w.chain.Roles[1].ARNIn(w.chain.Partition, w.chain.Account)
		_, err2 := w.user.iam.SimulatePrincipalPolicy(w.ctx, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: &role, ActionNames: []string{"sts:AssumeRole"}})
		return errors.Join(err, err2, w.user.findCluster(), w.user.readAssociations(), w.exchange())
	},
}

// subject is the chain that a command works on.
func subject(t *testing.T, command string) *export.Resources {
	c := chain(t, emulatortest.Region, func(c *export.Resources) {
		// The publisher knows of no owner.
		c.Bucket.Owned = !strings.HasPrefix(command, "issuer-")
	})
	if command == "podidentityassociation" || command == "migrate-to-pod-identity" {
		return associate(t, c)
	}
	return c
}

// TestPermissionsSufficeAndAreLeast runs each command as somebody who has its
// policy, and again for each of its actions as somebody who lacks that one, for each
// condition as somebody who does not meet it, and for each statement's resources as
// somebody who may only elsewhere.
func TestPermissionsSufficeAndAreLeast(t *testing.T) {
	for _, command := range export.Commands() {
		if command == "gc" {
			continue // which needs no cluster, so that the command itself is tested so
		}
		run, ok := scenarios[command]
		if !ok {
			t.Fatal(command + " has no scenario")
		}
		leastPolicy(t, command, command, subject(t, command), run)
		if before, ok := podScenarios[command]; ok {
			c := associate(t, subject(t, command))
			c.PodIdentity = true
			leastPolicy(t, command+" with EKS Pod Identity", command, c, func(w *world) error {
				w.register()
				if err := before(w); err != nil {
					return err
				}
				return run(w)
			})
		}
	}
}

// leastPolicy is the test of one command on a chain.
func leastPolicy(t *testing.T, name, command string, c *export.Resources, run func(*world) error) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		document, err := c.Policy(export.Permissions{Commands: []string{command}, RoleARNs: []string{"arn:aws:iam::123456789012:role/shared"}, To: place(t, c)})
		check(t, err)
		w := newWorld(t, c)
		w.permit(document)
		if err := run(w); err != nil {
			t.Fatalf("with all of the policy: %v\n%s", err, document)
		}
		fails := func(with string, document []byte) {
			t.Helper()
			w := newWorld(t, c)
			w.permit(document)
			if err := run(w); err == nil {
				t.Errorf("%s it succeeds too", with)
			} else if !slices.ContainsFunc([]string{"AccessDenied", "another AWS account", "more to do"}, func(s string) bool { return strings.Contains(err.Error(), s) }) {
				t.Errorf("%s it fails for another reason: %v", with, err)
			}
		}
		for _, action := range actions(t, document) {
			fails("without "+action, without(t, document, action))
		}
		for i, s := range parsePolicy(t, document).Statement {
			for operator, tests := range s.Condition {
				for key := range tests {
					d := parsePolicy(t, document)
					d.Statement[i].Condition[operator][key] = []string{"else"}
					fails(fmt.Sprintf("%s with another %s", s.Sid, key), text(t, d))
				}
			}
			if !slices.Equal(s.Resource, []string{"*"}) {
				d := parsePolicy(t, document)
				d.Statement[i].Resource = []string{"arn:aws:iam::123456789012:role/else"}
				fails(s.Sid+" on other resources", text(t, d))
			}
		}
	})
}

func text(t *testing.T, d document) []byte {
	t.Helper()
	b, err := json.Marshal(d)
	check(t, err)
	return b
}

// place is where a migration goes.
func place(t *testing.T, c *export.Resources) *export.Resources {
	to, err := c.At(t.Context(), "elsewhere/dev")
	check(t, err)
	return to
}

type document struct {
	Version   string
	Statement []statement
}

type statement struct {
	Sid, Effect      string
	Action, Resource []string
	Condition        map[string]map[string][]string `json:",omitempty"`
}

func parsePolicy(t *testing.T, body []byte) (d document) {
	t.Helper()
	check(t, json.Unmarshal(body, &d))
	return d
}

func actions(t *testing.T, body []byte) []string {
	t.Helper()
	var all []string
	for _, s := range parsePolicy(t, body).Statement {
		all = append(all, s.Action...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func without(t *testing.T, body []byte, action string) []byte {
	t.Helper()
	d := parsePolicy(t, body)
	for i := range d.Statement {
		d.Statement[i].Action = slices.DeleteFunc(d.Statement[i].Action, func(a string) bool { return a == action })
	}
	d.Statement = slices.DeleteFunc(d.Statement, func(s statement) bool { return len(s.Action) == 0 })
	if len(d.Statement) == 0 {
		return []byte(emulatortest.Document(map[string]any{"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}))
	}
	return text(t, d)
}

// With a boundary, no role can be made or changed that goes beyond it.
func TestPermissionsWithABoundary(t *testing.T) {
	c := subject(t, "iamserviceaccount")
	boundary := c.Roles[0].Boundary
	body, err := c.Policy(export.Permissions{Commands: []string{"iamserviceaccount"}, Boundary: boundary})
	check(t, err)
	w := newWorld(t, c)
	w.permit(body)
	check(t, w.root.provider())
	bounded := c.Roles[0]
	check(t, w.user.roles(bounded))
	refuse := func(what string, r role.Role) {
		t.Helper()
		if err := w.user.roles(r); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
			t.Errorf("%s: %v", what, err)
		}
	}
	free := bounded
	free.Name, free.Boundary = "free", ""
	refuse("a role without a boundary", free)
	free.Boundary = "arn:aws:iam::aws:policy/AdministratorAccess"
	refuse("a role with another boundary", free)
	free = bounded
	free.Boundary = ""
	refuse("a boundary that is taken off", free)

	// A role of the cluster that was there without one gets no policy.
	free = bounded
	free.Name, free.Boundary, free.PolicyARNs, free.Inline = "old", "", nil, nil
	check(t, w.root.roles(free))
	free.PolicyARNs = bounded.PolicyARNs
	refuse("a policy for a role without a boundary", free)
	free.PolicyARNs, free.Inline = nil, bounded.Inline
	refuse("an inline policy for a role without a boundary", free)
	check(t, w.user.removeRoles())
}

func TestPermissionsAreNarrow(t *testing.T) {
	for region, partition := range map[string]string{"eu-west-1": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov", "eusc-de-east-1": "aws-eusc"} {
		c := associate(t, chain(t, region, nil))
		c.PodIdentity = true
		body, err := c.Policy(export.Permissions{Commands: export.Commands(), To: place(t, c)})
		check(t, err)
		if n := trust.Size(body); n > 6144 { // of a managed policy ("IAM and AWS STS quotas")
			t.Errorf("%s: %d characters", region, n)
		}
		eks := "arn:" + partition + ":eks:" + region + ":123456789012:"
		for _, s := range parsePolicy(t, body).Statement {
			for _, resource := range s.Resource {
				switch {
				case resource == "*" && s.Sid == "Account":
				case resource == "arn:"+partition+":iam::aws:policy/*", strings.HasPrefix(resource, "arn:"+partition+":s3:::openirsa-dev-123456789012"),
					strings.HasPrefix(resource, "arn:"+partition+":s3:::openirsa-*") && strings.HasPrefix(s.Sid, "Abandoned"),
					strings.HasPrefix(resource, "arn:"+partition+":s3:::elsewhere") && strings.HasSuffix(s.Sid, "To"):
				case resource == eks+"cluster/dev" && s.Sid == "Cluster", resource == eks+"podidentityassociation/dev/*" && s.Sid == "Associations":
				case strings.HasPrefix(resource, "arn:"+partition+":eks:*:123456789012:") && slices.Contains([]string{
					"ReadClusters", "ReadAssociations", "AbandonedAssociations"}, s.Sid):
				case !strings.HasPrefix(resource, "arn:"+partition+":iam::123456789012:"):
					t.Errorf("%s: %s: resource %s", region, s.Sid, resource)
				}
			}
			if s.Sid == "PassRoles" && (!slices.Contains(s.Resource, "arn:"+partition+":iam::123456789012:role/theirs") ||
				!slices.Equal(s.Condition["StringEquals"]["iam:PassedToService"], []string{"pods.eks.amazonaws.com"})) {
				t.Errorf("%s: roles %q are passed if %v", region, s.Resource, s.Condition)
			}
			if s.Sid == "Roles" && !slices.Equal(s.Resource, []string{
				"arn:" + partition + ":iam::123456789012:role/openirsa/dev/*", "arn:" + partition + ":iam::123456789012:role/plain"}) {
				t.Errorf("%s: roles %q", region, s.Resource)
			}
		}
	}
	if _, err := chain(t, "eu-west-1", nil).Policy(export.Permissions{Commands: []string{"upp"}}); err == nil || !strings.Contains(err.Error(), "up, up-prune, up-take-over, down") {
		t.Errorf("error %v", err)
	}
}
