package emulator

import (
	"encoding/json"
	"fmt"
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

// Bounds, in bytes, of what an event holds: what clients send in may be longer
// than anybody reads.
const (
	maxReason       = 4096    // of the reason, and of a warning or a hint
	maxText         = 2048    // of any other text: an ARN has no more
	maxFormless     = 64      // of a resource that has not the form of one
	maxChecks       = 8 << 10 // of all that was expected and was there
	maxHeld         = 8 << 10 // of a request that an event may hold on to until it is worded
	maxShownFetches = 16      // of one event; a number
)

// shown is a text as events and the log have it: without what looks like a
// token, a secret or a private key, and not too long. It is a copy, so that it
// does not hold on to the request that it is from.
func shown(text string, limit int) string { return strings.Clone(fit(text, limit)) }

// fit is shown, but may be a part of text.
func fit(text string, limit int) string {
	if text == "" {
		return ""
	}
	cut := len(text) > 2*limit
	if cut {
		text = text[:2*limit]
	}
	text = redact.Text(text)
	if cut && len(text) < limit {
		// Of a secret that was cut in two the first half is not known for one.
		text = strings.TrimRightFunc(text, func(r rune) bool { return r > ' ' }) + "..."
	}
	return clipText(text, limit)
}

// copyTexts puts copies in the place of texts, all of them in one piece of memory.
func copyTexts(texts ...*string) {
	n := 0
	for _, text := range texts {
		n += len(*text)
	}
	var all strings.Builder
	all.Grow(n)
	for _, text := range texts {
		all.WriteString(*text)
	}
	rest := all.String()
	for _, text := range texts {
		*text, rest = rest[:len(*text)], rest[len(*text):]
	}
}

// shownList is shown of a list, as far as what is left of a bound allows.
func shownList(list []string, left *int) []string {
	if list == nil {
		return nil
	}
	texts := make([]string, 0, min(len(list), 16))
	for i, text := range list {
		if *left <= 0 || i >= 64 {
			return append(texts, fmt.Sprintf("... (%d more)", len(list)-i))
		}
		text = shown(text, min(*left, maxText))
		*left -= len(text) + 16
		texts = append(texts, text)
	}
	return texts
}

// shownResource is the resource of an event: an ARN, or what AWS says in the
// place of one. What is neither is some other text that a client sent, and is
// cut short.
func shownResource(text string) string {
	if strings.HasPrefix(text, "arn:") && strings.Count(text, ":") >= 5 || len(text) <= maxFormless {
		return shown(text, maxText)
	}
	return shown(text, maxFormless)
}

// shownKeyID is an access key id as events and the log have it. A client may
// have sent something else in its place, such as the secret.
func shownKeyID(id string) string {
	word := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
	}
	isID := len(id) <= 32 && strings.TrimFunc(id, word) == ""
	if !isID {
		return fmt.Sprintf("[%d bytes that are no access key id]", len(id))
	}
	return shown(id, maxText)
}
