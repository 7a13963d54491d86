package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/openirsa/openirsa/pkg/irsa"
)

const (
	// missedPage is how many pods are read at a time, and so are in memory: each
	// may have more than a megabyte.
	missedPage = 10
	// missedEvents is how many pods get an Event in one look at a namespace;
	// the metric counts all.
	missedEvents = 100
	// MissedEvery is how often a [Missed] looks unless it says otherwise.
	MissedEvery = 5 * time.Minute
)

// Missed looks for pods without the identity that their service account grants,
// in namespaces whose pods do not wait for the webhook: nobody else would say
// that they were admitted while it did not answer. Such a pod gets an Event,
// and a gauge says how many there are.
//
// Only pods of service accounts with an identity are read, some at a time:
// where there is no such service account, nothing is.
//
// Fields are set before Run and not changed.
type Missed struct {
	// Pods lists the pods of a namespace; it needs the right to do so for
	// Namespaces.
	Pods       func(ctx context.Context, namespace string, o metav1.ListOptions) (*corev1.PodList, error)
	Namespaces []string
	// Directory knows the service accounts.
	Directory *Directory
	// Every is [MissedEvery] unless set.
	Every time.Duration

	Events  *Events      // nil reports nothing
	Metrics *Metrics     // nil counts nothing
	Log     *slog.Logger // nil logs nothing
}

func (m *Missed) log() *slog.Logger {
	if m.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return m.Log
}

// Run looks until ctx ends: as soon as the service accounts are known, once more
// when those pods are there that were made before this replica was ready, and
// then every now and then.
func (m *Missed) Run(ctx context.Context) error {
	const soon = time.Second
	every := orDuration(m.Every, MissedEvery)
	for wait := soon; ; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
		if m.Directory.Ready() != nil {
			continue
		}
		for _, namespace := range m.Namespaces {
			n, err := m.look(ctx, namespace)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				m.log().Warn("looking for pods without their identity failed", "namespace", namespace, "error", err)
				continue
			}
			m.Metrics.missed(namespace, n)
			if n > 0 {
				m.log().Warn("pods run without the identity of their service account", "namespace", namespace, "number", n)
			}
		}
		if wait == soon {
			wait = min(every, 30*time.Second)
		} else {
			wait = every
		}
	}
}

// look counts the missed pods of a namespace and reports them.
func (m *Missed) look(ctx context.Context, namespace string) (n int, err error) {
	for _, account := range m.Directory.granting(namespace) {
		only := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.serviceAccountName", account).String(), Limit: missedPage}
		for {
			page, err := m.Pods(ctx, namespace, only)
			if err != nil {
				return 0, fmt.Errorf("listing the pods of service account %s/%s: %w", namespace, account, err)
			}
			for i := range page.Items {
				p := &page.Items[i]
				if !m.missed(p) {
					continue
				}
				if n++; n <= missedEvents {
					about := corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: p.Name, UID: p.UID}
					m.Events.report(about, "MissedIdentity",
						fmt.Sprintf("the pod runs without the AWS identity of service account %s: it was made while the webhook did not answer, "+
							"or before the service account had its role; recreate the pod", account))
				}
			}
			if only.Continue = page.Continue; only.Continue == "" {
				break
			}
		}
	}
	return n, nil
}

// missed reports whether a pod, whose service account grants an identity, has
// none in any container, though it does not decline it and has not ended.
func (m *Missed) missed(p *corev1.Pod) bool {
	_, declines := p.Labels[irsa.SkipLabel]
	ended := p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	if declines || ended {
		return false
	}
	skip, err := irsa.ParseSkip(p.Annotations[m.Directory.prefix().SkipContainers()])
	if err != nil {
		skip = nil // as the webhook does
	}
	lacking := false
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		if slices.Contains(skip, c.Name) {
			continue
		}
		lacking = true
		for _, e := range c.Env {
			switch e.Name {
			case irsa.EnvRoleARN, irsa.EnvTokenFile, irsa.EnvCredentialsURI, irsa.EnvCredentialsTokenFile:
				return false
			}
		}
	}
	return lacking
}

// granting are the service accounts of a namespace that grant an identity, as
// far as is known without asking.
func (d *Directory) granting(namespace string) (names []string) {
	d.init()
	candidates := d.known.inNamespace(namespace)
	if d.Credentials != nil {
		candidates = append(candidates, d.Credentials().in(namespace)...)
	}
	if d.Associations != nil {
		candidates = append(candidates, d.Associations.in(namespace)...)
	}
	m := d.configMap.Load()
	if m != nil {
		candidates = append(candidates, m.in(namespace)...)
	}
	slices.Sort(candidates)
	for _, name := range slices.Compact(candidates) {
		annotations, _, known := d.known.find(namespace, name)
		if !known {
			continue
		}
		grants := d.listed(namespace, name)
		if id, _, err := d.prefix().Identity(annotations, d.Defaults); !grants && err == nil {
			grants = !id.IsZero()
			if m != nil && !grants {
				entry, ok := m.find(namespace, name)
				grants = ok && entry.err == nil
			}
		}
		if grants {
			names = append(names, name)
		}
	}
	return names
}
