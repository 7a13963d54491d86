package emulator

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/eks"
	"github.com/openirsa/openirsa/pkg/emulator/internal/kms"
	"github.com/openirsa/openirsa/pkg/emulator/internal/organizations"
	"github.com/openirsa/openirsa/pkg/emulator/internal/s3"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
)

// New makes an emulator and, if there is a state file, reads it.
func New(config Config) (*Server, error) {
	if err := config.complete(); err != nil {
		return nil, fmt.Errorf("configuring the emulator: %w", err)
	}
	s := newAccounts(config)
	s.s3 = s3.New(s.account, s3.Config{
		Hosts:      s3.Hosts{DNSSuffix: s.account.DNSSuffix, Bases: config.S3Hosts},
		MaxObject:  config.MaxObject,
		Principals: s.principalIDs,
		Own:        func(account string) bool { return s.accounts[account] != nil },
		Together:   s.together,
	})
	s.eks = eks.New(s.account, eks.Config{MaxAssociations: config.MaxPodIdentityAssociations, Issuer: s.clusterTokens, Gone: s.clusterGone})
	var err error
	if s.store, err = store.Open(config.State); err != nil {
		return nil, err
	}
	for _, account := range s.accounts {
		account.account.Store = s.store
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	return s, nil
}

// load makes the parts of the server from what the store has.
func (s *Server) load() error {
	if err := s.loadKeys(); err != nil {
		return err
	}
	if err := s.chooseServices(); err != nil {
		return err
	}
	if err := s.loadServices(); err != nil {
		return err
	}
	if err := s.s3.Sweep(); err != nil {
		return err
	}
	if n := s.s3.Buckets(); n > 0 && s.s3.Forwards() {
		s.config.Log.Warn("S3 is forwarded, so the buckets in the state file cannot be reached: tokens of an issuer whose documents "+
			"are in one are refused until the documents are published again, to the backend", "buckets", n)
	}
	if err := s.facts.load(s.store, s.config.State != "", reference{}); err != nil {
		return err
	}
	s.events.init(s.config.MaxEvents, s.config.MaxEventBytes)
	s.metrics.init(s)
	s.bodies.Max = maxBodies
	s.control = s.controlHandler()
	return nil
}

// loadKeys reads what the store has once, or makes it: whose the file is, and the
// key of session tokens.
func (s *Server) loadKeys() error {
	account, err := s.store.Once("account", func() []byte { return []byte(s.config.Account) })
	if err != nil {
		return err
	}
	if string(account) != s.config.Account {
		return fmt.Errorf("reading state file %q: it is of account %s, not of %s", s.config.State, account, s.config.Account)
	}
	key, err := s.store.Once("session-key", newSealKey)
	if err != nil {
		return err
	}
	s.seal, err = newSealer(key)
	return err
}

// chooseServices makes the services in the order in which they are asked for their
// requests: those that are forwarded, those of the table that are not, those that are
// not here, and the rest.
func (s *Server) chooseServices() error {
	others := []api.Service{elsewhereServices{s}, queryServices{s}, s.s3}
	var own []api.Service
	var names []string
	for _, make := range services {
		service := make(s.account)
		if o, ok := service.(api.Organizations); ok {
			s.organizations = o
		}
		own = append(own, service)
	}
	own = append(own, s.eks, s.podIdentity())
	for _, service := range slices.Concat(others, own) {
		names = append(names, service.Names()...)
	}
	var err error
	if s.guard, err = s.newGuard(names); err != nil {
		return err
	}
	if s.guard.Forwards("s3") {
		s.s3.Forward(s.guard.S3())
	}
	own = slices.DeleteFunc(own, func(service api.Service) bool { return slices.ContainsFunc(service.Names(), s.guard.Forwards) })
	s.services = slices.Concat([]api.Service{s.guard}, own, others)
	for _, service := range slices.Concat(others, own) {
		s.here = append(s.here, service.Names()...)
	}
	return nil
}

// services is the table of those services that are a package below internal each.
// One is added by its package and a line here.
var services = []func(*api.Account) api.Service{
	kms.New,
	organizations.New,
}

// ServeHTTP answers a request to any of the services, or to the emulator
// itself below /_openirsa/, unless the host is a bucket's. The services are
// asked one after the other: first those that are forwarded; then those of the table,
// known by the header that names the operation; then those that are not here; then STS
// and IAM, by the parameters Action and Version, by the service that the signature
// names, or by the host; what is left is S3's.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	paced, done := api.Pace(w, r, s.store.Behind)
	defer done()
	w = sendContinue(paced, r)
	if status := oversized(r); status != 0 {
		writeProblem(w, status, "the URL may have %d bytes, and the headers together %d", maxURL, maxHeaders)
		return
	}
	if s.isControl(r) {
		s.serveControl(w, r)
		return
	}
	s.guardPages(w.Header(), r.Host)
	hold := &stay{s: s}
	hold.enter()
	defer hold.leave()
	if isOutbound(r.Host) {
		s.serveOutbound(w, r)
		return
	}
	c := api.NewCall(r, s.Now(), &s.bodies)
	c.Leave, c.Enter = hold.leave, func() { c.Left = hold.enter() || c.Left }
	defer c.End()
	defer s.called(c, paced, time.Now())
	for _, service := range s.services {
		if answer := service.Take(c); answer != nil {
			answer(w)
			break
		}
	}
	if c.Dropped {
		panic(http.ErrAbortHandler) // the way to have net/http cut the connection
	}
}

// isControl reports whether a request is for the emulator itself.
func (s *Server) isControl(r *http.Request) bool {
	rest, found := strings.CutPrefix(r.URL.Path, "/_openirsa")
	return found && (rest == "" || rest[0] == '/') && s.bucketOf(r.Host) == ""
}
