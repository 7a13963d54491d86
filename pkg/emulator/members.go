package emulator

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// members are those of a JSON object. Case tells their names apart, unlike the
// fields of a struct.
type members map[string]json.RawMessage

// read decodes a member, if it is there, and reports whether it can.
func (m members) read(name string, to any) bool {
	raw, ok := m[name]
	return !ok || json.Unmarshal(raw, to) == nil
}

// text is a member that is a string; otherwise it is "".
func (m members) text(name string) string {
	var v string
	if json.Unmarshal(m[name], &v) != nil {
		return ""
	}
	return v
}

// discoveryMembers are those of a discovery document (OpenID Connect Discovery
// 1.0, section 3) that have a meaning to somebody who verifies tokens.
var discoveryMembers = []string{
	"issuer", "jwks_uri", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "scopes_supported",
	"response_types_supported", "response_modes_supported", "grant_types_supported", "subject_types_supported",
	"id_token_signing_alg_values_supported", "claim_types_supported", "claims_supported",
}

// discovery is a discovery document with nothing but what such a document
// has: those of its members that are known, if they are texts or lists of
// texts.
func (m members) discovery() json.RawMessage {
	shown := map[string]any{}
	for _, name := range discoveryMembers {
		raw, ok := m[name]
		if !ok {
			continue
		}
		var text string
		var list []string
		switch {
		case json.Unmarshal(raw, &text) == nil && strings.HasPrefix(text, "urn:"):
			shown[name] = clipText(text, maxShownValue)
		case json.Unmarshal(raw, &text) == nil: // all the others are URLs
			shown[name] = shownURL(text)
		case json.Unmarshal(raw, &list) == nil:
			list = list[:min(len(list), maxShownList)]
			for i, text := range list {
				list[i] = clipText(text, maxShownValue)
			}
			shown[name] = list
		}
	}
	document, err := json.Marshal(shown)
	if err != nil {
		return nil // of texts it cannot be
	}
	return document
}

// decodeSegment decodes base64url without padding.
func decodeSegment(s string) ([]byte, bool) { return decodeStrict(base64.RawURLEncoding, s) }

// decodeStrict decodes what has one form only, as a token must: bits beyond the
// last byte are zero, and there are no line breaks, which package base64 ignores.
func decodeStrict(e *base64.Encoding, s string) ([]byte, bool) {
	b, err := e.Strict().DecodeString(s)
	return b, err == nil && !strings.Contains(s, "\r") && !strings.Contains(s, "\n")
}
