package organizations

import (
	"slices"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// maxTags is how many tags a resource can have.
const maxTags = 50

// tag adds tags to a resource, instead of those with the same keys.
func (o *organization) tag(id string, tags []tag) *wire.Failure {
	if len(tags) == 0 {
		return nil
	}
	for _, t := range tags {
		if n := len([]rune(t.Key)); n < 1 || n > 128 || len([]rune(t.Value)) > 256 {
			return invalid("You specified an invalid tag.")
		}
		tags := slices.DeleteFunc(o.tagsOf(id), func(old tag) bool { return old.Key == t.Key })
		o.Tags[id] = append(tags, t)
	}
	if len(o.Tags[id]) > maxTags {
		return constraint("You have exceeded the number of tags allowed on this resource.")
	}
	return nil
}

// tagsOf are the tags of a resource, which may be written to.
func (o *organization) tagsOf(id string) []tag {
	if o.Tags == nil {
		o.Tags = map[string][]tag{}
	}
	return o.Tags[id]
}

type tagInput struct {
	paging
	ResourceId string
	Tags       []tag
	TagKeys    []string
}

// tagged is the organization, once the caller may do something to the tags of what is
// in it.
func (s *Service) tagged(c *api.Call, id string) (*organization, *wire.Failure) {
	o, e := s.managed(c, s.typeOf(c, id), id)
	if e == nil && o.kindOf(id) == "" && o.policy(id) == nil {
		e = errNoTarget
	}
	return o, e
}

func (s *Service) tagResource(c *api.Call, in *tagInput) (out none, e *wire.Failure) {
	o, e := s.tagged(c, in.ResourceId)
	if e != nil {
		return out, e
	}
	_, e = s.edit(o.ID, func(o *organization) *wire.Failure { return o.tag(in.ResourceId, in.Tags) })
	return out, e
}

func (s *Service) untagResource(c *api.Call, in *tagInput) (out none, e *wire.Failure) {
	o, e := s.tagged(c, in.ResourceId)
	if e != nil {
		return out, e
	}
	_, e = s.edit(o.ID, func(o *organization) *wire.Failure {
		tags := o.tagsOf(in.ResourceId)
		o.Tags[in.ResourceId] = slices.DeleteFunc(tags, func(t tag) bool { return slices.Contains(in.TagKeys, t.Key) })
		return nil
	})
	return out, e
}

type tagsOutput struct {
	next
	Tags []tag
}

func (s *Service) listTags(c *api.Call, in *tagInput) (out tagsOutput, e *wire.Failure) {
	o, e := s.tagged(c, in.ResourceId)
	if e != nil {
		return out, e
	}
	out.Tags = append([]tag{}, o.Tags[in.ResourceId]...)
	return out, nil
}
