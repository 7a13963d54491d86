package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
	"github.com/openirsa/openirsa/internal/needs"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/token"
)

// findBrowser finds a browser, or installs one.
func findBrowser(t *testing.T) string {
	t.Helper()
	find := func() string {
		for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
			if path, err := exec.LookPath(name); err == nil {
				return path
			}
		}
		return ""
	}
	if path := find(); path != "" {
		return path
	}
	if err := kindenv.Install(t.Context(), os.Stderr, "chromium"); err != nil {
		needs.Lacking(t, fmt.Errorf("there is no browser: %w", err))
	}
	return find()
}

// TestPage looks at the emulator's page in a real browser: what happened is there in words, and what clients sent is text
// and nothing else.
func TestPage(t *testing.T) {
	browser := findBrowser(t)
	a := emulatortest.Start(t)
	iss := a.Issuer("dev")
	role := a.Role("R", iss.Trust("ns1", "app"))
	a.Role("open", emulatortest.Document(map[string]any{"Effect": "Allow",
		"Principal": map[string]string{"Federated": iss.ARN}, "Action": "sts:AssumeRoleWithWebIdentity"}))
	webToken := iss.Token("ns1", "app")
	session := a.Session(role, webToken)
	client := iam.NewFromConfig(session)
	if _, err := client.ListGroups(t.Context(), nil); err == nil {
		t.Fatal("ListGroups was allowed")
	}
	// An attempt to have the page run something.
	now := a.Now()
	evil := iss.Mint(token.Claims{Issuer: iss.URL.String(), Subject: `<img src=x onerror="document.title='owned'">`,
		Audience: []string{emulatortest.Audience},
		IssuedAt: token.At(now), Expiry: token.At(now.Add(time.Hour))})
	if _, err := a.Assume(role, evil); err == nil {
		t.Fatal("the evil subject was let in")
	}

	page := openPage(t, browser, a.URL+"/_openirsa/")
	denial := a.Events(emulator.EventFilter{Action: "iam:ListGroups"})[0]
	for _, want := range []string{
		"Account 000000000000, partition aws",
		"iam:ListGroups",
		denial.Reason,
		"arn:aws:sts::000000000000:assumed-role/R/emulatortest",
		"<img src=x onerror=",
		iss.ARN,
		`"jwks_uri": "` + iss.URL.String() + `/openid/v1/jwks"`, // of the document as fetched
		"P-256 " + iss.Key.Public().KID,
		"arn:aws:iam::000000000000:role/open",
		"lets in every service account of " + iss.URL.HostPath(),
	} {
		page.waitFor(`document.body.textContent.includes(` + quote(want) + `)`)
	}
	page.waitFor(`document.title === "OpenIRSA emulator" && document.images.length === 0`)
	page.waitFor(`document.querySelector("#events > .deny .action").textContent === "sts:AssumeRoleWithWebIdentity"`)

	// The chain of the service account is a picture and words: where it is broken, and
	// by which two values.
	page.waitFor(`document.querySelectorAll("#chains > .chain.broken").length === 2`)
	page.waitFor(`[...document.querySelectorAll("#chains .links")].every(l => l.children.length === 7 && l.querySelectorAll("svg").length === 7)`)
	page.waitFor(`[...document.querySelectorAll("#chains .links")].some(l => l.getAttribute("aria-label").startsWith("Chain of ns1/app with role ` +
		role + `: broken at Last decision: iam:ListGroups is denied"))`)
	page.waitFor(`[...document.querySelectorAll("#chains .break")].some(b => b.innerText.includes("Expected") && ` +
		`b.innerText.includes("system:serviceaccount:ns1:app") && b.innerText.includes("Found") && b.innerText.includes("<img src=x"))`)
	page.waitFor(`document.querySelectorAll("#chains .links > .broken .badge + .mark").length === 2`) // not by colour alone
	// What would allow it is there to be pasted.
	page.waitFor(`[...document.querySelectorAll("#chains .remedy pre")].some(p => p.textContent.includes('"Action": "iam:ListGroups"'))`)
	page.waitFor(`[...document.querySelectorAll("#events .remedy pre")].some(p => p.textContent.startsWith("aws iam put-role-policy --role-name R "))`)

	// It is readable on a phone: nothing sticks out, and controls are large
	// enough for a thumb.
	page.waitFor(`document.documentElement.scrollWidth <= 390`)
	page.waitFor(`[...document.querySelectorAll("input[type=search], select, nav a")].filter(e => e.checkVisibility()).every(e => e.getBoundingClientRect().height >= 40)`)

	// Decisions come by themselves, and the filter is heeded.
	if _, err := client.ListUsers(t.Context(), nil); err == nil {
		t.Fatal("ListUsers was allowed")
	}
	page.waitFor(`document.querySelector("#events .action").textContent === "iam:ListUsers"`)

	// Equal ones in a row are one, with a count, and stay open.
	page.evaluate(`document.querySelector("#events > li > details").open = true`)
	before := page.evaluate(`document.querySelectorAll("#events > li").length`)
	for range 2 {
		client.ListUsers(t.Context(), nil)
	}
	page.waitFor(`document.querySelector("#events .count")?.textContent === "3 times" && document.querySelector("#events > li > details").open`)
	page.waitFor(fmt.Sprintf(`document.querySelectorAll("#events > li").length === %v`, before))
	page.waitFor(`["First time", "Last time"].every(n => [...document.querySelector("#events > li").querySelectorAll("dt")].some(d => d.textContent === n))`)

	// Nothing secret is in the page, however much of it is unfolded.
	page.evaluate(`document.querySelectorAll("details").forEach(d => d.open = true)`)
	text, _ := page.evaluate(`document.documentElement.outerHTML`).(string)
	if !strings.Contains(text, "iam:ListUsers") {
		t.Errorf("the page is\n%s", text)
	}
	credentials, err := session.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]string{"secret access key": credentials.SecretAccessKey, "session token": credentials.SessionToken,
		"token": webToken, "token's signature": webToken[strings.LastIndex(webToken, ".")+1:], "refused token": evil} {
		if secret == "" || strings.Contains(text, secret) {
			t.Errorf("the %s is in the page", name)
		}
	}
	page.waitFor(`document.documentElement.scrollWidth <= 390`)
	page.waitFor(`[...document.querySelectorAll("pre")].every(e => e.scrollWidth <= e.clientWidth)`)

	page.evaluate(`document.querySelector("[name=action]").value = "iam:ListGroups"; document.querySelector("#filter").dispatchEvent(new Event("input"))`)
	page.waitFor(`document.querySelectorAll("#events > li").length === 1 && document.querySelector("#events .action").textContent === "iam:ListGroups"`)

	// It works where there is nothing but the emulator.
	if len(page.requests) < 5 {
		t.Errorf("the page asked for %q alone", page.requests)
	}
	for _, url := range page.requests {
		if !strings.HasPrefix(url, a.URL+"/_openirsa/") && !strings.HasPrefix(url, "data:") {
			t.Errorf("the page asked for %s", url)
		}
	}
}

// TestPageRestart: the page goes on where the emulator at its address is another process, which numbers its decisions from 1
// and may have fewer of them, or more.
func TestPageRestart(t *testing.T) {
	browser := findBrowser(t)
	// started is an emulator that has made decisions about so many groups, of which group is the latest.
	started := func(decisions int, group string) *emulatortest.AWS {
		a := emulatortest.Start(t)
		for i := range decisions - 1 {
			a.Groups(fmt.Sprint("g", i))
		}
		a.Groups(group)
		return a
	}
	first, second, third := emulatortest.Start(t), started(3, "second"), started(30, "third")
	var current atomic.Pointer[emulatortest.AWS]
	current.Store(first)
	waits := make(chan struct{}, 1) // the page waits for a decision
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("wait") == "25s" {
			select {
			case waits <- struct{}{}:
			default:
			}
		}
		if a := current.Load(); a != nil {
			a.ServeHTTP(w, r)
			return
		}
		http.Error(w, "nobody is here", http.StatusBadGateway)
	}))
	t.Cleanup(web.Close)
	t.Cleanup(web.CloseClientConnections)
	page := openPage(t, browser, web.URL+"/_openirsa/")
	shows := func(decisions int, group string) {
		t.Helper()
		page.waitFor(`document.querySelector("#events > li dl")?.textContent.includes("group/` + group + `")`)
		page.waitFor(fmt.Sprintf(`document.querySelectorAll("#events > li").length === %d`, decisions))
		page.waitFor(`document.querySelector("#no-events").hidden`)
		page.waitFor(`document.querySelector("#connection").className === ""`)
	}

	<-waits
	first.Groups("first") // its first decision
	shows(1, "first")
	for i := range 20 {
		first.Groups(fmt.Sprint("more", i))
	}
	shows(21, "more19")

	current.Store(second)
	first.Groups("last") // answers the page, which then asks the other one
	shows(3, "second")

	current.Store(nil)
	web.CloseClientConnections()
	page.waitFor(`document.querySelector("#connection").className === "lost"`)
	current.Store(third)
	shows(30, "third")
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// browserPage is a page in a browser, spoken to by the Chrome DevTools
// Protocol over a pair of pipes.
type browserPage struct {
	t       *testing.T
	in      io.Writer
	pipe    *os.File // that out reads
	out     *bufio.Reader
	id      int
	session string

	requests []string // URLs that the page asked for
}

func openPage(t *testing.T, browser, url string) *browserPage {
	t.Helper()
	toBrowser, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, fromBrowser, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// The test's own context ends before its cleanups, and would kill the browser in the middle of writing to its directory.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), programTime)
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{toBrowser, fromBrowser} // descriptors 3 and 4
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	toBrowser.Close()
	fromBrowser.Close()
	p := &browserPage{t: t, in: in, pipe: out, out: bufio.NewReader(out)}
	t.Cleanup(func() {
		p.session = ""
		p.send("Browser.close", nil) // an orderly end, so that its directory can be removed
		cmd.Wait()
		cancel()
		in.Close()
		out.Close()
	})
	target := p.call("Target.createTarget", map[string]any{"url": "about:blank"})["targetId"]
	p.session = p.call("Target.attachToTarget", map[string]any{"targetId": target, "flatten": true})["sessionId"].(string)
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true})
	p.call("Network.enable", nil)
	p.call("Page.navigate", map[string]any{"url": url})
	return p
}

func (p *browserPage) send(method string, params map[string]any) {
	p.id++
	message := map[string]any{"id": p.id, "method": method, "params": params}
	if p.session != "" {
		message["sessionId"] = p.session
	}
	b, err := json.Marshal(message)
	if err != nil {
		p.t.Fatal(err)
	}
	p.in.Write(append(b, 0))
}

// call calls a method of the protocol and returns its result.
func (p *browserPage) call(method string, params map[string]any) map[string]any {
	p.t.Helper()
	p.send(method, params)
	p.pipe.SetReadDeadline(time.Now().Add(patience))
	for {
		b, err := p.out.ReadBytes(0)
		if err != nil {
			p.t.Fatalf("%s: %v", method, err)
		}
		var message struct {
			ID     int
			Method string
			Params struct{ Request struct{ URL string } }
			Result map[string]any
			Error  map[string]any
		}
		if err := json.Unmarshal(b[:len(b)-1], &message); err != nil {
			p.t.Fatal(err)
		}
		switch {
		case message.Method == "Network.requestWillBeSent":
			p.requests = append(p.requests, message.Params.Request.URL)
		case message.ID != p.id: // another event
		case message.Error != nil:
			p.t.Fatalf("%s: %v", method, message.Error)
		default:
			return message.Result
		}
	}
}

// evaluate is the value of an expression in the page.
func (p *browserPage) evaluate(expression string) any {
	p.t.Helper()
	result := p.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true})
	value, _ := result["result"].(map[string]any)
	return value["value"]
}

// waitFor waits until an expression is true.
func (p *browserPage) waitFor(expression string) {
	p.t.Helper()
	for range 300 {
		if p.evaluate(expression) == true {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.t.Fatalf("never true: %s\n%s", expression, p.evaluate(`document.body.innerText`))
}
