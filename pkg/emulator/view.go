package emulator

import (
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// webIdentityView is the state of the account as far as it concerns web identity, for
// the page: providers with what was fetched of their issuers, roles with their
// policies, and the sessions that the events mention.
type webIdentityView struct {
	Account   string    `json:"account"`
	Accounts  []string  `json:"accounts,omitempty"` // if there are several
	Partition string    `json:"partition"`
	Time      time.Time `json:"time"`
	// Chains are those of service accounts, what is broken first; ChainsLeft is how many
	// more there are.
	Chains     []chainView `json:"chains"`
	ChainsLeft int         `json:"chainsLeft"`

	Providers []providerView `json:"providers"`
	Roles     []roleView     `json:"roles"`
	Sessions  []sessionView  `json:"sessions"`

	pods     map[chainKey]bool        // chains of associations
	clusters map[string]*providerView // their clusters, by ARN
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

	subjects []policy.Subject // that the trust policy names
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

func (s *Server) viewProvider(p *provider) providerView {
	c := providerView{ARN: p.ARN, URL: p.URL, ClientIDs: p.ClientIDs, Thumbprints: p.Thumbprints, Tags: p.Tags}
	if p.keys != nil {
		c.Fetched = new(s.Now().UTC()) // they came with it
		c.describe(p.keys)
		return c
	}
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
	c.describe(f.keys)
	return c
}

// describe says which keys there are, and which were left out.
func (c *providerView) describe(keys *keySet) {
	c.Problems = append(c.Problems, keys.left...)
	for kid, key := range keys.keys {
		c.Keys = append(c.Keys, keyView{kid, key.describe()})
	}
	order.By(c.Keys, func(a, b keyView) int { return strings.Compare(a.KID, b.KID) })
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
		subjects: subjectsOf(r.trust),
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
