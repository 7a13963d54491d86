package controlplane

import (
	"context"
	"slices"
	"time"

	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/token"
)

// RemoveIssuer gives the API servers their previous flags, and removes every
// file that this package left on the nodes. Nothing is done to an API server
// that SetIssuer has not changed, such as that of a kind cluster which was
// created with the issuer.
//
// Running pods notice nothing: first the previous issuer signs again while
// tokens of opts.URL are still accepted; then kubelet is restarted on the
// nodes whose pods carry such tokens, which renews them; only when none is
// left, and clients had the minute that client-go takes to read its token
// file again, is the issuer refused. With one node this takes two restarts of
// the API server, of 8 seconds each, and that minute. Where no pod uses such a
// token ([ControlPlane.Unused]) it takes one restart and no minute: a pod that
// gets a token right before it is refused until kubelet, which is restarted then,
// has renewed that. opts.Immediately takes one restart and no minute anyway: pods
// that carry tokens of the issuer, kube-proxy among them, are refused until they
// read the new ones.
//
// Kubelet on nodes that cannot be reached renews the tokens in its own time: a
// step then waits for it, or is a [*TokensError] if that takes longer than
// opts.Wait. If an API server that cannot be reached still signs with opts.URL,
// it is an [*OthersError]. In both cases the API servers that can be reached sign
// with the previous issuer by then, and RemoveIssuer can continue later.
//
// A zero opts.URL means every issuer that an API server has more than before it
// was first changed.
func (c *ControlPlane) RemoveIssuer(ctx context.Context, opts IssuerOptions) ([]plan.Step, error) {
	servers, err := c.readAPIServers(ctx)
	if err != nil {
		return nil, err
	}
	others, err := c.unreached(ctx)
	if err != nil {
		return nil, err
	}
	if opts, err = c.resolve(ctx, servers, opts); err != nil {
		return nil, err
	}
	unused := false
	if opts.Removal == WholeRemoval && !opts.Immediately {
		if unused, err = c.unused(ctx, servers, opts); err != nil {
			return nil, err
		}
	}
	var steps, remove, files []plan.Step
	for _, s := range servers {
		if s.former == nil {
			continue // not ours
		}
		before := s.Flags
		// Several API servers must agree on who issues, whatever the hurry.
		if !opts.Immediately && !unused || len(servers)+len(others) > 1 {
			if step := s.demotion(opts); step.Do != nil {
				steps = append(steps, step)
				before = demoted(s, opts)
			}
		}
		if want := s.formerFlags(opts); !want.equal(before) || s.unproven || !s.running {
			remove = append(remove, after(func(ctx context.Context) error { return c.othersDemoted(ctx, opts) }, plan.Step{
				Link: plan.Issuer, Action: plan.Update,
				Summary: "API server on node " + s.Name,
				Diff:    plan.DiffLines(before.lines(), want.lines()),
				Do: func(ctx context.Context) error {
					return replaceManifest(ctx, s.Node, apiServerPod, opts.wait(), func(now *podOnNode) ([]byte, error) {
						return now.formerText(opts)
					})
				},
			}))
		}
		files = append(files, plan.Step{
			Link: plan.Issuer, Action: plan.Delete,
			Summary: "manifest backup on node " + s.Name,
			Do:      func(ctx context.Context) error { return s.Remove(ctx, nodeDir, tempFile) },
		})
	}
	switch {
	case opts.Removal == Refusal:
		return append(remove, files...), nil
	case len(files) > 0 && (opts.Immediately || unused || len(remove) == 0): // which is empty in a run after a crash
		remove = append(remove, c.lateRenewal(opts, servers[0].formerFlags(opts).Issuers, servers[0].Flags.audiences()))
	case len(remove) > 0:
		steps = append(steps, c.renewal(opts, servers[0].Flags.audiences()))
	}
	if opts.Removal == Demotion {
		return steps, nil
	}
	return slices.Concat(steps, remove, files), nil
}

// resolve returns the options with all issuers that are to be removed, which without a
// URL are those that the API servers have more than before, and since when there may be
// tokens of theirs.
func (c *ControlPlane) resolve(ctx context.Context, servers []*podOnNode, o IssuerOptions) (IssuerOptions, error) {
	o.Own = slices.Clone(o.Own)
	for _, s := range servers {
		if s.former == nil {
			continue
		}
		if o.URL.IsZero() {
			o.Own = append(o.Own, without(s.Flags.Issuers, s.former.Flags.Issuers)...)
		}
		first, err := s.Modified(ctx, formerFile)
		if err != nil {
			return o, err
		}
		if o.since.IsZero() || first.Before(o.since) {
			o.since = first
		}
	}
	if !c.whole { // others may have been the first
		o.since = time.Time{}
	}
	return o, nil
}

// Unused reports whether [ControlPlane.RemoveIssuer] needs one restart alone: there is
// one API server, no pod has a token for it from an issuer that is to be removed, and
// none has had one in the last minute, as far as the tokens tell that pods have instead:
// none was issued in that minute and since the API server was first changed. It is false
// where nodes cannot be reached. Pods of opts.Leaving do not count.
func (c *ControlPlane) Unused(ctx context.Context, opts IssuerOptions) (bool, error) {
	if !c.whole || len(c.nodes) == 0 {
		return false, nil
	}
	servers, err := c.readAPIServers(ctx)
	if err != nil {
		return false, err
	}
	if opts, err = c.resolve(ctx, servers, opts); err != nil {
		return false, err
	}
	return c.unused(ctx, servers, opts)
}

func (c *ControlPlane) unused(ctx context.Context, servers []*podOnNode, opts IssuerOptions) (bool, error) {
	if !c.whole || len(servers) != 1 || servers[0].former == nil {
		return false, nil
	}
	ours, newest, err := c.carrying(ctx, opts, servers[0].Flags.audiences())
	return err == nil && len(ours) == 0 && time.Since(newest) >= token.ClientReload, err
}

// demotion has the previous issuer sign again. The step has no Do if it does.
func (s *podOnNode) demotion(opts IssuerOptions) plan.Step {
	want := demoted(s, opts)
	if want.equal(s.Flags) {
		return plan.Step{}
	}
	return plan.Step{
		Link: plan.Issuer, Action: plan.Update,
		Summary: "API server on node " + s.Name + ": sign with the previous issuer",
		Diff:    plan.DiffLines(s.Flags.lines(), want.lines()),
		Do: func(ctx context.Context) error {
			return replaceManifest(ctx, s.Node, apiServerPod, opts.wait(), func(now *podOnNode) ([]byte, error) {
				return now.With(demoted(now, opts))
			})
		},
	}
}

// demoted are the flags with which the previous issuer signs and ours is still
// accepted.
func demoted(s *podOnNode, opts IssuerOptions) Flags {
	want := s.Flags
	former := s.formerFlags(opts)
	if len(want.Issuers) == 0 || slices.Contains(former.Issuers, want.Issuers[0]) || s.former == nil {
		return want
	}
	ours := without(want.Issuers, former.Issuers)
	want.Issuers = append(slices.Clone(former.Issuers), ours...)
	want.JWKSURI = former.JWKSURI
	return want
}

// without are the values of a list that are not in the other one.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}

// formerFlags are the flags without what we added. What others have changed
// since stays.
func (s *podOnNode) formerFlags(opts IssuerOptions) Flags {
	want := s.Flags
	if s.former == nil {
		return want
	}
	former := s.former.Flags
	want.Issuers = slices.DeleteFunc(slices.Clone(want.Issuers), func(iss string) bool {
		return opts.owns(iss) && !slices.Contains(former.Issuers, iss)
	})
	if len(want.Issuers) == 0 {
		want.Issuers = former.Issuers
	}
	isOurs := func(jwks string) bool {
		return jwks == opts.URL.JWKS() || slices.ContainsFunc(opts.Own, func(iss string) bool {
			u, err := issuer.Parse(iss)
			return err == nil && jwks == u.JWKS()
		})
	}
	if isOurs(want.JWKSURI) {
		want.JWKSURI = former.JWKSURI
	}
	if former.APIAudiences == nil && slices.Equal(want.APIAudiences, former.Issuers) {
		want.APIAudiences = nil
	}
	return want
}

// formerText is the manifest with the previous flags: byte for byte the one
// before our first change, unless something else in it has changed since.
func (s *podOnNode) formerText(opts IssuerOptions) ([]byte, error) {
	want := s.formerFlags(opts)
	if s.former == nil || want.equal(s.Flags) {
		return s.text, nil
	}
	same, err := s.sameBut(s.former)
	if err != nil {
		return nil, err
	}
	if same && want.equal(s.former.Flags) {
		return s.former.text, nil
	}
	return s.With(want)
}
