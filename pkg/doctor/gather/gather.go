// Package gather reads the facts of a live chain that package doctor diagnoses: from
// the API server, the nodes that can be reached, the documents as a stranger reads
// them, IAM and STS. Nothing is changed. What cannot be read is a fact too.
//
//	e, err := gather.New(ctx, ch)
//	for _, facts := range e.All(ctx, e.WithRoles()) {
//		findings := doctor.Diagnose(facts)
//		...
//	}
package gather

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/keys"
)

// atOnce bounds how many service accounts are asked about at a time.
const atOnce = 8

// New reads what does not depend on a service account. The account of a chain that is
// there is connected to; without one, that of the credentials at hand. The error is a
// [*ListError].
func New(ctx context.Context, ch *chain.Chain) (*Examination, error) {
	e := &Examination{chain: ch}
	f := &e.facts
	f.Now, f.Issuer, f.Endpoint = time.Now(), ch.Issuer, ch.Record.Endpoint
	f.Remote, f.Kept = len(ch.Cluster.Nodes()) == 0, ch.Keeps()
	list, err := ch.Cluster.Client().ServiceAccounts(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, &ListError{Err: err}
	}
	e.accounts = list.Items
	e.apiServer(ctx, f)
	e.webhook(ctx, &f.Webhook)
	e.agent(ctx, &f.PodIdentity)
	if ch.Installed {
		f.AWSErr = ch.Connect(ctx)
	} else {
		f.AWSErr = ch.Use(ctx, "", nil)
	}
	if f.AWSErr == nil {
		f.Account, f.Partition = ch.Account.ID, ch.Account.Partition
		e.clock(ctx, f)
		e.podIdentity(ctx, &f.PodIdentity)
	}
	e.issued(ctx, f)
	return e, nil
}

// apiServer reads the flags of API servers, as far as they can be read, and what they
// say of themselves.
func (e *Examination) apiServer(ctx context.Context, f *doctor.Facts) {
	c := e.chain.Cluster
	f.Advertised, f.AdvertisedErr = c.Issuer(ctx)
	if servers, err := controlplane.Of(c).APIServerFlags(ctx); err == nil {
		for _, s := range servers {
			f.Servers = append(f.Servers, doctor.Server{Node: s.Node, Issuers: s.Issuers, JWKSURI: s.JWKSURI, Audiences: s.APIAudiences})
		}
	}
	if body, err := c.JWKS(ctx); err != nil {
		f.KeysErr = err
	} else {
		f.Keys, f.KeysErr = keys.ParseJWKS(body)
	}
	if version, err := c.Client().Version(ctx); err == nil {
		fmt.Sscanf(version.Minor, "%d", &f.Minor)
	}
}

// issued reads what is known of an issuer outside of the cluster.
func (e *Examination) issued(ctx context.Context, f *doctor.Facts) {
	f.Discovery, f.JWKS, f.Provider, f.ProviderErr, f.Providers = nil, nil, nil, nil, nil
	e.documents(ctx, f)
	e.provider(ctx, f)
}

// clock reads the time of AWS, and of this machine at the same moment.
func (e *Examination) clock(ctx context.Context, f *doctor.Facts) {
	out, err := sts.NewFromConfig(e.chain.Account.Config).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return
	}
	if at, ok := awsmiddleware.GetServerTime(out.ResultMetadata); ok {
		f.Now, f.AWSTime = time.Now(), at
	}
}

// WithRoles are the service accounts that have a role, by an annotation or by an
// association of EKS Pod Identity, and those whose pods look for one at an agent, as
// NAMESPACE/NAME and sorted; one empty name if there are none, for what is to be said of
// the rest of the chain.
func (e *Examination) WithRoles() []string {
	var all []string
	for _, sa := range e.accounts {
		name := sa.Namespace + "/" + sa.Name
		_, associated := e.associations[name]
		if doctor.HasRole(sa.Annotations) || associated || e.byAgent[name] {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	if len(all) == 0 {
		all = []string{""}
	}
	return all
}

// OfPod is the service account of a pod, as NAMESPACE/NAME, and restricts the
// examination to that pod, which is NAMESPACE/NAME too. The error is a [*PodError].
func (e *Examination) OfPod(ctx context.Context, pod string) (string, error) {
	namespace, name, _ := strings.Cut(pod, "/")
	p, err := e.chain.Cluster.Client().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", &PodError{Namespace: namespace, Err: err}
	}
	e.facts.PodName = name
	return namespace + "/" + p.Spec.ServiceAccountName, nil
}

// All are the facts about service accounts, in their order. Several are read at the
// same time.
func (e *Examination) All(ctx context.Context, accounts []string) []doctor.Facts {
	all := make([]doctor.Facts, len(accounts))
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, account := range accounts {
		g.Go(func() error {
			all[i] = e.Of(ctx, account)
			return nil
		})
	}
	g.Wait()
	return all
}

// Of are the facts about one service account, NAMESPACE/NAME; what all share for an
// empty name.
func (e *Examination) Of(ctx context.Context, target string) doctor.Facts {
	facts := e.facts
	f := &facts
	f.Namespace, f.Name, _ = strings.Cut(target, "/")
	if target == "" {
		return facts
	}
	for i, sa := range e.accounts {
		switch {
		case sa.Namespace == f.Namespace && sa.Name == f.Name:
			f.ServiceAccount = &e.accounts[i]
		case sa.Name == f.Name && sa.Annotations[irsa.DefaultPrefix.RoleARN()] != "":
			f.Elsewhere = append(f.Elsewhere, sa.Namespace+"/"+sa.Name)
		}
	}
	client := e.chain.Cluster.Client()
	e.association(f)
	if f.ServiceAccount != nil {
		request := &authenticationv1.TokenRequest{ObjectMeta: metav1.ObjectMeta{Name: f.Name}, Spec: authenticationv1.TokenRequestSpec{
			Audiences: []string{f.TokenAudience()}, ExpirationSeconds: new(int64(irsa.MinExpirationSeconds)),
		}}
		if got, err := client.Tokens(f.Namespace).Create(ctx, request, metav1.CreateOptions{}); err != nil {
			f.TokenErr = err
		} else {
			f.Raw = doctor.Secret(got.Status.Token)
		}
	}
	// The token is as old as this moment, not as what is shared.
	now := time.Now()
	if !f.AWSTime.IsZero() {
		f.AWSTime = f.AWSTime.Add(now.Sub(f.Now))
	}
	f.Now = now
	if ns, err := client.Namespaces().Get(ctx, f.Namespace, metav1.GetOptions{}); err == nil {
		f.Webhook.NamespaceLabels = ns.Labels
	}
	f.Webhook.Trial = e.trial(ctx, f)
	e.pods(ctx, f)
	if f.ChainIssuer() != e.facts.ChainIssuer() { // that of the token, without a record
		e.issued(ctx, f)
	}
	e.role(ctx, f)
	e.call(ctx, f)
	e.podRoles(ctx, f)
	e.exchange(ctx, f)
	return facts
}
