package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

const podsAudience = "pods.eks.amazonaws.com"

// podToken is a token of a pod that kubelet could give it, for an audience.
func (k *kube) podToken(t testing.TB, p pod, serviceAccount, audience string) string {
	t.Helper()
	token, err := k.tryPodToken(suite, p, serviceAccount, audience)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (k *kube) tryPodToken(ctx context.Context, p pod, serviceAccount, audience string) (string, error) {
	live, err := k.client.CoreV1().Pods(p.namespace).Get(ctx, p.name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	tr, err := k.client.CoreV1().ServiceAccounts(p.namespace).CreateToken(ctx, serviceAccount, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{
			Audiences:      []string{audience},
			BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: p.name, UID: live.UID},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return tr.Status.Token, nil
}

// credentialsURL is what SDKs in pods ask.
const credentialsURL = "http://169.254.170.23/v1/credentials"

// granted is the answer of an agent that gives credentials. They are nobody's business, not even a test's log's.
const granted = "200"

// askAgent asks the agent on the node for credentials with a token, as a pod's SDK does. It returns granted, or what the agent
// says and its status.
func (k *kube) askAgent(t testing.TB, token string) string {
	t.Helper()
	got, err := k.tryAskAgent(suite, token)
	if err != nil {
		t.Fatalf("asking the agent: %v", err)
	}
	return got
}

func (k *kube) tryAskAgent(ctx context.Context, token string) (string, error) {
	got, err := k.tryNodeInput(ctx, "curl -sS --max-time 10 -w ' %{http_code}' -H @- "+credentialsURL, "Authorization: "+token)
	if strings.HasSuffix(got, " "+granted) {
		got = granted
	}
	return got, err
}

// agentRefuses checks that a token gets no credentials, what the pod is told, and at which step the emulator refused it; ""
// if the agent did so itself. It returns the emulator's reason.
func (k *kube) agentRefuses(t testing.TB, what, token, want, step string) event {
	t.Helper()
	from := k.mark(t)
	if got := k.askAgent(t, token); got == granted || !strings.Contains(got, want) {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
	return k.exchangeDenied(t, what, from, step)
}

// exchangeDenied checks at which step the emulator has refused a token after a mark; "" if nobody has asked it. It returns its
// reason.
func (k *kube) exchangeDenied(t testing.TB, what string, from uint64, step string) event {
	t.Helper()
	for _, e := range slices.Backward(k.exchanges(t, from)) {
		if e.Decision == "deny" {
			if e.Step != step {
				t.Errorf("%s: refused at step %q, want %q: %s", what, e.Step, step, e.Reason)
			}
			return e
		}
	}
	if step != "" {
		t.Errorf("%s: the emulator has no event of it", what)
	}
	return event{}
}

// exchanges are the emulator's events of EKS Auth after a mark.
func (k *kube) exchanges(t testing.TB, from uint64) []event {
	t.Helper()
	list, _, err := k.events(suite, url.Values{"after": {strconv.FormatUint(from, 10)}})
	if err != nil {
		t.Fatalf("reading events: %v", err)
	}
	return slices.DeleteFunc(list, func(e event) bool { return e.Operation != "AssumeRoleForPodIdentity" })
}

// forgedPod is a token that says that it is another pod's, with the signature of the first.
func forgedPod(t testing.TB, token string) string {
	t.Helper()
	part := strings.Split(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(part[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil {
		t.Fatal(err)
	}
	claims["kubernetes.io"].(map[string]any)["pod"] = map[string]any{"name": "another", "uid": "00000000-0000-4000-8000-000000000000"}
	if text, err = json.Marshal(claims); err != nil {
		t.Fatal(err)
	}
	return part[0] + "." + base64.RawURLEncoding.EncodeToString(text) + "." + part[2]
}

const courier = "courier" // the service account

// associate runs the command podidentityassociation for the service account in a namespace.
func (k *kube) associate(t testing.TB, verb, ns string, args ...string) result {
	t.Helper()
	return k.setup(t, append([]string{"podidentityassociation", verb, "--namespace", ns, "--service-account-name", courier}, args...)...)
}

// podIdentity: pods get roles from the agent on their node by the association of their service account, with AWS's own CLI,
// boto3 and the AWS SDK for Go, and nobody else does.
func podIdentity(t *testing.T, k *kube, ns string) {
	create := []string{"--permission-policy-arns", readOnly, "--create-service-account", "--approve"}
	k.associate(t, "create", ns, create...).ok(t)
	if r := k.associate(t, "create", ns, create...).ok(t); !strings.Contains(r.stdout, "Everything is unchanged") {
		t.Errorf("a second run: %s", r.stdout)
	}
	if r := k.associate(t, "get", ns, "-o", "json").ok(t); !strings.Contains(r.stdout, `"ServiceAccountName": "courier"`) {
		t.Errorf("get: %s", r.stdout)
	}

	watcher := k.pod(t, podSpec{namespace: ns, name: "watcher", serviceAccount: courier, image: client, args: []string{"/client", "watch"}})
	holder := k.pod(t, podSpec{namespace: ns, name: "holder", serviceAccount: courier, image: awscli, args: []string{"sleep", "infinity"}}).running(t)
	r := holder.exec(t, "", "bash", "-euc", `
aws sts get-caller-identity --query Arn --output text
aws iam list-groups --query Groups --output json
python3 -c 'import boto3; print("boto3", boto3.client("sts").get_caller_identity()["Arn"])'`)
	if r.code != 0 || !strings.Contains(r.stdout, ":assumed-role/openirsa-pods-") || !strings.Contains(r.stdout, "/eks-openirsa-e-holder-") ||
		!strings.Contains(r.stdout, "boto3 arn:aws:sts::") {
		t.Errorf("a pod with an association: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	javaScript(t, k, ns)
	// Without an association there is nothing to be had.
	k.serviceAccount(t, ns, "stranger", nil)
	stranger := k.pod(t, podSpec{namespace: ns, name: "stranger", serviceAccount: "stranger", image: awscli,
		args: []string{"sleep", "infinity"}}).running(t)
	if r := stranger.exec(t, "", "bash", "-c", "env | grep AWS_CONTAINER; aws sts get-caller-identity"); r.code == 0 ||
		strings.Contains(r.stdout, "AWS_CONTAINER") {
		t.Errorf("a pod without an association: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	own := k.podToken(t, holder, courier, podsAudience)
	if got := k.askAgent(t, own); got != granted {
		t.Errorf("a pod's own token: %s", got)
	}
	storm(t, k, ns)
	examine := func(code int, want string) {
		t.Helper()
		if r := k.setup(t, "doctor", "--service-account", ns+"/"+courier); r.code != code || !strings.Contains(r.stdout, want) {
			t.Errorf("doctor: exit %d, want %d and %q: %s%s", r.code, code, want, r.stdout, r.stderr)
		}
	}
	examine(0, "EKS Auth takes the token of pod "+ns+"/")
	past := expired(t, k, own)
	for _, c := range []struct{ what, token, want, step string }{
		{"another service account", k.podToken(t, stranger, "stranger", podsAudience), "ResourceNotFoundException", "association"},
		{"another audience", k.podToken(t, holder, courier, "sts.amazonaws.com"), "InvalidTokenException", "audience"},
		{"no pod", k.token(t, ns, courier, podsAudience), "InvalidTokenException", "claims"},
		{"a forged pod", forgedPod(t, own), "InvalidTokenException", "signature"},
		{"no token", "x", "cannot be parsed", ""},
		{"an expired token", past, "token is expired", ""},
	} {
		k.agentRefuses(t, c.what, c.token, c.want, c.step)
	}
	// The agent has not asked EKS Auth about the last one, which refuses it too.
	from := k.mark(t)
	if r := holder.exec(t, past, "python3", "-c", fmt.Sprintf(exchange, region, k.Name)); r.code != 0 || r.stdout != "ExpiredTokenException 400\n" {
		t.Errorf("an expired token at EKS Auth: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if e := k.exchangeDenied(t, "an expired token at EKS Auth", from, "claims"); e.Code != "ExpiredTokenException" {
		t.Errorf("an expired token at EKS Auth: code %q: %s", e.Code, e.Reason)
	}
	stranger.remove(t)
	agentKilled(t, k, holder, watcher)
	watcher.remove(t)

	// The role follows the association: its sessions have no tags now, by which it knew them.
	k.associate(t, "update", ns, "--disable-session-tags").ok(t)
	if got := k.askAgent(t, k.podToken(t, holder, courier, podsAudience)); got != granted {
		t.Errorf("without session tags: %s", got)
	}
	examine(0, "EKS Auth takes the token of pod "+ns+"/")
	podPolicies(t, k, ns, holder)
	unused := k.podToken(t, holder, courier, podsAudience)
	k.associate(t, "delete", ns).ok(t)
	k.agentRefuses(t, "after the association was deleted", unused, "ResourceNotFoundException", "association")
	examine(1, "podidentityassociation create --namespace "+ns+" --service-account-name "+courier)
	holder.remove(t)
}

// exchange asks EKS Auth itself, as the root user of the account, about the token on its standard input.
const exchange = `
import boto3, botocore.exceptions, sys
auth = boto3.client("eks-auth", region_name=%q, aws_access_key_id="test", aws_secret_access_key="test")
try:
    auth.assume_role_for_pod_identity(clusterName=%q, token=sys.stdin.read())
    print("granted")
except botocore.exceptions.ClientError as e:
    print(e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"])
`

// storm: twenty pods ask the agent at once, each ten times. All get credentials, and EKS Auth is asked once for each pod.
func storm(t *testing.T, k *kube, ns string) {
	const pods, times = 20, 10
	defer func() {
		if err := k.client.CoreV1().Pods(ns).DeleteCollection(suite, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))},
			metav1.ListOptions{LabelSelector: "app=storm"}); err != nil {
			t.Errorf("removing the pods of the storm: %v", err)
		}
	}()
	var asks []string // each a part of curl's configuration
	for i := range pods {
		// Nobody places it on a node: what counts is its token.
		p := k.pod(t, podSpec{namespace: ns, name: fmt.Sprint("storm-", i), serviceAccount: courier, image: client, args: []string{"/client", "sleep"},
			labels: map[string]string{"app": "storm"}, scheduler: "nobody"})
		asks = append(asks, fmt.Sprintf("url = %q\nheader = \"Authorization: %s\"\noutput = /dev/null\nwrite-out = %q\nmax-time = 30\n",
			credentialsURL, k.podToken(t, p, courier, podsAudience), `%{http_code} `))
	}
	metrics := func() (misses, exchanges int) {
		t.Helper()
		page := k.node(t, "curl -sS --fail --max-time 10 http://localhost:2705/metrics")
		return metricOf(t, page, `pod_identity_cache_state{state="miss"}`), metricOf(t, page, `pod_identity_exchange_duration_seconds_count{code="OK"}`)
	}
	misses, exchanges := metrics()
	from, start := k.mark(t), time.Now()
	out, err := k.tryNodeInput(suite, fmt.Sprintf("curl -sS --parallel --parallel-immediate --parallel-max %d --config -", pods*times),
		strings.Join(slices.Repeat(asks, times), "next\n"))
	if err != nil {
		t.Fatalf("asking the agent: %v", err)
	}
	took := time.Since(start)
	if n := strings.Count(out+" ", granted+" "); n != pods*times {
		t.Errorf("of %d requests %d got credentials: %s", pods*times, n, out)
	}
	nowMisses, nowExchanges := metrics()
	if nowMisses-misses != pods || nowExchanges-exchanges != pods {
		t.Errorf("the agent counts %d misses and %d exchanges for the tokens of %d pods", nowMisses-misses, nowExchanges-exchanges, pods)
	}
	count := map[string]int{} // of sessions, by pod
	for _, e := range k.exchanges(t, from) {
		if e.Action == "sts:AssumeRole" && e.Decision == "allow" {
			count[e.Pod]++
		} else if e.Decision == "deny" {
			t.Errorf("in the storm: %s", e)
		}
	}
	for i := range pods {
		name := fmt.Sprint(ns, "/storm-", i)
		if count[name] != 1 {
			t.Errorf("EKS Auth gave pod %s %d sessions, want 1", name, count[name])
		}
	}
	t.Logf("%d requests of %d pods at once were answered in %.1fs, with %d exchanges", pods*times, pods, took.Seconds(), nowExchanges-exchanges)
}

// javaScript: the AWS SDK for JavaScript v3 finds the agent by its default chain.
func javaScript(t *testing.T, k *kube, ns string) {
	image := k.javaScript(t)
	r := k.run(t, podSpec{namespace: ns, name: "javascript", serviceAccount: courier, image: image, args: []string{"/usr/bin/node",
		"--input-type=module", "--eval", `
import { STSClient, GetCallerIdentityCommand } from "@aws-sdk/client-sts";
import { IAMClient, ListGroupsCommand } from "@aws-sdk/client-iam";
console.log((await new STSClient().send(new GetCallerIdentityCommand())).Arn);
console.log("groups", (await new IAMClient().send(new ListGroupsCommand())).Groups.length);`}})
	if r.code != 0 || !strings.Contains(r.stdout, ":assumed-role/openirsa-pods-") || !strings.Contains(r.stdout, "-javascript-") ||
		!strings.Contains(r.stdout, "groups ") {
		t.Errorf("a pod with JavaScript: exit %d: %s", r.code, r.stdout)
	}
}

// javaScript is an image with Node.js and the AWS SDK for JavaScript, which the cluster has.
func (k *kube) javaScript(t testing.TB) kindenv.Image {
	t.Helper()
	if err := kindenv.Install(suite, os.Stderr, "node", "npm"); err != nil {
		t.Fatal(err)
	}
	modules, err := kindenv.NodeModules(suite, filepath.Join("clients", "scenarios"), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	image, err := kindenv.JavaScript(suite, t.TempDir(), modules)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Load(suite, image); err != nil {
		t.Fatal(err)
	}
	return image
}

// exchanging has the agent exchange new tokens of a pod with an association, until the function that it returns is called:
// tokens of two issuers, and none is refused.
func exchanging(t *testing.T, k *kube, ns string) (end func()) {
	t.Helper()
	k.namespace(t, ns)
	k.associate(t, "create", ns, "--permission-policy-arns", readOnly, "--create-service-account", "--approve").ok(t)
	k.associate(t, "wait", ns).ok(t) // or else the pod may be made before the webhook knows it, and doctor says so in the end
	p := k.pod(t, podSpec{namespace: ns, name: "exchanging", serviceAccount: courier, image: client, args: []string{"/client", "sleep"}}).running(t)
	ctx, cancel := context.WithCancel(suite)
	count := map[string]int{} // by issuer
	var wg sync.WaitGroup
	wg.Go(func() {
		for ; ctx.Err() == nil; time.Sleep(time.Second) {
			token, err := k.tryPodToken(ctx, p, courier, podsAudience)
			if err != nil {
				continue // the API server is between two of its lives
			}
			answer, err := k.tryAskAgent(ctx, token)
			if err != nil {
				if ctx.Err() == nil {
					t.Errorf("asking the agent: %v", err)
				}
				continue
			}
			var claims struct{ Iss string }
			if text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1]); err == nil {
				json.Unmarshal(text, &claims)
			}
			if answer != granted {
				t.Errorf("a token of %s: %s", claims.Iss, answer)
			}
			count[claims.Iss]++
		}
	})
	stop := func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return func() {
		t.Helper()
		stop()
		t.Logf("exchanged by the agent: %v", count)
		if len(count) != 2 {
			t.Errorf("tokens of %d issuers were exchanged, want 2", len(count))
		}
		p.remove(t)
	}
}

// renewing calls STS until there is a file /tmp/stop. The SDK renews before each call, as it does in the minutes before
// credentials end: it goes on with those that it has if that fails.
const renewing = `
import boto3, os, time
session = boto3.session.Session()
credentials = session.get_credentials()
credentials._advisory_refresh_timeout = 24 * 3600
renew, renewed, missed, called, failed = credentials._refresh_using, 0, 0, 0, 0
def counted():
    global renewed, missed
    try:
        new = renew()
        renewed += 1
        return new
    except Exception:
        missed += 1
        raise
credentials._refresh_using = counted
sts, end = session.client("sts"), time.time() + 100
while not os.path.exists("/tmp/stop") and time.time() < end:
    try:
        sts.get_caller_identity()
        called += 1
    except Exception as e:
        failed += 1
        print(e)
    with open("/tmp/renewed", "w") as f:
        f.write(str(renewed))
    time.sleep(0.2)
print(f"{called} calls, {failed} failed, {renewed} renewals, {missed} missed")
`

// agentKilled: no call of a running pod fails while there is no agent, neither of one that renews its credentials nor of one
// that has them (watcher).
func agentKilled(t *testing.T, k *kube, holder, watcher pod) {
	lines := func() []string { return strings.Split(strings.TrimSpace(watcher.logs(t)), "\n") }
	poll(t, patience, "waiting for the watcher's first answers", func(context.Context) error {
		if l := lines(); len(l) < 2 || !strings.Contains(l[len(l)-1], ":assumed-role/openirsa-pods-") {
			return fmt.Errorf("its log: %q", l)
		}
		return nil
	})
	ended := make(chan result, 1)
	go func() {
		r, err := holder.tryExec(suite, renewing, "python3", "-")
		if err != nil {
			r.stderr += err.Error()
		}
		ended <- r
	}()
	renewals := func(more int) (all int) {
		t.Helper()
		poll(t, patience, "waiting for renewals", func(context.Context) error {
			r := holder.exec(t, "", "cat", "/tmp/renewed")
			var err error
			if all, err = strconv.Atoi(r.stdout); err == nil && all < more {
				err = fmt.Errorf("%d, want %d", all, more)
			}
			return err
		})
		return all
	}
	before, seen := renewals(3), len(lines())
	k.node(t, "pkill -KILL -x agent")
	start := time.Now()
	poll(t, patience, "waiting for the agent", func(ctx context.Context) error {
		_, err := k.tryNode(ctx, "curl -s --max-time 2 http://169.254.170.23/") // 404
		return err
	})
	t.Logf("the agent is back after %.1fs", time.Since(start).Seconds())
	renewals(before + 5)
	holder.exec(t, "", "touch", "/tmp/stop")
	if r := <-ended; r.code != 0 || !strings.Contains(r.stdout, " calls, 0 failed, ") {
		t.Errorf("a pod that renews while the agent is killed: exit %d: %s%s", r.code, r.stdout, r.stderr)
	} else {
		t.Logf("a pod that renews: %s", r.stdout)
	}
	after := lines()
	for _, line := range after {
		if !strings.HasPrefix(line, "ok ") {
			t.Errorf("the watcher: %s", line)
		}
	}
	if len(after) <= seen {
		t.Errorf("the watcher has stopped after %d calls", seen)
	}
}

// does is what a pod may do, and who it is, by the default chain of boto3.
const does = `
import boto3
print("arn", boto3.client("sts").get_caller_identity()["Arn"])
iam = boto3.client("iam")
for call in ("list_groups", "list_users", "list_roles"):
    try:
        getattr(iam, call)()
        print(call, "allowed")
    except iam.exceptions.ClientError as e:
        print(call, e.response["Error"]["Code"])
`

// podPolicies: one role for two namespaces, told apart by the tags of their sessions; a target role, which one service
// account alone may have; a session policy; and a trust policy without sts:TagSession.
func podPolicies(t *testing.T, k *kube, ns string, holder pod) {
	other := ns + "-other"
	k.namespace(t, other)
	const shared, target = "arn:aws:iam::" + account + ":role/e2e-shared", "arn:aws:iam::" + account + ":role/e2e-target"
	type m = map[string]any
	pods := func(actions ...string) string {
		return emulatortest.Document(m{"Effect": "Allow", "Principal": m{"Service": podsAudience}, "Action": actions})
	}
	may := emulatortest.Document(
		m{"Effect": "Allow", "Action": "iam:ListGroups", "Resource": "*", "Condition": m{"StringEquals": m{"aws:PrincipalTag/kubernetes-namespace": ns}}},
		m{"Effect": "Allow", "Action": []string{"iam:ListUsers", "iam:ListRoles"}, "Resource": "*"},
		m{"Effect": "Allow", "Action": []string{"sts:AssumeRole", "sts:TagSession"}, "Resource": target})
	from := m{"AWS": shared}
	targetTrust := emulatortest.Document(
		m{"Effect": "Allow", "Principal": from, "Action": "sts:AssumeRole", "Condition": m{"StringEquals": m{
			"sts:ExternalId": strings.Join([]string{region, account, k.Name, ns, courier}, "/")}}},
		m{"Effect": "Allow", "Principal": from, "Action": "sts:TagSession"})
	admin := func(script string, args ...any) {
		t.Helper()
		const client = "import boto3\niam = boto3.client('iam', aws_access_key_id='test', aws_secret_access_key='test')\n"
		holder.exec(t, client+fmt.Sprintf(script, args...), "python3", "-").ok(t)
	}
	admin("iam.create_role(RoleName='e2e-shared', AssumeRolePolicyDocument=%q)\niam.put_role_policy(RoleName='e2e-shared', PolicyName='p', PolicyDocument=%q)\n"+
		"iam.create_role(RoleName='e2e-target', AssumeRolePolicyDocument=%q)\n", pods("sts:AssumeRole", "sts:TagSession"), may, targetTrust)

	k.associate(t, "update", ns, "--role-arn", shared, "--no-disable-session-tags").ok(t)
	k.associate(t, "create", other, "--role-arn", shared, "--create-service-account", "--approve").ok(t)
	foreign := k.pod(t, podSpec{namespace: other, name: "foreign", serviceAccount: courier, image: awscli, args: []string{"sleep", "infinity"}}).running(t)
	fresh := func(p pod) string { t.Helper(); return k.podToken(t, p, courier, podsAudience) }
	check := func(what string, p pod, words ...string) {
		t.Helper()
		// A new token is exchanged anew, and the pod's own has what came of it.
		if got := k.askAgent(t, fresh(p)); got != granted {
			t.Errorf("%s: %s", what, got)
		}
		r := p.exec(t, does, "python3", "-")
		for _, word := range words {
			if !strings.Contains(r.stdout, word) {
				t.Errorf("%s: no %q: exit %d: %s%s", what, word, r.code, r.stdout, r.stderr)
			}
		}
	}
	check("the namespace of the tag", holder, ":assumed-role/e2e-shared/eks-", "list_groups allowed", "list_users allowed")
	check("another namespace", foreign, ":assumed-role/e2e-shared/eks-", "list_groups AccessDenied", "list_users allowed")

	k.associate(t, "update", ns, "--target-role-arn", target).ok(t)
	k.associate(t, "update", other, "--target-role-arn", target).ok(t)
	check("a target role", holder, ":assumed-role/e2e-target/eks-", "list_users AccessDenied")
	const cannot = "EKS does not have permissions to assume the associated role"
	if e := k.agentRefuses(t, "the target role of another", fresh(foreign), cannot, "permission"); e.Action != "sts:AssumeRole" || e.Resource != target {
		t.Errorf("the target role of another: %+v", e)
	}

	policy := emulatortest.Document(m{"Effect": "Allow", "Action": "iam:ListUsers", "Resource": "*"})
	k.associate(t, "update", ns, "--target-role-arn", "", "--disable-session-tags", "--policy", policy).ok(t)
	check("a session policy", holder, ":assumed-role/e2e-shared/eks-", "list_users allowed", "list_roles AccessDenied")

	k.associate(t, "update", other, "--target-role-arn", "").ok(t)
	admin("iam.update_assume_role_policy(RoleName='e2e-shared', PolicyDocument=%q)\n", pods("sts:AssumeRole"))
	if e := k.agentRefuses(t, "a trust policy without sts:TagSession", fresh(foreign), cannot, "trust"); e.Action != "sts:TagSession" {
		t.Errorf("a trust policy without sts:TagSession: %+v", e)
	}
	unused := fresh(foreign) // its service account goes with the association
	k.associate(t, "delete", other).ok(t)
	k.agentRefuses(t, "another namespace without an association", unused, "ResourceNotFoundException", "association")
	foreign.remove(t)
}
