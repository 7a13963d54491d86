package emulator_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// recorded are requests of clients that nobody here wrote, as they went through a socket:
// of the call that eks-pod-identity-agent 0.1 makes with its AWS SDK for Go, and of
// botocore, which the AWS CLI has. Keys are test/test; the token is of a pod of team-a/app
// of the issuer whose keys are in jwks.json.
func recorded(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/podidentity/*.http")
	if err != nil || len(files) != 2 {
		t.Fatalf("%q, %v", files, err)
	}
	all := map[string][]byte{}
	for _, file := range files {
		if all[filepath.Base(file)], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// replay sends the bytes of a request.
func replay(t *testing.T, url string, request []byte) reply {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write(request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := reply{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	if err := json.Unmarshal(raw, &a.body); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return a
}

// turnedBack is an emulator that knows the cluster of the recorded requests, and whose clock
// can be set to theirs.
func turnedBack(t *testing.T) (w *podWorld, clock *atomic.Pointer[time.Time]) {
	t.Helper()
	keys, err := os.ReadFile("testdata/podidentity/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	clock = &atomic.Pointer[time.Time]{}
	a := emulatortest.Start(t, emulator.Config{Accounts: []string{accountA}, Now: func() time.Time {
		if now := clock.Load(); now != nil {
			return *now
		}
		return time.Now()
	}})
	if _, err := a.RegisterCluster(emulator.EKSCluster{Name: "c1", Issuer: "https://issuer.example/c1", JWKS: keys}); err != nil {
		t.Fatal(err)
	}
	return &podWorld{AWS: a, t: t, role: a.Role("app-role", document(serviceTrust(nil)))}, clock
}

// TestPodIdentityReplay: requests of the agent of AWS are taken byte for byte, and with
// another byte they are not.
func TestPodIdentityReplay(t *testing.T) {
	t.Parallel()
	for name, request := range recorded(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, clock := turnedBack(t)
			id := w.associate(nil)
			node := w.node()
			then, bySession := signedAnew(t, request, node)
			clock.Store(new(then.Add(2 * time.Second)))

			got := replay(t, w.AWS.URL, request).good(t, name)
			for want, path := range map[string][]string{
				"team-a": {"subject", "namespace"}, "app": {"subject", "serviceAccount"}, "pods.eks.amazonaws.com": {"audience"},
				id: {"podIdentityAssociation", "associationId"},
			} {
				if got.text(path...) != want {
					t.Errorf("%v is %q, want %q", path, got.text(path...), want)
				}
			}
			if arn := got.text("assumedRoleUser", "arn"); !podSessionARN.MatchString(arn) {
				t.Errorf("the session is %s", arn)
			}
			replay(t, w.AWS.URL, bySession).good(t, "signed by a node's role")

			other := bytes.Clone(request)
			at := bytes.LastIndexByte(other, '.') + 10 // in the token
			if other[at] == 'A' {
				other[at] = 'B'
			} else {
				other[at] = 'A'
			}
			replay(t, w.AWS.URL, other).is(t, "another byte", 403, "InvalidSignatureException", "")
			other = bytes.Replace(request, []byte("/clusters/c1/"), []byte("/clusters/c2/"), 1)
			replay(t, w.AWS.URL, other).is(t, "another path", 403, "InvalidSignatureException", "")
			clock.Store(new(then.Add(20 * time.Minute)))
			replay(t, w.AWS.URL, request).is(t, "later", 403, "InvalidSignatureException", "Signature expired")
		})
	}
}

// node are credentials of a node: a session of its role, which may call EKS Auth.
func (w *podWorld) node() aws.Credentials {
	w.t.Helper()
	role := w.Role("node", document(allowing(map[string]any{"AWS": accountA}, "sts:AssumeRole", "")))
	w.Policy("node", "exchange", allowing(nil, exchangeAction, clusterARN))
	ec2 := userIn(w.t, w.AWS, accountA, "ec2", document(allowing(nil, "sts:AssumeRole", role)))
	out, err := sts.NewFromConfig(ec2).AssumeRole(w.t.Context(), &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: new("i-0abc")})
	if err != nil {
		w.t.Fatal(err)
	}
	c := out.Credentials
	return aws.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken}
}

// signedAnew is when a request was signed, and the same request with the signature of
// others.
func signedAnew(t *testing.T, request []byte, by aws.Credentials) (then time.Time, signed []byte) {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if then, err = time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date")); err != nil {
		t.Fatal(err)
	}
	r.Header.Del("Authorization")
	r.URL.Host, r.Body = r.Host, io.NopCloser(bytes.NewReader(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), by, r, sigv4.HashPayload(body), "eks-auth", "us-east-1", then); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return then, b.Bytes()
}
