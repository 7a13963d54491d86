package app

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/internal/redact"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/doctor/gather"
	"github.com/openirsa/openirsa/pkg/record"
)

// doctorOptions are the flags of `doctor`.
type doctorOptions struct {
	serviceAccount string // NAMESPACE/NAME
	pod            string // NAMESPACE/NAME
}

func (a *app) doctorCommand() *cobra.Command {
	var o doctorOptions
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Find the first broken link of the chain and the command that fixes it",
		Long: `Walk the chain from the API server's flags to a pod's credentials, and compare each
link with its neighbours: flags, signing key, a fresh token, the documents as
a stranger reads them, provider, role and trust policy, annotation, webhook, the
running pods, and AssumeRoleWithWebIdentity itself. It names the first broken
link, the two values that differ, and the command that fixes it.

For a service account with an EKS Pod Identity association, it checks the cluster in
EKS, the association, its role and target role, the agent on the nodes of its pods,
the webhook, the pods, and AssumeRoleForPodIdentity.

Nothing is changed, and no token is printed. Without --service-account or --pod all
service accounts with a role are checked, whichever way they get it. The exit status
is 1 if a link is broken.`,
		Example: `  setup doctor
  setup doctor --service-account default/app
  setup doctor --pod default/app-5d9c7b7f6-x2x9z -o json`,
		RunE: func(c *cobra.Command, _ []string) error { return a.doctor(c.Context(), o) },
	}
	a.clusterFlags(c)
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	f.StringVar(&o.serviceAccount, "service-account", "", "NAMESPACE/NAME of the service account (default: all that have a role)")
	f.StringVar(&o.pod, "pod", "", "NAMESPACE/NAME of a pod: check its service account, and no other pod")
	f.StringVar(&a.region, "region", "", "AWS region (default: the chain's)")
	c.MarkFlagsMutuallyExclusive("service-account", "pod")
	return c
}

// doctorReport is what `doctor -o json` prints.
type doctorReport struct {
	Cluster  string           `json:"cluster"`
	Issuer   string           `json:"issuer,omitempty"`
	Change   *record.Change   `json:"change,omitempty"` // under way
	Healthy  bool             `json:"healthy"`
	Broken   *finding         `json:"broken"` // the first broken link
	Accounts []examinedReport `json:"serviceAccounts"`
}

type examinedReport struct {
	ServiceAccount string    `json:"serviceAccount,omitempty"`
	Findings       []finding `json:"findings"`
}

// finding is a doctor.Finding as it is printed, without secrets.
type finding struct {
	Link     string `json:"link"`
	Check    string `json:"check"`
	Result   string `json:"result"`
	Summary  string `json:"summary"`
	Expected string `json:"expected,omitempty"`
	Found    string `json:"found,omitempty"`
	Next     string `json:"next,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

func (a *app) finding(f doctor.Finding) finding {
	return finding{
		Link: f.Link, Check: f.Check, Result: f.Result, Summary: redact.Text(f.Summary),
		Expected: redact.Text(f.Expected), Found: redact.Text(f.Found), Next: redact.Text(f.Fix.Shell(a.Name)), Reason: f.Reason,
	}
}

func (a *app) doctor(ctx context.Context, o doctorOptions) error {
	for flag, value := range map[string]string{"--service-account": o.serviceAccount, "--pod": o.pod} {
		if namespace, name, ok := strings.Cut(value, "/"); value != "" && (!ok || namespace == "" || name == "" || strings.Contains(name, "/")) {
			return cli.Usagef("%s %q is not NAMESPACE/NAME", flag, value)
		}
	}
	ch, err := a.connect(ctx)
	if err != nil {
		return err
	}
	e, err := gather.New(ctx, ch)
	if err != nil {
		return err
	}
	targets, err := doctorTargets(ctx, e, o)
	if err != nil {
		return err
	}
	report := doctorReport{Cluster: cmp.Or(ch.Record.Cluster, ch.Cluster.Name), Healthy: true, Accounts: make([]examinedReport, len(targets))}
	report.Change = ch.Record.Change
	for i, facts := range e.All(ctx, targets) {
		if report.Issuer == "" {
			report.Issuer = facts.ChainIssuer().String()
		}
		findings := doctor.Diagnose(facts)
		if broken, ok := doctor.First(findings); ok && report.Broken == nil {
			report.Broken, report.Healthy = new(a.finding(broken)), false
		}
		report.Accounts[i] = examinedReport{ServiceAccount: targets[i], Findings: make([]finding, len(findings))}
		for j, f := range findings {
			report.Accounts[i].Findings[j] = a.finding(f)
		}
	}
	if err := a.printDoctor(report); err != nil {
		return err
	}
	if b := report.Broken; b != nil {
		return advise(fmt.Errorf("%s: %s: expected %s, found %s", b.Link, b.Summary, b.Expected, b.Found), b.Next)
	}
	return nil
}

// doctorTargets are the service accounts that are asked about, as NAMESPACE/NAME.
func doctorTargets(ctx context.Context, e *gather.Examination, o doctorOptions) ([]string, error) {
	switch {
	case o.serviceAccount != "":
		return []string{o.serviceAccount}, nil
	case o.pod != "":
		account, err := e.OfPod(ctx, o.pod)
		return []string{account}, err
	}
	return e.WithRoles(), nil
}

func (a *app) printDoctor(r doctorReport) error {
	if a.output == "json" {
		return printJSON(a.out, r)
	}
	said := map[finding]bool{} // what service accounts share is said once
	plain.Fprintf(a.out, "cluster %s, issuer %s\n", r.Cluster, cmp.Or(r.Issuer, "none"))
	if r.Change != nil {
		plain.Fprintf(a.out, "%s\n", r.Change)
	}
	for _, examined := range r.Accounts {
		if examined.ServiceAccount != "" {
			plain.Fprintf(a.out, "\nservice account %s\n", examined.ServiceAccount)
		}
		for _, f := range examined.Findings {
			if said[f] {
				continue
			}
			said[f] = true
			word := f.Result
			if word == doctor.Broken {
				word = "BROKEN"
			}
			a.palette().row(a.out, f.Link, word, 9, f.Summary)
			for _, line := range [][2]string{{"expected", f.Expected}, {"found", f.Found}, {"reason", f.Reason}, {"next", f.Next}} {
				if line[1] != "" {
					plain.Fprintf(a.out, "%-16s %-9s %s\n", "", line[0]+":", line[1])
				}
			}
		}
	}
	if r.Healthy {
		fmt.Fprintln(a.out, "\nNo link is broken.")
	}
	return nil
}
