package question

import "strings"

// Expressions of DynamoDB (Amazon DynamoDB Developer Guide, "Expressions in
// DynamoDB"): conditions, projections, updates and key conditions share their words.

// expressionTokens cuts an expression into names, placeholders, numbers and signs.
func expressionTokens(s string) []string {
	var tokens []string
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case wordByte(c):
			from := i
			for i < len(s) && wordByte(s[i]) {
				i++
			}
			tokens = append(tokens, s[from:i])
		case strings.HasPrefix(s[i:], "<=") || strings.HasPrefix(s[i:], ">=") || strings.HasPrefix(s[i:], "<>"):
			tokens = append(tokens, s[i:i+2])
			i += 2
		default:
			tokens = append(tokens, s[i:i+1])
			i++
		}
	}
	return tokens
}

// wordByte reports whether a byte is part of a name. Placeholders begin with # or :
// and names may have bytes beyond ASCII only by placeholders.
func wordByte(c byte) bool {
	return c == '#' || c == ':' || c == '_' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// expressionWords are those with a meaning of their own.
var expressionWords = map[string]bool{
	"AND": true, "OR": true, "NOT": true, "BETWEEN": true, "IN": true, "SET": true, "REMOVE": true, "ADD": true, "DELETE": true,
}

// expressionNames are the attributes at the top level that an expression names,
// with placeholders resolved.
func expressionNames(s string, names map[string]any) []string {
	tokens := expressionTokens(s)
	var found []string
	for i, token := range tokens {
		before, after := "", ""
		if i > 0 {
			before = tokens[i-1]
		}
		if i+1 < len(tokens) {
			after = tokens[i+1]
		}
		switch {
		case !wordByte(token[0]), token[0] == ':', before == "." || before == "[", token[0] >= '0' && token[0] <= '9':
		case expressionWords[strings.ToUpper(token)]:
		case after == "(" && token[0] != '#': // a function
		default:
			found = append(found, attributeName(token, names))
		}
	}
	return found
}

// attributeName is the name that a placeholder stands for, or the name itself.
func attributeName(token string, names map[string]any) string {
	if token[0] == '#' {
		if name, ok := names[token].(string); ok {
			return name
		}
	}
	return token
}

// expressionEquals are the attributes that a key condition wants equal to a value,
// with the values.
func expressionEquals(s string, names, values map[string]any) map[string][]string {
	tokens := expressionTokens(s)
	equals := map[string][]string{}
	for i := 1; i+1 < len(tokens); i++ {
		if tokens[i] != "=" {
			continue
		}
		name, value := tokens[i-1], tokens[i+1]
		if name[0] == ':' {
			name, value = value, name
		}
		if name[0] == ':' || !wordByte(name[0]) || value[0] != ':' {
			continue
		}
		name = attributeName(name, names)
		if v, ok := attributeValue(values[value]); ok {
			equals[name] = append(equals[name], v)
		} else {
			equals[name] = append(equals[name], sampleName)
		}
	}
	return equals
}
