package discovery

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/openirsa/openirsa/pkg/issuer"
)

// Handler serves the documents of any number of issuers over HTTP, from memory:
// a request costs two map lookups and allocates nothing. An issuer is found by the
// host and the path of the request, so a host of no issuer gets 404 for any path.
// The zero Handler serves none.
//
//	var h discovery.Handler
//	h.Update(map[issuer.URL][]discovery.Document{iss: docs})
//	http.ListenAndServe(addr, &h)
type Handler struct {
	// ForwardedHost takes the host from X-Forwarded-Host if the request has one,
	// the first of several. Only for a server that nobody but a proxy can reach; a
	// proxy that keeps the Host header does not need it.
	ForwardedHost bool

	mu     sync.Mutex // held by Update
	index  atomic.Pointer[index]
	counts [outcomes]atomic.Uint64
}

// index is everything that is served. It is replaced as a whole when issuers are
// added or removed.
type index struct {
	entries map[place]*entry
	hosts   map[string]int // how many issuers have the host, without port
}

// place is where an issuer is: its host, lower-case, and its path, unescaped and
// without a trailing slash. Two issuers that differ for AWS may have the same
// place; only one of them can be served.
type place struct{ host, path string }

// entry are the files of an issuer, replaced one by one.
type entry struct {
	jwks, discovery atomic.Pointer[file]
}

// file is a document with all of its header fields made.
type file struct {
	body                      []byte
	contentType, etag, length []string
}

// Header values common to all files. The slices are never changed: all responses
// share them.
var (
	cacheControl = []string{CacheControl}
	allow        = []string{"GET, HEAD"}
	contentTypes sync.Map // string to []string
)

func newFile(doc Document) *file {
	contentType, _ := contentTypes.LoadOrStore(doc.ContentType, []string{doc.ContentType})
	// The tag is strong (RFC 9110, section 8.8.1): equal tags, equal bytes.
	sum := sha256.Sum256(doc.Body)
	return &file{
		body:        doc.Body,
		contentType: contentType.([]string),
		etag:        []string{`"` + base64.RawURLEncoding.EncodeToString(sum[:18]) + `"`},
		length:      []string{strconv.Itoa(len(doc.Body))},
	}
}

// Update replaces the documents of the given issuers, and removes those whose
// documents are nil. Other issuers stay as they are. The handler keeps the bodies,
// which must not change. Requests in progress see either the old documents or the
// new.
//
// An update that adds or removes issuers copies the whole index, which takes some
// milliseconds for 100,000 issuers: add many at once.
func (h *Handler) Update(changes map[issuer.URL][]Document) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for iss, docs := range changes {
		if _, err := placeOf(iss); err != nil {
			return err
		}
		for _, doc := range docs {
			if doc.Path != issuer.JWKSPath && doc.Path != issuer.DiscoveryPath {
				return fmt.Errorf("serving issuer %q: a document at %q is not known", iss, doc.Path)
			}
		}
	}
	old := h.index.Load()
	if old == nil {
		old = &index{}
	}
	next := old
	own := func() {
		if next == old {
			next = &index{maps.Clone(old.entries), maps.Clone(old.hosts)}
		}
		if next.entries == nil {
			next.entries, next.hosts = make(map[place]*entry, len(changes)), map[string]int{}
		}
	}
	for iss, docs := range changes { // before those that may come to the same place
		at, _ := placeOf(iss)
		if docs == nil && next.entries[at] != nil {
			own()
			delete(next.entries, at)
			if next.hosts[at.hostname()]--; next.hosts[at.hostname()] == 0 {
				delete(next.hosts, at.hostname())
			}
		}
	}
	for iss, docs := range changes {
		if docs == nil {
			continue
		}
		at, _ := placeOf(iss)
		e := next.entries[at]
		if e == nil {
			own()
			e = &entry{}
			next.entries[at] = e
			next.hosts[at.hostname()]++
		}
		for _, doc := range docs { // in publication order
			e.file(doc.Path).Store(newFile(doc))
		}
	}
	if next != old {
		h.index.Store(next)
	}
	return nil
}

// Place is where a [Handler] serves an issuer: the host and the path of requests
// for it. Of two issuers at one place, such as one with a trailing slash and one
// without, only one can be served.
func Place(iss issuer.URL) string {
	at, err := placeOf(iss)
	if err != nil {
		return ""
	}
	return at.host + at.path
}

// placeOf is where requests look for the issuer.
func placeOf(iss issuer.URL) (place, error) {
	u, err := url.Parse(iss.String())
	if err != nil || iss.IsZero() {
		return place{}, fmt.Errorf("serving issuer %q: it is not one", iss)
	}
	return place{strings.ToLower(u.Host), strings.TrimSuffix(u.Path, "/")}, nil
}

func (p place) hostname() string { return (&url.URL{Host: p.host}).Hostname() }

func (e *entry) file(path string) *atomic.Pointer[file] {
	if path == issuer.JWKSPath {
		return &e.jwks
	}
	return &e.discovery
}

// Differs reports whether the documents differ from those being served.
func (h *Handler) Differs(iss issuer.URL, docs []Document) bool {
	at, err := placeOf(iss)
	index := h.index.Load()
	if err != nil || index == nil || index.entries[at] == nil {
		return true
	}
	for _, doc := range docs {
		if f := index.entries[at].file(doc.Path).Load(); f == nil || !bytes.Equal(f.body, doc.Body) {
			return true
		}
	}
	return false
}

// Len is the number of issuers being served.
func (h *Handler) Len() int {
	if index := h.index.Load(); index != nil {
		return len(index.entries)
	}
	return 0
}

// ServesHost reports whether a host, without port, is that of an issuer.
func (h *Handler) ServesHost(host string) bool {
	index := h.index.Load()
	return index != nil && index.hosts[host] > 0
}

// ServeHTTP answers GET and HEAD (RFC 9110), with a strong ETag and 304 for a
// reader that has the document, and [CacheControl].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, kind := h.find(r)
	header := w.Header()
	switch {
	case f == nil:
		h.count(kind, http.StatusNotFound)
		http.Error(w, "404 not found", http.StatusNotFound)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.count(kind, http.StatusMethodNotAllowed)
		header["Allow"] = allow
		http.Error(w, "405 method not allowed", http.StatusMethodNotAllowed)
		return
	}
	header["Cache-Control"] = cacheControl
	header["Etag"] = f.etag
	if matches(r.Header["If-None-Match"], f.etag[0]) {
		h.count(kind, http.StatusNotModified)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.count(kind, http.StatusOK)
	header["Content-Type"] = f.contentType
	header["Content-Length"] = f.length
	if r.Method == http.MethodGet {
		w.Write(f.body) // if it fails, the reader has left
	}
}

// find returns the file that a request is for, nil if there is none.
func (h *Handler) find(r *http.Request) (*file, int) {
	path, kind := r.URL.Path, kindOther
	if p, ok := strings.CutSuffix(path, issuer.JWKSPath); ok {
		path, kind = p, kindJWKS
	} else if p, ok := strings.CutSuffix(path, issuer.DiscoveryPath); ok {
		path, kind = p, kindDiscovery
	}
	index := h.index.Load()
	if kind == kindOther || index == nil {
		return nil, kindOther
	}
	host := r.Host
	if h.ForwardedHost {
		if v := r.Header["X-Forwarded-Host"]; len(v) > 0 {
			host, _, _ = strings.Cut(v[0], ",") // proxies append theirs
			host = strings.Trim(host, " \t")
		}
	}
	e := index.entries[place{host, path}]
	if e == nil {
		// Rare spellings of the host: capitals, and the default port.
		e = index.entries[place{canonicalHost(host), path}]
	}
	switch {
	case e == nil:
		return nil, kindOther
	case kind == kindJWKS:
		return e.jwks.Load(), kind
	default:
		return e.discovery.Load(), kind
	}
}

func canonicalHost(host string) string {
	host = strings.ToLower(host)
	if h, ok := strings.CutSuffix(host, ":443"); ok {
		return h
	}
	return strings.TrimSuffix(host, ":80") // of a proxy in front
}

// matches reports whether an If-None-Match field names the tag (RFC 9110,
// section 13.1.2: weak comparison, "*" is any).
func matches(field []string, etag string) bool {
	for _, list := range field {
		for list != "" {
			var tag string
			tag, list, _ = strings.Cut(list, ",") // no tag of ours has a comma
			tag = strings.TrimPrefix(strings.Trim(tag, " \t"), "W/")
			if tag == etag || tag == "*" {
				return true
			}
		}
	}
	return false
}

// Requests are counted by document and status.
const (
	kindOther = iota
	kindJWKS
	kindDiscovery
	kinds

	outcomes = kinds * 4
)

var (
	kindNames = [kinds]string{"none", "jwks", "discovery"}
	codes     = [4]int{http.StatusOK, http.StatusNotModified, http.StatusNotFound, http.StatusMethodNotAllowed}
)

func (h *Handler) count(kind, code int) {
	for i, c := range codes {
		if c == code {
			h.counts[kind*len(codes)+i].Add(1)
		}
	}
}

// Count is how many requests were for a Document ("jwks", "discovery", or
// "none" if there is no such document) and answered with the status Code.
type Count struct {
	Document string
	Code     int
	N        uint64
}

// Counts are the requests since the start, for every possible pair of document and
// code.
func (h *Handler) Counts() []Count {
	var all []Count
	for kind, name := range kindNames {
		for i, code := range codes {
			if (kind == kindOther) == (code == http.StatusNotFound) {
				all = append(all, Count{name, code, h.counts[kind*len(codes)+i].Load()})
			}
		}
	}
	return all
}
