package emulator

import (
	"crypto/ecdsa"
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// webIdentityView is the state of the account as far as it concerns web identity, for
// the page: providers with what was fetched of their issuers, roles with their
// policies, and the sessions that the events mention.
type webIdentityView struct {
	Account   string         `json:"account"`
	Partition string         `json:"partition"`
	Time      time.Time      `json:"time"`
	Providers []providerView `json:"providers"`
	Roles     []roleView     `json:"roles"`
	Sessions  []sessionView  `json:"sessions"`
}

type providerView struct {
	ARN         string     `json:"arn"`
	URL         string     `json:"url"`
	ClientIDs   []string   `json:"clientIds"`
	Thumbprints []string   `json:"thumbprints"`
	Tags        []wire.Tag `json:"tags"`
	// Fetched is when the keys were fetched last, null if they never were.
	Fetched *time.Time `json:"fetched"`
	// Document is the issuer's discovery document, with nothing but what such a
	// document has; null of what was fetched if that is another's, or none. The
	// key set is only described by Keys: by mistake it may hold private ones.
	Document json.RawMessage `json:"document,omitempty"`
	Keys     []keyView       `json:"keys"`
	// Problems are why there are no keys, or not all.
	Problems []string `json:"problems"`
	Fetches  []Fetch  `json:"fetches"`
}

type keyView struct {
	KID  string `json:"kid"`
	Type string `json:"type"` // such as "RSA 2048" and "P-256"
}

type roleView struct {
	ARN      string          `json:"arn"`
	Trust    json.RawMessage `json:"trust"`
	Warnings []string        `json:"warnings"`
	Attached []string        `json:"attached"`
	Inline   []policyView    `json:"inline"`
	Boundary string          `json:"boundary"`
	Used     *time.Time      `json:"used"`
}

type policyView struct {
	Name     string          `json:"name"`
	Document json.RawMessage `json:"document"`
}

type sessionView struct {
	IssuedSession
	Issued    time.Time `json:"issued"`
	Operation string    `json:"operation"`
	Subject   string    `json:"subject"`
}

// serveChain answers with the view of web identity.
func (s *Server) serveChain(w http.ResponseWriter, r *http.Request) {
	c := webIdentityView{
		Account:   s.config.Account,
		Partition: s.config.Partition,
		Time:      s.Now().UTC(),
		Providers: []providerView{},
		Roles:     []roleView{},
		Sessions:  []sessionView{},
	}
	s.iam.read(func() {
		for _, p := range s.iam.providers {
			c.Providers = append(c.Providers, s.viewProvider(p))
		}
		for _, r := range s.iam.roles {
			c.Roles = append(c.Roles, r.view())
		}
	})
	slices.SortFunc(c.Providers, func(a, b providerView) int { return strings.Compare(a.ARN, b.ARN) })
	slices.SortFunc(c.Roles, func(a, b roleView) int { return strings.Compare(a.ARN, b.ARN) })
	allowed, _, _ := s.events.find(EventFilter{Decision: Allow})
	for _, e := range slices.Backward(allowed) {
		if e.Session != nil && e.Session.Expires.After(c.Time) {
			c.Sessions = append(c.Sessions, sessionView{*e.Session, e.Time.UTC(), e.Operation, e.Subject})
		}
	}
	writeJSON(w, http.StatusOK, c)
}

func (s *Server) viewProvider(p *provider) providerView {
	c := providerView{ARN: p.ARN, URL: p.URL, ClientIDs: p.ClientIDs, Thumbprints: p.Thumbprints, Tags: p.Tags}
	e := s.issuers.entry(p)
	e.mu.Lock()
	f := e.latest
	e.mu.Unlock()
	if f == nil {
		return c
	}
	c.Fetched, c.Document, c.Fetches = new(f.at.UTC()), f.document, f.fetches
	if f.fault != nil {
		c.Problems = append(c.Problems, f.fault.why)
		return c
	}
	c.Problems = append(c.Problems, f.keys.left...)
	for kid, key := range f.keys.keys {
		c.Keys = append(c.Keys, keyView{kid, key.describe()})
	}
	slices.SortFunc(c.Keys, func(a, b keyView) int { return strings.Compare(a.KID, b.KID) })
	return c
}

func (k *issuerKey) describe() string {
	if k.rsa != nil {
		return fmt.Sprintf("RSA %d", k.rsa.N.BitLen())
	}
	return curveName(k.ecdsa)
}

func curveName(k *ecdsa.PublicKey) string { return k.Curve.Params().Name }

func (r *role) view() roleView {
	c := roleView{
		ARN:      shown(r.ARN, maxText),
		Trust:    shownDocument(r.Trust),
		Warnings: r.warnings,
		Attached: r.Attached,
		Boundary: r.Boundary,
	}
	for _, p := range r.Inline {
		c.Inline = append(c.Inline, policyView{shown(p.Name, maxText), shownDocument(p.Document)})
	}
	if used := r.used.Load(); used != nil {
		c.Used = new(used.at.UTC())
	}
	return c
}

// page is what people see at /_openirsa/. It has no parts from elsewhere, so
// it works without internet access.
//
//go:embed page
var pageFiles embed.FS

// servePage serves the page, and what belongs to it, under names that say what
// they are. Nothing but its own script may run in it.
func servePage(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Path)
	if name == "_openirsa" {
		name = "page.html"
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src "+
		"data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cache-Control", "no-cache")
	http.ServeFileFS(w, r, pageFiles, "page/"+name)
}
