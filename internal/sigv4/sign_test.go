package sigv4_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/openirsa/openirsa/internal/sigv4"
)

// What Sign signs is what AWS's SDK signs, and what Verify accepts.
func TestSignAgainstSDK(t *testing.T) {
	testSignAgainstSDK(t, sigv4.Credentials{AccessKeyID: "000000000000", Secret: "test"})
}

// A session's token is sent, and signed.
func TestSignSessionAgainstSDK(t *testing.T) {
	testSignAgainstSDK(t, sigv4.Credentials{AccessKeyID: "ASIAEXAMPLE", Secret: "test", SessionToken: "token/+="})
}

func testSignAgainstSDK(t *testing.T, ours sigv4.Credentials) {
	var signer sigv4.Signer
	scope := sigv4.Scope{Region: "eu-west-1", Service: "lambda"}
	for _, target := range []string{"/", "/a/b", "/tags/arn%3Aaws%3Alambda", "/x//y?b=2&a=1&a=0&c=%2F", "/%E6%97%A5?x=a+b"} {
		for _, body := range []string{"", `{"a":1}`} {
			made := func() *http.Request {
				r, err := http.NewRequestWithContext(t.Context(), "POST", "http://guard.test:4566"+target, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("X-Amz-Target", "  a   b ")
				r.Header.Set("User-Agent", "test")
				return r
			}
			hash := sigv4.HashPayload([]byte(body))
			r := made()
			r.Header.Set("X-Amz-Security-Token", "of somebody else")
			signer.Sign(r, ours, scope, hash, signedAt)
			if got := r.Header.Get("X-Amz-Security-Token"); got != ours.SessionToken {
				t.Errorf("the token is %q", got)
			}
			sdk := made()
			c := aws.Credentials{AccessKeyID: ours.AccessKeyID, SecretAccessKey: ours.Secret, SessionToken: ours.SessionToken}
			if err := v4.NewSigner().SignHTTP(t.Context(), c, sdk, hash, scope.Service, scope.Region, signedAt); err != nil {
				t.Fatal(err)
			}
			// The SDK signs the length too, which is in no header before a request is sent.
			if got, want := r.Header.Get("Authorization"), sdk.Header.Get("Authorization"); body == "" && got != want {
				t.Errorf("%s: %s\nwant %s", target, got, want)
			}
			var wire bytes.Buffer
			if err := r.Write(&wire); err != nil {
				t.Fatal(err)
			}
			back, err := parse(wire.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			s, err := sigv4.Parse(back)
			if err != nil {
				t.Fatal(err)
			}
			var v sigv4.Verifier
			if _, err := v.Verify(back, &s, ours.Secret, hash, signedAt); err != nil {
				t.Errorf("%s: %v", target, err)
			}
			if _, err := v.Verify(back, &s, "another", hash, signedAt); err == nil {
				t.Errorf("%s: another secret is accepted", target)
			}
		}
	}
}
