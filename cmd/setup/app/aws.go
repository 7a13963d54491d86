package app

import (
	"context"
	"net/http"

	"github.com/openirsa/openirsa/pkg/account"
)

// connectAWS finds the account. With an endpoint, which is that of the emulator
// in the cluster, its root credentials are used; otherwise AWS's default chain
// decides about everything.
func (a *app) connectAWS(ctx context.Context, endpoint string, client *http.Client) (*account.Account, error) {
	return account.Connect(ctx, account.Options{Region: a.region, Profile: a.profile, Endpoint: endpoint, HTTPClient: client, Ask: a.ask})
}
