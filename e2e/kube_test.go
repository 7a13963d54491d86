package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
	"sigs.k8s.io/kind/pkg/cluster/nodes"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
	"github.com/openirsa/openirsa/pkg/node"
)

// kube is a cluster as its administrator sees it.
type kube struct {
	*kindenv.Cluster
	config     *rest.Config
	client     *kubernetes.Clientset
	kubeconfig string // file with this cluster alone
	first      node.Node
}

func newKube(c *kindenv.Cluster, kubeconfig string) (*kube, error) {
	data, err := c.KubeconfigData()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(kubeconfig, data, 0o600); err != nil {
		return nil, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(data)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 100, 200
	n, err := c.Node()
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	return &kube{Cluster: c, config: config, client: client, kubeconfig: kubeconfig,
		first: node.Container("docker", n.String(), true)}, err
}

// patience is how long a test waits for what takes a quiet machine seconds.
const patience = 6 * time.Minute

// poll calls check twice a second until it returns nil, and fails t with its last error after the time.
func poll(t testing.TB, within time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(suite, within)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(suite); cause != nil {
				t.Fatalf("%s: %v", what, cause)
			}
			t.Fatalf("%s: not within %v: %v", what, within, err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// testLabel marks what tests made, so that it does not count as left behind by the product.
const testLabel = "openirsa.dev/e2e"

// steady returns when somebody leads kube-controller-manager and kube-scheduler, where leaders are elected. Both end when
// the API server is away for longer than their leases, and kubelet starts them again later and later, in the end after five
// minutes; restarted itself, it has forgotten that.
func (k *kube) steady(t testing.TB) {
	t.Helper()
	restart := time.Now().Add(15 * time.Second)
	poll(t, patience, "waiting for the controllers of "+k.Name, func(ctx context.Context) error {
		var err error
		for _, name := range []string{"kube-controller-manager", "kube-scheduler"} {
			lease, e := k.client.CoordinationV1().Leases(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
			switch {
			case apierrors.IsNotFound(e):
				e = nil
			case e == nil && (lease.Spec.RenewTime == nil || time.Since(lease.Spec.RenewTime.Time) > 25*time.Second):
				e = fmt.Errorf("nobody leads %s", name)
			}
			err = errors.Join(err, e)
		}
		if err == nil || time.Now().Before(restart) {
			return err
		}
		restart = time.Now().Add(time.Minute)
		list, e := k.Nodes()
		if e != nil {
			return e
		}
		for _, n := range list {
			err = errors.Join(err, n.CommandContext(ctx, "systemctl", "restart", "kubelet").Run())
		}
		return err
	})
}

// namespace makes a namespace if it is not there, and waits for its default service account.
func (k *kube) namespace(t testing.TB, name string) {
	t.Helper()
	k.steady(t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{testLabel: "true"}}}
	if _, err := k.client.CoreV1().Namespaces().Create(suite, ns, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatalf("making namespace %s: %v", name, err)
	}
	poll(t, patience, "default service account of "+name, func(ctx context.Context) error {
		_, err := k.client.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// serviceAccount makes a service account, or gives the one that is there exactly these annotations. One that it makes
// goes with the test: doctor would find whatever is wrong with it.
func (k *kube) serviceAccount(t testing.TB, namespace, name string, annotations map[string]string) {
	t.Helper()
	accounts := k.client.CoreV1().ServiceAccounts(namespace)
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations,
		Labels: map[string]string{testLabel: "true"}}}
	_, err := accounts.Create(suite, sa, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		if _, err := accounts.Update(suite, sa, metav1.UpdateOptions{}); err != nil {
			t.Fatalf("changing service account %s/%s: %v", namespace, name, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("making service account %s/%s: %v", namespace, name, err)
	}
	t.Cleanup(func() {
		if err := accounts.Delete(context.WithoutCancel(suite), name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("removing service account %s/%s: %v", namespace, name, err)
		}
	})
}

// annotations of a service account.
func (k *kube) annotations(t testing.TB, namespace, name string) map[string]string {
	t.Helper()
	sa, err := k.client.CoreV1().ServiceAccounts(namespace).Get(suite, name, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("reading service account %s/%s: %v", namespace, name, err)
	}
	return sa.Annotations
}

// token asks the API server for a token of a service account.
func (k *kube) token(t testing.TB, namespace, name string, audiences ...string) string {
	t.Helper()
	tr := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
	tr, err := k.client.CoreV1().ServiceAccounts(namespace).CreateToken(suite, name, tr, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("requesting a token of %s/%s: %v", namespace, name, err)
	}
	return tr.Status.Token
}

// whoami asks the API server whose token this is.
func (k *kube) whoami(ctx context.Context, token string) (string, error) {
	config := rest.AnonymousClientConfig(k.config)
	config.BearerToken = token
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", err
	}
	r, err := c.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return r.Status.UserInfo.Username, nil
}

// podSpec is a pod of one container.
type podSpec struct {
	namespace, name string
	serviceAccount  string // default: default
	image           kindenv.Image
	args            []string // the program and its arguments
	env             map[string]string
	labels          map[string]string
	scheduler       string // default: Kubernetes' own
}

// pod is a pod that was made.
type pod struct {
	k               *kube
	namespace, name string
}

func (p pod) String() string { return p.namespace + "/" + p.name }

// pod makes a pod. One of the same name is removed first: steps can be run again.
func (k *kube) pod(t testing.TB, s podSpec) pod {
	t.Helper()
	k.steady(t)
	p := pod{k, s.namespace, s.name}
	p.remove(t)
	var env []corev1.EnvVar
	for _, name := range slices.Sorted(maps.Keys(s.env)) {
		env = append(env, corev1.EnvVar{Name: name, Value: s.env[name]})
	}
	o := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: s.name, Labels: map[string]string{testLabel: "true"}},
		Spec: corev1.PodSpec{
			ServiceAccountName: s.serviceAccount, SchedulerName: s.scheduler, RestartPolicy: corev1.RestartPolicyNever,
			TerminationGracePeriodSeconds: new(int64(1)),
			// kind leaves the taint where there are several nodes.
			Tolerations: []corev1.Toleration{{Key: "node-role.kubernetes.io/control-plane", Operator: corev1.TolerationOpExists}},
			Containers: []corev1.Container{{
				Name: "main", Image: s.image.Ref, ImagePullPolicy: corev1.PullNever, Command: s.args, Env: env,
			}},
		},
	}
	maps.Copy(o.Labels, s.labels)
	// The API server may be between two of its lives, and the webhook with it.
	poll(t, patience, "making pod "+p.String(), func(ctx context.Context) error {
		_, err := k.client.CoreV1().Pods(s.namespace).Create(ctx, o, metav1.CreateOptions{})
		return err
	})
	return p
}

func (p pod) get(ctx context.Context) (*corev1.Pod, error) {
	return p.k.client.CoreV1().Pods(p.namespace).Get(ctx, p.name, metav1.GetOptions{})
}

func (p pod) remove(t testing.TB) {
	t.Helper()
	pods := p.k.client.CoreV1().Pods(p.namespace)
	poll(t, patience, "removing pod "+p.String(), func(ctx context.Context) error {
		err := pods.Delete(ctx, p.name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			err = errors.New("still there")
		}
		return err
	})
}

// running waits until the pod's container runs.
func (p pod) running(t testing.TB) pod {
	t.Helper()
	poll(t, patience, "waiting for pod "+p.String(), func(ctx context.Context) error {
		o, err := p.get(ctx)
		if err != nil {
			return err
		}
		if o.Status.Phase != corev1.PodRunning {
			return fmt.Errorf("phase %s: %s", o.Status.Phase, podTrouble(o))
		}
		return nil
	})
	return p
}

func podTrouble(o *corev1.Pod) string {
	var trouble []string
	for _, s := range o.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil {
			trouble = append(trouble, w.Reason+" "+w.Message)
		}
		if e := s.State.Terminated; e != nil {
			trouble = append(trouble, fmt.Sprintf("exit %d %s", e.ExitCode, e.Reason))
		}
	}
	return strings.Join(trouble, "; ")
}

// result is what a program did.
type result struct {
	stdout, stderr string // of a pod's container, which has one log, all is in stdout
	code           int
	took           time.Duration
}

// finished waits for the pod's end.
func (p pod) finished(t testing.TB) result {
	t.Helper()
	var code int32
	start := time.Now()
	poll(t, patience, "waiting for the end of pod "+p.String(), func(ctx context.Context) error {
		o, err := p.get(ctx)
		if err != nil {
			return err
		}
		if s := o.Status.ContainerStatuses; len(s) == 1 && s[0].State.Terminated != nil {
			code = s[0].State.Terminated.ExitCode
			return nil
		}
		return fmt.Errorf("phase %s: %s", o.Status.Phase, podTrouble(o))
	})
	return result{stdout: p.logs(t), code: int(code), took: time.Since(start)}
}

// run makes a pod, waits for its end and removes it.
func (k *kube) run(t testing.TB, s podSpec) result {
	t.Helper()
	p := k.pod(t, s)
	r := p.finished(t)
	p.remove(t)
	return r
}

func (p pod) logs(t testing.TB) string {
	t.Helper()
	b, err := p.k.client.CoreV1().Pods(p.namespace).GetLogs(p.name, &corev1.PodLogOptions{}).DoRaw(suite)
	if err != nil {
		t.Fatalf("reading the log of pod %s: %v", p, err)
	}
	return string(b)
}

// exec runs a program in the pod's container.
func (p pod) exec(t testing.TB, stdin string, args ...string) result {
	t.Helper()
	r, err := p.tryExec(suite, stdin, args...)
	if err != nil {
		t.Fatalf("running %v in pod %s: %v", args, p, err)
	}
	return r
}

func (p pod) tryExec(ctx context.Context, stdin string, args ...string) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req := p.k.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(p.namespace).Name(p.name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: args, Stdin: stdin != "", Stdout: true, Stderr: true}, scheme.ParameterCodec)
	ex, err := remotecommand.NewWebSocketExecutor(p.k.config, "GET", req.URL().String())
	if err != nil {
		return result{}, err
	}
	var stdout, stderr bytes.Buffer
	o := remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr}
	if stdin != "" {
		o.Stdin = io.Reader(strings.NewReader(stdin))
	}
	start := time.Now()
	err = ex.StreamWithContext(ctx, o)
	r := result{stdout: stdout.String(), stderr: stderr.String(), took: time.Since(start)}
	if exit, ok := errors.AsType[exec.CodeExitError](err); ok {
		r.code, err = exit.Code, nil
	}
	return r, err
}

// dynamic is how to reach objects of this one's kind and namespace.
func (k *kube) dynamic(t testing.TB, o *unstructured.Unstructured) dynamic.ResourceInterface {
	t.Helper()
	c, err := dynamic.NewForConfig(k.config)
	if err != nil {
		t.Fatal(err)
	}
	plural, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
	if ns := o.GetNamespace(); ns != "" {
		return c.Resource(plural).Namespace(ns)
	}
	return c.Resource(plural)
}

// apply does what `kubectl apply --server-side` does.
func (k *kube) apply(t testing.TB, objects ...*unstructured.Unstructured) {
	t.Helper()
	for _, o := range objects {
		if _, err := k.dynamic(t, o).Apply(suite, o.GetName(), o, metav1.ApplyOptions{FieldManager: "e2e", Force: true}); err != nil {
			t.Fatalf("applying %s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

// remove deletes objects, the last one first, and waits until they are gone.
func (k *kube) remove(t testing.TB, objects ...*unstructured.Unstructured) {
	t.Helper()
	for _, o := range slices.Backward(objects) {
		if err := k.dynamic(t, o).Delete(suite, o.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Fatalf("deleting %s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
	for _, o := range objects {
		poll(t, patience, "waiting for the end of "+o.GetKind()+" "+o.GetName(), func(ctx context.Context) error {
			_, err := k.dynamic(t, o).Get(ctx, o.GetName(), metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return cmp.Or(err, errors.New("still there"))
		})
	}
}

// available waits until a Deployment runs as it is specified now, and no pod of a former specification is left: a
// webhook that is being ended keeps answering for some seconds.
func (k *kube) available(t testing.TB, namespace, name string, within time.Duration) {
	t.Helper()
	poll(t, within, "waiting for Deployment "+namespace+"/"+name, func(ctx context.Context) error {
		d, err := k.client.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		s, want := d.Status, *d.Spec.Replicas
		if s.ObservedGeneration != d.Generation || s.UpdatedReplicas != want || s.AvailableReplicas != want || s.Replicas != want {
			return fmt.Errorf("%d of %d replicas are available, %d up to date, %d in all", s.AvailableReplicas, want, s.UpdatedReplicas, s.Replicas)
		}
		list, err := k.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(d.Spec.Selector)})
		if err == nil && len(list.Items) != int(want) {
			err = fmt.Errorf("%d pods, want %d", len(list.Items), want)
		}
		return err
	})
}

// nodeNamed is a node of the cluster; "" is the first.
func (k *kube) nodeNamed(name string) (nodes.Node, error) {
	list, err := k.Nodes()
	if err != nil {
		return nil, err
	}
	if name == "" {
		return list[0], nil
	}
	i := slices.IndexFunc(list, func(n nodes.Node) bool { return n.String() == name })
	if i < 0 {
		return nil, fmt.Errorf("cluster %s has no node %s", k.Name, name)
	}
	return list[i], nil
}

// node runs a shell command on the cluster's first node and returns what it wrote.
func (k *kube) node(t testing.TB, script string) string {
	t.Helper()
	out, err := k.tryNode(suite, script)
	if err != nil {
		t.Fatalf("on the node of %s: %v", k.Name, err)
	}
	return out
}

func (k *kube) tryNode(ctx context.Context, script string) (string, error) {
	return k.tryNodeInput(ctx, script, "")
}

// tryNodeInput gives the command standard input: what is secret must not be in the command, which the node's list of
// processes has, and the error of one that fails.
func (k *kube) tryNodeInput(ctx context.Context, script, stdin string) (string, error) {
	var in io.Reader
	if stdin != "" {
		in = strings.NewReader(stdin)
	}
	var out bytes.Buffer
	if err := k.first.Exec(ctx, in, &out, "bash", "-c", script); err != nil {
		return "", err
	}
	return strings.TrimSpace(out.String()), nil
}
