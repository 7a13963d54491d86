package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"github.com/openirsa/openirsa/internal/trace"
	"github.com/openirsa/openirsa/pkg/irsa"
)

var errNotReady = errors.New("service accounts are not known yet")

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
	// Grace is how long a pod waits for its service account or the annotation to
	// come, where the API server's word is that there is no such service account, or
	// one that is no older than this and has no role. That word itself is waited for
	// until the lookup's deadline, or for as long as Grace if it has none. 0 or less:
	// the API server is not asked.
	Grace time.Duration
	// Resync is how often everything known is checked again; 0 is never.
	Resync time.Duration

	// ConfigMaps is the client of the namespace for [ConfigMap]; nil if no roles are
	// read from there.
	ConfigMaps ConfigMaps
	// Credentials lists the service accounts with container credentials; nil
	// if there are none.
	Credentials func() CredentialsList
	// Associations are more of them, at their source; nil if they are not asked.
	// Run runs them too.
	Associations *Associations

	Events  *Events      // nil reports nothing
	Metrics *Metrics     // nil counts nothing
	Log     *slog.Logger // nil logs nothing

	once      sync.Once
	synced    atomic.Bool
	known     *accounts
	questions *questions[*metav1.PartialObjectMetadata]
	reports   *rate.Limiter // of malformed service accounts
	configMap atomic.Pointer[roleMap]
}

// init makes what the fields are for.
func (d *Directory) init() {
	d.once.Do(func() {
		d.known = newAccounts(d.prefix(), d.log(), d.inspect)
		d.questions = newQuestions(d.ask)
		d.reports = rate.NewLimiter(20, 500)
	})
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
	d.init()
	follow := cache.NewReflectorWithOptions(listWatch(d.Metadata, d.known), &metav1.PartialObjectMetadata{}, d.known,
		cache.ReflectorOptions{Name: "service accounts", ResyncPeriod: d.Resync})
	running := []func(context.Context){follow.RunWithContext}
	ready := func() bool { return true }
	if d.ConfigMaps != nil {
		c := d.followConfigMap()
		running, ready = append(running, c.RunWithContext), c.HasSynced
	}
	if d.Associations != nil { // whether the EKS API answers or not
		running = append(running, func(ctx context.Context) { d.Associations.Run(ctx) })
	}
	var all sync.WaitGroup
	for _, run := range running {
		all.Go(func() { run(ctx) })
	}
	if cache.WaitForCacheSync(ctx.Done(), d.known.isSynced, ready) {
		d.synced.Store(true)
		d.log().Info("service accounts are known", "number", d.known.number())
	}
	all.Wait()
	return context.Cause(ctx)
}

// Ready is nil once every service account of the cluster is known.
func (d *Directory) Ready() error {
	if !d.synced.Load() {
		return errNotReady
	}
	return nil
}

// inspect sees to it that a malformed service account does not stay unnoticed.
// It does so when the annotation is made rather than when a pod suffers from it.
func (d *Directory) inspect(sa *metav1.PartialObjectMetadata) {
	if sa.Annotations[d.prefix().RoleARN()] != "" {
		d.Metrics.inUse()
	}
	var warnings []string
	var err error
	if d.listed(sa.Namespace, sa.Name) {
		_, warnings = d.prefix().Token(sa.Annotations, d.Defaults)
	} else {
		_, warnings, err = d.prefix().Identity(sa.Annotations, d.Defaults)
	}
	ignored := d.prefix().Ignored(sa.Annotations)
	if err == nil && len(warnings)+len(ignored) == 0 || !d.reports.Allow() {
		return
	}
	about := corev1.ObjectReference{
		APIVersion: "v1", Kind: "ServiceAccount", Namespace: sa.Namespace, Name: sa.Name, UID: sa.UID, ResourceVersion: sa.ResourceVersion,
	}
	report := func(reason, message string) {
		d.log().Warn("service account has a mistake",
			"namespace", sa.Namespace, "serviceAccount", sa.Name, "reason", reason, "message", message)
		d.Events.report(about, reason, message)
	}
	if err != nil {
		report("MalformedIdentity", fmt.Sprintf("pods of this service account get no AWS identity: %v", err))
	}
	if len(warnings) > 0 {
		report("MalformedIdentity", strings.Join(warnings, "; "))
	}
	if len(ignored) > 0 {
		report("IgnoredAnnotation", strings.Join(ignored, "; "))
	}
}

// Lookup is a [Lookup]. In this order count: the list of container
// credentials, the associations, the service account's annotations, the ConfigMap.
func (d *Directory) Lookup(ctx context.Context, namespace, name string) (Grant, error) {
	d.init()
	if err := checkNames(namespace, name); err != nil {
		return Grant{}, err
	}
	if d.listed(namespace, name) {
		return d.credentials(ctx, namespace, name)
	}
	if d.Associations == nil {
		return d.role(ctx, namespace, name, d.Grace)
	}
	start := time.Now()
	found, unknown := d.Associations.find(ctx, namespace, name)
	if found {
		return d.credentials(ctx, namespace, name)
	}
	// Both waits together are not longer than the longer one, or hardly.
	g, err := d.role(ctx, namespace, name, max(d.Grace-time.Since(start), d.Grace/4))
	if err == nil && unknown != nil {
		g.Warnings = append(slices.Clip(g.Warnings), "the pod gets no EKS Pod Identity: the EKS API does not say whether service account "+
			name+" has an association; recreate the pod when it does")
	}
	return g, err
}

// role is the grant of a service account without container credentials, after grace
// at most if there is none.
func (d *Directory) role(ctx context.Context, namespace, name string, grace time.Duration) (Grant, error) {
	var mapped roleEntry
	isMapped := false
	if m := d.configMap.Load(); m != nil {
		mapped, isMapped = m.find(namespace, name)
	}
	if isMapped {
		grace = 0
	}
	sa, err := d.account(ctx, namespace, name, grace, func(m map[string]string) bool { return m[d.prefix().RoleARN()] != "" })
	if err != nil && !sa.known {
		// Whatever the ConfigMap says, annotations would win over it.
		d.Metrics.missing()
		return Grant{}, err
	}
	id, warnings, err := d.prefix().Identity(sa.annotations, d.Defaults)
	ignored := d.prefix().Ignored(sa.annotations)
	if err != nil || !id.IsZero() {
		return Grant{
			Identity: id, UID: sa.uid, Warnings: slices.Concat(warnings, ignored), Malformed: d.prefix().Malformed(sa.annotations),
		}, err
	}
	if d.ConfigMaps != nil && !d.synced.Load() {
		return Grant{}, errNotReady // nor is the ConfigMap
	}
	if isMapped {
		return Grant{
			Identity: mapped.id, UID: sa.uid, Warnings: slices.Concat(mapped.warnings, ignored), Malformed: mapped.malformed,
		}, mapped.err
	}
	if !sa.known {
		d.Metrics.missing()
		d.log().Debug("service account does not exist", "namespace", namespace, "serviceAccount", name)
	}
	return Grant{Warnings: ignored, UID: sa.uid}, nil
}

// listed reports whether a service account is known to have container credentials.
func (d *Directory) listed(namespace, name string) bool {
	return d.Credentials != nil && d.Credentials().Has(namespace, name) ||
		d.Associations != nil && d.Associations.has(namespace, name)
}

// credentials is the grant of a service account with container credentials.
// They need nothing of the service account itself, but follow its annotations if it
// can be read.
func (d *Directory) credentials(ctx context.Context, namespace, name string) (Grant, error) {
	sa, err := d.account(ctx, namespace, name, 0, func(map[string]string) bool { return true })
	if err != nil && errors.Is(ctx.Err(), context.Canceled) { // nobody waits; the lookup's deadline is another matter
		return Grant{}, err
	}
	if err != nil && !sa.known {
		d.Metrics.missing()
		d.log().Warn("service account cannot be read; its pods get container credentials with the defaults",
			"namespace", namespace, "serviceAccount", name, "error", err)
	}
	settings, warnings := d.prefix().Token(sa.annotations, d.Defaults)
	g := Grant{
		Credentials: true, UID: sa.uid, Warnings: slices.Concat(warnings, d.prefix().Ignored(sa.annotations)),
		Identity: irsa.Identity{ExpirationSeconds: settings.ExpirationSeconds, RegionalSTS: settings.RegionalSTS},
	}
	if v, ok := sa.annotations[d.prefix().TokenExpiration()]; ok {
		g.Malformed = d.prefix().Malformed(map[string]string{d.prefix().TokenExpiration(): v})
	}
	if !sa.known {
		if m := d.configMap.Load(); m != nil {
			if entry, ok := m.find(namespace, name); ok && entry.err == nil {
				g.ExpirationSeconds, g.RegionalSTS = entry.id.ExpirationSeconds, entry.id.RegionalSTS
			}
		}
	}
	g.Day = 79200 + rand.Int64N(irsa.ExpirationSeconds-79200+1)
	if g.ExpirationSeconds == 0 || g.ExpirationSeconds == irsa.ExpirationSeconds {
		// Many pods of one service account start together; their tokens are
		// not to be renewed together.
		g.ExpirationSeconds = g.Day
	}
	return g, nil
}

// found is what is known about a service account.
type found struct {
	annotations map[string]string
	uid         types.UID
	known       bool // it exists, as far as anybody can tell
}

// account is what is known of a service account. Unless that will do, the API
// server is asked; and what comes within grace is waited for: a service
// account that is not there, or the annotation of one that has just been made.
// With an error and known, the annotations are those last seen.
func (d *Directory) account(
	ctx context.Context, namespace, name string, grace time.Duration, do func(map[string]string) bool,
) (found, error) {
	changed, end := d.known.await(namespace, name)
	defer func() { end() }()
	look := func() (seen found, done bool) {
		seen.annotations, seen.uid, seen.known = d.known.find(namespace, name)
		return seen, seen.known && do(seen.annotations)
	}
	seen, done := look()
	switch {
	case done:
		return seen, nil
	case d.Grace > 0:
	case !d.synced.Load() && !seen.known:
		return found{}, errNotReady
	default:
		return seen, nil
	}
	start := time.Now()
	until, ok := ctx.Deadline()
	if !ok {
		until = start.Add(cmp.Or(grace, d.Grace))
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	grace = min(grace, until.Sub(start))
	replies, over := make(chan reply, 1), time.After(grace)
	put := func() {
		span := trace.From(ctx).StartCall("ask API server")
		sa, there, err := d.questions.put(ctx, namespace, name, seen.known)
		span.Bool("openirsa.found", there)
		span.Err(err)
		span.End()
		replies <- reply{sa, there, err}
	}
	go put()
	var last *found // what the API server has said
	var again <-chan time.Time
	for {
		select {
		case <-changed:
			end()
			changed, end = d.known.await(namespace, name)
			if now, done := look(); done {
				return now, nil
			}
		case <-again:
			again = nil
			go put()
		case r := <-replies:
			switch {
			case r.err != nil && last != nil: // the time is up
				return *last, nil
			case r.err != nil && seen.known:
				d.log().Warn("service account could not be asked for again", "namespace", namespace, "serviceAccount", name, "error", r.err)
				return seen, r.err
			case r.err != nil:
				return found{}, fmt.Errorf("asking the API server: %w", r.err)
			}
			last = new(d.said(r))
			if last.known && do(last.annotations) || last.known && !d.young(r.sa) || time.Since(start) >= grace {
				return *last, nil
			}
			if !d.synced.Load() { // else the watch tells
				again = time.After(absence)
			}
		case <-over:
			if last != nil { // else the reply is on its way
				return *last, nil
			}
		}
	}
}

type reply struct {
	sa    *metav1.PartialObjectMetadata
	there bool
	err   error
}

// said is what a reply says.
func (d *Directory) said(r reply) found {
	if !r.there {
		return found{}
	}
	return found{r.sa.Annotations, r.sa.UID, true}
}

// young reports whether a service account is so new that an annotation may be on
// its way. Its time has whole seconds.
func (d *Directory) young(sa *metav1.PartialObjectMetadata) bool {
	return sa.CreationTimestamp.IsZero() || time.Since(sa.CreationTimestamp.Time) < d.Grace+time.Second
}

// ask asks the API server about one service account.
func (d *Directory) ask(ctx context.Context, namespace, name string) (*metav1.PartialObjectMetadata, bool, error) {
	sa, err := d.Metadata.Resource(serviceAccounts).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		UID: sa.UID, CreationTimestamp: sa.CreationTimestamp, Annotations: ours(d.prefix(), sa.Annotations),
	}}, true, nil
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
				return d.ConfigMaps.List(ctx, o)
			},
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				o.FieldSelector = only
				return d.ConfigMaps.Watch(ctx, o)
			},
		}, d.ConfigMaps),
		ObjectType: &corev1.ConfigMap{},
		Transform: func(o any) (any, error) {
			if cm, ok := o.(*corev1.ConfigMap); ok && cm.Annotations[metav1.InitialEventsAnnotationKey] == "" {
				cm = &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{Namespace: cm.Namespace, Name: cm.Name, UID: cm.UID, ResourceVersion: cm.ResourceVersion},
					Data:       map[string]string{ConfigMapKey: cm.Data[ConfigMapKey]},
				}
				return cm, nil
			}
			return o, nil
		},
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
	d.init()
	return d.known.annotations()
}
