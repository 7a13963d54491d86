package kindenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// command runs a program to its end. Its own process group, so that ctx's end reaches all that it started, and
// an interrupt typed at the terminal reaches only us. The error carries the end of what it wrote.
type command struct {
	dir   string
	env   []string // added to the environment
	stdin io.Reader
}

func (c command) run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out strings.Builder
	var errOut tail
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.dir, c.stdin, &out, &errOut
	cmd.Env = append(os.Environ(), c.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		text := errOut.String()
		if text == "" {
			text = strings.TrimSpace(out.String())
		}
		if text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
		return "", fmt.Errorf("running %s: %w", name, err)
	}
	return strings.TrimSpace(out.String()), nil
}

// run is command without settings.
func run(ctx context.Context, name string, args ...string) (string, error) {
	return command{}.run(ctx, name, args...)
}

// missing returns those of the programs that are not on the PATH.
func missing(programs ...string) []string {
	var m []string
	for _, p := range programs {
		if _, err := exec.LookPath(p); errors.Is(err, exec.ErrNotFound) {
			m = append(m, p)
		}
	}
	return m
}
