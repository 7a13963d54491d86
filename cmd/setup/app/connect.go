package app

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/chain"
)

// connect finds the cluster and what is recorded in it.
func (a *app) connect(ctx context.Context) (*chain.Chain, error) { return a.open(ctx, false) }

// open is [app.connect] for a chain that may have to be made, with an emulator.
func (a *app) open(ctx context.Context, emulator bool) (*chain.Chain, error) {
	nodes := a.nodes()
	if a.cluster != "" && a.kindName == "" && a.context == "" {
		a.context = contextOf(a.cluster, a.kubeconfig)
	}
	ch, err := chain.Open(ctx, chain.Options{
		Kubeconfig: a.kubeconfig, Context: a.context, KindName: a.kindName, Nodes: nodes, Emulator: emulator,
		Account: account.Options{Region: a.region, Profile: a.profile, Ask: a.ask},
	})
	if err != nil {
		return nil, err
	}
	if a.cluster != "" && a.cluster != ch.Cluster.Name && a.cluster != ch.Record.Cluster && a.cluster != a.context {
		found := cmp.Or(ch.Record.Cluster, ch.Cluster.Name)
		return nil, advise(fmt.Errorf("--cluster %s is not the name of the cluster that was found, which is %s", a.cluster, found),
			"name the cluster with --context NAME or --kind-name NAME")
	}
	return ch, nil
}

// contextOf is the context in the kubeconfig for a cluster that goes by a name, as
// kind, eksctl and the AWS CLI name theirs; "" if there is none, or more than one.
func contextOf(name, kubeconfig string) string {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	rules.WarnIfAllMissing = false
	config, err := rules.Load()
	if err != nil {
		return "" // whoever connects says why
	}
	for _, exact := range []string{name, "kind-" + name} {
		if config.Contexts[exact] != nil {
			return exact
		}
	}
	found := ""
	for at, c := range config.Contexts {
		if c.Cluster == name || strings.HasSuffix(c.Cluster, ":cluster/"+name) ||
			strings.HasPrefix(c.Cluster, name+".") && strings.HasSuffix(c.Cluster, ".eksctl.io") {
			if found != "" {
				return ""
			}
			found = at
		}
	}
	return found
}

// connectInstalled is [app.connect] for commands that need the chain to be
// there, and the account in which it is.
func (a *app) connectInstalled(ctx context.Context) (*chain.Chain, error) {
	ch, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	return ch, ch.ConnectInstalled(ctx)
}
