package chain_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/plan"
)

// up is a run that must succeed, and what it said.
func (w *world) up(o chain.UpOptions) (chain.Outcome, string) {
	w.Helper()
	o.Image, o.Wait = "registry.example/openirsa", 10*time.Second
	var seen notes
	out, err := w.ch.Up(w.Context(), o, &seen)
	if err != nil {
		w.Fatalf("%v, after\n%s", err, seen.all())
	}
	return out, seen.all()
}

// names are the service accounts that have associations.
func (w *world) names() (all []string) {
	w.Helper()
	for _, a := range w.associations("", "") {
		all = append(all, a.ServiceAccount)
	}
	return all
}

func associationsOf(names ...string) (all []config.PodIdentityAssociation) {
	for _, name := range names {
		all = append(all, config.PodIdentityAssociation{
			Namespace: "default", ServiceAccountName: name, PermissionPolicyARNs: []string{readOnly}, CreateServiceAccount: true,
		})
	}
	return all
}

// Associations are made with the chain, in a cluster that EKS does not know before, stay, and go when they are not listed.
func TestUpWithAssociations(t *testing.T) {
	w := newWorld(t)
	if _, err := w.aws.UnregisterCluster("", "", "dev"); err != nil {
		t.Fatal(err)
	}
	w.ch.Record.PodIdentity = false
	both := chain.UpOptions{Associations: associationsOf("app", "other")}
	dry := both
	dry.DryRun = true
	if out, said := w.up(dry); !out.Changed || !strings.Contains(said, plan.Association+" "+plan.Planned) || len(w.roles()) > 0 {
		t.Errorf("the dry run says\n%s", said)
	}
	w.up(both)
	if got := w.names(); !slices.Equal(got, []string{"app", "other"}) {
		t.Errorf("associations of %q", got)
	}
	if out, said := w.up(both); out.Changed {
		t.Errorf("a second run changes something:\n%s", said)
	}
	w.up(chain.UpOptions{Associations: associationsOf("app")})
	if got := w.names(); len(got) != 2 {
		t.Errorf("without Prune associations of %q are left", got)
	}
	w.up(chain.UpOptions{Associations: associationsOf("app"), Prune: true})
	if got := w.names(); !slices.Equal(got, []string{"app"}) || slices.Contains(w.roles(), "openirsa-pods-dev-default-other") {
		t.Errorf("with Prune associations of %q, roles %q", got, w.roles())
	}
	if out, said := w.up(chain.UpOptions{Associations: associationsOf("app"), Prune: true}); out.Changed {
		t.Errorf("a second run with Prune changes something:\n%s", said)
	}
}

// EKS Pod Identity goes without the rest of the chain, and only when no pod needs it; a run that was stopped is continued.
func TestUpWithoutPodIdentity(t *testing.T) {
	w := newWorld(t)
	w.up(chain.UpOptions{Associations: associationsOf("app")})
	off := chain.UpOptions{PodIdentity: new(false), Image: "registry.example/openirsa", Wait: 10 * time.Second}
	w.api.Took()
	_, err := w.ch.Up(t.Context(), off, nil)
	if e, ok := errors.AsType[*chain.AssociationsError](err); !ok || !slices.Equal(e.Accounts, []string{"default/app"}) || len(w.api.Took()) > 0 {
		t.Errorf("with an association: %v", err)
	}
	with := off
	with.Associations = associationsOf("app")
	if _, err := w.ch.Up(t.Context(), with, nil); err == nil || !strings.Contains(err.Error(), "needed for the associations") {
		t.Errorf("with associations that are asked for: %v", err)
	}
	off.Dissociate = true
	for links := 1; ; links++ { // each run gets one link further
		ch, err := chain.Open(t.Context(), chain.Options{Kubeconfig: w.api.Kubeconfig(t, "dev")})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err = ch.Up(ctx, off, &stopper{links: links, stop: cancel})
		cancel()
		if w.ch = ch; err == nil {
			break
		}
	}
	client := eks.NewFromConfig(w.aws.Config())
	if _, err := client.DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: new("dev")}); err == nil {
		t.Error("EKS still knows the cluster")
	}
	if roles := w.roles(); len(roles) > 0 || w.ch.Record.PodIdentity {
		t.Errorf("roles %q are left, record %v", roles, w.ch.Record.PodIdentity)
	}
	for _, path := range w.api.Paths() {
		if strings.Contains(path, "openirsa-agent") {
			t.Errorf("%s is left", path)
		}
	}
	if out, said := w.up(chain.UpOptions{}); out.Changed {
		t.Errorf("the next run changes something:\n%s", said)
	}
}
