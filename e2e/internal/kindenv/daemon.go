package kindenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func jsonField(text, field string) (string, error) {
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return "", fmt.Errorf("reading JSON: %w", err)
	}
	s, ok := m[field].(string)
	if !ok || s == "" {
		return "", fmt.Errorf("reading JSON: no field %q", field)
	}
	return s, nil
}

// daemon is a dockerd in a network namespace of its own, so that its firewall rules and its sysctls do not touch
// the machine's. A veth pair joins the namespace to the machine:
//
//	machine  10.123.N.1   tests; pods reach servers that tests run here
//	daemon   10.123.N.2   API servers, each on a port of its own
//
// Its images stay in the cache folder; everything else of it is under dir and goes with it.
type daemon struct {
	instance int
	dir      string
	log      *logger

	balancing sync.Mutex // held while the balancer's image is made
}

func newDaemon(instance int, dir string, log *logger) *daemon {
	return &daemon{instance: instance, dir: dir, log: log}
}

func (d *daemon) namespace() string { return fmt.Sprintf("openirsa-e2e-%d", d.instance) }
func (d *daemon) cgroup() string    { return fmt.Sprintf("openirsa-e2e-%d", d.instance) }
func (d *daemon) link() string      { return fmt.Sprintf("oirsa%d", d.instance) }
func (d *daemon) socket() string    { return filepath.Join(d.dir, "docker.sock") }
func (d *daemon) host() string      { return "unix://" + d.socket() }

// address is the address, in the daemon's namespace, that API servers are published on.
func address(instance int) string { return fmt.Sprintf("10.123.%d.2", instance) }

// dataRoot keeps images between runs. It is not a cache entry: dockerd writes to it, and it is recreated from the
// node image's entry whenever dockerd does not start on it.
func (d *daemon) dataRoot() (string, error) {
	c, err := newCache(d.log)
	return filepath.Join(c.dir, fmt.Sprintf("docker-%d", d.instance)), err
}

// path is a PATH on which "docker" is the client that came with dockerd: a newer one, which a machine may have in
// front of it, can refuse to speak with a daemon of Debian's age.
func (d *daemon) path() string {
	bin, path := filepath.Join(d.dir, "bin")+":", os.Getenv("PATH")
	return bin + strings.TrimPrefix(path, bin)
}

func (d *daemon) docker(ctx context.Context, args ...string) (string, error) {
	c := command{env: []string{"DOCKER_HOST=" + d.host()}}
	return c.run(ctx, filepath.Join(d.dir, "bin", "docker"), args...)
}

func (d *daemon) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := d.docker(ctx, "info", "--format", "{{.ServerVersion}}")
	return err == nil
}

const nodeRepository = "openirsa-e2e/node"

// startDaemon brings up the daemon with the node image in it and returns the image's name.
func (e *Env) startDaemon(ctx context.Context, archive, key string) (*daemon, string, error) {
	d := newDaemon(e.opts.Instance, e.Dir, e.log)
	if err := d.start(ctx); err != nil {
		return nil, "", err
	}
	image := nodeRepository + ":" + key
	if _, err := d.docker(ctx, "image", "inspect", image); err != nil {
		defer e.log.step("imported the node image")()
		// Images of previous keys would stay for ever.
		if _, err := d.docker(ctx, "image", "prune", "-af"); err != nil {
			return nil, "", err
		}
		_, err := d.docker(ctx, "import", "-c", `ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]`,
			"-c", "ENV container=docker", archive, image)
		if err != nil {
			return nil, "", fmt.Errorf("importing the node image: %w", err)
		}
	}
	return d, image, nil
}

func (d *daemon) start(ctx context.Context) error {
	defer d.log.step("started dockerd")()
	if err := saveSysctls(d.dir); err != nil {
		return err
	}
	raiseInotify(d.log)
	if err := d.network(ctx); err != nil {
		return fmt.Errorf("making the network namespace: %w", err)
	}
	if err := d.programs(); err != nil {
		return err
	}
	data, err := d.dataRoot()
	if err != nil {
		return err
	}
	if err = d.run(ctx, data); err == nil || ctx.Err() != nil {
		return err
	}
	d.log.printf("dockerd does not start on %s, starting it on an empty one: %v", data, err)
	if err := errors.Join(d.kill(ctx), removeTree(data)); err != nil {
		return err
	}
	return d.run(ctx, data)
}

func (d *daemon) network(ctx context.Context) error {
	ns, host, inside := d.namespace(), d.link(), d.link()+"n"
	net := fmt.Sprintf("10.123.%d.", d.instance)
	for _, line := range []string{
		"netns add " + ns,
		"-n " + ns + " link set lo up",
		"link add " + host + " type veth peer name " + inside + " netns " + ns,
		"addr add " + net + "1/24 dev " + host,
		"link set " + host + " up",
		"-n " + ns + " addr add " + net + "2/24 dev " + inside,
		"-n " + ns + " link set " + inside + " up",
		"-n " + ns + " route add default via " + net + "1",
	} {
		if _, err := run(ctx, "ip", strings.Fields(line)...); err != nil {
			return err
		}
	}
	_, err := run(ctx, "nsenter", "--net=/run/netns/"+ns, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	return err
}

// programs writes the runc wrapper and the link to the docker client.
func (d *daemon) programs() error {
	bin := filepath.Join(d.dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(bin, "runc-nores"), []byte(mustScript("runc-nores")), 0o755); err != nil {
		return err
	}
	client := "/usr/bin/docker" // Debian's, beside its dockerd
	if _, err := os.Stat(client); err != nil {
		if client, err = exec.LookPath("docker"); err != nil {
			return err
		}
	}
	link := filepath.Join(bin, "docker")
	if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
		return err
	}
	return os.Symlink(client, link)
}

// lazyTimers runs a program whose timers, and those of all that it starts, may be late by a millisecond (prctl(2),
// PR_SET_TIMERSLACK). Go's runtime sleeps for some microseconds at a time to watch a program; with all programs of some
// nodes that takes a third of their time.
const lazyTimers = "echo 1000000 2>/dev/null >/proc/$$/timerslack_ns; exec \"$0\" \"$@\""

func (d *daemon) run(ctx context.Context, data string) error {
	args := []string{"--net=/run/netns/" + d.namespace(), "sh", "-c", lazyTimers, "dockerd",
		"--data-root", data, "--exec-root", filepath.Join(d.dir, "exec"),
		"--pidfile", filepath.Join(d.dir, "docker.pid"), "-H", d.host(),
		"--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", "/" + d.cgroup(),
		"--oom-score-adjust", "0", "--bridge", "none"}
	runc, err := exec.LookPath("runc")
	if err != nil {
		return err
	}
	if !hasSysResource() {
		args = append(args, "--add-runtime", "nores="+filepath.Join(d.dir, "bin", "runc-nores"), "--default-runtime", "nores")
	}
	if err := d.prefer(); err != nil {
		return err
	}
	logPath := filepath.Join(d.dir, "dockerd.log")
	out, err := os.Create(logPath)
	if err != nil {
		return err
	}
	defer out.Close()
	// nsenter, not "ip netns exec": that mounts a new /sys, which hides /sys/fs/cgroup.
	cmd := exec.Command("nsenter", args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "RUNC="+runc)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it outlives us with OPENIRSA_E2E_KEEP, and an interrupt typed here
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting dockerd: %w", err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	deadline := time.Now().Add(30 * time.Second)
	for !d.answers(ctx) {
		died := false
		select {
		case <-gone:
			died = true
		case <-time.After(100 * time.Millisecond):
		}
		if died || time.Now().After(deadline) || ctx.Err() != nil {
			text, _ := os.ReadFile(logPath)
			var t tail
			_, _ = t.Write(text)
			return fmt.Errorf("starting dockerd: it does not answer: %s", t.String())
		}
	}
	// What a killed run left in the data root: containers, their volumes and kind's network.
	return d.removeContainers(ctx)
}

// prefer makes the cgroup of the nodes, and gives it twice the share of the processors that a session has by
// default, in which the tests are, and what runs beside them: control planes have leases and probes to keep.
func (d *daemon) prefer() error {
	for _, tell := range []struct{ controller, file, value string }{
		{"cpu/", "cpu.shares", "2048"}, // of 1024
		{"", "cpu.weight", "200"},      // of 100: version 2
	} {
		top := "/sys/fs/cgroup/" + tell.controller
		if _, err := os.Stat(top + "cgroup.procs"); err != nil {
			continue
		}
		group := filepath.Join(top, d.cgroup())
		if err := os.MkdirAll(group, 0o755); err != nil {
			return fmt.Errorf("making the nodes' cgroup: %w", err)
		}
		if _, err := os.Stat(filepath.Join(group, tell.file)); err != nil {
			continue // another controller's, or the root delegates none
		}
		if err := os.WriteFile(filepath.Join(group, tell.file), []byte(tell.value), 0o644); err != nil {
			return fmt.Errorf("giving the nodes their share: %w", err)
		}
	}
	return nil
}

func (d *daemon) removeContainers(ctx context.Context) error {
	ids, err := d.docker(ctx, "ps", "-aq")
	if err == nil && ids != "" {
		_, err = d.docker(ctx, append([]string{"rm", "-fv"}, strings.Fields(ids)...)...)
	}
	if err == nil {
		_, err = d.docker(ctx, "volume", "prune", "-f")
	}
	if err == nil {
		_, err = d.docker(ctx, "network", "prune", "-f")
	}
	if err != nil {
		return fmt.Errorf("removing containers: %w", err)
	}
	return nil
}

// remove ends the daemon and removes all traces of it but its images, whatever state it is in.
func (d *daemon) remove(ctx context.Context) error {
	var errs []error
	if _, err := os.Stat(d.socket()); err == nil && d.answers(ctx) {
		errs = append(errs, d.removeContainers(ctx))
	}
	errs = append(errs, d.kill(ctx))
	if data, err := d.dataRoot(); err == nil {
		errs = append(errs, unmountBelow(data))
	}
	for _, f := range []string{"exec", "bin", "docker.sock", "docker.pid", "dockerd.log"} {
		errs = append(errs, removeTree(filepath.Join(d.dir, f)))
	}
	if _, err := os.Stat("/run/netns/" + d.namespace()); err == nil {
		_, err := run(ctx, "ip", "netns", "del", d.namespace())
		errs = append(errs, err)
	}
	if _, err := os.Stat("/sys/class/net/" + d.link()); err == nil {
		// Gone with the namespace, unless something still held that.
		_, _ = run(ctx, "ip", "link", "del", d.link())
	}
	errs = append(errs, removeCgroups(d.cgroup()), restoreSysctls(d.dir))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing what runs under instance %d: %w", d.instance, err)
	}
	return nil
}

// kill ends dockerd, first with SIGTERM, then whatever is left of it: processes in its cgroups, and processes that
// name its folder on their command line (its containerd and shims). Bounded to about 40 s.
func (d *daemon) kill(ctx context.Context) error {
	for _, pid := range d.processes() {
		if comm(pid) == "dockerd" {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
	}
	for i := range 400 {
		left := d.processes()
		if len(left) == 0 {
			return nil
		}
		if i >= 200 { // 20 s
			for _, pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		// A daemon that is gone already will end nothing more.
		if i >= 10 && i < 200 && !anyComm(left, "dockerd") {
			for _, pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("ending dockerd and its containers: processes %v stay", d.processes())
}

// processes are the ids of the processes that belong to this daemon.
func (d *daemon) processes() []int {
	var pids []int
	list, _ := os.ReadDir("/proc")
	for _, p := range list {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		cgroups, _ := os.ReadFile(filepath.Join("/proc", p.Name(), "cgroup"))
		line, _ := os.ReadFile(filepath.Join("/proc", p.Name(), "cmdline"))
		name := comm(pid)
		daemonic := name == "dockerd" || strings.HasPrefix(name, "containerd") || name == "docker-proxy" || name == "runc"
		if inCgroup(string(cgroups), d.cgroup()) || (daemonic && strings.Contains(string(line), d.dir+"/")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// inCgroup reports whether a /proc/PID/cgroup file (cgroups(7)) names the top-level cgroup group or one below it.
func inCgroup(file, group string) bool {
	for line := range strings.Lines(file) {
		f := strings.SplitN(strings.TrimRight(line, "\n"), ":", 3)
		if len(f) == 3 && (f[2] == "/"+group || strings.HasPrefix(f[2], "/"+group+"/")) {
			return true
		}
	}
	return false
}

func comm(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(b))
}

func anyComm(pids []int, name string) bool {
	for _, pid := range pids {
		if comm(pid) == name {
			return true
		}
	}
	return false
}

// hasSysResource reports whether this process may give CAP_SYS_RESOURCE (bit 24 of capabilities(7)) to a container.
func hasSysResource() bool {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			mask, err := strconv.ParseUint(strings.TrimSpace(v), 16, 64)
			return err != nil || mask&(1<<24) != 0
		}
	}
	return true
}

// removeCgroups removes the empty cgroups that the daemon's containers were in, in every hierarchy.
func removeCgroups(group string) error {
	tops, err := filepath.Glob("/sys/fs/cgroup/*/" + group)
	if err != nil {
		return err
	}
	for _, top := range append(tops, "/sys/fs/cgroup/"+group) {
		var dirs []string
		err := filepath.WalkDir(top, func(p string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				dirs = append(dirs, p)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i := len(dirs) - 1; i >= 0; i-- {
			var err error
			for range 20 { // the kernel needs a moment after the last process
				if err = os.Remove(dirs[i]); err == nil || os.IsNotExist(err) {
					err = nil
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			if err != nil {
				return fmt.Errorf("removing a cgroup: %w", err)
			}
		}
	}
	return nil
}
