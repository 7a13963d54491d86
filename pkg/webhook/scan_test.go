package webhook

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// valid reads a whole text with the scanner.
func valid(data []byte) bool {
	s := scanner{data: data}
	s.skip()
	s.end()
	return s.err == nil
}

// walk reads a whole text through object, array, string and bool, as
// encoding/json would into an any, numbers as their text.
func walk(s *scanner) any {
	switch s.peek() {
	case '{':
		m := map[string]any{}
		for k := range s.object() {
			m[k] = walk(s)
		}
		return m
	case '[':
		a := []any{}
		for range s.array() {
			a = append(a, walk(s))
		}
		return a
	case '"':
		return s.string()
	case 't', 'f':
		return s.bool()
	case 'n':
		s.null()
		return nil
	default:
		return json.Number(s.raw())
	}
}

var texts = []string{
	``, ` `, `null`, `nul`, `nullx`, `true`, `tru`, `false`, `0`, `-0`, `00`, `-`, `1.`, `1.5`, `1e`, `1e+5`, `1E-5`, `.5`, `+1`, `1 2`,
	`""`, `"`, `"a\"b"`, `"\u00e9"`, `"\u00e"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\x"`, `"\`, "\"\x01\"", "\"\xff\"", "\"\x7f\"",
	`{}`, `{ }`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":1}`, ` { "a" : [ 1 , {"b":null} ] } `, `{a:1}`, `{"a":1 "b":2}`, `{"a":1}}`,
	`[]`, `[ ]`, `[,]`, `[1,]`, `[1 2]`, `[[]`, `[1}`, `{"a":[1,2,{"c":"d"}],"a":2}`, `{null:1}`, "\ufeff{}",
}

// deep texts are too slow to fuzz from.
var deep = []string{
	strings.Repeat("[", 10000) + strings.Repeat("]", 10000),
	strings.Repeat("[", 10001) + strings.Repeat("]", 10001),
	strings.Repeat(`{"a":`, 10001) + "1" + strings.Repeat("}", 10001),
	strings.Repeat("[", 100000),
}

func checkScan(t *testing.T, data []byte) {
	want := json.Valid(data)
	if got := valid(data); got != want {
		t.Fatalf("skip accepts: %v, json.Valid: %v: %.100q", got, want, data)
	}
	s := scanner{data: data}
	v := walk(&s)
	s.end()
	if (s.err == nil) != want {
		t.Fatalf("walk: %v, json.Valid: %v: %.100q", s.err, want, data)
	}
	if !want {
		return
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var std any
	if err := d.Decode(&std); err != nil {
		t.Fatal(err)
	}
	a, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(std)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Fatalf("%q is read as %s, by encoding/json as %s", data, a, b)
	}
}

func TestScan(t *testing.T) {
	for _, text := range slices.Concat(texts, deep) {
		checkScan(t, []byte(text))
	}
}

func FuzzScan(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(checkScan)
}

func TestScanTypes(t *testing.T) {
	for text, read := range map[string]func(*scanner){
		`"x"`:        func(s *scanner) { s.object()(func(string) bool { return true }) },
		`{}`:         func(s *scanner) { s.array()(func(int) bool { return true }) },
		`1`:          func(s *scanner) { s.string() },
		`"true"`:     func(s *scanner) { s.bool() },
		`{"a":1}`:    func(s *scanner) { s.object()(func(string) bool { return false }) },
		`{"a":"b"}x`: func(s *scanner) { s.skip(); s.end() },
	} {
		s := scanner{data: []byte(text)}
		if read(&s); s.err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}
