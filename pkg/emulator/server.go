// Package emulator is AWS's STS, IAM, S3 and KMS as their clients meet them, for
// test suites, laptops and kind clusters: a wrong setup fails in it as it
// would fail at AWS, and it says why, which AWS does not.
//
// Nothing is waved through. Web identity tokens are verified with keys that
// are fetched from their issuer as a stranger fetches them, trust policies are
// evaluated, signatures are checked, sessions expire, and every call needs the
// permission it needs at AWS.
//
//	srv, err := emulator.New(emulator.Config{})
//	defer srv.Close()
//	http.ListenAndServe("127.0.0.1:4566", srv) // AWS_ENDPOINT_URL for any SDK
//
// It is an [http.Handler]: no port, no goroutine of its own, no global state,
// so that hundreds can live in one process. See emulatortest for the form that
// tests want.
//
// What it answers follows AWS's service models, its documentation and public
// captures of its answers; docs/emulator.md lists where it differs and what is
// not known.
package emulator

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/eks"
	"github.com/openirsa/openirsa/pkg/emulator/internal/guard"
	"github.com/openirsa/openirsa/pkg/emulator/internal/s3"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
)

// Server is an emulator: one account, or several, of which it is the home account.
// Its methods may be called by many goroutines.
//
// Each account is a Server of its own, by which STS and IAM see it; what they have
// in common is the front.
type Server struct {
	*front
	account *api.Account
	iam     *directory
	reports accessReports
}

// front is what the accounts of an emulator share: all but STS, IAM and who calls.
type front struct {
	config   Config
	offset   atomic.Int64       // nanoseconds that the clock was moved ahead
	home     *Server            // the account that [New] returned
	accounts map[string]*Server // all of them by id; fixed

	store    *store.Store
	state    sync.RWMutex // held by calls, and by who reads the state again
	seal     *sealer      // of session tokens
	verifier sigv4.Verifier
	headers  tokenHeaders
	issuers  issuerCache
	events   eventLog
	facts    factBook
	metrics  serverMetrics
	bodies   api.Memory
	faults   faultList
	control  http.Handler // everything below /_openirsa/
	s3       *s3.Service
	// organizations says which accounts are in one, and what limits them.
	organizations api.Organizations
	eks           *eks.Service
	clusterSerial atomic.Uint64
	guard         *guard.Guard
	services      []api.Service // in the order in which they are asked for their requests
	here          []string      // their names, as signatures have them
}

// Close ends the use of the state file. No request may be under way.
func (s *Server) Close() error {
	s.facts.close()
	s.guard.Close()
	return s.store.Close()
}

// Now is the emulator's time.
func (s *Server) Now() time.Time {
	return s.config.Now().Add(time.Duration(s.offset.Load()))
}

// FastForward moves the clock ahead, so that tokens and sessions expire and
// cached keys grow old without anybody waiting. A negative d moves it back.
// Signatures are still checked against the clock of [Config], by which clients
// sign.
func (s *Server) FastForward(d time.Duration) { s.offset.Add(int64(d)) }

// arn is an ARN of the account. STS and IAM have no regions in
// theirs.
func (s *Server) arn(service, resource string) string { return s.account.ARN(service, "", resource) }

// bucketOf is the bucket that a host addresses, "" for none.
func (s *Server) bucketOf(host string) string { return s.s3.Hosts().Parse(host).Bucket }
