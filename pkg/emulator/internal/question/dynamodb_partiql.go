package question

import (
	"strings"
)

// PartiQL for DynamoDB (Amazon DynamoDB Developer Guide, "PartiQL for DynamoDB
// statements" and "IAM security policies with PartiQL for DynamoDB").

// partiQL asks for the action of each statement of a call.
func partiQL(a *asker) {
	statements := []map[string]any{a.Input}
	for _, member := range []string{"Statements", "TransactStatements"} {
		if l := list(a.Input[member]); l != nil {
			statements = nil
			for _, entry := range l {
				statements = append(statements, dict(entry))
			}
		}
	}
	for _, s := range statements {
		a.statement(str(s, "Statement"), list(s["Parameters"]))
	}
	if len(a.out) == 0 && a.err == nil {
		a.statement("", nil)
	}
}

// partiVerbs are the actions of statements by their first word.
var partiVerbs = map[string]string{
	"SELECT": "PartiQLSelect", "INSERT": "PartiQLInsert", "UPDATE": "PartiQLUpdate", "DELETE": "PartiQLDelete",
}

// statement asks for a statement. One that cannot be read is asked about as all of
// them, on any table: the service will refuse it, if it can read no more of it.
func (a *asker) statement(text string, parameters []any) {
	s, ok := parsePartiQL(text, parameters)
	if !ok {
		for _, action := range []string{"PartiQLSelect", "PartiQLInsert", "PartiQLUpdate", "PartiQLDelete"} {
			a.ask(action, to("table/<?name>")(a)...)
		}
		a.warn("a PartiQL statement could not be read")
		return
	}
	t := target{arn: a.dynamoTable(s.table)}
	if s.index != "" {
		t.arn += "/index/" + s.index
	}
	d := dynamoAccess{attributes: s.attributes}
	hash := a.hashKey(s.table, s.index)
	values, restricted := s.hashValues(hash)
	if d.leading = values; !restricted && s.verb != "SELECT" {
		d.uncertain = a.mentions("dynamodb:LeadingKeys")
	}
	t.keys = d.keys()
	if s.verb == "SELECT" {
		full := "true"
		if restricted {
			full = "false"
		}
		t.keys = append(t.keys, key{"dynamodb:FullTableScan", []string{full}, false})
	}
	a.ask(partiVerbs[s.verb], t)
}

// partiStatement is what a statement asks of a table.
type partiStatement struct {
	verb, table, index string
	attributes         []string
	where              []partiToken
	values             map[string]string // of an INSERT
}

type partiToken struct {
	kind byte   // 'w'ord, '"' quoted name, '\'' text, '0' number, '?' parameter, or the sign itself
	text string // without quotes
	// value is that of a literal or a parameter, ok if it is a scalar.
	value string
	ok    bool
}

// is reports whether a token is a keyword.
func (t partiToken) is(word string) bool { return t.kind == 'w' && strings.EqualFold(t.text, word) }

// isName reports whether a token may be the name of a table or an attribute.
func (t partiToken) isName() bool { return t.kind == 'w' || t.kind == '"' }

// isValue reports whether a token is a literal or a parameter.
func (t partiToken) isValue() bool { return t.kind == '\'' || t.kind == '0' || t.kind == '?' }

// partiTokens cuts a statement into tokens; not ok if a quote is not closed.
func partiTokens(s string, parameters []any) (tokens []partiToken, ok bool) {
	next := 0
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case strings.HasPrefix(s[i:], "--"):
			end := strings.IndexByte(s[i:], '\n')
			if end < 0 {
				return tokens, true
			}
			i += end
		case c == '"' || c == '\'':
			text, n, closed := quoted(s[i:])
			if !closed {
				return nil, false
			}
			tokens = append(tokens, partiToken{kind: c, text: text, value: text, ok: true})
			i += n
		case c == '?':
			t := partiToken{kind: '?'}
			if next < len(parameters) {
				t.value, t.ok = attributeValue(parameters[next])
			}
			next++
			tokens = append(tokens, t)
			i++
		case c >= '0' && c <= '9' || c == '-' && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9':
			from := i
			for i++; i < len(s) && (partiByte(s[i]) || s[i] == '.' || (s[i] == '-' || s[i] == '+') && (s[i-1] == 'e' || s[i-1] == 'E')); i++ {
			}
			tokens = append(tokens, partiToken{kind: '0', text: s[from:i], value: s[from:i], ok: true})
		case partiByte(c):
			from := i
			for i < len(s) && partiByte(s[i]) {
				i++
			}
			tokens = append(tokens, partiToken{kind: 'w', text: s[from:i]})
		default:
			tokens = append(tokens, partiToken{kind: c, text: s[i : i+1]})
			i++
		}
	}
	return tokens, true
}

// partiByte reports whether a byte is part of a word.
func partiByte(c byte) bool { return wordByte(c) && c != ':' && c != '#' }

// quoted reads text in quotes, which are doubled inside it, and its length.
func quoted(s string) (text string, n int, closed bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != s[0] {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == s[0] {
			b.WriteByte(s[i])
			i++
			continue
		}
		return b.String(), i + 1, true
	}
	return "", 0, false
}

// before is the word that stands before the table, by the first word of a statement.
var beforeTable = map[string]string{"SELECT": "FROM", "INSERT": "INTO", "DELETE": "FROM", "UPDATE": "UPDATE"}

// parsePartiQL reads a statement as far as permissions go. It is not ok if it finds
// no table.
func parsePartiQL(text string, parameters []any) (s partiStatement, ok bool) {
	tokens, ok := partiTokens(text, parameters)
	if !ok || len(tokens) == 0 || tokens[0].kind != 'w' {
		return partiStatement{}, false
	}
	if n := len(tokens); n > 3 && tokens[0].is("EXISTS") && tokens[1].kind == '(' && tokens[n-1].kind == ')' {
		tokens = tokens[2 : n-1]
	}
	s.verb = strings.ToUpper(tokens[0].text)
	word := beforeTable[s.verb]
	at := 0
	for at < len(tokens) && !tokens[at].is(word) {
		at++
	}
	at++
	if word == "" || at >= len(tokens) || !tokens[at].isName() {
		return partiStatement{}, false
	}
	s.table = tokens[at].text
	head, rest := tokens[1:max(1, at-1)], tokens[at+1:]
	if len(rest) >= 2 && rest[0].kind == '.' && rest[1].isName() {
		s.index, rest = rest[1].text, rest[2:]
	}
	if s.table == "" {
		return partiStatement{}, false
	}
	s.attributes = partiNames(head)
	s.read(rest)
	return s, true
}

// read takes in what comes after the table.
func (s *partiStatement) read(rest []partiToken) {
	if s.verb == "INSERT" {
		s.values = map[string]string{}
		depth := 0
		for i, t := range rest {
			switch {
			case t.kind == '{' || t.kind == '[' || t.kind == '<':
				depth++
			case t.kind == '}' || t.kind == ']' || t.kind == '>':
				depth--
			case depth == 1 && t.kind == '\'' && i+2 < len(rest) && rest[i+1].kind == ':':
				s.attributes = append(s.attributes, t.text)
				if v := rest[i+2]; v.isValue() && v.ok {
					s.values[t.text] = v.value
				}
			}
		}
		return
	}
	for i, t := range rest {
		if t.is("WHERE") {
			s.where = rest[i+1:]
			for len(s.where) > 0 && s.where[len(s.where)-1].kind == ';' {
				s.where = s.where[:len(s.where)-1]
			}
			break
		}
	}
	s.attributes = append(s.attributes, partiNames(rest)...)
}

// partiWords are those that are no attributes.
var partiWords = map[string]bool{
	"SELECT": true, "FROM": true, "WHERE": true, "AND": true, "OR": true, "NOT": true, "IN": true, "BETWEEN": true, "ORDER": true,
	"BY": true, "ASC": true, "DESC": true, "SET": true, "REMOVE": true, "RETURNING": true, "ALL": true, "OLD": true, "NEW": true,
	"MODIFIED": true, "VALUE": true, "IS": true, "MISSING": true, "NULL": true, "TRUE": true, "FALSE": true, "EXISTS": true,
	"LIMIT": true, "AS": true,
}

// partiNames are the attributes at the top level among tokens.
func partiNames(tokens []partiToken) []string {
	var names []string
	for i, t := range tokens {
		switch {
		case !t.isName(), i > 0 && tokens[i-1].kind == '.':
		case t.kind == 'w' && (partiWords[strings.ToUpper(t.text)] || i+1 < len(tokens) && tokens[i+1].kind == '('):
		default:
			names = append(names, t.text)
		}
	}
	return names
}

// hashValues are the values of the partition key that a statement is restricted to,
// and whether it is. If nobody knows the name of the key, an equality that the whole
// condition rests on, and that is the only one, must be with it.
func (s *partiStatement) hashValues(hash string) (values []string, restricted bool) {
	if s.verb == "INSERT" {
		value, ok := s.values[hash]
		if !ok {
			return nil, false
		}
		return []string{value}, true
	}
	if hash == "" {
		only := ""
		for i := 0; i+2 < len(s.where); i++ {
			if s.where[i].isName() && s.where[i+1].kind == '=' {
				if only != "" && only != s.where[i].text {
					return nil, false
				}
				only = s.where[i].text
			}
		}
		if hash = only; hash == "" {
			return nil, false
		}
	}
	return restricts(s.where, hash, 0)
}

// restricts reports whether a condition holds for some values of an attribute only:
// all alternatives of an OR must be such, one part of an AND.
func restricts(c []partiToken, hash string, depth int) (values []string, ok bool) {
	if depth > 64 {
		return nil, false
	}
	if parts := splitWord(c, "OR"); len(parts) > 1 {
		for _, part := range parts {
			v, ok := restricts(part, hash, depth+1)
			if !ok {
				return nil, false
			}
			values = append(values, v...)
		}
		return values, true
	}
	if parts := splitWord(c, "AND"); len(parts) > 1 {
		for _, part := range parts {
			if v, ok := restricts(part, hash, depth+1); ok {
				return v, true
			}
		}
		return nil, false
	}
	switch {
	case len(c) >= 2 && c[0].kind == '(' && c[len(c)-1].kind == ')':
		return restricts(c[1:len(c)-1], hash, depth+1)
	case len(c) == 3 && c[1].kind == '=':
		name, value := c[0], c[2]
		if !name.isName() {
			name, value = value, name
		}
		if !name.isName() || name.text != hash || !value.isValue() || !value.ok {
			return nil, false
		}
		return []string{value.value}, true
	case len(c) >= 4 && c[0].isName() && c[0].text == hash && c[1].is("IN"):
		for _, t := range c[2:] {
			switch {
			case t.isValue() && t.ok:
				values = append(values, t.value)
			case t.isValue():
				return nil, false
			}
		}
		return values, len(values) > 0
	}
	return nil, false
}

// splitWord cuts a condition at a word outside of brackets. The AND of BETWEEN is
// not meant; its parts restrict nothing.
func splitWord(c []partiToken, word string) [][]partiToken {
	var parts [][]partiToken
	depth, from := 0, 0
	for i, t := range c {
		switch {
		case t.kind == '(' || t.kind == '[':
			depth++
		case t.kind == ')' || t.kind == ']':
			depth--
		case depth == 0 && t.is(word):
			parts, from = append(parts, c[from:i]), i+1
		}
	}
	return append(parts, c[from:])
}
