package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// killEmulator kills the emulator's pod without grace and waits for the next one.
func killEmulator(t testing.TB) {
	t.Helper()
	pods := primary.client.CoreV1().Pods(system)
	list, err := pods.List(suite, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + emulatorName})
	if err != nil {
		t.Fatalf("listing the emulator's pods: %v", err)
	}
	if len(list.Items) != 1 {
		t.Fatalf("%d pods of the emulator, want 1", len(list.Items))
	}
	old := list.Items[0]
	if err := pods.Delete(suite, old.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
		t.Fatalf("deleting the emulator's pod: %v", err)
	}
	start := time.Now()
	poll(t, patience, "waiting for a new pod of the emulator", func(ctx context.Context) error {
		list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + emulatorName})
		if err != nil {
			return err
		}
		for _, p := range list.Items {
			if p.UID == old.UID {
				return errors.New("the old one is still there")
			}
		}
		return nil
	})
	emulatorReady(t)
	t.Logf("the emulator is back after %.1fs", time.Since(start).Seconds())
}

// testEmulatorKilled: what the emulator acknowledged survives it: roles, groups, documents, and the sessions it
// gave out.
func testEmulatorKilled(t *testing.T) {
	needChain(t)
	const ns, sa = "e2e-killed", "app"
	primary.namespace(t, ns)
	setup(t, "iamserviceaccount", "create", "--namespace", ns, "--name", sa, "--attach-policy-arn", readOnly, "--approve").ok(t)
	watcher := primary.pod(t, podSpec{namespace: ns, name: "watcher", serviceAccount: sa, image: client,
		args: []string{"/client", "watch"}}).running(t)
	lines := func() []string { return strings.Split(strings.TrimSpace(watcher.logs(t)), "\n") }
	poll(t, patience, "waiting for the watcher's first answers", func(context.Context) error {
		if l := lines(); len(l) < 3 || !strings.HasPrefix(l[len(l)-1], "ok ") {
			return fmt.Errorf("its log: %q", l)
		}
		return nil
	})
	session := strings.TrimPrefix(lines()[0], "ok ")

	killEmulator(t)

	// A program that had credentials continues with them: the session's name is the same.
	n := len(lines())
	poll(t, patience, "waiting for the watcher to go on", func(context.Context) error {
		l := lines()
		if len(l) < n+4 {
			return fmt.Errorf("%d lines more", len(l)-n)
		}
		for _, line := range l[len(l)-4:] {
			if line != "ok "+session {
				return fmt.Errorf("its last lines: %q", l[len(l)-4:])
			}
		}
		return nil
	})
	failures := 0
	for _, line := range lines() {
		if !strings.HasPrefix(line, "ok ") {
			failures++
		}
	}
	t.Logf("the watcher: %d answers, %d failures while there was no emulator", len(lines()), failures)
	if r := primary.run(t, podSpec{namespace: ns, name: "new", serviceAccount: sa, image: client,
		args: []string{"/client", "groups"}}); r.code != 0 {
		t.Errorf("a new pod: exit %d: %s", r.code, r.stdout)
	}
	watcher.remove(t)
}
