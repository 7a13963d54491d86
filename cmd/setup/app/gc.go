package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/internal/redact"
	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/sweep"
)

// gcOptions are the flags of `gc`.
type gcOptions struct {
	olderThan time.Duration
	prefixes  []string
	keep      []string
	approve   bool
	dryRun    bool
	now       func() time.Time
}

func (a *app) gcCommand() *cobra.Command {
	o := gcOptions{now: time.Now}
	c := &cobra.Command{
		Use:   "gc",
		Short: "Remove what abandoned short-lived clusters left in the AWS account",
		Long: `Remove the roles, providers, documents and EKS Pod Identity associations of
clusters deleted without 'setup down', such as those of CI jobs that were stopped.
An account can have only 100 OIDC providers. No cluster is called: everything is
found in the account by its tags.

Age alone does not make a cluster abandoned, since production is old too. gc only
removes what was made by a cluster

  that was brought up with --expires and has expired, or
  whose name begins with a --name-prefix, if everything it made and its documents
  were last written before --older-than.

--keep always spares a cluster. What is shared with a living cluster, such as a role
or a bucket, loses only the part of the abandoned one.

Without --approve the plan is printed and nothing is changed. The exit status is 1
if something that should have been removed is left.`,
		Example: `  setup up --expires 6h                                    # in the CI job
  setup gc --approve                                       # every night
  setup gc --older-than 24h --name-prefix ci- --keep ci-base --approve`,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case o.olderThan < 0:
				return cli.Usagef("--older-than %s is negative", o.olderThan)
			case slices.Contains(o.prefixes, ""):
				return cli.Usagef("--name-prefix is empty: every cluster of the account would be removed")
			}
			return a.gc(c.Context(), o)
		},
	}
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	f.DurationVar(&o.olderThan, "older-than", 24*time.Hour, "how long a cluster of a --name-prefix must have written nothing, and how old "+
		"everything of it must be")
	f.StringSliceVar(&o.prefixes, "name-prefix", nil, "also remove clusters with such a name that were not brought up with --expires "+
		"(repeatable)")
	f.StringSliceVar(&o.keep, "keep", nil, `names of clusters to spare, with "*" and "?" (repeatable)`)
	f.BoolVar(&o.approve, "approve", false, "make the changes; without it they are only printed")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be done and change nothing, which is the default")
	f.StringVar(&a.region, "region", "", "AWS region to ask (default: $AWS_REGION, ~/.aws/config); buckets are found in all regions")
	c.MarkFlagsMutuallyExclusive("approve", "dry-run")
	return c
}

// gcCluster is what `gc -o json` prints of a cluster.
type gcCluster struct {
	Cluster string `json:"cluster"`
	UID     string `json:"uid,omitempty"`
	// Oldest and Newest are when the first and the last of it was made, or a
	// document written.
	Oldest time.Time `json:"oldest"`
	Newest time.Time `json:"newest"`
	// Expires is what `up --expires` has set.
	Expires string `json:"expires,omitempty"`
	// Remove says that it is to go, and Why why or why not.
	Remove bool     `json:"remove"`
	Why    string   `json:"why"`
	Things []string `json:"things"`
	Result string   `json:"result,omitempty"`
	Error  string   `json:"error,omitempty"`

	steps []plan.Step
}

// gcReport is what `gc -o json` prints.
type gcReport struct {
	Account  string       `json:"account"`
	DryRun   bool         `json:"dryRun"`
	Clusters []*gcCluster `json:"clusters"`
}

func (a *app) gc(ctx context.Context, o gcOptions) error {
	acct, err := a.connectAWS(ctx, "", nil)
	if err != nil {
		return err
	}
	all, err := sweep.Find(ctx, acct)
	if err != nil {
		return fmt.Errorf("looking for what clusters have left: %w", account.Cause(err))
	}
	report := gcReport{Account: acct.ID, DryRun: !o.approve, Clusters: []*gcCluster{}}
	var due []sweep.Removal
	var going []*gcCluster // those that are due
	for _, r := range all {
		c := &gcCluster{Cluster: r.Cluster, UID: r.UID, Oldest: r.Oldest, Newest: r.Newest, Expires: r.Expires, Things: r.Things}
		report.Clusters = append(report.Clusters, c)
		verdict, err := o.rules().Judge(r, o.now())
		if err != nil {
			return cli.Usagef("--keep %w", err)
		}
		if c.Remove, c.Why = verdict.Due, why(r, verdict); !c.Remove {
			continue
		}
		if c.steps, err = r.Plan(ctx, acct); err != nil {
			return fmt.Errorf("planning to remove cluster %s: %w", c.Cluster, account.Cause(err))
		}
		if !o.approve {
			c.Result = plan.Planned
		}
		due, going = append(due, sweep.Removal{Remains: r, Steps: c.steps}), append(going, c)
	}
	if o.approve {
		a.removeAll(ctx, acct, due, going)
	}
	if err := a.printGC(report); err != nil {
		return err
	}
	var stays []string
	for _, c := range going {
		if c.Error != "" {
			stays = append(stays, c.Cluster+": "+c.Error)
		}
	}
	if len(stays) > 0 {
		return advise(
			fmt.Errorf("%s to be removed, but something is left: %s", plural(len(due), "cluster"), strings.Join(stays, "; ")),
			"the same command again",
		)
	}
	return nil
}

func (o gcOptions) rules() sweep.Rules {
	return sweep.Rules{OlderThan: o.olderThan, Prefixes: o.prefixes, Keep: o.keep}
}

// why says why a cluster goes or stays.
func why(r *sweep.Remains, v sweep.Verdict) string {
	switch v.Reason {
	case sweep.Kept:
		return "kept by --keep " + v.Pattern
	case sweep.Nameless:
		return "its tags do not name a cluster"
	case sweep.Unread:
		return fmt.Sprintf("its tag %s is not a time: %q", owner.ExpiresTag, r.Expires)
	case sweep.Lives:
		return "expires in " + v.Time.String()
	case sweep.Expired:
		return "expired " + v.Time.String() + " ago"
	case sweep.Unnamed:
		return "was not brought up with --expires, and no --name-prefix names it"
	case sweep.Active:
		return "wrote something " + v.Time.String() + " ago"
	}
	return "wrote nothing for " + v.Time.String()
}

// removeAll removes the clusters that are due. What fails is noted, and the rest goes
// on.
func (a *app) removeAll(ctx context.Context, acct *account.Account, due []sweep.Removal, going []*gcCluster) {
	progress := a.newReport("", false)
	defer progress.clear()
	finished := 0
	sweep.Remove(ctx, acct, due, func(i int, err error) {
		c := going[i]
		c.Result = plan.Deleted
		if err != nil {
			c.Result, c.Error = "failed", redact.Text(account.Cause(err).Error())
		}
		finished++
		progress.Start("gc", fmt.Sprintf("%s removed", plural(finished, "cluster")))
	})
}

func (a *app) printGC(r gcReport) error {
	if a.output == "json" {
		return printJSON(a.out, r)
	}
	if len(r.Clusters) == 0 {
		plain.Fprintf(a.out, "AWS account %s has nothing that setup made.\n", r.Account)
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CLUSTER\tUID\tSINCE\tTHINGS\tRESULT\tWHY")
	due := 0
	for _, c := range r.Clusters {
		result := cmp.Or(c.Result, "kept")
		if c.Remove {
			due++
		}
		uid, _, _ := strings.Cut(c.UID, "-")
		plain.Fprintf(
			w,
			"%s\t%s\t%s\t%d\t%s\t%s\n",
			c.Cluster,
			uid,
			c.Oldest.UTC().Format("2006-01-02 15:04"),
			len(c.Things),
			result,
			cmp.Or(c.Error, c.Why),
		)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if !r.DryRun {
		return nil
	}
	for _, c := range r.Clusters {
		if c.Remove {
			plain.Fprintf(a.out, "\ncluster %s\n", c.Cluster)
			plan.Print(a.out, c.steps)
		}
	}
	if due > 0 {
		fmt.Fprintln(a.out, "\nNothing was changed. To make these changes, run the same command with --approve.")
	} else {
		fmt.Fprintln(a.out, "\nNothing is abandoned.")
	}
	return nil
}
