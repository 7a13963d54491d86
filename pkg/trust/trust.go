// Package trust writes the trust policies of roles: who may assume them with a
// token of which cluster.
// [Policy] is where to begin.
package trust

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/issuer"
)

// Provider admits service accounts of one cluster.
type Provider struct {
	// ARN of the IAM OIDC provider, in the role's own account.
	ARN string
	// Issuer is the provider's URL; its spelling without the scheme is the
	// prefix of the condition keys.
	Issuer issuer.URL
	// Audience is what the token must be made for.
	Audience string
	// Subjects are the sub claims that are let in, exactly.
	Subjects []string
	// Pattern, if set, is used instead of Subjects: a sub claim with the wildcards
	// "*" and "?".
	Pattern string
}

// Policy is the trust policy of a role that service accounts assume. Each cluster
// has its own statement.
type Policy struct {
	Providers []Provider
	// Limit is the greatest size; 0 means [MaxSize].
	Limit int
}

type document struct {
	Version   string
	Statement []statement
}

type statement struct {
	Effect    string
	Principal map[string]string
	Action    string
	Condition condition
}

type condition struct {
	StringEquals map[string]oneOrMany `json:",omitempty"`
	StringLike   map[string]oneOrMany `json:",omitempty"`
}

// oneOrMany is a string where there is one, as IAM's console writes it, and a
// list otherwise.
type oneOrMany []string

func (s oneOrMany) MarshalJSON() ([]byte, error) {
	if len(s) == 1 {
		return json.Marshal(s[0])
	}
	return json.Marshal([]string(s))
}

// Document is the policy as JSON: one statement a cluster, StringEquals on both
// the audience and the subjects, StringLike on the subject only for a pattern.
// The same policy always gives the same bytes. Refused are a policy without a
// subject or an audience, which would let in every service account, a pattern or a
// subject that reaches beyond service accounts, and, with a [*SizeError], one longer
// than the limit.
func (p Policy) Document() ([]byte, error) {
	doc := document{Version: "2012-10-17"}
	for _, provider := range p.Providers {
		s, err := provider.statement()
		if err != nil {
			return nil, fmt.Errorf("trust policy for %s: %w", provider.ARN, err)
		}
		doc.Statement = append(doc.Statement, s)
	}
	if doc.Statement == nil {
		return nil, errors.New("trust policy: it names no provider")
	}
	body, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("trust policy: %w", err)
	}
	if err := CheckSize(body, cmp.Or(p.Limit, MaxSize)); err != nil {
		return nil, err
	}
	return body, nil
}

func (p Provider) statement() (statement, error) {
	switch {
	case p.ARN == "" || p.Issuer.IsZero() || !strings.HasSuffix(p.ARN, ":oidc-provider/"+p.Issuer.HostPath()):
		return statement{}, fmt.Errorf("the provider is not that of issuer %q", p.Issuer)
	case p.Audience == "":
		return statement{}, errors.New("it has no audience")
	case (p.Pattern == "") == (len(p.Subjects) == 0):
		return statement{}, errors.New("it needs either subjects or a subject pattern")
	}
	s := statement{
		Effect:    "Allow",
		Principal: map[string]string{"Federated": p.ARN},
		Action:    "sts:AssumeRoleWithWebIdentity",
		Condition: condition{StringEquals: map[string]oneOrMany{p.Issuer.ConditionKey("aud"): {p.Audience}}},
	}
	sub := p.Issuer.ConditionKey("sub")
	if p.Pattern != "" {
		if !strings.HasPrefix(p.Pattern, irsa.SubjectPrefix) {
			return statement{}, fmt.Errorf("subject pattern %q does not begin with %q", p.Pattern, irsa.SubjectPrefix)
		}
		s.Condition.StringLike = map[string]oneOrMany{sub: {p.Pattern}}
		return s, nil
	}
	for _, subject := range p.Subjects {
		if rest, ok := strings.CutPrefix(subject, irsa.SubjectPrefix); !ok || strings.Count(rest, ":") != 1 || strings.ContainsAny(rest, "*?$") {
			return statement{}, fmt.Errorf("subject %q is not %sNAMESPACE:NAME", subject, irsa.SubjectPrefix)
		}
	}
	subjects := slices.Clone(p.Subjects)
	slices.Sort(subjects)
	s.Condition.StringEquals[sub] = slices.Compact(subjects)
	return s, nil
}

// Equal reports whether two policy documents say the same, ignoring white space,
// the order of members, and whether a single value is in a list.
func Equal(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	return canonical(x) == canonical(y)
}

func canonical(v any) string {
	var unwrap func(any) any
	unwrap = func(v any) any {
		switch v := v.(type) {
		case []any:
			if len(v) == 1 {
				return unwrap(v[0])
			}
			values := make([]string, len(v))
			for i, e := range v {
				values[i] = canonical(e)
			}
			slices.Sort(values)
			return values
		case map[string]any:
			for key, e := range v {
				v[key] = unwrap(e)
			}
		}
		return v
	}
	b, err := json.Marshal(unwrap(v))
	if err != nil {
		return ""
	}
	return string(b)
}
