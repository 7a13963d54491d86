package emulator

import (
	"encoding/base64"
	"net/http"
	"slices"
	"sort"
	"strings"

	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// page is a part of a list that a call asked for. Markers are opaque to
// clients; they hold the operation and the last item that was handed out, so
// that what is added or removed meanwhile does not shift the rest.
type page struct {
	operation string
	after     string
	size      int
}

// readPage reads Marker and MaxItems.
func (c *call) readPage() page {
	p := page{operation: c.Operation, size: c.Number("MaxItems", defaultItems, 1, maxItems)}
	if !c.Has("Marker") {
		return p
	}
	marker := c.Text("Marker", ruleMarker)
	b, err := base64.URLEncoding.DecodeString(marker)
	operation, after, ok := strings.Cut(string(b), "\x00")
	if err != nil || !ok || operation != c.Operation {
		if c.Malformed == nil {
			c.Malformed = wire.Errorf(http.StatusBadRequest, "ValidationError", "Invalid Marker.")
		}
		return p
	}
	p.after = after
	return p
}

// cut sorts items by a key that is unique among them, and returns those of the
// page, and the marker of the next, "" if this is the last.
func cut[T any](p page, items []T, key func(T) string) ([]T, string) {
	order.By(items, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	i, found := sort.Find(len(items), func(i int) int { return strings.Compare(p.after, key(items[i])) })
	if found {
		i++
	}
	items = items[i:]
	if len(items) <= p.size {
		return items, ""
	}
	items = items[:p.size]
	marker := p.operation + "\x00" + key(items[p.size-1])
	return items, base64.URLEncoding.EncodeToString([]byte(marker))
}

// writePage writes the elements that name the next page.
func writePage(x *wire.XML, marker string) {
	x.Bool("IsTruncated", marker != "")
	x.Optional("Marker", marker)
}

// tagPage is the result of the operations that list tags.
func tagPage(p page, tags []wire.Tag) func(*wire.XML) {
	found, marker := cut(p, slices.Clone(tags), func(t wire.Tag) string { return t.Key })
	return func(x *wire.XML) {
		writeTags(x, found)
		writePage(x, marker)
	}
}
