package trust_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/token"
	"github.com/openirsa/openirsa/pkg/trust"
)

const (
	arnA = "arn:aws:iam::111122223333:oidc-provider/a.example"
	arnB = "arn:aws:iam::111122223333:oidc-provider/b.example/c"
)

// ofB is the statement of another cluster, written by another tool: white
// space, an order, and elements of its own.
const ofB = `{
    "Sid": "made <by> hand & kept",
    "Principal": {"Federated": ["` + arnB + `"]},
    "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"],
    "Effect": "Allow",
    "Condition": {"ForAnyValue:StringLike": {"b.example/c:sub": ["system:serviceaccount:n:*"]}}
  }`

const deny = `{"Effect":"Deny","Principal":{"Federated":"` + arnA + `"},"Action":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"2026-01-01T00:00:00Z"}}}`

func ofA(t *testing.T, names ...string) []byte {
	t.Helper()
	doc, err := trust.Policy{Providers: []trust.Provider{provider(t, "https://a.example", func(p *trust.Provider) {
		for _, name := range names {
			p.Subjects = append(p.Subjects, token.Subject("n", name))
		}
	})}}.Document()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func document(statements ...string) []byte {
	return []byte(`{"Version":"2012-10-17","Id":"x","Statement":[` + strings.Join(statements, ",") + `]}`)
}

func statements(t *testing.T, doc []byte) []json.RawMessage {
	t.Helper()
	var d struct{ Statement []json.RawMessage }
	if err := json.Unmarshal(doc, &d); err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return d.Statement
}

func TestWithAndWithout(t *testing.T) {
	first, second := ofA(t, "app"), ofA(t, "app", "other")
	one, two := string(statements(t, first)[0]), string(statements(t, second)[0])
	both, err := trust.With(document(ofB, deny), first)
	if err != nil {
		t.Fatal(err)
	}
	if !trust.Equal(both, document(ofB, deny, one)) || !strings.HasPrefix(string(both), `{"Version":"2012-10-17","Id":"x","Statement":[`) {
		t.Errorf("joined: %s", both)
	}
	if !strings.Contains(string(both), `"made <by> hand & kept"`) {
		t.Errorf("characters were escaped, which makes the policy longer: %s", both)
	}
	if got := trust.Providers(both); !slices.Equal(got, []string{arnA, arnB}) {
		t.Errorf("providers %q", got)
	}
	if got := trust.Subjects(both, arnA); !slices.Equal(got, []string{"system:serviceaccount:n:app"}) {
		t.Errorf("subjects of a: %q", got)
	}
	if got := trust.Subjects(both, arnB); got != nil {
		t.Errorf("a pattern is taken for a subject: %q", got)
	}
	// Doing it again changes nothing; another subject changes one statement,
	// where it stands.
	if again, err := trust.With(both, first); err != nil || string(again) != string(both) {
		t.Errorf("again: %s, %v", again, err)
	}
	changed, err := trust.With(document(one, ofB, deny), second)
	if err != nil || !slices.EqualFunc(statements(t, changed), []string{two, ofB, deny}, func(a json.RawMessage, b string) bool { return trust.Equal(a, []byte(b)) }) {
		t.Errorf("changed: %s, %v", changed, err)
	}
	// A statement that somebody doubled is one afterwards.
	if got, err := trust.With(document(one, ofB, one), second); err != nil || !trust.Equal(got, document(two, ofB)) {
		t.Errorf("doubled: %s, %v", got, err)
	}

	left, err := trust.Without(both, arnA)
	if err != nil || !trust.Equal(left, document(ofB, deny)) {
		t.Errorf("left: %s, %v", left, err)
	}
	if left, err = trust.Without(left, arnB); left != nil || err != nil {
		t.Errorf("nobody is let in by %s, %v", left, err)
	}
	if left, err = trust.Without(document(ofB), arnA); err != nil || !trust.Equal(left, document(ofB)) {
		t.Errorf("without what is not there: %s, %v", left, err)
	}
}

func TestOtherPrincipalsOfAStatementStay(t *testing.T) {
	shared := `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root","Federated":["` + arnA + `","` + arnB + `"]},"Action":"sts:*"}`
	got, err := trust.Without([]byte(`{"Statement":`+shared+`}`), arnA)
	want := `{"Statement":[{"Action":"sts:*","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root","Federated":"` + arnB + `"}}]}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	got, err = trust.Without(got, arnB)
	want = `{"Statement":[{"Action":"sts:*","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"}}]}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	anybody := []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}`)
	if got, err := trust.Without(anybody, arnA); err != nil || string(got) != string(anybody) {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestEditingRejects(t *testing.T) {
	for _, bad := range []string{`not json`, `[]`, `{}`, `{"Statement":7}`, `{"Statement":[`} {
		if got, err := trust.Without([]byte(bad), arnA); got != nil || err == nil {
			t.Errorf("Without(%s) = %s, %v", bad, got, err)
		}
		if trust.Providers([]byte(bad)) != nil || trust.Subjects([]byte(bad), arnA) != nil {
			t.Errorf("%s names providers", bad)
		}
		if got, err := trust.With(ofA(t, "app"), []byte(bad)); err == nil {
			t.Errorf("With(..., %s) = %s", bad, got)
		}
	}
	if got, err := trust.With(nil, ofA(t, "app")); err != nil || string(got) != string(ofA(t, "app")) {
		t.Errorf("nothing yet: %s, %v", got, err)
	}
}

// A dozen clusters are about what fits.
func TestSizeOfManyClusters(t *testing.T) {
	var doc []byte
	joined := 0
	for ; ; joined++ {
		var providers []trust.Provider
		providers = append(providers, provider(t, fmt.Sprintf("https://openirsa-cluster-%02d-111122223333.s3.eu-west-1.amazonaws.com", joined), func(p *trust.Provider) {
			p.Subjects = []string{token.Subject("backend", "reader")}
		}))
		ours, err := trust.Policy{Providers: providers}.Document()
		if err != nil {
			t.Fatal(err)
		}
		next, err := trust.With(doc, ours)
		if err != nil {
			t.Fatal(err)
		}
		if err := trust.CheckSize(next, trust.MaxSize); err != nil {
			e, ok := errors.AsType[*trust.SizeError](err)
			if !ok || e.Limit != trust.MaxSize || e.Size != trust.Size(next) {
				t.Errorf("%v", err)
			}
			for _, want := range []string{fmt.Sprint(trust.Size(next)), "2048", "4096", "a subject pattern", "several roles", "Role trust policy length"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			if err := trust.CheckSize(next, trust.MaxSizeQuota); err != nil {
				t.Error(err)
			}
			break
		}
		doc = next
	}
	if joined < 4 || len(trust.Providers(doc)) != joined {
		t.Errorf("%d clusters fit; %q", joined, trust.Providers(doc))
	}
	t.Logf("%d clusters fit", joined)
}

// TestAlike: whoever is let in by tokens of one provider is let in by those of
// another on the same conditions, and nobody else.
func TestAlike(t *testing.T) {
	const to = "arn:aws:iam::111122223333:oidc-provider/new.example/path"
	one := string(statements(t, ofA(t, "app"))[0])
	doc := document(one, ofB, deny)
	both, err := trust.Alike(doc, arnB, to)
	if err != nil {
		t.Fatal(err)
	}
	// The Sid is unique in a document; condition keys are those of the other
	// provider, and those of neither stay.
	copied := `{"Principal":{"Federated":"` + to + `"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],"Effect":"Allow",
		"Condition":{"ForAnyValue:StringLike":{"new.example/path:sub":["system:serviceaccount:n:*"]}}}`
	if want := document(one, ofB, copied, deny); !trust.Equal(both, want) {
		t.Errorf("got  %s\nwant %s", both, want)
	}
	if again, err := trust.Alike(both, arnB, to); err != nil || !trust.Equal(again, both) {
		t.Errorf("again: %s, %v", again, err)
	}
	if left, err := trust.Without(both, to); err != nil || !trust.Equal(left, doc) {
		t.Errorf("back: %s, %v", left, err)
	}
	if left, err := trust.Without(both, arnB); err != nil || !trust.Equal(left, document(one, copied, deny)) {
		t.Errorf("forth: %s, %v", left, err)
	}
	if got := trust.Subjects(must(t)(trust.Alike(ofA(t, "app", "other"), arnA, to)), to); len(got) != 2 {
		t.Errorf("subjects of the new provider: %q", got)
	}

	// Who is shut out stays shut out, once.
	shut := must(t)(trust.Alike(document(one, deny), arnA, to))
	denied := strings.Replace(deny, arnA, to, 1)
	if got := statements(t, shut); len(got) != 4 || !trust.Equal(got[3], []byte(denied)) {
		t.Errorf("with a Deny: %s", shut)
	}
	if again := must(t)(trust.Alike(shut, arnA, to)); !trust.Equal(again, shut) {
		t.Errorf("with a Deny, again: %s", again)
	}

	// A condition on another claim, on another provider with the same
	// beginning, and in other letters.
	with := func(key string) []byte {
		return document(`{"Effect":"Allow","Principal":{"Federated":"` + arnA + `"},"Action":"*","Condition":{"StringEquals":{"` + key + `":"x","aws:SourceIp":"y"}}}`)
	}
	for key, want := range map[string]string{
		"a.example:aud":      "new.example/path:aud",
		"A.Example:amr":      "new.example/path:amr",
		"a.example.org:sub":  "a.example.org:sub",
		"a.example/more:sub": "a.example/more:sub",
		"a.example":          "a.example",
	} {
		got := must(t)(trust.Alike(with(key), arnA, to))
		if n := strings.Count(string(got), `"`+want+`"`); n < 1 || !strings.Contains(string(statements(t, got)[1]), `"`+want+`"`) {
			t.Errorf("%s: %s", key, got)
		}
	}
	// What somebody else has written for the new provider gives way, so that
	// nobody is let in who was not.
	other := `{"Effect":"Allow","Principal":{"Federated":"` + to + `"},"Action":"*"}`
	if got := must(t)(trust.Alike(document(one, other), arnA, to)); strings.Contains(string(got), `"Action":"*"`) {
		t.Errorf("too wide: %s", got)
	}
	for _, bad := range []string{"", "{", `{"Statement":7}`} {
		if got, err := trust.Alike([]byte(bad), arnA, to); err == nil || got != nil {
			t.Errorf("%q: %s, %v", bad, got, err)
		}
	}
}

func must(t *testing.T) func(doc []byte, err error) []byte {
	return func(doc []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
}
