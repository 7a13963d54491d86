// Package role plans the IAM roles that service accounts assume: their trust,
// their permissions and their marks.
//
//	want := role.Role{Name: role.NameFor("dev", "default", "app"), Path: role.PathFor("dev"), Trust: doc, PolicyARNs: arns, Tags: tags}
//	steps, err := role.Plan(ctx, iam.NewFromConfig(cfg), want)
package role

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/trust"
)

// IAM is what this package calls; *iam.Client is one.
type IAM interface {
	GetRole(context.Context, *iam.GetRoleInput, ...func(*iam.Options)) (*iam.GetRoleOutput, error)
	ListRoles(context.Context, *iam.ListRolesInput, ...func(*iam.Options)) (*iam.ListRolesOutput, error)
	CreateRole(context.Context, *iam.CreateRoleInput, ...func(*iam.Options)) (*iam.CreateRoleOutput, error)
	DeleteRole(context.Context, *iam.DeleteRoleInput, ...func(*iam.Options)) (*iam.DeleteRoleOutput, error)
	UpdateAssumeRolePolicy(context.Context, *iam.UpdateAssumeRolePolicyInput, ...func(*iam.Options)) (*iam.UpdateAssumeRolePolicyOutput, error)
	TagRole(context.Context, *iam.TagRoleInput, ...func(*iam.Options)) (*iam.TagRoleOutput, error)
	ListAttachedRolePolicies(context.Context, *iam.ListAttachedRolePoliciesInput, ...func(*iam.Options)) (*iam.ListAttachedRolePoliciesOutput, error)
	AttachRolePolicy(context.Context, *iam.AttachRolePolicyInput, ...func(*iam.Options)) (*iam.AttachRolePolicyOutput, error)
	DetachRolePolicy(context.Context, *iam.DetachRolePolicyInput, ...func(*iam.Options)) (*iam.DetachRolePolicyOutput, error)
	ListRolePolicies(context.Context, *iam.ListRolePoliciesInput, ...func(*iam.Options)) (*iam.ListRolePoliciesOutput, error)
	GetRolePolicy(context.Context, *iam.GetRolePolicyInput, ...func(*iam.Options)) (*iam.GetRolePolicyOutput, error)
	PutRolePolicy(context.Context, *iam.PutRolePolicyInput, ...func(*iam.Options)) (*iam.PutRolePolicyOutput, error)
	DeleteRolePolicy(context.Context, *iam.DeleteRolePolicyInput, ...func(*iam.Options)) (*iam.DeleteRolePolicyOutput, error)
	PutRolePermissionsBoundary(context.Context, *iam.PutRolePermissionsBoundaryInput, ...func(*iam.Options)) (*iam.PutRolePermissionsBoundaryOutput, error)
	DeleteRolePermissionsBoundary(context.Context, *iam.DeleteRolePermissionsBoundaryInput, ...func(*iam.Options)) (*iam.DeleteRolePermissionsBoundaryOutput, error)
	GetPolicy(context.Context, *iam.GetPolicyInput, ...func(*iam.Options)) (*iam.GetPolicyOutput, error)
}

// Limits of IAM (User Guide, "IAM and AWS STS quotas").
const (
	MaxName     = 64
	MaxPolicies = 10 // managed policies of a role, without a quota increase
	maxTags     = 50
)

// Role is an IAM role: as it is wanted, or as it is.
type Role struct {
	Name string
	// Path begins and ends with a slash; empty means "/". It cannot be changed
	// once the role is there.
	Path        string
	Description string
	// Trust is the trust policy document.
	Trust []byte
	// PolicyARNs are the managed policies to be attached.
	PolicyARNs []string
	// Inline are inline policy documents by name.
	Inline map[string][]byte
	// Boundary is the ARN of the permissions boundary, empty for none.
	Boundary string
	Tags     map[string]string

	// ARN is known of a role that is there.
	ARN string
}

var (
	nameForm = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]+$`)
	pathForm = regexp.MustCompile(`^/([!-~]+/)?$`)
	arnForm  = regexp.MustCompile(`^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/[!-~]+$`)
)

// NameFor is the name of a service account's role unless one is given:
// openirsa-CLUSTER-NAMESPACE-NAME, cut and ended by a hash of the whole where
// IAM's 64 characters do not suffice.
func NameFor(cluster, namespace, serviceAccount string) string {
	name := "openirsa-" + cluster + "-" + namespace + "-" + serviceAccount
	if len(name) <= MaxName && strings.Count(cluster+namespace+serviceAccount, "-") == 0 {
		return name
	}
	// With dashes inside the parts, two service accounts could share a name.
	sum := fmt.Sprintf("-%x", sha256.Sum256([]byte(cluster+"\x00"+namespace+"\x00"+serviceAccount)))[:9]
	return strings.TrimRight(name[:min(len(name), MaxName-len(sum))], "-.") + sum
}

// PathFor is the path of a cluster's roles, below which they are found again.
func PathFor(cluster string) string { return "/openirsa/" + cluster + "/" }

// Check refuses what IAM would refuse, before the first call.
func (r Role) Check() error {
	switch {
	case !nameForm.MatchString(r.Name) || len(r.Name) > MaxName:
		return fmt.Errorf("role name %q is not 1 to %d of letters, digits and _+=,.@-", r.Name, MaxName)
	case r.Path != "" && (!pathForm.MatchString(r.Path) || len(r.Path) > 512):
		return fmt.Errorf("role path %q does not begin and end with a slash, or is longer than 512", r.Path)
	case len(r.PolicyARNs) > MaxPolicies:
		return fmt.Errorf("role %s: %d managed policies are more than the %d that IAM attaches to a role", r.Name, len(r.PolicyARNs), MaxPolicies)
	case len(r.Tags) > maxTags:
		return fmt.Errorf("role %s: %d tags are more than %d", r.Name, len(r.Tags), maxTags)
	}
	for _, arn := range r.PolicyARNs {
		if !arnForm.MatchString(arn) {
			return fmt.Errorf("policy %q is not the ARN of a managed policy, such as arn:aws:iam::aws:policy/IAMReadOnlyAccess", arn)
		}
	}
	if r.Boundary != "" && !arnForm.MatchString(r.Boundary) {
		return fmt.Errorf("permissions boundary %q is not the ARN of a managed policy", r.Boundary)
	}
	return nil
}

// Get reads a role with everything that [Role] holds, and reports whether there
// is one.
func Get(ctx context.Context, client IAM, name string) (Role, bool, error) {
	var there Role
	var found bool
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		out, err := client.GetRole(gctx, &iam.GetRoleInput{RoleName: &name})
		if isMissing(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading role %s: %w", name, err)
		}
		found = true
		there.Name, there.Path, there.ARN = *out.Role.RoleName, *out.Role.Path, *out.Role.Arn
		if d := out.Role.Description; d != nil {
			there.Description = *d
		}
		if b := out.Role.PermissionsBoundary; b != nil && b.PermissionsBoundaryArn != nil {
			there.Boundary = *b.PermissionsBoundaryArn
		}
		there.Tags = map[string]string{}
		for _, t := range out.Role.Tags {
			there.Tags[*t.Key] = *t.Value
		}
		there.Trust, err = decode(out.Role.AssumeRolePolicyDocument)
		return err
	})
	var attached []string
	group.Go(func() (err error) { attached, err = listAttached(gctx, client, name); return err })
	var inline map[string][]byte
	group.Go(func() (err error) { inline, err = listInline(gctx, client, name); return err })
	if err := group.Wait(); err != nil {
		return Role{}, false, err
	}
	there.PolicyARNs, there.Inline = attached, inline
	return there, found, nil
}

func listAttached(ctx context.Context, client IAM, name string) ([]string, error) {
	var arns []string
	pages := iam.NewListAttachedRolePoliciesPaginator(client, &iam.ListAttachedRolePoliciesInput{RoleName: &name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if isMissing(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("listing the policies of role %s: %w", name, err)
		}
		for _, p := range page.AttachedPolicies {
			arns = append(arns, *p.PolicyArn)
		}
	}
	slices.Sort(arns)
	return arns, nil
}

func listInline(ctx context.Context, client IAM, name string) (map[string][]byte, error) {
	inline := map[string][]byte{}
	pages := iam.NewListRolePoliciesPaginator(client, &iam.ListRolePoliciesInput{RoleName: &name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if isMissing(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("listing the inline policies of role %s: %w", name, err)
		}
		for _, policy := range page.PolicyNames {
			out, err := client.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &name, PolicyName: &policy})
			if err != nil {
				return nil, fmt.Errorf("reading policy %s of role %s: %w", policy, name, err)
			}
			if inline[policy], err = decode(out.PolicyDocument); err != nil {
				return nil, err
			}
		}
	}
	return inline, nil
}

// decode undoes the percent-encoding in which IAM returns policy documents.
func decode(document *string) ([]byte, error) {
	if document == nil {
		return nil, nil
	}
	s, err := url.PathUnescape(*document)
	if err != nil {
		return nil, fmt.Errorf("decoding a policy document: %w", err)
	}
	return []byte(s), nil
}

// ForeignError is a role that has the wanted name but was not made for the
// cluster. It is never changed.
type ForeignError struct {
	Role    Role
	Cluster string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("role %s exists and was not made for cluster %q", e.Role.Name, e.Cluster)
}

// Plan decides what must be done for the role to be as wanted. One that was not
// made for the same cluster is a [*ForeignError]; a managed policy that does not
// exist is [ErrNoPolicy].
func Plan(ctx context.Context, client IAM, want Role) ([]plan.Step, error) {
	if err := want.Check(); err != nil {
		return nil, err
	}
	there, ok, err := Get(ctx, client, want.Name)
	if err != nil {
		return nil, err
	}
	if ok && !owner.Owns(there.Tags, want.Tags[owner.ClusterTag]) {
		return nil, &ForeignError{Role: there, Cluster: want.Tags[owner.ClusterTag]}
	}
	var steps []plan.Step
	add := func(action, summary, diff string, do func(context.Context) error) {
		steps = append(steps, plan.Step{Link: plan.Role, Action: action, Summary: summary, Diff: diff, Do: do})
	}
	name := "role " + want.Name
	if !ok {
		add(plan.Create, name, plan.DiffJSON(nil, want.Trust), patient(isUnknownPrincipal, func(ctx context.Context) error { return create(ctx, client, want) }))
	} else {
		steps = append(steps, planUpdate(client, there, want)...)
	}

	for _, arn := range want.PolicyARNs {
		if slices.Contains(there.PolicyARNs, arn) {
			continue
		}
		if err := exists(ctx, client, arn); err != nil {
			return nil, err
		}
		add(plan.Update, name, "+ policy "+arn, func(ctx context.Context) error {
			_, err := client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &want.Name, PolicyArn: &arn})
			return err
		})
	}
	for _, policy := range slices.Sorted(maps.Keys(want.Inline)) {
		if !trust.Equal(there.Inline[policy], want.Inline[policy]) {
			add(plan.Update, "inline policy "+policy+" of "+name, plan.DiffJSON(there.Inline[policy], want.Inline[policy]), func(ctx context.Context) error {
				_, err := client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &want.Name, PolicyName: &policy, PolicyDocument: new(string(want.Inline[policy]))})
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
	if !ok {
		// IAM may not have heard yet, where it is asked next, of the role that
		// it has just made.
		for i := range steps[1:] {
			steps[i+1].Do = patient(isMissing, steps[i+1].Do)
		}
	}
	return steps, nil
}

// planUpdate is what changes in the role itself.
func planUpdate(client IAM, there, want Role) []plan.Step {
	var steps []plan.Step
	add := func(diff string, do func(context.Context) error) {
		steps = append(steps, plan.Step{Link: plan.Role, Action: plan.Update, Summary: "role " + want.Name, Diff: diff, Do: do})
	}
	if !trust.Equal(there.Trust, want.Trust) {
		add(plan.DiffJSON(there.Trust, want.Trust), func(ctx context.Context) error {
			_, err := client.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &want.Name, PolicyDocument: new(string(want.Trust))})
			return err
		})
	}
	if want.Boundary != there.Boundary {
		add("- permissions boundary "+there.Boundary+"\n+ permissions boundary "+want.Boundary, func(ctx context.Context) error {
			if want.Boundary == "" {
				_, err := client.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: &want.Name})
				return err
			}
			_, err := client.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: &want.Name, PermissionsBoundary: &want.Boundary})
			return err
		})
	}
	missing := maps.Clone(want.Tags)
	maps.DeleteFunc(missing, func(k, v string) bool { have, ok := there.Tags[k]; return ok && have == v })
	if len(missing) > 0 {
		add("+ tags "+strings.Join(slices.Sorted(maps.Keys(missing)), ", "), func(ctx context.Context) error {
			_, err := client.TagRole(ctx, &iam.TagRoleInput{RoleName: &want.Name, Tags: tags(missing)})
			return err
		})
	}
	return steps
}

// Delete decides what must be done for the role to be gone. One that was not
// made for the cluster is left alone.
func Delete(ctx context.Context, client IAM, name, cluster string) ([]plan.Step, error) {
	there, ok, err := Get(ctx, client, name)
	if err != nil || !ok || !owner.Owns(there.Tags, cluster) {
		return nil, err
	}
	var steps []plan.Step
	for _, arn := range there.PolicyARNs {
		steps = append(steps, detach(client, name, arn))
	}
	for _, policy := range slices.Sorted(maps.Keys(there.Inline)) {
		steps = append(steps, deleteInline(client, name, policy))
	}
	return append(steps, plan.Step{Link: plan.Role, Action: plan.Delete, Summary: "role " + name, Do: patient(isConflict, func(ctx context.Context) error {
		_, err := client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &name})
		return ignoreMissing(err)
	})}), nil
}

// List names the roles below a path.
func List(ctx context.Context, client IAM, path string) ([]string, error) {
	var names []string
	pages := iam.NewListRolesPaginator(client, &iam.ListRolesInput{PathPrefix: &path, MaxItems: new(int32(1000))})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing the roles below %s: %w", path, err)
		}
		for _, r := range page.Roles {
			names = append(names, *r.RoleName)
		}
	}
	return names, nil
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
	if _, ok := errors.AsType[*types.EntityAlreadyExistsException](err); ok {
		return nil // made by a call whose answer was lost
	}
	return err
}

// ErrNoPolicy is a managed policy that does not exist.
var ErrNoPolicy = errors.New("the managed policy does not exist")

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

func detach(client IAM, name, arn string) plan.Step {
	return plan.Step{Link: plan.Role, Action: plan.Update, Summary: "role " + name, Diff: "- policy " + arn, Do: func(ctx context.Context) error {
		_, err := client.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: &name, PolicyArn: &arn})
		return ignoreMissing(err)
	}}
}

func deleteInline(client IAM, name, policy string) plan.Step {
	return plan.Step{Link: plan.Role, Action: plan.Update, Summary: "role " + name, Diff: "- inline policy " + policy, Do: func(ctx context.Context) error {
		_, err := client.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: &policy})
		return ignoreMissing(err)
	}}
}

func tags(m map[string]string) []types.Tag {
	var list []types.Tag
	for _, key := range slices.Sorted(maps.Keys(m)) {
		list = append(list, types.Tag{Key: new(key), Value: new(m[key])})
	}
	return list
}

func isMissing(err error) bool {
	_, ok := errors.AsType[*types.NoSuchEntityException](err)
	return ok
}

func ignoreMissing(err error) error {
	if isMissing(err) {
		return nil
	}
	return err
}
