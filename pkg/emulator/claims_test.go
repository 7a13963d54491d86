package emulator_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// FuzzClaims: reading claims gives what encoding/json gives.
func FuzzClaims(f *testing.F) {
	for _, document := range claimDocuments {
		f.Add([]byte(document))
	}
	f.Fuzz(checkClaims)
}

var claimDocuments = []string{
	`{}`, ` { } `, `null`, `[]`, `"a"`, `1`, ``, ` `, `{"a":1}x`, `{"a":1,}`, `{"a"}`,
	`{"a":"b","c":[1,"]",{"}":"\""}],"d":{"e":{"f":null}},"g":-1.5e3,"h":true,"i":null}`,
	"\t{ \"a\" :\r\n 1 , \"b\"\n:\t\"x\" ,\"c\": [ ] ,\"d\": { } } ",
	`{"a":1,"a":"last"}`, `{"\u0061":1,"a\\":2,"é":"ü","\ud800":"\ud800","":""}`, "{\"\xff\":\"\xff\"}",
	`{"namespace":"n","serviceaccount":{"name":"s","uid":"u"},"pod":{"name":"p","uid":"v"},"node":{"name":"x"},"warnafter":1}`,
	`{"Namespace":"n","SERVICEACCOUNT":{"Name":"\u0073","UID":null},"ſerviceaccount":null,"pod":{"name":"p"},"pod":{"uid":"v"}}`,
	`{"a":[],"b":[ ],"c":["x"],"d":[ "x" , "\u0079", null ],"e":[1],"f":["x",{}],"g":[["x"]],"h":[null,true]}`,
	`{"namespace":1}`, `{"pod":[]}`, `{"pod":{"name":{}}}`, `{"pod":null,"namespace":null}`, `{"namespace":1,"pod":{"name":"p"}}`,
}

func checkClaims(t *testing.T, document []byte) {
	var want map[string]json.RawMessage
	wanted := json.Unmarshal(document, &want) == nil && want != nil
	got, ok := emulator.ReadClaims(document)
	if ok != wanted {
		t.Fatalf("%q: read %v, want %v", document, ok, wanted)
	}
	if ok && !maps.EqualFunc(got, want, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
		t.Fatalf("%q: got %q, want %q", document, got, want)
	}
	for name, value := range want {
		var text string
		wanted := json.Unmarshal(value, &text) == nil
		if got, ok := emulator.ReadText(value); ok != wanted || ok && got != text {
			t.Fatalf("%q: %s is %q, %v, want %q, %v", document, name, got, ok, text, wanted)
		}
		var texts []string
		wanted = json.Unmarshal(value, &texts) == nil
		if got, ok := emulator.ReadTexts(value); ok != wanted || ok && !reflect.DeepEqual(got, texts) {
			t.Fatalf("%q: %s is %q, %v, want %q, %v", document, name, got, ok, texts, wanted)
		}
	}
	if !json.Valid(document) {
		return
	}
	type object struct{ Name, UID string }
	pod := new(struct {
		Namespace           string
		ServiceAccount, Pod object
	})
	if json.Unmarshal(document, pod) != nil {
		pod = nil
	}
	bound := emulator.ReadPodClaims(document)
	if (bound == nil) != (pod == nil) {
		t.Fatalf("%q: got %v, want %v", document, bound, pod)
	}
	if pod != nil && !reflect.DeepEqual([]string{bound.Namespace, bound.ServiceAccount.Name, bound.ServiceAccount.UID, bound.Pod.Name, bound.Pod.UID},
		[]string{pod.Namespace, pod.ServiceAccount.Name, pod.ServiceAccount.UID, pod.Pod.Name, pod.Pod.UID}) {
		t.Fatalf("%q: got %v, want %v", document, bound, pod)
	}
}
