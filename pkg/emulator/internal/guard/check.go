package guard

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/internal/sigv4"
)

// checkTimeout is how long a backend may take to say who calls it. Some load a service
// when it is called for the first time.
const checkTimeout = 20 * time.Second

// Check refuses backends that [New] would.
func Check(forward map[string]Backend) error {
	_, err := open(forward, nil)
	return err
}

// CheckBackends asks each backend who calls it, and returns what is wrong with them:
// one that cannot be reached, that knows the account by another id, so that the ARNs in
// its answers are not those that policies are asked about, or that is this emulator.
// What a backend without STS answers says nothing.
func (g *Guard) CheckBackends(ctx context.Context) []error {
	all := *g.backends.Load()
	var mu sync.Mutex
	var wrong []error
	var checks sync.WaitGroup
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		b := all[name]
		if seen[b.String()] {
			continue
		}
		seen[b.String()] = true
		checks.Go(func() {
			if err := g.checkBackend(ctx, b); err != nil {
				mu.Lock()
				defer mu.Unlock()
				wrong = append(wrong, fmt.Errorf("%s, to which %s is forwarded: %w", b, name, err))
			}
		})
	}
	checks.Wait()
	order.By(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return wrong
}

func (g *Guard) checkBackend(ctx context.Context, b *backend) error {
	const form = "Action=GetCallerIdentity&Version=2011-06-15"
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url.String()+"/", strings.NewReader(form))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header[loopHeader] = []string{g.id}
	scope := sigv4.Scope{Region: "us-east-1", Service: "sts"}
	g.signer.Sign(r, g.key(g.account.ID), scope, sigv4.HashPayload([]byte(form)), g.account.Now())
	answer, err := b.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if slices.Contains(answer.Header.Values(loopHeader), g.id) {
		return fmt.Errorf("it is this emulator: calls would go round in circles")
	}
	var who struct {
		Account string `xml:"GetCallerIdentityResult>Account"`
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil || xml.Unmarshal(body, &who) != nil || who.Account == "" || who.Account == g.account.ID {
		return nil
	}
	return fmt.Errorf("it is of account %s, this emulator of account %s: ARNs in its answers are not those that policies are asked about",
		who.Account, g.account.ID)
}

// key is what signs the calls of an account to a backend.
func (g *Guard) key(account string) sigv4.Credentials {
	if g.config.Key.AccessKeyID != "" {
		return g.config.Key
	}
	return sigv4.Credentials{AccessKeyID: account, Secret: "test"}
}
