package trust_test

import (
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/trust"
)

func TestAdd(t *testing.T) {
	one := string(statements(t, ofA(t, "app"))[0])
	if got := must(t)(trust.Add(document(ofB, deny), ofA(t, "app"))); !trust.Equal(got, document(ofB, deny, one)) {
		t.Errorf("%s", got)
	}
	// Unlike With it leaves what is there of the same provider.
	if got := must(t)(trust.Add(ofA(t, "other"), ofA(t, "app"))); len(statements(t, got)) != 2 {
		t.Errorf("%s", got)
	}
	for _, bad := range []string{"", "{", `{"Statement":7}`} {
		if got, err := trust.Add([]byte(bad), ofA(t, "app")); err == nil || got != nil {
			t.Errorf("%q: %s, %v", bad, got, err)
		}
	}
}

func TestAddValue(t *testing.T) {
	const other = `{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}`
	for _, test := range []struct{ condition, operator, key, want string }{
		{`,"Condition":{"StringEquals":{"k":"a","l":"b"}}`, "StringEquals", "k", `{"StringEquals":{"k":["a","v"],"l":"b"}}`},
		{`,"Condition":{"StringEquals":{"k":["a","v"]}}`, "StringEquals", "k", `{"StringEquals":{"k":["a","v"]}}`},
		{`,"Condition":{"StringLike":{"K":["a*"]},"Bool":{"t":true}}`, "StringLike", "k", `{"StringLike":{"K":["a*","v"]},"Bool":{"t":true}}`},
		{`,"Condition":{"StringEquals":{"k":"a"}}`, "StringNotEquals", "k", `{"StringEquals":{"k":"a"},"StringNotEquals":{"k":"v"}}`},
		{``, "StringNotEquals", "k", `{"StringNotEquals":{"k":"v"}}`},
	} {
		before := strings.TrimSuffix(deny[:strings.Index(deny, `,"Condition"`)], "}")
		got := must(t)(trust.AddValue(document(other, before+test.condition+"}"), 1, test.operator, test.key, "v"))
		if want := document(other, before+`,"Condition":`+test.want+"}"); !trust.Equal(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	for _, bad := range []string{"{", `{"Statement":[]}`, `{"Statement":{"Condition":7}}`, `{"Statement":{"Condition":{"StringEquals":{"k":{}}}}}`} {
		if got, err := trust.AddValue([]byte(bad), 0, "StringEquals", "k", "v"); err == nil || got != nil {
			t.Errorf("%s: %s, %v", bad, got, err)
		}
	}
}
