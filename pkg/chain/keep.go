package chain

import (
	"cmp"
	"context"
	"errors"
	"strconv"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/publish"
)

// Where the API servers keep the issuer that they have, nothing of a cluster's
// nodes is changed. Nobody outside of the cluster could read the documents of such
// an issuer, https://kubernetes.default.svc.cluster.local mostly: the emulator in
// the cluster reads them from the API server.

// keepsIssuer reports whether the API servers are to keep their issuer, and which one
// that is: as the option says, or else as it was decided the first time. The first
// time they keep it with an emulator on clusters whose nodes cannot be reached, unless
// somebody has given the API servers the issuer of the bucket already.
func (u *upRun) keepsIssuer(ctx context.Context) (keep bool, kept issuer.URL, err error) {
	if keep, err = u.wantsToKeep(ctx); keep && err == nil {
		kept, err = u.keptIssuer(ctx)
	}
	return keep && err == nil, kept, err
}

// wantsToKeep is keepsIssuer without a look at the issuer itself.
func (u *upRun) wantsToKeep(ctx context.Context) (bool, error) {
	recorded, wanted := u.Record.KeepIssuer, u.o.KeepIssuer != nil && *u.o.KeepIssuer
	switch {
	case wanted && !u.emulator:
		return false, &OptionError{Option: "KeepIssuer",
			Err: errors.New("keeping the issuer needs the emulator: AWS cannot read the documents of an issuer in a cluster")}
	case wanted && (u.o.Bucket != "" || u.o.IssuerURL != ""):
		return false, &OptionError{Option: "KeepIssuer",
			Err: errors.New("keeping the issuer excludes another bucket or issuer: the cluster keeps the one that it has")}
	case u.Installed && u.o.KeepIssuer != nil && wanted != recorded:
		return false, &ExistingError{Option: "KeepIssuer", Is: strconv.FormatBool(recorded)}
	case u.Installed:
		return recorded, nil
	case u.o.KeepIssuer != nil || !u.emulator:
		return wanted, nil
	case u.o.Bucket != "" || u.o.IssuerURL != "" || len(u.Cluster.Nodes()) > 0:
		return false, nil
	}
	bucket, prefix, err := u.o.InS3(u.o.Name, emulator.DefaultAccount)
	if err != nil {
		return false, err
	}
	public, err := publish.Issuer(ctx, bucket, prefix, cmp.Or(u.options.Account.Region, account.EmulatorRegion))
	if err != nil {
		return false, err
	}
	current, err := u.Cluster.Issuer(ctx)
	return err == nil && current != public.String(), err
}
