// Package exactjson reads JSON objects that decide about trust: tokens, key sets,
// discovery documents. Two readers of the same bytes must see the same. So names of
// members are exact, where encoding/json takes "ISS" for "iss", and a repeated name,
// of which readers choose differently, is refused.
//
//	o, err := exactjson.Parse(body)
//	err = o.Decode("iss", &issuer)
package exactjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Object are the members of a JSON object by their exact names.
type Object map[string]json.RawMessage

// errNoObject is returned for anything but a single JSON object.
var errNoObject = errors.New("not a JSON object")

// Parse reads one object. A repeated member is an error; members of nested objects
// are checked when these are read, or by [Check].
func Parse(data []byte) (Object, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errNoObject
	}
	o := Object{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, errNoObject
		}
		name, _ := t.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errNoObject
		}
		if _, ok := o[name]; ok {
			return nil, fmt.Errorf("the member %.40q appears twice", name)
		}
		o[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, errNoObject
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errNoObject
	}
	return o, nil
}

// Decode reads a member; if it is missing or null, to stays as it is.
func (o Object) Decode(name string, to any) error {
	raw, ok := o[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("the member %q is not of the right form", name)
	}
	return nil
}

// Text is a member that is a string, and "" otherwise.
func (o Object) Text(name string) (s string) {
	if json.Unmarshal(o[name], &s) != nil {
		return ""
	}
	return s
}

// Check refuses an object with two members, at any depth, whose names differ only in
// case, and members that differ from one of names only in case: a reader that ignores
// case would see something else.
func Check(data []byte, names ...string) error {
	o, err := Parse(data)
	if err != nil {
		return err
	}
	for name := range o {
		for _, known := range names {
			if name != known && strings.EqualFold(name, known) {
				return fmt.Errorf("the member %.40q differs from %q only in case", name, known)
			}
		}
	}
	return o.check()
}

func (o Object) check() error {
	var seen []string
	for name, value := range o {
		for _, other := range seen {
			if strings.EqualFold(name, other) {
				return fmt.Errorf("the members %.40q and %.40q differ only in case", min(name, other), max(name, other))
			}
		}
		if len(seen) == maxMembers {
			return fmt.Errorf("an object has more than %d members", maxMembers)
		}
		seen = append(seen, name)
		if err := checkValue(value); err != nil {
			return err
		}
	}
	return nil
}

// maxMembers bounds the objects that [Check] looks through; a token has a dozen.
const maxMembers = 256

func checkValue(value json.RawMessage) error {
	switch value[0] { // encoding/json leaves no white space before it
	case '{':
		o, err := Parse(value)
		if err != nil {
			return err
		}
		return o.check()
	case '[':
		var list []json.RawMessage
		if err := json.Unmarshal(value, &list); err != nil {
			return errNoObject
		}
		for _, v := range list {
			if err := checkValue(v); err != nil {
				return err
			}
		}
	}
	return nil
}
