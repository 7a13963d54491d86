package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/internal/redact"
	"github.com/openirsa/openirsa/pkg/account"
	lib "github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/role"
)

func (a *app) statusCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Show each link of the chain: what is there",
		Long: `Read every link of the chain where it really is (the API server, S3 as a stranger,
IAM, the cluster) and show it. Nothing is changed. The exit status is 1 if a link
is missing or wrong.`,
		RunE: func(c *cobra.Command, _ []string) error { return a.status(c.Context()) },
	}
	a.clusterFlags(c)
	a.outputFlag(c, "text", "json", "yaml")
	c.Flags().StringVar(&a.region, "region", "", "AWS region (default: that of the chain)")
	return c
}

// status is what `status` prints.
type status struct {
	Cluster  string `json:"cluster"`
	Issuer   string `json:"issuer"`
	Account  string `json:"account"`
	Emulator bool   `json:"emulator"`
	// KeepsIssuer says that the API servers keep the issuer that they had.
	KeepsIssuer bool           `json:"keepsIssuer,omitempty"`
	Healthy     bool           `json:"healthy"`
	Change      *record.Change `json:"change,omitempty"` // under way
	Links       []linkStatus   `json:"links"`
	Accounts    []roleAccount  `json:"iamServiceAccounts"`
	// Roles are all that were made for the cluster, or that it shares, by their
	// tags: also those whose service account is gone.
	Roles []string `json:"roles"`
}

type linkStatus struct {
	Link   string `json:"link"`
	OK     bool   `json:"ok"`
	Object string `json:"object,omitempty"`
	Error  string `json:"error,omitempty"`
}

type roleAccount struct {
	serviceAccountReport
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

var errUnhealthy = errors.New("a link of the chain is missing or wrong")

func (a *app) status(ctx context.Context) error {
	ch, err := a.connectInstalled(ctx)
	if err != nil {
		return err
	}
	s := status{Cluster: ch.state.Cluster, Issuer: ch.iss.String(), Account: ch.state.Account, Emulator: ch.state.Emulator, KeepsIssuer: ch.keeps(), Healthy: true, Accounts: []roleAccount{}, Roles: []string{}}
	s.Change = ch.state.Change
	add := func(link, object string, err error) {
		l := linkStatus{Link: link, OK: err == nil, Object: object}
		if err != nil {
			l.Error, s.Healthy = redact.Text(account.Cause(err).Error()), false
		}
		s.Links = append(s.Links, l)
	}

	err = ch.readKeys(ctx)
	if err == nil {
		add(plan.SigningKey, ch.describeKeys(), nil)
	} else {
		add(plan.SigningKey, "", err)
	}
	docs, err := discovery.Documents(ch.iss, ch.set)
	if err == nil {
		check := discovery.Check
		if ch.state.Bucket == "" {
			check = discovery.CheckServed // not our documents
		}
		err = check(ctx, ch.stranger(), ch.iss, docs)
	}
	add(plan.Documents, ch.iss.Discovery(), err)
	current, err := ch.c.Issuer(ctx)
	if err == nil && current != ch.iss.String() {
		err = fmt.Errorf("the API server issues tokens as %q, expected %q", current, ch.iss)
	}
	add(plan.Issuer, current, err)
	add(plan.Provider, ch.state.Provider, ch.providerStatus(ctx))
	add(plan.Webhook, deploy.Namespace+"/"+deploy.WebhookName, ch.webhookStatus(ctx))

	accounts, err := ch.c.ServiceAccounts(ctx)
	if err != nil {
		return err
	}
	mark, err := ch.tags(ctx)
	if err != nil {
		return err
	}
	var namespaces []string
	for _, sa := range accounts {
		namespaces = append(namespaces, sa.Namespace)
	}
	unasked, err := ch.unasked(ctx, namespaces...)
	if err != nil {
		return err
	}
	for _, sa := range accounts {
		r := roleAccount{serviceAccountReport: serviceAccountReport{sa.Namespace, sa.Name, sa.Role(irsa.DefaultPrefix)}, OK: true}
		if err := ch.roleStatus(ctx, r.RoleARN, mark); err != nil {
			r.OK, r.Error, s.Healthy = false, redact.Text(account.Cause(err).Error()), false
		} else if unasked[sa.Namespace] {
			r.OK, r.Error, s.Healthy = false, (&lib.NotAskedError{Namespace: sa.Namespace}).Error(), false
		}
		s.Accounts = append(s.Accounts, r)
	}

	roles, err := ch.roles(ctx, mark)
	if err != nil {
		return fmt.Errorf("%s: %w", plan.Role, account.Cause(err))
	}
	for _, r := range roles {
		s.Roles = append(s.Roles, r.ARN)
	}
	slices.Sort(s.Roles)

	if err := a.printStatus(s); err != nil {
		return err
	}
	if !s.Healthy {
		return advise(errUnhealthy, "SETUP up mends what it made")
	}
	return nil
}

func (a *app) printStatus(s status) error {
	switch a.output {
	case "json":
		return printJSON(a.out, s)
	case "yaml":
		return printYAML(a.out, s)
	}
	where := "AWS account " + s.Account
	if s.Emulator {
		where = "emulator in the cluster, account " + s.Account
		if s.KeepsIssuer {
			where += ", which reads the documents of the cluster's own issuer from the API server"
		}
	}
	plain.Fprintf(a.out, "cluster %s, issuer %s, %s\n", s.Cluster, s.Issuer, where)
	if s.Change != nil {
		plain.Fprintf(a.out, "%s (%s)\n", s.Change, strings.ReplaceAll(continueCommand(s.Change), "SETUP", a.name))
	}
	line := func(link string, ok bool, object, err string) {
		word := "ok"
		if !ok {
			word = "WRONG"
		}
		a.palette().row(a.out, link, word, 6, object)
		if err != "" {
			plain.Fprintf(a.out, "%-16s %-6s %s\n", "", "", err)
		}
	}
	for _, l := range s.Links {
		line(l.Link, l.OK, l.Object, l.Error)
	}
	for _, sa := range s.Accounts {
		line(plan.ServiceAccount, sa.OK, sa.Namespace+"/"+sa.Name+"  "+sa.RoleARN, sa.Error)
	}
	for _, arn := range s.Roles {
		if !slices.ContainsFunc(s.Accounts, func(sa roleAccount) bool { return sa.RoleARN == arn }) {
			line(plan.Role, true, arn+"  no service account has it", "")
		}
	}
	return nil
}

func (ch *chain) providerStatus(ctx context.Context) error {
	there, ok, err := provider.Get(ctx, ch.acct.IAM, ch.state.Provider)
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("it does not exist")
	}
	mark, err := ch.tags(ctx)
	if err != nil {
		return err
	}
	if owner.Foreign(there.Tags, mark) {
		return owner.Check("it", there.Tags, mark)
	}
	if slices.Contains(there.ClientIDs, irsa.Audience) {
		return nil
	}
	return fmt.Errorf("its client ids %q lack %q", there.ClientIDs, irsa.Audience)
}

func (ch *chain) webhookStatus(ctx context.Context) error {
	d, err := ch.c.Client().AppsV1().Deployments(deploy.Namespace).Get(ctx, deploy.WebhookName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return errors.New("it is not installed")
	}
	if err != nil {
		return err
	}
	if d.Status.AvailableReplicas == 0 {
		return fmt.Errorf("0 of %d replicas are available", d.Status.Replicas)
	}
	missing, err := ch.c.FirstWithoutCABundle(ctx, deploy.WebhookConfiguration)
	if err == nil && missing != "" {
		err = fmt.Errorf("the API server cannot verify it for %s, which has no caBundle in MutatingWebhookConfiguration %s", missing, deploy.WebhookConfiguration)
	}
	return err
}

// roleStatus reports whether a role exists; whether it trusts the right service
// account is the doctor's question.
func (ch *chain) roleStatus(ctx context.Context, roleArn string, mark map[string]string) error {
	parsed, err := role.ParseARN(roleArn)
	if err != nil {
		return fmt.Errorf("annotation %s: %q is not the ARN of a role", irsa.DefaultPrefix.RoleARN(), roleArn)
	}
	name := path.Base(parsed.Resource)
	there, ok, err := role.Get(ctx, ch.acct.IAM, name)
	switch {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("role %s does not exist", name)
	case there.ARN != roleArn:
		return fmt.Errorf("annotation says %s, the role is %s", roleArn, there.ARN)
	case owner.Foreign(there.Tags, mark) && !owner.Shared(there.Tags):
		return owner.Check("role "+name, there.Tags, mark)
	}
	return nil
}
