package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// moveToPodIdentity: a workload whose service account is annotated with a role goes over to EKS Pod Identity with the
// same role, step by step: it has the role before, between and after.
func moveToPodIdentity(t *testing.T, k *kube, ns, sa string) {
	labels := map[string]any{"app": "mover", testLabel: "true"}
	mover := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": map[string]any{"name": "mover", "namespace": ns},
		"spec": map[string]any{"serviceName": "mover", "selector": map[string]any{"matchLabels": map[string]any{"app": "mover"}},
			"template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": map[string]any{
				"serviceAccountName": sa, "terminationGracePeriodSeconds": int64(1),
				"containers": []any{map[string]any{"name": "main", "image": awscli.Ref, "imagePullPolicy": "Never",
					"command": []any{"sleep", "infinity"}}}}}}}}
	k.apply(t, mover)
	defer k.remove(t, mover)
	p := pod{k, ns, "mover-0"}
	// has checks by which way the pod gets its role, and that it has it.
	has := func(variable, session string) {
		t.Helper()
		poll(t, patience, "waiting for "+p.String(), func(ctx context.Context) error {
			r, err := p.tryExec(ctx, "", "bash", "-euc", "env; aws sts get-caller-identity --query Arn --output text; aws iam list-groups >/dev/null")
			if err == nil && (r.code != 0 || !strings.Contains(r.stdout, variable+"=") || !strings.Contains(r.stdout, session)) {
				err = fmt.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
			}
			return err
		})
	}
	role := k.annotations(t, ns, sa)["eks.amazonaws.com/role-arn"]
	name := role[strings.LastIndex(role, "/")+1:]
	const token, agent = "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	has(token, ":assumed-role/"+name+"/")

	move := func(args ...string) result {
		t.Helper()
		return k.setup(t, append([]string{"migrate-to-pod-identity", "--namespace", ns, "--service-account-name", sa}, args...)...)
	}
	if r := move("--restart").ok(t); !strings.Contains(r.stdout, "Nothing was changed") || !strings.Contains(r.stdout, "mover") {
		t.Errorf("the plan: %s", r.stdout)
	}
	move("--approve", "--remove-irsa").fails(t, "1 pod", "still use IRSA", ns+"/mover-0", "--restart --remove-irsa")
	k.setup(t, "podidentityassociation", "wait", "--namespace", ns, "--service-account-name", sa).ok(t)
	has(token, ":assumed-role/"+name+"/") // as it was

	move("--approve", "--restart", "--remove-irsa").ok(t)
	has(agent, ":assumed-role/"+name+"/eks-")
	if a := k.annotations(t, ns, sa); a["eks.amazonaws.com/role-arn"] != "" {
		t.Errorf("the service account still has the annotations %v", a)
	}
	k.setup(t, "doctor", "--service-account", ns+"/"+sa).ok(t)
	if r := move("--approve", "--restart", "--remove-irsa").ok(t); !strings.Contains(r.stdout, "Everything is unchanged") {
		t.Errorf("A52, a second run: %s", r.stdout)
	}

	// A new pod has the role by an association of a file, too.
	file := filepath.Join(t.TempDir(), "cluster.yaml")
	text := "apiVersion: openirsa.dev/v1alpha1\nkind: Cluster\nemulator: true\npodIdentityAssociations:\n" +
		"- {namespace: %s, serviceAccountName: filed, permissionPolicyARNs: [%s], createServiceAccount: true}\n"
	if err := os.WriteFile(file, fmt.Appendf(nil, text, ns, readOnly), 0o600); err != nil {
		t.Fatal(err)
	}
	k.setup(t, "up", "--config", file).ok(t)
	r := k.run(t, podSpec{namespace: ns, name: "filed", serviceAccount: "filed", image: client, args: []string{"/client", "identity"}})
	if r.code != 0 || !strings.Contains(r.stdout, "/eks-") {
		t.Errorf("a pod with an association of the file: exit %d: %s", r.code, r.stdout)
	}

	// Switched off, the rest of the chain stays.
	k.setup(t, "up", "--emulator", "--pod-identity=false").fails(t, "association", "--delete-associations")
	has(agent, "/eks-")
	k.setup(t, "up", "--emulator", "--pod-identity=false", "--delete-associations").ok(t)
	if _, err := k.client.AppsV1().DaemonSets(metav1.NamespaceSystem).Get(suite, "openirsa-agent", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the agent's DaemonSet: %v, want none", err)
	}
	r = k.run(t, podSpec{namespace: ns, name: "worker", serviceAccount: "worker", image: client, args: []string{"/client", "identity"}})
	if r.code != 0 || strings.Contains(r.stdout, "/eks-") {
		t.Errorf("a pod with IRSA: exit %d: %s", r.code, r.stdout)
	}
}
