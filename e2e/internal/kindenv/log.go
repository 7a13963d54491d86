package kindenv

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	kindlog "sigs.k8s.io/kind/pkg/log"
)

// logger writes lines; it is also what kind's library logs to.
type logger struct {
	mu sync.Mutex
	w  io.Writer
}

func newLogger(w io.Writer) *logger { return &logger{w: w} }

func (l *logger) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, "kindenv: "+strings.TrimRight(format, "\n")+"\n", args...)
}

// step returns a function that logs how long it took until it was called.
func (l *logger) step(name string) func() {
	start := time.Now()
	return func() { l.printf("%-34s %6.1fs", name, time.Since(start).Seconds()) }
}

func (l *logger) Warn(m string)             { l.Warnf("%s", m) }
func (l *logger) Warnf(f string, a ...any)  { l.printf("kind: warning: "+f, a...) }
func (l *logger) Error(m string)            { l.Errorf("%s", m) }
func (l *logger) Errorf(f string, a ...any) { l.printf("kind: error: "+f, a...) }

// V keeps quiet: kind's progress of two clusters at once would be unreadable, and its errors carry what it ran.
func (l *logger) V(kindlog.Level) kindlog.InfoLogger { return kindlog.NoopInfoLogger{} }

// tail keeps the last bytes written to it, for an error text.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - tailSize; n > 0 {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}
