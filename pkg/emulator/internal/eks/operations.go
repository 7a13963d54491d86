package eks

import (
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

type createInput struct {
	Namespace          string            `json:"namespace"`
	ServiceAccount     string            `json:"serviceAccount"`
	RoleArn            string            `json:"roleArn"`
	ClientRequestToken string            `json:"clientRequestToken"`
	Tags               map[string]string `json:"tags"`
	DisableSessionTags *bool             `json:"disableSessionTags"`
	TargetRoleArn      string            `json:"targetRoleArn"`
	Policy             string            `json:"policy"`
}

func (s *Service) checkCreate(in *createInput) *wire.Failure {
	if e := checkPair(in.Namespace, in.ServiceAccount); e != nil {
		return e
	}
	switch {
	case in.RoleArn == "":
		return invalid("The parameter roleArn is required.")
	case len(in.ClientRequestToken) > maxToken:
		return invalid("The parameter clientRequestToken has more than %d characters.", maxToken)
	case in.Policy != "" && (in.DisableSessionTags == nil || !*in.DisableSessionTags):
		return errPolicyWithTags
	}
	if e := checkTags(in.Tags); e != nil {
		return e
	}
	if e := s.checkTarget(in.TargetRoleArn); e != nil {
		return e
	}
	return s.checkPolicy(in.Policy)
}

// errPolicyWithTags is the answer to a session policy beside session tags.
var errPolicyWithTags = invalid("The parameter policy can be used only if disableSessionTags is true.")

func (s *Service) create(c *api.Call, labels api.Labels, in *createInput) (out associationOutput, e *wire.Failure) {
	if e := s.checkCreate(in); e != nil {
		return out, s.refuse(c, &why{Failure: e})
	}
	cluster, e := s.find(c, labels["name"], in.Tags)
	if e != nil {
		return out, e
	}
	if e := s.useRole(c, cluster, in.RoleArn); e != nil {
		return out, e
	}
	at := c.At.UTC()
	made := &Association{
		Cluster: s.ARN(cluster), ID: newAssociationID(), Namespace: in.Namespace, ServiceAccount: in.ServiceAccount, RoleARN: in.RoleArn,
		TargetRoleARN: in.TargetRoleArn, Policy: in.Policy, Tags: in.Tags, Created: at, Modified: at,
		DisableSessionTags: in.DisableSessionTags != nil && *in.DisableSessionTags, Token: in.ClientRequestToken, Asked: in.digest(),
	}
	e = s.change(c, func(change *store.Change) *why {
		r := s.of[made.Cluster]
		if r == nil {
			return &why{Failure: NoCluster(cluster.Name), step: existence, resource: made.Cluster}
		}
		before, same := r.byToken(made.Token, at), r.byPair[pair{in.Namespace, in.ServiceAccount}]
		switch {
		case before != nil && before.Asked == made.Asked:
			made = before
			return nil
		case before != nil:
			return &why{Failure: badRequest("The clientRequestToken was used before, with other parameters."),
				expected: []string{"what made " + before.ID}}
		case same != nil:
			return &why{Failure: inUse("Association already exists: %s", same.ID), resource: s.associationARN(cluster, same.ID),
				expected: []string{"no association of " + in.Namespace + "/" + in.ServiceAccount}, found: []string{same.ID}}
		case len(r.byID) >= s.config.MaxAssociations:
			return &why{Failure: tooMany("The cluster %s has %d pod identity associations, which is the maximum.", cluster.Name, len(r.byID))}
		}
		r.put(made)
		change.Put(bucketAssociation, s.associationARN(cluster, made.ID), made)
		return nil
	})
	if e != nil {
		return out, e
	}
	return s.show(cluster, made), nil
}

// findAssociation is the association with an id, once the caller may do the operation
// to it: to the association, not to the cluster.
func (s *Service) findAssociation(c *api.Call, labels api.Labels) (*Cluster, *Association, *wire.Failure) {
	name, id := labels["name"], labels["id"]
	e := checkClusterName(name)
	if e == nil && len(id) != idLength {
		e = invalid("The parameter associationId should be %d characters long.", idLength)
	}
	if e != nil {
		return nil, nil, s.refuse(c, &why{Failure: e})
	}
	cluster := s.Cluster(c.Caller.Account, c.Region, name)
	arn := s.arn(c.Caller.Account, c.Region, "podidentityassociation/"+name+"/"+id)
	q := &api.Question{Action: "eks:" + c.Operation, Resource: arn}
	var found *Association
	if cluster != nil {
		found = s.byID(cluster, id)
	}
	if found != nil {
		resourceTags(q, found.Tags)
	}
	if e := s.account.Gate.Authorize(c, q); e != nil {
		return nil, nil, e
	}
	switch {
	case cluster == nil:
		return nil, nil, s.refuse(c, s.noCluster(c, name))
	case found == nil:
		return nil, nil, s.refuse(c, noAssociation(arn))
	}
	return cluster, found, nil
}

// byID is the association of a cluster with an id; nil if there is none.
func (s *Service) byID(c *Cluster, id string) *Association {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r := s.of[s.ARN(c)]; r != nil {
		return r.byID[id]
	}
	return nil
}

func (s *Service) describe(c *api.Call, labels api.Labels, _ *nothing) (out associationOutput, e *wire.Failure) {
	cluster, found, e := s.findAssociation(c, labels)
	if e != nil {
		return out, e
	}
	return s.show(cluster, found), nil
}

// summaryView is an association in a list, which says little: clients describe each.
type summaryView struct {
	ClusterName    string `json:"clusterName"`
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"serviceAccount"`
	ARN            string `json:"associationArn"`
	ID             string `json:"associationId"`
}

type listOutput struct {
	Associations []summaryView `json:"associations"`
	NextToken    string        `json:"nextToken,omitempty"`
}

func (s *Service) list(c *api.Call, labels api.Labels, _ *nothing) (out listOutput, e *wire.Failure) {
	p, e := readPage(c)
	if e != nil {
		return out, s.refuse(c, &why{Failure: e})
	}
	cluster, e := s.find(c, labels["name"], nil)
	if e != nil {
		return out, e
	}
	query := c.Request.URL.Query()
	namespace, serviceAccount := query.Get("namespace"), query.Get("serviceAccount")
	var found []*Association
	for _, a := range s.Associations(cluster) {
		if (namespace == "" || a.Namespace == namespace) && (serviceAccount == "" || a.ServiceAccount == serviceAccount) {
			found = append(found, a)
		}
	}
	found, out.NextToken = cut(p, found, (*Association).place)
	out.Associations = []summaryView{}
	for _, a := range found {
		v := summaryView{cluster.Name, a.Namespace, a.ServiceAccount, s.associationARN(cluster, a.ID), a.ID}
		out.Associations = append(out.Associations, v)
	}
	return out, nil
}

type updateInput struct {
	RoleArn            *string `json:"roleArn"`
	DisableSessionTags *bool   `json:"disableSessionTags"`
	TargetRoleArn      *string `json:"targetRoleArn"`
	Policy             *string `json:"policy"`
}

// change is an association changed as it was asked for: "" takes the target role, or
// the policy, away.
func (in *updateInput) change(old *Association) *Association {
	a := *old
	if in.RoleArn != nil {
		a.RoleARN = *in.RoleArn
	}
	if in.DisableSessionTags != nil {
		a.DisableSessionTags = *in.DisableSessionTags
	}
	if in.TargetRoleArn != nil {
		a.TargetRoleARN = *in.TargetRoleArn
	}
	if in.Policy != nil {
		a.Policy = *in.Policy
	}
	return &a
}

func (s *Service) checkUpdate(in *updateInput) *wire.Failure {
	switch {
	case in.RoleArn == nil && in.DisableSessionTags == nil && in.TargetRoleArn == nil && in.Policy == nil:
		return invalid("At least one of the parameters roleArn, targetRoleArn, disableSessionTags and policy is required.")
	case in.RoleArn != nil && *in.RoleArn == "":
		return invalid("The parameter roleArn cannot be empty.")
	}
	if in.TargetRoleArn != nil {
		if e := s.checkTarget(*in.TargetRoleArn); e != nil {
			return e
		}
	}
	if in.Policy != nil {
		return s.checkPolicy(*in.Policy)
	}
	return nil
}

func (s *Service) update(c *api.Call, labels api.Labels, in *updateInput) (out associationOutput, e *wire.Failure) {
	if e := s.checkUpdate(in); e != nil {
		return out, s.refuse(c, &why{Failure: e})
	}
	cluster, found, e := s.findAssociation(c, labels)
	if e != nil {
		return out, e
	}
	if in.RoleArn != nil {
		if e := s.useRole(c, cluster, *in.RoleArn); e != nil {
			return out, e
		}
	}
	changed, e := s.replace(c, cluster, found.ID, func(old *Association) (*Association, *why) {
		a := in.change(old)
		a.Modified = c.At.UTC()
		if a.Policy != "" && !a.DisableSessionTags {
			return nil, &why{Failure: errPolicyWithTags}
		}
		return a, nil
	})
	if e != nil {
		return out, e
	}
	return s.show(cluster, changed), nil
}

// replace puts another association instead of the one with an id.
func (s *Service) replace(c *api.Call, cluster *Cluster, id string, f func(*Association) (*Association, *why)) (
	*Association, *wire.Failure) {
	var changed *Association
	arn := s.associationARN(cluster, id)
	e := s.change(c, func(change *store.Change) (refused *why) {
		r := s.of[s.ARN(cluster)]
		if r == nil || r.byID[id] == nil {
			return noAssociation(arn)
		}
		if changed, refused = f(r.byID[id]); refused != nil {
			return refused
		}
		r.put(changed)
		change.Put(bucketAssociation, arn, changed)
		return nil
	})
	return changed, e
}

func (s *Service) remove(c *api.Call, labels api.Labels, _ *nothing) (out associationOutput, e *wire.Failure) {
	cluster, found, e := s.findAssociation(c, labels)
	if e != nil {
		return out, e
	}
	arn := s.associationARN(cluster, found.ID)
	e = s.change(c, func(change *store.Change) *why {
		r := s.of[found.Cluster]
		if r == nil || r.byID[found.ID] == nil {
			return noAssociation(arn)
		}
		found = r.byID[found.ID]
		r.drop(found)
		change.Delete(bucketAssociation, arn)
		return nil
	})
	if e != nil {
		return out, e
	}
	return s.show(cluster, found), nil
}
