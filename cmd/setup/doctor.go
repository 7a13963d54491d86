package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/internal/redact"
	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/role"
)

// doctorOptions are the flags of `doctor`.
type doctorOptions struct {
	serviceAccount string // NAMESPACE/NAME
	pod            string // NAMESPACE/NAME
}

func (a *app) doctorCommand() *cobra.Command {
	var o doctorOptions
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Find the first broken link of the chain and the command that fixes it",
		Long: `Walk the chain from the API server's flags to a pod's credentials, and compare each
link with its neighbours: flags, signing key, a fresh token, the documents as
a stranger reads them, provider, role and trust policy, annotation, webhook, the
running pods, and AssumeRoleWithWebIdentity itself. It names the first broken
link, the two values that differ, and the command that fixes it.

Nothing is changed, and no token is printed. Without --service-account or --pod
all service accounts with a role are checked. The exit status is 1 if a link is
broken.`,
		Example: `  setup doctor
  setup doctor --service-account default/app
  setup doctor --pod default/app-5d9c7b7f6-x2x9z -o json`,
		RunE: func(c *cobra.Command, _ []string) error { return a.doctor(c.Context(), o) },
	}
	a.clusterFlags(c)
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	f.StringVar(&o.serviceAccount, "service-account", "", "NAMESPACE/NAME of the service account (default: all that have a role)")
	f.StringVar(&o.pod, "pod", "", "NAMESPACE/NAME of a pod: check its service account, and no other pod")
	f.StringVar(&a.region, "region", "", "AWS region (default: the chain's)")
	c.MarkFlagsMutuallyExclusive("service-account", "pod")
	return c
}

// doctorReport is what `doctor -o json` prints.
type doctorReport struct {
	Cluster  string           `json:"cluster"`
	Issuer   string           `json:"issuer,omitempty"`
	Change   *record.Change   `json:"change,omitempty"` // under way
	Healthy  bool             `json:"healthy"`
	Broken   *finding         `json:"broken"` // the first broken link
	Accounts []examinedReport `json:"serviceAccounts"`
}

// examinedAtOnce bounds how many service accounts are asked about at a time.
const examinedAtOnce = 8

type examinedReport struct {
	ServiceAccount string    `json:"serviceAccount,omitempty"`
	Findings       []finding `json:"findings"`
}

// finding is a doctor.Finding as it is printed, without secrets.
type finding struct {
	Link     string `json:"link"`
	Check    string `json:"check"`
	Result   string `json:"result"`
	Summary  string `json:"summary"`
	Expected string `json:"expected,omitempty"`
	Found    string `json:"found,omitempty"`
	Next     string `json:"next,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

func (a *app) finding(f doctor.Finding) finding {
	return finding{
		Link: f.Link, Check: f.Check, Result: f.Result, Summary: redact.Text(f.Summary),
		Expected: redact.Text(f.Expected), Found: redact.Text(f.Found), Next: redact.Text(f.Fix.Shell(a.name)), Reason: f.Reason,
	}
}

func (a *app) doctor(ctx context.Context, o doctorOptions) error {
	for flag, value := range map[string]string{"--service-account": o.serviceAccount, "--pod": o.pod} {
		if namespace, name, ok := strings.Cut(value, "/"); value != "" && (!ok || namespace == "" || name == "" || strings.Contains(name, "/")) {
			return cli.Usagef("%s %q is not NAMESPACE/NAME", flag, value)
		}
	}
	ch, err := a.connect(ctx)
	if err != nil {
		return err
	}
	e := &examination{chain: ch}
	if err := e.shared(ctx); err != nil {
		return err
	}
	targets, err := e.targets(ctx, o)
	if err != nil {
		return err
	}
	report := doctorReport{Cluster: cmp.Or(ch.Record.Cluster, ch.Cluster.Name), Healthy: true, Accounts: make([]examinedReport, len(targets))}
	report.Change = ch.Record.Change
	all := make([]doctor.Facts, len(targets))
	var g errgroup.Group
	g.SetLimit(examinedAtOnce)
	for i, target := range targets {
		g.Go(func() error {
			all[i] = e.examine(ctx, target)
			return nil
		})
	}
	g.Wait()
	for i, facts := range all {
		if report.Issuer == "" {
			report.Issuer = facts.ChainIssuer().String()
		}
		findings := doctor.Diagnose(facts)
		if broken, ok := doctor.First(findings); ok && report.Broken == nil {
			report.Broken, report.Healthy = new(a.finding(broken)), false
		}
		report.Accounts[i] = examinedReport{ServiceAccount: targets[i], Findings: make([]finding, len(findings))}
		for j, f := range findings {
			report.Accounts[i].Findings[j] = a.finding(f)
		}
	}
	if err := a.printDoctor(report); err != nil {
		return err
	}
	if b := report.Broken; b != nil {
		return advise(fmt.Errorf("%s: %s: expected %s, found %s", b.Link, b.Summary, b.Expected, b.Found), b.Next)
	}
	return nil
}

func (a *app) printDoctor(r doctorReport) error {
	if a.output == "json" {
		return printJSON(a.out, r)
	}
	said := map[finding]bool{} // what service accounts share is said once
	plain.Fprintf(a.out, "cluster %s, issuer %s\n", r.Cluster, cmp.Or(r.Issuer, "none"))
	if r.Change != nil {
		plain.Fprintf(a.out, "%s\n", r.Change)
	}
	for _, examined := range r.Accounts {
		if examined.ServiceAccount != "" {
			plain.Fprintf(a.out, "\nservice account %s\n", examined.ServiceAccount)
		}
		for _, f := range examined.Findings {
			if said[f] {
				continue
			}
			said[f] = true
			word := f.Result
			if word == doctor.Broken {
				word = "BROKEN"
			}
			a.palette().row(a.out, f.Link, word, 9, f.Summary)
			for _, line := range [][2]string{{"expected", f.Expected}, {"found", f.Found}, {"reason", f.Reason}, {"next", f.Next}} {
				if line[1] != "" {
					plain.Fprintf(a.out, "%-16s %-9s %s\n", "", line[0]+":", line[1])
				}
			}
		}
	}
	if r.Healthy {
		fmt.Fprintln(a.out, "\nNo link is broken.")
	}
	return nil
}

// examination gathers facts. What cannot be read becomes a fact too.
type examination struct {
	*chain
	facts    doctor.Facts // those that all service accounts share
	accounts []corev1.ServiceAccount
}

// shared gathers what does not depend on a service account.
func (e *examination) shared(ctx context.Context) error {
	f := &e.facts
	f.Now, f.Issuer, f.Endpoint = time.Now(), e.Issuer, e.Record.Endpoint
	f.Remote, f.Kept = len(e.Cluster.Nodes()) == 0, e.Keeps()
	list, err := e.Cluster.Client().CoreV1().ServiceAccounts(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return advise(fmt.Errorf("listing the service accounts: %w", err), "use a kubeconfig of a cluster administrator: --kubeconfig FILE --context NAME")
	}
	e.accounts = list.Items
	f.Advertised, f.AdvertisedErr = e.Cluster.Issuer(ctx)
	if servers, err := controlplane.Of(e.Cluster).APIServerFlags(ctx); err == nil {
		for _, s := range servers {
			f.Servers = append(f.Servers, doctor.Server{Node: s.Node, Issuers: s.Issuers, JWKSURI: s.JWKSURI, Audiences: s.APIAudiences})
		}
	}
	if body, err := e.Cluster.JWKS(ctx); err != nil {
		f.KeysErr = err
	} else {
		f.Keys, f.KeysErr = keys.ParseJWKS(body)
	}
	if version, err := e.Cluster.Client().Discovery().ServerVersion(); err == nil {
		fmt.Sscanf(version.Minor, "%d", &f.Minor)
	}
	e.webhook(ctx, &f.Webhook)

	if e.Installed {
		f.AWSErr = e.Connect(ctx)
	} else {
		f.AWSErr = e.Use(ctx, "", nil)
	}
	if f.AWSErr == nil {
		f.Account, f.Partition = e.Account.ID, e.Account.Partition
		e.clock(ctx, f)
	}
	e.issued(ctx, f)
	return nil
}

// issued reads what is known of an issuer outside of the cluster.
func (e *examination) issued(ctx context.Context, f *doctor.Facts) {
	f.Discovery, f.JWKS, f.Provider, f.ProviderErr, f.Providers = nil, nil, nil, nil, nil
	e.documents(ctx, f)
	e.provider(ctx, f)
}

// clock reads the time of AWS, and of this machine at the same moment.
func (e *examination) clock(ctx context.Context, f *doctor.Facts) {
	out, err := sts.NewFromConfig(e.Account.Config).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return
	}
	if at, ok := awsmiddleware.GetServerTime(out.ResultMetadata); ok {
		f.Now, f.AWSTime = time.Now(), at
	}
}

// targets are the service accounts to be examined, as NAMESPACE/NAME; one empty
// name for none.
func (e *examination) targets(ctx context.Context, o doctorOptions) ([]string, error) {
	if o.serviceAccount != "" {
		return []string{o.serviceAccount}, nil
	}
	if o.pod != "" {
		namespace, name, _ := strings.Cut(o.pod, "/")
		p, err := e.Cluster.Client().CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, advise(fmt.Errorf("%s: %w", doctor.Pod, err), "kubectl --namespace "+namespace+" get pods")
		}
		e.facts.PodName = name
		return []string{namespace + "/" + p.Spec.ServiceAccountName}, nil
	}
	var all []string
	for _, sa := range e.accounts {
		if doctor.HasRole(sa.Annotations) {
			all = append(all, sa.Namespace+"/"+sa.Name)
		}
	}
	slices.Sort(all)
	if len(all) == 0 {
		all = []string{""}
	}
	return all, nil
}

// examine gathers what is about one service account, NAMESPACE/NAME; what all
// share for an empty name.
func (e *examination) examine(ctx context.Context, target string) doctor.Facts {
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
	client := e.Cluster.Client().CoreV1()
	var annotations map[string]string
	if f.ServiceAccount != nil {
		annotations = f.ServiceAccount.Annotations
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			Audiences: []string{doctor.Audience(annotations)}, ExpirationSeconds: new(int64(irsa.MinExpirationSeconds)),
		}}
		if got, err := client.ServiceAccounts(f.Namespace).CreateToken(ctx, f.Name, request, metav1.CreateOptions{}); err != nil {
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
	return facts
}

// webhook reads what asks for pods, and the certificate of what answers.
func (e *examination) webhook(ctx context.Context, w *doctor.Webhook) {
	configurations, err := e.Cluster.Client().AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		w.Err = err
		return
	}
	for i, c := range configurations.Items {
		// Ours, or else the one that ours stands in for.
		if c.Name == deploy.WebhookConfiguration || w.Configuration == nil && strings.Contains(c.Name, "pod-identity") {
			w.Configuration = &configurations.Items[i]
		}
	}
	if w.Configuration == nil {
		return
	}
	w.Ours, w.Excluded = e.Installed && w.Configuration.Name == deploy.WebhookConfiguration, e.Record.ExcludeNamespaces
	i := slices.IndexFunc(w.Configuration.Webhooks, func(h admissionv1.MutatingWebhook) bool { return doctor.AsksForPods(&h) })
	if i < 0 || w.Configuration.Webhooks[i].ClientConfig.Service == nil {
		return
	}
	service := w.Configuration.Webhooks[i].ClientConfig.Service
	slices, err := e.Cluster.Client().DiscoveryV1().EndpointSlices(service.Namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service.Name})
	if err != nil {
		w.EndpointsErr = err
		return
	}
	for _, s := range slices.Items {
		for _, endpoint := range s.Endpoints {
			if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
				w.Endpoints++
			}
		}
	}
	if w.Endpoints == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	port := 443
	if service.Port != nil {
		port = int(*service.Port)
	}
	addr, stop, err := e.Cluster.Forward(ctx, service.Namespace, service.Name, port)
	if err != nil {
		w.DialErr = err
		return
	}
	defer stop()
	w.Chain, w.DialErr = presented(ctx, addr, service.Name+"."+service.Namespace+".svc")
}

// presented is the certificate chain that a TLS server sends; whether to trust
// it is decided elsewhere.
func presented(ctx context.Context, addr, host string) ([]*x509.Certificate, error) {
	dialer := tls.Dialer{Config: &tls.Config{ServerName: host, InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates, nil
}

// trial asks the API server what it would make of a pod of the service account.
// The pod is never made.
func (e *examination) trial(ctx context.Context, f *doctor.Facts) *doctor.Trial {
	if f.ServiceAccount == nil || f.Webhook.Configuration == nil {
		return nil
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "openirsa-doctor-"},
		Spec: corev1.PodSpec{
			ServiceAccountName: f.Name,
			// As the strictest of the pod security standards wants it.
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{{
				Name: "trial", Image: "openirsa.dev/never-run",
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			}},
		},
	}
	made, err := e.Cluster.Client().CoreV1().Pods(f.Namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return &doctor.Trial{Err: err}
	}
	t := &doctor.Trial{}
	for _, v := range made.Spec.Containers[0].Env {
		if v.Name == irsa.EnvRoleARN {
			t.RoleARN = v.Value
		}
	}
	return t
}

// pods reads the pods of the service account that have not ended, and the names
// of what they get by envFrom.
func (e *examination) pods(ctx context.Context, f *doctor.Facts) {
	client := e.Cluster.Client().CoreV1()
	list, err := client.Pods(f.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "spec.serviceAccountName=" + f.Name})
	if err != nil {
		f.PodsErr = err
		return
	}
	f.Bulk = map[string][]string{}
	for _, p := range list.Items {
		ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed || p.DeletionTimestamp != nil
		if ended || f.PodName != "" && p.Name != f.PodName {
			continue
		}
		f.Pods = append(f.Pods, p)
		for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
			for _, from := range c.EnvFrom {
				// Names only: values have no business here. Who may not read
				// them learns less.
				if ref := from.SecretRef; ref != nil {
					if s, err := client.Secrets(p.Namespace).Get(ctx, ref.Name, metav1.GetOptions{}); err == nil {
						f.Bulk["Secret/"+ref.Name] = names(s.Data)
					}
				}
				if ref := from.ConfigMapRef; ref != nil {
					if m, err := client.ConfigMaps(p.Namespace).Get(ctx, ref.Name, metav1.GetOptions{}); err == nil {
						f.Bulk["ConfigMap/"+ref.Name] = names(m.Data)
					}
				}
			}
		}
	}
}

func names[V any](m map[string]V) []string {
	var all []string
	for name := range m {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// documents reads the issuer's documents as a stranger.
func (e *examination) documents(ctx context.Context, f *doctor.Facts) {
	iss := f.ChainIssuer()
	if iss.IsZero() {
		return
	}
	f.Discovery = e.read(ctx, iss.Discovery())
	config, err := discovery.ParseConfiguration(f.Discovery.Body)
	if err != nil || config.JWKSURI == "" {
		return
	}
	f.JWKS = e.read(ctx, config.JWKSURI)
}

// read reads one document: in a bucket through S3's own API, wherever S3 is,
// and otherwise at its URL.
func (e *examination) read(ctx context.Context, address string) *doctor.Document {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if e.Keeps() && !e.Issuer.IsZero() {
		return e.readKept(ctx, address)
	}
	if o, ok := publish.ObjectAt(ctx, address); ok && e.Account != nil {
		if err := o.CheckCertificate(); err != nil {
			return &doctor.Document{URL: address, Err: err}
		}
		client := s3.NewFromConfig(e.Account.Config, publish.PathStyle, func(so *s3.Options) {
			so.Credentials, so.Region, so.Retryer = aws.AnonymousCredentials{}, o.Region, aws.NopRetryer{}
		})
		return readObject(ctx, client, o.Bucket, o.Key, address)
	}
	return readURL(ctx, address)
}

// readKept reads a document of an issuer that the cluster keeps: from the API
// server, wherever its jwks_uri points.
func (e *examination) readKept(ctx context.Context, address string) *doctor.Document {
	path := issuer.JWKSPath
	if address == e.Issuer.Discovery() {
		path = issuer.DiscoveryPath
	}
	doc := &doctor.Document{URL: address}
	if doc.ContentType, doc.Body, doc.Err = e.ReadKept(ctx, e.Issuer, path); doc.Err == nil {
		doc.Status = http.StatusOK
	}
	return doc
}

// maxDocument bounds what a stranger's server may send.
const maxDocument = 1 << 20

func readObject(ctx context.Context, client *s3.Client, bucket, key, address string) *doctor.Document {
	doc := &doctor.Document{URL: address}
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if e, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		doc.Status, doc.Location = e.HTTPStatusCode(), e.Response.Header.Get("Location")
		if api, ok := errors.AsType[smithy.APIError](err); ok {
			doc.Code = api.ErrorCode()
		}
		return doc
	}
	if err != nil {
		doc.Err = err
		return doc
	}
	defer out.Body.Close()
	doc.Status, doc.ContentType = http.StatusOK, aws.ToString(out.ContentType)
	doc.Body, doc.Err = io.ReadAll(io.LimitReader(out.Body, maxDocument))
	return doc
}

// readURL reads a document over HTTPS whatever the certificate is, and notes
// whether the public roots vouch for it: a fault of the certificate must not
// hide what is behind it.
func readURL(ctx context.Context, address string) *doctor.Document {
	doc := &doctor.Document{URL: address}
	client := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		doc.Err = err
		return doc
	}
	resp, err := client.Do(req)
	if err != nil {
		doc.Err = err
		return doc
	}
	defer resp.Body.Close()
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		doc.Chain = resp.TLS.PeerCertificates
		rest := x509.NewCertPool()
		for _, c := range doc.Chain[1:] {
			rest.AddCert(c)
		}
		_, doc.Untrusted = doc.Chain[0].Verify(x509.VerifyOptions{DNSName: req.URL.Hostname(), Intermediates: rest})
	}
	doc.Status, doc.Location, doc.ContentType = resp.StatusCode, resp.Header.Get("Location"), resp.Header.Get("Content-Type")
	doc.Body, doc.Err = io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	return doc
}

// provider reads the issuer's provider, and the names of all others.
func (e *examination) provider(ctx context.Context, f *doctor.Facts) {
	iss := f.ChainIssuer()
	if e.Account == nil || iss.IsZero() {
		return
	}
	arn := iss.ProviderARN(e.Account.Partition, e.Account.ID)
	out, err := e.Account.IAM.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
	if err == nil {
		f.Provider = &doctor.Provider{ARN: arn, ClientIDs: out.ClientIDList, Thumbprints: out.ThumbprintList}
		return
	}
	if _, ok := errors.AsType[*types.NoSuchEntityException](err); !ok {
		f.ProviderErr = account.Cause(err)
		return
	}
	if list, err := e.Account.IAM.ListOpenIDConnectProviders(ctx, &iam.ListOpenIDConnectProvidersInput{}); err == nil {
		for _, p := range list.OpenIDConnectProviderList {
			f.Providers = append(f.Providers, aws.ToString(p.Arn))
		}
	}
}

// role reads the role that the service account is annotated with.
func (e *examination) role(ctx context.Context, f *doctor.Facts) {
	if e.Account == nil || f.ServiceAccount == nil {
		return
	}
	parsed, err := role.ParseARN(f.ServiceAccount.Annotations[irsa.DefaultPrefix.RoleARN()])
	if err != nil || parsed.AccountID != e.Account.ID {
		return
	}
	there, ok, err := role.Get(ctx, e.Account.IAM, path.Base(parsed.Resource))
	if err != nil {
		f.RoleErr = account.Cause(err)
		return
	}
	if ok {
		f.Role = &doctor.Role{Name: there.Name, ARN: there.ARN, Trust: there.Trust, PolicyARNs: there.PolicyARNs, Inline: len(there.Inline), Boundary: there.Boundary, Tags: there.Tags}
	}
}

// call does what a pod's SDK does: it exchanges the token, and asks who it is.
func (e *examination) call(ctx context.Context, f *doctor.Facts) {
	if e.Account == nil || f.Raw == "" {
		return
	}
	arn := f.ServiceAccount.Annotations[irsa.DefaultPrefix.RoleARN()]
	if irsa.CheckRoleARN(arn) != nil {
		return
	}
	f.Call = &doctor.Call{}
	unsigned := sts.NewFromConfig(e.Account.Config, func(o *sts.Options) { o.Credentials, o.Retryer = aws.AnonymousCredentials{}, aws.NopRetryer{} })
	out, err := unsigned.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: &arn, RoleSessionName: new("openirsa-doctor"), WebIdentityToken: new(string(f.Raw)), DurationSeconds: new(int32(900)),
	})
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		f.Call.Code, f.Call.Message = api.ErrorCode(), api.ErrorMessage()
		if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
			f.Call.Reason = e.explained(ctx, response.RequestID)
		}
		return
	}
	if err != nil {
		f.Call.Err = err
		return
	}
	session := e.Account.Config.Copy()
	session.Credentials = credentials.NewStaticCredentialsProvider(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
	who, err := sts.NewFromConfig(session).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		f.Call.IdentityErr = account.Cause(err)
		return
	}
	f.Call.Identity = aws.ToString(who.Arn)
}

// explained asks the endpoint for the reason of a refusal. One that does not
// tell, as AWS does not, has no part in the diagnosis.
func (e *examination) explained(ctx context.Context, requestID string) string {
	if e.Account.Config.BaseEndpoint == nil || requestID == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(*e.Account.Config.BaseEndpoint, "/")+"/_openirsa/events?requestId="+url.QueryEscape(requestID), nil)
	if err != nil {
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var said struct{ Events []struct{ Reason string } }
	if resp.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(resp.Body, maxDocument)).Decode(&said) != nil || len(said.Events) == 0 {
		return ""
	}
	return said.Events[len(said.Events)-1].Reason
}
