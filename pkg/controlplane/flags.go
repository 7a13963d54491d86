package controlplane

import (
	"encoding/csv"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/issuer"
)

// Flags are the flags that say who issues the tokens of service accounts and
// with which keys: those of the API server, and the one of the controller
// manager, which signs the tokens in Secrets.
type Flags struct {
	// Issuers are the values of --service-account-issuer. The first signs new
	// tokens and is the issuer of the discovery document; tokens of all of
	// them are accepted.
	Issuers []string
	// JWKSURI is --service-account-jwks-uri, the jwks_uri of the discovery
	// document. Empty when the flag is not set: then the API server names an
	// address of its own.
	JWKSURI string
	// APIAudiences is --api-audiences. Nil when the flag is not set: then the
	// audiences are all the Issuers (Complete and ApplyTo in Kubernetes'
	// pkg/kubeapiserver/options/authentication.go).
	APIAudiences []string
	// KeyFiles are the values of --service-account-key-file: files of public
	// keys whose tokens are accepted.
	KeyFiles []string
	// SigningKeyFile is --service-account-signing-key-file. Empty where an
	// external signer has the key.
	SigningKeyFile string
	// PrivateKeyFile is the controller manager's
	// --service-account-private-key-file.
	PrivateKeyFile string
}

// equal reports whether two API servers with these flags behave alike.
func (f Flags) equal(g Flags) bool {
	return slices.Equal(f.Issuers, g.Issuers) && f.JWKSURI == g.JWKSURI && slices.Equal(f.APIAudiences, g.APIAudiences) &&
		slices.Equal(f.KeyFiles, g.KeyFiles) && f.SigningKeyFile == g.SigningKeyFile && f.PrivateKeyFile == g.PrivateKeyFile
}

// audiences are the audiences with which the API server accepts a token, and
// which it gives to a token that asks for none.
func (f Flags) audiences() []string {
	if f.APIAudiences == nil {
		return f.Issuers
	}
	return f.APIAudiences
}

// The names of the flags in Flags.
const (
	issuerFlag     = "service-account-issuer"
	jwksFlag       = "service-account-jwks-uri"
	audiencesFlag  = "api-audiences"
	keyFilesFlag   = "service-account-key-file"
	signingKeyFlag = "service-account-signing-key-file"
	privateKeyFlag = "service-account-private-key-file"
)

var flagNames = []string{issuerFlag, jwksFlag, audiencesFlag, keyFilesFlag, signingKeyFlag, privateKeyFlag}

// flag is one flag of a command line.
type flag struct {
	name, value string
	at, n       int // its arguments are args[at : at+n]
}

// flagsIn are the flags of a command line, as pflag reads those of the API
// server: none of those that interest us can stand without a value, and an
// underscore in a name is a dash (WordSepNormalizeFunc in component-base).
func flagsIn(args []string) []flag {
	var flags []flag
	for i := 0; i < len(args); i++ {
		s, ok := strings.CutPrefix(args[i], "--")
		if !ok {
			continue
		}
		name, value, ok := strings.Cut(s, "=")
		f := flag{name: strings.ReplaceAll(name, "_", "-"), value: value, at: i, n: 1}
		if !ok && i+1 < len(args) && !strings.HasPrefix(args[i+1], "--") {
			i++
			f.value, f.n = args[i], 2
		}
		flags = append(flags, f)
	}
	return flags
}

// flagValue is the value of a flag on a command line, of which the last counts;
// empty if it is not there.
func flagValue(args []string, name string) string {
	value := ""
	for _, f := range flagsIn(args) {
		if f.name == name {
			value = f.value
		}
	}
	return value
}

// parseFlags are the Flags of a command line.
func parseFlags(args []string) (Flags, error) {
	var f Flags
	for _, one := range flagsIn(args) {
		switch one.name {
		case issuerFlag:
			f.Issuers = append(f.Issuers, one.value)
		case jwksFlag:
			f.JWKSURI = one.value
		case audiencesFlag:
			if one.value == "" {
				continue // as good as not set
			}
			list, err := csv.NewReader(strings.NewReader(one.value)).Read() // as pflag's StringSlice
			if err != nil {
				return Flags{}, fmt.Errorf("reading --%s=%s: %w", audiencesFlag, one.value, err)
			}
			f.APIAudiences = append(f.APIAudiences, list...)
		case keyFilesFlag:
			f.KeyFiles = append(f.KeyFiles, one.value)
		case signingKeyFlag:
			f.SigningKeyFile = one.value
		case privateKeyFlag:
			f.PrivateKeyFile = one.value
		}
	}
	return f, nil
}

// lines are the flags as they stand on a command line.
func (f Flags) lines() []string {
	var lines []string
	if f.APIAudiences != nil {
		lines = append(lines, "--"+audiencesFlag+"="+strings.Join(f.APIAudiences, ","))
	}
	for _, iss := range f.Issuers {
		lines = append(lines, "--"+issuerFlag+"="+iss)
	}
	if f.JWKSURI != "" {
		lines = append(lines, "--"+jwksFlag+"="+f.JWKSURI)
	}
	for _, file := range f.KeyFiles {
		lines = append(lines, "--"+keyFilesFlag+"="+file)
	}
	if f.SigningKeyFile != "" {
		lines = append(lines, "--"+signingKeyFlag+"="+f.SigningKeyFile)
	}
	if f.PrivateKeyFile != "" {
		lines = append(lines, "--"+privateKeyFlag+"="+f.PrivateKeyFile)
	}
	return lines
}

// AlsoAccepting are the flags with which tokens of iss are accepted as well.
//
// An API server without --api-audiences has the audiences of its issuers. One
// more issuer would change the audience of every token that asks for none, so
// the flag then pins the audiences as they were: tokens look as before, those
// issued before are accepted as before, and an API server that does not know
// the new issuer yet accepts the audience of those that do.
func (have Flags) AlsoAccepting(iss issuer.URL) Flags {
	if slices.Contains(have.Issuers, iss.String()) {
		return have
	}
	want := have
	if have.APIAudiences == nil && len(have.Issuers) > 0 {
		want.APIAudiences = slices.Clone(have.Issuers)
	}
	want.Issuers = append(slices.Clone(have.Issuers), iss.String())
	return want
}

// SignedBy are the flags with which tokens are issued by iss, and those of
// every previous issuer are still accepted.
func (have Flags) SignedBy(iss issuer.URL) Flags {
	want := have.AlsoAccepting(iss)
	others := slices.DeleteFunc(slices.Clone(want.Issuers), func(s string) bool { return s == iss.String() })
	want.Issuers = append([]string{iss.String()}, others...)
	want.JWKSURI = iss.JWKS()
	return want
}

// public reports whether relying parties outside of the cluster may read an
// issuer's documents. The default of a cluster is not: its host is the API
// server's Service, whatever the cluster's domain.
func public(iss string) bool {
	u, err := url.Parse(iss)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	switch host {
	case "kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost":
		return false
	}
	return !strings.HasPrefix(host, "kubernetes.default.svc.") && !strings.HasSuffix(host, ".cluster.local")
}
