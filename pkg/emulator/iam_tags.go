package emulator

import (
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// resourceTags sets the condition keys of an IAM resource's tags.
func resourceTags(keys *policy.Context, tags []wire.Tag) {
	for _, t := range tags {
		keys.Set("aws:ResourceTag/"+t.Key, t.Value)
		keys.Set("iam:ResourceTag/"+t.Key, t.Value)
	}
}

// requestTags sets the condition keys of tags that a request brings.
func requestTags(keys *policy.Context, tags []wire.Tag) {
	if len(tags) == 0 {
		return
	}
	names := make([]string, len(tags))
	for i, t := range tags {
		names[i] = t.Key
		keys.Set("aws:RequestTag/"+t.Key, t.Value)
	}
	keys.SetMulti("aws:TagKeys", names...)
}

// checkTags refuses what tags of a resource must not be. Keys differ without
// regard to case, except those of OIDC providers.
func checkTags(tags []wire.Tag, exact bool) *wire.Failure {
	seen := map[string]bool{}
	for _, t := range tags {
		key := t.Key
		if !exact {
			key = strings.ToLower(key)
		}
		if seen[key] {
			return invalidInput(duplicateTags)
		}
		seen[key] = true
		if strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
			return invalidInput("Tag keys that begin with aws: are reserved, and %s is one.", t.Key)
		}
	}
	return nil
}

// mergeTags puts tags over others: an existing key gets the new value.
func mergeTags(old, tags []wire.Tag, exact bool) ([]wire.Tag, *wire.Failure) {
	merged := slices.Clone(old)
	for _, t := range tags {
		i := slices.IndexFunc(merged, func(o wire.Tag) bool {
			return o.Key == t.Key || !exact && strings.EqualFold(o.Key, t.Key)
		})
		if i < 0 {
			merged = append(merged, t)
		} else {
			merged[i] = t
		}
	}
	if len(merged) > maxTags {
		return nil, limitExceeded("The number of tags has reached the maximum limit.")
	}
	return merged, nil
}

func removeTags(tags []wire.Tag, keys []string, exact bool) []wire.Tag {
	return slices.DeleteFunc(slices.Clone(tags), func(t wire.Tag) bool {
		return slices.ContainsFunc(keys, func(k string) bool {
			return k == t.Key || !exact && strings.EqualFold(k, t.Key)
		})
	})
}

func writeTags(x *wire.XML, tags []wire.Tag) {
	x.List("Tags", len(tags), func(i int) {
		x.Text("Key", tags[i].Key)
		x.Text("Value", tags[i].Value)
	})
}
