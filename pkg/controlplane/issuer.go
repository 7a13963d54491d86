package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/plan"
)

// SetIssuer has the API servers issue tokens as opts.URL, and still accept tokens
// of every previous issuer. With several control-plane nodes all learn to accept
// the new issuer before the first one uses it. One node is changed at a time; one
// that does not come up with the new flags gets its previous manifest back (an
// [*APIServerError]). As long as an API server on a node that cannot be reached
// does not accept the issuer, none begins to use it (an [*OthersError], from a
// step).
//
// An API server that issues under another public URL is an
// [*OtherIssuerError]; no node changes. Where no node can be reached, somebody
// else must have set the issuer, or else the error is a [*PendingError].
func (c *ControlPlane) SetIssuer(ctx context.Context, opts IssuerOptions) ([]plan.Step, error) {
	if len(node.ControlPlanes(c.nodes)) == 0 {
		return nil, c.issuerSetElsewhere(ctx, opts)
	}
	servers, err := c.readAPIServers(ctx)
	if err != nil {
		return nil, err
	}
	others, err := c.unreached(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]NodeFlags, 0, len(servers)+len(others))
	for _, s := range servers {
		all = append(all, NodeFlags{s.Name, s.Flags})
	}
	for _, o := range others {
		all = append(all, o.NodeFlags)
	}
	if err := otherIssuer(all, opts); err != nil {
		return nil, err
	}
	accept := func(have Flags) Flags { return have.AlsoAccepting(opts.URL) }
	sign := func(have Flags) Flags { return have.SignedBy(opts.URL) }
	var steps []plan.Step
	later := make(map[*podOnNode]Flags) // what a node will have after the steps so far
	for _, s := range servers {
		later[s] = s.Flags
		if (len(all) > 1 || opts.AcceptOnly) && !s.has(sign(s.Flags)) && !s.has(accept(s.Flags)) {
			steps = append(steps, s.step("API server on node "+s.Name+": accept the issuer", s.Flags, accept, opts.wait()))
			later[s] = accept(s.Flags)
		}
	}
	if opts.AcceptOnly {
		return steps, nil
	}
	for _, s := range servers {
		if !s.has(sign(s.Flags)) {
			steps = append(steps, after(func(ctx context.Context) error { return c.OthersAccept(ctx, opts.URL) },
				s.step("API server on node "+s.Name, later[s], sign, opts.wait())))
		}
	}
	return steps, nil
}

// DropIssuer has the API servers refuse tokens of opts.URL, which must sign
// none. Tokens of any audience are accepted as before.
func (c *ControlPlane) DropIssuer(ctx context.Context, opts IssuerOptions) ([]plan.Step, error) {
	servers, err := c.readAPIServers(ctx)
	if err != nil {
		return nil, err
	}
	drop := func(have Flags) Flags {
		if !slices.Contains(have.Issuers, opts.URL.String()) {
			return have
		}
		want := have
		want.APIAudiences = have.audiences()
		want.Issuers = slices.DeleteFunc(slices.Clone(have.Issuers), func(iss string) bool { return iss == opts.URL.String() })
		return want
	}
	var steps []plan.Step
	for _, s := range servers {
		if len(s.Flags.Issuers) > 0 && s.Flags.Issuers[0] == opts.URL.String() {
			return nil, fmt.Errorf("the API server on node %s still issues tokens as %s", s.Name, opts.URL)
		}
		if !slices.Contains(s.Flags.Issuers, opts.URL.String()) && s.has(s.Flags) {
			continue
		}
		steps = append(steps, s.step("API server on node "+s.Name+": refuse the issuer", s.Flags, drop, opts.wait()))
	}
	return steps, nil
}

// PendingError are API servers of a cluster whose nodes cannot be reached, which
// somebody else has to give the issuer. It wraps [cluster.ErrNoNodeAccess].
type PendingError struct {
	Issuer string
	Nodes  []string // "" where the cluster does not show its API servers
}

func (e *PendingError) Error() string {
	where := ""
	if nodes := strings.Join(e.Nodes, ", "); nodes != "" {
		where = " on node " + nodes
	}
	return fmt.Sprintf("%v, and the API server%s does not issue tokens as %s yet", cluster.ErrNoNodeAccess, where, e.Issuer)
}

func (e *PendingError) Unwrap() error { return cluster.ErrNoNodeAccess }

// issuerSetElsewhere is nil if all API servers issue as opts.URL.
func (c *ControlPlane) issuerSetElsewhere(ctx context.Context, opts IssuerOptions) error {
	servers, err := c.shown(ctx)
	if err != nil {
		return err
	}
	if err := otherIssuer(servers, opts); err != nil {
		return err
	}
	e := &PendingError{Issuer: opts.URL.String()}
	for _, s := range servers {
		if len(s.Issuers) == 0 || s.Issuers[0] != e.Issuer {
			e.Nodes = append(e.Nodes, s.Node)
		}
	}
	if e.Nodes == nil {
		return nil
	}
	return e
}
