package question

import (
	"maps"
	"slices"
	"strings"
)

// tag is a tag in a call; without a value it is one that is taken away.
type tag struct {
	key, value string
	removed    bool
}

// tagged are the tags in the input of a call, of whatever shape: the service models
// have them as maps, as lists of pairs with six kinds of names, in wrappers, and by
// the type of the resource.
func tagged(input map[string]any, operation string) []tag {
	var all []tag
	for _, member := range sorted(input) {
		name := normal(member)
		if !strings.Contains(name, "tag") || strings.Contains(name, "filter") || strings.Contains(name, "image") {
			continue
		}
		removes := strings.Contains(name, "tagkey") || strings.Contains(name, "remove") || strings.Contains(name, "untag")
		all = append(all, readTags(input[member], removes)...)
	}
	// DynamoDB and Kinesis call the list of an untagging TagKeys, others Keys.
	if verb(operation) == "Untag" && len(all) == 0 {
		for _, member := range []string{"Keys", "keys", "Tags", "tags"} {
			all = append(all, readTags(input[member], true)...)
		}
	}
	return all
}

// tagNames are how the models call the two halves of a tag.
var tagNames = [][2]string{
	{"Key", "Value"}, {"key", "value"}, {"TagKey", "TagValue"}, {"tagKey", "tagValue"}, {"Name", "Value"}, {"name", "value"},
}

// readTags reads tags of any shape. Strings are tags that are taken away, if they
// are what the member lists.
func readTags(v any, removes bool) []tag {
	switch v := v.(type) {
	case string:
		if removes && v != "" {
			return []tag{{key: v, removed: true}}
		}
	case []any:
		var all []tag
		for _, entry := range v {
			if m := dict(entry); m != nil {
				all = append(all, readPair(m, removes)...)
			} else {
				all = append(all, readTags(entry, removes)...)
			}
			if len(all) > MaxQuestions {
				break
			}
		}
		return all
	case map[string]any:
		return readTagMap(v, removes)
	}
	return nil
}

// readPair reads an entry of a list of tags: a pair, or tags by the type of resource.
func readPair(m map[string]any, removes bool) []tag {
	for _, names := range tagNames {
		key, ok := text(m[names[0]])
		if !ok || m[names[1]] == nil && len(m) > 1 && m["ResourceId"] == nil && m["resourceId"] == nil {
			continue
		}
		value, _ := text(m[names[1]])
		return []tag{{key: key, value: value, removed: removes}}
	}
	for _, inner := range []string{"Tags", "tags"} {
		if l := list(m[inner]); l != nil {
			return readTags(l, removes)
		}
	}
	return nil
}

// readTagMap reads a map of tags, or what is around a list of them.
func readTagMap(m map[string]any, removes bool) []tag {
	for _, wrapper := range []string{"Items", "Tags", "tags", "TagSet", "Tag", "member", "item", "entry"} {
		if inner := list(m[wrapper]); inner != nil {
			return readTags(inner, removes)
		}
		if inner := dict(m[wrapper]); inner != nil {
			if pair := readPair(inner, removes); pair != nil {
				return pair
			}
			return readTags(inner, removes)
		}
	}
	var all []tag
	for _, key := range sorted(m) {
		value, ok := text(m[key])
		if !ok && m[key] != nil {
			return nil
		}
		all = append(all, tag{key: key, value: value})
	}
	return all
}

// setTags sets the condition keys of tags in a request: aws:RequestTag/K and
// aws:TagKeys (IAM User Guide, "AWS global condition context keys").
func setTags(q *Question, tags []tag, also ...string) {
	if len(tags) == 0 {
		return
	}
	names := make([]string, 0, len(tags))
	for _, t := range tags {
		if !slices.Contains(names, t.key) {
			names = append(names, t.key)
		}
		if t.removed {
			continue
		}
		q.Keys.Set("aws:RequestTag/"+t.key, t.value)
		for _, prefix := range also {
			q.Keys.Set(prefix+t.key, t.value)
		}
	}
	q.Keys.SetMulti("aws:TagKeys", names...)
}

// tagging are the actions that tag a resource, in the order in which they are
// looked for.
var tagging = []string{"TagResource", "TagQueue", "AddTagsToResource", "AddTags", "CreateTags"}

// creating are the first words of operations that make something.
var creating = []string{"Create", "Put", "Run", "Register", "Copy", "Restore", "Allocate", "Request", "Submit"}

// tagOnCreate asks for the permission to tag what a call creates with tags. Most
// services ask for it beside that to create: AWS says so on the pages of their
// actions, such as "Tagging Amazon SQS queues" and "Tag-on-create permissions". EC2
// says which resources the tags are of.
func tagOnCreate(a *asker) {
	if len(a.out) == 0 || a.service == nil || a.prefix == "ec2" || !slices.Contains(creating, verb(a.Operation)) ||
		len(tagged(a.Input, a.Operation)) == 0 {
		return
	}
	main := a.out[0]
	action := a.listed(main.Action)
	if action == nil || !slices.ContainsFunc(a.keysOf(action, ""), func(k string) bool { return hasPrefix(k, "aws:RequestTag/") }) {
		return
	}
	for _, name := range tagging {
		if a.service.Actions[name] != nil && main.Action != a.prefix+":"+name {
			t := a.made()
			if create := a.prefix + ":CreateAction"; a.service.Keys[create] != "" {
				t.keys = append(t.keys, key{create, []string{a.Operation}, false})
			}
			a.ask(name, t)
			return
		}
	}
}

// made is what a call creates: what a rule said that it is, or the type of resources
// that the operation is named for, or what it is asked about first.
func (a *asker) made() target {
	if a.creates != nil {
		return *a.creates
	}
	for _, q := range a.out {
		if q.created && q.Resource != "*" {
			return target{arn: q.Resource, spelled: q.Spelled, unknown: !q.Known, created: true}
		}
	}
	about := normal(noun(a.Operation))
	for _, name := range slices.Sorted(maps.Keys(a.service.Types)) {
		if plain := normal(name); plain != about && !strings.HasSuffix(about, plain) || verb(a.Operation) == "Put" {
			continue
		}
		t := a.service.Types[name]
		if f := a.fill(t); len(f.targets) > 0 {
			f.targets[0].created = true
			return f.targets[0]
		}
		if unknown := a.unknown(t, true); unknown != nil {
			return unknown[0]
		}
	}
	q := a.out[0]
	return target{arn: q.Resource, spelled: q.Spelled, unknown: !q.Known, created: true}
}

// hasPrefix is strings.HasPrefix without regard to case.
func hasPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
