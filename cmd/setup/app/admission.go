package app

import (
	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/pkg/config"
)

// admission says which pods wait for the webhook and of which it is not asked.
// What is empty, or nil, is not said, and stays as it is recorded.
type admission struct {
	failurePolicy string   // of workloads: Fail or Ignore
	ignore        []string // namespaces that never wait, besides the system's
	exclude       []string // namespaces of whose pods it is not asked
}

func (o *admission) flags(c *cobra.Command) {
	const kept = "; a later run without the flag keeps them"
	f := c.Flags()
	f.StringVar(&o.failurePolicy, "failure-policy", "",
		"what happens to new pods of workloads while the webhook does not answer: Fail refuses them, Ignore admits them without their role "+
			"(default: as before, at first Fail)")
	f.StringSliceVar(
		&o.ignore,
		"ignore-namespaces",
		nil,
		`namespaces, besides the system's, whose pods get their role and never wait for the webhook`+kept+` ("": none)`,
	)
	f.StringSliceVar(
		&o.exclude,
		"exclude-namespaces",
		nil,
		`namespaces for whose pods the webhook is not called: none of them gets a role`+kept+` ("": none)`,
	)
	c.RegisterFlagCompletionFunc("failure-policy", cobra.FixedCompletions([]string{"Fail", "Ignore"}, cobra.ShellCompDirectiveNoFileComp))
}

// check refuses flags that do not go together.
func (o *admission) check() error {
	return inFlags(o.values().Check())
}

// values are those of the flags.
func (o *admission) values() config.Admission {
	return config.Admission{FailurePolicy: o.failurePolicy, IgnoreNamespaces: o.ignore, ExcludeNamespaces: o.exclude}
}
