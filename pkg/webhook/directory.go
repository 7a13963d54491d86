package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	corev1 "k8s.io/api/core/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/openirsa/openirsa/pkg/irsa"
)

// ConfigMap is the ConfigMap that may grant roles besides the service
// accounts' own annotations; they are under its key ConfigMapKey.
const (
	ConfigMap    = "pod-identity-webhook"
	ConfigMapKey = "config"
)

var (
	errNotReady     = errors.New("service accounts are not known yet")
	serviceAccounts = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
)

// Directory knows what each service account grants. It follows the service
// accounts of the cluster, and asks the API server where what it has seen so
// far would leave a pod without an identity: a pod may well be made in the
// instant after its service account, or after the annotation.
//
// Fields are set before Run and not changed.
type Directory struct {
	// Metadata is the client for service accounts.
	Metadata metadata.Interface
	// Prefix of the annotations; "" is [irsa.DefaultPrefix].
	Prefix irsa.Prefix
	// Defaults are for service accounts that do not say.
	Defaults irsa.Defaults
	// Grace bounds how long a pod waits for the API server's word. 0 or less:
	// it is not asked.
	Grace time.Duration
	// Resync is how often everything known is looked at again; 0 is never.
	Resync time.Duration

	// ConfigMaps is the client for [ConfigMap], and Namespace where it is; nil
	// if no roles are read from there.
	ConfigMaps corev1client.ConfigMapsGetter
	Namespace  string
	// Credentials lists the service accounts with container credentials; nil
	// if there are none.
	Credentials func() CredentialsList

	Events  *Events      // nil reports nothing
	Metrics *Metrics     // nil counts nothing
	Log     *slog.Logger // nil logs nothing

	accounts  atomic.Pointer[cache.Store] // nil until all are known
	configMap atomic.Pointer[roleMap]
}

func (d *Directory) log() *slog.Logger {
	if d.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return d.Log
}

func (d *Directory) prefix() irsa.Prefix {
	if d.Prefix == "" {
		return irsa.DefaultPrefix
	}
	return d.Prefix
}

// Run follows the cluster until ctx ends. It is called once.
func (d *Directory) Run(ctx context.Context) error {
	// The metadata client has it that not all of an object is decoded, and
	// the transformation that not all of the metadata is kept: 10,000 service
	// accounts have to fit into a few megabytes.
	all := d.Metadata.Resource(serviceAccounts)
	accounts, follow := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				return all.List(ctx, o)
			},
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return all.Watch(ctx, o)
			},
		}, d.Metadata),
		ObjectType:   &metav1.PartialObjectMetadata{},
		ResyncPeriod: d.Resync,
		Transform:    d.trim,
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { d.inspect(o) },
			UpdateFunc: func(_, o any) { d.inspect(o) },
		},
	})
	synced := []cache.InformerSynced{follow.HasSynced}
	running := []cache.Controller{follow}
	if d.ConfigMaps != nil {
		c := d.followConfigMap()
		synced, running = append(synced, c.HasSynced), append(running, c)
	}
	done := make(chan struct{})
	for _, c := range running {
		go func() {
			c.RunWithContext(ctx)
			done <- struct{}{}
		}()
	}
	if cache.WaitForCacheSync(ctx.Done(), synced...) {
		d.accounts.Store(&accounts)
		d.log().Info("service accounts are known", "number", len(accounts.ListKeys()))
	}
	for range running {
		<-done
	}
	return context.Cause(ctx)
}

// Ready is nil once every service account of the cluster is known.
func (d *Directory) Ready() error {
	if d.accounts.Load() == nil {
		return errNotReady
	}
	return nil
}

// trim keeps what Lookup and Events need of a service account.
func (d *Directory) trim(o any) (any, error) {
	sa, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return o, nil
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: sa.Namespace, Name: sa.Name, UID: sa.UID, ResourceVersion: sa.ResourceVersion,
		Annotations: d.ours(sa.Annotations),
	}}, nil
}

// ours are the annotations that mean something to us; nil if there are none.
func (d *Directory) ours(annotations map[string]string) map[string]string {
	var kept map[string]string
	p := d.prefix()
	for _, key := range []string{p.RoleARN(), p.AudienceKey(), p.TokenExpiration(), p.RegionalSTS()} {
		if v, ok := annotations[key]; ok {
			if kept == nil {
				kept = map[string]string{}
			}
			kept[key] = v
		}
	}
	return kept
}

// inspect sees to it that a malformed service account does not stay unnoticed.
// It does so when the annotation is made rather than when a pod suffers from
// it; an admission, besides, must not have side effects.
func (d *Directory) inspect(o any) {
	sa, ok := o.(*metav1.PartialObjectMetadata)
	if !ok || sa.Annotations == nil {
		return
	}
	if sa.Annotations[d.prefix().RoleARN()] != "" {
		d.Metrics.inUse()
	}
	var err error
	if d.listed(sa.Namespace, sa.Name) {
		_, _, err = d.prefix().Token(sa.Annotations, d.Defaults)
	} else {
		_, _, err = d.prefix().Identity(sa.Annotations, d.Defaults)
	}
	if err != nil {
		d.log().Warn("service account is malformed", "namespace", sa.Namespace, "serviceAccount", sa.Name, "error", err)
		d.Events.report(corev1.ObjectReference{
			APIVersion: "v1", Kind: "ServiceAccount", Namespace: sa.Namespace, Name: sa.Name, UID: sa.UID, ResourceVersion: sa.ResourceVersion,
		}, "MalformedIdentity", fmt.Sprintf("pods of this service account get no AWS identity: %v", err))
	}
}

// Lookup is a [Lookup]. In this order count: the list of container
// credentials, the service account's annotations, the ConfigMap.
func (d *Directory) Lookup(ctx context.Context, namespace, name string) (Grant, error) {
	if d.listed(namespace, name) {
		return d.credentials(ctx, namespace, name)
	}
	annotations, known, err := d.annotations(ctx, namespace, name, func(m map[string]string) bool { return m[d.prefix().RoleARN()] != "" })
	if err != nil && !known {
		// Whatever the ConfigMap says, annotations would win over it.
		d.Metrics.missing()
		return Grant{}, err
	}
	id, warnings, err := d.prefix().Identity(annotations, d.Defaults)
	if err != nil || !id.IsZero() {
		return Grant{Identity: id, Warnings: warnings}, err
	}
	if d.ConfigMaps != nil && d.accounts.Load() == nil {
		return Grant{}, errNotReady // nor is the ConfigMap
	}
	if m := d.configMap.Load(); m != nil {
		if entry, ok := m.find(namespace, name); ok {
			return Grant{Identity: entry.id, Warnings: entry.warnings}, entry.err
		}
	}
	if !known {
		d.Metrics.missing()
		d.log().Warn("service account does not exist", "namespace", namespace, "serviceAccount", name)
	}
	return Grant{}, nil
}

// listed reports whether a service account has container credentials.
func (d *Directory) listed(namespace, name string) bool {
	return d.Credentials != nil && d.Credentials().Has(namespace, name)
}

// credentials is the grant of a service account with container credentials.
// They need nothing of the service account itself, but heed its annotations.
func (d *Directory) credentials(ctx context.Context, namespace, name string) (Grant, error) {
	annotations, known, err := d.annotations(ctx, namespace, name, func(map[string]string) bool { return true })
	if err != nil {
		d.Metrics.missing()
		return Grant{}, err
	}
	settings, warnings, err := d.prefix().Token(annotations, d.Defaults)
	if err != nil {
		return Grant{}, err
	}
	g := Grant{Credentials: true, Warnings: warnings, Identity: irsa.Identity{
		ExpirationSeconds: settings.ExpirationSeconds, RegionalSTS: settings.RegionalSTS,
	}}
	if !known {
		if m := d.configMap.Load(); m != nil {
			if entry, ok := m.find(namespace, name); ok && entry.err == nil {
				g.ExpirationSeconds, g.RegionalSTS = entry.id.ExpirationSeconds, entry.id.RegionalSTS
			}
		}
	}
	if g.ExpirationSeconds == 0 || g.ExpirationSeconds == irsa.ExpirationSeconds {
		// Many pods of one service account start together; their tokens are
		// not to be renewed together.
		g.ExpirationSeconds = 79200 + rand.Int64N(irsa.ExpirationSeconds-79200+1)
	}
	return g, nil
}

// annotations are those of a service account. Unless what is known of it will
// do, the API server is asked. known says that the service account exists, as
// far as anybody can tell; with an error and known, the annotations are those
// last seen.
func (d *Directory) annotations(ctx context.Context, namespace, name string, do func(map[string]string) bool) (_ map[string]string, known bool, _ error) {
	var seen map[string]string
	accounts := d.accounts.Load()
	if accounts != nil {
		if o, ok, err := (*accounts).GetByKey(namespace + "/" + name); err == nil && ok {
			seen, known = o.(*metav1.PartialObjectMetadata).Annotations, true
			if do(seen) {
				return seen, true, nil
			}
		}
	}
	switch {
	case d.Grace > 0:
	case accounts == nil:
		return nil, false, errNotReady
	default:
		return seen, known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.Grace)
	defer cancel()
	sa, err := d.Metadata.Resource(serviceAccounts).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case err == nil:
		return d.ours(sa.Annotations), true, nil
	case apierrors.IsNotFound(err):
		return nil, false, nil
	case known:
		d.log().Warn("service account could not be asked for again", "namespace", namespace, "serviceAccount", name, "error", err)
		return seen, true, err
	}
	return nil, false, fmt.Errorf("asking the API server: %w", err)
}

// followConfigMap keeps configMap what [ConfigMap] says.
func (d *Directory) followConfigMap() cache.Controller {
	only := fields.OneTermEqualSelector("metadata.name", ConfigMap).String()
	handle := func(o any) {
		cm, ok := o.(*corev1.ConfigMap)
		if !ok {
			return
		}
		m, err := parseRoleMap([]byte(cm.Data[ConfigMapKey]), d.Defaults)
		if err != nil {
			d.log().Error("ConfigMap is malformed", "namespace", cm.Namespace, "configMap", cm.Name, "error", err)
			d.Events.report(corev1.ObjectReference{
				APIVersion: "v1", Kind: "ConfigMap", Namespace: cm.Namespace, Name: cm.Name, UID: cm.UID, ResourceVersion: cm.ResourceVersion,
			}, "MalformedIdentity", err.Error())
		}
		if m != nil {
			d.configMap.Store(m)
			if len(m.exact)+len(m.globs) > 0 {
				d.Metrics.inUse()
			}
		}
	}
	_, c := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				o.FieldSelector = only
				return d.ConfigMaps.ConfigMaps(d.Namespace).List(ctx, o)
			},
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				o.FieldSelector = only
				return d.ConfigMaps.ConfigMaps(d.Namespace).Watch(ctx, o)
			},
		}, d.ConfigMaps),
		ObjectType: &corev1.ConfigMap{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    handle,
			UpdateFunc: func(_, o any) { handle(o) },
			DeleteFunc: func(any) { d.configMap.Store(nil) },
		},
	})
	return c
}

// Known is what the directory knows, by "namespace/name": the annotations of
// each service account that has any of ours. It is for debugging.
func (d *Directory) Known() map[string]map[string]string {
	all := map[string]map[string]string{}
	accounts := d.accounts.Load()
	if accounts == nil {
		return all
	}
	for _, o := range (*accounts).List() {
		if sa := o.(*metav1.PartialObjectMetadata); sa.Annotations != nil {
			all[sa.Namespace+"/"+sa.Name] = maps.Clone(sa.Annotations)
		}
	}
	return all
}
