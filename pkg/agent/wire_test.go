package agent_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/openirsa/openirsa/pkg/agent"
)

// seen is a request of the agent to EKS Auth.
type seen struct {
	line, body string
	header     http.Header
}

// answering is an agent with the session of a node's role, and an EKS Auth that has one
// answer.
func answering(t *testing.T, status int, header http.Header, body string) (address string, requests <-chan seen) {
	t.Helper()
	all := make(chan seen, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		all <- seen{r.Method + " " + r.RequestURI + " " + r.Proto, string(got), r.Header}
		maps.Copy(w.Header(), header)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	cfg := aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("ASIANODE000000000000", "s", "session-of-the-node")}
	exchange, err := agent.EKSAuth(cfg, agent.Service{Cluster: cluster, Endpoint: server.URL, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, agent.New(agent.Config{Exchange: exchange}).Handler()), all
}

// The request is that of the original agent, but for what its SDK says of itself, and is
// signed with all that counts.
func TestRequest(t *testing.T) {
	address, requests := answering(t, http.StatusNotFound, nil, "{}")
	tok := token(t, podUID)
	get(t, address, tok)
	r := <-requests
	if r.line != "POST /clusters/c1/assume-role-for-pod-identity HTTP/1.1" || r.body != `{"token":"`+tok+`"}` {
		t.Errorf("%s: %s", r.line, r.body)
	}
	if r.header.Get("Content-Type") != "application/json" || r.header.Get("Content-Length") != fmt.Sprint(len(r.body)) ||
		r.header.Get("X-Amz-Security-Token") != "session-of-the-node" || len(r.header.Get("X-Amz-Date")) != len("20261130T215143Z") {
		t.Errorf("header %v", r.header)
	}
	day, _, _ := strings.Cut(r.header.Get("X-Amz-Date"), "T")
	want := "AWS4-HMAC-SHA256 Credential=ASIANODE000000000000/" + day +
		"/us-east-1/eks-auth/aws4_request, SignedHeaders=content-length;content-type;host;x-amz-date;x-amz-security-token, Signature="
	if signed := r.header.Get("Authorization"); !strings.HasPrefix(signed, want) || len(signed) != len(want)+64 {
		t.Errorf("signature %s, want %s...", signed, want)
	}
}

// What EKS Auth answers, by its model: with a time in whole seconds or with fractions, with
// a target role of another account, and with members that nobody knows yet.
func TestAnswers(t *testing.T) {
	at := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	whole := fmt.Sprint(at.Unix())
	for name, c := range map[string]struct{ account, expiration, want, more string }{
		"whole seconds":     {"111122223333", whole, at.Format(time.RFC3339), ""},
		"milliseconds":      {"111122223333", whole + ".922", at.Format("2006-01-02T15:04:05") + ".922Z", ""},
		"an exponent":       {"111122223333", whole[:1] + "." + whole[1:] + "E9", at.Format(time.RFC3339), ""},
		"a target role":     {"444455556666", whole, at.Format(time.RFC3339), ""},
		"something further": {"111122223333", whole, at.Format(time.RFC3339), `,"further":{"x":[1,null]}`},
	} {
		t.Run(name, func(t *testing.T) {
			body := `{"subject":{"namespace":"team-a","serviceAccount":"app"},"audience":"pods.eks.amazonaws.com","podIdentityAssociation":` +
				`{"associationArn":"arn:aws:eks:us-east-1:111122223333:podidentityassociation/c1/a-8mvwvh57cu74mgcst","associationId":"a-8mvwvh57cu74mgcst"},` +
				`"assumedRoleUser":{"arn":"arn:aws:sts::` + c.account + `:assumed-role/app-role/eks-c1-app-7d9c5b-0cda7f85-c1f9-4dee-b6e9-a0b50c8f3012",` +
				`"assumeRoleId":"AROA:eks-c1-app-7d9c5b-0cda7f85-c1f9-4dee-b6e9-a0b50c8f3012"},"credentials":{"accessKeyId":"ASIA1",` +
				`"secretAccessKey":"s","sessionToken":"t","expiration":` + c.expiration + `}` + c.more + `}`
			address, _ := answering(t, http.StatusOK, http.Header{"Content-Type": {"application/json"}, "X-Amzn-Requestid": {"r"}}, body)
			r := get(t, address, token(t, podUID))
			want := `{"AccessKeyId":"ASIA1","SecretAccessKey":"s","Token":"t","AccountId":"` + c.account + `","Expiration":"` + c.want + `"}`
			if r.status != http.StatusOK || r.body != want {
				t.Errorf("%d %s, want %s", r.status, r.body, want)
			}
		})
	}
}

// The places in which a service of AWS's REST-JSON protocol may name its error.
func TestErrorForms(t *testing.T) {
	const text = "The token included in the request is expired: current date/time 2024-02-10T08:38:55.284028Z must be before the expiration " +
		"date/time 2024-02-09T10:47:44Z."
	const code = "ExpiredTokenException"
	for name, c := range map[string]struct{ header, body string }{
		"a header":              {code, `{"message":"` + text + `"}`},
		"a header with a URI":   {code + ":http://internal.amazon.com/coral/com.amazonaws.eksauth/", `{"message":"` + text + `"}`},
		"a type":                {"", `{"__type":"` + code + `","message":"` + text + `"}`},
		"a type of a namespace": {"", `{"__type":"com.amazonaws.eksauth#` + code + `","message":"` + text + `"}`},
		"a code":                {"", `{"code":"` + code + `","Message":"` + text + `"}`},
		"both":                  {code, `{"__type":"Other","message":"` + text + `"}`},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{"Content-Type": {"application/json"}, "X-Amzn-Requestid": {"r-1"}}
			if c.header != "" {
				header["X-Amzn-Errortype"] = []string{c.header}
			}
			address, requests := answering(t, http.StatusBadRequest, header, c.body)
			r := get(t, address, token(t, podUID))
			if want := "[r-1]: (" + code + "): " + text + ", fault: client\n"; r.status != http.StatusBadRequest || r.body != want {
				t.Errorf("%d %q, want %q", r.status, r.body, want)
			}
			if len(requests) != 1 {
				t.Errorf("%d requests", len(requests))
			}
		})
	}
}
