package emulator_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// stateVariable names the state file to a copy of the test program that is an
// emulator, see TestMain.
const stateVariable = "EMULATOR_TEST_STATE"

// TestMain is an emulator instead of tests if it is told a state file, so that
// there is a process to be killed.
func TestMain(m *testing.M) {
	if path := os.Getenv(stateVariable); path != "" {
		server, err := emulator.New(emulator.Config{State: path})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		web := httptest.NewServer(server)
		fmt.Println(web.URL)
		select {}
	}
	os.Exit(m.Run())
}

// process is an emulator in a process of its own.
type process struct {
	*exec.Cmd
	config aws.Config
}

func startProcess(t *testing.T, state string) *process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), stateVariable+"="+state)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSpace(line)
	return &process{cmd, aws.Config{
		Region: "us-east-1", BaseEndpoint: &url, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}}
}

// TestKill kills an emulator in a storm of writes, again and again, and
// compares what the next one has with what was acknowledged.
func TestKill(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state.db")
	acknowledged := map[string]bool{} // groups by name
	deleted := map[string]bool{}
	objects := map[string]string{} // bodies by key
	var mu sync.Mutex              // guards the three
	const writers = 8
	for round := range 4 {
		p := startProcess(t, state)
		path := func(o *s3.Options) { o.UsePathStyle = true }
		client, store := iam.NewFromConfig(p.config), s3.NewFromConfig(p.config, path)
		if round == 0 {
			if _, err := store.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: new("storm")}); err != nil {
				t.Fatal(err)
			}
		}

		// What was acknowledged before is there, and what was deleted is not.
		// The SDK's client may drop the connection of a long answer that it has
		// hardly asked for: its transport closes the request's body as soon as
		// there is an answer, and net/http's writer may yet look for its end.
		again := func(o *iam.Options) { o.RetryMaxAttempts = 10 }
		have := map[string]bool{}
		for pages := iam.NewListGroupsPaginator(client, &iam.ListGroupsInput{}); pages.HasMorePages(); {
			page, err := pages.NextPage(t.Context(), again)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range page.Groups {
				have[*g.GroupName] = true
			}
		}
		for name := range acknowledged {
			if !have[name] {
				t.Errorf("round %d: group %s was acknowledged and is lost", round, name)
			}
		}
		for name := range deleted {
			if have[name] {
				t.Errorf("round %d: group %s was deleted and is back", round, name)
			}
		}
		for key, body := range objects {
			out, err := store.GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("storm"), Key: &key})
			if err != nil {
				t.Errorf("round %d: object %s was acknowledged and is lost: %v", round, key, err)
				continue
			}
			var got strings.Builder
			_, err = bufio.NewReader(out.Body).WriteTo(&got)
			out.Body.Close()
			if err != nil || got.String() != body {
				t.Errorf("round %d: object %s has %d bytes, not %d; %v", round, key, got.Len(), len(body), err)
			}
		}
		if round == 3 {
			break
		}

		ctx, cancel := context.WithCancel(t.Context())
		var storm sync.WaitGroup
		for w := range writers {
			storm.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					name := fmt.Sprintf("g-%d-%d-%d", round, w, i%35)
					switch {
					case w%2 == 0:
						body := strings.Repeat(fmt.Sprint(i, " "), 1000)
						key := fmt.Sprintf("o-%d-%d-%d", round, w, i)
						if _, err := store.PutObject(ctx, &s3.PutObjectInput{Bucket: new("storm"), Key: &key, Body: strings.NewReader(body)}); err == nil {
							mu.Lock()
							objects[key] = body
							mu.Unlock()
						}
					case i < 35:
						if _, err := client.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: &name}); err == nil {
							mu.Lock()
							acknowledged[name] = true
							mu.Unlock()
						}
					case i < 50:
						mu.Lock()
						delete(acknowledged, name) // it may be deleted without our being told
						mu.Unlock()
						if _, err := client.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: &name}); err == nil {
							mu.Lock()
							deleted[name] = true
							mu.Unlock()
						}
					}
				}
			})
		}
		time.Sleep(700 * time.Millisecond)
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cancel()
		storm.Wait()
		p.Wait()
		t.Logf("round %d: %d groups, %d deleted, %d objects acknowledged", round, len(acknowledged), len(deleted), len(objects))
	}
	if len(acknowledged) == 0 || len(objects) == 0 {
		t.Error("nothing was acknowledged, so nothing was proved")
	}
}

// TestRestart: everything survives a restart, sessions too.
func TestRestart(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state", "db")
	config := quiet()
	config.State = state
	open := func() (*emulator.Server, *httptest.Server) {
		server, err := emulator.New(config)
		if err != nil {
			t.Fatal(err)
		}
		return server, httptest.NewServer(server)
	}
	server, web := open()
	clients := func(id, secret, token string) (*iam.Client, *sts.Client) {
		c := aws.Config{Region: "us-east-1", BaseEndpoint: &web.URL, Credentials: credentials.NewStaticCredentialsProvider(id, secret, token)}
		return iam.NewFromConfig(c), sts.NewFromConfig(c)
	}
	ctx := t.Context()
	root, _ := clients("test", "test", "")
	for _, err := range []error{
		second(root.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")})),
		second(root.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("ann"), PolicyArn: new(admin)})),
		second(root.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("R"), AssumeRolePolicyDocument: &anyone})),
		second(root.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new("R"), PolicyName: new("p"), PolicyDocument: new(document(map[string]any{"Effect": "Allow", "Action": "iam:Get*", "Resource": "*"}))})),
		second(root.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("P"), PolicyDocument: &getObject})),
		second(root.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: new("https://i.example"), ClientIDList: []string{"x"}, ThumbprintList: []string{strings.Repeat("a", 40)}})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("ann")})
	if err != nil {
		t.Fatal(err)
	}
	_, ann := clients(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
	out, err := ann.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: new("arn:aws:iam::000000000000:role/R"), RoleSessionName: new("s1")})
	if err != nil {
		t.Fatal(err)
	}
	details := func(c *iam.Client) string {
		d, err := c.GetAccountAuthorizationDetails(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := c.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: new("arn:aws:iam::000000000000:oidc-provider/i.example")})
		if err != nil {
			t.Fatal(err)
		}
		d.ResultMetadata, p.ResultMetadata = middleware.Metadata{}, middleware.Metadata{}
		for i := range d.RoleDetailList {
			d.RoleDetailList[i].RoleLastUsed = nil
		}
		b, _ := json.Marshal([]any{d, p})
		return string(b)
	}
	before := details(root)

	// The file belongs to one process at a time.
	second := config
	if _, err := emulator.New(second); err == nil || !strings.Contains(err.Error(), "another emulator") {
		t.Errorf("a second emulator on the same file: %v", err)
	}
	web.Close()
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(state); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the state file: %v, %v", info.Mode(), err)
	}

	server, web = open()
	defer server.Close()
	defer web.Close()
	root, _ = clients("test", "test", "")
	if after := details(root); after != before {
		t.Errorf("before %s\nafter  %s", before, after)
	}
	c := out.Credentials
	session, who := clients(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	if id, err := who.GetCallerIdentity(ctx, nil); err != nil || *id.Arn != "arn:aws:sts::000000000000:assumed-role/R/s1" {
		t.Errorf("%v, %v", id, err)
	}
	if _, err := session.GetRole(ctx, &iam.GetRoleInput{RoleName: new("R")}); err != nil {
		t.Error(err)
	}
}

// TestEvents: the events API filters, waits, and never tells a secret.
func TestEvents(t *testing.T) {
	t.Parallel()
	config := quiet()
	config.Control = true
	a, idp := start(t, config)
	idp.register()
	role := a.Role("R", idp.usual())
	token := idp.token(idp.claims())
	out, err := assume(t, a, role, token)
	if err != nil {
		t.Fatal(err)
	}
	c := out.Credentials
	client := iam.NewFromConfig(a.ConfigFor(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken))
	if _, err := client.ListGroups(t.Context(), nil); err == nil {
		t.Fatal("ListGroups was allowed")
	}
	get := func(query string) (events []emulator.Event, last uint64) {
		t.Helper()
		resp, err := http.Get(a.URL + "/_openirsa/events?" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var body struct {
			Events []emulator.Event
			Last   uint64
			Error  string
		}
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
			t.Fatal(err)
		}
		if body.Error != "" {
			t.Errorf("%s: %s", query, body.Error)
		}
		return body.Events, body.Last
	}
	count := func(query string, want int) []emulator.Event {
		t.Helper()
		events, _ := get(query)
		if len(events) != want {
			t.Errorf("%s: %d events, want %d", query, len(events), want)
		}
		return events
	}
	count("action=iam:ListGroups&decision=deny", 1)
	count("action=ListGroups", 1)
	count("action=iam:listgroup*", 1)
	count("action=ListGroups&decision=allow", 0)
	count("caller=assumed-role/R/app1", 1)
	count("caller="+*c.AccessKeyId, 2) // who got it, and who used it
	count("caller="+subject, 2)        // who had the token, and who called with what it was exchanged for
	count("since=1h&action=ListGroups", 1)
	count("since="+time.Now().Add(time.Hour).UTC().Format(time.RFC3339), 0)
	count("limit=2", 2)
	events := count("action=AssumeRoleWithWebIdentity", 1)
	if e := events[0]; e.Decision != emulator.Allow || e.Subject != subject || len(e.Fetches) != 2 || e.Statement == nil || e.Resource != role {
		t.Errorf("event %+v", e)
	}

	_, last := get("")
	done := make(chan int)
	go func() {
		events, _ := get("wait=10s&action=ListUsers&after=" + strconv.FormatUint(last, 10))
		done <- len(events)
	}()
	time.Sleep(50 * time.Millisecond)
	client.ListUsers(t.Context(), nil)
	select {
	case n := <-done:
		if n != 1 {
			t.Errorf("waited for %d events", n)
		}
	case <-time.After(5 * time.Second):
		t.Error("no event came")
	}

	all, _ := get("limit=1000")
	text, _ := json.Marshal(all)
	for name, secret := range map[string]string{"token": token, "token's signature": token[strings.LastIndex(token, ".")+1:],
		"secret access key": *c.SecretAccessKey, "session token": *c.SessionToken} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the %s is in the events", name)
		}
	}
	for _, bad := range []string{"limit=x", "since=yesterday", "decision=maybe", "colour=red", "wait=long"} {
		resp, err := http.Get(a.URL + "/_openirsa/events?" + bad)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: status %d", bad, resp.StatusCode)
		}
	}
}

// TestControl drives clock and faults over HTTP, and not without being asked.
func TestControl(t *testing.T) {
	t.Parallel()
	post := func(url, path, body string) int {
		t.Helper()
		resp, err := http.Post(url+"/_openirsa/control/"+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	shut, err := emulator.New(quiet())
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(shut)
	defer web.Close()
	if status := post(web.URL, "clock", `{"forward": "1h"}`); status != http.StatusNotFound {
		t.Errorf("control is open: %d", status)
	}

	config := quiet()
	config.Control = true
	a, _ := start(t, config)
	before := a.Now()
	if status := post(a.URL, "clock", `{"forward": "1h"}`); status != http.StatusOK || a.Now().Sub(before) < time.Hour {
		t.Errorf("clock: %d, %s", status, a.Now().Sub(before))
	}
	if status := post(a.URL, "faults", `{"action": "ListGroups", "code": "Throttling", "latency": "1ms"}`); status != http.StatusNoContent {
		t.Errorf("faults: %d", status)
	}
	_, err = iam.NewFromConfig(a.Config()).ListGroups(t.Context(), nil)
	refused(t, err, 400, "Throttling", "Injected fault")
	r, _ := http.NewRequest(http.MethodDelete, a.URL+"/_openirsa/control/faults", nil)
	if _, err := http.DefaultClient.Do(r); err != nil {
		t.Fatal(err)
	}
	if _, err := iam.NewFromConfig(a.Config()).ListGroups(t.Context(), nil); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "{}", `{"forward": "x"}`, `{"colour": 1}`} {
		if status := post(a.URL, "clock", bad); status != http.StatusBadRequest {
			t.Errorf("%q: %d", bad, status)
		}
	}
}
