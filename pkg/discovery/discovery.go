// Package discovery makes the two public documents of an issuer, as pure
// functions of its URL and its keys, and checks that a stranger can read them.
// [Documents] makes them, whoever serves them does so in their order, and [Check]
// reads them back.
package discovery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/exactjson"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
)

// CacheControl is sent with both documents: how long a reader may keep them, and
// so how long a rotation must wait between publishing a key and signing with it.
const (
	CacheControl = "public, max-age=300"
	MaxAge       = 5 * time.Minute
)

// Paths are the paths of the documents below the issuer, in the order in which
// they are published.
var Paths = []string{issuer.JWKSPath, issuer.DiscoveryPath}

// Document is a file to be published below an issuer.
type Document struct {
	// Path is relative to the issuer and begins with a slash.
	Path string
	// ContentType is the media type with which it is served.
	ContentType string
	Body        []byte
}

// Configuration is the discovery document (OpenID Connect Discovery 1.0,
// section 3), in the order of its fields.
type Configuration struct {
	Issuer                string   `json:"issuer"`
	JWKSURI               string   `json:"jwks_uri"`
	AuthorizationEndpoint string   `json:"authorization_endpoint,omitempty"`
	ResponseTypes         []string `json:"response_types_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	SigningAlgs           []string `json:"id_token_signing_alg_values_supported"`
	Claims                []string `json:"claims_supported,omitempty"`
}

// authorizationEndpoint is required by the specification; there is none, and
// this URN, which EKS publishes too, says so.
const authorizationEndpoint = "urn:kubernetes:programmatic_authorization"

// Documents makes the documents of an issuer with these keys, in the order in which
// they must be published: a discovery document must never point to a missing key
// set. The same arguments always give the same bytes. A set without keys is an
// error, since STS refuses it.
func Documents(iss issuer.URL, set keys.Set) ([]Document, error) {
	if iss.IsZero() {
		return nil, errors.New("making documents: there is no issuer")
	}
	if set.Len() == 0 {
		return nil, errors.New("making documents: there is no key")
	}
	config, err := json.Marshal(Configuration{
		Issuer:                iss.String(),
		JWKSURI:               iss.JWKS(),
		AuthorizationEndpoint: authorizationEndpoint,
		ResponseTypes:         []string{"id_token"},
		SubjectTypes:          []string{"public"},
		SigningAlgs:           set.Algorithms(),
		Claims:                []string{"sub", "iss"},
	})
	if err != nil {
		return nil, fmt.Errorf("making documents: %w", err)
	}
	return []Document{
		{Path: issuer.JWKSPath, ContentType: "application/jwk-set+json", Body: set.JWKS()},
		{Path: issuer.DiscoveryPath, ContentType: "application/json", Body: config},
	}, nil
}

// Get reads the document at a path below the issuer as an anonymous stranger. An
// error says what the stranger got instead.
type Get func(ctx context.Context, iss issuer.URL, path string) (contentType string, body []byte, err error)

// maxBytes bounds a document that is read back.
const maxBytes = 1 << 20

// HTTP reads documents at their public URL. Redirects are not followed: AWS
// does not say whether it follows them, so a published issuer must do without.
func HTTP(client *http.Client) Get {
	direct := *client
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return func(ctx context.Context, iss issuer.URL, path string) (string, []byte, error) {
		url := iss.At(path)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return "", nil, err
		}
		resp, err := direct.Do(req)
		if err != nil {
			return "", nil, err
		}
		defer resp.Body.Close()
		if location := resp.Header.Get("Location"); resp.StatusCode/100 == 3 {
			return "", nil, fmt.Errorf("GET %s: %s to %s: an issuer must answer itself", url, resp.Status, location)
		}
		if resp.StatusCode != http.StatusOK {
			return "", nil, fmt.Errorf("GET %s: %s", url, resp.Status)
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxBytes+1))
		if err != nil {
			return "", nil, fmt.Errorf("GET %s: %w", url, err)
		}
		if len(body) > maxBytes {
			return "", nil, fmt.Errorf("GET %s: the answer is larger than %d bytes", url, maxBytes)
		}
		return resp.Header.Get("Content-Type"), body, nil
	}
}

// Answers reports why nobody answers at the host of an issuer. It is nil for any
// answer: the documents may not be published yet.
func Answers(ctx context.Context, client *http.Client, iss issuer.URL) error {
	direct := *client
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, iss.Discovery(), nil)
	if err != nil {
		return err
	}
	resp, err := direct.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// CheckServed is Check for documents that somebody else made, such as a managed
// control plane, and that may look different from docs: they must name the issuer
// and hold all keys of docs, so that AWS verifies the same tokens with them.
func CheckServed(ctx context.Context, get Get, iss issuer.URL, docs []Document) error {
	config, served, err := Read(ctx, get, iss)
	if err != nil {
		return err
	}
	for _, doc := range docs {
		if doc.Path != issuer.JWKSPath {
			continue
		}
		set, err := keys.ParseJWKS(doc.Body)
		if err != nil {
			return err
		}
		for _, key := range set.All() {
			if same, ok := served.Lookup(key.KID); !ok || !same.Equal(key) {
				return fmt.Errorf("%s lacks the cluster's key %s", config.JWKSURI, key.KID)
			}
		}
	}
	return nil
}

// Check reads the documents back as a stranger and compares bytes and content
// type. The error names the first that differs.
func Check(ctx context.Context, get Get, iss issuer.URL, docs []Document) error {
	for _, doc := range docs {
		contentType, body, err := get(ctx, iss, doc.Path)
		if err != nil {
			return fmt.Errorf("reading %s back as a stranger: %w", iss.At(doc.Path), err)
		}
		if media, _, _ := strings.Cut(contentType, ";"); strings.TrimSpace(media) != doc.ContentType {
			return fmt.Errorf("%s is served as %q, expected %q", iss.At(doc.Path), contentType, doc.ContentType)
		}
		if !bytes.Equal(body, doc.Body) {
			return fmt.Errorf("%s is served with other content than was published (%d bytes, expected %d)",
				iss.At(doc.Path), len(body), len(doc.Body))
		}
	}
	return nil
}

// Read reads an issuer's documents as AWS does: discovery, then the key set to
// which it points, wherever that is. The error says what is wrong.
func Read(ctx context.Context, get Get, iss issuer.URL) (Configuration, keys.Set, error) {
	_, body, err := get(ctx, iss, issuer.DiscoveryPath)
	if err != nil {
		return Configuration{}, keys.Set{}, fmt.Errorf("reading the discovery document: %w", err)
	}
	config, err := ParseConfiguration(body)
	if err != nil {
		return Configuration{}, keys.Set{}, err
	}
	if config.Issuer != iss.String() {
		return Configuration{}, keys.Set{}, fmt.Errorf("the discovery document at %s says issuer %q, expected %q",
			iss.Discovery(), config.Issuer, iss)
	}
	base, path := iss, ""
	if p, ok := iss.Below(config.JWKSURI); ok {
		path = p
	} else {
		rest, secure := strings.CutPrefix(config.JWKSURI, "https://")
		host, file, _ := strings.Cut(rest, "/")
		if base, err = issuer.Parse("https://" + strings.TrimSuffix(host, ":443")); err != nil || !secure {
			return Configuration{}, keys.Set{}, fmt.Errorf("the discovery document at %s says jwks_uri %q, which is no https URL",
				iss.Discovery(), config.JWKSURI)
		}
		path = "/" + file
	}
	_, body, err = get(ctx, base, path)
	if err != nil {
		return Configuration{}, keys.Set{}, fmt.Errorf("reading the key set: %w", err)
	}
	set, err := keys.ParseJWKS(body)
	if err != nil {
		return Configuration{}, keys.Set{}, fmt.Errorf("%s: %w", config.JWKSURI, err)
	}
	return config, set, nil
}

// ParseConfiguration reads a discovery document by the exact names of its members,
// none of which may be repeated.
func ParseConfiguration(body []byte) (Configuration, error) {
	var config Configuration
	if len(body) > maxBytes {
		return Configuration{}, errors.New("reading a discovery document: it is too large")
	}
	o, err := exactjson.Parse(body)
	if err == nil {
		err = errors.Join(o.Decode("issuer", &config.Issuer), o.Decode("jwks_uri", &config.JWKSURI))
	}
	if err != nil {
		return Configuration{}, fmt.Errorf("reading a discovery document: %w", err)
	}
	// AWS reads no more than this; the rest is for people.
	o.Decode("authorization_endpoint", &config.AuthorizationEndpoint)
	o.Decode("response_types_supported", &config.ResponseTypes)
	o.Decode("subject_types_supported", &config.SubjectTypes)
	o.Decode("id_token_signing_alg_values_supported", &config.SigningAlgs)
	o.Decode("claims_supported", &config.Claims)
	if config.Issuer == "" {
		return Configuration{}, errors.New("reading a discovery document: it has no issuer")
	}
	return config, nil
}
