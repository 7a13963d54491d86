package controlplane

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/openirsa/openirsa/pkg/issuer"
)

// IssuerOptions say how to change the API servers' issuer.
type IssuerOptions struct {
	// URL is the issuer that tokens shall have, or no longer have.
	URL issuer.URL
	// Own are further issuers that this project set earlier and may replace
	// or remove, such as those in the record of the installation.
	Own []string
	// AcceptOnly has the API servers accept tokens of URL, and still issue
	// them as before.
	AcceptOnly bool
	// Wait is how long one API server may take to come up with new flags, and
	// how long pods' tokens may take to be renewed; 0 is [DefaultWait].
	Wait time.Duration
	// Immediately removes an issuer before the tokens that pods still carry
	// from it are renewed: their calls to the API server fail until kubelet has
	// given them new ones, and they have read these. That takes a minute or two,
	// and up to an hour on nodes that cannot be reached.
	Immediately bool
	// Leaving, if set, is a namespace whose pods are gone before the issuer is, so
	// that nobody waits for their tokens.
	Leaving string
	// Removal is the part of a removal that is to be done now.
	Removal RemovalPart

	since time.Time // no token of the issuers to be removed is older
}

// RemovalPart is a part of [ControlPlane.RemoveIssuer].
type RemovalPart int

// The whole of a removal, or one of the two halves between which the issuer's
// documents can go.
const (
	WholeRemoval RemovalPart = iota
	// Demotion has the previous issuer sign again, and waits until no pod uses a
	// token of the issuer any more.
	Demotion
	// Refusal has the API servers refuse the issuer, and removes what is left on the
	// nodes. The demotion must have been done.
	Refusal
)

func (o IssuerOptions) wait() time.Duration { return cmp.Or(o.Wait, DefaultWait) }

func (o IssuerOptions) owns(iss string) bool {
	return iss == o.URL.String() || slices.Contains(o.Own, iss)
}

// OtherIssuerError is an API server whose tokens are already issued under a
// public URL that is not ours. Whoever uses it relies on it.
type OtherIssuerError struct {
	Node   string // "" if it is not known
	Issuer string
}

func (e *OtherIssuerError) Error() string {
	where := ""
	if e.Node != "" {
		where = " on node " + e.Node
	}
	return fmt.Sprintf("the API server%s already has the public issuer %s", where, e.Issuer)
}

// otherIssuer is an [*OtherIssuerError] if an API server issues under a public
// URL that is not ours.
func otherIssuer(servers []NodeFlags, opts IssuerOptions) error {
	for _, s := range servers {
		if len(s.Issuers) > 0 && public(s.Issuers[0]) && !opts.owns(s.Issuers[0]) {
			return &OtherIssuerError{Node: s.Node, Issuer: s.Issuers[0]}
		}
	}
	return nil
}
