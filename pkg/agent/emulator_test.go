package agent_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/openirsa/openirsa/pkg/agent"
	"github.com/openirsa/openirsa/pkg/emulator"
)

// cloud is an emulator that knows the cluster, with a role for pods of team-a/app, which
// have it by an association. It knows nothing of the agent.
type cloud struct {
	t         *testing.T
	url       string
	arn       string       // of the cluster
	exchanges atomic.Int64 // requests of EKS Auth
}

var root = aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	return cloudOf(t, emulator.Config{}, keySet(t))
}

// keySet is the cluster's, as its issuer has it.
func keySet(t *testing.T) []byte {
	t.Helper()
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: signingKey().Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// cloudOf registers the cluster with a copy of its keys, or without one.
func cloudOf(t *testing.T, config emulator.Config, keys []byte) *cloud {
	t.Helper()
	server, err := emulator.New(config)
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{t: t}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/assume-role-for-pod-identity") {
			c.exchanges.Add(1)
		}
		server.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		web.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	c.url = web.URL
	if c.arn, err = server.RegisterCluster(emulator.EKSCluster{Name: cluster, Issuer: issuerURL, JWKS: keys}); err != nil {
		t.Fatal(err)
	}
	role, err := iam.NewFromConfig(c.as(root)).CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("app-role"), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	associate(t, c.url, root, `{"namespace":"team-a","serviceAccount":"app","roleArn":"`+*role.Role.Arn+`"}`)
	return c
}

// as is a configuration with credentials.
func (c *cloud) as(by aws.Credentials) aws.Config {
	return aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(c.url),
		Credentials: credentials.NewStaticCredentialsProvider(by.AccessKeyID, by.SecretAccessKey, by.SessionToken)}
}

// user makes a user, who may exchange tokens or nothing.
func (c *cloud) user(name string, may bool) aws.Credentials {
	c.t.Helper()
	ctx, admin := c.t.Context(), iam.NewFromConfig(c.as(root))
	if _, err := admin.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}); err != nil {
		c.t.Fatal(err)
	}
	if may {
		if _, err := admin.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("exchange"), PolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"eks-auth:AssumeRoleForPodIdentity","Resource":"` + c.arn + `"}]}`)}); err != nil {
			c.t.Fatal(err)
		}
	}
	key, err := admin.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		c.t.Fatal(err)
	}
	return aws.Credentials{AccessKeyID: *key.AccessKey.AccessKeyId, SecretAccessKey: *key.AccessKey.SecretAccessKey}
}

// agent starts an agent that calls EKS Auth by a user, and returns it and its address.
func (c *cloud) agent(by aws.Credentials) (a *agent.Agent, address string) {
	c.t.Helper()
	a = agent.New(agent.Config{Exchange: c.exchange(by)})
	return a, serve(c.t, a.Handler())
}

func (c *cloud) exchange(by aws.Credentials) agent.Exchange {
	c.t.Helper()
	exchange, err := agent.EKSAuth(c.as(by), agent.Service{Cluster: cluster, Timeout: 20 * time.Second})
	if err != nil {
		c.t.Fatal(err)
	}
	return exchange
}

// The agent and the emulator's EKS Auth: an association, a token that its cluster has
// signed, and what the pod may do then.
func TestWithTheEmulator(t *testing.T) {
	c, ctx := newCloud(t), t.Context()
	_, address := c.agent(c.user("agent", true))
	r := get(t, address, token(t, podUID))
	if r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	var given struct{ AccessKeyId, SecretAccessKey, Token, AccountId string }
	if err := json.Unmarshal([]byte(r.body), &given); err != nil {
		t.Fatal(err)
	}
	who, err := sts.NewFromConfig(c.as(aws.Credentials{AccessKeyID: given.AccessKeyId, SecretAccessKey: given.SecretAccessKey, SessionToken: given.Token})).
		GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil || !strings.Contains(*who.Arn, ":assumed-role/app-role/eks-"+cluster+"-") || *who.Account != given.AccountId {
		t.Errorf("the pod is %+v, %v", who, err)
	}
	if left := time.Until(expires(t, r)); left < 6*time.Hour-time.Minute || left > 6*time.Hour {
		t.Errorf("the session lives for %s", left)
	}

	refused := func(address, token string, status int, code string) {
		t.Helper()
		r := get(t, address, token)
		if id, text, _ := strings.Cut(r.body, "]: "); r.status != status || len(id) < 10 || !strings.HasPrefix(text, "("+code+"): ") {
			t.Errorf("%d %q, want %d %s", r.status, r.body, status, code)
		}
	}
	stranger := claimsOf("other", nil)
	stranger["sub"] = "system:serviceaccount:team-b:app"
	stranger["kubernetes.io"].(map[string]any)["namespace"] = "team-b"
	refused(address, sign(t, stranger), 404, "ResourceNotFoundException")
	refused(address, sign(t, claimsOf(podUID, map[string]any{"aud": "sts.amazonaws.com"})), 400, "InvalidTokenException")
	refused(address, sign(t, claimsOf(podUID, map[string]any{"iss": "https://issuer.example/c2"})), 400, "InvalidTokenException")
	_, other := c.agent(c.user("other", false))
	refused(other, token(t, podUID), 403, "AccessDeniedException")
}

// documents are those of the issuer, until they are gone.
type documents struct {
	keys []byte
	gone atomic.Bool
}

func (d *documents) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	switch {
	case d.gone.Load():
		w.WriteHeader(http.StatusInternalServerError)
	case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, issuerURL, issuerURL+"/keys")
	default:
		w.Write(d.keys)
	}
	return w.Result(), nil
}

// When credentials are to be renewed and the issuer's documents are away, the pod keeps those that it has.
func TestOutageOfTheDocuments(t *testing.T) {
	d := &documents{keys: keySet(t)}
	c := cloudOf(t, emulator.Config{HTTP: &http.Client{Transport: d}, MaxKeyAge: -1}, nil)
	registry := prometheus.NewRegistry()
	a := agent.New(agent.Config{Exchange: c.exchange(c.user("agent", true)), RenewAfter: time.Millisecond, Metrics: agent.NewMetrics(registry)})
	address, tok := serve(t, a.Handler()), token(t, podUID)
	first := get(t, address, tok)
	key := first.accessKey(t)
	d.gone.Store(true)
	var running sync.WaitGroup
	running.Go(func() { a.Run(t.Context()) })
	t.Cleanup(running.Wait) // after the end of the context
	kept := `pod_identity_cache_errors{code=ServiceUnavailableException,type=Recoverable}`
	lost := `pod_identity_cache_errors{code=InvalidTokenException,type=NonRecoverable}`
	for m := metrics(t, registry); m[kept]+m[lost] == 0; m = metrics(t, registry) {
		time.Sleep(10 * time.Millisecond)
	}
	asked := c.exchanges.Load()
	if again := get(t, address, tok); again.accessKey(t) != key {
		t.Errorf("the pod had %s, and then %d %s", first.body, again.status, again.body)
	}
	if n := c.exchanges.Load() - asked; n != 0 {
		t.Errorf("%d exchanges for what is kept", n)
	}
}

// 200 pods that start at once on a node, each with three clients: EKS Auth is asked once
// for each pod, all get credentials, and every pod its own.
func TestStorm(t *testing.T) {
	const pods, clients = 200, 3
	c := newCloud(t)
	a, first := c.agent(c.user("agent", true))
	second := serve(t, a.Handler()) // the other address
	tokens := make([]string, pods)
	for i := range tokens {
		tokens[i] = token(t, fmt.Sprint("pod-", i))
	}
	var keys [pods][clients]string
	storm := func() {
		t.Helper()
		begin := make(chan struct{})
		var all sync.WaitGroup
		for i, tok := range tokens {
			pod := client(fmt.Sprintf("127.1.%d.%d", i/100, i%100+1))
			for j := range clients {
				all.Go(func() {
					<-begin
					r, err := ask(pod, []string{first, second}[j%2], tok)
					if err != nil {
						t.Error(err)
						return
					}
					keys[i][j] = r.accessKey(t)
				})
			}
			defer pod.CloseIdleConnections()
		}
		close(begin)
		all.Wait()
	}
	began := time.Now()
	storm()
	t.Logf("%d pods have credentials after %s", pods, time.Since(began))
	given := map[string]bool{}
	for i := range keys {
		for j := range keys[i] {
			if keys[i][j] != keys[i][0] {
				t.Errorf("pod %d has %s and %s", i, keys[i][0], keys[i][j])
			}
		}
		given[keys[i][0]] = true
	}
	if n := c.exchanges.Load(); n != pods || len(given) != pods {
		t.Errorf("%d exchanges and %d sessions for %d pods", n, len(given), pods)
	}
	before := keys
	storm()
	if n := c.exchanges.Load(); n != pods || keys != before {
		t.Errorf("%d exchanges after all have asked again", n)
	}
}

// associate gives a service account a role.
func associate(t *testing.T, url string, by aws.Credentials, body string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url+"/clusters/"+cluster+"/pod-identity-associations", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), by, req, hex.EncodeToString(sum[:]), "eks", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 {
		t.Fatalf("%s: %s, %v", res.Status, text, err)
	}
}
