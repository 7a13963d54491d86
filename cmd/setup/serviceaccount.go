package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/policy"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/token"
	"github.com/openirsa/openirsa/pkg/trust"
)

// serviceAccountOptions are eksctl's flags of `create iamserviceaccount`.
type serviceAccountOptions struct {
	namespace, name string
	policyARNs      []string
	wellKnown       []string
	inlineFile      string
	boundary        string
	roleName        string
	rolePath        string
	attachRole      string
	roleOnly        bool
	override        bool
	pattern         string
	tags            map[string]string
	labels          map[string]string
	approve         bool
	timeout         time.Duration
}

func (a *app) serviceAccountCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "iamserviceaccount",
		Aliases: []string{"iamserviceaccounts", "sa"},
		Short:   "Give service accounts roles, show them, take them away",
		Long:    "Links 5 and 6 of the chain: the IAM role of a service account, and its annotation. The flags are those of eksctl.",
	}
	c.AddCommand(a.createServiceAccountCommand(), a.getServiceAccountCommand(), a.deleteServiceAccountCommand())
	return c
}

func (a *app) createServiceAccountCommand() *cobra.Command {
	var o serviceAccountOptions
	c := &cobra.Command{
		Use:   "create",
		Short: "Make a role for a service account, or bring it up to date",
		Long: `Make an IAM role that only the service account can assume, attach policies, and
annotate the service account, which is made if it is not there. New pods of it get
the role; pods that run already must be made anew.

Without --approve the plan is printed and nothing is changed. Run it again to
change the policies: the role gets exactly those that are named.`,
		Example: `  setup iamserviceaccount create --namespace default --name app \
      --attach-policy-arn arn:aws:iam::aws:policy/IAMReadOnlyAccess --approve
  setup iamserviceaccount create --namespace jobs --name reports --inline-policy-file s3.json --approve
  setup iamserviceaccount create --namespace default --name app --attach-role-arn arn:aws:iam::123456789012:role/app --approve`,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeoutCause(c.Context(), o.timeout, fmt.Errorf("not done within --timeout %s", o.timeout))
			defer cancel()
			return a.createServiceAccount(ctx, o)
		},
	}
	a.clusterFlags(c)
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	f.StringVar(&o.namespace, "namespace", "default", "namespace of the service account")
	f.StringVar(&o.name, "name", "", "name of the service account (required)")
	f.StringArrayVar(&o.policyARNs, "attach-policy-arn", nil, "ARN of a managed policy to attach to the role (repeatable)")
	f.StringSliceVar(&o.wellKnown, "well-known-policy", nil, "a policy that is known by name: "+strings.Join(wellKnownNames(), ", "))
	f.StringVar(&o.inlineFile, "inline-policy-file", "", "JSON file with an inline policy for the role")
	f.StringVar(&o.attachRole, "attach-role-arn", "", "use this role, as it is, instead of making one")
	f.StringVar(&o.roleName, "role-name", "", "name of the role (default: openirsa-CLUSTER-NAMESPACE-NAME)")
	f.StringVar(&o.rolePath, "role-path", "", "path of the role (default: /openirsa/CLUSTER/)")
	f.BoolVar(&o.roleOnly, "role-only", false, "make the role and leave the service account alone")
	f.StringToStringVar(&o.tags, "tags", nil, "tags of the role: KEY=VALUE,...")
	f.StringToStringVar(&o.labels, "labels", nil, "labels of the service account: KEY=VALUE,...")
	f.StringVar(&o.pattern, "subject-pattern", "", `let in every service account whose subject matches, such as "system:serviceaccount:team-*:app"`)
	f.BoolVar(&o.override, "override-existing-serviceaccounts", false, "replace the role of a service account that has another one")
	f.StringVar(&o.boundary, "permissions-boundary", "", "ARN of the role's permissions boundary")
	f.StringVar(&a.region, "region", "", "AWS region (default: that of the chain)")
	f.BoolVar(&o.approve, "approve", false, "make the changes; without it they are only printed")
	f.DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long it may take")
	c.MarkFlagRequired("name")
	for _, other := range []string{"attach-policy-arn", "well-known-policy", "inline-policy-file", "permissions-boundary", "role-name", "role-path", "role-only", "subject-pattern", "tags"} {
		c.MarkFlagsMutuallyExclusive("attach-role-arn", other)
	}
	return c
}

// wellKnownPolicies are those of eksctl's --well-known-policies that are plain
// managed policies of AWS.
var wellKnownPolicies = map[string]string{
	"imageBuilder":     "AmazonEC2ContainerRegistryPowerUser",
	"ebsCSIController": "service-role/AmazonEBSCSIDriverPolicy",
	"efsCSIController": "service-role/AmazonEFSCSIDriverPolicy",
}

func wellKnownNames() []string {
	var names []string
	for name := range wellKnownPolicies {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// check refuses what cannot work, before the first call.
func (o *serviceAccountOptions) check() error {
	if msgs := validation.IsDNS1123Label(o.namespace); len(msgs) > 0 {
		return usagef("--namespace %q: %s", o.namespace, msgs[0])
	}
	if msgs := validation.IsDNS1123Subdomain(o.name); len(msgs) > 0 {
		return usagef("--name %q: %s", o.name, msgs[0])
	}
	if o.attachRole != "" {
		if _, err := roleARN(o.attachRole); err != nil {
			return usagef("--attach-role-arn %q is not the ARN of a role", o.attachRole)
		}
		return nil
	}
	for _, name := range o.wellKnown {
		if _, ok := wellKnownPolicies[name]; !ok {
			return usagef("--well-known-policy %q is not one of %s", name, strings.Join(wellKnownNames(), ", "))
		}
	}
	r := role.Role{Name: orDefault(o.roleName, "x"), Path: o.rolePath, PolicyARNs: o.policyARNs, Boundary: o.boundary, Tags: o.tags}
	if err := r.Check(); err != nil {
		return &usageError{fmt.Errorf("%s: %w", plan.Role, err)}
	}
	return nil
}

func roleARN(s string) (arn.ARN, error) {
	parsed, err := arn.Parse(s)
	if err != nil || parsed.Service != "iam" || !strings.HasPrefix(parsed.Resource, "role/") {
		return arn.ARN{}, errors.New("not the ARN of a role")
	}
	return parsed, nil
}

// inline are the inline policies, checked as IAM checks them.
func (o *serviceAccountOptions) inline() (map[string][]byte, error) {
	if o.inlineFile == "" {
		return nil, nil
	}
	document, err := os.ReadFile(o.inlineFile)
	if err != nil {
		return nil, fmt.Errorf("%s: reading the inline policy: %w", plan.Role, err)
	}
	if _, err := policy.Parse(policy.Identity, document); err != nil {
		return nil, fmt.Errorf("%s: inline policy %s: %w", plan.Role, o.inlineFile, err)
	}
	return map[string][]byte{"inline": document}, nil
}

func (a *app) createServiceAccount(ctx context.Context, o serviceAccountOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	inline, err := o.inline()
	if err != nil {
		return err
	}
	ch, err := a.connectInstalled(ctx)
	if err != nil {
		return err
	}
	if err := ch.c.Check(ctx, cluster.ServiceAccountRights(o.namespace)...); err != nil {
		return clusterAdvice(err)
	}
	r := a.newReport(ch.state.Cluster, !o.approve)
	r.calls = ch.acct.calls
	r.Issuer = ch.iss.String()

	target := o.attachRole
	if target == "" {
		want, err := ch.wantRole(ctx, o, inline)
		if err != nil {
			return err
		}
		target = want.ARN
		if err := r.link(ctx, plan.Role, func() string { return want.ARN }, func(ctx context.Context) ([]plan.Step, error) {
			return role.Plan(ctx, ch.acct.IAM, want)
		}); err != nil {
			return err
		}
	}
	if !o.roleOnly {
		sa := cluster.ServiceAccount{
			Namespace: o.namespace, Name: o.name, Labels: o.labels, Override: o.override,
			Annotations: map[string]string{irsa.DefaultPrefix.RoleARN(): target},
		}
		err := r.link(ctx, plan.ServiceAccount, func() string { return o.namespace + "/" + o.name }, func(ctx context.Context) ([]plan.Step, error) {
			return ch.c.Annotate(ctx, sa)
		})
		if _, ok := errors.AsType[*cluster.ConflictError](err); ok {
			return advise(err, "the same command with --override-existing-serviceaccounts")
		}
		if err != nil {
			return err
		}
	}
	if err := r.finish(); err != nil {
		return err
	}
	switch {
	case !o.approve && r.changed():
		r.say("\nNothing was changed. To make these changes, run the same command with --approve.")
	case !r.changed():
		r.say("\nEverything is unchanged.")
	case !o.roleOnly:
		r.say("\nNew pods of %s/%s get the role. Restart those that run: kubectl --namespace %s rollout restart deployment ...", o.namespace, o.name, o.namespace)
	}
	return nil
}

// wantRole is the role as the options ask for it.
func (ch *chain) wantRole(ctx context.Context, o serviceAccountOptions, inline map[string][]byte) (role.Role, error) {
	mark, err := ch.tags(ctx)
	if err != nil {
		return role.Role{}, err
	}
	for k, v := range o.tags {
		if _, ok := mark[k]; ok {
			return role.Role{}, usagef("--tags %s: this tag marks what setup has made", k)
		}
		mark[k] = v
	}
	subject := trust.Provider{
		ARN: ch.state.Provider, Issuer: ch.iss, Audience: irsa.Audience, Pattern: o.pattern,
	}
	if o.pattern == "" {
		subject.Subjects = []string{token.Subject(o.namespace, o.name)}
		mark[owner.ServiceAccountTag] = o.namespace + "/" + o.name
	}
	document, err := trust.Policy{Providers: []trust.Provider{subject}}.Document()
	if err != nil {
		return role.Role{}, fmt.Errorf("%s: %w", plan.Role, err)
	}
	policies := slices.Clone(o.policyARNs)
	for _, name := range o.wellKnown {
		policies = append(policies, "arn:"+ch.acct.Partition+":iam::aws:policy/"+wellKnownPolicies[name])
	}
	slices.Sort(policies)
	want := role.Role{
		Name:        orDefault(o.roleName, role.NameFor(ch.state.Cluster, o.namespace, o.name)),
		Path:        orDefault(o.rolePath, role.PathFor(ch.state.Cluster)),
		Description: "Service account " + o.namespace + "/" + o.name + " of cluster " + ch.state.Cluster,
		Trust:       document,
		PolicyARNs:  slices.Compact(policies),
		Inline:      inline,
		Boundary:    o.boundary,
		Tags:        mark,
	}
	want.ARN = "arn:" + ch.acct.Partition + ":iam::" + ch.acct.ID + ":role" + want.Path + want.Name
	return want, nil
}

func (a *app) getServiceAccountCommand() *cobra.Command {
	var namespace, name string
	c := &cobra.Command{
		Use:   "get",
		Short: "List the service accounts that have roles",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.getServiceAccounts(c.Context(), namespace, name)
		},
	}
	a.clusterFlags(c)
	a.outputFlag(c, "text", "json", "yaml")
	c.Flags().StringVar(&namespace, "namespace", "", "only of this namespace")
	c.Flags().StringVar(&name, "name", "", "only of this name")
	return c
}

// serviceAccountReport is a line of `iamserviceaccount get`.
type serviceAccountReport struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	RoleARN   string `json:"roleARN"`
}

func (a *app) getServiceAccounts(ctx context.Context, namespace, name string) error {
	ch, err := a.connect(ctx)
	if err != nil {
		return err
	}
	accounts, err := ch.c.ServiceAccounts(ctx)
	if err != nil {
		return clusterAdvice(err)
	}
	list := []serviceAccountReport{}
	for _, sa := range accounts {
		if (namespace == "" || sa.Namespace == namespace) && (name == "" || sa.Name == name) {
			list = append(list, serviceAccountReport{sa.Namespace, sa.Name, sa.Role(irsa.DefaultPrefix)})
		}
	}
	switch a.output {
	case "json":
		return printJSON(a.out, list)
	case "yaml":
		return printYAML(a.out, list)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAMESPACE\tNAME\tROLE ARN")
	for _, sa := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\n", sa.Namespace, sa.Name, sa.RoleARN)
	}
	return w.Flush()
}

func (a *app) deleteServiceAccountCommand() *cobra.Command {
	var namespace, name string
	var approve bool
	c := &cobra.Command{
		Use:   "delete",
		Short: "Take a service account's role away and delete what was made for it",
		Long: `Delete the role that was made for a service account, with its policies, and the
service account itself if it was made here; one that was there before loses only
its annotation.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.deleteServiceAccount(c.Context(), namespace, name, approve)
		},
	}
	a.clusterFlags(c)
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	f.StringVar(&namespace, "namespace", "default", "namespace of the service account")
	f.StringVar(&name, "name", "", "name of the service account (required)")
	f.StringVar(&a.region, "region", "", "AWS region (default: that of the chain)")
	f.BoolVar(&approve, "approve", true, "make the changes; with --approve=false they are only printed")
	c.MarkFlagRequired("name")
	return c
}

func (a *app) deleteServiceAccount(ctx context.Context, namespace, name string, approve bool) error {
	ch, err := a.connectInstalled(ctx)
	if err != nil {
		return err
	}
	if err := ch.c.Check(ctx, cluster.ServiceAccountRights(namespace)...); err != nil {
		return clusterAdvice(err)
	}
	r := a.newReport(ch.state.Cluster, !approve)
	r.calls = ch.acct.calls
	r.Issuer = ch.iss.String()
	names, err := ch.rolesOf(ctx, namespace, name)
	if err != nil {
		return err
	}
	err = r.link(ctx, plan.ServiceAccount, func() string { return namespace + "/" + name }, func(ctx context.Context) ([]plan.Step, error) {
		return ch.c.Unannotate(ctx, namespace, name)
	})
	if err != nil {
		return err
	}
	for _, n := range names {
		err := r.link(ctx, plan.Role, func() string { return n }, func(ctx context.Context) ([]plan.Step, error) {
			return role.Delete(ctx, ch.acct.IAM, n, ch.state.Cluster)
		})
		if err != nil {
			return err
		}
	}
	if err := r.finish(); err != nil {
		return err
	}
	if !r.changed() {
		r.say("\nThere is nothing of %s/%s to delete.", namespace, name)
	}
	return nil
}

// rolesOf names the roles that were made for a service account: the one that it
// is annotated with, and the one of the default name, in case an earlier run
// stopped between the two.
func (ch *chain) rolesOf(ctx context.Context, namespace, name string) ([]string, error) {
	candidates := []string{role.NameFor(ch.state.Cluster, namespace, name)}
	accounts, err := ch.c.ServiceAccounts(ctx)
	if err != nil {
		return nil, err
	}
	for _, sa := range accounts {
		if sa.Namespace == namespace && sa.Name == name {
			if parsed, err := roleARN(sa.Role(irsa.DefaultPrefix)); err == nil {
				candidates = append(candidates, path.Base(parsed.Resource))
			}
		}
	}
	slices.Sort(candidates)
	var names []string
	for _, candidate := range slices.Compact(candidates) {
		there, ok, err := role.Get(ctx, ch.acct.IAM, candidate)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", plan.Role, awsCause(err))
		}
		// A role of a pattern, or of another service account, is not this
		// one's to delete.
		if ok && there.Tags[owner.ServiceAccountTag] == namespace+"/"+name {
			names = append(names, candidate)
		}
	}
	return names, nil
}
