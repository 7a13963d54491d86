// Package role plans the IAM roles that service accounts assume: their trust,
// their permissions and their marks.
// [Plan] holds a [Role] as it is wanted against the one that is there.
package role

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
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
	GetAccountSummary(context.Context, *iam.GetAccountSummaryInput, ...func(*iam.Options)) (*iam.GetAccountSummaryOutput, error)
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
	// Shared asks for a role that service accounts of several clusters assume:
	// one that another cluster has made is joined, the statements of the others
	// in its trust policy stay, and what is attached to it stays.
	Shared bool
	// Joint says that service accounts which are not spoken of here use the role
	// too: what is attached to it stays.
	Joint bool

	// ours is the trust policy without what stays for the sake of other
	// clusters.
	ours []byte

	// ARN and Created are known of a role that is there.
	ARN     string
	Created time.Time
}

// there reports whether the role was read from IAM.
func (r Role) there() bool { return r.ARN != "" }

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

// Describe is the description of a cluster's role for a service account, or for
// several if that is empty. IAM lists it: by it a role is found again that is not
// below the cluster's path and whose trust policy was spoilt.
func Describe(cluster, serviceAccount string) string {
	if serviceAccount == "" {
		return "Service accounts" + ofCluster + cluster
	}
	return "Service account " + serviceAccount + ofCluster + cluster
}

const ofCluster = " of cluster "

// Claims reports whether a role's path or description says that it is of a
// cluster; of any cluster if that is empty.
func (r Role) Claims(cluster string) bool {
	path := "/openirsa/"
	if cluster != "" {
		path = PathFor(cluster)
	}
	before, of, ok := strings.Cut(r.Description, ofCluster)
	return strings.HasPrefix(r.Path, path) || ok && strings.HasPrefix(before, "Service account") && (of == cluster || cluster == "")
}

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
		there, err = fromIAM(out.Role)
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

// fromIAM is a role without its policies, and as a list has it also without its
// tags and its boundary.
func fromIAM(r *types.Role) (Role, error) {
	there := Role{Name: *r.RoleName, Path: *r.Path, ARN: *r.Arn, Description: aws.ToString(r.Description), Created: aws.ToTime(r.CreateDate), Tags: map[string]string{}}
	if b := r.PermissionsBoundary; b != nil {
		there.Boundary = aws.ToString(b.PermissionsBoundaryArn)
	}
	for _, t := range r.Tags {
		there.Tags[*t.Key] = *t.Value
	}
	var err error
	if there.Trust, err = decode(r.AssumeRolePolicyDocument); err != nil {
		return Role{}, fmt.Errorf("reading the trust policy of role %s: %w", there.Name, err)
	}
	return there, nil
}

// Up to few roles are read one by one; before more are, the account's roles are
// listed, so that no call is spent on those that are not there.
const few = 8

// atOnce is how many roles are read at the same time, three calls each.
const atOnce = 16

// Read reads those of the named roles that are there.
func Read(ctx context.Context, client IAM, names []string) (map[string]Role, error) {
	if len(names) > few {
		all, err := List(ctx, client, "/")
		if err != nil {
			return nil, err
		}
		there := map[string]bool{}
		for _, r := range all {
			there[strings.ToLower(r.Name)] = true // of which IAM has no two that differ in case alone
		}
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !there[strings.ToLower(name)] })
	}
	return ReadListed(ctx, client, names)
}

// ReadListed is [Read] of names that come from a list, such as that of [Of]: the
// account's roles are not listed again.
func ReadListed(ctx context.Context, client IAM, names []string) (map[string]Role, error) {
	var mu sync.Mutex
	found := map[string]Role{} // guarded by mu
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, name := range names {
		group.Go(func() error {
			r, ok, err := Get(ctx, client, name)
			if ok && err == nil {
				mu.Lock()
				found[name] = r
				mu.Unlock()
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return found, nil
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
	UID     string // of the cluster
}

// Sharable reports whether the role was made for another cluster, which this one
// may join.
func (e *ForeignError) Sharable() bool { return e.Role.Tags[owner.Tag] == "true" }

// Namesake reports whether the role was made for another cluster of the same
// name.
func (e *ForeignError) Namesake() bool { return owner.Named(e.Role.Tags, e.Cluster) }

func (e *ForeignError) Error() string {
	if e.Namesake() {
		return (&owner.ForeignError{Thing: "role " + e.Role.Name, Tags: e.Role.Tags, Mark: owner.Tags(e.Cluster, e.UID)}).Error()
	}
	if e.Sharable() {
		return fmt.Sprintf("role %s was made for cluster %q, and cluster %q does not share it", e.Role.Name, e.Role.Tags[owner.ClusterTag], e.Cluster)
	}
	return fmt.Sprintf("role %s exists and was not made for cluster %q", e.Role.Name, e.Cluster)
}

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
	room := room{client: client, limit: trust.MaxSize}
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
		if err := room.check(ctx, want.Name, merged.Trust); err != nil {
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

// join is the role as it is wanted, given the one that is there: what must stay
// for the sake of others is wanted too.
func join(there, want Role) (Role, error) {
	if want.Shared {
		tags := map[string]string{}
		maps.Copy(tags, want.Tags)
		tags[owner.SharedTag] = "true"
		want.Tags = tags
	}
	if !there.there() {
		return want, nil
	}
	owns := owner.Owns(there.Tags, want.Tags)
	if !owns && !(there.Tags[owner.Tag] == "true" && want.Shared) && !(owner.Shared(there.Tags) && trustsSome(there.Trust, trust.Providers(want.Trust))) {
		return Role{}, &ForeignError{Role: there, Cluster: want.Tags[owner.ClusterTag], UID: want.Tags[owner.UIDTag]}
	}
	want.Shared = want.Shared || owner.Shared(there.Tags)
	if !want.Shared && !want.Joint {
		return want, nil
	}
	want.Joint = true
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
		want.ours = want.Trust
		if want.Trust, err = trust.With(there.Trust, want.ours); err != nil {
			return Role{}, fmt.Errorf("role %s: %w", want.Name, err)
		}
	}
	return want, want.Check()
}

// trustsSome reports whether a trust policy lets in tokens of one of the
// providers.
func trustsSome(document []byte, providers []string) bool {
	return slices.ContainsFunc(trust.Providers(document), func(arn string) bool { return slices.Contains(providers, arn) })
}

// TrustsSome reports whether the role lets in tokens of one of the providers.
func (r Role) TrustsSome(providers []string) bool { return trustsSome(r.Trust, providers) }

// room is how long trust policies may be in an account.
type room struct {
	client IAM
	limit  int // as far as it is known; begins as [trust.MaxSize]
}

// check refuses the trust policy of a role that is too long. The quota, which can
// be raised, is asked for when it first matters.
func (r *room) check(ctx context.Context, name string, document []byte) error {
	if r.limit == trust.MaxSize && trust.CheckSize(document, r.limit) != nil {
		out, err := r.client.GetAccountSummary(ctx, &iam.GetAccountSummaryInput{})
		if err != nil {
			return fmt.Errorf("reading the account's quota for trust policies: %w", err)
		}
		r.limit = max(trust.MaxSize, int(out.SummaryMap["AssumeRolePolicySizeQuota"]))
	}
	if err := trust.CheckSize(document, r.limit); err != nil {
		return fmt.Errorf("role %s: %w", name, err)
	}
	return nil
}

// planOne decides what must be done for one role.
func planOne(client IAM, there, want Role) []plan.Step {
	var steps []plan.Step
	add := func(action, summary, diff string, do func(context.Context) error) {
		steps = append(steps, plan.Step{Link: plan.Role, Action: action, Summary: summary, Diff: diff, Do: do})
	}
	name := "role " + want.Name
	if !there.there() {
		add(plan.Create, name, plan.DiffJSON(nil, want.Trust), patient(isUnheardOf, func(ctx context.Context) error { return create(ctx, client, want) }))
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
	if !there.there() {
		// IAM may not have heard yet, where it is asked next, of the role that
		// it has just made.
		for i := range steps[1:] {
			steps[i+1].Do = patient(isMissing, steps[i+1].Do)
		}
	}
	return steps
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
				if document, err = trust.With(now.Trust, want.ours); err != nil {
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
			_, err := client.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: &want.Name, PermissionsBoundary: &want.Boundary})
			return err
		})
	}
	return steps
}

func putTrust(ctx context.Context, client IAM, name string, document []byte) error {
	_, err := client.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &name, PolicyDocument: new(string(document))})
	return err
}

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

// Delete is the function Delete for a role that was read.
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
	return append(steps, plan.Step{Link: plan.Role, Action: plan.Delete, Summary: "role " + r.Name, Do: patient(isConflict, func(ctx context.Context) error {
		_, err := client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &r.Name})
		return ignoreMissing(err)
	})})
}

// List lists the roles below a path, "/" being all of the account's, in a call
// for every thousand. A list has neither tags nor policies; it has the trust
// policies.
func List(ctx context.Context, client IAM, path string) ([]Role, error) {
	var roles []Role
	pages := iam.NewListRolesPaginator(client, &iam.ListRolesInput{PathPrefix: &path, MaxItems: new(int32(1000))})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing the roles below %s: %w", path, err)
		}
		for _, r := range page.Roles {
			there, err := fromIAM(&r)
			if err != nil {
				return nil, err
			}
			roles = append(roles, there)
		}
	}
	return roles, nil
}

// Of names the roles that have to do with a cluster: those below its path, and
// those anywhere that trust one of its providers or are described as the
// cluster's. Whether they were made for it is told by their tags, which a list has
// not, and which would take a call for each role of the account: one of which
// neither path nor trust policy nor description tells is not found.
func Of(ctx context.Context, client IAM, cluster string, providers ...string) ([]string, error) {
	all, err := List(ctx, client, "/")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range all {
		if r.Claims(cluster) || trustsSome(r.Trust, providers) {
			names = append(names, r.Name)
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
