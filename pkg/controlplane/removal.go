package controlplane

import (
	"context"
	"slices"

	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/plan"
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
// the API server, of 8 seconds each, and that minute if a pod carries such a
// token; opts.Immediately takes one restart and no minute: kubelet is restarted
// when the issuer is refused already, and pods that carry its tokens,
// kube-proxy among them, are refused until they read the new ones.
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
	if opts.URL.IsZero() { // nobody knows it: what was not there before
		for _, s := range servers {
			if s.former != nil {
				opts.Own = append(opts.Own, without(s.Flags.Issuers, s.former.Flags.Issuers)...)
			}
		}
	}
	var steps, remove, files []plan.Step
	for _, s := range servers {
		if s.former == nil {
			continue // not ours
		}
		before := s.Flags
		// Several API servers must agree on who issues, whatever the hurry.
		if !opts.Immediately || len(servers)+len(others) > 1 {
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
	case opts.Immediately && len(files) > 0: // and not remove, which is empty in a run after a crash
		remove = append(remove, c.lateRenewal(opts, servers[0].Flags.audiences()))
	case len(remove) > 0:
		steps = append(steps, c.renewal(opts, servers[0].Flags.audiences()))
	}
	if opts.Removal == Demotion {
		return steps, nil
	}
	return slices.Concat(steps, remove, files), nil
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
