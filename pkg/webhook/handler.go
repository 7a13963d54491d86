package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/gate"
	"github.com/openirsa/openirsa/internal/redact"
	"github.com/openirsa/openirsa/internal/trace"
	"github.com/openirsa/openirsa/pkg/irsa"
)

// Lookup tells what a service account grants its pods; the zero Grant if
// nothing. An [*irsa.AnnotationError] in the error says that the service
// account is malformed; any other error, that it is not known what is right.
type Lookup func(ctx context.Context, namespace, name string) (Grant, error)

// What a review may cost, whoever sends it.
const (
	// MaxReview is the largest AdmissionReview that is read, in bytes. The API
	// server takes requests of 3 MiB, and a review holds two objects at most.
	MaxReview = 7 << 20
	// bodyTime is how long a body may take to arrive. API servers send it at
	// once.
	bodyTime = 3 * time.Second
	// freeMemory is what each request may have without asking, in bytes, which
	// is enough for nearly all reviews; sharedMemory is for all larger ones
	// together, with what becomes of them.
	freeMemory   = 32 << 10
	sharedMemory = 24 << 20
	// maxPatience is how long the lookup of its service account may take. API servers
	// wait for 30 s at most (MutatingWebhook.timeoutSeconds).
	maxPatience = 30 * time.Second * 7 / 8
	// atWork is how many reviews are read or answered at a time. (Waiting for
	// the API server's word is not work.)
	atWork = 4
)

// Handler answers AdmissionReviews, sent by POST. It answers
//   - a review of the creation of a pod with what [Mutate] decides,
//   - any other review by admitting the object as it is,
//   - what is no review, or not known, with an HTTP error; what becomes of the
//     pod is then for the failurePolicy of the webhook configuration to say,
//   - what there is no memory for with 429 Too Many Requests, at which an API
//     server tries again.
//
// Whatever it is sent, and however slowly, it takes a bounded amount of memory.
type Handler struct {
	Lookup   Lookup
	Settings Settings
	// RefuseMalformed refuses pods whose service account is malformed. By
	// default they are admitted without an identity, with a warning.
	RefuseMalformed bool
	// Events reports pods' mistakes; nil reports nothing.
	Events  *Events
	Metrics *Metrics     // nil counts nothing
	Log     *slog.Logger // nil logs nothing

	once    sync.Once
	memory  gate.Budget
	work    chan struct{}
	strays  rate.Sometimes // what strangers send is logged now and then
	doubts  rate.Sometimes // and so is what nobody knows
	reports *rate.Limiter  // of Events
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.once.Do(func() {
		h.memory.Free, h.memory.Most = freeMemory, sharedMemory
		h.work = make(chan struct{}, atWork)
		h.strays.Interval, h.doubts.Interval = time.Second, time.Second
		h.reports = rate.NewLimiter(1, 20)
	})
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "an AdmissionReview comes by POST", http.StatusMethodNotAllowed)
		return
	}
	if t := r.Header.Get("Content-Type"); t != "application/json" {
		if t, _, err := mime.ParseMediaType(t); err != nil || t != "application/json" {
			http.Error(w, "an AdmissionReview is application/json", http.StatusUnsupportedMediaType)
			return
		}
	}
	h.review(w, r)
}

// review reads a review and answers it.
func (h *Handler) review(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	control := http.NewResponseController(w)
	var state sync.Mutex
	var cut, writing bool
	share := h.memory.Open(func() { // whatever it is at ends: it reads, waits or writes
		state.Lock()
		defer state.Unlock()
		cut = true
		cancel(gate.ErrFull)
		control.SetReadDeadline(longAgo)
		if writing {
			control.SetWriteDeadline(longAgo)
		}
	})
	defer share.Close()
	body := buffers.Get().(*[]byte)
	defer func() {
		if cap(*body) <= freeMemory { // one huge review must not stay for good
			buffers.Put(body)
		}
	}()

	control.SetReadDeadline(time.Now().Add(bodyTime))
	part := trace.From(ctx).Start("read review")
	out, err := h.read(ctx, r, share, body)
	part.Err(err)
	part.End()
	if err == nil {
		control.SetReadDeadline(time.Time{}) // or it would end what follows
		gate.Heard(ctx)
		out, err = h.answer(ctx, share, patience(r), out)
	}
	// What was cut before is refused, and the refusal must arrive.
	state.Lock()
	if writing = !cut; cut {
		err = gate.ErrFull
	}
	state.Unlock()
	switch failed, known := errors.AsType[*httpError](err); {
	case err == nil:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(out)))
		w.Write(out)
	case errors.Is(err, gate.ErrFull):
		h.strays.Do(func() { h.log().Warn("too many reviews at a time", "address", r.RemoteAddr) })
		tooMany(w)
	case known:
		h.strays.Do(func() { h.log().Warn("request is not a review", "address", r.RemoteAddr, "error", err) })
		w.Header().Set("Connection", "close") // there may be more of the body
		http.Error(w, redact.Text(err.Error()), failed.code)
	default:
		http.Error(w, redact.Text(err.Error()), http.StatusInternalServerError)
	}
}

// patience is how long a review's lookup may take: seven eighths of the time that the
// API server waits for the answer, so that it still gets one. Of the least in the
// webhook configuration, 2 s, that leaves more than [AskTime]. The API server sends the
// time along, in whole seconds, rounded up, as its clients' parameter timeout
// (callAttrMutatingHook in apiserver/pkg/admission/plugin/webhook/mutating/dispatcher.go).
func patience(r *http.Request) time.Duration {
	d, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil || d <= 0 {
		return maxPatience
	}
	return min(d*7/8, maxPatience)
}

// httpError is an error that is the client's.
type httpError struct {
	code int
	error
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, 4<<10)) }}

// read reads the body. It takes memory for what has come, not for what is
// announced.
func (h *Handler) read(ctx context.Context, r *http.Request, share *gate.Share, into *[]byte) ([]byte, error) {
	tooLarge := &httpError{http.StatusRequestEntityTooLarge, fmt.Errorf("an AdmissionReview of more than %d bytes", MaxReview)}
	if r.ContentLength > MaxReview {
		return nil, tooLarge
	}
	body := (*into)[:0]
	defer func() { *into = body[:0] }()
	for {
		if len(body) == cap(body) {
			size := min(2*cap(body), MaxReview+1)
			if err := share.Resize(ctx, int64(size)); err != nil {
				return nil, err
			}
			body = append(make([]byte, 0, size), body...)
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > MaxReview:
			return nil, tooLarge
		case errors.Is(err, io.EOF):
			return body, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, &httpError{http.StatusRequestTimeout, fmt.Errorf("the AdmissionReview did not arrive within %s", bodyTime)}
		case err != nil:
			return nil, &httpError{http.StatusBadRequest, fmt.Errorf("reading the AdmissionReview: %w", err)}
		}
	}
}

// tooMany refuses a request for now. It is what an API server itself says when it
// is busy, and what it takes from others: it tries again after a second, within
// the timeout of the webhook configuration.
func tooMany(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Retry-After", "1")
	w.Header().Set("Connection", "close")
	w.WriteHeader(http.StatusTooManyRequests)
	json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: http.StatusTooManyRequests, Reason: metav1.StatusReasonTooManyRequests,
		Message: "the webhook has too many reviews at a time, try again", Details: &metav1.StatusDetails{RetryAfterSeconds: 1},
	})
}

func (h *Handler) log() *slog.Logger {
	if h.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return h.Log
}

// working does some work when it is its turn.
func (h *Handler) working(ctx context.Context, do func() error) error {
	select {
	case h.work <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-h.work }()
	return do()
}

// answer is what to say to a review. An error that is no [httpError] means that
// nobody can tell at the moment.
func (h *Handler) answer(ctx context.Context, share *gate.Share, patience time.Duration, body []byte) (out []byte, err error) {
	var rev review
	var account string
	err = h.working(ctx, func() error {
		if rev, err = parseReview(body); err != nil {
			return &httpError{http.StatusBadRequest, err}
		}
		if rev.isPodCreation() {
			account = serviceAccountOf(rev.Object)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	span := trace.From(ctx)
	describe(span, &rev, account)
	if !rev.isPodCreation() {
		return rev.answer(response{Allowed: true})
	}
	who := identity{account: account}
	if account != "" { // a mirror pod has none, for one
		if err := checkNames(rev.Namespace, account); err != nil {
			return rev.answer(refuse(http.StatusBadRequest, "BadRequest", err.Error()))
		}
		part := span.Start("look up service account")
		patient, cancel := context.WithTimeout(trace.With(ctx, part), patience)
		who.grant, who.unknown = h.Lookup(patient, rev.Namespace, account)
		cancel()
		part.Text("openirsa.role_arn", who.grant.RoleARN)
		part.Bool("openirsa.container_credentials", who.grant.Credentials)
		part.Err(who.unknown)
		part.End()
	}
	err = h.working(ctx, func() error {
		part := span.Start("decide")
		defer part.End()
		var resp response
		if resp, err = h.admit(ctx, share, &rev, who); err != nil {
			part.Err(err)
			return err
		}
		conclude(span, &resp)
		out, err = rev.answer(resp)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, share.Resize(ctx, int64(len(out)))
}

// describe says in a span which review it is of.
func describe(span *trace.Span, r *review, account string) {
	if span == nil {
		return
	}
	span.Name("AdmissionReview")
	span.Text("openirsa.review.uid", clip(r.UID))
	span.Bool("openirsa.review.pod_creation", r.isPodCreation())
	span.Bool("openirsa.review.dry_run", r.DryRun)
	span.Text("k8s.namespace.name", clip(r.Namespace))
	span.Text("openirsa.service_account", clip(account))
}

// conclude says in a span what a review was answered.
func conclude(span *trace.Span, r *response) {
	if span == nil {
		return
	}
	span.Bool("openirsa.review.allowed", r.Allowed)
	span.Number("openirsa.review.patch_bytes", int64(len(r.Patch)))
	for _, w := range r.Warnings {
		span.Event("warning", "openirsa.warning", w)
	}
	if r.Status != nil {
		span.Fail(r.Status.Reason, r.Status.Message)
	}
}

// identity is what the lookup of a pod's service account has brought.
type identity struct {
	account string // empty if the pod has none
	grant   Grant
	unknown error
}

// admit decides about the pod of a review.
func (h *Handler) admit(ctx context.Context, share *gate.Share, r *review, who identity) (response, error) {
	account, grant, unknown := who.account, who.grant, who.unknown
	log := h.log().With("namespace", r.Namespace, "serviceAccount", account)
	prefix := cmp.Or(h.Settings.Prefix, irsa.DefaultPrefix)
	pod, err := ParsePod(r.Object, prefix)
	if err != nil {
		return refuse(http.StatusBadRequest, "BadRequest", "reading the pod: "+err.Error()), nil
	}
	if account == "" {
		return response{Allowed: true}, nil
	}
	malformed, isMalformed := errors.AsType[*irsa.AnnotationError](cmp.Or(unknown, grant.Malformed))
	if isMalformed && (unknown != nil || h.RefuseMalformed) {
		message := fmt.Sprintf("service account %s is malformed: %v", account, malformed)
		log.Warn("service account is malformed", "error", malformed, "refused", h.RefuseMalformed)
		h.Metrics.malformed()
		if h.RefuseMalformed {
			return refuse(http.StatusForbidden, "Forbidden", message), nil
		}
		return response{Allowed: true, Warnings: []string{"the pod gets no AWS identity: " + message}}, nil
	}
	if unknown != nil {
		h.doubts.Do(func() { log.Error("pod cannot be decided", "error", unknown) })
		return response{}, fmt.Errorf("looking up service account %s/%s: %w", r.Namespace, account, unknown)
	}
	if isMalformed {
		h.Metrics.malformed()
	}
	mistakes, others := prefix.IgnoredOnPod(pod.Annotations)
	h.tell(r, account, grant, mistakes)
	grant.Warnings = slices.Concat(grant.Warnings, mistakes, others)
	if grant.Nothing() {
		return response{Allowed: true, Warnings: grant.Warnings}, nil
	}
	// The patch, as values, as JSON and in base 64, is there besides the body.
	perContainer := int64(len(grant.RoleARN) + 2*len(h.Settings.EndpointURL) + 1<<10)
	if err := share.Resize(ctx, int64(len(r.Object))+3*perContainer*int64(len(pod.Containers)+len(pod.InitContainers))); err != nil {
		return response{}, err
	}
	if span := trace.From(ctx); span != nil {
		span.Text("openirsa.role_arn", grant.RoleARN)
		span.Text("k8s.pod.name", clip(cmp.Or(pod.Name, pod.GenerateName)))
	}
	ops, warnings := Mutate(pod, grant, h.Settings)
	h.Metrics.granted(grant.Credentials)
	resp := response{Allowed: true, Warnings: warnings}
	if len(ops) > 0 {
		if resp.Patch, err = json.Marshal(ops); err != nil {
			return response{}, fmt.Errorf("writing the patch: %w", err)
		}
		resp.PatchType = "JSONPatch"
	}
	log.Debug("pod is admitted", "pod", clip(cmp.Or(pod.Name, pod.GenerateName)), "role", grant.RoleARN,
		"containerCredentials", grant.Credentials, "added", len(ops), "warnings", warnings)
	return resp, nil
}

// tell reports what a pod's author has written in vain. The Event is of the
// service account, which is there, while the pod is not yet; and nobody but an
// API server may have sent the review, so it says nothing that is not fixed here,
// and seldom.
func (h *Handler) tell(r *review, account string, grant Grant, mistakes []string) {
	if len(mistakes) == 0 || r.DryRun || grant.UID == "" || !h.reports.Allow() {
		return
	}
	h.Events.report(corev1.ObjectReference{APIVersion: "v1", Kind: "ServiceAccount", Namespace: r.Namespace, Name: account, UID: grant.UID},
		"IgnoredAnnotation", "on a pod of this service account: "+strings.Join(mistakes, "; "))
}

func refuse(code int, reason, message string) response {
	return response{Status: &status{Code: code, Reason: reason, Message: message}}
}

// Healthy answers health checks: 200 and "ok" if check is nil or returns nil,
// else 503 and the error.
func Healthy(check func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if check != nil {
			if err := check(); err != nil {
				http.Error(w, redact.Text(err.Error()), http.StatusServiceUnavailable)
				return
			}
		}
		io.WriteString(w, "ok")
	})
}
