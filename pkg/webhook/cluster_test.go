package webhook_test

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	admissionregistrationv1client "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	admissionregistrationv1fake "k8s.io/client-go/kubernetes/typed/admissionregistration/v1/fake"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	corev1fake "k8s.io/client-go/kubernetes/typed/core/v1/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/openirsa/openirsa/pkg/webhook"
)

// cluster is client-go's fake API server with the one thing that it lacks and
// replicas depend on: a write with an old resource version is a conflict.
type cluster struct {
	fake    clienttesting.Fake
	tracker clienttesting.ObjectTracker
	meta    *metadatafake.FakeMetadataClient

	mu      sync.Mutex
	version int
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{tracker: clienttesting.NewObjectTracker(scheme.Scheme, scheme.Codecs.UniversalDecoder())}
	c.fake.AddReactor("*", "*", c.react)
	c.fake.AddWatchReactor("*", func(a clienttesting.Action) (bool, watch.Interface, error) {
		w, err := c.tracker.Watch(a.GetResource(), a.GetNamespace(), a.(clienttesting.WatchActionImpl).ListOptions)
		return true, w, err
	})
	s := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(s); err != nil {
		t.Fatal(err)
	}
	c.meta = metadatafake.NewSimpleMetadataClient(s)
	return c
}

func (c *cluster) core() corev1client.CoreV1Interface {
	return &corev1fake.FakeCoreV1{Fake: &c.fake}
}

func (c *cluster) configurations() admissionregistrationv1client.MutatingWebhookConfigurationInterface {
	return (&admissionregistrationv1fake.FakeAdmissionregistrationV1{Fake: &c.fake}).MutatingWebhookConfigurations()
}

// noWatchList tells reflectors that the fake cannot do what every API server
// can: send the present state by watch.
type noWatchList struct{ webhook.ConfigMaps }

func (noWatchList) IsWatchListSemanticsUnSupported() bool { return true }

// report makes Events with a client.
func report(client corev1client.EventsGetter) func(context.Context, *corev1.Event) error {
	return func(ctx context.Context, e *corev1.Event) error {
		_, err := client.Events(e.Namespace).Create(ctx, e, metav1.CreateOptions{})
		return err
	}
}

func (c *cluster) react(action clienttesting.Action) (bool, runtime.Object, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	gvr, ns := action.GetResource(), action.GetNamespace()
	stamp := func(o runtime.Object) {
		c.version++
		if m, err := meta.Accessor(o); err == nil {
			m.SetResourceVersion(strconv.Itoa(c.version))
		}
	}
	switch a := action.(type) {
	case clienttesting.CreateActionImpl:
		o := a.Object.DeepCopyObject()
		stamp(o)
		return true, o, c.tracker.Create(gvr, o, ns)
	case clienttesting.UpdateActionImpl:
		o := a.Object.DeepCopyObject()
		m, err := meta.Accessor(o)
		if err != nil {
			return true, nil, err
		}
		was, err := c.tracker.Get(gvr, ns, m.GetName())
		if err != nil {
			return true, nil, err
		}
		if w, err := meta.Accessor(was); err != nil || w.GetResourceVersion() != m.GetResourceVersion() {
			return true, nil, apierrors.NewConflict(gvr.GroupResource(), m.GetName(), err)
		}
		stamp(o)
		return true, o, c.tracker.Update(gvr, o, ns)
	case clienttesting.PatchActionImpl:
		return c.patch(gvr, ns, a, stamp)
	}
	return clienttesting.ObjectReaction(c.tracker)(action)
}

func (c *cluster) patch(gvr schema.GroupVersionResource, ns string, a clienttesting.PatchActionImpl, stamp func(runtime.Object)) (bool, runtime.Object, error) {
	was, err := c.tracker.Get(gvr, ns, a.Name)
	if err != nil {
		return true, nil, err
	}
	p, err := jsonpatch.DecodePatch(a.Patch)
	if err != nil {
		return true, nil, apierrors.NewBadRequest(err.Error())
	}
	text, err := json.Marshal(was)
	if err != nil {
		return true, nil, err
	}
	if text, err = p.Apply(text); err != nil {
		return true, nil, apierrors.NewGenericServerResponse(422, "patch", gvr.GroupResource(), a.Name, err.Error(), 0, false)
	}
	o := was.DeepCopyObject()
	switch o := o.(type) {
	case *admissionregistrationv1.MutatingWebhookConfiguration:
		*o = admissionregistrationv1.MutatingWebhookConfiguration{}
	case *corev1.Secret:
		*o = corev1.Secret{}
	}
	if err := json.Unmarshal(text, o); err != nil {
		return true, nil, err
	}
	stamp(o)
	return true, o, c.tracker.Update(gvr, o, ns)
}

// serviceAccount puts a service account where the metadata client sees it.
func (c *cluster) serviceAccount(t testing.TB, namespace, name string, annotations map[string]string) {
	t.Helper()
	gvr := schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	o := &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: annotations},
	}
	err := c.meta.Tracker().Create(gvr, o, namespace)
	if apierrors.IsAlreadyExists(err) {
		err = c.meta.Tracker().Update(gvr, o, namespace)
	}
	if err != nil {
		t.Fatal(err)
	}
}
