package agent_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/go-jose/go-jose/v4"

	"github.com/openirsa/openirsa/pkg/agent"
	"github.com/openirsa/openirsa/pkg/emulator"
)

// The agent and the emulator's EKS Auth, which knows nothing of the agent: an
// association, a token that its cluster has signed, and what the pod may do then.
func TestWithTheEmulator(t *testing.T) {
	server, err := emulator.New(emulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server)
	t.Cleanup(func() {
		web.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: signingKey().Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	arn, err := server.RegisterCluster(emulator.EKSCluster{Name: cluster, Issuer: issuerURL, JWKS: keys})
	if err != nil {
		t.Fatal(err)
	}
	as := func(c aws.Credentials) aws.Config {
		return aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(web.URL),
			Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)}
	}
	root := aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}
	ctx, admin := t.Context(), iam.NewFromConfig(as(root))
	role, err := admin.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("app-role"), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	user := func(name string) aws.Credentials {
		t.Helper()
		if _, err := admin.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}); err != nil {
			t.Fatal(err)
		}
		key, err := admin.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
		if err != nil {
			t.Fatal(err)
		}
		return aws.Credentials{AccessKeyID: *key.AccessKey.AccessKeyId, SecretAccessKey: *key.AccessKey.SecretAccessKey}
	}
	allowed, other := user("agent"), user("other")
	if _, err := admin.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: aws.String("agent"), PolicyName: aws.String("exchange"), PolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"eks-auth:AssumeRoleForPodIdentity","Resource":"` + arn + `"}]}`)}); err != nil {
		t.Fatal(err)
	}
	associate(t, web.URL, root, `{"namespace":"team-a","serviceAccount":"app","roleArn":"`+*role.Role.Arn+`"}`)

	start := func(by aws.Credentials) string {
		t.Helper()
		exchange, err := agent.EKSAuth(as(by), agent.Service{Cluster: cluster, Timeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		return serve(t, agent.New(agent.Config{Exchange: exchange}).Handler())
	}
	address := start(allowed)
	r := get(t, address, token(t, podUID))
	if r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	var given struct{ AccessKeyId, SecretAccessKey, Token, AccountId string }
	if err := json.Unmarshal([]byte(r.body), &given); err != nil {
		t.Fatal(err)
	}
	who, err := sts.NewFromConfig(as(aws.Credentials{AccessKeyID: given.AccessKeyId, SecretAccessKey: given.SecretAccessKey, SessionToken: given.Token})).
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
	refused(start(other), token(t, podUID), 403, "AccessDeniedException")
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
