package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/account"
	lib "github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/plan"
)

// Where the API servers keep the issuer that they have, nothing of a cluster's
// nodes is changed. Nobody outside of the cluster could read the documents of such
// an issuer, https://kubernetes.default.svc.cluster.local mostly: the emulator in
// the cluster reads them from the API server.

// keepsIssuer reports whether the API servers are to keep their issuer: as the
// flag says, or else as it was decided the first time; on clusters whose nodes
// cannot be reached, unless somebody has given the API servers an issuer for this.
//
// The issuer that is kept is told too.
func (u *upRun) keepsIssuer(ctx context.Context) (keep bool, kept issuer.URL, err error) {
	if keep, err = u.wantsToKeep(ctx); keep && err == nil {
		kept, err = u.keptIssuer(ctx)
	}
	return keep && err == nil, kept, err
}

func (u *upRun) wantsToKeep(ctx context.Context) (bool, error) {
	recorded := u.state.KeepIssuer
	switch {
	case u.keepSet && u.keep && !u.emulator:
		return false, cli.Usagef("--keep-issuer needs --emulator: AWS cannot read the documents of an issuer in a cluster")
	case u.keepSet && u.keep && (u.bucket != "" || u.issuerURL != ""):
		return false, cli.Usagef("--keep-issuer excludes --bucket and --issuer-url: it keeps the issuer that the cluster has")
	case u.there && u.keepSet && u.keep != recorded:
		return false, &lib.ExistingError{Option: "KeepIssuer", Is: strconv.FormatBool(recorded)}
	case u.there:
		return recorded, nil
	case u.keepSet || !u.emulator:
		return u.keep, nil
	case u.bucket != "" || u.issuerURL != "" || len(u.c.Nodes()) > 0:
		return false, nil
	}
	public, err := u.documentFlags.issuer(ctx, emulatorAccount, cmp.Or(u.app.region, account.EmulatorRegion))
	if err != nil {
		return false, err
	}
	current, err := u.c.Issuer(ctx)
	return err == nil && current != public.String(), err
}

// keptIssuer is the issuer that the cluster has, if it can be that of a provider.
func (ch *chain) keptIssuer(ctx context.Context) (issuer.URL, error) {
	current, err := ch.c.Issuer(ctx)
	if err != nil {
		return issuer.URL{}, fmt.Errorf("%s: %w", plan.Issuer, err)
	}
	iss, err := issuer.Parse(current)
	if err != nil {
		return issuer.URL{}, &lib.KeepError{Issuer: current}
	}
	return iss, nil
}

// keeps reports whether the API servers of the chain keep their issuer.
func (ch *chain) keeps() bool { return ch.state.KeepIssuer }

// kept reads the documents where the emulator reads them.
func (ch *chain) kept(ctx context.Context, _ issuer.URL, path string) (string, []byte, error) {
	if path == issuer.DiscoveryPath {
		body, err := ch.c.Discovery(ctx)
		return "application/json", body, err
	}
	body, err := ch.c.JWKS(ctx)
	return "application/jwk-set+json", body, err
}

// emulatorParams are the emulator's as the chain has it.
func (ch *chain) emulatorParams() deploy.EmulatorParams {
	params := deploy.EmulatorParams{Image: ch.state.Image, ExtraArgs: []string{"--account=" + ch.state.Account}}
	if ch.keeps() {
		params.ClusterIssuer = ch.state.Issuer
	}
	if ch.c == nil {
		return params
	}
	if n, ok := ch.c.StateNode(); ok {
		params.Path, params.Node = cluster.StateDir, n.Name
	}
	return params
}
