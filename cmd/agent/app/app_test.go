package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/spf13/pflag"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/version"
	"github.com/openirsa/openirsa/pkg/agent"
)

// asProgram has the test be the program, to be killed.
const asProgram = "OPENIRSA_TEST_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		cli.Main(Main)
	}
	os.Exit(m.Run())
}

// Every flag of aws/eks-pod-identity-agent, with the defaults that users rely on.
func TestFlagsOfTheOriginal(t *testing.T) {
	f := pflag.NewFlagSet("agent", pflag.ContinueOnError)
	new(options).flags(f)
	for name, want := range map[string]string{
		"bind-hosts b": "[169.254.170.23,[fd00:ec2::23]]", "port p": "80", "cluster-name c": "", "endpoint": "", "metrics-address": "0.0.0.0",
		"metrics-port": "2705", "probe-port": "2703", "max-credential-retention-before-renewal": "3h0m0s", "max-cache-size": "2000",
		"max-service-qps": "3", "rotate-credentials": "false", "verbosity v": "",
	} {
		name, short, _ := strings.Cut(name, " ")
		if flag := f.Lookup(name); flag == nil {
			t.Errorf("no flag --%s", name)
		} else if flag.DefValue != want || flag.Shorthand != short {
			t.Errorf("--%s, -%s is %q by default, want -%s, %q", name, flag.Shorthand, flag.DefValue, short, want)
		}
	}
	// As the original's chart has them.
	if err := f.Parse([]string{"--port", "80", "--cluster-name", "c1", "--probe-port", "2703", "--metrics-port", "2705", "-b", "169.254.170.23", "-v", "trace"}); err != nil {
		t.Error(err)
	}
}

func TestFlagsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "pod-identity-agent.md"))
	if err != nil {
		t.Fatal(err)
	}
	f := pflag.NewFlagSet("agent", pflag.ContinueOnError)
	new(options).flags(f)
	f.VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden && !strings.Contains(string(doc), "`--"+flag.Name+"`") {
			t.Errorf("docs/pod-identity-agent.md does not tell of --%s", flag.Name)
		}
	})
}

// ownKeys are the agent's own credentials, and nothing else of this machine's.
func ownKeys(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIAAGENT00000000000", "AWS_SECRET_ACCESS_KEY": "of-the-agent",
		"AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_WEB_IDENTITY_TOKEN_FILE": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_EKS_AUTH": "",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": "", "HTTP_PROXY": "",
	} {
		t.Setenv(name, value)
	}
}

func called(stdout, stderr io.Writer, args ...string) *cli.Invocation {
	return &cli.Invocation{Name: "agent", Args: args, Lookup: os.LookupEnv, Stdout: stdout, Stderr: stderr}
}

func TestUsage(t *testing.T) {
	ownKeys(t)
	reject := func(want string, args ...string) {
		t.Helper()
		err := Run(t.Context(), called(io.Discard, io.Discard, args...))
		if err == nil || !strings.Contains(err.Error(), want) || !cli.IsUsage(err) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
	reject("--cluster-name is needed")
	reject("--cluster-name is needed", "server")
	for _, name := range []string{"-c1", "a/b", "a b", strings.Repeat("a", 101)} {
		reject("is not the name of a cluster", "--cluster-name="+name)
	}
	with := func(args ...string) []string { return append([]string{"-c", "c1"}, args...) }
	reject("unknown command", with("extra")...)
	reject("unknown command", "initialize", "extra")
	reject("unknown flag", with("--nope")...)
	reject("invalid argument", with("--port=70000")...)
	reject(`--bind-hosts "localhost" is not an address`, with("--bind-hosts=localhost")...)
	reject("--bind-hosts has no address", with("--bind-hosts=")...)
	reject("--allowed-hosts has no name", with("--allowed-hosts=")...)
	reject(`--endpoint "10.0.0.1:4566" is not an http or https URL`, with("--endpoint=10.0.0.1:4566")...)
	reject("--max-cache-size -1 is negative", with("--max-cache-size=-1")...)
	reject("--max-service-qps 0 is not positive", with("--max-service-qps=0")...)
	reject("--max-credential-retention-before-renewal -1s is negative", with("--max-credential-retention-before-renewal=-1s")...)
	reject("--refusals-kept -1s is negative", with("--refusals-kept=-1s")...)
	reject("they would expire", with("--max-service-qps=1", "--max-credential-retention-before-renewal=5m")...)
	reject(`--log-level "loud" is not`, with("--log-level=loud")...)
	reject(`--log-format "xml" is neither`, with("--log-format=xml")...)
	reject(`--verbosity "loud" is not`, with("-v=loud")...)
	t.Setenv("AWS_REGION", "")
	reject("no AWS region is set", with()...)
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "")
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials")
	reject("the agent's own credentials would come from the agent", with()...)

	var out bytes.Buffer
	if err := Run(t.Context(), called(&out, io.Discard, "--version")); err != nil || out.String() != version.String()+"\n" {
		t.Errorf("--version: %q, %v", &out, err)
	}
}

// service is EKS Auth as it is seen by those with a good token; pkg/agent has the others.
type service struct {
	*httptest.Server
	calls atomic.Int64
	hold  atomic.Pointer[chan struct{}] // answers wait for it
	keys  sync.Map                      // ids of the keys that have signed
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := s.calls.Add(1)
		if r.Method != http.MethodPost || r.URL.Path != "/clusters/c1/assume-role-for-pod-identity" || !strings.Contains(r.Header.Get("Authorization"), "/us-east-1/eks-auth/aws4_request") {
			t.Errorf("%s %s, %s", r.Method, r.URL, r.Header.Get("Authorization"))
		}
		_, key, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		key, _, _ = strings.Cut(key, "/")
		s.keys.Store(key, true)
		if hold := s.hold.Load(); hold != nil {
			<-*hold
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"subject":{"namespace":"team-a","serviceAccount":"app"},"audience":"pods.eks.amazonaws.com",
			"podIdentityAssociation":{"associationArn":"arn:aws:eks:us-east-1:111122223333:podidentityassociation/c1/a-0","associationId":"a-0"},
			"assumedRoleUser":{"arn":"arn:aws:sts::111122223333:assumed-role/app-role/eks-c1","assumeRoleId":"AROA:eks-c1"},
			"credentials":{"accessKeyId":"ASIA%d","secretAccessKey":"s","sessionToken":"t","expiration":%d}}`, n, time.Now().Add(6*time.Hour).Unix())
	}))
	t.Cleanup(s.Close)
	return s
}

func podToken(pod string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode(fmt.Appendf(nil, `{"exp":%d,"kubernetes.io":{"namespace":"team-a","serviceaccount":{"name":"app","uid":"1"},"pod":{"name":"app-1","uid":%q}}}`,
		time.Now().Add(time.Hour).Unix(), pod)) + ".c2ln"
}

// free are ports of 127.0.0.1 that nobody uses.
func free(t *testing.T, n int) (ports []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports
}

// locally are the flags of an agent of 127.0.0.1, or of other addresses.
func locally(s *service, ports []string, hosts ...string) []string {
	if hosts == nil {
		hosts = []string{"127.0.0.1"}
	}
	return append([]string{"--cluster-name=c1", "--endpoint=" + s.URL, "--allowed-hosts=127.0.0.1", "--port=" + ports[0],
		"--probe-port=" + ports[1], "--metrics-address=127.0.0.1", "--metrics-port=" + ports[2], "--log-format=json"}, "--bind-hosts="+strings.Join(hosts, ","))
}

// buffer is a log.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func fetch(url string) (status int, body string) {
	res, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(b)
}

func await(t *testing.T, url string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		status, body := fetch(url)
		if status == 200 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d %s", url, status, body)
		}
	}
}

// sdk is what an SDK does in a pod: AWS's own for Go.
func sdk(port, token string) *endpointcreds.Provider {
	return endpointcreds.New("http://127.0.0.1:"+port+agent.Path, func(o *endpointcreds.Options) {
		o.AuthorizationToken = token
	})
}

// The program, from its flags to an SDK, on a node that has one of the addresses, as one
// without IPv6 (A44). It ends with the requests that are under way.
func TestAgent(t *testing.T) {
	ownKeys(t)
	s := newService(t)
	ports := free(t, 3)
	ctx, stop := context.WithCancel(t.Context())
	var log buffer
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, called(io.Discard, &log, locally(s, ports, "127.0.0.1", "[fd00:ec2::23]")...))
	}()
	inside := "http://127.0.0.1:" + ports[2]
	await(t, "http://localhost:"+ports[1]+"/readyz")
	for _, path := range []string{"/healthz", "/readyz"} {
		for _, base := range []string{"http://localhost:" + ports[1], inside} {
			if status, body := fetch(base + path); status != 200 || body != "" {
				t.Errorf("%s: %d %s", base+path, status, body)
			}
		}
	}
	c, err := sdk(ports[0], podToken("a")).Retrieve(ctx)
	if err != nil || c.AccessKeyID != "ASIA1" || c.AccountID != "111122223333" || !c.CanExpire {
		t.Errorf("%+v, %v", c, err)
	}
	if status, body := fetch("http://127.0.0.1:" + ports[0] + agent.Path); status != 400 || body != "Service account token cannot be empty\n" {
		t.Errorf("%d %s", status, body)
	}
	_, page := fetch(inside + "/metrics")
	for _, line := range []string{`pod_identity_http_response{code="200"} 1`, `pod_identity_http_response{code="400"} 1`, `pod_identity_cache_state{state="miss"} 1`, "go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(page, line) {
			t.Errorf("no %s in\n%s", line, page)
		}
	}
	if status, _ := fetch("http://localhost:" + ports[1] + "/metrics"); status != 404 {
		t.Errorf("metrics at the port of the probes: %d", status)
	}

	// A request that is under way when the program is told to end.
	hold := make(chan struct{})
	s.hold.Store(&hold)
	late := make(chan error, 1)
	go func() {
		_, err := sdk(ports[0], podToken("b")).Retrieve(context.WithoutCancel(ctx))
		late <- err
	}()
	for s.calls.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	stop()
	time.Sleep(100 * time.Millisecond)
	close(hold)
	if err := <-late; err != nil {
		t.Errorf("the last request: %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	warnings := 0
	for line := range strings.Lines(log.String()) {
		var said struct{ Level, Msg, Error string }
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		if said.Level == "WARN" {
			warnings++
			if !strings.Contains(said.Error, "[fd00:ec2::23]:"+ports[0]) {
				t.Errorf("a warning of another thing: %s", line)
			}
		}
	}
	if warnings != 1 {
		t.Errorf("%d warnings:\n%s", warnings, &log)
	}
}

func TestNoAddress(t *testing.T) {
	ownKeys(t)
	s := newService(t)
	err := Run(t.Context(), called(io.Discard, io.Discard, locally(s, free(t, 3), "192.0.2.1", "2001:db8::1")...))
	if err == nil || !strings.Contains(err.Error(), "the command initialize") || cli.IsUsage(err) {
		t.Error(err)
	}
	taken, listenErr := net.Listen("tcp", "127.0.0.1:0")
	if listenErr != nil {
		t.Fatal(listenErr)
	}
	defer taken.Close()
	ports := free(t, 3)
	for i := range ports {
		mine := append([]string(nil), ports...)
		_, mine[i], _ = net.SplitHostPort(taken.Addr().String())
		if err := Run(t.Context(), called(io.Discard, io.Discard, locally(s, mine)...)); err == nil || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("a port that somebody else has: %v", err)
		}
	}
}

// With --rotate-credentials a new file is used within a minute; without it never, as
// SDKs do.
func TestRotatedCredentials(t *testing.T) {
	ownKeys(t)
	file := filepath.Join(t.TempDir(), "credentials")
	write := func(key string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("[default]\naws_access_key_id = "+key+"\naws_secret_access_key = s\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	for key, rotate := range map[string]bool{"AKIAONE": false, "AKIATWO": true} {
		write("AKIAONE")
		cfg, err := configuration(t.Context(), &options{rotate: rotate})
		if err != nil {
			t.Fatal(err)
		}
		c, err := cfg.Credentials.Retrieve(t.Context())
		if err != nil || c.AccessKeyID != "AKIAONE" {
			t.Fatalf("%+v, %v", c, err)
		}
		write("AKIATWO")
		if rotate {
			if left := time.Until(c.Expires); !c.CanExpire || left > time.Minute || left < 50*time.Second {
				t.Errorf("the file is read again in %s", left)
			}
			if c, err = reread(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else if c, err = cfg.Credentials.Retrieve(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c.AccessKeyID != key {
			t.Errorf("key %s, want %s", c.AccessKeyID, key)
		}
	}
}

// An agent that is killed and started again: pods ask until there are credentials.
func TestKilled(t *testing.T) {
	ownKeys(t)
	s := newService(t)
	ports := free(t, 3)
	start := func() *exec.Cmd {
		t.Helper()
		c := exec.Command(os.Args[0], locally(s, ports)...)
		c.Env = append(os.Environ(), asProgram+"=1")
		c.Stderr = os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Process.Kill() })
		return c
	}
	first := start()
	await(t, "http://localhost:"+ports[1]+"/readyz")

	pods, ctx := 5, t.Context()
	var killed atomic.Bool
	var wg sync.WaitGroup
	var before, lost, after atomic.Int64
	for i := range pods {
		wg.Go(func() {
			tok := podToken(fmt.Sprint("pod-", i))
			for fine := 0; fine < 5 && ctx.Err() == nil; {
				c, err := sdk(ports[0], tok).Retrieve(ctx)
				switch {
				case err != nil:
					lost.Add(1)
				case !strings.HasPrefix(c.AccessKeyID, "ASIA"):
					t.Errorf("%+v", c)
				case killed.Load():
					after.Add(1)
					fine++
				default:
					before.Add(1)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	for before.Load() < int64(2*pods) {
		time.Sleep(time.Millisecond)
	}
	if err := first.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	first.Wait()
	killed.Store(true)
	time.Sleep(500 * time.Millisecond)
	second := start()
	wg.Wait()
	// One exchange of each agent for each pod, and whatever the first has not lived to keep.
	if n := s.calls.Load(); after.Load() != int64(5*pods) || n < int64(2*pods) || n > int64(3*pods) {
		t.Errorf("%d credentials of the second agent, of %d exchanges", after.Load(), s.calls.Load())
	}
	if err := second.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); err != nil {
		t.Errorf("the agent ends with %v", err)
	}
	t.Logf("%d credentials before, %d attempts while there was no agent, %d afterwards", before.Load(), lost.Load(), after.Load())
}
