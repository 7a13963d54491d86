package webhook

import (
	"context"
	"errors"
	"io"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
)

// maxPage is how large a page of a list of service accounts may be, in bytes as
// the API server sends them, and pageSize how many a page has at most. One object
// alone is a page of any size; the API server's own bound is 1.5 MiB.
const (
	maxPage  = 4 << 20
	pageSize = 500
)

var serviceAccounts = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}

// listWatch follows the service accounts. Current API servers send all of them one
// by one, by watch. Of others they are listed page by page, and only what is kept
// of a page is there when the next one comes: a tenant's service accounts may
// have a quarter of a megabyte of annotations each.
func listWatch(client metadata.Interface, known *accounts) cache.ListerWatcher {
	all := client.Resource(serviceAccounts)
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			whole := &metav1.PartialObjectMetadataList{}
			o.ResourceVersion, o.ResourceVersionMatch, o.Continue = "", "", "" // or old API servers send all at once
			for o.Limit = pageSize; ; {
				page, err := all.List(limitBody(ctx, o.Limit), o)
				if errors.Is(err, errTooLarge) && o.Limit > 1 {
					o.Limit = max(1, o.Limit/4)
					continue
				}
				if err != nil {
					return nil, err
				}
				for i := range page.Items {
					sa, err := known.trim(&page.Items[i])
					if err != nil {
						return nil, err
					}
					whole.Items = append(whole.Items, *sa.(*metav1.PartialObjectMetadata))
				}
				whole.ResourceVersion = page.ResourceVersion
				if o.Continue = page.Continue; o.Continue == "" {
					return whole, nil
				}
				o.Limit = min(pageSize, 2*o.Limit)
			}
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return all.Watch(ctx, o)
		},
	}, client)
}

var errTooLarge = errors.New("the answer is larger than there is memory for")

type bodyLimit struct{}

// limitBody bounds the answer to a request with this context, if it is for more
// than one object and goes through [LimitBodies].
func limitBody(ctx context.Context, objects int64) context.Context {
	if objects == 1 {
		return ctx
	}
	return context.WithValue(ctx, bodyLimit{}, int64(maxPage))
}

// LimitBodies has a client of the API server end answers that the directory has no
// memory for. It is for [rest.Config.Wrap].
func LimitBodies(rt http.RoundTripper) http.RoundTripper { return limited{rt} }

type limited struct{ http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if most, ok := r.Context().Value(bodyLimit{}).(int64); ok && err == nil {
		resp.Body = &limitedBody{resp.Body, most}
	}
	return resp, err
}

type limitedBody struct {
	io.ReadCloser
	left int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
