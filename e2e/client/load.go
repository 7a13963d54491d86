package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// apiRate is how many tokens are presented to each API server a second.
const apiRate = 10

// load presents tokens without pause, to STS for a role and to the API servers, and writes a line of JSON a second
// (type report) until it is ended. Of each audience there are three kinds of tokens:
//
//	pod     what kubelet keeps in the pod's file at the moment
//	fresh   the last one that a TokenRequest gave; there are four a second
//	old     one that was given earlier, and is used until it is of -age or near its expiry
//
// No request is tried again: a refusal is a refusal.
type load struct {
	role       string
	rate       int           // AssumeRoleWithWebIdentity a second
	age        time.Duration // 0: as long as they are valid
	apiServers []string

	account string // namespace/name of the pod's service account
	sts     *sts.Client
	http    *http.Client

	mu       sync.Mutex // guards the rest
	minted   map[string][]minted
	total    map[string]*tally
	kids     map[string]*uses
	took     histogram
	second   int // successful assumes in the present second
	failures []failure
}

// runFetch gets a document fifty times a second, on new and on kept connections in turn, and reports as load does, as
// "get/new" and "get/kept". An answer that is not the first one's body is a failure.
func runFetch(ctx context.Context, host, url string, stdout io.Writer) error {
	l := &load{total: map[string]*tally{}, kids: map[string]*uses{}}
	clients := []*http.Client{
		{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second},
		{Transport: &http.Transport{MaxIdleConnsPerHost: 4}, Timeout: 5 * time.Second},
	}
	get := func(c *http.Client) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err != nil {
			return nil, err
		}
		req.Host = host
		resp, err := c.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err == nil && resp.StatusCode != http.StatusOK {
			err = &statusError{resp.StatusCode, fmt.Sprintf("GET %s of %s: %s: %s", url, host, resp.Status, bytes.TrimSpace(b))}
		}
		return b, err
	}
	first, err := get(clients[0])
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		paced(ctx, 50, func(i int) {
			wg.Go(func() {
				b, err := get(clients[i%2])
				if err == nil && !bytes.Equal(b, first) {
					err = &statusError{http.StatusOK, fmt.Sprintf("GET %s of %s: other documents: %s", url, host, b)}
				}
				l.count(ctx, []string{"get/new", "get/kept"}[i%2], url, minted{}, err)
			})
		})
	})
	every(ctx, time.Second, func(int) { l.say(stdout) })
	wg.Wait()
	return nil
}

// report is one line: sums since the start, but for Second and Failures.
type report struct {
	At time.Time `json:"at"`
	// Total is by where and kind: "sts/fresh", "api/old", and "mint".
	Total map[string]*tally `json:"total"`
	// Kids is how often tokens of a key were accepted, by "KID ISSUER".
	Kids map[string]*uses `json:"kids"`
	// Took is how long AssumeRoleWithWebIdentity took, in milliseconds.
	Took struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
		Max float64 `json:"max"`
	} `json:"took"`
	// Second is how many roles were assumed in the last second.
	Second int `json:"second"`
	// Failures are the last second's, 20 at most.
	Failures []failure `json:"failures,omitempty"`
}

type tally struct {
	OK      int `json:"ok"`
	Refused int `json:"refused"` // answered, and not with what was asked for
	Away    int `json:"away"`    // not answered, or with 403, 429 or 5xx
}

type uses struct {
	Issuer string    `json:"issuer"`
	STS    int       `json:"sts"`
	API    int       `json:"api"`
	First  time.Time `json:"first"` // when such a token was first accepted
	Last   time.Time `json:"last"`
}

type failure struct {
	Kind   string `json:"kind"`
	Server string `json:"server,omitempty"`
	KID    string `json:"kid"`
	Issuer string `json:"issuer"`
	Age    string `json:"age"`
	Left   string `json:"left"` // until it expires
	Error  string `json:"error"`
}

// minted is a token and what it says of itself.
type minted struct {
	raw, kid, issuer string
	issued, expires  time.Time
}

const (
	podDir      = "/var/run/secrets/kubernetes.io/serviceaccount/"
	stsAudience = "sts.amazonaws.com"
	// margin before a token's expiry in which it is not used any more: its way takes time.
	margin = 5 * time.Second
	// patience is how long an answer may take, on a machine with several clusters; AWS's SDKs wait for ever.
	patience = 30 * time.Second
)

func runLoad(ctx context.Context, args []string, stdout io.Writer) error {
	l := &load{minted: map[string][]minted{}, total: map[string]*tally{}, kids: map[string]*uses{}}
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.IntVar(&l.rate, "rate", 70, "AssumeRoleWithWebIdentity a second; 0: none, and no role is needed")
	f.DurationVar(&l.age, "age", 0, "how long a token is used; 0: until it expires")
	servers := f.String("api-servers", "", "URLs of the API servers, separated by commas; empty: that of the pod's environment")
	if err := f.Parse(args); err != nil {
		return err
	}
	if l.rate < 0 || f.NArg() != min(l.rate, 1) {
		return errors.New("usage: client load [-rate N] [-age DURATION] [-api-servers URL,...] ROLE_ARN")
	}
	l.role = f.Arg(0)
	if l.apiServers = strings.Split(*servers, ","); *servers == "" {
		l.apiServers = []string{inCluster()}
	}
	own, err := readToken(podDir + "token")
	if err != nil {
		return err
	}
	if l.account, err = subject(own.raw); err != nil {
		return err
	}
	if l.http, err = apiClient(); err != nil {
		return err
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }))
	if err != nil {
		return err
	}
	l.sts = sts.NewFromConfig(cfg)

	// Nothing is counted before there is one token of each kind.
	for _, audience := range []string{stsAudience, ""} {
		if err := l.mint(ctx, l.apiServers[0], audience); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	for _, audience := range []string{stsAudience, ""} {
		wg.Go(func() {
			every(ctx, 250*time.Millisecond, func(i int) { _ = l.mint(ctx, l.apiServers[i%len(l.apiServers)], audience) })
		})
	}
	if l.rate > 0 {
		wg.Go(func() {
			paced(ctx, l.rate, func(i int) { wg.Go(func() { l.assume(ctx, kinds[i%len(kinds)]) }) })
		})
	}
	for _, server := range l.apiServers {
		wg.Go(func() {
			paced(ctx, apiRate, func(i int) { wg.Go(func() { l.ask(ctx, server, kinds[i%len(kinds)]) }) })
		})
	}
	every(ctx, time.Second, func(int) { l.say(stdout) })
	wg.Wait()
	return nil
}

func (l *load) say(stdout io.Writer) {
	if line, err := json.Marshal(l.report()); err == nil {
		fmt.Fprintf(stdout, "%s\n", line)
	}
}

var kinds = []string{"pod", "fresh", "old"}

// every calls do at each tick until ctx ends. Do must not take long.
func every(ctx context.Context, d time.Duration, do func(i int)) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do(i)
		}
	}
}

// paced calls do so many times a second until ctx ends, in all, also on a machine that is too busy for every tick. Do
// must not take long.
func paced(ctx context.Context, rate int, do func(i int)) {
	start, n := time.Now(), 0
	every(ctx, max(time.Second/time.Duration(rate), 10*time.Millisecond), func(int) {
		for ; n < int(time.Since(start).Seconds()*float64(rate)); n++ {
			do(n)
		}
	})
}

// pick is a token of a kind for an audience; "" is the API server's. It is the pod's own if the API server has given
// none for longer than a token is used.
func (l *load) pick(audience, kind string) (minted, string, error) {
	if m, ok := l.pickMinted(audience, kind); ok {
		return m, kind, nil
	}
	file := podDir + "token"
	if audience != "" {
		file = os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE")
	}
	m, err := readToken(file)
	return m, "pod", err
}

func (l *load) pickMinted(audience, kind string) (minted, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	list := slices.DeleteFunc(l.minted[audience], func(m minted) bool {
		return now.After(m.expires.Add(-margin)) || (l.age > 0 && now.After(m.issued.Add(l.age)))
	})
	l.minted[audience] = list
	switch {
	case kind == "pod" || len(list) == 0:
		return minted{}, false
	case kind == "fresh":
		return list[len(list)-1], true
	case rand.IntN(2) == 0:
		return list[0], true // those on the verge of expiry are the ones that matter
	}
	return list[rand.IntN(len(list))], true
}

// mint asks an API server for a token of the pod's own service account.
func (l *load) mint(ctx context.Context, server, audience string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := func() error {
		own, err := readToken(podDir + "token")
		if err != nil {
			return err
		}
		spec := map[string]any{"expirationSeconds": 600} // the least that Kubernetes gives
		if audience != "" {
			spec["audiences"] = []string{audience}
		}
		namespace, name, _ := strings.Cut(l.account, "/")
		var answer struct{ Status struct{ Token string } }
		err = (bearer{l.http, own.raw}).post(ctx, server+"/api/v1/namespaces/"+namespace+"/serviceaccounts/"+name+"/token",
			map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}, &answer)
		if err != nil {
			return err
		}
		m, err := parse(answer.Status.Token)
		if err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.minted[audience] = append(l.minted[audience], m)
		return nil
	}()
	l.count(ctx, "mint", "", minted{}, err)
	return err
}

func (l *load) assume(ctx context.Context, kind string) {
	m, kind, err := l.pick(stsAudience, kind)
	if err == nil {
		call, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		start := time.Now()
		_, err = l.sts.AssumeRoleWithWebIdentity(call, &sts.AssumeRoleWithWebIdentityInput{
			RoleArn: &l.role, RoleSessionName: new("load"), WebIdentityToken: &m.raw,
		})
		took := time.Since(start)
		l.mu.Lock()
		l.took.add(took)
		if err == nil {
			l.second++
		}
		l.mu.Unlock()
	}
	l.count(ctx, "sts/"+kind, "", m, err)
}

func (l *load) ask(ctx context.Context, server, kind string) {
	m, kind, err := l.pick("", kind)
	if err == nil {
		call, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		_, err = review(call, l.http, server, m.raw)
	}
	l.count(ctx, "api/"+kind, server, m, err)
}

// count adds one request. What ends because the program ends does not count.
func (l *load) count(ctx context.Context, kind, server string, m minted, err error) {
	if context.Cause(ctx) != nil && errors.Is(err, context.Canceled) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.total[kind]
	if t == nil {
		t = &tally{}
		l.total[kind] = t
	}
	where, _, _ := strings.Cut(kind, "/")
	switch {
	case err == nil:
		t.OK++
		if m.kid == "" {
			return
		}
		u := l.kids[m.kid+" "+m.issuer]
		if u == nil {
			u = &uses{Issuer: m.issuer, First: time.Now()}
			l.kids[m.kid+" "+m.issuer] = u
		}
		u.Last = time.Now()
		if where == "sts" {
			u.STS++
		} else {
			u.API++
		}
		return
	case away(err):
		t.Away++
		if where == "api" || kind == "mint" {
			return // an API server that restarts
		}
	default:
		t.Refused++
	}
	if len(l.failures) < 20 {
		l.failures = append(l.failures, failure{
			Kind: kind, Server: server, KID: m.kid, Issuer: m.issuer, Error: strings.ReplaceAll(err.Error(), "\n", " "),
			Age: time.Since(m.issued).Round(time.Second).String(), Left: time.Until(m.expires).Round(time.Second).String(),
		})
	}
}

// away reports whether nobody answered, or only that there is no answer now. An API server that starts knows tokens
// before it knows its RBAC rules, and forbids for a moment what it will allow, to a user whom it names: that token was
// good. One that is not is Unauthorized.
func away(err error) bool {
	if status, ok := errors.AsType[*statusError](err); ok {
		return status.code == http.StatusForbidden || status.code == http.StatusTooManyRequests || status.code >= 500
	}
	_, answered := errors.AsType[smithy.APIError](err)
	return !answered
}

func (l *load) report() report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := report{At: time.Now(), Total: map[string]*tally{}, Kids: map[string]*uses{}, Second: l.second, Failures: l.failures}
	for k, t := range l.total {
		r.Total[k] = new(*t)
	}
	for k, u := range l.kids {
		r.Kids[k] = new(*u)
	}
	r.Took.P50, r.Took.P99, r.Took.Max = l.took.quantile(0.5), l.took.quantile(0.99), l.took.max
	l.second, l.failures = 0, nil
	return r
}

// histogram counts milliseconds.
type histogram struct {
	buckets map[int]int // of a tenth of a millisecond
	n       int
	max     float64 // milliseconds
}

func (h *histogram) add(d time.Duration) {
	if h.buckets == nil {
		h.buckets = map[int]int{}
	}
	h.buckets[int(d/(100*time.Microsecond))]++
	h.n++
	h.max = max(h.max, float64(d.Microseconds())/1000)
}

func (h *histogram) quantile(q float64) float64 {
	below := 0
	for _, b := range slices.Sorted(maps.Keys(h.buckets)) {
		if below += h.buckets[b]; float64(below) >= q*float64(h.n) {
			return float64(b+1) / 10
		}
	}
	return 0
}

func readToken(file string) (minted, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return minted{}, fmt.Errorf("reading the token: %w", err)
	}
	return parse(strings.TrimSpace(string(b)))
}

// parse reads what a token says of itself, and believes it.
func parse(raw string) (minted, error) {
	var header struct{ Kid string }
	var claims struct {
		Iss      string
		Iat, Exp int64
	}
	if err := decode(raw, &header, &claims); err != nil {
		return minted{}, err
	}
	return minted{raw: raw, kid: header.Kid, issuer: claims.Iss, issued: time.Unix(claims.Iat, 0), expires: time.Unix(claims.Exp, 0)}, nil
}

// subject is whose a token is, as namespace/name.
func subject(raw string) (string, error) {
	var claims struct{ Sub string }
	if err := decode(raw, &struct{}{}, &claims); err != nil {
		return "", err
	}
	rest, ok := strings.CutPrefix(claims.Sub, "system:serviceaccount:")
	if !ok {
		return "", fmt.Errorf("the token is of %q, which is no service account", claims.Sub)
	}
	return strings.Replace(rest, ":", "/", 1), nil
}

func decode(raw string, header, claims any) error {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return fmt.Errorf("reading the token: %d parts, want 3", len(parts))
	}
	for i, into := range []any{header, claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			return fmt.Errorf("reading the token: %w", err)
		}
	}
	return nil
}

// inCluster is the API server's address for pods.
func inCluster() string {
	return "https://" + net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
}

// apiClient trusts what pods are told to trust.
func apiClient() (*http.Client, error) {
	ca, err := os.ReadFile(podDir + "ca.crt")
	if err != nil {
		return nil, fmt.Errorf("reading the CA: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 20}}, nil
}

// review asks an API server whose token this is.
func review(ctx context.Context, c *http.Client, server, token string) (string, error) {
	var answer struct {
		Status struct{ UserInfo struct{ Username string } }
	}
	err := (bearer{c, token}).post(ctx, server+"/apis/authentication.k8s.io/v1/selfsubjectreviews",
		map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}, &answer)
	return answer.Status.UserInfo.Username, err
}

// statusError is an API server's answer that is not what was asked for.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return e.text }

// bearer asks an API server with a token.
type bearer struct {
	client *http.Client
	token  string
}

func (b bearer) post(ctx context.Context, url string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+b.token)
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusCreated {
		return &statusError{resp.StatusCode, fmt.Sprintf("asking the API server: %s: %s", resp.Status, bytes.TrimSpace(text))}
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("reading the API server's answer: %w", err)
	}
	return nil
}
