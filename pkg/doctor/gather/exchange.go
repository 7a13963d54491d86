package gather

import (
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/podidentity"
)

// exchange does what an agent does with the token of a pod of the service account, for
// which a new one is asked for. Neither it nor the credentials are kept.
func (e *Examination) exchange(ctx context.Context, f *doctor.Facts) {
	if e.chain.Account == nil || f.PodIdentity.Association == nil || f.PodIdentity.EKS == nil {
		return
	}
	i := slices.IndexFunc(f.Pods, func(p corev1.Pod) bool { return p.Spec.NodeName != "" })
	if i < 0 {
		return
	}
	pod := cluster.PodOf(&f.Pods[i])
	x := &doctor.Exchange{Pod: pod.String()}
	f.PodIdentity.Exchange = x
	token, err := e.chain.Cluster.CredentialsToken(ctx, pod)
	if err != nil {
		x.Err = err
		return
	}
	e.exchanged(ctx, &f.PodIdentity, token)
}

// exchanged asks EKS Auth about a token, and who that makes.
func (e *Examination) exchanged(ctx context.Context, p *doctor.PodIdentity, token string) {
	x, config := p.Exchange, e.chain.Account.Config.Copy()
	config.Region = p.Region
	arn, err := podidentity.Exchange(ctx, config, p.Cluster, token)
	refused, no := errors.AsType[*podidentity.RefusedError](err)
	identity, useless := errors.AsType[*podidentity.IdentityError](err)
	switch {
	case no:
		x.Status, x.Code, x.Message = refused.Status, refused.Code, refused.Message
		x.Reason = e.explained(ctx, refused.RequestID)
	case useless:
		x.IdentityErr = account.Cause(identity.Err)
	default:
		x.Identity, x.Err = arn, err
	}
}
