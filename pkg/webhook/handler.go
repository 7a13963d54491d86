package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"sync"

	"github.com/openirsa/openirsa/pkg/irsa"
)

// Lookup tells what a service account grants its pods; the zero Grant if
// nothing. An [*irsa.AnnotationError] in the error says that the service
// account is malformed; any other error, that it is not known what is right.
type Lookup func(ctx context.Context, namespace, name string) (Grant, error)

// MaxReview is the largest AdmissionReview that is read, in bytes. The API
// server takes requests of 3 MiB, and a review holds two objects at most.
const MaxReview = 7 << 20

// Handler answers AdmissionReviews, sent by POST. It answers
//   - a review of the creation of a pod with what [Mutate] decides,
//   - any other review by admitting the object as it is,
//   - what is no review, or not known, with an HTTP error; what becomes of the
//     pod is then for the failurePolicy of the webhook configuration to say.
type Handler struct {
	Lookup   Lookup
	Settings Settings
	// RefuseMalformed refuses pods whose service account is malformed. By
	// default they are admitted without an identity, with a warning.
	RefuseMalformed bool
	Metrics         *Metrics     // nil counts nothing
	Log             *slog.Logger // nil logs nothing
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
	body := buffers.Get().(*bytes.Buffer)
	defer func() {
		if body.Cap() <= 256<<10 { // one huge review must not stay for good
			body.Reset()
			buffers.Put(body)
		}
	}()
	if r.ContentLength > 0 && r.ContentLength <= MaxReview {
		body.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, MaxReview)); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			http.Error(w, fmt.Sprintf("an AdmissionReview of more than %d bytes", MaxReview), http.StatusRequestEntityTooLarge)
		} else {
			http.Error(w, "reading the AdmissionReview: "+err.Error(), http.StatusBadRequest)
		}
		return
	}
	rev, err := parseReview(body.Bytes())
	if err != nil {
		h.log().Warn("request is not a review", "error", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	resp, err := h.admit(r.Context(), &rev)
	if err != nil {
		h.log().Error("pod cannot be decided", "namespace", rev.Namespace, "error", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	out, err := rev.answer(resp)
	if err != nil {
		http.Error(w, "writing the answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	w.Write(out)
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func (h *Handler) log() *slog.Logger {
	if h.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return h.Log
}

// admit decides. An error means that nobody can tell at the moment.
func (h *Handler) admit(ctx context.Context, r *review) (response, error) {
	if !r.isPodCreation() {
		return response{Allowed: true}, nil
	}
	prefix := h.Settings.Prefix
	if prefix == "" {
		prefix = irsa.DefaultPrefix
	}
	pod, err := ParsePod(r.Object, prefix)
	if err != nil {
		return refuse(http.StatusBadRequest, "BadRequest", "reading the pod: "+err.Error()), nil
	}
	if pod.ServiceAccount == "" { // a mirror pod, for one
		return response{Allowed: true}, nil
	}
	log := h.log().With("namespace", r.Namespace, "pod", or(pod.Name, pod.GenerateName), "serviceAccount", pod.ServiceAccount)
	grant, err := h.Lookup(ctx, r.Namespace, pod.ServiceAccount)
	if malformed, ok := errors.AsType[*irsa.AnnotationError](err); ok {
		message := fmt.Sprintf("service account %s is malformed: %v", pod.ServiceAccount, malformed)
		log.Warn("service account is malformed", "error", malformed, "refused", h.RefuseMalformed)
		h.Metrics.malformed()
		if h.RefuseMalformed {
			return refuse(http.StatusForbidden, "Forbidden", message), nil
		}
		return response{Allowed: true, Warnings: []string{"the pod gets no AWS identity: " + message}}, nil
	}
	if err != nil {
		return response{}, fmt.Errorf("looking up service account %s/%s: %w", r.Namespace, pod.ServiceAccount, err)
	}
	if grant.Nothing() {
		return response{Allowed: true, Warnings: grant.Warnings}, nil
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
	log.Debug("pod is admitted", "role", grant.RoleARN, "containerCredentials", grant.Credentials, "added", len(ops), "warnings", warnings)
	return resp, nil
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
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		io.WriteString(w, "ok")
	})
}
