// Package plan keeps deciding apart from doing.
//
// Packages with effects read what is there and answer with steps; the caller
// prints them or runs them. A dry run therefore shows exactly what a run would
// do, and a second run, which finds everything in place, has no steps at all.
//
//	steps, err := provider.Plan(ctx, iam, want)
//	plan.Print(os.Stdout, steps)     // --dry-run
//	err = plan.Run(ctx, steps, nil)  // the same steps
package plan

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/openirsa/openirsa/internal/plain"
)

// The links of the chain from a signing key to a pod with credentials, in
// order. Every step belongs to one; messages and errors name it.
const (
	SigningKey     = "signing key"     // 1: the cluster's token signing key
	Documents      = "documents"       // 2: discovery document and JWKS
	Issuer         = "issuer"          // 3: the URL at which the documents are public
	Provider       = "provider"        // 4: the IAM OIDC provider
	Role           = "role"            // 5: the IAM role, its trust and its permissions
	ServiceAccount = "service account" // 6: the annotated service account
	Webhook        = "webhook"         // 7: what gives the pod its token and environment
)

// PodIdentity is what EKS Pod Identity takes beside associations: a cluster that EKS
// knows, and an agent on each node.
const PodIdentity = "pod identity"

// Association is the link of EKS Pod Identity that stands for links 4 and 6: which role
// the pods of a service account get.
const Association = "association"

// What is made and checked beside the links, with names of the same kind.
const (
	Record    = "record"     // what the cluster remembers of its chain
	Image     = "image"      // of the programs in the cluster
	Emulator  = "emulator"   // what stands in for AWS
	APIServer = "API server" // its flags
	Cluster   = "cluster"    // what else is in the cluster and on its nodes
	Workload  = "workload"   // what runs the pods of a service account
)

// What a step does to its object.
const (
	Create = "create"
	Update = "update"
	Delete = "delete"
)

// Step is one change, decided but not made.
type Step struct {
	// Link is the link of the chain that the step changes, such as [Provider].
	Link string
	// Action is [Create], [Update] or [Delete].
	Action string
	// Summary names the object, such as "bucket openirsa-dev-123456789012".
	Summary string
	// Diff shows what is ("-") and what will be ("+"), a line each. Empty
	// where Summary says it all.
	Diff string
	// Do makes the change. It may be called again after a failure, and after
	// a success whose answer was lost.
	Do func(ctx context.Context) error
}

// String is the step as one line of a dry run.
func (s Step) String() string { return s.Action + " " + s.Summary }

// Past turns an action into the word for what was done: "created" for
// [Create].
func Past(action string) string { return action + "d" }

// Print writes the steps as a dry run shows them, a line each with its diff
// indented below.
func Print(w io.Writer, steps []Step) {
	for _, s := range steps {
		plain.Fprintf(w, "  %s\n", s)
		for line := range strings.Lines(s.Diff) {
			plain.Fprintf(w, "      %s\n", strings.TrimRight(line, "\n"))
		}
	}
}

// Error is a step that did not succeed.
type Error struct {
	Step Step
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s: %v", e.Step.Link, e.Step, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// Run does the steps one after the other and stops at the first that fails,
// with an [*Error] that names it, or when ctx ends. If done is not nil it is
// called after each step that succeeded.
func Run(ctx context.Context, steps []Step, done func(Step)) error {
	for _, s := range steps {
		if err := context.Cause(ctx); err != nil {
			return &Error{Step: s, Err: err}
		}
		if err := s.Do(ctx); err != nil {
			return &Error{Step: s, Err: err}
		}
		if done != nil {
			done(s)
		}
	}
	return nil
}
