package chain_test

import (
	"cmp"
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/openirsa/openirsa/internal/kubefake"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/podidentity"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/token"
	"github.com/openirsa/openirsa/pkg/trust"
)

// world is a cluster with a chain in an account whose EKS knows it: an API server as far
// as objects go, whose webhook gives pods what their service accounts have, and whose
// controllers replace the pods of a Deployment when its template changes.
type world struct {
	*testing.T
	api *kubefake.API
	aws *emulatortest.AWS
	iss *emulatortest.Issuer
	ch  *chain.Chain
	log []string

	deaf      bool   // the webhook does not know associations
	audience  string // of all tokens; "": the one that is asked for
	restarted func() // is called after a restart, under the lock of the API; nil: nothing is
}

const readOnly = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, api: kubefake.New(t), aws: emulatortest.Start(t)}
	for k, v := range map[string]string{
		"AWS_ENDPOINT_URL": w.aws.URL, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": emulatortest.Region,
		"AWS_EC2_METADATA_DISABLED": "true", "HOME": t.TempDir(),
	} {
		t.Setenv(k, v)
	}
	w.iss = w.aws.Issuer("dev")
	if _, err := w.aws.RegisterCluster(emulator.EKSCluster{Name: "dev", Region: emulatortest.Region, Issuer: w.iss.URL.String()}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kube-system", cluster.Namespace} {
		w.api.Put("/api/v1/namespaces/"+name, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-of-" + name)}})
	}
	tags := owner.Tags("dev", "uid-of-kube-system")
	client := iam.NewFromConfig(w.aws.Config())
	if _, err := client.TagOpenIDConnectProvider(t.Context(), &iam.TagOpenIDConnectProviderInput{
		OpenIDConnectProviderArn: &w.iss.ARN, Tags: iamTags(tags),
	}); err != nil {
		t.Fatal(err)
	}
	set, err := keys.NewSet(w.iss.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	w.api.Mu.Lock()
	w.api.Issuer, w.api.JWKS, w.api.GitVersion = w.iss.URL.String(), set.JWKS(), "v1.37.2"
	w.api.Mu.Unlock()
	rec := record.Record{
		Cluster: "dev", Account: w.aws.Account(), Partition: "aws", Region: emulatortest.Region, Image: "registry.example/openirsa",
		PodIdentity: true, Endpoint: w.aws.URL,
		Location: record.Location{Issuer: w.iss.URL.String(), Provider: w.iss.ARN, Bucket: w.iss.Bucket, BucketOwned: true},
	}
	w.api.Put("/api/v1/namespaces/"+cluster.Namespace+"/configmaps/openirsa", &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace, Name: "openirsa"}, Data: rec.Encode(),
	})
	w.api.Admit, w.api.Applied, w.api.Token = w.admit, w.applied, w.token
	if w.ch, err = chain.Open(t.Context(), chain.Options{Kubeconfig: w.api.Kubeconfig(t, "dev")}); err != nil {
		t.Fatal(err)
	}
	return w
}

// token is what the API server signs for a pod. The lock of the API is held.
func (w *world) token(sa *corev1.ServiceAccount, pod *corev1.Pod, spec *authenticationv1.TokenRequestSpec) string {
	w.Helper()
	now := time.Now()
	return w.iss.Mint(token.Claims{
		Issuer: w.iss.URL.String(), Subject: token.Subject(sa.Namespace, sa.Name), Audience: token.Strings{cmp.Or(w.audience, spec.Audiences[0])},
		IssuedAt: token.At(now), NotBefore: token.At(now), Expiry: token.At(now.Add(time.Duration(*spec.ExpirationSeconds) * time.Second)),
		Kubernetes: token.Kubernetes{
			Namespace: sa.Namespace, ServiceAccount: &token.Ref{Name: sa.Name, UID: "uid-of-" + sa.Name}, Pod: &token.Ref{Name: pod.Name, UID: string(pod.UID)},
		},
	})
}

// tokensFor has the API server make all tokens for an audience; "": for that which is asked for.
func (w *world) tokensFor(audience string) {
	w.api.Mu.Lock()
	defer w.api.Mu.Unlock()
	w.audience = audience
}

// agentOn has an agent of EKS Pod Identity on a node, which is ready or not.
func (w *world) agentOn(node string, ready corev1.ConditionStatus) {
	labels := map[string]string{"app.kubernetes.io/name": "openirsa-agent"}
	status := appsv1.DaemonSetStatus{DesiredNumberScheduled: 1}
	if ready == corev1.ConditionTrue {
		status.NumberReady = 1
	}
	w.api.Put("/apis/apps/v1/namespaces/kube-system/daemonsets/openirsa-agent", &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "openirsa-agent"},
		Spec:       appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}}, Status: status,
	})
	w.api.Put("/api/v1/namespaces/kube-system/pods/openirsa-agent-1", &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "openirsa-agent-1", Labels: labels}, Spec: corev1.PodSpec{NodeName: node},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}},
	})
}

// admit is the webhook. The lock of the API is held.
func (w *world) admit(o runtime.Object) {
	p, ok := o.(*corev1.Pod)
	if !ok {
		return
	}
	add := func(name string) {
		p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: name, Value: "x"})
	}
	sa, ok := w.api.Objects["/api/v1/namespaces/"+p.Namespace+"/serviceaccounts/"+p.Spec.ServiceAccountName].(*corev1.ServiceAccount)
	switch {
	case !ok: // an API server makes no such pod
	case !w.deaf && len(w.associations(p.Namespace, p.Spec.ServiceAccountName)) > 0:
		add(irsa.EnvCredentialsURI)
	case sa.Annotations[irsa.DefaultPrefix.RoleARN()] != "":
		add(irsa.EnvTokenFile)
	}
}

// associations are those of a service account, or of all.
func (w *world) associations(namespace, account string) []podidentity.Association {
	w.Helper()
	all, err := podidentity.Read(context.Background(), eks.NewFromConfig(w.aws.Config()), "dev", podidentity.Filter{Namespace: namespace, ServiceAccount: account})
	if err != nil {
		w.Error(err)
	}
	return all
}

// applied is kube-controller-manager: a Deployment whose template has changed has new pods.
func (w *world) applied(path string, o runtime.Object) {
	if c, ok := o.(*admissionv1.MutatingWebhookConfiguration); ok { // the webhook makes itself trusted
		for i := range c.Webhooks {
			c.Webhooks[i].ClientConfig.CABundle = []byte("a certificate")
		}
	}
	d, ok := o.(*appsv1.Deployment)
	if !ok || d.Spec.Template.Annotations["kubectl.kubernetes.io/restartedAt"] == "" {
		return
	}
	at := "/api/v1/namespaces/" + d.Namespace + "/pods/" + d.Name + "-1"
	delete(w.api.Objects, at)
	w.log = append(w.log, "restart "+d.Name)
	w.pod(at, d)
	if w.restarted != nil {
		w.restarted()
	}
}

// pod makes a pod of a Deployment, with its lock held.
func (w *world) pod(at string, d *appsv1.Deployment) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: d.Name + "-1", OwnerReferences: []metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: "ReplicaSet", Name: d.Name + "-rs", Controller: new(true),
	}}}, Spec: *d.Spec.Template.Spec.DeepCopy()}
	p.UID, p.Spec.NodeName = types.UID("uid-of-"+p.Name), "node-1"
	w.admit(p)
	w.api.Stamp(p)
	w.api.Objects[at] = p
}

// deploy makes a Deployment with a pod of a service account.
func (w *world) deploy(name, account string) {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: appsv1.DeploymentSpec{
		Replicas: new(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}}, Spec: corev1.PodSpec{
			ServiceAccountName: account, Containers: []corev1.Container{{Name: "main", Image: "none"}},
		}},
	}}
	w.api.Put("/apis/apps/v1/namespaces/default/deployments/"+name, d)
	w.api.Put("/apis/apps/v1/namespaces/default/replicasets/"+name+"-rs", &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: name + "-rs",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: name, Controller: new(true)}},
	}})
	w.api.Mu.Lock()
	defer w.api.Mu.Unlock()
	w.pod("/api/v1/namespaces/default/pods/"+name+"-1", d)
}

// grant gives service accounts of the namespace default roles by IRSA.
func (w *world) grant(names ...string) {
	w.Helper()
	var accounts []config.ServiceAccount
	for _, name := range names {
		accounts = append(accounts, config.NewServiceAccount("default", name, readOnly))
	}
	if _, err := w.ch.Grant(w.Context(), chain.GrantOptions{Accounts: accounts}, nil); err != nil {
		w.Fatal(err)
	}
}

// trust is the trust policy of the role of a service account.
func (w *world) trust(name string) []byte {
	w.Helper()
	r, err := iam.NewFromConfig(w.aws.Config()).GetRole(w.Context(), &iam.GetRoleInput{RoleName: new("openirsa-dev-default-" + name)})
	if err != nil {
		w.Fatal(err)
	}
	return []byte(unescape(*r.Role.AssumeRolePolicyDocument))
}

// trusts are whom the role of a service account lets in: the provider of the cluster, and
// pods by EKS Pod Identity.
func (w *world) trusts(name string) (tokens, pods bool) {
	w.Helper()
	document := w.trust(name)
	return len(trust.Providers(document)) > 0, len(trust.PodsOf(document)) > 0
}

// roles are the names of all.
func (w *world) roles() (names []string) {
	w.Helper()
	list, err := iam.NewFromConfig(w.aws.Config()).ListRoles(w.Context(), &iam.ListRolesInput{})
	if err != nil {
		w.Fatal(err)
	}
	for _, r := range list.Roles {
		names = append(names, *r.RoleName)
	}
	return names
}

// annotation is the role of a service account.
func (w *world) annotation(name string) string {
	w.api.Mu.Lock()
	defer w.api.Mu.Unlock()
	sa, ok := w.api.Objects["/api/v1/namespaces/default/serviceaccounts/"+name].(*corev1.ServiceAccount)
	if !ok {
		return "no service account"
	}
	return sa.Annotations[irsa.DefaultPrefix.RoleARN()]
}

// within is a context that ends soon.
func (w *world) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeoutCause(w.Context(), d, errSoon)
	w.Cleanup(cancel)
	return ctx
}

var errSoon = chainError("the time is over")

type chainError string

func (e chainError) Error() string { return string(e) }

// notes is an observer that keeps what it is told.
type notes struct{ said []string }

func (n *notes) Start(string, string) {}
func (n *notes) Done(r plan.Result)   { n.said = append(n.said, r.Link+" "+r.Outcome+" "+r.Object) }
func (n *notes) Say(line string)      { n.said = append(n.said, line) }
func (n *notes) Note(err error)       { n.said = append(n.said, "note: "+err.Error()) }
func (n *notes) all() string          { return strings.Join(n.said, "\n") }

func iamTags(m map[string]string) (list []iamtypes.Tag) {
	for k, v := range m {
		list = append(list, iamtypes.Tag{Key: new(k), Value: new(v)})
	}
	return list
}

func unescape(document string) string {
	s, err := url.QueryUnescape(document)
	if err != nil {
		return document
	}
	return s
}
