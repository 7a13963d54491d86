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
		e := failure(http.StatusNotFound, "NotFoundException", "The resource was not found: %s", arn)
		s.account.Gate.Record(c, api.Decision{Step: "existence", Reason: e.Message, Code: e.Code, Resource: arn, Expected: []string{arn}})
		return nil, e
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

// retag gives a resource other tags.
func (s *Service) retag(t *tagged, f func(map[string]string) *wire.Failure) *wire.Failure {
	changed := func(old map[string]string) (map[string]string, *wire.Failure) {
		tags := maps.Clone(orEmpty(old))
		return tags, f(tags)
	}
	if t.association != nil {
		_, e := s.replace(t.cluster, t.association.ID, func(old *Association) (*Association, *wire.Failure) {
			a := *old
			var e *wire.Failure
			a.Tags, e = changed(old.Tags)
			return &a, e
		})
		return e
	}
	return s.edit(func(change *store.Change) *wire.Failure {
		old := s.clusters[t.arn]
		if old == nil {
			return NoCluster(t.cluster.Name)
		}
		c := *old
		var e *wire.Failure
		if c.Tags, e = changed(old.Tags); e != nil {
			return e
		}
		s.place(&c)
		change.Put(bucketCluster, t.arn, &c)
		return nil
	})
}

type tagInput struct {
	Tags map[string]string `json:"tags"`
}

// badTags is a fault of tags in the words of these operations.
func badTags(e *wire.Failure) *wire.Failure {
	return failure(http.StatusBadRequest, "BadRequestException", "%s", e.Message)
}

func (s *Service) tagResource(c *api.Call, labels api.Labels, in *tagInput) (out nothing, e *wire.Failure) {
	if e := checkTags(in.Tags); e != nil {
		return out, s.refuse(c, &why{Failure: badTags(e)})
	}
	t, e := s.findTagged(c, labels["arn"], in.Tags, nil)
	if e != nil {
		return out, e
	}
	return out, s.retag(t, func(tags map[string]string) *wire.Failure {
		maps.Copy(tags, in.Tags)
		if e := checkTags(tags); e != nil {
			return badTags(e)
		}
		return nil
	})
}

func (s *Service) untagResource(c *api.Call, labels api.Labels, _ *nothing) (out nothing, e *wire.Failure) {
	keys := c.Request.URL.Query()["tagKeys"]
	if len(keys) < 1 || len(keys) > maxTags {
		return out, s.refuse(c, &why{Failure: failure(http.StatusBadRequest, "BadRequestException", "There must be 1 to %d tagKeys.", maxTags)})
	}
	t, e := s.findTagged(c, labels["arn"], nil, keys)
	if e != nil {
		return out, e
	}
	return out, s.retag(t, func(tags map[string]string) *wire.Failure {
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
