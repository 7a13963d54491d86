package main

import (
	"cmp"
	"context"
	"strconv"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/account"
	lib "github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/issuer"
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
		kept, err = u.KeptIssuer(ctx)
	}
	return keep && err == nil, kept, err
}

func (u *upRun) wantsToKeep(ctx context.Context) (bool, error) {
	recorded := u.Record.KeepIssuer
	switch {
	case u.keepSet && u.keep && !u.emulator:
		return false, cli.Usagef("--keep-issuer needs --emulator: AWS cannot read the documents of an issuer in a cluster")
	case u.keepSet && u.keep && (u.bucket != "" || u.issuerURL != ""):
		return false, cli.Usagef("--keep-issuer excludes --bucket and --issuer-url: it keeps the issuer that the cluster has")
	case u.Installed && u.keepSet && u.keep != recorded:
		return false, &lib.ExistingError{Option: "KeepIssuer", Is: strconv.FormatBool(recorded)}
	case u.Installed:
		return recorded, nil
	case u.keepSet || !u.emulator:
		return u.keep, nil
	case u.bucket != "" || u.issuerURL != "" || len(u.Cluster.Nodes()) > 0:
		return false, nil
	}
	public, err := u.documentFlags.issuer(ctx, emulatorAccount, cmp.Or(u.app.region, account.EmulatorRegion))
	if err != nil {
		return false, err
	}
	current, err := u.Cluster.Issuer(ctx)
	return err == nil && current != public.String(), err
}
