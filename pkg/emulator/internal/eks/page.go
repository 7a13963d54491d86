package eks

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// maxResults is how many items a page has, at most and unless told (the service
// model).
const maxResults = 100

// page is the part of a list that is asked for.
type page struct {
	list  api.List
	size  int
	after string // the place of the last item of the page before, "" for the first page
}

// place is where an association is in lists: what was deleted meanwhile leaves no gap
// and repeats nothing.
func (a *Association) place() string { return fmt.Sprintf("%020d/%s", a.Created.UnixNano(), a.ID) }

// readPage reads maxResults and nextToken. The rest of the query, such as a namespace,
// makes another list.
func readPage(c *api.Call) (page, *wire.Failure) {
	query := c.Request.URL.Query()
	filter := maps.Clone(query)
	filter.Del("maxResults")
	filter.Del("nextToken")
	p := page{size: maxResults, list: c.List(c.Region, c.Request.URL.Path, filter.Encode())}
	if query.Has("maxResults") {
		n, err := strconv.Atoi(query.Get("maxResults"))
		if err != nil || n < 1 || n > maxResults {
			return p, invalid("The parameter maxResults should be between 1 and %d.", maxResults)
		}
		p.size = n
	}
	if token := query.Get("nextToken"); token != "" {
		var ok bool
		if p.after, ok = p.list.Place(token); !ok {
			return p, invalid("The parameter nextToken is not one that was given out for this list.")
		}
	}
	return p, nil
}

// cut is the page of a list that is in the order of places, and the token of the next,
// "" for none.
func cut[T any](p page, all []T, place func(T) string) (items []T, token string) {
	from := slices.IndexFunc(all, func(item T) bool { return place(item) > p.after })
	if from < 0 {
		return []T{}, ""
	}
	all = all[from:]
	if len(all) <= p.size {
		return all, ""
	}
	all = all[:p.size]
	return all, p.list.Token(place(all[p.size-1]))
}
