package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/openirsa/openirsa/internal/yamlnode"
)

// decoder reads documents of YAML, of which JSON is a part, into structs with
// `yaml` tags. Unlike yaml's own it says in every error on which line and in
// which field something is, and speaks of no types of Go.
type decoder struct {
	// lenient is for files of another program: fields that are not known are
	// ignored, unless they look like one that is, and are named in ignored.
	lenient bool
	ignored []string
	// lines are those of all fields, by path: "iamServiceAccounts[0].tags".
	lines map[string]int

	open  map[*yaml.Node]bool // the aliases that are being followed
	nodes int                 // read so far, aliases each time
}

// maxNodes bounds what aliases of aliases can make of a file.
const maxNodes = 1 << 17

// follow is what node stands for. done must be called when it has been read.
func (d *decoder) follow(node *yaml.Node, path string) (target *yaml.Node, done func(), err error) {
	done = func() {}
	if d.nodes++; d.nodes > maxNodes {
		return nil, done, yamlnode.Fault(node, path, "its aliases expand to more than can be read")
	}
	if node.Kind != yaml.AliasNode {
		return node, done, nil
	}
	if d.open[node.Alias] {
		return nil, done, yamlnode.Fault(node, path, "alias %s contains itself", node.Value)
	}
	if d.open == nil {
		d.open = map[*yaml.Node]bool{}
	}
	d.open[node.Alias] = true
	return node.Alias, func() { delete(d.open, node.Alias) }, nil
}

// value reads node into v.
func (d *decoder) value(node *yaml.Node, v reflect.Value, path string) error {
	node, done, err := d.follow(node, path)
	if err != nil {
		return err
	}
	defer done()
	if v.Type() == reflect.TypeFor[InlinePolicy]() {
		return d.policy(node, v, path)
	}
	if node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" {
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return d.value(node, v.Elem(), path)
	case reflect.Struct:
		return d.fields(node, v, path)
	case reflect.Slice:
		return d.list(node, v, path)
	case reflect.Map:
		return d.mapping(node, v, path)
	case reflect.Bool:
		on, ok := truth(node)
		if !ok {
			return yamlnode.Fault(node, path, "expected true or false, found %s", yamlnode.What(node))
		}
		v.SetBool(on)
	case reflect.String:
		if node.Kind != yaml.ScalarNode {
			return yamlnode.Fault(node, path, "expected a text, found %s", yamlnode.What(node))
		}
		v.SetString(node.Value)
	default:
		panic("no field of a configuration is " + v.Type().String())
	}
	return nil
}

// truth reads a boolean, as YAML 1.1 writes it too.
func truth(node *yaml.Node) (on, ok bool) {
	if node.Kind != yaml.ScalarNode || node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		return false, false
	}
	switch strings.ToLower(node.Value) {
	case "true", "yes", "on", "y":
		return true, true
	case "false", "no", "off", "n":
		return false, true
	}
	return false, false
}

// entry is a field of a document.
type entry struct{ key, value *yaml.Node }

// entries are the fields of a mapping in their order, with those that it merges
// (<<) after its own.
func (d *decoder) entries(node *yaml.Node, path string) ([]entry, error) {
	if node.Kind != yaml.MappingNode {
		return nil, yamlnode.Fault(node, path, "expected fields, found %s", yamlnode.What(node))
	}
	var own, merged []entry
	lines := map[string]int{}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.ShortTag() == "!!merge" {
			more, err := d.merge(value, path)
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
			continue
		}
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			return nil, yamlnode.Fault(key, path, "expected the name of a field, found %s", yamlnode.What(key))
		}
		if first := lines[key.Value]; first != 0 {
			return nil, yamlnode.Fault(key, join(path, key.Value), "it is already on line %d", first)
		}
		lines[key.Value] = key.Line
		own = append(own, entry{key, value})
	}
	for _, e := range merged {
		if lines[e.key.Value] == 0 {
			lines[e.key.Value] = e.key.Line
			own = append(own, e)
		}
	}
	return own, nil
}

func (d *decoder) merge(node *yaml.Node, path string) ([]entry, error) {
	node, done, err := d.follow(node, path)
	if err != nil {
		return nil, err
	}
	defer done()
	if node.Kind != yaml.SequenceNode {
		return d.entries(node, path)
	}
	var all []entry
	for _, item := range node.Content {
		more, err := d.merge(item, path)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

func join(path, field string) string { return strings.TrimPrefix(path+"."+field, ".") }

// fields reads the fields of a struct.
func (d *decoder) fields(node *yaml.Node, v reflect.Value, path string) error {
	entries, err := d.entries(node, path)
	if err != nil {
		return err
	}
	known := map[string]reflect.Value{}
	for field, value := range v.Fields() {
		if name := field.Tag.Get("yaml"); name != "-" {
			known[name] = value
		}
	}
	for _, e := range entries {
		at := join(path, e.key.Value)
		value, ok := known[e.key.Value]
		if !ok {
			meant := similar(e.key.Value, slices.Sorted(maps.Keys(known)))
			if d.lenient && meant == "" {
				d.ignore(at)
				continue
			}
			text := "field " + e.key.Value + " not found"
			if path != "" {
				text += " in " + path
			}
			if meant != "" {
				text += "; did you mean " + meant + "?"
			}
			return yamlnode.Fault(e.key, "", "%s", text)
		}
		d.line(at, e.key)
		if value.Type() == reflect.TypeFor[ignored]() {
			d.ignore(at)
			continue
		}
		if err := d.value(e.value, value, at); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) line(path string, node *yaml.Node) {
	if d.lines == nil {
		d.lines = map[string]int{}
	}
	d.lines[path] = node.Line
}

// ignore notes that a field is ignored, once for all items of a list.
func (d *decoder) ignore(path string) {
	if path = inList.ReplaceAllString(path, "[]"); !slices.Contains(d.ignored, path) {
		d.ignored = append(d.ignored, path)
	}
}

// similar is the nearest of names that a mistyped word may stand for.
func similar(word string, names []string) (nearest string) {
	word = strings.ToLower(word)
	best := max(1, len(word)/4) + 1
	for _, name := range names {
		other := strings.ToLower(name)
		if n := distance(word, other); n == 0 || n < best && len(word) > 4 && len(other) > 4 {
			nearest, best = name, n
		}
	}
	return nearest
}

// distance is how many letters must be put in, taken out or replaced to make b
// of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0]++
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before, row[j+1] = row[j+1], min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// list reads a list, without empty items.
func (d *decoder) list(node *yaml.Node, v reflect.Value, path string) error {
	if node.Kind != yaml.SequenceNode {
		return yamlnode.Fault(node, path, "expected a list, found %s", yamlnode.What(node))
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, len(node.Content)))
	for _, item := range node.Content {
		target, done, err := d.follow(item, path)
		if err != nil {
			return err
		}
		if target.Kind != yaml.ScalarNode || target.ShortTag() != "!!null" {
			at := fmt.Sprintf("%s[%d]", path, v.Len())
			d.line(at, target)
			value := reflect.New(v.Type().Elem()).Elem()
			err = d.value(target, value, at)
			v.Set(reflect.Append(v, value))
		}
		done()
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) mapping(node *yaml.Node, v reflect.Value, path string) error {
	entries, err := d.entries(node, path)
	if err != nil {
		return err
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range entries {
		value := reflect.New(v.Type().Elem()).Elem()
		d.line(join(path, e.key.Value), e.key)
		if err := d.value(e.value, value, join(path, e.key.Value)); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(e.key.Value), value)
	}
	return nil
}

// policy makes JSON of a policy document, which is JSON already or has no dates: what
// YAML takes for one, such as an unquoted Version, is the text that it is.
func (d *decoder) policy(node *yaml.Node, v reflect.Value, path string) error {
	if node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" {
		return nil
	}
	if node.Kind == yaml.ScalarNode { // as eksctl has session policies
		if !json.Valid([]byte(node.Value)) || !strings.HasPrefix(strings.TrimSpace(node.Value), "{") {
			return yamlnode.Fault(node, path, "expected a policy, as fields or as a text of JSON")
		}
		v.SetBytes([]byte(node.Value))
		return nil
	}
	document, err := d.any(node, path)
	if err != nil {
		return err
	}
	body, err := json.Marshal(document)
	if err != nil {
		return yamlnode.Fault(node, path, "the policy is not JSON")
	}
	v.SetBytes(body)
	return nil
}

// any is a document as JSON has it.
func (d *decoder) any(node *yaml.Node, path string) (any, error) {
	node, done, err := d.follow(node, path)
	if err != nil {
		return nil, err
	}
	defer done()
	switch node.Kind {
	case yaml.MappingNode:
		entries, err := d.entries(node, path)
		if err != nil {
			return nil, err
		}
		object := map[string]any{}
		for _, e := range entries {
			if object[e.key.Value], err = d.any(e.value, join(path, e.key.Value)); err != nil {
				return nil, err
			}
		}
		return object, nil
	case yaml.SequenceNode:
		array := make([]any, len(node.Content))
		for i, item := range node.Content {
			if array[i], err = d.any(item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return nil, err
			}
		}
		return array, nil
	}
	var scalar any
	switch node.ShortTag() {
	case "!!bool", "!!int", "!!float", "!!null":
		if node.Decode(&scalar) != nil {
			return node.Value, nil
		}
		if f, ok := scalar.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			return node.Value, nil
		}
		return scalar, nil
	}
	return node.Value, nil
}

// inList is the number of an item.
var inList = regexp.MustCompile(`\[[0-9]+\]`)
