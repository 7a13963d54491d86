package emulator

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/openirsa/openirsa/pkg/policy"
)

// Limits of a request in the Query protocol. A policy document may have
// 131,072 characters (IAM's service model), three bytes each when escaped.
const (
	maxQueryBody   = 1 << 20 // bytes
	maxQueryParams = 4096
	maxListGap     = 10 // how far one index may go beyond the list so far
)

// params are the parameters of a request, by name. Of a repeated name the last
// value counts, as at AWS.
type params map[string]string

// parseParams decodes a form. It accepts what AWS's Query protocol accepts and
// refuses, with MalformedInput, what is not a form.
func parseParams(form string) (params, *awsError) {
	p := make(params, 8)
	for n := 0; form != ""; n++ {
		var pair string
		pair, form, _ = strings.Cut(form, "&")
		if pair == "" {
			continue
		}
		if n >= maxQueryParams {
			return nil, malformedInput("Too many parameters")
		}
		name, value, _ := strings.Cut(pair, "=")
		name, ok1 := unescape(name)
		value, ok2 := unescape(value)
		if !ok1 || !ok2 {
			return nil, malformedInput("Invalid escape sequence in the request")
		}
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, malformedInput("The request is not valid UTF-8")
		}
		p[name] = value
	}
	return p, nil
}

// unescape decodes application/x-www-form-urlencoded, and says false for an
// escape that is none. net/url's QueryUnescape does the same but allocates an
// error; it also does not keep the text when there is nothing to decode.
func unescape(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '+':
			b = append(b, ' ')
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			h, ok1 := unhex(s[i+1])
			l, ok2 := unhex(s[i+2])
			if !ok1 || !ok2 {
				return "", false
			}
			b = append(b, h<<4|l)
			i += 2
		default:
			b = append(b, c)
		}
	}
	return string(b), true
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// escapeDocument encodes a policy document as IAM does in its answers: every
// byte but RFC 3986's unreserved ones is percent-encoded.
func escapeDocument(s string) string {
	const hexdigits = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)*2)
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~':
			b = append(b, c)
		default:
			b = append(b, '%', hexdigits[c>>4], hexdigits[c&15])
		}
	}
	return string(b)
}

// A pattern is what the service model wants a text to look like: the regular
// expression as AWS spells it in its error texts, and a function that decides.
type pattern struct {
	text  string
	match func(string) bool
}

// everyRune is the pattern of texts of which every rune satisfies ok.
func everyRune(text string, ok func(rune) bool) *pattern {
	return &pattern{text, func(s string) bool {
		for _, r := range s {
			if !ok(r) {
				return false
			}
		}
		return true
	}}
}

// byRegexp is the pattern of a regular expression.
func byRegexp(text, expr string) *pattern {
	re := regexp.MustCompile(`^(?:` + expr + `)$`)
	return &pattern{text, re.MatchString}
}

// isName is [\w+=,.@-], with \w being ASCII.
func isName(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_+=,.@-", r)
}

// Patterns of the service models of IAM and STS.
var (
	patternName     = everyRune(`[\w+=,.@-]+`, isName)
	patternSession  = everyRune(`[\w+=,.@-]*`, isName)
	patternDocument = everyRune(`[\u0009\u000A\u000D\u0020-\u00FF]+`, func(r rune) bool {
		return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r <= 0xff
	})
	patternARN = everyRune(`[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+`, func(r rune) bool {
		return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r <= 0x7e || r == 0x85 ||
			r >= 0xa0 && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd || r >= 0x10000
	})
	patternDescription = everyRune(`[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*`, func(r rune) bool {
		return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r <= 0x7e || r >= 0xa1 && r <= 0xff
	})
	patternPath       = byRegexp(`(\u002F)|(\u002F[\u0021-\u007E]+\u002F)`, `/|/[!-~]+/`)
	patternPolicyPath = byRegexp(`((/[A-Za-z0-9\.,\+@=_-]+)*)/`, `((/[A-Za-z0-9.,+@=_-]+)*)/`)
	patternVersion    = byRegexp(`v[1-9][0-9]*(\.[A-Za-z0-9-]*)?`, `v[1-9][0-9]*(\.[A-Za-z0-9-]*)?`)
	patternTag        = byRegexp(`[\p{L}\p{Z}\p{N}_.:/=+\-@]+`, `[\p{L}\p{Z}\p{N}_.:/=+\-@]+`)
	patternTagValue   = byRegexp(`[\p{L}\p{Z}\p{N}_.:/=+\-@]*`, `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`)
	patternMarker     = everyRune(`[\u0020-\u00FF]+`, func(r rune) bool { return r >= ' ' && r <= 0xff })
	patternKeyID      = everyRune(`[\w]*`, func(r rune) bool { return isName(r) && !strings.ContainsRune("+=,.@-", r) })
	patternExternalID = everyRune(`[\w+=,.@:\/-]*`, func(r rune) bool { return isName(r) || r == ':' || r == '/' })
)

// rule is what the service model demands of one text parameter. Lengths are in
// characters; max 0 means no limit.
type rule struct {
	required bool
	min, max int
	pattern  *pattern
	secret   bool // its value is not repeated in errors
}

// faults are the constraints that s violates, in AWS's words.
func (r rule) faults(s string) []string {
	var f []string
	n := utf8.RuneCountInString(s)
	if n < r.min {
		f = append(f, "Member must have length greater than or equal to "+strconv.Itoa(r.min))
	}
	if r.max > 0 && n > r.max {
		f = append(f, "Member must have length less than or equal to "+strconv.Itoa(r.max))
	}
	if r.pattern != nil && (s == "" && strings.HasSuffix(r.pattern.text, "+") || !r.pattern.match(s)) {
		f = append(f, "Member must satisfy regular expression pattern: "+r.pattern.text)
	}
	return f
}

// constraints are all that a member of a list must be, in AWS's words and order.
func (r rule) constraints() []string {
	var all []string
	if r.max > 0 {
		all = append(all, "Member must have length less than or equal to "+strconv.Itoa(r.max))
	}
	if r.min > 0 || r.max > 0 {
		all = append(all, "Member must have length greater than or equal to "+strconv.Itoa(r.min))
	}
	if r.pattern != nil {
		all = append(all, "Member must satisfy regular expression pattern: "+r.pattern.text)
	}
	return append(all, "Member must not be null")
}

// Rules that many operations share.
var (
	ruleARN      = rule{required: true, min: 20, max: 2048, pattern: patternARN}
	ruleDocument = rule{required: true, min: 1, max: policy.MaxDocument, pattern: patternDocument}
	ruleTagKey   = rule{required: true, min: 1, max: 128, pattern: patternTag}
	ruleTagValue = rule{required: true, max: 256, pattern: patternTagValue}
)

// optional is the rule for a parameter that may be left out.
func (r rule) optional() rule { r.required = false; return r }

// input reads the parameters of one operation and collects what is wrong with
// them, so that one error names it all. Read everything, then ask err.
type input struct {
	params    params
	faults    []fault
	malformed *awsError

	// quiet input is IAM's, whose errors do not repeat values, and name faults
	// in the order of the members.
	quiet bool
}

// fault is a violated constraint.
type fault struct{ member, text string }

// err is the answer to what was read so far: nil if all was well.
func (in *input) err() *awsError {
	if in.malformed != nil || len(in.faults) == 0 {
		return in.malformed
	}
	if in.quiet {
		slices.SortStableFunc(in.faults, func(a, b fault) int { return strings.Compare(a.member, b.member) })
	}
	texts := make([]string, len(in.faults))
	for i, f := range in.faults {
		texts[i] = f.text
	}
	if len(texts) == 1 {
		return validationError("1 validation error detected: %s", texts[0])
	}
	return validationError("%d validation errors detected: %s", len(texts), strings.Join(texts, "; "))
}

// fault records a violated constraint. Value is the text as AWS shows it, in
// quotes, or "" for one that is absent or secret.
func (in *input) fault(value, member, constraint string) {
	if value != "" {
		value += " "
	}
	if in.quiet {
		value = ""
	}
	in.faults = append(in.faults, fault{member, "Value " + value + "at '" + member + "' failed to satisfy constraint: " + constraint})
}

// member is a parameter as AWS's errors spell it: with a small first letter.
func member(name string) string {
	if name == "" {
		return name
	}
	return strings.ToLower(name[:1]) + name[1:]
}

// has reports whether a parameter was given, be it empty.
func (in *input) has(name string) bool {
	_, ok := in.params[name]
	return ok
}

// text reads a text.
func (in *input) text(name string, r rule) string {
	return in.textAt(name, member(name), r)
}

func (in *input) textAt(name, at string, r rule) string {
	s, ok := in.params[name]
	if !ok {
		if r.required {
			in.fault("", at, "Member must not be null")
		}
		return ""
	}
	for _, f := range r.faults(s) {
		if r.secret {
			in.fault("", at, f)
		} else {
			in.fault("'"+s+"'", at, f)
		}
	}
	return s
}

// number reads an integer within limits, or def if there is none.
func (in *input) number(name string, def, low, high int) int {
	s, ok := in.params[name]
	if !ok {
		return def
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		if in.malformed == nil {
			in.malformed = malformedInput("The value of parameter %s is not an integer", name)
		}
		return def
	}
	if int(n) < low {
		in.fault("'"+strconv.Itoa(int(n))+"'", member(name), "Member must have value greater than or equal to "+strconv.Itoa(low))
	}
	if int(n) > high {
		in.fault("'"+strconv.Itoa(int(n))+"'", member(name), "Member must have value less than or equal to "+strconv.Itoa(high))
	}
	return int(n)
}

// bool reads a boolean, false if there is none.
func (in *input) bool(name string) bool {
	s, ok := in.params[name]
	if !ok {
		return false
	}
	switch s {
	case "true", "1":
		return true
	case "false", "0":
		return false
	}
	if in.malformed == nil {
		in.malformed = malformedInput("The value of parameter %s is not a boolean", name)
	}
	return false
}

// oneOf reads a text that must be one of a few.
func (in *input) oneOf(name string, required bool, values ...string) string {
	s := in.text(name, rule{required: required})
	if in.has(name) && !slices.Contains(values, s) {
		in.fault("'"+s+"'", member(name), "Member must satisfy enum value set: ["+strings.Join(values, ", ")+"]")
	}
	return s
}

// size is the length of a list. Lists are spelled Name.member.1, .2 and so on,
// and an empty one as a bare Name. Gaps are closed up, as at AWS: afterwards
// the members are numbered from 1. An index below one, or one more than ten
// beyond the others, is malformed.
func (in *input) size(name string) int {
	type field struct {
		index            int
		key, rest, value string
	}
	prefix := name + ".member."
	var fields []field
	for key, value := range in.params {
		after, found := strings.CutPrefix(key, prefix)
		if !found {
			continue
		}
		index, _, _ := strings.Cut(after, ".")
		n, err := strconv.Atoi(index)
		if err != nil || n < 1 {
			in.malformed = malformedInput("Invalid index %q in list %s", index, name)
			return 0
		}
		fields = append(fields, field{n, key, after[len(index):], value})
		delete(in.params, key)
	}
	slices.SortFunc(fields, func(a, b field) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.key, b.key))
	})
	n, last := 0, 0
	for _, f := range fields {
		if f.index > max(last, 1)+maxListGap {
			in.malformed = malformedInput("Index %d is too far beyond list %s", f.index, name)
			return 0
		}
		if f.index > last { // member.01 is member.1
			n, last = n+1, f.index
		}
		in.params[prefix+strconv.Itoa(n)+f.rest] = f.value
	}
	return n
}

// tooLong records that a list has more members than it may; 0 is no limit.
func (in *input) tooLong(name string, n, limit int, value string) {
	if limit > 0 && n > limit {
		in.fault("'["+value+"]'", member(name), "Member must have length less than or equal to "+strconv.Itoa(limit))
	}
}

// texts reads a list of at most limit texts, of which each must satisfy r. The
// members that do not make one fault, which tells of all that each must be.
func (in *input) texts(name string, required bool, limit int, r rule) []string {
	n := in.size(name)
	if n == 0 {
		if required && !in.has(name) && in.malformed == nil {
			in.fault("", member(name), "Member must not be null")
		}
		return nil
	}
	list := make([]string, n)
	bad := false
	for i := range n {
		s, ok := in.params[fmt.Sprintf("%s.member.%d", name, i+1)]
		if !ok {
			in.fault("", fmt.Sprintf("%s.%d.member", member(name), i+1), "Member must not be null")
			continue
		}
		list[i] = s
		bad = bad || len(r.faults(s)) > 0
	}
	all := strings.Join(list, ", ")
	in.tooLong(name, n, limit, all)
	if bad {
		in.fault("'["+all+"]'", member(name), "Member must satisfy constraint: ["+strings.Join(r.constraints(), ", ")+"]")
	}
	return list
}

// tag is a tag of a resource or a session.
type tag struct{ Key, Value string }

// tags reads a list of tags, at most limit of them.
func (in *input) tags(name string, limit int) []tag {
	n := in.size(name)
	if n == 0 {
		return nil
	}
	list := make([]tag, n)
	for i := range n {
		param := fmt.Sprintf("%s.member.%d.", name, i+1)
		at := fmt.Sprintf("%s.%d.member.", member(name), i+1)
		list[i].Key = in.textAt(param+"Key", at+"key", ruleTagKey)
		list[i].Value = in.textAt(param+"Value", at+"value", ruleTagValue)
	}
	in.tooLong(name, n, limit, strconv.Itoa(n)+" members")
	return list
}

// Envelopes of the Query protocol.
const (
	namespaceSTS   = "https://sts.amazonaws.com/doc/2011-06-15/"
	namespaceIAM   = "https://iam.amazonaws.com/doc/2010-05-08/"
	namespaceFault = "http://webservices.amazon.com/AWSFault/2005-15-09"
)

// queryResponse is the answer of an operation. A result without content makes
// no result element at all: such operations have no output.
func queryResponse(namespace, operation, requestID string, result func(*xmlWriter)) []byte {
	x := &xmlWriter{buf: make([]byte, 0, 2048)}
	x.buf = append(append(append(append(append(x.buf, '<'), operation...), `Response xmlns="`...), namespace...), `">`...)
	if result != nil {
		x.open(operation + "Result")
		result(x)
		x.close(operation + "Result")
	}
	x.open("ResponseMetadata")
	x.text("RequestId", requestID)
	x.close("ResponseMetadata")
	x.close(operation + "Response")
	return x.buf
}

// queryError is an error in the Query protocol.
func queryError(namespace, requestID string, e *awsError) []byte {
	if e.namespace != "" {
		namespace = e.namespace
	}
	x := &xmlWriter{buf: make([]byte, 0, 512)}
	x.buf = append(append(append(x.buf, `<ErrorResponse xmlns="`...), namespace...), `">`...)
	x.open("Error")
	x.text("Type", e.faultOf())
	x.text("Code", e.code)
	x.text("Message", e.message)
	x.close("Error")
	x.text("RequestId", requestID)
	x.close("ErrorResponse")
	return x.buf
}
