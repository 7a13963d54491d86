package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/plan"
)

// APIServerError is an API server, or a controller manager, that did not become
// healthy with new flags.
type APIServerError struct {
	Program  string // "API server" or "controller manager"
	Node     string
	Err      error  // what it lacked when the time was up
	Restore  error  // nil: the manifest is as before and the API server healthy with it
	Log      string // the end of its log while it had the new flags
	Duration time.Duration
}

func (e *APIServerError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the %s on node %s was not healthy within %s: %v", e.Program, e.Node, e.Duration, e.Err)
	if e.Restore == nil {
		b.WriteString("; its previous manifest is back and it is healthy again")
	} else {
		fmt.Fprintf(&b, "; its previous manifest was put back, but it is not healthy with that either: %v", e.Restore)
	}
	if e.Log != "" {
		fmt.Fprintf(&b, "\nits last log lines:\n%s", e.Log)
	}
	return b.String()
}

func (e *APIServerError) Unwrap() []error { return []error{e.Err, e.Restore} }

// replaceManifest gives a node the manifest that change makes of the present one, and
// waits until its API server, or controller manager, is healthy with it. It continues
// what an earlier run left when it was killed at any point:
//
//   - before the new manifest was written, nothing has happened;
//   - after it, the provenFile holds the manifest to go back to, and change
//     finds nothing to do but the waiting;
//   - when the new manifest is proven, the provenFile goes.
func replaceManifest(ctx context.Context, n node.Node, pod staticPod, patience time.Duration,
	change func(*podOnNode) ([]byte, error),
) error {
	if err := settle(ctx, n, pod); err != nil {
		return err
	}
	now, err := readPod(ctx, n, pod)
	if err != nil {
		return err
	}
	text, err := change(now)
	if err != nil {
		return fmt.Errorf("editing %s on node %s: %w", pod.manifestFile(), n.Name, err)
	}
	next, err := pod.parse(text)
	if err != nil {
		return err
	}
	if !bytes.Equal(text, now.text) {
		if newIssuer(next.Flags, now.Flags) && (now.former == nil || !newIssuer(now.Flags, now.former.Flags)) {
			if err := n.WriteFile(ctx, formerFile, now.text, "0600"); err != nil {
				return err
			}
		}
		proven := !now.unproven
		if !proven { // it may have become healthy after an earlier run was killed
			all, err := processes(ctx, n, pod, running{}, 0)
			if err == nil {
				_, err = check(ctx, n, pod, now.Flags, all)
			}
			proven = err == nil
		}
		if proven {
			if err := n.WriteFile(ctx, pod.provenFile(), now.text, "0600"); err != nil {
				return err
			}
		}
		if err := swapManifest(ctx, n, pod, text); err != nil {
			return err
		}
	}
	unhealthy := healthy(ctx, n, pod, next.Flags, patience)
	if unhealthy == nil {
		return n.Remove(ctx, pod.provenFile())
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause // interrupted: the next run continues to wait
	}
	failure := &APIServerError{Program: pod.String(), Node: n.Name, Err: unhealthy, Duration: patience, Log: podLog(ctx, n, pod)}
	failure.Restore = restore(ctx, n, pod, max(patience, DefaultWait))
	return failure
}

// restore goes back to the manifest with which the pod was last healthy.
func restore(ctx context.Context, n node.Node, pod staticPod, patience time.Duration) error {
	text, ok, err := n.ReadFile(ctx, pod.provenFile())
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("there is no previous manifest: it was not changed by this program")
	}
	m, err := pod.parse(text)
	if err != nil {
		return err
	}
	if err := n.WriteFile(ctx, pod.manifestFile(), text, "0600"); err != nil {
		return err
	}
	if err := healthy(ctx, n, pod, m.Flags, patience); err != nil {
		return err
	}
	return n.Remove(ctx, pod.provenFile())
}

// newIssuer reports whether flags have an issuer that the previous ones lack. If
// not, and yet there is a previous manifest, something else, such as a kubeadm
// upgrade, has written the manifest again, and it is itself the one to go back to.
func newIssuer(now, former Flags) bool {
	return slices.ContainsFunc(now.Issuers, func(iss string) bool { return !slices.Contains(former.Issuers, iss) })
}

// pollInterval is how often a node is asked about its API server.
const pollInterval = time.Second

// What one question to a node may wait for, in seconds: that its processes change,
// that one which serves ends, and that one which has started is ready.
const (
	changeSeconds = 5
	endSeconds    = 2
	readySeconds  = 4
)

// controllerSeconds is how long a controller manager must be seen running.
const controllerSeconds = 5

// healthy waits until the only API server on the node runs with the flags, is
// ready, and serves the discovery document that belongs to them. The flags are
// read from the running process: a manifest says what should run.
//
// A controller manager must run for a while: one that cannot read its key ends
// at once.
func healthy(ctx context.Context, n node.Node, pod staticPod, want Flags, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	var leaving time.Time // since when the previous API server no longer serves
	var seen running
	seconds, steady := 0, false
	for {
		asked := time.Now()
		var former []string
		all, err := processes(ctx, n, pod, seen, seconds)
		if err == nil {
			steady = steady && all.pids == seen.pids
			seen, seconds = all, changeSeconds
			former, err = check(ctx, n, pod, want, all)
		}
		if pod == controllerPod && err == nil && !steady {
			steady, seconds = true, controllerSeconds
			err = errors.New("it has only just started")
		}
		if err == nil || context.Cause(ctx) != nil || time.Now().After(deadline) {
			return err
		}
		if former != nil {
			seconds = endSeconds
			if err := ready(ctx, n, former, 1); err != nil {
				switch now := time.Now(); {
				case leaving.IsZero():
					leaving = now
				case now.Sub(leaving) > drainTime:
					leaving = now
					if err := hasten(ctx, n, former); err != nil {
						return err
					}
				}
			}
		} else {
			leaving = time.Time{}
			if pod == apiServerPod && len(all.commandLines) == 1 {
				seconds = 0 // it starts
			}
		}
		if err := wait.Sleep(ctx, pollInterval-time.Since(asked)); err != nil {
			return err
		}
	}
}

// drainTime is what an API server that has stopped serving gets for requests
// that are still under way. Longer, and the controller manager would lose its lease,
// which it renews every 2 seconds and gives up after 10.
const drainTime = time.Second

// check is nil if the pod, whose processes are now these, is healthy. Otherwise former
// is the command line of the API server with other flags that still runs, if one does.
func check(ctx context.Context, n node.Node, pod staticPod, want Flags, now running) (former []string, err error) {
	switch len(now.commandLines) {
	case 0:
		return nil, fmt.Errorf("no %s runs", pod)
	case 1:
	default:
		return nil, fmt.Errorf("the former %s still runs beside the new one", pod)
	}
	commandLine := now.commandLines[0]
	flags, err := parseFlags(commandLine)
	if err != nil {
		return nil, err
	}
	if !flags.equal(want) {
		err = fmt.Errorf("the running %s has other flags than its manifest: %s", pod, strings.Join(flags.lines(), " "))
		if pod != apiServerPod {
			return nil, err
		}
		return commandLine, err
	}
	if pod != apiServerPod {
		return nil, nil
	}
	return nil, serves(ctx, n, commandLine, want)
}

// serves asks an API server whether it is ready and whether its discovery
// document is the one of its flags.
func serves(ctx context.Context, n node.Node, commandLine []string, want Flags) error {
	if err := ready(ctx, n, commandLine, readySeconds); err != nil {
		return fmt.Errorf("asking whether it is ready: %w", err)
	}
	if len(want.Issuers) == 0 || !strings.HasPrefix(want.Issuers[0], "https://") {
		return nil // no discovery document for such an issuer (NewOpenIDMetadataProvider)
	}
	b, err := get(ctx, n, commandLine, issuer.DiscoveryPath)
	if err != nil {
		return fmt.Errorf("reading its discovery document: %w", err)
	}
	var doc struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return fmt.Errorf("reading its discovery document: %w", err)
	}
	if doc.Issuer != want.Issuers[0] || want.JWKSURI != "" && doc.JWKSURI != want.JWKSURI {
		return fmt.Errorf("its discovery document has issuer %q and jwks_uri %q", doc.Issuer, doc.JWKSURI)
	}
	return nil
}

// Restore finishes what a node that died has left undone, and puts back the manifest
// with which the API server on a node was last healthy, where a run that was killed has
// left one that has not come up since, and reports whether there was one. For when the
// API server cannot be asked.
func Restore(ctx context.Context, n node.Node) (bool, error) {
	there, err := n.Existing(ctx, provenFile)
	if err != nil {
		return false, err
	}
	if err := settle(ctx, n, apiServerPod); err != nil || len(there) == 0 {
		return false, err
	}
	return true, restore(ctx, n, apiServerPod, DefaultWait)
}

// step changes one API server. Before is what it will have when the step runs.
func (s *podOnNode) step(summary string, before Flags, want func(Flags) Flags, patience time.Duration) plan.Step {
	return plan.Step{
		Link:    plan.Issuer,
		Action:  plan.Update,
		Summary: summary,
		Diff:    plan.DiffLines(before.lines(), want(before).lines()),
		Do: func(ctx context.Context) error {
			return replaceManifest(ctx, s.Node, s.pod, patience, func(now *podOnNode) ([]byte, error) {
				return now.With(want(now.Flags))
			})
		},
	}
}

// after is the step, done only if the condition is met by then.
func after(condition func(context.Context) error, s plan.Step) plan.Step {
	do := s.Do
	s.Do = func(ctx context.Context) error {
		if err := condition(ctx); err != nil {
			return err
		}
		return do(ctx)
	}
	return s
}
