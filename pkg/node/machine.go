package node

import (
	"bytes"
	"context"
	"io"
	"os/exec"

	"github.com/openirsa/openirsa/internal/shell"
)

// Local is the machine this program runs on, which must be as root. Its name
// is known when cluster.Connect has found it among the nodes of the cluster.
func Local() Node {
	return Node{Name: "this machine", Exec: func(ctx context.Context, in io.Reader, out io.Writer, command string, args ...string) error {
		return run(ctx, exec.CommandContext(ctx, command, args...), command, in, out)
	}}
}

// SSH is a machine that the system's ssh client reaches, without asking for
// anything: destination is what ssh takes, such as "admin@10.0.0.5" or a host of
// ~/.ssh/config. Whoever logs in is root, or may become it by sudo without a
// password. A machine that is silent for 45 s ends the command. A connection stays for
// the next command, for ten seconds.
func SSH(destination string) Node {
	reach := newSessions(func(ctx context.Context, words ...string) *exec.Cmd {
		// Sshd gives the line to the user's shell.
		return exec.CommandContext(ctx, "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10",
			"-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3", "--", destination,
			"exec sh -c "+shell.Quote(becomeRoot)+" sh "+shell.Words(words...))
	})
	return Node{Name: destination, Exec: reach.Exec}
}

// Container is a node that is a container, as those of kind are, by its name and the
// program of the container runtime: docker, or one that is used in the same way. A shell
// in it stays for the next command, for ten seconds.
func Container(program, name string, controlPlane bool) Node {
	reach := newSessions(func(ctx context.Context, words ...string) *exec.Cmd {
		return exec.CommandContext(ctx, program, append([]string{"exec", "--privileged", "--interactive", name}, words...)...)
	})
	return Node{Name: name, ControlPlane: controlPlane, Exec: reach.Exec}
}

const becomeRoot = `if [ "$(id -u)" = 0 ]; then exec "$@"; else exec sudo -n -- "$@"; fi`

// run runs cmd, whose errors are those of command.
func run(ctx context.Context, cmd *exec.Cmd, command string, in io.Reader, out io.Writer) error {
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &stderr
	return execError(ctx, command, &stderr, cmd.Run())
}
