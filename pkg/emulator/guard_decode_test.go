package emulator_test

import (
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// TestGuardEncodedMessage: EC2's denials end with a message that says more, to those who
// may decode it.
func TestGuardEncodedMessage(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	ec2 := func(parameters string) string {
		t.Helper()
		rec, got, _ := g.send(g.query("ec2", "/", "Version=2016-11-15&"+parameters))
		if rec.Code != http.StatusForbidden || len(got) != 0 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		_, encoded, _ := strings.Cut(between(rec.Body.String(), "<Message>", "<"), " Encoded authorization failure message: ")
		return encoded
	}
	decode := func(id, secret, encoded string) *httptest.ResponseRecorder {
		t.Helper()
		rec := httptest.NewRecorder()
		body := form("Action", "DecodeAuthorizationMessage", "Version", "2011-06-15", "EncodedMessage", encoded)
		g.ServeHTTP(rec, g.signed(id, secret, "sts", "POST", "/", body, "Content-Type", formType))
		return rec
	}
	g.policy(`{"Version":"2012-10-17","Statement":{"Sid":"Stay","Effect":"Deny","Action":"ec2:StopInstances","Resource":"*"}}`)
	encoded := ec2("Action=StopInstances&InstanceId.1=i-1")
	if encoded == "" || strings.Contains(encoded, "Stay") {
		t.Fatalf("encoded: %q", encoded)
	}
	if e := ec2("Action=DescribeVolumes"); e != "" {
		t.Errorf("a denied description has a message: %s", e)
	}

	if rec := decode(g.id, g.secret, encoded); rec.Code != http.StatusForbidden {
		t.Errorf("without the permission: %d %s", rec.Code, rec.Body)
	}
	rec := decode("test", "test", encoded)
	unknown, missing, err := emulator.CheckAnswer("sts", "DecodeAuthorizationMessage", rec.Body.Bytes())
	if rec.Code != http.StatusOK || err != nil || len(unknown)+len(missing) > 0 {
		t.Fatalf("%d %s: %v, %v, %v", rec.Code, rec.Body, unknown, missing, err)
	}
	var m struct {
		Allowed, ExplicitDeny bool
		MatchedStatements     struct {
			Items []struct{ StatementID, Effect, Policy string }
		}
		Context struct {
			Principal        struct{ ARN string }
			Action, Resource string
			Conditions       struct {
				Items []struct {
					Key    string
					Values struct{ Items []struct{ Value string } }
				}
			}
		}
		Explanation string
	}
	text := html.UnescapeString(between(rec.Body.String(), "<DecodedMessage>", "<"))
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if m.Allowed || !m.ExplicitDeny || len(m.MatchedStatements.Items) != 1 || m.MatchedStatements.Items[0].StatementID != "Stay" ||
		m.Context.Principal.ARN != arnApp || m.Context.Action != "ec2:StopInstances" ||
		m.Context.Resource != "arn:aws:ec2:us-east-1:123456789012:instance/i-1" || !strings.Contains(m.Explanation, "Stay") {
		t.Errorf("%s", text)
	}
	region := ""
	for _, c := range m.Context.Conditions.Items {
		if c.Key == "aws:RequestedRegion" {
			region = c.Values.Items[0].Value
		}
	}
	if region != "us-east-1" {
		t.Errorf("conditions: %+v", m.Context.Conditions)
	}

	for _, broken := range []string{encoded[1:], encoded + "A", "x", strings.Repeat("A", 100)} {
		if rec := decode("test", "test", broken); rec.Code != http.StatusBadRequest ||
			!strings.Contains(rec.Body.String(), "InvalidAuthorizationMessageException") {
			t.Errorf("%q: %d %s", broken, rec.Code, rec.Body)
		}
	}
	// A request may be long, and its message is not.
	long := ec2("Action=CreateTags&ResourceId.1=i-1&Tag.1.Key=k&Tag.1.Value=" + strings.Repeat("v", 9000))
	if long == "" || len(long) > 10240 {
		t.Errorf("%d characters", len(long))
	}
}
