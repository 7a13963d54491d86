//go:build linux

package emulator

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/openirsa/openirsa/internal/sigv4"
)

func makePipe(dir string) (string, bool) {
	path := filepath.Join(dir, "pipe")
	return path, syscall.Mkfifo(path, 0o600) == nil
}

func asRoot(s *Server, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:4566"
	hash, service := sigv4.HashPayload([]byte(body)), "s3"
	if strings.HasPrefix(target, "/?Action=") {
		service = "iam"
	}
	r.Header.Set("X-Amz-Content-Sha256", hash)
	err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" }).SignHTTP(context.Background(),
		aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, r, hash, service, "us-east-1", time.Now())
	w := httptest.NewRecorder()
	defer func() {
		if cut := recover(); cut != nil && cut != http.ErrAbortHandler {
			panic(cut)
		}
	}()
	if err != nil {
		w.Code = 0
		return w
	}
	s.ServeHTTP(w, r)
	return w
}

// TestNoRoom: a write that the disk has no room for is refused, nobody sees
// anything of it, what was there before is there, and as soon as there is room
// writes go on; and nothing of that changes with a restart. The limit on the
// size of files stands for the full disk, in a process of its own.
func TestNoRoom(t *testing.T) {
	const variable = "OPENIRSA_TEST_NO_ROOM"
	if os.Getenv(variable) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestNoRoom$", "-test.v")
		cmd.Env = append(os.Environ(), variable+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := New(Config{State: path})
	if err != nil {
		t.Fatal(err)
	}
	limit := func(bytes uint64) {
		t.Helper()
		var now syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &now); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: min(bytes, now.Max), Max: now.Max}); err != nil {
			t.Fatal(err)
		}
	}
	size := func() uint64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return uint64(info.Size())
	}
	const createUser, createGroup = "/?Action=CreateUser&Version=2010-05-08&UserName=", "/?Action=CreateGroup&Version=2010-05-08&GroupName="
	putAsRoot(t, s, "/bucket", "", http.StatusOK)
	putAsRoot(t, s, "/bucket/before", "before", http.StatusOK)
	if w := asRoot(s, "GET", createUser+"before", ""); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	for round := range 2 {
		limit(size())
		big := strings.Repeat("z", int(size())+3<<20)
		if w := asRoot(s, "PUT", "/bucket/big", big); w.Code != http.StatusInternalServerError {
			t.Errorf("a large object: %d %.200s", w.Code, w.Body)
		}
		if w := asRoot(s, "PUT", "/bucket/before", big); w.Code != http.StatusInternalServerError {
			t.Errorf("a large object over another: %d %.200s", w.Code, w.Body)
		}
		// Small writes find room in pages that are free, up to a point.
		var refused, taken []string
		for i := 0; i < 300 && len(refused) < 3; i++ {
			name := strings.Repeat("n", 100) + string(rune('a'+round)) + strings.Repeat("i", i%20) + string(rune('A'+i/20))
			switch w := asRoot(s, "GET", createGroup+name, ""); w.Code {
			case http.StatusOK:
				taken = append(taken, name)
			default:
				refused = append(refused, name)
			}
		}
		seen := func() {
			t.Helper()
			if w := asRoot(s, "GET", "/bucket/big", ""); w.Code != http.StatusNotFound {
				t.Errorf("the object that was refused: %d", w.Code)
			}
			if w := asRoot(s, "GET", "/bucket/before", ""); w.Code != http.StatusOK || w.Body.String() != "before" {
				t.Errorf("the object from before: %d, %d bytes", w.Code, w.Body.Len())
			}
			if w := asRoot(s, "GET", "/bucket", ""); strings.Contains(w.Body.String(), "big") {
				t.Errorf("the object that was refused is listed: %s", w.Body)
			}
			list := asRoot(s, "GET", "/?Action=ListGroups&Version=2010-05-08&MaxItems=1000", "").Body.String()
			for _, name := range refused {
				if strings.Contains(list, ">"+name+"<") {
					t.Errorf("a group that was refused is there: %s", name)
				}
			}
			for _, name := range taken {
				if !strings.Contains(list, ">"+name+"<") {
					t.Errorf("a group that was taken is gone: %s", name)
				}
			}
			if w := asRoot(s, "GET", "/?Action=GetUser&Version=2010-05-08&UserName=before", ""); w.Code != http.StatusOK {
				t.Errorf("the user from before: %d", w.Code)
			}
		}
		seen()
		limit(1 << 40)
		if w := ask(s, "GET", "/_openirsa/health", ""); w.Code != http.StatusOK {
			t.Errorf("health with room again: %d %s", w.Code, w.Body)
		}
		seen()
		putAsRoot(t, s, "/bucket/after", "after", http.StatusOK)
		if w := asRoot(s, "GET", createUser+"after"+string(rune('a'+round)), ""); w.Code != http.StatusOK {
			t.Errorf("with room again: %d %s", w.Code, w.Body)
		}
		if round == 0 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err = New(Config{State: path}); err != nil {
				t.Fatal(err)
			}
			seen()
		}
	}
	if w := asRoot(s, "GET", "/bucket/after", ""); w.Body.String() != "after" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	s.Close()
}
