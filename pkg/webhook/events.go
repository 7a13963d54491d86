package webhook

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/redact"
)

// Events tells users about malformed objects, in the Events of those objects.
// Every replica reports the same; the name of an Event is made of what it
// says, so that the API server keeps one of them.
type Events struct {
	create func(context.Context, *corev1.Event) error
	log    *slog.Logger
	queue  chan *corev1.Event
}

// NewEvents reports with create, which makes an Event, once Run runs. A log of nil
// logs nothing.
func NewEvents(create func(context.Context, *corev1.Event) error, log *slog.Logger) *Events {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Events{create: create, log: log, queue: make(chan *corev1.Event, 1000)}
}

// report queues a warning about an object. It does not block; when there is
// too much to report, the rest goes to the log alone.
func (e *Events) report(about corev1.ObjectReference, reason, message string) {
	if e == nil {
		return
	}
	message = redact.Text(message)
	if len(message) > 1000 {
		message = message[:1000] + "..." // an Event's message has 1 kB
	}
	sum := fnv.New64a()
	fmt.Fprintf(sum, "%s\n%s\n%s\n%s", about.UID, about.ResourceVersion, reason, message)
	now := metav1.NewTime(time.Now())
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: about.Namespace, Name: fmt.Sprintf("%.200s.%016x", about.Name, sum.Sum64())},
		InvolvedObject: about,
		Type:           corev1.EventTypeWarning,
		Reason:         reason,
		Message:        message,
		Source:         corev1.EventSource{Component: "openirsa-webhook"},
		FirstTimestamp: now,
		LastTimestamp:  now,
		Count:          1,
	}
	select {
	case e.queue <- event:
	default:
		e.log.Warn("too many events to report", "about", about.Namespace+"/"+about.Name, "reason", reason)
	}
}

// Run sends what is reported until ctx ends.
func (e *Events) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case event := <-e.queue:
			err := e.create(ctx, event)
			if err != nil && !apierrors.IsAlreadyExists(err) {
				e.log.Warn("event could not be reported", "about", event.Namespace+"/"+event.InvolvedObject.Name, "error", err)
			}
		}
	}
}
