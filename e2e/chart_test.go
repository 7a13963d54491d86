package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/e2e/internal/kindenv"
)

// testChart is the chart in Helm's hands, on the second cluster: the former chart is installed, with the image of today,
// and upgraded to today's under traffic; its test passes, and fails when the webhook does not do its work; and it is
// uninstalled without a trace.
func testChart(t *testing.T) {
	helm, err := kindenv.Tool(suite, os.Stderr, "..", "helm")
	if err != nil {
		t.Fatal(err)
	}
	c := &chartStory{program: helm, webhookStory: &webhookStory{kube: secondary,
		ours: installation{namespace: deploy.Namespace, configuration: deploy.WebhookConfiguration}}}
	c.clean(t)
	before := secondary.snapshot(t)
	t.Cleanup(func() { c.explain(t) })
	c.image = c.loadImage(t)
	c.namespace(t, webhookPods)
	c.serviceAccount(t, webhookPods, "app", withRole(webhookRole))
	for _, s := range []struct {
		name string
		run  func(*testing.T)
	}{{"Former", c.former}, {"Upgrade", c.upgrade}, {"Test", c.test}, {"Uninstall", c.uninstall}} {
		start := time.Now()
		ok := t.Run(s.name, s.run)
		t.Logf("%-16s %.1fs", s.name, time.Since(start).Seconds())
		if err := context.Cause(suite); err != nil {
			t.Fatal(err)
		}
		if !ok {
			t.Fatalf("without %s the rest makes no sense", s.name)
		}
	}
	c.clean(t)
	var diff string
	poll(t, patience, "waiting for the cluster to be as before", func(context.Context) error {
		if diff = gocmp.Diff(before, secondary.snapshot(t)); diff != "" {
			return errors.New("it differs (-before +after):\n" + diff)
		}
		return nil
	})
}

type chartStory struct {
	*webhookStory
	program string // Helm
}

// helm runs Helm for this cluster and the webhook's namespace, and returns all that it writes.
func (c *chartStory) helm(t testing.TB, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(suite, 10*time.Minute)
	defer cancel()
	args = append(args, "--namespace="+c.ours.namespace, "--kubeconfig="+c.kubeconfig)
	cmd := exec.CommandContext(ctx, c.program, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = invocation{}.base()
	start := time.Now()
	err := cmd.Run()
	t.Logf("$ helm %s    # %v, %.1fs\n%s", strings.Join(args, " "), err, time.Since(start).Seconds(), &out)
	return out.String(), err
}

// parts are the flags that give the image to today's chart, and the namespace of its test.
func (c *chartStory) parts() []string {
	registry, rest, _ := strings.Cut(c.image, "/")
	repository, tag, _ := strings.Cut(rest, ":")
	return []string{"--set=image.registry=" + registry, "--set=image.repository=" + repository, "--set-string=image.tag=" + tag,
		"--set=test.namespace=" + webhookPods}
}

// pods are the webhook's, by their UIDs.
func (c *chartStory) pods(t testing.TB) (uids []types.UID) {
	t.Helper()
	list, err := c.client.CoreV1().Pods(c.ours.namespace).List(suite,
		metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + deploy.WebhookName})
	if err != nil {
		t.Fatalf("listing the webhook's pods: %v", err)
	}
	for _, p := range list.Items {
		uids = append(uids, p.UID)
	}
	slices.Sort(uids)
	return uids
}

// former: today's image does with the former chart what its own programs did.
func (c *chartStory) former(t *testing.T) {
	chart := filepath.Join("..", "deploy", "testdata", "openirsa-former.tgz")
	if _, err := c.helm(t, "install", "openirsa", chart, "--create-namespace", "--set=image="+c.image, "--wait", "--timeout=3m"); err != nil {
		t.Fatal(err)
	}
	c.available(t, c.ours.namespace, deploy.WebhookName, patience)
	c.trusted(t, c.ours)
	c.mutating(t, webhookPods, "app", mutatedOnce)
}

// upgrade: to today's chart, which replaces no pod by itself, and to other values, which replace all: no pod of a
// workload is refused or missed, and there are never fewer replicas than before.
func (c *chartStory) upgrade(t *testing.T) {
	chart := filepath.Join("..", "deploy", "chart")
	was := c.pods(t)
	available := c.fewest(t)
	tr := c.traffic(t, webhookPods, "app")
	upgrade := func(more ...string) {
		t.Helper()
		args := slices.Concat([]string{"upgrade", "openirsa", chart, "--wait", "--timeout=3m"}, c.parts(), more)
		if _, err := c.helm(t, args...); err != nil {
			t.Fatal(err)
		}
		c.available(t, c.ours.namespace, deploy.WebhookName, patience)
	}
	upgrade()
	if now := c.pods(t); !slices.Equal(was, now) {
		t.Errorf("the upgrade alone has replaced pods: %v, before %v", now, was)
	}
	upgrade("--set=log.format=json", "--set=log.level=debug", "--set=webhook.podLabels.e2e=upgraded", "--set=commonLabels.team=e2e",
		"--set=networkPolicy.enabled=true", "--set=metrics.service.enabled=true", "--set=metrics.dashboard.enabled=true")
	for _, uid := range c.pods(t) {
		if slices.Contains(was, uid) {
			t.Errorf("pod %s is from before the upgrade", uid)
		}
	}
	tr.stop()
	tr.check(t)
	for _, r := range tr.refused {
		t.Errorf("a pod was refused: %v", r.err)
	}
	if n := available(); n < int32(len(was)) {
		t.Errorf("there were only %d replicas at one moment, and %d before", n, len(was))
	}
	// The bundle is the program's: Helm has not taken it away.
	if b, err := c.caBundle(suite, c.ours); err != nil || len(b) == 0 {
		t.Errorf("caBundle of %d bytes: %v", len(b), err)
	}
}

// fewest watches how many replicas of the webhook are available, until the function that it returns is called, which
// says how many there were at least.
func (c *chartStory) fewest(t testing.TB) (least func() int32) {
	t.Helper()
	w, err := c.client.AppsV1().Deployments(c.ours.namespace).Watch(suite,
		metav1.ListOptions{FieldSelector: "metadata.name=" + deploy.WebhookName})
	if err != nil {
		t.Fatalf("watching the webhook: %v", err)
	}
	t.Cleanup(w.Stop)
	seen := make(chan []int32, 1)
	go func() {
		var all []int32
		for e := range w.ResultChan() {
			if d, ok := e.Object.(*appsv1.Deployment); ok {
				all = append(all, d.Status.AvailableReplicas)
			}
		}
		seen <- all
	}()
	return func() int32 {
		t.Helper()
		w.Stop()
		all := <-seen
		t.Logf("replicas available: %v", all)
		if len(all) < 3 { // it was replaced
			t.Fatal("the watch has not seen the upgrade")
		}
		return slices.Min(all)
	}
}

// test: helm test says whether pods get their role. It leaves nothing but the pod that failed, for its log.
func (c *chartStory) test(t *testing.T) {
	out, err := c.helm(t, "test", "openirsa", "--timeout=3m")
	if err != nil || !strings.Contains(out, "Succeeded") {
		t.Errorf("the chart's test: %v", err)
	}
	c.untested(t)
	if _, err := c.client.CoreV1().Pods(c.ours.namespace).Get(suite, "webhook-test", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the pod of a test that has passed: %v", err)
	}

	args := slices.Concat([]string{"upgrade", "openirsa", filepath.Join("..", "deploy", "chart"), "--wait", "--timeout=3m",
		"--set=webhook.excludeNamespaces={" + webhookPods + "}", "--set=test.within=5s"}, c.parts())
	if _, err := c.helm(t, args...); err != nil {
		t.Fatal(err)
	}
	c.mutating(t, webhookPods, "app", unmutated)
	if _, err := c.helm(t, "test", "openirsa", "--timeout=3m"); err == nil {
		t.Error("the chart's test passes though the webhook is not asked about pods")
	}
	c.untested(t)
	failed := pod{c.kube, c.ours.namespace, "webhook-test"}
	if log := failed.logs(t); !strings.Contains(log, "admitted without a role") {
		t.Errorf("the test that fails says %q", log)
	}
}

// untested checks that a test has left nothing that gives a right or a role.
func (c *chartStory) untested(t testing.TB) {
	t.Helper()
	const name = "openirsa-webhook-test"
	poll(t, patience, "waiting for the end of what the test has made", func(ctx context.Context) error {
		_, account := c.client.CoreV1().ServiceAccounts(webhookPods).Get(ctx, name, metav1.GetOptions{})
		_, role := c.client.RbacV1().Roles(webhookPods).Get(ctx, name, metav1.GetOptions{})
		_, binding := c.client.RbacV1().RoleBindings(webhookPods).Get(ctx, name, metav1.GetOptions{})
		for _, err := range []error{account, role, binding} {
			if !apierrors.IsNotFound(err) {
				return fmt.Errorf("%s: service account: %v, role: %v, binding: %v", name, account, role, binding)
			}
		}
		return nil
	})
}

// uninstall: pods are admitted as they are from then on.
func (c *chartStory) uninstall(t *testing.T) {
	if _, err := c.helm(t, "uninstall", "openirsa", "--wait", "--timeout=3m"); err != nil {
		t.Fatal(err)
	}
	_, err := c.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(suite, c.ours.configuration, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the webhook's configuration: %v", err)
	}
	c.mutating(t, webhookPods, "app", unmutated)
}
