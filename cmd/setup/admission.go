package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/deploy"
	lib "github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
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
		"what becomes of new pods of workloads while the webhook does not answer: Fail refuses them, Ignore admits them without their role (default: as before, at first Fail)")
	f.StringSliceVar(&o.ignore, "ignore-namespaces", nil, `namespaces, besides the system's, whose pods get their role and never wait for the webhook`+kept+` ("": none)`)
	f.StringSliceVar(&o.exclude, "exclude-namespaces", nil, `namespaces of whose pods the webhook is not asked: none of them gets a role`+kept+` ("": none)`)
	c.RegisterFlagCompletionFunc("failure-policy", cobra.FixedCompletions([]string{"Fail", "Ignore"}, cobra.ShellCompDirectiveNoFileComp))
}

// check refuses flags that do not go together.
func (o *admission) check() error {
	return inFlags(config.Admission{FailurePolicy: o.failurePolicy, IgnoreNamespaces: o.ignore, ExcludeNamespaces: o.exclude}.Check())
}

// record writes what was said into the record.
func (o *admission) record(s *record.Record) error {
	switch o.failurePolicy {
	case "Fail":
		s.FailurePolicy = "" // the default
	case "Ignore":
		s.FailurePolicy = o.failurePolicy
	}
	list := func(namespaces []string) []string { return slices.Compact(slices.Sorted(slices.Values(namespaces))) }
	if o.ignore != nil {
		s.IgnoreNamespaces = list(o.ignore)
	}
	if o.exclude != nil {
		s.ExcludeNamespaces = list(o.exclude)
	}
	for _, ns := range s.IgnoreNamespaces {
		if slices.Contains(s.ExcludeNamespaces, ns) {
			return &lib.NamespaceError{Namespace: ns}
		}
	}
	return nil
}

// unasked are those of the namespaces of whose pods the webhook is not asked,
// whatever roles their service accounts have. Without a configuration of ours,
// or the right to read it, there are none: another webhook may do its work, and
// who may only give service accounts roles learns no more.
func (ch *chain) unasked(ctx context.Context, namespaces ...string) (map[string]bool, error) {
	c, err := ch.c.Client().AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, deploy.WebhookConfiguration, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plan.Webhook, err)
	}
	unasked := map[string]bool{}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(namespaces))) {
		labels := map[string]string{corev1.LabelMetadataName: name}
		ns, err := ch.c.Client().CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		switch {
		case err == nil:
			labels = ns.Labels
		case !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err):
			return nil, fmt.Errorf("%s: reading namespace %s: %w", plan.Webhook, name, err)
		}
		if !doctor.AsksForNamespace(c, labels) {
			unasked[name] = true
		}
	}
	return unasked, nil
}

// noteUnasked says of which service accounts pods do not get the role that they
// were just given. It reports whether there are any.
func (ch *chain) noteUnasked(ctx context.Context, run *plan.Runner, accounts []iamServiceAccount) (any bool, err error) {
	var namespaces []string
	for _, sa := range accounts {
		if !sa.RoleOnly {
			namespaces = append(namespaces, sa.Metadata.Namespace)
		}
	}
	unasked, err := ch.unasked(ctx, namespaces...)
	if err != nil {
		return false, err
	}
	for _, sa := range accounts {
		if !sa.RoleOnly && unasked[sa.Metadata.Namespace] {
			any = true
			run.Note(&lib.NotAskedError{Namespace: sa.Metadata.Namespace, Account: sa.String()})
		}
	}
	return any, nil
}
