package kindenv

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The programs that are not called as the Debian package that has them.
var packages = map[string]string{
	"dockerd":    "docker.io",
	"containerd": "containerd",
	"ctr":        "containerd",
	"runc":       "runc",
	"iptables":   "iptables",
	"ip":         "iproute2",
	"nsenter":    "util-linux",
	"jq":         "jq",
	"kubectl":    "kubernetes-client",
	"node":       "nodejs",
	"mkdocs":     "mkdocs-material",
	"man":        "man-db",
	"sshd":       "openssh-server",
	"ssh":        "openssh-client",

	"x86_64-w64-mingw32-gcc": "gcc-mingw-w64-x86-64-win32",
}

// installBuilt installs all that the route Built runs, at once.
func installBuilt(ctx context.Context, log *logger) error {
	return install(ctx, log, "dockerd", "containerd", "ctr", "runc", "iptables", "ip", "nsenter", "jq", "debootstrap", "tar")
}

// install installs the packages of those programs that are missing.
func install(ctx context.Context, log *logger, programs ...string) error {
	var names []string
	for _, p := range missing(programs...) {
		name, ok := packages[p]
		if !ok {
			name = p
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil
	}
	log.printf("installing the packages %s", strings.Join(names, " "))
	defer log.step("installed packages")()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	// Test packages run side by side, and apt-get does not wait for another one by itself.
	lock, err := lockFile(ctx, filepath.Join(os.TempDir(), "openirsa-e2e-apt.lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	apt := command{env: []string{"DEBIAN_FRONTEND=noninteractive"}}
	if _, err := apt.run(ctx, "apt-get", "update", "-qq"); err != nil {
		return fmt.Errorf("updating package lists: %w", err)
	}
	args := append([]string{"install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"}, names...)
	if _, err := apt.run(ctx, "apt-get", args...); err != nil {
		return fmt.Errorf("installing packages: %w", err)
	}
	if left := missing(programs...); len(left) > 0 {
		return fmt.Errorf("installing packages: %v is still missing", left)
	}
	return nil
}

// Debian makes a Debian trixie in a folder, as small as it can be, with these packages. Progress goes to log.
func Debian(ctx context.Context, log io.Writer, dir string, names ...string) error {
	if err := Install(ctx, log, "debootstrap"); err != nil {
		return err
	}
	m, err := mirror(ctx)
	if err != nil {
		return err
	}
	if _, err := run(ctx, "debootstrap", "--variant=minbase", "--include="+strings.Join(names, ","), "trixie", dir, m); err != nil {
		return fmt.Errorf("making a Debian in %s: %w", dir, err)
	}
	return nil
}

// mirror returns the Debian mirror that this machine installs its own packages from.
func mirror(ctx context.Context) (string, error) {
	const format = "$(LABEL)\t$(SUITE)\t$(REPO_URI)"
	for _, update := range []bool{false, true} {
		if update { // a fresh container image has no package lists
			if _, err := run(ctx, "apt-get", "update", "-qq"); err != nil {
				return "", fmt.Errorf("updating package lists: %w", err)
			}
		}
		out, err := run(ctx, "apt-get", "indextargets", "--format", format, "Identifier: Packages")
		if err != nil {
			return "", fmt.Errorf("reading apt's configuration: %w", err)
		}
		if m := pickMirror(out); m != "" {
			return m, nil
		}
	}
	return "", fmt.Errorf("apt on this machine is configured without a Debian mirror")
}

// pickMirror returns the archive that holds whole releases: of label Debian, and not an archive of updates.
func pickMirror(targets string) string {
	for line := range strings.Lines(targets) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) == 3 && f[0] == "Debian" && !strings.Contains(f[1], "-") {
			return f[2]
		}
	}
	return ""
}
