package eks

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// Cluster is a cluster that runs elsewhere, as EKS knows it. It never changes; a change
// makes another.
type Cluster struct {
	Account string
	Region  string
	Name    string
	Created time.Time
	// Issuer is the iss of the tokens of the cluster's service accounts, "" as long as
	// nobody has said it. JWKS is a copy of its keys; without one they are read from the
	// issuer.
	Issuer string `json:",omitempty"`
	// OtherIssuers are those whose tokens are taken beside those of Issuer.
	OtherIssuers []string        `json:",omitempty"`
	JWKS         json.RawMessage `json:",omitempty"`
	Endpoint     string          `json:",omitempty"` // URL of the API server
	CA           string          `json:",omitempty"` // its certificates, PEM in base64
	IPFamily     string          `json:",omitempty"` // ipv4 or ipv6; "" is ipv4
	Version      string          `json:",omitempty"` // of Kubernetes
	// AgentVersion is that of the agent that is installed, "" for none.
	AgentVersion string `json:",omitempty"`
	// AgentSeen says that an agent has come with the token of a pod.
	AgentSeen bool              `json:",omitempty"`
	Tags      map[string]string `json:",omitempty"`
	// Made says that CreateCluster made it, with the role and the network that it names.
	Made    bool            `json:",omitempty"`
	RoleARN string          `json:",omitempty"`
	Network json.RawMessage `json:",omitempty"`

	// Verifier verifies the tokens of the cluster; nil as long as there is no issuer.
	Verifier any `json:"-"`
}

// maxJWKS bounds the copy of a cluster's keys, in bytes.
const maxJWKS = 64 << 10

// maxIssuers is how many issuers a cluster can have: an API server that changes its
// issuer has two.
const maxIssuers = 8

// Issuers are those whose tokens are taken, the cluster's own one first.
func (c *Cluster) Issuers() []string {
	if c.Issuer == "" {
		return nil
	}
	return append([]string{c.Issuer}, c.OtherIssuers...)
}

// check refuses a cluster that cannot be registered.
func (c *Cluster) check() error {
	switch {
	case !IsClusterName(c.Name):
		return fmt.Errorf("%.100q is not the name of a cluster: letters, digits, - and _, 100 at most", c.Name)
	case len(c.JWKS) > maxJWKS:
		return fmt.Errorf("the key set has %d bytes, and it can have %d", len(c.JWKS), maxJWKS)
	case c.Issuer == "" && c.JWKS != nil:
		return fmt.Errorf("there is a key set, and no issuer that it would be of")
	case c.Issuer == "" && len(c.OtherIssuers) > 0:
		return fmt.Errorf("there are other issuers, and none that they would be beside")
	case len(c.OtherIssuers) >= maxIssuers:
		return fmt.Errorf("there are %d issuers, and there can be %d", len(c.OtherIssuers)+1, maxIssuers)
	}
	for i, iss := range c.OtherIssuers {
		if slices.Contains(c.Issuers()[:i+1], iss) {
			return fmt.Errorf("the issuer %.100q is there twice", iss)
		}
	}
	if !isFamily(c.IPFamily) {
		return fmt.Errorf("the IP family %.40q is neither ipv4 nor ipv6", c.IPFamily)
	}
	if e := checkTags(c.Tags); e != nil {
		return fmt.Errorf("%s", e.Message)
	}
	if _, err := base64.StdEncoding.DecodeString(c.CA); err != nil {
		return fmt.Errorf("the CA is not PEM in base64: %w", err)
	}
	return nil
}

// isFamily reports whether a text is the IP family of a cluster's pods; "" is the default.
func isFamily(s string) bool { return s == "" || s == "ipv4" || s == "ipv6" }

// same reports whether two registrations say the same.
func (c *Cluster) same(d *Cluster) bool {
	a, b := *c, *d
	a.Verifier, b.Verifier = nil, nil
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

// Register says which cluster there is, anew or instead of what was said before of its
// name; its associations stay. Tags and an IP family that nobody gives stay too.
func (s *Service) Register(c Cluster, at time.Time) error {
	if err := c.check(); err != nil {
		return err
	}
	if err := s.verifying(&c); err != nil {
		return err
	}
	var replaced *Cluster
	e := s.edit(func(change *store.Change) *wire.Failure {
		arn := s.ARN(&c)
		old := s.clusters[arn]
		if old == nil {
			if s.count(c.Account, c.Region) >= MaxClusters {
				return tooMany("There can be %d clusters in an account and a region.", MaxClusters)
			}
			c.Created = at.UTC()
		} else {
			c.Created, c.Made, c.RoleARN, c.Network, c.AgentSeen = old.Created, old.Made, old.RoleARN, old.Network, old.AgentSeen
			c.IPFamily = cmp.Or(c.IPFamily, old.IPFamily)
			if c.Tags == nil {
				c.Tags = old.Tags
			}
			if old.same(&c) {
				return nil
			}
			replaced = old
		}
		s.place(&c)
		change.Put(bucketCluster, arn, &c)
		return nil
	})
	if e != nil {
		return e
	}
	s.gone(replaced)
	return nil
}

// Unregister forgets a cluster and its associations. It reports whether there was one.
func (s *Service) Unregister(account, region, name string) (bool, error) {
	c := s.Cluster(account, region, name)
	if c == nil {
		return false, nil
	}
	if e := s.forget(c); e != nil {
		return true, e
	}
	return true, nil
}

// forget drops a cluster and its associations.
func (s *Service) forget(c *Cluster) *wire.Failure {
	arn := s.ARN(c)
	e := s.edit(func(change *store.Change) *wire.Failure {
		if r := s.of[arn]; r != nil {
			for _, a := range r.byID {
				change.Delete(bucketAssociation, s.associationARN(c, a.ID))
			}
		}
		delete(s.clusters, arn)
		delete(s.of, arn)
		change.Delete(bucketCluster, arn)
		return nil
	})
	if e == nil {
		s.gone(c)
	}
	return e
}

// gone tells the emulator of a cluster that is no more; nil is none.
func (s *Service) gone(c *Cluster) {
	if c != nil && s.config.Gone != nil {
		s.config.Gone(c)
	}
}

// count is how many clusters an account has in a region. The caller holds mu.
func (s *Service) count(account, region string) int {
	n := 0
	for _, c := range s.clusters {
		if c.Account == account && c.Region == region {
			n++
		}
	}
	return n
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// permit asks whether the caller may do the operation to a cluster of its account,
// which need not exist.
func (s *Service) permit(c *api.Call, name string, tags map[string]string) *wire.Failure {
	q := &api.Question{Action: "eks:" + c.Operation, Resource: s.arn(c.Caller.Account, c.Region, "cluster/"+name)}
	if cluster := s.Cluster(c.Caller.Account, c.Region, name); cluster != nil {
		resourceTags(q, cluster.Tags)
	}
	requestTags(q, tags)
	return s.account.Gate.Authorize(c, q)
}

// find is the cluster with a name, once the caller may do the operation to it.
func (s *Service) find(c *api.Call, name string, tags map[string]string) (*Cluster, *wire.Failure) {
	if e := checkClusterName(name); e != nil {
		return nil, s.refuse(c, &why{Failure: e})
	}
	if e := s.permit(c, name, tags); e != nil {
		return nil, e
	}
	cluster := s.Cluster(c.Caller.Account, c.Region, name)
	if cluster == nil {
		return nil, s.refuse(c, s.noCluster(c, name))
	}
	return cluster, nil
}

// noCluster is the answer if the caller has no cluster with a name.
func (s *Service) noCluster(c *api.Call, name string) *why {
	return &why{
		Failure: NoCluster(name), step: existence, resource: s.arn(c.Caller.Account, c.Region, "cluster/"+name),
		reason:   fmt.Sprintf("no cluster of that name is registered in account %s and region %s", c.Caller.Account, c.Region),
		expected: []string{name}, found: s.names(c),
	}
}

// names are those of the caller's clusters, sorted.
func (s *Service) names(c *api.Call) (names []string) {
	for _, cluster := range s.Clusters() {
		if cluster.Account == c.Caller.Account && cluster.Region == c.Region {
			names = append(names, cluster.Name)
		}
	}
	slices.Sort(names)
	return names
}

// clusterView is a cluster as the API shows it.
type clusterView struct {
	Name            string            `json:"name"`
	ARN             string            `json:"arn"`
	CreatedAt       float64           `json:"createdAt"`
	Version         string            `json:"version,omitempty"`
	Endpoint        string            `json:"endpoint,omitempty"`
	RoleARN         string            `json:"roleArn,omitempty"`
	Network         json.RawMessage   `json:"resourcesVpcConfig,omitempty"`
	KubeNetwork     map[string]string `json:"kubernetesNetworkConfig"`
	Identity        *identityView     `json:"identity,omitempty"`
	Status          string            `json:"status"`
	CA              map[string]string `json:"certificateAuthority"`
	PlatformVersion string            `json:"platformVersion"`
	Tags            map[string]string `json:"tags"`
	Compute         map[string]bool   `json:"computeConfig"`
	Access          map[string]string `json:"accessConfig"`
}

type identityView struct {
	OIDC struct {
		Issuer string `json:"issuer"`
	} `json:"oidc"`
}

type clusterOutput struct {
	Cluster clusterView `json:"cluster"`
}

func (s *Service) view(c *Cluster) clusterOutput {
	v := clusterView{
		Name: c.Name, ARN: s.ARN(c), CreatedAt: seconds(c.Created), Version: c.Version, Endpoint: c.Endpoint, RoleARN: c.RoleARN,
		Network: c.Network, KubeNetwork: map[string]string{"ipFamily": cmp.Or(c.IPFamily, "ipv4")}, Status: "ACTIVE", CA: map[string]string{},
		PlatformVersion: "eks.1", Tags: orEmpty(c.Tags), Compute: map[string]bool{"enabled": false},
		Access: map[string]string{"authenticationMode": "API"},
	}
	if c.CA != "" {
		v.CA["data"] = c.CA
	}
	if c.Issuer != "" {
		v.Identity = &identityView{}
		v.Identity.OIDC.Issuer = c.Issuer
	}
	return clusterOutput{v}
}

// seconds is a time as the protocol has it: seconds since 1970, with a fraction.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func orEmpty(tags map[string]string) map[string]string {
	if tags == nil {
		return map[string]string{}
	}
	return tags
}

type nothing struct{}

func (s *Service) describeCluster(c *api.Call, labels api.Labels, _ *nothing) (out clusterOutput, e *wire.Failure) {
	cluster, e := s.find(c, labels["name"], nil)
	if e != nil {
		return out, e
	}
	return s.view(cluster), nil
}

type clustersOutput struct {
	Clusters  []string `json:"clusters"`
	NextToken string   `json:"nextToken,omitempty"`
}

func (s *Service) listClusters(c *api.Call, _ api.Labels, _ *nothing) (out clustersOutput, e *wire.Failure) {
	p, e := readPage(c)
	if e != nil {
		return out, s.refuse(c, &why{Failure: e})
	}
	if e := s.account.Gate.Authorize(c, &api.Question{Action: "eks:ListClusters", Resource: "*"}); e != nil {
		return out, e
	}
	out.Clusters, out.NextToken = cut(p, s.names(c), func(name string) string { return name })
	return out, nil
}

type createClusterInput struct {
	Name               string            `json:"name"`
	RoleArn            string            `json:"roleArn"`
	ResourcesVpcConfig json.RawMessage   `json:"resourcesVpcConfig"`
	Version            string            `json:"version"`
	Tags               map[string]string `json:"tags"`

	KubernetesNetworkConfig struct {
		IPFamily string `json:"ipFamily"`
	} `json:"kubernetesNetworkConfig"`
}

func (in *createClusterInput) check() *wire.Failure {
	switch {
	case in.RoleArn == "":
		return invalid("The parameter roleArn is required.")
	case in.ResourcesVpcConfig == nil || in.ResourcesVpcConfig[0] != '{':
		return invalid("The parameter resourcesVpcConfig is required.")
	case !isFamily(in.KubernetesNetworkConfig.IPFamily):
		return invalid("The parameter kubernetesNetworkConfig.ipFamily should be ipv4 or ipv6.")
	case len(in.ResourcesVpcConfig) > maxJWKS || len(in.Version) > 32:
		return invalid("The parameters resourcesVpcConfig and version are too long.")
	}
	if e := checkClusterName(in.Name); e != nil {
		return e
	}
	return checkTags(in.Tags)
}

// clusterPrincipal is the service that assumes the role of a cluster (User Guide,
// "Amazon EKS cluster IAM role").
const clusterPrincipal = "eks.amazonaws.com"

// createCluster makes the name of a cluster known. There is no control plane, and no
// token of it is taken before its issuer is registered.
func (s *Service) createCluster(c *api.Call, _ api.Labels, in *createClusterInput) (out clusterOutput, e *wire.Failure) {
	if e := in.check(); e != nil {
		return out, s.refuse(c, &why{Failure: e})
	}
	if e := s.permit(c, in.Name, in.Tags); e != nil {
		return out, e
	}
	if e := s.passRole(c, in.RoleArn, clusterPrincipal); e != nil {
		return out, e
	}
	if role, found := s.account.Role(in.RoleArn); !found || !role.Trust.LetsService(clusterPrincipal, "sts:AssumeRole") {
		return out, s.refuse(c, &why{Failure: invalid("Role with arn: %s, could not be assumed because it does not exist or the "+
			"trusted entity is not correct", in.RoleArn), expected: []string{clusterPrincipal}})
	}
	made := &Cluster{
		Account: c.Caller.Account, Region: c.Region, Name: in.Name, Created: c.At.UTC(), Version: in.Version,
		Tags: in.Tags, Made: true, RoleARN: in.RoleArn, Network: in.ResourcesVpcConfig,
		IPFamily: in.KubernetesNetworkConfig.IPFamily,
	}
	arn := s.ARN(made)
	e = s.change(c, func(change *store.Change) *why {
		switch {
		case s.clusters[arn] != nil:
			return &why{Failure: inUse("Cluster already exists with name: %s", in.Name), resource: arn,
				expected: []string{"no cluster " + in.Name}, found: []string{in.Name}}
		case s.count(made.Account, made.Region) >= MaxClusters:
			return &why{Failure: tooMany("Limit exceeded: there can be %d clusters.", MaxClusters), resource: arn}
		}
		s.place(made)
		change.Put(bucketCluster, arn, made)
		return nil
	})
	if e != nil {
		return out, e
	}
	return s.view(made), nil
}

// deleteCluster undoes createCluster, and takes the cluster's associations along. What
// was registered runs somewhere, and is not for a client to delete.
func (s *Service) deleteCluster(c *api.Call, labels api.Labels, _ *nothing) (out clusterOutput, e *wire.Failure) {
	cluster, e := s.find(c, labels["name"], nil)
	if e != nil {
		return out, e
	}
	if !cluster.Made {
		return out, s.refuse(c, &why{Failure: badRequest("This cluster was registered with the emulator, not made by CreateCluster: " +
			"unregister it instead."), resource: s.ARN(cluster)})
	}
	if e := s.forget(cluster); e != nil {
		return out, e
	}
	out = s.view(cluster)
	out.Cluster.Status = "DELETING"
	return out, nil
}

// agentAddon is the add-on that the agent is at AWS.
const agentAddon = "eks-pod-identity-agent"

type addonView struct {
	Name       string              `json:"addonName"`
	Cluster    string              `json:"clusterName"`
	Status     string              `json:"status"`
	Version    string              `json:"addonVersion,omitempty"`
	Health     map[string][]string `json:"health"`
	ARN        string              `json:"addonArn"`
	CreatedAt  float64             `json:"createdAt"`
	ModifiedAt float64             `json:"modifiedAt"`
	Tags       map[string]string   `json:"tags"`
}

type addonOutput struct {
	Addon addonView `json:"addon"`
}

// describeAddon says of the agent that it is there, if it was registered or has come with
// the token of a pod. There are no other add-ons.
func (s *Service) describeAddon(c *api.Call, labels api.Labels, _ *nothing) (out addonOutput, e *wire.Failure) {
	name, addon := labels["name"], labels["addon"]
	if e := checkClusterName(name); e != nil {
		return out, s.refuse(c, &why{Failure: e})
	}
	cluster := s.Cluster(c.Caller.Account, c.Region, name)
	arn := s.addonARN(c.Caller.Account, c.Region, name, addon)
	q := &api.Question{Action: "eks:DescribeAddon", Resource: arn}
	if e := s.account.Gate.Authorize(c, q); e != nil {
		return out, e
	}
	switch {
	case cluster == nil:
		return out, s.refuse(c, s.noCluster(c, name))
	case addon != agentAddon || cluster.AgentVersion == "" && !cluster.AgentSeen:
		return out, s.refuse(c, &why{
			Failure: notFound("No addon: %s found in cluster: %s", addon, name), step: existence, resource: arn, expected: []string{addon},
		})
	}
	at := seconds(cluster.Created)
	return addonOutput{addonView{
		Name: addon, Cluster: name, Status: "ACTIVE", Version: cluster.AgentVersion, Health: map[string][]string{"issues": {}},
		ARN: arn, CreatedAt: at, ModifiedAt: at, Tags: map[string]string{},
	}}, nil
}

// addonARN is the ARN of an add-on, whose id follows from the rest here.
func (s *Service) addonARN(account, region, cluster, addon string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{account, region, cluster, addon}, "/")))
	id := fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
	return s.arn(account, region, "addon/"+cluster+"/"+addon+"/"+id)
}
