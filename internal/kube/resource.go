package kube

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// Resource is the objects of a kind, in a namespace where the kind has one.
type Resource[T any] struct {
	objects      dynamic.ResourceInterface
	kind         schema.GroupVersionKind
	subresources []string // of what is created
}

// List is a list of objects.
type List[T any] struct {
	Items []T
	// Continue is what to ask for more with; empty at the end.
	Continue string
}

func resource[T any](c *Client, gv schema.GroupVersion, kind, plural, namespace string) Resource[T] {
	objects := c.dynamic.Resource(gv.WithResource(plural))
	r := Resource[T]{objects: objects, kind: gv.WithKind(kind)}
	if namespace != "" {
		r.objects = objects.Namespace(namespace)
	}
	return r
}

// Get reads an object.
func (r Resource[T]) Get(ctx context.Context, name string, options metav1.GetOptions) (*T, error) {
	return typed[T](r.objects.Get(ctx, name, options))
}

// List reads objects.
func (r Resource[T]) List(ctx context.Context, options metav1.ListOptions) (*List[T], error) {
	raw, err := r.objects.List(ctx, options)
	if err != nil {
		return nil, err
	}
	list := &List[T]{Items: make([]T, len(raw.Items)), Continue: raw.GetContinue()}
	for i, o := range raw.Items {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &list.Items[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Create makes an object, and returns it as it then is.
func (r Resource[T]) Create(ctx context.Context, object *T, options metav1.CreateOptions) (*T, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	o := &unstructured.Unstructured{Object: fields}
	o.SetGroupVersionKind(r.kind)
	return typed[T](r.objects.Create(ctx, o, options, r.subresources...))
}

// Apply has an object hold some fields, by server-side apply.
func (r Resource[T]) Apply(ctx context.Context, fields *unstructured.Unstructured, options metav1.ApplyOptions) (*T, error) {
	o := fields.DeepCopy()
	o.SetGroupVersionKind(r.kind)
	return typed[T](r.objects.Apply(ctx, o.GetName(), o, options))
}

// Delete removes an object.
func (r Resource[T]) Delete(ctx context.Context, name string, options metav1.DeleteOptions) error {
	return r.objects.Delete(ctx, name, options)
}

func typed[T any](o *unstructured.Unstructured, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	v := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, v); err != nil {
		return nil, err
	}
	return v, nil
}
