package app

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/gentype"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/openirsa/openirsa/pkg/webhook"
)

// clients are those of the API server, for the kinds in use: a clientset would bring the
// types of all API groups into the program, and into its memory.
type clients struct {
	core, admission *rest.RESTClient
	params          runtime.ParameterCodec
	metadata        metadata.Interface
}

func (o *options) clients() (*clients, error) {
	config, err := clientcmd.BuildConfigFromFlags(o.kubeAPI, o.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the Kubernetes configuration: %w", err)
	}
	// The API server limits its clients itself; a pod must not wait for our limit.
	config.QPS = -1
	config.UserAgent = "openirsa-webhook"
	config.Wrap(webhook.LimitBodies)
	c, err := newClients(config)
	if err != nil {
		return nil, fmt.Errorf("making a Kubernetes client: %w", err)
	}
	return c, nil
}

func newClients(config *rest.Config) (*clients, error) {
	types := runtime.NewScheme()
	types.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Pod{}, &corev1.PodList{}, &corev1.Event{}, &corev1.EventList{},
		&corev1.ConfigMap{}, &corev1.ConfigMapList{}, &corev1.Secret{}, &corev1.SecretList{})
	types.AddKnownTypes(admissionregistrationv1.SchemeGroupVersion,
		&admissionregistrationv1.MutatingWebhookConfiguration{}, &admissionregistrationv1.MutatingWebhookConfigurationList{})
	metav1.AddToGroupVersion(types, corev1.SchemeGroupVersion)
	metav1.AddToGroupVersion(types, admissionregistrationv1.SchemeGroupVersion)
	codecs := serializer.NewCodecFactory(types)

	group := func(path string, gv schema.GroupVersion) (*rest.RESTClient, error) {
		c := rest.CopyConfig(config)
		c.APIPath, c.GroupVersion, c.NegotiatedSerializer = path, &gv, codecs.WithoutConversion()
		c.ContentType = runtime.ContentTypeProtobuf
		c.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
		return rest.RESTClientFor(c)
	}
	c := &clients{params: runtime.NewParameterCodec(types)}
	var err error
	if c.core, err = group("/api", corev1.SchemeGroupVersion); err != nil {
		return nil, err
	}
	if c.admission, err = group("/apis", admissionregistrationv1.SchemeGroupVersion); err != nil {
		return nil, err
	}
	if c.metadata, err = metadata.NewForConfig(config); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *clients) configMaps(namespace string) webhook.ConfigMaps {
	return gentype.NewClientWithList("configmaps", c.core, c.params, namespace,
		func() *corev1.ConfigMap { return &corev1.ConfigMap{} }, func() *corev1.ConfigMapList { return &corev1.ConfigMapList{} })
}

func (c *clients) secrets(namespace string) webhook.Secrets {
	return gentype.NewClient("secrets", c.core, c.params, namespace, func() *corev1.Secret { return &corev1.Secret{} })
}

func (c *clients) configurations() webhook.Configurations {
	return gentype.NewClient("mutatingwebhookconfigurations", c.admission, c.params, "",
		func() *admissionregistrationv1.MutatingWebhookConfiguration {
			return &admissionregistrationv1.MutatingWebhookConfiguration{}
		})
}

func (c *clients) pods(namespace string) *gentype.ClientWithList[*corev1.Pod, *corev1.PodList] {
	return gentype.NewClientWithList("pods", c.core, c.params, namespace,
		func() *corev1.Pod { return &corev1.Pod{} }, func() *corev1.PodList { return &corev1.PodList{} })
}

func (c *clients) listPods(ctx context.Context, namespace string, o metav1.ListOptions) (*corev1.PodList, error) {
	return c.pods(namespace).List(ctx, o)
}

func (c *clients) report(ctx context.Context, e *corev1.Event) error {
	_, err := gentype.NewClient("events", c.core, c.params, e.Namespace, func() *corev1.Event { return &corev1.Event{} }).
		Create(ctx, e, metav1.CreateOptions{})
	return err
}
