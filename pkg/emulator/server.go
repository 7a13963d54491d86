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
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"

	"github.com/openirsa/openirsa/pkg/emulator/internal/store"

	"github.com/openirsa/openirsa/internal/sigv4"
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
		c.MaxObject = maxObject
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
	config        Config
	dnsSuffix     string
	canonicalUser string       // of the account
	offset        atomic.Int64 // nanoseconds that the clock was moved ahead

	store    *store.Store
	state    sync.RWMutex // held by calls, and by who reads the state again
	iam      *directory
	kms      keyRing
	seal     *sealer // of session tokens
	verifier sigv4.Verifier
	headers  tokenHeaders
	issuers  issuerCache
	reports  accessReports
	events   eventLog
	bodies   budget
	faults   faultList
	control  http.Handler // everything below /_openirsa/

	// S3: serveS3 answers a request, and readPublic answers a GET as S3 answers
	// a stranger, if the URL is one of S3's. s3Changes grows after each change
	// of what a stranger may read there, so that keys from S3 are never stale.
	s3         *s3
	serveS3    func(http.ResponseWriter, *call)
	readPublic func(u *url.URL, now time.Time) (status int, header http.Header, body []byte, ours bool)
	s3Changes  atomic.Uint64
}

// New makes an emulator and, if there is a state file, reads it.
func New(config Config) (*Server, error) {
	if err := config.complete(); err != nil {
		return nil, fmt.Errorf("configuring the emulator: %w", err)
	}
	s := &Server{
		config:        config,
		dnsSuffix:     dnsSuffixes[config.Partition],
		canonicalUser: canonicalUserID(config.Account),
	}
	var err error
	if s.store, err = store.Open(config.State); err != nil {
		return nil, err
	}
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
	if s.iam, err = loadDirectory(s.store, s.config.Partition, s.config.Account); err != nil {
		return err
	}
	if err := s.loadKeys(); err != nil {
		return err
	}
	if err := s.newS3(); err != nil {
		return err
	}
	s.events.init(s.config.MaxEvents, s.config.MaxEventBytes)
	s.bodies.max = maxBodies
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
func (s *Server) arn(service, resource string) string {
	return "arn:" + s.config.Partition + ":" + service + "::" + s.config.Account + ":" + resource
}

// call is one request while it is answered.
type call struct {
	r  *http.Request
	id string    // request id
	at time.Time // when it came

	service   string // "sts", "iam" or "s3"
	operation string // of the API, such as "AssumeRole"
	region    string // of the signature, us-east-1 if there is none
	caller    caller // who signed, once identify has said so

	wire.Input        // parameters of the Query protocol
	body       []byte // of the Query protocol
	held       int64  // bytes of Server.bodies
	dropped    bool   // a fault wants the answer to get lost
	namespace  string // XML namespace of the answers of the service
}

// ServeHTTP answers a request to any of the services, or to the emulator
// itself below /_openirsa/, unless the host is a bucket's. KMS is told by the
// header that names its operation; the other services are told apart by the
// parameters Action and Version, which STS and IAM have, then by the service
// that the signature names, then by the host; what is left is S3's. Services
// that are not here are told in the same manner.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w, done := s.pace(w, r)
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
	c := &call{r: r, id: newRequestID(), at: s.Now(), region: "us-east-1"}
	defer func() { s.bodies.used.Add(-c.held) }()
	if isKMS(r) {
		s.serveKMS(w, c)
		if c.dropped {
			panic(http.ErrAbortHandler)
		}
		return
	}
	isQuery, e := s.readQuery(c)
	if where, ok := s.elsewhere(c); ok {
		s.serveElsewhere(w, c, where, e)
		return
	}
	switch service := c.signedService(); service {
	case "sts", "iam", "kms":
		isQuery = true
	case "":
		isQuery = isQuery || isQueryHost(r.Host)
	}
	if isQuery || e != nil {
		s.serveQuery(w, c, e)
	} else {
		c.service = "s3"
		s.serveS3(w, c)
	}
	if c.dropped {
		panic(http.ErrAbortHandler) // the way to have net/http cut the connection
	}
}

// isControl says whether a request is for the emulator itself.
func (s *Server) isControl(r *http.Request) bool {
	rest, found := strings.CutPrefix(r.URL.Path, "/_openirsa")
	return found && (rest == "" || rest[0] == '/') && s.parseS3Host(r.Host).bucket == ""
}

// Versions of the interfaces of STS and IAM, and the XML namespaces of their
// answers.
const (
	namespaceSTS = "https://sts.amazonaws.com/doc/2011-06-15/"
	namespaceIAM = "https://iam.amazonaws.com/doc/2010-05-08/"

	versionSTS = "2011-06-15"
	versionIAM = "2010-05-08"
)

// isQueryHost says whether a host is the one of STS or IAM.
func isQueryHost(host string) bool {
	return strings.HasPrefix(host, "sts.") || strings.HasPrefix(host, "iam.")
}

// signedService is the service in the scope of the signature, or "".
func (c *call) signedService() string {
	sig, err := sigv4.Parse(c.r)
	if err != nil {
		return ""
	}
	return sig.Service
}

// readQuery reads the parameters of the Query protocol and says whether the
// request is of it: a form posted to "/", or a GET of "/", with an Action.
func (s *Server) readQuery(c *call) (bool, *wire.Failure) {
	r := c.r
	if r.URL.Path != "/" && r.URL.Path != "" {
		return false, nil
	}
	var form string
	switch r.Method {
	case http.MethodPost:
		posted := isForm(r)
		// A presigned POST has its parameters in the URL, or some of them.
		form = r.URL.RawQuery
		if !posted && !strings.Contains(form, "Action=") {
			return false, nil
		}
		var e *wire.Failure
		if c.body, e = s.readBody(c); e != nil {
			return true, e
		}
		switch {
		case !posted:
		case form == "":
			form = string(c.body)
		default:
			form += "&" + string(c.body)
		}
	case http.MethodGet, http.MethodHead:
		if !strings.Contains(r.URL.RawQuery, "Action=") {
			return false, nil
		}
		form = r.URL.RawQuery
	default:
		return false, nil
	}
	p, e := wire.ParseParams(form)
	if e != nil {
		return true, e
	}
	c.Params = p
	return p["Action"] != "" || p["Version"] != "" || c.body != nil, nil
}

// readBody reads a body of at most maxQueryBody bytes.
func (s *Server) readBody(c *call) ([]byte, *wire.Failure) {
	tooLarge := wire.Errorf(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "Request body is larger than %d bytes", maxQueryBody)
	if c.r.ContentLength > maxQueryBody {
		return nil, tooLarge
	}
	body, err := s.readAll(c, c.r.Body, maxQueryBody)
	switch {
	case errors.Is(err, errTooLong):
		return nil, tooLarge
	case errors.Is(err, errNoMemory):
		return nil, errBusy()
	case err != nil:
		return nil, wire.MalformedInput("The request body cannot be read")
	}
	return body, nil
}

// An operation is one action of STS or IAM.
type operation struct {
	// run does it. The result writes the content of the result element; an
	// operation without output returns none.
	run func(*Server, *call) (func(*wire.XML), *wire.Failure)
	// unsigned operations do not look at a signature.
	unsigned bool
}

// serveQuery answers a request in the Query protocol.
func (s *Server) serveQuery(w http.ResponseWriter, c *call, e *wire.Failure) {
	var result func(*wire.XML)
	if e == nil {
		result, e = s.runQuery(c)
	}
	if c.namespace == "" {
		c.namespace = wire.NamespaceFault
	}
	if c.dropped {
		return
	}
	answer := wire.QueryAnswer{Service: c.service, Operation: c.operation, Namespace: c.namespace, Id: c.id}
	answer.Write(w, c.r, result, e)
}

// runQuery finds the operation, says who calls, and runs it.
func (s *Server) runQuery(c *call) (func(*wire.XML), *wire.Failure) {
	c.operation = c.Params["Action"]
	version := c.Params["Version"]
	var op operation
	var known bool
	switch version {
	case versionSTS:
		c.service, c.namespace = "sts", namespaceSTS
		op, known = stsOperations[c.operation]
	case versionIAM:
		c.service, c.namespace, c.Quiet = "iam", namespaceIAM, true
		if op, known = iamOperations[c.operation]; !known {
			op, known = absentOperations[c.operation]
		}
	case "":
		version = "NO_VERSION_SPECIFIED"
	}
	if c.operation == "" {
		return nil, wire.Errorf(http.StatusBadRequest, "MissingAction", "The request must contain the parameter Action")
	}
	if !known {
		e := wire.Errorf(http.StatusBadRequest, "InvalidAction", "Could not find operation %s for version %s", c.operation, version)
		e.Namespace = wire.NamespaceFault
		return nil, e
	}
	if e := s.refusePage(c); e != nil {
		return nil, e
	}
	if e := s.inject(c); e != nil {
		return nil, e
	}
	if !op.unsigned {
		if e := s.identifyQuery(c); e != nil {
			return nil, e
		}
	}
	return op.run(s, c)
}
