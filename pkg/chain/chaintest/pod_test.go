package chaintest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A pod is made again only where the API server could not call a webhook, and not for ever.
func TestAdmit(t *testing.T) {
	unreached := apierrors.NewInternalError(errors.New(`failed calling webhook "pod-identity.openirsa.dev": failed to call webhook: ` +
		`Post "https://webhook.openirsa-system.svc:443/mutate?timeout=5s": dial tcp 10.96.221.214:443: connect: connection refused`))
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))
	for name, c := range map[string]struct {
		refusals int
		refusal  error
		want     error
		calls    int
	}{
		"reached":        {0, nil, nil, 1},
		"a moment later": {2, unreached, nil, 3},
		"another error":  {9, forbidden, forbidden, 1},
		"never":          {1000, unreached, unreached, 11},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls, start := 0, time.Now()
				err := admit(t.Context(), func(context.Context) error {
					if calls++; calls <= c.refusals {
						return c.refusal
					}
					return nil
				})
				if took := time.Since(start); !errors.Is(err, c.want) || calls != c.calls || took > webhookWithin {
					t.Errorf("%v after %d calls and %s; want %v and %d", err, calls, took, c.want, c.calls)
				}
			})
		})
	}
}
