package chain

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/plan"
)

func (ch *Chain) IssuerOptions() controlplane.IssuerOptions {
	return controlplane.IssuerOptions{URL: ch.Issuer, Own: ch.Record.FormerIssuers}
}

// WebhookObjects are the objects of link 7, for API servers as the cluster's, or
// present ones where none is reached.
func (ch *Chain) WebhookObjects(ctx context.Context) ([]*unstructured.Unstructured, error) {
	conditions := true
	if ch.Cluster != nil {
		var err error
		if conditions, err = ch.Cluster.SupportsMatchConditions(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", plan.Webhook, err)
		}
	}
	return deploy.Webhook(deploy.WebhookParams{
		Image: ch.Record.Image, Region: ch.Record.Region, EndpointURL: ch.Record.Endpoint,
		FailurePolicy: ch.Record.FailurePolicy, NoMatchConditions: !conditions,
		IgnoreNamespaces: ch.Record.IgnoreNamespaces, ExcludeNamespaces: ch.Record.ExcludeNamespaces,
	})
}

// keptIssuer is the issuer that the cluster has, if it can be that of a provider.
func (ch *Chain) keptIssuer(ctx context.Context) (issuer.URL, error) {
	current, err := ch.Cluster.Issuer(ctx)
	if err != nil {
		return issuer.URL{}, fmt.Errorf("%s: %w", plan.Issuer, err)
	}
	iss, err := issuer.Parse(current)
	if err != nil {
		return issuer.URL{}, &KeepError{Issuer: current}
	}
	return iss, nil
}

// EmulatorParams are the emulator's as the chain has it.
func (ch *Chain) EmulatorParams() deploy.EmulatorParams {
	params := deploy.EmulatorParams{Image: ch.Record.Image, ExtraArgs: []string{"--account=" + ch.Record.Account}}
	if ch.Keeps() {
		params.ClusterIssuer = ch.Record.Issuer
	}
	if ch.Cluster == nil {
		return params
	}
	if n, ok := ch.Cluster.StateNode(); ok {
		params.Path, params.Node = cluster.StateDir, n.Name
	}
	return params
}
