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
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/kms"
	"github.com/openirsa/openirsa/pkg/emulator/internal/s3"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
)

// DefaultAccount is the account of an emulator whose Config names none.
const DefaultAccount = "000000000000"

// Config says what an emulator is to be. The zero Config is a good one: an
// empty account in memory whose root has the key and the secret "test".
type Config struct {
	// Account is the twelve digits of the account. "" is [DefaultAccount].
	Account string
	// Partition is the partition of all ARNs: "aws" (""), "aws-cn",
	// "aws-us-gov", "aws-eusc" or one of the isolated ones. It also decides
	// which host names are S3's.
	Partition string
	// RootAccessKeyID and RootSecret are the credentials of the account's
	// root user, who may do everything. Both "" are "test".
	RootAccessKeyID string
	RootSecret      string

	// Now is the clock; nil is time.Now. See also [Server.FastForward].
	Now func() time.Time

	// HTTP fetches the documents of issuers that are not in the emulator's own
	// S3. Nil is a client that trusts the system's roots, Roots, and what the
	// provider's thumbprints name, connects directly, and refuses what
	// AllowPrivateIssuers and Strict say it must. A client given here decides
	// all of that itself; redirects and sizes are limited all the same.
	HTTP *http.Client
	// Roots are certificates that are trusted, beside the system's, as roots
	// of issuers. Strict does not heed them.
	Roots *x509.CertPool
	// AllowPrivateIssuers admits issuers that AWS could not reach: with a
	// port other than 443, and at private, loopback and link-local addresses.
	AllowPrivateIssuers bool
	// Strict refuses everything AWS would refuse: issuers whose certificate is
	// neither publicly trusted nor named by a thumbprint, and providers whose
	// issuer cannot be reached when they are created without thumbprints. It
	// excludes AllowPrivateIssuers.
	Strict bool
	// Cluster is the issuer of the cluster in which the emulator runs, if its
	// documents are to be read from the API server. Nil is none.
	Cluster *ClusterIssuer
	// MaxKeyAge is how long keys of an issuer are used, at most, before they
	// are fetched again; what Cache-Control says may make it shorter. 0 is
	// five minutes, a negative value fetches them for each call.
	MaxKeyAge time.Duration

	// TokenLeeway is how far the clock of an issuer may be from the emulator's:
	// so long after its exp, and before its iat and nbf, a token is taken. 0 is
	// a minute, a negative value none. What AWS grants is not known.
	TokenLeeway time.Duration

	// LegacyMessages answers with the texts that STS used until 2026 for an
	// unknown provider and a wrong audience.
	LegacyMessages bool

	// Hosts are names of the emulator, without a port, beside those of S3Hosts,
	// "localhost" and every address. Only there it serves what is its own, below
	// /_openirsa/, and answers browsers: other names may be those of a stranger.
	Hosts []string
	// S3Hosts are hosts, without a port, below which buckets are addressed as
	// virtual hosts: with "s3.test", the host "b.s3.test" is the bucket b.
	// Those of S3 itself and "localhost" need not be named.
	S3Hosts []string

	// MaxObject is the size in bytes up to which S3 takes an object, or a part
	// of one, in a single request. 0 is five gigabytes, as at AWS. Without a
	// state file objects are in memory.
	MaxObject int64

	// State is the path of the file that keeps the state. "" keeps it in
	// memory only. The file holds secret keys and is made with mode 0600.
	State string
	// Log gets a line for each decision: denials at level info, the rest at
	// debug. Nil logs nothing. It never gets a token or a secret.
	Log *slog.Logger
	// MaxEvents is how many decisions are kept for [Server.Events], and
	// MaxEventBytes about how many bytes of them: older ones are dropped. 0 is
	// 4096, and 16 MiB.
	MaxEvents     int
	MaxEventBytes int
	// Control opens the control API below /_openirsa/control, with which
	// anyone who can connect can move the clock and inject faults.
	Control bool
}

// dnsSuffixes are the partitions and the suffix of their host names, from
// botocore's partitions.json.
var dnsSuffixes = map[string]string{
	"aws":        "amazonaws.com",
	"aws-cn":     "amazonaws.com.cn",
	"aws-us-gov": "amazonaws.com",
	"aws-eusc":   "amazonaws.eu",
	"aws-iso":    "c2s.ic.gov",
	"aws-iso-b":  "sc2s.sgov.gov",
	"aws-iso-e":  "cloud.adc-e.uk",
	"aws-iso-f":  "csp.hci.ic.gov",
}

// complete fills in the defaults and refuses what cannot be.
func (c *Config) complete() error {
	if c.Account == "" {
		c.Account = DefaultAccount
	}
	if c.Partition == "" {
		c.Partition = "aws"
	}
	if c.RootAccessKeyID == "" && c.RootSecret == "" {
		c.RootAccessKeyID, c.RootSecret = "test", "test"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MaxKeyAge == 0 {
		c.MaxKeyAge = 5 * time.Minute
	}
	switch {
	case c.TokenLeeway == 0:
		c.TokenLeeway = time.Minute
	case c.TokenLeeway < 0:
		c.TokenLeeway = 0
	}
	if c.MaxObject <= 0 {
		c.MaxObject = s3.MaxObject
	}
	if c.MaxEvents <= 0 {
		c.MaxEvents = 4096
	}
	if c.Cluster != nil {
		if err := c.Cluster.check(); err != nil {
			return err
		}
	}
	if c.MaxEventBytes <= 0 {
		c.MaxEventBytes = 16 << 20
	}
	switch {
	case len(c.Account) != 12 || strings.Trim(c.Account, "0123456789") != "":
		return fmt.Errorf("account %q is not twelve digits", c.Account)
	case dnsSuffixes[c.Partition] == "":
		return fmt.Errorf("partition %q is not known", c.Partition)
	case c.RootAccessKeyID == "" || c.RootSecret == "":
		return errors.New("of the root credentials only one half is set")
	case strings.ContainsAny(c.RootAccessKeyID, "/,= \t"):
		return fmt.Errorf("root access key id %q cannot stand in a signature", c.RootAccessKeyID)
	case c.Strict && c.AllowPrivateIssuers:
		return errors.New("strict and private issuers exclude each other")
	}
	return nil
}

// Server is an emulated account. Its methods may be called by many goroutines.
type Server struct {
	config  Config
	account *api.Account
	offset  atomic.Int64 // nanoseconds that the clock was moved ahead

	store    *store.Store
	state    sync.RWMutex // held by calls, and by who reads the state again
	iam      *directory
	seal     *sealer // of session tokens
	verifier sigv4.Verifier
	headers  tokenHeaders
	issuers  issuerCache
	reports  accessReports
	events   eventLog
	bodies   api.Memory
	faults   faultList
	control  http.Handler // everything below /_openirsa/
	s3       *s3.Service
	services []api.Service // in the order in which they are asked for their requests
	here     []string      // their names, as signatures have them

}

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
	for _, service := range jsonServices {
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

// Close ends the use of the state file. No request may be under way.
func (s *Server) Close() error { return s.store.Close() }

// Now is the emulator's time.
func (s *Server) Now() time.Time {
	return s.config.Now().Add(time.Duration(s.offset.Load()))
}

// FastForward moves the clock ahead, so that tokens and sessions expire and
// cached keys grow old without anybody waiting. A negative d moves it back.
// Signatures go on being held against the clock of [Config], by which clients
// sign.
func (s *Server) FastForward(d time.Duration) { s.offset.Add(int64(d)) }

// arn is an ARN of the emulator's account. STS and IAM have no regions in
// theirs.
func (s *Server) arn(service, resource string) string { return s.account.ARN(service, "", resource) }

// jsonServices is the table of services of the protocols AWS JSON 1.0 and 1.1.
// Each is a package below internal.
var jsonServices = []func(*api.Account) api.Service{
	kms.New,
}

// ServeHTTP answers a request to any of the services, or to the emulator
// itself below /_openirsa/, unless the host is a bucket's. The services are
// asked one after the other: those of the JSON protocols are told by the header
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

// bucketOf is the bucket that a host addresses, "" for none.
func (s *Server) bucketOf(host string) string { return s.s3.Hosts().Parse(host).Bucket }

// isControl says whether a request is for the emulator itself.
func (s *Server) isControl(r *http.Request) bool {
	rest, found := strings.CutPrefix(r.URL.Path, "/_openirsa")
	return found && (rest == "" || rest[0] == '/') && s.bucketOf(r.Host) == ""
}
