package trust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// This file edits the trust policies of roles that several clusters assume. Each
// cluster has its own statement and touches no other: what others have written
// stays as it is, including elements that this package does not know.

// With returns the policy document existing with the statements of ours, another
// document, instead of those with the same provider. A new provider comes last, and so
// does a statement without one, unless it is there. An empty existing document gives
// ours.
//
// Only statements that allow are replaced: a Deny that names the provider is
// somebody's precaution and stays. The result may be longer than IAM allows; see
// [CheckSize].
func With(existing, ours []byte) ([]byte, error) {
	if len(bytes.TrimSpace(existing)) == 0 {
		return ours, nil
	}
	doc, err := parse(existing)
	if err != nil {
		return nil, err
	}
	add, err := parse(ours)
	if err != nil {
		return nil, err
	}
	for _, s := range add.Statement {
		providers, _ := providersOf(s)
		if len(providers) == 0 && slices.ContainsFunc(doc.Statement, func(there json.RawMessage) bool { return Equal(there, s) }) {
			continue
		}
		at := len(doc.Statement)
		for _, arn := range providers {
			if i := slices.IndexFunc(doc.Statement, func(s json.RawMessage) bool { return allows(s, arn) }); i >= 0 {
				at = min(at, i)
			}
			if doc.Statement, err = without(doc.Statement, arn); err != nil {
				return nil, err
			}
		}
		doc.Statement = slices.Insert(doc.Statement, min(at, len(doc.Statement)), s)
	}
	return doc.marshal()
}

// Without returns the policy document existing without the statements that let in
// tokens of a provider. It is nil if that leaves nobody who is let in; IAM has no
// empty trust policies, so the role must be deleted.
func Without(existing []byte, providerARN string) ([]byte, error) {
	doc, err := parse(existing)
	if err != nil {
		return nil, err
	}
	if doc.Statement, err = without(doc.Statement, providerARN); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(doc.Statement, func(s json.RawMessage) bool { return effect(s) == "Allow" }) {
		return nil, nil
	}
	return doc.marshal()
}

// Providers are the ARNs of the OIDC providers whose tokens a policy document
// lets in, sorted.
func Providers(document []byte) []string {
	doc, err := parse(document)
	if err != nil {
		return nil
	}
	var all []string
	for _, s := range doc.Statement {
		if effect(s) == "Allow" {
			providers, _ := providersOf(s)
			all = append(all, providers...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Subjects are the sub claims that a policy document lets in by name with tokens
// of a provider, sorted. A pattern of a StringLike is not one of them.
func Subjects(document []byte, providerARN string) []string {
	doc, err := parse(document)
	if err != nil {
		return nil
	}
	_, hostPath, _ := strings.Cut(providerARN, ":oidc-provider/")
	var all []string
	for _, raw := range doc.Statement {
		if !allows(raw, providerARN) {
			continue
		}
		var s struct {
			Condition map[string]map[string]list
		}
		if json.Unmarshal(raw, &s) == nil {
			all = append(all, s.Condition["StringEquals"][hostPath+":sub"]...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// foreign is a document that is only read as far as its statements' providers.
type foreign struct {
	Version   string            `json:",omitempty"`
	ID        string            `json:"Id,omitempty"`
	Statement []json.RawMessage `json:"-"`
}

func parse(document []byte) (foreign, error) {
	var doc struct {
		foreign
		Statement json.RawMessage
	}
	if err := json.Unmarshal(document, &doc); err != nil {
		return foreign{}, fmt.Errorf("reading a trust policy: %w", err)
	}
	out := doc.foreign
	switch text := bytes.TrimSpace(doc.Statement); {
	case len(text) == 0:
		return foreign{}, errors.New("reading a trust policy: it has no statement")
	case text[0] == '[':
		if err := json.Unmarshal(text, &out.Statement); err != nil {
			return foreign{}, fmt.Errorf("reading a trust policy: %w", err)
		}
	case text[0] == '{': // IAM takes a single statement without brackets
		out.Statement = []json.RawMessage{text}
	default:
		return foreign{}, errors.New("reading a trust policy: its Statement is neither a list nor a statement")
	}
	return out, nil
}

func (doc foreign) marshal() ([]byte, error) {
	return marshal(struct {
		foreign
		Statement []json.RawMessage
	}{doc, doc.Statement})
}

// marshal writes "<", ">" and "&" as they are: escaped they would count six
// times against IAM's limit.
func marshal(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("writing a trust policy: %w", err)
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

// list is one string or several, as everywhere in IAM's documents.
type list []string

func (l *list) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*l = list{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(l))
}

func effect(statement json.RawMessage) string {
	var s struct{ Effect string }
	if json.Unmarshal(statement, &s) != nil {
		return ""
	}
	return s.Effect
}

// providersOf are the federated principals of a statement, and whether it has no
// others.
func providersOf(statement json.RawMessage) (providers []string, alone bool) {
	var s struct{ Principal map[string]list }
	if json.Unmarshal(statement, &s) != nil {
		return nil, false // "*", or no principal
	}
	return s.Principal["Federated"], len(s.Principal) == 1
}

// allows reports whether a statement lets in tokens of a provider.
func allows(statement json.RawMessage, arn string) bool {
	providers, _ := providersOf(statement)
	return effect(statement) == "Allow" && slices.Contains(providers, arn)
}

// without removes a provider from the statements that allow. A statement with
// other principals keeps those.
func without(statements []json.RawMessage, arn string) ([]json.RawMessage, error) {
	var left []json.RawMessage
	for _, s := range statements {
		if !allows(s, arn) {
			left = append(left, s)
			continue
		}
		providers, alone := providersOf(s)
		others := slices.DeleteFunc(slices.Clone(providers), func(p string) bool { return p == arn })
		if len(others) == 0 && alone {
			continue
		}
		var all, principal map[string]json.RawMessage
		if err := json.Unmarshal(s, &all); err != nil {
			return nil, fmt.Errorf("reading a trust policy: %w", err)
		}
		if err := json.Unmarshal(all["Principal"], &principal); err != nil {
			return nil, fmt.Errorf("reading a trust policy: %w", err)
		}
		delete(principal, "Federated")
		var err error
		if len(others) > 0 {
			if principal["Federated"], err = marshal(oneOrMany(others)); err != nil {
				return nil, err
			}
		}
		if all["Principal"], err = marshal(principal); err != nil {
			return nil, err
		}
		if s, err = marshal(all); err != nil {
			return nil, err
		}
		left = append(left, s)
	}
	return left, nil
}

// Alike returns the policy document existing, extended so that everybody whom it
// lets in or shuts out with tokens of one provider is also let in or shut out with
// tokens of another one, on the same conditions for that one's claims. Statements
// that let in tokens of the other provider are replaced. The result may be longer
// than IAM allows; see [CheckSize].
func Alike(existing []byte, one, another string) ([]byte, error) {
	doc, err := parse(existing)
	if err != nil {
		return nil, err
	}
	if doc.Statement, err = without(doc.Statement, another); err != nil {
		return nil, err
	}
	var all []json.RawMessage
	for _, s := range doc.Statement {
		all = append(all, s)
		if providers, _ := providersOf(s); !slices.Contains(providers, one) {
			continue
		}
		s, err := alike(s, one, another)
		if err != nil {
			return nil, err
		}
		// A Deny was not removed above.
		if !slices.ContainsFunc(doc.Statement, func(t json.RawMessage) bool { return Equal(s, t) }) {
			all = append(all, s)
		}
	}
	doc.Statement = all
	return doc.marshal()
}

// alike returns a statement for another provider only.
func alike(statement json.RawMessage, one, another string) (json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(statement, &all); err != nil {
		return nil, fmt.Errorf("reading a trust policy: %w", err)
	}
	delete(all, "Sid") // unique in a document
	var err error
	if all["Principal"], err = marshal(map[string]string{"Federated": another}); err != nil {
		return nil, err
	}
	if all["Condition"] == nil {
		return marshal(all)
	}
	var conditions map[string]map[string]json.RawMessage
	if err := json.Unmarshal(all["Condition"], &conditions); err != nil {
		return nil, fmt.Errorf("reading a trust policy: %w", err)
	}
	_, from, _ := strings.Cut(one, ":oidc-provider/")
	_, to, _ := strings.Cut(another, ":oidc-provider/")
	for operator, keys := range conditions {
		renamed := make(map[string]json.RawMessage, len(keys))
		for key, values := range keys {
			// Condition keys are compared without regard to case.
			if len(key) > len(from) && strings.EqualFold(key[:len(from)], from) && key[len(from)] == ':' {
				key = to + key[len(from):]
			}
			renamed[key] = values
		}
		conditions[operator] = renamed
	}
	if all["Condition"], err = marshal(conditions); err != nil {
		return nil, err
	}
	return marshal(all)
}
