package chain

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/podidentity"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/role"
)

// podIdentityAccounts are the service accounts of the agent and of the webhook, with the
// least that each needs of EKS. Their pods have the tokens for their roles without the
// webhook.
func (ch *Chain) podIdentityAccounts() []config.ServiceAccount {
	with := func(namespace, name, action string) config.ServiceAccount {
		sa := config.NewServiceAccount(namespace, name)
		sa.RoleOnly = true
		sa.AttachPolicy, _ = json.Marshal(map[string]any{ // of texts alone
			"Version": "2012-10-17", "Statement": []any{map[string]any{"Effect": "Allow", "Action": action, "Resource": ch.ClusterARN()}},
		})
		return sa
	}
	return []config.ServiceAccount{
		with(deploy.AgentNamespace, deploy.AgentName, "eks-auth:AssumeRoleForPodIdentity"),
		with(deploy.Namespace, deploy.WebhookName, "eks:ListPodIdentityAssociations"),
	}
}

// podIdentityRole is the ARN of the role of one of these.
func (ch *Chain) podIdentityRole(namespace, name string) string {
	r := role.Role{Name: role.NameFor(ch.Record.Cluster, namespace, name), Path: role.PathFor(ch.Record.Cluster)}
	return r.ARNIn(ch.Record.Partition, ch.Record.Account)
}

// AgentParams are those with which [deploy.Agent] makes the objects of the agent of EKS
// Pod Identity.
func (ch *Chain) AgentParams() deploy.AgentParams {
	return deploy.AgentParams{
		Image: ch.Record.Image, ClusterName: ch.Record.Cluster, Region: ch.Record.Region, EndpointURL: ch.Record.Endpoint,
		RoleARN: ch.podIdentityRole(deploy.AgentNamespace, deploy.AgentName),
	}
}

// registration is what EKS is told of a cluster.
type registration struct {
	Name                 string          `json:"name"`
	Region               string          `json:"region"`
	Issuer               string          `json:"issuer"`
	OtherIssuers         []string        `json:"otherIssuers,omitempty"`
	JWKS                 json.RawMessage `json:"jwks,omitempty"`
	Endpoint             string          `json:"endpoint,omitempty"`             // of the API server
	CertificateAuthority string          `json:"certificateAuthority,omitempty"` // PEM in base64
	IPFamily             types.IpFamily  `json:"ipFamily,omitempty"`
	Version              string          `json:"version,omitempty"`
	AgentVersion         string          `json:"agentVersion,omitempty"`
}

// text is what of it may change, for a diff. The version of the agent comes along: a new
// one alone does not take the root user, who registers.
func (r *registration) text() string {
	var text strings.Builder
	text.WriteString("issuer " + r.Issuer + "\n")
	for _, iss := range r.OtherIssuers {
		text.WriteString("other issuer " + iss + "\n")
	}
	text.WriteString("endpoint " + r.Endpoint + "\n")
	if r.CertificateAuthority != "" {
		fmt.Fprintf(&text, "certificate authority, SHA-256 %x\n", sha256.Sum256([]byte(r.CertificateAuthority)))
	}
	return text.String() + "IP family " + string(r.IPFamily) + "\nversion " + r.Version + "\n"
}

// PlanRegistration decides whether EKS has to learn of the cluster: of its issuer, and
// during a migration of the other one, until that is being removed; of its API server, as
// the kubeconfig has it; and of the agent. What somebody else has registered and is not
// known here stays. A cluster cannot be made known to AWS's own EKS, which makes its
// clusters itself.
func (ch *Chain) PlanRegistration(ctx context.Context) ([]plan.Step, error) {
	want, err := ch.registration(ctx)
	if err != nil {
		return nil, err
	}
	step := plan.Step{Link: plan.PodIdentity, Action: plan.Create, Summary: "cluster " + want.Name + " in EKS",
		Do: func(ctx context.Context) error { return ch.register(ctx, want) }}
	there, ok, err := ch.registered(ctx)
	if err != nil || !ok {
		return []plan.Step{step}, err
	}
	if other, _ := ch.migrating(); other != nil {
		all, err := ch.allRegistered(ctx)
		if err != nil {
			return nil, err
		}
		there.OtherIssuers = all.OtherIssuers
	}
	want.CertificateAuthority = cmp.Or(want.CertificateAuthority, there.CertificateAuthority)
	if there.text() == want.text() {
		return nil, nil
	}
	step.Action, step.Diff = plan.Update, plan.Diff(there.text(), want.text())
	step.Do = func(ctx context.Context) error {
		all, err := ch.allRegistered(ctx)
		if err != nil {
			return err
		}
		want.JWKS, want.AgentVersion = all.JWKS, cmp.Or(want.AgentVersion, all.AgentVersion)
		return ch.register(ctx, want)
	}
	return []plan.Step{step}, nil
}

// registration is what is to be registered, as far as it is known here.
func (ch *Chain) registration(ctx context.Context) (want registration, err error) {
	want = registration{
		Name: ch.Record.Cluster, Region: ch.Record.Region, Issuer: ch.Issuer.String(), AgentVersion: imageVersion(ch.Record.Image),
	}
	if other, stage := ch.migrating(); other != nil && stage != record.Prune {
		want.OtherIssuers = []string{other.Issuer}
	}
	if want.Version, err = ch.Cluster.Version(ctx); err != nil {
		return want, err
	}
	if want.IPFamily, err = ch.ipFamily(ctx); err != nil {
		return want, err
	}
	at, ca, err := ch.Cluster.Endpoint()
	want.Endpoint, want.CertificateAuthority = at, base64.StdEncoding.EncodeToString(ca)
	return want, err
}

// imageVersion is the version of the agent in an image: its tag, or its digest.
func imageVersion(image string) string {
	name, digest, _ := strings.Cut(image, "@")
	if _, tag, ok := strings.Cut(path.Base(name), ":"); ok {
		return tag
	}
	if digest == "" && image != "" {
		return "latest"
	}
	return digest
}

// allRegistered is all that the emulator's EKS knows of the cluster. The operations of AWS
// do not say what AWS has not, such as further issuers and a copy of the keys. Only the
// root user may ask.
func (ch *Chain) allRegistered(ctx context.Context) (all registration, err error) {
	answer, err := ch.control(ctx, http.MethodGet, "/"+ch.Record.Cluster, nil)
	if err != nil {
		return all, err
	}
	if err := json.Unmarshal(answer, &all); err != nil {
		return all, fmt.Errorf("reading what the emulator's EKS knows of cluster %s: %w", ch.Record.Cluster, err)
	}
	return all, nil
}

// registered is what EKS says of the cluster, if it knows it.
func (ch *Chain) registered(ctx context.Context) (there registration, ok bool, err error) {
	out, err := ch.eks().DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &ch.Record.Cluster})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return registration{}, false, nil
	}
	if err != nil {
		return registration{}, false, fmt.Errorf("reading cluster %s in EKS: %w", ch.Record.Cluster, err)
	}
	there = registration{Name: ch.Record.Cluster, Region: ch.Record.Region, Version: aws.ToString(out.Cluster.Version)}
	there.Endpoint = aws.ToString(out.Cluster.Endpoint)
	if i := out.Cluster.Identity; i != nil && i.Oidc != nil {
		there.Issuer = aws.ToString(i.Oidc.Issuer)
	}
	if network := out.Cluster.KubernetesNetworkConfig; network != nil {
		there.IPFamily = network.IpFamily
	}
	if ca := out.Cluster.CertificateAuthority; ca != nil {
		there.CertificateAuthority = aws.ToString(ca.Data)
	}
	return there, true, nil
}

// planUnregistration decides whether EKS has to forget the cluster.
func (ch *Chain) planUnregistration(ctx context.Context) ([]plan.Step, error) {
	_, ok, err := ch.registered(ctx)
	if err != nil || !ok {
		return nil, err
	}
	return []plan.Step{{
		Link: plan.PodIdentity, Action: plan.Delete, Summary: "cluster " + ch.Record.Cluster + " in EKS",
		Do: func(ctx context.Context) error {
			_, err := ch.control(ctx, http.MethodDelete, "/"+ch.Record.Cluster, nil)
			return err
		},
	}}, nil
}

// register tells the EKS of an emulator of the cluster.
func (ch *Chain) register(ctx context.Context, c registration) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = ch.control(ctx, http.MethodPost, "", body)
	return err
}

// control calls what emulators have for the clusters of their EKS (docs/pod-identity.md,
// "Clusters"), which AWS has not.
func (ch *Chain) control(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	config := ch.Account.Config
	url := aws.ToString(config.BaseEndpoint) + "/_openirsa/control/clusters" + path
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	credentials, err := config.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, credentials, r, hex.EncodeToString(sum[:]), "eks", ch.Record.Region, time.Now()); err != nil {
		return nil, err
	}
	var client aws.HTTPClient = http.DefaultClient
	if config.HTTPClient != nil {
		client = config.HTTPClient
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 && !(method == http.MethodDelete && answer.StatusCode == http.StatusNotFound) {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
		return nil, fmt.Errorf("the emulator's clusters of EKS: %s: %q", answer.Status, bytes.TrimSpace(text))
	}
	return io.ReadAll(io.LimitReader(answer.Body, 1<<20))
}

// podIdentityStatus is what is wrong with EKS Pod Identity. It adds the associations.
func (ch *Chain) podIdentityStatus(ctx context.Context, s *Status) error {
	for _, sa := range ch.podIdentityAccounts() {
		s.PodIdentityRoles = append(s.PodIdentityRoles, ch.podIdentityRole(sa.Metadata.Namespace, sa.Metadata.Name))
	}
	all, err := podidentity.Read(ctx, ch.eks(), ch.Record.Cluster, podidentity.Filter{})
	if err != nil {
		return err
	}
	for _, a := range all {
		s.Associations = append(s.Associations, ServiceAccount{a.Namespace, a.ServiceAccount, a.RoleARN})
	}
	if s.Moves, err = ch.underWay(ctx, s.Associations); err != nil {
		return err
	}
	d, err := ch.Cluster.Client().DaemonSets(deploy.AgentNamespace).Get(ctx, deploy.AgentName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return errors.New("the agent is not installed")
	}
	if err == nil && d.Status.NumberAvailable < d.Status.DesiredNumberScheduled {
		err = fmt.Errorf("the agent is available on %d of %d nodes", d.Status.NumberAvailable, d.Status.DesiredNumberScheduled)
	}
	return err
}
