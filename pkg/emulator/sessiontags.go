package emulator

import (
	_ "crypto/sha256" // the hashes of RS256 to ES512
	_ "crypto/sha512"
	"fmt"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// maxSessionTags is how many tags a session may have (IAM User Guide, "Pass
// session tags in AWS STS").
const maxSessionTags = 50

// sessionTagKeys are the keys of session tags in lower case, as case does not
// tell them apart, or what is wrong with them.
func sessionTagKeys(tags []wire.Tag) (map[string]bool, *tokenFault) {
	keys := make(map[string]bool, len(tags))
	for _, t := range tags {
		key := strings.ToLower(t.Key)
		switch {
		case keys[key]:
			return nil, refusal("parameters", fmt.Sprintf("the session tag %q is there twice", t.Key), invalidParameter(duplicateTags))
		case strings.HasPrefix(key, "aws:"):
			return nil, refusal("parameters", fmt.Sprintf("the session tag %q begins with aws:", t.Key),
				invalidParameter("Tag keys that begin with aws: are reserved, and %s is one.", t.Key))

		}
		keys[key] = true
	}
	return keys, nil
}

const duplicateTags = "Duplicate tag keys found. Please note that Tag keys are case insensitive."
