package chain

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// WebhookObjects are the objects of link 7, as [deploy.Webhook] orders them: the
// namespace first, the configuration that makes API servers ask the webhook last.
// They suit the cluster's version of Kubernetes, or a current one for a chain that
// is only written down.
func (ch *Chain) WebhookObjects(ctx context.Context) ([]*unstructured.Unstructured, error) {
	conditions := true
	if ch.Cluster != nil {
		var err error
		if conditions, err = ch.Cluster.SupportsMatchConditions(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", plan.Webhook, err)
		}
	}
	params := deploy.WebhookParams{
		Image: ch.Record.Image, Region: ch.Record.Region, EndpointURL: ch.Record.Endpoint,
		FailurePolicy: ch.Record.FailurePolicy, NoMatchConditions: !conditions,
		IgnoreNamespaces: ch.Record.IgnoreNamespaces, ExcludeNamespaces: ch.Record.ExcludeNamespaces,
	}
	if ch.Record.PodIdentity {
		params.PodIdentity = deploy.PodIdentity{Cluster: ch.Record.Cluster, RoleARN: ch.podIdentityRole(deploy.Namespace, deploy.WebhookName)}
		family, err := ch.ipFamily(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", plan.Webhook, err)
		}
		if family == types.IpFamilyIpv6 {
			params.PodIdentity.FullURI = irsa.CredentialsURIv6
		}
	}
	return deploy.Webhook(params)
}

// ipFamily is that of the cluster's pods, as EKS calls it, and IPv4 for a chain that is
// only written down.
func (ch *Chain) ipFamily(ctx context.Context) (types.IpFamily, error) {
	if ch.Cluster == nil {
		return types.IpFamilyIpv4, nil
	}
	only, err := ch.Cluster.OnlyIPv6(ctx)
	if err != nil || !only {
		return types.IpFamilyIpv4, err
	}
	return types.IpFamilyIpv6, nil
}

// EmulatorParams are those with which [deploy.Emulator] makes the objects of the
// emulator. On a cluster with a node that keeps the emulator's state they name it.
func (ch *Chain) EmulatorParams() deploy.EmulatorParams {
	params := deploy.EmulatorParams{
		Image: ch.Record.Image, Forward: ch.Record.Forward, ExtraArgs: []string{"--account=" + ch.Record.Account},
	}
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

// Admit writes into a record which pods wait for the webhook. What o does not say
// stays as it is recorded. The error is a [*NamespaceError] for a namespace that
// would be both ignored and excluded.
func Admit(s *record.Record, o config.Admission) error {
	switch o.FailurePolicy {
	case "Fail":
		s.FailurePolicy = "" // the default
	case "Ignore":
		s.FailurePolicy = o.FailurePolicy
	}
	list := func(namespaces []string) []string { return slices.Compact(slices.Sorted(slices.Values(namespaces))) }
	if o.IgnoreNamespaces != nil {
		s.IgnoreNamespaces = list(o.IgnoreNamespaces)
	}
	if o.ExcludeNamespaces != nil {
		s.ExcludeNamespaces = list(o.ExcludeNamespaces)
	}
	for _, ns := range s.IgnoreNamespaces {
		if slices.Contains(s.ExcludeNamespaces, ns) {
			return &NamespaceError{Namespace: ns}
		}
	}
	return nil
}

// emulatorAddress is where pods reach the emulator, empty if it is not there. An
// address, not a name: SDKs then put the bucket into the path, where they would
// otherwise look up BUCKET.emulator.openirsa-system.svc.
func (ch *Chain) emulatorAddress(ctx context.Context) (string, error) {
	service, err := ch.Cluster.Client().Services(deploy.Namespace).Get(ctx, deploy.EmulatorName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && service.DeletionTimestamp != nil {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("%s: reading its Service: %w", plan.Emulator, err)
	}
	return "http://" + net.JoinHostPort(service.Spec.ClusterIP, strconv.Itoa(deploy.EmulatorPort)), nil
}
