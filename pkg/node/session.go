package node

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/openirsa/openirsa/internal/shell"
)

// sessionScript runs commands one after the other. Each comes on its input as a line with
// a mark, the command's length in bytes and that of its own input, which is less than 0 for
// none; then the command, as words for a shell and the mark, and that input. One without the
// mark was cut short, because we were killed, and is not run. What the command writes to
// either stream comes between two marks, and after the second one on standard output is its
// status. What a command leaves of its input is thrown away.
const sessionScript = `while read -r mark n m; do
  c=$(head -c "$n")
  [ "$c" != "${c%"$mark"}" ] || exit
  c=${c%"$mark"}
  printf %s "$mark"; printf %s "$mark" >&2
  if [ "$m" -lt 0 ]; then (eval "$c") </dev/null
  else head -c "$m" | (eval "$c"; s=$?; cat >/dev/null; exit "$s")
  fi
  printf '%s%d\n' "$mark" "$?"; printf %s "$mark" >&2
done`

// sessions run commands on a node that takes longer to reach than most commands take there:
// a shell on the node stays for the next one. As many stay as there were commands at a time.
type sessions struct {
	// reach is a command of this machine that runs words on the node, with its standard streams, until the context ends.
	reach func(ctx context.Context, words ...string) *exec.Cmd
	stay  time.Duration // of a session without a command

	mu   sync.Mutex
	idle []*session
}

func newSessions(reach func(ctx context.Context, words ...string) *exec.Cmd) *sessions {
	return &sessions{reach: reach, stay: 10 * time.Second}
}

// Exec is [Node.Exec]. Input whose length is not known, as that of an image, does not go through a session.
func (p *sessions) Exec(ctx context.Context, in io.Reader, out io.Writer, command string, args ...string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	words := append([]string{command}, args...)
	c := call{out: out, size: -1}
	if in != nil {
		sized, ok := in.(interface{ Len() int })
		if !ok {
			return run(ctx, p.reach(ctx, words...), command, in, out)
		}
		c.size = sized.Len()
		b, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		c.in = b
	}
	c.line = shell.Words(words...)
	for {
		s, former := p.take()
		if !former {
			var err error
			if s, err = open(p.reach(context.WithoutCancel(ctx), "sh", "-c", sessionScript)); err != nil {
				return execError(ctx, command, &c.stderr, err)
			}
		}
		c.begun = false
		c.stderr.Reset()
		err := s.run(ctx, &c)
		if err == nil {
			if ctx.Err() == nil {
				p.put(s)
			} else { // which may be about to kill the session
				s.kill()
				_ = s.end(nil)
			}
			if c.status == 0 {
				return c.unwritten
			}
			err = c.status
		} else if err = s.end(err); former && !c.begun && ctx.Err() == nil {
			continue // the session ended before it had this command, as when the node was restarted
		}
		return execError(ctx, command, &c.stderr, err)
	}
}

// take is a session that waits for a command, and whether there is one.
func (p *sessions) take() (*session, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil, false
	}
	s := p.idle[last]
	p.idle = p.idle[:last]
	s.expiry.Stop()
	return s, true
}

// put lets a session wait for the next command.
func (p *sessions) put(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, s)
	s.expiry = time.AfterFunc(p.stay, func() {
		p.mu.Lock()
		i := slices.Index(p.idle, s)
		if i >= 0 {
			p.idle = slices.Delete(p.idle, i, i+1)
		}
		p.mu.Unlock()
		if i >= 0 { // and not taken meanwhile
			_ = s.end(nil)
		}
	})
}

// exitStatus is that of a command.
type exitStatus int

func (s exitStatus) Error() string { return "exit status " + strconv.Itoa(int(s)) }

// call is a command for a session, and what became of it.
type call struct {
	line string
	in   []byte
	size int // of in; less than 0 for no input
	out  io.Writer

	begun     bool
	status    exitStatus
	stderr    bytes.Buffer
	unwritten error // of out
}

// session is a shell on a node that runs one command after the other.
type session struct {
	cmd         *exec.Cmd
	in          io.WriteCloser
	out, stderr *bufio.Reader
	pipes       [2]io.Closer // of out and stderr
	expiry      *time.Timer
}

func open(cmd *exec.Cmd) (*session, error) {
	s := &session{cmd: cmd}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if s.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	s.out, s.stderr, s.pipes = bufio.NewReader(out), bufio.NewReader(stderr), [2]io.Closer{out, stderr}
	return s, cmd.Start()
}

// run runs a command. An error is the session's, which has ended then or is to be.
func (s *session) run(ctx context.Context, c *call) error {
	stop := context.AfterFunc(ctx, s.kill)
	defer stop()
	mark := rand.Text() // which no output has by chance
	go func() {         // beside the output, which may come before all of the input is read
		// Without these the shell says nothing more, and that is what counts.
		_, _ = fmt.Fprintf(s.in, "%s %d %d\n%s%s%s", mark, len(c.line)+len(mark), c.size, c.line, mark, c.in)
	}()
	said := make(chan error, 1)
	go func() {
		// What comes before the mark is of who runs the shell: ssh, or a container runtime.
		err := until(&c.stderr, s.stderr, mark)
		if err == nil {
			c.stderr.Reset()
			err = until(&c.stderr, s.stderr, mark)
		}
		said <- err
	}()
	err := until(io.Discard, s.out, mark)
	if c.begun = err == nil; c.begun {
		w := &writer{w: c.out}
		err = until(w, s.out, mark)
		c.unwritten = w.err
	}
	if err == nil {
		var line string
		if line, err = s.out.ReadString('\n'); err == nil {
			var status int
			status, err = strconv.Atoi(strings.TrimSuffix(line, "\n"))
			c.status = exitStatus(status)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.kill()
	}
	if err = cmp.Or(err, <-said); errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// kill ends a session at once, and both its streams, whoever else may write to them.
func (s *session) kill() {
	_ = s.cmd.Process.Kill()
	for _, p := range s.pipes {
		_ = p.Close()
	}
}

// end ends a session that has no command, or has failed with err. The error is the reason.
func (s *session) end(err error) error {
	_ = s.in.Close()
	_, _ = io.Copy(io.Discard, s.out)
	_, _ = io.Copy(io.Discard, s.stderr)
	if status := s.cmd.Wait(); status != nil {
		return status
	}
	return err
}

// until copies what comes before the mark, and reads the mark as well.
func until(w io.Writer, r *bufio.Reader, mark string) error {
	for {
		b, err := r.Peek(len(mark))
		if err == nil {
			b, err = r.Peek(r.Buffered())
		}
		n := len(b)
		i := bytes.Index(b, []byte(mark))
		switch {
		case i >= 0:
			n = i
		case err == nil:
			n -= len(mark) - 1 // the mark may have begun
		}
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
		if i >= 0 {
			n += len(mark)
		}
		if _, discarded := r.Discard(n); err != nil || i >= 0 {
			return errors.Join(err, discarded)
		}
	}
}

// writer writes until that fails, and throws away what follows.
type writer struct {
	w   io.Writer
	err error
}

func (w *writer) Write(b []byte) (int, error) {
	if w.err == nil {
		_, w.err = w.w.Write(b)
	}
	return len(b), nil
}
