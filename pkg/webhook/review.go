package webhook

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/openirsa/openirsa/internal/redact"
)

// maxUID is the longest uid of a review that is answered, in bytes; API servers
// make UUIDs.
const maxUID = 256

// review is what the webhook has to know of an AdmissionReview.
type review struct {
	APIVersion, Kind string

	UID         string
	Group       string // of the object's kind, as is
	ObjectKind  string
	SubResource string
	Operation   string
	Namespace   string
	DryRun      bool
	Object      []byte // JSON, part of the text that the review was read from
}

// parseReview reads an AdmissionReview of admission.k8s.io/v1 or v1beta1,
// whose fields have the same names.
func parseReview(data []byte) (r review, err error) {
	s := scanner{data: data, most: maxStrings}
	request := false
	for key := range s.object() {
		switch key {
		case "apiVersion":
			r.APIVersion = s.string()
		case "kind":
			r.Kind = s.string()
		case "request":
			request = s.peek() == '{'
			r.readRequest(&s)
		}
	}
	s.end()
	switch {
	case s.err != nil:
		return review{}, fmt.Errorf("reading the AdmissionReview: %w", s.err)
	case r.Kind != "AdmissionReview" || r.APIVersion != "admission.k8s.io/v1" && r.APIVersion != "admission.k8s.io/v1beta1":
		return review{}, fmt.Errorf("kind %.100q of %.100q is not an AdmissionReview of admission.k8s.io/v1 or v1beta1", r.Kind, r.APIVersion)
	case !request || r.UID == "":
		return review{}, fmt.Errorf("the AdmissionReview has no request with a uid")
	case len(r.UID) > maxUID:
		return review{}, fmt.Errorf("the uid of the AdmissionReview is longer than %d bytes", maxUID)
	}
	return r, nil
}

func (r *review) readRequest(s *scanner) {
	for key := range s.object() {
		switch key {
		case "uid":
			r.UID = s.string()
		case "kind":
			for key := range s.object() {
				switch key {
				case "group":
					r.Group = s.string()
				case "kind":
					r.ObjectKind = s.string()
				}
			}
		case "subResource":
			r.SubResource = s.string()
		case "operation":
			r.Operation = s.string()
		case "namespace":
			r.Namespace = s.string()
		case "dryRun":
			r.DryRun = s.bool()
		case "object":
			r.Object = s.raw()
		}
	}
}

// isPodCreation reports whether there is a pod to mutate. Everything else that
// a webhook configuration may send here is none of our business.
func (r *review) isPodCreation() bool {
	return r.Group == "" && r.ObjectKind == "Pod" && r.SubResource == "" && r.Operation == "CREATE"
}

// answer is an AdmissionReview with a response, in the words of
// k8s.io/api/admission.
type answer struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Response   response `json:"response"`
}

type response struct {
	UID       string   `json:"uid"`
	Allowed   bool     `json:"allowed"`
	Status    *status  `json:"status,omitempty"`
	Patch     []byte   `json:"patch,omitempty"`
	PatchType string   `json:"patchType,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
}

type status struct {
	Code    int    `json:"code"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// answer encodes a response to the review, in the review's own version.
func (r *review) answer(resp response) ([]byte, error) {
	const most = 20 // the API server shows 4 kB of them
	resp.UID = r.UID
	resp.Warnings = resp.Warnings[:min(len(resp.Warnings), most)]
	for i, w := range resp.Warnings {
		resp.Warnings[i] = clip(redact.Text(w))
	}
	if resp.Status != nil {
		resp.Status.Message = redact.Text(resp.Status.Message)
	}
	return json.Marshal(answer{APIVersion: r.APIVersion, Kind: r.Kind, Response: resp})
}

// clip keeps a warning to one line of at most 256 characters, what the API
// server advises (AdmissionResponse.warnings).
func clip(w string) string {
	const most = 256
	w = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, w)
	if len(w) > most {
		w = strings.ToValidUTF8(w[:most-3], "") + "..."
	}
	return w
}
