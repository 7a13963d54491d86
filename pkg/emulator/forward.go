package emulator

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/guard"
	"github.com/openirsa/openirsa/pkg/policy"
)

// Backend is where calls of a service go that the emulator does not have: the URL of
// another server, http://HOST:PORT, or a handler in this process.
type Backend struct {
	URL     string
	Handler http.Handler
}

// ParseForward reads backends that are each given as SERVICE=URL. Names that no
// service has are refused, and so are STS and IAM, and services that are there twice.
func ParseForward(all []string) (map[string]Backend, error) {
	forward := make(map[string]Backend, len(all))
	for _, text := range all {
		name, to, found := strings.Cut(text, "=")
		if !found {
			return nil, fmt.Errorf("%.100q is not of the form SERVICE=URL", text)
		}
		if _, twice := forward[name]; twice {
			return nil, fmt.Errorf("%.40q is there twice", name)
		}
		forward[name] = Backend{URL: to}
	}
	return forward, guard.Check(backendsOf(forward))
}

// CheckForward asks each backend who calls it, and returns what is wrong with them:
// one that does not answer, that is of another account, or that is this emulator.
func (s *Server) CheckForward(ctx context.Context) []error { return s.guard.CheckBackends(ctx) }

// SetForward replaces the backends of [Config]. On error everything stays as it
// was. A service of the emulator itself is forwarded only if it was when the
// emulator was made.
func (s *Server) SetForward(forward map[string]Backend) error {
	return s.guard.SetForward(backendsOf(forward))
}

func backendsOf(forward map[string]Backend) map[string]guard.Backend {
	all := make(map[string]guard.Backend, len(forward))
	for name, to := range forward {
		all[name] = guard.Backend{URL: to.URL, Handler: to.Handler}
	}
	return all
}

// newGuard makes what forwards calls. Large bodies are kept in files beside the state,
// since a container may have no other place that can be written to.
func (s *Server) newGuard(own []string) (*guard.Guard, error) {
	config := guard.Config{
		Forward:     backendsOf(s.config.Forward),
		Key:         sigv4.Credentials{AccessKeyID: s.config.ForwardKeyID, Secret: s.config.ForwardSecret},
		Own:         own,
		IsBucket:    func(host string) bool { return s.bucketOf(host) != "" },
		OwnHost:     s.ownHost,
		Mentions:    s.mentions,
		KeyPolicy:   s.keyPolicy,
		KeyTags:     s.keyTags,
		ProfileRole: s.profileRole,
		Log:         s.config.Log,
	}
	if s.config.State != "" {
		config.Dir = filepath.Dir(s.config.State)
	}
	return guard.New(s.account, config)
}

// mentions reports whether a policy that applies to the caller of a call, or to a resource
// because of the account that it is in, names a condition key. The account need not be
// known yet.
func (s *Server) mentions(c *api.Call, key string) bool {
	s = s.of(&c.Caller)
	all := s.policiesOf(&c.Caller)
	s.limit(&all, &c.Caller, &policy.Request{})
	for account := range s.accounts {
		if m := s.membership(account); m != nil {
			all.ResourceControl = append(all.ResourceControl, m.ResourceControl...)
		}
	}
	return all.Mentions(key)
}
