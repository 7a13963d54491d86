package emulator_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// TestGuardOwnWords: denials that do not have the words of the others.
func TestGuardOwnWords(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, func(c *emulator.Config) { c.Forward["kms"] = c.Forward["*"] })
	const group = "arn:aws:logs:us-east-1:123456789012:log-group:/a"
	check := func(r *http.Request, want string) {
		t.Helper()
		if rec, _, _ := g.send(r); raw(rec) != want {
			t.Errorf("%s\nwant %s", raw(rec), want)
		}
	}
	g.policy("")
	check(g.json("logs", json11, "Logs_20140328.DeleteLogGroup", `{"logGroupName":"/a"}`),
		deniedJSON("1.1", deniedText("logs:DeleteLogGroup", group+":log-stream:")))
	g.policy(permitting("logs:CreateLogGroup", group))
	check(g.json("logs", json11, "Logs_20140328.CreateLogGroup", `{"logGroupName":"/a","tags":{"a":"b"}}`),
		deniedJSON("1.1", `User with accountId: 123456789012 is not authorized to perform CreateLogGroup with Tags. An additional permission \"logs:TagResource\" is required.`))
	g.policy(permitting("kms:Decrypt", "arn:aws:kms:us-east-1:123456789012:key/mine"))
	g.stub.serve = func(w http.ResponseWriter, _ *http.Request, _ string) { io.WriteString(w, `{"Plaintext":"c2VjcmV0"}`) }
	check(g.json("kms", json11, "TrentService.Decrypt", `{"CiphertextBlob":"bWluZQ=="}`),
		deniedJSON("1.1", "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."))
}
