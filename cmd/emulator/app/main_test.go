package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/internal/cli"
)

// environ is an environment for run.
func environ(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// called is how the program is called.
func called(lookup func(string) (string, bool), stderr io.Writer, args ...string) *cli.Invocation {
	return &cli.Invocation{Name: "emulator", Args: args, Lookup: lookup, Stdout: io.Discard, Stderr: stderr}
}

// serve runs the program until stop is called, which returns its error.
func serve(t *testing.T, lookup func(string) (string, bool), args ...string) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := Run(ctx, called(lookup, w, append([]string{"--listen=127.0.0.1:0"}, args...)...))
		w.CloseWithError(errors.Join(errors.New("the program ended"), err))
		done <- err
	}()
	log := bufio.NewReader(r)
	for url == "" {
		line, err := log.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(`\burl"?[=:]"?([^\s"]+)`).FindStringSubmatch(line); m != nil {
			url = m[1]
		}
	}
	go io.Copy(io.Discard, log)
	return url, func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(10 * time.Second):
			return errors.New("the program does not end")
		}
	}
}

func health(t *testing.T, client *http.Client, url string) map[string]string {
	t.Helper()
	resp, err := client.Get(url + "/_openirsa/health")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body map[string]string
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
	return body
}

func TestServe(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.db")
	lookup := environ("EMULATOR_ACCOUNT", "111122223333", "EMULATOR_STATE", state, "EMULATOR_PARTITION", "aws-cn")
	url, stop := serve(t, lookup, "--partition=aws-us-gov")
	got := health(t, http.DefaultClient, url)
	if got["account"] != "111122223333" || got["partition"] != "aws-us-gov" {
		t.Errorf("health %v: the variable is to count for the account, the flag for the partition", got)
	}

	// A request that waits for events does not hold up the end.
	waiting := make(chan struct{})
	go func() {
		if resp, err := http.Get(url + "/_openirsa/events?wait=60s"); err == nil {
			resp.Body.Close()
		}
		close(waiting)
	}()
	time.Sleep(100 * time.Millisecond)
	started := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	<-waiting
	if d := time.Since(started); d > 4*time.Second {
		t.Errorf("it took %s to end", d)
	}
	if info, err := os.Stat(state); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("state file: %v, %v", info, err)
	}
	err := Run(t.Context(), called(environ(), io.Discard, "--listen=127.0.0.1:0", "--state", state))
	if err == nil || !strings.Contains(err.Error(), "it is of account 111122223333, not of 000000000000") {
		t.Errorf("the state of another account: %v", err)
	}
}

// TestServeJSON: each line of the log is a JSON object.
func TestServeJSON(t *testing.T) {
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, called(environ(), &log, "--listen=127.0.0.1:0", "--log-format=json")); err != nil {
		t.Fatal(err)
	}
	var messages []string
	for line := range strings.Lines(log.String()) {
		var object struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &object); err != nil || object.Level == "" {
			t.Errorf("a line of the log: %v: %s", err, line)
		}
		messages = append(messages, object.Msg)
	}
	if !slices.Equal(messages, []string{"serving", "shutting down"}) {
		t.Errorf("the log says %q", messages)
	}
}

func TestServeTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	url, stop := serve(t, environ(), "--tls-cert", cert, "--tls-key", keyFile, "--ca-file", cert)
	if !strings.HasPrefix(url, "https://") {
		t.Errorf("serves %s", url)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	health(t, client, url)
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args  []string
		env   []string
		usage bool
		want  string
	}{
		{[]string{"--no-such-flag"}, nil, true, "unknown flag"},
		{[]string{"extra"}, nil, true, "unknown command"},
		{[]string{"completion", "nope"}, nil, true, "unknown command"},
		{[]string{"--log-level=loud"}, nil, true, `--log-level "loud" is not debug, info, warn or error`},
		{[]string{"--log-format=xml"}, nil, true, `--log-format "xml" is neither text nor json`},
		{[]string{"--tls-cert=x"}, nil, true, "--tls-cert and --tls-key go together"},
		{nil, []string{"EMULATOR_MAX_EVENTS", "many"}, true, "reading EMULATOR_MAX_EVENTS"},
		{[]string{"--token-leeway=-1s"}, nil, true, "--token-leeway -1s is negative"},
		{[]string{"--account=12"}, nil, false, `account "12" is not twelve digits`},
		{[]string{"--partition=mars"}, nil, false, `partition "mars" is not known`},
		{[]string{"--strict", "--allow-private-issuers"}, nil, false, "exclude each other"},
		{[]string{"--ca-file", empty}, nil, false, "has no certificate in PEM"},
		{[]string{"--ca-file", "missing"}, nil, false, "reading --ca-file"},
		{[]string{"--listen=256.0.0.1:1"}, nil, false, "listening on --listen"},
	} {
		err := Run(t.Context(), called(environ(c.env...), io.Discard, c.args...))
		usage := cli.IsUsage(err)
		if err == nil || !strings.Contains(err.Error(), c.want) || usage != c.usage {
			t.Errorf("%v %v: %v (usage %t), want %q", c.args, c.env, err, usage, c.want)
		}
	}
}
