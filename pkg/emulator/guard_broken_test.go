package emulator_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// TestGuardBrokenAnswer: of a backend that breaks its answer off there is an event, whether
// the client has the beginning of the answer already or not.
func TestGuardBrokenAnswer(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, func(c *emulator.Config) { c.Forward["kms"] = c.Forward["*"] })
	g.policy(anything)
	breaks := true
	g.stub.serve = func(w http.ResponseWriter, _ *http.Request, _ string) {
		io.WriteString(w, `{"TableNames":`)
		http.NewResponseController(w).Flush()
		if breaks {
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, `[]}`)
	}
	list := func() *http.Request { return g.json("dynamodb", json10, "DynamoDB_20120810.ListTables", "{}") }
	rec, _, events := g.send(list())
	if rec.Code != http.StatusOK || rec.Body.String() != `{"TableNames":` {
		t.Errorf("%s", raw(rec))
	}
	if len(events) != 2 || events[1].Step != "backend" || events[1].Decision != emulator.Deny ||
		!strings.HasPrefix(events[1].Reason, "The backend of dynamodb broke its answer off: ") || !strings.HasSuffix(events[1].Reason, ": unexpected EOF") {
		t.Errorf("events %+v", events)
	}
	rec, _, events = g.send(g.json("kms", json11, "TrentService.Decrypt", `{"CiphertextBlob":"bWluZQ=="}`))
	if rec.Code != http.StatusServiceUnavailable || len(events) != 1 || events[0].Step != "backend" {
		t.Errorf("an answer that is held: %s; events %+v", raw(rec), events)
	}
	breaks = false
	if rec, _, events := g.send(list()); rec.Body.String() != `{"TableNames":[]}` || len(events) != 1 {
		t.Errorf("an answer in pieces: %s; events %+v", raw(rec), events)
	}
}

// TestGuardGarbage: what is no HTTP is no answer.
func TestGuardGarbage(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.policy(anything)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 4096))
			io.WriteString(conn, "garbage\r\n\r\n")
			conn.Close()
		}
	}()
	if err := g.SetForward(map[string]emulator.Backend{"*": {URL: "http://" + listener.Addr().String()}}); err != nil {
		t.Fatal(err)
	}
	rec, _, events := g.send(g.json("dynamodb", json10, "DynamoDB_20120810.ListTables", "{}"))
	if rec.Code != http.StatusServiceUnavailable || len(events) != 2 || events[1].Step != "backend" || !strings.Contains(events[1].Reason, "garbage") {
		t.Errorf("%s; events %+v", raw(rec), events)
	}
}

// TestGuardBadBody: of a body that is too large, or that cannot be read, there is an event.
func TestGuardBadBody(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	large := g.json("dynamodb", json10, "DynamoDB_20120810.PutItem", "{}")
	large.ContentLength = 200 << 20
	broken := g.json("dynamodb", json10, "DynamoDB_20120810.PutItem", "{}")
	broken.Body = io.NopCloser(iotest.ErrReader(errors.New("gone")))
	for r, want := range map[*http.Request]emulator.Event{
		large:  {Code: "RequestEntityTooLargeException", Reason: "The emulator forwards bodies of at most 134217728 bytes."},
		broken: {Code: "SerializationException", Reason: "The request body cannot be read"},
	} {
		rec, got, events := g.send(r)
		if len(got) != 0 || !strings.Contains(rec.Body.String(), want.Code) {
			t.Errorf("%s: %s; %d reached the backend", want.Code, raw(rec), len(got))
		}
		if len(events) != 1 || events[0].Step != "parameters" || events[0].Decision != emulator.Deny || events[0].Code != want.Code ||
			events[0].Reason != want.Reason || events[0].Operation != "PutItem" {
			t.Errorf("%s: events %+v", want.Code, events)
		}
	}
}
