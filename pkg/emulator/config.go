package emulator

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/s3"
)

// DefaultAccount is the account of an emulator whose Config names none.
const DefaultAccount = "000000000000"

// Config says what an emulator is to be. The zero Config is a good one: an
// empty account in memory whose root has the key and the secret "test".
type Config struct {
	// Account is the twelve digits of the account, or of several the home account:
	// the one of RootAccessKeyID, whose state is that of an emulator with one
	// account. "" is the first of Accounts, or else [DefaultAccount].
	Account string
	// Accounts are several accounts in one emulator, twelve digits each. The access
	// key id of an account's root user is then the account id, and its secret
	// RootSecret. Without any there is only Account, and no such key.
	Accounts []string
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
	// of issuers. Strict ignores them.
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

	// Enforce says what becomes of a call that policies deny. "" is [EnforceDeny]. Roles
	// with the tag openirsa.dev/enforce have their own.
	Enforce Enforcement

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

	// MaxPodIdentityAssociations is how many associations of EKS Pod Identity a cluster
	// can have. 0 is 5000; AWS's quota was 1000 when it was last documented.
	MaxPodIdentityAssociations int

	// Forward are backends for services that the emulator does not have, by the name
	// in signatures, the prefix of actions or the name that the AWS CLI has; "*" is the
	// rest. A call is verified and needs its permission here, then it goes to the
	// backend. STS and IAM cannot be forwarded; S3 and KMS are if they are named.
	Forward map[string]Backend
	// ForwardKeyID and ForwardSecret sign what is forwarded. Both "" are the id of the
	// account that has the resources of the call, which is the caller's as a rule, and
	// "test": most emulators of AWS know the account by that.
	ForwardKeyID  string
	ForwardSecret string

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
	// anyone who can connect can move the clock, inject faults and delete everything.
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
	if err := c.completeAccounts(); err != nil {
		return err
	}
	if c.Enforce == "" {
		c.Enforce = EnforceDeny
	}
	if err := c.Enforce.check(); err != nil {
		return err
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
	if c.MaxPodIdentityAssociations <= 0 {
		c.MaxPodIdentityAssociations = 5000
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
