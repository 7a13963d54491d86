package emulator

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/kms"
	"github.com/openirsa/openirsa/pkg/emulator/internal/s3"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
)

// New makes an emulator and, if there is a state file, reads it.
func New(config Config) (*Server, error) {
	if err := config.complete(); err != nil {
		return nil, fmt.Errorf("configuring the emulator: %w", err)
	}
	s := &Server{
		config: config,
		account: &api.Account{
			ID:            config.Account,
			Partition:     config.Partition,
			DNSSuffix:     dnsSuffixes[config.Partition],
			CanonicalUser: api.CanonicalUser(config.Account),
			Now:           config.Now,
		},
	}
	s.account.Gate, s.account.Memory = gate{s}, &s.bodies
	s.s3 = s3.New(s.account, s3.Config{
		Hosts:      s3.Hosts{DNSSuffix: s.account.DNSSuffix, Bases: config.S3Hosts},
		MaxObject:  config.MaxObject,
		Principals: func(names []string) (map[string]string, string) { return s.iam.principalIDs(names) },
	})
	var err error
	if s.store, err = store.Open(config.State); err != nil {
		return nil, err
	}
	s.account.Store = s.store
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	return s, nil
}

// load makes the parts of the server from what the store has.
func (s *Server) load() error {
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
	if s.seal, err = newSealer(key); err != nil {
		return err
	}
	for _, service := range services {
		s.services = append(s.services, service(s.account))
	}
	others := []api.Service{elsewhereServices{s}, queryServices{s}, s.s3}
	for _, service := range slices.Concat(others, s.services) {
		s.here = append(s.here, service.Names()...)
	}
	s.services = append(s.services, others...)
	for _, service := range s.services {
		if err := service.Load(); err != nil {
			return err
		}
	}
	if err := s.s3.Sweep(); err != nil {
		return err
	}
	s.events.init(s.config.MaxEvents, s.config.MaxEventBytes)
	s.bodies.Max = maxBodies
	s.control = s.controlHandler()
	return nil
}

// services is the table of those services that are a package below internal each.
// One is added by its package and a line here.
var services = []func(*api.Account) api.Service{
	kms.New,
}

// ServeHTTP answers a request to any of the services, or to the emulator
// itself below /_openirsa/, unless the host is a bucket's. The services are
// asked one after the other: those of the JSON protocols are known by the header
// that names the operation; then those that are not here; then STS and IAM, by
// the parameters Action and Version, by the service that the signature names, or
// by the host; what is left is S3's.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w, done := api.Pace(w, r, s.store.Behind)
	defer done()
	w = sendContinue(w, r)
	if status := oversized(r); status != 0 {
		writeProblem(w, status, "the URL may have %d bytes, and the headers together %d", maxURL, maxHeaders)
		return
	}
	if s.isControl(r) {
		s.serveControl(w, r)
		return
	}
	s.guardPages(w.Header(), r.Host)
	defer s.enter()()
	c := api.NewCall(r, s.Now(), &s.bodies)
	defer c.End()
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
