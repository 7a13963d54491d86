package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/plan"
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
	c.Flags().StringVar(&a.region, "region", "", "AWS region (default: the chain's)")
	return c
}

var errUnhealthy = errors.New("a link of the chain is missing or wrong")

func (a *app) status(ctx context.Context) error {
	ch, err := a.connect(ctx)
	if err != nil {
		return err
	}
	s, err := ch.Status(ctx)
	if err != nil {
		return err
	}
	if err := a.printStatus(*s); err != nil {
		return err
	}
	if !s.Healthy {
		return advise(errUnhealthy, "SETUP up repairs what it made")
	}
	return nil
}

func (a *app) printStatus(s chain.Status) error {
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
		plain.Fprintf(a.out, "%s (%s)\n", s.Change, a.says(continueCommand(s.Change)))
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
	for _, sa := range s.Associations {
		line(plan.Association, true, sa.Namespace+"/"+sa.Name+"  "+sa.RoleARN, "")
	}
	for _, m := range s.Moves {
		if m.Stage != chain.MoveAssociate {
			line(plan.PodIdentity, true, m.String()+"  "+a.says(moveState(m)), "")
		}
	}
	for _, arn := range s.Roles {
		if slices.Contains(s.PodIdentityRoles, arn) {
			line(plan.Role, true, arn+"  for EKS Pod Identity itself", "")
			continue
		}
		if !slices.ContainsFunc(s.Accounts, func(sa chain.AccountStatus) bool { return sa.RoleARN == arn }) &&
			!slices.ContainsFunc(s.Associations, func(sa chain.ServiceAccount) bool { return sa.RoleARN == arn }) {
			line(plan.Role, true, arn+"  no service account is annotated with it", "")
		}
	}
	return nil
}

// moveState says how far a service account with an association is on its way from IRSA.
func moveState(m chain.Move) string {
	next := "SETUP migrate-to-pod-identity --approve"
	switch m.Stage {
	case chain.MoveRestart:
		return fmt.Sprintf("%d of %s with IRSA still (%s --restart)", len(m.Old), plural(m.Pods, "pod"), next)
	case chain.MoveRemove:
		return "no pod uses IRSA any more (" + next + " --remove-irsa)"
	}
	return m.Held
}
