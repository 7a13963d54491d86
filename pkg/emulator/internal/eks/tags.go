package eks

import (
	"maps"
	"net/http"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// requestTags sets the condition keys of the tags that a request brings.
func requestTags(q *api.Question, tags map[string]string) {
	if len(tags) == 0 {
		return
	}
	for key, value := range tags {
		q.Keys.Set("aws:RequestTag/"+key, value)
	}
	q.Keys.SetMulti("aws:TagKeys", sortedKeys(tags)...)
}

// resourceTags sets those of the tags that a resource has.
func resourceTags(q *api.Question, tags map[string]string) {
	for key, value := range tags {
		q.Keys.Set("aws:ResourceTag/"+key, value)
	}
}

// tagged is what has tags: a cluster, or an association of it.
type tagged struct {
	arn         string
	cluster     *Cluster
	association *Association
}

func (t *tagged) tags() map[string]string {
	switch {
	case t.association != nil:
		return t.association.Tags
	case t.cluster != nil:
		return t.cluster.Tags
	}
	return nil
}

// findTagged is what an ARN names, once the caller may do the operation to it. Other
// tag operations of EKS say BadRequestException and NotFoundException, without
// "Resource" (the service model).
func (s *Service) findTagged(c *api.Call, arn string, requested map[string]string, keys []string) (*tagged, *wire.Failure) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "eks" || parts[5] == "" || len(arn) > maxClusterArn {
		e := failure(http.StatusBadRequest, "BadRequestException", "The resource ARN is not one of Amazon EKS.")
		return nil, s.refuse(c, &why{Failure: e})
	}
	t := s.named(arn, parts)
	q := &api.Question{Action: "eks:" + c.Operation, Resource: arn, Account: parts[4]}
	resourceTags(q, t.tags())
	requestTags(q, requested)
	if len(keys) > 0 {
		q.Keys.SetMulti("aws:TagKeys", keys...)
	}
	if e := s.account.Gate.Authorize(c, q); e != nil {
		return nil, e
	}
	if t.cluster == nil || parts[3] != c.Region {
		return nil, s.refuse(c, noResource(arn))
	}
	return t, nil
}

// named is what the parts of an ARN name. Without a cluster it is nothing.
func (s *Service) named(arn string, parts []string) *tagged {
	t := &tagged{arn: arn}
	kind, rest, _ := strings.Cut(parts[5], "/")
	switch name, id, _ := strings.Cut(rest, "/"); kind {
	case "cluster":
		if t.cluster = s.Cluster(parts[4], parts[3], rest); t.cluster != nil && s.ARN(t.cluster) != arn {
			t.cluster = nil
		}
	case "podidentityassociation":
		cluster := s.Cluster(parts[4], parts[3], name)
		if cluster == nil {
			break
		}
		if t.association = s.byID(cluster, id); t.association != nil && s.associationARN(cluster, id) == arn {
			t.cluster = cluster
		}
	}
	return t
}

// noResource is the answer to an ARN that names nothing.
func noResource(arn string) *why {
	e := failure(http.StatusNotFound, "NotFoundException", "The resource was not found: %s", arn)
	return &why{Failure: e, step: existence, resource: arn, expected: []string{arn}}
}

// retag gives a resource other tags.
func (s *Service) retag(c *api.Call, t *tagged, f func(map[string]string) *why) *wire.Failure {
	return s.change(c, func(change *store.Change) *why {
		cluster := s.clusters[s.ARN(t.cluster)]
		if cluster == nil {
			return noResource(t.arn)
		}
		if t.association == nil {
			changed := *cluster
			changed.Tags = maps.Clone(orEmpty(cluster.Tags))
			if refused := f(changed.Tags); refused != nil {
				return refused
			}
			s.place(&changed)
			change.Put(bucketCluster, t.arn, &changed)
			return nil
		}
		r := s.of[s.ARN(cluster)]
		old := r.byID[t.association.ID]
		if old == nil {
			return noResource(t.arn)
		}
		changed := *old
		changed.Tags = maps.Clone(orEmpty(old.Tags))
		if refused := f(changed.Tags); refused != nil {
			return refused
		}
		r.put(&changed)
		change.Put(bucketAssociation, t.arn, &changed)
		return nil
	})
}

type tagInput struct {
	Tags map[string]string `json:"tags"`
}

// badTags is a fault of the tags of a resource in the words of these operations.
func badTags(arn, format string, args ...any) *why {
	return &why{Failure: failure(http.StatusBadRequest, "BadRequestException", format, args...), resource: arn}
}

func (s *Service) tagResource(c *api.Call, labels api.Labels, in *tagInput) (out nothing, e *wire.Failure) {
	if len(in.Tags) == 0 {
		return out, s.refuse(c, badTags("", "There must be 1 to %d tags.", maxTags))
	}
	if e := checkTags(in.Tags); e != nil {
		return out, s.refuse(c, badTags("", "%s", e.Message))
	}
	t, e := s.findTagged(c, labels["arn"], in.Tags, nil)
	if e != nil {
		return out, e
	}
	return out, s.retag(c, t, func(tags map[string]string) *why {
		maps.Copy(tags, in.Tags)
		if e := checkTags(tags); e != nil {
			return badTags(t.arn, "%s", e.Message)
		}
		return nil
	})
}

func (s *Service) untagResource(c *api.Call, labels api.Labels, _ *nothing) (out nothing, e *wire.Failure) {
	keys := c.Request.URL.Query()["tagKeys"]
	if len(keys) < 1 || len(keys) > maxTags {
		return out, s.refuse(c, badTags("", "There must be 1 to %d tagKeys.", maxTags))
	}
	t, e := s.findTagged(c, labels["arn"], nil, keys)
	if e != nil {
		return out, e
	}
	return out, s.retag(c, t, func(tags map[string]string) *why {
		for _, key := range keys {
			delete(tags, key)
		}
		return nil
	})
}

type tagsOutput struct {
	Tags map[string]string `json:"tags"`
}

func (s *Service) listTags(c *api.Call, labels api.Labels, _ *nothing) (out tagsOutput, e *wire.Failure) {
	t, e := s.findTagged(c, labels["arn"], nil, nil)
	if e != nil {
		return out, e
	}
	return tagsOutput{orEmpty(t.tags())}, nil
}
