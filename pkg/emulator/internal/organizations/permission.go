package organizations

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// permit asks whether the caller may do the operation to each of some resources;
// without any it is "*". The type of policy that it is about may be "".
func (s *Service) permit(c *api.Call, kind string, resources ...string) *wire.Failure {
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	for _, resource := range resources {
		q := &api.Question{Action: "organizations:" + c.Operation, Resource: resource}
		if kind != "" {
			q.Keys.Set("organizations:PolicyType", kind)
		}
		if e := s.account.Gate.Authorize(c, q); e != nil {
			return e
		}
	}
	return nil
}

// managed is the organization that the caller manages, once it may do the operation
// to the resources, which are ids of targets and policies. Other accounts of the
// organization may not, nor do they learn what there is.
func (s *Service) managed(c *api.Call, kind string, ids ...string) (*organization, *wire.Failure) {
	o := s.organizationOf(c.Caller.Account)
	var resources []string
	if o != nil && o.Master == c.Caller.Account {
		for _, id := range ids {
			resources = append(resources, o.arnOf(id))
		}
	}
	if e := s.permit(c, kind, resources...); e != nil {
		return nil, e
	}
	switch {
	case o == nil:
		return nil, errNotInUse
	case o.Master != c.Caller.Account:
		s.account.Gate.Record(c, api.Decision{
			Step: "permission", Code: errNoAccess.Code,
			Reason: "only account " + o.Master + " manages organization " + o.ID + ", and the caller is of " + c.Caller.Account,
		})
		return nil, errNoAccess
	}
	return o, nil
}

// paging is the part of the input that lists share, and next that of the output.
type paging struct {
	NextToken  string
	MaxResults int
}

type next struct {
	NextToken string `json:",omitempty"`
}

// maxResults is how many items a page has (the service model).
const maxResults = 20

// cut is the page of a list that is asked for. A token is of the number of items before
// the page.
func cut[T any](list api.List, p paging, all []T) ([]T, next, *wire.Failure) {
	from, to, more, e := p.span(list, len(all))
	return append([]T{}, all[from:to]...), more, e
}

// span is which of n entries a page has.
func (p paging) span(list api.List, n int) (from, to int, more next, e *wire.Failure) {
	size := cmp.Or(p.MaxResults, maxResults)
	if size < 1 || size > maxResults {
		return 0, 0, next{}, invalid("You provided a value for MaxResults that is not between 1 and %d.", maxResults)
	}
	if p.NextToken != "" {
		place, ok := list.Place(p.NextToken)
		after, err := strconv.Atoi(place)
		if !ok || err != nil || after < 0 || after > n {
			return 0, 0, next{}, invalid("Invalid NextToken.")
		}
		from = after
	}
	if n-from <= size {
		return from, n, next{}, nil
	}
	return from, from + size, next{list.Token(strconv.Itoa(from + size))}, nil
}

// checkName refuses names that the service model does: 1 to 128 characters.
func checkName(name string) *wire.Failure {
	if n := len([]rune(name)); n < 1 || n > 128 || strings.TrimSpace(name) == "" {
		return invalid("You specified an invalid value for Name.")
	}
	return nil
}

// checkType refuses what is no type of policy that there is.
func checkType(kind string) *wire.Failure {
	if fullOf(kind) == nil {
		return invalid("The emulator has no policies of type %q; it has %s.", kind, strings.Join(types, " and "))
	}
	return nil
}

// checkContent refuses the content of a policy.
func checkContent(kind, content string) *wire.Failure {
	limit := policy.MaxServiceControl
	if kind == resourceControl {
		limit = policy.MaxResourceControl
	}
	if len([]rune(content)) > limit {
		return errSize
	}
	if _, err := policy.Parse(grammar(kind), []byte(content)); err != nil {
		if fault, ok := err.(*policy.Error); ok {
			return failure(fault.Code, "%s", fault.Message)
		}
		return wire.ErrInternal
	}
	return nil
}
