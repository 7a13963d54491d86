package emulator

import (
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// isName is [\w+=,.@-], with \w being ASCII.
func isName(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_+=,.@-", r)
}

// isWord is \w.
func isWord(r rune) bool { return isName(r) && !strings.ContainsRune("+=,.@-", r) }

// isSerial is [\w+=/:,.@-], of serial numbers of MFA devices.
func isSerial(r rune) bool { return isName(r) || r == '/' || r == ':' }

// Patterns of the service models of IAM and STS.
var (
	patternName     = wire.EveryRune(`[\w+=,.@-]+`, isName)
	patternSession  = wire.EveryRune(`[\w+=,.@-]*`, isName)
	patternDocument = wire.EveryRune(`[\u0009\u000A\u000D\u0020-\u00FF]+`, func(r rune) bool {
		return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r <= 0xff
	})
	patternARN = wire.EveryRune(`[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+`, func(r rune) bool {
		return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r <= 0x7e || r == 0x85 ||
			r >= 0xa0 && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd || r >= 0x10000
	})
	patternDescription = wire.EveryRune(`[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*`, func(r rune) bool {
		return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r <= 0x7e || r >= 0xa1 && r <= 0xff
	})
	patternPathPrefix = wire.EveryRune(`\u002F[\u0021-\u007F]*`, func(r rune) bool { return r >= '!' && r <= 0x7f })
	patternPath       = wire.ByRegexp(`(\u002F)|(\u002F[\u0021-\u007E]+\u002F)`, `/|/[!-~]+/`)
	patternPolicyPath = wire.ByRegexp(`((/[A-Za-z0-9\.,\+@=_-]+)*)/`, `((/[A-Za-z0-9.,+@=_-]+)*)/`)
	patternVersion    = wire.ByRegexp(`v[1-9][0-9]*(\.[A-Za-z0-9-]*)?`, `v[1-9][0-9]*(\.[A-Za-z0-9-]*)?`)
	patternMarker     = wire.EveryRune(`[\u0020-\u00FF]+`, func(r rune) bool { return r >= ' ' && r <= 0xff })
	patternKeyID      = wire.EveryRune(`[\w]*`, isWord)
	patternExternalID = wire.EveryRune(`[\w+=,.@:\/-]*`, func(r rune) bool { return isName(r) || r == ':' || r == '/' })
)

// Rules that many operations share.
var (
	ruleARN      = wire.Rule{Required: true, Min: 20, Max: 2048, Pattern: patternARN}
	ruleDocument = wire.Rule{Required: true, Min: 1, Max: policy.MaxDocument, Pattern: patternDocument}
)

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

// Rules of IAM's service model.
var (
	ruleRoleName    = wire.Rule{Required: true, Min: 1, Max: 64, Pattern: patternName}
	ruleUserName    = wire.Rule{Required: true, Min: 1, Max: 64, Pattern: patternName}
	ruleOldUserName = wire.Rule{Required: true, Min: 1, Max: 128, Pattern: patternName}
	ruleGroupName   = wire.Rule{Required: true, Min: 1, Max: 128, Pattern: patternName}
	rulePolicyName  = wire.Rule{Required: true, Min: 1, Max: 128, Pattern: patternName}
	rulePath        = wire.Rule{Min: 1, Max: 512, Pattern: patternPath}
	rulePolicyPath  = wire.Rule{Min: 1, Max: 512, Pattern: patternPolicyPath}
	rulePathPrefix  = wire.Rule{Min: 1, Max: 512, Pattern: patternPathPrefix}
	ruleDescription = wire.Rule{Max: 1000, Pattern: patternDescription}
	ruleVersion     = wire.Rule{Required: true, Pattern: patternVersion}
	ruleMarker      = wire.Rule{Min: 1, Max: 320, Pattern: patternMarker}
)

// Quotas of an account (IAM User Guide, "IAM and AWS STS quotas").
const (
	maxRoles           = 1000
	maxUsers           = 5000
	maxGroups          = 300
	maxCustomPolicies  = 1500
	maxAttached        = 10 // managed policies of a role, user or group
	maxPolicyVersions  = 5
	maxTags            = 50
	maxAccessKeys      = 2
	maxGroupsPerUser   = 10
	maxMaxSession      = 43200 // seconds
	minMaxSession      = 3600  // seconds
	defaultItems       = 100   // of a page
	maxItems           = 1000  // of a page
	maxTagKeysToRemove = 50
)
