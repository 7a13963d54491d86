package s3

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// Limits of tags (S3 User Guide, "Categorizing your storage using tags").
const (
	maxBucketTags = 50
	maxObjectTags = 10
	maxTagKey     = 128
	maxTagValue   = 256
)

// checkTags refuses tags that S3 refuses.
func checkTags(tags []wire.Tag, most int) ([]wire.Tag, *failure) {
	if len(tags) > most {
		what := "Bucket"
		if most == maxObjectTags {
			what = "Object"
		}
		return nil, failf(http.StatusBadRequest, "BadRequest", "%s tags cannot be greater than %d", what, most)
	}
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		switch {
		case t.Key == "" || utf8.RuneCountInString(t.Key) > maxTagKey || !validTagText(t.Key):
			return nil, failf(http.StatusBadRequest, "InvalidTag", "The TagKey you have provided is invalid").with("TagKey", t.Key)
		case utf8.RuneCountInString(t.Value) > maxTagValue || !validTagText(t.Value):
			return nil, failf(http.StatusBadRequest, "InvalidTag", "The TagValue you have provided is invalid").
				with("TagKey", t.Key).with("TagValue", t.Value)
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return nil, failf(http.StatusBadRequest, "InvalidTag", "System tags cannot be added/updated by requester").with("TagKey", t.Key)
		case seen[t.Key]:
			return nil, failf(http.StatusBadRequest, "InvalidTag", "Cannot provide multiple Tags with the same key").with("TagKey", t.Key)
		}
		seen[t.Key] = true
	}
	return tags, nil
}

// validTagText reports whether a tag may have this key or value: of letters,
// digits, blanks and + - = . _ : / @ (S3 control's model, "TagKeyString").
func validTagText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.N, unicode.Z) && !strings.ContainsRune("+-=._:/@", r)
	})
}

// tagKeys sets the condition keys for tags: one each below prefix, and the
// list of their keys.
//
//go:noinline // so that what it makes is there once, not again at each call
func tagKeys(prefix, list string, tags []wire.Tag) func(*policy.Context) {
	return func(keys *policy.Context) {
		names := make([]string, len(tags))
		for i, t := range tags {
			keys.Set(prefix+t.Key, t.Value)
			names[i] = t.Key
		}
		if list != "" && len(tags) > 0 {
			keys.SetMulti(list, names...)
		}
	}
}
