package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
)

func TestTarget(t *testing.T) {
	long := strings.Repeat("a", 99)
	for _, c := range []struct{ header, service, operation string }{ // "" if it is none
		{"DynamoDB_20120810.GetItem", "DynamoDB_20120810", "GetItem"},
		{"com.amazonaws.kms-x.v1.DescribeKey", "com.amazonaws.kms-x.v1", "DescribeKey"},
		{"a.Op", "a", "Op"},
		{"b" + long + ".B" + long, "b" + long, "B" + long},
		{"bb" + long + ".Op", "", ""},
		{"a.BB" + long, "", ""},
		{"a.O", "", ""},
		{"a.op", "", ""},
		{"a.O_p", "", ""},
		{"1a.Op", "", ""},
		{".Op", "", ""},
		{"a/b.Op", "", ""},
		{"a.Op\n", "", ""},
		{"a.", "", ""},
		{"Op", "", ""},
		{"", "", ""},
	} {
		service, operation, ok := api.Target(&http.Request{Header: http.Header{"X-Amz-Target": {c.header}}})
		if service != c.service || operation != c.operation || ok != (c.service != "") {
			t.Errorf("%q: %q %q %v", c.header, service, operation, ok)
		}
	}
	if _, _, ok := api.Target(&http.Request{}); ok {
		t.Error("a request without the header has one")
	}
}
