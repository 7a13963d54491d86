package cluster

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"github.com/openirsa/openirsa/internal/wait"
)

// retryFor is how long a request is tried again while the API server restarts.
const retryFor = 30 * time.Second

// Retry repeats a request for as long as the API server is away, which it is
// for some seconds after its flags have changed. Every request of this package
// can be made twice.
func Retry[T any](ctx context.Context, request func() (T, error)) (T, error) {
	deadline := time.Now().Add(retryFor)
	wasAway := false
	var between wait.Looks
	for {
		v, err := request()
		// An API server that has just come back knows no roles yet.
		again := away(err) || wasAway && apierrors.IsForbidden(err)
		if err == nil || !again || context.Cause(ctx) != nil || time.Now().After(deadline) {
			return v, err
		}
		wasAway = true
		if err := between.Wait(ctx); err != nil {
			var none T
			return none, err
		}
	}
}

// away reports whether an error comes from an API server that is about to
// stop, not there, or not ready.
func away(err error) bool {
	if status, ok := errors.AsType[*apierrors.StatusError](err); ok {
		switch status.ErrStatus.Code {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		case http.StatusInternalServerError:
			return apierrors.IsInternalError(err) && strings.Contains(err.Error(), "etcdserver")
		}
		return false
	}
	return utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) ||
		utilnet.IsProbableEOF(err) || utilnet.IsHTTP2ConnectionLost(err)
}
