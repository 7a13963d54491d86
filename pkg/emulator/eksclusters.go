package emulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/eks"
)

// EKSCluster is a cluster that runs somewhere, made known to the emulator's EKS: its
// pods can then get credentials by EKS Pod Identity.
type EKSCluster struct {
	// Name is the name of the cluster: 1 to 100 letters, digits, hyphens and
	// underscores, of which the first is neither of the latter.
	Name string
	// Account and Region say where EKS has it; "" are the home account and us-east-1.
	Account, Region string
	// Issuer is the iss of the tokens of its service accounts, an https URL. While it is
	// "" no token is taken.
	Issuer string
	// OtherIssuers are those whose tokens are taken too, seven at most: of a cluster whose
	// issuer is being changed, the one that it had or will have. EKS has no such thing, and
	// DescribeCluster does not show them.
	OtherIssuers []string
	// JWKS is a copy of the public keys of its issuers (RFC 7517), 64 KiB at most. Without
	// one they are read from each issuer, as for IRSA: by a stranger.
	JWKS json.RawMessage
	// Endpoint is the URL of its API server, and CA the server's certificates (PEM, in
	// base64): what DescribeCluster says.
	Endpoint, CA string
	// IPFamily is that of its pods, ipv4 or ipv6. "" leaves what it has, at first ipv4.
	IPFamily string
	// Version is that of Kubernetes, such as "1.35".
	Version string
	// AgentVersion is that of the agent that is installed in it, "" for none or an
	// unknown one: what DescribeAddon says of eks-pod-identity-agent.
	AgentVersion string
	// Tags are those of the cluster. Nil leaves those that it has.
	Tags map[string]string
}

// RegisterCluster makes a cluster known, or says anew what is known of it; its
// associations stay. It returns the cluster's ARN.
func (s *Server) RegisterCluster(c EKSCluster) (arn string, err error) {
	where := eks.Cluster{
		Account: cmp.Or(c.Account, s.config.Account), Region: cmp.Or(c.Region, "us-east-1"), Name: c.Name,
		Issuer: c.Issuer, OtherIssuers: c.OtherIssuers, JWKS: c.JWKS, Endpoint: c.Endpoint, CA: c.CA, IPFamily: c.IPFamily,
		Version: c.Version, AgentVersion: c.AgentVersion, Tags: c.Tags,
	}
	if s.accounts[where.Account] == nil {
		return "", fmt.Errorf("registering cluster %.100q: the emulator has no account %.40q", c.Name, where.Account)
	}
	if !isRegion(where.Region) {
		return "", fmt.Errorf("registering cluster %.100q: %.40q is not a region", c.Name, where.Region)
	}
	if err := s.eks.Register(where, s.Now()); err != nil {
		return "", fmt.Errorf("registering cluster %.100q: %w", c.Name, err)
	}
	return s.eks.ARN(&where), nil
}

// UnregisterCluster forgets a cluster and its associations, and reports whether there
// was one. "" are the home account and us-east-1.
func (s *Server) UnregisterCluster(account, region, name string) (bool, error) {
	return s.eks.Unregister(cmp.Or(account, s.config.Account), cmp.Or(region, "us-east-1"), name)
}

// isRegion reports whether a text has the form of a region's name.
func isRegion(s string) bool {
	isLetter := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' }
	return s != "" && len(s) <= 32 && strings.TrimFunc(s, isLetter) == ""
}

// clusterTokens is what verifies the tokens of a cluster: a list of [*provider], one for
// each issuer, whose keys are read as those of IRSA's providers are, or are those that
// came with the cluster.
func (f *front) clusterTokens(c *eks.Cluster) (any, error) {
	var keys *keySet
	if c.JWKS != nil {
		var err error
		if keys, err = parseKeySet(c.JWKS); err != nil {
			return nil, err
		}
		if len(keys.keys) == 0 {
			return nil, fmt.Errorf("the key set has no key that can be used: %s", strings.Join(keys.left, "; "))
		}
	}
	var list []*provider
	for _, iss := range c.Issuers() {
		u, err := url.Parse(iss)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(iss) > 255 {
			return nil, fmt.Errorf("its issuer %.100q is not an https URL without user, query and fragment, of 255 characters at most", iss)
		}
		list = append(list, &provider{ARN: f.eks.ARN(c), URL: strings.TrimPrefix(iss, "https://"), serial: f.clusterSerial.Add(1), keys: keys})
	}
	return list, nil
}

// issuersOf are what verifies the tokens of a cluster, that of its own issuer first; none
// while it has no issuer.
func issuersOf(c *eks.Cluster) []*provider {
	list, _ := c.Verifier.([]*provider)
	return list
}

// clusterGone forgets the keys of a cluster that is no more.
func (f *front) clusterGone(c *eks.Cluster) { f.issuers.forget(f.eks.ARN(c)) }
