package api_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

func TestRESTService(t *testing.T) {
	g := &gate{denied: "shop:Burn"}
	account := &api.Account{Gate: g}
	type item struct {
		Name string `json:"name"`
	}
	run := func(c *api.Call, labels api.Labels, in *item) (item, *wire.Failure) {
		e := account.Gate.Authorize(c, &api.Question{Action: "shop:" + c.Operation})
		return item{labels["shelf"] + "|" + labels["arn"] + "|" + in.Name}, e
	}
	service := func(unsigned bool) *api.RESTService {
		return (&api.RESTService{
			Account: account, Name: "shop", Unsigned: unsigned,
			Operations: map[string]api.RESTOperation{
				"Put": api.REST("POST /shelves/{shelf}/items", run), "Get": api.REST("GET /shelves/{shelf}/items", run),
				"Burn": api.REST("DELETE /shelves/{shelf}", run), "Tag": api.REST("POST /tags/{arn}", run),
			},
			Members: func(_ *api.Call, labels api.Labels) map[string]any { return map[string]any{"shelf": labels["shelf"]} },
		}).Open()
	}
	const (
		errors  = "application/json "
		unknown = `"message":"This emulator does not have this operation of shop; it has Burn, Get, Put, Tag."`
	)
	for _, c := range []struct {
		name, request, key, scope, body string
		unsigned                        bool
		status                          int
		code, want                      string
	}{
		{"an operation", "POST /shelves/a/items", "key", "shop", `{"NAME":"n","more":1}`, false, 200, "", `{"name":"a||n"}`},
		{"the same path by another method", "GET /shelves/a/items?x=y", "key", "shop", "", false, 200, "", `{"name":"a||"}`},
		{"a label that is encoded", "POST /tags/arn%3Aaws%3Ashop%3A%3A1%3Ashelf%2Fa%20b", "key", "shop", `{}`, false, 200, "", `{"name":"|arn:aws:shop::1:shelf/a b|"}`},
		{"an ARN that is not", "POST /tags/arn:aws:shop::1:shelf/a", "key", "shop", `{}`, false, 400, "UnknownOperationException", `{"__type":"UnknownOperationException",` + unknown + `,"shelf":""}`},
		{"an empty label", "DELETE /shelves/", "key", "shop", "", false, 400, "UnknownOperationException", `{"__type":"UnknownOperationException",` + unknown + `,"shelf":""}`},
		{"a slash too many", "GET /shelves/a/items/", "key", "shop", "", false, 400, "UnknownOperationException", `{"__type":"UnknownOperationException",` + unknown + `,"shelf":""}`},
		{"one that is denied", "DELETE /shelves/a", "key", "shop", "", false, 403, "AccessDeniedException", `{"__type":"AccessDeniedException","message":"no","shelf":"a"}`},
		{"no JSON", "POST /shelves/a/items", "key", "shop", "{", false, 400, "SerializationException", `{"__type":"SerializationException","message":"","shelf":"a"}`},
		{"a session that is over", "DELETE /shelves/a", "expired", "shop", "", false, 403, "ExpiredTokenException",
			`{"__type":"ExpiredTokenException","message":"The security token included in the request is expired","shelf":"a"}`},
		{"another service", "DELETE /shelves/a", "key", "s3", "", false, 0, "", ""},
		{"nobody's signature", "POST /shelves/a/items", "", "", `{}`, false, 0, "", ""},
		{"nobody's signature, which is known", "POST /shelves/a/items", "", "", `{}`, true, 403, "MissingAuthenticationTokenException",
			`{"__type":"MissingAuthenticationTokenException","message":"Request is missing Authentication Token","shelf":"a"}`},
		{"a read that may be of a bucket", "GET /shelves/a/items", "", "", "", true, 0, "", ""},
		{"a path that is not here", "POST /shelves/a/other", "", "", `{}`, true, 0, "", ""},
		{"what a bucket has too", "POST /shelves/a/items?uploads", "", "", `{}`, true, 0, "", ""},
	} {
		method, target, _ := strings.Cut(c.request, " ")
		r := httptest.NewRequest(method, target, strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		if c.key != "" {
			r.Header.Set("X-Amz-Date", "20260101T000000Z")
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+c.key+"/20260101/us-east-1/"+c.scope+
				"/aws4_request, SignedHeaders=host;x-amz-date, Signature="+strings.Repeat("0", 64))
		}
		answer := service(c.unsigned).Take(api.NewCall(r, time.Now(), &api.Memory{Max: 1 << 20}))
		if answer == nil {
			if c.status != 0 {
				t.Errorf("%s: it is not taken", c.name)
			}
			continue
		}
		w := httptest.NewRecorder()
		answer(w)
		var code string
		for name, values := range w.Header() {
			if name == "x-amzn-ErrorType" { // as AWS writes it
				code = strings.Join(values, "")
			}
		}
		if got := w.Body.String(); w.Code != c.status || got != c.want || code != c.code || w.Header().Get("Content-Type")+" " != errors {
			t.Errorf("%s: %d %s %s, want %d %s %s", c.name, w.Code, code, got, c.status, c.code, c.want)
		}
	}
	if _, names := service(false).OperationNames(); strings.Join(names, " ") != "Burn Get Put Tag" {
		t.Errorf("operations %v", names)
	}
}
