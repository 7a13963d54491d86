package emulator

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/openirsa/openirsa/internal/redact"
)

// What is shown of the documents of strangers. The host of an issuer may be
// made to answer with anything that it can read (a redirect is enough), so
// nothing of an answer is shown but what a discovery document or a key set has.

const (
	// maxShownURL, maxShownValue and maxShownWord bound, in bytes, what is shown
	// of a URL, of a value of a discovery document, and of a word such as "RSA".
	maxShownURL   = 512
	maxShownValue = 512
	maxShownWord  = 32
	// maxShownList is how many values of a list are shown.
	maxShownList = 64
)

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

// shownURL is a URL without what may be secret in it: user, query and fragment.
func shownURL(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "what is no URL"
	}
	shown := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
	if u.RawQuery != "" {
		shown += "?..."
	}
	return clipText(shown, maxShownURL)
}

// clipText cuts a text to a number of bytes, of a copy, so that what was cut
// off does not stay in memory.
func clipText(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.Clone(strings.ToValidUTF8(text[:limit], "")) + "..."
}

// shownDocument is a document of the account, which is JSON, without what looks
// like a secret in it.
func shownDocument(document string) json.RawMessage {
	if redact.Text(document) == document {
		return json.RawMessage(document)
	}
	var v any
	if err := json.Unmarshal([]byte(document), &v); err != nil {
		return nil
	}
	clean, err := json.Marshal(redact.Value(v))
	if err != nil {
		return nil
	}
	return clean
}
