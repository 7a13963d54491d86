package exactjson_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/internal/exactjson"
)

func TestParse(t *testing.T) {
	o, err := exactjson.Parse([]byte(` {"ISS":"b","iss":"a","n":1,"null":null} `))
	if err != nil || o.Text("iss") != "a" || o.Text("ISS") != "b" || o.Text("n") != "" || o.Text("Iss") != "" {
		t.Errorf("%v, %v", o, err)
	}
	n, s := 7, "as it was"
	if err := o.Decode("n", &n); err != nil || n != 1 {
		t.Errorf("n = %d, %v", n, err)
	}
	if o.Decode("N", &n) != nil || o.Decode("null", &s) != nil || n != 1 || s != "as it was" {
		t.Errorf("a member that is not there was read: %d, %q", n, s)
	}
	if err := o.Decode("iss", &n); err == nil {
		t.Error("a string was read as a number")
	}
	reject := func(doc, why string) {
		t.Helper()
		if o, err := exactjson.Parse([]byte(doc)); err == nil || !strings.Contains(err.Error(), why) || o != nil {
			t.Errorf("%s: %v, %v, want an error with %q", doc, o, err, why)
		}
	}
	reject(`{"iss":"a","iss":"a"}`, "twice")
	reject(`{"iss":"a","\u0069ss":"b"}`, "twice")
	for _, doc := range []string{``, `null`, `[]`, `"{}"`, `{`, `{"a"}`, `{"a":1`, `{"a":1,}`, `{} {}`, `{}x`} {
		reject(doc, "not a JSON object")
	}
}

func TestCheck(t *testing.T) {
	accept := func(doc string) {
		t.Helper()
		if err := exactjson.Check([]byte(doc), "iss", "sub"); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
	}
	reject := func(doc, why string) {
		t.Helper()
		if err := exactjson.Check([]byte(doc), "iss", "sub"); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", doc, err, why)
		}
	}
	accept(`{"iss":"a","sub":"b","kubernetes.io":{"pod":{"name":"x"}},"aud":["a","a"]}`)
	reject(`{"ISS":"a"}`, "case")
	reject(`{"\u017fub":"a"}`, "case") // folds to sub, for encoding/json too
	reject(`{"a":{"x":1,"X":2}}`, "case")
	reject(`{"a":[[{"x":1,"x":2}]]}`, "twice")
	reject(`{"a":{"x":1,"x":2}}`, "twice")
}

// What is read by exact names is what encoding/json has by them.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"iss":"a","ISS":{"b":[1,{"c":null}]}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		o, err := exactjson.Parse(doc)
		if err != nil {
			if o != nil {
				t.Fatal("an object beside an error")
			}
			return
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(doc, &m); err != nil || len(m) != len(o) {
			t.Fatalf("%d members, encoding/json has %d: %v", len(o), len(m), err)
		}
		exactjson.Check(doc)
	})
}
