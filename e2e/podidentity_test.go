package e2e

import (
	"fmt"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const podsAudience = "pods.eks.amazonaws.com"

// podToken is a token of a pod that kubelet could give it, for an audience.
func (k *kube) podToken(t testing.TB, p pod, serviceAccount, audience string) string {
	t.Helper()
	live, err := k.client.CoreV1().Pods(p.namespace).Get(suite, p.name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := k.client.CoreV1().ServiceAccounts(p.namespace).CreateToken(suite, serviceAccount, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{
			Audiences:      []string{audience},
			BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: p.name, UID: live.UID},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return tr.Status.Token
}

// askAgent asks the agent on the node for credentials, and returns its status and what it says.
func (k *kube) askAgent(t testing.TB, token string) string {
	t.Helper()
	return k.node(t, fmt.Sprintf(`curl -s --max-time 10 -w ' %%{http_code}' -H 'Authorization: %s' http://169.254.170.23/v1/credentials`, token))
}

// podIdentity: pods get roles from the agent on their node by the association of their service account, with AWS's own CLI
// and boto3, and nobody else does.
func podIdentity(t *testing.T, k *kube, ns string) {
	const sa = "courier"
	associate := func(args ...string) result {
		t.Helper()
		return k.setup(t, append([]string{"podidentityassociation"}, args...)...)
	}
	create := []string{"create", "--namespace", ns, "--service-account-name", sa, "--permission-policy-arns", readOnly,
		"--create-service-account", "--approve"}
	associate(create...).ok(t)
	if r := associate(create...).ok(t); !strings.Contains(r.stdout, "Everything is unchanged") {
		t.Errorf("a second run: %s", r.stdout)
	}
	if r := associate("get", "--namespace", ns, "-o", "json").ok(t); !strings.Contains(r.stdout, `"ServiceAccountName": "courier"`) {
		t.Errorf("get: %s", r.stdout)
	}

	r := k.run(t, podSpec{namespace: ns, name: sa, serviceAccount: sa, image: awscli, args: []string{"bash", "-euc", `
aws sts get-caller-identity --query Arn --output text
aws iam list-groups --query Groups --output json
python3 -c 'import boto3; print("boto3", boto3.client("sts").get_caller_identity()["Arn"])'`}})
	if r.code != 0 || !strings.Contains(r.stdout, ":assumed-role/openirsa-pods-") || !strings.Contains(r.stdout, "/eks-openirsa-e-courier-") ||
		!strings.Contains(r.stdout, "boto3 arn:aws:sts::") {
		t.Errorf("a pod with an association: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	// Without an association there is nothing to be had.
	k.serviceAccount(t, ns, "stranger", nil)
	stranger := k.pod(t, podSpec{namespace: ns, name: "stranger", serviceAccount: "stranger", image: awscli,
		args: []string{"sleep", "infinity"}}).running(t)
	if r := stranger.exec(t, "", "bash", "-c", "env | grep AWS_CONTAINER; aws sts get-caller-identity"); r.code == 0 ||
		strings.Contains(r.stdout, "AWS_CONTAINER") {
		t.Errorf("a pod without an association: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	holder := k.pod(t, podSpec{namespace: ns, name: "holder", serviceAccount: sa, image: awscli, args: []string{"sleep", "infinity"}}).running(t)
	if got := k.askAgent(t, k.podToken(t, holder, sa, podsAudience)); !strings.HasSuffix(got, " 200") {
		t.Errorf("a pod's own token: %s", got)
	}
	examine := func(code int, want string) {
		t.Helper()
		if r := k.setup(t, "doctor", "--service-account", ns+"/"+sa); r.code != code || !strings.Contains(r.stdout, want) {
			t.Errorf("doctor: exit %d, want %d and %q: %s%s", r.code, code, want, r.stdout, r.stderr)
		}
	}
	examine(0, "EKS Auth takes the token of pod "+ns+"/")
	for what, c := range map[string]struct{ token, want string }{
		"another service account": {k.podToken(t, stranger, "stranger", podsAudience), "ResourceNotFoundException"},
		"another audience":        {k.podToken(t, holder, sa, "sts.amazonaws.com"), "InvalidTokenException"},
		"no pod":                  {k.token(t, ns, sa, podsAudience), "InvalidTokenException"},
		"no token":                {"x", "cannot be parsed"},
	} {
		if got := k.askAgent(t, c.token); strings.HasSuffix(got, " 200") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
	// The role follows the association: its sessions have no tags now, by which it knew them.
	associate("update", "--namespace", ns, "--service-account-name", sa, "--disable-session-tags").ok(t)
	if got := k.askAgent(t, k.podToken(t, holder, sa, podsAudience)); !strings.HasSuffix(got, " 200") {
		t.Errorf("without session tags: %s", got)
	}
	examine(0, "EKS Auth takes the token of pod "+ns+"/")
	unused := k.podToken(t, holder, sa, podsAudience)
	associate("delete", "--namespace", ns, "--service-account-name", sa).ok(t)
	if got := k.askAgent(t, unused); !strings.Contains(got, "ResourceNotFoundException") || !strings.HasSuffix(got, " 404") {
		t.Errorf("after the association was deleted: %s", got)
	}
	examine(1, "podidentityassociation create --namespace "+ns+" --service-account-name "+sa)
	stranger.remove(t)
	holder.remove(t)
}
