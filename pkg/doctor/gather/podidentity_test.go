package gather

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/kubefake"
	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/token"
)

const devCluster = "arn:aws:eks:" + emulatortest.Region + ":123456789012:cluster/dev"

// podPatient is a chain of EKS Pod Identity in an emulator.
type podPatient struct {
	*patient
	eks         *eks.Client
	association string // id
	token       string // of a pod
}

// podsPolicy is a trust policy for the service.
func podsPolicy(condition map[string]any, actions ...string) string {
	s := map[string]any{"Effect": "Allow", "Principal": map[string]string{"Service": irsa.CredentialsAudience}, "Action": actions}
	if condition != nil {
		s["Condition"] = condition
	}
	return emulatortest.Document(s)
}

func newPodPatient(t *testing.T) *podPatient {
	t.Helper()
	p := &podPatient{patient: newPatient(t)}
	p.eks = eks.NewFromConfig(p.Config())
	p.register(p.iss.URL.String())
	role := p.Role("pods", podsPolicy(nil, "sts:AssumeRole", "sts:TagSession"), "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
	made, err := p.eks.CreatePodIdentityAssociation(t.Context(), &eks.CreatePodIdentityAssociationInput{
		ClusterName: new("dev"), Namespace: new("default"), ServiceAccount: new("app"), RoleArn: &role,
	})
	p.check(err)
	p.association = *made.Association.AssociationId
	p.token = p.iss.Mint(token.Claims{
		Issuer: p.iss.URL.String(), Subject: token.Subject("default", "app"), Audience: token.Strings{irsa.CredentialsAudience},
		IssuedAt: token.At(time.Now()), NotBefore: token.At(time.Now()), Expiry: token.At(time.Now().Add(10 * time.Minute)),
		Kubernetes: token.Kubernetes{Namespace: "default", ServiceAccount: &token.Ref{Name: "app", UID: "1"}, Pod: &token.Ref{Name: "app-0", UID: "2"}},
	})
	p.facts.ServiceAccount.Annotations = nil
	p.facts.Pods = []corev1.Pod{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "app-0", UID: "2"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Env: []corev1.EnvVar{{Name: irsa.EnvCredentialsURI, Value: irsa.CredentialsURI}}}}},
	}}
	agent := p.Role("agent", p.iss.Trust("kube-system", "openirsa-agent"))
	p.Policy("agent", "exchange", map[string]any{"Effect": "Allow", "Action": "eks-auth:AssumeRoleForPodIdentity", "Resource": devCluster})
	p.facts.PodIdentity = doctor.PodIdentity{Used: true, Installed: true, Cluster: "dev", Agent: doctor.Agent{DaemonSet: agentOf(agent)}}
	return p
}

// agentOf is a DaemonSet of the agent, with a role of its own.
func agentOf(role string) *appsv1.DaemonSet {
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "openirsa-agent"},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": "agent"}},
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{ServiceAccountName: "openirsa-agent", Containers: []corev1.Container{{
				Args: []string{"--cluster-name=dev"}, Env: []corev1.EnvVar{{Name: irsa.EnvRoleARN, Value: role}},
			}}}},
		},
	}
}

func (p *podPatient) register(issuer string) {
	p.t.Helper()
	_, err := p.RegisterCluster(emulator.EKSCluster{Name: "dev", Region: emulatortest.Region, Issuer: issuer})
	p.check(err)
}

func (p *podPatient) update(in eks.UpdatePodIdentityAssociationInput) {
	p.t.Helper()
	in.ClusterName, in.AssociationId = new("dev"), &p.association
	_, err := p.eks.UpdatePodIdentityAssociation(p.t.Context(), &in)
	p.check(err)
}

func (p *podPatient) trusts(role, document string) {
	p.t.Helper()
	_, err := p.iam.UpdateAssumeRolePolicy(p.t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: &role, PolicyDocument: &document})
	p.check(err)
}

// target gives the association a target role with a trust policy of these actions.
func (p *podPatient) target(externalID string, actions ...string) {
	first := "arn:aws:iam::123456789012:role/pods"
	arn := p.Role("target", emulatortest.Document(map[string]any{
		"Effect": "Allow", "Principal": map[string]string{"AWS": first}, "Action": actions,
		"Condition": map[string]any{"StringEquals": map[string]string{"sts:ExternalId": externalID}},
	}))
	p.Policy("pods", "target", map[string]any{"Effect": "Allow", "Action": []string{"sts:AssumeRole", "sts:TagSession"}, "Resource": arn})
	p.update(eks.UpdatePodIdentityAssociationInput{TargetRoleArn: &arn})
}

// diagnose gathers what is in AWS.
func (p *podPatient) diagnose() []doctor.Finding {
	p.t.Helper()
	ctx, pods := p.t.Context(), &p.facts.PodIdentity
	p.e.clock(ctx, &p.facts)
	p.e.documents(ctx, &p.facts)
	p.e.podIdentity(ctx, pods)
	p.e.association(&p.facts)
	p.facts.Raw = doctor.Secret(p.token)
	if p.facts.TokenAudience() == irsa.Audience {
		p.facts.Raw = doctor.Secret(p.iss.Token("default", "app"))
	}
	p.e.podRoles(ctx, &p.facts)
	pods.Exchange = &doctor.Exchange{Pod: "default/app-0"}
	p.e.exchanged(ctx, pods, p.token)
	var findings []doctor.Finding
	for _, f := range doctor.Diagnose(p.facts) {
		if f.Link != "webhook" && f.Link != doctor.Pod {
			findings = append(findings, f)
		}
	}
	return findings
}

func TestPodIdentityHealthy(t *testing.T) {
	p := newPodPatient(t)
	for _, f := range p.diagnose() {
		if f.Result != doctor.OK {
			t.Errorf("%+v", f)
		}
	}
	if pods := p.facts.PodIdentity; pods.Agent.Grant != "allowed" || !strings.Contains(pods.Exchange.Identity, ":assumed-role/pods/eks-dev-app-0-") {
		t.Errorf("%+v", pods)
	}
	p.target(emulatortest.Region+"/123456789012/dev/default/app", "sts:AssumeRole", "sts:TagSession")
	for _, f := range p.diagnose() {
		if f.Result != doctor.OK {
			t.Errorf("with a target role: %+v", f)
		}
	}
	if id := p.facts.PodIdentity.Exchange.Identity; !strings.Contains(id, ":assumed-role/target/") {
		t.Error(id)
	}
}

// TestPodIdentity breaks the chain in AWS itself. Wherever a role or an association is
// found broken EKS Auth must refuse too, or the diagnosis would be made up.
func TestPodIdentity(t *testing.T) {
	const external = emulatortest.Region + "/123456789012/dev/default/app"
	condition := func(operator, key, value string) map[string]any {
		return map[string]any{operator: map[string]string{key: value}}
	}
	both := []string{"sts:AssumeRole", "sts:TagSession"}
	for _, test := range []struct {
		name                         string
		breakIt                      func(p *podPatient)
		link, check, expected, found string // of the last two a part
		refused                      bool
		reason                       string // of the emulator, a part
	}{
		{"cluster not registered", func(p *podPatient) { p.UnregisterCluster("", emulatortest.Region, "dev") }, "pod identity", "cluster", "cluster dev", "none", true, "registered"},
		{"another issuer", func(p *podPatient) { p.register("https://old.example.com") }, "pod identity", "cluster", "issuer https://issuer-dev", "issuer https://old.example.com", true, "issuer"},
		{"association deleted", func(p *podPatient) {
			_, err := p.eks.DeletePodIdentityAssociation(p.t.Context(), &eks.DeletePodIdentityAssociationInput{ClusterName: new("dev"), AssociationId: &p.association})
			p.check(err)
			_, err = p.eks.CreatePodIdentityAssociation(p.t.Context(), &eks.CreatePodIdentityAssociationInput{
				ClusterName: new("dev"), Namespace: new("default"), ServiceAccount: new("web"), RoleArn: new("arn:aws:iam::123456789012:role/pods"),
			})
			p.check(err)
		}, "association", "association", "default/app", "default/web", true, "no pod identity association"},
		{"role deleted", func(p *podPatient) {
			_, err := p.iam.DetachRolePolicy(p.t.Context(), &iam.DetachRolePolicyInput{RoleName: new("pods"), PolicyArn: new("arn:aws:iam::aws:policy/IAMReadOnlyAccess")})
			p.check(err)
			_, err = p.iam.DeleteRole(p.t.Context(), &iam.DeleteRoleInput{RoleName: new("pods")})
			p.check(err)
		}, "role", "role of association", "role/pods", "no role", true, "no role"},
		{"no sts:TagSession", func(p *podPatient) { p.trusts("pods", podsPolicy(nil, "sts:AssumeRole")) }, "role", "trust policy", "sts:TagSession", "sts:AssumeRole", true, "sts:TagSession"},
		{"another namespace", func(p *podPatient) {
			p.trusts("pods", podsPolicy(condition("StringEquals", "aws:RequestTag/kubernetes-namespace", "prod"), both...))
		}, "role", "trust policy", "kubernetes-namespace default", "kubernetes-namespace prod", true, "prod"},
		{"another cluster", func(p *podPatient) {
			p.trusts("pods", podsPolicy(condition("ArnEquals", "aws:SourceArn", strings.Replace(devCluster, "dev", "prod", 1)), both...))
		}, "role", "trust policy", devCluster, "cluster/prod", true, "cluster/prod"},
		{"an address", func(p *podPatient) {
			p.trusts("pods", podsPolicy(condition("IpAddress", "aws:SourceIp", "127.0.0.0/8"), both...))
		}, "role", "trust policy", "no condition on aws:SourceIp", "127.0.0.0/8", true, "aws:SourceIp"},
		{"a provider alone", func(p *podPatient) { p.trusts("pods", p.iss.Trust("default", "app")) }, "role", "trust policy", "pods.eks.amazonaws.com", "others", true, "sts:AssumeRole"},
		{"tags switched off", func(p *podPatient) {
			p.trusts("pods", podsPolicy(condition("StringEquals", "aws:RequestTag/kubernetes-namespace", "default"), both...))
			p.update(eks.UpdatePodIdentityAssociationInput{DisableSessionTags: new(true)})
		}, "role", "trust policy", "session tags", "kubernetes-namespace", true, "kubernetes-namespace"},
		{"external id", func(p *podPatient) { p.target("other", both...) }, "role", "target role", "sts:ExternalId " + external, "other", true, "sts:ExternalId"},
		{"target without sts:TagSession", func(p *podPatient) { p.target(external, "sts:AssumeRole") }, "role", "target role", "sts:TagSession", "sts:AssumeRole", true, "sts:TagSession"},
		{"target deleted", func(p *podPatient) {
			p.target(external, both...)
			_, err := p.iam.DeleteRole(p.t.Context(), &iam.DeleteRoleInput{RoleName: new("target")})
			p.check(err)
		}, "role", "target role", "role/target", "no role", true, ""},
		{"agent may not", func(p *podPatient) {
			_, err := p.iam.DeleteRolePolicy(p.t.Context(), &iam.DeleteRolePolicyInput{RoleName: new("agent"), PolicyName: new("exchange")})
			p.check(err)
		}, "pod identity", "agent's credentials", devCluster, "implicitDeny", false, ""},
		{"agent's role deleted", func(p *podPatient) {
			_, err := p.iam.DeleteRolePolicy(p.t.Context(), &iam.DeleteRolePolicyInput{RoleName: new("agent"), PolicyName: new("exchange")})
			p.check(err)
			_, err = p.iam.DeleteRole(p.t.Context(), &iam.DeleteRoleInput{RoleName: new("agent")})
			p.check(err)
		}, "pod identity", "agent's credentials", "role/agent", "no role", false, ""},
		{"agent's role trusts another", func(p *podPatient) { p.trusts("agent", p.iss.Trust("kube-system", "agent")) }, "pod identity", "agent's credentials", "kube-system:openirsa-agent", "kube-system:agent", false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPodPatient(t)
			test.breakIt(p)
			findings := p.diagnose()
			got, ok := doctor.First(findings)
			if !ok {
				t.Fatalf("nothing is broken: %+v", findings)
			}
			if got.Link != test.link || got.Check != test.check || !strings.Contains(got.Expected, test.expected) ||
				!strings.Contains(got.Found, test.found) || got.Fix.Shell("SETUP") == "" || got.Expected == got.Found {
				t.Errorf("broken: %+v\nwant %+v", got, test)
			}
			x := p.facts.PodIdentity.Exchange
			if refused := x.Code != ""; refused != test.refused || !strings.Contains(x.Reason, test.reason) || refused && x.Reason == "" {
				t.Errorf("EKS Auth says %+v, want %q in its reason", x, test.reason)
			}
		})
	}
}

// EKS Auth is asked where agents ask it, which the AWS SDKs have a variable for.
func TestEndpointOfEKSAuth(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amzn-Errortype", "ThrottlingException:http://internal.amazon.com/")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(other.Close)
	p := newPodPatient(t)
	for k, v := range map[string]string{
		"AWS_ENDPOINT_URL": p.URL, "AWS_ENDPOINT_URL_EKS_AUTH": other.URL, "AWS_REGION": emulatortest.Region,
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "HOME": t.TempDir(),
	} {
		t.Setenv(k, v)
	}
	var err error
	p.e.chain.Account, err = account.Connect(t.Context(), account.Options{})
	p.check(err)
	p.diagnose()
	if x := p.facts.PodIdentity.Exchange; x.Status != http.StatusTooManyRequests || x.Code != "ThrottlingException" {
		t.Errorf("%+v", x)
	}
}

// What there is in the cluster: an agent of either name, its pods, its keys, and pods that
// look for it.
func TestPodIdentityInCluster(t *testing.T) {
	aws := emulatortest.Start(t)
	api := kubefake.New(t)
	c, err := cluster.Connect(t.Context(), cluster.Options{Kubeconfig: api.Kubeconfig(t, "dev")})
	if err != nil {
		t.Fatal(err)
	}
	e := &Examination{chain: &chain.Chain{Cluster: c}}
	var p doctor.PodIdentity
	if e.agent(t.Context(), &p); p.Used || p.Agent.DaemonSet != nil || p.Agent.Err != nil {
		t.Errorf("in a cluster without: %+v", p)
	}
	const pods = "/api/v1/namespaces/"
	api.Put(pods+"default/pods/app", &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "app", Labels: map[string]string{irsa.PodIdentityLabel: "enabled"}},
		Spec:       corev1.PodSpec{ServiceAccountName: "app"},
	})
	api.Put(pods+"default/pods/old", &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "old", Labels: map[string]string{irsa.PodIdentityLabel: "enabled"}},
		Spec:       corev1.PodSpec{ServiceAccountName: "old"}, Status: corev1.PodStatus{Phase: corev1.PodSucceeded},
	})
	api.Node("plain", "10.0.0.1")
	api.Put("/api/v1/nodes/auto", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "auto", Labels: map[string]string{"eks.amazonaws.com/compute-type": "auto"}}})
	if e.agent(t.Context(), &p); !p.Used || len(e.byAgent) != 1 || !e.byAgent["default/app"] {
		t.Errorf("with a pod of it: %+v, %v", p, e.byAgent)
	}
	d := agentOf("")
	d.Name = "eks-pod-identity-agent"
	d.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: irsa.EnvAccessKey, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: "agent"}, Key: irsa.EnvAccessKey,
	}}}}
	api.Put("/apis/apps/v1/namespaces/kube-system/daemonsets/"+d.Name, d)
	api.Put(pods+"kube-system/pods/agent-1", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "agent-1", Labels: d.Spec.Selector.MatchLabels}})
	p = doctor.PodIdentity{}
	if e.agent(t.Context(), &p); p.Cluster != "dev" || len(p.Agent.Pods) != 1 || len(p.Agent.BuiltIn) != 1 || !p.Agent.BuiltIn["auto"] {
		t.Errorf("with an agent: %+v", p)
	}

	// Whose keys it has.
	e.chain.Account = connect(t, aws)
	p.EKS = &doctor.EKSCluster{ARN: strings.Replace(devCluster, "123456789012", aws.Account(), 1)}
	if e.agentIdentity(t.Context(), &p); p.Agent.NoKeys != "no such Secret" || p.Agent.Secret != "kube-system/agent" {
		t.Errorf("without its Secret: %+v", p.Agent)
	}
	key, arn := userKey(t, aws, map[string]any{"Effect": "Allow", "Action": "eks-auth:*", "Resource": p.EKS.ARN})
	api.Put(pods+"kube-system/secrets/agent", &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "agent"}, Data: map[string][]byte{irsa.EnvAccessKey: []byte(key)},
	})
	p.Agent.NoKeys = ""
	if e.agentIdentity(t.Context(), &p); p.Agent.Identity != arn || p.Agent.Grant != "allowed" || p.Agent.NoKeys != "" {
		t.Errorf("with a user's keys: %+v", p.Agent)
	}
	p.EKS.ARN += "-2"
	if e.agentIdentity(t.Context(), &p); p.Agent.Grant != "implicitDeny" {
		t.Errorf("of another cluster: %+v", p.Agent)
	}

	// The record goes before what the agent says.
	e.chain.Installed, e.chain.Record = true, record.Record{Cluster: "prod", PodIdentity: true}
	if e.agent(t.Context(), &p); p.Cluster != "prod" || !p.Installed {
		t.Errorf("with a record: %+v", p)
	}
}

// userKey makes a user who may do what a statement says, and is the id of its key.
func userKey(t *testing.T, a *emulatortest.AWS, statement map[string]any) (key, arn string) {
	t.Helper()
	client := iam.NewFromConfig(a.Config())
	user, err := client.CreateUser(t.Context(), &iam.CreateUserInput{UserName: new("agent"), Path: new("/nodes/")})
	if err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{statement}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: new("agent"), PolicyName: new("p"), PolicyDocument: new(string(document))}); err != nil {
		t.Fatal(err)
	}
	made, err := client.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: new("agent")})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(made.AccessKey.AccessKeyId), aws.ToString(user.User.Arn)
}
