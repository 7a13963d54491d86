package question

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
)

// text is a scalar of the input as a condition key or an ARN spells it. It is not
// ok for what is no scalar, and for null.
func text(v any) (s string, ok bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return strconv.FormatInt(int64(v), 10), true
		}
		return strconv.FormatFloat(v, 'g', -1, 64), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case uint64:
		return strconv.FormatUint(v, 10), true
	case int:
		return strconv.Itoa(v), true
	}
	return "", false
}

// texts are the values of a scalar, or of the scalars in a list, but for empty ones.
func texts(v any) []string {
	if l, is := v.([]any); is {
		var all []string
		for _, entry := range l {
			if s, ok := text(entry); ok && s != "" {
				all = append(all, s)
			}
			if len(all) > MaxQuestions {
				break
			}
		}
		return all
	}
	if s, ok := text(v); ok && s != "" {
		return []string{s}
	}
	return nil
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func dict(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// sorted are the keys of a map in order, so that the same call asks the same
// questions in the same order.
func sorted(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// at follows a path into the input: names with dots between them. After a name,
// [] stands for each entry of a list, {} for each value of a map and {keys} for
// its keys. At most MaxQuestions+1 values are found.
func at(v any, path string) []any {
	name, rest, more := strings.Cut(path, ".")
	bare, each := name, ""
	if i := strings.IndexAny(name, "[{"); i >= 0 {
		bare, each = name[:i], name[i:]
	}
	inner, there := dict(v)[bare]
	if !there || inner == nil {
		return nil
	}
	var found []any
	switch each {
	case "[]":
		found = list(inner)
	case "{}":
		m := dict(inner)
		for _, key := range sorted(m) {
			found = append(found, m[key])
		}
	case "{keys}":
		for _, key := range sorted(dict(inner)) {
			found = append(found, key)
		}
	default:
		found = []any{inner}
	}
	if !more {
		return found
	}
	var all []any
	for _, f := range found {
		if all = append(all, at(f, rest)...); len(all) > MaxQuestions {
			break
		}
	}
	return all
}

// strs are the scalars at a path.
func strs(v any, path string) []string {
	var all []string
	for _, found := range at(v, path) {
		all = append(all, texts(found)...)
	}
	return all
}

// str is the first scalar at a path, or "".
func str(v any, path string) string {
	if all := strs(v, path); len(all) > 0 {
		return all[0]
	}
	return ""
}

// firstOf is the first scalar at one of several paths, or "".
func firstOf(v any, paths ...string) string {
	for _, path := range paths {
		if s := str(v, path); s != "" {
			return s
		}
	}
	return ""
}

// allOf are the scalars at several paths, each once.
func allOf(v any, paths ...string) []string {
	var all []string
	for _, path := range paths {
		all = append(all, strs(v, path)...)
	}
	return unique(all)
}

// normal is a name without case and separators, so that function-name,
// FunctionName and functionName are one.
func normal(name string) string {
	plain := make([]byte, 0, 64)
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'A' && c <= 'Z':
			plain = append(plain, c+'a'-'A')
		case c == '-' || c == '_' || c == ' ' || c == '.':
		default:
			plain = append(plain, c)
		}
	}
	return string(plain)
}

// unique are the values without those that came before, in their order.
func unique(values []string) []string {
	seen := make(map[string]bool, len(values))
	var kept []string
	for _, v := range values {
		if !seen[v] {
			seen[v] = true
			kept = append(kept, v)
		}
	}
	return kept
}

// maxInner bounds JSON inside of the input, which is read again.
const maxInner = 256 << 10

// parseJSON reads JSON that the input holds as text; nil if it is none.
func parseJSON(s string) any {
	if s == "" || len(s) > maxInner {
		return nil
	}
	var v any
	if json.Unmarshal([]byte(s), &v) != nil {
		return nil
	}
	return v
}

// decodeJSON reads JSON in base64; nil if it is none.
func decodeJSON(s string) any {
	if len(s) > maxInner {
		return nil
	}
	decoded, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil
	}
	return parseJSON(string(decoded))
}

// blob is the value of a binary member, which is bytes or, in JSON, base64.
func blob(v any) []byte {
	switch v := v.(type) {
	case []byte:
		return v
	case string:
		if decoded, err := base64.StdEncoding.DecodeString(v); err == nil {
			return decoded
		}
	}
	return nil
}

// hasWord reports whether a list of words, with spaces between them, has one.
func hasWord(words, word string) bool {
	return word != "" && strings.Contains(" "+words+" ", " "+word+" ")
}
