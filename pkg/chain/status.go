package chain

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/internal/redact"
	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/role"
)

// ServiceAccount is a service account and the role that it is annotated with.
type ServiceAccount struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	RoleARN   string `json:"roleARN"`
}

// String is NAMESPACE/NAME.
func (sa ServiceAccount) String() string { return sa.Namespace + "/" + sa.Name }

// Status is each link of a chain as it is. Its JSON form is what `setup status -o
// json` prints.
type Status struct {
	// Cluster is the cluster's name in AWS.
	Cluster string `json:"cluster"`
	// Issuer is the recorded one.
	Issuer string `json:"issuer"`
	// Account is the AWS account: twelve digits.
	Account string `json:"account"`
	// Emulator says that AWS is an emulator in the cluster.
	Emulator bool `json:"emulator"`
	// KeepsIssuer says that the API servers keep the issuer that they had.
	KeepsIssuer bool `json:"keepsIssuer,omitempty"`
	// Healthy says that all of Links and Accounts are OK.
	Healthy bool `json:"healthy"`
	// Change is the change in stages that is under way; nil for none.
	Change *record.Change `json:"change,omitempty"`
	// Links are in the order of the chain.
	Links []LinkStatus `json:"links"`
	// Accounts are the service accounts that are annotated with a role.
	Accounts []AccountStatus `json:"iamServiceAccounts"`
	// Associations are the service accounts whose pods get roles by EKS Pod Identity.
	Associations []ServiceAccount `json:"podIdentityAssociations,omitempty"`
	// Moves are the service accounts that have both an annotation and an association: how
	// far they are on their way from IRSA to EKS Pod Identity.
	Moves []Move `json:"podIdentityMigration,omitempty"`
	// PodIdentityRoles are the ARNs of the roles of the agent and of the webhook themselves.
	PodIdentityRoles []string `json:"podIdentityRoles,omitempty"`
	// Roles are the ARNs, sorted, of all roles that were made for the cluster or that
	// it shares, by their tags: also of those whose service account is gone.
	Roles []string `json:"roles"`
}

// LinkStatus is one link as it is.
type LinkStatus struct {
	// Link is a name of package plan, such as [plan.Provider].
	Link string `json:"link"`
	// OK says that the link is there, and as it must be.
	OK bool `json:"ok"`
	// Object is what was looked at, such as an ARN or a URL.
	Object string `json:"object,omitempty"`
	// Error says what is wrong, without secrets; empty if OK.
	Error string `json:"error,omitempty"`
}

// AccountStatus is a service account that has a role, and whether its pods get that.
type AccountStatus struct {
	ServiceAccount
	// OK says that the role exists and that the webhook is asked about the pods.
	// Whether the role lets in the service account is for package doctor to say.
	OK bool `json:"ok"`
	// Error says what is wrong, without secrets; empty if OK.
	Error string `json:"error,omitempty"`
}

// Status reads every link of the chain where it really is: the API server, S3 as
// a stranger, IAM, the cluster. Nothing is changed. A link that is missing or
// wrong is no error, but in the Status; without a chain the error is a
// [*MissingError].
func (ch *Chain) Status(ctx context.Context) (*Status, error) {
	if err := ch.ConnectInstalled(ctx); err != nil {
		return nil, err
	}
	s := &Status{
		Cluster: ch.Record.Cluster, Issuer: ch.Issuer.String(), Account: ch.Record.Account, Emulator: ch.Record.Emulator,
		KeepsIssuer: ch.Keeps(), Change: ch.Record.Change, Healthy: true, Accounts: []AccountStatus{}, Roles: []string{},
	}
	err := ch.ReadKeys(ctx)
	keys := ""
	if err == nil {
		keys = ch.describeKeys()
	}
	s.add(plan.SigningKey, keys, err)
	docs, err := discovery.Documents(ch.Issuer, ch.Keys)
	if err == nil {
		check := discovery.Check
		if ch.Record.Bucket == "" {
			check = discovery.CheckServed // not our documents
		}
		err = check(ctx, ch.Stranger(), ch.Issuer, docs)
	}
	s.add(plan.Documents, ch.Issuer.Discovery(), err)
	current, err := ch.Cluster.Issuer(ctx)
	if err == nil && current != ch.Issuer.String() {
		err = fmt.Errorf("the API server issues tokens as %q, expected %q", current, ch.Issuer)
	}
	s.add(plan.Issuer, current, err)
	s.add(plan.Provider, ch.Record.Provider, ch.providerStatus(ctx))
	s.add(plan.Webhook, deploy.Namespace+"/"+deploy.WebhookName, ch.webhookStatus(ctx))
	if ch.Record.PodIdentity {
		s.add(plan.PodIdentity, deploy.AgentNamespace+"/"+deploy.AgentName, ch.podIdentityStatus(ctx, s))
	}
	return s, ch.accountStatus(ctx, s)
}

// add adds a link, which is wrong if there is an error.
func (s *Status) add(link, object string, err error) {
	l := LinkStatus{Link: link, OK: err == nil, Object: object}
	if err != nil {
		l.Error, s.Healthy = redact.Text(account.Cause(err).Error()), false
	}
	s.Links = append(s.Links, l)
}

// accountStatus adds the service accounts that have roles, and the roles.
func (ch *Chain) accountStatus(ctx context.Context, s *Status) error {
	accounts, err := ch.Cluster.ServiceAccounts(ctx)
	if err != nil {
		return err
	}
	mark, err := ch.Tags(ctx)
	if err != nil {
		return err
	}
	var namespaces []string
	for _, sa := range accounts {
		namespaces = append(namespaces, sa.Namespace)
	}
	unasked, err := ch.notAsked(ctx, namespaces...)
	if err != nil {
		return err
	}
	for _, sa := range accounts {
		r := AccountStatus{ServiceAccount: ServiceAccount{sa.Namespace, sa.Name, sa.Role(irsa.DefaultPrefix)}, OK: true}
		if err := ch.roleStatus(ctx, r.RoleARN, mark); err != nil {
			r.OK, r.Error, s.Healthy = false, redact.Text(account.Cause(err).Error()), false
		} else if unasked[sa.Namespace] {
			r.OK, r.Error, s.Healthy = false, (&NotAskedError{Namespace: sa.Namespace}).Error(), false
		}
		s.Accounts = append(s.Accounts, r)
	}
	roles, err := ch.Roles(ctx, mark)
	if err != nil {
		return fmt.Errorf("%s: %w", plan.Role, account.Cause(err))
	}
	for _, r := range roles {
		s.Roles = append(s.Roles, r.ARN)
	}
	slices.Sort(s.Roles)
	return nil
}

// providerStatus is what is wrong with link 4.
func (ch *Chain) providerStatus(ctx context.Context) error {
	there, ok, err := provider.Get(ctx, ch.Account.IAM, ch.Record.Provider)
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("it does not exist")
	}
	mark, err := ch.Tags(ctx)
	if err != nil {
		return err
	}
	if owner.Foreign(there.Tags, mark) {
		return owner.Check("it", there.Tags, mark)
	}
	if slices.Contains(there.ClientIDs, irsa.Audience) {
		return nil
	}
	return fmt.Errorf("its client ids %q do not include %q", there.ClientIDs, irsa.Audience)
}

// webhookStatus is what is wrong with link 7.
func (ch *Chain) webhookStatus(ctx context.Context) error {
	d, err := ch.Cluster.Client().Deployments(deploy.Namespace).Get(ctx, deploy.WebhookName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return errors.New("it is not installed")
	}
	if err != nil {
		return err
	}
	if d.Status.AvailableReplicas == 0 {
		return fmt.Errorf("0 of %d replicas are available", d.Status.Replicas)
	}
	missing, err := ch.Cluster.FirstWithoutCABundle(ctx, deploy.WebhookConfiguration)
	if err == nil && missing != "" {
		err = fmt.Errorf("the API server cannot verify it for %s, which has no caBundle in MutatingWebhookConfiguration %s",
			missing, deploy.WebhookConfiguration)
	}
	return err
}

// roleStatus is what is wrong with a role that a service account is annotated with. Whom
// it trusts is not looked at.
func (ch *Chain) roleStatus(ctx context.Context, roleArn string, mark map[string]string) error {
	parsed, err := role.ParseARN(roleArn)
	if err != nil {
		return fmt.Errorf("annotation %s: %q is not the ARN of a role", irsa.DefaultPrefix.RoleARN(), roleArn)
	}
	name := path.Base(parsed.Resource)
	there, ok, err := role.Get(ctx, ch.Account.IAM, name)
	switch {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("role %s does not exist", name)
	case there.ARN != roleArn:
		return fmt.Errorf("annotation says %s, the role is %s", roleArn, there.ARN)
	case owner.Foreign(there.Tags, mark) && !owner.Shared(there.Tags):
		return owner.Check("role "+name, there.Tags, mark)
	}
	return nil
}
