// Package agent is the agent of EKS Pod Identity: it answers the SDKs of a node's pods
// at http://169.254.170.23/v1/credentials. A pod shows its service account's token, EKS
// Auth exchanges it for a session of the role that is associated with the service
// account, and the agent keeps the session and renews it.
//
//	exchange, err := agent.EKSAuth(cfg, agent.Service{Cluster: "c1"})
//	a := agent.New(agent.Config{Exchange: exchange})
//	go a.Run(ctx)
//	http.Serve(listener, a.Handler())
//
// The token is the identity: who shows a token gets the role of the pod that it was made
// for, from wherever on the node, as on EKS. The agent gives credentials to no token that
// EKS Auth has not accepted itself, byte for byte; what a token says is a hint until then.
//
// Paths, statuses and texts are those of aws/eks-pod-identity-agent, which SDKs and users
// know.
package agent

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Path is where the agent answers.
const Path = "/v1/credentials"

// Hosts are the addresses of the agent on a node, which are those that SDKs allow, and
// the names by which it answers.
func Hosts() []string { return []string{"169.254.170.23", "fd00:ec2::23"} }

// The defaults of a [Config].
const (
	CacheSize    = 2000
	RenewAfter   = 3 * time.Hour
	RenewalRate  = 3
	RefusalsKept = 3 * time.Second
)

// What is bounded beside that.
const (
	minLife      = 15 * time.Second // of credentials that are given to a pod
	tokensOfPod  = 4                // accepted tokens of one pod that are known
	peersKnown   = 4096             // addresses of unknown tokens
	exchangeTime = 20 * time.Second // for an exchange and its waiting
	renewalTime  = time.Minute      // the same for a renewal
	maxText      = 1024             // bytes of EKS Auth's message that a pod is shown
)

// Exchange asks EKS Auth for credentials. The error is a [*Failure] if it says more than
// that there are none.
type Exchange func(ctx context.Context, token string) (*Credentials, error)

// Credentials are a session of a role.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	// AccountID is the role's account.
	AccountID string
	Expires   time.Time

	// Namespace and ServiceAccount are whose they are by EKS Auth's word, and Association
	// the id of what gives them the role.
	Namespace, ServiceAccount, Association string
}

// Config is how an agent works. Only the Exchange is needed.
type Config struct {
	Exchange Exchange

	// Hosts are the names by which clients may call the agent, without port and brackets.
	// It refuses others, since a browser that is made to call it would use another. Nil:
	// [Hosts].
	Hosts []string
	// CacheSize is for how many pods credentials are kept. 0: [CacheSize]; negative: none,
	// so that each request is an exchange.
	CacheSize int
	// RenewAfter is how long credentials are kept at most before they are renewed. 0:
	// [RenewAfter]; negative: as CacheSize.
	RenewAfter time.Duration
	// RenewalRate is how many renewals begin in a second. 0: [RenewalRate].
	RenewalRate int
	// RefusalsKept is for how long a token that EKS Auth has refused is refused without
	// asking again. 0: [RefusalsKept]; negative: not at all.
	RefusalsKept time.Duration

	Metrics *Metrics     // nil: none
	Log     *slog.Logger // nil: none
}

// Agent exchanges tokens for credentials, and keeps those. Its handlers share all but
// their rates.
type Agent struct {
	config Config
	hosts  map[string]bool
	slots  chan struct{} // of exchanges

	mu      sync.Mutex // guards the rest
	pods    *recent[identity, *entry]
	tokens  map[digest]*entry // by each accepted token
	refused *recent[digest, refusal]
	peers   *recent[netip.Addr, *share]
	flights map[digest]*flight
}

// entry is what is kept for a pod. The agent's mutex guards it.
type entry struct {
	pod   identity
	share *share

	body    []byte    // what its requests are answered with
	expires time.Time // of the credentials in it
	life    time.Duration
	renew   time.Time // when
	asked   time.Time // by the pod, for the last time

	newest   string // the token of it that was issued last, to renew with
	claims   claims // of the newest
	accepted []accepted
	renewing bool
}

// accepted is a token that EKS Auth has accepted.
type accepted struct {
	digest digest
	claims claims
}

// refusal is EKS Auth's no to a token.
type refusal struct {
	answer answer
	until  time.Time
}

// answer is what a request is answered with: credentials if the status is 200, otherwise
// a text.
type answer struct {
	status int
	body   []byte
}

// New makes an agent. It keeps credentials fresh while [Agent.Run] runs.
func New(c Config) *Agent {
	if c.Hosts == nil {
		c.Hosts = Hosts()
	}
	orDefault(&c.CacheSize, CacheSize)
	orDefault(&c.RenewAfter, RenewAfter)
	orDefault(&c.RenewalRate, RenewalRate)
	orDefault(&c.RefusalsKept, RefusalsKept)
	if c.RenewAfter < 0 {
		c.CacheSize = -1
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	a := &Agent{
		config: c, hosts: map[string]bool{}, slots: make(chan struct{}, maxExchanges),
		pods: newRecent[identity, *entry](max(c.CacheSize, 0)), tokens: map[digest]*entry{},
		refused: newRecent[digest, refusal](CacheSize), peers: newRecent[netip.Addr, *share](peersKnown),
		flights: map[digest]*flight{},
	}
	for _, host := range c.Hosts {
		a.hosts[host] = true
	}
	return a
}

func orDefault[T int | time.Duration](v *T, other T) {
	if *v == 0 {
		*v = other
	}
}

// Handler answers at one address, which has a rate of its own: 1000 requests a second,
// and 500 at once. Each pod has a small part of its own beside it, see [share].
func (a *Agent) Handler() http.Handler {
	return &handler{agent: a, common: newLimiter(commonRate, commonBurst)}
}
