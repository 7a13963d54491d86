package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openirsa/openirsa/internal/needs"
	"github.com/openirsa/openirsa/pkg/agent"
)

// inNamespace is set in a process that has a network of its own.
const inNamespace = "OPENIRSA_TEST_NETWORK"

// namespaced runs the test again in a network namespace of its own, where it may do
// everything, and reports whether it is there.
func namespaced(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inNamespace) != "" {
		return true
	}
	c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), inNamespace+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		needs.Lacking(t, fmt.Errorf("a network namespace: %w", err))
	}
	err := c.Wait()
	if strings.Contains(out.String(), "--- SKIP") {
		needs.Lacking(t, out.String())
	}
	if err != nil || !strings.Contains(out.String(), "--- PASS") {
		t.Errorf("in a network namespace: %v\n%s", err, &out)
	}
	return false
}

// up brings the loopback link up, as every node's is.
func up(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r); err != nil {
		t.Fatal(err)
	}
}

// initialize runs the command, and returns its warnings.
func initialize(t *testing.T) (warnings int) {
	t.Helper()
	var log buffer
	if err := Run(t.Context(), called(io.Discard, &log, "initialize", "--log-format=json")); err != nil {
		t.Fatal(err)
	}
	return warned(t, &log)
}

// warned logs the warnings in a log, and returns how many there are.
func warned(t *testing.T, log *buffer) (warnings int) {
	t.Helper()
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, `"level":"WARN"`) {
			t.Log(line)
			warnings++
		}
	}
	return warnings
}

// served runs the agent as on a node, with its own addresses, and asks it at hosts.
func served(t *testing.T, hosts ...string) (warnings int) {
	t.Helper()
	ownKeys(t)
	s := newService(t)
	var log buffer
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, called(io.Discard, &log, "server", "--cluster-name", "c1", "--endpoint", s.URL, "--log-format", "json"))
	}()
	await(t, "http://localhost:2703/readyz")
	token := podToken("a") // another second's is another token
	for _, host := range hosts {
		req, err := http.NewRequest(http.MethodGet, "http://"+host+agent.Path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", token)
		res, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
		if err != nil {
			t.Error(err)
			continue
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != 200 || !strings.HasPrefix(string(body), `{"AccessKeyId":"ASIA1",`) {
			t.Errorf("%s: %d %s, %v", host, res.StatusCode, body, err)
		}
	}
	if status, page := fetch("http://127.0.0.1:2705/metrics"); status != 200 || !strings.Contains(page, "pod_identity_cache_pods 1\n") {
		t.Errorf("metrics: %d %s", status, page)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return warned(t, &log)
}

// The link on a node, made once and found again, and the agent at both its addresses,
// which have one cache.
func TestInitialize(t *testing.T) {
	if !namespaced(t) {
		return
	}
	up(t)
	for range 2 {
		if n := initialize(t); n != 0 {
			t.Errorf("%d warnings", n)
		}
	}
	l, err := net.InterfaceByName("pod-id-link0")
	if err != nil { // a kernel without such links
		t.Log(err)
		if l, err = net.InterfaceByName("lo"); err != nil {
			t.Fatal(err)
		}
	}
	addresses, err := l.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprint(addresses)
	if l.Flags&net.FlagUp == 0 || !strings.Contains(all, "169.254.170.23/32") || !strings.Contains(all, "fd00:ec2::23/128") {
		t.Errorf("%+v has %s", l, all)
	}
	for file, route := range map[string]string{
		"/proc/net/route":      l.Name + "\t17AAFEA9\t00000000\t0005\t0\t0\t0\tFFFFFFFF",
		"/proc/net/ipv6_route": "fd000ec2000000000000000000000023 80 ",
	} {
		if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), route) {
			t.Errorf("%s, %v, lacks %q:\n%s", file, err, route, b)
		}
	}
	if n := served(t, "169.254.170.23", "[fd00:ec2::23]"); n != 0 {
		t.Errorf("%d warnings of the agent", n)
	}
}

// A node without IPv6: the other address serves, and each program warns once.
func TestNodeWithoutIPv6(t *testing.T) {
	if !namespaced(t) {
		return
	}
	for _, which := range []string{"all", "default"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0); err != nil {
			needs.Lacking(t, fmt.Sprintf("turning IPv6 off: %v", err))
		}
	}
	up(t)
	if n := initialize(t); n != 1 {
		t.Errorf("%d warnings of initialize, want 1", n)
	}
	if n := served(t, "169.254.170.23"); n != 1 {
		t.Errorf("%d warnings of the agent, want 1", n)
	}
}
