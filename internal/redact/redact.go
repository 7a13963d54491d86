// Package redact removes secrets from texts that people see: log lines, errors,
// events. Clients put tokens and keys into the wrong field, and errors quote the
// field; so the last place through which a text passes before it is shown looks for
// anything that has the form of a secret.
//
//	fmt.Fprintln(os.Stderr, "program:", redact.Text(err.Error()))
//	log := slog.New(redact.Handler(slog.NewTextHandler(os.Stderr, nil)))
//
// It knows tokens (JWTs), private keys in PEM, secret access keys of AWS (40
// characters of base64), session tokens and other long base64, and passwords in
// URLs. Digests in hexadecimal, ids of keys and ARNs are left as they are. A password
// that is an ordinary word cannot be told from other words.
package redact

import (
	"math"
	"regexp"
	"slices"
	"strings"
)

// The replacements for secrets.
const (
	Token   = "[token]"
	Key     = "[private key]"
	Secret  = "[secret]"
	pass    = "[password]"
	minLong = 64 // characters of base64 that are taken for a secret
	minRun  = 40 // characters of a secret access key
)

var (
	// A private key may have lost its line breaks or its end, and may be
	// escaped for a URL.
	pemKey = regexp.MustCompile(`(?is)-----BEGIN(?:[A-Z0-9 +]|%20)*PRIVATE(?: |\+|%20)KEY.*?` +
		`(?:-----END(?:[A-Z0-9 +]|%20)*KEY(?: BLOCK)?-----|\z)`)
	jwt = regexp.MustCompile(`eyJ[A-Za-z0-9_=-]{6,}(?:(?:\.|%2[Ee])[A-Za-z0-9_=-]*){0,4}`)
	// Three or more parts, whatever the first begins with.
	parts = regexp.MustCompile(`[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{32,}(?:\.[A-Za-z0-9_-]*){0,2}`)
	user  = regexp.MustCompile(`(://[^/\s:@"]*):([^/\s@"]+)@`)
)

// Text is a text without secrets. Most texts have none and are returned as they
// are.
func Text(s string) string {
	if !suspect(s) {
		return s
	}
	if strings.Contains(s, "-----") {
		s = pemKey.ReplaceAllString(s, Key)
	}
	if strings.Contains(s, "eyJ") {
		s = replace(jwt, s, func(before byte, match string) bool { return len(match) >= minRun || !isWord(before) })
	}
	if strings.Count(s, ".") >= 2 {
		s = replace(parts, s, func(_ byte, match string) bool { return random(units(strings.Split(match, ".")[2])) })
	}
	if strings.Contains(s, "://") && strings.Contains(s, "@") {
		s = user.ReplaceAllString(s, "$1:"+pass+"@")
	}
	return runs(s)
}

// Value is a decoded JSON value without the secrets in its texts. Lists are changed
// in place.
func Value(v any) any {
	switch v := v.(type) {
	case string:
		return Text(v)
	case []any:
		for i := range v {
			v[i] = Value(v[i])
		}
	case map[string]any:
		clean := make(map[string]any, len(v))
		for name, member := range v {
			clean[Text(name)] = Value(member)
		}
		return clean
	}
	return v
}

// suspect is a quick look for what may be a secret.
func suspect(s string) bool {
	run := 0
	for i := range len(s) {
		switch c := s[i]; {
		case ofSecret[c]:
			if run++; run >= minRun {
				return true
			}
		case c != '.':
			run = 0
		}
	}
	return strings.Contains(s, "eyJ") || strings.Contains(s, "@") || strings.Contains(s, "-----")
}

// ofSecret are the characters of base64 in both its alphabets, escaped for a URL or not.
var ofSecret = func() (is [256]bool) {
	for c := range is {
		is[c] = isWord(byte(c)) || strings.IndexByte("+/=%", byte(c)) >= 0
	}
	return is
}()

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// replace puts [Token] instead of matches that are secrets, given the byte before
// them, 0 at the start.
func replace(re *regexp.Regexp, s string, secret func(before byte, match string) bool) string {
	var b strings.Builder
	last := 0
	for _, at := range re.FindAllStringIndex(s, -1) {
		var before byte
		if at[0] > 0 {
			before = s[at[0]-1]
		}
		if secret(before, s[at[0]:at[1]]) {
			b.WriteString(s[last:at[0]])
			b.WriteString(Token)
			last = at[1]
		}
	}
	return b.String() + s[last:]
}

// unit is a character of base64, which may be escaped for a URL, and where it
// begins and ends.
type unit struct {
	char       byte
	start, end int
}

// units splits a text into units. Characters that are not base64 are units with the
// char 0.
func units(s string) []unit {
	list := make([]unit, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' && i+2 < len(s) {
			plain := byte(0)
			switch s[i+1 : i+3] {
			case "2F", "2f":
				plain = '/'
			case "2B", "2b":
				plain = '+'
			case "3D", "3d":
				plain = '='
			}
			if plain != 0 {
				list = append(list, unit{plain, i, i + 3})
				i += 2
				continue
			}
		}
		if !isWord(c) && c != '+' && c != '/' && c != '=' {
			c = 0
		}
		list = append(list, unit{c, i, i + 1})
	}
	return list
}

// runs replaces secret access keys and long base64.
func runs(s string) string {
	var b strings.Builder
	last := 0
	for i := 0; i < len(s); {
		if !ofSecret[s[i]] {
			i++
			continue
		}
		end := i
		for end < len(s) && ofSecret[s[end]] {
			end++
		}
		if end-i >= minRun {
			runsIn(units(s[i:end]), func(from, to int) {
				b.WriteString(s[last : i+from])
				b.WriteString(Secret)
				last = i + to
			})
		}
		i = end
	}
	return b.String() + s[last:]
}

// runsIn finds secret access keys and long base64, by where in the text they are.
func runsIn(list []unit, found func(from, to int)) {
	cut := func(from, to int) { found(list[from].start, list[to-1].end) }
	for i := 0; i < len(list); {
		if list[i].char == 0 {
			i++
			continue
		}
		end := i
		for end < len(list) && list[end].char != 0 {
			end++
		}
		if end-i >= minLong && random(list[i:end]) {
			cut(i+names(list[i:end]), end)
		} else {
			keys(list[i:end], func(from, to int) { cut(i+from, i+to) })
		}
		i = end
	}
}

// edge reports whether a character separates the segments of a path, or a name from a
// value; in base64 it can be either.
func edge(c byte) bool { return c == '/' || c == '=' }

// names is how many characters of a run are names that lead to a secret, such as
// "role/" and "A/": segments of small letters, and very short ones.
func names(run []unit) int {
	n := 0
	for i, u := range run {
		switch {
		case edge(u.char):
			n = i + 1
		case i < n+3:
		case u.char < 'a' && u.char != '-' && u.char != '_' || u.char > 'z':
			return n
		}
	}
	return n
}

// glued reports whether a key was appended to a word, as in "group" or "instance-profile"
// and a path without its slash. Shorter words are parts of ids.
func glued(before []unit) bool {
	const shortest = 4
	n := 0
	for _, u := range slices.Backward(before) {
		if edge(u.char) {
			break
		}
		if u.char == '-' && n >= shortest {
			continue // within the word
		}
		if u.char < 'a' || u.char > 'z' {
			return false
		}
		n++
	}
	return n >= shortest
}

// dashes reports whether what comes before a key makes it a flag.
func dashes(before []unit) bool {
	return !slices.ContainsFunc(before, func(u unit) bool { return u.char != '-' })
}

// keys finds secret access keys in a run: 40 characters of base64 that stand
// alone, or between the slashes and equals signs of a path or an assignment.
// If several may be one, found gets all of them at once.
func keys(run []unit, found func(from, to int)) {
	from, to := 0, 0
	done := func() {
		if to-from > minRun { // one of several, of which the first may begin in a name
			from += names(run[from:to])
		}
		found(from, to)
		to = 0
	}
	for i := 0; i+minRun <= len(run); i++ {
		if i > 0 && !edge(run[i-1].char) && !glued(run[:i]) && !dashes(run[:i]) {
			continue
		}
		key := run[i : i+minRun]
		if i+minRun < len(run) && !edge(run[i+minRun].char) || !random(key) {
			continue
		}
		if slices.ContainsFunc(key, func(u unit) bool { return u.char == '-' || u.char == '_' || u.char == '=' }) {
			continue
		}
		if to > 0 && i > to {
			done()
		}
		if to == 0 {
			from = i
		}
		to = i + minRun
	}
	if to > 0 {
		done()
	}
}

// Bounds of what looks random: words and paths change between small letters,
// capitals, digits and signs less often, and repeat their letters more.
const (
	minChange        = 0.38 // changes for each character
	minChangeNoDigit = 0.44
	minEntropy       = 4.3 // bits for each character
)

// random reports whether base64 characters look random: with small letters, capitals
// and usually digits, well mixed.
func random(run []unit) bool {
	var counts [128]int
	var small, capital, digit, changes int
	previous := -1
	for _, u := range run {
		kind := 3
		switch c := u.char; {
		case c >= 'a' && c <= 'z':
			kind = 0
			small++
		case c >= 'A' && c <= 'Z':
			kind = 1
			capital++
		case c >= '0' && c <= '9':
			kind = 2
			digit++
		}
		if previous >= 0 && kind != previous {
			changes++
		}
		previous = kind
		counts[u.char&127]++
	}
	n := len(run)
	want := minChange
	if digit == 0 { // one in a thousand keys has none, and names often
		want = minChangeNoDigit
	}
	if small < n/12 || capital < n/12 || float64(changes) < want*float64(n) {
		return false
	}
	entropy := 0.0
	for _, count := range counts {
		if count > 0 {
			p := float64(count) / float64(n)
			entropy -= p * math.Log2(p)
		}
	}
	return entropy >= minEntropy
}
