package emulator

import (
	"embed"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/order"
)

// serveChain answers with the view of web identity.
func (s *Server) serveChain(w http.ResponseWriter, r *http.Request) {
	c := webIdentityView{
		Account:   s.config.Account,
		Accounts:  s.config.Accounts,
		Partition: s.config.Partition,
		Time:      s.Now().UTC(),
		Providers: []providerView{},
		Roles:     []roleView{},
		Sessions:  []sessionView{},
	}
	for _, account := range s.accounts {
		account.iam.read(func() {
			for _, p := range account.iam.providers {
				c.Providers = append(c.Providers, s.viewProvider(p))
			}
			for _, r := range account.iam.roles {
				c.Roles = append(c.Roles, r.view())
			}
		})
	}
	order.By(c.Providers, func(a, b providerView) int { return strings.Compare(a.ARN, b.ARN) })
	order.By(c.Roles, func(a, b roleView) int { return strings.Compare(a.ARN, b.ARN) })
	s.podChains(&c)
	entries, _, _ := s.events.find(EventFilter{})
	c.Chains, c.ChainsLeft = s.chains(&c, entries)
	for _, e := range slices.Backward(entries) {
		if e.Session != nil && e.Session.Expires.After(c.Time) {
			c.Sessions = append(c.Sessions, sessionView{*e.Session, e.Time.UTC(), e.Operation, e.Subject})
		}
	}
	writeJSON(w, http.StatusOK, c)
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
