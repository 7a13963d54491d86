package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestForward: what is forwarded is in flags, the environment and a file, which is read
// again when it changes.
func TestForward(t *testing.T) {
	backend := func() (*httptest.Server, *atomic.Int32) {
		calls := new(atomic.Int32)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Amz-Target") != "" {
				calls.Add(1)
			}
			io.WriteString(w, "{}")
		}))
		t.Cleanup(server.Close)
		return server, calls
	}
	one, first := backend()
	two, second := backend()
	file := filepath.Join(t.TempDir(), "forward")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("# where it goes\ncognito-idp=" + one.URL + " # for now\n")
	url, stop := serve(t, environ("EMULATOR_FORWARD", "sqs="+one.URL+",dynamodb="+one.URL), "--forward-file="+file)
	initiate := func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "AWSCognitoIdentityProviderService.InitiateAuth")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if initiate(); first.Load() != 1 || second.Load() != 0 {
		t.Fatalf("%d calls reached the first backend, %d the second", first.Load(), second.Load())
	}
	write("cognito-idp=" + two.URL + "\n")
	for end := time.Now().Add(15 * time.Second); second.Load() == 0; {
		if time.Now().After(end) {
			t.Fatal("the file was not read again")
		}
		time.Sleep(50 * time.Millisecond)
		initiate()
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for flags, want := range map[string]string{
		"--forward=dynamo=http://h":                             `--forward: forwarding "dynamo": no service has that name; there are dynamodb`,
		"--forward=sqs":                                         `--forward: "sqs" is not of the form SERVICE=URL`,
		"--forward=sts=http://h":                                "--forward: forwarding sts: ",
		"--forward-key=test":                                    "--forward-key is not of the form ID:SECRET",
		"--forward-file=" + file + ".not-there":                 "not-there",
		"--forward=cognito-idp=http://h --forward-file=" + file: "is there twice",
	} {
		err := Run(t.Context(), called(environ(), io.Discard, strings.Fields(flags)...))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", flags, err, want)
		}
	}
}
