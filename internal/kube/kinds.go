package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/openirsa/openirsa/internal/order"
)

// For is the objects of the kind of o, in its namespace. A kind that the API server
// does not have is an error of which [meta.IsNoMatchError] is true.
func (c *Client) For(ctx context.Context, o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := o.GroupVersionKind()
	r, err := c.resourceOf(ctx, gvk)
	if err != nil {
		return nil, err
	}
	objects := c.dynamic.Resource(gvk.GroupVersion().WithResource(r.Name))
	if !r.Namespaced {
		return objects, nil
	}
	if o.GetNamespace() == "" {
		return nil, fmt.Errorf("%s %s has no namespace", o.GetKind(), o.GetName())
	}
	return objects.Namespace(o.GetNamespace()), nil
}

// ListAll reads the objects of a resource, of all namespaces.
func (c *Client) ListAll(ctx context.Context, r metav1.APIResource, options metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	return c.dynamic.Resource(schema.GroupVersionResource{Group: r.Group, Version: r.Version, Resource: r.Name}).List(ctx, options)
}

// resourceOf is what the API server calls a kind. What it has is asked for once, and
// again for a kind that is not among it.
func (c *Client) resourceOf(ctx context.Context, gvk schema.GroupVersionKind) (metav1.APIResource, error) {
	gv := gvk.GroupVersion()
	is := func(r metav1.APIResource) bool { return r.Kind == gvk.Kind && !strings.Contains(r.Name, "/") }
	c.mu.Lock()
	kinds := c.kinds[gv]
	c.mu.Unlock()
	if i := slices.IndexFunc(kinds, is); i >= 0 {
		return kinds[i], nil
	}
	kinds, err := c.resources(ctx, gv)
	if err != nil && !apierrors.IsNotFound(err) {
		return metav1.APIResource{}, err
	}
	c.mu.Lock()
	c.kinds[gv] = kinds
	c.mu.Unlock()
	i := slices.IndexFunc(kinds, is)
	if i < 0 {
		return metav1.APIResource{}, &meta.NoKindMatchError{GroupKind: gvk.GroupKind(), SearchedVersions: []string{gvk.Version}}
	}
	return kinds[i], nil
}

// resources are those of a version of an API group.
func (c *Client) resources(ctx context.Context, gv schema.GroupVersion) ([]metav1.APIResource, error) {
	path := "/apis/" + gv.String()
	if gv.Group == "" {
		path = "/api/" + gv.Version
	}
	list, err := decode[metav1.APIResourceList](ctx, c, path)
	if err != nil {
		return nil, err
	}
	for i := range list.APIResources {
		list.APIResources[i].Group, list.APIResources[i].Version = gv.Group, gv.Version
	}
	return list.APIResources, nil
}

// Resources are all that the API server has, each in the version that it prefers. A
// group that cannot be listed, such as one of an aggregated API that does not answer,
// is left out, unless it is needed.
func (c *Client) Resources(ctx context.Context, needed func(group string) bool) ([]metav1.APIResource, error) {
	groups, err := decode[metav1.APIGroupList](ctx, c, "/apis")
	if err != nil {
		return nil, err
	}
	all := append(groups.Groups, metav1.APIGroup{Versions: []metav1.GroupVersionForDiscovery{{Version: "v1"}}})
	var mu sync.Mutex
	var found []metav1.APIResource
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, group := range all {
		g.Go(func() error {
			resources, err := c.preferred(ctx, group)
			if err != nil && needed(group.Name) {
				return fmt.Errorf("API group %q: %w", group.Name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			found = append(found, resources...)
			return nil
		})
	}
	return found, g.Wait()
}

// preferred are the resources of a group. A resource that the preferred version lacks
// is that of another.
func (c *Client) preferred(ctx context.Context, group metav1.APIGroup) ([]metav1.APIResource, error) {
	versions := slices.Clone(group.Versions)
	order.By(versions, func(a, b metav1.GroupVersionForDiscovery) int {
		switch group.PreferredVersion.Version {
		case a.Version:
			return -1
		case b.Version:
			return 1
		}
		return 0
	})
	var found []metav1.APIResource
	for _, v := range versions {
		resources, err := c.resources(ctx, schema.GroupVersion{Group: group.Name, Version: v.Version})
		if err != nil {
			return nil, err
		}
		for _, r := range resources {
			known := slices.ContainsFunc(found, func(f metav1.APIResource) bool { return f.Name == r.Name })
			if !known && !strings.Contains(r.Name, "/") {
				found = append(found, r)
			}
		}
	}
	return found, nil
}
