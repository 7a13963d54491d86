package emulator_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator"
)

// expecting is one connection to an emulator, on which every request asks for 100 Continue and waits for the first
// status line before it sends its body, as botocore and curl do.
type expecting struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	host string
}

func dialExpecting(t *testing.T, server *httptest.Server) *expecting {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &expecting{t, conn, bufio.NewReader(conn), conn.RemoteAddr().String()}
}

// statuses sends a request and gives the status codes that came, and whether the connection stays.
func (c *expecting) statuses(proto, service string, e exchange) (statuses []int, keeps bool) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), e.method, "http://"+c.host+e.uri, strings.NewReader(e.body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header = e.header.Clone()
	if !e.unsigned {
		hash := sigv4.HashPayload([]byte(e.body))
		r.Header.Set("X-Amz-Content-Sha256", hash)
		credentials := aws.Credentials{AccessKeyID: e.id, SecretAccessKey: e.secret}
		if err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).
			SignHTTP(c.t.Context(), credentials, r, hash, service, "us-east-1", time.Now()); err != nil {
			c.t.Fatal(err)
		}
	}
	fmt.Fprintf(c.conn, "%s %s %s\r\nHost: %s\r\nContent-Length: %d\r\nExpect: 100-Continue\r\n", e.method, e.uri, proto, c.host, len(e.body))
	r.Header.Write(c.conn)
	io.WriteString(c.conn, "\r\n")
	if proto == "HTTP/1.0" {
		io.WriteString(c.conn, e.body) // which knows no 100
	}
	for {
		answer, err := http.ReadResponse(c.r, r)
		if err != nil {
			c.t.Fatalf("%s %s: after %v: %v", e.method, e.uri, statuses, err)
		}
		statuses = append(statuses, answer.StatusCode)
		if answer.StatusCode == http.StatusContinue {
			if len(answer.Header) > 0 {
				c.t.Errorf("%s %s: 100 with headers %v", e.method, e.uri, answer.Header)
			}
			io.WriteString(c.conn, e.body)
			continue
		}
		if _, err := io.ReadAll(answer.Body); err != nil {
			c.t.Fatal(err)
		}
		return statuses, !answer.Close
	}
}

// TestExpectContinue asks for 100 Continue in front of requests of every kind, with and without a body. Those that
// succeed get it, exactly once; those that are refused before their body was read may get the last word at once, but
// then on a connection that is not used again, for clients such as botocore do not get over that.
func TestExpectContinue(t *testing.T) {
	s, err := emulator.New(emulator.Config{Control: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	tagging := "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
	one := dialExpecting(t, server)
	for _, tt := range []struct {
		service string
		exchange
		status int
	}{
		{"s3", signed("PUT", "/bucket", ""), 200},
		{"s3", signed("PUT", "/bucket/k", ""), 200},
		{"s3", signed("PUT", "/bucket/k", "hello"), 200},
		{"s3", signed("PUT", "/bucket/copy", "", "X-Amz-Copy-Source", "bucket/k"), 200},
		{"s3", signed("PUT", "/bucket/copy", "nobody reads this", "X-Amz-Copy-Source", "bucket/k"), 200},
		{"s3", signed("POST", "/bucket/k?uploads", ""), 200},
		{"s3", signed("POST", "/bucket/k?uploads", "nobody reads this"), 200},
		{"s3", signed("PUT", "/bucket?tagging", tagging), 204},
		{"s3", signed("PUT", "/lists", "", "X-Amz-Object-Ownership", "ObjectWriter"), 200},
		{"s3", signed("PUT", "/lists?acl", "", "X-Amz-Acl", "private"), 200},
		{"s3", signed("GET", "/bucket/k", ""), 200},
		{"s3", signed("HEAD", "/bucket/k", ""), 200},
		{"s3", signed("GET", "/bucket/k", "nobody reads this"), 200},
		{"s3", signed("DELETE", "/bucket/copy", ""), 204},
		{"s3", signed("PUT", "/missing/k", ""), 404},
		{"s3", signed("PUT", "/bucket/k", "", "If-None-Match", "*"), 412},
		{"s3", signed("PUT", "/bucket/k", "").by("test", "wrong", ""), 403},
		{"s3", signed("PUT", "/bucket/k", "").anonymous(), 403},
		{"sts", signed("POST", "/", "Action=GetCallerIdentity&Version=2011-06-15", form...), 200},
		{"sts", signed("POST", "/?Action=GetCallerIdentity&Version=2011-06-15", "", form...), 200},
		{"iam", signed("POST", "/", "Action=GetUser&Version=2010-05-08&UserName=x", form...), 404},
		{"kms", signed("POST", "/", `{"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}`, "X-Amz-Target", "TrentService.CreateKey", "Content-Type", "application/x-amz-json-1.1"), 200},
		{"", signed("POST", "/_openirsa/control/clock", `{"forward": "1s"}`, "Content-Type", "application/json").anonymous(), 200},
	} {
		got, keeps := one.statuses("HTTP/1.1", tt.service, tt.exchange)
		want := []int{100, tt.status}
		if diff := cmp.Diff(want, got); diff != "" || !keeps {
			t.Errorf("%s %s with %d bytes: the connection stays: %v, statuses -want +got\n%s", tt.method, tt.uri, len(tt.body), keeps, diff)
		}
		if !keeps {
			one = dialExpecting(t, server)
		}
	}

	for _, e := range []exchange{
		signed("PUT", "/bucket/k", "hello").by("test", "wrong", ""),
		signed("PUT", "/missing/k", "hello"),
		signed("PUT", "/bucket/k", "hello", "If-None-Match", "*"),
	} {
		got, keeps := dialExpecting(t, server).statuses("HTTP/1.1", "s3", e)
		if len(got) != 1 || got[0] < 400 || keeps {
			t.Errorf("%s %s: %v, the connection stays: %v", e.method, e.uri, got, keeps)
		}
	}
	for _, body := range []string{"", "hello"} {
		if got, _ := dialExpecting(t, server).statuses("HTTP/1.0", "s3", signed("PUT", "/bucket/k", body)); len(got) != 1 || got[0] != 200 {
			t.Errorf("HTTP/1.0 with %d bytes: %v", len(body), got)
		}
	}
}

// TestExpectContinueHTTP2 asks for it over HTTP/2, with Go's client.
func TestExpectContinueHTTP2(t *testing.T) {
	w := newWire(t)
	server := httptest.NewUnstartedServer(w)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	client := &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true, ExpectContinueTimeout: time.Minute, TLSClientConfig: &tls.Config{RootCAs: roots},
	}}
	for _, body := range []string{"", "hello", ""} {
		r, err := http.NewRequestWithContext(t.Context(), "PUT", server.URL+"/bucket/k", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Expect", "100-continue")
		hash := sigv4.HashPayload([]byte(body))
		r.Header.Set("X-Amz-Content-Sha256", hash)
		if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, r, hash, "s3", "us-east-1", wireTime); err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK || answer.ProtoMajor != 2 {
			t.Errorf("%d bytes: %s over %s", len(body), answer.Status, answer.Proto)
		}
	}
}
