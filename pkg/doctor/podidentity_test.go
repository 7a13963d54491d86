package doctor_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/token"
)

const (
	clusterARN = "arn:aws:eks:us-east-1:" + account + ":cluster/dev"
	podsRole   = "arn:aws:iam::" + account + ":role/pods"
	targetRole = "arn:aws:iam::" + account + ":role/target"
	agentRole  = "arn:aws:iam::" + account + ":role/agent"
	externalID = "us-east-1/" + account + "/dev/default/app"
	podsUsed   = `{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}`
)

var errRefused = errors.New("connection refused")

// podsTrust is a trust policy for the service, with a condition or without.
func podsTrust(condition string, actions ...string) string {
	if actions == nil {
		actions = []string{"sts:AssumeRole", "sts:TagSession"}
	}
	s := `{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["` + strings.Join(actions, `","`) + `"]`
	if condition != "" {
		s += `,"Condition":{` + condition + `}`
	}
	return statements(s + `}`)
}

func statements(all ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(all, ",") + `]}`
}

// associated is a healthy chain of EKS Pod Identity, and nothing of IRSA.
func associated(t *testing.T) *chain {
	t.Helper()
	c := healthy(t)
	c.f.ServiceAccount.Annotations, c.f.Role, c.f.Provider, c.f.Call = nil, nil, nil, nil
	c.mint(func(k *token.Claims) { k.Audience = token.Strings{irsa.CredentialsAudience} })
	c.f.PodIdentity = doctor.PodIdentity{
		Used: true, Installed: true, Cluster: "dev", Region: "us-east-1",
		EKS: &doctor.EKSCluster{ARN: clusterARN, Issuer: "https://" + host, Status: "ACTIVE"},
		Association: &doctor.Association{
			ID: "a-dt1bedfjc72dlwp5n", ARN: "arn:aws:eks:us-east-1:" + account + ":podidentityassociation/dev/a-dt1bedfjc72dlwp5n",
			RoleARN: podsRole, Created: now.Add(-24 * time.Hour),
		},
		Role: &doctor.Role{Name: "pods", ARN: podsRole, PolicyARNs: []string{policy}, Trust: []byte(podsTrust(
			`"StringEquals":{"aws:RequestTag/eks-cluster-arn":"` + clusterARN + `","aws:RequestTag/kubernetes-namespace":"default","aws:RequestTag/kubernetes-service-account":"app"}`))},
		Agent: doctor.Agent{
			DaemonSet: &appsv1.DaemonSet{
				ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "openirsa-agent"},
				Spec: appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
					ServiceAccountName: "openirsa-agent", Containers: []corev1.Container{{Name: "agent", Command: []string{"/agent"}, Args: []string{"--cluster-name=dev"}}},
				}}},
				Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 2, NumberReady: 2},
			},
			Pods:     []corev1.Pod{agentPod("agent-1", "node-1", corev1.ConditionTrue), agentPod("agent-2", "node-2", corev1.ConditionTrue)},
			Identity: agentRole, Grant: "allowed",
			Role: &doctor.Role{Name: "agent", ARN: agentRole, Trust: trustPolicy(provider, host, "system:serviceaccount:kube-system:openirsa-agent")},
		},
		Exchange: &doctor.Exchange{Pod: "default/app-5d9c7b7f6-x2x9z", Identity: "arn:aws:sts::" + account + ":assumed-role/pods/eks-dev-app-5d9c7b-0"},
	}
	c.f.Webhook.Args = []string{"--pod-identity-cluster=dev", "--pod-identity-exclude-namespaces=kube-system"}
	c.f.Webhook.Trial = &doctor.Trial{CredentialsURI: irsa.CredentialsURI}
	p := c.pod()
	p.UID, p.Spec.NodeName = "0cda7f85-c1f9-4dee-b6e9-a0b50c8f3012", "node-1"
	p.Spec.Containers[0].Env = []corev1.EnvVar{
		{Name: irsa.EnvCredentialsURI, Value: irsa.CredentialsURI},
		{Name: irsa.EnvCredentialsTokenFile, Value: irsa.CredentialsMountPath + "/" + irsa.CredentialsTokenFile},
	}
	p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: irsa.CredentialsVolume, MountPath: irsa.CredentialsMountPath}}
	p.Spec.Volumes[0].Name = irsa.CredentialsVolume
	*p.Spec.Volumes[0].Projected.Sources[0].ServiceAccountToken = corev1.ServiceAccountTokenProjection{
		Audience: irsa.CredentialsAudience, Path: irsa.CredentialsTokenFile,
	}
	return c
}

func agentPod(name, node string, ready corev1.ConditionStatus) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name}, Spec: corev1.PodSpec{NodeName: node},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}},
	}
}

// pods is the trust policy of the association's role.
func (c *chain) podsTrust(document string) { c.f.PodIdentity.Role.Trust = []byte(document) }

// target gives the association a target role that lets the first one in.
func (c *chain) target() *doctor.Role {
	p := &c.f.PodIdentity
	p.Association.TargetRoleARN, p.Association.ExternalID = targetRole, externalID
	p.Grants = map[string]string{"sts:AssumeRole": "allowed", "sts:TagSession": "allowed"}
	p.Target = &doctor.Role{Name: "target", ARN: targetRole, Trust: []byte(targetTrust(externalID, "sts:AssumeRole", "sts:TagSession"))}
	p.Exchange.Identity = "arn:aws:sts::" + account + ":assumed-role/target/eks-dev-app-5d9c7b-0"
	return p.Target
}

func targetTrust(id string, actions ...string) string {
	return statements(`{"Effect":"Allow","Principal":{"AWS":"` + podsRole + `"},"Action":["` + strings.Join(actions, `","`) + `"],"Condition":{"StringEquals":{"sts:ExternalId":"` + id + `"}}}`)
}

// setEnv gives the container a variable of its own.
func (c *chain) setEnv(name, value string) {
	c.container().Env = append(c.container().Env, corev1.EnvVar{Name: name, Value: value})
}

func (c *chain) unsetEnv() { c.container().Env, c.container().VolumeMounts = nil, nil }

func (c *chain) refuse(status int, code, message string) {
	c.f.PodIdentity.Exchange = &doctor.Exchange{Pod: "default/app", Status: status, Code: code, Message: message}
}

func TestPodIdentityHealthy(t *testing.T) {
	c := associated(t)
	links := map[string]bool{}
	for _, f := range doctor.Diagnose(c.f) {
		links[f.Link] = true
		if f.Result != doctor.OK {
			t.Errorf("%+v", f)
		}
	}
	for _, link := range []string{"pod identity", "association", "role", "webhook", "pod", "credentials"} {
		if !links[link] {
			t.Errorf("%s is not looked at", link)
		}
	}
	if links["provider"] {
		t.Error("it takes no provider, and one is looked at")
	}
	// What all service accounts share.
	c.f.Namespace, c.f.Name, c.f.ServiceAccount, c.f.Raw, c.f.Pods = "", "", nil, "", nil
	c.f.PodIdentity.Association, c.f.PodIdentity.Role, c.f.PodIdentity.Exchange = nil, nil, nil
	c.f.Provider = &doctor.Provider{ARN: provider, ClientIDs: []string{irsa.Audience}}
	c.f.Webhook.Trial, c.f.Webhook.NamespaceLabels = nil, nil
	said := false
	for _, f := range doctor.Diagnose(c.f) {
		said = said || f.Link == "pod identity"
		if f.Result != doctor.OK {
			t.Errorf("%+v", f)
		}
	}
	if !said {
		t.Error("nothing is said of the agent")
	}
}

// Each fault of the chain of EKS Pod Identity is found at its link, with both values and
// what to do.
func TestPodIdentityBroken(t *testing.T) {
	for _, test := range []struct {
		name                               string
		breakIt                            func(c *chain)
		link, check, expected, found, next string // of the last three a part
	}{
		// the cluster
		{"cluster not registered", func(c *chain) {
			c.f.PodIdentity.EKS, c.f.PodIdentity.Clusters = nil, []string{"prod"}
		}, "pod identity", "cluster", "cluster dev in EKS, account " + account, "clusters prod", "SETUP up"},
		{"cluster not registered, installed by others", func(c *chain) {
			c.f.PodIdentity.EKS, c.f.PodIdentity.Installed = nil, false
		}, "pod identity", "cluster", "cluster dev", "none", "SETUP up --emulator --pod-identity"},
		{"cluster registered with another issuer", func(c *chain) {
			c.f.PodIdentity.EKS.Issuer = "https://old.example.com"
		}, "pod identity", "cluster", "issuer https://" + host, "issuer https://old.example.com", "SETUP up"},
		{"cluster being deleted", func(c *chain) { c.f.PodIdentity.EKS.Status = "DELETING" }, "pod identity", "cluster", "ACTIVE", "DELETING", "aws eks describe-cluster"},

		// the association
		{"no association, and a pod with its variables", func(c *chain) {
			c.f.PodIdentity.Association, c.f.PodIdentity.Nearby = nil, []string{"default/web"}
			c.mint(nil)
		}, "association", "association", "an association of default/app in cluster dev", "default/web", "SETUP podidentityassociation create --namespace default --service-account-name app --permission-policy-arns ARN --approve"},
		{"no service account", func(c *chain) {
			c.f.ServiceAccount, c.f.Raw = nil, ""
		}, "service account", "service account", "default/app", "no such", "kubectl --namespace default create serviceaccount app"},
		{"role of another account", func(c *chain) {
			c.f.PodIdentity.Association.RoleARN = "arn:aws:iam::999999999999:role/pods"
		}, "association", "association", "a role of account " + account, "arn:aws:iam::999999999999:role/pods", "--target-role-arn arn:aws:iam::999999999999:role/pods"},

		// its role
		{"role does not exist", func(c *chain) { c.f.PodIdentity.Role = nil }, "role", "role of association", podsRole, "no role of that name", "SETUP podidentityassociation create"},
		{"role with another path", func(c *chain) {
			c.f.PodIdentity.Role.ARN = "arn:aws:iam::" + account + ":role/a/pods"
		}, "role", "role of association", ":role/a/pods in the association", podsRole, "SETUP podidentityassociation update --namespace default --service-account-name app --role-arn arn:aws:iam::" + account + ":role/a/pods"},
		{"trust of a provider alone", func(c *chain) {
			c.podsTrust(string(trustPolicy(provider, host, subject)))
		}, "role", "trust policy", "Service pods.eks.amazonaws.com", "1 statements about others", "pods.eks.amazonaws.com"},
		{"trust of another service", func(c *chain) {
			c.podsTrust(strings.ReplaceAll(podsTrust(""), "pods.eks.", "ec2."))
		}, "role", "trust policy", "Service pods.eks.amazonaws.com", "Principal ec2.amazonaws.com", "aws iam update-assume-role-policy --role-name pods"},
		{"trust of everyone", func(c *chain) {
			c.podsTrust(strings.Replace(podsTrust(""), `{"Service":"pods.eks.amazonaws.com"}`, `{"AWS":"*"}`, 1))
		}, "role", "trust policy", "Service pods.eks.amazonaws.com", "*", "update-assume-role-policy"},
		{"trust without sts:TagSession", func(c *chain) {
			c.podsTrust(podsTrust("", "sts:AssumeRole"))
		}, "role", "trust policy", "Action sts:TagSession", "Action sts:AssumeRole", "update-assume-role-policy"},
		{"trust for the wrong action", func(c *chain) {
			c.podsTrust(podsTrust("", "sts:AssumeRoleWithWebIdentity"))
		}, "role", "trust policy", "Action sts:AssumeRole", "Action sts:AssumeRoleWithWebIdentity", "update-assume-role-policy"},
		{"namespace tag", func(c *chain) {
			c.podsTrust(podsTrust(`"StringEquals":{"aws:RequestTag/kubernetes-namespace":"prod"}`))
		}, "role", "trust policy", "aws:RequestTag/kubernetes-namespace default", "aws:RequestTag/kubernetes-namespace prod", "kubernetes-namespace"},
		{"service account tag", func(c *chain) {
			c.podsTrust(podsTrust(`"StringEquals":{"aws:RequestTag/kubernetes-service-account":"web"}`))
		}, "role", "trust policy", "kubernetes-service-account app", "kubernetes-service-account web", "update-assume-role-policy"},
		{"cluster name tag", func(c *chain) {
			c.podsTrust(podsTrust(`"StringEquals":{"aws:RequestTag/eks-cluster-name":"prod"}`))
		}, "role", "trust policy", "eks-cluster-name dev", "eks-cluster-name prod", "update-assume-role-policy"},
		{"source ARN", func(c *chain) {
			c.podsTrust(podsTrust(`"ArnEquals":{"aws:SourceArn":"arn:aws:eks:us-east-1:` + account + `:cluster/prod"}`))
		}, "role", "trust policy", "aws:SourceArn " + clusterARN, "cluster/prod", "update-assume-role-policy"},
		{"source account", func(c *chain) {
			c.podsTrust(podsTrust(`"StringEquals":{"aws:SourceAccount":"999999999999"}`))
		}, "role", "trust policy", "aws:SourceAccount " + account, "aws:SourceAccount 999999999999", "update-assume-role-policy"},
		{"pod name", func(c *chain) {
			c.podsTrust(podsTrust(`"StringLike":{"aws:RequestTag/kubernetes-pod-name":"web-*"}`))
		}, "role", "trust policy", "app-5d9c7b7f6-x2x9z", "web-*", "update-assume-role-policy"},
		{"the agent's address, which the call has not", func(c *chain) {
			c.podsTrust(podsTrust(`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`))
		}, "role", "trust policy", "no condition on aws:SourceIp", "10.0.0.0/8", "update-assume-role-policy"},
		{"an external id, which only the target sees", func(c *chain) {
			c.podsTrust(podsTrust(`"StringEquals":{"sts:ExternalId":"` + externalID + `"}`))
		}, "role", "trust policy", "no condition on sts:ExternalId", externalID, "update-assume-role-policy"},
		{"tags switched off, and asked for", func(c *chain) {
			c.f.PodIdentity.Association.DisableSessionTags = true
		}, "role", "trust policy", "session tags, or no condition on", "eks-cluster-arn", "SETUP podidentityassociation update --namespace default --service-account-name app --no-disable-session-tags"},
		{"Deny of tags", func(c *chain) {
			c.podsTrust(statements(podsUsed, `{"Effect":"Deny","Principal":"*","Action":"sts:TagSession"}`))
		}, "role", "trust policy", "no Deny of sts:TagSession", "statement 1", "aws iam get-role --role-name pods"},

		// the target role
		{"no target role", func(c *chain) { c.target(); c.f.PodIdentity.Target = nil }, "role", "target role", targetRole, "no role of that name", "SETUP podidentityassociation update"},
		{"external id of another service account", func(c *chain) {
			c.target().Trust = []byte(targetTrust(strings.Replace(externalID, "/app", "/web", 1), "sts:AssumeRole", "sts:TagSession"))
		}, "role", "target role", "sts:ExternalId " + externalID, "/web", externalID},
		{"target without sts:TagSession", func(c *chain) {
			c.target().Trust = []byte(targetTrust(externalID, "sts:AssumeRole"))
		}, "role", "target role", "Action sts:TagSession", "Action sts:AssumeRole", "aws iam update-assume-role-policy --role-name target"},
		{"target trusts another role", func(c *chain) {
			r := c.target()
			r.Trust = []byte(strings.ReplaceAll(string(r.Trust), podsRole, agentRole))
		}, "role", "target role", "AWS " + podsRole, agentRole, "aws iam update-assume-role-policy --role-name target"},
		{"target in another account, not granted", func(c *chain) {
			c.target()
			c.f.PodIdentity.Association.TargetRoleARN = "arn:aws:iam::999999999999:role/target"
			c.f.PodIdentity.Grants["sts:TagSession"] = "implicitDeny"
		}, "role", "target role", "Allow sts:TagSession on arn:aws:iam::999999999999:role/target", "implicitDeny by the policies of " + podsRole, "aws iam put-role-policy --role-name pods"},

		// the agent
		{"no agent", func(c *chain) { c.f.PodIdentity.Agent = doctor.Agent{} }, "pod identity", "agent", "DaemonSet openirsa-agent", "none", "SETUP up"},
		{"agent of another cluster", func(c *chain) {
			c.f.PodIdentity.Agent.DaemonSet.Spec.Template.Spec.Containers[0].Args = []string{"--cluster-name", "prod"}
		}, "pod identity", "agent", "--cluster-name=dev", "--cluster-name=prod", "SETUP up"},
		{"agent's role does not exist", func(c *chain) { c.f.PodIdentity.Agent.Role = nil }, "pod identity", "agent's credentials", agentRole, "no role of that name", "SETUP up"},
		{"agent's role trusts others", func(c *chain) {
			c.f.PodIdentity.Agent.Role.Trust = trustPolicy(provider, host, subject)
		}, "pod identity", "agent's credentials", "kube-system:openirsa-agent", "default:app", "SETUP up"},
		{"agent's role may not exchange", func(c *chain) { c.f.PodIdentity.Agent.Grant = "implicitDeny" }, "pod identity", "agent's credentials",
			"Allow eks-auth:AssumeRoleForPodIdentity on " + clusterARN, "implicitDeny by the policies of " + agentRole, "SETUP up"},
		{"agent's user may not exchange", func(c *chain) {
			a := &c.f.PodIdentity.Agent
			a.Identity, a.Role, a.Grant, a.Secret = "arn:aws:iam::"+account+":user/nodes/agent", nil, "explicitDeny", "kube-system/openirsa-agent"
			c.f.PodIdentity.Installed = false
		}, "pod identity", "agent's credentials", "eks-auth:AssumeRoleForPodIdentity", "user/nodes/agent", "aws iam put-user-policy --user-name agent"},
		{"agent's Secret is not there", func(c *chain) {
			a := &c.f.PodIdentity.Agent
			a.Identity, a.Role, a.Secret, a.NoKeys = "", nil, "kube-system/openirsa-agent", "no such Secret"
		}, "pod identity", "agent's credentials", "Secret kube-system/openirsa-agent", "no such Secret", "aws iam create-access-key"},
		{"agent on no node", func(c *chain) {
			c.f.PodIdentity.Agent.DaemonSet.Status.NumberReady = 0
			c.f.PodIdentity.Agent.Pods[0].Status.InitContainerStatuses = []corev1.ContainerStatus{{
				Name: "initialize", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
			}}
		}, "pod identity", "agent on node", "2 ready pods", "0 ready pods: container initialize, CrashLoopBackOff", "describe daemonset openirsa-agent"},
		{"agent on nodes of EKS Auto Mode alone", func(c *chain) {
			c.f.PodIdentity.Agent = doctor.Agent{BuiltIn: map[string]bool{"node-2": true}}
		}, "pod identity", "agent on node", "on node-1", "none", "SETUP up"},
		{"agent not on the pod's node", func(c *chain) { c.f.PodIdentity.Agent.Pods = c.f.PodIdentity.Agent.Pods[1:] }, "pod identity", "agent on node", "on node-1", "none", "describe daemonset openirsa-agent"},
		{"agent not ready on the pod's node", func(c *chain) {
			c.f.PodIdentity.Agent.Pods[0] = agentPod("agent-1", "node-1", corev1.ConditionFalse)
		}, "pod identity", "agent on node", "on node-1", "pod agent-1, not ready", "describe pod agent-1"},

		// the webhook
		{"webhook follows nothing", func(c *chain) { c.f.Webhook.Args = []string{"--port=9443"} }, "webhook", "associations", "--pod-identity-cluster=dev", "no --pod-identity-cluster", "SETUP up"},
		{"webhook follows another cluster", func(c *chain) { c.f.Webhook.Args[0] = "--pod-identity-cluster=prod" }, "webhook", "associations", "--pod-identity-cluster=dev", "--pod-identity-cluster=prod", "SETUP up"},
		{"webhook leaves the namespace out", func(c *chain) {
			c.f.Webhook.Args[1] = "--pod-identity-exclude-namespaces=kube-system,default"
		}, "webhook", "associations", "without default", "kube-system,default", "SETUP iamserviceaccount create"},
		{"webhook does not know the association", func(c *chain) { c.f.Webhook.Trial.CredentialsURI = "" }, "webhook", "trial", irsa.EnvCredentialsURI + "=http", "no " + irsa.EnvCredentialsURI, "kubectl --namespace openirsa-system logs"},

		// pods
		{"pod older than the association", func(c *chain) {
			c.unsetEnv()
			c.pod().CreationTimestamp = metav1.NewTime(now.Add(-25 * time.Hour))
		}, "pod", "missed", "made after 2026-11-21T12:00:00Z", "made at 2026-11-21T11:00:00Z", "kubectl --namespace default rollout restart deployment app"},
		{"pod older than the webhook", func(c *chain) {
			c.unsetEnv()
			c.pod().CreationTimestamp = metav1.NewTime(now.Add(-50 * time.Hour))
		}, "pod", "missed", "made after 2026-11-20", "made at 2026-11-20T10", "rollout restart"},
		{"pod that was missed", func(c *chain) { c.unsetEnv() }, "pod", "missed", irsa.EnvCredentialsURI, "made at 2026-11-22T11:00:00Z, while", "rollout restart"},
		{"pod on its node's network that was missed", func(c *chain) {
			c.unsetEnv()
			c.pod().Spec.HostNetwork = true
		}, "pod", "missed", irsa.EnvCredentialsURI, "pods on their node's network do not wait", "rollout restart"},
		{"pod with IRSA's variables besides", func(c *chain) {
			c.setEnv(irsa.EnvRoleARN, roleARN)
			c.setEnv(irsa.EnvTokenFile, irsa.MountPath+"/token")
		}, "pod", "role of pod", "role " + podsRole, irsa.EnvRoleARN + "=" + roleARN, "rollout restart"},
		{"token for another audience", func(c *chain) {
			c.pod().Spec.Volumes[0].Projected.Sources[0].ServiceAccountToken.Audience = irsa.Audience
		}, "pod", "audience of pod", "audience pods.eks.amazonaws.com", "audience sts.amazonaws.com", "rollout restart"},
		{"no mount of the token", func(c *chain) { c.container().VolumeMounts = nil }, "pod", "token file", "a mount at " + irsa.CredentialsMountPath, "none", "rollout restart"},
		{"no token", func(c *chain) { c.container().Env = c.container().Env[:1] }, "pod", "token file", irsa.EnvCredentialsTokenFile, "none", "rollout restart"},
		{"agent at an address of the pod's own", func(c *chain) {
			c.container().Env[0].Value = "http://10.0.0.1/v1/credentials"
		}, "pod", "address of the agent", irsa.CredentialsURI, "http://10.0.0.1", "rollout restart"},
		{"static keys", func(c *chain) { c.setEnv("AWS_ACCESS_KEY_ID", "AKIA") }, "pod", "static keys", "no AWS_ACCESS_KEY_ID", "in env", "rollout restart"},
		{"the variable of ECS", func(c *chain) {
			c.setEnv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2")
		}, "pod", "relative URI", "no AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "in env", "rollout restart"},
		{"Windows", func(c *chain) {
			c.pod().Spec.OS = &corev1.PodOS{Name: corev1.Windows}
		}, "pod", "operating system", "a Linux node", "a Windows node", "SETUP iamserviceaccount create"},
		{"skip label on a pod that is asked about", func(c *chain) {
			c.pod().Labels[irsa.SkipLabel], c.f.PodName = "true", c.pod().Name
		}, "pod", "skipped", "no label", "label", "rollout restart"},

		// what EKS Auth says
		{"EKS Auth refuses the role", func(c *chain) {
			c.refuse(400, "AccessDeniedException", "Unauthorized Exception!")
		}, "credentials", "AssumeRoleForPodIdentity", "credentials of " + podsRole, "AccessDeniedException", "SETUP doctor"},
		{"EKS Auth cannot verify the token", func(c *chain) {
			c.refuse(400, "InvalidTokenException", "invalid")
		}, "credentials", "AssumeRoleForPodIdentity", "the keys of https://" + host, "InvalidTokenException", "SETUP up"},
		{"EKS Auth cannot read the keys", func(c *chain) {
			c.refuse(503, "ServiceUnavailableException", "unavailable")
		}, "credentials", "AssumeRoleForPodIdentity", "the keys of https://" + host, "ServiceUnavailableException", "SETUP doctor"},
		{"EKS Auth's clock", func(c *chain) { c.refuse(400, "ExpiredTokenException", "expired") }, "token", "clock", "AWS's time", "expired", "timedatectl"},
		{"EKS Auth knows no association yet", func(c *chain) {
			c.refuse(404, "ResourceNotFoundException", "none")
		}, "association", "AssumeRoleForPodIdentity", podsRole, "ResourceNotFoundException", "SETUP doctor"},
		{"EKS Auth does not answer", func(c *chain) {
			c.f.PodIdentity.Exchange = &doctor.Exchange{Err: errRefused}
		}, "credentials", "AssumeRoleForPodIdentity", "an answer", "connection refused", "aws sts get-caller-identity"},
		{"another role's credentials", func(c *chain) {
			c.f.PodIdentity.Exchange.Identity = "arn:aws:sts::" + account + ":assumed-role/other/eks"
		}, "credentials", "GetCallerIdentity", "assumed-role/pods/", "assumed-role/other/", "SETUP doctor"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := associated(t)
			test.breakIt(c)
			findings := doctor.Diagnose(c.f)
			got, ok := doctor.First(findings)
			if !ok {
				t.Fatalf("nothing is broken: %+v", findings)
			}
			if got.Link != test.link || got.Check != test.check {
				t.Errorf("broken: %q, %q; want %q, %q: %+v", got.Link, got.Check, test.link, test.check, got)
			}
			for what, pair := range map[string][2]string{"expected": {got.Expected, test.expected}, "found": {got.Found, test.found}, "next": {got.Fix.Shell("SETUP"), test.next}} {
				if pair[1] == "" || !strings.Contains(pair[0], pair[1]) {
					t.Errorf("%s %q, want %q in it", what, pair[0], pair[1])
				}
			}
			if got.Expected == got.Found || got.Summary == "" {
				t.Errorf("nothing differs: %+v", got)
			}
		})
	}
}

// What looks odd and works is not called broken, but may be warned of.
func TestPodIdentityAllowed(t *testing.T) {
	annotated := func(c *chain) {
		good := healthy(c.t)
		c.f.ServiceAccount.Annotations = map[string]string{roleKey: roleARN}
		c.mint(nil)
		c.f.Role, c.f.Provider, c.f.Call = good.f.Role, &doctor.Provider{ARN: provider, ClientIDs: []string{irsa.Audience}}, good.f.Call
	}
	for _, test := range []struct {
		name   string
		change func(c *chain)
		checks string // that warn, or are unknown
	}{
		{"as eksctl makes it", func(c *chain) { c.podsTrust(podsTrust("")) }, ""},
		{"two statements", func(c *chain) {
			c.podsTrust(statements(
				`{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:SourceAccount":"`+account+`"}}}`,
				`{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:TagSession"}`))
		}, ""},
		{"without tags", func(c *chain) {
			c.f.PodIdentity.Association.DisableSessionTags = true
			c.podsTrust(podsTrust(`"ArnEquals":{"aws:SourceArn":"`+clusterARN+`"}`, "sts:AssumeRole"))
		}, ""},
		{"the name of the session, which nobody knows", func(c *chain) {
			c.podsTrust(podsTrust(`"StringLike":{"sts:RoleSessionName":"eks-dev-*"}`))
		}, "trust policy"},
		{"the name of a pod, of which there is none", func(c *chain) {
			c.podsTrust(podsTrust(`"StringLike":{"aws:RequestTag/kubernetes-pod-name":"app-*"}`))
			c.f.Pods, c.f.PodIdentity.Exchange = nil, nil
		}, "trust policy, pods, AssumeRoleForPodIdentity"},
		{"target role", func(c *chain) { c.target() }, ""},
		{"target role that names the first one, whose policies do not name it", func(c *chain) {
			c.target()
			c.f.PodIdentity.Grants = map[string]string{"sts:AssumeRole": "implicitDeny", "sts:TagSession": "implicitDeny"}
		}, ""},
		{"target role of another account", func(c *chain) {
			c.target()
			c.f.PodIdentity.Association.TargetRoleARN, c.f.PodIdentity.Target = "arn:aws:iam::999999999999:role/target", nil
			c.f.PodIdentity.Exchange.Identity = "arn:aws:sts::999999999999:assumed-role/target/eks"
		}, "target role"},
		{"no permissions", func(c *chain) { c.f.PodIdentity.Role.PolicyARNs = nil }, "permissions"},
		{"annotation too", annotated, "two ways"},
		{"annotation too, and a pod from before, with the same role", func(c *chain) {
			annotated(c)
			c.f.PodIdentity.Association.RoleARN, c.f.PodIdentity.Role.ARN, c.f.PodIdentity.Role.Name = roleARN, roleARN, "app"
			c.f.PodIdentity.Exchange.Identity = c.f.Call.Identity
			c.f.Pods = healthy(c.t).f.Pods
			c.f.Pods[0].Spec.NodeName = "node-1"
		}, "two ways, role of pod"},
		{"association that cannot be read, of a service account with an annotation", func(c *chain) {
			annotated(c)
			c.f.Pods = healthy(c.t).f.Pods
			c.f.Webhook.Trial.RoleARN = roleARN
			c.f.PodIdentity.Association, c.f.PodIdentity.AssociationErr = nil, errRefused
		}, "association"},
		{"EKS that cannot be asked", func(c *chain) { c.f.PodIdentity.EKSErr = errRefused }, "cluster"},
		{"whoever asks is not the agent", func(c *chain) { c.refuse(403, "AccessDeniedException", "not authorized") }, "AssumeRoleForPodIdentity"},
		{"the node's credentials", func(c *chain) {
			c.f.PodIdentity.Agent.Identity, c.f.PodIdentity.Agent.Role, c.f.PodIdentity.Agent.Grant = "", nil, ""
		}, ""},
		{"EKS Auto Mode", func(c *chain) { c.f.PodIdentity.Agent = doctor.Agent{BuiltIn: map[string]bool{"node-1": true}} }, ""},
		{"IPv6", func(c *chain) { c.container().Env[0].Value = "http://[fd00:ec2::23]/v1/credentials" }, ""},
		{"profile", func(c *chain) { c.setEnv("AWS_PROFILE", "prod") }, "profile"},
		{"proxy", func(c *chain) { c.setEnv("HTTP_PROXY", "http://proxy:3128") }, "proxy"},
		{"proxy, but not for the agent", func(c *chain) {
			c.setEnv("HTTP_PROXY", "http://proxy:3128")
			c.setEnv("NO_PROXY", "10.0.0.0/8,169.254.170.23")
		}, ""},
		{"container that was added later", func(c *chain) { c.initContainer().Env = nil }, "missed"},
		{"another way to tell the webhook", func(c *chain) {
			c.f.Webhook.Args = []string{"--watch-container-credentials-config=/config/identities.json"}
		}, ""},
		{"a webhook of which nothing is known", func(c *chain) { c.f.Webhook.Args = nil }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := associated(t)
			test.change(c)
			var checks []string
			for _, f := range doctor.Diagnose(c.f) {
				switch f.Result {
				case doctor.Broken:
					t.Errorf("broken: %+v", f)
				case doctor.Warning, doctor.Unknown:
					checks = append(checks, f.Check)
				}
			}
			if got := strings.Join(checks, ", "); got != test.checks {
				t.Errorf("warned of %q, want %q", got, test.checks)
			}
		})
	}
}

// The command for a trust policy that does not let the pods in has them let in, and keeps
// whom it let in before.
func TestPodIdentityMendTrust(t *testing.T) {
	c := associated(t)
	c.podsTrust(statements(`{"Sid":"EC2","Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}`))
	mend := func() string {
		t.Helper()
		broken, ok := doctor.First(doctor.Diagnose(c.f))
		_, document, written := strings.Cut(broken.Fix.Shell("SETUP"), "--policy-document '")
		if !ok || !written {
			t.Fatalf("%+v", broken)
		}
		return strings.TrimSuffix(document, "'")
	}
	c.podsTrust(mend())
	if f, ok := doctor.First(doctor.Diagnose(c.f)); ok || !strings.Contains(string(c.f.PodIdentity.Role.Trust), "EC2") {
		t.Errorf("%+v, %s", f, c.f.PodIdentity.Role.Trust)
	}
	c.f.Name, c.f.ServiceAccount.Name = "web", "web"
	c.mint(func(k *token.Claims) {
		k.Audience, k.Subject = token.Strings{irsa.CredentialsAudience}, token.Subject("default", "web")
	})
	if f, ok := doctor.First(doctor.Diagnose(c.f)); !ok || f.Check != "trust policy" {
		t.Errorf("another service account is let in: %+v", f)
	}

	c = associated(t)
	c.target().Trust = []byte(targetTrust("other", "sts:AssumeRole"))
	c.f.PodIdentity.Target.Trust = []byte(mend())
	if f, ok := doctor.First(doctor.Diagnose(c.f)); ok || !strings.Contains(string(c.f.PodIdentity.Target.Trust), "other") {
		t.Errorf("%+v, %s", f, c.f.PodIdentity.Target.Trust)
	}
}

// In a cluster that has EKS Pod Identity a service account with neither an annotation nor
// an association is said to have neither.
func TestNeitherWay(t *testing.T) {
	c := associated(t)
	c.f.PodIdentity.Association, c.f.Pods, c.f.PodIdentity.Exchange = nil, nil, nil
	c.f.Provider = &doctor.Provider{ARN: provider, ClientIDs: []string{irsa.Audience}}
	c.mint(nil)
	if f, ok := doctor.First(doctor.Diagnose(c.f)); !ok || f.Link != "service account" || !strings.Contains(f.Found, "no association") {
		t.Errorf("%+v", f)
	}
	c.f.PodIdentity.AssociationErr = errRefused
	if f, ok := doctor.First(doctor.Diagnose(c.f)); ok {
		t.Errorf("%+v", f)
	}
	// Associations go with their cluster.
	c.f.PodIdentity.AssociationErr, c.f.PodIdentity.EKS = nil, nil
	if f, ok := doctor.First(doctor.Diagnose(c.f)); !ok || f.Link != "pod identity" || f.Check != "cluster" {
		t.Errorf("%+v", f)
	}
}
