// Package eks is the emulator's Amazon EKS, as far as EKS Pod Identity needs it: which
// clusters there are, and their pod identity associations. The rules are those of the
// Amazon EKS API Reference and User Guide ("Learn how EKS Pod Identity grants pods
// access to AWS services"); docs/pod-identity.md says where these are silent, and what
// was decided then.
//
// No cluster is ever made: one that runs elsewhere is registered, with its issuer.
package eks

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// ServicePrincipal is the service that assumes the roles of associations (User Guide,
// "Create IAM role with trust policy required by EKS Pod Identity").
const ServicePrincipal = "pods.eks.amazonaws.com"

// Buckets of the state file.
const (
	bucketCluster     = "eks-cluster"     // by ARN
	bucketAssociation = "eks-association" // by ARN
)

// MaxClusters is how many clusters an account can have in a region (User Guide,
// "Service quotas").
const MaxClusters = 100

// Config is what the emulator decides.
type Config struct {
	// MaxAssociations is how many associations a cluster can have.
	MaxAssociations int
	// Issuer makes what verifies the tokens of a cluster, or says what is wrong with
	// its issuers or its key set. It is called for each cluster that is registered or
	// read from the state file.
	Issuer func(*Cluster) (any, error)
	// Gone is told of each cluster that is no more, or is another now.
	Gone func(*Cluster)
}

// Service is EKS.
type Service struct {
	*api.RESTService
	account *api.Account
	config  Config

	mu       sync.RWMutex        // guards the maps; what is in them never changes
	clusters map[string]*Cluster // by ARN
	of       map[string]*room    // by ARN of the cluster
}

// room are the associations of a cluster.
type room struct {
	byID   map[string]*Association
	byPair map[pair]*Association
}

// pair is who an association is for.
type pair struct{ namespace, account string }

// New is the EKS of an emulator.
func New(account *api.Account, config Config) *Service {
	s := &Service{account: account, config: config}
	const cluster = "/clusters/{name}"
	const associations = cluster + "/pod-identity-associations"
	s.RESTService = (&api.RESTService{
		Account: account, Name: "eks",
		Operations: map[string]api.RESTOperation{
			"CreatePodIdentityAssociation":   api.REST("POST "+associations, s.create),
			"DescribePodIdentityAssociation": api.REST("GET "+associations+"/{id}", s.describe),
			"ListPodIdentityAssociations":    api.REST("GET "+associations, s.list),
			"UpdatePodIdentityAssociation":   api.REST("POST "+associations+"/{id}", s.update),
			"DeletePodIdentityAssociation":   api.REST("DELETE "+associations+"/{id}", s.remove),

			"DescribeCluster": api.REST("GET "+cluster, s.describeCluster),
			"ListClusters":    api.REST("GET /clusters", s.listClusters),
			"CreateCluster":   api.REST("POST /clusters", s.createCluster),
			"DeleteCluster":   api.REST("DELETE "+cluster, s.deleteCluster),
			"DescribeAddon":   api.REST("GET "+cluster+"/addons/{addon}", s.describeAddon),

			"TagResource":         api.REST("POST /tags/{arn}", s.tagResource),
			"UntagResource":       api.REST("DELETE /tags/{arn}", s.untagResource),
			"ListTagsForResource": api.REST("GET /tags/{arn}", s.listTags),
		},
		Members: errorMembers,
		State:   s.load,
	}).Open()
	return s
}

// errorMembers are what errors of EKS have beside the message: null, or what it is
// about (the service model).
func errorMembers(_ *api.Call, labels api.Labels) map[string]any {
	members := map[string]any{"clusterName": nil, "nodegroupName": nil, "addonName": nil}
	for label, member := range map[string]string{"name": "clusterName", "addon": "addonName"} {
		if v, ok := labels[label]; ok {
			members[member] = v
		}
	}
	return members
}

// load reads clusters and associations of the state file.
func (s *Service) load() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clusters, s.of = map[string]*Cluster{}, map[string]*room{}
	err := s.account.Store.Load(bucketCluster, func(arn string, value []byte) error {
		c := new(Cluster)
		if err := json.Unmarshal(value, c); err != nil {
			return err
		}
		if err := s.verifying(c); err != nil {
			return fmt.Errorf("cluster %q: %w", c.Name, err)
		}
		s.place(c)
		return nil
	})
	if err != nil {
		return err
	}
	return s.account.Store.Load(bucketAssociation, func(_ string, value []byte) error {
		a := new(Association)
		if err := json.Unmarshal(value, a); err != nil {
			return err
		}
		if r := s.of[a.Cluster]; r != nil {
			r.put(a)
		}
		return nil
	})
}

// verifying gives a cluster what verifies its tokens.
func (s *Service) verifying(c *Cluster) (err error) {
	if c.Issuer != "" {
		c.Verifier, err = s.config.Issuer(c)
	}
	return err
}

// place puts a cluster among the others, instead of an older one. The caller holds mu.
func (s *Service) place(c *Cluster) {
	arn := s.ARN(c)
	s.clusters[arn] = c
	if s.of[arn] == nil {
		s.of[arn] = &room{map[string]*Association{}, map[pair]*Association{}}
	}
}

func (r *room) put(a *Association) {
	r.byID[a.ID] = a
	r.byPair[pair{a.Namespace, a.ServiceAccount}] = a
}

func (r *room) drop(a *Association) {
	delete(r.byID, a.ID)
	delete(r.byPair, pair{a.Namespace, a.ServiceAccount})
}

// ARN is the ARN of a cluster.
func (s *Service) ARN(c *Cluster) string { return s.arn(c.Account, c.Region, "cluster/"+c.Name) }

func (s *Service) arn(account, region, resource string) string {
	return s.account.ARNOf(account, "eks", region, resource)
}

// Cluster is the one of an account with a name, in a region; nil if there is none.
func (s *Service) Cluster(account, region, name string) *Cluster {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.clusters[s.arn(account, region, "cluster/"+name)]
}

// For is the association of a cluster for a service account; nil if there is none.
func (s *Service) For(c *Cluster, namespace, serviceAccount string) *Association {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r := s.of[s.ARN(c)]; r != nil {
		return r.byPair[pair{namespace, serviceAccount}]
	}
	return nil
}

// Seen remembers that an agent has come with a good token of a pod of the cluster. What
// cannot be written now is said to whoever next changes something.
func (s *Service) Seen(c *Cluster) {
	if c.AgentSeen {
		return
	}
	s.edit(func(change *store.Change) *wire.Failure {
		arn := s.ARN(c)
		old := s.clusters[arn]
		if old == nil || old.AgentSeen {
			return nil
		}
		seen := *old
		seen.AgentSeen = true
		s.place(&seen)
		change.Put(bucketCluster, arn, &seen)
		return nil
	})
}

// Clusters are all clusters, in the order of their ARNs.
func (s *Service) Clusters() []*Cluster {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []*Cluster
	for _, arn := range sortedKeys(s.clusters) {
		all = append(all, s.clusters[arn])
	}
	return all
}

// Associations are those of a cluster, the oldest first.
func (s *Service) Associations(c *Cluster) []*Association {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []*Association
	if r := s.of[s.ARN(c)]; r != nil {
		for _, a := range r.byID {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, older)
	return all
}

// edit changes what there is: f looks at it, and either refuses or changes it, in the
// maps and for the file. When edit returns nil the change is on disk, if there is a
// file.
func (s *Service) edit(f func(*store.Change) *wire.Failure) *wire.Failure {
	if s.account.Store.Failure() != nil {
		return wire.ErrInternal
	}
	var change store.Change
	s.mu.Lock()
	if e := f(&change); e != nil {
		s.mu.Unlock()
		return e
	}
	batch := s.account.Store.Queue(change.Records...)
	s.mu.Unlock()
	if change.Err != nil || s.account.Store.Commit(batch) != nil {
		return wire.ErrInternal
	}
	return nil
}
