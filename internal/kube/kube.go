// Package kube reads and writes the objects of a cluster, of the kinds that the
// project uses.
//
//	c, err := kube.New(config)
//	pod, err := c.Pods("default").Get(ctx, "app", metav1.GetOptions{})
//
// It is client-go's dynamic client with types. The clientset would do the same, and
// with it come the types of all 56 API groups' versions, which are half of a program:
// their methods are reached through the scheme, so the linker drops none of them.
package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// Client is a client of one cluster. Errors are those of client-go: see
// k8s.io/apimachinery/pkg/api/errors.
type Client struct {
	rest    *rest.RESTClient
	dynamic *dynamic.DynamicClient

	mu    sync.Mutex // guards kinds
	kinds map[schema.GroupVersion][]metav1.APIResource
}

// New is a client of the API server that config names. It asks nothing.
func New(config *rest.Config) (*Client, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	objects, err := dynamic.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, err
	}
	types := runtime.NewScheme() // of errors
	metav1.AddToGroupVersion(types, schema.GroupVersion{Version: "v1"})
	raw := rest.CopyConfig(config)
	raw.NegotiatedSerializer = serializer.NewCodecFactory(types).WithoutConversion()
	paths, err := rest.UnversionedRESTClientForConfigAndClient(raw, client)
	if err != nil {
		return nil, err
	}
	return &Client{rest: paths, dynamic: objects, kinds: map[schema.GroupVersion][]metav1.APIResource{}}, nil
}

// REST is for requests that are about no object.
func (c *Client) REST() rest.Interface { return c.rest }

// Version is that of the API server.
func (c *Client) Version(ctx context.Context) (*version.Info, error) {
	return decode[version.Info](ctx, c, "/version")
}

// decode reads the JSON at a path of the API server.
func decode[T any](ctx context.Context, c *Client, path string) (*T, error) {
	body, err := c.rest.Get().AbsPath(path).DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	v := new(T)
	if err := json.Unmarshal(body, v); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return v, nil
}

// ConfigMaps are those of a namespace; of all namespaces if it is empty, as below.
func (c *Client) ConfigMaps(namespace string) Resource[corev1.ConfigMap] {
	return resource[corev1.ConfigMap](c, corev1.SchemeGroupVersion, "ConfigMap", "configmaps", namespace)
}

// DaemonSets are those of a namespace.
func (c *Client) DaemonSets(namespace string) Resource[appsv1.DaemonSet] {
	return resource[appsv1.DaemonSet](c, appsv1.SchemeGroupVersion, "DaemonSet", "daemonsets", namespace)
}

// Deployments are those of a namespace.
func (c *Client) Deployments(namespace string) Resource[appsv1.Deployment] {
	return resource[appsv1.Deployment](c, appsv1.SchemeGroupVersion, "Deployment", "deployments", namespace)
}

// EndpointSlices are those of a namespace.
func (c *Client) EndpointSlices(namespace string) Resource[discoveryv1.EndpointSlice] {
	return resource[discoveryv1.EndpointSlice](c, discoveryv1.SchemeGroupVersion, "EndpointSlice", "endpointslices", namespace)
}

// MutatingWebhookConfigurations are those of the cluster.
func (c *Client) MutatingWebhookConfigurations() Resource[admissionv1.MutatingWebhookConfiguration] {
	return resource[admissionv1.MutatingWebhookConfiguration](c, admissionv1.SchemeGroupVersion,
		"MutatingWebhookConfiguration", "mutatingwebhookconfigurations", "")
}

// Namespaces are those of the cluster.
func (c *Client) Namespaces() Resource[corev1.Namespace] {
	return resource[corev1.Namespace](c, corev1.SchemeGroupVersion, "Namespace", "namespaces", "")
}

// Nodes are those of the cluster.
func (c *Client) Nodes() Resource[corev1.Node] {
	return resource[corev1.Node](c, corev1.SchemeGroupVersion, "Node", "nodes", "")
}

// Pods are those of a namespace.
func (c *Client) Pods(namespace string) Resource[corev1.Pod] {
	return resource[corev1.Pod](c, corev1.SchemeGroupVersion, "Pod", "pods", namespace)
}

// ReplicaSets are those of a namespace.
func (c *Client) ReplicaSets(namespace string) Resource[appsv1.ReplicaSet] {
	return resource[appsv1.ReplicaSet](c, appsv1.SchemeGroupVersion, "ReplicaSet", "replicasets", namespace)
}

// Secrets are those of a namespace.
func (c *Client) Secrets(namespace string) Resource[corev1.Secret] {
	return resource[corev1.Secret](c, corev1.SchemeGroupVersion, "Secret", "secrets", namespace)
}

// Services are those of a namespace.
func (c *Client) Services(namespace string) Resource[corev1.Service] {
	return resource[corev1.Service](c, corev1.SchemeGroupVersion, "Service", "services", namespace)
}

// ServiceAccounts are those of a namespace.
func (c *Client) ServiceAccounts(namespace string) Resource[corev1.ServiceAccount] {
	return resource[corev1.ServiceAccount](c, corev1.SchemeGroupVersion, "ServiceAccount", "serviceaccounts", namespace)
}

// StatefulSets are those of a namespace.
func (c *Client) StatefulSets(namespace string) Resource[appsv1.StatefulSet] {
	return resource[appsv1.StatefulSet](c, appsv1.SchemeGroupVersion, "StatefulSet", "statefulsets", namespace)
}

// Tokens of the service accounts of a namespace are made, each with the name of its
// service account.
func (c *Client) Tokens(namespace string) Resource[authenticationv1.TokenRequest] {
	r := resource[authenticationv1.TokenRequest](c, corev1.SchemeGroupVersion, "", "serviceaccounts", namespace)
	r.kind, r.subresources = authenticationv1.SchemeGroupVersion.WithKind("TokenRequest"), []string{"token"}
	return r
}

// SelfSubjectAccessReviews ask for one's own rights.
func (c *Client) SelfSubjectAccessReviews() Resource[authorizationv1.SelfSubjectAccessReview] {
	return resource[authorizationv1.SelfSubjectAccessReview](c, authorizationv1.SchemeGroupVersion,
		"SelfSubjectAccessReview", "selfsubjectaccessreviews", "")
}
