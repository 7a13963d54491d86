package emulator

import (
	"bytes"
	"encoding/json"
)

// Reading the claims of a token takes longer than all else but its signature if each
// is decoded by reflection, and most are short texts without escapes. Those are taken
// as they are, and the rest is left to encoding/json, whose results these are.

// claim is a member of a JSON object as it was sent.
type claim struct {
	name  []byte // decoded
	value json.RawMessage
}

// claimSet are the members of a JSON object in their order. Case tells their names
// apart.
type claimSet []claim

// readClaims splits a JSON object. The result holds on to document; it is false for
// what is none.
func readClaims(document []byte) (claimSet, bool) {
	if !json.Valid(document) {
		return nil, false
	}
	return splitObject(bytes.TrimSpace(document))
}

// get is the value of a claim, nil if there is none. Of a repeated one it is the last.
func (s claimSet) get(name string) json.RawMessage {
	for i := len(s) - 1; i >= 0; i-- {
		if string(s[i].name) == name {
			return s[i].value
		}
	}
	return nil
}

// byName are the claims by their names.
func (s claimSet) byName() members {
	m := make(members, len(s))
	for _, c := range s {
		m[string(c.name)] = c.value
	}
	return m
}

// splitObject splits an object of valid JSON, around which there is no space.
func splitObject(value []byte) (claimSet, bool) {
	all := make(claimSet, 0, 12)
	ok := eachMember(value, func(name, value []byte) { all = append(all, claim{name, value}) })
	return all, ok
}

// eachMember calls f for the members of an object of valid JSON, around which there is
// no space. It is false for what is none.
func eachMember(object []byte, f func(name, value []byte)) bool {
	if object[0] != '{' {
		return false
	}
	for at := afterSpace(object, 1); object[at] != '}'; at = afterSpace(object, at) {
		if object[at] == ',' {
			at++
			continue
		}
		end := valueEnd(object, at)
		name := object[at+1 : end-1]
		if !isPlain(name) {
			var decoded string
			if json.Unmarshal(object[at:end], &decoded) != nil {
				return false
			}
			name = []byte(decoded)
		}
		at = afterSpace(object, afterSpace(object, end)+1) // the colon
		end = valueEnd(object, at)
		f(name, object[at:end])
		at = end
	}
	return true
}

// afterSpace is where white space ends that may be at a place of valid JSON.
func afterSpace(b []byte, at int) int {
	for b[at] == ' ' || b[at] == '\t' || b[at] == '\n' || b[at] == '\r' {
		at++
	}
	return at
}

// valueEnd is where the value ends that begins at a place within an object or a list of
// valid JSON.
func valueEnd(b []byte, at int) int {
	depth := 0
	for ; ; at++ {
		switch b[at] {
		case '"':
			for at++; b[at] != '"'; at++ {
				if b[at] == '\\' {
					at++
				}
			}
			if depth == 0 {
				return at + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1
			}
			if depth < 0 { // of what a number or a word is in
				return at
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return at
			}
		}
	}
}

// isPlain reports whether the inside of a string of valid JSON is the text itself.
func isPlain(b []byte) bool {
	for _, c := range b {
		if c == '\\' || c >= 0x80 {
			return false
		}
	}
	return true
}

// readText reads a string of valid JSON, as json.Unmarshal does: null changes nothing.
func readText(value []byte, to *string) bool {
	switch {
	case len(value) == 0:
		return false
	case value[0] == '"' && isPlain(value):
		*to = string(value[1 : len(value)-1])
		return true
	case value[0] == '"':
		return json.Unmarshal(value, to) == nil
	}
	return value[0] == 'n'
}

// readTexts reads a list of strings of valid JSON, as json.Unmarshal does.
func readTexts(value []byte, to *[]string) bool {
	if value[0] != '[' {
		return json.Unmarshal(value, to) == nil
	}
	list := []string{}
	for at := afterSpace(value, 1); value[at] != ']'; at = afterSpace(value, at) {
		if value[at] == ',' {
			at++
			continue
		}
		end := valueEnd(value, at)
		var text string
		if !readText(value[at:end], &text) {
			return false
		}
		list = append(list, text)
		at = end
	}
	*to = list
	return true
}

// readFields reads members of an object of valid JSON into texts and other objects, as
// json.Unmarshal reads the fields of a struct: names are told apart without their case,
// and null changes nothing.
func readFields(value []byte, field func(name, value []byte) bool) bool {
	if value[0] == 'n' {
		return true
	}
	ok := true
	return eachMember(value, func(name, value []byte) { ok = field(name, value) && ok }) && ok
}
