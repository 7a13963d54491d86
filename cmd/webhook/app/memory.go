package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// limitMemory sets the garbage collector's limit a sixth below the memory limit of the
// program's control group, to leave room for what it does not count. GOMEMLIMIT in the
// environment takes precedence.
//
// It also has the collector run twice as often as it does by default, unless GOGC is
// set: that takes hardly any time of a program that is mostly idle, and 4 MiB less.
func limitMemory(log *slog.Logger, getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	if getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit := memoryLimit("/"); limit > 0 {
		debug.SetMemoryLimit(limit - limit/6)
		log.Info("memory is limited", "bytes", limit)
	}
}

// memoryLimit is the limit of the program's control group, of version 1 or 2, in
// bytes; 0 if there is none. A container sees its own group as the root of all,
// whatever its name is outside.
func memoryLimit(root string) int64 {
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0
	}
	mounts := filepath.Join(root, "sys/fs/cgroup")
	var files []string
	for line := range strings.Lines(string(groups)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(part) < 3:
		case part[0] == "0" && part[1] == "":
			files = append(files, filepath.Join(mounts, part[2], "memory.max"), filepath.Join(mounts, "memory.max"))
		case part[1] == "memory":
			files = append(files, filepath.Join(mounts, "memory", part[2], "memory.limit_in_bytes"),
				filepath.Join(mounts, "memory/memory.limit_in_bytes"))
		}
	}
	const none = 1 << 60 // version 1 says it with a number near 1<<63
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n < none {
			return n
		}
	}
	return 0
}
