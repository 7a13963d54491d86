// Package guard lets calls of services that the emulator does not have through to
// a backend, if the caller is who it says it is and may do what it asks for: the
// signature is verified and policies are asked here, as AWS would, and the
// backend, another emulator as a rule, does the work. A call that is denied never
// reaches it.
//
//	g, err := guard.New(account, guard.Config{Forward: map[string]guard.Backend{"dynamodb": {URL: "http://127.0.0.1:8000"}}})
//
// A call takes four steps: recognise what it is for, read its input, ask, forward.
// What the caller may do is decided by the tree that package input makes of the
// bytes; the backend reads the bytes. Whatever the two may read differently is
// refused rather than guessed.
package guard

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
)

// Config says where calls go.
type Config struct {
	// Forward are the backends, by the name in signatures, the prefix of actions or
	// the name of the model, such as "states" or "stepfunctions"; [All] is the rest.
	Forward map[string]Backend
	// Key signs what is forwarded. The zero Key is the id of the account that has the
	// resources of the call, which is the caller's as a rule, with the secret "test": by
	// it most emulators of AWS choose the account.
	Key sigv4.Credentials
	// Own are the services that the emulator has, as signatures name them.
	Own []string
	// IsBucket reports whether a host is one of a bucket.
	IsBucket func(host string) bool
	// OwnHost reports whether a host is a name or an address of the emulator.
	OwnHost func(host string) bool
	// Mentions reports whether a policy of the caller, or of the account of some resource,
	// names a condition key, as World of package question has it.
	Mentions func(c *api.Call, key string) bool
	// KeyPolicy is the policy of a key of the emulator's own KMS, and whether there is one.
	KeyPolicy func(arn string) (document string, found bool)
	// KeyTags are the tags of a key of the emulator's own KMS.
	KeyTags func(arn string) map[string]string
	// ProfileRole is the ARN of the role in an instance profile of an account, by the name
	// or the ARN of the profile, and whether there is such a profile; "" if no role is in it.
	ProfileRole func(account, profile string) (role string, found bool)
	// Log gets what is worth a line only once. It is not nil.
	Log *slog.Logger
	// Dir is a directory for large bodies; "" is the system's for temporary files.
	Dir string
}

// Guard is an [api.Service] of all services that have a backend.
type Guard struct {
	account *api.Account
	config  Config
	// own are services whose calls are not taken here, and away those of the emulator
	// that are forwarded. S3 is in both: it decides about its calls itself.
	own, away []string
	backends  atomic.Pointer[backends]
	id        string // of this guard, by which it knows its own calls
	shared    *http.Transport
	spool     spool
	memory    memory
	signer    sigv4.Signer
	said      sync.Map // what was logged once
}

// say logs a line that was not logged before, by a name for it.
func (g *Guard) say(name, line string) {
	if _, before := g.said.LoadOrStore(name, true); !before {
		g.config.Log.Warn(line)
	}
}

// New makes a guard.
func New(account *api.Account, config Config) (*Guard, error) {
	g := &Guard{account: account, config: config, id: rand.Text(), shared: newTransport()}
	g.spool.dir = config.Dir
	if (config.Key.AccessKeyID == "") != (config.Key.Secret == "") {
		return nil, fmt.Errorf("of the forwarding key only one half is set")
	}
	g.memory.init()
	if err := g.SetForward(config.Forward); err != nil {
		return nil, err
	}
	// What is forwarded by name when the emulator starts is not the emulator's.
	for _, name := range config.Own {
		forwarded := (*g.backends.Load())[name] != nil
		if forwarded {
			g.away = append(g.away, name)
		}
		if !forwarded || name == "s3" {
			g.own = append(g.own, name)
		}
	}
	return g, nil
}

// SetForward replaces the backends. What calls that are under way have found does
// not change.
func (g *Guard) SetForward(forward map[string]Backend) error {
	opened, err := open(forward, g.shared)
	if err != nil {
		return err
	}
	g.backends.Store(&opened)
	return nil
}

// Forwards reports whether a service of the emulator is forwarded by its name.
func (g *Guard) Forwards(service string) bool { return slices.Contains(g.away, service) }

// Close closes idle connections to backends.
func (g *Guard) Close() { g.shared.CloseIdleConnections() }

// Names implements [api.Service].
func (g *Guard) Names() []string { return nil }

// Load implements [api.Service]: what is remembered is forgotten.
func (g *Guard) Load() error {
	g.memory.empty()
	return nil
}

// Take implements [api.Service]. It takes what is for a service that has a backend.
func (g *Guard) Take(c *api.Call) api.Answer {
	all := *g.backends.Load()
	loop := g.isLoop(c.Request)
	if len(all) == 0 && !loop {
		return nil
	}
	a := g.recognise(c)
	if loop {
		return func(w http.ResponseWriter) { g.refuseLoop(w, c, a) }
	}
	if a == nil || a.service() == "" {
		return nil
	}
	to := all.of(a.model, a.signs, g.config.Own)
	if to == nil {
		return nil
	}
	c.Service, c.Operation, c.Dialect, c.Forwarded = a.service(), a.operation, a.dialect(), true
	return func(w http.ResponseWriter) { g.serve(w, c, a, to) }
}

// service is the service of a call, as signatures name it; "" if what the client
// says has not the form of a name.
func (a *asked) service() string {
	switch {
	case a.model != nil:
		return a.model.SigningName
	case nameForm.MatchString(a.signs):
		return a.signs
	}
	return ""
}
