package kindenv

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// machineWide are the sysctls outside network namespaces that the node sets for the whole machine: its kubelet
// (overcommit, panic, keyring limits), its systemd (files, protected links) and dockerd (keyring limits); and the one
// that is set here.
var machineWide = []string{
	"vm.overcommit_memory", "vm.panic_on_oom", "kernel.panic", "kernel.panic_on_oops", "kernel.pid_max",
	"kernel.keys.root_maxkeys", "kernel.keys.root_maxbytes",
	"fs.file-max", "fs.nr_open", "fs.protected_fifos", "fs.protected_hardlinks", "fs.protected_regular", "fs.protected_symlinks",
	inotify,
}

// The root of all nodes may have so many inotify instances. Debian's 128 are used up by four or five nodes; then
// kube-proxy ends with "too many open files".
const (
	inotify          = "fs.inotify.max_user_instances"
	inotifyInstances = 1024
)

// raiseInotify makes room for more nodes. Whoever may not write the sysctl has as many nodes as there is room for.
func raiseInotify(log *logger) {
	b, err := os.ReadFile(sysctlPath(inotify))
	if err != nil {
		return
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err != nil || n >= inotifyInstances {
		return
	}
	if err := os.WriteFile(sysctlPath(inotify), []byte(strconv.Itoa(inotifyInstances)), 0o644); err != nil {
		log.printf("sysctl %s stays %s: %v", inotify, strings.TrimSpace(string(b)), err)
	}
}

// The values from before the first instance are in a file beside the instances' folders; the last instance to go
// puts them back.
func sysctlFile(dir string) string { return filepath.Join(filepath.Dir(dir), "sysctl.json") }

func sysctlPath(name string) string { return "/proc/sys/" + strings.ReplaceAll(name, ".", "/") }

// saveSysctls writes the machine's values down, unless an instance, alive or killed, did so before.
func saveSysctls(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "sysctl"), nil, 0o600); err != nil {
		return err
	}
	file := sysctlFile(dir)
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	values := map[string]string{}
	for _, name := range machineWide {
		b, err := os.ReadFile(sysctlPath(name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading sysctl %s: %w", name, err)
		}
		values[name] = strings.TrimSpace(string(b))
	}
	b, err := json.Marshal(values)
	if err != nil {
		return err
	}
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}

// restoreSysctls puts the machine's values back if no other instance is left.
func restoreSysctls(dir string) error {
	if err := os.Remove(filepath.Join(dir, "sysctl")); err != nil && !os.IsNotExist(err) {
		return err
	}
	if others, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "*", "sysctl")); err != nil || len(others) > 0 {
		return err
	}
	file := sysctlFile(dir)
	b, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var values map[string]string
	if err := json.Unmarshal(b, &values); err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	var errs []error
	for name, v := range values {
		now, err := os.ReadFile(sysctlPath(name))
		if err == nil && strings.TrimSpace(string(now)) != v {
			err = os.WriteFile(sysctlPath(name), []byte(v), 0o644)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("putting sysctl %s back to %s: %w", name, v, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.Remove(file)
}
