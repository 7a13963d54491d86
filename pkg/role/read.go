package role

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"golang.org/x/sync/errgroup"
)

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

// Up to readOneByOne roles are read one by one; before more are, the account's roles are
// listed, so that no call is spent on those that are not there.
const readOneByOne = 8

// atOnce is how many roles are read at the same time, three calls each.
const atOnce = 16

// Read reads those of the named roles that exist.
func Read(ctx context.Context, client IAM, names []string) (map[string]Role, error) {
	if len(names) > readOneByOne {
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

// ReadListed is [Read] of names that come from a list, such as that of [NamesOf]: the
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

// NamesOf lists the names of the roles that have to do with a cluster: those below its path, and
// those anywhere that trust one of its providers or are described as the
// cluster's. Whether they were made for it is known from their tags, which a list has
// not, and which would take a call for each role of the account: one of which
// neither path nor trust policy nor description tells is not found.
func NamesOf(ctx context.Context, client IAM, cluster string, providers ...string) ([]string, error) {
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

// fromIAM is a role without its policies, and as a list has it also without its
// tags and its boundary.
func fromIAM(r *types.Role) (Role, error) {
	there := Role{
		Name: *r.RoleName, Path: *r.Path, ARN: *r.Arn, Tags: map[string]string{},
		Description: aws.ToString(r.Description), Created: aws.ToTime(r.CreateDate),
	}
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
