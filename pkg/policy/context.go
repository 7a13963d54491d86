package policy

import "strings"

// Context holds the condition keys of one request. Names are compared without
// regard to case (IAM User Guide, "IAM JSON policy elements: Condition"). The
// zero value is empty and ready. It is built for each request, so it is a
// plain list: requests have some twenty keys. A copy of the struct shares its
// keys with the original; [Context.Clone] does not.
//
// A key is single-valued or multivalued by its nature, not by the number of
// values it has ("Single-valued vs. multivalued context keys"): aws:TagKeys
// is multivalued even for one tag, and then only matches operators with
// ForAllValues or ForAnyValue.
type Context struct {
	entries []entry
}

type entry struct {
	key    string
	value  string   // of a single-valued key
	values []string // of a multivalued key
	multi  bool
}

// Set gives a single-valued key its value. The empty string is a value.
func (c *Context) Set(key, value string) {
	*c.slot(key) = entry{key: key, value: value}
}

// SetMulti gives a multivalued key its values. Without values the key is
// present and empty. The slice is kept, not copied.
func (c *Context) SetMulti(key string, values ...string) {
	*c.slot(key) = entry{key: key, values: values, multi: true}
}

// SetAll sets the keys of another context, each single-valued or multivalued
// as it is there.
func (c *Context) SetAll(other *Context) {
	for _, e := range other.entries {
		*c.slot(e.key) = e
	}
}

// Delete removes a key.
func (c *Context) Delete(key string) {
	for i := range c.entries {
		if sameKey(c.entries[i].key, key) {
			c.entries = append(c.entries[:i], c.entries[i+1:]...)
			return
		}
	}
}

// Reset removes all keys and keeps the memory for the next request.
func (c *Context) Reset() {
	clear(c.entries)
	c.entries = c.entries[:0]
}

// Clone is an independent copy.
func (c *Context) Clone() *Context {
	return &Context{entries: append([]entry(nil), c.entries...)}
}

// Values are the values of a key, and whether it is there.
func (c *Context) Values(key string) ([]string, bool) {
	e := c.find(key)
	switch {
	case e == nil:
		return nil, false
	case e.multi:
		return e.values, true
	}
	return []string{e.value}, true
}

// Keys are the names of the keys as they were set, in that order.
func (c *Context) Keys() []string {
	if c == nil {
		return nil
	}
	keys := make([]string, len(c.entries))
	for i, e := range c.entries {
		keys[i] = e.key
	}
	return keys
}

func (c *Context) slot(key string) *entry {
	if e := c.find(key); e != nil {
		return e
	}
	if c.entries == nil {
		c.entries = make([]entry, 0, 24)
	}
	c.entries = append(c.entries, entry{})
	return &c.entries[len(c.entries)-1]
}

func (c *Context) find(key string) *entry {
	if c == nil {
		return nil
	}
	for i := range c.entries {
		if sameKey(c.entries[i].key, key) {
			return &c.entries[i]
		}
	}
	return nil
}

// sameKey compares lengths first: case-insensitive comparison is dear and
// most keys differ in length.
func sameKey(a, b string) bool {
	return len(a) == len(b) && (a == b || strings.EqualFold(a, b))
}
